"""Planning: each rule's next day is opened once, nothing runs without a rule, and planning again changes nothing."""

from dataclasses import replace
from datetime import date

from domain.monitor import MonitorSession, Rule
from domain.monitor_days import DailyWindow
from domain.monitor_plan import Opening, Plan, PlannedOpening, Standing, following, plan
from tests.monitors import at

RULE = Rule(61001, "toilet-2h", "TOILET_ACTIVITY", 7_200_000, DailyWindow("Europe/Amsterdam", 480, 1200), False, ())
TODAY, TOMORROW = date(2025, 11, 25), date(2025, 11, 26)
DAY = RULE.daily.day(TODAY)
assert DAY is not None
SESSION = MonitorSession(RULE, DAY, 1, DAY.starts_ms)
CHANGED = replace(RULE, duration_ms=60_000)


def planned(rule: Rule = RULE) -> PlannedOpening:
    return PlannedOpening(rule.robot_id, rule.rule_id, rule.fingerprint)


def test_before_the_day_its_start_is_planned() -> None:
    """Due at the start, judged from the start."""
    wanted = plan([RULE], Standing(), at("06:00"))
    assert wanted == Plan(openings=(Opening(RULE, TODAY, at("08:00"), at("08:00")),))


def test_within_the_day_a_new_rule_is_opened_now_and_judged_from_now() -> None:
    """What was before it, nobody asked for."""
    now_ms = at("13:00")
    assert plan([RULE], Standing(), now_ms).openings == (Opening(RULE, TODAY, now_ms, now_ms),)


def test_what_is_planned_by_the_same_rule_is_left_alone() -> None:
    """Also when it is overdue: it knows from when to judge."""
    assert plan([RULE], Standing([planned()], [SESSION], {SESSION.id}), at("13:00")) == Plan()
    assert plan([RULE], Standing([planned()]), at("13:00")) == Plan()


def test_a_forgotten_opening_beside_a_running_session_is_the_next_day_s() -> None:
    """The session itself goes on."""
    wanted = plan([RULE], Standing([], [SESSION], {SESSION.id}), at("13:00"))
    assert wanted == Plan(openings=(Opening(RULE, TOMORROW, at("08:00", "2025-11-26"), at("08:00", "2025-11-26")),))


def test_a_session_without_a_timer_is_woken() -> None:
    """Nothing else would ever end its window."""
    assert plan([RULE], Standing([planned()], [SESSION], ()), at("13:00")) == Plan(woken=(SESSION,))


def test_without_its_rule_everything_goes() -> None:
    """The session is closed, the opening cancelled."""
    wanted = plan([], Standing([planned()], [SESSION], ()), at("13:00"))
    assert wanted == Plan(cancelled=(RULE.key,), closed=(SESSION,))


def test_a_changed_rule_is_opened_at_once_to_take_over() -> None:
    """On the same day the session stays; its opening is due now."""
    now_ms = at("13:00")
    wanted = plan([CHANGED], Standing([planned()], [SESSION], {SESSION.id}), now_ms)
    assert wanted == Plan(openings=(Opening(CHANGED, TODAY, now_ms, now_ms),))


def test_a_rule_whose_day_moved_away_closes_the_session() -> None:
    """At 13:00 a rule for the evening has nothing to watch; it opens at its own start."""
    evening = replace(RULE, daily=DailyWindow("Europe/Amsterdam", 18 * 60, 23 * 60))
    wanted = plan([evening], Standing([planned()], [SESSION], {SESSION.id}), at("13:00"))
    assert wanted.closed == (SESSION,)
    assert wanted.openings == (Opening(evening, TODAY, at("18:00"), at("18:00")),)


def test_two_rules_of_one_robot_do_not_meet() -> None:
    """Each has its own opening and session."""
    other = replace(RULE, rule_id="kitchen")
    wanted = plan([RULE, other], Standing([planned()], [SESSION], {SESSION.id}), at("06:00"))
    assert [opening.rule for opening in wanted.openings] == [other]


def test_after_a_day_comes_the_next_or_the_one_that_runs_by_now() -> None:
    """In time: tomorrow. Two days late: the day that runs now, from its start. Between two days: the coming one."""
    assert following(RULE, TODAY, at("08:00")).date == TOMORROW
    late = following(RULE, TODAY, at("13:00", "2025-11-27"))
    assert (late.date, late.due_ms) == (date(2025, 11, 27), at("08:00", "2025-11-27"))
    assert late.since_ms == late.due_ms
    assert following(RULE, TODAY, at("23:00", "2025-11-26")).date == date(2025, 11, 27)
