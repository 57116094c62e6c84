"""A verdict in MailWizz's database: one line, one change of status, whoever else writes at the same time."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from daemon.clients.mailwizz import SqlMailWizz
from daemon.clients.mailwizz_database import MailWizzDatabase, MailWizzNames, Write
from daemon.store.mysql import MysqlDatabase
from daemon.store.mysql_connection import connect
from domain.errors import Unavailable
from domain.server_ports import Recorded
from domain.server_test import Verdict
from localstack.mailwizz_tables import create_tables
from tests.conftest import AnyDatabase
from tests.contract.mailwizz.conftest import Failing, MailWizzWorld
from tests.mariadb import MariaDb

OFF = Recorded(deactivated=True, kept="", is_repeat=False)
WAITS = (
    "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'innodb_row_lock_current_waits'"
)
OFF_BEFORE = Recorded(deactivated=True, kept="", is_repeat=True)


def kept(reason: str, *, is_repeat: bool = False) -> Recorded:
    return Recorded(deactivated=False, kept=reason, is_repeat=is_repeat)


async def test_a_failed_server_is_switched_off_with_one_line_of_its_start(
    world: MailWizzWorld, failed: Failing
) -> None:
    """The line has the start of the test and what became of the server; the row is inactive and updated now."""
    async with asyncio.timeout(10):
        server = await world.add_server(1)
        await world.add_server(2)
        started = await world.ago(30)
        before = await world.mailwizz.now()
        assert await world.mailwizz.record(failed(server, started)) == OFF
        assert await world.lines() == [(1, "FAILED", "535 no such user (switched off)", started)]
        assert await world.statuses() == {1: "inactive", 2: "active"}
        assert before <= (await world.known(1)).last_updated <= await world.mailwizz.now()
        assert await world.mailwizz.last_test(1) is not None


async def test_a_server_in_use_is_switched_off_as_an_active_one(world: MailWizzWorld, failed: Failing) -> None:
    """The older word for a server that sends is no reason to leave it sending."""
    async with asyncio.timeout(10):
        server = await world.add_server(1, status="in-use")
        assert await world.mailwizz.record(failed(server, await world.ago(5))) == OFF
        assert await world.statuses() == {1: "inactive"}


async def test_a_good_server_gets_a_line_without_an_error_and_stays_as_it_is(
    world: MailWizzWorld, failed: Failing
) -> None:
    """Success writes the history alone: status and last_updated are as they were."""
    async with asyncio.timeout(10):
        server = await world.add_server(1)
        started = await world.ago(5)
        good = failed(server, started, verdict=Verdict.SUCCESSFUL, error=None)
        assert await world.mailwizz.record(good) == kept("")
        assert await world.lines() == [(1, "SUCCESSFUL", None, started)]
        assert await world.known(1) == server


async def test_where_nobody_asked_a_failed_server_goes_on_sending(world: MailWizzWorld, failed: Failing) -> None:
    """Without `deactivate` the line says that the server was kept, and the row is untouched."""
    async with asyncio.timeout(10):
        server = await world.add_server(1)
        assert await world.mailwizz.record(failed(server, await world.ago(5), deactivate=False)) == kept("not-asked")
        assert [line[2] for line in await world.lines()] == ["535 no such user (kept: not asked to switch off)"]
        assert await world.known(1) == server


async def test_an_error_without_end_is_cut_and_still_says_what_became_of_the_server(
    world: MailWizzWorld, failed: Failing
) -> None:
    """The stored error has at most 1000 characters, and its end is ours."""
    async with asyncio.timeout(10):
        server = await world.add_server(1)
        await world.mailwizz.record(failed(server, await world.ago(5), error="é" * 5000))
        ((_, _, error, _),) = await world.lines()
        assert str(error).endswith("éé (switched off)")
        assert len(str(error)) == 1000


CHANGES = {
    "updated": "last_updated = '2031-01-01 00:00:00'",
    "other host": "hostname = 'mx9.sender.test'",
    "other case of the password": "password = UPPER(password)",
    "other tracking domain": "tracking_domain_id = 4",
    "no password": "password = NULL",
    "switched off by its owner": "status = 'disabled'",
    "waits to be deleted": "status = 'pending-delete'",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
async def test_a_server_that_changed_during_its_test_is_left_alone(
    world: MailWizzWorld, failed: Failing, change: str
) -> None:
    """Whatever was changed, and without a newer last_updated too: the verdict is of a server that is no more."""
    async with asyncio.timeout(10):
        server = await world.add_server(1)
        await world.write(f"UPDATE mw_delivery_server SET {change} WHERE server_id = 1")  # noqa: S608  our own words
        changed = await world.known(1)
        assert await world.mailwizz.record(failed(server, await world.ago(5))) == kept("changed")
        assert await world.known(1) == changed
        assert [line[2] for line in await world.lines()] == ["535 no such user (kept: changed meanwhile)"]


RIVALS = {
    "edits it": ("UPDATE mw_delivery_server SET port = 25 WHERE server_id = 1", "changed"),
    "updates it": ("UPDATE mw_delivery_server SET last_updated = '2031-01-01 00:00:00' WHERE server_id = 1", "changed"),
    "disables it": ("UPDATE mw_delivery_server SET status = 'disabled' WHERE server_id = 1", "changed"),
    "disables the other one": ("UPDATE mw_delivery_server SET status = 'disabled' WHERE server_id = 2", "last-active"),
}


class OvertakenDatabase(MailWizzDatabase):
    """A rival commits between our look and our write, once."""

    def __init__(self, database: AnyDatabase, rival: str) -> None:
        super().__init__(database)
        self._plain = database
        self._rival: str | None = rival

    async def apply(self, writes: Sequence[Write]) -> None:
        if self._rival is not None:
            await self._plain.apply([Write(self._rival)])
            self._rival = None
        await super().apply(writes)


@pytest.mark.parametrize(("rival", "reason"), RIVALS.values(), ids=RIVALS.keys())
async def test_a_rival_between_our_look_and_our_write_is_seen(
    world: MailWizzWorld, failed: Failing, rival: str, reason: str
) -> None:
    """What a rival commits after the server was read makes our transaction nothing, and it is decided anew."""
    async with asyncio.timeout(10):
        server = await world.add_server(1)
        await world.add_server(2)
        overtaken = SqlMailWizz(OvertakenDatabase(world.database, rival), world.names)
        assert await overtaken.record(failed(server, await world.ago(5), keep_last_active=True)) == kept(reason)
        assert (await world.statuses())[1] != "inactive"
        assert len(await world.lines()) == 1


async def test_an_update_in_the_same_second_as_the_load_is_no_obstacle(world: MailWizzWorld, failed: Failing) -> None:
    """A row that was updated in this very second is switched off, though last_updated keeps its value."""
    async with asyncio.timeout(10):
        server = await world.add_server(1, last_updated=await world.ago(0))
        assert await world.mailwizz.record(failed(server, server.last_updated)) == OFF
        assert await world.statuses() == {1: "inactive"}


async def test_a_repeat_changes_nothing_and_tells_what_was_done_then(world: MailWizzWorld, failed: Failing) -> None:
    """The same server and start again: no second line, and a server that was switched on again stays on."""
    async with asyncio.timeout(10):
        first, second, third = [await world.add_server(number) for number in (1, 2, 3)]
        started = await world.ago(5)
        whats = [
            failed(first, started),
            failed(second, started, deactivate=False),
            failed(third, started, verdict=Verdict.SUCCESSFUL, error=None),
        ]
        for what in whats:
            await world.mailwizz.record(what)
        await world.write("UPDATE mw_delivery_server SET status = 'active' WHERE server_id = 1")
        lines = await world.lines()
        again = [await world.mailwizz.record(what) for what in whats]
        assert again == [
            OFF_BEFORE,
            kept("not-asked", is_repeat=True),
            kept("", is_repeat=True),
        ]
        assert await world.lines() == lines
        assert set((await world.statuses()).values()) == {"active"}


async def test_after_a_lost_commit_the_repeat_tells_what_was_committed(world: MailWizzWorld, failed: Failing) -> None:
    """A caller that never heard of the COMMIT asks again and hears that it was done."""

    async def lose(moment: str) -> None:
        if moment == "after_commit":
            raise Unavailable("database", "the answer to COMMIT was lost")

    async with asyncio.timeout(10):
        server = await world.add_server(1)
        what = failed(server, await world.ago(5))
        replica = await world.another(lose)
        with pytest.raises(Unavailable) as lost:
            await replica.record(what)
        assert lost.value.dependency == "mailwizz"
        assert await world.mailwizz.record(what) == OFF_BEFORE
        assert len(await world.lines()) == 1


@pytest.mark.parametrize(
    ("fields", "first"),
    [
        ({}, OFF),
        ({"deactivate": False}, kept("not-asked")),
        ({"verdict": Verdict.SUCCESSFUL, "error": None}, kept("")),
    ],
)
async def test_of_the_same_record_by_many_at_once_one_writes(
    world: MailWizzWorld, failed: Failing, fields: dict[str, object], first: Recorded
) -> None:
    """Eight replicas with one verdict leave one line, and all of them tell the same."""
    async with asyncio.timeout(20):
        server = await world.add_server(1)
        what = failed(server, await world.ago(5), **fields)
        replicas = [await world.another() for _ in range(8)]
        told = await asyncio.gather(*(replica.record(what) for replica in replicas))
        assert len(await world.lines()) == 1
        assert Counter(told) == {first: 1, replace(first, is_repeat=True): 7}


async def test_a_server_that_is_gone_gets_no_line(world: MailWizzWorld, failed: Failing) -> None:
    """A row that was deleted during its test leaves nothing in the history."""
    async with asyncio.timeout(10):
        server = await world.add_server(1)
        await world.write("DELETE FROM mw_delivery_server WHERE server_id = 1")
        assert await world.mailwizz.record(failed(server, await world.ago(5))) == kept("changed")
        assert await world.lines() == []


@pytest.mark.parametrize("customer_id", [None, 7])
async def test_the_last_server_that_sends_is_kept(
    world: MailWizzWorld, failed: Failing, customer_id: int | None
) -> None:
    """Of a customer's servers, or the system's, one goes on sending; others' servers and idle ones don't count."""
    async with asyncio.timeout(10):
        await world.add_server(1, customer_id=8)
        server = await world.add_server(2, customer_id=customer_id)
        await world.add_server(3, customer_id=customer_id, status="disabled")
        what = failed(server, await world.ago(5), keep_last_active=True)
        assert await world.mailwizz.record(what) == kept("last-active")
        assert await world.mailwizz.record(what) == kept("last-active", is_repeat=True)
        assert await world.known(2) == server


async def test_the_last_server_of_a_customer_group_is_kept(world: MailWizzWorld, failed: Failing) -> None:
    """A group has lost nothing to a server that sends elsewhere; a second member that sends is enough."""
    async with asyncio.timeout(10):
        servers = [await world.add_server(number) for number in (1, 2, 3)]
        await world.add_groups({10: [1], 11: [1, 2], 12: [2, 3]})
        started = await world.ago(5)
        told = [await world.mailwizz.record(failed(server, started, keep_last_active=True)) for server in servers]
        assert [recorded.kept for recorded in told] == ["last-active", "", "last-active"]
        assert await world.statuses() == {1: "active", 2: "inactive", 3: "active"}


@pytest.mark.parametrize("round_", range(5))
async def test_of_many_that_fail_at_once_one_goes_on_sending(
    world: MailWizzWorld, failed: Failing, round_: int
) -> None:
    """Each replica switches off another server of one customer at the same moment: one server is kept, and told so."""
    async with asyncio.timeout(20):
        servers = [await world.add_server(number, customer_id=7) for number in range(1, 7)]
        started = await world.ago(5)
        replicas = [await world.another() for _ in servers]
        told = await asyncio.gather(
            *(
                replica.record(failed(server, started, keep_last_active=True))
                for replica, server in zip(replicas, servers, strict=True)
            )
        )
        assert Counter((await world.statuses()).values()) == {"inactive": 5, "active": 1}
        assert Counter(recorded.kept for recorded in told) == {"": 5, "last-active": 1}
        assert len(await world.lines()) == 6


RIVALS_UNDER_WAY = {
    "disables the other one": ("UPDATE mw_delivery_server SET status = 'disabled' WHERE server_id = 2", "last-active"),
    "edits it": ("UPDATE mw_delivery_server SET hostname = 'mx9.sender.test' WHERE server_id = 1", "changed"),
}


@pytest.mark.parametrize(("rival", "reason"), RIVALS_UNDER_WAY.values(), ids=RIVALS_UNDER_WAY.keys())
async def test_a_rival_whose_transaction_is_under_way_is_waited_for(
    mariadb: MariaDb, failed: Failing, rival: str, reason: str
) -> None:
    """What another has written and not committed is invisible to our look; the write waits for it and sees it."""
    address = mariadb.new_database()
    async with asyncio.timeout(20):
        database = await MysqlDatabase.open(address)
        await create_tables(database, MailWizzNames())
        world = MailWizzWorld(database)
        server = await world.add_server(1)
        await world.add_server(2)
        other = await connect(address, connect_timeout_s=3, statement_timeout_s=10)
        await other.begin([rival])
        what = failed(server, await world.ago(5), keep_last_active=True)
        ours = asyncio.create_task(world.mailwizz.record(what))
        while await asyncio.to_thread(mariadb.execute, WAITS) != [("1",)]:
            pass
        await other.commit()
        assert await ours == kept(reason)
        assert (await world.statuses())[1] == "active"
        assert len(await world.lines()) == 1
        await other.quit()
        await database.close()
    mariadb.drop(address)


async def test_a_good_server_joins_its_group_once(world: MailWizzWorld, failed: Failing) -> None:
    """Promotion is repeatable, also by several at once, and never for a server that failed."""
    async with asyncio.timeout(10):
        server, bad = await world.add_server(1), await world.add_server(2)
        await world.add_groups({2: []})
        good = failed(server, await world.ago(5), verdict=Verdict.SUCCESSFUL, error=None, promote_to=2)
        replicas = [await world.another() for _ in range(5)]
        told = await asyncio.gather(*(replica.record(good) for replica in replicas))
        told.append(await world.mailwizz.record(failed(bad, await world.ago(5), promote_to=2)))
        assert {recorded.promotion_error for recorded in told} == {None}
        members = await world.fetch("SELECT server_id FROM mw_delivery_server_to_customer_group")
        assert members == [(1,)]


async def test_a_promotion_that_fails_is_told_and_changes_nothing_else(world: MailWizzWorld, failed: Failing) -> None:
    """A group that isn't there leaves one SUCCESSFUL line and a healthy server as it was."""
    async with asyncio.timeout(10):
        server = await world.add_server(1)
        good = failed(server, await world.ago(5), verdict=Verdict.SUCCESSFUL, error=None, promote_to=99)
        recorded = await world.mailwizz.record(good)
        assert "foreign key" in str(recorded.promotion_error).lower()
        assert [line[1] for line in await world.lines()] == ["SUCCESSFUL"]
        assert await world.known(1) == server


async def test_without_a_verdict_there_is_nothing_to_record(world: MailWizzWorld, failed: Failing) -> None:
    """A test that ended in an ERROR of ours must never reach the history."""
    async with asyncio.timeout(10):
        server = await world.add_server(1)
        with pytest.raises(ValueError, match="judges nothing"):
            await world.mailwizz.record(failed(server, await world.ago(5), verdict=Verdict.ERROR))
        assert await world.lines() == []


async def test_a_history_that_is_called_otherwise_is_an_outage_of_mailwizz(
    world: MailWizzWorld, failed: Failing
) -> None:
    """A missing table says its name, blames the dependency and leaves the server alone."""
    async with asyncio.timeout(10):
        server = await world.add_server(1)
        await world.write(f"DROP TABLE {world.names.history}")
        mailwizz = SqlMailWizz(MailWizzDatabase(world.database), world.names)
        with pytest.raises(Unavailable, match=world.names.history) as outage:
            await mailwizz.record(failed(server, await world.ago(5)))
        assert outage.value.dependency == "mailwizz"
        assert await world.known(1) == server


RIGHTS = (
    "SELECT, UPDATE (status, last_updated) ON {database}.mw_delivery_server",
    "SELECT, INSERT ON {database}.mw_delivery_servers_tests",
    "SELECT, INSERT ON {database}.mw_delivery_server_to_customer_group",
)


async def test_few_rights_are_enough(mariadb: MariaDb, failed: Failing) -> None:
    """A user who may read three tables, add to two, and change a server's status and date, can do all of it."""
    address = mariadb.new_database()
    user, password = f"tester_{address.database}", secrets.token_hex(8)
    async with asyncio.timeout(20):
        owner = await MysqlDatabase.open(address)
        await create_tables(owner, MailWizzNames())
        world = MailWizzWorld(owner)
        servers = [await world.add_server(number) for number in (1, 2)]
        await world.add_groups({2: []})
        mariadb.execute(f"CREATE USER {user}@localhost IDENTIFIED BY '{password}'")
        for right in RIGHTS:
            mariadb.execute(f"GRANT {right.format(database=address.database)} TO {user}@localhost")
        limited = await MysqlDatabase.open(replace(address, user=user, password=password))
        mailwizz = SqlMailWizz(MailWizzDatabase(limited))
        started = await mailwizz.now()
        good = failed(servers[1], started, verdict=Verdict.SUCCESSFUL, error=None, promote_to=2)
        assert await mailwizz.record(failed(servers[0], started, keep_last_active=True)) == OFF
        assert await mailwizz.record(good) == kept("")
        assert [candidate.server.id for candidate in await mailwizz.candidates(60)] == [2]
        await limited.close()
        await owner.close()
    mariadb.execute(f"DROP USER {user}@localhost")
    mariadb.drop(address)
