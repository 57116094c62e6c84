"""Waiting for a condition without polling: predicates are asked at every change, so no passing state is missed."""

import asyncio
from collections.abc import Callable


class Watch:
    """Those who wait for something to become true."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    async def until(self, predicate: Callable[[], bool], timeout_s: float) -> None:
        """Return once the predicate holds. Raises TimeoutError, or what the predicate raises."""
        if predicate():
            return
        holds: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (predicate, holds)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(timeout_s):
                await holds
        finally:
            self._waiting.remove(entry)

    def changed(self) -> None:
        """Ask every predicate again."""
        for predicate, holds in self._waiting:
            if holds.done():
                continue
            try:
                if predicate():
                    holds.set_result(None)
            except Exception as error:  # noqa: BLE001  it belongs to the one who waits, not to whoever caused the change
                holds.set_exception(error)
