"""Looks after campaigns, and tests of servers, at start and every minute: what waits for a lost timer gets it anew.

A timer can be missing because somebody deleted its row, changed `scheduled_at` by hand, or restored a backup. What was
due while no process ran needs no care: its timer is due, and fires.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from daemon.gate import Gate
from daemon.log import LogEvent
from domain.errors import Conflict, Unavailable

TEND_EVERY_S = 60.0
_log = structlog.get_logger()


class CampaignKeeper:
    """`tend` gives strays their timers and returns how many there were."""

    def __init__(
        self,
        tend: Callable[[], Awaitable[int]],
        gate: Gate,
        strayed: LogEvent = LogEvent.CAMPAIGN_STRAYED,
        *,
        every_s: float = TEND_EVERY_S,
    ) -> None:
        self._tend = tend
        self._gate = gate
        self._strayed = strayed
        self._every_s = every_s

    async def run(self) -> None:
        """Tend for ever."""
        while True:
            await self._gate.wait()
            await self._once()
            await asyncio.sleep(self._every_s)

    async def _once(self) -> None:
        try:
            with suppress(Conflict):  # somebody else moved a timer: the next look sees what is left
                if strays := await self._tend():
                    _log.warning(self._strayed, count=strays)
        except Unavailable as error:
            self._gate.lost(error.dependency, str(error))
