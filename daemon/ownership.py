"""Holding deliveries: visibility is renewed in batches from receipt on, deletes go out in batches, `Failed[]` is read.

A delivery whose receipt SQS no longer honours, or whose time ran out unrenewed, belongs to somebody else: its handler
is cancelled. What it committed before stays right, because the inbox knows it.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from daemon.batcher import Batcher
from daemon.log import LogEvent
from daemon.metrics import Metrics
from daemon.sqs import BATCH, Sqs, StaleHandle
from domain.errors import RobotdError, Unavailable

_log = structlog.get_logger()
_TRIES = 3
_LONGEST_VISIBILITY_S = 43_200


@dataclass(slots=True)
class _Held:
    until_s: float  # loop time at which SQS shows the message again
    task: asyncio.Task[None]


class Ownership:
    """The receipts that this process holds on one queue."""

    def __init__(self, queue: str, sqs: Sqs, visibility_timeout_s: int, metrics: Metrics | None = None) -> None:
        self._metrics = metrics or Metrics()
        self._queue = queue
        self._sqs = sqs
        self._timeout_s = visibility_timeout_s
        self._held: dict[str, _Held] = {}
        self._renewing = asyncio.Lock()
        self._anything = asyncio.Event()
        self._deletes: Batcher[str] = Batcher(self._delete)
        self._changes: Batcher[tuple[str, int]] = Batcher(self._change)

    def keep(self, handle: str, task: asyncio.Task[None]) -> None:
        """Renew this receipt until it is settled; `task` is cancelled if it is lost."""
        self._held[handle] = _Held(_now_s() + self._timeout_s, task)
        self._anything.set()

    def forget(self, handle: str) -> None:
        """Renew it no longer."""
        self._held.pop(handle, None)

    async def delete(self, handle: str) -> None:
        """Delete the message, with others that wait. Raises Unavailable; a lost receipt is logged, not raised."""
        self.forget(handle)
        for tries_left in reversed(range(_TRIES)):
            try:
                await self._deletes.submit(handle)
            except StaleHandle as error:
                self._note_lost(str(error))
            except Unavailable:
                if not tries_left:
                    raise
                await asyncio.sleep(random.uniform(0.05, 0.5))  # noqa: S311  jitter
                continue
            return

    async def let_go(self, handle: str, after_s: int) -> None:
        """Show the message again after `after_s`; a lost receipt is logged, not raised."""
        self.forget(handle)
        async with self._renewing:
            pass  # a renewal that is under way would overwrite the delay
        try:
            await self._changes.submit((handle, min(after_s, _LONGEST_VISIBILITY_S)))
        except StaleHandle as error:
            self._note_lost(str(error))

    async def hand_back(self, handles: Sequence[str]) -> None:
        """Show messages again at once, for another replica. Failures are logged: their timeout shows them later."""
        for handle in handles:
            self.forget(handle)
        async with self._renewing:
            for start in range(0, len(handles), BATCH):
                await self._release(list(handles[start : start + BATCH]))

    async def _release(self, handles: list[str]) -> None:
        left: list[tuple[str, Exception]] = []
        for _ in range(_TRIES):
            left = await self._try_to_release(handles)
            handles = [handle for handle, _ in left]
            if not handles:
                return
        _log.warning(LogEvent.MESSAGE_RENEWAL_FAILED, queue=self._queue, reason=str(left[0][1]), count=len(left))

    async def _try_to_release(self, handles: list[str]) -> list[tuple[str, Exception]]:
        """Returns what is worth another try: a stale receipt is not."""
        try:
            errors = await self._sqs.change_visibility(self._queue, [(handle, 0) for handle in handles])
        except RobotdError as error:
            return [(handle, error) for handle in handles]
        _log.info(LogEvent.MESSAGE_RELEASED, queue=self._queue, count=errors.count(None))
        failed = [(handle, error) for handle, error in zip(handles, errors, strict=True) if error is not None]
        return [(handle, error) for handle, error in failed if not isinstance(error, StaleHandle)]

    async def run(self) -> None:
        """Renew and flush for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._deletes.run())
            group.create_task(self._changes.run())
            group.create_task(self._renew_for_ever())
            group.create_task(self._drop_for_ever())

    async def drained(self) -> None:
        """Return when every delete and every change is told to SQS."""
        await self._deletes.drained()
        await self._changes.drained()

    async def _renew_for_ever(self) -> None:
        while True:
            await self._next_look()
            async with self._renewing:
                await self._renew_due()

    async def _drop_for_ever(self) -> None:
        """Beside the renewal: one that hangs must not hide that the time has run out."""
        while True:
            await self._next_look()
            self._drop_expired()

    async def _next_look(self) -> None:
        while not self._held:
            self._anything.clear()
            await self._anything.wait()
        await asyncio.sleep(min(1.0, self._timeout_s / 10))

    async def _renew_due(self) -> None:
        margin_s = self._timeout_s / 2
        due = [handle for handle, held in self._held.items() if held.until_s - _now_s() <= margin_s]
        for start in range(0, len(due), BATCH):
            await self._renew(due[start : start + BATCH])

    async def _renew(self, handles: list[str]) -> None:
        began_s = _now_s()
        try:
            errors = await self._sqs.change_visibility(self._queue, [(handle, self._timeout_s) for handle in handles])
        except RobotdError as error:  # also a queue that is gone: the daemon has others to serve
            _log.warning(LogEvent.MESSAGE_RENEWAL_FAILED, queue=self._queue, reason=str(error), count=len(handles))
            return
        self._metrics.extended(self._queue, errors.count(None))
        for handle, problem in zip(handles, errors, strict=True):
            held = self._held.get(handle)
            if held is None:
                continue
            if problem is None:
                held.until_s = began_s + self._timeout_s
            elif isinstance(problem, StaleHandle):
                self._lose(handle, str(problem))

    def _drop_expired(self) -> None:
        now_s = _now_s()
        for handle in [handle for handle, held in self._held.items() if held.until_s <= now_s]:
            self._lose(handle, "its visibility timeout passed before it could be renewed")

    def _lose(self, handle: str, reason: str) -> None:
        held = self._held.pop(handle)
        held.task.cancel()
        self._note_lost(reason)

    def _note_lost(self, reason: str) -> None:
        self._metrics.lost(self._queue)
        _log.warning(LogEvent.MESSAGE_OWNERSHIP_LOST, queue=self._queue, reason=reason)

    async def _delete(self, handles: list[str]) -> Sequence[Exception | None]:
        return await self._sqs.delete(self._queue, handles)

    async def _change(self, changes: list[tuple[str, int]]) -> Sequence[Exception | None]:
        return await self._sqs.change_visibility(self._queue, changes)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
