"""Which servers are due for a test, and why: compared by the database, in MailWizz's own time zone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.clients.mailwizz import SqlMailWizz
from daemon.clients.mailwizz_database import MailWizzDatabase, MailWizzNames, Write
from daemon.store.mysql import MysqlAddress, MysqlDatabase
from daemon.store.sqlite import SqliteDatabase
from domain.delivery_server import TlsMode
from domain.errors import ConfigError, Unavailable
from domain.server_ports import LastTest
from domain.server_test import Verdict
from localstack.mailwizz_tables import create_tables
from tests.conftest import AnyDatabase
from tests.contract.mailwizz.conftest import Failing, MailWizzWorld
from tests.mariadb import MariaDb

DAY_S = 86400


async def reasons(mailwizz: SqlMailWizz) -> dict[int, str]:
    """Server to reason, in the order of the candidates."""
    return {candidate.server.id: candidate.reason for candidate in await mailwizz.candidates(DAY_S)}


async def test_each_sending_server_comes_once_with_the_first_reason_that_holds(world: MailWizzWorld) -> None:
    """Never tested first, then by the start of the newest test; lines in plenty change nothing, others don't send."""
    async with asyncio.timeout(10):
        for number, status in enumerate(("active", "in-use", "active", "active", "inactive", "disabled"), start=1):
            await world.add_server(number, status=status, last_updated=await world.ago(2 * DAY_S))
        for seconds in (3 * DAY_S, 3 * DAY_S, DAY_S + 60):
            await world.add_line(1, await world.ago(seconds))
        await world.add_line(3, await world.ago(60), "FAILED")
        await world.add_line(3, await world.ago(5 * DAY_S))
        await world.add_line(4, await world.ago(3 * DAY_S))
        assert list((await reasons(world.mailwizz)).items()) == [
            (2, "never-tested"),
            (4, "updated"),
            (1, "too-old"),
            (3, "failed"),
        ]
        newest = {candidate.server.id: candidate.last for candidate in await world.mailwizz.candidates(DAY_S)}
        assert newest[2] is None
        assert newest[3] == await world.mailwizz.last_test(3)
        assert newest[3] is not None
        assert newest[3].verdict is Verdict.FAILED


async def test_an_update_in_the_second_of_the_start_is_due_and_one_before_it_is_not(world: MailWizzWorld) -> None:
    """A second holds both orders, so a tie is tested again; the start of the test is what counts, not its end."""
    async with asyncio.timeout(10):
        at, before = await world.ago(100), await world.ago(101)
        for number, last_updated in ((1, at), (2, before)):
            await world.add_server(number, last_updated=last_updated)
            await world.add_line(number, at)
        assert await reasons(world.mailwizz) == {1: "updated", 2: ""}


async def test_a_change_during_the_test_is_due_again(world: MailWizzWorld, failed: Failing) -> None:
    """The recorded line has the start, so an edit made while the test ran is newer than it."""
    async with asyncio.timeout(10):
        server = await world.add_server(1)
        started = await world.ago(50)
        await world.write("UPDATE mw_delivery_server SET last_updated = ? WHERE server_id = 1", await world.ago(20))
        await world.mailwizz.record(failed(server, started, verdict=Verdict.SUCCESSFUL, error=None))
        assert await reasons(world.mailwizz) == {1: "updated"}


async def test_failures_are_counted_since_the_last_success(world: MailWizzWorld) -> None:
    """None at first, then every FAILED line that no success follows; another server's lines and words don't count."""
    async with asyncio.timeout(10):
        counts = [await world.mailwizz.failures_in_a_row(1)]
        for seconds, status in ((90, "FAILED"), (80, "FAILED"), (70, "SUCCESSFUL"), (60, "FAILED"), (50, "FAILED")):
            await world.add_line(1, await world.ago(seconds), status)
            counts.append(await world.mailwizz.failures_in_a_row(1))
        await world.add_line(2, await world.ago(1))
        assert counts == [0, 1, 2, 0, 1, 2]
        assert await world.mailwizz.failures_in_a_row(1) == 2


async def test_of_two_lines_with_one_start_the_failed_one_counts(world: MailWizzWorld) -> None:
    """The last test, the failures in a row and the candidates agree on a tie."""
    async with asyncio.timeout(10):
        await world.add_server(1)
        at = await world.ago(10)
        for status in ("FAILED", "SUCCESSFUL"):
            await world.add_line(1, at, status)
        last = LastTest(1, Verdict.FAILED, at)
        assert await world.mailwizz.last_test(1) == last
        assert await world.mailwizz.failures_in_a_row(1) == 1
        assert [candidate.last for candidate in await world.mailwizz.candidates(DAY_S)] == [last]


async def test_a_line_that_judges_nothing_is_no_test(world: MailWizzWorld) -> None:
    """An earlier tester's PENDING lines neither count as tests nor hide the verdict before them."""
    async with asyncio.timeout(10):
        for number in (1, 2):
            await world.add_server(number, last_updated=await world.ago(500))
            await world.add_line(number, await world.ago(10), "PENDING")
        at = await world.ago(20)
        await world.add_line(2, at, "FAILED")
        assert await reasons(world.mailwizz) == {1: "never-tested", 2: "failed"}
        assert await world.mailwizz.last_test(1) is None
        assert await world.mailwizz.last_test(2) == LastTest(2, Verdict.FAILED, at)
        assert await world.mailwizz.failures_in_a_row(2) == 1


async def test_an_unknown_id_is_no_server(world: MailWizzWorld) -> None:
    """Nothing is found, and nothing is written of it."""
    async with asyncio.timeout(10):
        assert await world.mailwizz.server(404) is None
        assert await world.mailwizz.last_test(404) is None
        assert await world.lines() == []


async def test_a_server_is_read_as_its_row_is(world: MailWizzWorld) -> None:
    """Texts that are NULL read as empty, ids that are NULL as None, and the rest as it stands."""
    async with asyncio.timeout(10):
        server = await world.add_server(
            1, password=None, protocol=None, from_name=None, timeout=45, customer_id=3, port=465, username="Ünï 'q' \\"
        )
        assert (server.password, server.protocol, server.from_name, server.reply_to_email) == (None, "", "", "")
        assert (server.timeout_s, server.customer_id, server.bounce_server_id) == (45, 3, None)
        assert (server.username, server.tls_mode, server.force_from) == ("Ünï 'q' \\", TlsMode.IMPLICIT, "never")


@pytest.mark.parametrize(
    ("without", "quotas"),
    [
        ((), {"hourly_quota", "daily_quota", "monthly_quota"}),
        (
            ("hourly_quota", "tracking_domain_id", "force_from", "force_reply_to", "timeout", "from_name", "name"),
            {"daily_quota", "monthly_quota"},
        ),
        (("hourly_quota", "daily_quota", "monthly_quota", "reply_to_email"), set()),
    ],
)
async def test_a_version_that_lacks_columns_is_served_all_the_same(
    empty_database: AnyDatabase, failed: Failing, without: tuple[str, ...], quotas: set[str]
) -> None:
    """Optional columns read as their defaults, quotas that are there are reset, and a verdict is recorded."""
    async with asyncio.timeout(10):
        await create_tables(empty_database, MailWizzNames(), without=without)
        world = MailWizzWorld(empty_database)
        server = await world.add_server(1)
        assert (server.timeout_s, server.force_from, server.tracking_domain_id) == (30, "never", None)
        for quota in quotas:
            await world.write(f"UPDATE mw_delivery_server SET {quota} = 7")  # noqa: S608  our own words
        await world.mailwizz.reset_quota(1)
        for quota in quotas:
            assert await world.fetch(f"SELECT {quota} FROM mw_delivery_server") == [(0,)]  # noqa: S608  as above
        assert await reasons(world.mailwizz) == {1: "never-tested"}
        assert (await world.mailwizz.record(failed(server, await world.ago(5)))).deactivated


OTHER = MailWizzNames(prefix="shop_", history="mailwizz_delivery_servers_tests")


async def test_names_are_options(empty_database: AnyDatabase) -> None:
    """Another prefix and another history table are used wherever a table is named."""
    async with asyncio.timeout(10):
        await create_tables(empty_database, OTHER)
        mailwizz = SqlMailWizz(MailWizzDatabase(empty_database), OTHER)
        row = "(9, 'smtp', 'mx.sender.test', 'u', 'a@sender.test', 'active', '2020-01-01 00:00:00')"
        await empty_database.apply(
            [
                Write(
                    "INSERT INTO shop_delivery_server"  # noqa: S608  our own words
                    f" (server_id, type, hostname, username, from_email, status, last_updated) VALUES {row}"
                )
            ]
        )
        assert await reasons(mailwizz) == {9: "never-tested"}


async def test_tables_in_other_schemas_are_reached_by_their_names(mariadb: MariaDb, failed: Failing) -> None:
    """The product's tables in one database, the history in another, the connection in a third."""
    product, history, own = (mariadb.new_database() for _ in range(3))
    names = MailWizzNames(schema=product.database, history=f"{history.database}.mailwizz_delivery_servers_tests")
    async with asyncio.timeout(10), AsyncExitStack() as stack:
        databases = []
        for address in (product, own):
            databases.append(await MysqlDatabase.open(address))
            stack.push_async_callback(databases[-1].close)
        await create_tables(databases[0], names)
        row = "(9, 'smtp', 'mx.sender.test', 'u', 'a@sender.test', 'active', '2020-01-01 00:00:00')"
        await databases[1].apply(
            [
                Write(
                    f"INSERT INTO {product.database}.mw_delivery_server"  # noqa: S608  our own words
                    f" (server_id, type, hostname, username, from_email, status, last_updated) VALUES {row}"
                )
            ]
        )
        mailwizz = SqlMailWizz(MailWizzDatabase(databases[1]), names)
        server = await mailwizz.server(9)
        assert server is not None
        assert (await mailwizz.record(failed(server, await mailwizz.now()))).deactivated
        assert await mailwizz.failures_in_a_row(9) == 1
    for address in (product, history, own):
        mariadb.drop(address)


@pytest.mark.parametrize(
    "options",
    [
        {"schema": "a.b"},
        {"schema": "a; DROP TABLE x"},
        {"prefix": "mw-"},
        {"prefix": "9"},
        {"history": "a.b.c"},
        {"history": "tests WHERE 1"},
        {"history": ""},
        {"history": "tests\n"},
    ],
)
def test_what_is_more_than_a_name_is_refused(options: dict[str, str]) -> None:
    """Names stand in SQL as they are, so anything but a name is an error of the configuration."""
    with pytest.raises(ConfigError):
        MailWizzNames(**options)


async def test_a_missing_table_of_servers_is_an_outage_of_mailwizz(empty_database: AnyDatabase) -> None:
    """The dependency is told as `mailwizz`, so that robotd's own database is not blamed, and a later look sees it."""
    async with asyncio.timeout(10):
        mailwizz = SqlMailWizz(MailWizzDatabase(empty_database))
        with pytest.raises(Unavailable, match="mw_delivery_server") as outage:
            await mailwizz.candidates(DAY_S)
        assert outage.value.dependency == "mailwizz"
        await create_tables(empty_database, MailWizzNames())
        assert await mailwizz.candidates(DAY_S) == []


@pytest.fixture
async def in_zone(mariadb: MariaDb) -> AsyncIterator[Callable[..., Any]]:
    """Open one MariaDB database in sessions of several time zones."""
    address = mariadb.new_database()
    async with AsyncExitStack() as stack:

        async def open_one(time_zone: str) -> MysqlDatabase:
            zoned: MysqlAddress = replace(address, time_zone=time_zone)
            database = await MysqlDatabase.open(zoned)
            stack.push_async_callback(database.close)
            return database

        yield open_one
    mariadb.drop(address)


@pytest.mark.parametrize("zone", ["+00:00", "+05:30", "-08:00"])
async def test_in_the_zone_that_mailwizz_writes_in_a_fresh_update_is_due(
    in_zone: Callable[..., Any], zone: str
) -> None:
    """DATETIME and TIMESTAMP agree: an update after the start is due, one before it is not, wherever MailWizz is."""
    async with asyncio.timeout(10):
        database = await in_zone(zone)
        await create_tables(database, MailWizzNames())
        world = MailWizzWorld(database)
        for number, updated_s in ((1, 30), (2, 90)):
            await world.add_server(number, last_updated=await world.ago(updated_s))
            await world.add_line(number, await world.ago(60))
        await world.add_server(3, last_updated=await world.ago(4 * DAY_S))
        await world.add_line(3, await world.ago(DAY_S + 60))
        assert await reasons(world.mailwizz) == {3: "too-old", 1: "updated", 2: ""}


async def test_a_session_in_another_zone_than_mailwizz_is_told_apart(in_zone: Callable[..., Any]) -> None:
    """The trap itself: with the wrong zone a fresh update looks long past, so the zone is no matter of taste."""
    async with asyncio.timeout(10):
        utc = await in_zone("+00:00")
        await create_tables(utc, MailWizzNames())
        world = MailWizzWorld(utc)
        await world.add_server(1, last_updated=await world.ago(30))
        await world.add_line(1, await world.ago(60))
        wrong = SqlMailWizz(MailWizzDatabase(await in_zone("+05:30")))
        assert await reasons(world.mailwizz) == {1: "updated"}
        assert await reasons(wrong) == {1: ""}


async def test_a_time_goes_to_the_history_and_back_unchanged_in_any_zone(
    in_zone: Callable[..., Any], failed: Failing
) -> None:
    """The start is MailWizz's wall clock in our words and theirs, and a repeat is recognised by it."""
    async with asyncio.timeout(10):
        world = MailWizzWorld(await in_zone("+05:30"))
        await create_tables(world.database, MailWizzNames())
        server = await world.add_server(1)
        started = await world.mailwizz.now()
        what = failed(server, started)
        told = [await world.mailwizz.record(what) for _ in range(2)]
        last = await world.mailwizz.last_test(1)
        assert last is not None
        assert last.started == started
        assert [recorded.is_repeat for recorded in told] == [False, True]


async def test_on_sqlite_the_zone_is_an_option(tmp_path: Path) -> None:
    """The clock of the embedded engine shows MailWizz's zone; what is no offset is refused."""
    async with asyncio.timeout(10):
        database = await SqliteDatabase.open(tmp_path / "mailwizz.sqlite")
        ((here, there),) = await database.fetch("SELECT datetime('now', '+05:30'), datetime('now', '+05:31')")
        now = await SqlMailWizz(MailWizzDatabase(database, time_zone="+05:30")).now()
        assert str(here) <= now < str(there)
        with pytest.raises(ConfigError, match="offset"):
            MailWizzDatabase(database, time_zone="Europe/Amsterdam")
        await database.close()
