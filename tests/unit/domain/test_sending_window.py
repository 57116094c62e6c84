"""Sending windows: hand-checked instants, among them both days on which Amsterdam changes its clocks."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.monitor_days import MIDNIGHT
from domain.sending_window import (
    EVERY_DAY,
    MOST_EXCLUDED,
    NEVER_MS,
    BothOpen,
    SendingWindow,
    hour_ms,
    local_date,
    next_date_ms,
)

AMSTERDAM = "Europe/Amsterdam"
WORKDAYS = frozenset({1, 2, 3, 4, 5})


def minute(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def window(start: str, end: str, days: frozenset[int] = EVERY_DAY, *excluded: str) -> SendingWindow:
    dates = frozenset(date.fromisoformat(on) for on in excluded)
    return SendingWindow(AMSTERDAM, days, minute(start), minute(end), dates)


def ms(utc: str) -> int:
    return round(datetime.fromisoformat(f"{utc}:00+00:00").timestamp()) * 1000


def utc(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M")


@pytest.mark.parametrize(
    ("opening", "now", "opens"),
    [
        # a Tuesday in winter, an hour ahead of UTC
        (window("09:00", "18:00"), "2025-11-25T07:59", "2025-11-25T08:00"),
        (window("09:00", "18:00"), "2025-11-25T08:00", "2025-11-25T08:00"),
        (window("09:00", "18:00"), "2025-11-25T16:59", "2025-11-25T16:59"),
        (window("09:00", "18:00"), "2025-11-25T17:00", "2025-11-26T08:00"),
        # from Friday evening to Monday
        (window("09:00", "18:00", WORKDAYS), "2025-11-28T17:00", "2025-12-01T08:00"),
        # over Christmas and the weekend after it
        (window("09:00", "18:00", WORKDAYS, "2025-12-25", "2025-12-26"), "2025-12-24T17:00", "2025-12-29T08:00"),
        # over midnight: the night belongs to its evening
        (window("22:00", "06:00", WORKDAYS), "2025-11-29T03:00", "2025-11-29T03:00"),
        (window("22:00", "06:00", WORKDAYS), "2025-11-29T05:00", "2025-12-01T21:00"),
        (window("22:00", "06:00", WORKDAYS), "2025-11-30T22:00", "2025-12-01T21:00"),
        # nothing on an excluded date, also not what is left of the night before
        (window("22:00", "06:00", EVERY_DAY, "2025-12-25"), "2025-12-24T22:59", "2025-12-24T22:59"),
        (window("22:00", "06:00", EVERY_DAY, "2025-12-25"), "2025-12-24T23:00", "2025-12-26T21:00"),
        # always
        (SendingWindow(), "2025-11-25T23:59", "2025-11-25T23:59"),
        # 2025-10-26, 25 hours: at 03:00 summer time (01:00 UTC) it is 02:00 again
        (window("09:00", "18:00"), "2025-10-25T17:00", "2025-10-26T08:00"),
        (window("09:00", "18:00"), "2025-10-26T17:00", "2025-10-27T08:00"),
        (window("02:30", "04:00"), "2025-10-25T23:00", "2025-10-26T00:30"),
        (window("01:00", "02:30"), "2025-10-26T01:29", "2025-10-26T01:29"),
        (window("01:00", "02:30"), "2025-10-26T01:30", "2025-10-27T00:00"),
        # 2026-03-29, 23 hours: at 02:00 winter time (01:00 UTC) it is 03:00
        (window("09:00", "18:00"), "2026-03-28T17:00", "2026-03-29T07:00"),
        (window("02:30", "04:00"), "2026-03-29T00:00", "2026-03-29T01:00"),
        (window("02:15", "02:45"), "2026-03-28T12:00", "2026-03-30T00:15"),
    ],
)
def test_a_window_opens_by_the_clock_on_the_wall(opening: SendingWindow, now: str, opens: str) -> None:
    """Days of the week, nights, holidays and changed clocks included."""
    assert utc(opening.next_open_ms(ms(now))) == opens


def test_a_window_closes_where_its_day_ends_or_an_excluded_date_begins() -> None:
    """The same instant that `next_open_ms` goes beyond."""
    assert utc(window("09:00", "18:00").closes_ms(ms("2025-11-25T12:00"))) == "2025-11-25T17:00"
    assert utc(window("09:00", "18:00").closes_ms(ms("2025-11-25T18:00"))) == "2025-11-26T17:00"
    night = window("22:00", "06:00", EVERY_DAY, "2025-12-25")
    assert utc(night.closes_ms(ms("2025-12-24T22:00"))) == "2025-12-24T23:00"


@pytest.mark.parametrize(
    ("wrong", "about"),
    [
        ({"zone": "Europe/Atlantis"}, "unknown time zone"),
        ({"weekdays": frozenset[int]()}, "never opens"),
        ({"weekdays": frozenset({0, 1})}, "days of the week"),
        ({"start_minute": MIDNIGHT}, "00:00 to 23:59"),
        ({"start_minute": -1}, "00:00 to 23:59"),
        ({"end_minute": MIDNIGHT + 1}, "00:00 to 23:59"),
        ({"excluded": frozenset(date(2026, 1, 1) + timedelta(days=n) for n in range(MOST_EXCLUDED + 1))}, "at most"),
    ],
)
def test_a_window_that_never_opens_is_refused_when_it_is_made(wrong: dict[str, object], about: str) -> None:
    """So that no wait is without an end."""
    with pytest.raises(ValueError, match=about):
        SendingWindow(**wrong)  # type: ignore[arg-type]  # wrong values are what is proved here


def test_a_window_with_as_many_excluded_dates_as_there_may_be_still_opens() -> None:
    """Every Monday for nineteen years is excluded; the next one is found."""
    monday = date(2026, 1, 5)
    mondays = frozenset(monday + timedelta(weeks=week) for week in range(MOST_EXCLUDED))
    rare = SendingWindow("UTC", frozenset({1}), excluded=mondays)
    assert local_date("UTC", rare.next_open_ms(ms("2026-01-01T00:00"))) == monday + timedelta(weeks=MOST_EXCLUDED)


def test_a_date_that_a_country_left_out_can_be_excluded() -> None:
    """Samoa went from 29 to 31 December 2011: the night before ends at midnight all the same."""
    night = SendingWindow("Pacific/Apia", EVERY_DAY, minute("22:00"), minute("06:00"), frozenset({date(2011, 12, 30)}))
    at = ms("2011-12-30T09:00")  # 23:00 on the 29th
    assert night.next_open_ms(at) == at
    assert utc(night.closes_ms(at)) == "2011-12-30T10:00"


@pytest.mark.parametrize(
    ("now", "hour", "next_date"),
    [
        ("2025-10-26T00:59", "2025-10-26T00:00", "2025-10-26T23:00"),  # 02:59, the first time
        ("2025-10-26T01:00", "2025-10-26T01:00", "2025-10-26T23:00"),  # 02:00, the second time
        ("2026-03-29T00:59", "2026-03-29T00:00", "2026-03-29T22:00"),
        ("2026-03-28T23:00", "2026-03-28T23:00", "2026-03-29T22:00"),
    ],
)
def test_hours_and_dates_are_those_of_the_zone(now: str, hour: str, next_date: str) -> None:
    """An hour that comes twice counts as two; a date is as long as its clocks make it."""
    assert (utc(hour_ms(AMSTERDAM, ms(now))), utc(next_date_ms(AMSTERDAM, ms(now)))) == (hour, next_date)


def test_an_hour_begins_where_the_zone_says() -> None:
    """In Kathmandu 11:50 is 5:45 ahead of UTC."""
    assert utc(hour_ms("Asia/Kathmandu", ms("2025-11-25T06:05"))) == "2025-11-25T05:15"


MINUTES = st.integers(0, MIDNIGHT - 1)
WINDOWS = st.builds(
    SendingWindow,
    st.sampled_from([AMSTERDAM, "Australia/Lord_Howe", "America/Havana", "Asia/Kathmandu", "UTC"]),
    st.frozensets(st.integers(1, 7), min_size=1),
    MINUTES,
    st.integers(0, MIDNIGHT),
    st.frozensets(st.dates(date(2025, 10, 1), date(2026, 5, 1)), max_size=20),
)
INSTANTS = st.integers(ms("2025-10-01T00:00"), ms("2026-05-01T00:00"))


def is_open(opening: SendingWindow, at_ms: int) -> bool:
    """By the clock on the wall alone."""
    shown = datetime.fromtimestamp(at_ms / 1000, ZoneInfo(opening.zone))
    at, yesterday = shown.hour * 60 + shown.minute, shown.date() - timedelta(days=1)
    is_over_midnight = opening.end_minute <= opening.start_minute
    this = at >= opening.start_minute and (is_over_midnight or at < opening.end_minute)
    last = is_over_midnight and at < opening.end_minute
    if shown.date() in opening.excluded:
        return False
    return (this and shown.isoweekday() in opening.weekdays) or (
        last and yesterday.isoweekday() in opening.weekdays and yesterday not in opening.excluded
    )


def clocks_change(zone: str, at_ms: int) -> bool:
    """Within a day and a half of the instant."""
    offsets = {
        datetime.fromtimestamp(at_ms / 1000 + hours * 3600, ZoneInfo(zone)).utcoffset() for hours in range(-36, 37)
    }
    return len(offsets) > 1


@settings(deadline=None)
@given(opening=WINDOWS, now_ms=INSTANTS)
def test_a_window_opens_at_the_first_instant_that_the_wall_clock_allows(opening: SendingWindow, now_ms: int) -> None:
    """Open where it says, shut at every quarter of an hour before; around changed clocks the table above counts."""
    opens_ms = opening.next_open_ms(now_ms)
    assert opens_ms >= now_ms
    assert opening.next_open_ms(opens_ms) == opens_ms
    if clocks_change(opening.zone, opens_ms):
        return
    assert is_open(opening, opens_ms)
    before = range(now_ms, min(opens_ms, now_ms + 10 * 86_400_000), 900_000)
    assert not [at for at in before if is_open(opening, at) and not clocks_change(opening.zone, at)]


@settings(deadline=None)
@given(opening=WINDOWS, now_ms=INSTANTS, later_ms=st.integers(0, 20 * 86_400_000))
def test_who_asks_later_never_hears_of_an_earlier_opening(opening: SendingWindow, now_ms: int, later_ms: int) -> None:
    """Also over changed clocks and excluded dates; and a window closes after it opens."""
    opens_ms = opening.next_open_ms(now_ms)
    assert opens_ms <= opening.next_open_ms(now_ms + later_ms)
    assert opens_ms < opening.closes_ms(now_ms) == opening.closes_ms(opens_ms)


@settings(deadline=None, max_examples=60)
@given(one=WINDOWS, other=WINDOWS, now_ms=INSTANTS)
def test_two_windows_are_open_where_each_is(one: SendingWindow, other: SendingWindow, now_ms: int) -> None:
    """The first instant that both allow, and no quarter of an hour before it; or none for years."""
    both = BothOpen(one, other)
    opens_ms = both.next_open_ms(now_ms)
    if opens_ms == NEVER_MS:
        return
    assert opens_ms >= now_ms
    assert one.next_open_ms(opens_ms) == other.next_open_ms(opens_ms) == opens_ms
    assert opens_ms < both.closes_ms(now_ms) == min(one.closes_ms(opens_ms), other.closes_ms(opens_ms))
    before = range(now_ms, min(opens_ms, now_ms + 5 * 86_400_000), 900_000)
    assert not [at for at in before if one.next_open_ms(at) == other.next_open_ms(at) == at]


def test_windows_that_never_meet_are_told_from_those_that_meet_late() -> None:
    """Mondays and Tuesdays never do; the first of a row of excluded days comes."""
    monday, tuesday = SendingWindow(weekdays=frozenset({1})), SendingWindow(weekdays=frozenset({2}))
    assert BothOpen(monday, tuesday).next_open_ms(ms("2025-11-25T00:00")) == NEVER_MS
    assert BothOpen(monday, tuesday).closes_ms(ms("2025-11-25T00:00")) == NEVER_MS
    shut = SendingWindow(excluded=frozenset(date(2025, 11, 25) + timedelta(days=day) for day in range(400)))
    assert utc(BothOpen(monday, shut).next_open_ms(ms("2025-11-25T00:00"))) == "2027-01-04T00:00"
