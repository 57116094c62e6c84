"""Rows of contacts, from a file or a command: what a row has to hold, and what is said about one that can't be used.

A bad row is told with its number and left out; the good ones go in.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from domain.contacts import FIELD_NAME, MAX_FIRST_NAME, NAME, NewContact, address_of
from domain.errors import RuleViolation

MAX_FIELDS = 20
MAX_FIELD = 500
PHONE, FIRST_NAME = "phone_number", "first_name"
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as it was written. In a file the header is row 1; in a command the first row is row 1."""

    row: int
    phone_number: str
    first_name: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RowProblem:
    """Why a row was left out."""

    row: int
    message: str

    def __str__(self) -> str:
        return f"Row {self.row}: {self.message}"


@dataclass(frozen=True, slots=True)
class RowsRead:
    """What some rows come to. `repeated` counts rows whose chat id had stood in an earlier one of them."""

    contacts: tuple[NewContact, ...]
    problems: tuple[RowProblem, ...]
    repeated: int


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a file has what. `ignored` are the columns that are not kept."""

    count: int
    phone: int
    first_name: int | None
    fields: tuple[tuple[int, str], ...]
    ignored: tuple[str, ...]

    def row(self, number: int, cells: Sequence[str]) -> RawRow | RowProblem | None:
        """A row of the file; None for an empty one. Cells that are missing at its end are empty."""
        if not any(cell.strip() for cell in cells):
            return None
        if any(cell.strip() for cell in cells[self.count :]):
            return RowProblem(number, f"has {len(cells)} fields, the header has {self.count}")
        filled = [*cells, *[""] * (self.count - len(cells))]
        first_name = None if self.first_name is None else filled[self.first_name]
        return RawRow(number, filled[self.phone], first_name, {name: filled[at] for at, name in self.fields})


def read_header(cells: Sequence[str]) -> Columns:
    """The columns of a file, their names trimmed and in lower case. Raises RuleViolation where it can't be used."""
    names = [cell.strip().lower() for cell in cells]
    for name in filter(None, names):
        if names.count(name) > 1:
            raise RuleViolation(f"the column {_shown(name)} stands twice in the header")
    if PHONE not in names:
        found = ", ".join(_shown(name) for name in names[:MAX_FIELDS] if name) or "nothing"
        raise RuleViolation(f"the header has no column {PHONE}; found: {found}")
    others = [(at, name) for at, name in enumerate(names) if name not in {PHONE, FIRST_NAME, ""}]
    kept = tuple((at, name) for at, name in others if _is_field(name))[:MAX_FIELDS]
    ignored = tuple(_shown(name) for at, name in others if (at, name) not in kept)
    first_name = names.index(FIRST_NAME) if FIRST_NAME in names else None
    return Columns(len(names), names.index(PHONE), first_name, kept, ignored)


def read_rows(rows: Iterable[RawRow], default_country: str | None) -> RowsRead:
    """The contacts of some rows, each chat id once: the first row with it counts."""
    found: dict[str, NewContact] = {}
    problems: list[RowProblem] = []
    repeated = 0
    for row in rows:
        try:
            contact = _contact(row, default_country)
        except RuleViolation as problem:
            problems.append(RowProblem(row.row, str(problem)))
            continue
        repeated += contact.chat_id in found
        found.setdefault(contact.chat_id, contact)
    return RowsRead(tuple(found.values()), tuple(problems), repeated)


def _contact(row: RawRow, default_country: str | None) -> NewContact:
    phone, chat_id = address_of(row.phone_number, default_country)
    first_name = (row.first_name or "").strip()
    if len(first_name) > MAX_FIRST_NAME:
        raise RuleViolation(f"{FIRST_NAME} has {len(first_name)} characters, at most {MAX_FIRST_NAME} fit")
    _demand_text(FIRST_NAME, first_name)
    return NewContact(phone, chat_id, first_name or None, _fields(row.fields))


def _fields(given: Mapping[str, str]) -> dict[str, str]:
    """Names in lower case, values trimmed. An empty value is kept: its placeholder must not reach anybody as braces."""
    fields = {name.strip().lower(): text.strip() for name, text in given.items()}
    if len(fields) < len(given):
        raise RuleViolation("two of its fields have the same name")
    if len(fields) > MAX_FIELDS:
        raise RuleViolation(f"has {len(fields)} fields, at most {MAX_FIELDS} are kept")
    for name, text in fields.items():
        if not _is_field(name):
            raise RuleViolation(f"the field {_shown(name)} is not a word such as city, or it is {NAME}")
        if len(text) > MAX_FIELD:
            raise RuleViolation(f"{name} has {len(text)} characters, at most {MAX_FIELD} fit")
        _demand_text(name, text)
    return fields


def _demand_text(name: str, text: str) -> None:
    strange = next((sign for sign in text if sign < " " and sign not in "\t\r\n"), None)
    if strange is not None:
        raise RuleViolation(f"{name} holds the control character {strange!a}")


def _is_field(name: str) -> bool:
    return FIELD_NAME.fullmatch(name) is not None and name not in {PHONE, FIRST_NAME, NAME}


def _shown(name: str) -> str:
    return ascii(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}...")
