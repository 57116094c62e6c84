"""The ledger of the demo's campaign: read from the database, and shown as a table and as JSON."""

from collections import Counter

from rich.table import Table

from daemon.log_mask import masked_phone
from daemon.store.database import Database
from domain.wire import JsonObject, iso
from localstack.demo_campaign import LedgerRow, Played
from localstack.demo_day import local

_SQL = (
    "SELECT position, chat_id, first_name, state, attempt, ended_at_ms, error_code, error_detail "
    "FROM campaign_recipient ORDER BY campaign_id, position"
)
_STATES = ("SENT", "SKIPPED", "FAILED", "UNKNOWN", "PENDING", "SENDING")
_STYLES = {"SENT": "green", "SKIPPED": "yellow"}


async def read_statuses(database: Database) -> list[str]:
    """How each campaign stands."""
    return [str(row[0]) for row in await database.fetch("SELECT status FROM campaign ORDER BY id")]


async def read_ledger(database: Database) -> list[LedgerRow]:
    """Every recipient there is, by position."""
    return [
        LedgerRow(
            position=int(row[0] or 0),
            chat_id=str(row[1]),
            first_name=None if row[2] is None else str(row[2]),
            state=str(row[3]),
            attempt=int(row[4] or 0),
            at_ms=None if row[5] is None else int(row[5]),
            code=None if row[6] is None else str(row[6]),
            why=None if row[7] is None else str(row[7]),
        )
        for row in await database.fetch(_SQL)
    ]


def ledger_table(played: Played) -> Table:
    """One row for each contact. People count from 1."""
    table = plain_table()
    table.add_column("#", justify="right")
    for title in ("number", "name", "state", "when", "why"):
        table.add_column(title)
    for row in played.ledger:
        state = f"[{_STYLES.get(row.state, 'red')}]{row.state}[/]"
        when = "" if row.at_ms is None else f"{local(row.at_ms):%H:%M:%S}"
        table.add_row(str(row.position + 1), _number(row), row.first_name or "-", state, when, row.why or "")
    return table


def plain_table() -> Table:
    """How the demo's tables look. Titles stand before them: rich would break one that is longer than its table."""
    return Table(box=None, pad_edge=False, header_style="dim")


def tally(played: Played) -> list[str]:
    """The counts, and whether anybody got it twice: by WAHA's own record, not by ours."""
    states = Counter(row.state for row in played.ledger)
    counts = ", ".join(f"{states[state]} {state}" for state in _STATES)
    people = Counter(message.chat_id for message in played.messages)
    repeated = sum(count > 1 for count in people.values())
    twice = f"{repeated} got it more than once" if repeated else "nobody got it twice"
    return [
        f"The ledger: {counts}.",
        f"WAHA's own record: {people.total()} messages, {len(people)} people; {twice}.",
    ]


def campaign_json(played: Played) -> JsonObject:
    """The same for programs. Positions count from 0, as everywhere else."""
    return {
        "statuses": list(played.statuses),
        "counts": dict(Counter(row.state for row in played.ledger)),
        "messages": len(played.messages),
        "people": len({message.chat_id for message in played.messages}),
        "ledger": [
            {
                "position": row.position,
                "number": _number(row),
                "name": row.first_name,
                "state": row.state,
                "at": None if row.at_ms is None else iso(row.at_ms),
                "why": row.why,
            }
            for row in played.ledger
        ],
    }


def _number(row: LedgerRow) -> str:
    return masked_phone(f"+{row.chat_id.partition('@')[0]}").replace("…", "..")  # for terminals without it
