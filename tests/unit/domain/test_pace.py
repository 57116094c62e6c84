"""The pace of a number: hand-checked waits, and what holds for any rules."""

from collections import Counter
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.pace import DAY_MS, HOUR_MS, LATEST_MS, Because, NumberPace, PaceRules, WarmUpStep, is_expired, next_send_ms
from domain.sending_window import EVERY_DAY, SendingWindow

AMSTERDAM = "Europe/Amsterdam"
ALWAYS = SendingWindow()
OFFICE = SendingWindow(AMSTERDAM, EVERY_DAY, 9 * 60, 18 * 60)
WARM_UP = (WarmUpStep(0, 2), WarmUpStep(4, 3))


def ms(utc: str) -> int:
    return round(datetime.fromisoformat(f"{utc}+00:00").timestamp() * 1000)


def utc(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")


def sent(rules: PaceRules, *times: str) -> NumberPace:
    pace = NumberPace()
    for at in times:
        pace = pace.after_send(rules, ms(at))
    return pace


def following(
    rules: PaceRules, pace: NumberPace, now: str, chance: float = 0.0, window: SendingWindow = ALWAYS
) -> tuple[str, Because | None]:
    found = next_send_ms(rules, pace, window, ms(now), chance)
    return utc(found.at_ms).removesuffix(".000"), found.because


NOON = "2025-11-25T12:00:00"


@pytest.mark.parametrize(
    ("chance", "slow", "expected"),
    [
        (0.0, 1.0, "2025-11-25T12:00:06"),
        (0.5, 1.0, "2025-11-25T12:00:09"),
        (1.0, 1.0, "2025-11-25T12:00:12"),
        (0.5, 4.0, "2025-11-25T12:00:36"),
        (0.0, 0.1, "2025-11-25T12:00:06"),  # nothing makes a number faster
    ],
)
def test_a_gap_lies_between_its_bounds(chance: float, slow: float, expected: str) -> None:
    """Chance picks the point, a slow factor stretches it."""
    rules = PaceRules()
    assert following(rules, sent(rules, NOON).slowed(slow), NOON, chance) == (expected, Because.GAP)


def test_a_number_that_never_sent_may_send_at_once() -> None:
    """And so may one whose gap is over."""
    rules = PaceRules()
    assert following(rules, NumberPace(), NOON) == (NOON, None)
    assert following(rules, sent(rules, "2025-11-25T11:59:54"), NOON) == (NOON, None)
    assert following(rules, sent(rules, "2025-11-25T11:59:55"), NOON) == ("2025-11-25T12:00:01", Because.GAP)


@pytest.mark.parametrize("chance", [-0.01, 1.01, float("nan")])
def test_a_chance_outside_its_range_is_refused(chance: float) -> None:
    """It would undercut the smallest gap."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        PaceRules().gap_ms(1, chance)


def test_a_smallest_gap_above_the_largest_is_used_for_every_message() -> None:
    """With a warning that says so, and another where the gap is below what WAHA advises."""
    rules = PaceRules(gap_min_ms=8_000, gap_max_ms=5_000)
    assert [rules.gap_ms(1, chance) for chance in (0.0, 0.5, 1.0)] == [8_000] * 3
    assert ["the smallest is used" in rules.warnings[0], "30 to 60 s" in rules.warnings[1]] == [True, True]
    assert len(PaceRules().warnings) == 1
    assert PaceRules(gap_min_ms=30_000, gap_max_ms=60_000).warnings == ()


@pytest.mark.parametrize(
    ("times", "now", "expected", "because"),
    [
        (["12:00:00", "12:10:00"], "12:10:06", "12:10:06", None),
        (["12:00:00", "12:10:00", "12:20:00"], "12:20:06", "13:00:00", Because.HOURLY_CAP),
        (["12:00:00", "12:10:00", "12:59:59"], "12:59:59", "13:00:05", Because.HOURLY_CAP),
        (["11:59:00", "12:10:00", "12:20:00"], "12:21:00", "12:21:00", None),
    ],
)
def test_an_hour_takes_so_many_and_no_more(times: list[str], now: str, expected: str, because: Because | None) -> None:
    """Three each calendar hour."""
    rules = PaceRules(hourly_cap=3)
    pace = sent(rules, *(f"2025-11-25T{at}" for at in times))
    assert following(rules, pace, f"2025-11-25T{now}") == (f"2025-11-25T{expected}", because)


def test_a_day_is_one_of_the_number_s_zone() -> None:
    """In Amsterdam the 26th begins at 23:00 UTC, and the 27th of October 2025 after 25 hours."""
    rules = PaceRules(zone=AMSTERDAM, daily_cap=2)
    pace = sent(rules, NOON, "2025-11-25T13:00:00")
    assert following(rules, pace, "2025-11-25T13:01:00") == ("2025-11-25T23:00:00", Because.DAILY_CAP)
    assert following(rules, pace, "2025-11-25T13:01:00", window=OFFICE) == ("2025-11-26T08:00:00", Because.DAILY_CAP)
    autumn = sent(rules, "2025-10-25T22:00:00", "2025-10-25T22:30:00")
    assert following(rules, autumn, "2025-10-26T00:00:00") == ("2025-10-26T23:00:00", Because.DAILY_CAP)


def test_the_hour_that_comes_twice_has_its_cap_twice() -> None:
    """Clocks that are put back do not make a number wait for two hours."""
    rules = PaceRules(zone=AMSTERDAM, hourly_cap=1)
    pace = sent(rules, "2025-10-26T00:30:00")
    assert following(rules, pace, "2025-10-26T00:31:00") == ("2025-10-26T01:00:00", Because.HOURLY_CAP)
    assert following(rules, pace.after_send(rules, ms("2025-10-26T01:00:00")), "2025-10-26T01:01:00") == (
        "2025-10-26T02:00:00",
        Because.HOURLY_CAP,
    )


def test_after_so_many_messages_a_number_rests() -> None:
    """A pause as long as the rest counts as one, whatever it was for."""
    rules = PaceRules(rest_after=2, rest_ms=600_000)
    pace = sent(rules, NOON, "2025-11-25T12:01:00")
    assert following(rules, pace, "2025-11-25T12:01:06") == ("2025-11-25T12:11:00", Because.REST)
    rested = pace.after_send(rules, ms("2025-11-25T12:11:00"))
    assert rested.sent_since_rest == 1
    assert following(rules, rested, "2025-11-25T12:11:06") == ("2025-11-25T12:11:06", None)
    assert sent(rules, NOON, "2025-11-25T12:20:00").sent_since_rest == 1


def test_a_new_number_warms_up() -> None:
    """Two a day, from the fifth day on three; the fifth day begins at the hour of the first message."""
    rules = PaceRules(warm_up=WARM_UP)
    pace = sent(rules, NOON, "2025-11-25T13:00:00")
    assert following(rules, pace, "2025-11-25T13:01:00") == ("2025-11-26T00:00:00", Because.WARM_UP)
    fourth = sent(rules, NOON, "2025-11-27T12:00:00", "2025-11-29T01:00:00", "2025-11-29T02:00:00")
    assert following(rules, fourth, "2025-11-29T02:01:00") == ("2025-11-29T12:00:00", Because.WARM_UP)
    fifth = fourth.after_send(rules, ms("2025-11-29T12:00:00"))
    assert following(rules, fifth, "2025-11-29T12:01:00") == ("2025-11-30T00:00:00", Because.WARM_UP)


def test_a_number_that_was_silent_for_long_warms_up_anew() -> None:
    """After three days; a minute less leaves it warm."""
    rules = PaceRules(warm_up=WARM_UP)
    old = NumberPace(ms(NOON), first_used_at_ms=ms("2025-01-01T00:00:00"))
    assert old.age_ms(rules, ms("2025-11-28T11:59:00")) > 300 * DAY_MS
    assert old.age_ms(rules, ms("2025-11-28T12:00:00")) == 0
    assert old.after_send(rules, ms("2025-11-28T12:00:00")).first_used_at_ms == ms("2025-11-28T12:00:00")
    assert old.after_send(rules, ms("2025-11-28T11:59:00")).first_used_at_ms == ms("2025-01-01T00:00:00")
    never_cold = replace(rules, rewarm_after_ms=None)
    assert old.age_ms(never_cold, ms("2025-12-28T12:00:00")) > 300 * DAY_MS


def test_a_number_that_never_sent_begins_its_warm_up_with_the_first_step() -> None:
    """It has no age yet, and may send; a row whose count has no first use waits for tomorrow."""
    rules = PaceRules(warm_up=WARM_UP)
    assert following(rules, NumberPace(), NOON) == (NOON, None)
    odd = NumberPace(day="2025-11-25", sent_in_day=9)
    assert following(rules, odd, NOON) == ("2025-11-26T00:00:00", Because.WARM_UP)


def test_a_lock_is_kept_and_lifted() -> None:
    """Whatever the gateway says, no lock reaches beyond the dates that there are."""
    rules = PaceRules()
    locked = NumberPace().locked(ms("2025-11-26T12:00:00"))
    assert following(rules, locked, NOON) == ("2025-11-26T12:00:00", Because.LOCK)
    assert following(rules, locked, NOON, window=OFFICE) == ("2025-11-26T12:00:00", Because.LOCK)
    assert following(rules, locked.locked(None), NOON) == (NOON, None)
    absurd = NumberPace().locked(10**18)
    assert next_send_ms(rules, absurd, OFFICE, ms(NOON), 0).at_ms >= LATEST_MS


@pytest.mark.parametrize(
    ("pace", "now", "expected", "because"),
    [
        # the window is shut, and that is the longest story
        (NumberPace(), "2025-11-25T06:00:00", "2025-11-25T08:00:00", Because.WINDOW),
        (NumberPace(ms("2025-11-25T16:59:58")), "2025-11-25T16:59:59", "2025-11-26T08:00:00", Because.WINDOW),
        # the lock is over before the window opens
        (NumberPace(locked_until_ms=ms("2025-11-25T07:00:00")), "2025-11-25T06:00:00", "2025-11-25T08:00:00", "WINDOW"),
        # the lock ends at night
        (NumberPace(locked_until_ms=ms("2025-11-25T22:00:00")), NOON, "2025-11-26T08:00:00", Because.LOCK),
    ],
)
def test_the_longer_story_is_told(pace: NumberPace, now: str, expected: str, because: str) -> None:
    """Where several things make a message wait, the one that an operator wants to hear of."""
    assert following(PaceRules(), pace, now, window=OFFICE) == (expected, because)


@pytest.mark.parametrize(
    "wrong",
    [
        {"zone": "Europe/Atlantis"},
        {"gap_min_ms": -1},
        {"gap_max_ms": -1},
        {"rest_ms": -1},
        {"rewarm_after_ms": DAY_MS - 1},
        {"hourly_cap": 0},
        {"daily_cap": 0},
        {"rest_after": 0},
        {"warm_up": (WarmUpStep(0, 0),)},
        {"warm_up": (WarmUpStep(1, 20),)},
        {"warm_up": (WarmUpStep(0, 20), WarmUpStep(0, 30))},
        {"warm_up": (WarmUpStep(0, 20), WarmUpStep(4, 19))},
    ],
)
def test_rules_by_which_a_number_could_never_send_are_refused(wrong: dict[str, Any]) -> None:
    """When they are made, not when somebody waits."""
    with pytest.raises(ValueError, match=r"\w"):
        PaceRules(**wrong)


def test_a_replica_whose_clock_lags_undercuts_nothing() -> None:
    """It sees messages in its future: the counts of the last hour and day are those that count."""
    rules = PaceRules(hourly_cap=2, daily_cap=3)
    pace = sent(rules, "2025-11-26T00:00:01", "2025-11-26T00:00:30")
    assert following(rules, pace, "2025-11-25T23:59:58") == ("2025-11-26T01:00:00", Because.HOURLY_CAP)
    behind = pace.after_send(rules, ms("2025-11-25T23:59:59"))
    assert (behind.last_sent_at_ms, behind.sent_in_hour, behind.sent_in_day) == (ms("2025-11-26T00:00:30"), 3, 3)
    assert following(rules, behind, "2025-11-25T23:59:59") == ("2025-11-27T00:00:00", Because.DAILY_CAP)


def test_a_pace_is_a_flat_row() -> None:
    """Numbers, text and None: written and read back, it is the same."""
    pace = sent(PaceRules(), NOON).slowed(4).locked(ms(NOON))
    row = asdict(pace)
    assert {type(value) for value in row.values()} <= {int, float, str, type(None)}
    assert NumberPace(**row) == pace


@pytest.mark.parametrize(
    ("expires_after_s", "late_s", "expected"),
    [(None, 10**9, False), (60, 60, False), (60, 60.001, True), (0, 0, False), (0, 0.001, True), (60, -5, False)],
)
def test_a_start_may_come_too_late(expires_after_s: float | None, late_s: float, expected: bool) -> None:  # noqa: FBT001
    """Only where the campaign says so."""
    assert is_expired(ms(NOON), expires_after_s, ms(NOON) + round(late_s * 1000)) is expected


ZONES = st.sampled_from([AMSTERDAM, "Australia/Lord_Howe", "America/Havana", "Asia/Kathmandu", "UTC"])
RULES = st.builds(
    PaceRules,
    gap_min_ms=st.integers(0, 600_000),
    gap_max_ms=st.integers(0, 900_000),
    zone=ZONES,
    hourly_cap=st.none() | st.integers(1, 5),
    daily_cap=st.none() | st.integers(1, 9),
    rest_after=st.none() | st.integers(1, 6),
    rest_ms=st.integers(0, 3 * HOUR_MS),
    warm_up=st.sampled_from([(), WARM_UP, (WarmUpStep(0, 1), WarmUpStep(1, 4))]),
    rewarm_after_ms=st.none() | st.integers(DAY_MS, 3 * DAY_MS),
)
WINDOWS = st.builds(
    SendingWindow,
    ZONES,
    st.frozensets(st.integers(1, 7), min_size=1),
    st.integers(0, 1439),
    st.integers(0, 1440),
)
# Around both changes of clocks in Amsterdam, and those of the other zones.
STARTS = st.sampled_from([ms("2025-10-25T12:00:00"), ms("2026-03-28T12:00:00"), ms("2025-11-25T12:00:00")])
CHANCES = st.floats(0, 1)


@settings(deadline=None, max_examples=200)
@given(
    rules=RULES,
    windows=st.lists(WINDOWS, min_size=2, max_size=2),
    start_ms=STARTS,
    steps=st.lists(st.tuples(st.integers(0, 1), CHANCES, st.integers(0, 7_200_000)), min_size=1, max_size=40),
)
def test_no_limit_is_ever_broken(
    rules: PaceRules, windows: list[SendingWindow], start_ms: int, steps: list[tuple[int, float, int]]
) -> None:
    """Two campaigns share a number: no gap too short, no hour or date too full, nothing while the window is shut."""
    pace, now_ms, times = NumberPace(), start_ms, list[int]()
    for campaign, chance, idle_ms in steps:
        found = next_send_ms(rules, pace, windows[campaign], now_ms, chance)
        assert found.at_ms >= now_ms
        assert (found.because is None) == (found.at_ms == now_ms)
        assert windows[campaign].next_open_ms(found.at_ms) == found.at_ms
        assert next_send_ms(rules, pace, windows[campaign], found.at_ms, chance) == replace(found, because=None)
        pace, now_ms = pace.after_send(rules, found.at_ms), found.at_ms + idle_ms
        times.append(found.at_ms)
    shown = [datetime.fromtimestamp(at / 1000, ZoneInfo(rules.zone)) for at in times]
    assert all(later - earlier >= rules.gap_min_ms for earlier, later in pairwise(times))
    by_hour = Counter((it.date(), it.hour, it.utcoffset()) for it in shown)
    by_date = Counter(it.date() for it in shown)
    assert rules.hourly_cap is None or max(by_hour.values()) <= rules.hourly_cap
    assert rules.daily_cap is None or max(by_date.values()) <= rules.daily_cap
    assert not rules.warm_up or max(by_date.values()) <= rules.warm_up[-1].daily_cap
    if rules.rest_after is not None:
        for first, beyond in zip(times, times[rules.rest_after :], strict=False):
            within = [at for at in times if first <= at <= beyond]
            assert max(later - earlier for earlier, later in pairwise(within)) >= rules.rest_ms


@settings(deadline=None, max_examples=200)
@given(rules=RULES, window=WINDOWS, start_ms=STARTS, chance=CHANCES, count=st.integers(0, 12), data=st.data())
def test_who_asks_later_never_hears_of_an_earlier_time(
    rules: PaceRules, window: SendingWindow, start_ms: int, chance: float, count: int, data: st.DataObject
) -> None:
    """And a slower number or a longer lock never sends sooner."""
    pace = NumberPace()
    for _ in range(count):
        pace = pace.after_send(rules, next_send_ms(rules, pace, window, start_ms, chance).at_ms)
    now_ms = start_ms + data.draw(st.integers(0, 3 * DAY_MS))
    later_ms = now_ms + data.draw(st.integers(0, 7 * DAY_MS))
    at_ms = next_send_ms(rules, pace, window, now_ms, chance).at_ms
    assert at_ms <= next_send_ms(rules, pace, window, later_ms, chance).at_ms
    assert at_ms <= next_send_ms(rules, pace.slowed(4), window, now_ms, chance).at_ms
    assert at_ms <= next_send_ms(rules, pace.locked(later_ms), window, now_ms, chance).at_ms
