"""Many homes with one status check each, and what must become of every check, said in plain Python from the raw events.

Nothing here knows of templates or expressions: each rule below says once more, in its own words, what a template's
description promises. `home_of` draws a home from its number, so that every run has the same homes.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

FIRST_ROBOT = 1_000_001
PASS, FAIL, UNKNOWN = "PASS", "FAIL", "UNKNOWN"
NOISE = "IN_GARAGE"  # no template asks for it
Names = Sequence[str]
Rule = Callable[[Names], str | None]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a sensor reports. `is_lost`: Megazord stores it, but its message never reaches the daemon."""

    at_ms: int
    name: str
    is_lost: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """What one template promises: `rule` at each event, `at_the_end` once, and `silence` if neither says a word."""

    template: str
    usual: tuple[str, ...]
    telling: tuple[str, ...]
    rule: Rule
    at_the_end: Rule
    silence: str
    listens_until_end: bool = False


def _visit(names: Names) -> str | None:
    if "TOILET_ACTIVITY" in names or "IN_TOILET" in names:
        return PASS
    door = [name for name in names if name in {"OUTSIDE_HOME", "INSIDE_HOME"}]
    return UNKNOWN if door[-1:] == ["OUTSIDE_HOME"] else None


def _dinner(names: Names) -> str | None:
    return PASS if "EATING_ACTIVITY" in names else None


def _dinner_at_last(names: Names) -> str | None:
    return _dinner(names) or (UNKNOWN if names else None)


def _up(names: Names) -> str | None:
    return PASS if names and names[-1] != "IN_BED" else None


def _up_at_last(names: Names) -> str | None:
    return _up(names) or (FAIL if names else None)


def _risen(names: Names) -> str | None:
    return PASS if names else None


def _door(names: Names) -> str | None:
    return FAIL if names else None


def _night(names: Names) -> str | None:
    ups = sum(name in {"OUT_OF_BED", "EARLY_OUT_OF_BED"} for name in names)
    return FAIL if ups >= 3 or "NOT_RETURNED_TO_BED" in names else None


def _night_at_last(names: Names) -> str | None:
    return PASS if "IN_BED" in names else _night(names)


_BED = ("IN_BED", "OUT_OF_BED", "EARLY_OUT_OF_BED")
KINDS = (
    Kind("TOILET_VISIT", ("INSIDE_HOME",), ("TOILET_ACTIVITY", "IN_TOILET", "OUTSIDE_HOME"), _visit, _visit, FAIL),
    Kind("DINNER_EATEN", ("IN_KITCHEN", "IN_DINING_ROOM"), ("EATING_ACTIVITY",), _dinner, _dinner_at_last, FAIL),
    Kind("OUT_OF_BED_MORNING", _BED, ("IN_BED",), _up, _up_at_last, UNKNOWN, listens_until_end=True),
    Kind("TOILET_AFTER_RISING", (NOISE,), ("TOILET_ACTIVITY",), _risen, _risen, FAIL),
    Kind("DOOR_CLOSED", (NOISE,), ("DOOR_OPEN_TOO_LONG",), _door, _door, PASS),
    Kind("CALM_NIGHT", ("IN_BED",), (*_BED[1:], "NOT_RETURNED_TO_BED"), _night, _night_at_last, UNKNOWN),
)


@dataclass(frozen=True, slots=True)
class Home:
    """One robot, its question, the end of the check's window, and all that its sensors report while it is open."""

    robot_id: int
    kind: Kind
    until_ms: int
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """What must become of a check: decided when, how, and by the end of its window or by an event before it."""

    at_ms: int
    verdict: str
    is_by_end: bool
    history: list[tuple[int, str]]


def home_of(number: int, until_ms: int, moments_ms: Sequence[int]) -> Home:
    """The home with this number: one event at each moment; the last one may come after the window has ended."""
    dice = random.Random(number)
    kind = KINDS[number % len(KINDS)]
    share = dice.choice((0.0, 0.03, 0.1))  # how often something telling happens
    events = [_event(kind, share, moment_ms, dice) for moment_ms in moments_ms]
    if dice.random() < 0.05:
        events[-1] = Event(until_ms + 1000, dice.choice(kind.telling))
    return Home(FIRST_ROBOT + number, kind, until_ms, tuple(events))


def _event(kind: Kind, share: float, at_ms: int, dice: random.Random) -> Event:
    name = dice.choice(kind.telling if dice.random() < share else kind.usual)
    return Event(at_ms, name, is_lost=dice.random() < 0.02)


def story_of(home: Home) -> Story:
    """From the home's events alone. A lost one is known only at the end, when the history is read once more."""
    kind = home.kind
    asked = [event for event in home.events if event.name in kind.usual + kind.telling and event.name != NOISE]
    mine = [event for event in asked if event.at_ms <= home.until_ms]
    heard: list[Event] = []
    for event in (event for event in mine if not event.is_lost):
        heard.append(event)
        decided = None if kind.listens_until_end else kind.rule([each.name for each in heard])
        if decided is not None:
            return Story(event.at_ms, decided, is_by_end=False, history=_history(heard))
    last = kind.at_the_end([event.name for event in mine]) or kind.silence
    return Story(home.until_ms, last, is_by_end=True, history=_history(mine))


def _history(events: Sequence[Event]) -> list[tuple[int, str]]:
    return [(event.at_ms, event.name) for event in events]
