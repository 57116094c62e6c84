"""The fault matrix, as far as it is MailWizz, its database, cycles, and robotd's own restarts.

Each case names its step, outcome, kind and verdict, and what MailWizz and robotd have of it afterwards.
"""

import asyncio
import base64
import secrets
from dataclasses import replace
from pathlib import Path

import pymysql
import pytest

from daemon.store.database import Write
from daemon.store.mysql import MysqlAddress
from localstack.mail_host import Seen, Treatment
from tests.integration.matrix_world import CAMPAIGN, CYCLE, GROUP, LOCAL, READER, OpensMatrix, matrix_world
from tests.integration.server_world import DEAD_LETTERS, HOUR_MS, MINUTE_MS, ROBOT, SECOND_MS
from tests.mariadb import MariaDb
from tests.world import command

LATE = Treatment(late_ms=30 * SECOND_MS)
WRONG = secrets.token_hex(8)
MOVED = "UPDATE mw_delivery_server SET hostname = '127.0.0.1'"


pytestmark = pytest.mark.usefixtures("quick_looks")


async def test_other_server_id_in_the_log(matrix: OpensMatrix) -> None:
    """C2 ERROR not-isolated, where MailWizz has sent through another server: no line, no change of either."""
    async with matrix(settings=CAMPAIGN) as world, world.home.running():
        await world.add_server(hostname=LOCAL)
        await world.add_server(8, hostname=LOCAL)
        world.wizz.troubles.sends_by = 8
        await world.by_campaign()
        await world.ends("ERROR", "C2", "ERROR", "not-isolated")
        assert (await world.history(8), await world.status(8)) == ([], "active")


async def test_server_that_is_off_is_not_tested_by_campaign(matrix: OpensMatrix) -> None:
    """MailWizz would send through another: T1 SKIP no-path, no campaign, ERROR."""
    async with matrix(settings=CAMPAIGN) as world, world.home.running():
        await world.add_server(hostname=LOCAL, status="disabled")
        await world.ask(path="campaign")
        assert (world.last()["verdict"], world.step("T1")) == ("ERROR", ("SKIP", "no-path"))
        assert await world.fetch("SELECT COUNT(*) FROM mw_campaign") == [(0,)]
        assert (await world.history(), await world.status()) == ([], "disabled")
        await world.is_tidy()


async def test_send_that_mailwizz_gave_up(matrix: OpensMatrix) -> None:
    """C2 FAIL giveup with the server's own words, at once and not after twenty minutes: FAILED."""
    async with matrix(settings=CAMPAIGN) as world, world.home.running():
        await world.add_server(hostname=LOCAL, password=WRONG)
        await world.by_campaign()
        await world.ends("FAILED", "C2", "FAIL", "giveup")
        assert "535" in world.last()["reason"]


async def test_cron_that_is_stopped(matrix: OpensMatrix) -> None:
    """C2 ERROR not-sent after ten minutes: MailWizz itself stands still, no server is at fault."""
    async with matrix(settings=CAMPAIGN) as world, world.home.running():
        await world.add_server(hostname=LOCAL)
        world.wizz.troubles.cron_is_stopped = True
        await world.by_campaign()
        assert world.told() == []
        await world.later(10 * MINUTE_MS)
        await world.ends("ERROR", "C2", "ERROR", "not-sent")


async def test_procedure_that_is_missing(matrix: OpensMatrix) -> None:
    """C1 ERROR unavailable for ten minutes, then ERROR: no line, no change."""
    async with matrix(settings=CAMPAIGN, mailwizz={"procedure": "no_such_procedure"}) as world, world.home.running():
        await world.add_server(hostname=LOCAL)
        await world.by_campaign()
        await world.later(11 * MINUTE_MS)
        await world.ends("ERROR", "C1", "ERROR", "unavailable")


async def test_by_the_table_of_mails(matrix: OpensMatrix) -> None:
    """Arrival and headers by the table that an external reader fills, who also opens, clicks and unsubscribes."""
    settings = {**CAMPAIGN, "campaign_arrival": "table"}
    async with matrix(settings=settings) as world, world.home.running():
        await world.add_server(hostname=LOCAL)
        await world.by_campaign()
        assert world.told() == []
        (raw,) = world.mails_to(READER)
        await world.wizz.records.store_mail(raw)
        await world.read(raw)
        await world.later(2 * MINUTE_MS)
        await world.ends("SUCCESSFUL", "T15", "PASS", "")
        assert world.step("T8") == ("PASS", "")


@pytest.mark.parametrize("own", ["alone", "together"])
async def test_mysql_killed_mid_run(mariadb: MariaDb, mailwizz_place: MysqlAddress, tmp_path: Path, own: str) -> None:
    """MailWizz's server is killed while a mail is waited for; the verdict is written once when it is back."""
    place = tmp_path / "robotd.db" if own == "alone" else mariadb.new_database()
    async with matrix_world(place, mailwizz_place, tmp_path) as world, world.home.running():
        world.smtp.treatment = LATE
        await world.add_server()
        await world.ask()
        try:
            await asyncio.to_thread(mariadb.kill)
            if own == "alone":
                await world.later(MINUTE_MS)
                assert await world.rows("SELECT phase, verdict FROM server_test_run") == [("JUDGED", "SUCCESSFUL")]
                assert world.told() == []
        finally:
            await asyncio.to_thread(mariadb.restart)
        await world.later(5 * MINUTE_MS)
        await world.ends("SUCCESSFUL", "T7", "PASS", "")
        assert len(world.host.record.of(Seen.DELIVERED, "tested")) == 1


async def test_lock_held_on_the_server(matrix: OpensMatrix) -> None:
    """A second test of a server under test is refused as busy, and the first one ends as if nothing had been."""
    async with matrix() as world, world.home.running():
        world.smtp.treatment = LATE
        await world.add_server()
        await world.ask()
        await world.ask()
        assert [one["kind"] for one in world.told("error")] == ["busy"]
        await world.later(MINUTE_MS)
        assert len(world.told()) == 1
        await world.ends("SUCCESSFUL", "T7", "PASS", "", left={DEAD_LETTERS: (1, 0, 0)})


async def test_lock_held_on_the_list(matrix: OpensMatrix) -> None:
    """Two tests by campaign share one list: the second begins when the first has ended, and both are good (bug 13)."""
    async with matrix(settings=CAMPAIGN) as world, world.home.running():
        await world.add_server(hostname=LOCAL)
        await world.add_server(8, hostname=LOCAL)
        await world.ask(7, path="campaign")
        await world.ask(8, path="campaign")
        assert await world.claims() == ["list:12", "server:7", "server:8"]
        assert await world.fetch("SELECT COUNT(*) FROM mw_campaign") == [(1,)]
        for _ in range(2):
            await world.cron()
            await world.later(MINUTE_MS)
        assert [(one["serverId"], one["verdict"]) for one in world.told()] == [(7, "SUCCESSFUL"), (8, "SUCCESSFUL")]
        assert (await world.history(7), await world.history(8)) == (["SUCCESSFUL"], ["SUCCESSFUL"])
        await world.is_tidy()


async def test_lock_held_on_the_row(matrix: OpensMatrix, mariadb: MariaDb, mailwizz_place: MysqlAddress) -> None:
    """Somebody at MailWizz holds the row as the verdict is written: it waits, and is written once."""
    async with matrix() as world, world.home.running():
        await world.add_server(password=WRONG)
        waits = "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_waits'"  # innodb_trx is stale to who asks it often
        before = await asyncio.to_thread(mariadb.execute, waits)
        holder = await asyncio.to_thread(_holding, mailwizz_place)
        asked = asyncio.create_task(world.ask())
        try:
            async with asyncio.timeout(20):
                while await asyncio.to_thread(mariadb.execute, waits) == before:
                    await world.home._a_moment()
        finally:
            await asyncio.to_thread(holder.close)
        await asked
        await world.ends("FAILED", "T5", "FAIL", "auth-rejected")


def _holding(place: MysqlAddress) -> "pymysql.Connection[pymysql.cursors.Cursor]":
    holder = pymysql.connect(
        unix_socket=place.unix_socket, user=place.user, password=place.password, database=place.database
    )
    with holder.cursor() as cursor:
        cursor.execute("SELECT * FROM mw_delivery_server FOR UPDATE")
    return holder


@pytest.mark.parametrize("how", ["as MailWizz does", "by hand in the database"])
async def test_config_changed_mid_run(matrix: OpensMatrix, how: str) -> None:
    """The test failed for a row that is another one now: the line says so, nothing is switched off, it is due again."""
    async with matrix() as world, world.home.running():
        world.smtp.treatment = Treatment(is_lost=True)
        await world.add_server()
        await world.ask()
        await world.write(f"{MOVED}, last_updated = NOW()" if how == "as MailWizz does" else MOVED)
        await world.later(21 * MINUTE_MS)
        await world.ends("FAILED", "T7", "FAIL", "lost", is_off=False)
        assert (world.last()["kept"], world.last()["deactivationSkipped"]) == ("changed", True)
        world.smtp.treatment = Treatment()
        assert await world.run_cycle() == [1, 0]


async def test_config_changed_before_the_probe(matrix: OpensMatrix) -> None:
    """What is probed is what was loaded: a row that changed meanwhile is loaded anew, and judged as it is now."""
    async with matrix() as world, world.home.running():
        await world.add_server(hostname="late.shop.test")
        await world.ask()  # the name is not there at the first try
        world.dns.set({("late.shop.test", "A"): [LOCAL]})
        await world.write("UPDATE mw_delivery_server SET from_name = 'New', username = 'nobody' WHERE server_id = 7")
        await world.later(MINUTE_MS)
        await world.ends("FAILED", "T5", "FAIL", "auth-rejected")


async def test_same_second_tie(matrix: OpensMatrix) -> None:
    """An update in the second in which a test began may be newer than it: one test more (bug 4)."""
    async with matrix() as world, world.home.running():
        await world.add_server()
        assert await world.run_cycle() == [1, 0]
        assert await world.run_cycle() == [0, 0]
        await world.write(
            "UPDATE mw_delivery_server SET last_updated = (SELECT MAX(test_insert_date) FROM mw_delivery_servers_tests)"
        )
        assert await world.run_cycle() == [1, 0]
        starts = await world.fetch("SELECT DISTINCT test_insert_date FROM mw_delivery_servers_tests")
        assert len(starts) == 2
        await world.is_tidy()


async def test_0530_session_of_a_mailwizz_that_writes_utc(matrix: OpensMatrix, mariadb: MariaDb) -> None:
    """Bug 5: that server's sessions are of +05:30 unless they say otherwise; an update of this second is seen."""
    mariadb.execute("SET GLOBAL time_zone = '+05:30'")
    try:
        async with matrix() as world, world.home.running():
            await world.add_server()
            assert await world.run_cycle() == [1, 0]
            assert await world.run_cycle() == [0, 0]
            await world.write("UPDATE mw_delivery_server SET last_updated = UTC_TIMESTAMP()")
            assert await world.run_cycle() == [1, 0]
            assert await world.history() == ["SUCCESSFUL", "SUCCESSFUL"]
    finally:
        mariadb.execute("SET GLOBAL time_zone = '+00:00'")


async def test_0530_session_of_a_mailwizz_that_writes_its_own_time(matrix: OpensMatrix) -> None:
    """MailWizz writes +05:30 and the setting says so: an update is seen, and what we write is of the same time."""
    async with matrix(mailwizz={"time_zone": "+05:30"}) as world, world.home.running():
        await world.add_server()
        assert await world.run_cycle() == [1, 0]
        assert await world.run_cycle() == [0, 0]
        await world.write("UPDATE mw_delivery_server SET last_updated = NOW(), password = 'x'")
        assert await world.run_cycle() == [1, 1]
        ((ahead,),) = await world.fetch(
            "SELECT TIMESTAMPDIFF(MINUTE, UTC_TIMESTAMP(), last_updated) FROM mw_delivery_server"
        )
        assert (await world.status(), 329 <= int(ahead or 0) <= 330) == ("inactive", True)


@pytest.mark.parametrize(("group", "has_error"), [(GROUP, False), (99, True)])
async def test_promotion_error(matrix: OpensMatrix, group: int, has_error: bool) -> None:  # noqa: FBT001  a column of the table
    """A good server that can't be added to its group stays good: one line, active, the error is told (bug 2)."""
    async with matrix(settings={"promote_to_group": group}) as world, world.home.running():
        await world.add_server()
        await world.ask()
        await world.ends("SUCCESSFUL", "T8", "PASS", "")
        assert (world.last()["promotionError"] is not None) is has_error
        members = await world.fetch("SELECT server_id, group_id FROM mw_delivery_server_to_customer_group")
        assert members == ([] if has_error else [(7, GROUP)])


async def test_in_use_row(matrix: OpensMatrix) -> None:
    """`in-use` is sending, too: a cycle tests it and switches it off (bug 7)."""
    async with matrix() as world, world.home.running():
        await world.add_server(status="in-use", password=WRONG)
        assert await world.run_cycle() == [1, 1]
        assert (await world.history(), await world.status()) == (["FAILED"], "inactive")
        await world.has_run("FAILED", "T5", is_off=True)
        await world.is_tidy()


async def test_unknown_id(matrix: OpensMatrix) -> None:
    """T0: a dead letter with the reason; no run, no line for a server that is not there (bug 18)."""
    async with matrix() as world, world.home.running():
        await world.ask(99)
        assert [one["kind"] for one in world.told("error")] == ["no-such-server"]
        assert len(world.home.sqs.bodies(DEAD_LETTERS)) == 1
        assert await world.rows("SELECT COUNT(*) FROM server_test_run") == [(0,)]
        assert await world.fetch("SELECT COUNT(*) FROM mw_delivery_servers_tests") == [(0,)]


async def test_10_servers_failing_at_once(matrix: OpensMatrix) -> None:
    """All fail at T5 in one cycle: ERROR for each, an outage is told once, no line, nobody is switched off (bug 1)."""
    async with matrix() as world, world.home.running():
        for number in range(1, 11):
            await world.add_server(number, password=WRONG)
        assert await world.run_cycle() == [10, 0]
        told = world.last(CYCLE)
        assert (told["errors"], told["deactivated"]) == (10, 0)
        assert told["outage"].startswith("10 of 10 servers failed at T5")
        assert await world.fetch("SELECT DISTINCT status FROM mw_delivery_server") == [("active",)]
        assert await world.fetch("SELECT COUNT(*) FROM mw_delivery_servers_tests") == [(0,)]
        rows = await world.rows("SELECT DISTINCT phase, verdict, step, kept FROM server_test_run")
        assert rows == [("ENDED", "ERROR", "T5", "outage")]
        await world.is_tidy()


async def test_restart_in_t7(matrix: OpensMatrix) -> None:
    """The daemon ends while a mail is waited for; the next one finds it: one mail, one line, T7 PASS."""
    async with matrix() as world:
        world.smtp.treatment = LATE
        await world.add_server()
        async with world.home.running():
            await world.ask()
            assert world.told() == []
        world.home.clock.advance(MINUTE_MS)
        async with world.home.running():
            await world.later(MINUTE_MS)
            await world.ends("SUCCESSFUL", "T7", "PASS", "")
        assert len(world.host.record.of(Seen.TAKEN, "tested")) == 1


async def test_duplicate_sqs_delivery(matrix: OpensMatrix) -> None:
    """The same command three times, at once and after the end: one mail, one line, one result."""
    async with matrix() as world, world.home.running():
        await world.add_server()
        body = command("server.test", {"serverId": 7, "robotId": ROBOT}, id="same")
        for _ in range(2):
            world.home.sqs.send(world.home.settings.queues.commands, body)
        await world.home.quiet()
        world.home.sqs.send(world.home.settings.queues.commands, body)
        await world.home.quiet()
        assert len(world.told()) == 1
        await world.ends("SUCCESSFUL", "T8", "PASS", "")
        await world.home.database.apply([Write("DELETE FROM inbox")])  # as after its retention
        world.home.sqs.send(world.home.settings.queues.commands, body)
        await world.home.quiet()
        assert len({one["id"] for one in world.home.results(ROBOT)}) == 1
        await world.ends("SUCCESSFUL", "T8", "PASS", "")
        assert len(world.host.record.of(Seen.TAKEN, "tested")) == 1


ENCRYPTED = base64.b64encode(secrets.token_bytes(32)).decode()


@pytest.mark.parametrize("key", [None, secrets.token_hex(16)], ids=["no key", "wrong key"])
async def test_password_that_can_t_be_read(matrix: OpensMatrix, key: str | None) -> None:
    """Without the key, or with a wrong one: T1 SKIP no-path, and ERROR, never the server's FAIL."""
    async with matrix(mailwizz={"password_key": key} if key else {}) as world, world.home.running():
        await world.add_server(password=ENCRYPTED)
        await world.ask()
        await world.ends("ERROR", "T1", "SKIP", "no-path")
        assert "password" in world.last()["reason"]
        assert world.host.record.of(Seen.CONNECTED, "tested") == []


async def test_password_that_can_t_be_read_leaves_the_way_by_campaign(matrix: OpensMatrix) -> None:
    """MailWizz itself knows it: the server is tested by campaign."""
    async with matrix(settings=CAMPAIGN) as world, world.home.running():
        world.wizz._passwords = replace(world.wizz._passwords, known={7: world.account.password})
        await world.add_server(hostname=LOCAL, password=ENCRYPTED)
        await world.ask()
        await world.cron()
        await world.later(MINUTE_MS)
        await world.ends("SUCCESSFUL", "C2", "PASS", "")


async def test_password_that_is_missing(matrix: OpensMatrix) -> None:
    """A user without a password: T5 SKIP no-password, and a refusal after it is T6 ERROR, not the server's FAIL."""
    async with matrix() as world, world.home.running():
        await world.add_server(password=None)
        await world.ask()
        assert world.step("T5") == ("SKIP", "no-password")
        await world.ends("ERROR", "T6", "ERROR", "auth-required")


async def test_password_that_becomes_unreadable_mid_run(matrix: OpensMatrix) -> None:
    """Encrypted between two steps: the row is another one now, and there is no way to test it: ERROR, no line."""
    async with matrix() as world, world.home.running():
        await world.add_server(hostname="late.shop.test")
        await world.ask()
        world.dns.set({("late.shop.test", "A"): [LOCAL]})
        await world.write("UPDATE mw_delivery_server SET password = ? WHERE server_id = 7", ENCRYPTED)
        await world.later(MINUTE_MS)
        await world.ends("ERROR", "T1", "SKIP", "no-path")


async def test_a_cycle_judges_each_for_itself(matrix: OpensMatrix) -> None:
    """One bad server among four: that one alone is switched off, and what is good is not due for a day."""
    async with matrix() as world, world.home.running():
        for number in range(1, 5):
            await world.add_server(number, password=WRONG if number == 3 else world.account.password)
        assert await world.run_cycle() == [4, 1]
        statuses = await world.fetch("SELECT server_id, status FROM mw_delivery_server ORDER BY server_id")
        assert statuses == [(1, "active"), (2, "active"), (3, "inactive"), (4, "active")]
        assert await world.run_cycle() == [0, 0]
        await world.write("UPDATE mw_delivery_servers_tests SET test_insert_date = test_insert_date - INTERVAL 25 HOUR")
        await world.write("UPDATE mw_delivery_server SET last_updated = last_updated - INTERVAL 50 HOUR")
        await world.later(HOUR_MS)
        assert await world.run_cycle() == [3, 0]
