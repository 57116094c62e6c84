"""Scripted trouble for the simulators: which requests fail, how, how often.

A plan is a list of rules; the first rule that strikes decides about a request. Rules with a probability draw from the
plan's own seeded generator, so that a run can be repeated.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from localstack.bell import Bell

ANY_ROUTE = "*"
FAN_OUT = "fan-out"


class FaultKind(StrEnum):
    """What happens to the request."""

    STATUS = "status"  # answered with `status`
    HANG = "hang"  # no answer until `FaultPlan.release`
    SLOW = "slow"  # answered after `delay_ms`
    RESET = "reset"  # the connection is reset instead of an answer
    MALFORMED = "malformed"  # executed, answered with half a JSON text
    DROP = "drop"  # only on the route "fan-out": the event is stored, no message is sent


class When(StrEnum):
    """Whether the fault comes before the request is executed or after it, when only the answer is missing."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule. `times` None means until cleared; the first `skip` requests on the route are spared."""

    kind: FaultKind
    route: str = ANY_ROUTE
    when: When = When.BEFORE
    times: int | None = None
    skip: int = 0
    probability: float = 1.0
    status: int = 503
    delay_ms: int = 0
    by_clock: bool = False  # the delay is business time, not real time
    retry_after_s: int | None = None


@dataclass(slots=True)
class _Rule:
    fault: Fault
    skip: int
    left: int | None

    def strikes(self, route: str, dice: random.Random) -> bool:
        if self.left == 0 or not _covers(self.fault, route):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.fault.probability < 1.0 and dice.random() >= self.fault.probability:
            return False
        if self.left is not None:
            self.left -= 1
        return True


def _covers(fault: Fault, route: str) -> bool:
    if (fault.kind is FaultKind.DROP) != (route == FAN_OUT):
        return False
    return fault.route in (route, ANY_ROUTE)


class FaultPlan:
    """The rules of one simulator. `struck` tells judges what happened, in order: (route, fault)."""

    def __init__(self, seed: int = 0) -> None:
        self.struck: list[tuple[str, Fault]] = []
        self.hanging = 0
        self._dice = random.Random(seed)
        self._rules: list[_Rule] = []
        self._released: asyncio.Event | None = None
        self._is_closed = False
        self._bell = Bell()

    def add(self, fault: Fault) -> None:
        """Add a rule behind those that are there."""
        self._rules.append(_Rule(fault, fault.skip, fault.times))

    def fail(self, route: str, times: int | None = None, status: int = 503, when: When = When.BEFORE) -> None:
        """Answer with `status`."""
        self.add(Fault(FaultKind.STATUS, route, when, times, status=status))

    def hang(self, route: str, times: int | None = None, when: When = When.BEFORE) -> None:
        """Don't answer until `release`."""
        self.add(Fault(FaultKind.HANG, route, when, times))

    def reset(self, route: str, times: int | None = None, when: When = When.BEFORE) -> None:
        """Reset the connection before or after the request was executed."""
        self.add(Fault(FaultKind.RESET, route, when, times))

    def drop_fan_out(self, times: int | None = None, probability: float = 1.0) -> None:
        """Store events, but send no message for them."""
        self.add(Fault(FaultKind.DROP, FAN_OUT, times=times, probability=probability))

    def clear(self, route: str | None = None) -> None:
        """Remove the rules of one route, or all. Requests that hang go on hanging."""
        self._rules = [rule for rule in self._rules if route is not None and rule.fault.route != route]

    def draw(self, route: str) -> Fault | None:
        """Decide about one request."""
        for rule in self._rules:
            if rule.strikes(route, self._dice):
                self.struck.append((route, rule.fault))
                self._bell.ring()
                return rule.fault
        return None

    async def hold(self) -> bool:
        """Hang until released: True. False when the simulator closes instead."""
        if self._released is None:
            self._released = asyncio.Event()
        released = self._released
        self.hanging += 1
        self._bell.ring()
        try:
            await released.wait()
        finally:
            self.hanging -= 1
            self._bell.ring()
        return not self._is_closed

    def release(self) -> None:
        """Let all requests that hang now go on; they are executed even if their callers have given up."""
        if self._released is not None:
            self._released.set()
            self._released = None

    def close(self) -> None:
        """The simulator ends: nothing hangs any more, nothing of what hung is executed."""
        self._is_closed = True
        self.release()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as `condition` holds; it is looked at again each time that a fault strikes, hangs or ends."""
        await self._bell.until(condition)
