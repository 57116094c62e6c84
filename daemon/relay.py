"""The relay: committed outbox rows to their queues, in full batches under load, and forgotten once sent.

A commit hands its rows over from memory; a sweep finds what a dead process left. A failed publish is never the
message's failure: its rows are parked with a growing delay, and a missing robot queue parks that robot's rows only.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from daemon.batcher import Batcher
from daemon.gate import Gate
from daemon.log import LogEvent
from daemon.outbox import OutboxRow
from daemon.probe import Probe
from daemon.sqs import BATCH, Outgoing, QueueMissing, Sqs, chunks
from daemon.watch import Watch
from domain.backoff import backoff_s
from domain.errors import Conflict, RobotdError, Unavailable

_log = structlog.get_logger()
_SWEEP_LIMIT = 500


class KeepsOutbox(Protocol):
    """The outbox in the database. Every method raises Unavailable."""

    async def leftovers(self, limit: int) -> list[OutboxRow]:
        """Claim due rows that nobody holds."""
        ...

    async def sent(self, row_ids: Sequence[str]) -> None:
        """Forget rows."""
        ...

    async def park(self, row_ids: Sequence[str], after_ms: int) -> None:
        """Let rows become due again later."""
        ...


@dataclass(frozen=True, slots=True)
class RelayPace:
    """How the relay works."""

    workers: int = 8
    sweep_every_s: float = 5.0
    backoff_first_s: float = 5.0
    backoff_cap_s: float = 300.0


class Relay:
    """Sends rows per destination in order; different destinations at the same time."""

    def __init__(
        self,
        outbox: KeepsOutbox,
        sqs: Sqs,
        *,
        pace: RelayPace,
        gate: Gate,
        probe: Probe,
        create_queue: Callable[[str], Awaitable[None]] | None,
        watch: Watch | None = None,
    ) -> None:
        self._outbox = outbox
        self._sqs = sqs
        self._pace = pace
        self._gate = gate
        self._probe = probe
        self._create_queue = create_queue
        self._watch = watch or Watch()
        self._waiting: dict[str, deque[OutboxRow]] = {}
        self._ready: deque[str] = deque()
        self._held_until_s: dict[str, float] = {}  # loop time until which a destination's rows are parked
        self._wake = asyncio.Event()
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._forget: Batcher[str] = Batcher(self._forget_sent, workers=2, size=200)

    def offer(self, rows: Sequence[OutboxRow]) -> None:
        """Take rows that this process has just committed or claimed."""
        for row in rows:
            waiting = self._waiting.get(row.destination)
            if waiting is None:
                self._waiting[row.destination] = deque([row])
                self._ready.append(row.destination)
            else:
                waiting.append(row)
        if rows:
            self._idle.clear()
            self._wake.set()

    async def run(self) -> None:
        """Send for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forget.run())
            group.create_task(self._sweep_for_ever())
            for _ in range(self._pace.workers):
                group.create_task(self._work())

    async def drained(self) -> None:
        """Return when everything that was offered is sent or parked."""
        await self._idle.wait()

    async def _work(self) -> None:
        while True:
            while not self._ready:
                self._wake.clear()
                await self._wake.wait()
            destination = self._ready.popleft()
            self._busy += 1
            try:
                await self._serve(destination)
            finally:
                self._busy -= 1
                self._rest(destination)

    def _rest(self, destination: str) -> None:
        """A destination that still has rows goes to the end of the line; it is never served twice at once."""
        if self._waiting[destination]:
            self._ready.append(destination)
            self._wake.set()
        else:
            del self._waiting[destination]
        if not self._busy and not self._waiting:
            self._idle.set()

    async def _serve(self, destination: str) -> None:
        waiting = self._waiting[destination]
        rows = [waiting.popleft() for _ in range(min(BATCH, len(waiting)))]
        held_s = self._held_until_s.get(destination, 0.0) - asyncio.get_running_loop().time()
        if held_s > 0:
            await self._park_all(destination, rows, round(held_s * 1000) + 1)
            return
        try:
            await self._publish(destination, rows)
        except QueueMissing:
            await self._queue_missing(destination, rows)
        except (RobotdError, OSError) as error:
            self._gate.lost("sqs", str(error))
            await self._park(destination, rows, str(error))

    async def _publish(self, destination: str, rows: Sequence[OutboxRow]) -> None:
        place = 0
        for request in chunks([Outgoing(row.body, row.attributes) for row in rows]):
            batch = rows[place : place + len(request)]
            place += len(request)
            await self._probe("relay_before_send")
            with self._watch.sending(destination, batch):
                errors = await self._sqs.send(destination, request)
            await self._probe("relay_after_send")
            sent = [row for row, error in zip(batch, errors, strict=True) if error is None]
            failed = [(row, error) for row, error in zip(batch, errors, strict=True) if error is not None]
            await self._note_sent(destination, sent)
            if failed:
                await self._park(destination, [*(row for row, _ in failed), *rows[place:]], str(failed[0][1]))
                return
        self._gate.restored("sqs")

    async def _note_sent(self, destination: str, rows: Sequence[OutboxRow]) -> None:
        if not rows:
            return
        self._watch.told(destination, rows, "sent")
        _log.info(LogEvent.OUTBOX_PUBLISHED, destination=destination, count=len(rows))
        results = await asyncio.gather(*(self._forget.submit(row.id) for row in rows), return_exceptions=True)
        for error in results:
            if isinstance(error, RobotdError):  # sent all the same: once their claim runs out they are sent again
                self._gate.lost("database", str(error))
            elif error is not None:
                raise error
        await self._probe("relay_after_delete")

    async def _forget_sent(self, row_ids: list[str]) -> Sequence[Exception | None]:
        await self._outbox.sent(row_ids)
        return [None] * len(row_ids)

    async def _queue_missing(self, destination: str, rows: Sequence[OutboxRow]) -> None:
        if self._create_queue is not None:
            try:
                await self._create_queue(destination)
                await self._publish(destination, rows)
            except RobotdError as error:
                await self._park(destination, rows, str(error))
            return
        await self._park(destination, rows, "the queue does not exist")

    async def _park(self, destination: str, rows: Sequence[OutboxRow], reason: str) -> None:
        """What waits behind them, or comes while they are parked, is parked too: a robot's results keep their order."""
        tries = max(row.attempts for row in rows) + 1
        after_s = backoff_s(tries, self._pace.backoff_first_s, self._pace.backoff_cap_s, random.uniform(0.5, 1.0))  # noqa: S311  jitter
        self._watch.told(destination, rows, "failed")
        _log.warning(LogEvent.OUTBOX_PARKED, destination=destination, count=len(rows), after_s=after_s, reason=reason)
        self._held_until_s[destination] = asyncio.get_running_loop().time() + after_s
        await self._park_all(destination, rows, after_s * 1000)

    async def _park_all(self, destination: str, rows: Sequence[OutboxRow], after_ms: int) -> None:
        behind = self._waiting[destination]
        parked = [*rows, *behind]
        behind.clear()
        try:
            await self._outbox.park([row.id for row in parked], after_ms)
        except (Unavailable, Conflict) as error:
            self._gate.lost("database", str(error))  # their claim runs out, and a sweep finds them

    async def _sweep_for_ever(self) -> None:
        while True:
            await self._gate.wait()
            try:
                rows = await self._outbox.leftovers(_SWEEP_LIMIT)
            except (Unavailable, Conflict) as error:
                rows = []
                if isinstance(error, Unavailable):
                    self._gate.lost(error.dependency, str(error))
            for row in rows:
                self._held_until_s.pop(row.destination, None)
            self.offer(rows)
            if len(rows) < _SWEEP_LIMIT:
                await asyncio.sleep(self._pace.sweep_every_s)
