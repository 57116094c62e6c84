"""Monitors without a world: the decisions of the handlers that a running system rarely shows."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import cast

import pytest

from domain.errors import RuleViolation
from domain.messages import CloseMonitor, EndOfMonitorWindow, MegazordEvent, OpenMonitor, PostAlarm, Result
from domain.monitor import Action, EndedWindow, MonitorPhase, MonitorSession, Rule, WindowEnd
from domain.monitor_days import DailyWindow, Day
from domain.monitor_plan import PlannedOpening
from domain.outcome import Done, Outcome, Retry
from domain.ports import Megazord, Monitors, StatusChecks, Subscriptions, Timer
from domain.status_check import Event
from domain.wire import iso
from handlers.monitors import OPEN, WINDOW, MonitorHandlers
from handlers.subscriptions import RELEASE
from tests.collected import Elsewhere
from tests.monitors import ALARM_EVENT, EVENT, SESSION, at

RULE = Rule(
    61001,
    "toilet-2h",
    EVENT,
    7_200_000,
    DailyWindow("Europe/Amsterdam", 480, 1200),
    alarms_on_partial_window=False,
    actions=(Action(ALARM_EVENT),),
)
DAY = Day(date(2025, 11, 25), at("08:00"), at("20:00"))
RUNNING = MonitorSession(RULE, DAY, 1, at("08:00"), subscription_id=5)
SILENT = EndedWindow(1, at("08:00"), at("10:00"), WindowEnd.ALARM, in_row=1)


@dataclass(slots=True)
class Kept:
    """Sessions and windows in memory."""

    session: MonitorSession | None = None
    ended: EndedWindow | None = None
    planned: list[PlannedOpening] = field(default_factory=list)
    saved: list[MonitorSession] = field(default_factory=list)
    audit: list[tuple[int, WindowEnd]] = field(default_factory=list)

    async def get(self, _session_id: str) -> MonitorSession | None:
        return self.session

    async def by_subscription(self, _robot_id: int, subscription_id: int) -> MonitorSession | None:
        is_ours = self.session is not None and self.session.subscription_id == subscription_id
        return self.session if is_ours else None

    async def running(self) -> list[MonitorSession]:
        return [] if self.session is None or not self.session.is_running else [self.session]

    async def awaited(self) -> frozenset[str]:
        return frozenset()

    async def openings(self) -> list[PlannedOpening]:
        return self.planned

    async def window(self, _session_id: str, _number: int) -> EndedWindow | None:
        return self.ended

    def add(self, session: MonitorSession) -> None:
        self.saved.append(session)

    def save(self, session: MonitorSession) -> None:
        self.saved.append(session)

    def add_window(self, _session_id: str, window: EndedWindow, _reference_id: str | None) -> None:
        self.audit.append((window.number, window.how))

    def end_window_as(self, _session_id: str, number: int, how: WindowEnd, _posted_at_ms: int | None) -> None:
        self.audit.append((number, how))

    async def is_scheduled(self, _timer_type: str, _key: str) -> bool:
        return False


@dataclass(slots=True)
class Collected(Elsewhere):
    """A unit of work that only collects."""

    kept: Kept
    now_ms: int = at("09:00")
    age_ms: int = 0
    source: str = "test"
    id: str = "m-1"
    call_ref: str | None = None
    results: list[Result] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)
    cancelled: list[tuple[str, str]] = field(default_factory=list)
    committed: int = 0

    @property
    def checks(self) -> StatusChecks:
        raise AssertionError("nothing here is a check's")

    @property
    def subscriptions(self) -> Subscriptions:
        raise AssertionError("nothing here subscribes")

    @property
    def monitors(self) -> Monitors:
        return self.kept

    async def still_ours(self) -> None:
        raise AssertionError("nothing here is unrepeatable")

    def publish(self, result: Result) -> None:
        self.results.append(result)

    def schedule(self, timer: Timer) -> None:
        self.timers.append(timer)

    def schedule_new(self, timer: Timer) -> None:
        self.schedule(timer)

    def cancel_timer(self, timer_type: str, key: str) -> None:
        self.cancelled.append((timer_type, key))

    async def is_scheduled(self, _timer_type: str, _key: str) -> bool:
        return False

    async def commit_now(self) -> None:
        self.committed += 1


@dataclass(slots=True)
class Neighbour:
    """Megazord, as far as these tests ask it; `refuses` is how it answers everything."""

    events: list[Event] = field(default_factory=list)
    posted: list[str] = field(default_factory=list)
    refuses: RuleViolation | None = None

    async def subscribe(self, *_what: object) -> int:
        assert self.refuses is not None
        raise self.refuses

    async def history(self, *_what: object) -> list[Event]:
        if self.refuses is not None:
            raise self.refuses
        return self.events

    async def was_posted(self, _robot_id: int, _name: str, reference: str, *_more: object) -> bool:
        return reference in self.posted

    async def post_event(self, _robot_id: int, _name: str, reference: str, _call_ref: str | None) -> None:
        self.posted.append(reference)


@dataclass(frozen=True, slots=True)
class Known:
    """The rules in force."""

    rules: Sequence[Rule] | None = (RULE,)

    def current(self) -> Sequence[Rule] | None:
        return self.rules


@pytest.fixture
def megazord() -> Neighbour:
    return Neighbour()


def handlers(megazord: Neighbour, rules: Sequence[Rule] | None = (RULE,)) -> MonitorHandlers:
    return MonitorHandlers(cast("Megazord", megazord), Known(rules))


def opening(rule: Rule = RULE, on: date = DAY.date) -> OpenMonitor:
    since = datetime.fromtimestamp(DAY.starts_ms / 1000, UTC)
    return OpenMonitor(
        robotId=rule.robot_id, ruleId=rule.rule_id, localDate=on, since=since, plannedBy=rule.fingerprint
    )


def heard(when: str, name: str = EVENT, event_id: int = 9) -> MegazordEvent:
    source = {"id": event_id, "robotId": 61001, "eventName": name, "createdAt": iso(at(when))}
    return MegazordEvent.model_validate({"id": 1, "subscriptionId": 5, "sourceEvent": source})


def note(outcome: Outcome | None) -> str:
    assert isinstance(outcome, Done)
    return outcome.note


async def test_without_known_rules_nothing_is_planned_and_openings_wait(megazord: Neighbour) -> None:
    """A process whose file is bad neither closes what runs nor takes an opening from others."""
    uow = Collected(Kept(RUNNING))
    await handlers(megazord, None).plan(uow)
    assert (uow.timers, uow.cancelled) == ([], [])
    outcome = await handlers(megazord, None).open(opening(), uow)
    assert isinstance(outcome, Retry)
    assert not outcome.counts
    assert isinstance(await handlers(megazord).open(opening(replace(RULE, duration_ms=1)), uow), Retry)


async def test_a_plan_closes_wakes_and_cancels(megazord: Neighbour) -> None:
    """What has no rule is closed and its opening cancelled; what has one and no timer is woken."""
    gone = Collected(Kept(RUNNING, planned=[PlannedOpening(61001, "toilet-2h", "old")]))
    await handlers(megazord, ()).plan(gone)
    assert [(timer.type, timer.key) for timer in gone.timers] == [("monitor.close", SESSION)]
    assert gone.cancelled == [(OPEN, "61001:toilet-2h")]
    alone = Collected(Kept(RUNNING, planned=[PlannedOpening(61001, "toilet-2h", RULE.fingerprint)]))
    await handlers(megazord).plan(alone)
    assert [(timer.type, timer.due_at_ms) for timer in alone.timers] == [(WINDOW, at("10:00"))]


async def test_an_opening_that_came_twice_only_plans_the_next(megazord: Neighbour) -> None:
    """The session that runs by this very rule is left alone; so is a day that a change of clocks has swallowed."""
    uow = Collected(Kept(RUNNING))
    assert note(await handlers(megazord).open(opening(), uow)) == "already-open"
    assert [(timer.type, timer.due_at_ms) for timer in uow.timers] == [(OPEN, at("08:00", "2025-11-26"))]
    lost = replace(RULE, daily=DailyWindow("Europe/Amsterdam", 135, 165))
    uow = Collected(Kept(), now_ms=at("03:00", "2026-03-29"))
    assert note(await handlers(megazord, [lost]).open(opening(lost, date(2026, 3, 29)), uow)) == "already-open"
    assert [timer.due_at_ms for timer in uow.timers] == [at("02:15", "2026-03-30")]
    assert uow.kept.saved == []


async def test_an_opening_of_a_day_that_is_over_and_was_open_only_plans_the_next(megazord: Neighbour) -> None:
    """It came late, or again; what the day was is in its session already."""
    uow = Collected(Kept(replace(RUNNING, phase=MonitorPhase.ENDED)), now_ms=at("20:00"))
    assert note(await handlers(megazord).open(opening(), uow)) == "already-open"
    assert uow.kept.saved == []


async def test_nonsense_from_megazord_is_no_refusal(megazord: Neighbour) -> None:
    """One answer in another form must end neither a day nor a window."""
    megazord.refuses = RuleViolation("half a text", kind="upstream-contract")
    uow = Collected(Kept())
    assert isinstance(await handlers(megazord).open(opening(), uow), Retry)
    uow = Collected(Kept(RUNNING), now_ms=at("10:00"))
    end = EndOfMonitorWindow(robotId=61001, sessionId=SESSION)
    outcome = await handlers(megazord).window(end, uow)
    assert outcome == Retry(None, "half a text")
    assert uow.kept.saved == []


async def test_a_changed_rule_that_megazord_refuses_ends_the_session(megazord: Neighbour) -> None:
    """Its window is closed and its subscription released; the refusal itself goes to the dead letters."""
    megazord.refuses = RuleViolation("unknown event", kind="upstream-not-found")
    changed = replace(RULE, event_name="NO_SUCH")
    uow = Collected(Kept(RUNNING))
    with pytest.raises(RuleViolation):
        await handlers(megazord, [changed]).open(opening(changed), uow)
    (saved,) = uow.kept.saved
    assert (saved.phase, saved.rule) == (MonitorPhase.REFUSED, changed)
    assert uow.kept.audit == [(1, WindowEnd.CLOSED)]
    assert {RELEASE, OPEN} <= {timer.type for timer in uow.timers}
    assert (WINDOW, SESSION) in uow.cancelled
    again = Collected(Kept(saved))
    with pytest.raises(RuleViolation):
        await handlers(megazord, [changed]).open(opening(changed), again)
    assert again.kept.audit == []


@pytest.mark.parametrize("session", [None, replace(RUNNING, phase=MonitorPhase.ENDED)])
async def test_what_is_over_is_left_alone(megazord: Neighbour, session: MonitorSession | None) -> None:
    """A timer that comes after the end, and a subscription that nobody needs any more."""
    uow = Collected(Kept(session))
    end = EndOfMonitorWindow(robotId=61001, sessionId=SESSION)
    assert note(await handlers(megazord).window(end, uow)) == "already-over"
    assert note(await handlers(megazord).close(CloseMonitor(robotId=61001, sessionId=SESSION), uow)) == "already-over"
    assert not await handlers(megazord).holds(61001, 5, uow)
    assert uow.kept.saved == []


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (heard("07:59"), "known-event"),
        (heard("20:00"), "stale"),
        (heard("09:00", name="IN_BED"), "other-event"),
        (heard("08:30", event_id=3), "known-event"),
    ],
)
async def test_an_event_that_says_nothing_new_changes_nothing(
    megazord: Neighbour, event: MegazordEvent, expected: str
) -> None:
    """From before the window or after the day, of another name, or the one that began the window."""
    uow = Collected(Kept(replace(RUNNING, last_event_id=3)))
    assert note(await handlers(megazord).hear(event, uow)) == expected
    assert uow.kept.saved == []


async def test_an_event_of_another_family_or_an_ended_session_is_told_apart(megazord: Neighbour) -> None:
    """None lets the others look; a session that is over needs no event."""
    assert await handlers(megazord).hear(heard("09:00"), Collected(Kept())) is None
    ended = Collected(Kept(replace(RUNNING, phase=MonitorPhase.ENDED)))
    assert note(await handlers(megazord).hear(heard("09:00"), ended)) == "stale"


async def test_an_event_behind_an_unjudged_window_makes_the_history_be_read(megazord: Neighbour) -> None:
    """The timer of the window is late: what was lost before this event decides whether there was a silence."""
    megazord.events = [Event(7, EVENT, at("09:30")), Event(9, EVENT, at("10:15"))]
    uow = Collected(Kept(RUNNING), now_ms=at("10:15"))
    await handlers(megazord).hear(heard("10:15"), uow)
    assert uow.kept.audit == [(1, WindowEnd.EVENT), (2, WindowEnd.EVENT)]
    assert uow.kept.saved[-1].window_start_ms == at("10:15")


def alarm() -> PostAlarm:
    return PostAlarm(robotId=61001, sessionId=SESSION, windowNumber=1, eventNames=(ALARM_EVENT,))


async def test_an_alarm_that_is_there_is_not_posted_again(megazord: Neighbour) -> None:
    """Not even when it would be too late for a new one: it was told, and the audit says so."""
    megazord.posted.append(f"{SESSION}-1")
    uow = Collected(Kept(RUNNING, SILENT), now_ms=at("19:00"))
    assert note(await handlers(megazord).alarm(alarm(), uow)) == f"alarm {SESSION}-1 was posted before"
    assert (megazord.posted, uow.kept.audit) == ([f"{SESSION}-1"], [(1, WindowEnd.ALARM)])


async def test_an_alarm_that_comes_too_late_to_be_true_is_given_up(megazord: Neighbour) -> None:
    """Megazord was away, and somebody was seen meanwhile."""
    seen = replace(RUNNING, number=3, window_start_ms=at("10:20"), last_event_ms=at("10:20"))
    uow = Collected(Kept(seen, SILENT), now_ms=at("10:30"))
    assert note(await handlers(megazord).alarm(alarm(), uow)) == f"alarm {SESSION}-1 MISSED"
    assert (megazord.posted, uow.kept.audit) == ([], [(1, WindowEnd.MISSED)])


async def test_an_alarm_of_a_forgotten_session_is_nothing(megazord: Neighbour) -> None:
    """The audit is older than it is kept."""
    assert note(await handlers(megazord).alarm(alarm(), Collected(Kept()))) == "forgotten"
    assert megazord.posted == []
