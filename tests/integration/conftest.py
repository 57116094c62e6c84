"""Fixtures that several files of this folder ask for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.sending import Opens, Place, opens_at
from tests.mariadb import MariaDb


@pytest.fixture(params=["sqlite", "mariadb"])
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
def media_folder(tmp_path: Path) -> Path:
    """An empty folder for the files of campaigns."""
    folder = tmp_path / "media"
    folder.mkdir()
    return folder


@pytest.fixture
def opens(database_place: Place, media_folder: Path) -> Opens:
    """Opens a world with a list of `contacts` people and a campaign for them, due at once."""
    return opens_at(database_place, media_folder)
