"""The days of a monitoring rule: from which instant to which a home is watched, given local times and a time zone.

A window over midnight belongs to the day on which it starts. Where clocks are changed, a local time that does not exist
is the first that does; one that exists twice is the first for a start and the second for an end, so that a home is
rather watched for an hour more. A day never reaches into the next one of its rule.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from domain.errors import ConfigError

MIDNIGHT = 24 * 60  # as the minute of an end: the end of the day
_LONGEST_SEARCH = 8  # days that a change of clocks may swallow in a row, with much to spare


@dataclass(frozen=True, slots=True)
class Day:
    """One day of a rule: the local date on which it starts, and its two instants in UTC milliseconds."""

    date: date
    starts_ms: int
    ends_ms: int

    def holds(self, at_ms: int) -> bool:
        """Whether the home is watched at this instant; the end itself is outside."""
        return self.starts_ms <= at_ms < self.ends_ms


@dataclass(frozen=True, slots=True)
class DailyWindow:
    """Local times as minutes since midnight. An end at or before the start is one of the next day."""

    zone: str
    start_minute: int
    end_minute: int

    def day(self, on: date) -> Day | None:
        """The day that starts on this local date, or None where a change of clocks leaves nothing of it."""
        ends_on = on if self.end_minute > self.start_minute else on + timedelta(days=1)
        starts_ms = _instant_ms(self.zone, on, self.start_minute, second=False)
        next_starts_ms = _instant_ms(self.zone, on + timedelta(days=1), self.start_minute, second=False)
        ends_ms = min(_instant_ms(self.zone, ends_on, self.end_minute, second=True), next_starts_ms)
        return Day(on, starts_ms, ends_ms) if starts_ms < ends_ms else None

    def day_at(self, at_ms: int) -> Day | None:
        """The day that holds this instant, or None."""
        today = _local_date(self.zone, at_ms)
        days = (self.day(today - timedelta(days=back)) for back in (0, 1))
        return next((day for day in days if day is not None and day.holds(at_ms)), None)

    def next_day(self, after_ms: int) -> Day:
        """The first day that starts at `after_ms` or later."""
        today = _local_date(self.zone, after_ms)
        for ahead in range(_LONGEST_SEARCH):
            day = self.day(today + timedelta(days=ahead))
            if day is not None and day.starts_ms >= after_ms:
                return day
        raise AssertionError(f"no day within {_LONGEST_SEARCH} days")  # no zone has ever done that


@lru_cache(maxsize=256)
def zone_of(name: str) -> ZoneInfo:
    """An IANA zone. Raises ValueError for an unknown name, ConfigError where the machine has no zones at all."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    try:
        ZoneInfo("Europe/Amsterdam")
    except ZoneInfoNotFoundError:
        raise ConfigError(
            "this machine has no time zone database: install the package tzdata of the system, "
            "or name the folder of one in PYTHONTZPATH"
        ) from None
    raise ValueError("unknown time zone; expected an IANA name such as Europe/Amsterdam")


def _local_date(zone: str, at_ms: int) -> date:
    return datetime.fromtimestamp(at_ms // 1000, zone_of(zone)).date()


def _instant_ms(zone: str, on: date, minute: int, *, second: bool) -> int:
    """When a local time comes; `second`: the later one where it comes twice."""
    if minute == MIDNIGHT:
        on, minute = on + timedelta(days=1), 0
    local = datetime(on.year, on.month, on.day, minute // 60, minute % 60, tzinfo=zone_of(zone), fold=int(second))
    at = local.astimezone(UTC)
    if at.astimezone(local.tzinfo).replace(tzinfo=None) == local.replace(tzinfo=None):
        return _ms(at)
    return _end_of_gap_ms(local)


def _end_of_gap_ms(local: datetime) -> int:
    """The change of clocks that skips this local time, found by halving: its first instant after the gap."""
    before, after = (_ms(local.replace(fold=fold).astimezone(UTC)) // 1000 for fold in (1, 0))
    offset = datetime.fromtimestamp(after, local.tzinfo).utcoffset()
    while after - before > 1:
        middle = (before + after) // 2
        if datetime.fromtimestamp(middle, local.tzinfo).utcoffset() == offset:
            after = middle
        else:
            before = middle
    return after * 1000


def _ms(at: datetime) -> int:
    return round(at.timestamp()) * 1000
