"""The file of rules as a process reads it: at the start, again and again, and never half of it."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from daemon.gate import Gate
from daemon.monitors import LIMITS, FileMonitors, MonitorKeeper, read_monitors
from domain.errors import Conflict, Unavailable
from tests.monitors import robot, rule, write_rules

PLAIN = """\
robots:
  - robotId: 61001
    timezone: Europe/Amsterdam
    monitoringRules:
      - ruleId: toilet-2h
        eventName: TOILET_ACTIVITY
        windowDurationMinutes: 120
        dailyWindow: {startTime: "08:00", endTime: "20:00"}
        actions:
          - {type: MESSAGE}
"""


@pytest.fixture
def log() -> Iterator[list[Any]]:
    """What is logged meanwhile."""
    capture = LogCapture()
    before = structlog.get_config()["processors"]
    structlog.configure(processors=[capture])
    yield capture.entries
    structlog.configure(processors=before)


def keys(rules: FileMonitors) -> list[str] | None:
    """Who is watched."""
    current = rules.current()
    return None if current is None else [one.key for one in current]


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_file_is_read_whatever_its_line_ends(tmp_path: Path, ends: str) -> None:
    """As editors on Windows write it, too, and with a mark of its encoding."""
    file = tmp_path / "rules.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + PLAIN.replace("\n", ends).encode())
    read = read_monitors(file)
    assert read.problems == ()
    assert read.rules is not None
    assert [one.key for one in read.rules.rules] == ["61001:toilet-2h"]


def test_a_problem_names_its_line_and_column(tmp_path: Path) -> None:
    """`file:line:column: field: message (hint)`, in the order of the file."""
    file = tmp_path / "rules.yaml"
    file.write_text(PLAIN.replace("61001", '"61001"').replace('"20:00"', '"2000"').replace("toilet-2h", "b c"))
    assert [str(problem).removeprefix(str(file)) for problem in read_monitors(file).problems] == [
        ":2:14: robots.0.robotId: expected a whole number (write it without quotes and without a fraction)",
        (
            ":5:17: robots.0.monitoringRules.0.ruleId: is not written as it must be "
            "(letters, digits, _ and -, such as toilet-2h)"
        ),
        (
            ":8:52: robots.0.monitoringRules.0.dailyWindow.endTime: is not a time of day "
            '(write "20:00", in quotes; "24:00" is the end of the day)'
        ),
    ]


def test_what_is_probably_not_meant_is_a_warning(tmp_path: Path) -> None:
    """The rules are in force all the same: Megazord may know more names than we do."""
    read = read_monitors(
        write_rules(
            tmp_path / "rules.yaml", robot(rule(eventName="IN_TOILET"), rule(ruleId="b", eventName="TOILET_ACTIVTY"))
        )
    )
    assert read.rules is not None
    assert [(problem.severity, problem.hint) for problem in read.problems] == [
        ("warning", "take an event that comes by itself, as TOILET_ACTIVITY"),
        ("warning", "did you mean TOILET_ACTIVITY?"),
    ]


@pytest.mark.parametrize("odd", ["missing", "folder", "text"])
def test_what_is_no_file_of_rules_is_a_problem_and_no_exception(tmp_path: Path, odd: str) -> None:
    """A path that leads nowhere, to a folder, to something else."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_bytes(b"\xff\xfe\x00")
    read = read_monitors(tmp_path / odd)
    assert read.rules is None
    assert len(read.problems) == 1


def test_a_thousand_rules_fit_and_are_read_fast_enough(tmp_path: Path) -> None:
    """A fleet in one file; beyond the limit there is one clear problem."""
    body = PLAIN.removeprefix("robots:\n")
    file = tmp_path / "rules.yaml"
    file.write_text("robots:\n" + "".join(body.replace("61001", str(number)) for number in range(1, 1001)))
    begun_s = time.process_time()
    read = read_monitors(file)
    assert time.process_time() - begun_s < 20.0
    assert read.rules is not None
    assert len(read.rules.rules) == 1000
    file.write_text("#" * (LIMITS.max_bytes + 1))
    assert [problem.message for problem in read_monitors(file).problems] == ["the file is larger than 512 KiB"]


def test_rules_are_taken_when_they_were_the_same_at_two_looks(tmp_path: Path) -> None:
    """The first file is taken at once; half of a file that is being written is not."""
    file = write_rules(tmp_path / "rules.yaml", robot(), robot(robotId=2))
    rules = FileMonitors(file)
    assert rules.look()
    write_rules(file, robot())  # as far as an editor has come
    assert not rules.look()
    write_rules(file, robot(), robot(robotId=3))
    assert not rules.look()
    assert keys(rules) == ["61001:toilet-2h", "2:toilet-2h"]
    assert rules.look()
    assert keys(rules) == ["61001:toilet-2h", "3:toilet-2h"]
    assert not rules.look()


def test_a_bad_file_changes_nothing_and_is_told_once(tmp_path: Path, log: list[Any]) -> None:
    """However often it is looked at; when it comes back after a good one, it is told again."""
    file = write_rules(tmp_path / "rules.yaml", robot())
    rules = FileMonitors(file)
    rules.look()
    for content in (b"robots: 3", b"robots: 3", b"robots: 3", b"robots: 3 # why?", b"robots: 3 # why?"):
        file.write_bytes(content)
        assert not rules.look()
    file.unlink()
    assert not rules.look()
    assert not rules.look()
    assert keys(rules) == ["61001:toilet-2h"]
    refused = [entry["reason"] for entry in log if entry["event"] == "monitors.refused"]
    assert [reason.removeprefix(str(file)) for reason in refused] == [
        ":1:9: robots: expected a list (one line per item, each with a dash)",
        ":1:1: can't be read: No such file or directory",
    ]


def test_without_a_good_file_nobody_knows_the_rules(tmp_path: Path) -> None:
    """That is another matter than to have none: running sessions must not be closed for it."""
    file = tmp_path / "rules.yaml"
    file.write_text("robots: 3")
    rules = FileMonitors(file)
    rules.look()
    assert keys(rules) is None
    assert keys(FileMonitors(None)) == []


class Plans:
    """Counts, and fails as often as it is told."""

    def __init__(self, *failures: Exception) -> None:
        self.made = 0
        self.failures = list(failures)
        self.again = asyncio.Event()

    async def __call__(self) -> None:
        self.made += 1
        self.again.set()
        if self.failures:
            raise self.failures.pop(0)

    async def until(self, made: int) -> None:
        async with asyncio.timeout(10):
            while self.made < made:
                self.again.clear()
                await self.again.wait()


async def test_planning_is_tried_until_it_succeeds(tmp_path: Path) -> None:
    """Another replica may be first, the database may be away: the next look plans again, and then rests."""
    file = write_rules(tmp_path / "rules.yaml", robot())
    plans, gate = Plans(Conflict(), Unavailable("megazord", "away")), Gate()
    keeping = asyncio.create_task(MonitorKeeper(FileMonitors(file), plans, gate, look_every_s=0.01).run())
    await plans.until(3)
    write_rules(file)
    await plans.until(4)
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping
    assert plans.made == 4
