"""`robotd monitors` as people and programs meet it: text, JSON, exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.monitors import robot, rule, write_rules


def robotd(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the tool in a folder, without anything of ours in its environment."""
    command = [sys.executable, "-m", "daemon", "monitors", *arguments]
    root = str(Path(__file__).resolve().parents[2])
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": root, "LANG": "C.UTF-8"}
    return subprocess.run(  # noqa: S603  our own tool
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with one good rule."""
    return write_rules(tmp_path / "rules.yaml", robot())


def test_a_good_file_is_told_to_be_good(file: Path) -> None:
    """In a line, and as JSON in the form of the templates' linter."""
    said = robotd("lint", "rules.yaml", folder=file.parent)
    assert (said.returncode, said.stdout, said.stderr) == (0, "ok: 1 enabled, 0 disabled\n", "")
    said = robotd("lint", "rules.yaml", "--json", folder=file.parent)
    assert (said.returncode, json.loads(said.stdout)) == (0, {"file": "rules.yaml", "ok": True, "problems": []})


def test_a_bad_file_is_told_with_every_problem(file: Path) -> None:
    """Exit code 1, and a warning alone does not make it bad."""
    write_rules(file, robot(rule(eventName="toilet", windowDurationMinutes=0)))
    said = robotd("lint", "rules.yaml", "--json", folder=file.parent)
    problems = json.loads(said.stdout)["problems"]
    assert said.returncode == 1
    assert [problem["field"].rpartition(".")[2] for problem in problems] == ["eventName", "windowDurationMinutes"]
    assert set(problems[0]) == {"line", "column", "field", "message", "hint", "severity"}
    write_rules(file, robot(rule(eventName="IN_TOILET")))
    said = robotd("lint", "rules.yaml", folder=file.parent)
    assert (said.returncode, ": warning: " in said.stdout) == (0, True)


def test_a_day_is_shown_by_the_clock_on_the_wall(file: Path) -> None:
    """The day of 23 hours: the offset is summer's, and each silent window lasts two hours."""
    said = robotd("show", "rules.yaml", "--date", "2026-03-29", "--json", folder=file.parent)
    (day,) = json.loads(said.stdout)["days"]
    assert (day["starts"], day["ends"]) == ("2026-03-29T08:00:00+02:00", "2026-03-29T20:00:00+02:00")
    assert [window["ends"][11:16] for window in day["windows"]] == [
        "10:00",
        "12:00",
        "14:00",
        "16:00",
        "18:00",
        "20:00",
    ]
    said = robotd("show", "rules.yaml", "--date", "2026-03-29", folder=file.parent)
    assert said.stdout.startswith(
        "robot 61001, toilet-2h, 2026-03-29: 08:00:00+02:00 to 20:00:00+02:00; silent windows"
    )


def test_without_an_argument_the_configured_file_is_meant(file: Path) -> None:
    """None configured, or one that is not there, is a matter of the configuration: exit code 3."""
    said = robotd("lint", folder=file.parent)
    assert (said.returncode, said.stderr) == (3, "monitors.file: is not set, so there are no monitors; name a file\n")
    (file.parent / "robotd.yaml").write_text("monitors:\n  file: rules.yaml\n")
    assert robotd("lint", folder=file.parent).returncode == 0
    (file.parent / "robotd.yaml").write_text("monitors:\n  file: nowhere.yaml\n")
    said = robotd("lint", folder=file.parent)
    assert (said.returncode, "no such file" in said.stderr) == (3, True)


def test_a_date_that_is_none_is_wrong_usage(file: Path) -> None:
    """Exit code 2, with an example."""
    said = robotd("show", "rules.yaml", "--date", "tomorrow", folder=file.parent)
    assert (said.returncode, said.stderr) == (2, "robotd: --date: expected a date such as 2026-03-29\n")
