"""Reading contacts from a CSV file, row by row: a bad row is told and left out, the good ones are read.

UTF-8 with or without a byte order mark, any line ends, quoted fields; comma, semicolon or tab, whichever makes
`phone_number` a column of the header. Rows are numbered as a spreadsheet does: the header is row 1, empty rows count.
"""

import csv
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from domain.contact_rows import Columns, RawRow, RowProblem, read_header
from domain.errors import MessageError, RuleViolation

DELIMITERS = ",;\t"
MAX_RECORD = 65_536  # characters: a quote that is never closed would read the whole file into memory
_UNDECODED = re.compile("[\udc80-\udcff]")  # what "surrogateescape" makes of bytes that are not UTF-8
_NOT_UTF8 = "not UTF-8: save the file as CSV in UTF-8"


class _TooLong(Exception):  # noqa: N818  what was found, not a fault of the program
    """A record that goes on and on."""


class _Lines:
    """The lines of a file, as many characters of them as one record may have."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.read = 0
        self.of_record = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_RECORD + 1)
        if not line:
            raise StopIteration
        self.read += len(line)
        self.of_record += len(line)
        if self.of_record > MAX_RECORD:
            raise _TooLong
        return line


class ContactCsv:
    """One file that is being read. `read` of about `size` has been: both count, for a progress bar, what is similar."""

    def __init__(self, file: TextIO, size: int) -> None:
        self._lines = _Lines(file)
        self.size = size
        self._row = 1
        self.columns, self._delimiter = self._header()

    @property
    def read(self) -> int:
        """Characters that were read so far."""
        return self._lines.read

    def __iter__(self) -> Iterator[RawRow | RowProblem]:
        reader = csv.reader(self._lines, delimiter=self._delimiter, strict=True)
        while True:
            self._row += 1
            self._lines.of_record = 0
            try:
                found = self._row_of(next(reader))
            except StopIteration:
                return
            except _TooLong:
                yield RowProblem(self._row, f"longer than {MAX_RECORD} characters; nothing after it was read")
                return
            except csv.Error as error:
                found = RowProblem(self._row, f"not CSV: {error}")
            if found is not None:
                yield found

    def _row_of(self, cells: list[str]) -> RawRow | RowProblem | None:
        if any(_UNDECODED.search(cell) for cell in cells):
            return RowProblem(self._row, _NOT_UTF8)
        return self.columns.row(self._row, cells)

    def _header(self) -> tuple[Columns, str]:
        line = self._first_line()
        if _UNDECODED.search(line) or "\0" in line:
            raise MessageError(_NOT_UTF8)
        readings = [(_cells(line, delimiter), delimiter) for delimiter in DELIMITERS]
        most = max(readings, key=lambda reading: len(reading[0]))
        problem: RuleViolation | None = None
        for cells, delimiter in [most, *readings]:
            try:
                return read_header(cells), delimiter
            except RuleViolation as error:
                problem = problem or error
        raise MessageError(f"row {self._row}: {problem}")

    def _first_line(self) -> str:
        try:
            for line in self._lines:
                if line.strip():
                    return line
                self._row += 1
                self._lines.of_record = 0
        except _TooLong:
            raise MessageError(f"the header is longer than {MAX_RECORD} characters") from None
        raise MessageError("the file is empty; its first row names the columns, phone_number among them")


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return []


@contextmanager
def open_csv(path: Path) -> Iterator[ContactCsv]:
    """Open a file and read its header. Raises MessageError where that can't be used."""
    try:
        raw = path.open("rb")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise MessageError(f"{path} can't be read: {reason}") from None
    with raw, TextIOWrapper(raw, "utf-8-sig", "surrogateescape", newline="") as text:
        try:
            opened = ContactCsv(text, os.fstat(raw.fileno()).st_size)
        except MessageError as error:
            raise MessageError(f"{path}: {error}") from None
        yield opened
