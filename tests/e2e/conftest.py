"""A place for a database, on each engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.store.mysql import MysqlAddress
from tests.mariadb import MariaDb


@pytest.fixture(params=["sqlite", "mariadb"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | MysqlAddress]:
    """Where a world of one engine may keep its database."""
    if request.param == "sqlite":
        yield tmp_path / "robotd.db"
        return
    server: MariaDb = request.getfixturevalue("mariadb")
    address = server.new_database()
    yield address
    server.drop(address)
