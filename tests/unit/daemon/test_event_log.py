"""Logs of events as CSV files: what is read, and what is said of each bad row."""

import random
import time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from daemon import event_log
from daemon.event_log import EventLog, RowProblem, read_log
from domain.wire import iso

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
HEADER = "createdAt,eventName,level\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.csv"


def read(file: Path, content: str | bytes, zone: ZoneInfo = AMSTERDAM) -> EventLog:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_log(file, zone)


@pytest.mark.parametrize(
    "content",
    [
        b'createdAt,eventName,level\n2025-11-25T08:40:00Z,IN_BED,5\n"2025-11-25 09:41:00","OUT_OF_BED",\n',
        b"\xef\xbb\xbfcreatedAt,eventName,level\r\n2025-11-25T08:40:00Z,IN_BED,5\r\n2025-11-25T09:41,OUT_OF_BED,\r\n",
        b'"createdAt","eventName","level"\n2025-11-25T07:40:00.999-0100,IN_BED,05\n\n2025-11-25T08:41:00+00:00,OUT_OF_BED,""',
        b"createdAt,eventName,level\r2025-11-25T08:40:00.5Z,IN_BED,5\r2025-11-25T08:41:00Z,OUT_OF_BED,\r",
    ],
)
def test_what_programs_write_is_read(file: Path, content: bytes) -> None:
    """With a mark of byte order or none, any line ends, quotes or none, times with a zone or without."""
    log = read(file, content)

    assert (log.problems, log.warnings) == ((), ())
    assert [(one.id, iso(one.created_at_ms), one.name, one.level) for one in log.events] == [
        (1, "2025-11-25T08:40:00.000Z", "IN_BED", 5),
        (2, "2025-11-25T08:41:00.000Z", "OUT_OF_BED", None),
    ]


def test_rows_are_sorted_stably_and_equal_ones_kept(file: Path) -> None:
    """Numbered by their whole time, then cut to the second; the disorder is told."""
    rows = ["08:41:00.000Z,LATE", "08:40:00.900Z,B", "08:40:00.100Z,A", "08:40:00.900Z,B", "08:40:00.900Z,C"]
    log = read(file, HEADER + "".join(f"2025-11-25T{row},\n" for row in rows))

    assert [(one.id, one.name, one.created_at_ms % 60_000) for one in log.events] == [
        (1, "A", 0),
        (2, "B", 0),
        (3, "B", 0),
        (4, "C", 0),
        (5, "LATE", 0),
    ]
    assert log.warnings == ("the rows are not in the order of time (2 come too late): sorted",)


def test_local_times_follow_the_clocks(file: Path) -> None:
    """A time that is shown twice is the first of the two, and told; one that never was is a bad row."""
    autumn = read(file, HEADER + "2025-10-26T02:30:00,IN_BED,\n2025-10-26T03:30:00,IN_BED,\n")
    spring = read(file, HEADER + "2025-03-30T02:30:00,IN_BED,\n2025-03-30T03:30:00,IN_BED,\n")

    assert [iso(one.created_at_ms)[11:16] for one in autumn.events] == ["00:30", "02:30"]
    assert autumn.warnings == ("times that the clocks of Europe/Amsterdam show twice are taken for the first (1)",)
    assert [(one.row, one.message) for one in spring.problems] == [
        (2, "'2025-03-30T02:30:00' never was in Europe/Amsterdam: the clocks were put forward")
    ]


@pytest.mark.parametrize(
    ("row", "field", "message"),
    [
        ("soon,IN_BED,", "createdAt", "'soon' is not a time such as 2025-11-25T08:40:00Z"),
        ("2025-11-25,IN_BED,", "createdAt", "'2025-11-25' is not a time such as 2025-11-25T08:40:00Z"),
        ("2025-02-30T08:40:00Z,IN_BED,", "createdAt", "'2025-02-30T08:40:00Z' is not a time"),
        ("2025-11-25T24:00:00Z,IN_BED,", "createdAt", "'2025-11-25T24:00:00Z' is not a time"),
        ("2025-11-25T08:40:00+25:00,IN_BED,", "createdAt", "'2025-11-25T08:40:00+25:00' is not a time"),
        ("1764060000000,IN_BED,", "createdAt", "'1764060000000' is not a time"),
        (" 2025-11-25T08:40:00Z,IN_BED,", "createdAt", "' 2025-11-25T08:40:00Z' is not a time"),
        ("1999-12-31T23:59:59Z,IN_BED,", "createdAt", "'1999-12-31T23:59:59Z' lies outside the years 2000 to 2100"),
        ("0001-01-01T00:00:00,IN_BED,", "createdAt", "'0001-01-01T00:00:00' lies outside the years 2000 to 2100"),
        ("9999-12-31T23:59:59-23:59,IN_BED,", "createdAt", "'9999-12-31T23:59:59-23:59' lies outside the years"),
        (",IN_BED,", "createdAt", "'' is not a time"),
        ("2025-11-25T08:40:00Z,,", "eventName", "'' is not a name of capitals, digits and _, such as IN_BED"),
        ("2025-11-25T08:40:00Z,in_bed,", "eventName", "'in_bed' is not a name"),
        ("2025-11-25T08:40:00Z,IN_BED ,", "eventName", "'IN_BED ' is not a name"),
        ("2025-11-25T08:40:00Z,\x1b[31m,", "eventName", r"'\x1b[31m' is not a name"),
        ("2025-11-25T08:40:00Z,IN\x00BED,", "eventName", r"'IN\x00BED' is not a name"),
        ('2025-11-25T08:40:00Z,"IN\nBED",', "eventName", r"'IN\nBED' is not a name"),
        ("2025-11-25T08:40:00Z,IN_BED,high", "level", "'high' is not a whole number from 0 to 255, or nothing"),
        ("2025-11-25T08:40:00Z,IN_BED,256", "level", "'256' is not a whole number"),
        ("2025-11-25T08:40:00Z,IN_BED,-1", "level", "'-1' is not a whole number"),
        ("2025-11-25T08:40:00Z,IN_BED,5.0", "level", "'5.0' is not a whole number"),
        ("2025-11-25T08:40:00Z,IN_BED,\u0665", "level", r"'\u0665' is not a whole number"),
        ("2025-11-25T08:40:00Z,IN_BED", "", "has 2 fields instead of 3"),
        ("2025-11-25T08:40:00Z,IN_BED,5,", "", "has 4 fields instead of 3"),
        ("2025-11-25T08:40:00Z;IN_BED;5", "", "has 1 fields instead of 3"),
    ],
)
def test_a_bad_row_is_told_with_its_number_field_and_fault(file: Path, row: str, field: str, message: str) -> None:
    """The header is row 1; nothing of the log is used."""
    log = read(file, f"{HEADER}2025-11-25T08:00:00Z,IN_BED,\n{row}\n2025-11-25T08:00:00Z,IN_BED,\n")

    ((number, where, found),) = [(one.row, one.field, one.message) for one in log.problems]
    assert (number, where) == (3, field)
    assert found.startswith(message)
    assert log.events == ()


def test_every_bad_row_is_told_and_every_fault_of_it(file: Path) -> None:
    """Also after a field that goes over two lines: numbers are those of an editor."""
    log = read(
        file, HEADER + 'x,y,z\n2025-11-25T08:00:00Z,"A\nB",\n2025-11-25T08:00:00Z,IN_BED,\n\n2025-11-25,IN_BED,\n'
    )

    assert [(one.row, one.field) for one in log.problems] == [
        (2, "createdAt"),
        (2, "eventName"),
        (2, "level"),
        (3, "eventName"),
        (7, "createdAt"),
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", RowProblem(1, "", "the header is not createdAt,eventName,level, but ''")),
        (b"2025-11-25T08:00:00Z,IN_BED,\n", None),
        (
            b"createdAt;eventName;level\n",
            RowProblem(
                1,
                "",
                "the header is not createdAt,eventName,level (the fields are separated by commas, not semicolons)",
            ),
        ),
        (b"createdAt,eventName\n", None),
        (b"createdat,eventname,level\n", None),
        ("createdAt,eventName,level\n".encode("utf-16"), RowProblem(1, "", "not UTF-8: save the file as UTF-8")),
        (HEADER.encode() + b"2025-11-25T08:00:00Z,CAF\xc9,\n", RowProblem(2, "", "not UTF-8: save the file as UTF-8")),
        (HEADER.encode() + b'2025-11-25T08:00:00Z,"IN_BED"x,\n', None),
        (HEADER.encode() + b'2025-11-25T08:00:00Z,"IN_BED,\n', None),
        (HEADER.encode() + b"x" * 200_000, None),
        (bytes(range(256)) * 10, None),
    ],
)
def test_a_file_that_is_no_log_is_one_problem(file: Path, content: bytes, problem: RowProblem | None) -> None:
    """And never an exception."""
    log = read(file, content)

    assert len(log.problems) == 1
    assert log.problems[0] == (problem or log.problems[0])
    assert log.events == ()


def test_what_is_not_a_file_is_one_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder, nothing at all, a name that no file may have, and a file that is too large."""
    monkeypatch.setattr(event_log, "MAX_BYTES", 20)
    (tmp_path / "large.csv").write_text(HEADER)

    found = [read_log(tmp_path / name, AMSTERDAM) for name in (".", "gone.csv", "a\x00b", "large.csv")]

    assert [len(log.problems) for log in found] == [1, 1, 1, 1]
    assert found[1].problems[0].message == "the file can't be read: No such file or directory"
    assert found[3].problems[0].message.startswith("the file is larger than")


def test_a_hundred_thousand_rows_are_read_within_seconds(file: Path) -> None:
    """Unsorted, in local time, which takes longest."""
    chance = random.Random(3)
    rows = [
        f"2025-{chance.randrange(4, 10):02}-{chance.randrange(1, 29):02}T08:40:{n % 60:02},IN_BED,\n"
        for n in range(100_000)
    ]
    began = time.process_time()

    log = read(file, HEADER + "".join(rows))

    assert time.process_time() - began < 10
    assert len(log.events) == 100_000
