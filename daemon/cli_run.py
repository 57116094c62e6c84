"""`robotd run`: signals around a daemon."""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from daemon import log
from daemon.app import build
from daemon.lifecycle import Daemon, Ending
from daemon.settings import Settings
from domain.errors import ConfigError, RobotdError

_log = structlog.get_logger()
_CONFIGURATION = 3


def secrets_of(settings: Settings) -> list[str]:
    """The values that must never be logged, whatever text they stand in."""
    waha, slack = settings.waha, settings.slack.webhook_url
    kept = (
        settings.aws.secret_access_key,
        settings.database.password,
        waha.api_key,
        waha.webhook_key,
        slack,
        settings.ops.viewer_token,
    )
    return [secret.get_secret_value() for secret in kept if secret is not None]


async def run_daemon(settings: Settings) -> int:
    """Run until a signal. Returns the exit code; a failure is one log line, and code 1, or 3 for the configuration."""
    log.configure(settings.log.format, settings.log.level, sys.stdout, secrets=secrets_of(settings))
    code = int(Ending.FAILED)
    try:
        with signals() as stop:
            async with build(settings) as daemon:
                return await run_until_signalled(daemon, stop)
    except* ConfigError as errors:
        _tell(errors)
        code = _CONFIGURATION
    except* RobotdError as errors:
        _tell(errors)
    return code


def _tell(errors: BaseExceptionGroup[RobotdError]) -> None:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            _tell(error)
        else:
            _log.error(log.LogEvent.DAEMON_FAILED, reason=str(error))


class Stop:
    """Counts the signals that asked for an end, and passes them on once somebody can act on them."""

    def __init__(self) -> None:
        self.signals = 0
        self.then: Callable[[int], None] | None = None

    def __call__(self) -> None:
        """One more signal."""
        self.signals += 1
        if self.then is not None:
            self.then(self.signals)


@contextmanager
def signals() -> Iterator[Stop]:
    """Take SIGTERM and SIGINT, from before the start on: process 1 of a container would ignore them otherwise."""
    loop, stop = asyncio.get_running_loop(), Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def run_until_signalled(daemon: Daemon, stop: Stop) -> Ending:
    """The first signal drains; a second one stops at once, and what ran comes back by its timeouts."""
    running = asyncio.create_task(daemon.run())

    def act(count: int) -> None:
        if count == 1:
            daemon.stop()
        else:
            running.cancel()

    stop.then = act
    if stop.signals:  # one came while everything was being built
        daemon.stop()
    try:
        return await running
    except asyncio.CancelledError:
        if not stop.signals:
            raise
        _log.error(log.LogEvent.DAEMON_FAILED, reason="a second signal stopped it before it had drained")
        return Ending.FAILED
