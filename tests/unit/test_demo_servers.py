"""The demo's judge of its delivery servers: what is right passes, every way of being wrong is told in a sentence."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from localstack.demo_servers import CANARY, FleetPlayed, HistoryRow, RunSeen, When, wrong
from localstack.demo_verdicts import history_table, mail_tally, news, sentences, steps_table
from localstack.mail_record import Seen, SeenLine

ALL_ON = {1: "active", 2: "active", 3: "active"}
AFTER = {1: "active", 2: "inactive", 3: "inactive"}
STATUSES = {When.BEFORE: ALL_ON, When.OUTAGE: ALL_ON, When.AFTER: AFTER}
OLD = [HistoryRow(server_id, "SUCCESSFUL", "") for server_id in ALL_ON]
HISTORY = [
    *OLD,
    HistoryRow(1, "SUCCESSFUL", ""),
    HistoryRow(2, "FAILED", "T5 auth-rejected: 535 no (switched off)"),
    HistoryRow(3, "FAILED", "T7 lost: gone (switched off)"),
]


def seen(server: str, *what: Seen) -> list[SeenLine]:
    """Lines of one server; each mail has a token of its own."""
    return [SeenLine(1_000, server, place, one, f"{server}-{place}") for place, one in enumerate(what)]


NORTH = seen("north", Seen.TAKEN, Seen.DELIVERED, Seen.TAKEN, Seen.DELIVERED)
EAST = seen("east", Seen.TAKEN, Seen.DELIVERED, Seen.AUTH_REFUSED)
SOUTH = seen("south", Seen.TAKEN, Seen.DELIVERED, Seen.TAKEN, Seen.LOST)
SEEN = [*NORTH, *EAST, *SOUTH, *seen(CANARY, Seen.TAKEN, Seen.DELIVERED)]


def result(number: int, **payload: object) -> dict[str, Any]:
    counts = {"tested": 3, "successful": 0, "failed": 0, "errors": 0, "deactivated": 0, "outage": ""}
    whole = {**counts, "failures": [], "unjudged": [], **payload}
    return {"id": f"cycle-{number}", "type": "server.cycle-tested", "payload": whole}


TOLD = [result(1, errors=3), result(2, successful=1, failed=2, deactivated=2)]
BEGUN = [RunSeen("b-1", 1, "north", "b", "", [("T0", "PASS", ""), ("T1", "PASS", "")])]
RUNS = [
    RunSeen("a-1", 1, "north", "a", "ERROR", [("T0", "PASS", ""), ("T7", "ERROR", "unavailable")]),
    RunSeen("b-1", 1, "north", "b", "SUCCESSFUL", [("T0", "PASS", ""), ("T1", "PASS", ""), ("T4", "WARN", "old")]),
    RunSeen("b-2", 2, "east", "b", "FAILED", [("T0", "PASS", ""), ("T1", "PASS", ""), ("T5", "FAIL", "rejected")]),
    RunSeen("b-3", 3, "south", "b", "FAILED", [("T0", "PASS", ""), ("T1", "PASS", ""), ("T5", "FAIL", "cut")]),
]
RIGHT = FleetPlayed(STATUSES, HISTORY, SEEN, TOLD, RUNS)


def with_line(server_id: int, verdict: str, error: str) -> Sequence[HistoryRow]:
    """The history with another last line of one server."""
    return [*OLD, *(row for row in HISTORY[3:] if row.server_id != server_id), HistoryRow(server_id, verdict, error)]


def test_what_is_as_it_must_be_is_not_complained_about() -> None:
    """One good, two off, nobody judged in the outage; a result that comes again with its id is no second one."""
    assert wrong(RIGHT) == []
    assert wrong(replace(RIGHT, told=[*TOLD, TOLD[-1]])) == []


@pytest.mark.parametrize(
    ("tested", "said"),
    [
        (
            replace(RIGHT, statuses={**STATUSES, When.AFTER: {**AFTER, 2: "active"}}),
            "after MailWizz has east active, expected inactive",
        ),
        (
            replace(RIGHT, statuses={**STATUSES, When.AFTER: {**AFTER, 1: "inactive"}}),
            "after MailWizz has north inactive, expected active",
        ),
        (
            replace(RIGHT, statuses={**STATUSES, When.OUTAGE: AFTER}),
            "outage MailWizz has east inactive, expected active",
        ),
        (
            replace(RIGHT, statuses={When.BEFORE: ALL_ON, When.AFTER: AFTER}),
            "outage MailWizz has north nowhere, expected active",
        ),
        (
            replace(RIGHT, history=[*HISTORY, HistoryRow(1, "FAILED", "T7 mailbox")]),
            f"MailWizz's history of north is {['SUCCESSFUL'] * 2 + ['FAILED']}, expected {['SUCCESSFUL'] * 2}",
        ),
        (
            replace(RIGHT, history=HISTORY[:-1]),
            "MailWizz's history of south is ['SUCCESSFUL'], expected ['SUCCESSFUL', 'FAILED']",
        ),
        (
            replace(RIGHT, history=with_line(2, "FAILED", "T3 refused: no")),
            "MailWizz's history says of east 'T3 refused: no', expected step 'T5'",
        ),
        (
            replace(RIGHT, history=with_line(1, "SUCCESSFUL", "odd")),
            "MailWizz's history says of north 'odd', expected step ''",
        ),
        (replace(RIGHT, seen=[*SEEN, NORTH[0]]), "the mail host has 3 mails taken of north, expected 2"),
        (replace(RIGHT, seen=[*SEEN, NORTH[0]]), "the mail host has 1 mails taken twice of north, expected 0"),
        (
            replace(RIGHT, seen=[line for line in SEEN if line.what is not Seen.LOST]),
            "the mail host has 0 mails lost of south, expected 1",
        ),
        (
            replace(RIGHT, seen=[line for line in SEEN if line.what is not Seen.AUTH_REFUSED]),
            "the mail host has 0 logins refused of east, expected 1",
        ),
        (
            replace(RIGHT, seen=[line for line in SEEN if line.server != CANARY]),
            "the mail host has no canary that arrived",
        ),
        (replace(RIGHT, told=TOLD[:1]), "the office was told of 1 cycles, expected 2"),
        (
            replace(RIGHT, told=[result(1, errors=2, failed=1), TOLD[1]]),
            "of cycle 1 the office was told failed 1, expected 0",
        ),
        (
            replace(RIGHT, told=[TOLD[0], result(2, successful=1, failed=2, deactivated=0)]),
            "of cycle 2 the office was told deactivated 0, expected 2",
        ),
    ],
    ids=[
        "bad one still on",
        "good one off",
        "off in the outage",
        "not looked at",
        "judged in the outage",
        "no line",
        "wrong step",
        "good one with an error",
        "a mail too many",
        "the same mail twice",
        "nothing lost",
        "nobody refused",
        "no canary",
        "not told of both",
        "wrong counts",
        "not told who is off",
    ],
)
def test_everything_that_is_wrong_is_told(tested: FleetPlayed, said: str) -> None:
    """One sentence for each thing, with what was found and what was expected."""
    assert said in wrong(tested)


def test_tests_that_come_as_far_as_others_are_told_together() -> None:
    """Only what is new, passed steps as a range, and one line for all to whom the same happened."""
    lines = [Text.from_markup(line).plain for line in news(BEGUN, RUNS[1:])]
    assert lines == ["north: T4 TLS WARN", "east, south: T0 to T1 PASS, T5 auth FAIL"]
    assert news(RUNS, RUNS) == []


def test_the_end_of_a_cycle_is_told_with_each_reason() -> None:
    """Who could not be judged is named together; who failed alone, and whether it was switched off."""
    unjudged = [{"name": name, "reason": "T7 unavailable: no connection: [Errno 111] x"} for name in ("north", "east")]
    failures = [
        {"name": "south", "reason": "T7 lost: [gone]", "deactivated": True},
        {"name": "west", "reason": "T3 refused", "deactivated": False},
    ]
    told = result(1, successful=1, failed=2, errors=2, deactivated=1, unjudged=unjudged, failures=failures)
    assert [Text.from_markup(line).plain for line in sentences(told)] == [
        "tells the office: 1 good, 2 failed, 2 not judged, 1 switched off",
        "leaves north, east on: T7 unavailable: no connection",
        "switches off south: T7 lost: [gone]",
        "leaves on west: T3 refused",
    ]
    assert sentences(result(1, tested=0)) == ["tells the office: none tested, 0 switched off"]


def test_the_tables_show_the_last_cycle_and_all_of_the_history() -> None:
    """A step that a test did not reach is a hyphen; within 80 columns nothing is cut off."""
    console = Console(width=80, no_color=True)
    with console.capture() as shown:
        console.print(steps_table(RIGHT), history_table(RIGHT))
    lines = [" ".join(line.split()) for line in shown.get().splitlines()]
    assert lines == [
        "step north east south",
        "T0 load PASS PASS PASS",
        "T1 static PASS PASS PASS",
        "T4 TLS WARN old - -",
        "T5 auth - FAIL rejected FAIL cut",
        "",
        "verdict SUCCESSFUL FAILED FAILED",
        "status before active active active",
        "mailbox down active active active",
        "status after active inactive inactive",
        "server test status error message",
        "north a day ago SUCCESSFUL",
        "north now SUCCESSFUL",
        "east a day ago SUCCESSFUL",
        "east now FAILED T5 auth-rejected: 535 no (switched off)",
        "south a day ago SUCCESSFUL",
        "south now FAILED T7 lost: gone (switched off)",
    ]
    assert mail_tally(RIGHT) == "The mail host's own record: 5 mails, 4 delivered, 1 lost; logins refused: 1."
