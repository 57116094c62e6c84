"""Leases by name, for work that only one replica may do: an owner, an end on the database's clock, a fencing token."""

from dataclasses import dataclass

from daemon.store.database import Database, Write
from domain.errors import Conflict

_INSERT = "INSERT INTO lease (name, owner, until_ms, fence) VALUES (?, ?, {now_ms} + ?, 1)"
_TAKE = (
    "UPDATE lease SET owner = ?, until_ms = {now_ms} + ?, fence = fence + 1 "
    "WHERE name = ? AND (until_ms <= {now_ms} OR owner = ?)"
)


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that is held. Put `proof` first into every transaction done in its name."""

    name: str
    owner: str
    fence: int

    @property
    def proof(self) -> Write:
        """Fails the transaction with Conflict once somebody else has taken the lease."""
        sql = "UPDATE lease SET owner = ? WHERE name = ? AND owner = ? AND fence = ?"
        return Write(sql, (self.owner, self.name, self.owner, self.fence), rows=1)


@dataclass(frozen=True, slots=True)
class Leases:
    """Takes leases for one process; `owner` is random for each start."""

    database: Database
    owner: str

    async def take(self, name: str, ttl_ms: int) -> Lease | None:
        """Take or renew a lease; None while another holds it. A renewal has a new fence. Raises Unavailable."""
        try:
            await self._take(name, ttl_ms)
        except Conflict:
            return None
        rows = await self.database.fetch("SELECT fence FROM lease WHERE name = ? AND owner = ?", (name, self.owner))
        return Lease(name, self.owner, int(rows[0][0] or 0)) if rows else None

    async def _take(self, name: str, ttl_ms: int) -> None:
        if not await self.database.fetch("SELECT 1 FROM lease WHERE name = ?", (name,)):
            await self.database.apply([Write(_INSERT, (name, self.owner, ttl_ms))])
            return
        await self.database.apply([Write(_TAKE, (self.owner, ttl_ms, name, self.owner), rows=1)])

    async def release(self, lease: Lease) -> None:
        """Free it for others at once; one that is lost already is left alone."""
        sql = "UPDATE lease SET until_ms = 0 WHERE name = ? AND owner = ? AND fence = ?"
        await self.database.apply([Write(sql, (lease.name, lease.owner, lease.fence))])
