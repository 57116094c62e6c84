"""What robotd says about itself: one event name from a fixed list, and fields beside it; never prose with values in it.

JSON lines for machines, a console form for a terminal, both from one chain of structlog processors through which the
libraries' own loggers go too. `configure` is called once, by the command line; all else takes `structlog.get_logger()`.
"""

import json
import logging
import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Literal, TextIO, TypedDict, Unpack, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from daemon.log_mask import Mask
from daemon.log_writer import LogWriter

LogFormat = Literal["auto", "json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]


class LogEvent(StrEnum):
    """Every event that robotd logs. A name is a contract: alerts and searches are written against it."""

    MESSAGE_RECEIVED = "message.received"
    MESSAGE_HANDLED = "message.handled"
    MESSAGE_DUPLICATE = "message.duplicate"
    MESSAGE_RETRIED = "message.retried"
    MESSAGE_PARKED = "message.parked"
    MESSAGE_REJECTED = "message.rejected"
    MESSAGE_EXPIRED = "message.expired"
    MESSAGE_STALE = "message.stale"
    MESSAGE_RELEASED = "message.released"
    MESSAGE_OWNERSHIP_LOST = "message.ownership_lost"
    MESSAGE_RENEWAL_FAILED = "message.renewal_failed"
    MESSAGE_SETTLE_FAILED = "message.settle_failed"
    MESSAGE_FAILED = "message.failed"  # by an exception that nobody expected
    OUTBOX_PUBLISHED = "outbox.published"
    OUTBOX_FAILED = "outbox.failed"
    OUTBOX_PARKED = "outbox.parked"
    OUTBOX_RESTORED = "outbox.restored"
    OUTBOX_REFUSED = "outbox.refused"
    TIMER_FIRED = "timer.fired"
    TIMER_LATE = "timer.late"
    TIMER_LEASE_LOST = "timer.lease_lost"
    QUEUE_MISSING = "queue.missing"
    QUEUE_CREATED = "queue.created"
    CONSUMER_STARTED = "consumer.started"
    CONSUMER_FAILED = "consumer.failed"  # a poll loop met an exception that nobody expected, and goes on
    CONSUMER_STALLED = "consumer.stalled"
    CONSUMER_RESUMED = "consumer.resumed"
    CONSUMER_STOPPED = "consumer.stopped"
    CONSUMER_PAUSED = "consumer.paused"
    DEPENDENCY_LOST = "dependency.lost"
    DEPENDENCY_RESTORED = "dependency.restored"
    BREAKER_OPENED = "breaker.opened"
    BREAKER_CLOSED = "breaker.closed"
    DAEMON_STARTED = "daemon.started"
    DAEMON_READY = "daemon.ready"
    DAEMON_UNREADY = "daemon.unready"
    DAEMON_DRAINING = "daemon.draining"
    DAEMON_STOPPED = "daemon.stopped"
    DAEMON_FAILED = "daemon.failed"
    CONFIG_LOADED = "config.loaded"
    CONFIG_REFUSED = "config.refused"
    MIGRATION_APPLIED = "migration.applied"
    MIGRATION_REFUSED = "migration.refused"
    TRANSACTION_RETRIED = "transaction.retried"
    RETENTION_SWEPT = "retention.swept"
    TEMPLATE_LOADED = "template.loaded"
    TEMPLATE_REFUSED = "template.refused"
    TEMPLATE_SUPERSEDED = "template.superseded"
    TEMPLATE_CHANGED = "template.changed"  # its row, after it was written
    TEMPLATE_FAILED = "template.failed"  # its expression, while a check was decided
    MONITORS_LOADED = "monitors.loaded"
    MONITORS_REFUSED = "monitors.refused"
    CAMPAIGN_PACE = "campaign.pace"  # a word about the settings by which all numbers send
    CAMPAIGN_STRAYED = "campaign.strayed"  # it waited for a timer that was not there
    SERVER_STRAYED = "server.strayed"  # its test waited for a timer that was not there
    HISTORY_TRUNCATED = "history.truncated"
    CAMPAIGN_SILENT = "campaign.silent"  # texts that WhatsApp takes reach no phone
    CHECK_CREATED = "check.created"
    CHECK_RECORDED = "check.recorded"
    CHECK_DECIDED = "check.decided"
    CHECK_CANCELLED = "check.cancelled"
    SUBSCRIPTION_HELD = "subscription.held"
    SUBSCRIPTION_RELEASED = "subscription.released"
    SUBSCRIPTION_UNKNOWN = "subscription.unknown"
    ROLL_CALL_UNKNOWN = "subscription.roll_call_unknown"
    HTTP_LISTENING = "http.listening"
    HTTP_ANSWERED = "http.answered"
    HTTP_FAILED = "http.failed"  # by an exception that nobody expected
    METRICS_SAMPLE_FAILED = "metrics.sample_failed"
    LIBRARY_LOGGED = "library.logged"
    UNLISTED = "log.unlisted"
    LOG_DROPPED = "log.dropped"


class MessageContext(TypedDict, total=False):
    """What is known of the message that is being handled; grows while it is read."""

    message_id: str | None
    call_ref: str | None
    queue: str | None
    type: str | None
    attempt: int | None
    robot_id: int | None


@contextmanager
def message_context(**known: Unpack[MessageContext]) -> Generator[None]:
    """Put what is known of a message on every line that is logged inside, by any module. Nests; None is left out."""
    given = {key: value for key, value in known.items() if value is not None}
    tokens = structlog.contextvars.bind_contextvars(**given)
    try:
        yield
    finally:
        structlog.contextvars.reset_contextvars(**tokens)


def configure(
    form: LogFormat, level: LogLevel, stream: TextIO | None, *, secrets: Iterable[str] = (), is_strict: bool = False
) -> LogWriter:
    """Send all logging of the process to `stream`; the writer that is returned counts what had to be dropped.

    `secrets` are values that must not even stand inside an error's text. `is_strict` (for tests) makes an event name
    that is not in the list an error. `stream` None is what Python makes of a closed stdout: nothing is written.
    """
    stream = stream or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  open as long as the process lives
    is_json = form == "json" or (form == "auto" and not stream.isatty())
    mask = Mask(secrets)
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _Listed(is_strict=is_strict),
        mask,
        stamp,
        structlog.processors.format_exc_info,
        _MaskedTraceback(mask),
    ]
    render: Processor = _as_json if is_json else _console(stream)
    writer = LogWriter(stream, _Dropped(stamp, render))
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.WriteLogger(cast("TextIO", writer)),  # write and flush are all it calls
        cache_logger_on_first_use=not is_strict,  # a kept logger is faster, but keeps its configuration
    )
    _route_libraries(writer, [_from_library, *shared, render])
    return writer


class UnlistedEventError(ValueError):
    """An event was logged whose name is not in LogEvent."""


class _Listed:
    """Holds event names to the list: refuses others in tests, tags them in production, where a line is worth more."""

    def __init__(self, *, is_strict: bool) -> None:
        self._is_strict = is_strict
        self._names = frozenset(LogEvent)

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        if event["event"] not in self._names:
            if self._is_strict:
                raise UnlistedEventError(f"{event['event']!r} is not in LogEvent")
            event["message"] = str(event["event"])  # masked as free text: who knows what stands in it
            event["event"] = LogEvent.UNLISTED.value
        return event


class _MaskedTraceback:
    """Masks what `format_exc_info` wrote: an exception quotes whatever it likes."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        for key in ("exception", "stack"):
            if key in event:
                event[key] = self._mask.text(str(event[key]))
        return event


_ENCODER = json.JSONEncoder(separators=(",", ":"))  # built once; json.dumps builds one for each call with separators


def _as_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    ordered = {"timestamp": event.pop("timestamp"), "level": event.pop("level"), "event": event.pop("event")}
    return _ENCODER.encode({**ordered, **event})


def _console(stream: TextIO) -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(),
        exception_formatter=structlog.dev.plain_traceback,  # the pretty one shows local variables
    )


class _Dropped:
    """The line that tells how many were lost; goes past the loggers, which wait for the writer's lock."""

    def __init__(self, stamp: structlog.processors.TimeStamper, render: Processor) -> None:
        self._stamp = stamp
        self._render = render

    def __call__(self, count: int) -> str:
        event = {"event": LogEvent.LOG_DROPPED.value, "level": "warning", "count": count}
        return str(self._render(None, "warning", self._stamp(None, "warning", event))) + "\n"


def _from_library(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event.pop("_record")
    del event["_from_structlog"]
    return {**event, "event": LogEvent.LIBRARY_LOGGED.value, "logger": record.name, "message": event["event"]}


def _route_libraries(writer: LogWriter, processors: list[Processor]) -> None:
    handler = logging.StreamHandler(writer)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=processors))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Never lower, whatever our own level is: botocore's debug lines hold signed headers and whole messages.
    root.setLevel(logging.WARNING)
