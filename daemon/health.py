"""How robotd is: whether it lives, whether it is ready, and each part with its state. Read on demand, kept nowhere."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from daemon.consumer import Consumer
from daemon.gate import Gate
from daemon.metrics import Metrics
from domain.errors import Unavailable
from domain.wire import JsonObject, iso

_LOOK_EVERY_S = 1.0
_ALIVE_S = 10.0
_PING_BOUND_S = 2.0
_PING_KEPT_S = 1.0


class TakesUp(Protocol):
    """What has deliveries in flight: a queue's consumer, timers, the HTTP edge."""

    @property
    def in_flight(self) -> int:
        """Deliveries that are not settled yet."""
        ...

    @property
    def limit(self) -> int:
        """How many there may be."""
        ...

    @property
    def is_paused(self) -> bool:
        """Whether nothing is taken up."""
        ...


class Pulse:
    """Whether the event loop turns: looked at once a second, its lag counted."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._at_s = time.monotonic()

    @property
    def is_alive(self) -> bool:
        """Whether it turned a short while ago."""
        return time.monotonic() - self._at_s < _ALIVE_S

    async def run(self) -> None:
        """Look for ever."""
        while True:
            began_s = time.monotonic()
            await asyncio.sleep(_LOOK_EVERY_S)
            self._at_s = time.monotonic()
            self._metrics.lagged(max(0.0, self._at_s - began_s - _LOOK_EVERY_S))


@dataclass(slots=True)
class Health:
    """One daemon's health. `sources` are named as in metrics; `wait_s` is how long a poll may wait."""

    sources: Sequence[tuple[str, TakesUp]]
    gate: Gate
    ping: Callable[[], Awaitable[object]]
    wait_s: float
    pulse: Pulse
    version: str
    began_at_s: float = field(default_factory=time.time)
    draining_since_s: float | None = None
    _pinged: tuple[float, bool] = (0.0, False)

    def drain(self) -> None:
        """The end begins: not ready from now on."""
        if self.draining_since_s is None:
            self.draining_since_s = time.time()

    @property
    def is_draining(self) -> bool:
        """Whether the end has begun."""
        return self.draining_since_s is not None

    @property
    def polls(self) -> bool:
        """Whether a poll of every queue has come back, the last one within twice its wait where one is wanted."""
        consumers = [source for _, source in self.sources if isinstance(source, Consumer)]
        return all(one.polled_at_s is not None and one.unheard_s <= 2 * self.wait_s for one in consumers)

    async def has_database(self) -> bool:
        """Whether it answers a ping; asked once a second at most."""
        at_s, is_there = self._pinged
        if time.monotonic() - at_s > _PING_KEPT_S:
            is_there = await self._ping()
            self._pinged = (time.monotonic(), is_there)
        return is_there

    async def _ping(self) -> bool:
        try:
            async with asyncio.timeout(_PING_BOUND_S):
                await self.ping()
        except (Unavailable, TimeoutError):
            return False
        return not self.gate.is_closed

    async def unready(self) -> list[str]:
        """Why it is not ready; empty when it is."""
        if self.is_draining:
            return ["draining"]
        reasons = [] if self.polls else ["polls"]
        return reasons if await self.has_database() else [*reasons, "database"]

    async def report(self) -> JsonObject:
        """All of it for people: states and times, no text that an error or a message brought."""
        unready = await self.unready()
        return {
            "version": self.version,
            "ready": not unready,
            "unready": list(unready),
            "since": _iso(self.began_at_s),
            "drainingSince": _iso(self.draining_since_s),
            "loop": "turns" if self.pulse.is_alive else "stuck",
            "sources": {name: _state(source) for name, source in self.sources},
            "dependencies": {
                name: {"state": "up" if since is None else "lost", "since": _iso(since)}
                for name, since in self.gate.lost_since_s.items()
            },
        }


def _state(source: TakesUp) -> JsonObject:
    is_full = source.in_flight >= source.limit
    state: JsonObject = {
        "state": "paused" if source.is_paused else "full" if is_full else "running",
        "inFlight": source.in_flight,
        "limit": source.limit,
    }
    if isinstance(source, Consumer):
        state["polledAt"] = _iso(source.polled_at_s)
        state["unheardSeconds"] = round(source.unheard_s, 1)
    return state


def _iso(at_s: float | None) -> str | None:
    return None if at_s is None else iso(round(at_s * 1000))
