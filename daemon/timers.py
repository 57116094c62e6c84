"""Timers are messages: due rows are claimed under a lease with a fencing token and go through the same dispatcher."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from daemon.dead_letters import DeadLetters
from daemon.delivery import TIMERS, Rejection
from daemon.dispatcher import Dispatcher
from daemon.gate import Gate
from daemon.in_flight import InFlight
from daemon.log import LogEvent
from daemon.metrics import Metrics
from daemon.probe import Probe
from domain.errors import Conflict, Unavailable
from domain.ports import Clock

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TimerRow:
    """A claimed timer. `fence` is the token that every write of its holder carries."""

    id: str
    type: str
    data: str
    call_ref: str | None
    due_at_ms: int
    fence: int
    claims: int


class ClaimsTimers(Protocol):
    """The timers in the database. Every method raises Unavailable."""

    async def claim(self, now_ms: int, limit: int) -> list[TimerRow]:
        """Claim due timers."""
        ...

    async def next_due_ms(self, now_ms: int) -> int | None:
        """When the next timer after `now_ms` is due."""
        ...

    async def renew(self, row: TimerRow) -> bool:
        """Extend the lease."""
        ...

    async def move(self, row: TimerRow, due_at_ms: int) -> bool:
        """Let it be due later, and let go of it."""
        ...

    async def delete(self, row: TimerRow) -> bool:
        """Forget it."""
        ...


@dataclass(slots=True, eq=False)
class TimerDelivery:
    """A claimed timer as a delivery. Its deletion is part of the commit, so an ack has nothing left to do."""

    row: TimerRow
    store: ClaimsTimers
    clock: Clock
    dead_letters: DeadLetters
    queue: str = field(default=TIMERS, init=False)
    reads: str = field(default=TIMERS, init=False)
    age_ms: int = field(default=0, init=False)
    was_moved: bool = field(default=False, init=False)

    @property
    def id(self) -> str:
        """Type and key."""
        return self.row.id

    @property
    def body(self) -> str:
        """Its data as JSON."""
        return self.row.data

    @property
    def attributes(self) -> Mapping[str, str]:
        """What a message would carry beside its body."""
        attributes = {"type": self.row.type, "timer": self.row.id}
        if self.row.call_ref is not None:
            attributes["callRef"] = self.row.call_ref
        return attributes

    @property
    def receive_count(self) -> int:
        """How often it was claimed."""
        return self.row.claims

    @property
    def fence(self) -> int:
        """Fencing token."""
        return self.row.fence

    async def ack(self) -> None:
        """Nothing: the commit deleted it."""

    async def retry(self, after_s: float) -> None:
        """Let it be due again after `after_s`, business time."""
        self.was_moved = True
        await self.store.move(self.row, self.clock.now_ms() + round(after_s * 1000))

    async def reject(self, rejection: Rejection) -> None:
        """Copy it to the timers' dead-letter queue, then delete it."""
        await self.dead_letters.bury(self, rejection)
        await self.store.delete(self.row)


@dataclass(frozen=True, slots=True)
class TimerPace:
    """How timers are looked for. `poll_every_s` bounds how late another replica's new timer is seen.

    `rest_s` is a pause between two looks while something is in flight, so that one claim takes what became due in it.
    """

    poll_every_s: float = 1.0
    batch: int = 50
    max_in_flight: int = 50
    lease_s: float = 30.0
    rest_s: float = 0.0


class Timers:
    """The second source of deliveries: claims what is due and hands it to the dispatcher."""

    def __init__(  # noqa: PLR0913  each is a part that tests replace
        self,
        store: ClaimsTimers,
        clock: Clock,
        dispatcher: Dispatcher[Any],
        dead_letters: DeadLetters,
        *,
        pace: TimerPace,
        gate: Gate,
        probe: Probe,
        metrics: Metrics | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._dead_letters = dead_letters
        self._pace = pace
        self._gate = gate
        self._probe = probe
        self._metrics = metrics or Metrics()
        self._in_flight: InFlight[TimerDelivery] = InFlight(dispatcher, gate, self._finished)
        self._look = asyncio.Event()
        self._stopping = False
        self._has_no_room = False
        self._next_due_ms: int | None = None

    def stop(self) -> None:
        """Claim nothing more."""
        self._stopping = True
        self._look.set()

    def nudge(self, due_at_ms: int) -> None:
        """A timer was committed here: look again if it is due before the next one known."""
        if self._next_due_ms is None or due_at_ms < self._next_due_ms:
            self._look.set()

    @property
    def in_flight(self) -> int:
        """Claimed timers that are not settled yet."""
        return len(self._in_flight)

    @property
    def limit(self) -> int:
        """How many may be handled at once."""
        return self._pace.max_in_flight

    @property
    def is_paused(self) -> bool:
        """Whether nothing is claimed, because the database is lost or the process stops."""
        return self._stopping or self._gate.is_closed

    async def at_rest(self) -> None:
        """Return when no claimed timer is being handled."""
        await self._in_flight.at_rest()

    async def run(self) -> None:
        """Claim and dispatch until `stop()`."""
        while not self._stopping:
            self._look.clear()
            try:
                full = await self._claim_due()
            except Unavailable as error:
                self._gate.lost(error.dependency, str(error))
                await self._gate.wait()
                continue
            except Conflict:  # gave way to the claims of others: look again at the next poll
                full = False
            if not full:
                await self._wait_for_next()
                if self._pace.rest_s and len(self._in_flight) > 0:
                    await asyncio.sleep(self._pace.rest_s)

    async def keep(self) -> None:
        """Renew the leases of what runs for longer than a look, for ever.

        A younger one needs none, and might be found between its commit, which deletes it, and its end.
        """
        earlier: set[asyncio.Task[None]] = set()
        while True:
            await asyncio.sleep(self._pace.lease_s / 4)
            running = self._in_flight.running
            for task in earlier & running.keys():
                await self._renew(task, running[task])
            earlier = set(running)

    async def drain(self, bound_s: float) -> int:
        """Wait for what runs; after `bound_s` cancel it and free it for another replica. Returns how many."""
        late = await self._in_flight.drain(bound_s)
        for delivery in late:
            await self._free(delivery)
        return len(late)

    async def _claim_due(self) -> bool:
        """Claim once. True when there may be more to claim at once."""
        self._next_due_ms = None  # until it is read again, every nudge counts; without room only a free slot does
        await self._gate.wait()
        room = self._pace.max_in_flight - len(self._in_flight)
        self._has_no_room = room <= 0
        if room <= 0 or self._stopping:
            return False
        limit = min(room, self._pace.batch)
        now_ms = self._clock.now_ms()  # read once: what becomes due while we claim must count as the next one
        rows = await self._store.claim(now_ms, limit)
        if rows:
            await self._probe("after_claim")
            oldest_ms = min(row.due_at_ms for row in rows)
            self._metrics.received(TIMERS, len(rows), (now_ms - oldest_ms) / 1000)
        for row in rows:
            self._start(TimerDelivery(row, self._store, self._clock, self._dead_letters))
        if len(rows) < limit:
            self._next_due_ms = await self._store.next_due_ms(now_ms)
        return len(rows) == limit

    def _start(self, delivery: TimerDelivery) -> None:
        late_ms = self._clock.now_ms() - delivery.row.due_at_ms
        _log.debug(LogEvent.TIMER_FIRED, timer=delivery.id, late_ms=late_ms)
        self._in_flight.start(delivery)

    def _finished(self, delivery: TimerDelivery) -> None:
        """A slot is free. What a commit has scheduled has rung by itself; what was moved or waits for room has not."""
        if self._has_no_room or delivery.was_moved:
            self._look.set()

    async def _wait_for_next(self) -> None:
        """Until something is due, a nudge, or the poll interval, in real seconds, whichever is first."""
        due = self._next_due_ms
        async with asyncio.TaskGroup() as group:
            waits: list[asyncio.Task[object]] = [group.create_task(self._look.wait())]
            if due is not None:
                waits.append(group.create_task(self._clock.wait_until(due)))
            await asyncio.wait(waits, timeout=self._pace.poll_every_s, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    async def _renew(self, task: asyncio.Task[None], delivery: TimerDelivery) -> None:
        try:
            held = await self._store.renew(delivery.row)
        except Unavailable as error:
            self._gate.lost(error.dependency, str(error))
            return
        if held:
            self._metrics.extended(TIMERS)
        elif not task.done():
            task.cancel()
            self._metrics.lost(TIMERS)
            _log.warning(LogEvent.TIMER_LEASE_LOST, timer=delivery.id)

    async def _free(self, delivery: TimerDelivery) -> None:
        try:
            await self._store.move(delivery.row, delivery.row.due_at_ms)
        except Unavailable as error:
            self._gate.lost(error.dependency, str(error))
