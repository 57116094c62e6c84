"""Status checks without a world: the decisions of the handlers that a running system rarely shows."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from domain.errors import RuleViolation
from domain.messages import CancelStatusCheck, CreateStatusCheck, EndOfCheck, GetStatusCheck, MegazordEvent
from domain.outcome import Done, Outcome, Retry
from domain.ports import Megazord, MicroManagers
from domain.status_check import Branch, Event, Phase, Record, ScriptStep, StatusCheck, Verdict, Window
from domain.template import read_template
from domain.wire import iso
from handlers.status_checks import END, LAST_LOOK_MS, StatusCheckHandlers
from handlers.subscriptions import RELEASE, ROLL_CALL
from tests.builders import PLAIN_CHECK
from tests.collected import Collected, Kept
from tests.templates import FixedTemplates
from tests.world import MORNING_MS as NOW_MS

ROBOT, STEP, UNTIL_MS = 7, 88, NOW_MS + 60_000
VISIT = read_template(
    {
        "name": "VISIT",
        "version": 1,
        "description": "Was somebody there in the last minute?",
        "poller": {"pastInterval": 600, "futureInterval": 60},
        "resources": {
            "pastEvents": {"dependsOn": ["IN_TOILET"], "expressions": {"PASS": "exists('IN_TOILET')"}},
            "futureEvents": {
                "dependsOn": ["IN_TOILET"],
                "expressions": {"PASS": "count('IN_TOILET', within='1m') >= 1"},
            },
        },
    }
)
PAST_ONLY = replace(VISIT, name="PAST_ONLY", future=None)
FUTURE_ONLY = replace(VISIT, name="FUTURE_ONLY", past=None, past_interval_s=0)
CHECK = replace(
    PLAIN_CHECK,
    robot_id=ROBOT,
    template_name="VISIT",
    window=Window(looks_back=False, since_ms=None, until_ms=UNTIL_MS),
    phase=Phase.FUTURE,
    subscription_id=5,
    notices=1,
)
OVER = replace(CHECK, phase=Phase.COMPLETED)
A_STEP = ScriptStep(STEP, "VISIT", 0, 0, {Verdict.PASS: Branch(89), Verdict.FAIL: Branch(90)})
END_OF_CHECK = EndOfCheck(robotId=ROBOT, statusCheckId=1)


@dataclass(slots=True)
class Neighbours:
    """Megazord and Micro Managers, as far as these tests ask them."""

    stored: list[Event] = field(default_factory=list)
    refuses: RuleViolation | None = None
    step: ScriptStep = A_STEP
    subscribed: list[tuple[str, ...]] = field(default_factory=list)
    asked_since: list[int | None] = field(default_factory=list)

    async def subscribe(self, _robot_id: int, names: Sequence[str], _until_ms: int, _call_ref: str | None) -> int:
        self.subscribed.append(tuple(names))
        return 5

    async def history(
        self, _robot_id: int, _names: Sequence[str], since_ms: int | None, _call_ref: str | None
    ) -> list[Event]:
        self.asked_since.append(since_ms)
        if self.refuses is not None:
            raise self.refuses
        return self.stored

    async def script_step(self, _robot_id: int, _step_id: int, _call_ref: str | None) -> ScriptStep:
        return self.step


@pytest.fixture
def neighbours() -> Neighbours:
    return Neighbours()


@pytest.fixture
def handlers(neighbours: Neighbours) -> StatusCheckHandlers:
    templates = FixedTemplates([VISIT, PAST_ONLY, FUTURE_ONLY])
    return StatusCheckHandlers(cast("Megazord", neighbours), cast("MicroManagers", neighbours), templates)


def work(check: StatusCheck | None = None, now_ms: int = NOW_MS) -> Collected:
    return Collected(Kept(check), now_ms=now_ms)


def event(created_at_ms: int = NOW_MS, robot_id: int = ROBOT) -> MegazordEvent:
    source = {"id": 3, "robotId": robot_id, "eventName": "IN_TOILET", "createdAt": iso(created_at_ms)}
    return MegazordEvent.model_validate({"id": 2, "subscriptionId": 5, "sourceEvent": source})


def create(planned_at: str = "2025-11-25T08:40:00Z") -> CreateStatusCheck:
    content = {"robotId": ROBOT, "stepId": STEP, "scheduledId": 9, "scriptVersionId": 10, "plannedAt": planned_at}
    return CreateStatusCheck.model_validate(content)


def timers(collected: Collected) -> list[tuple[str, int]]:
    return [(timer.type, timer.due_at_ms) for timer in collected.timers]


def became(collected: Collected) -> list[tuple[Phase, Verdict, int | None]]:
    return [
        (check.phase, check.verdict, check.next_step_id) for check in (*collected.kept.added, *collected.kept.saved)
    ]


async def test_a_check_that_must_wait_listens_before_it_looks_back(
    handlers: StatusCheckHandlers, neighbours: Neighbours
) -> None:
    """Subscribed and committed first, then the past; the end of the window is a timer, and the robot knows at once."""
    collected = work()
    assert await handlers.create(create(), collected) == Done("check 30451 FUTURE PENDING")
    assert neighbours.subscribed == [("IN_TOILET",)]
    assert neighbours.asked_since == [NOW_MS - 600_000]
    assert became(collected) == [(Phase.FUTURE, Verdict.PENDING, None)]
    assert timers(collected)[-1] == (END, UNTIL_MS)
    assert [told.id for told in collected.results] == ["sc-30451-1"]


async def test_a_check_that_its_past_decides_lets_go_of_its_subscription_at_once(
    handlers: StatusCheckHandlers, neighbours: Neighbours
) -> None:
    """It was subscribed to close the gap; now nobody needs it, so no end of a window either."""
    neighbours.stored = [Event(3, "IN_TOILET", NOW_MS - 60_000)]
    collected = work()
    await handlers.create(create(), collected)
    assert became(collected) == [(Phase.COMPLETED, Verdict.PASS, 89)]
    assert timers(collected)[-1] == (RELEASE, NOW_MS)
    assert END not in {timer.type for timer in collected.timers}


async def test_a_template_without_a_future_never_subscribes(
    handlers: StatusCheckHandlers, neighbours: Neighbours
) -> None:
    """It is decided at once, by the table for silence if need be."""
    neighbours.step = replace(neighbours.step, template_name="PAST_ONLY")
    collected = work()
    await handlers.create(create(), collected)
    assert (became(collected), neighbours.subscribed, collected.timers) == (
        [(Phase.FAILED, Verdict.FAIL, 90)],
        [],
        [],
    )


async def test_an_equal_create_is_answered_before_any_neighbour_is_asked(
    handlers: StatusCheckHandlers, neighbours: Neighbours
) -> None:
    """Also a year later; a new one so far ahead is refused."""
    collected = work(CHECK)
    assert await handlers.create(create("2099-01-01T00:00:00Z"), collected) == Done("already-started")
    assert [told.type for told in collected.results] == ["status-check.current"]
    with pytest.raises(RuleViolation, match="more than a year ahead"):
        await handlers.create(create("2099-01-01T00:00:00Z"), work())
    assert neighbours.subscribed == []


async def test_a_step_whose_template_is_not_there_is_refused_before_anything_is_opened(
    handlers: StatusCheckHandlers, neighbours: Neighbours
) -> None:
    """The name stands in the reason, because a person must put it right."""
    neighbours.step = replace(neighbours.step, template_name="NONE_SUCH")
    with pytest.raises(RuleViolation, match="'NONE_SUCH'") as refused:
        await handlers.create(create(), work())
    assert (refused.value.kind, neighbours.subscribed) == ("no-template", [])


@pytest.mark.parametrize("check", [None, replace(CHECK, robot_id=8)], ids=["unknown", "another robot's"])
async def test_a_robot_hears_of_its_own_checks_alone(handlers: StatusCheckHandlers, check: StatusCheck | None) -> None:
    """Whether it asks or cancels, the answer for another's is the same as for none."""
    for ask in (
        handlers.get(GetStatusCheck(robotId=ROBOT, statusCheckId=1), work(check)),
        handlers.cancel(CancelStatusCheck(robotId=ROBOT, statusCheckId=1), work(check)),
    ):
        with pytest.raises(RuleViolation, match="robot 7 has no status check 1") as refused:
            await ask
        assert refused.value.kind == "no-such-check"


async def test_a_robot_that_asks_is_told_what_is_and_nothing_changes(handlers: StatusCheckHandlers) -> None:
    """The answer carries the id of the question."""
    collected = work(CHECK)
    assert await handlers.get(GetStatusCheck(robotId=ROBOT, statusCheckId=1), collected) == Done()
    assert [told.payload["phase"] for told in collected.results] == ["FUTURE"]
    assert (collected.kept.saved, collected.timers, collected.cancelled) == ([], [], [])


async def test_a_cancel_ends_a_check_once(handlers: StatusCheckHandlers) -> None:
    """FAILED, told, no timer, no subscription; the second cancel is only answered."""
    cancel = CancelStatusCheck(robotId=ROBOT, statusCheckId=1)
    collected = work(CHECK)
    assert await handlers.cancel(cancel, collected) == Done("cancelled")
    assert became(collected) == [(Phase.FAILED, Verdict.PENDING, None)]
    assert (timers(collected), collected.cancelled) == ([(RELEASE, NOW_MS)], [(END, "1")])
    assert [told.id for told in collected.results] == ["sc-1-2"]
    again = work(OVER)
    assert await handlers.cancel(cancel, again) == Done("already-over")
    assert ([told.type for told in again.results], again.kept.saved) == (["status-check.current"], [])


async def test_events_beyond_the_window_of_a_check_that_is_over_or_known_change_nothing(
    handlers: StatusCheckHandlers,
) -> None:
    """Late, after the end, or a second time: acked, nothing saved, nobody told."""
    known = replace(CHECK, records=(Record(1, Event(3, "IN_TOILET", NOW_MS), Phase.FUTURE, Verdict.PENDING),))
    cases = [
        (work(CHECK), event(UNTIL_MS + 1000), "stale"),
        (work(OVER), event(), "stale"),
        (work(known), event(), "known-event"),
    ]
    for collected, incoming, note in cases:
        assert await handlers.hear(incoming, collected) == Done(note)
        assert (collected.kept.saved, collected.results) == ([], [])


async def test_an_event_of_nobody_or_of_another_robot_is_not_this_familys(handlers: StatusCheckHandlers) -> None:
    """The subscription's id alone opens nothing."""
    foreign = work(CHECK)
    assert await handlers.hear(event(robot_id=8), foreign) is None
    assert await handlers.hear(event(), work()) is None
    assert foreign.kept.saved == []


async def test_the_event_that_was_waited_for_ends_the_check(handlers: StatusCheckHandlers) -> None:
    """Decided, told, its timer gone, its subscription released, and why is written down."""
    collected = work(CHECK)
    assert await handlers.hear(event(), collected) == Done("check 1 COMPLETED PASS")
    assert became(collected) == [(Phase.COMPLETED, Verdict.PASS, 100)]
    assert (timers(collected), collected.cancelled) == ([(RELEASE, NOW_MS)], [(END, "1")])
    assert [trace["decidedBy"] for trace in collected.kept.traces] == ["futureEvents.PASS"]


async def test_an_event_that_decides_nothing_is_kept_and_nobody_is_told(handlers: StatusCheckHandlers) -> None:
    """An event of long ago stands in the history; phase and result stay, so there is no notice and no trace."""
    collected = work(replace(CHECK, started_at_ms=NOW_MS - 600_000))
    assert await handlers.hear(event(NOW_MS - 300_000), collected) == Done("check 1 FUTURE PENDING")
    assert [len(check.records) for check in collected.kept.saved] == [1]
    assert (collected.results, collected.kept.traces, collected.timers, collected.cancelled) == ([], [], [], [])


async def test_a_check_that_does_not_look_back_asks_for_no_history(
    handlers: StatusCheckHandlers, neighbours: Neighbours
) -> None:
    """Neither the step nor the template names a past."""
    neighbours.step = replace(neighbours.step, template_name="FUTURE_ONLY")
    collected = work()
    await handlers.create(create(), collected)
    assert (neighbours.asked_since, became(collected)) == ([], [(Phase.FUTURE, Verdict.PENDING, None)])


async def test_a_check_without_a_subscription_ends_without_a_release(handlers: StatusCheckHandlers) -> None:
    """Nothing is opened for it, so there is nothing to delete."""
    collected = work(replace(CHECK, subscription_id=None))
    await handlers.end(END_OF_CHECK, collected)
    assert (len(collected.kept.saved), collected.timers) == (1, [])


async def test_an_event_without_its_template_is_refused_with_its_name(handlers: StatusCheckHandlers) -> None:
    """A person can put the template back and send the event again."""
    with pytest.raises(RuleViolation, match="template GONE version 1 is gone") as refused:
        await handlers.hear(event(), work(replace(CHECK, template_name="GONE")))
    assert refused.value.kind == "no-template"


async def test_a_window_that_ends_without_its_template_fails_the_check_and_tells_the_robot(
    handlers: StatusCheckHandlers,
) -> None:
    """Nothing can be decided any more, but the robot must not wait for ever, and the subscription goes."""
    collected = work(replace(CHECK, template_name="GONE"))
    assert await handlers.end(END_OF_CHECK, collected) == Done("template-gone")
    assert became(collected) == [(Phase.FAILED, Verdict.UNKNOWN, 200)]
    assert [(told.id, told.payload["phase"]) for told in collected.results] == [("sc-1-2", "FAILED")]
    assert collected.cancelled == [(END, "1")]
    assert [timer.type for timer in collected.timers] == [RELEASE]


@pytest.mark.parametrize("check", [None, OVER], ids=["unknown", "over"])
async def test_the_end_of_a_check_that_is_over_or_unknown_does_nothing(
    handlers: StatusCheckHandlers, check: StatusCheck | None
) -> None:
    """A timer may fire after an event has decided."""
    collected = work(check)
    assert await handlers.end(END_OF_CHECK, collected) == Done("already-over")
    assert (collected.kept.saved, collected.results, collected.timers) == ([], [], [])


async def test_the_last_look_finds_what_megazord_never_sent(
    handlers: StatusCheckHandlers, neighbours: Neighbours
) -> None:
    """An event of the window counts though its message was lost; one behind the window does not."""
    neighbours.stored = [Event(3, "IN_TOILET", NOW_MS + 30_000), Event(4, "IN_TOILET", UNTIL_MS + 1000)]
    collected = work(CHECK, UNTIL_MS)
    await handlers.end(END_OF_CHECK, collected)
    assert neighbours.asked_since == [CHECK.started_at_ms]
    assert became(collected) == [(Phase.COMPLETED, Verdict.PASS, 100)]
    assert [record.event.id for record in collected.kept.saved[0].records] == [3]


async def test_a_template_that_has_lost_its_future_ends_by_what_was_decided_before(
    handlers: StatusCheckHandlers, neighbours: Neighbours
) -> None:
    """There is nothing to look for any more."""
    collected = work(replace(CHECK, template_name="PAST_ONLY", verdict=Verdict.PASS), UNTIL_MS)
    await handlers.end(END_OF_CHECK, collected)
    assert [(check.phase, check.verdict) for check in collected.kept.saved] == [(Phase.COMPLETED, Verdict.PASS)]
    assert neighbours.asked_since == []


async def test_an_end_that_comes_late_decides_as_if_it_had_come_in_time(
    handlers: StatusCheckHandlers, neighbours: Neighbours
) -> None:
    """After an outage of ten minutes an event of the last minute of the window is still one of the last minute."""
    neighbours.stored = [Event(3, "IN_TOILET", UNTIL_MS - 30_000)]
    collected = work(CHECK, UNTIL_MS + 600_000)
    await handlers.end(END_OF_CHECK, collected)
    assert became(collected) == [(Phase.COMPLETED, Verdict.PASS, 100)]


@pytest.mark.parametrize("kind", ["upstream-contract", "upstream-refused", "upstream-not-found"])
async def test_a_history_that_is_refused_at_the_end_is_asked_for_again_for_a_minute(
    handlers: StatusCheckHandlers, neighbours: Neighbours, kind: str
) -> None:
    """A rejected timer would never come again: after the minute the check is UNKNOWN, because silence was not seen."""
    neighbours.refuses = RuleViolation("no", kind=kind)
    early = work(CHECK, UNTIL_MS + LAST_LOOK_MS - 1)
    outcome: Outcome = await handlers.end(END_OF_CHECK, early)
    assert isinstance(outcome, Retry)
    assert (outcome.counts, early.kept.saved, early.results) == (False, [], [])
    late = work(CHECK, UNTIL_MS + LAST_LOOK_MS)
    assert await handlers.end(END_OF_CHECK, late) == Done("check 1 FAILED UNKNOWN")
    assert became(late) == [(Phase.FAILED, Verdict.UNKNOWN, 200)]
    assert (timers(late), late.cancelled) == ([(RELEASE, late.now_ms)], [(END, "1")])
    assert [trace["decidedBy"] for trace in late.kept.traces] == ["history refused"]


async def test_a_history_that_is_refused_at_the_end_leaves_what_events_have_decided(
    handlers: StatusCheckHandlers, neighbours: Neighbours
) -> None:
    """A check that listens until its end keeps its last verdict."""
    neighbours.refuses = RuleViolation("no", kind="upstream-refused")
    collected = work(CHECK.with_verdict(Verdict.PASS), UNTIL_MS + LAST_LOOK_MS)
    await handlers.end(END_OF_CHECK, collected)
    assert became(collected) == [(Phase.COMPLETED, Verdict.PASS, 100)]


async def test_a_subscription_is_needed_by_a_running_check_alone(handlers: StatusCheckHandlers) -> None:
    """And only by one of its own robot."""
    found = [await handlers.holds(ROBOT, 5, work(check)) for check in (CHECK, OVER, None)]
    assert found == [True, False, False]
    assert not await handlers.holds(8, 5, work(CHECK))


async def test_a_create_leaves_its_intent_only_until_the_id_is_safe(handlers: StatusCheckHandlers) -> None:
    """The roll call that would find a lost subscription is cancelled by the commit that keeps the id."""
    collected = work()
    await handlers.create(create(), collected)
    assert collected.told[:2] == [f"schedule {ROLL_CALL}", "commit"]
    assert [name for name, _ in collected.cancelled] == [ROLL_CALL]
