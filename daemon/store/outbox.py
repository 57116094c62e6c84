"""The outbox in the database, as the relay needs it: claim leftovers, forget what was sent, park what can't be."""

import json
from collections.abc import Sequence
from typing import Any

from daemon.outbox import OutboxRow
from daemon.store.database import Claim, Database, Write

_CLAIM_SELECT = (
    "SELECT id FROM outbox WHERE due_at_ms <= {now_ms} AND claimed_until_ms <= {now_ms} ORDER BY due_at_ms, id LIMIT ?"
)
_CLAIM_UPDATE = "UPDATE outbox SET claimed_by = ?, claimed_until_ms = {now_ms} + ? WHERE id IN ({ids})"
_CLAIM_READ = (
    "SELECT id, destination, body, attributes, attempts FROM outbox WHERE id IN ({ids}) ORDER BY created_at_ms, id"
)


class SqlOutbox:
    """Rows are claimed by a boot id for a bounded time; what a dead process claimed becomes free by itself."""

    def __init__(self, database: Database, boot: str, claim_ms: int) -> None:
        self._database = database
        self._boot = boot
        self._claim_ms = claim_ms

    async def leftovers(self, limit: int) -> list[OutboxRow]:
        """Claim up to `limit` due rows that nobody holds, in the order in which they were committed."""
        claim = Claim(_CLAIM_SELECT, (limit,), _CLAIM_UPDATE, (self._boot, self._claim_ms), _CLAIM_READ)
        rows: list[tuple[Any, ...]] = list(await self._database.claim(claim))
        return [OutboxRow(row[0], row[1], row[2], json.loads(row[3]), row[4]) for row in rows]

    async def sent(self, row_ids: Sequence[str]) -> None:
        """Forget rows that were sent."""
        places = ", ".join("?" * len(row_ids))
        await self._database.apply([Write(f"DELETE FROM outbox WHERE id IN ({places})", tuple(row_ids))])  # noqa: S608  placeholders

    async def park(self, row_ids: Sequence[str], after_ms: int) -> None:
        """Let rows become due again after `after_ms`, for whoever sweeps then."""
        sql = "UPDATE outbox SET due_at_ms = {now_ms} + ?, claimed_until_ms = 0, attempts = attempts + 1 WHERE id = ?"
        await self._database.apply([Write(sql, (after_ms, row_id)) for row_id in row_ids])

    async def backlog(self) -> int:
        """How many rows wait."""
        rows = await self._database.fetch("SELECT COUNT(*) FROM outbox")
        return int(rows[0][0] or 0)
