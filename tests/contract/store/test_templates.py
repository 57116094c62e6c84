"""Templates in the database, on both engines: what is written is read back, one writer per name, bounded reads."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.store.database import Write
from daemon.store.ids import Ids
from daemon.store.migrate import migrate
from daemon.store.sqlite import SqliteDatabase
from daemon.store.templates import SqlTemplates
from daemon.template_rows import Condition, TemplateRow, content_of
from domain.errors import Conflict, RuleViolation
from domain.template import read_template
from tests.conftest import AnyDatabase, Opener
from tests.templates import IN_BED, NAME, Row, states

HASH = "a" * 64
ROW = TemplateRow(
    name=NAME,
    version=1,
    description="Is it so?",
    is_active=1,
    poll_until_end=0,
    past_names='["IN_BED"]',
    future_names='["OUT_OF_BED", "IN_BED"]',
    past_interval_s=-1,
    future_interval_s=1800,
    on_timeout="FAIL",
    content_hash=HASH,
    conditions=(
        Condition("FUTURE", "FAIL", "exists('OUT_OF_BED')"),
        Condition("FUTURE", "PASS", "new_count('IN_BED') >= 1"),
        Condition("PAST", "PASS", "exists('IN_BED')"),
    ),
)
TABLES = ("status_check_description", "status_check_template", "status_check_template_detail")


@pytest.fixture
def store(database: AnyDatabase) -> SqlTemplates:
    return store_of(database)


def store_of(database: AnyDatabase) -> SqlTemplates:
    return SqlTemplates(database, Ids(database))


async def add(store: SqlTemplates, row: TemplateRow) -> None:
    standing = await store.standing(str(row.name), int(row.version or 0))
    await store.add(row, standing, describes=True)


async def counts(database: AnyDatabase) -> list[int]:
    found = [await database.fetch(f"SELECT COUNT(*) FROM {table}") for table in TABLES]  # noqa: S608  names of ours
    return [int(rows[0][0] or 0) for rows in found]


async def test_a_version_is_read_back_as_it_was_written(store: SqlTemplates, database: AnyDatabase) -> None:
    """Each column, and the conditions in a fixed order; other versions and names are not there."""
    await add(store, ROW)
    assert await store.version(NAME, 1) == ROW
    assert await store.active_versions(NAME) == [1]
    assert await counts(database) == [1, 1, 3]
    assert await store.names() == [NAME]
    assert await store.version(NAME, 2) is None
    assert await store.version("OTHER", 1) is None


async def test_a_row_of_the_original_columns_is_enough(store: SqlTemplates, database: AnyDatabase) -> None:
    """What we added may be missing: then there are no intervals, and silence has no answer."""
    row = Row(1)
    del row.header["version"], row.header["is_active"], row.header["poll_until_end"]
    await row.write(database)
    found = await store.version(NAME, 1)
    assert found is not None
    content, problems = content_of(found)
    template = read_template(content)
    assert problems == []
    assert (template.version, template.is_active, template.poll_until_end) == (1, True, False)
    assert (template.past_interval_s, template.future_interval_s, template.on_timeout) == (0, 0, None)
    assert template.event_names == ("IN_BED",)


async def test_names_are_compared_byte_by_byte(store: SqlTemplates) -> None:
    """Neither case nor a space at the end is overlooked, on either engine."""
    await add(store, ROW)
    for name in (NAME.lower(), f"{NAME} ", f" {NAME}", f"{NAME}\0"):
        assert await store.version(name, 1) is None
        assert await store.active_versions(name) == []


async def test_a_newer_version_ends_the_older_ones_in_one_transaction(
    store: SqlTemplates, database: AnyDatabase
) -> None:
    """The description is the newest one's, and ids stay."""
    await add(store, ROW)
    ids = await database.fetch("SELECT id FROM status_check_template ORDER BY version")
    await add(store, replace(ROW, version=3, description="Is it still so?"))
    assert await states(database) == {1: 0, 3: 1}
    assert (await database.fetch("SELECT id FROM status_check_template ORDER BY version"))[:1] == ids
    assert (await store.standing(NAME, 1)).description == "Is it still so?"
    assert await counts(database) == [1, 2, 6]


async def test_an_inactive_version_ends_nothing(store: SqlTemplates, database: AnyDatabase) -> None:
    """It is only there to be read."""
    await add(store, ROW)
    await add(store, replace(ROW, version=2, is_active=0))
    assert await states(database) == {1: 1, 2: 0}


async def test_whoever_looked_before_a_newer_version_came_writes_nothing(
    store: SqlTemplates, database: AnyDatabase
) -> None:
    """A Conflict, no row of it, and the newer one untouched."""
    await add(store, ROW)
    before = await store.standing(NAME, 2)
    await add(store, replace(ROW, version=3))
    with pytest.raises(Conflict):
        await store.add(replace(ROW, version=2, description="old"), before, describes=True)
    with pytest.raises(Conflict):
        await store.change(ROW, replace(before, newer=0), describes=True)
    assert await states(database) == {1: 0, 3: 1}
    assert await counts(database) == [1, 2, 6]
    assert (await store.standing(NAME, 3)).description == ROW.description


async def test_a_version_is_added_once_by_many_who_try_at_once(open_database: Opener) -> None:
    """Eight connections, the same version, nobody there before: one is through, the others meet a Conflict."""
    stores = [store_of(await open_database()) for _ in range(8)]
    database = await open_database()
    await migrate(database)
    results = await asyncio.gather(*(add(store, ROW) for store in stores), return_exceptions=True)
    assert sum(result is None for result in results) == 1
    assert {type(result) for result in results} <= {type(None), Conflict}
    assert await counts(database) == [1, 1, 3]


async def test_of_many_versions_added_at_once_only_the_newest_stays_active(open_database: Opener) -> None:
    """Whatever the order in which the replicas come through, each trying again until it is."""
    database = await open_database()
    await migrate(database)
    versions = list(range(1, 9))
    random.Random(5).shuffle(versions)

    async def replica(version: int) -> None:
        store = store_of(await open_database())
        for _ in range(50):
            standing = await store.standing(NAME, version)
            row = replace(ROW, version=version, is_active=int(not standing.newer))
            try:
                await store.add(row, standing, describes=not standing.newer)
            except Conflict:
                continue
            return
        raise AssertionError(f"version {version} never came through")

    await asyncio.gather(*(replica(version) for version in versions))
    assert await states(database) == {**dict.fromkeys(range(1, 8), 0), 8: 1}
    assert await counts(database) == [1, 8, 24]


async def test_a_state_is_changed_without_touching_what_decides(store: SqlTemplates, database: AnyDatabase) -> None:
    """Off and on again; a text that does not count is left."""
    await add(store, ROW)
    await store.change(replace(ROW, is_active=0), await store.standing(NAME, 1), describes=True)
    assert await states(database) == {1: 0}
    changed = replace(ROW, description="Other.", conditions=(), past_names=None)
    await store.change(changed, await store.standing(NAME, 1), describes=False)
    assert await store.version(NAME, 1) == ROW


async def test_ids_that_hands_have_taken_are_passed_over(store: SqlTemplates, database: AnyDatabase) -> None:
    """The first free one is used, and the rows of others stay as they are."""
    for number in range(1, 61):
        await Row(number, number, "HAND", description_id=1).write(database, is_first=number == 1)
    await add(store, ROW)
    rows = await database.fetch(
        "SELECT t.id, d.id FROM status_check_template t JOIN status_check_description d "
        "ON d.id = t.template_description_id WHERE d.name = ?",
        (NAME,),
    )
    assert rows == [(61, 2)]
    assert await store.version(NAME, 1) == ROW
    assert len(await states(database, "HAND")) == 60


async def test_thousands_of_versions_and_conditions_are_read_in_part(
    store: SqlTemplates, database: AnyDatabase
) -> None:
    """The newest twenty versions, and one condition more than there can be."""
    await Row(1).write(database)
    sql = "INSERT INTO status_check_template (id, template_description_id, version) VALUES (?, 900001, ?)"
    await database.apply([Write(sql, (number, number)) for number in range(2, 3002)])
    details = [("PAST", "exists('IN_BED')", f"X{number}") for number in range(3000)]
    insert = (
        "INSERT INTO status_check_template_detail (template_id, phase, raw_expression, output) VALUES (3001, ?, ?, ?)"
    )
    await database.apply([Write(insert, detail) for detail in details])
    assert await store.active_versions(NAME) == list(range(3001, 2981, -1))
    assert await store.versions_above(NAME, 2990) == list(range(3001, 2990, -1))
    found = await store.version(NAME, 3001)
    assert found is not None
    assert len(found.conditions) == 7


@pytest.fixture
async def lenient(tmp_path: Path) -> AsyncIterator[AnyDatabase]:
    """SQLite holds whatever it is given; MariaDB itself refuses text that is too long, or no text."""
    database = await SqliteDatabase.open(tmp_path / "lenient.db")
    await migrate(database)
    yield database
    await database.close()


async def test_text_of_any_size_is_cut_just_above_its_limit(lenient: AnyDatabase) -> None:
    """What comes out is short, and too long to be taken for whole."""
    huge = "x" * 5_000_000
    row = Row(1)
    row.description["description"] = huge
    row.details = [("PAST", huge, "PASS"), (huge, IN_BED, huge)]
    await row.write(lenient, past_event_dependencies=huge, on_timeout=huge, content_hash=huge)
    found = await store_of(lenient).version(NAME, 1)
    assert found is not None
    assert len(repr(found)) < 6_000
    assert len(str(found.past_names)) == 513


async def test_bytes_that_are_no_text_are_the_rows_own_fault(lenient: AnyDatabase) -> None:
    """Reading them is no crash."""
    await Row(1).write(lenient)
    await lenient.apply([Write("UPDATE status_check_template SET past_event_dependencies = CAST(x'ff' AS TEXT)")])
    with pytest.raises(RuleViolation, match="can't be read") as raised:
        await store_of(lenient).version(NAME, 1)
    assert raised.value.kind == "bad-template"
