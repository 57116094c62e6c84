"""The campaign of the demo's day: who is on its list, what they are written, and what it must come to.

The judge takes no word of the product's for it: it compares WAHA's own record, the rows of the ledger and the robot's
queue with what is written here by hand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domain.wire import JsonObject, iso
from localstack.demo_day import LETTER_AT, local_ms
from localstack.waha_records import AcceptedMessage

USER, SESSION = "care-team", "care-team"
GAP_S = 45  # one length, so that the demo's times are the same each time
_DEFAULT_NAME = "friend"


@dataclass(frozen=True, slots=True)
class Person:
    """One contact, as WAHA and the ledger must know it."""

    number: str
    first_name: str | None
    opts_out: bool = False

    @property
    def chat_id(self) -> str:
        """Where WhatsApp finds them."""
        return f"{self.number}@c.us"

    @property
    def text(self) -> str:
        """What they must have read."""
        return f"Dear {self.first_name or _DEFAULT_NAME}, will you come for coffee on Friday?"


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One recipient as the database has it. `at_ms` is when it was done with."""

    position: int
    chat_id: str
    first_name: str | None
    state: str
    attempt: int
    at_ms: int | None
    code: str | None
    why: str | None


@dataclass(frozen=True, slots=True)
class Played:
    """What became of it: how each campaign stands, the ledger, WAHA's own record, and what the robot was told."""

    statuses: Sequence[str]
    ledger: Sequence[LedgerRow]

    messages: Sequence[AcceptedMessage]
    told: Sequence[Mapping[str, Any]]


PEOPLE = (
    Person("999000000001", "Ana"),
    Person("999000000002", "Bruno"),
    Person("999000000003", "Carla"),
    Person("999000000004", None),
    Person("999000000005", "Elena"),
    Person("999000000006", "Felix"),
    Person("999000000007", "Gloria", opts_out=True),
    Person("999000000008", "Hugo"),
)
_ROWS: tuple[JsonObject, ...] = (
    {"phoneNumber": "999000000001", "firstName": "Ana"},
    {"phoneNumber": "+999 00 000 0002", "firstName": "Bruno"},
    {"phoneNumber": "99900000000o", "firstName": "Chris"},
    {"phoneNumber": "999000000003", "firstName": "Carla"},
    {"phoneNumber": "999000000004"},
    {"phoneNumber": "999000000005", "firstName": "Elena"},
    {"phoneNumber": "999000000002", "firstName": "Bruno"},
    {"phoneNumber": "999000000006", "firstName": "Felix"},
    {"phoneNumber": "999000000007", "firstName": "Gloria"},
    {"phoneNumber": "999000000008", "firstName": "Hugo"},
)
_TOLD: tuple[tuple[str, JsonObject], ...] = (
    (
        "contacts.imported",
        {
            "rows": 10,
            "imported": 8,
            "duplicates": 1,
            "bad": 1,
            "errors": [{"row": 3, "message": "'o' is not a digit"}],
        },
    ),
    ("campaign.current", {"status": "Scheduled", "totalContacts": 8}),
    ("campaign.started", {"status": "Running", "pendingCount": 8}),
    (
        "campaign.paused",
        {
            "status": "Paused",
            "pauseReason": "SESSION_NOT_WORKING",
            "sentCount": 3,
            "pendingCount": 5,
            "lastProcessedContactIndex": 3,  # the next one: positions count from 0
        },
    ),
    ("campaign.resumed", {"status": "Running", "pauseReason": None, "sentCount": 3, "pendingCount": 5}),
    ("campaign.progress", {"status": "Running", "sentCount": 6, "pendingCount": 2}),
    (
        "campaign.completed",
        {
            "status": "Completed",
            "totalContacts": 8,
            "sentCount": 7,
            "skippedCount": 1,
            "failedCount": 0,
            "unknownCount": 0,
            "pendingCount": 0,
        },
    ),
)


def data_of(command: str, robot_id: int) -> JsonObject:
    """What each command of the day carries. KeyError for another."""
    data: dict[str, JsonObject] = {
        "contacts.import": {"userId": USER, "listName": "Families", "rows": list(_ROWS), "robotId": robot_id},
        "campaign.create": {
            "userId": USER,
            "name": "Coffee on Friday",
            "session": SESSION,
            "contactListId": 1,
            "text": "Dear {Name}, will you come for coffee on Friday?",
            "defaultNameValue": _DEFAULT_NAME,
            "scheduledAt": iso(local_ms(LETTER_AT)),
            "robotId": robot_id,
        },
        "opt-out.add": {"phoneNumber": next(person.number for person in PEOPLE if person.opts_out)},
    }
    return data[command]


def wrong(played: Played) -> list[str]:
    """What is not as it must be, one sentence each."""
    statuses = list(played.statuses)
    found = [] if statuses == ["Completed"] else [f"the campaigns are {statuses}, expected ['Completed']"]
    return [*found, *_wrong_messages(played.messages), *_wrong_ledger(played.ledger), *_wrong_told(played.told)]


def _wrong_messages(messages: Sequence[AcceptedMessage]) -> list[str]:
    """By WAHA's own record, repeats of an id included."""
    found = []
    for person in PEOPLE:
        texts = [message.text for message in messages if message.chat_id == person.chat_id]
        wanted = [] if person.opts_out else [person.text]
        if len(texts) != len(wanted):
            found.append(f"{_named(person)} got {len(texts)} messages, expected {len(wanted)}")
        elif texts != wanted:
            found.append(f"{_named(person)} read {texts[0]!r}, expected {person.text!r}")
    strangers = {message.chat_id for message in messages} - {person.chat_id for person in PEOPLE}
    if strangers:
        found.append(f"{len(strangers)} people got a message who are not on the list")
    return found


def _wrong_ledger(ledger: Sequence[LedgerRow]) -> list[str]:
    people = [person.chat_id for person in PEOPLE]
    if [row.chat_id for row in ledger] != people or [row.position for row in ledger] != list(range(len(people))):
        return [f"the ledger has {len(ledger)} rows, expected each of {len(people)} contacts once, in the list's order"]
    found = []
    for person, row in zip(PEOPLE, ledger, strict=True):
        is_as = (row.state, row.code, row.attempt)
        expected = ("SKIPPED", "opt-out", 0) if person.opts_out else ("SENT", None, 1)
        if is_as != expected:
            found.append(f"the ledger has {_named(person)} as {is_as}, expected {expected}")
    return found


def _wrong_told(told: Sequence[Mapping[str, Any]]) -> list[str]:
    """A result may come more than once, but with one id."""
    once = list({result["id"]: result for result in told}.values())
    types, expected = [result["type"] for result in once], [kind for kind, _ in _TOLD]
    if types != expected:
        return [f"the robot was told {', '.join(types) or 'nothing'} of the campaign, expected {', '.join(expected)}"]
    return [
        f"{kind} says {name} {result['payload'].get(name)!r}, expected {value!r}"
        for result, (kind, values) in zip(once, _TOLD, strict=True)
        for name, value in values.items()
        if result["payload"].get(name) != value
    ]


def _named(person: Person) -> str:
    return person.first_name or "the contact without a name"
