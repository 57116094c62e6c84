"""Ids known before their row is written, taken from the database in blocks."""

import asyncio
from collections.abc import Iterator

from daemon.store.database import Database, Write
from domain.errors import Conflict

_BLOCK = 50
_TRIES = 20


class Ids:
    """Hands out ids of named sequences. A block that a crash leaves unused is skipped for ever, which harms nobody."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._blocks: dict[str, Iterator[int]] = {}
        self._lock = asyncio.Lock()

    async def next(self, name: str) -> int:
        """An id that nobody else has, on any replica. Raises Unavailable."""
        async with self._lock:
            block = self._blocks.get(name, iter(()))
            found = next(block, None)
            if found is None:
                block = await self._take(name)
                self._blocks[name] = block
                found = next(block)
            return found

    async def _take(self, name: str) -> Iterator[int]:
        for _ in range(_TRIES):
            try:
                return await self._try(name)
            except Conflict:
                continue  # another replica took the block that we read: read again
        raise Conflict(f"no block of {name} ids after {_TRIES} tries")

    async def _try(self, name: str) -> Iterator[int]:
        rows = await self._database.fetch("SELECT next_id FROM id_block WHERE name = ?", (name,))
        if not rows:
            await self._database.apply(
                [Write("INSERT INTO id_block (name, next_id) VALUES (?, ?)", (name, 1 + _BLOCK))]
            )
            return iter(range(1, 1 + _BLOCK))
        first = int(rows[0][0] or 1)
        sql = "UPDATE id_block SET next_id = ? WHERE name = ? AND next_id = ?"
        await self._database.apply([Write(sql, (first + _BLOCK, name, first), rows=1)])
        return iter(range(first, first + _BLOCK))
