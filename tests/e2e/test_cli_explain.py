"""`robotd templates explain` as a person has it: checks of a database, and templates with events of a file."""

import asyncio
import json
import shutil
import sqlite3
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from daemon.settings import Settings
from tests.e2e.processes import ROOT, robotd, told
from tests.world import MORNING_MS, create_command, world

VISIT = str(ROOT / "templates" / "toilet_visit.yaml")
ROBOT = 61001
DAY = "createdAt,eventName,level\n2025-11-25T08:20:00Z,OUTSIDE_HOME,5\n2025-11-25T08:50:00Z,TOILET_ACTIVITY,\n"


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the database of a daemon: check 1 passed by an event, check 2 still waits."""
    folder = tmp_path_factory.mktemp("lived")
    asyncio.run(_live(folder / "robotd.db"))
    return folder


async def _live(database: Path) -> None:
    async with world(database, templates=_section()) as home:
        home.managers.add_step(ROBOT, 100, "TOILET_VISIT", 3600, 7200)
        async with home.running():
            await home.megazord.post_event(ROBOT, "OUTSIDE_HOME")
            home.clock.set(MORNING_MS + 600_000)
            await home.megazord.post_event(ROBOT, "INSIDE_HOME")
            for number, wait_ms in ((1, 60_000), (2, 0)):
                home.sqs.send(home.settings.queues.commands, create_command(ROBOT, 100, number, home.clock.now_ms()))
                await home.quiet()
                if wait_ms:
                    home.clock.set(home.clock.now_ms() + wait_ms)
                    await home.megazord.post_event(ROBOT, "TOILET_ACTIVITY", 5)
                    await home.quiet()
                    home.clock.set(home.clock.now_ms() + 7_200_000)


def _section() -> dict[str, object]:
    return {"folder": Settings().templates.folder}


def explain(folder: Path, *arguments: str, **more: str) -> CompletedProcess[str]:
    variables = {"ROBOTD_DATABASE__URL": f"sqlite:///{folder}/robotd.db", **more}
    return robotd("templates", "explain", *arguments, folder=folder, more=variables)


def ids(folder: Path) -> list[int]:

    with sqlite3.connect(folder / "robotd.db") as database:
        return [int(row[0]) for row in database.execute("SELECT id FROM status_check ORDER BY id")]


def test_a_check_of_the_database_is_told_whole(lived: Path) -> None:
    """As JSON: the check, every event with what it led to, each decision with its trace; over, so nothing is asked."""
    first, _ = ids(lived)

    content = told(explain(lived, str(first), "--json"))

    assert (content["check"]["id"], content["check"]["robotId"], content["check"]["stepId"]) == (first, ROBOT, 100)
    assert (content["check"]["phase"], content["check"]["result"]) == ("COMPLETED", "PASS")
    assert content["check"]["window"]["until"] == "2025-11-25T10:50:00.000Z"
    assert (content["template"]["name"], content["template"]["version"]) == ("TOILET_VISIT", 1)
    assert len(content["template"]["contentHash"]) == 64
    assert [(one["eventName"], one["level"], one["phase"], one["result"]) for one in content["history"]][-1] == (
        "TOILET_ACTIVITY",
        5,
        "FUTURE",
        "PASS",
    )
    assert [one["decidedBy"] for one in content["decisions"]] == ["", "futureEvents.PASS"]
    assert content["decisions"][1]["expressions"][0]["parts"][0] == {"text": "exists('TOILET_ACTIVITY')", "value": True}
    assert (content["now"], content["notes"]) == (None, [])


def test_a_running_check_is_asked_as_of_now(lived: Path) -> None:
    """Its window of that morning is long over, which is told; nothing is changed by asking."""
    _, second = ids(lived)

    content = told(explain(lived, str(second), "--json"))
    again = told(explain(lived, str(second), "--json"))

    assert content["check"]["phase"] == "FUTURE"
    assert (content["now"]["windowEnded"], content["now"]["result"]) == (True, "FAIL")
    assert content["notes"] == ["the window has ended, but no daemon has closed the check yet"]
    assert {**content, "now": None} == {**again, "now": None}


@pytest.mark.parametrize("columns", ["40", "80", "120"])
def test_text_is_for_people_whatever_the_width(lived: Path, columns: str) -> None:
    """Every fact is there, nothing is wider than the terminal, nothing is markup."""
    answer = explain(lived, str(ids(lived)[0]), COLUMNS=columns, ROBOTD_TEMPLATES__TIME_ZONE="Europe/Amsterdam")

    assert (answer.returncode, answer.stderr) == (0, "")
    words = "".join(answer.stdout.split())
    for fact in ("PASS,COMPLETED", "robot61001", "decision2:PASS", "futureEvents.PASS", "true,decides", "+0100"):
        assert fact in words
    assert max(len(line) for line in answer.stdout.splitlines()) <= int(columns)


def test_a_template_is_explained_with_events_of_a_file(tmp_path: Path) -> None:
    """From a moment of one's choice, else from the last event; the same form as a check of the database."""
    (tmp_path / "day.csv").write_text(DAY)

    chosen = told(explain(tmp_path, VISIT, "--events", "day.csv", "--at", "2025-11-25T08:30:00Z", "--json"))
    last = told(explain(tmp_path, VISIT, "--events", "day.csv", "--json"))
    text = explain(
        tmp_path, VISIT, "--events", "day.csv", "--at", "2025-11-25T09:30:00", "--timezone", "Europe/Amsterdam"
    )

    assert chosen["check"]["id"] is None
    assert [one["result"] for one in chosen["history"]] == ["PENDING", "PASS"]
    assert [(one["at"], one["decidedBy"]) for one in chosen["decisions"]] == [
        ("2025-11-25T08:30:00.000Z", ""),
        ("2025-11-25T08:50:00.000Z", "futureEvents.PASS"),
    ]
    assert (last["check"]["startedAt"], last["check"]["result"]) == ("2025-11-25T08:50:00.000Z", "PASS")
    assert (text.returncode, "a rehearsed check: PASS" in text.stdout) == (0, True)
    assert "looks back    to 2025-11-25 07:30:00 +0100" in text.stdout


def test_a_template_that_never_looks_back_starts_at_the_first_event(tmp_path: Path) -> None:
    """There all others lie ahead of it; and the end of the log before that of the window is told."""
    (tmp_path / "day.csv").write_text(DAY.replace("OUTSIDE_HOME", "OUT_OF_BED"))
    rising = VISIT.replace("toilet_visit", "toilet_after_rising")

    content = told(explain(tmp_path, rising, "--events", "day.csv", "--json"))
    alone = told(explain(tmp_path, rising, "--events", "day.csv", "--at", "2025-11-25T09:00Z", "--json"))

    assert (content["check"]["startedAt"], content["check"]["result"]) == ("2025-11-25T08:20:00.000Z", "PASS")
    assert alone["check"]["result"] == "FAIL"
    assert alone["notes"] == ["the log ends before the window does: what it doesn't hold counts as silence"]


def test_what_can_not_be_explained_is_one_sentence(lived: Path, tmp_path: Path) -> None:
    """Unknown ids, no database, one without tables, a template without events, a bad log: code and reason."""
    (tmp_path / "bad.csv").write_text("createdAt\n")
    (tmp_path / "empty.csv").write_text("createdAt,eventName,level\n")
    unknown = explain(lived, "999999999", "--json")
    huge = explain(lived, "9" * 19)
    missing = explain(tmp_path, "1")
    assert not (tmp_path / "robotd.db").exists()
    (tmp_path / "robotd.db").touch()
    bare = explain(tmp_path, "1")
    odd = [explain(tmp_path, *words) for words in (("x",), (VISIT,), ("-1",), ("9" * 20,), ("1", "--at", "x"))]
    bad = [explain(tmp_path, VISIT, "--events", name) for name in ("bad.csv", "empty.csv", "gone.csv")]

    assert (unknown.returncode, json.loads(unknown.stdout)["error"]) == (
        1,
        "robotd: the database has no status check 999999999",
    )
    assert (huge.returncode, "has no status check" in huge.stderr) == (1, True)
    assert (missing.returncode, "is not there" in missing.stderr) == (1, True)
    assert (bare.returncode, "`robotd migrate`" in bare.stderr) == (1, True)
    assert [one.returncode for one in odd] == [2] * 5
    assert [one.returncode for one in bad] == [1] * 3
    assert "Traceback" not in "".join(one.stderr for one in (unknown, huge, missing, bare, *odd, *bad))


def test_a_check_whose_template_is_gone_still_tells_its_reasons(lived: Path, tmp_path: Path) -> None:
    """From its stored traces; what it would say now can't be asked."""
    shutil.copy(lived / "robotd.db", tmp_path / "robotd.db")
    with sqlite3.connect(tmp_path / "robotd.db") as database:
        database.execute("UPDATE status_check SET template_version = 77")
    _, second = ids(lived)

    content = told(explain(tmp_path, str(second), "--json"))

    assert content["now"] is None
    assert content["notes"] == ["template TOILET_VISIT version 77 is gone"]
    assert len(content["template"]["contentHash"]) == 64
    assert len(content["decisions"]) == 1
