"""Subscriptions without a world: what is committed when, and what happens to one that nobody knows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest

from domain.errors import Conflict, RobotdError, RuleViolation, Unavailable
from domain.messages import MegazordEvent, ReleaseSubscription, RollCall, reply_id
from domain.outcome import Done, Outcome, Retry
from domain.ports import Megazord, UnitOfWork
from domain.wire import iso
from handlers.subscriptions import (
    RELEASE,
    ROLL_CALL,
    ROLL_CALL_AFTER_MS,
    UNKNOWN_EVENT_PATIENCE_MS,
    UNUSED_SUBSCRIPTION_MS,
    SubscriptionHandlers,
    open_subscription,
    release_soon,
)
from tests.collected import Collected
from tests.world import MORNING_MS as NOW_MS

ROBOT, NUMBER, THE_ROLL = 7, 44120, "ROLL_CALL_OF_THE_TEST"
KEY = reply_id("test", "m-1")
FIRST, AGAIN = (ROLL_CALL, KEY), (ROLL_CALL, f"{KEY}-again")


@dataclass(slots=True)
class Neighbour:
    """Megazord. `told` is the unit of work's, so that requests stand between its commits."""

    told: list[str]
    fails: Exception | None = None
    knows_roll_call: bool = True

    async def subscribe(self, _robot_id: int, names: Sequence[str], _until_ms: int, _call_ref: str | None) -> int:
        self.told.append(f"subscribe {' '.join(names)}")
        if self.fails is not None:
            raise self.fails
        return NUMBER

    async def unsubscribe(self, _robot_id: int, subscription_id: int, _call_ref: str | None) -> None:
        self.told.append(f"unsubscribe {subscription_id}")
        if self.fails is not None:
            raise self.fails

    async def roll_call(self, robot_id: int, _call_ref: str | None) -> bool:
        self.told.append(f"roll call {robot_id}")
        return self.knows_roll_call


@dataclass(slots=True)
class Family:
    """A listener: which subscriptions it holds, and which events it heard."""

    holding: set[int] = field(default_factory=set)
    heard: list[int] = field(default_factory=list)

    async def hear(self, event: MegazordEvent, _uow: UnitOfWork) -> Outcome | None:
        if event.subscription_id not in self.holding:
            return None
        self.heard.append(event.source_event.id)
        return Done("heard")

    async def holds(self, _robot_id: int, subscription_id: int, _uow: UnitOfWork) -> bool:
        return subscription_id in self.holding


async def opened(uow: Collected, fails: Exception | None = None) -> int:
    megazord = cast("Megazord", Neighbour(uow.told, fails))
    return await open_subscription(megazord, ROBOT, ["IN_BED"], NOW_MS + 60_000, uow)


def handlers(uow: Collected, *families: Family, knows_roll_call: bool = True) -> SubscriptionHandlers:
    megazord = cast("Megazord", Neighbour(uow.told, knows_roll_call=knows_roll_call))
    return SubscriptionHandlers(megazord, families, THE_ROLL)


def event(name: str = "IN_BED", created_at_ms: int = NOW_MS) -> MegazordEvent:
    source = {"id": 3, "robotId": ROBOT, "eventName": name, "createdAt": iso(created_at_ms)}
    return MegazordEvent.model_validate({"id": 2, "subscriptionId": NUMBER, "sourceEvent": source})


def timers(uow: Collected) -> list[tuple[str, str, int]]:
    return [(timer.type, timer.key, timer.due_at_ms - NOW_MS) for timer in uow.timers]


async def test_the_intent_is_committed_before_the_request_and_cancelled_with_the_id() -> None:
    """Whatever dies in between leaves the timer that will call the roll."""
    uow = Collected()
    assert await opened(uow) == NUMBER
    assert uow.told == [
        f"schedule {ROLL_CALL}",
        "commit",
        "subscribe IN_BED",
        f"cancel {ROLL_CALL}",
        f"schedule {RELEASE}",
        "commit",
    ]
    assert timers(uow) == [
        (ROLL_CALL, KEY, ROLL_CALL_AFTER_MS),
        (RELEASE, str(NUMBER), UNUSED_SUBSCRIPTION_MS),
    ]
    assert (uow.cancelled, uow.kept.held) == ([FIRST], [NUMBER])


@pytest.mark.parametrize(
    ("fails", "cancelled"),
    [
        (RuleViolation("no such event", kind="upstream-not-found"), [FIRST]),
        (RuleViolation("not you", kind="upstream-refused"), [FIRST]),
        (RuleViolation("an id that is no number", kind="upstream-contract"), []),
        (Unavailable("megazord", "no answer in time"), []),
        (Conflict("as any surprise"), []),
    ],
    ids=lambda value: getattr(value, "kind", type(value).__name__),
)
async def test_only_a_plain_no_leaves_nothing_to_look_for(fails: RobotdError, cancelled: list[tuple[str, str]]) -> None:
    """An answer that can't be read, or none at all, may stand for a subscription that was made."""
    uow = Collected()
    with pytest.raises(type(fails)):
        await opened(uow, fails)
    assert (uow.cancelled, uow.kept.held) == (cancelled, [])
    assert uow.told.count("commit") == 1 + len(cancelled)


@pytest.mark.parametrize(
    "fails", [None, RuleViolation("no", kind="upstream-refused"), Unavailable("megazord", "again no answer")]
)
async def test_a_second_try_of_a_doubtful_message_neither_moves_nor_cancels_the_roll_call(
    fails: RobotdError | None,
) -> None:
    """What the first try left is looked for when it was due; what this one may leave has a timer of its own."""
    uow = Collected(standing={FIRST})
    if fails is None:
        assert await opened(uow) == NUMBER
    else:
        with pytest.raises(type(fails)):
            await opened(uow, fails)
    assert uow.cancelled == []
    assert timers(uow)[0] == (*AGAIN, ROLL_CALL_AFTER_MS)


async def test_a_try_after_the_roll_was_called_cancels_its_own_intent_alone() -> None:
    """The timer of a try between them stays: it may be the only trace of what that one left."""
    uow = Collected(standing={AGAIN})
    await opened(uow)
    assert uow.cancelled == [FIRST]


async def test_an_answer_to_the_roll_call_of_a_known_subscription_changes_nothing() -> None:
    """Open or released, whoever made it known has scheduled its release, and no family sees the event."""
    for held, released in (([NUMBER], []), ([], [NUMBER])):
        uow, family = Collected(age_ms=UNKNOWN_EVENT_PATIENCE_MS), Family({NUMBER})
        uow.kept.held, uow.kept.released = held, released
        assert await handlers(uow, family).event(event(THE_ROLL), uow) == Done("roll-call: known")
        assert (uow.timers, family.heard) == ([], [])


@pytest.mark.parametrize("name", [THE_ROLL, "IN_BED"])
async def test_an_event_of_an_unknown_subscription_waits_and_then_has_it_released(name: str) -> None:
    """Young: come back, not counted, for a commit may be on its way. Old: entered, and released at once."""
    young = Collected(age_ms=UNKNOWN_EVENT_PATIENCE_MS - 1)
    outcome = await handlers(young, Family()).event(event(name), young)
    assert isinstance(outcome, Retry)
    assert (outcome.counts, young.timers, young.kept.held) == (False, [], [])
    old = Collected(age_ms=UNKNOWN_EVENT_PATIENCE_MS)
    assert await handlers(old, Family()).event(event(name), old) == Done("unknown-subscription")
    assert (old.kept.held, timers(old)) == ([NUMBER], [(RELEASE, str(NUMBER), 0)])


async def test_an_event_of_a_released_subscription_is_stale_at_once() -> None:
    """It does not wait for anything that will never come."""
    uow = Collected()
    uow.kept.released.append(NUMBER)
    assert await handlers(uow, Family()).event(event(), uow) == Done("stale")


async def test_the_first_family_that_knows_the_subscription_gets_the_event() -> None:
    """The others are not asked any more."""
    uow, families = Collected(), (Family(), Family({NUMBER}), Family({NUMBER}))
    assert await handlers(uow, *families).event(event(), uow) == Done("heard")
    assert [family.heard for family in families] == [[], [3], []]


@pytest.mark.parametrize("name", [THE_ROLL, "IN_BED"])
async def test_an_event_from_the_day_after_tomorrow_is_refused(name: str) -> None:
    """A clock that is a day wrong must not decide anything."""
    uow = Collected()
    with pytest.raises(RuleViolation) as refused:
        await handlers(uow, Family({NUMBER})).event(event(name, NOW_MS + 86_401_000), uow)
    assert refused.value.kind == "far-future"


async def test_a_subscription_that_is_in_use_stays() -> None:
    """By any family: its end will schedule the release anew."""
    uow = Collected()
    timer = ReleaseSubscription(robotId=ROBOT, subscriptionId=NUMBER)
    assert await handlers(uow, Family(), Family({NUMBER})).release(timer, uow) == Done("in-use")
    assert (uow.told, uow.kept.released) == ([], [])


async def test_a_subscription_of_nobody_is_deleted_at_megazord_and_then_in_the_ledger() -> None:
    """Where Megazord can't be reached, the ledger keeps it and the timer comes again."""
    timer = ReleaseSubscription(robotId=ROBOT, subscriptionId=NUMBER)
    uow = Collected()
    assert await handlers(uow, Family()).release(timer, uow) == Done("released")
    assert (uow.told, uow.kept.released) == ([f"unsubscribe {NUMBER}"], [NUMBER])
    down = Collected()
    unreachable = cast("Megazord", Neighbour(down.told, Unavailable("megazord", "down")))
    with pytest.raises(Unavailable):
        await SubscriptionHandlers(unreachable, (Family(),), THE_ROLL).release(timer, down)
    assert down.kept.released == []


async def test_a_roll_call_says_where_megazord_does_not_know_it() -> None:
    """The journal tells an operator that a subscription may stay open until its first event."""
    notes = []
    for knows in (True, False):
        uow = Collected()
        outcome = await handlers(uow, knows_roll_call=knows).roll_call(RollCall(robotId=ROBOT), uow)
        assert isinstance(outcome, Done)
        assert uow.told == [f"roll call {ROBOT}"]
        notes.append(outcome.note)
    assert notes[0] == "roll-call: called"
    assert "until its first event" in notes[1]


def test_a_release_is_due_at_once() -> None:
    """With the commit that it is collected for."""
    uow = Collected(call_ref="other")
    release_soon(ROBOT, NUMBER, "ref", uow)
    assert timers(uow) == [(RELEASE, str(NUMBER), 0)]
    assert uow.timers[0].call_ref == "ref"
