"""Status checks as a state machine: any order, any number of deliveries, any crash, two replicas; the judge sees all.

The gate runs a fixed set of courses. More of them, others each time: `ROBOTD_COURSES=5000 [ROBOTD_COURSES_SEED=7]`; the
seed is printed, and a failure prints its steps.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from daemon.probe import unobserved
from daemon.store.migrate import migrate
from tests.mariadb import MariaDb
from tests.proof.check_judge import Tables
from tests.proof.check_machine import Course
from tests.proof.check_processes import Place, open_place


def _profile(courses: int) -> settings:
    amount = int(os.environ.get("ROBOTD_COURSES", "0"))
    return settings(
        max_examples=amount or courses,
        stateful_step_count=40,
        derandomize=not amount,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def _play(place_of: Callable[[], Place], courses: int) -> None:
    machine = type("Course", (Course,), {"place_of": staticmethod(place_of)})
    if "ROBOTD_COURSES" in os.environ:
        number = int(os.environ.get("ROBOTD_COURSES_SEED") or int.from_bytes(os.urandom(4), "big"))
        print(f"ROBOTD_COURSES_SEED={number}")  # noqa: T201  whoever asked for more wants to be able to repeat it
        machine = seed(number)(machine)
    run_state_machine_as_test(machine, settings=_profile(courses))


@pytest.fixture
def fresh_file(tmp_path: Path) -> Callable[[], Path]:
    """A new migrated database file for each course, copied from one that was made once."""
    made = tmp_path / "made.db"
    asyncio.run(_migrated(made))

    def fresh() -> Path:
        place = tmp_path / "course.db"
        for left in tmp_path.glob("course.db*"):
            left.unlink()
        shutil.copy(made, place)
        return place

    return fresh


@pytest.fixture(autouse=True)
def silent_log() -> Iterator[None]:
    """Nobody reads a hundred thousand lines."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.configure(**before)


async def _migrated(place: Place) -> None:
    database = await open_place(place, unobserved)
    await migrate(database)
    await database.close()


def test_whatever_happens_each_check_ends_once_and_right(fresh_file: Callable[[], Path]) -> None:
    """I2, I3, I14 and I15 for status checks: any course of deliveries, crashes and losses, on SQLite."""
    _play(fresh_file, 600)


def test_whatever_happens_each_check_ends_once_and_right_on_mariadb(mariadb: MariaDb) -> None:
    """The same on a server, where two replicas really meet: fewer courses, because each statement takes longer."""
    address = mariadb.new_database()
    asyncio.run(_migrated(address))

    def fresh() -> Place:
        tables = Tables(address)
        tables.empty()
        tables.close()
        return address

    _play(fresh, 80)
    mariadb.drop(address)
