"""Forgetting by age, in small bites, by the one replica that holds the lease."""

from dataclasses import dataclass

from daemon.store.database import Database, Write
from daemon.store.leases import Leases
from domain.errors import Conflict

_LEASE_MS = 120_000
_BITE = 500
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Retention:
    """What is forgotten, and after how long."""

    database: Database
    leases: Leases
    inbox_days: int
    journal_days: int
    monitor_days: int = 30
    server_test_days: int = 90

    async def sweep(self) -> int:
        """Forget one bite of each table. Returns the rows forgotten; 0 also while another replica sweeps."""
        lease = await self.leases.take("retention", _LEASE_MS)
        if lease is None:
            return 0
        bites = [
            ("inbox", "handled_at_ms", "message_id", self.inbox_days),
            ("attempt", "last_at_ms", "delivery_id", self.inbox_days),
            ("journal", "at_ms", "id", self.journal_days),
            ("monitor_window", "end_ms", "session_id", self.monitor_days),
            ("monitor_session", "ends_ms", "id", self.monitor_days),
            ("server_test_run", "ended_at_ms", "id", self.server_test_days),
            ("server_test_cycle", "ended_at_ms", "id", self.server_test_days),
        ]
        return sum([await self._bite(lease.proof, *bite) for bite in bites])

    async def _bite(self, proof: Write, table: str, time_column: str, key_column: str, days: int) -> int:
        # Names of tables and columns are ours, never input.
        select = f"SELECT {time_column}, {key_column} FROM {table} WHERE {time_column} < "  # noqa: S608  see above
        rows = await self.database.fetch(
            select + "{now_ms} - ? " + f"ORDER BY {time_column} LIMIT {_BITE}", (days * _DAY_MS,)
        )
        delete = f"DELETE FROM {table} WHERE {time_column} = ? AND {key_column} = ?"  # noqa: S608  see above
        try:
            await self.database.apply([proof, *(Write(delete, tuple(row)) for row in rows)])
        except Conflict:
            return 0
        return len(rows)
