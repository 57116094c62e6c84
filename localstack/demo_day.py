"""The day that the demo plays: made up by us, in local time, with what each check must come to."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Europe/Madrid")
_MIDNIGHT = datetime(2025, 11, 25, tzinfo=ZONE)


@dataclass(frozen=True, slots=True)
class Happens:
    """A sensor reports something to Megazord."""

    event: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Asks:
    """The robot reaches a status-check step. Windows are seconds; `expected` is the verdict at the end."""

    question: str
    template: str
    step_id: int
    past_s: int
    future_s: int
    expected: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something goes wrong around the daemon: `twice`, `garbage`, or `restart`."""

    kind: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Moment:
    """What happens at one time of the day."""

    at_ms: int
    what: Happens | Asks | Trouble


def _at(clock: str, what: Happens | Asks | Trouble) -> Moment:
    """`31:30` is half past seven of the second day."""
    hours, minutes = clock.split(":")
    at = _MIDNIGHT + timedelta(hours=int(hours), minutes=int(minutes))
    return Moment(round(at.timestamp() * 1000), what)


DAY = (
    _at("03:10", Happens("IN_BED", "lies down again after a walk through the house")),
    _at("07:05", Happens("OUT_OF_BED", "gets up")),
    _at("07:05", Asks("Did you use the toilet after getting up?", "TOILET_AFTER_RISING", 100, 0, 7200, "PASS")),
    _at("07:10", Happens("IN_KITCHEN", "is in the kitchen")),
    _at("07:26", Happens("TOILET_ACTIVITY", "uses the toilet")),
    _at("09:00", Trouble("garbage", "somebody sends a command that nobody can read")),
    _at("12:40", Happens("EATING_ACTIVITY", "has lunch")),
    _at("13:30", Asks("Has lunch been eaten?", "DINNER_EATEN", 200, 7200, 3600, "PASS")),
    _at("17:00", Asks("Is the toilet still used?", "TOILET_VISIT", 300, 3600, 7200, "PASS")),
    _at("17:30", Trouble("restart", "the daemon is stopped and started again while a check is open")),
    _at("18:15", Happens("TOILET_ACTIVITY", "uses the toilet")),
    _at("18:16", Trouble("twice", "SQS brings that event a second time")),
    _at("22:45", Happens("IN_BED", "goes to bed")),
    _at("31:20", Happens("OUT_OF_BED", "gets up")),
    _at("31:20", Asks("Did you use the toilet after getting up?", "TOILET_AFTER_RISING", 400, 0, 7200, "FAIL")),
    _at("31:55", Happens("EATING_ACTIVITY", "has breakfast")),
    _at("34:00", Happens("OUTSIDE_HOME", "leaves the house")),
)
