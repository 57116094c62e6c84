"""The seam between the stores and an engine: one read, one transaction of writes, one claim.

Two adapters stand behind it, `daemon.store.sqlite` and `daemon.store.mysql`, held to one contract suite. SQL is the
portable subset of ADR 0002: `?` placeholders, times as integer milliseconds in `_ms` columns, JSON as text, no engine's
own upsert, RETURNING or NOW(). Two tokens stand for what the engines spell differently:
`{now_ms}` is the database's own clock in milliseconds, `{table_options}` ends a CREATE TABLE.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

Value = str | int | float | bytes | None
Row = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Write:
    """One statement of a transaction. `rows` demands that many matched rows, else the transaction is a Conflict."""

    sql: str
    args: tuple[Value, ...] = ()
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """Take rows that nobody else holds: lock the ids that `select` finds, run `update` on them, read them with `read`.

    `select` yields ids in its first column; the adapter adds the engine's own skip-locked clause. `update` and `read`
    hold one `{ids}` each, which becomes a list of placeholders filled after their own arguments.
    """

    select: str
    select_args: tuple[Value, ...]
    update: str
    update_args: tuple[Value, ...]
    read: str


class Database(Protocol):
    """One engine. Every method raises Unavailable when the engine can't be reached or answers too late."""

    async def fetch(self, sql: str, args: Sequence[Value] = ()) -> list[Row]:
        """Read rows outside any transaction, so always the newest committed state."""
        ...

    async def apply(self, writes: Sequence[Write]) -> None:
        """Run the writes in order as one transaction.

        Raises Conflict (nothing was written) for a duplicate key or a missed row count; deadlocks and lock waits are
        re-run here, whole. Raises Unavailable when the connection is lost: then a COMMIT may or may not have happened,
        and the caller must find out by reading.
        """
        ...

    async def claim(self, claim: Claim) -> list[Row]:
        """Claim rows in one transaction. Two callers at once never get the same row."""
        ...

    async def close(self) -> None:
        """Finish what runs and let go of every connection."""
        ...
