"""The library of templates over a database, on both engines: files come in, rows are checked, answers are kept."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemon.store.database import Value, Write
from daemon.store.migrate import migrate
from daemon.template_library import TemplateLibrary
from domain.errors import RuleViolation, Unavailable
from domain.status_check import Verdict
from tests.conftest import AnyDatabase, Opener
from tests.templates import IN_BED, NAME, Clock, Counting, Row, library_of, states, sync, write_file


@pytest.fixture
def library(database: AnyDatabase) -> TemplateLibrary:
    return library_of(database, keep_s=0)


async def in_force(library: TemplateLibrary, name: str = NAME) -> int | None:
    template = await library.active(name)
    return None if template is None else template.version


async def ids(database: AnyDatabase) -> list[tuple[Value, ...]]:
    return await database.fetch("SELECT version, id FROM status_check_template ORDER BY version")


def events(logs: list[Any], event: str) -> list[str]:
    return [str(line.get("reason", line.get("version"))) for line in logs if line["event"] == event]


async def test_a_file_comes_into_the_database_and_out_of_it_as_it_was(
    library: TemplateLibrary, database: AnyDatabase, tmp_path: Path
) -> None:
    """A replica without the file gets the same template from the rows, down to the hash of what decides."""
    write_file(tmp_path / "a", expression="|\n        exists('IN_BED')  \n", on_timeout="UNKNOWN")
    await sync(library, tmp_path / "a")
    mine, theirs = await library.active(NAME), await library_of(database).active(NAME)
    assert mine is not None
    assert theirs is not None
    for template in (mine, theirs):
        assert (template.name, template.version, template.is_active) == (NAME, 1, True)
        assert (template.past_interval_s, template.future_interval_s) == (-1, 1800)
        assert (template.on_timeout, template.description) == (Verdict.UNKNOWN, "An example.")
        assert template.past is not None
        assert template.past.expressions[Verdict.PASS].text == IN_BED
        assert template.event_names == ("IN_BED", "OUT_OF_BED")
    assert mine.content_hash == theirs.content_hash


async def test_a_sync_of_what_is_there_already_writes_and_says_nothing(
    library: TemplateLibrary, database: AnyDatabase, tmp_path: Path
) -> None:
    """Neither again in the same process nor at the next start."""
    write_file(tmp_path / "a")
    await sync(library, tmp_path / "a")
    before = await ids(database)
    with capture_logs() as logs:
        await sync(library, tmp_path / "a")
        await sync(library_of(database), tmp_path / "a")
    assert logs == []
    assert await ids(database) == before


async def test_a_newer_file_takes_over_and_every_version_can_be_had(
    library: TemplateLibrary, database: AnyDatabase, tmp_path: Path
) -> None:
    """The older one is inactive from then on, keeps its id, and stays when its file is gone."""
    old = write_file(tmp_path / "a", 1)
    await sync(library, tmp_path / "a")
    first = await ids(database)
    write_file(tmp_path / "a", 2, expression="count('IN_BED') >= 2")
    await sync(library, tmp_path / "a")
    old.unlink()
    await sync(library, tmp_path / "a")
    assert await in_force(library) == 2
    assert await states(database) == {1: 0, 2: 1}
    assert (await ids(database))[:1] == first
    for version in (1, 2):
        found = await library.version(NAME, version)
        assert found is not None
        assert found.version == version
    assert [await library.version(NAME, version) for version in (3, 0, -1, 2**31, 2**70)] == [None] * 5


@pytest.mark.parametrize("one_by_one", [True, False])
async def test_the_newest_active_file_is_in_force(
    library: TemplateLibrary, database: AnyDatabase, tmp_path: Path, *, one_by_one: bool
) -> None:
    """However the files come: 1, 2 and 10 active, 11 not."""
    for version, active in ((1, True), (10, True), (2, True), (11, False)):
        write_file(tmp_path / "a", version, active=active)
        if one_by_one:
            await sync(library, tmp_path / "a")
    await sync(library, tmp_path / "a")
    assert await in_force(library) == 10
    assert await states(database) == {1: 0, 2: 0, 10: 1, 11: 0}


async def test_a_version_is_switched_off_and_on_by_its_file(
    library: TemplateLibrary, database: AnyDatabase, tmp_path: Path
) -> None:
    """Off: the version before it in the same folder is in force again. On: it is that one's turn to go."""
    write_file(tmp_path / "a", 1)
    write_file(tmp_path / "a", 2)
    for active, expected in ((True, {1: 0, 2: 1}), (False, {1: 1, 2: 0}), (True, {1: 0, 2: 1})):
        write_file(tmp_path / "a", 2, active=active)
        await sync(library, tmp_path / "a")
        assert await states(database) == expected


async def test_a_file_switched_off_without_a_successor_leaves_nothing_in_force(
    library: TemplateLibrary, database: AnyDatabase, tmp_path: Path
) -> None:
    """None, as for a name that never was."""
    write_file(tmp_path / "a", 1)
    await sync(library, tmp_path / "a")
    write_file(tmp_path / "a", 1, active=False)
    await sync(library, tmp_path / "a")
    assert await in_force(library) is None
    assert await states(database) == {1: 0}


async def test_changed_content_without_a_new_version_is_refused(
    library: TemplateLibrary, database: AnyDatabase, tmp_path: Path
) -> None:
    """The old content stays in force, said once; a new version brings the new one in and ends the problem."""
    write_file(tmp_path / "a")
    await sync(library, tmp_path / "a")
    file = write_file(tmp_path / "a", expression="count('IN_BED') >= 2")
    with capture_logs() as logs:
        for _ in range(3):
            await sync(library, tmp_path / "a")
    problem = f"{file}:1:1: version: version 1 is in the database with other content (raise the version)"
    assert events(logs, "template.refused") == [problem]
    assert library.problems == (problem,)
    template = await library.active(NAME)
    assert template is not None
    assert template.past is not None
    assert template.past.expressions[Verdict.PASS].text == IN_BED
    write_file(tmp_path / "a", 2, expression="count('IN_BED') >= 2")
    file.unlink()
    await sync(library, tmp_path / "a")
    assert await in_force(library) == 2
    assert not library.problems
    assert await states(database) == {1: 0, 2: 1}


async def test_a_description_may_change_freely(library: TemplateLibrary, database: AnyDatabase, tmp_path: Path) -> None:
    """By the newest version's file; the file of an older one changes nothing."""
    write_file(tmp_path / "a", 2)
    await sync(library, tmp_path / "a")
    write_file(tmp_path / "a", 2, description="Other words.")
    await sync(library, tmp_path / "a")
    write_file(tmp_path / "b", 1, description="Old words.")
    await sync(library_of(database), tmp_path / "b")
    template = await library.active(NAME)
    assert template is not None
    assert (template.description, template.version) == ("Other words.", 2)
    assert library.problems == ()


async def test_a_replica_with_older_files_never_rolls_back(database: AnyDatabase, tmp_path: Path) -> None:
    """It works by the newer version, keeps its own where checks run by it, and says so once."""
    new, old = library_of(database, keep_s=0), library_of(database, keep_s=0)
    write_file(tmp_path / "old", 1)
    write_file(tmp_path / "new", 2)
    await sync(old, tmp_path / "old")
    await sync(new, tmp_path / "new")
    again = library_of(database, keep_s=0)
    with capture_logs() as logs:
        for _ in range(3):
            await sync(again, tmp_path / "old")
    assert [(line["event"], line["version"], line["newer"]) for line in logs] == [("template.superseded", 1, 2)]
    assert [await in_force(library) for library in (old, new, again)] == [2, 2, 2]
    assert await states(database) == {1: 0, 2: 1}


async def test_an_older_file_that_was_never_seen_is_added_without_coming_into_force(
    library: TemplateLibrary, database: AnyDatabase, tmp_path: Path
) -> None:
    """So that its replica's checks can be explained; nothing else moves."""
    write_file(tmp_path / "new", 2)
    write_file(tmp_path / "old", 1)
    await sync(library, tmp_path / "new")
    await sync(library_of(database), tmp_path / "old")
    assert await states(database) == {1: 0, 2: 1}


async def test_many_replicas_that_start_at_once_with_the_same_files_agree(
    open_database: Opener, tmp_path: Path
) -> None:
    """Six connections, twelve templates: each is there once, and no replica complains."""
    database = await open_database()
    await migrate(database)
    names = [f"T{number}" for number in range(12)]
    for name in names:
        write_file(tmp_path / "a", 1, name)
        write_file(tmp_path / "a", 2, name, expression="count('IN_BED') >= 2")
    libraries = [library_of(await open_database()) for _ in range(6)]
    with capture_logs() as logs:
        await asyncio.gather(*(sync(library, tmp_path / "a") for library in libraries))
    assert [await states(database, name) for name in names] == [{1: 0, 2: 1}] * 12
    assert sorted(line["template"] for line in logs) == sorted(names * 2)
    rows = await database.fetch("SELECT COUNT(*) FROM status_check_template_detail")
    assert rows == [(48,)]
    for library in libraries:
        assert [await in_force(library, name) for name in names] == [2] * 12
        assert library.problems == ()


async def test_replicas_that_start_at_once_with_different_files_end_at_the_newest(
    open_database: Opener, tmp_path: Path
) -> None:
    """Versions 1 to 6, one for each replica: the newest is the only active one, whoever came through last."""
    database = await open_database()
    await migrate(database)
    for version in range(1, 7):
        write_file(tmp_path / str(version), version)
    libraries = [library_of(await open_database(), keep_s=0) for _ in range(6)]
    starts = [sync(library, tmp_path / str(number)) for number, library in enumerate(libraries, 1)]
    await asyncio.gather(*starts)
    assert await states(database) == {**dict.fromkeys(range(1, 6), 0), 6: 1}
    assert [await in_force(library) for library in libraries] == [6] * 6


async def test_a_row_written_by_hand_is_in_force_without_any_file(
    library: TemplateLibrary, database: AnyDatabase
) -> None:
    """Also one with a long description of several lines."""
    row = Row(1, 7)
    row.description["description"] = "Is the resident\r\n\tin bed? " + "word " * 190
    await row.write(database)
    template = await library.active(NAME)
    assert template is not None
    assert (template.version, template.past_interval_s, template.on_timeout) == (7, 0, None)
    assert template.description.startswith("Is the resident in bed? word word")
    assert len(template.description) <= 500
    assert await library.names() == [NAME]


BAD_HEADERS: dict[str, dict[str, Value]] = {
    "json": {"past_event_dependencies": "[IN_BED"},
    "deep json": {"past_event_dependencies": "[" * 500},
    "no list": {"past_event_dependencies": '{"IN_BED": 1}'},
    "numbers": {"past_event_dependencies": "[1, 2]"},
    "strange name": {"past_event_dependencies": '["IN_BED/../x"]'},
    "surrogate": {"past_event_dependencies": '["\\ud800"]'},
    "no names": {"past_event_dependencies": None},
    "endless": {"past_event_dependencies": "[1e999]"},
    "other future": {"future_event_dependencies": '["OUT_OF_BED"]'},
    "negative": {"past_interval_s": -2},
    "long": {"past_interval_s": 10**15},
    "backwards": {"future_interval_s": -1},
    "far": {"future_interval_s": 2**62},
    "answer": {"on_timeout": "PENDING"},
    "empty answer": {"on_timeout": ""},
    "state": {"is_active": 7},
    "poll": {"poll_until_end": -1},
    "version 0": {"version": 0},
    "version -5": {"version": -5},
    "large version": {"version": 2**31},
    "huge version": {"version": 2**62},
}
BAD_DETAILS: dict[str, list[tuple[Value, Value, Value]]] = {
    "nothing": [],
    "no expression": [("PAST", "", "PASS")],
    "code": [("PAST", "__import__('os').system('true')", "PASS")],
    "always": [("PAST", "exists", "PASS")],
    "other event": [("PAST", "exists('OUT_OF_BED')", "PASS")],
    "too long": [("PAST", "exists('IN_BED') or " * 50 + "exists('IN_BED')", "PASS")],
    "brackets": [("PAST", "(" * 1000, "PASS")],
    "odd character": [("PAST", "exists('IN_BED') \N{ZERO WIDTH SPACE}", "PASS")],
    "output": [("PAST", IN_BED, "MAYBE")],
    "lower output": [("PAST", IN_BED, "pass")],
    "phase": [("PAST", IN_BED, "PASS"), ("NOW", IN_BED, "PASS")],
    "lower phase": [("past", IN_BED, "PASS")],
    "many": [("PAST", IN_BED, f"X{number}") for number in range(200)],
    "one bad of two": [("PAST", IN_BED, "PASS"), ("PAST", "exists(", "FAIL")],
}


@pytest.mark.parametrize("case", [*BAD_HEADERS, *BAD_DETAILS])
async def test_a_hostile_row_is_said_once_and_the_older_good_one_is_taken(database: AnyDatabase, case: str) -> None:
    """A version that is asked for directly is as good as gone; alone it makes the name unusable, never a PASS."""
    await Row(1, 1).write(database)
    bad = Row(2, 5)
    bad.details = BAD_DETAILS.get(case, bad.details)
    await bad.write(database, is_first=False, **BAD_HEADERS.get(case, {}))
    below = BAD_HEADERS.get(case, {}).get("version", 5) in (0, -5)
    library = library_of(database, keep_s=0)
    with capture_logs() as logs:
        for _ in range(3):
            assert await in_force(library) == 1
    assert [line["event"] for line in logs] == ([] if below else ["template.refused"])
    assert len(library.problems) == (0 if below else 1)
    assert len("".join(library.problems)) < 500
    await database.apply([Write("DELETE FROM status_check_template WHERE id = 1")])
    with pytest.raises(RuleViolation, match="in the database: ") as raised:
        await library.active(NAME)
    assert raised.value.kind == "bad-template"
    assert await library.version(NAME, 5) is None
    await database.apply([Write("DELETE FROM status_check_template WHERE id = 2")])
    assert await in_force(library) is None
    assert library.problems == ()


@pytest.mark.parametrize(
    "name",
    ["two words", "TOILET;DROP", "é", "A" * 65, "1ST", "-", "%", "'", "\\", "ROSE\\' OR 1=1 -- ", "\N{GRINNING FACE}"],
)
async def test_a_row_with_an_odd_name_is_not_usable(library: TemplateLibrary, database: AnyDatabase, name: str) -> None:
    """It is found by its very name, and refused as a file of that name would be."""
    await Row(1, 1, name).write(database)
    with pytest.raises(RuleViolation, match="name: is not written as it must be"):
        await library.active(name)
    assert await library.version(name, 1) is None


@pytest.mark.parametrize("name", ["", "x" * 10_000, "a\nb", "\0", "\ud800", "ROSE\0", " ", "\u200b"])
async def test_a_name_that_no_row_can_have_is_unknown(library: TemplateLibrary, name: str) -> None:
    """Whatever a neighbour sends as a name, the answer is that there is none."""
    assert await library.active(name) is None
    assert await library.version(name, 1) is None


async def test_twenty_bad_versions_on_top_are_looked_through_and_not_more(
    library: TemplateLibrary, database: AnyDatabase
) -> None:
    """Below nineteen the good one is found; below thousands it is not, and nothing hangs."""
    await Row(1, 1).write(database)
    sql = "INSERT INTO status_check_template (id, template_description_id, version) VALUES (?, 900001, ?)"
    await database.apply([Write(sql, (number, number)) for number in range(2, 21)])
    assert await in_force(library) == 1
    await database.apply([Write(sql, (number, number)) for number in range(21, 2000)])
    with pytest.raises(RuleViolation) as raised:
        await library.active(NAME)
    assert len(str(raised.value)) <= 600


async def test_a_hostile_newer_row_does_not_stop_a_file(
    library: TemplateLibrary, database: AnyDatabase, tmp_path: Path
) -> None:
    """A version above all others that can't be used does not count as a newer one."""
    await Row(1, 2**31 - 1).write(database, past_event_dependencies="[")
    write_file(tmp_path / "a", 1)
    await sync(library, tmp_path / "a")
    assert await in_force(library) == 1
    write_file(tmp_path / "a", 2)
    await sync(library, tmp_path / "a")
    assert await in_force(library) == 2
    assert await states(database) == {1: 0, 2: 1, 2**31 - 1: 1}


async def test_a_bad_row_of_a_files_own_version_refuses_the_file(
    library: TemplateLibrary, database: AnyDatabase, tmp_path: Path
) -> None:
    """The others come in, and a higher version heals it."""
    await Row(1, 3).write(database, past_event_dependencies="[")
    write_file(tmp_path / "a", 3)
    write_file(tmp_path / "a", 1, "OTHER")
    await sync(library, tmp_path / "a")
    assert await in_force(library, "OTHER") == 1
    assert "raise the version" in library.problems[0]
    with pytest.raises(RuleViolation):
        await library.active(NAME)
    write_file(tmp_path / "a", 4)
    await sync(library, tmp_path / "a")
    assert await in_force(library) == 4


async def test_a_row_changed_by_hand_is_followed_and_said(
    library: TemplateLibrary, database: AnyDatabase, tmp_path: Path
) -> None:
    """The row is the truth: its file is refused, and the log tells of it once."""
    write_file(tmp_path / "a")
    await sync(library, tmp_path / "a")
    sql = "UPDATE status_check_template_detail SET raw_expression = ? WHERE phase = 'PAST'"
    await database.apply([Write(sql, ("count('IN_BED') >= 3",), rows=1)])
    with capture_logs() as logs:
        for _ in range(3):
            template = await library.active(NAME)
    assert template is not None
    assert template.past is not None
    assert template.past.expressions[Verdict.PASS].text == "count('IN_BED') >= 3"
    assert [line["event"] for line in logs] == ["template.changed"]
    await sync(library, tmp_path / "a")
    assert any("raise the version" in problem for problem in library.problems)


async def test_a_file_that_says_the_same_as_a_row_by_hand_adopts_it(
    library: TemplateLibrary, database: AnyDatabase, tmp_path: Path
) -> None:
    """No problem, no second row; the row gets the hash of its content."""
    row = Row(5)
    row.header |= {"future_event_dependencies": '[ "OUT_OF_BED" ]', "past_interval_s": -1, "future_interval_s": 1800}
    row.header["on_timeout"] = "FAIL"
    row.details = [("PAST", IN_BED, "PASS"), ("FUTURE", " exists('OUT_OF_BED')", "PASS")]
    await row.write(database)
    write_file(tmp_path / "a", expression=IN_BED)
    await sync(library, tmp_path / "a")
    rows = await database.fetch("SELECT id, content_hash FROM status_check_template")
    template = await library.active(NAME)
    assert template is not None
    assert rows == [(5, template.content_hash)]
    assert (library.problems, template.description) == ((), "An example.")


async def test_an_answer_counts_for_its_time_and_then_the_database_is_asked(
    database: AnyDatabase, tmp_path: Path
) -> None:
    """Another replica's version is seen after `cache_s` at the latest; until then nothing is asked."""
    clock, store = Clock(), Counting(database)
    mine = TemplateLibrary(store, size=8, keep_s=30, now_s=clock)  # type: ignore[arg-type]
    write_file(tmp_path / "a", 1)
    write_file(tmp_path / "b", 2)
    await sync(mine, tmp_path / "a")
    assert await in_force(mine) == 1
    store.asked.clear()
    await sync(library_of(database), tmp_path / "b")
    clock.now_s = 29.9
    assert await in_force(mine) == 1
    assert store.asked == []
    clock.now_s = 30
    assert await in_force(mine) == 2
    assert store.asked == ["active_versions", "version"]


async def test_a_new_template_is_found_although_its_name_was_unknown(database: AnyDatabase, tmp_path: Path) -> None:
    """After `cache_s` for another replica's, at once for one's own."""
    clock = Clock()
    mine, other = library_of(database, clock=clock), library_of(database)
    assert await in_force(mine) is None
    write_file(tmp_path / "a", 1)
    await sync(other, tmp_path / "a")
    assert await in_force(mine) is None
    clock.now_s = 30
    assert await in_force(mine) == 1
    assert await in_force(mine, "LILY") is None
    write_file(tmp_path / "b", 1, "LILY")
    await sync(mine, tmp_path / "b")
    assert await in_force(mine, "LILY") == 1


async def test_a_flood_of_unknown_names_takes_no_room_and_pushes_nothing_out(
    database: AnyDatabase, tmp_path: Path
) -> None:
    """A thousand names: at most `cache_size` answers are kept, and the good template still needs no query."""
    store = Counting(database)
    library = TemplateLibrary(store, size=16, keep_s=30, now_s=Clock())  # type: ignore[arg-type]
    write_file(tmp_path / "a")
    await sync(library, tmp_path / "a")
    assert await in_force(library) == 1
    for number in range(1000):
        assert await library.active(f"NAME_{number}") is None
    store.asked.clear()
    assert await in_force(library) == 1
    assert store.asked == []
    assert (len(library._found), len(library._missed), len(library._reading)) == (1, 16, 0)


async def test_many_who_ask_for_one_name_at_once_make_one_read(database: AnyDatabase, tmp_path: Path) -> None:
    """A hundred of them, one of whom gives up while the others wait."""
    store = Counting(database)
    await sync(library_of(database), _with_file(tmp_path))
    library = TemplateLibrary(store, size=16, keep_s=30, now_s=Clock())  # type: ignore[arg-type]
    asking = [asyncio.create_task(library.active(NAME)) for _ in range(100)]
    await asyncio.sleep(0)
    asking[0].cancel()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert {None if isinstance(one, BaseException) or one is None else one.version for one in found[1:]} == {1}
    assert store.asked == ["active_versions", "version"]


def _with_file(folder: Path) -> Path:
    write_file(folder / "with", 1)
    return folder / "with"


async def test_a_read_that_began_before_a_sync_is_not_kept(database: AnyDatabase, tmp_path: Path) -> None:
    """Whoever asks after the sync gets the new version, although an older read ended later."""
    library = library_of(database)
    write_file(tmp_path / "a", 1)
    await sync(library, tmp_path / "a")
    gate = asyncio.Event()
    store = library._store
    library._store = _slow(store, gate)
    early = asyncio.create_task(library.active(NAME))
    await asyncio.sleep(0)
    write_file(tmp_path / "a", 2)
    await sync(library, tmp_path / "a")
    late = asyncio.create_task(library.active(NAME))
    await asyncio.sleep(0)
    gate.set()
    found = [template and template.version for template in (await early, await late)]
    assert found == [1, 2]
    assert await in_force(library) == 2


def _slow(store: Any, gate: asyncio.Event) -> Any:
    class Slow:
        async def active_versions(self, name: str) -> list[Any]:
            found: list[Any] = await store.active_versions(name)
            await gate.wait()
            return found

        def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
            found: Callable[..., Awaitable[Any]] = getattr(store, name)
            return found

    return Slow()


async def test_a_lost_database_is_told_to_all_who_wait_and_not_remembered(
    database: AnyDatabase, tmp_path: Path
) -> None:
    """Unavailable for each of them; the next question is asked anew."""
    await sync(library_of(database), _with_file(tmp_path))
    library = library_of(database)
    store = library._store
    library._store = _lost()
    answers = await asyncio.gather(*(library.active(NAME) for _ in range(5)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable] * 5
    library._store = store
    assert await in_force(library) == 1


def _lost() -> Any:
    class Lost:
        async def active_versions(self, _name: str) -> list[Any]:
            raise Unavailable("database", "gone")

    return Lost()
