"""Migrations on both engines: once each, in order, by two replicas at once, and never behind anybody's back."""

import asyncio
from pathlib import Path

import pytest

from daemon.store.database import Write
from daemon.store.migrate import migrate, pending
from daemon.store.mysql import MysqlDatabase
from domain.errors import ConfigError, Unavailable
from tests.conftest import AnyDatabase, Opener

FIRST = """-- The first table; made by ;
CREATE TABLE IF NOT EXISTS one (id INTEGER NOT NULL PRIMARY KEY) {table_options};

CREATE TABLE IF NOT EXISTS two (
    id INTEGER NOT NULL PRIMARY KEY, -- not a line of its own
    at_ms BIGINT NOT NULL
) {table_options};
"""
SECOND = "ALTER TABLE one ADD COLUMN n INTEGER NOT NULL DEFAULT 0;\n"
LEDGER = "SELECT version, name FROM schema_version ORDER BY version"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two migrations."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_first.sql").write_text(FIRST)
    (folder / "0002_second.sql").write_text(SECOND)
    (folder / "README.md").write_text("not a migration")
    return folder


async def test_every_file_is_applied_once_and_in_order(empty_database: AnyDatabase, folder: Path) -> None:
    """The first run makes the tables, the second finds nothing to do."""
    async with asyncio.timeout(20):
        assert await migrate(empty_database, folder) == ["0001_first.sql", "0002_second.sql"]
        assert await migrate(empty_database, folder) == []
        assert await empty_database.tables() == {"one", "two", "schema_version"}
        assert await empty_database.fetch(LEDGER) == [(1, "0001_first.sql"), (2, "0002_second.sql")]
        await empty_database.apply([Write("INSERT INTO one (id, n) VALUES (?, ?)", (1, 2))])


async def test_pending_names_what_is_missing_and_changes_nothing(empty_database: AnyDatabase, folder: Path) -> None:
    """A check before, between and after migrations only reads."""
    async with asyncio.timeout(20):
        assert await pending(empty_database, folder) == ["0001_first.sql", "0002_second.sql"]
        assert await empty_database.tables() == set()
        await migrate(empty_database, folder)
        assert await pending(empty_database, folder) == []
        (folder / "0003_third.sql").write_text("CREATE TABLE IF NOT EXISTS three (id INTEGER);")
        assert await pending(empty_database, folder) == ["0003_third.sql"]
        assert await migrate(empty_database, folder) == ["0003_third.sql"]


async def test_a_changed_file_is_named_and_nothing_is_applied(empty_database: AnyDatabase, folder: Path) -> None:
    """Editing history stops the start, for the migration as for the check."""
    async with asyncio.timeout(20):
        await migrate(empty_database, folder)
        (folder / "0001_first.sql").write_text(FIRST + "-- harmless?\n")
        (folder / "0003_third.sql").write_text("CREATE TABLE three (id INTEGER);")
        for step in (migrate, pending):
            with pytest.raises(ConfigError, match=r"0001_first\.sql was changed"):
                await step(empty_database, folder)
        assert "three" not in await empty_database.tables()


async def test_a_missing_file_is_named(empty_database: AnyDatabase, folder: Path) -> None:
    """A daemon older than its database refuses to start."""
    async with asyncio.timeout(20):
        await migrate(empty_database, folder)
        (folder / "0002_second.sql").unlink()
        for step in (migrate, pending):
            with pytest.raises(ConfigError, match=r"0002_second\.sql was applied .* missing"):
                await step(empty_database, folder)


async def test_a_renamed_file_is_a_missing_file(empty_database: AnyDatabase, folder: Path) -> None:
    """The number alone does not make it the same migration."""
    async with asyncio.timeout(20):
        await migrate(empty_database, folder)
        (folder / "0002_second.sql").rename(folder / "0002_other.sql")
        with pytest.raises(ConfigError, match=r"0002_second\.sql was applied"):
            await migrate(empty_database, folder)


async def test_a_file_that_comes_too_late_is_named(empty_database: AnyDatabase, folder: Path) -> None:
    """A number below the newest applied one would run in another order elsewhere."""
    async with asyncio.timeout(20):
        (folder / "0002_second.sql").rename(folder / "0005_second.sql")
        await migrate(empty_database, folder)
        (folder / "0004_late.sql").write_text("CREATE TABLE late (id INTEGER);")
        with pytest.raises(ConfigError, match=r"0004_late\.sql is older than what was applied"):
            await migrate(empty_database, folder)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("3_short.sql", "is not named like"),
        ("0003-Dash.sql", "is not named like"),
        ("0002_twin.sql", "the same number"),
    ],
)
async def test_a_bad_name_is_refused_before_anything_runs(
    empty_database: AnyDatabase, folder: Path, name: str, complaint: str
) -> None:
    """Names and numbers are checked for all files first."""
    (folder / name).write_text("CREATE TABLE three (id INTEGER);")
    async with asyncio.timeout(20):
        with pytest.raises(ConfigError, match=complaint):
            await migrate(empty_database, folder)
        assert await empty_database.tables() == set()


async def test_line_ends_of_another_system_are_no_change(empty_database: AnyDatabase, folder: Path) -> None:
    """The same text with CRLF has the same checksum and the same statements."""
    async with asyncio.timeout(20):
        await migrate(empty_database, folder)
        (folder / "0001_first.sql").write_bytes(FIRST.replace("\n", "\r\n").encode())
        assert await migrate(empty_database, folder) == []


async def test_replicas_that_start_together_migrate_once(
    open_database: Opener, empty_database: AnyDatabase, folder: Path
) -> None:
    """Of four replicas each file is applied by exactly one, although the second file can't be run twice."""
    replicas = [empty_database, *[await open_database() for _ in range(3)]]
    async with asyncio.timeout(30):
        done = await asyncio.gather(*(migrate(replica, folder) for replica in replicas))
        assert sorted(name for names in done for name in names) == ["0001_first.sql", "0002_second.sql"]
        assert await empty_database.fetch(LEDGER) == [(1, "0001_first.sql"), (2, "0002_second.sql")]


async def test_a_file_cut_short_is_finished_by_the_next_run(empty_database: AnyDatabase, folder: Path) -> None:
    """A file that fails half way is not marked, and runs again from its start once the cause is gone."""
    good = "CREATE TABLE IF NOT EXISTS three (id INTEGER);\n"
    (folder / "0003_third.sql").write_text(good + "CREATE TABLE four (nonsense;\n")
    async with asyncio.timeout(20):
        with pytest.raises(Exception, match=r"nonsense|syntax|incomplete"):
            await migrate(empty_database, folder)
        assert await pending(empty_database, folder) == ["0003_third.sql"]
        (folder / "0003_third.sql").write_text(good + "CREATE TABLE IF NOT EXISTS four (id INTEGER);\n")
        assert await migrate(empty_database, folder) == ["0003_third.sql"]
        assert {"three", "four"} < await empty_database.tables()


async def test_a_replica_that_never_finishes_is_not_waited_for_forever(
    open_database: Opener, empty_database: AnyDatabase, folder: Path
) -> None:
    """On a shared server the lock is waited for with a bound, and moves on when its holder goes."""
    if not isinstance(empty_database, MysqlDatabase):
        pytest.skip("SQLite has one lock, held per file and bounded by its busy timeout")
    other = await open_database()
    assert isinstance(other, MysqlDatabase)
    async with asyncio.timeout(20):
        async with other.exclusive():
            with pytest.raises(Unavailable, match="another replica"):
                async with empty_database.exclusive(wait_s=0.1):
                    pytest.fail("two replicas hold the lock")
        assert len(await migrate(empty_database, folder)) == 2


async def test_the_daemons_own_migrations_apply_twice_to_the_same_end(database: AnyDatabase) -> None:
    """The shipped files run, and each statement in them may run again, as after a crash."""
    async with asyncio.timeout(20):
        tables = await database.tables()
        assert {"inbox", "outbox", "timer", "schema_version"} <= tables
        await database.apply([Write("DELETE FROM schema_version")])
        await migrate(database)
        assert await database.tables() == tables
        assert await pending(database) == []
