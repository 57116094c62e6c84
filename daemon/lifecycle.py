"""The running process: what runs side by side, and how it stops within a bound."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum

import structlog

from daemon.consumer import Consumer
from daemon.gate import Gate
from daemon.http.edge import Edge
from daemon.http.ops import Ops
from daemon.log import LogEvent
from daemon.relay import Relay
from daemon.timers import Timers
from domain.errors import RobotdError, Unavailable

_log = structlog.get_logger()
_STALLS_UNTIL_EXIT = 3
_FORGET_EVERY_S = 60.0
_BETWEEN_BITES_S = 0.2
_SETTLE_S = 3.0  # kept free at the end of the bound for handing back and flushing


class Stalled(RobotdError):  # noqa: N818  the state that the watchdog found
    """Polling does not go on although its client was replaced."""


class Ending(IntEnum):
    """Exit code of `robotd run`."""

    CLEAN = 0
    FAILED = 1
    HANDED_BACK = 4  # the bound passed: what still ran was handed back for another replica


@dataclass(frozen=True, slots=True)
class Parts:
    """What the daemon runs."""

    consumers: tuple[Consumer, ...]
    timers: tuple[Timers, ...]
    relay: Relay
    gate: Gate
    ping: Callable[[], Awaitable[object]]
    renew_polling: Callable[[], Awaitable[None]]
    forget_old: Callable[[], Awaitable[int]]
    edge: Edge | None = None
    keepers: tuple[Callable[[], Coroutine[None, None, None]], ...] = ()
    ops: Ops | None = None


class Daemon:
    """Runs until `stop()`, then drains: polls end by themselves, handlers finish or are handed back."""

    def __init__(
        self, parts: Parts, drain_timeout_s: float, stalled_after_s: float, *, watch_every_s: float = 5.0
    ) -> None:
        self._parts = parts
        self._watch_every_s = watch_every_s
        self._drain_timeout_s = drain_timeout_s
        self._stalled_after_s = stalled_after_s
        self._stop = asyncio.Event()
        self._is_broken = False

    def stop(self) -> None:
        """Begin to drain: who asks whether we are ready hears no from this moment on."""
        if self._parts.ops is not None:
            self._parts.ops.health.drain()
        self._stop.set()

    @property
    def edge(self) -> Edge | None:
        """The HTTP edge, where one is configured."""
        return self._parts.edge

    @property
    def ops(self) -> Ops | None:
        """What operators see, where it is configured."""
        return self._parts.ops

    @property
    def _edges(self) -> tuple[Edge, ...]:
        return () if self._parts.edge is None else (self._parts.edge,)

    @property
    def _doors(self) -> tuple[Ops | Edge, ...]:
        return (*(() if self._parts.ops is None else (self._parts.ops,)), *self._edges)

    @property
    def _sources(self) -> tuple[Consumer | Timers | Edge, ...]:
        return (*self._parts.consumers, *self._parts.timers, *self._edges)

    @property
    def in_flight(self) -> int:
        """Deliveries, timers and requests that are not settled yet."""
        return sum(source.in_flight for source in self._sources)

    async def at_rest(self) -> None:
        """Return when nothing is in flight and every result that was committed here has left the relay."""
        for source in self._sources:
            await source.at_rest()
        await self._parts.relay.drained()

    async def run(self) -> Ending:
        """Run to the end. Raises whatever kills one of the parts: a dying part stops the daemon loudly."""
        _log.info(LogEvent.DAEMON_STARTED, queues=[consumer.source.name for consumer in self._parts.consumers])
        try:
            for door in self._doors:
                await door.start()
            ending = await self._run_parts()
        except BaseException:
            await self._abandon()
            raise
        finally:
            if self._parts.ops is not None:
                await self._parts.ops.close()
        _log.info(LogEvent.DAEMON_STOPPED, ending=ending.name)
        return ending

    async def _run_parts(self) -> Ending:
        async with asyncio.TaskGroup() as group:
            keepers = [group.create_task(keeper) for keeper in self._keepers()]
            pollers = [group.create_task(poller) for poller in self._pollers()]
            for part in (*keepers, *pollers):
                part.add_done_callback(self._part_ended)
            await self._stop.wait()
            ending = await self._drain(pollers)
            for task in (*pollers, *keepers):
                task.cancel()
        return ending

    async def _abandon(self) -> None:
        """End the handlers before what they use is closed under them: one that goes on could hold the exit for ever."""
        for edge in self._edges:
            edge.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_S):
                await asyncio.gather(*(source.drain(0.0) for source in self._sources), return_exceptions=True)
                await asyncio.gather(*(edge.close() for edge in self._edges), return_exceptions=True)

    def _part_ended(self, part: asyncio.Task[None]) -> None:
        """A part that somebody cancels would leave a daemon that looks well and is deaf: stop, and say so."""
        if not self._stop.is_set():
            self._is_broken = True
            name = getattr(part.get_coro(), "__qualname__", part.get_name())
            _log.error(LogEvent.DAEMON_FAILED, reason=f"{name} ended although nobody asked for it")
            self._stop.set()

    def _keepers(self) -> list[Coroutine[None, None, None]]:
        parts = self._parts
        return [
            *(consumer.keep() for consumer in parts.consumers),
            *(timers.keep() for timers in parts.timers),
            parts.relay.run(),
            parts.gate.probe_database(parts.ping),
            self._watch(),
            self._forget(),
            *(keeper() for keeper in parts.keepers),
            *(() if parts.ops is None else (parts.ops.health.pulse.run(),)),
        ]

    def _pollers(self) -> list[Coroutine[None, None, None]]:
        return [
            *(consumer.run() for consumer in self._parts.consumers),
            *(timers.run() for timers in self._parts.timers),
        ]

    async def _drain(self, pollers: list[asyncio.Task[None]]) -> Ending:
        parts, loop = self._parts, asyncio.get_running_loop()
        if parts.ops is not None:  # a part that died asks for the end by itself
            parts.ops.health.drain()
        deadline_s = loop.time() + self._drain_timeout_s - _SETTLE_S
        _log.info(LogEvent.DAEMON_DRAINING, in_flight=self.in_flight)
        for source in self._sources:
            source.stop()
        parts.gate.end()
        await asyncio.wait(pollers, timeout=max(0.0, deadline_s - loop.time()))
        left_s = max(0.0, deadline_s - loop.time())
        late = await asyncio.gather(*(source.drain(left_s) for source in self._sources))
        await asyncio.gather(self._flush(), *(edge.close() for edge in self._edges))
        if self._is_broken:
            return Ending.FAILED
        return Ending.HANDED_BACK if any(late) else Ending.CLEAN

    async def _flush(self) -> None:
        """Let results and deletes go out; what can't is in the outbox, or comes back and is known to the inbox."""
        try:
            async with asyncio.timeout(_SETTLE_S - 1.0):
                await self._parts.relay.drained()
                for consumer in self._parts.consumers:
                    await consumer.settled()
        except TimeoutError:
            _log.warning(LogEvent.DAEMON_DRAINING, left="results stay in the outbox for the next start")

    async def _watch(self) -> None:
        """A poll that neither returns nor fails is the commonest silent stall: replace its client, then give up."""
        stalls = 0
        while True:
            await asyncio.sleep(self._watch_every_s)
            stalled = [consumer for consumer in self._parts.consumers if consumer.polls_since_s > self._stalled_after_s]
            if not stalled:
                stalls = 0
                continue
            stalls += 1
            for consumer in stalled:
                _log.error(LogEvent.CONSUMER_STALLED, queue=consumer.source.name, seconds=consumer.polls_since_s)
            if stalls >= _STALLS_UNTIL_EXIT:
                raise Stalled
            await self._parts.renew_polling()

    async def _forget_all(self) -> None:
        """In small bites with a rest between them, so that nothing else waits long for the database."""
        while await self._parts.forget_old():  # noqa: ASYNC110  a rest, not a wait for something
            await asyncio.sleep(_BETWEEN_BITES_S)

    async def _forget(self) -> None:
        while True:
            await asyncio.sleep(_FORGET_EVERY_S)
            await self._parts.gate.wait()
            try:
                await self._forget_all()
            except Unavailable as error:
                self._parts.gate.lost(error.dependency, str(error))
