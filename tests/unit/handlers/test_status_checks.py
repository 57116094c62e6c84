"""Status checks without a world: the decisions of the handlers that a running system rarely shows."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from domain.errors import RuleViolation
from domain.messages import CreateStatusCheck, EndOfCheck, MegazordEvent, ReleaseSubscription, Result
from domain.outcome import Done, Retry
from domain.ports import Megazord, MicroManagers, StatusChecks, Subscriptions, Templates, Timer
from domain.status_check import Event, Phase, Record, StatusCheck, Verdict, Window
from domain.template import Template
from domain.wire import iso
from handlers.status_checks import END, RELEASE, UNKNOWN_EVENT_PATIENCE_MS, StatusCheckHandlers
from tests.builders import PLAIN_CHECK
from tests.world import MORNING_MS as NOW_MS

CHECK = replace(
    PLAIN_CHECK,
    template_name="GONE",
    window=Window(looks_back=False, since_ms=None, until_ms=NOW_MS + 60_000),
    phase=Phase.FUTURE,
    subscription_id=5,
    notices=1,
)


@dataclass(slots=True)
class Kept:
    """Checks and subscriptions in memory."""

    check: StatusCheck | None = None
    saved: list[StatusCheck] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    released: list[int] = field(default_factory=list)

    async def get(self, _check_id: int) -> StatusCheck | None:
        return self.check

    async def by_request(self, *_key: int) -> StatusCheck | None:
        return self.check

    async def by_subscription(self, robot_id: int, _subscription_id: int) -> StatusCheck | None:
        return self.check if self.check is not None and self.check.robot_id == robot_id else None

    def save(self, check: StatusCheck, _new: Sequence[Record]) -> None:
        self.saved.append(check)

    async def is_released(self, subscription_id: int) -> bool:
        return subscription_id in self.released

    def hold(self, subscription_id: int, _robot_id: int) -> None:
        self.held.append(subscription_id)

    def release(self, subscription_id: int) -> None:
        self.released.append(subscription_id)


@dataclass(slots=True)
class Collected:
    """A unit of work that only collects."""

    kept: Kept
    age_ms: int = 0
    now_ms: int = NOW_MS
    source: str = "test"
    id: str = "m-1"
    call_ref: str | None = None
    results: list[Result] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)
    cancelled: list[tuple[str, str]] = field(default_factory=list)

    @property
    def checks(self) -> StatusChecks:
        return cast("StatusChecks", self.kept)

    @property
    def subscriptions(self) -> Subscriptions:
        return cast("Subscriptions", self.kept)

    def publish(self, result: Result) -> None:
        self.results.append(result)

    def schedule(self, timer: Timer) -> None:
        self.timers.append(timer)

    def cancel_timer(self, timer_type: str, key: str) -> None:
        self.cancelled.append((timer_type, key))

    async def commit_now(self) -> None:
        raise AssertionError("nothing here is committed ahead")


@dataclass(slots=True)
class Neighbours:
    """Megazord and the templates, as far as these tests ask them."""

    unsubscribed: list[int] = field(default_factory=list)

    async def unsubscribe(self, _robot_id: int, subscription_id: int, _call_ref: str | None) -> None:
        self.unsubscribed.append(subscription_id)

    async def version(self, _name: str, _version: int) -> Template | None:
        return None


@pytest.fixture
def neighbours() -> Neighbours:
    return Neighbours()


@pytest.fixture
def handlers(neighbours: Neighbours) -> StatusCheckHandlers:
    return StatusCheckHandlers(
        cast("Megazord", neighbours), cast("MicroManagers", object()), cast("Templates", neighbours)
    )


def work(check: StatusCheck | None = None, age_ms: int = 0) -> Collected:
    return Collected(Kept(check), age_ms)


def event(created_at_ms: int = NOW_MS, robot_id: int = 7) -> MegazordEvent:
    source = {"id": 3, "robotId": robot_id, "eventName": "IN_TOILET", "createdAt": iso(created_at_ms)}
    return MegazordEvent.model_validate({"id": 2, "subscriptionId": 5, "sourceEvent": source})


async def test_an_event_whose_check_is_not_there_yet_waits_and_then_releases_the_subscription(
    handlers: StatusCheckHandlers,
) -> None:
    """Young: come back, not counted. Old: nobody knows it, so the subscription is entered and released."""
    young = work(age_ms=UNKNOWN_EVENT_PATIENCE_MS - 1)
    outcome = await handlers.event(event(), young)
    assert isinstance(outcome, Retry)
    assert (outcome.counts, young.timers) == (False, [])
    old = work(age_ms=UNKNOWN_EVENT_PATIENCE_MS)
    assert await handlers.event(event(), old) == Done("unknown-subscription")
    assert (old.kept.held, [(timer.type, timer.key) for timer in old.timers]) == ([5], [(RELEASE, "5")])


async def test_an_event_of_a_released_subscription_is_stale_at_once(handlers: StatusCheckHandlers) -> None:
    """It does not wait for a check that will never come."""
    released = work()
    released.kept.released.append(5)
    assert await handlers.event(event(), released) == Done("stale")


async def test_an_event_of_another_robot_never_reaches_the_check(handlers: StatusCheckHandlers) -> None:
    """The subscription's id alone opens nothing."""
    foreign = work(CHECK, age_ms=UNKNOWN_EVENT_PATIENCE_MS)
    assert await handlers.event(event(robot_id=8), foreign) == Done("unknown-subscription")
    assert foreign.kept.saved == []


async def test_events_beyond_the_window_of_a_check_that_is_over_or_known_change_nothing(
    handlers: StatusCheckHandlers,
) -> None:
    """Late, after the end, or a second time: acked, nothing saved, nobody told."""
    known = replace(CHECK, records=(Record(1, Event(3, "IN_TOILET", NOW_MS), Phase.FUTURE, Verdict.PENDING),))
    cases = [
        (work(CHECK), event(NOW_MS + 61_000), "stale"),
        (work(replace(CHECK, phase=Phase.COMPLETED)), event(), "stale"),
        (work(known), event(), "known-event"),
    ]
    for collected, incoming, note in cases:
        assert await handlers.event(incoming, collected) == Done(note)
        assert (collected.kept.saved, collected.results) == ([], [])


async def test_an_event_from_the_day_after_tomorrow_is_refused(handlers: StatusCheckHandlers) -> None:
    """A clock that is a day wrong must not decide anything."""
    with pytest.raises(RuleViolation) as refused:
        await handlers.event(event(NOW_MS + 86_401_000), work(CHECK))
    assert refused.value.kind == "far-future"


async def test_a_window_that_ends_without_its_template_fails_the_check_and_tells_the_robot(
    handlers: StatusCheckHandlers,
) -> None:
    """Nothing can be decided any more, but the robot must not wait for ever, and the subscription goes."""
    collected = work(CHECK)
    assert await handlers.end(EndOfCheck(robotId=7, statusCheckId=1), collected) == Done("template-gone")
    (saved,), (told,) = collected.kept.saved, collected.results
    assert (saved.phase, saved.verdict, saved.next_step_id) == (Phase.FAILED, Verdict.UNKNOWN, 200)
    assert (told.id, told.payload["phase"]) == ("sc-1-2", "FAILED")
    assert collected.cancelled == [(END, "1")]
    assert [timer.type for timer in collected.timers] == [RELEASE]


async def test_the_end_of_a_check_that_is_over_or_unknown_does_nothing(handlers: StatusCheckHandlers) -> None:
    """A timer may fire after an event has decided."""
    for check in (None, replace(CHECK, phase=Phase.COMPLETED)):
        collected = work(check)
        assert await handlers.end(EndOfCheck(robotId=7, statusCheckId=1), collected) == Done("already-over")
        assert (collected.kept.saved, collected.results, collected.timers) == ([], [], [])


async def test_a_subscription_is_released_unless_a_running_check_needs_it(
    handlers: StatusCheckHandlers, neighbours: Neighbours
) -> None:
    """In use it stays; without a check or with one that is over it is deleted at Megazord and in the ledger."""
    timer = ReleaseSubscription(robotId=7, subscriptionId=5)
    assert await handlers.release(timer, work(CHECK)) == Done("in-use")
    assert neighbours.unsubscribed == []
    for check in (None, replace(CHECK, phase=Phase.FAILED)):
        collected = work(check)
        assert await handlers.release(timer, collected) == Done("released")
        assert collected.kept.released == [5]
    assert neighbours.unsubscribed == [5, 5]


async def test_an_equal_create_is_answered_before_any_neighbour_is_asked(handlers: StatusCheckHandlers) -> None:
    """Also a year later, and while Micro Managers is down: the neighbours here would raise."""
    content = {"robotId": 7, "stepId": 88, "scheduledId": 9, "scriptVersionId": 10, "plannedAt": "2099-01-01T00:00:00Z"}
    collected = work(CHECK)
    assert await handlers.create(CreateStatusCheck.model_validate(content), collected) == Done("already-started")
    assert [told.type for told in collected.results] == ["status-check.current"]
    with pytest.raises(RuleViolation, match="more than a year ahead"):
        await handlers.create(CreateStatusCheck.model_validate(content), work())
