"""When messages may go out at all: days of the week and local times of one zone, less some dates.

A window over midnight belongs to the day on which it starts. Clock changes are those of `domain.monitor_days`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Protocol

from domain.monitor_days import MIDNIGHT, DailyWindow, Day, zone_of

EVERY_DAY = frozenset(range(1, 8))
MOST_EXCLUDED = 1000  # dates: almost three years
_DAYS_OF_WEEK = 7
_SWALLOWED = 8  # days that changes of clocks may take in a row, with much to spare
_MOST_TURNS = 1500  # openings that are looked at until two windows meet: years, where each opens once a day
NEVER_MS = 32_503_680_000_000  # the year 3000


@dataclass(frozen=True, slots=True)
class SendingWindow:
    """When messages may go out; as it is by default, always.

    `weekdays` are 1 (Monday) to 7 (Sunday). The times are minutes since midnight in `zone`; an end at or before the
    start is one of the next day, 1440 the end of the day. On an `excluded` date nothing goes out: its own window stays
    shut, and one of the day before ends at midnight. Raises ValueError for a window that never opens.
    """

    zone: str = "UTC"
    weekdays: frozenset[int] = EVERY_DAY
    start_minute: int = 0
    end_minute: int = MIDNIGHT
    excluded: frozenset[date] = frozenset()

    def __post_init__(self) -> None:
        zone_of(self.zone)
        if not self.weekdays:
            raise ValueError("a window without a day of the week never opens: name at least one")
        if not self.weekdays <= EVERY_DAY:
            raise ValueError("days of the week are 1 (Monday) to 7 (Sunday)")
        if not 0 <= self.start_minute < MIDNIGHT or not 0 <= self.end_minute <= MIDNIGHT:
            raise ValueError("a window starts at 00:00 to 23:59 and ends at 00:00 to 24:00")
        if len(self.excluded) > MOST_EXCLUDED:
            raise ValueError(f"at most {MOST_EXCLUDED} dates can be excluded: leave out those that are over")

    def next_open_ms(self, now_ms: int) -> int:
        """The first instant from `now_ms` on at which messages may go out: `now_ms` itself while it is open."""
        return max(now_ms, self._span(now_ms).starts_ms)

    def closes_ms(self, now_ms: int) -> int:
        """When the window closes that is open at `now_ms`, or else opens next; the next may open at that instant."""
        return self._span(now_ms).ends_ms

    def _span(self, now_ms: int) -> Day:
        """The first day of the window that is not over."""
        return next(span for on in self._dates(now_ms) if (span := _open(self, on)) and span.ends_ms > now_ms)

    def _dates(self, now_ms: int) -> Iterator[date]:
        """From yesterday on, because yesterday's window may reach over midnight; enough for one that is open."""
        today = local_date(self.zone, now_ms)
        for ahead in range(-1, _DAYS_OF_WEEK * (len(self.excluded) + _SWALLOWED)):
            on = today + timedelta(days=ahead)
            if on.isoweekday() in self.weekdays and on not in self.excluded:
                yield on


class Opens(Protocol):
    """When messages may go out: one window, or several that have to be open together."""

    def next_open_ms(self, now_ms: int) -> int:
        """The first instant from `now_ms` on at which messages may go out."""
        ...

    def closes_ms(self, now_ms: int) -> int:
        """When that ends which is open at `now_ms`, or else opens next."""
        ...


@dataclass(frozen=True, slots=True)
class BothOpen:
    """Open while both windows are: that of a number, and the narrower one of a campaign."""

    one: SendingWindow
    other: SendingWindow

    def next_open_ms(self, now_ms: int) -> int:
        """The first instant at which both are open; the year 3000 where that never comes."""
        at_ms = now_ms
        for _ in range(_MOST_TURNS):
            opens_ms = self.other.next_open_ms(self.one.next_open_ms(at_ms))
            if self.one.next_open_ms(opens_ms) == opens_ms:
                return opens_ms
            at_ms = opens_ms
        return NEVER_MS

    def closes_ms(self, now_ms: int) -> int:
        """When the first of both closes."""
        opens_ms = self.next_open_ms(now_ms)
        return min(self.one.closes_ms(opens_ms), self.other.closes_ms(opens_ms)) if opens_ms < NEVER_MS else NEVER_MS


def local_date(zone: str, at_ms: int) -> date:
    """The date on the wall of this zone."""
    return datetime.fromtimestamp(at_ms // 1000, zone_of(zone)).date()


def next_date_ms(zone: str, at_ms: int) -> int:
    """When the next date begins in this zone; always later than `at_ms`."""
    return _whole_days(zone).next_day(at_ms + 1).starts_ms


def hour_ms(zone: str, at_ms: int) -> int:
    """When the hour began that the clocks of this zone show; an hour that comes twice counts as two."""
    at_s = at_ms // 1000
    shown = datetime.fromtimestamp(at_s, zone_of(zone))
    return (at_s - shown.minute * 60 - shown.second) * 1000


@lru_cache(maxsize=512)
def _open(window: SendingWindow, on: date) -> Day | None:
    day = DailyWindow(window.zone, window.start_minute, window.end_minute).day(on)
    morrow = on + timedelta(days=1)
    if day is None or morrow not in window.excluded:
        return day
    shut = _whole_days(window.zone).day(morrow)
    ends_ms = day.ends_ms if shut is None else min(day.ends_ms, shut.starts_ms)
    return Day(on, day.starts_ms, ends_ms) if day.starts_ms < ends_ms else None


@lru_cache(maxsize=64)
def _whole_days(zone: str) -> DailyWindow:
    return DailyWindow(zone, 0, MIDNIGHT)
