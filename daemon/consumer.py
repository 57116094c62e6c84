"""One queue: as many deliveries as there are free slots, each to the dispatcher, none lost at the end.

A poll is never cancelled, because SQS would hand the next message to nobody. At the end polling stops, what runs may
finish within a bound, and what can't is handed back visible.
"""

import asyncio
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from daemon.dead_letters import DeadLetters
from daemon.delivery import Rejection
from daemon.dispatcher import Dispatcher
from daemon.gate import Gate
from daemon.in_flight import InFlight
from daemon.log import LogEvent
from daemon.ownership import Ownership
from daemon.probe import Probe
from daemon.sqs import BATCH, QueueMissing, Received, Sqs
from daemon.watch import Watch
from domain.backoff import backoff_s
from domain.errors import Unavailable

_log = structlog.get_logger()
_MOMENT_S = 0.01


@dataclass(frozen=True, slots=True)
class QueueSource:
    """One queue that is consumed, and how its bodies are read."""

    name: str
    reads: str
    max_in_flight: int
    visibility_timeout_s: int


@dataclass(slots=True, eq=False)
class SqsDelivery:
    """A received message, with the queue's ways to settle it."""

    source: QueueSource
    received: Received
    ownership: Ownership
    dead_letters: DeadLetters
    fence: int | None = field(default=None, init=False)

    @property
    def queue(self) -> str:
        """Name of its queue."""
        return self.source.name

    @property
    def reads(self) -> str:
        """How the body is read."""
        return self.source.reads

    @property
    def id(self) -> str:
        """SQS message id."""
        return self.received.id

    @property
    def body(self) -> str:
        """The text as it came."""
        return self.received.body

    @property
    def attributes(self) -> Mapping[str, str]:
        """String message attributes."""
        return self.received.attributes

    @property
    def receive_count(self) -> int:
        """SQS's approximate receive count."""
        return self.received.receive_count

    @property
    def age_ms(self) -> int:
        """Since SQS took it."""
        return max(0, time.time_ns() // 1_000_000 - self.received.sent_at_ms)

    async def ack(self) -> None:
        """Delete it."""
        await self.ownership.delete(self.received.handle)

    async def retry(self, after_s: float) -> None:
        """Stop renewing first: a renewal under way would overwrite the delay."""
        await self.ownership.let_go(self.received.handle, round(after_s))

    async def reject(self, rejection: Rejection) -> None:
        """Copy it to the dead-letter queue, then delete it."""
        await self.dead_letters.bury(self, rejection)
        await self.ownership.delete(self.received.handle)


class Consumer:
    """Polls one queue and keeps its deliveries alive until they are settled."""

    def __init__(
        self,
        source: QueueSource,
        sqs: Sqs,
        dispatcher: Dispatcher[Any],
        dead_letters: DeadLetters,
        *,
        gate: Gate,
        probe: Probe,
        watch: Watch | None = None,
    ) -> None:
        self.source = source
        self._sqs = sqs
        self._dead_letters = dead_letters
        self._gate = gate
        self._probe = probe
        self._watch = watch or Watch()
        self._ownership = Ownership(source.name, sqs, source.visibility_timeout_s, self._watch.metrics)
        self._in_flight: InFlight[SqsDelivery] = InFlight(dispatcher, gate, self._finished)
        self._free = asyncio.Event()
        self._free.set()
        self._stopping = asyncio.Event()
        self._poll_began_s: float | None = None
        self._polled_at_s: float | None = None
        self._unheard_since_s: float | None = None

    def stop(self) -> None:
        """Start no further poll and no further handler."""
        self._stopping.set()
        self._free.set()

    @property
    def in_flight(self) -> int:
        """Deliveries that are not settled yet."""
        return len(self._in_flight)

    @property
    def limit(self) -> int:
        """How many deliveries may be in flight."""
        return self.source.max_in_flight

    @property
    def polls_since_s(self) -> float:
        """How long the poll that is under way has taken; 0 without one."""
        return 0.0 if self._poll_began_s is None else time.monotonic() - self._poll_began_s

    @property
    def unheard_s(self) -> float:
        """How long polls are tried without one that came back; 0 while none is wanted."""
        return 0.0 if self._unheard_since_s is None else time.monotonic() - self._unheard_since_s

    @property
    def polled_at_s(self) -> float | None:
        """When a poll last came back, wall clock; None before the first."""
        return self._polled_at_s

    @property
    def is_paused(self) -> bool:
        """Whether nothing is received, because the database is lost or the process stops."""
        return self._stopping.is_set() or self._gate.is_closed

    async def at_rest(self) -> None:
        """Return when nothing is in flight."""
        await self._in_flight.at_rest()

    async def settled(self) -> None:
        """Return when SQS was told of everything that is settled."""
        await self._ownership.drained()

    async def run(self) -> None:
        """Poll until `stop()`; returns once the last poll has ended. `keep()` must run beside it."""
        failures = 0
        while not self._stopping.is_set():
            free = await self._wait_for_slots()
            if self._stopping.is_set():
                return
            try:
                await self._take(await self._poll(free))
            except Exception as error:  # noqa: BLE001  a poll loop survives anything; each error is logged and slows it down
                failures += 1
                self._troubled(error)
                await self._pause(backoff_s(failures, 1.0, 20.0, random.random()))  # noqa: S311  jitter
                continue
            failures = 0
            self._gate.restored("sqs")  # also when not a poll but a delete had found it lost
            self._gate.restored(self._as_dependency)

    async def keep(self) -> None:
        """Renew visibility and flush deletes, for ever; cancelled only after `drain`."""
        await self._ownership.run()

    async def drain(self, bound_s: float) -> int:
        """Wait for what runs; after `bound_s` cancel it and hand it back. Returns how many were handed back."""
        late = await self._in_flight.drain(bound_s)
        await self._ownership.hand_back([delivery.received.handle for delivery in late])
        return len(late)

    async def _wait_for_slots(self) -> int:
        """How many to ask for: a batch, or after a moment what is free; a call for one costs as much as for ten."""
        worthwhile = max(1, min(BATCH, self.source.max_in_flight // 4))
        while not self._stopping.is_set():
            await self._gate.wait()
            with suppress(TimeoutError):  # slow handlers must not keep a few free slots empty for longer
                async with asyncio.timeout(_MOMENT_S):
                    await self._slots(worthwhile)
            if self._free_slots > 0:
                return min(BATCH, self._free_slots)
            await self._slots(1)
        return 0

    @property
    def _free_slots(self) -> int:
        return self.source.max_in_flight - len(self._in_flight)

    async def _slots(self, count: int) -> None:
        while self._free_slots < count and not self._stopping.is_set():
            self._free.clear()
            await self._free.wait()

    async def _poll(self, free: int) -> list[Received]:
        began_ns, self._poll_began_s = time.time_ns(), time.monotonic()
        if self._unheard_since_s is None:
            self._unheard_since_s = self._poll_began_s
        try:
            received = await self._sqs.receive(
                self.source.name, limit=free, visibility_timeout_s=self.source.visibility_timeout_s
            )
        finally:
            self._poll_began_s = None
        self._unheard_since_s, self._polled_at_s = None, time.time()
        if received:
            oldest_ms = min(message.sent_at_ms for message in received)
            self._watch.metrics.received(self.source.name, len(received), self._polled_at_s - oldest_ms / 1000)
            self._watch.traces.receive(self.source.name, len(received), began_ns)
        return received

    async def _take(self, received: list[Received]) -> None:
        if not received:
            return
        await self._probe("after_receive")
        if self._stopping.is_set():  # the last poll brought them: nobody has started, so hand them back
            await self._ownership.hand_back([message.handle for message in received])
            return
        for message in received:
            delivery = SqsDelivery(self.source, message, self._ownership, self._dead_letters)
            self._ownership.keep(message.handle, self._in_flight.start(delivery))

    @property
    def _as_dependency(self) -> str:
        return f"queue {self.source.name}"

    def _troubled(self, error: Exception) -> None:
        if isinstance(error, Unavailable):
            self._gate.lost("sqs", str(error))
        elif isinstance(error, QueueMissing):
            self._gate.lost(self._as_dependency, "it does not exist; `robotd queues ensure` creates it")
        else:
            _log.error(LogEvent.CONSUMER_FAILED, queue=self.source.name, exc_info=error)

    def _finished(self, delivery: SqsDelivery) -> None:
        self._ownership.forget(delivery.received.handle)
        self._free.set()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
