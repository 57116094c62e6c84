"""`robotd run`: signals around a daemon."""

import asyncio
import signal
import sys

import structlog

from daemon import log
from daemon.app import build
from daemon.lifecycle import Daemon, Ending
from daemon.settings import Settings
from domain.errors import RobotdError

_log = structlog.get_logger()


def secrets_of(settings: Settings) -> list[str]:
    """The values that must never be logged, whatever text they stand in."""
    kept = (settings.aws.secret_access_key, settings.database.password)
    return [secret.get_secret_value() for secret in kept if secret is not None]


async def run_daemon(settings: Settings) -> int:
    """Run until a signal. Returns the exit code; a start that fails is one log line and code 1."""
    log.configure(settings.log.format, settings.log.level, sys.stdout, secrets=secrets_of(settings))
    try:
        async with build(settings) as daemon:
            return await run_until_signalled(daemon)
    except* RobotdError as errors:
        for error in errors.exceptions:
            _log.error(log.LogEvent.DAEMON_FAILED, reason=str(error))
    return Ending.FAILED


async def run_until_signalled(daemon: Daemon) -> Ending:
    """The first SIGTERM or SIGINT drains; a second one stops at once, and what ran comes back by its timeouts."""
    loop = asyncio.get_running_loop()
    running = asyncio.create_task(daemon.run())
    signals = 0

    def on_signal() -> None:
        nonlocal signals
        signals += 1
        if signals == 1:
            daemon.stop()
        else:
            running.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        return await running
    except asyncio.CancelledError:
        if not signals:
            raise
        return Ending.FAILED
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
