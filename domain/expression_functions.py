"""What the words of an expression mean: plain functions over the events of one moment.

The age of an event that never came is infinite, its other fields are not-a-number; a time stamp ahead of the clock has
age 0. Everything is bounded: the newest 2,000 events, looked up by name in an index that is built when first asked for.
What takes a walk over events is remembered for the moment, so that asking twice costs nothing.
"""

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from domain.expression_clock import LocalClock
from domain.status_check import Event

MAX_EVENTS = 2_000

_Order = tuple[int, int]  # created_at_ms and id of an event


@dataclass(frozen=True, slots=True)
class Moment:
    """What an expression may know. `events` are sorted by (created_at_ms, id).

    `since_ms` None means all the past; a check that doesn't look back has its start there.
    """

    events: Sequence[Event]
    now_ms: int
    started_at_ms: int
    since_ms: int | None
    until_ms: int | None
    window_ended: bool = False
    time_zone: str = "UTC"


class Facts:
    """The events of one moment, ready to be asked."""

    __slots__ = ("_by_name", "_counts", "_gaps", "_minutes", "_orders", "clock", "left_out", "moment")

    def __init__(self, moment: Moment) -> None:
        self.moment = moment
        self.clock = LocalClock(moment.time_zone)
        self.left_out = max(0, len(moment.events) - MAX_EVENTS)
        self._by_name: Mapping[str, list[Event]] | None = None
        self._minutes: dict[str, list[int]] = {}
        self._counts: dict[tuple[str, int, int, int | None], int] = {}
        self._orders: dict[str, list[_Order]] = {}
        self._gaps: dict[tuple[str, str], int | None] = {}

    def named(self, name: str, within: int | None = None) -> Sequence[Event]:
        """The events with this name, of the last `within` milliseconds if given, in time order."""
        if self._by_name is None:
            self._by_name = _index(self.moment.events[-MAX_EVENTS:])
        events = self._by_name.get(name, [])
        return events if within is None else events[self._start_of(events, within) :]

    def count_between(self, name: str, start: int, end: int, within: int | None) -> int:
        """How many of `named` lie between two local minutes of the day; may cross midnight, `end` excluded."""
        asked = (name, start, end, within)
        if asked not in self._counts:
            minutes = self._minutes_of(name, within)
            low, high = min(start, end), max(start, end)
            inside = len([None for minute in minutes if low <= minute < high])
            self._counts[asked] = inside if start < end else len(minutes) - inside
        return self._counts[asked]

    def shortest_gap(self, first: str, then: str) -> int | None:
        """The least milliseconds from a `first` to a `then` after it; None if there is no such pair."""
        if (first, then) not in self._gaps:
            earlier, later = self._order_of(first), self._order_of(then)
            # From either side, the nearest partner of each event is enough.
            pairs = _nexts(earlier, later) if len(earlier) < len(later) else _previous(earlier, later)
            self._gaps[first, then] = min((after[0] - before[0] for before, after in pairs), default=None)
        return self._gaps[first, then]

    def age_ms(self, event: Event) -> int:
        """How long ago the event came."""
        return max(0, self.moment.now_ms - event.created_at_ms)

    def _minutes_of(self, name: str, within: int | None) -> Sequence[int]:
        events = self.named(name)
        if name not in self._minutes:
            self._minutes[name] = self.clock.minutes_of_day(event.created_at_ms for event in events)
        minutes = self._minutes[name]
        return minutes if within is None else minutes[self._start_of(events, within) :]

    def _order_of(self, name: str) -> Sequence[_Order]:
        if name not in self._orders:
            self._orders[name] = [(event.created_at_ms, event.id) for event in self.named(name)]
        return self._orders[name]

    def _start_of(self, events: Sequence[Event], within: int) -> int:
        return bisect_left(events, self.moment.now_ms - within, key=_created)


def symbols(names: Iterable[str], facts: Facts) -> dict[str, object]:
    """The symbol table for an expression that uses `names`: plain functions and plain values, nothing else."""
    table: dict[str, object] = {}
    for name in names:
        variable = _VARIABLES.get(name)
        table[name] = variable(facts) if variable else _bound(_FUNCTIONS[name], facts)
    return table


@dataclass(frozen=True, slots=True)
class Seen:
    """An event as an expression sees it."""

    age_seconds: float
    level: float
    _at_ms: int | None
    _facts: Facts

    @property
    def age_minutes(self) -> float:
        """Minutes since it came."""
        return self.age_seconds / 60

    @property
    def age_hours(self) -> float:
        """Hours since it came."""
        return self.age_seconds / 3_600

    @property
    def hour(self) -> float:
        """The hour of the robot's local time at which it came."""
        return math.nan if self._at_ms is None else self._facts.clock.minute_of_day(self._at_ms) // 60


_Answer = bool | float | Seen


def _created(event: Event) -> int:
    return event.created_at_ms


def _nexts(earlier: Iterable[_Order], later: Sequence[_Order]) -> Iterator[tuple[_Order, _Order]]:
    for before in earlier:
        position = bisect_right(later, before)
        if position < len(later):
            yield before, later[position]


def _previous(earlier: Sequence[_Order], later: Iterable[_Order]) -> Iterator[tuple[_Order, _Order]]:
    for after in later:
        position = bisect_left(earlier, after)
        if position:
            yield earlier[position - 1], after


def _index(events: Iterable[Event]) -> Mapping[str, list[Event]]:
    by_name: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:
        by_name[event.name].append(event)
    return by_name


def _bound(function: Callable[..., _Answer], facts: Facts) -> Callable[..., _Answer]:
    # A closure, not functools.partial: an engine that fails to refuse attributes finds less on a plain function.
    def call(*args: object, **options: object) -> _Answer:
        return function(facts, *args, **options)

    return call


def _count(facts: Facts, name: str, within: int | None = None) -> float:
    return len(facts.named(name, within))


def _exists(facts: Facts, name: str, within: int | None = None) -> bool:
    return len(facts.named(name, within)) > 0


def _new_count(facts: Facts, name: str) -> float:
    # Stamps have whole seconds: an event of the very second in which the check started counts as new.
    start_ms = facts.moment.started_at_ms // 1_000 * 1_000
    events = facts.named(name)
    return len(events) - bisect_left(events, start_ms, key=_created)


def _seen(facts: Facts, name: str, index: int) -> Seen:
    events = facts.named(name)
    if not events:
        return Seen(math.inf, math.nan, None, facts)
    event = events[index]
    level = math.nan if event.level is None else event.level
    return Seen(facts.age_ms(event) / 1_000, level, event.created_at_ms, facts)


def _age(facts: Facts, name: str) -> float:
    return _seen(facts, name, -1).age_minutes


def _level(facts: Facts, name: str) -> float:
    return _seen(facts, name, -1).level


def _absent_for(facts: Facts, name: str, span: int) -> bool:
    events = facts.named(name)
    since_ms = events[-1].created_at_ms if events else facts.moment.since_ms
    return since_ms is None or facts.moment.now_ms - since_ms >= span


def _is_between(minute: int, start: int, end: int) -> bool:
    return start <= minute < end if start < end else minute >= start or minute < end


def _between(facts: Facts, start: int, end: int) -> bool:
    return _is_between(facts.clock.minute_of_day(facts.moment.now_ms), start, end)


def _count_between(facts: Facts, name: str, start: int, end: int, within: int | None = None) -> float:
    return facts.count_between(name, start, end, within)


def _sequence(facts: Facts, first: str, then: str, within: int | None = None) -> bool:
    gap = facts.shortest_gap(first, then)
    return gap is not None and (within is None or gap <= within)


def _abs(_facts: Facts, number: float) -> float:
    return abs(number)


def _extreme(choose: Callable[[Iterable[float]], float], _facts: Facts, *numbers: float) -> float:
    # Python's own min and max answer by position when one of the numbers is not one.
    return math.nan if any(math.isnan(number) for number in numbers) else choose(numbers)


def _elapsed_minutes(facts: Facts) -> float:
    return max(0, facts.moment.now_ms - facts.moment.started_at_ms) / 60_000


def _remaining_minutes(facts: Facts) -> float:
    until_ms = facts.moment.until_ms
    return 0.0 if until_ms is None else max(0, until_ms - facts.moment.now_ms) / 60_000


def _window_ended(facts: Facts) -> bool:
    return facts.moment.window_ended


_FUNCTIONS: Mapping[str, Callable[..., _Answer]] = MappingProxyType(
    {
        "count": _count,
        "exists": _exists,
        "new_count": _new_count,
        "first": lambda facts, name: _seen(facts, name, 0),
        "last": lambda facts, name: _seen(facts, name, -1),
        "age": _age,
        "absent_for": _absent_for,
        "between": _between,
        "count_between": _count_between,
        "sequence": _sequence,
        "level": _level,
        "abs": _abs,
        "min": partial(_extreme, min),
        "max": partial(_extreme, max),
    }
)
_VARIABLES: Mapping[str, Callable[[Facts], bool | float]] = MappingProxyType(
    {
        "elapsed_minutes": _elapsed_minutes,
        "remaining_minutes": _remaining_minutes,
        "window_ended": _window_ended,
    }
)
