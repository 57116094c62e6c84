"""Adaptive batching: what waits while calls are under way goes out together, up to ten at a time.

There is no linger timer: an idle batcher sends a single item at once, a busy one sends full batches.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
Flush = Callable[[list[T]], Awaitable[Sequence[Exception | None]]]


class Batcher(Generic[T]):
    """Hands items to `flush` in batches; `flush` answers with one error or None for each, in order."""

    def __init__(self, flush: Flush[T], *, workers: int = 4, size: int = 10) -> None:
        self._flush = flush
        self._workers = workers
        self._size = size
        self._waiting: deque[tuple[T, asyncio.Future[None]]] = deque()
        self._wake = asyncio.Event()
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def submit(self, item: T) -> None:
        """Return when the item is flushed. Raises the error that `flush` gave for it."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        self._idle.clear()
        if self._is_due():
            self._wake.set()
        await done

    async def run(self) -> None:
        """Flush for ever; the task that runs this owns all calls, so a cancelled submitter takes nobody down."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work())

    async def drained(self) -> None:
        """Return when nothing waits and no call is under way."""
        await self._idle.wait()

    def _is_due(self) -> bool:
        """Whether to flush now: a call of its own for each item costs several times what the item itself does."""
        return bool(self._waiting) and (not self._busy or len(self._waiting) >= self._size)

    async def _work(self) -> None:
        while True:
            while not self._is_due():
                self._wake.clear()
                await self._wake.wait()
            batch = [self._waiting.popleft() for _ in range(min(self._size, len(self._waiting)))]
            self._busy += 1
            try:
                await self._flush_batch(batch)
            finally:
                self._busy -= 1
                if not self._busy and not self._waiting:
                    self._idle.set()

    async def _flush_batch(self, batch: list[tuple[T, asyncio.Future[None]]]) -> None:
        try:
            errors = await self._flush([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001  whatever it was belongs to each submitter, who decides
            errors = [error] * len(batch)
        except asyncio.CancelledError:
            for _, done in batch:
                done.cancel()
            raise
        tell_each([done for _, done in batch], errors)


def tell_each(waiting: Sequence[asyncio.Future[None]], errors: Sequence[Exception | None]) -> None:
    """Tell each of those who wait its own end, in order; who gave up waiting is passed over."""
    for done, problem in zip(waiting, errors, strict=True):
        if done.cancelled():
            continue
        if problem is None:
            done.set_result(None)
        else:
            done.set_exception(problem)
