"""Brings a database to the newest schema: numbered `NNNN_name.sql` files, each applied once, remembered by checksum.

A statement ends with `;` at the end of a line; a comment has a line to itself. MySQL commits every DDL statement at
once, so a crash can leave a file half done: every file must be safe to run again (CREATE TABLE IF NOT EXISTS, one
change per ALTER file). A file is marked after its last statement there, and in the same transaction on SQLite.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import pairwise
from typing import Protocol

from daemon.store.database import Row, Value, Write
from domain.errors import ConfigError, Conflict

RunFile = Callable[[Sequence[str], Write], Awaitable[None]]

LEDGER = """
CREATE TABLE IF NOT EXISTS schema_version (
    version INTEGER NOT NULL PRIMARY KEY,
    name VARCHAR(191) NOT NULL,
    checksum CHAR(64) NOT NULL,
    applied_at_ms BIGINT NOT NULL
) {table_options}
"""
APPLIED = "SELECT version, name, checksum FROM schema_version ORDER BY version"
MARK = "INSERT INTO schema_version (version, name, checksum, applied_at_ms) VALUES (?, ?, ?, {now_ms})"

FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
COMMENT_LINE = re.compile(r"^\s*--.*\n?", re.MULTILINE)
STATEMENT_END = re.compile(r";[ \t]*(?:\n|$)")


class Migratable(Protocol):
    """What a migration needs of an engine, beside its transactions."""

    async def fetch(self, sql: str, args: Sequence[Value] = ()) -> list[Row]:
        """Read rows."""
        ...

    async def apply(self, writes: Sequence[Write]) -> None:
        """Write rows in one transaction."""
        ...

    async def tables(self) -> set[str]:
        """The names of all tables."""
        ...

    def exclusive(self) -> AbstractAsyncContextManager[RunFile]:
        """Keep other replicas from migrating; yields what runs one file's statements and then its mark.

        Raises Unavailable when another replica holds on too long.
        """
        ...


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    version: int
    name: str
    checksum: str
    statements: tuple[str, ...]


async def migrate(database: Migratable, directory: Traversable | None = None) -> list[str]:
    """Apply what is missing, in order, and return the names. Raises ConfigError when history was rewritten."""
    migrations = _read(directory)
    async with database.exclusive() as run_file:
        await database.apply([Write(LEDGER)])
        missing = _missing(migrations, await database.fetch(APPLIED))
        done = [migration.name for migration in missing if await _apply(run_file, migration)]
    _missing(migrations, await database.fetch(APPLIED))
    return done


async def pending(database: Migratable, directory: Traversable | None = None) -> list[str]:
    """The names of the files that `migrate` would apply; changes nothing. Raises ConfigError as `migrate` does."""
    known = "schema_version" in await database.tables()
    applied = await database.fetch(APPLIED) if known else []
    return [migration.name for migration in _missing(_read(directory), applied)]


async def _apply(run_file: RunFile, migration: Migration) -> bool:
    mark = Write(MARK, (migration.version, migration.name, migration.checksum), rows=1)
    try:
        await run_file(migration.statements, mark)
    except Conflict:
        # SQLite has no lock around all files: another process was first with this one, which the last check verifies.
        return False
    return True


def _missing(migrations: Sequence[Migration], applied: Sequence[Row]) -> list[Migration]:
    by_version = {migration.version: migration for migration in migrations}
    for version, name, checksum in applied:
        migration = by_version.pop(int(version or 0), None)
        if migration is None or migration.name != name:
            raise ConfigError(f"migration {name!s} was applied to the database, but its file is missing")
        if migration.checksum != checksum:
            raise ConfigError(f"migration {migration.name} was changed after it was applied to the database")
    newest = max((int(row[0] or 0) for row in applied), default=0)
    for migration in by_version.values():
        if migration.version < newest:
            raise ConfigError(f"migration {migration.name} is older than what was applied: give it a new number")
    return list(by_version.values())


def _read(directory: Traversable | None) -> list[Migration]:
    folder = directory if directory is not None else files("daemon.store") / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    migrations = [_parse(name, (folder / name).read_text(encoding="utf-8")) for name in names]
    for before, after in pairwise(migrations):
        if before.version == after.version:
            raise ConfigError(f"migrations {before.name} and {after.name} have the same number")
    return migrations


def _parse(name: str, text: str) -> Migration:
    match = FILE_NAME.fullmatch(name)
    if match is None:
        raise ConfigError(f"migration {name} is not named like 0001_initial.sql")
    # A checkout on Windows changes line ends; that is no change of the schema.
    text = text.replace("\r\n", "\n")
    parts = STATEMENT_END.split(COMMENT_LINE.sub("", text))
    statements = tuple(part.strip() for part in parts if part.strip())
    return Migration(int(match[1]), name, hashlib.sha256(text.encode()).hexdigest(), statements)
