"""The campaign and the delivery servers within `robotd demo`: told, and judged by what others have on record.

Where something is not as it must be, the demo fails.
"""

import subprocess
import sys
from typing import Any

from tests.e2e.processes import BOUND_S, ROOT, environment, robotd, told

STORY = (
    "brings ten contacts for a letter (contacts.import)",
    "tells the robot: 8 imported, 1 duplicate, 1 bad",
    "leaves out row 3: 'o' is not a digit",
    "plans the letter for 17:20 (campaign.create)",
    "tells the robot: Scheduled - 8 contacts at 17:20",
    "tells the robot: Running - 8 contacts",
    "writes: Dear Ana, will you come for coffee on Friday?",
    "writes: Dear Bruno, will you come for coffee on Friday?",
    "writes: Dear Carla, will you come for coffee on Friday?",
    "the phone behind WhatsApp loses its connection (STOPPED)",
    "tells the robot: Paused SESSION_NOT_WORKING - 3 of 8 sent",
    "wants no more messages (opt-out.add)",
    "is connected again (WORKING)",
    "tells the robot: Running again, by itself - 3 of 8 sent",
    "writes: Dear friend, will you come for coffee on Friday?",
    "writes: Dear Elena, will you come for coffee on Friday?",
    "is back, and goes on where it was",
    "writes: Dear Felix, will you come for coffee on Friday?",
    "leaves out Gloria, who asked not to be written to",
    "writes: Dear Hugo, will you come for coffee on Friday?",
    "tells the robot: Completed - 7 sent, 1 skipped",
)
TESTS = (
    "the mailbox in which test mails arrive is down",
    "has its three delivery servers tested (server.test-cycle)",
    "north, east, south: T0 to T6 PASS, T7 arrival ERROR",
    "tells the office: 3 not judged, 0 switched off",
    "leaves north, east, south on: T7 unavailable: mailbox: no connection",
    "is there again",
    "east's password is changed, and MailWizz has the old one",
    "south begins to take mails and to lose them",
    "has its three delivery servers tested (server.test-cycle)",
    "north: T0 to T8 PASS",
    "east: T0 to T4 PASS, T5 auth FAIL",
    "south: T0 to T6 PASS",
    "south: T7 arrival FAIL",
    "tells the office: 1 good, 2 failed, 2 switched off",
    "switches off east: T5 auth-rejected: 535 5.7.8 Authentication credentials invalid",
    "switches off south: T7 lost: it was accepted and has not arrived; the canary has",
)
ANOTHER_DAY = """
import asyncio, sys
from localstack.demo import demo
from localstack.demo_day import DAY, Commands, Mail

def times(what):
    is_plan = isinstance(what, Commands) and what.command == "campaign.create"
    return 2 if is_plan else 0 if isinstance(what, Mail) and what.kind == "loses" else 1

day = [moment for moment in DAY for _ in range(times(moment.what))]
sys.exit(asyncio.run(demo(as_json="--json" in sys.argv, keep=False, day=day)))
"""


def test_the_day_is_told_and_all_is_as_it_must_be() -> None:
    """Exit code 0, with a campaign that goes on by itself and delivery servers that are judged each for itself."""
    played = robotd("demo", "--json", folder=ROOT)
    assert played.returncode == 0, played.stderr
    day = told(played)
    assert day["wrong"] == []
    assert "99900" not in played.stdout
    check_campaign(day)
    check_servers(day)


def check_campaign(day: dict[str, Any]) -> None:
    """The story in its order, and the ledger with everybody once: a restart and an opt-out in the middle included."""
    assert [line["text"] for line in day["story"] if line["text"] in STORY] == list(STORY)
    campaign = day["campaign"]
    assert campaign["statuses"] == ["Completed"]
    assert campaign["counts"] == {"SENT": 7, "SKIPPED": 1}
    assert (campaign["messages"], campaign["people"]) == (7, 7)
    shown = [(one["position"], one["number"], one["name"], one["state"], one["why"]) for one in campaign["ledger"]]
    assert shown == [
        (0, "+99..01", "Ana", "SENT", None),
        (1, "+99..02", "Bruno", "SENT", None),
        (2, "+99..03", "Carla", "SENT", None),
        (3, "+99..04", None, "SENT", None),
        (4, "+99..05", "Elena", "SENT", None),
        (5, "+99..06", "Felix", "SENT", None),
        (6, "+99..07", "Gloria", "SKIPPED", "asked not to be written to"),
        (7, "+99..08", "Hugo", "SENT", None),
    ]
    times = [one["at"] for one in campaign["ledger"]]
    assert times == sorted(times)


def check_servers(day: dict[str, Any]) -> None:
    """Nobody is judged while the mailbox is down; later the good one stays on, each bad one goes with its reason."""
    assert [line["text"] for line in day["story"] if line["text"] in TESTS] == list(TESTS)
    servers = day["servers"]
    on = {"north": "active", "east": "active", "south": "active"}
    off = {"north": "active", "east": "inactive", "south": "inactive"}
    assert servers["statuses"] == {"before": on, "outage": on, "after": off}
    lines = [(line["server"], line["status"], line["error"]) for line in servers["history"]]
    assert lines == [
        *((name, "SUCCESSFUL", "") for name in on),
        ("north", "SUCCESSFUL", ""),
        ("east", "FAILED", "T5 auth-rejected: 535 5.7.8 Authentication credentials invalid (switched off)"),
        ("south", "FAILED", "T7 lost: it was accepted and has not arrived; the canary has (switched off)"),
    ]
    assert [(test["server"], test["verdict"]) for test in servers["tests"]] == [
        *((name, "ERROR") for name in on),
        ("north", "SUCCESSFUL"),
        ("east", "FAILED"),
        ("south", "FAILED"),
    ]
    north, east, south = (list(test["steps"].items()) for test in servers["tests"][3:])
    passed = [(f"T{step}", "PASS") for step in range(9)]
    assert (north, east, south) == (passed, [*passed[:5], ("T5", "FAIL")], [*passed[:7], ("T7", "FAIL")])


def test_what_is_not_as_it_must_be_fails_the_demo() -> None:
    """On a day on which the letter is planned twice, and on which south loses nothing: exit code 1, all of it told."""
    played = subprocess.run(  # noqa: S603  our own code
        [sys.executable, "-c", ANOTHER_DAY, "--json"],
        cwd=ROOT,
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    assert played.returncode == 1, played.stderr
    day = told(played)
    assert (day["campaign"]["messages"], day["campaign"]["people"]) == (14, 7)
    assert "Ana got 2 messages, expected 1" in day["wrong"]
    assert "the contact without a name got 2 messages, expected 1" in day["wrong"]
    assert not [line for line in day["wrong"] if line.startswith("Gloria got")]
    assert "wrong: Ana got 2 messages, expected 1" in played.stderr
    assert "as they must be" not in played.stderr
    assert "after MailWizz has south active, expected inactive" in day["wrong"]
    assert (
        "MailWizz's history of south is ['SUCCESSFUL', 'SUCCESSFUL'], expected ['SUCCESSFUL', 'FAILED']" in day["wrong"]
    )
    assert "the mail host has 0 mails lost of south, expected 1" in day["wrong"]
    assert "of cycle 2 the office was told deactivated 1, expected 2" in day["wrong"]
    assert not [line for line in day["wrong"] if "north" in line or "east" in line]
