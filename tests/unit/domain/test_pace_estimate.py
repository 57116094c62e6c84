"""When a campaign will be done: hand-checked, and against sending it message by message."""

from datetime import UTC, datetime
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.pace import DAY_MS, HOUR_MS, LATEST_MS, NumberPace, PaceRules, WarmUpStep, next_send_ms
from domain.pace_estimate import estimate_end_ms
from domain.sending_window import EVERY_DAY, SendingWindow

AMSTERDAM = "Europe/Amsterdam"
ALWAYS = SendingWindow()
OFFICE = SendingWindow(AMSTERDAM, frozenset({1, 2, 3, 4, 5}), 9 * 60, 18 * 60)


def ms(utc: str) -> int:
    return round(datetime.fromisoformat(f"{utc}+00:00").timestamp() * 1000)


def utc(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds").removesuffix("+00:00")


NOON = "2025-11-25T12:00:00"  # a Tuesday, 13:00 in Amsterdam


@pytest.mark.parametrize(
    ("rules", "window", "count", "expected"),
    [
        (PaceRules(), ALWAYS, 0, NOON),
        (PaceRules(), ALWAYS, 1, NOON),
        (PaceRules(), ALWAYS, 11, "2025-11-25T12:01:30"),
        (PaceRules(), ALWAYS, 1001, "2025-11-25T14:30:00"),  # 9 s each: two and a half hours
        (PaceRules(), ALWAYS, 10_001, "2025-11-26T13:00:00"),  # 25 hours
        (PaceRules(gap_min_ms=30_000, gap_max_ms=60_000), ALWAYS, 1001, "2025-11-26T00:30:00"),
        (PaceRules(gap_min_ms=0, gap_max_ms=0), ALWAYS, 1_000_000, NOON),
        # five hours to 18:00 hold 2,000; then nine hours the next day
        (PaceRules(), OFFICE, 2000, "2025-11-25T16:59:51"),
        (PaceRules(), OFFICE, 2001, "2025-11-26T08:00:00"),
        (PaceRules(daily_cap=3), ALWAYS, 7, "2025-11-27T00:00:00"),
        (PaceRules(hourly_cap=10), ALWAYS, 25, "2025-11-25T14:00:36"),
        (PaceRules(rest_after=5, rest_ms=600_000), ALWAYS, 10, "2025-11-25T12:11:12"),
        (PaceRules(warm_up=(WarmUpStep(0, 2), WarmUpStep(1, 5))), ALWAYS, 7, "2025-11-26T12:00:18"),
    ],
)
def test_the_end_is_where_the_limits_put_it(rules: PaceRules, window: SendingWindow, count: int, expected: str) -> None:
    """The last message of a number that has not sent yet, gaps being average."""
    assert utc(estimate_end_ms(rules, NumberPace(), window, count, ms(NOON))) == expected


def test_what_a_number_has_sent_already_counts() -> None:
    """The cap of today is used up, and the number is slow."""
    rules = PaceRules(daily_cap=2)
    pace = NumberPace().after_send(rules, ms(NOON)).after_send(rules, ms(NOON) + 9_000).slowed(4)
    assert utc(estimate_end_ms(rules, pace, ALWAYS, 2, ms(NOON))) == "2025-11-26T00:00:36"


CROWDED = PaceRules(zone=AMSTERDAM, hourly_cap=30, daily_cap=200, rest_after=10, rest_ms=600_000)


@pytest.mark.parametrize(
    ("rules", "window", "days"),
    [
        (PaceRules(daily_cap=1), ALWAYS, 100_000),
        (PaceRules(daily_cap=1), OFFICE, 140_000),
        (PaceRules(hourly_cap=6), ALWAYS, 100_000 / 6 / 24),
        (PaceRules(rest_after=3, rest_ms=60_000), ALWAYS, 100_000 * 78 / 3 / 86_400),
        (CROWDED, ALWAYS, 500),
        (CROWDED, OFFICE, 700),
    ],
)
def test_a_long_campaign_is_estimated_at_once(rules: PaceRules, window: SendingWindow, days: float) -> None:
    """100,000 contacts: within a twentieth of the truth."""
    began = perf_counter()
    end_ms = estimate_end_ms(rules, NumberPace(), window, 100_000, ms(NOON))
    assert perf_counter() - began < 5  # a fraction of a second on a machine that has nothing else to do
    assert (end_ms - ms(NOON)) / DAY_MS == pytest.approx(days, rel=0.05)


def test_no_estimate_is_beyond_the_dates_that_there_are() -> None:
    """A million messages, one each Monday."""
    mondays = SendingWindow("UTC", frozenset({1}))
    assert estimate_end_ms(PaceRules(daily_cap=1), NumberPace(), mondays, 10**6, ms(NOON)) == LATEST_MS


RULES = st.builds(
    PaceRules,
    gap_min_ms=st.integers(0, 600_000),
    gap_max_ms=st.integers(0, 900_000),
    zone=st.sampled_from([AMSTERDAM, "Australia/Lord_Howe", "Asia/Kathmandu"]),
    hourly_cap=st.none() | st.integers(1, 5),
    daily_cap=st.none() | st.integers(1, 9),
    rest_after=st.none() | st.integers(1, 6),
    rest_ms=st.integers(0, 3 * HOUR_MS),
    warm_up=st.sampled_from([(), (WarmUpStep(0, 1), WarmUpStep(1, 4), WarmUpStep(2, 30))]),
)
WINDOWS = st.builds(
    SendingWindow, st.just(AMSTERDAM), st.just(EVERY_DAY) | st.just(frozenset({2, 7})), st.integers(0, 1439),
    st.integers(0, 1440),
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(rules=RULES, window=WINDOWS, count=st.integers(1, 60), start=st.sampled_from(["2025-10-25T12:00:00", NOON]))
def test_a_short_campaign_ends_exactly_when_its_last_message_goes_out(
    rules: PaceRules, window: SendingWindow, count: int, start: str
) -> None:
    """As if every message had been sent after an average gap; one more contact never ends sooner."""
    pace, now_ms = NumberPace(), ms(start)
    for _ in range(count):
        now_ms = next_send_ms(rules, pace, window, now_ms, 0.5).at_ms
        pace = pace.after_send(rules, now_ms)
    assert estimate_end_ms(rules, NumberPace(), window, count, ms(start)) == now_ms
    assert estimate_end_ms(rules, NumberPace(), window, count + 1, ms(start)) >= now_ms
