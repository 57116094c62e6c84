"""`robotd templates replay` as a person has it: a template, a file of events, a terminal or a program behind it."""

import csv
import json
import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from domain.wire import iso
from tests.e2e.ordonez import HOME_ZONE, events_of, read_rows
from tests.e2e.processes import ROOT, robotd

VISIT = str(ROOT / "templates" / "toilet_visit.yaml")
HEADER = "createdAt,eventName,level\n"
DAY = HEADER + (
    "2025-11-25T07:40:00Z,TOILET_ACTIVITY,\n2025-11-25T11:20:00+01:00,OUTSIDE_HOME,5\n2025-11-25 12:30:00,IN_TOILET,\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "day.csv").write_text(DAY, encoding="utf-8")
    return tmp_path


def replay(folder: Path, *arguments: str, log: str = "day.csv", template: str = VISIT) -> CompletedProcess[str]:
    return robotd("templates", "replay", template, log, *arguments, folder=folder)


def objects(answer: CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.stdout.splitlines()]


def test_each_moment_is_one_object_in_a_line(folder: Path) -> None:
    """Exactly four fields, times in UTC; in the past, in the future, at an event, and at the end of the window."""
    times = ("2025-11-25T08:40:00Z", "2025-11-25T10:00:00.999Z", "2025-11-25T11:15:00", "2025-11-25T11:00:00Z")
    options = [word for text in times for word in ("--at", text)]

    answer = replay(folder, *options, "--timezone", "Europe/Amsterdam", "--json")

    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.splitlines()[0] == (
        '{"at": "2025-11-25T08:40:00.000Z", "result": "PASS", "decidedAt": "2025-11-25T08:40:00.000Z", '
        '"decidedBy": "pastEvents.PASS"}'
    )
    assert [tuple(one.values()) for one in objects(answer)[1:]] == [
        ("2025-11-25T10:00:00.000Z", "UNKNOWN", "2025-11-25T10:20:00.000Z", "futureEvents.UNKNOWN"),
        ("2025-11-25T10:15:00.000Z", "UNKNOWN", "2025-11-25T10:20:00.000Z", "futureEvents.UNKNOWN"),
        ("2025-11-25T11:00:00.000Z", "PASS", "2025-11-25T11:30:00.000Z", "futureEvents.PASS"),
    ]


def test_every_counts_elapsed_time_over_a_change_of_the_clocks(folder: Path) -> None:
    """From the first event to the last, both included: the day on which the clocks are put back has 25 hours."""
    (folder / "day.csv").write_text(f"{HEADER}2025-10-26T00:00:00,IN_TOILET,\n2025-10-27T00:00:00,IN_TOILET,\n")

    all_day = replay(folder, "--every", "1h", "--timezone", "Europe/Amsterdam", "--json")
    part = replay(folder, "--every", "90s", "--from", "2025-10-26T10:00:00Z", "--to", "2025-10-26T10:04:00Z", "--json")

    found = [one["at"] for one in objects(all_day)]
    assert (len(found), found[0], found[-1]) == (26, "2025-10-25T22:00:00.000Z", "2025-10-26T23:00:00.000Z")
    assert [one["at"][11:19] for one in objects(part)] == ["10:00:00", "10:01:30", "10:03:00"]


def test_text_is_a_table_with_counts_and_says_where_the_log_ends_early(folder: Path) -> None:
    """`--only` hides lines, not counts; what silence decided behind the end of the log is marked."""
    moments = ("--at", "2025-11-25T08:40:00Z", "--at", "2025-11-25T13:20:00Z", "--at", "2025-11-25T15:00:00Z")

    whole = replay(folder, *moments)
    failed = replay(folder, *moments, "--only", "FAIL", "--timezone", "Europe/Amsterdam")
    as_json = replay(folder, *moments, "--only", "FAIL", "--json")

    assert (whole.returncode, whole.stderr) == (0, "")
    assert whole.stdout.splitlines() == [
        "TOILET_VISIT version 1; 3 events of day.csv; times of UTC",
        "check started              result   after      decided by",
        "2025-11-25 08:40:00 +0000  PASS     00:00:00   pastEvents.PASS",
        "2025-11-25 13:20:00 +0000  PASS     00:00:00   pastEvents.PASS",
        "2025-11-25 15:00:00 +0000  FAIL*    00:30:00   onTimeout",
        "* the log ends before the window does: what it doesn't hold counts as silence",
        "3 checks: 2 PASS, 1 FAIL, 0 UNKNOWN",
    ]
    assert failed.stdout.splitlines()[-1] == "3 checks: 2 PASS, 1 FAIL, 0 UNKNOWN; 1 shown"
    assert [one["at"][11:13] for one in objects(as_json)] == ["15"]
    assert as_json.stderr.startswith("warning: day.csv: the log ends before the window does")


def test_bad_rows_are_all_told_and_nothing_is_decided(folder: Path) -> None:
    """Exit code 1; rows, fields and faults on stderr, as JSON on stdout."""
    (folder / "bad.csv").write_text(DAY + "soon,IN_BED,high\n2025-11-25T08:00:00Z,IN_BED\n", encoding="utf-8")

    text = replay(folder, "--every", "1h", log="bad.csv")
    as_json = replay(folder, "--every", "1h", "--json", log="bad.csv")

    assert (text.returncode, text.stdout) == (1, "")
    assert text.stderr.splitlines() == [
        "bad.csv:5: createdAt: 'soon' is not a time such as 2025-11-25T08:40:00Z",
        "bad.csv:5: level: 'high' is not a whole number from 0 to 255, or nothing",
        "bad.csv:6: has 2 fields instead of 3",
        "bad.csv: 2 bad rows, nothing was decided",
    ]
    assert (as_json.returncode, as_json.stderr) == (1, "")
    (refusal,) = objects(as_json)
    assert (refusal["error"], refusal["exitCode"]) == ("bad.csv: 2 bad rows, nothing was decided", 1)
    assert [(one["row"], one["field"]) for one in refusal["problems"]] == [(5, "createdAt"), (5, "level"), (6, "")]


def test_a_template_that_can_not_be_used_decides_nothing(folder: Path) -> None:
    """As `lint` says it, exit code 1."""
    (folder / "bad.yaml").write_text("name: 1\n")

    text = replay(folder, "--every", "1h", template="bad.yaml")
    as_json = replay(folder, "--every", "1h", "--json", template="gone.yaml")

    assert (text.returncode, text.stdout) == (1, "")
    assert text.stderr.splitlines()[-1] == "bad.yaml: the template can't be used"
    assert objects(as_json)[0]["problems"][0]["message"] == "can't be read: No such file or directory"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "say either --at, once or more often, or --every"),
        (("--at", "2025-11-25T08:00Z", "--every", "1h"), "say either --at, once or more often, or --every"),
        (("--at", "2025-11-25T08:00Z", "--from", "2025-11-25T08:00Z"), "--from and --to belong to --every"),
        (("--at", "noon"), "--at: 'noon' is not a time such as"),
        (("--at", "2025-03-30T02:30", "--timezone", "Europe/Amsterdam"), "never was in Europe/Amsterdam"),
        (("--every", "0m"), "--every: '0m' is not a time span: write"),
        (("--every", "1s", "--from", "2001-01-01T00:00Z"), "at most 1000000 are asked"),
        (("--every", "1h", "--to", "2025-01-01T00:00Z"), "--to lies before --from"),
        (("--every", "1h", "--timezone", "Mars/Olympus"), "is no time zone, such as"),
        (("--every", "1h", "--timezone", "../etc/passwd"), "is no time zone, such as"),
        (("--every", "1h", "--only", "MAYBE"), "is none of PASS, FAIL, UNKNOWN"),
    ],
)
def test_options_that_make_no_sense_are_wrong_usage(folder: Path, options: tuple[str, ...], sentence: str) -> None:
    """One sentence and exit code 2."""
    answer = replay(folder, *options)

    assert (answer.returncode, answer.stdout) == (2, "")
    assert sentence in answer.stderr


def test_a_log_without_any_of_the_events_is_suspicious(folder: Path) -> None:
    """A warning, and then silence decides; an empty log has no first and no last event."""
    (folder / "other.csv").write_text(HEADER + "2025-11-25T08:00:00Z,IN_BED,\n")
    (folder / "empty.csv").write_text(HEADER)

    other = replay(folder, "--at", "2025-11-25T08:00:00Z", "--json", log="other.csv")
    empty = replay(folder, "--at", "2025-11-25T08:00:00Z", "--json", log="empty.csv")
    no_range = replay(folder, "--every", "1h", log="empty.csv")

    assert [objects(one)[0]["decidedBy"] for one in (other, empty)] == ["onTimeout", "onTimeout"]
    assert "warning: other.csv: holds none of the events that the template depends on" in other.stderr
    assert "warning: empty.csv: holds no events" in empty.stderr
    assert (no_range.returncode, "say --from and --to" in no_range.stderr) == (2, True)


def test_names_that_a_terminal_would_obey_are_written_out(tmp_path: Path) -> None:
    """A file's name is neither markup nor an escape."""
    name = "[red]\x1b[31m.csv"
    (tmp_path / name).write_text(DAY)

    answer = replay(tmp_path, "--at", "2025-11-25T08:00:00Z", log=name)

    assert answer.returncode == 0
    assert "[red]\\x1b[31m.csv" in answer.stdout
    assert "\x1b" not in answer.stdout + answer.stderr


def test_a_large_log_is_replayed_within_a_minute(tmp_path: Path) -> None:
    """100,000 rows of a year and 10,000 moments, by a template that looks back over everything."""
    chance = random.Random(5)
    begin = datetime(2024, 11, 25, tzinfo=UTC)
    stamps = sorted(chance.randrange(365 * 86_400) for _ in range(100_000))
    names = ("IN_BED", "OUT_OF_BED", "TOILET_ACTIVITY", "EATING_ACTIVITY", "INSIDE_HOME", "OUTSIDE_HOME")
    rows = (f"{(begin + timedelta(seconds=at)).isoformat()},{chance.choice(names)},\n" for at in stamps)
    (tmp_path / "year.csv").write_text(HEADER + "".join(rows))
    began = time.monotonic()

    answer = replay(
        tmp_path,
        "--every",
        "52m",
        "--json",
        log="year.csv",
        template=VISIT.replace("toilet_visit", "out_of_bed_morning"),
    )

    assert time.monotonic() - began < 60
    assert len(objects(answer)) == pytest.approx(10_107, abs=2)


def test_a_real_home_is_replayed_by_every_template(tmp_path: Path) -> None:
    """Fourteen days as a CSV, each template each hour: every moment has an answer, and the home's habits show."""
    events = events_of(read_rows())
    with (tmp_path / "home.csv").open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["createdAt", "eventName", "level"])
        writer.writerows(
            [datetime.fromtimestamp(one.at_ms / 1000, HOME_ZONE).isoformat(), one.name, ""] for one in events
        )
    hours = (events[-1].at_ms - events[0].at_ms) // 3_600_000 + 1
    counts = {}
    for file in sorted((ROOT / "templates").glob("*.yaml")):
        answer = replay(
            tmp_path, "--every", "1h", "--timezone", HOME_ZONE.key, "--json", log="home.csv", template=str(file)
        )
        found = objects(answer)
        assert (answer.returncode, len(found), found[0]["at"]) == (0, hours, iso(events[0].at_ms))
        counts[file.stem] = {
            result: sum(one["result"] == result for one in found) for result in ("PASS", "FAIL", "UNKNOWN")
        }
    assert counts["client_nearby"]["PASS"] == 0  # this home can't tell
    assert counts["door_closed"]["FAIL"] == 0
    assert counts["client_at_home"]["PASS"] > counts["client_at_home"]["FAIL"] > 0
