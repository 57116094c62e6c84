"""One connection to MySQL or MariaDB: its session, its bounds, and what its errors mean. Used by the pool and `mysql`.

aiomysql ships no types, so `Any` stays in here. It has no bound on a handshake or a query either; both are ours.
"""

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import ceil, isfinite
from typing import Any

import aiomysql
from pymysql.constants import CLIENT, FIELD_TYPE
from pymysql.err import MySQLError

from daemon.store.database import Row, Value
from domain.errors import Conflict, Unavailable

DUPLICATE_OR_FOREIGN_KEY = frozenset({1062, 1216, 1217, 1451, 1452})
DEADLOCK_OR_LOCK_WAIT = frozenset({1020, 1205, 1213})
# Server full, stopping, read-only after a failover, not ready, or tired of us; 2000 to 2999 are the client's own.
OUTAGES = frozenset(
    {1015, 1021, 1028, 1030, 1037, 1038, 1040, 1041, 1042, 1043, 1044, 1045, 1047, 1049, 1053, 1114, 1129, 1130, 1152}
    | {1158, 1159, 1160, 1161, 1180, 1203, 1226, 1290, 1317, 1792, 1836, 1874, 1927, 1969, 3024, 3168, 3169, 4031}
)
CLIENT_CODES = range(2000, 3000)

SESSION = (
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
    ";SET SESSION innodb_lock_wait_timeout = 3, lock_wait_timeout = 3, sql_notes = 0,"
    " sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', "
)
# The server ends its statements before the client gives up on them, so that no abandoned one keeps its locks.
GRACE_S = 1.0
QUIT_S = 1.0


class Rerun(Exception):  # noqa: N818  an order to the adapter, which never lets it out
    """The server chose this transaction to give way; run it again as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MysqlAddress:
    """Where the server is and who we are. A `unix_socket` wins over host and port.

    `time_zone` is that of the session: ours for our own tables, that of whoever writes the times of foreign ones.
    """

    database: str
    user: str
    password: str = field(repr=False)
    host: str = "localhost"
    port: int = 3306
    unix_socket: str | None = None
    time_zone: str = "+00:00"
    tls: ssl.SSLContext | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Result:
    """What one statement gave: its rows, and how many rows it matched."""

    rows: list[Row]
    matched: int


def _number(text: str) -> Value:
    """A DECIMAL, such as a SUM, as the number that SQLite would give."""
    return float(text) if "." in text else int(text)


# Dates stay text, as in SQLite; what is missing here is text or bytes by its column.
DECODERS = {
    **dict.fromkeys((FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.LONG, FIELD_TYPE.INT24), int),
    **dict.fromkeys((FIELD_TYPE.LONGLONG, FIELD_TYPE.YEAR), int),
    **dict.fromkeys((FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE), float),
    **dict.fromkeys((FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL), _number),
}


def literal(value: Value) -> str:
    """A value as SQL text; ours because PyMySQL's is slow and the one for bytes is broken under aiomysql."""
    if isinstance(value, str):
        # Enough because our session has backslash escapes on and a character set without traps.
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, float) and isfinite(value):
        # Without an exponent it would be a DECIMAL.
        return f"{value!r}e0" if "e" not in repr(value) else repr(value)
    raise TypeError(f"no SQL value: {type(value).__name__}")


async def connect(address: MysqlAddress, *, connect_timeout_s: float, statement_timeout_s: float) -> "Connection":
    """Open a connection with our session. Raises Unavailable, always within `connect_timeout_s`."""
    try:
        # aiomysql's own connect_timeout ends with the TCP connection; a server can hang after it.
        async with asyncio.timeout(connect_timeout_s):
            raw = await aiomysql.connect(
                host=address.host,
                port=address.port,
                unix_socket=address.unix_socket,
                user=address.user,
                password=address.password,
                db=address.database,
                ssl=address.tls,
                charset="utf8mb4",
                autocommit=True,
                client_flag=CLIENT.FOUND_ROWS,
                conv=DECODERS,
            )
            return await _with_session(raw, address, statement_timeout_s)
    except Unavailable:
        raise
    except Exception as error:
        # Whatever it is, down to bytes that are no handshake at all.
        raise Unavailable("database", f"no connection: {str(error) or type(error).__name__}") from error


async def _with_session(raw: Any, address: MysqlAddress, statement_timeout_s: float) -> "Connection":
    try:
        if address.tls is not None:
            _demand_tls(raw)
        connection = Connection(raw, await raw.cursor(), statement_timeout_s)
        # A replica that freezes between its statements and its COMMIT must not hold its locks for ever. MySQL has no
        # such bound: there the locks last until the frozen process goes on or its connection dies.
        idle_s = max(1, ceil(statement_timeout_s))
        bound_s = f"max_statement_time = {statement_timeout_s}, idle_transaction_timeout = {idle_s}"
        bound_ms = f"max_execution_time = {int(statement_timeout_s * 1000)}"
        zone = f"time_zone = {literal(address.time_zone)}, "
        await connection.run(SESSION + zone + (bound_s if connection.is_mariadb else bound_ms))
    except BaseException:
        raw.close()
        raise
    return connection


def _demand_tls(raw: Any) -> None:
    # aiomysql goes on in clear text with a server that offers no TLS, and tells it nowhere else.
    if raw._writer.get_extra_info("ssl_object") is None:  # noqa: SLF001  as above
        raise Unavailable("database", "the server offers no TLS")


class Connection:
    """One connection. After any failure it is either in step with the server or closed, never in between."""

    def __init__(self, raw: Any, cursor: Any, statement_timeout_s: float) -> None:
        self._raw = raw
        self._cursor = cursor
        self._timeout_s = statement_timeout_s + GRACE_S
        self.is_mariadb = "MariaDB" in raw.get_server_info()
        self.in_transaction = False

    @property
    def is_closed(self) -> bool:
        """Whether it was closed on our side."""
        return bool(self._raw.closed)

    @property
    def is_reusable(self) -> bool:
        """Whether it may serve someone else: no transaction left open, and no goodbye from the server seen."""
        # A server that kicks idle clients sends its reason first, so the end of the stream is not the whole test.
        return not (self.in_transaction or self.is_closed or self._raw._reader.eof_received)  # noqa: SLF001  as aiomysql's own pool looks

    async def run(self, text: str) -> list[Result]:
        """Send statements, joined by `;`, in one packet and read all their results.

        Raises Conflict, Rerun, Unavailable (then it is closed), or aiomysql's own error where our SQL is at fault.
        """
        data = text.encode()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._exchange(data)
        except MySQLError as error:
            raise self._meaning(error) from error
        except TimeoutError as error:
            self.close()
            raise Unavailable("database", f"no answer within {self._timeout_s} s") from error
        except BaseException:
            # Cancelled, or bytes that aiomysql can't read: the next answer would be to this question.
            self.close()
            raise

    async def begin(self, texts: Sequence[str]) -> list[Result]:
        """Begin a transaction and run its first statements, in one packet."""
        self.in_transaction = True
        return (await self.run("\n;".join(["BEGIN", *texts])))[1:]

    async def commit(self) -> None:
        """Commit. Any failure is Unavailable: the server may have committed before the answer was lost."""
        try:
            await self.run("COMMIT")
        except Unavailable:
            raise
        except Exception as error:
            self.close()
            raise Unavailable("database", f"COMMIT failed, its outcome is unknown: {error}") from error
        self.in_transaction = False

    async def rollback(self) -> None:
        """Undo the transaction."""
        await self.run("ROLLBACK")
        self.in_transaction = False

    def close(self) -> None:
        """Drop the connection; the server undoes what was open."""
        self._raw.close()

    async def quit(self) -> None:
        """Say goodbye, then close; otherwise the server counts an aborted client."""
        with suppress(OSError, MySQLError):  # the goodbye is only a courtesy; TimeoutError is an OSError
            async with asyncio.timeout(QUIT_S):
                await self._raw.ensure_closed()
        self.close()

    async def _exchange(self, data: bytes) -> list[Result]:
        await self._cursor.execute(data)
        results = [await self._result()]
        while await self._cursor.nextset():
            results.append(await self._result())
        return results

    async def _result(self) -> Result:
        matched = self._cursor.rowcount
        return Result(list(await self._cursor.fetchall()) if self._cursor.description else [], matched)

    def _meaning(self, error: Exception) -> Exception:
        code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        if code in DUPLICATE_OR_FOREIGN_KEY:
            return Conflict(str(error))
        if code in DEADLOCK_OR_LOCK_WAIT:
            return Rerun(str(error))
        if code in OUTAGES or code in CLIENT_CODES or not code:
            # Closed even when the server still talks: after a failover the same name leads to another server.
            self.close()
            return Unavailable("database", str(error))
        return error
