"""MailWizz's database as its clients see it: the names of its tables, the words of each engine, one kind of outage.

It is not robotd's own: never migrated, and when it is lost the dependency is called `mailwizz`, so that nothing else
waits for it. The one module in this folder that knows the store's seam.
"""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pymysql.err import MySQLError

from daemon.store.database import Row, Value, Write
from daemon.store.mysql import MysqlDatabase
from daemon.store.sqlite import SqliteDatabase
from domain.errors import ConfigError, Unavailable

__all__ = ["DEPENDENCY", "AnyDatabase", "MailWizzDatabase", "MailWizzNames", "Row", "Value", "Write", "checked", "same"]

AnyDatabase = SqliteDatabase | MysqlDatabase
DEPENDENCY = "mailwizz"

_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,63}"
_ONE_NAME = re.compile(_NAME)
_QUALIFIED = re.compile(rf"(?:{_NAME}\.)?{_NAME}")
_PREFIX = re.compile(r"[A-Za-z0-9_]{0,32}")
_ZONE = re.compile(r"[+-](?:0\d|1[0-4]):[0-5]\d")


def checked(what: str, name: str, pattern: re.Pattern[str] = _QUALIFIED) -> str:
    """A name that may stand in SQL: `table` or `schema.table` in letters, digits and `_`. Raises ConfigError."""
    if pattern.fullmatch(name) is None:
        raise ConfigError(f"{what}: {name!r} is no name for SQL: letters, digits and _, with one schema before a dot")
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class MailWizzNames:
    """What MailWizz's tables are called here. They stand in SQL as they are, so ConfigError for what is no name.

    `schema` is where the product's tables are, empty for the database of the connection; `history` may name its own.
    """

    schema: str = ""
    prefix: str = "mw_"
    history: str = "mw_delivery_servers_tests"

    def __post_init__(self) -> None:
        """Refuse what could be more than a name."""
        if self.schema:
            checked("schema", self.schema, _ONE_NAME)
        checked("prefix", self.prefix, _PREFIX)
        checked("history", self.history)
        checked("prefix", self.table("delivery_server"))

    def table(self, name: str) -> str:
        """A table of the product, as it stands in SQL."""
        return f"{self.schema}.{self.prefix}{name}" if self.schema else f"{self.prefix}{name}"


def same(column: str, value: Value) -> tuple[str, tuple[Value, ...]]:
    """A comparison, with its arguments, that finds NULL too: the engines have no word for it in common."""
    return (f"{column} IS NULL", ()) if value is None else (f"{column} = ?", (value,))


@dataclass(frozen=True, slots=True)
class _Dialect:
    """What the engines spell differently. `before` takes the place of a moment, and seconds as its argument."""

    now: str
    before: str
    columns: str
    call: str


_MYSQL = _Dialect(
    now="NOW()",
    before="{at} - INTERVAL ? SECOND",
    columns="SELECT column_name FROM information_schema.columns"
    " WHERE table_name = ? AND table_schema = COALESCE(?, DATABASE())",
    call="CALL {name}({marks})",
)


def _sqlite(time_zone: str) -> _Dialect:
    return _Dialect(
        now=f"datetime('now', '{time_zone}')",
        before="datetime({at}, '-' || ? || ' seconds')",
        columns="SELECT name FROM pragma_table_info(?, COALESCE(?, 'main'))",
        # SQLite has no procedures: there a view with an INSTEAD OF trigger takes the same values.
        call="INSERT INTO {name} VALUES ({marks})",
    )


class MailWizzDatabase:
    """The seam, with Unavailable for whatever keeps MailWizz's database from answering; a missing table too.

    `time_zone`: what MailWizz writes its times in, an offset as `+00:00`. On MySQL the address of the connection has
    it; here it is for SQLite, which has no session.
    """

    def __init__(self, database: AnyDatabase, *, time_zone: str = "+00:00") -> None:
        self._database = database
        zone = checked_zone(time_zone)
        self._dialect = _MYSQL if isinstance(database, MysqlDatabase) else _sqlite(zone)
        self._columns: dict[str, frozenset[str]] = {}

    @property
    def now(self) -> str:
        """SQL for the present second, in MailWizz's zone."""
        return self._dialect.now

    def before(self, at: str) -> str:
        """SQL for a moment, so many seconds (its last argument) before another."""
        return self._dialect.before.replace("{at}", at)

    async def fetch(self, sql: str, args: Sequence[Value] = ()) -> list[Row]:
        """Read the newest committed state. Raises Unavailable."""
        with _as_mailwizz():
            return await self._database.fetch(sql, args)

    async def apply(self, writes: Sequence[Write]) -> None:
        """One transaction. Raises Conflict (nothing was written), or Unavailable: then it may have been committed."""
        with _as_mailwizz():
            await self._database.apply(writes)

    async def call(self, name: str, args: Sequence[Value]) -> None:
        """Run a stored procedure once. Raises Conflict, or Unavailable: then it may have done its work."""
        sql = self._dialect.call.format(name=name, marks=", ".join("?" * len(args)))
        with _as_mailwizz():
            if isinstance(self._database, MysqlDatabase):
                await self._database.call(sql, args)
            else:
                await self._database.apply([Write(sql, tuple(args))])

    async def columns(self, table: str) -> frozenset[str]:
        """The columns of a table, asked for once. Raises Unavailable where there is no such table."""
        if table not in self._columns:
            schema, _, name = table.rpartition(".")
            rows = await self.fetch(self._dialect.columns, (name, schema or None))
            if not rows:
                raise Unavailable(DEPENDENCY, f"there is no table {table}, or we may not see it")
            self._columns[table] = frozenset(str(column) for (column,) in rows)
        return self._columns[table]


def checked_zone(time_zone: str) -> str:
    """An offset from UTC; a named zone has an hour in autumn that is there twice. Raises ConfigError."""
    if _ZONE.fullmatch(time_zone) is None:
        raise ConfigError(f"time zone: {time_zone!r} is no offset such as +00:00")
    return time_zone


@contextmanager
def _as_mailwizz() -> Iterator[None]:
    try:
        yield
    except Unavailable as error:
        said = str(error).removeprefix(f"{error.dependency}: ")
        raise Unavailable(DEPENDENCY, said, after_s=error.after_s) from error
    except (MySQLError, sqlite3.Error) as error:
        # A table, a column or a right that is missing: what was asked is ours, what is not there is theirs.
        raise Unavailable(DEPENDENCY, str(error)) from error
