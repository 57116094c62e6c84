"""Fixtures for every test folder: a private MariaDB and mail host, and a fresh database on each engine."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import pytest

from daemon.outbox import Addressing, OutboxRow
from daemon.probe import Probe, unobserved
from daemon.store.migrate import migrate
from daemon.store.mysql import MysqlDatabase
from daemon.store.sqlite import SqliteDatabase
from domain.messages import Result
from tests.contracts import problems_of_result
from tests.mail_host import OPT_OUT as MAIL_OPT_OUT
from tests.mail_host import MailHost
from tests.mail_host import mail_host as running_mail_host
from tests.mariadb import OPT_OUT, MariaDb

AnyDatabase = SqliteDatabase | MysqlDatabase
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job: children would not hear Ctrl-C either
    signal.signal(signal.SIGINT, signal.default_int_handler)


MOST_KEPT_RESULTS = 2_000


class Opener(Protocol):
    async def __call__(self, probe: Probe = unobserved) -> AnyDatabase: ...


@pytest.fixture(autouse=True)
def _results_keep_their_contract(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hold every result that is made for a queue, in whatever test, to models and schemas of docs/contracts.

    Afterwards, because tests measure time; what would not fit into memory is looked at on the way.
    """
    bodies: list[str] = []
    problems: list[str] = []
    make_row = Addressing.row

    def look() -> None:
        problems.extend(problem for body in bodies for problem in problems_of_result(body))
        bodies.clear()

    def row(self: Addressing, row_id: str, result: Result, now_ms: int) -> OutboxRow:
        made = make_row(self, row_id, result, now_ms)
        bodies.append(made.body)
        if len(bodies) == MOST_KEPT_RESULTS:
            look()
        return made

    monkeypatch.setattr(Addressing, "row", row)
    yield
    look()
    assert problems == []


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """One server for the whole session; each test makes databases of its own in it."""
    if os.environ.get(OPT_OUT) == "1":
        pytest.skip(f"{OPT_OUT}=1")
    server = MariaDb()
    try:
        server.create()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def mail_host() -> Iterator[MailHost]:
    """One Postfix and Dovecot for the whole session; each test's mails carry a token of its own."""
    if os.environ.get(MAIL_OPT_OUT) == "1":
        pytest.skip(f"{MAIL_OPT_OUT}=1")
    with running_mail_host() as host:
        yield host


@pytest.fixture(params=["sqlite", "mariadb"])
async def open_database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opener]:
    """Open one fresh place as often as wanted, say with a probe; once on each engine."""
    server: MariaDb | None = request.getfixturevalue("mariadb") if request.param == "mariadb" else None
    address = server.new_database() if server is not None else None

    async with AsyncExitStack() as opened:

        async def open_one(probe: Probe = unobserved) -> AnyDatabase:
            database: AnyDatabase = (
                await SqliteDatabase.open(tmp_path / "robotd.sqlite", probe=probe)
                if address is None
                else await MysqlDatabase.open(address, probe=probe)
            )
            opened.push_async_callback(database.close)
            return database

        yield open_one
    if server is not None and address is not None:
        server.drop(address)


@pytest.fixture
async def empty_database(open_database: Opener) -> AnyDatabase:
    """A fresh database without a table, once on each engine."""
    return await open_database()


@pytest.fixture
async def database(empty_database: AnyDatabase) -> AnyDatabase:
    """A fresh database with the daemon's schema, once on each engine."""
    await migrate(empty_database)
    return empty_database
