"""The embedded engine: the standard library's sqlite3 behind `Database`, for one host and for tests.

One thread owns the writing connection and runs each whole transaction in one hop, because a hop costs more than a
statement; a second thread owns a read-only connection, so a long write never delays a read. Opened by `daemon.opening`.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from os import PathLike
from typing import Concatenate, ParamSpec, TypeVar

from daemon.batcher import tell_each
from daemon.probe import Probe, unobserved
from daemon.store.database import Claim, Row, Value, Write
from daemon.store.migrate import RunFile
from domain.errors import Conflict, Unavailable

P = ParamSpec("P")
T = TypeVar("T")

NOW_MS = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
# WAL keeps readers and the writer apart; FULL makes a commit survive a power cut.
WRITER_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
READER_PRAGMAS = ("query_only=ON",)
MOST_TOGETHER = 50

CONFLICTS = frozenset(
    {
        sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
        sqlite3.SQLITE_CONSTRAINT_UNIQUE,
        sqlite3.SQLITE_CONSTRAINT_ROWID,
        sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY,
    }
)
OUTAGES = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)


@lru_cache(maxsize=1024)  # also keeps each text's hash, by which sqlite3 finds its prepared statement
def _spelled(sql: str) -> str:
    if "{" not in sql:
        return sql
    return sql.replace("{now_ms}", NOW_MS).replace("{table_options}", "")


def _translated(error: sqlite3.Error) -> Exception:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code in CONFLICTS:
        return Conflict(str(error))
    # The low byte is the primary code; the rest says which kind of it.
    if code & 0xFF in OUTAGES:
        return Unavailable("database", str(error))
    return error


class _Lane:
    """One thread and the connection that only this thread touches."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._connection: sqlite3.Connection | None = None

    async def open(self, path: str, busy_timeout_s: float, pragmas: Sequence[str]) -> None:
        try:
            self._connection = await self._hop(partial(_connect, path, busy_timeout_s, pragmas))
        except Unavailable as error:
            self._thread.shutdown(wait=False)
            raise Unavailable("database", f"{path}: {error}") from error
        except BaseException:
            self._thread.shutdown(wait=False)
            raise

    async def run(self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run in one hop. A cancelled caller stops waiting; work that has begun still ends, whole or not at all."""
        if self._connection is None:
            raise Unavailable("database", "closed")
        return await self._hop(partial(work, self._connection, *args, **kwargs))

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            await asyncio.shield(self._hop(connection.close))
        finally:
            self._thread.shutdown(wait=False)

    async def _hop(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise _translated(error) from error


def _connect(path: str, busy_timeout_s: float, pragmas: Sequence[str]) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None, cached_statements=256)
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def _fetch(connection: sqlite3.Connection, sql: str, args: Sequence[Value]) -> list[Row]:
    return connection.execute(_spelled(sql), args).fetchall()


def _transaction(connection: sqlite3.Connection, work: Callable[[], T]) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work()
        connection.execute("COMMIT")
    except BaseException:
        # Some failures (disk full, I/O) have rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def _write_all(connection: sqlite3.Connection, writes: Sequence[Write]) -> None:
    for write in writes:
        rows = connection.execute(_spelled(write.sql), write.args).rowcount
        if write.rows is not None and rows != write.rows:
            raise Conflict(f"{rows} rows instead of {write.rows}: {write.sql}")


def _apply(connection: sqlite3.Connection, writes: Sequence[Write]) -> None:
    _transaction(connection, partial(_write_all, connection, writes))


def _apply_each(connection: sqlite3.Connection, groups: Sequence[Sequence[Write]]) -> list[Exception | None]:
    """Several callers' writes with one COMMIT, and so one sync: each caller's are all there, or none of them."""
    return _transaction(connection, lambda: [_apply_one_of(connection, writes) for writes in groups])


def _apply_one_of(connection: sqlite3.Connection, writes: Sequence[Write]) -> Exception | None:
    connection.execute("SAVEPOINT one")
    try:
        _write_all(connection, writes)
    except Exception as error:
        if not connection.in_transaction:  # a full disk, say, rolls everything back: nobody's writes are there
            raise
        connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")
        return _translated(error) if isinstance(error, sqlite3.Error) else error
    connection.execute("RELEASE one")
    return None


def _take(connection: sqlite3.Connection, claim: Claim) -> list[Row]:
    ids = [row[0] for row in _fetch(connection, claim.select, claim.select_args)]
    if not ids:
        return []
    marks = ", ".join("?" * len(ids))
    connection.execute(_spelled(claim.update.replace("{ids}", marks)), (*claim.update_args, *ids))
    return _fetch(connection, claim.read.replace("{ids}", marks), ids)


def _claim(connection: sqlite3.Connection, claim: Claim) -> list[Row]:
    """Without a sync: whoever loses a claim to a power cut is gone himself, and a sync holds up everybody's commits."""
    connection.execute("PRAGMA synchronous=NORMAL")
    try:
        return _transaction(connection, partial(_take, connection, claim))
    finally:
        connection.execute("PRAGMA synchronous=FULL")


class SqliteDatabase:
    """A database file on this host; see `Database`. Not for network file systems, which break SQLite's locks."""

    def __init__(self, writer: _Lane, reader: _Lane, probe: Probe) -> None:
        self._writer = writer
        self._reader = reader
        self._probe = probe
        self._waiting: list[tuple[Sequence[Write], asyncio.Future[None]]] = []
        self._committing: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, path: str | PathLike[str], *, busy_timeout_s: float = 5.0, probe: Probe = unobserved
    ) -> "SqliteDatabase":
        """Open or create the file. The probe sees `before_commit` ahead of the whole transaction: it is one hop."""
        writer, reader = _Lane("sqlite-write"), _Lane("sqlite-read")
        await writer.open(str(path), busy_timeout_s, WRITER_PRAGMAS)
        try:
            await reader.open(str(path), busy_timeout_s, READER_PRAGMAS)
        except BaseException:
            await writer.close()
            raise
        return cls(writer, reader, probe)

    async def fetch(self, sql: str, args: Sequence[Value] = ()) -> list[Row]:
        """Read rows outside any transaction; a statement that writes is refused."""
        return await self._reader.run(_fetch, sql, args)

    async def apply(self, writes: Sequence[Write]) -> None:
        """Run the writes, all or none, in a transaction with those of everybody who waits; one hop, one sync."""
        await self._probe("before_commit")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((writes, done))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_waiting())
        await done
        await self._probe("after_commit")

    async def _commit_waiting(self) -> None:
        """Group commit: what came while the last group was synced goes together; alone, nobody waits for others."""
        while self._waiting:
            group, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
            group = [(writes, done) for writes, done in group if not done.cancelled()]
            try:
                errors = await self._writer.run(_apply_each, [writes for writes, _ in group])
            except Exception as error:  # noqa: BLE001  whatever it was belongs to each caller, who decides
                errors = [error] * len(group)
            tell_each([done for _, done in group], errors)
        self._committing = None

    async def claim(self, claim: Claim) -> list[Row]:
        """Claim rows. SQLite has one writer at a time, so nothing needs skipping."""
        return await self._writer.run(_claim, claim)

    async def tables(self) -> set[str]:
        """The names of all tables."""
        return {str(name) for (name,) in await self.fetch("SELECT name FROM sqlite_master WHERE type = 'table'")}

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[RunFile]:
        """Migrate; each file is one transaction, which is all the lock that SQLite needs."""
        yield self._run_file

    async def _run_file(self, statements: Sequence[str], mark: Write) -> None:
        # The mark goes first: a process that lost the race meets its duplicate key before it repeats any DDL.
        await self._writer.run(_apply, [mark, *(Write(sql) for sql in statements)])

    async def close(self) -> None:
        """Finish what runs, then close. The writer goes last: the last connection out folds the WAL into the file."""
        await self._reader.close()
        if self._committing is not None:
            await self._committing
        await self._writer.close()
