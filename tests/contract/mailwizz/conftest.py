"""MailWizz's tables on each engine, filled by hand, and what reads and writes them."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from daemon.clients.mailwizz import SqlMailWizz
from daemon.clients.mailwizz_database import MailWizzDatabase, MailWizzNames, Row, Value, Write
from daemon.probe import Probe, unobserved
from domain.delivery_server import DeliveryServer
from domain.server_ports import Consequence
from domain.server_test import Verdict
from localstack.mailwizz_tables import create_tables
from tests.conftest import AnyDatabase, Opener


@dataclass
class MailWizzWorld:
    """One MailWizz, and as many replicas of ours as are opened."""

    database: AnyDatabase
    open_database: Opener | None = None
    names: MailWizzNames = field(default_factory=MailWizzNames)

    def __post_init__(self) -> None:
        self.mailwizz = SqlMailWizz(MailWizzDatabase(self.database), self.names)

    async def another(self, probe: Probe = unobserved) -> SqlMailWizz:
        """A second replica, with connections of its own."""
        assert self.open_database is not None
        return SqlMailWizz(MailWizzDatabase(await self.open_database(probe)), self.names)

    async def fetch(self, sql: str, *args: Value) -> list[Row]:
        return await self.database.fetch(sql, args)

    async def write(self, sql: str, *args: Value) -> None:
        await self.database.apply([Write(sql, args)])

    async def ago(self, seconds: int) -> str:
        """The moment so many seconds before now, as the database spells it."""
        asks = MailWizzDatabase(self.database)
        ((moment,),) = await asks.fetch(f"SELECT {asks.before(asks.now)}", (seconds,))
        return str(moment)

    async def add_server(self, server_id: int, **columns: Value) -> DeliveryServer:
        """A server that sends, unchanged for an hour unless `columns` say otherwise."""
        given: dict[str, Value] = {
            "server_id": server_id,
            "type": "smtp",
            "hostname": f"mx{server_id}.sender.test",
            "username": "mailer",
            "password": "plain " + secrets.token_hex(4),
            "port": 587,
            "protocol": "tls",
            "from_email": f"news@sender{server_id}.test",
            "status": "active",
            "last_updated": await self.ago(3600),
            **columns,
        }
        marks = ", ".join("?" * len(given))
        into = f"INSERT INTO mw_delivery_server ({', '.join(given)}) VALUES ({marks})"  # noqa: S608  names of columns
        await self.write(into, *given.values())
        return await self.known(server_id)

    async def known(self, server_id: int) -> DeliveryServer:
        server = await self.mailwizz.server(server_id)
        assert server is not None
        return server

    async def add_line(self, server_id: int, at: str, status: str = "SUCCESSFUL") -> None:
        await self.write(
            "INSERT INTO mw_delivery_servers_tests (delivery_server_id, status, test_insert_date) VALUES (?, ?, ?)",
            server_id,
            status,
            at,
        )

    async def lines(self) -> list[Row]:
        """The history, as (server, status, error, start)."""
        return await self.fetch(
            "SELECT delivery_server_id, status, error_message, test_insert_date"
            " FROM mw_delivery_servers_tests ORDER BY mailwizz_delivery_servers_test_id"
        )

    async def statuses(self) -> dict[Value, Value]:
        rows = await self.fetch("SELECT server_id, status FROM mw_delivery_server ORDER BY server_id")
        return {row[0]: row[1] for row in rows}

    async def add_groups(self, members: dict[int, Sequence[int]]) -> None:
        for group_id, server_ids in members.items():
            await self.write("INSERT INTO mw_customer_group (group_id, name) VALUES (?, 'g')", group_id)
            for server_id in server_ids:
                into = "INSERT INTO mw_delivery_server_to_customer_group (server_id, group_id) VALUES (?, ?)"
                await self.write(into, server_id, group_id)


Failing = Callable[..., Consequence]


@pytest.fixture
def failed() -> Failing:
    """What a failed test shall do; fields can be named."""

    def consequence(loaded: DeliveryServer, started: str, **fields: object) -> Consequence:
        plain = Consequence(
            loaded, started, Verdict.FAILED, "535 no such user", deactivate=True, keep_last_active=False
        )
        return replace(plain, **fields)  # type: ignore[arg-type]  # the test names real fields

    return consequence


@pytest.fixture
async def world(empty_database: AnyDatabase, open_database: Opener) -> MailWizzWorld:
    """MailWizz with no servers."""
    await create_tables(empty_database, MailWizzNames())
    return MailWizzWorld(empty_database, open_database)
