"""The day that the demo plays: made up by us, in local time, with what each check must come to.

What the campaign in it must come to stands in localstack/demo_campaign.py, what the tests of delivery servers must in
localstack/demo_servers.py.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Europe/Madrid")
LETTER_AT = "17:20"
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
class Commands:
    """Somebody's command. What one about the campaign carries stands in localstack/demo_campaign.py."""

    who: str
    command: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Phone:
    """The phone behind the WhatsApp session has lost its connection, or has it again; `status` is WAHA's word."""

    status: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Mail:
    """Something happens to the mail servers or to the mailbox; `kind` is a word of localstack/demo_fleet.py."""

    who: str
    kind: str
    meaning: str


What = Happens | Asks | Trouble | Commands | Phone | Mail


@dataclass(frozen=True, slots=True)
class Moment:
    """What happens at one time of the day."""

    at_ms: int
    what: What


def local_ms(clock: str) -> int:
    """A time of the day's clock in milliseconds since 1970. `31:30` is half past seven of the second day."""
    hours, minutes = clock.split(":")
    return round((_MIDNIGHT + timedelta(hours=int(hours), minutes=int(minutes))).timestamp() * 1000)


def local(at_ms: int) -> datetime:
    """A moment as the clocks in the home show it."""
    return datetime.fromtimestamp(at_ms / 1000, ZONE)


def _at(clock: str, what: What) -> Moment:
    return Moment(local_ms(clock), what)


DAY = (
    _at("03:10", Happens("IN_BED", "lies down again after a walk through the house")),
    _at("07:05", Happens("OUT_OF_BED", "gets up")),
    _at("07:05", Asks("Did you use the toilet after getting up?", "TOILET_AFTER_RISING", 100, 0, 7200, "PASS")),
    _at("07:10", Happens("IN_KITCHEN", "is in the kitchen")),
    _at("07:26", Happens("TOILET_ACTIVITY", "uses the toilet")),
    _at("09:00", Trouble("garbage", "somebody sends a command that nobody can read")),
    _at("10:00", Commands("office", "contacts.import", "brings ten contacts for a letter")),
    _at("10:05", Commands("office", "campaign.create", f"plans the letter for {LETTER_AT}")),
    _at("12:40", Happens("EATING_ACTIVITY", "has lunch")),
    _at("13:30", Asks("Has lunch been eaten?", "DINNER_EATEN", 200, 7200, 3600, "PASS")),
    _at("15:00", Mail("trouble", "mailbox-down", "the mailbox in which test mails arrive is down")),
    _at("15:00", Commands("office", "server.test-cycle", "has its three delivery servers tested")),
    _at("15:30", Mail("mailbox", "mailbox-up", "is there again")),
    _at("15:40", Mail("trouble", "password", "east's password is changed, and MailWizz has the old one")),
    _at("15:40", Mail("trouble", "loses", "south begins to take mails and to lose them")),
    _at("16:00", Commands("office", "server.test-cycle", "has its three delivery servers tested")),
    _at("17:00", Asks("Is the toilet still used?", "TOILET_VISIT", 300, 3600, 7200, "PASS")),
    _at("17:22", Phone("STOPPED", "the phone behind WhatsApp loses its connection")),
    _at("17:24", Commands("Gloria", "opt-out.add", "wants no more messages")),
    _at("17:26", Phone("WORKING", "is connected again")),
    _at("17:30", Trouble("restart", "the daemon restarts amid an open check and a campaign")),
    _at("18:15", Happens("TOILET_ACTIVITY", "uses the toilet")),
    _at("18:16", Trouble("twice", "SQS brings that event a second time")),
    _at("22:45", Happens("IN_BED", "goes to bed")),
    _at("31:20", Happens("OUT_OF_BED", "gets up")),
    _at("31:20", Asks("Did you use the toilet after getting up?", "TOILET_AFTER_RISING", 400, 0, 7200, "FAIL")),
    _at("31:55", Happens("EATING_ACTIVITY", "has breakfast")),
    _at("34:00", Happens("OUTSIDE_HOME", "leaves the house")),
)
