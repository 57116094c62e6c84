"""What is known of one request, and the line that the log gets of it."""

import logging
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from uuid import uuid4

import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError

from daemon.log import LogEvent

_METHOD_CHARACTERS = 16
_log = structlog.get_logger()


@dataclass(slots=True)
class Seen:
    """What is known of one request; grows while it is answered."""

    call_ref: str
    service_ref: str = field(default_factory=lambda: str(uuid4()))
    began_s: float = field(default_factory=time.monotonic)
    robot_id: int | None = None
    is_read: bool = True
    reason: str | None = None


_SEEN: ContextVar[Seen] = ContextVar("seen")  # a task for each request, so a context for each


def see(call_ref: str) -> Seen:
    """Begin to keep what is known of the request of this task."""
    seen = Seen(call_ref)
    _SEEN.set(seen)
    return seen


def seen_now() -> Seen:
    """What is known so far."""
    return _SEEN.get()


def note(request: web.Request, status: int, *, is_routine: bool) -> None:
    """One line for each request; an endless row of health checks would only hide the others."""
    seen = seen_now()
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "unknown"
    write = _log.debug if is_routine else _log.info
    told = {} if seen.reason is None else {"reason": seen.reason}
    write(
        LogEvent.HTTP_ANSWERED,
        method=request.method[:_METHOD_CHARACTERS],
        route=route,
        status=status,
        ms=round((time.monotonic() - seen.began_s) * 1000),
        robot_id=seen.robot_id,
        call_ref=seen.call_ref,
        service_ref=seen.service_ref,
        **told,
    )


def library_log() -> logging.Logger:
    """Where the library writes what never becomes a request of ours."""
    logger = logging.getLogger("robotd.http")
    logger.addFilter(_brief)
    return logger


def _brief(record: logging.LogRecord) -> bool:
    """Of what is not HTTP at all the log says that it came, not what it said."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.args, record.exc_info = f"refused what is not HTTP: {type(error).__name__}", (), None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True
