"""Cells of an exported ledger: nothing that a spreadsheet runs, and nothing lost."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.campaign_export import COLUMNS, cell, ledger_row
from daemon.campaign_view import LedgerLine
from domain.campaign import Recipient, RecipientState

TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.builds(
    lambda start, rest: start + rest, st.sampled_from("=+-@\t\r\n'"), st.text(st.characters(exclude_categories=["Cs"]))
)


def read_back(text: str) -> str:
    """What docs/operations.md says a reader does."""
    return text.removeprefix("'")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'x"])
def test_what_a_spreadsheet_could_run_gets_an_apostrophe(text: str) -> None:
    """So it is shown as text."""
    assert cell(text) == f"'{text}"


def test_everything_else_stays_as_it_is() -> None:
    """Numbers of ours are no text; nothing is an empty cell."""
    assert [cell(value) for value in ("Ann", "O'Neil", "1+1", "", None, -1, 0)] == [
        "Ann",
        "O'Neil",
        "1+1",
        "",
        "",
        "-1",
        "0",
    ]


@given(st.lists(st.lists(TEXTS, min_size=2, max_size=4), max_size=4))
def test_every_text_reads_back_exactly(rows: list[list[str]]) -> None:
    """Through `csv` and without the apostrophe it is what it was: line ends, quotes, separators and NUL included."""
    written = io.StringIO(newline="")
    csv.writer(written).writerows([cell(text) for text in row] for row in rows)
    read = list(csv.reader(io.StringIO(written.getvalue(), newline="")))
    assert [[read_back(text) for text in row] for row in read] == rows
    assert not any(text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for row in read for text in row)


def test_a_line_has_every_column() -> None:
    """Times in UTC, a phone number only where there is one, the acknowledgement as it was heard."""
    one = Recipient(7, 0, 11, "999000000001@c.us", "Ann", None, RecipientState.SENT, 1, "3EB0", "true_3EB0")
    row = ledger_row(LedgerLine(one, -1))
    assert tuple(row) == COLUMNS
    assert list(row.values()) == [
        0,
        11,
        "999000000001",
        "999000000001@c.us",
        "Ann",
        "SENT",
        1,
        None,
        None,
        "3EB0",
        "true_3EB0",
        -1,
        None,
        None,
    ]
    group = Recipient(7, 1, 12, "999000000002@g.us", sending_at_ms=1_764_060_000_000, ended_at_ms=1_764_060_001_500)
    told = ledger_row(LedgerLine(group, None))
    assert (told["phone"], told["chatId"], told["ack"]) == (None, "999000000002@g.us", None)
    assert (told["sendingAt"], told["endedAt"]) == ("2025-11-25T08:40:00.000Z", "2025-11-25T08:40:01.500Z")
