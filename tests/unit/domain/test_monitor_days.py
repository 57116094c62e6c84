"""Days of rules: hand-checked instants, among them both days on which Amsterdam changes its clocks."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import monitor_days
from domain.errors import ConfigError
from domain.monitor_days import MIDNIGHT, DailyWindow, Day, zone_of

AMSTERDAM = "Europe/Amsterdam"


def minute(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def daily(start: str, end: str, zone: str = AMSTERDAM) -> DailyWindow:
    return DailyWindow(zone, minute(start), minute(end))


def ms(utc: str) -> int:
    return round(datetime.fromisoformat(f"{utc}:00+00:00").timestamp()) * 1000


def utc(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M")


@pytest.mark.parametrize(
    ("on", "start", "end", "starts", "ends"),
    [
        # in winter, an hour ahead of UTC
        ("2025-11-25", "08:00", "20:00", "2025-11-25T07:00", "2025-11-25T19:00"),
        # in summer, two hours
        ("2025-07-01", "08:00", "20:00", "2025-07-01T06:00", "2025-07-01T18:00"),
        # over midnight
        ("2025-11-25", "22:00", "06:00", "2025-11-25T21:00", "2025-11-26T05:00"),
        ("2025-11-25", "22:00", "00:00", "2025-11-25T21:00", "2025-11-25T23:00"),
        ("2025-11-25", "00:00", "24:00", "2025-11-24T23:00", "2025-11-25T23:00"),
        # 2025-10-26, 25 hours: at 03:00 summer time (01:00 UTC) it is 02:00 again
        ("2025-10-26", "00:00", "24:00", "2025-10-25T22:00", "2025-10-26T23:00"),
        ("2025-10-26", "08:00", "20:00", "2025-10-26T07:00", "2025-10-26T19:00"),
        ("2025-10-25", "22:00", "06:00", "2025-10-25T20:00", "2025-10-26T05:00"),
        ("2025-10-26", "02:30", "04:00", "2025-10-26T00:30", "2025-10-26T03:00"),  # the first 02:30
        ("2025-10-26", "01:00", "02:30", "2025-10-25T23:00", "2025-10-26T01:30"),  # the second 02:30
        ("2025-10-26", "02:15", "02:45", "2025-10-26T00:15", "2025-10-26T01:45"),
        # 2026-03-29, 23 hours: at 02:00 winter time (01:00 UTC) it is 03:00
        ("2026-03-29", "00:00", "24:00", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("2026-03-29", "08:00", "20:00", "2026-03-29T06:00", "2026-03-29T18:00"),
        ("2026-03-28", "22:00", "06:00", "2026-03-28T21:00", "2026-03-29T04:00"),
        ("2026-03-29", "02:30", "04:00", "2026-03-29T01:00", "2026-03-29T02:00"),  # 02:30 is not there: 03:00
        ("2026-03-29", "01:00", "02:30", "2026-03-29T00:00", "2026-03-29T01:00"),
    ],
)
def test_a_day_begins_and_ends_by_the_clock_on_the_wall(on: str, start: str, end: str, starts: str, ends: str) -> None:
    """Local times become these instants."""
    day = daily(start, end).day(date.fromisoformat(on))
    assert day is not None
    assert (utc(day.starts_ms), utc(day.ends_ms)) == (starts, ends)


def test_a_day_that_a_change_of_clocks_swallows_is_none() -> None:
    """From 02:15 to 02:45 there is nothing on the day that has no such half hour; the next day is the next."""
    window = daily("02:15", "02:45")
    assert window.day(date(2026, 3, 29)) is None
    assert window.next_day(ms("2026-03-28T12:00")).date == date(2026, 3, 30)


def test_a_date_that_a_country_left_out_has_no_day() -> None:
    """Samoa went from 29 to 31 December 2011."""
    window = daily("08:00", "20:00", "Pacific/Apia")
    assert window.day(date(2011, 12, 30)) is None
    assert window.next_day(ms("2011-12-30T07:00")).date == date(2011, 12, 31)


def test_a_day_never_reaches_into_the_next() -> None:
    """Where the end comes twice after the next start, the next start is the end."""
    window = daily("02:45", "02:15")
    days = [window.day(date(2025, 10, 25)), window.day(date(2025, 10, 26))]
    assert [(utc(day.starts_ms), utc(day.ends_ms)) for day in days if day is not None] == [
        ("2025-10-25T00:45", "2025-10-26T00:45"),
        ("2025-10-26T00:45", "2025-10-27T01:15"),
    ]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2025-11-25T20:59", None),
        ("2025-11-25T21:00", date(2025, 11, 25)),
        ("2025-11-26T04:59", date(2025, 11, 25)),
        ("2025-11-26T05:00", None),
    ],
)
def test_a_day_holds_its_start_and_not_its_end(at: str, expected: date | None) -> None:
    """Also after midnight."""
    day = daily("22:00", "06:00").day_at(ms(at))
    assert (None if day is None else day.date) == expected


def test_the_next_day_may_begin_at_once() -> None:
    """A day that starts at this very instant is the next one; a millisecond later it is tomorrow's."""
    window = daily("08:00", "20:00")
    assert window.next_day(ms("2025-11-25T07:00")).date == date(2025, 11, 25)
    assert window.next_day(ms("2025-11-25T07:00") + 1).date == date(2025, 11, 26)


def test_an_unknown_zone_is_told() -> None:
    """With an example of what is expected."""
    with pytest.raises(ValueError, match="IANA name such as Europe/Amsterdam"):
        zone_of("Europe/Atlantis")


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "/etc/passwd", "Europe/Amsterdam\x00", "Europe"])
def test_a_zone_s_name_is_no_path(name: str) -> None:
    """Odd names are unknown zones and nothing else."""
    with pytest.raises(ValueError, match="unknown time zone"):
        zone_of(name)


def test_a_machine_without_time_zones_is_a_matter_of_its_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a mistake in the rules: the message names the package that is missing."""

    def nothing(name: str) -> ZoneInfo:
        raise ZoneInfoNotFoundError(name)

    zone_of.cache_clear()
    monkeypatch.setattr(monitor_days, "ZoneInfo", nothing)
    with pytest.raises(ConfigError, match="tzdata"):
        zone_of(AMSTERDAM)


ZONES = st.sampled_from([AMSTERDAM, "Australia/Lord_Howe", "America/Havana", "Pacific/Apia", "Africa/Cairo", "UTC"])


@settings(deadline=None)  # a busy machine
@given(
    zone=ZONES,
    start=st.integers(0, MIDNIGHT - 1),
    end=st.integers(1, MIDNIGHT),
    first=st.dates(date(2007, 1, 1), date(2030, 1, 1)),
)
def test_days_follow_each_other_and_never_overlap(zone: str, start: int, end: int, first: date) -> None:
    """In any zone, over any change of clocks, each instant belongs to at most one day, and `next_day` skips none."""
    window = DailyWindow(zone, start, end)
    days = [day for ahead in range(5) if (day := window.day(first + timedelta(days=ahead))) is not None]
    for day, later in pairwise(days):
        assert day.starts_ms < day.ends_ms <= later.starts_ms
        assert window.next_day(day.starts_ms + 1) == later
    for day in days:
        assert window.day_at(day.starts_ms) == window.day_at(day.ends_ms - 1) == day
        assert window.day_at(day.ends_ms) == _next(window, day)


def _next(window: DailyWindow, day: Day) -> Day | None:
    later = window.next_day(day.ends_ms)
    return later if later.starts_ms == day.ends_ms else None
