"""Stored procedures through the production engine."""

import asyncio
from collections.abc import Callable
from typing import Any

from daemon.store.database import Write
from daemon.store.mysql import MysqlDatabase

BODIES = {
    "two_results": "INSERT INTO seen (n) VALUES (wanted); SELECT wanted, 'first'; SELECT 'second'",
    "no_result": "INSERT INTO seen (n) VALUES (wanted)",
}


async def test_a_call_gives_its_first_result_and_leaves_the_connection_in_step(opened: Callable[..., Any]) -> None:
    """Whatever a procedure answers besides, the next statement on the one connection gets its own answer."""
    async with asyncio.timeout(10):
        database: MysqlDatabase = await opened(pool_size=1)
        await database.apply([Write("CREATE TABLE seen (n INT) {table_options}")])
        for name, body in BODIES.items():
            await database.apply([Write(f"CREATE PROCEDURE {name} (wanted INT) BEGIN {body}; END")])
        assert await database.call("CALL two_results(?)", (7,)) == [(7, "first")]
        assert await database.call("CALL no_result(?)", (8,)) == []
        assert await database.fetch("SELECT n FROM seen ORDER BY n") == [(7,), (8,)]
