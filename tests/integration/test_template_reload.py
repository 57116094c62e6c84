"""Templates change while a daemon runs: its checks keep their version, new ones take the newest, and nothing stops."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemon.app import Outside, build
from daemon.gate import Gate
from daemon.settings import Settings
from daemon.store.database import Write
from daemon.template_watch import TemplateWatch
from domain.errors import ConfigError, Unavailable
from tests.conftest import AnyDatabase
from tests.mariadb import MariaDb
from tests.templates import NAME, Row, library_of, states, text_of, write_file
from tests.world import MORNING_MS, World, create_command, world

ROBOT, STEP = 61001, 88120
QUICK = {"reload_every_s": 0.05, "cache_s": 0.05}
AT_LEAST_TWO = "count('IN_BED') >= 2"


@pytest.fixture(params=["sqlite", "mariadb"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    """A fresh database on each engine."""
    if request.param == "sqlite":
        yield tmp_path / "robotd.db"
        return
    server: MariaDb = request.getfixturevalue("mariadb")
    address = server.new_database()
    yield address
    server.drop(address)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of templates, with one in it."""
    return write_file(tmp_path / "templates").parent


@pytest.fixture
async def home(place: Any, folder: Path) -> AsyncIterator[World]:
    """A world whose daemon looks at the folder all the time."""
    async with world(place, templates={**QUICK, "folder": str(folder)}) as opened:
        yield opened


async def until(home: World, is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await is_so():
            await home._a_moment()


async def active(home: World, version: int, name: str = NAME) -> None:
    """Return when this version is the active one in the database."""

    async def is_active() -> bool:
        return (await states(home.database, name)).get(version) == 1

    await until(home, is_active)


async def ask(home: World, number: int, name: str = NAME) -> None:
    """Start a check of its own and wait until its robot has heard of it."""
    home.managers.add_step(ROBOT, STEP + number, name)
    home.sqs.send(home.settings.queues.commands, create_command(ROBOT, STEP + number, 77000 + number, MORNING_MS))
    await home.quiet()


async def checks(home: World) -> list[tuple[Any, ...]]:
    """Template version, phase and result of each check, in the order of their steps."""
    return await home.database.fetch("SELECT template_version, phase, result FROM status_check ORDER BY step_id")


async def test_a_template_that_is_only_in_the_database_decides_a_check(home: World) -> None:
    """Nobody has a file of it: a row written while the daemon runs, found by its name."""
    await Row(900_001, 3, "ONLY_ROWS").write(home.database)
    async with home.running():
        await home.megazord.post_event(ROBOT, "IN_BED")
        home.managers.add_step(ROBOT, STEP, "ONLY_ROWS", past_interval_s=3600)
        home.sqs.send(home.settings.queues.commands, create_command(ROBOT, STEP, 77000, MORNING_MS))
        await home.quiet()
    assert await checks(home) == [(3, "COMPLETED", "PASS")]
    assert [result["payload"]["result"] for result in home.results(ROBOT)] == ["PASS"]
    assert await home.leftovers() == {}


async def test_a_new_version_is_taken_up_and_checks_under_way_keep_the_old_one(home: World, folder: Path) -> None:
    """The old check ends by its own answer to silence, although its file is gone and another version is in force."""
    async with home.running():
        await ask(home, 1)
        write_file(folder, 2, on_timeout="PASS")
        (folder / "rose-1.yaml").unlink()
        await active(home, 2)
        await ask(home, 2)
        assert await checks(home) == [(1, "FUTURE", "PENDING"), (2, "FUTURE", "PENDING")]
        await home.pass_time(MORNING_MS + 3_600_000)
    assert await checks(home) == [(1, "COMPLETED", "FAIL"), (2, "COMPLETED", "PASS")]
    assert await states(home.database) == {1: 0, 2: 1}
    assert await home.leftovers() == {}


async def test_a_check_keeps_its_version_over_a_restart_without_its_file(home: World, folder: Path) -> None:
    """A new process that has only the new file ends the old check by the rows; and so does one without any file."""
    async with home.running():
        await ask(home, 1)
    (folder / "rose-1.yaml").unlink()
    write_file(folder, 2, on_timeout="PASS")
    async with home.running():
        await ask(home, 2)
    (folder / "rose-2.yaml").unlink()
    async with home.running():
        await ask(home, 3)
        await home.pass_time(MORNING_MS + 3_600_000)
    assert await checks(home) == [(1, "COMPLETED", "FAIL"), (2, "COMPLETED", "PASS"), (2, "COMPLETED", "PASS")]
    assert await home.leftovers() == {}


async def test_a_bad_file_keeps_the_old_template_in_force_and_heals(home: World, folder: Path) -> None:
    """One line in the log with file, line and column, however often it is looked at; then the good one counts."""
    file = folder / "rose-1.yaml"
    with capture_logs() as logs:
        async with home.running():
            file.write_text(text_of(2, expression="exists('IN_BEDD')"))
            write_file(folder, 1, "MARKER")
            await active(home, 1, "MARKER")
            write_file(folder, 2, "MARKER", expression=AT_LEAST_TWO)
            await active(home, 2, "MARKER")
            await ask(home, 1)
            file.write_text(text_of(2))
            await active(home, 2)
            await ask(home, 2)
    refused = [line["reason"] for line in logs if line["event"] == "template.refused"]
    assert [reason.partition(": ")[0] for reason in refused] == [f"{file}:10:20"]
    assert [row[0] for row in await checks(home)] == [1, 2]


async def test_two_replicas_with_different_files_work_by_the_newer_version(
    home: World, folder: Path, tmp_path: Path
) -> None:
    """The old one goes on with what the new one brought, keeps its running checks, and rolls nothing back."""
    newer = write_file(tmp_path / "newer", 2, on_timeout="PASS").parent
    async with home.running():
        await ask(home, 1)
        async with _replica(home, newer):
            await active(home, 2)
        write_file(folder, 1, "MARKER")  # the old replica looks at its files again
        await active(home, 1, "MARKER")
        await ask(home, 2)
        assert [row[0] for row in await checks(home)] == [1, 2]
        await home.pass_time(MORNING_MS + 3_600_000)
    assert await checks(home) == [(1, "COMPLETED", "FAIL"), (2, "COMPLETED", "PASS")]
    assert await states(home.database) == {1: 0, 2: 1}


@asynccontextmanager
async def _replica(home: World, folder: Path) -> AsyncIterator[None]:
    templates = home.settings.templates.model_copy(update={"folder": folder})
    settings: Settings = home.settings.model_copy(update={"templates": templates})
    async with AsyncExitStack() as stack:
        daemon = await stack.enter_async_context(build(settings, Outside(home.clock)))
        run = asyncio.create_task(daemon.run())
        yield
        daemon.stop()
        await run


async def test_a_template_without_a_usable_row_is_a_reason_and_never_a_pass(home: World) -> None:
    """The robot hears `bad-template`; when a good row is there, the next check goes by it."""
    await Row(900_001, 3, "ONLY_ROWS").write(home.database, past_event_dependencies="[")
    async with home.running():
        await ask(home, 1, "ONLY_ROWS")
        (told,) = home.results(ROBOT)
        assert (told["type"], told["payload"]["kind"]) == ("error", "bad-template")
        assert "past_event_dependencies" in told["payload"]["error"]
        good = Row(900_002, 4, "ONLY_ROWS")
        await good.write(home.database, is_first=False)

        numbers = itertools.count(2)

        async def has_begun() -> bool:
            await ask(home, next(numbers), "ONLY_ROWS")
            return len(await checks(home)) == 1

        await until(home, has_begun)
    assert [row[0] for row in await checks(home)] == [4]


async def test_a_start_needs_a_template_somewhere(home: World, folder: Path) -> None:
    """Files or rows will do; with neither the configuration is not usable."""
    (folder / "rose-1.yaml").write_text("name: [")
    async with home.running():
        await ask(home, 1)
    assert [row[0] for row in await checks(home)] == [1]
    await home.database.apply([Write("UPDATE status_check_template SET is_active = 0")])
    with pytest.raises(ConfigError, match="and none in the database"):
        async with build(home.settings, Outside(home.clock)):
            pass


async def test_a_file_that_is_being_written_is_left_alone_until_it_is_whole(
    database: AnyDatabase, tmp_path: Path
) -> None:
    """It grows between two looks, and some of its beginnings are templates by themselves: none gets in."""
    folder, library = write_file(tmp_path / "a", 1).parent, library_of(database, keep_s=0)
    watch = TemplateWatch(folder, library, Gate(), every_s=0)
    await watch.begin()
    text = text_of(2, expression=AT_LEAST_TWO).encode()
    with capture_logs() as logs:
        for end in range(0, len(text), 10):
            (folder / "rose-2.yaml").write_bytes(text[:end])
            assert await watch.look() == []
        (folder / "rose-2.yaml").write_bytes(text)
        assert await watch.look() == []
        assert [read.ok for read in await watch.look()] == [True, True]
        assert await watch.look() == []
    assert [(line["event"], line["version"]) for line in logs] == [("template.loaded", 2)]
    template = await library.active(NAME)
    assert template is not None
    assert (template.version, template.event_names) == (2, ("IN_BED", "OUT_OF_BED"))


async def test_a_file_left_half_written_is_one_problem_and_heals(database: AnyDatabase, tmp_path: Path) -> None:
    """The writer pauses in the middle of a line; the other file keeps its template in force."""
    folder, library = write_file(tmp_path / "a", 1).parent, library_of(database, keep_s=0)
    watch = TemplateWatch(folder, library, Gate(), every_s=0)
    await watch.begin()
    text = text_of(2, expression=AT_LEAST_TWO)
    with capture_logs() as logs:
        (folder / "rose-2.yaml").write_text(text[: text.index("resources")])
        for _ in range(4):
            await watch.look()
        assert len(library.problems) == 1
        assert await states(database) == {1: 1}
        (folder / "rose-2.yaml").write_text(text)
        for _ in range(3):
            await watch.look()
    assert [line["event"] for line in logs] == ["template.refused", "template.loaded"]
    assert not library.problems
    assert await states(database) == {1: 0, 2: 1}


async def test_a_folder_in_which_nothing_changed_is_not_read(database: AnyDatabase, tmp_path: Path) -> None:
    """Not even for a new neighbour that is no template; a time, a name or a permission is a change."""
    file = write_file(tmp_path / "a", 1)
    watch = TemplateWatch(file.parent, library_of(database), Gate(), every_s=0)
    await watch.begin()
    (file.parent / "notes.txt").write_text("no template")
    assert await _reads(watch) == []
    os.utime(file, (1_000_000_000, 1_000_000_000))
    assert await _reads(watch) == ["rose-1.yaml"]
    file.chmod(0o600)
    assert await _reads(watch) == ["rose-1.yaml"]
    file.rename(file.with_name("other.yaml"))
    assert await _reads(watch) == ["other.yaml"]


async def _reads(watch: TemplateWatch) -> list[str]:
    """What three looks have read."""
    return [read.path.name for _ in range(3) for read in await watch.look()]


async def test_a_file_that_never_rests_holds_up_no_other(database: AnyDatabase, tmp_path: Path) -> None:
    """The others are taken meanwhile, and its last state stays in force."""
    folder, library = write_file(tmp_path / "a", 1).parent, library_of(database, keep_s=0)
    watch = TemplateWatch(folder, library, Gate(), every_s=0)
    await watch.begin()
    for number in range(6):
        (folder / "rose-1.yaml").write_text(text_of(1) + "# again\n" * number)
        if number == 2:
            write_file(folder, 1, "OTHER")
        await watch.look()
    assert await states(database, "OTHER") == {1: 1}
    assert await states(database) == {1: 1}


async def test_a_bad_file_that_is_removed_is_no_problem_any_more(database: AnyDatabase, tmp_path: Path) -> None:
    """Also the last one of its folder, which is a problem of its own then."""
    folder, library = write_file(tmp_path / "a", 1).parent, library_of(database, keep_s=0)
    (folder / "bad.yaml").write_text("name: [")
    watch = TemplateWatch(folder, library, Gate(), every_s=0)
    await watch.begin()
    assert len(library.problems) == 1
    (folder / "bad.yaml").unlink()
    await watch.look()
    assert not library.problems
    (folder / "rose-1.yaml").unlink()
    await _reads(watch)
    assert ["holds no templates" in problem for problem in library.problems] == [True]
    assert await library.active(NAME) is not None


async def test_a_folder_within_the_folder_is_a_problem_and_not_looked_into(
    database: AnyDatabase, tmp_path: Path
) -> None:
    """Even where its name ends like a file's, and a template lies in it."""
    folder, library = write_file(tmp_path / "a", 1).parent, library_of(database, keep_s=0)
    write_file(folder / "deep.yaml", 1, "DEEP")
    await TemplateWatch(folder, library, Gate(), every_s=0).begin()
    assert library.problems == (f"{folder / 'deep.yaml'}:1:1: can't be read: Is a directory",)
    assert await library.names() == [NAME]


async def test_a_folder_that_is_gone_changes_nothing(database: AnyDatabase, tmp_path: Path) -> None:
    """One problem; when it is back, its files are read."""
    folder, library = write_file(tmp_path / "a", 1).parent, library_of(database, keep_s=0)
    watch = TemplateWatch(folder, library, Gate(), every_s=0)
    await watch.begin()
    folder.rename(tmp_path / "b")
    with capture_logs() as logs:
        await _reads(watch)
        await _reads(watch)
    assert [line["event"] for line in logs] == ["template.refused"]
    assert await library.active(NAME) is not None
    (tmp_path / "b").rename(folder)
    write_file(folder, 2)
    assert await _reads(watch) == ["rose-1.yaml", "rose-2.yaml"]
    assert await states(database) == {1: 0, 2: 1}
    assert not library.problems


async def test_a_database_lost_during_a_look_is_told_to_the_gate_and_tried_again(
    database: AnyDatabase, tmp_path: Path
) -> None:
    """The look after its return brings in what the lost one could not; the problem of a file is said once in all."""
    folder = write_file(tmp_path / "a", 1).parent
    (folder / "bad.yaml").write_text("name: [")
    library, gate = library_of(database, keep_s=0), Gate()
    store = library._sync._store
    library._sync._store = _lost()
    watch = TemplateWatch(folder, library, gate, every_s=0.01)
    with capture_logs() as logs:
        run = asyncio.create_task(watch.run())
        async with asyncio.timeout(10):
            while "database" not in gate.missing:
                await states(database)
            library._sync._store = store
            gate.restored("database")
            while logs[-1]["event"] != "template.loaded":
                await states(database)
        run.cancel()
        await asyncio.wait([run])
    assert [line["event"] for line in logs] == [
        "template.refused",
        "dependency.lost",
        "dependency.restored",
        "template.loaded",
    ]
    assert await states(database) == {1: 1}


def _lost() -> Any:
    class Lost:
        async def standing(self, _name: str, _version: int) -> None:
            raise Unavailable("database", "gone")

    return Lost()
