"""The production engine: MySQL 8 or MariaDB from 10.6 behind `Database`. Opened by `daemon.opening`.

A transaction is two round trips: BEGIN with all statements in one packet, then COMMIT once every demanded row count was
met. Long ones are cut into packets of about a megabyte.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from typing import TypeVar

from daemon.probe import Probe, unobserved
from daemon.store.database import Claim, Row, Value, Write
from daemon.store.migrate import RunFile
from daemon.store.mysql_connection import Connection, MysqlAddress, Rerun, Result, connect, literal
from daemon.store.mysql_pool import Pool
from domain.errors import Conflict, Unavailable

__all__ = ["MysqlAddress", "MysqlDatabase"]

T = TypeVar("T")

NOW_MS = "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)"
TABLE_OPTIONS = "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE="
# utf8mb4_bin takes 'a' and 'a ' for one key; these two don't, and each server knows only its own.
MARIADB_COLLATION = "utf8mb4_nopad_bin"
MYSQL_COLLATION = "utf8mb4_0900_bin"

TRIES = 5
PAUSE_S = (0.02, 0.2)
# Far below the smallest max_allowed_packet that servers come with.
PACKET_CHARS = 1_000_000
MIGRATION_TIMEOUT_S = 3600.0
LOCK_WAIT_S = 60.0
GET_LOCK = "SELECT GET_LOCK(CONCAT('robotd.migrate.', MD5(DATABASE())), ?)"
TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"


@lru_cache(maxsize=2048)
def _parts(sql: str, collation: str) -> tuple[str, ...]:
    """The text in this server's words, cut at its placeholders. No text holds a literal question mark (tested)."""
    sql = sql.replace("{now_ms}", NOW_MS).replace("{table_options}", TABLE_OPTIONS + collation)
    return tuple(sql.rstrip("; \n").split("?"))


def _text(connection: Connection, sql: str, args: Sequence[Value]) -> str:
    parts = _parts(sql, MARIADB_COLLATION if connection.is_mariadb else MYSQL_COLLATION)
    if len(parts) != len(args) + 1:
        raise ValueError(f"{len(args)} arguments for {len(parts) - 1} placeholders: {sql}")
    return parts[0] + "".join([literal(value) + part for value, part in zip(args, parts[1:], strict=True)])


def _packets(connection: Connection, writes: Sequence[Write]) -> Iterator[tuple[Sequence[Write], list[str]]]:
    """Cut the writes into packets; the last statement of one may make it larger than the measure."""
    start, size, texts = 0, 0, list[str]()
    for position, write in enumerate(writes, start=1):
        texts.append(_text(connection, write.sql, write.args))
        size += len(texts[-1])
        if size > PACKET_CHARS or position == len(writes):
            yield writes[start:position], texts
            start, size, texts = position, 0, []


def _demand_rows(writes: Sequence[Write], results: Sequence[Result]) -> None:
    for write, result in zip(writes, results, strict=True):
        if write.rows is not None and result.matched != write.rows:
            raise Conflict(f"{result.matched} rows instead of {write.rows}: {write.sql}")


@asynccontextmanager
async def _rolled_back_on_error(connection: Connection) -> AsyncIterator[None]:
    try:
        yield
    except Exception:
        if connection.in_transaction and not connection.is_closed:
            await connection.rollback()
        raise


async def _write_all(connection: Connection, writes: Sequence[Write]) -> None:
    for part, texts in _packets(connection, writes):
        if connection.in_transaction:
            _demand_rows(part, await connection.run("\n;".join(texts)))
        else:
            _demand_rows(part, await connection.begin(texts))


async def _claim(connection: Connection, claim: Claim) -> list[Row]:
    select = _text(connection, f"{claim.select} FOR UPDATE SKIP LOCKED", claim.select_args)
    (found,) = await connection.begin([select])
    ids = [row[0] for row in found.rows]
    if not ids:
        await connection.rollback()
        return []
    marks = ", ".join("?" * len(ids))
    update = _text(connection, claim.update.replace("{ids}", marks), (*claim.update_args, *ids))
    read = _text(connection, claim.read.replace("{ids}", marks), ids)
    _, claimed = await connection.run(f"{update}\n;{read}")
    await connection.commit()
    return claimed.rows


async def _run_file(connection: Connection, statements: Sequence[str], mark: Write) -> None:
    try:
        for statement in statements:
            await connection.run(_text(connection, statement, ()))
        await connection.run(_text(connection, mark.sql, mark.args))
    except Rerun as error:
        raise Unavailable("database", f"a table to migrate is in use: {error}") from error


class MysqlDatabase:
    """A server that replicas share; see `Database`. Connects when first used, and again by itself after an outage."""

    def __init__(self, pool: Pool, connect_once: Callable[..., Awaitable[Connection]], probe: Probe) -> None:
        self._pool = pool
        self._connect_once = connect_once
        self._probe = probe

    @classmethod
    async def open(
        cls,
        address: MysqlAddress,
        *,
        pool_size: int = 10,
        connect_timeout_s: float = 3.0,
        statement_timeout_s: float = 10.0,
        acquire_timeout_s: float = 10.0,
        probe: Probe = unobserved,
    ) -> "MysqlDatabase":
        """Prepare a pool. No connection is made here, so a daemon can start before its database does."""
        connect_once = partial(connect, address, connect_timeout_s=connect_timeout_s)
        connect_pooled = partial(connect_once, statement_timeout_s=statement_timeout_s)
        pool = Pool(connect_pooled, size=pool_size, acquire_timeout_s=acquire_timeout_s)
        return cls(pool, connect_once, probe)

    async def fetch(self, sql: str, args: Sequence[Value] = ()) -> list[Row]:
        """Read rows outside any transaction."""
        async with self._pool.connection() as connection:
            try:
                (result,) = await connection.run(_text(connection, sql, args))
            except Rerun as error:
                raise Unavailable("database", str(error)) from error
            return result.rows

    async def apply(self, writes: Sequence[Write]) -> None:
        """Run the writes as one transaction, again when it lost a deadlock or waited too long for a lock."""
        await self._until_through(partial(self._apply_once, writes))

    async def call(self, sql: str, args: Sequence[Value] = ()) -> list[Row]:
        """CALL a stored procedure, in transactions of its own; the rows of its first result.

        Never run again in here: what it did before it gave way may stand. Raises Conflict, Unavailable.
        """
        async with self._pool.connection() as connection:
            try:
                results = await connection.run(_text(connection, sql, args))  # the last one is the CALL's own status
            except Rerun as error:
                raise Unavailable("database", str(error)) from error
            return results[0].rows

    async def claim(self, claim: Claim) -> list[Row]:
        """Claim rows, skipping those that others hold locked."""
        return await self._until_through(partial(self._claim_once, claim))

    async def tables(self) -> set[str]:
        """The names of all tables."""
        return {str(name) for (name,) in await self.fetch(TABLES)}

    @asynccontextmanager
    async def exclusive(self, wait_s: float = LOCK_WAIT_S) -> AsyncIterator[RunFile]:
        """Migrate while no other replica does. The lock and the statements share one connection: they end together."""
        connection = await self._connect_once(statement_timeout_s=MIGRATION_TIMEOUT_S)
        try:
            (got,) = await connection.run(_text(connection, GET_LOCK, (wait_s,)))
            if got.rows != [(1,)]:
                raise Unavailable("database", f"another replica has been migrating for {wait_s} s")
            yield partial(_run_file, connection)
        finally:
            await connection.quit()

    async def close(self) -> None:
        """Wait for what runs, bounded, and close every connection."""
        await self._pool.close()

    async def _until_through(self, transaction: Callable[[], Awaitable[T]]) -> T:
        for _ in range(TRIES - 1):
            try:
                return await transaction()
            except Rerun:
                await asyncio.sleep(random.uniform(*PAUSE_S))  # noqa: S311  jitter, no secret
        try:
            return await transaction()
        except Rerun as error:
            raise Conflict(f"gave way {TRIES} times: {error}") from error

    async def _apply_once(self, writes: Sequence[Write]) -> None:
        async with self._pool.connection() as connection:
            async with _rolled_back_on_error(connection):
                await _write_all(connection, writes)
                await self._probe("before_commit")
                await connection.commit()
            await self._probe("after_commit")

    async def _claim_once(self, claim: Claim) -> list[Row]:
        async with self._pool.connection() as connection, _rolled_back_on_error(connection):
            return await _claim(connection, claim)
