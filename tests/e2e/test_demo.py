"""The campaign within `robotd demo`: told, judged by WAHA's own record, and a failure where it is not as it must be."""

import subprocess
import sys

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
ANOTHER_DAY = """
import asyncio, sys
from localstack.demo import demo
from localstack.demo_day import DAY, Commands, Moment

def is_plan(moment):
    return isinstance(moment.what, Commands) and moment.what.command == "campaign.create"

day = [moment for moment in DAY for _ in range(1 + is_plan(moment))]
sys.exit(asyncio.run(demo(as_json="--json" in sys.argv, keep=False, day=day)))
"""


def test_the_campaign_is_paused_by_its_session_and_goes_on_by_itself() -> None:
    """The story in its order, and the ledger with everybody once: a restart and an opt-out in the middle included."""
    played = robotd("demo", "--json", folder=ROOT)
    assert played.returncode == 0, played.stderr
    day = told(played)
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
    assert "99900" not in played.stdout


def test_a_campaign_that_is_not_as_it_must_be_fails_the_demo() -> None:
    """On a day on which the letter is planned twice everybody gets two: exit code 1, and WAHA's record says so."""
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
