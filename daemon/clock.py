"""The system's clock as the domain's `Clock`."""

import asyncio
import time


class SystemClock:
    """Wall clock time; a wait is cut into short sleeps so that a stepped clock is noticed."""

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        return time.time_ns() // 1_000_000

    async def wait_until(self, at_ms: int) -> None:
        """Return when the wall clock shows `at_ms`."""
        while (left_ms := at_ms - self.now_ms()) > 0:  # noqa: ASYNC110  nothing tells of a wall clock's progress
            await asyncio.sleep(min(left_ms / 1000, 1.0))
