"""`robotd contacts import` and `lists`: a file goes into the database in batches, each one transaction.

Never more of the file is in memory than one batch. What a crash interrupts is finished by running it again: who is in
the list already is a duplicate, and nothing is doubled.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO

from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from daemon.contact_csv import ContactCsv, open_csv
from daemon.opening import Transaction, open_contacts
from daemon.settings import Settings
from domain.command_data import Owner
from domain.contact_messages import CountryCode, ListName
from domain.contact_ports import Contacts
from domain.contact_rows import RawRow, RowProblem, read_rows
from domain.contacts import ContactList
from domain.errors import MessageError
from domain.messages import problems_of

BATCH = 500
SHOWN = 20
_OWNER: TypeAdapter[str] = TypeAdapter(Owner)
_LIST_NAME: TypeAdapter[str] = TypeAdapter(ListName)
_COUNTRY: TypeAdapter[str] = TypeAdapter(CountryCode)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for on the command line."""

    file: Path
    list_name: str
    owner: str
    default_country: str | None
    errors: Path | None
    as_json: bool


@dataclass(slots=True)
class Tally:
    """What has become of the rows so far, and the bad ones that are shown at the end."""

    kept: int | None  # how many bad rows are kept for the end; None: all
    report: TextIO | None
    imported: int = 0
    duplicates: int = 0
    bad: int = 0
    problems: list[RowProblem] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """All rows that were not empty."""
        return self.imported + self.duplicates + self.bad

    def refuse(self, problem: RowProblem) -> None:
        """One bad row more."""
        self.bad += 1
        if self.kept is None or len(self.problems) < self.kept:
            self.problems.append(problem)
        if self.report is not None:
            self.report.write(f"{problem}\n")


async def import_contacts(settings: Settings, wanted: Wanted) -> int:
    """Import the file and say what became of its rows. Exit code 1 if a row was bad."""
    owner = _checked(_OWNER, "--owner", wanted.owner)
    name = _checked(_LIST_NAME, "--list", wanted.list_name)
    if wanted.default_country is not None:
        _checked(_COUNTRY, "--default-country", wanted.default_country)
    with open_csv(wanted.file) as file, _report(wanted) as report, _bar(file, wanted) as moved:
        tally = Tally(None if wanted.as_json else SHOWN, report)
        async with open_contacts(settings) as transaction:
            into = await transaction(lambda contacts: _list(contacts, owner, name))
            for batch in _batches(file):
                await _import(batch, wanted.default_country, into.id, transaction, tally)
                moved(tally.rows)
    _tell(into, file.columns.ignored, tally, wanted)
    return int(tally.bad > 0)


def _checked(kind: TypeAdapter[str], option: str, text: str) -> str:
    try:
        return kind.validate_python(text)
    except ValidationError as error:
        raise MessageError(f"{option}: {problems_of(error).removeprefix('message: ')}") from None


async def _list(contacts: Contacts, owner: str, name: str) -> ContactList:
    return await contacts.list_named(owner, name) or await contacts.new_list(owner, name)


async def _import(
    batch: Sequence[RawRow | RowProblem],
    default_country: str | None,
    list_id: int,
    transaction: Transaction,
    tally: Tally,
) -> None:
    read = read_rows([row for row in batch if isinstance(row, RawRow)], default_country)
    imported = await transaction(lambda contacts: contacts.add(list_id, read.contacts))
    tally.imported += imported
    tally.duplicates += len(read.contacts) - imported + read.repeated
    problems = [*(row for row in batch if isinstance(row, RowProblem)), *read.problems]
    for problem in sorted(problems, key=lambda problem: problem.row):
        tally.refuse(problem)


def _batches(file: ContactCsv) -> Iterator[list[RawRow | RowProblem]]:
    batch: list[RawRow | RowProblem] = []
    for row in file:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


@contextmanager
def _report(wanted: Wanted) -> Iterator[TextIO | None]:
    if wanted.errors is None:
        yield None
        return
    if wanted.errors.exists() and wanted.errors.samefile(wanted.file):
        raise MessageError("--errors names the file that is imported, which it would overwrite")
    try:
        opened = wanted.errors.open("w", encoding="utf-8")
    except OSError as error:
        raise MessageError(f"--errors {wanted.errors}: {error.strerror}") from None
    with opened:
        yield opened


@contextmanager
def _bar(file: ContactCsv, wanted: Wanted) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, with the rows per second and the time left; nothing anywhere else."""
    columns = (
        TextColumn("importing"),
        BarColumn(complete_style="green", finished_style="green"),
        TextColumn("{task.percentage:>3.0f} %  {task.fields[rows]} rows, {task.fields[rate]} a second, left"),
        TimeRemainingColumn(compact=True),
    )
    hidden = wanted.as_json or not sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=hidden) as progress:
        task = progress.add_task("importing", total=file.size or None, rows=0, rate=0)

        def moved(rows: int) -> None:
            rate = round(rows / max(progress.tasks[0].elapsed or 0, 0.001))
            progress.update(task, completed=min(file.read, file.size), rows=rows, rate=rate)

        yield moved


def _tell(into: ContactList, ignored: Sequence[str], tally: Tally, wanted: Wanted) -> None:
    counts = {"rows": tally.rows, "imported": tally.imported, "duplicates": tally.duplicates, "bad": tally.bad}
    if wanted.as_json:
        about = {"listId": into.id, "listName": into.name, "owner": into.owner}
        errors = [asdict(problem) for problem in tally.problems]
        _print(json.dumps({**about, **counts, "ignoredColumns": list(ignored), "errors": errors}))
        return
    said = f"{tally.imported} imported, {tally.duplicates} duplicates, {tally.bad} bad of {tally.rows} rows"
    _print(f"{into.name} (list {into.id} of {into.owner}): {said}")
    if ignored:
        _print(f"columns that are not kept: {', '.join(ignored)}")
    for problem in tally.problems:
        _print(str(problem))
    if tally.bad > len(tally.problems):
        _print(f"and {tally.bad - len(tally.problems)} more: --errors FILE or --json tells all")


async def show_lists(settings: Settings, owner: str | None, *, as_json: bool) -> int:
    """Print the lists with their counts."""
    async with open_contacts(settings) as transaction:
        found = await transaction(lambda contacts: contacts.lists(owner))
    if as_json:
        _print(json.dumps([_as_json(each) for each in found]))
        return 0
    table = Table(box=None, header_style="bold")
    for title in ("id", "owner", "list"):
        table.add_column(title)
    table.add_column("contacts", justify="right")
    for each in found:
        table.add_row(str(each.id), each.owner, each.name, str(each.contact_count))
    if found:
        Console(markup=False).print(table)
    else:
        _print("there is no list")
    return 0


def _as_json(found: ContactList) -> dict[str, object]:
    return {"listId": found.id, "owner": found.owner, "listName": found.name, "contactCount": found.contact_count}


def _print(text: str) -> None:
    Console(soft_wrap=True, highlight=False, markup=False).print(text)
