"""Rows of contacts: columns of a header, values of a row, and what is said about a bad one."""

import pytest

from domain.contact_rows import Columns, RawRow, RowProblem, read_header, read_rows
from domain.contacts import NewContact
from domain.errors import RuleViolation

PHONE = "999000000001"


def phone(number: int) -> str:
    return f"99900{number:07d}"


def test_names_of_columns_are_trimmed_and_in_lower_case() -> None:
    """Whatever their order; what is no word, and a name that would hide the placeholder of names, is not kept."""
    header = read_header([" City", "PHONE_NUMBER ", "First_Name", "", "Last name", "name", "zip2"])
    assert header == Columns(7, 1, 2, ((0, "city"), (6, "zip2")), ("'last name'", "'name'"))


def test_only_the_phone_number_is_needed() -> None:
    """A file of one column is enough."""
    assert read_header(["phone_number"]) == Columns(1, 0, None, (), ())


def test_twenty_fields_are_kept() -> None:
    """Those that come first; the others are named as ignored."""
    header = read_header(["phone_number", *(f"f{number}" for number in range(25))])
    assert [name for _, name in header.fields] == [f"f{number}" for number in range(20)]
    assert header.ignored == ("'f20'", "'f21'", "'f22'", "'f23'", "'f24'")


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (["phone", "name"], "no column phone_number; found: 'phone', 'name'"),
        ([], "found: nothing"),
        (["phone_number", "city", "City "], "'city' stands twice"),
        (["phone_number", "Phone_Number"], "'phone_number' stands twice"),
        (["x" * 500], "x...'"),
    ],
)
def test_a_header_that_can_t_be_used_says_why(cells: list[str], says: str) -> None:
    """Without a column for numbers, or with one that stands twice."""
    with pytest.raises(RuleViolation) as error:
        read_header(cells)
    assert says in str(error.value)
    assert len(str(error.value)) < 200


def test_cells_are_read_by_their_columns() -> None:
    """Missing ones at the end are empty, blank ones too many are nothing, empty rows are no rows."""
    header = read_header(["phone_number", "first_name", "city"])
    assert header.row(2, ["1", "Ann", "Utrecht"]) == RawRow(2, "1", "Ann", {"city": "Utrecht"})
    assert header.row(3, ["1"]) == RawRow(3, "1", "", {"city": ""})
    assert header.row(4, ["1", "", "", "", " "]) == RawRow(4, "1", "", {"city": ""})
    assert header.row(5, ["1", "", "", "x"]) == RowProblem(5, "has 4 fields, the header has 3")
    assert [header.row(6, cells) for cells in ([], [""], ["", " ", "\t"])] == [None, None, None]


def test_good_rows_go_in_and_bad_ones_are_told() -> None:
    """One bad row refuses no other; it has its number and its reason."""
    rows = [
        RawRow(2, phone(1), " Ann ", {"City": " Utrecht "}),
        RawRow(3, "0612"),
        RawRow(4, "", "Bob"),
        RawRow(5, phone(2)),
    ]
    read = read_rows(rows, None)
    assert read.contacts == (
        NewContact(phone(1), f"{phone(1)}@c.us", "Ann", {"city": "Utrecht"}),
        NewContact(phone(2), f"{phone(2)}@c.us"),
    )
    assert [str(problem) for problem in read.problems] == [
        "Row 3: a leading 0 needs a default country, or write the number with its country code",
        "Row 4: there is no phone number",
    ]


def test_who_stands_twice_comes_in_once() -> None:
    """However the number is written; the first row counts."""
    whole = "999900000001"
    written = [whole, f"+{whole}", f"00{whole}", f"{whole}@c.us", "0900000001"]
    read = read_rows([RawRow(row, text, f"name {row}") for row, text in enumerate(written)], "999")
    assert [(contact.phone_number, contact.first_name) for contact in read.contacts] == [(whole, "name 0")]
    assert (read.repeated, read.problems) == (4, ())


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (RawRow(1, PHONE, "n" * 257), "first_name has 257 characters, at most 256"),
        (RawRow(1, PHONE, "A\x00nn"), r"first_name holds the control character '\x00'"),
        (RawRow(1, PHONE, None, {"city": "c" * 501}), "city has 501 characters, at most 500"),
        (RawRow(1, PHONE, None, {"city": "\x1b"}), r"city holds the control character '\x1b'"),
        (RawRow(1, PHONE, None, {"last name": "x"}), "'last name' is not a word"),
        (RawRow(1, PHONE, None, {"Name": "x"}), "'name' is not a word such as city, or it is name"),
        (RawRow(1, PHONE, None, {"city": "x", "CITY": "y"}), "same name"),
        (RawRow(1, PHONE, None, {f"f{number}": "" for number in range(21)}), "21 fields, at most 20"),
        (RawRow(1, f"{PHONE}@newsletter"), "channel"),
    ],
)
def test_a_row_that_can_t_be_kept_says_why(row: RawRow, says: str) -> None:
    """Values that are too long, that are no text, and fields that no placeholder could name."""
    read = read_rows([row], None)
    assert read.contacts == ()
    assert says in str(read.problems[0])


def test_what_fits_is_kept_as_it_is() -> None:
    """The longest values, line ends within, an empty field, and signs that HTML would escape."""
    fields = {"note": "a\nb\tc", "empty": "", "long": "x" * 500}
    (contact,) = read_rows([RawRow(1, PHONE, "Ann <3 & Co", fields)], None).contacts
    assert (contact.first_name, contact.fields) == ("Ann <3 & Co", fields)
