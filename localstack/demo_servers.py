"""The delivery servers of the demo's day: what goes wrong with each of them, and what its tests must come to.

The judge takes no word of the product's for it: it compares MailWizz's own tables, the mail host's own record and the
office's queue with what is written here by hand.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from localstack.mail_record import Seen, SeenLine

OFFICE = "office-replies"
CANARY = "canary"
ARRIVAL_LIMIT_S, PATIENCE_S = 5, 120  # a real day has more; looking for a mail takes real seconds
_ACTIVE, _INACTIVE = "active", "inactive"


class When(StrEnum):
    """The moments at which MailWizz's statuses are looked at."""

    BEFORE = "before"
    OUTAGE = "outage"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Sender:
    """One delivery server. `fails_at`: the step at which it fails once things have gone wrong; empty: it is good."""

    id: int
    name: str
    fails_at: str = ""
    logins_refused: int = 0
    mails_lost: int = 0

    @property
    def hostname(self) -> str:
        """Where it is, in the demo's own name service."""
        return f"smtp.{self.name}.test"

    @property
    def ends(self) -> str:
        """The status that it must end with."""
        return _INACTIVE if self.fails_at else _ACTIVE


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One line of MailWizz's history of tests."""

    server_id: int
    verdict: str
    error: str


@dataclass(frozen=True, slots=True)
class RunSeen:
    """One test as robotd has it: each step's (id, outcome, kind), as far as it came."""

    id: str
    server_id: int
    name: str
    cycle_id: str
    verdict: str
    steps: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class FleetPlayed:
    """What became of it. `statuses` and `history` are MailWizz's, `seen` is the mail host's, `told` the office's."""

    statuses: Mapping[When, Mapping[int, str]]
    history: Sequence[HistoryRow]
    seen: Sequence[SeenLine]
    told: Sequence[Mapping[str, Any]]
    runs: Sequence[RunSeen]


SENDERS = (
    Sender(1, "north"),
    Sender(2, "east", fails_at="T5", logins_refused=1),
    Sender(3, "south", fails_at="T7", mails_lost=1),
)
_TOLD: tuple[dict[str, object], ...] = (
    {"tested": 3, "successful": 0, "failed": 0, "errors": 3, "deactivated": 0, "outage": ""},
    {"tested": 3, "successful": 1, "failed": 2, "errors": 0, "deactivated": 2, "outage": ""},
)


def wrong(tested: FleetPlayed) -> list[str]:
    """What is not as it must be, one sentence each."""
    found = [*_wrong_statuses(tested.statuses), *_wrong_told(tested.told), *_wrong_canary(tested.seen)]
    for sender in SENDERS:
        found += _wrong_history(sender, [row for row in tested.history if row.server_id == sender.id])
        found += _wrong_mails(sender, [line for line in tested.seen if line.server == sender.name])
    return found


def _wrong_statuses(statuses: Mapping[When, Mapping[int, str]]) -> list[str]:
    found = []
    for when in When:
        for sender in SENDERS:
            is_as = statuses.get(when, {}).get(sender.id, "nowhere")
            expected = sender.ends if when is When.AFTER else _ACTIVE
            if is_as != expected:
                found.append(f"{when} MailWizz has {sender.name} {is_as}, expected {expected}")
    return found


def _wrong_history(sender: Sender, rows: Sequence[HistoryRow]) -> list[str]:
    """The line that was there, and one more: a test without a verdict writes none."""
    verdicts = [row.verdict for row in rows]
    expected = ["SUCCESSFUL", "FAILED" if sender.fails_at else "SUCCESSFUL"]
    if verdicts != expected:
        return [f"MailWizz's history of {sender.name} is {verdicts}, expected {expected}"]
    said = rows[-1].error
    is_why = said.startswith(f"{sender.fails_at} ") if sender.fails_at else not said
    return [] if is_why else [f"MailWizz's history says of {sender.name} {said!r}, expected step {sender.fails_at!r}"]


def _wrong_mails(sender: Sender, seen: Sequence[SeenLine]) -> list[str]:
    """By the mail host's own record. Two tests, one mail each, but where nobody could sign in."""
    taken = [line.about for line in seen if line.what is Seen.TAKEN]
    counts = Counter(line.what for line in seen)
    found = []
    for what, count, expected in (
        ("mails taken", len(taken), 2 - sender.logins_refused),
        ("mails taken twice", len(taken) - len(set(taken)), 0),
        ("mails delivered", counts[Seen.DELIVERED], 2 - sender.logins_refused - sender.mails_lost),
        ("mails lost", counts[Seen.LOST], sender.mails_lost),
        ("logins refused", counts[Seen.AUTH_REFUSED], sender.logins_refused),
    ):
        if count != expected:
            found.append(f"the mail host has {count} {what} of {sender.name}, expected {expected}")
    return found


def _wrong_canary(seen: Sequence[SeenLine]) -> list[str]:
    """Without one that arrived nobody may say that a mail is lost."""
    arrived = sum(line.what is Seen.DELIVERED for line in seen if line.server == CANARY)
    return [] if arrived else ["the mail host has no canary that arrived"]


def _wrong_told(told: Sequence[Mapping[str, Any]]) -> list[str]:
    """A result may come more than once, but with one id."""
    payloads = [result["payload"] for result in {result["id"]: result for result in told}.values()]
    if len(payloads) != len(_TOLD):
        return [f"the office was told of {len(payloads)} cycles, expected {len(_TOLD)}"]
    return [
        f"of cycle {place} the office was told {name} {payload.get(name)!r}, expected {value!r}"
        for place, (payload, values) in enumerate(zip(payloads, _TOLD, strict=True), start=1)
        for name, value in values.items()
        if payload.get(name) != value
    ]
