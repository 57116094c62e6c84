"""What the wire through a TCP proxy does to connections, and the rules that choose it."""

import random
from dataclasses import dataclass, replace
from enum import StrEnum


class WireKind(StrEnum):
    """What happens to a connection."""

    CLEAR = "clear"  # bytes pass, perhaps late or in drops
    RESET = "reset"  # it is reset as soon as it comes about
    HANG = "hang"  # it comes about and no byte passes, either way, until the wire changes
    CUT = "cut"  # it breaks when so many bytes have passed one way


class Way(StrEnum):
    """The direction of bytes."""

    TO_SERVER = "to-server"
    TO_CLIENT = "to-client"


@dataclass(frozen=True, slots=True)
class Wire:
    """`latency_ms`, give or take `jitter_ms`, holds every piece of up to 64 KiB, each way.

    `drop_bytes` lets through so many at once, each drop held for the latency. CUT breaks when exactly `cut_after` bytes
    have come through on the way `cut_way`, a second later for somebody who does not read; with `ends` the break looks
    like an end of the connection, else like a reset.
    """

    kind: WireKind = WireKind.CLEAR
    latency_ms: int = 0
    jitter_ms: int = 0
    drop_bytes: int | None = None
    cut_after: int = 0
    cut_way: Way = Way.TO_CLIENT
    ends: bool = False

    def room(self, way: Way, passed: int) -> int | None:
        """How many more bytes may pass before the cut; None where there is none."""
        if self.kind is not WireKind.CUT or way is not self.cut_way:
            return None
        return max(0, self.cut_after - passed)


CLEAR = Wire()


@dataclass(frozen=True, slots=True)
class WireRule:
    """A wire for single connections: `times` None means until cleared; the first `skip` are spared."""

    wire: Wire
    times: int | None = None
    skip: int = 0
    probability: float = 1.0


class WirePlan:
    """The rules of one proxy; the first that strikes decides about a connection. One seed, one course."""

    def __init__(self, seed: int = 0) -> None:
        self._dice = random.Random(seed)
        self._rules: list[WireRule] = []

    def add(self, rule: WireRule) -> None:
        """Add a rule behind those that are there."""
        self._rules.append(rule)

    def clear(self) -> None:
        """Remove all rules; connections that stand keep what they drew."""
        self._rules.clear()

    def draw(self) -> Wire | None:
        """Decide about one connection; None: it is as all others."""
        for place, rule in enumerate(self._rules):
            if rule.times == 0:
                continue
            if rule.skip > 0:
                self._rules[place] = replace(rule, skip=rule.skip - 1)
            elif self._dice.random() < rule.probability:
                self._rules[place] = replace(rule, times=None if rule.times is None else rule.times - 1)
                return rule.wire
        return None

    def latency_ms(self, wire: Wire) -> int:
        """How long the next piece is held."""
        spread = self._dice.randint(-wire.jitter_ms, wire.jitter_ms) if wire.jitter_ms else 0
        return max(0, wire.latency_ms + spread)
