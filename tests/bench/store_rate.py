"""Prints what a transaction of five statements costs on both engines: wall and CPU, alone and eight in flight.

Run it as `python -m tests.bench.store_rate [transactions]`; not part of the test run.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from daemon.store.database import Claim, Database, Write
from daemon.store.mysql import MysqlDatabase
from daemon.store.sqlite import SqliteDatabase
from tests.mariadb import MariaDb

TABLES = (
    "CREATE TABLE seen (id VARCHAR(64) NOT NULL PRIMARY KEY, at_ms BIGINT NOT NULL) {table_options}",
    "CREATE TABLE state (id VARCHAR(64) NOT NULL PRIMARY KEY, version INTEGER NOT NULL, body TEXT) {table_options}",
    "CREATE TABLE box (id VARCHAR(64) PRIMARY KEY, held INTEGER, body TEXT, UNIQUE (held, id)) {table_options}",
)
BODY = '{"robotId": 4, "text": "' + "x" * 400 + '"}'
CLAIM = Claim(
    "SELECT id FROM box WHERE held = ? ORDER BY id LIMIT ?",
    (0, 10),
    "UPDATE box SET held = 1 WHERE id IN ({ids})",
    (),
    "SELECT id, body FROM box WHERE id IN ({ids})",
)


def transaction(n: int) -> list[Write]:
    """One message's writes."""
    key = f"message-{n}"
    return [
        Write("INSERT INTO seen (id, at_ms) VALUES (?, {now_ms})", (key,)),
        Write("INSERT INTO state (id, version, body) VALUES (?, ?, ?)", (key, 1, BODY), rows=1),
        Write("UPDATE state SET version = ?, body = ? WHERE id = ? AND version = ?", (2, BODY, key, 1), rows=1),
        Write("INSERT INTO box (id, held, body) VALUES (?, ?, ?)", (key, 0, BODY)),
        Write("INSERT INTO box (id, held, body) VALUES (?, ?, ?)", (key + "b", 1, BODY)),
    ]


async def measure(name: str, count: int, in_flight: int, call: Callable[[int], Awaitable[object]]) -> None:
    """Run `call` count times and print microseconds per call."""
    numbers = iter(range(count))

    async def worker() -> None:
        for n in numbers:
            await call(n)

    wall, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(in_flight):
            tasks.create_task(worker())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    line = f"{name:<34}{in_flight:>3} in flight {wall / count * 1e6:>8.0f} us wall {cpu / count * 1e6:>8.0f} us CPU\n"
    sys.stdout.write(line)


async def run(name: str, database: Database, count: int) -> None:
    """All measurements on one engine."""
    await database.apply([Write(table) for table in TABLES])
    await measure(f"{name}: transaction of 5", count, 1, lambda n: database.apply(transaction(n)))
    await measure(f"{name}: transaction of 5", count, 8, lambda n: database.apply(transaction(count + n)))
    sql = "SELECT version, body FROM state WHERE id = ?"
    await measure(f"{name}: read of one row", count, 1, lambda n: database.fetch(sql, (f"message-{n}",)))
    await measure(f"{name}: read of one row", count, 8, lambda n: database.fetch(sql, (f"message-{n}",)))
    await measure(f"{name}: claim of 10", count // 10, 1, lambda _: database.claim(CLAIM))
    await measure(f"{name}: read of 1,000 rows", 20, 1, lambda _: database.fetch("SELECT * FROM seen LIMIT 1000"))
    await database.close()


async def main(count: int) -> None:
    """Both engines, each in a place of its own."""
    with tempfile.TemporaryDirectory() as folder:
        await run("SQLite", await SqliteDatabase.open(Path(folder) / "bench.sqlite"), count)
    server = MariaDb()
    try:
        server.create()
        await run("MariaDB", await MysqlDatabase.open(server.new_database()), count)
    finally:
        server.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1500))
