"""Fixtures that several files of this folder ask for.

What campaigns promise is proven on both engines by `make prove`. In every run each of these tests takes one of them,
half of them the one and half the other; those of the ledger itself (`test_campaigns.py`) and of kills always take both.
"""

import os
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from daemon.store.mysql import MysqlAddress
from handlers import server_steps
from tests.integration.matrix_world import OpensMatrix, matrix_world
from tests.integration.sending import Opens, Place, opens_at
from tests.mariadb import MariaDb

ENGINES = ("sqlite", "mariadb")
TAKE_TURNS = frozenset(
    f"test_{name}"
    for name in (
        "bugs_of_the_original",
        "bugs_of_the_original_sends",
        "bugs_of_the_tester",
        "campaign_media",
        "campaign_promises",
        "campaign_rules",
        "campaign_words",
        "contacts_to_campaign",
        "server_cycles",
        "server_matrix_mail",
        "server_matrix_mailwizz",
        "server_matrix_smtp",
        "server_tests",
    )
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take one engine for each test of those files: by its name, so that it is always the same."""
    if os.environ.get("ROBOTD_PROOF") == "full" or os.environ.get("ROBOTD_TEST_WITHOUT_MARIADB"):
        return
    left_out = [item for item in items if not _has_its_turn(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if _has_its_turn(item)]


def _has_its_turn(item: pytest.Item) -> bool:
    engine = next((name for name in ENGINES if name in item.name), None)
    if engine is None or item.path.stem not in TAKE_TURNS:
        return True
    return ENGINES[zlib.crc32(item.name.replace(engine, "").encode()) % 2] == engine


@pytest.fixture(params=ENGINES)
def database_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Where a fresh database is, once on each engine."""
    if request.param == "sqlite":
        yield tmp_path / "robotd.db"
        return
    server: MariaDb = request.getfixturevalue("mariadb")
    address = server.new_database()
    yield address
    server.drop(address)


@pytest.fixture
def mailwizz_place(mariadb: MariaDb) -> Iterator[MysqlAddress]:
    """Where MailWizz's tables are: MariaDB, whatever robotd's own engine is."""
    address = mariadb.new_database()
    yield address
    mariadb.drop(address)


@pytest.fixture
def matrix(database_place: Place, mailwizz_place: MysqlAddress, tmp_path: Path) -> OpensMatrix:
    """Opens a world of real parts for tests of delivery servers."""
    return partial(matrix_world, database_place, mailwizz_place, tmp_path)


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail that is late is looked for as often as ever, but for less of the tests' time at each look."""
    monkeypatch.setattr(server_steps, "_LOOK_S", 0.05)


@pytest.fixture
def media_folder(tmp_path: Path) -> Path:
    """An empty folder for the files of campaigns."""
    folder = tmp_path / "media"
    folder.mkdir()
    return folder


@pytest.fixture
def opens(database_place: Place, media_folder: Path) -> Opens:
    """Opens a world with a list of `contacts` people and a campaign for them, due at once."""
    return opens_at(database_place, media_folder)
