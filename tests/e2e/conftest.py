"""Places for databases, on each engine."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.store.mysql import MysqlAddress
from tests.mariadb import MariaDb

Places = Callable[[], Path | MysqlAddress]


@pytest.fixture(params=["sqlite", "mariadb"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Places]:
    """Where worlds of one engine may keep their databases, another one at each call."""
    if request.param == "sqlite":
        files = (tmp_path / f"robotd-{number}.db" for number in range(100))
        yield lambda: next(files)
        return
    server: MariaDb = request.getfixturevalue("mariadb")
    given: list[MysqlAddress] = []

    def new_database() -> MysqlAddress:
        given.append(server.new_database())
        return given[-1]

    yield new_database
    for address in given:
        server.drop(address)


@pytest.fixture
def place(places: Places) -> Path | MysqlAddress:
    """One place."""
    return places()
