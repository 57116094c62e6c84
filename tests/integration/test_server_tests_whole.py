"""A whole daemon with real parts: MailWizz's tables in a database, Postfix as delivery server, Dovecot as mailbox."""

import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from daemon.clients.mailwizz_database import MailWizzNames
from daemon.opening import open_database
from daemon.settings import Settings
from daemon.store.database import Database, Value, Write
from daemon.store.mysql import MysqlAddress
from localstack.clock import ManualClock
from localstack.mailwizz import Bounce, MailWizzSimulator
from localstack.mailwizz_tables import MAILBOX, PROCEDURE, create_tables
from tests.conftest import AnyDatabase
from tests.integration.server_world import SECOND_MS, ServerWorld
from tests.mail_host import MailHost
from tests.mail_host_files import DOMAIN
from tests.mariadb import MariaDb
from tests.memory_servers import MemoryServers
from tests.world import MORNING_MS, world

Place = Path | MysqlAddress
Own = Mapping[str, object]


@pytest.fixture
def mailwizz_place(request: pytest.FixtureRequest, database_place: Place, tmp_path: Path) -> Iterator[Place]:
    """A second database on the same engine, for MailWizz."""
    if isinstance(database_place, Path):
        yield tmp_path / "mailwizz.db"
        return
    server: MariaDb = request.getfixturevalue("mariadb")
    address = server.new_database()
    yield address
    server.drop(address)


def url_of(place: Place) -> dict[str, object]:
    if isinstance(place, Path):
        return {"database_url": f"sqlite:///{place}"}
    url = f"mysql://{place.user}@localhost/{place.database}?unix_socket={place.unix_socket}"
    return {"database_url": url, "database_password": place.password or None}


@asynccontextmanager
async def mailwizz_at(place: Place) -> AsyncIterator[AnyDatabase]:
    """MailWizz's tables, as somebody else opens them."""
    own = url_of(place)
    theirs = {"url": own["database_url"], "password": own.get("database_password")}
    async with open_database(Settings.model_validate({"database": theirs})) as database:
        await create_tables(database, MailWizzNames())
        yield database


@asynccontextmanager
async def whole(
    place: Place, mailwizz: Place, host: MailHost, own: Own | None = None, mail: Own | None = None
) -> AsyncIterator[ServerWorld]:
    """A world with real parts, and no daemon yet. `own`: settings of the tests; `mail`: of the mails."""
    clock = ManualClock(MORNING_MS)
    letters = {
        "probe_address": f"probe@{DOMAIN}",
        "allowed_recipients": f"@{DOMAIN}",
        "imap_host": "127.0.0.1",
        "imap_port": host.ports.imap,
        "imap_tls": "none",
        "imap_user": host.probe.name,
        "imap_password": host.probe.password,
        "helo_name": "robotd.test",
        **(mail or {}),
    }
    theirs = {**url_of(mailwizz), "procedure": PROCEDURE, "mails_table": MAILBOX}
    settings = {"every_s": 0, **(own or {})}
    async with world(place, clock=clock, server_tests=settings, mail=letters, mailwizz=theirs) as home:
        yield ServerWorld(home, MemoryServers.on(clock))


async def add(database: Database, server_id: int, host: MailHost, password: str, port: int) -> None:
    columns: dict[str, Value] = {
        "server_id": server_id,
        "type": "smtp",
        "hostname": "127.0.0.1",
        "username": host.sender.name,
        "password": password,
        "port": port,
        "protocol": "tls",
        "from_email": "news@shop.test",
        "status": "active",
        "last_updated": "2025-01-01 00:00:00",
    }
    marks = ", ".join("?" * len(columns))
    into = f"INSERT INTO mw_delivery_server ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608  names of ours
    await database.apply([Write(into, tuple(columns.values()))])


async def test_a_good_and_a_bad_server_through_all_real_parts(
    database_place: Place, mailwizz_place: Place, mail_host: MailHost
) -> None:
    """The good one is SUCCESSFUL by a mail that really arrived; the other's password is refused, and it is inactive."""
    async with (
        mailwizz_at(mailwizz_place) as mailwizz,
        whole(database_place, mailwizz_place, mail_host) as testing,
        testing.home.running(),
    ):
        await add(mailwizz, 1, mail_host, mail_host.sender.password, mail_host.ports.starttls)
        await add(mailwizz, 2, mail_host, "not the password", mail_host.ports.starttls)
        await testing.cycle()
        told = testing.last("server.cycle-tested")
        assert [told[name] for name in ("tested", "successful", "failed", "deactivated")] == [2, 1, 1, 1], told
        rows = await mailwizz.fetch("SELECT server_id, status FROM mw_delivery_server ORDER BY server_id")
        assert [tuple(row) for row in rows] == [(1, "active"), (2, "inactive")]
        lines = await mailwizz.fetch("SELECT delivery_server_id, status FROM mw_delivery_servers_tests ORDER BY 1")
        assert [tuple(line) for line in lines] == [(1, "SUCCESSFUL"), (2, "FAILED")]


async def test_a_bounce_through_all_real_parts(
    database_place: Place, mailwizz_place: Place, mail_host: MailHost
) -> None:
    """T16: accepted for an address that takes nothing, returned to the mailbox, and found there."""
    mail = {"refusing_address": f"refused@{DOMAIN}", "envelope_from": f"probe@{DOMAIN}"}
    async with (
        mailwizz_at(mailwizz_place) as mailwizz,
        whole(database_place, mailwizz_place, mail_host, mail=mail) as testing,
        testing.home.running(),
    ):
        await add(mailwizz, 1, mail_host, mail_host.sender.password, mail_host.ports.starttls)
        await testing.ask(1, checks=["T16"])
        while not testing.told():
            await testing.later(5 * SECOND_MS)
        assert (testing.last()["verdict"], testing.steps()["T16"]) == ("SUCCESSFUL", "PASS")


@pytest.mark.parametrize(
    ("control", "verdict", "status"), [("away", "ERROR", "active"), ("there", "FAILED", "inactive")]
)
async def test_a_closed_port_is_the_server_s_while_the_control_host_is_there(
    database_place: Place, mailwizz_place: Place, mail_host: MailHost, control: str, verdict: str, status: str
) -> None:
    """Refused twice and the control host answers: FAILED. With a control host that is away too nobody is judged."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = int(unused.getsockname()[1])
        port = closed if control == "away" else mail_host.ports.starttls
        mail = {"control_host": "127.0.0.1", "control_port": port}
        async with (
            mailwizz_at(mailwizz_place) as mailwizz,
            whole(database_place, mailwizz_place, mail_host, mail=mail) as testing,
        ):
            await add(mailwizz, 1, mail_host, mail_host.sender.password, closed)
            async with testing.home.running():
                await testing.ask(1)
                await testing.later(11 * 60 * SECOND_MS)
                assert testing.last()["verdict"] == verdict
            rows = await mailwizz.fetch("SELECT status FROM mw_delivery_server")
            assert [tuple(row) for row in rows] == [(status,)]


async def test_a_campaign_through_the_simulator_of_mailwizz(
    database_place: Place, mailwizz_place: Place, mail_host: MailHost
) -> None:
    """Created by the procedure, sent by cron through the server, found, read by robotd over HTTP, counted, bounced."""
    addresses = {"campaign_recipient": f"probe@{DOMAIN}", "campaign_bounce_recipient": f"refused@{DOMAIN}"}
    own = {"campaign_list_id": 5, "campaign_template_id": 3, "campaign_arrival": "mailbox", **addresses}
    async with (
        mailwizz_at(mailwizz_place) as database,
        MailWizzSimulator(ManualClock(MORNING_MS), database) as simulator,
        whole(
            database_place,
            mailwizz_place,
            mail_host,
            own=own,
            mail={"tracking_hosts": simulator.url.removeprefix("http://")},
        ) as testing,
        testing.home.running(),
    ):
        await simulator.records.insert("customer", customer_id=1)
        await simulator.records.insert("list", list_id=5, list_uid="list5")
        for number, email in enumerate(addresses.values()):
            await simulator.records.insert("list_subscriber", subscriber_uid=f"sub{number}", list_id=5, email=email)
        await add(database, 1, mail_host, mail_host.sender.password, mail_host.ports.starttls)
        await testing.ask(1, path="campaign")
        await simulator.run_cron()
        (row,) = await database.fetch("SELECT subject FROM mw_campaign")
        token = str(row[0]).partition("[")[2].removesuffix("]")
        await testing.later(30 * SECOND_MS)
        await simulator.read_bounces([Bounce(token, addresses["campaign_bounce_recipient"])])
        await testing.later(2 * 60 * SECOND_MS)
        told = testing.last()
        assert (told["verdict"], told["reason"]) == ("SUCCESSFUL", "")
        assert list(testing.steps()) == ["T0", "T1", "C1", "C2", "T7", "T8", "T15", "T16"]
