"""The robot's local time, as expressions ask for it."""

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from domain.expression_words import Unanswerable

_DAY_S = 86_400


class LocalClock:
    """What the clock on the wall shows in one time zone. A wrong zone is noticed when it is asked."""

    __slots__ = ("_name", "_zone")

    def __init__(self, time_zone: str) -> None:
        self._name = time_zone
        self._zone: ZoneInfo | None = None

    def minute_of_day(self, at_ms: int) -> int:
        """Minutes after midnight. Raises Unanswerable."""
        local = self._at(at_ms // 1_000)
        return local.hour * 60 + local.minute

    def minutes_of_day(self, stamps_ms: Iterable[int]) -> list[int]:
        """`minute_of_day` of each, quickest in time order: a zone is asked twice a day, not for each stamp."""
        minutes: list[int] = []
        known_day, offset_s = None, None
        for at_ms in stamps_ms:
            day, second = divmod(at_ms // 1_000, _DAY_S)
            if day != known_day:
                known_day, offset_s = day, self._offset_of(day)
            minutes.append(self.minute_of_day(at_ms) if offset_s is None else (second + offset_s) // 60 % 1_440)
        return minutes

    def _offset_of(self, day: int) -> int | None:
        """Seconds ahead of UTC for the whole of a UTC day; None for a day on which the clocks change."""
        first, last = self._at(day * _DAY_S).utcoffset(), self._at((day + 1) * _DAY_S).utcoffset()
        return int(first.total_seconds()) if first is not None and first == last else None

    def _at(self, at_s: int) -> datetime:
        try:
            if self._zone is None:
                self._zone = ZoneInfo(self._name)
            return datetime.fromtimestamp(at_s, self._zone)
        except (LookupError, OSError, ValueError, OverflowError):
            raise Unanswerable("the robot's local time is not known: its time zone or a time stamp is wrong") from None
