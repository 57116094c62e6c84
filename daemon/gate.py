"""Which dependencies are lost: said once when one goes and once when it is back."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import structlog

from daemon.log import LogEvent
from domain.errors import Unavailable

_log = structlog.get_logger()
DATABASE = "database"
_PING_EVERY_S = 0.5


class Gate:
    """Closed while the database is lost: without it nothing can be handled, so nothing should be received."""

    def __init__(self) -> None:
        self._lost: dict[str, float] = {}
        self._known: set[str] = {DATABASE, "sqs"}
        self._open = asyncio.Event()
        self._open.set()
        self._closed = asyncio.Event()
        self._is_ending = False

    def lost(self, dependency: str, reason: str) -> None:
        """A dependency did not answer. Logged the first time only."""
        if dependency in self._lost:
            return
        self._lost[dependency] = time.time()
        self._known.add(dependency)
        _log.warning(LogEvent.DEPENDENCY_LOST, dependency=dependency, reason=reason)
        if dependency == DATABASE:
            self._closed.set()
            if not self._is_ending:
                self._open.clear()

    def restored(self, dependency: str) -> None:
        """A dependency answered. Logged only after a loss."""
        if dependency not in self._lost:
            return
        del self._lost[dependency]
        _log.info(LogEvent.DEPENDENCY_RESTORED, dependency=dependency)
        if dependency == DATABASE:
            self._closed.clear()
            self._open.set()

    @property
    def missing(self) -> frozenset[str]:
        """The dependencies that are lost now."""
        return frozenset(self._lost)

    @property
    def lost_since_s(self) -> Mapping[str, float | None]:
        """Each dependency that was ever lost, database and SQS anyway: since when, wall clock, or None for not now."""
        return {name: self._lost.get(name) for name in sorted(self._known)}

    @property
    def is_closed(self) -> bool:
        """Whether the database is lost."""
        return DATABASE in self._lost

    async def wait(self) -> None:
        """Return once the database is there, or the process ends."""
        await self._open.wait()

    def end(self) -> None:
        """Let go whoever waits: without the database the process must still be able to stop."""
        self._is_ending = True
        self._open.set()

    async def probe_database(self, ping: Callable[[], Awaitable[object]]) -> None:
        """For ever: while the database is lost, ask it until it answers."""
        while True:
            await self._closed.wait()
            await asyncio.sleep(_PING_EVERY_S)  # also ahead of the first: a database that only reads would flap
            with suppress(Unavailable):
                await ping()
                self.restored(DATABASE)
