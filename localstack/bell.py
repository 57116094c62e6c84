"""Waiting for a condition over plain state, without polling: who changes the state rings, who waits looks again."""

import asyncio
from collections.abc import Callable


class Bell:
    """One bell for one object's state, on one event loop."""

    __slots__ = ("_rung",)

    def __init__(self) -> None:
        self._rung: asyncio.Event | None = None

    def ring(self) -> None:
        """Tell everybody who waits that the state has changed. Costs nothing when nobody does."""
        if self._rung is not None:
            self._rung.set()
            self._rung = None

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as `condition` holds. Unbounded: the caller sets the limit."""
        while not condition():
            if self._rung is None:
                self._rung = asyncio.Event()
            await self._rung.wait()
