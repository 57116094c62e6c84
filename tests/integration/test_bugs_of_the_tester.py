"""What the tester that we replace did wrong, over real parts: each test would have caught it.

The numbers are those of docs/from-server-tester.md. Each test asserts the final state and the whole history; what the
fault matrix (`test_server_matrix_*.py`) has of a bug already is named there and not repeated here.
"""

import asyncio
import secrets
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from localstack.mail_host import Seen, Treatment
from localstack.tcp_proxy import TcpProxy
from tests.integration.matrix_world import (
    CAMPAIGN,
    CYCLE,
    GROUP,
    LOCAL,
    READER,
    MatrixWorld,
    OpensMatrix,
    Place,
    matrix_world,
)
from tests.integration.server_world import MINUTE_MS, ROBOT, SECOND_MS
from tests.mariadb import MariaDb
from tests.world import command

pytestmark = pytest.mark.usefixtures("quick_looks")
WRONG = secrets.token_hex(8)
LATE = Treatment(late_ms=30 * SECOND_MS)


@pytest.fixture
def both(database_place: Place, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpensMatrix]:
    """Opens a world in which MailWizz's tables are on the same engine as robotd's own."""
    if isinstance(database_place, Path):
        yield partial(matrix_world, database_place, tmp_path / "mailwizz.db", tmp_path)
        return
    server: MariaDb = request.getfixturevalue("mariadb")
    tables = server.new_database()
    yield partial(matrix_world, database_place, tables, tmp_path)
    server.drop(tables)


async def second_is_over(world: MatrixWorld) -> str:
    """Return in MailWizz's next second, which its database's clock brings, and say which one that is."""
    now = begun = await world.ago(0)
    async with asyncio.timeout(5):
        while now == begun:
            await world.home._a_moment()
            now = await world.ago(0)
    return now


async def test_an_outage_of_the_mailbox_deactivates_no_fleet(both: OpensMatrix) -> None:
    """Bug 1: three servers while the mailbox is down: no verdict, no line, all active; tested afterwards."""
    async with both() as world, TcpProxy(world.home.clock, world.host.imap.port) as proxy:
        own = world.home.settings.mail.model_copy(update={"imap_port": proxy.port})
        world.home.settings = world.home.settings.model_copy(update={"mail": own})
        proxy.refuse()
        async with world.home.running():
            for number in (1, 2, 3):
                await world.add_server(number)
            await world.cycle()
            await world.later(12 * MINUTE_MS)
            told = world.last(CYCLE)
            assert (told["tested"], told["errors"], told["failed"], told["deactivated"]) == (3, 3, 0, 0)
            assert await world.fetch("SELECT COUNT(*) FROM mw_delivery_servers_tests") == [(0,)]
            proxy.clear()
            assert await world.run_cycle() == [3, 0]
            assert await world.fetch("SELECT DISTINCT status FROM mw_delivery_server") == [("active",)]
            assert [await world.history(number) for number in (1, 2, 3)] == [["SUCCESSFUL"]] * 3


async def test_a_promotion_is_outside_of_the_verdict_and_repeatable(both: OpensMatrix) -> None:
    """Bug 2: a server that is in its group already, and one whose group is gone: one SUCCESSFUL each and no FAILED."""
    async with both(settings={"promote_to_group": GROUP}) as world, world.home.running():
        await world.add_server()
        await world.wizz.records.insert("delivery_server_to_customer_group", server_id=7, group_id=GROUP)
        assert await world.run_cycle() == [1, 0]
        assert await world.fetch("SELECT server_id, group_id FROM mw_delivery_server_to_customer_group") == [(7, GROUP)]
        await world.write("DELETE FROM mw_customer_group")
        await world.write("UPDATE mw_delivery_server SET hostname = '127.0.0.1'")
        assert await world.run_cycle() == [1, 0]
        assert (await world.history(), await world.status()) == (["SUCCESSFUL", "SUCCESSFUL"], "active")
        await world.is_tidy()


async def test_an_edit_during_the_test_is_tested_again(both: OpensMatrix) -> None:
    """Bug 3: edited while it was tested: the line has the beginning of the test, not its end, so it is due."""
    async with both() as world, world.home.running():
        world.smtp.treatment = LATE
        await world.add_server()
        await world.cycle()
        edited = await second_is_over(world)
        await world.write("UPDATE mw_delivery_server SET name = 'edited', last_updated = ?", edited)
        await second_is_over(world)
        await world.later(MINUTE_MS)
        assert await world.history() == ["SUCCESSFUL"]
        ((began,),) = await world.fetch("SELECT test_insert_date FROM mw_delivery_servers_tests")
        assert str(began) < edited
        world.smtp.treatment = Treatment()
        assert await world.run_cycle() == [1, 0]
        assert await world.run_cycle() == [0, 0]


async def test_an_edit_in_the_second_of_the_test_is_tested_again(both: OpensMatrix) -> None:
    """Bug 4: on a tie one test more, and then none."""
    async with both() as world, world.home.running():
        await world.add_server()
        assert await world.run_cycle() == [1, 0]
        await world.write(
            "UPDATE mw_delivery_server SET last_updated = (SELECT MAX(test_insert_date) FROM mw_delivery_servers_tests)"
        )
        assert await world.run_cycle() == [1, 0]
        assert await world.run_cycle() == [0, 0]
        assert await world.history() == ["SUCCESSFUL", "SUCCESSFUL"]


async def test_a_zone_of_mailwizz_s_own_hides_no_update(both: OpensMatrix) -> None:
    """Bug 5: MailWizz writes its times in +05:30, on either engine; an update is seen at once."""
    async with both(mailwizz={"time_zone": "+05:30"}) as world, world.home.running():
        await world.add_server(last_updated=await world.ago(3600))
        assert await world.run_cycle() == [1, 0]
        assert await world.run_cycle() == [0, 0]
        await world.write("UPDATE mw_delivery_server SET last_updated = ?", await world.ago(0))
        assert await world.run_cycle() == [1, 0]


async def test_no_update_falls_between_two_cycles_and_no_new_server_is_tested_twice(both: OpensMatrix) -> None:
    """Bug 6: what was updated two hours ago and not tested since is due; a new one is due for two reasons, and once."""
    async with both() as world, world.home.running():
        await world.add_server(7, last_updated=await world.ago(2 * 3600))
        await world.wizz.records.insert(
            "delivery_servers_tests",
            delivery_server_id=7,
            status="SUCCESSFUL",
            test_insert_date=await world.ago(3 * 3600),
        )
        await world.add_server(8, last_updated=await world.ago(0))
        assert await world.run_cycle() == [2, 0]
        assert len(world.host.record.of(Seen.TAKEN, "tested")) == 2
        assert (await world.history(7), await world.history(8)) == (["SUCCESSFUL", "SUCCESSFUL"], ["SUCCESSFUL"])


async def test_a_server_in_use_is_tested_and_stays_in_use(both: OpensMatrix) -> None:
    """Bug 7: `in-use` is in the cycle, and a good test leaves it as it is; a bad one is in the matrix."""
    async with both() as world, world.home.running():
        await world.add_server(status="in-use")
        assert await world.run_cycle() == [1, 0]
        assert (await world.history(), await world.status()) == (["SUCCESSFUL"], "in-use")


async def test_a_change_by_hand_in_the_database_is_seen(both: OpensMatrix) -> None:
    """Bug 8: it moves no last_updated, but the fingerprint; a save without a change costs one test and no more."""
    async with both() as world, world.home.running():
        await world.add_server()
        assert await world.run_cycle() == [1, 0]
        await world.write("UPDATE mw_delivery_server SET hostname = '127.0.0.1'")
        assert await world.run_cycle() == [1, 0]
        await world.write("UPDATE mw_delivery_server SET last_updated = ?", await world.ago(0))
        assert await world.run_cycle() == [1, 0]
        assert await world.run_cycle() == [0, 0]


async def test_a_server_that_failed_does_not_count_as_tested_for_a_day(both: OpensMatrix) -> None:
    """Bug 9: where two failures switch off the second test comes with the next cycle, and it is off then."""
    async with both(settings={"failures_before_deactivate": 2}) as world, world.home.running():
        await world.add_server(password=WRONG)
        assert await world.run_cycle() == [1, 1]
        assert await world.status() == "active"
        assert await world.run_cycle() == [1, 1]
        assert (await world.history(), await world.status()) == (["FAILED", "FAILED"], "inactive")


async def test_a_server_that_is_off_is_tested_when_asked_for_and_when_it_is_on_again(both: OpensMatrix) -> None:
    """Bug 9: the original never looked at it again. A good test tells so and switches nothing on by itself."""
    async with both() as world, world.home.running():
        await world.add_server(password=WRONG)
        assert await world.run_cycle() == [1, 1]
        await world.write("UPDATE mw_delivery_server SET password = ?", world.account.password)
        assert await world.run_cycle() == [0, 0]
        await second_is_over(world)
        await world.ask()
        assert (world.last()["verdict"], await world.status()) == ("SUCCESSFUL", "inactive")
        await world.write("UPDATE mw_delivery_server SET status = 'active', last_updated = ?", await world.ago(0))
        assert await world.run_cycle() == [1, 0]
        assert (await world.history(), await world.status()) == (["FAILED", "SUCCESSFUL", "SUCCESSFUL"], "active")


async def test_a_server_that_was_repaired_meanwhile_is_not_switched_off(both: OpensMatrix) -> None:
    """Bug 10: its administrator has saved it while the test failed: FAILED is told, `changed` is why it stays on."""
    async with both() as world, world.home.running():
        world.smtp.treatment = Treatment(is_lost=True)
        await world.add_server()
        await world.ask()
        await world.write("UPDATE mw_delivery_server SET last_updated = ?", await second_is_over(world))
        await world.later(21 * MINUTE_MS)
        assert (world.last()["kept"], world.last()["deactivationSkipped"]) == ("changed", True)
        assert (await world.history(), await world.status()) == (["FAILED"], "active")


async def test_a_server_that_was_deleted_meanwhile_leaves_nothing(both: OpensMatrix) -> None:
    """Bug 10: no line for a row that is gone, and no silence: ERROR is told."""
    async with both() as world, world.home.running():
        world.smtp.treatment = LATE
        await world.add_server()
        await world.ask()
        await world.write("DELETE FROM mw_delivery_server")
        await world.later(MINUTE_MS)
        assert (world.last()["verdict"], await world.history()) == ("ERROR", [])
        assert "deleted" in world.last()["reason"]
        await world.is_tidy()


async def test_a_server_that_another_stood_in_for_is_not_called_good(both: OpensMatrix) -> None:
    """Bug 11: MailWizz falls back to another server in silence; its log tells, and nobody is judged."""
    async with both(settings=CAMPAIGN) as world, world.home.running():
        await world.add_server(hostname=LOCAL)
        await world.add_server(8, hostname=LOCAL)
        await world.ask(path="campaign")
        await world.write("UPDATE mw_delivery_server SET status = 'inactive' WHERE server_id = 7")
        await world.cron()
        await world.later(MINUTE_MS)
        assert (world.last()["verdict"], world.step("C2")) == ("ERROR", ("ERROR", "not-isolated"))
        assert len(world.mails_to(READER)) == 1
        assert (await world.history(7), await world.history(8)) == ([], [])


async def test_a_send_that_failed_is_told_by_mailwizz_s_log_at_once(both: OpensMatrix) -> None:
    """Bug 12: within ten seconds, where the original waited twenty minutes, and with the server's own words."""
    async with both(settings=CAMPAIGN) as world, world.home.running():
        await world.add_server(hostname=LOCAL, password=WRONG)
        await world.ask(path="campaign")
        await world.cron()
        await world.later(10 * SECOND_MS)
        await world.ends("FAILED", "C2", "FAIL", "giveup")
        assert "535" in world.last()["reason"]


async def test_two_tests_by_campaign_do_not_disturb_each_other(both: OpensMatrix) -> None:
    """Bug 13: the first one's unsubscribe and bounce are undone before the second begins; both count all they need."""
    async with both(settings=CAMPAIGN) as world, world.home.running():
        await world.add_server(7, hostname=LOCAL)
        await world.add_server(8, hostname=LOCAL)
        for number in (7, 8):
            world.home.sqs.send(world.home.settings.queues.commands, asked(number))
        await world.home.quiet()
        for _ in range(2):
            await world.cron()
            await world.later(2 * MINUTE_MS)
        assert sorted((one["serverId"], one["verdict"]) for one in world.told()) == [
            (7, "SUCCESSFUL"),
            (8, "SUCCESSFUL"),
        ]
        unsubscribes = await world.fetch("SELECT campaign_id, COUNT(*) FROM mw_campaign_track_unsubscribe GROUP BY 1")
        assert [count for _, count in unsubscribes] == [1, 1]
        await world.is_tidy()


def asked(server_id: int) -> str:
    return command("server.test", {"serverId": server_id, "robotId": ROBOT, "path": "campaign"})


async def test_a_reader_that_is_slow_costs_nobody(both: OpensMatrix) -> None:
    """Bug 14: the mail is stored minutes before it is opened, clicked and left: all three are waited for."""
    async with both(settings={**CAMPAIGN, "campaign_arrival": "table"}) as world, world.home.running():
        await world.add_server(hostname=LOCAL)
        await world.by_campaign()
        (raw,) = world.mails_to(READER)
        await world.wizz.records.store_mail(raw)
        await world.later(2 * MINUTE_MS)
        assert world.told() == []
        await world.read(raw)
        await world.later(2 * MINUTE_MS)
        await world.ends("SUCCESSFUL", "T15", "PASS", "")


async def test_a_list_that_asks_twice_is_left_by_one_click(both: OpensMatrix) -> None:
    """Bug 15: the link alone shows a form there; the POST of RFC 8058 is counted."""
    async with both(settings=CAMPAIGN) as world, world.home.running():
        await world.write("UPDATE mw_list SET opt_out = 'double'")
        await world.add_server(hostname=LOCAL)
        await world.by_campaign()
        await world.ends("SUCCESSFUL", "T15", "PASS", "")
        assert await world.fetch("SELECT COUNT(*) FROM mw_campaign_track_unsubscribe") == [(1,)]


async def test_the_open_is_before_the_click_and_nobody_leaves_the_tracking_host(both: OpensMatrix) -> None:
    """Bug 16: a click counts as an open too, and leads away: MailWizz sees open, click, unsubscribe, and no more."""
    async with both(settings=CAMPAIGN) as world, world.home.running():
        await world.add_server(hostname=LOCAL)
        await world.by_campaign()
        await world.ends("SUCCESSFUL", "T15", "PASS", "")
        done = [(request.method, request.path.split("/")[3]) for request in world.wizz.requests]
        assert done == [("GET", "track-opening"), ("GET", "track-url"), ("POST", "unsubscribe")]
        assert await world.fetch("SELECT COUNT(*) FROM mw_campaign_track_open") == [(1,)]


async def test_a_table_of_years_is_not_read_at_each_look(matrix: OpensMatrix, mariadb: MariaDb) -> None:
    """Bug 17: two thousand old mails, and a run that looks for its own: the database reads none of them."""
    async with matrix(settings={**CAMPAIGN, "campaign_arrival": "table"}) as world, world.home.running():
        table = "mailbox_emails_links_clicker_emails"
        await world.write(f"CREATE INDEX by_date ON {table} (email_date)")
        await world.write(
            f"INSERT INTO {table} (email_date, email_subject, email_headers, email_from, email_to)"  # noqa: S608  a name of ours
            " SELECT NOW() - INTERVAL 3 + seq DAY, CONCAT('old ', seq), '{}', 'a', 'b' FROM seq_1_to_2000"
        )
        await world.add_server(hostname=LOCAL)
        await world.by_campaign()
        before = rows_read(mariadb)
        await world.later(5 * MINUTE_MS)
        assert rows_read(mariadb) - before < 2000
        (raw,) = world.mails_to(READER)
        await world.wizz.records.store_mail(raw)
        await world.read(raw)
        await world.later(2 * MINUTE_MS)
        await world.ends("SUCCESSFUL", "T7", "PASS", "")


def rows_read(mariadb: MariaDb) -> int:
    """How many rows the server has read so far, one after the other."""
    wanted = "'Handler_read_rnd_next', 'Handler_read_next'"
    sql = "SELECT SUM(variable_value) FROM information_schema.global_status WHERE variable_name IN"
    return int(mariadb.execute(f"{sql} ({wanted})")[0][0])


async def test_a_server_without_a_domain_fails_before_anything_is_touched(both: OpensMatrix) -> None:
    """Bug 18: T1 FAIL malformed, where the original broke after changing subscribers; an unknown id is refused."""
    async with both(settings=CAMPAIGN) as world, world.home.running():
        await world.write("UPDATE mw_list_subscriber SET status = 'unsubscribed'")
        await world.add_server(from_email="nobody")
        await world.ask(path="campaign")
        await world.ends("FAILED", "T1", "FAIL", "malformed")
        assert await world.fetch("SELECT DISTINCT status FROM mw_list_subscriber") == [("unsubscribed",)]
        await world.ask(99)
        assert [one["kind"] for one in world.told("error")] == ["no-such-server"]
        assert await world.history(99) == []


async def test_a_campaign_without_a_sender_header_is_good(both: OpensMatrix) -> None:
    """Bug 19: no MailWizz sets one, so only a setting asks for it."""
    async with both(settings=CAMPAIGN) as world, world.home.running():
        await world.add_server(hostname=LOCAL)
        await world.by_campaign()
        await world.ends("SUCCESSFUL", "T8", "PASS", "")
        (raw,) = world.mails_to(READER)
        assert b"\nSender:" not in raw
