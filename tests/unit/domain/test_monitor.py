"""Windows of a session: they tile the day, whoever looks and whenever."""

from dataclasses import replace
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.monitor import (
    FRESH_MS,
    MINUTE_MS,
    Action,
    EndedWindow,
    MonitorPhase,
    MonitorSession,
    Progress,
    Rule,
    WindowEnd,
    advance,
    begun,
    due_actions,
    is_worth_telling,
    rule_as_json,
    rule_from_json,
    with_missed,
)
from domain.monitor_days import DailyWindow, Day
from domain.status_check import Event
from tests.monitors import at, local

RULE = Rule(
    robot_id=61001,
    rule_id="toilet-2h",
    event_name="TOILET_ACTIVITY",
    duration_ms=120 * MINUTE_MS,
    daily=DailyWindow("Europe/Amsterdam", 8 * 60, 20 * 60),
    alarms_on_partial_window=False,
    actions=(Action("NO_TOILET_ACTIVITY_ALARM"), Action(None, after=2)),
)
DAY = Day(date(2025, 11, 25), at("08:00"), at("20:00"))
assert RULE.daily.day(DAY.date) == DAY
MORNING = MonitorSession(RULE, DAY, 1, DAY.starts_ms)


def event(when: str, number: int = 1) -> Event:
    return Event(number, RULE.event_name, at(when))


def told(progress: Progress) -> list[str]:
    """`3 08:00-10:00 ALARM` for each ended window."""
    return [f"{one.number} {local(one.start_ms)}-{local(one.end_ms)} {one.how}" for one in progress.ended]


def test_a_silence_ends_exactly_when_its_duration_is_over() -> None:
    """Not a millisecond before."""
    assert told(advance(MORNING, [], at("10:00") - 1)) == []
    assert told(advance(MORNING, [], at("10:00"))) == ["1 08:00-10:00 ALARM"]


def test_an_event_restarts_the_window_and_the_count() -> None:
    """The next silence is counted from the event, and is the first in a row again."""
    progress = advance(MORNING, [event("10:30")], at("12:30"))
    assert told(progress) == ["1 08:00-10:00 ALARM", "2 10:00-10:30 EVENT", "3 10:30-12:30 ALARM"]
    assert [one.in_row for one in progress.ended] == [1, 0, 1]
    assert progress.session.last_event_ms == at("10:30")


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("08:00", ["1 08:00-10:00 ALARM"]),  # in the second of the start: the window is the same
        ("08:00:01", ["1 08:00-08:00:01 EVENT"]),
        ("09:59:59", ["1 08:00-09:59:59 EVENT"]),
        ("10:00", ["1 08:00-10:00 ALARM"]),  # in the second of the end: it is in the next window
        ("07:59:59", ["1 08:00-10:00 ALARM"]),  # before the day
    ],
)
def test_an_event_belongs_to_the_window_of_its_second(when: str, expected: list[str]) -> None:
    """A window holds its first second and not the one in which it ends."""
    assert told(advance(MORNING, [event(when)], at("10:00"))) == expected


def test_an_event_in_the_second_of_an_alarm_ends_the_row() -> None:
    """The alarm at 10:00 stands; the next silence is the first in a row."""
    progress = advance(MORNING, [event("10:00")], at("12:00"))
    assert [(one.how, one.in_row) for one in progress.ended] == [(WindowEnd.ALARM, 1), (WindowEnd.ALARM, 1)]


def test_a_window_that_the_end_of_the_day_cuts_short_is_partial() -> None:
    """After an event as after an alarm, and it says nothing about silence in a row."""
    progress = advance(MORNING, [event("18:30")], at("23:00"))
    assert told(progress)[-1] == "7 18:30-20:00 PARTIAL"
    assert progress.ended[-1].in_row == 0
    assert progress.session.phase is MonitorPhase.ENDED


def test_after_the_day_nothing_is_heard() -> None:
    """An event at the end of the day or later restarts nothing."""
    ended = advance(MORNING, [], at("20:00")).session
    assert advance(ended, [event("20:00"), event("19:00")], at("22:00")) == Progress(ended)


MINUTES = st.integers(-60, 13 * 60)


@settings(deadline=None)  # a busy machine
@given(
    events=st.lists(
        st.tuples(st.integers(1, 10**6), st.integers(-3600, 13 * 3600)), max_size=40, unique_by=lambda e: e[0]
    ),
    looks=st.lists(MINUTES, max_size=10),
    duration=st.integers(1, 12 * 60),
    partial=st.booleans(),
)
def test_windows_tile_the_day_whenever_they_are_looked_at(
    events: list[tuple[int, int]],
    looks: list[int],
    duration: int,
    partial: bool,  # noqa: FBT001  hypothesis gives it by name
) -> None:
    """One look at the end of the day, many in between, each event heard alone: the same windows, without a gap."""
    rule = replace(RULE, duration_ms=duration * MINUTE_MS, alarms_on_partial_window=partial)
    session = replace(MORNING, rule=rule)
    known = [Event(number, rule.event_name, DAY.starts_ms + second * 1000) for number, second in events]
    at_once = advance(session, known, DAY.ends_ms + 1)
    bit_by_bit = Progress(session)
    for look in sorted(looks):
        bit_by_bit = bit_by_bit.advanced(known, DAY.starts_ms + look * MINUTE_MS)
    bit_by_bit = bit_by_bit.advanced(known, DAY.ends_ms + 1)
    one_by_one = Progress(session)
    for heard in sorted(known, key=lambda one: (one.created_at_ms, one.id)):
        one_by_one = one_by_one.advanced([heard], heard.created_at_ms)
    one_by_one = one_by_one.advanced([], DAY.ends_ms + 1)
    assert [bit_by_bit.ended, one_by_one.ended] == [at_once.ended] * 2
    assert at_once.session.phase is MonitorPhase.ENDED
    assert at_once.ended[0].start_ms == DAY.starts_ms
    assert at_once.ended[-1].end_ms == DAY.ends_ms
    for window, later in pairwise(at_once.ended):
        assert window.start_ms < window.end_ms == later.start_ms
        assert later.number == window.number + 1
    for window in at_once.ended:
        silent = not any(window.start_ms < one.created_at_ms < window.end_ms for one in known)
        assert silent
        assert (window.end_ms - window.start_ms == rule.duration_ms) or window.how is not WindowEnd.ALARM or partial


def test_only_the_latest_silence_is_told_late_and_only_while_it_is_true() -> None:
    """Of three silences that are found out at 15:00 the last is told; with an event since then, none is."""
    late = at("15:00")
    assert [one.how for one in with_missed(advance(MORNING, [], late), late).ended] == [
        *(WindowEnd.MISSED, WindowEnd.MISSED, WindowEnd.ALARM)
    ]
    since = with_missed(advance(MORNING, [event("14:10")], late), late)
    assert [one.how for one in since.ended] == [*[WindowEnd.MISSED] * 3, WindowEnd.EVENT]


def test_an_alarm_on_time_is_told_whatever_comes_after_it() -> None:
    """Within a minute of the window's end it is on time, although somebody was seen meanwhile."""
    seen = advance(MORNING, [event("10:00:30")], at("10:01"))
    assert is_worth_telling(seen.session, seen.ended[0], seen.ended[0].end_ms + FRESH_MS)
    assert not is_worth_telling(seen.session, seen.ended[0], seen.ended[0].end_ms + FRESH_MS + 1)


def test_actions_wait_for_as_much_silence_as_they_say() -> None:
    """`after: 2` is the second alarm in a row."""
    windows = [EndedWindow(number, 0, 1, WindowEnd.ALARM, in_row=number) for number in (1, 2, 3)]
    assert [len(due_actions(RULE, window)) for window in windows] == [1, 2, 2]


def test_a_changed_rule_goes_on_with_the_window() -> None:
    """It keeps number and start; its end is the new rule's."""
    shorter = replace(RULE, duration_ms=30 * MINUTE_MS)
    progress = begun(shorter, DAY, at("09:00"), replace(MORNING, version=7, subscription_id=5), at("09:00"))
    assert progress.ended == ()
    assert (progress.session.number, progress.session.window_end_ms) == (1, at("08:30"))
    assert (progress.session.version, progress.session.subscription_id) == (7, 5)


def test_a_rule_for_another_event_closes_the_window() -> None:
    """What the old event said is no answer to the new question."""
    other = replace(RULE, event_name="IN_BED")
    progress = begun(other, DAY, at("09:00"), MORNING, at("09:00"))
    assert told(progress) == ["1 08:00-09:00 CLOSED"]
    assert (progress.session.number, progress.session.window_start_ms) == (2, at("09:00"))


def test_a_session_that_is_ended_early_closes_its_window() -> None:
    """Without a window of no length."""
    assert told(MORNING.ended(at("09:00"))) == ["1 08:00-09:00 CLOSED"]
    assert told(MORNING.ended(at("08:00"))) == []
    assert told(MORNING.ended(at("23:00"))) == ["1 08:00-10:00 CLOSED"]


def test_a_rule_comes_back_from_its_row_as_it_was() -> None:
    """And its fingerprint changes with anything that it says."""
    assert rule_from_json(rule_as_json(RULE)) == RULE
    assert rule_from_json(rule_as_json(RULE)).fingerprint == RULE.fingerprint
    changed = [
        replace(RULE, event_name="IN_BED"),
        replace(RULE, duration_ms=1),
        replace(RULE, daily=DailyWindow("UTC", 480, 1200)),
        replace(RULE, alarms_on_partial_window=True),
        replace(RULE, actions=()),
    ]
    assert len({rule.fingerprint for rule in (RULE, *changed)}) == 6


def test_a_session_has_one_call_reference() -> None:
    """A UUID that each replica finds by itself."""
    assert MORNING.call_ref == replace(MORNING, number=9).call_ref
    assert len(MORNING.call_ref) == 36
