"""A clock that is turned by hand, for the demo and the tests: the daemon and the simulators share one.

It belongs to one event loop. Time moves only by `advance` and `set`; whoever waits for a moment is woken when that
moment has come, in the order of the moments.
"""

import asyncio
import heapq
from collections.abc import Callable

from localstack.bell import Bell


class ManualClock:
    """Implements the domain's `Clock`."""

    def __init__(self, start_ms: int) -> None:
        self._now_ms = start_ms
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = 0
        self._bell = Bell()

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        return self._now_ms

    async def wait_until(self, at_ms: int) -> None:
        """Return as soon as `now_ms()` has reached `at_ms`, not before."""
        if at_ms <= self._now_ms:
            await asyncio.sleep(0)  # a loop over due moments must not starve everybody else
        while self._now_ms < at_ms:
            woken = asyncio.get_running_loop().create_future()
            self._count += 1
            heapq.heappush(self._waiters, (at_ms, self._count, woken))
            self._bell.ring()
            await woken

    def advance(self, by_ms: int) -> None:
        """Move time forward."""
        self.set(self._now_ms + by_ms)

    def set(self, now_ms: int) -> None:
        """Move time to `now_ms`, also backwards, as real clocks do; who was woken too early waits again."""
        self._now_ms = now_ms
        while self._waiters and self._waiters[0][0] <= now_ms:
            _, _, woken = heapq.heappop(self._waiters)
            if not woken.done():
                woken.set_result(None)

    def next_due_ms(self) -> int | None:
        """The earliest moment that anybody waits for, or None."""
        while self._waiters and self._waiters[0][2].done():
            heapq.heappop(self._waiters)
        return self._waiters[0][0] if self._waiters else None

    def waiting(self) -> int:
        """How many wait now."""
        return sum(not woken.done() for _, _, woken in self._waiters)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as `condition` holds; it is looked at again each time that somebody begins to wait."""
        await self._bell.until(condition)
