"""Reading a log of events from a CSV file, strictly: whatever is wrong with any row is told, and then nothing is used.

The header is `createdAt,eventName,level`. Rows need no order; equal ones are events of their own. What is read never
raises: it becomes a problem.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from domain.status_check import Event
from domain.wire import whole_second

HEADER = ["createdAt", "eventName", "level"]
MAX_BYTES = 256 * 1_048_576
MAX_LEVEL = 255  # as at Megazord
_EARLIEST_MS, _LATEST_MS = 946_684_800_000, 4_102_444_800_000  # the years 2000 to 2100
_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_LEVEL = re.compile(r"[0-9]{1,3}")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:[.,][0-9]{1,9})?)?"
    r"(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
_ZONED = re.compile(r"(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)$")
_SHOWN = 60


class BadTime(ValueError):  # noqa: N818  a word about the text, not about the program
    """The text is not a time that we take."""


@dataclass(frozen=True, slots=True)
class RowProblem:
    """What is wrong with one row. The header is row 1; `field` is a column's name, or empty for the whole row."""

    row: int
    field: str
    message: str


@dataclass(frozen=True, slots=True)
class EventLog:
    """The events of a file, sorted by (created_at_ms, id); none if there are problems.

    Warnings are sentences about the file as a whole.
    """

    events: tuple[Event, ...]
    problems: tuple[RowProblem, ...] = ()
    warnings: tuple[str, ...] = ()


def read_log(path: Path, zone: ZoneInfo) -> EventLog:
    """Read a CSV file. Times that name no zone are local times of `zone`."""
    try:
        with path.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return _refused(1, f"the file can't be read: {reason}")
    if len(content) > MAX_BYTES:
        return _refused(1, f"the file is larger than {MAX_BYTES // 1_048_576} MiB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _refused(content.count(b"\n", 0, error.start) + 1, "not UTF-8: save the file as UTF-8")
    return _Reading(zone).log(text)


def read_time(text: str, zone: ZoneInfo) -> tuple[int, bool]:
    """Milliseconds since 1970 of an ISO 8601 time, and whether its zone left a choice. Raises BadTime.

    A local time that a clock shows twice is taken for the first of the two.
    """
    if not _TIME.fullmatch(text):
        raise BadTime(f"{_shown(text)} is not a time such as 2025-11-25T08:40:00Z")
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadTime(f"{_shown(text)} is not a time such as 2025-11-25T08:40:00Z") from None
    is_twice = False
    if not _ZONED.search(text[10:]):
        at = at.replace(tzinfo=zone)
        is_twice = at.utcoffset() != at.replace(fold=1).utcoffset()
        if is_twice and at.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != at.replace(tzinfo=None):
            raise BadTime(f"{_shown(text)} never was in {zone.key}: the clocks were put forward")
    at_ms = _milliseconds(at)
    if not _EARLIEST_MS <= at_ms < _LATEST_MS:
        raise BadTime(f"{_shown(text)} lies outside the years 2000 to 2100")
    return at_ms, is_twice


def _milliseconds(at: datetime) -> int:
    return int(at.replace(microsecond=0).timestamp()) * 1_000 + at.microsecond // 1_000


def _refused(row: int, message: str) -> EventLog:
    return EventLog((), (RowProblem(row, "", message),))


@dataclass(slots=True)
class _Reading:
    """One file as it is read."""

    zone: ZoneInfo
    rows: list[tuple[int, str, int | None]] = field(default_factory=list)
    problems: list[RowProblem] = field(default_factory=list)
    twice: int = 0

    def log(self, text: str) -> EventLog:
        rows = _rows(text)
        try:
            header = next(rows, (1, []))[1]
        except csv.Error as error:
            return _refused(1, f"not CSV: {error}")
        if header != HEADER:
            return _refused(1, _about_header(header))
        number = 1
        try:
            for number, row in rows:
                self.take(number, row)
        except csv.Error as error:
            self.problems.append(RowProblem(number + 1, "", f"not CSV: {error}; the rest was not read"))
        if self.problems:
            return EventLog((), tuple(self.problems))
        return EventLog(_events(self.rows), (), tuple(self.warnings()))

    def take(self, number: int, row: Sequence[str]) -> None:
        if len(row) != len(HEADER):
            message = f"has {len(row)} fields instead of {len(HEADER)}"
            self.problems.append(RowProblem(number, "", message))
            return
        created_at, name, level = row
        at_ms = self.time_of(number, created_at)
        if not _NAME.fullmatch(name):
            message = f"{_shown(name)} is not a name of capitals, digits and _, such as IN_BED"
            self.problems.append(RowProblem(number, "eventName", message))
        if level and not (_LEVEL.fullmatch(level) and int(level) <= MAX_LEVEL):
            message = f"{_shown(level)} is not a whole number from 0 to {MAX_LEVEL}, or nothing"
            self.problems.append(RowProblem(number, "level", message))
        elif not self.problems and at_ms is not None:
            self.rows.append((at_ms, name, int(level) if level else None))

    def time_of(self, number: int, text: str) -> int | None:
        try:
            at_ms, is_twice = read_time(text, self.zone)
        except BadTime as error:
            self.problems.append(RowProblem(number, "createdAt", str(error)))
            return None
        self.twice += is_twice
        return at_ms

    def warnings(self) -> Iterator[str]:
        late = sum(later[0] < before[0] for before, later in zip(self.rows, self.rows[1:], strict=False))
        if late:
            yield f"the rows are not in the order of time ({late} come too late): sorted"
        if self.twice:
            yield f"times that the clocks of {self.zone.key} show twice are taken for the first ({self.twice})"


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with the number of the line at which each begins. Empty lines are no rows."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    begins = 1
    for row in reader:
        if row:
            yield begins, row
        begins = reader.line_num + 1


def _events(rows: Iterable[tuple[int, str, int | None]]) -> tuple[Event, ...]:
    # Sorted by the whole stamp and numbered, then cut to the second, as Megazord numbers and stores them.
    ordered = sorted(rows, key=lambda row: row[0])
    return tuple(Event(number, name, whole_second(at), level) for number, (at, name, level) in enumerate(ordered, 1))


def _about_header(header: Sequence[str]) -> str:
    wanted = ",".join(HEADER)
    if len(header) == 1 and header[0].count(";") == len(HEADER) - 1:
        return f"the header is not {wanted} (the fields are separated by commas, not semicolons)"
    return f"the header is not {wanted}, but {_shown(','.join(header))}"


def _shown(text: str) -> str:
    return ascii(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
