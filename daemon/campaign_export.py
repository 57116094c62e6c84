"""`robotd campaign export`: the ledger of a campaign as CSV or JSON lines, page by page, never all in memory.

A cell that a spreadsheet would take for a formula gets an apostrophe before it, and so does one that begins with an
apostrophe: who takes one leading apostrophe away from each cell has exactly what is in the database.
"""

import csv
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from daemon.campaign_status import Which, found
from daemon.campaign_view import LedgerLine
from daemon.cli_past import say_json
from daemon.opening import open_campaigns
from daemon.settings import Settings
from domain.errors import MessageError
from domain.wire import JsonObject, iso

FORMATS = ("csv", "jsonl")
COLUMNS = (
    "position",
    "contactId",
    "phone",
    "chatId",
    "firstName",
    "state",
    "attempt",
    "errorCode",
    "errorDetail",
    "messageId",
    "whatsappId",
    "ack",
    "sendingAt",
    "endedAt",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
_PERSON = "@c.us"
Value = str | int | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for; without a file it goes to stdout."""

    which: Which
    form: str
    out: Path | None
    as_json: bool


def ledger_row(line: LedgerLine) -> dict[str, Value]:
    """One recipient by the names of `COLUMNS`. Times are ISO 8601 in UTC."""
    one = line.recipient
    phone = one.chat_id.removesuffix(_PERSON) if one.chat_id.endswith(_PERSON) else None
    values: tuple[Value, ...] = (
        one.position,
        one.contact_id,
        phone,
        one.chat_id,
        one.first_name,
        one.state.value,
        one.attempt,
        one.error_code,
        one.error_detail,
        one.message_id,
        one.waha_id,
        line.ack,
        None if one.sending_at_ms is None else iso(one.sending_at_ms),
        None if one.ended_at_ms is None else iso(one.ended_at_ms),
    )
    return dict(zip(COLUMNS, values, strict=True))


def cell(value: Value) -> str:
    """A value as a cell of CSV that no spreadsheet runs. Numbers of ours, -1 among them, stay numbers."""
    if not isinstance(value, str):
        return "" if value is None else str(value)
    return f"'{value}" if value.startswith(_FORMULA) else value


async def export(settings: Settings, wanted: Wanted) -> int:
    """Write it all, or leave no file behind."""
    async with open_campaigns(settings) as reads:
        campaign = await found(reads, wanted.which)
        total = campaign.total_contacts if campaign.started_at_ms is not None else 0
        count = 0
        with _target(wanted.out) as file, _bar(total, wanted) as moved:
            write = _writer(file, wanted.form)
            async for page in reads.ledger(campaign.id):
                for line in page:
                    write(ledger_row(line))
                count += len(page)
                moved(count)
    if wanted.out is not None:
        _tell(count, campaign.id, wanted)
    return 0


def _writer(file: TextIO, form: str) -> Callable[[Mapping[str, Value]], None]:
    if form == "jsonl":
        return lambda row: print(json.dumps(row), file=file)
    rows = csv.writer(file)
    rows.writerow(COLUMNS)
    return lambda row: rows.writerow([cell(value) for value in row.values()])


@contextmanager
def _target(out: Path | None) -> Iterator[TextIO]:
    """Stdout, or a file that gets its name when all is in it, readable for its owner alone."""
    if out is None:
        yield from _stdout()
        return
    if out.exists() and not out.is_file():
        raise MessageError(f"--out {out}: there is something of this name that is not a file")
    try:
        number, name = tempfile.mkstemp(prefix=f".{out.name[:100]}.", suffix=".part", dir=out.parent)
    except OSError as error:
        raise MessageError(f"--out {out}: {error.strerror}") from None
    part = Path(name)
    try:
        with open(number, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123  it is open already
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(out)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _stdout() -> Iterator[TextIO]:
    """UTF-8 and the line ends as they are written, whatever the terminal's are."""
    with open(sys.stdout.fileno(), "w", encoding="utf-8", newline="", closefd=False) as file:
        yield file


@contextmanager
def _bar(total: int, wanted: Wanted) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal that nothing else is written to."""
    columns = (
        TextColumn("exporting"),
        BarColumn(complete_style="green", finished_style="green"),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.completed} of {task.total} rows"),
        TimeRemainingColumn(compact=True),
    )
    hidden = wanted.as_json or not sys.stderr.isatty() or (wanted.out is None and sys.stdout.isatty())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=hidden) as progress:
        task = progress.add_task("exporting", total=max(1, total))
        yield lambda count: progress.update(task, completed=count)


def _tell(count: int, campaign_id: int, wanted: Wanted) -> None:
    content: JsonObject = {"campaignId": campaign_id, "rows": count, "format": wanted.form, "file": str(wanted.out)}
    if wanted.as_json:
        say_json(content)
        return
    rows = "1 row" if count == 1 else f"{count} rows"
    Console(soft_wrap=True, highlight=False, markup=False).print(f"{rows} of campaign {campaign_id} in {wanted.out}")
