"""Timers in the database: claimed under a lease with a fencing token, moved, handed back."""

from dataclasses import dataclass, field
from typing import Any

from daemon.store.database import Claim, Database, Write
from daemon.timers import TimerRow
from domain.errors import Conflict

_SELECT = (
    "SELECT id FROM timer WHERE due_at_ms <= ? AND lease_until_ms <= {now_ms} AND @types ORDER BY due_at_ms, id LIMIT ?"
)
_UPDATE = (
    "UPDATE timer SET lease_owner = ?, lease_until_ms = {now_ms} + ?, fence = fence + 1, claims = claims + 1 "
    "WHERE id IN ({ids})"
)
_READ = (
    "SELECT id, type, data, call_ref, due_at_ms, fence, claims FROM timer WHERE id IN ({ids}) ORDER BY due_at_ms, id"
)


@dataclass(frozen=True, slots=True)
class Types:
    """Some types of timers: those that are named, or all others."""

    names: tuple[str, ...] = ()
    are_others: bool = True

    @property
    def sql(self) -> str:
        """As a condition, with `args` for its placeholders.

        An id begins with its type, and the index by due time holds the id: rows of other types cost no look at them.
        """
        if not self.names:
            return "1 = 1" if self.are_others else "1 = 0"
        named = " OR ".join(["(id >= ? AND id < ?)"] * len(self.names))
        return f"NOT ({named})" if self.are_others else f"({named})"

    @property
    def args(self) -> tuple[str, ...]:
        """Where the ids of each type begin and end."""
        return tuple(edge for name in self.names for edge in (f"{name}:", f"{name};"))

    def covers(self, timer_type: str) -> bool:
        """Whether a type is one of them."""
        return (timer_type in self.names) is not self.are_others


@dataclass(frozen=True, slots=True)
class SqlTimers:
    """`boot` owns the leases; leases run on the database's clock, due times on the business clock."""

    database: Database
    boot: str
    lease_ms: int
    types: Types = field(default_factory=Types)

    async def claim(self, now_ms: int, limit: int) -> list[TimerRow]:
        """Claim up to `limit` timers that are due and that nobody holds, soonest first."""
        select = _SELECT.replace("@types", self.types.sql)
        claim = Claim(select, (now_ms, *self.types.args, limit), _UPDATE, (self.boot, self.lease_ms), _READ)
        rows: list[tuple[Any, ...]] = list(await self.database.claim(claim))
        return [TimerRow(*row) for row in rows]

    async def next_due_ms(self, now_ms: int) -> int | None:
        """When the next timer is due that is not due yet, or None."""
        sql = f"SELECT due_at_ms FROM timer WHERE due_at_ms > ? AND {self.types.sql} ORDER BY due_at_ms LIMIT 1"  # noqa: S608  words of ours
        rows = await self.database.fetch(sql, (now_ms, *self.types.args))
        return int(rows[0][0] or 0) if rows else None

    async def renew(self, row: TimerRow) -> bool:
        """Extend the lease; False when it is no longer ours."""
        sql = "UPDATE timer SET lease_until_ms = {now_ms} + ? WHERE id = ? AND fence = ?"
        return await self._held(Write(sql, (self.lease_ms, row.id, row.fence), rows=1))

    async def move(self, row: TimerRow, due_at_ms: int) -> bool:
        """Let it be due later and let go of it; False when it is no longer ours."""
        sql = "UPDATE timer SET due_at_ms = ?, lease_until_ms = 0 WHERE id = ? AND fence = ?"
        return await self._held(Write(sql, (due_at_ms, row.id, row.fence), rows=1))

    async def delete(self, row: TimerRow) -> bool:
        """Forget it; False when it is no longer ours."""
        return await self._held(Write("DELETE FROM timer WHERE id = ? AND fence = ?", (row.id, row.fence), rows=1))

    async def _held(self, write: Write) -> bool:
        try:
            await self.database.apply([write])
        except Conflict:
            return False
        return True
