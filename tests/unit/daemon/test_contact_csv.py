"""CSV files of contacts as people save them: encodings, delimiters, line ends, quotes, and files that are broken."""

from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.contact_csv import MAX_RECORD, open_csv
from domain.contact_rows import RawRow, RowProblem
from domain.errors import MessageError

Found = list[RawRow | RowProblem]
Reads = Callable[[bytes], Found]
ANN, BOB = RawRow(2, "999000000001", "Ann"), RawRow(3, "999000000002", "Bob")


@pytest.fixture
def reads(tmp_path: Path) -> Reads:
    """Write a file and read it whole."""

    def read(content: bytes) -> Found:
        path = tmp_path / "contacts.csv"
        path.write_bytes(content)
        with open_csv(path) as file:
            return list(file)

    return read


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("delimiter", [b",", b";", b"\t"])
def test_a_file_is_read_however_it_was_saved(reads: Reads, mark: bytes, end: bytes, delimiter: bytes) -> None:
    """With and without a byte order mark, each line end, each delimiter, with and without an end of the last line."""
    lines = [b"Phone_Number ,First_Name", b"999000000001,Ann", b'999000000002,"Bob"']
    content = mark + end.join(lines).replace(b",", delimiter)
    assert reads(content) == [ANN, BOB]
    assert reads(content + end) == [ANN, BOB]


def test_quotes_hold_delimiters_line_ends_and_quotes(reads: Reads) -> None:
    """A cell of two lines is one row, and rows are numbered as a spreadsheet does, empty ones too."""
    content = b'phone_number,first_name\n"999000000001","An""n, A.\nAnn"\n\n,\n999000000002,Bob\n'
    assert reads(content) == [
        RawRow(2, "999000000001", 'An"n, A.\nAnn'),
        RawRow(5, "999000000002", "Bob"),
    ]


def test_the_delimiter_is_the_one_that_makes_the_header(reads: Reads) -> None:
    """A semicolon within a quoted name of a column does not count."""
    assert reads(b'phone_number,"a;b;c",first_name\n999000000001,x,Ann\n') == [ANN]


def test_a_row_that_is_not_utf_8_is_told_alone(reads: Reads) -> None:
    """The other rows of a file from an old spreadsheet come in."""
    found = reads(b"phone_number,first_name\n999000000001,Ann\n999000000003,Andr\xe9\n999000000002,Bob\n")
    assert found[1] == RowProblem(3, "not UTF-8: save the file as CSV in UTF-8")
    assert [found[0], found[2]] == [ANN, RawRow(4, "999000000002", "Bob")]


def test_a_row_with_a_stray_quote_is_told_alone(reads: Reads) -> None:
    """The next row is read again."""
    found = reads(b'phone_number,first_name\n"9990"1,Ann\n999000000002,Bob\n')
    assert isinstance(found[0], RowProblem)
    assert "not CSV" in found[0].message
    assert found[1:] == [BOB]


def test_a_quote_that_is_never_closed_is_told(reads: Reads) -> None:
    """At the end of a small file, and within bounds in a large one; what stood before is read."""
    head = b"phone_number,first_name\n999000000001,Ann\n"
    small, large = reads(head + b'1,"x\n2,y\n'), reads(head + b'1,"x\n' + b"2,y\n" * MAX_RECORD)
    assert small == [ANN, RowProblem(3, "not CSV: unexpected end of data")]
    assert large == [ANN, RowProblem(3, f"longer than {MAX_RECORD} characters; nothing after it was read")]


def test_a_line_without_an_end_is_not_read_into_memory(reads: Reads) -> None:
    """As a row, and as a header."""
    assert reads(b"phone_number\n" + b"9" * (2 * MAX_RECORD)) == [
        RowProblem(2, f"longer than {MAX_RECORD} characters; nothing after it was read")
    ]
    with pytest.raises(MessageError, match="header is longer"):
        reads(b"x" * (2 * MAX_RECORD))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"\n\r\n \n", "the file is empty"),
        (b"\xef\xbb\xbf", "the file is empty"),
        (b"phone,name\n1,x\n", "no column phone_number; found: 'phone', 'name'"),
        (b"phone;name\n1;x\n", "found: 'phone', 'name'"),
        (b"phone_number,phone_number\n", "stands twice"),
        ("phone_number\n1\n".encode("utf-16"), "not UTF-8"),
        ("phone_number\n1\n".encode("utf-16-le"), "not UTF-8"),
        (b'"phone_number\n1\n', "no column phone_number"),
        (b"PK\x03\x04\x14\x00\x06\x00", "not UTF-8"),
    ],
)
def test_a_file_without_a_usable_header_is_refused(reads: Reads, content: bytes, says: str) -> None:
    """Empty, foreign encodings, a spreadsheet's own format, other columns: one sentence with the file's name."""
    with pytest.raises(MessageError) as error:
        reads(content)
    assert says in str(error.value)
    assert "contacts.csv" in str(error.value)


def test_a_header_alone_has_no_rows(reads: Reads) -> None:
    """Also after empty lines."""
    assert reads(b"phone_number") == []
    assert reads(b"\n\nphone_number\n\n") == []


@pytest.mark.parametrize("name", [".", "missing.csv", "nul\0.csv"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    """A folder, a name that is not there, a name that can't be."""
    with pytest.raises(MessageError, match="can't be read"), open_csv(tmp_path / name):
        raise AssertionError("it was opened")


def test_a_file_is_read_as_its_rows_are_taken(tmp_path: Path) -> None:
    """After the first of a hundred thousand rows nearly all of the file is unread."""
    path = tmp_path / "large.csv"
    path.write_text("phone_number\n" + "".join(f"99900{number:07d}\n" for number in range(100_000)))
    with open_csv(path) as file:
        rows = iter(file)
        assert next(rows) == RawRow(2, "999000000000")
        assert file.read < 100
        assert sum(1 for _ in rows) == 99_999
        assert file.read == file.size == path.stat().st_size
