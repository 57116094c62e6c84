"""The demo's judge of its campaign: what is right passes, and every way of being wrong is told in a sentence."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from localstack.demo_campaign import PEOPLE, SESSION, LedgerRow, Person, Played, wrong
from localstack.demo_ledger import tally
from localstack.waha_records import AcceptedMessage

GLORIA = next(person for person in PEOPLE if person.opts_out)


def message(person: Person) -> AcceptedMessage:
    return AcceptedMessage(SESSION, person.chat_id, person.text, f"3EB0{person.number}", 1_000)


def row(position: int, person: Person) -> LedgerRow:
    if person.opts_out:
        return LedgerRow(position, person.chat_id, person.first_name, "SKIPPED", 0, 1_000, "opt-out", "asked not to be")
    return LedgerRow(position, person.chat_id, person.first_name, "SENT", 1, 1_000, None, None)


def result(number: int, kind: str, **payload: object) -> dict[str, Any]:
    return {"id": f"result-{number}", "type": kind, "payload": payload}


MESSAGES = [message(person) for person in PEOPLE if not person.opts_out]
LEDGER = [row(position, person) for position, person in enumerate(PEOPLE)]
TOLD = [
    result(
        1,
        "contacts.imported",
        rows=10,
        imported=8,
        duplicates=1,
        bad=1,
        errors=[{"row": 3, "message": "'o' is not a digit"}],
    ),
    result(2, "campaign.current", status="Scheduled", totalContacts=8),
    result(3, "campaign.started", status="Running", pendingCount=8),
    result(
        4,
        "campaign.paused",
        status="Paused",
        pauseReason="SESSION_NOT_WORKING",
        sentCount=3,
        pendingCount=5,
        lastProcessedContactIndex=3,
    ),
    result(5, "campaign.resumed", status="Running", pauseReason=None, sentCount=3, pendingCount=5),
    result(6, "campaign.progress", status="Running", sentCount=6, pendingCount=2),
    result(
        7,
        "campaign.completed",
        status="Completed",
        totalContacts=8,
        sentCount=7,
        skippedCount=1,
        failedCount=0,
        unknownCount=0,
        pendingCount=0,
    ),
]
KINDS = [str(one["type"]) for one in TOLD]
RIGHT = Played(["Completed"], LEDGER, MESSAGES, TOLD)


def with_row(position: int, **changes: Any) -> Sequence[LedgerRow]:
    return [replace(one, **changes) if one.position == position else one for one in LEDGER]


def test_what_is_as_it_must_be_is_not_complained_about() -> None:
    """Each contact once, one skipped, five notices; a result that comes again with its id is no second one."""
    assert wrong(RIGHT) == []
    assert wrong(replace(RIGHT, told=[*TOLD, TOLD[-1]])) == []


@pytest.mark.parametrize(
    ("played", "sentences"),
    [
        (replace(RIGHT, messages=[*MESSAGES, MESSAGES[0]]), ["Ana got 2 messages, expected 1"]),
        (
            replace(RIGHT, messages=[*MESSAGES, replace(MESSAGES[1], is_repeat=True)]),
            ["Bruno got 2 messages, expected 1"],
        ),
        (replace(RIGHT, messages=MESSAGES[1:]), ["Ana got 0 messages, expected 1"]),
        (replace(RIGHT, messages=[*MESSAGES, message(GLORIA)]), ["Gloria got 1 messages, expected 0"]),
        (
            replace(RIGHT, messages=[*MESSAGES, message(Person("999000000099", "Zoe"))]),
            ["1 people got a message who are not on the list"],
        ),
        (
            replace(RIGHT, messages=[replace(MESSAGES[0], text="Dear {Name}"), *MESSAGES[1:]]),
            ["Ana read 'Dear {Name}', expected 'Dear Ana, will you come for coffee on Friday?'"],
        ),
        (
            replace(RIGHT, ledger=with_row(3, state="UNKNOWN", code="crashed")),
            ["the ledger has the contact without a name as ('UNKNOWN', 'crashed', 1), expected ('SENT', None, 1)"],
        ),
        (
            replace(RIGHT, ledger=with_row(0, attempt=2)),
            ["the ledger has Ana as ('SENT', None, 2), expected ('SENT', None, 1)"],
        ),
        (
            replace(RIGHT, ledger=LEDGER[:-1]),
            ["the ledger has 7 rows, expected each of 8 contacts once, in the list's order"],
        ),
        (replace(RIGHT, statuses=["Paused"]), ["the campaigns are ['Paused'], expected ['Completed']"]),
        (
            replace(RIGHT, told=[*TOLD[:3], TOLD[6]]),
            [
                f"the robot was told {', '.join(KINDS[:3] + KINDS[6:])} of the campaign, expected {', '.join(KINDS)}",
            ],
        ),
        (
            replace(RIGHT, told=[*TOLD[:6], {**TOLD[6], "payload": {**TOLD[6]["payload"], "sentCount": 8}}]),
            ["campaign.completed says sentCount 8, expected 7"],
        ),
        (
            replace(
                RIGHT,
                told=[*TOLD[:3], {**TOLD[3], "payload": {**TOLD[3]["payload"], "pauseReason": "AUTH"}}, *TOLD[4:]],
            ),
            ["campaign.paused says pauseReason 'AUTH', expected 'SESSION_NOT_WORKING'"],
        ),
    ],
    ids=[
        "twice",
        "twice with one id",
        "not at all",
        "in spite of an opt-out",
        "to a stranger",
        "not personal",
        "nobody knows",
        "two attempts",
        "somebody is missing",
        "not completed",
        "not told of the pause",
        "wrong count",
        "wrong reason",
    ],
)
def test_everything_that_is_wrong_is_told(played: Played, sentences: list[str]) -> None:
    """One sentence for each thing, with what was found and what was expected."""
    assert wrong(played) == sentences


def test_the_last_line_counts_people_by_the_messengers_record() -> None:
    """A message too many shows there, although the ledger does not know of it."""
    assert tally(RIGHT) == [
        "The ledger: 7 SENT, 1 SKIPPED, 0 FAILED, 0 UNKNOWN, 0 PENDING, 0 SENDING.",
        "WAHA's own record: 7 messages, 7 people; nobody got it twice.",
    ]
    twice = tally(replace(RIGHT, messages=[*MESSAGES, MESSAGES[0]]))
    assert twice[1] == "WAHA's own record: 8 messages, 7 people; 1 got it more than once."
