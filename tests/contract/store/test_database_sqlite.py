"""What only the embedded engine can suffer: its file, its disk, its one writer."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from daemon.store.database import Write
from daemon.store.sqlite import SqliteDatabase, _apply
from domain.errors import Conflict, Unavailable

THING = "CREATE TABLE thing (k TEXT NOT NULL PRIMARY KEY, n INTEGER)"
ADD = "INSERT INTO thing (k, n) VALUES (?, ?)"
WRITER = """
import asyncio, sys
from daemon.store.database import Write
from daemon.store.sqlite import SqliteDatabase

async def main():
    database = await SqliteDatabase.open(sys.argv[1])
    for n in range(1_000_000):
        await database.apply([Write("INSERT INTO thing (k, n) VALUES (?, ?)", (f"{n}-{half}", n)) for half in "ab"])
        print(n, flush=True)

asyncio.run(main())
"""


@pytest.fixture
async def things(tmp_path: Path) -> SqliteDatabase:
    """A database file with an empty table; the test closes it."""
    database = await SqliteDatabase.open(tmp_path / "robotd.sqlite", busy_timeout_s=0.05)
    await database.apply([Write(THING)])
    return database


async def test_the_file_is_opened_for_safety(things: SqliteDatabase) -> None:
    """Write-ahead log, full synchronisation and foreign keys are on where it writes."""

    def settings(connection: sqlite3.Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert await things._writer.run(settings) == ["wal", 2, 1, 50]
    await things.close()


async def test_a_writer_in_another_process_is_waited_for_then_unavailable(
    things: SqliteDatabase, tmp_path: Path
) -> None:
    """A lock held for longer than the busy timeout is an outage, not a mistake, and it passes."""
    other = sqlite3.connect(tmp_path / "robotd.sqlite", isolation_level=None)
    async with asyncio.timeout(10):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            await things.apply([Write(ADD, ("a", 1))])
        assert await things.fetch("SELECT k FROM thing") == []
        other.execute("ROLLBACK")
        other.close()
        await things.apply([Write(ADD, ("a", 1))])
        await things.close()


async def test_a_full_disk_is_unavailable_and_leaves_nothing_by_half(things: SqliteDatabase) -> None:
    """When the file can't grow the transaction is gone as a whole, and smaller ones still pass."""
    async with asyncio.timeout(10):
        await things._writer.run(lambda connection: connection.execute("PRAGMA max_page_count = 8").fetchall())
        with pytest.raises(Unavailable, match="full"):
            await things.apply([Write(ADD, ("a", 1)), Write(ADD, ("b" * 100_000, 1))])
        assert await things.fetch("SELECT COUNT(*) FROM thing") == [(0,)]
        await things.apply([Write(ADD, ("c", 1))])
        await things.close()


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    """Rubbish, a folder and a missing folder are told at once, when opening."""
    (tmp_path / "rubbish").write_bytes(b"no database at all " * 100)
    async with asyncio.timeout(10):
        for path in (tmp_path / "rubbish", tmp_path, tmp_path / "absent" / "robotd.sqlite"):
            with pytest.raises(Unavailable):
                await SqliteDatabase.open(path)


async def test_a_long_write_does_not_delay_a_read(things: SqliteDatabase) -> None:
    """While the writing thread is busy in a transaction, reads go on from the last committed state."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(ADD, ("a", 1))
        begun.set()
        go_on.wait(10)
        connection.execute("COMMIT")

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(things._writer.run(slow))
        await asyncio.to_thread(begun.wait, 10)
        assert await things.fetch("SELECT COUNT(*) FROM thing") == [(0,)]
        go_on.set()
    assert await things.fetch("SELECT COUNT(*) FROM thing") == [(1,)]
    await things.close()


async def test_a_read_can_not_write(things: SqliteDatabase) -> None:
    """A statement that writes has no business in fetch."""
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable, match="readonly"):
            await things.fetch("INSERT INTO thing (k, n) VALUES ('a', 1)")
        assert await things.fetch("SELECT COUNT(*) FROM thing") == [(0,)]
        await things.close()


async def test_a_transaction_cancelled_in_the_queue_never_runs_and_one_that_runs_ends_whole(
    things: SqliteDatabase,
) -> None:
    """Cancelling a caller frees the caller at once; the thread finishes what it began and drops what it had not."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> None:
        begun.set()
        go_on.wait(10)
        _apply(connection, [Write(ADD, ("running", 1)), Write(ADD, ("running too", 1))])

    async with asyncio.timeout(10):
        running = asyncio.create_task(things._writer.run(slow))
        await asyncio.to_thread(begun.wait, 10)
        queued = asyncio.create_task(things.apply([Write(ADD, ("queued", 1))]))
        await asyncio.sleep(0)
        running.cancel()
        queued.cancel()
        await asyncio.wait([running, queued])
        go_on.set()
        await things.apply([Write(ADD, ("next", 1))])
        assert await things.fetch("SELECT k FROM thing ORDER BY k") == [("next",), ("running",), ("running too",)]
        await things.close()


async def test_no_answered_commit_is_lost_when_the_process_is_killed(things: SqliteDatabase, tmp_path: Path) -> None:
    """After kill -9 every commit that was reported is there, whole."""
    path = tmp_path / "robotd.sqlite"
    await things.close()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(path), stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    async with asyncio.timeout(20):
        assert process.stdout is not None
        reported = [int(await process.stdout.readline()) for _ in range(50)]
        process.send_signal(signal.SIGKILL)
        reported += [int(line) for line in (await process.stdout.read()).split(b"\n") if line]
        await process.wait()
        database = await SqliteDatabase.open(path)
        counts = await database.fetch("SELECT n, COUNT(*) FROM thing GROUP BY n")
        await database.close()
    assert {count for _, count in counts} == {2}
    assert set(reported) <= {n for n, _ in counts}


async def test_those_who_commit_together_don_t_share_their_mistakes(tmp_path: Path) -> None:
    """Of fifty at once, a duplicate key, a missed row and a number too large fail alone; all others are there."""
    database = await SqliteDatabase.open(tmp_path / "together.db")
    await database.apply([Write(THING), Write(ADD, ("0", 0))])
    wrong: dict[int, Write] = {
        10: Write(ADD, ("0", 1)),
        20: Write("UPDATE thing SET n = 1 WHERE k = 'nobody'", rows=1),
        30: Write(ADD, ("large", 2**70)),
    }
    jobs = [[Write(ADD, (str(number), 1)), *([wrong[number]] if number in wrong else [])] for number in range(1, 51)]
    ends = await asyncio.gather(*(database.apply(job) for job in jobs), return_exceptions=True)
    failed = {number: type(end) for number, end in enumerate(ends, start=1) if end is not None}
    assert failed == {10: Conflict, 20: Conflict, 30: OverflowError}
    rows = await database.fetch("SELECT k FROM thing")
    assert {row[0] for row in rows} == {str(number) for number in range(51) if number not in wrong}
    await database.close()
