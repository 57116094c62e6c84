"""Cycles over all delivery servers: who is tested, what many failures at once mean, one cycle at a time."""

import asyncio

import pytest

from daemon.app import Outside, build
from daemon.store.database import Write
from domain.server_ports import Interactions
from domain.server_test import Finding, StepId, StepOutcome
from tests.integration.server_world import (
    CAMPAIGN,
    HOUR_MS,
    MINUTE_MS,
    ROBOT,
    SECOND_MS,
    Place,
    ServerWorld,
    server_world,
)
from tests.memory_servers import GOOD, server
from tests.world import command

BAD_PASSWORD = (*GOOD[:2], Finding(StepId.AUTH, StepOutcome.FAIL, "auth-rejected", "535 5.7.8 no"))
NO_TLS = (GOOD[0], Finding(StepId.TLS, StepOutcome.FAIL, "not-offered", "no STARTTLS"))
REFUSED = (Finding(StepId.CONNECT, StepOutcome.FAIL, "refused", "refused", may_pass_later=True),)
COUNTS = ("tested", "successful", "failed", "errors", "deactivated")
CYCLE = "server.cycle-tested"


def fleet(world: ServerWorld, count: int) -> None:
    """So many good servers."""
    world.servers.mailwizz.add(*(server(number) for number in range(1, count + 1)))


def counts(world: ServerWorld) -> tuple[int, ...]:
    """What the last cycle came to."""
    return tuple(world.last(CYCLE)[name] for name in COUNTS)


def inactive(world: ServerWorld) -> list[int]:
    """The servers that MailWizz does not send through any more."""
    return sorted(one.id for one in world.servers.mailwizz.servers.values() if not one.is_sending)


async def test_a_cycle_tests_each_server_that_needs_it_once(database_place: Place) -> None:
    """Never tested, updated since, too old, changed without a new date, in use; not the others, and none twice."""
    async with server_world(database_place) as world, world.home.running():
        fleet(world, 5)
        world.servers.mailwizz.add(server(6, status="in-use"), server(7, status="inactive"))
        await world.cycle()
        assert counts(world) == (6, 6, 0, 0, 0)
        assert sorted(world.servers.probe.delivered) == [1, 2, 3, 4, 5, 6]
        await world.later(HOUR_MS)
        await world.cycle()
        assert counts(world) == (0, 0, 0, 0, 0)
        world.servers.mailwizz.change(1)
        world.servers.mailwizz.servers[2] = server(2, port=2525)
        await world.later(HOUR_MS)
        await world.cycle()
        assert sorted(world.servers.probe.delivered[6:]) == [1, 2]
        await world.later(25 * HOUR_MS)
        await world.cycle()
        assert sorted(world.servers.probe.delivered[8:]) == [1, 2, 3, 4, 5, 6]
        assert await world.home.leftovers() == {}
        assert await world.claims() == []


async def test_an_update_in_the_second_of_a_test_is_tested_again(database_place: Place) -> None:
    """Bug 4: a tie needs a test."""
    async with server_world(database_place) as world, world.home.running():
        fleet(world, 2)
        await world.cycle()
        world.servers.mailwizz.change(2)
        await world.later(2 * SECOND_MS)
        await world.cycle()
        assert world.servers.probe.delivered.count(1) == 1
        assert world.servers.probe.delivered.count(2) == 2


async def test_force_tests_all(database_place: Place) -> None:
    """Every server that MailWizz sends through, whether or not it needs it."""
    async with server_world(database_place) as world, world.home.running():
        fleet(world, 3)
        await world.cycle()
        await world.later(MINUTE_MS)
        await world.cycle(force=True)
        assert counts(world) == (3, 3, 0, 0, 0)


async def test_each_server_that_fails_for_itself_is_switched_off(database_place: Place) -> None:
    """Two of ten at one step and one at another are no outage."""
    async with server_world(database_place) as world, world.home.running():
        fleet(world, 10)
        world.servers.probe.found.update({2: [BAD_PASSWORD], 5: [BAD_PASSWORD], 8: [NO_TLS]})
        await world.cycle()
        assert counts(world) == (10, 7, 3, 0, 3)
        assert inactive(world) == [2, 5, 8]
        told = {one["serverId"]: one["reason"][:2] for one in world.last(CYCLE)["failures"]}
        assert told == {2: "T5", 5: "T5", 8: "T4"}
        assert await world.home.leftovers() == {}


@pytest.mark.parametrize(
    ("servers", "failing"),
    [(4, range(1, 4)), (6, range(1, 4)), (50, range(20, 30)), (50, range(1, 31)), (50, range(1, 51))],
    ids=["3 of 4", "3 of 6", "10 of 50 in a row", "30 of 50", "all"],
)
async def test_servers_that_fail_together_are_not_switched_off(
    database_place: Place, servers: int, failing: range
) -> None:
    """Bug 1: half of them at one step, or many in a row, are an outage: no line, no change, ERROR, one alert."""
    async with server_world(database_place, settings={"max_in_flight": 1}) as world, world.home.running():
        fleet(world, servers)
        for number in failing:
            world.servers.probe.found[number] = [BAD_PASSWORD]
        await world.cycle()
        good = servers - len(failing)
        assert counts(world) == (servers, good, 0, len(failing), 0)
        assert inactive(world) == []
        assert [verdict for *_, verdict, _ in world.servers.mailwizz.history] == ["SUCCESSFUL"] * good
        assert f"{len(failing)} of {servers} servers failed at T5" in world.last(CYCLE)["outage"]
        alerts = await world.rows("SELECT COUNT(*) FROM journal WHERE type = 'alert.post'")
        assert alerts == [(1,)]
        assert await world.home.leftovers() == {}
        assert await world.claims() == []


async def test_ten_of_fifty_that_fail_here_and_there_are_switched_off(database_place: Place) -> None:
    """A fifth of the fleet, each between good ones, is what it looks like: ten bad servers."""
    async with server_world(database_place, settings={"max_in_flight": 1}) as world, world.home.running():
        fleet(world, 50)
        for number in range(5, 51, 5):
            world.servers.probe.found[number] = [BAD_PASSWORD]
        await world.cycle()
        assert counts(world) == (50, 40, 10, 0, 10)
        assert inactive(world) == list(range(5, 51, 5))


async def test_an_outage_in_the_middle_of_a_cycle_switches_nobody_off(database_place: Place) -> None:
    """The network is gone for three minutes: nobody is judged by it, and the cycle ends within half a minute after."""
    async with server_world(database_place) as world, world.home.running():
        fleet(world, 20)

        def goes(_server: object) -> None:
            if len(world.servers.probe.delivered) == 8:
                world.servers.probe.network = "control.test can't be reached"
                world.servers.probe.found.update({number: [REFUSED] for number in range(1, 21)})

        world.servers.probe.on_deliver = goes
        await world.cycle()
        await world.later(3 * MINUTE_MS)
        assert world.told(CYCLE) == []
        world.servers.probe.network = None
        world.servers.probe.found.clear()
        await world.later(31 * SECOND_MS)
        assert counts(world) == (20, 20, 0, 0, 0)
        assert inactive(world) == []
        assert await world.home.leftovers() == {}


async def test_an_outage_that_lasts_ends_the_cycle_without_a_verdict(database_place: Place) -> None:
    """After ten minutes of patience: all ERROR, no line, no change, and the servers are due again."""
    async with server_world(database_place) as world, world.home.running():
        fleet(world, 5)
        world.servers.mailbox.down = True
        await world.cycle()
        await world.later(11 * MINUTE_MS)
        assert counts(world) == (5, 0, 0, 5, 0)
        assert (inactive(world), world.servers.mailwizz.history) == ([], [])
        world.servers.mailbox.down = False
        await world.cycle()
        assert counts(world) == (5, 5, 0, 0, 0)


async def test_the_last_server_that_is_on_is_kept_where_wanted(database_place: Place) -> None:
    """Both fail; one of them stays."""
    async with server_world(database_place, settings={"keep_last_active": True}) as world, world.home.running():
        fleet(world, 2)
        world.servers.probe.found.update({1: [BAD_PASSWORD], 2: [BAD_PASSWORD]})
        await world.cycle()
        assert counts(world) == (2, 0, 2, 0, 1)
        assert len(inactive(world)) == 1
        assert sorted(one["kept"] for one in world.last(CYCLE)["failures"]) == ["", "last-active"]


async def test_a_second_cycle_is_refused_while_one_is_under_way(database_place: Place) -> None:
    """One at a time; and a server of it is busy for single tests, one under single test is left to that."""
    async with server_world(database_place) as world, world.home.running():
        fleet(world, 3)
        world.servers.probe.loses = True
        await world.ask(2)
        await world.cycle()
        await world.cycle()
        await world.ask(1)
        assert [one["kind"] for one in world.told("error")] == ["busy", "busy"]
        assert sorted(world.servers.probe.delivered) == [1, 2, 3]
        assert await world.claims() == ["cycle", "server:1", "server:2", "server:3"]
        await world.later(HOUR_MS)
        assert (world.last(CYCLE)["tested"], world.last(CYCLE)["busy"]) == (2, 1)
        assert await world.claims() == []


async def test_a_dry_cycle_writes_nothing(database_place: Place) -> None:
    """What would fail is told."""
    async with server_world(database_place) as world, world.home.running():
        fleet(world, 4)
        world.servers.probe.found[3] = [BAD_PASSWORD]
        await world.cycle(dryRun=True)
        assert counts(world) == (4, 3, 1, 0, 0)
        assert (inactive(world), world.servers.mailwizz.history) == ([], [])


async def test_servers_that_no_way_can_test_are_left_out(database_place: Place) -> None:
    """They are counted, and get no run."""
    async with server_world(database_place) as world, world.home.running():
        fleet(world, 2)
        world.servers.mailwizz.add(server(3, type="amazon-ses-web-api"))
        await world.cycle()
        assert (counts(world), world.last(CYCLE)["leftOut"]) == ((2, 2, 0, 0, 0), 1)


async def test_a_cycle_by_campaign_tests_one_after_the_other(database_place: Place) -> None:
    """One list, so one at a time; a run that failed and is held does not keep the list."""
    async with server_world(database_place, settings=CAMPAIGN) as world, world.home.running():
        for number in range(1, 6):
            world.servers.mailwizz.add(server(number, type="sendmail"))
        world.servers.campaigns.sent_by = None
        world.servers.campaigns.status = "giveup"
        await world.cycle()
        await world.later(10 * MINUTE_MS)
        assert counts(world) == (5, 0, 0, 5, 0)
        assert "failed at C2" in world.last(CYCLE)["outage"]
        assert await world.claims() == []


@pytest.mark.parametrize("seen", [(1, 1, 1, 0), (1, 0, 0, 1)], ids=["bounce", "click"])
@pytest.mark.parametrize("is_back", [True, False], ids=["counts again", "stays away"])
async def test_what_mailwizz_has_not_counted_needs_a_later_test_that_it_has(
    database_place: Place, seen: tuple[int, int, int, int], *, is_back: bool
) -> None:
    """Its cron stops in the middle of one test: no server is at fault, unless a later one shows that it runs."""
    async with server_world(database_place, settings=CAMPAIGN) as world, world.home.running():
        world.servers.mailwizz.add(*(server(number, type="sendmail") for number in (1, 2)))
        campaigns = world.servers.campaigns
        campaigns.seen = Interactions(*seen)
        campaigns.later = (1, Interactions(1, 1, 1, 1)) if is_back else None
        await world.cycle()
        await world.later(2 * HOUR_MS)
        assert counts(world) == ((2, 1, 1, 0, 1) if is_back else (2, 0, 0, 2, 0))
        assert inactive(world) == ([1] if is_back else [])
        assert await world.claims() == []


async def test_cycles_begin_by_themselves_once_an_hour(database_place: Place) -> None:
    """At the start, then hourly; what was missed while nobody was there is made up for once."""
    async with server_world(database_place, settings={"every_s": 3600, "max_age_s": 60}) as world:
        fleet(world, 1)
        async with world.home.running():
            await begins(world, 1)
            await world.later(2 * HOUR_MS + MINUTE_MS)
            assert len(world.servers.mailwizz.history) == 3
        world.home.clock.advance(10 * HOUR_MS)
        async with world.home.running():
            await begins(world, 4)
            await world.later(HOUR_MS - MINUTE_MS)
            assert len(world.servers.mailwizz.history) == 4
            await world.later(2 * MINUTE_MS)
            assert len(world.servers.mailwizz.history) == 5


async def begins(world: ServerWorld, lines: int) -> None:
    """Return once so many lines of history are there: nobody rings when a daemon has looked around at its start."""
    async with asyncio.timeout(20):
        while len(world.servers.mailwizz.history) < lines:
            await world.home._a_moment()
    await world.home.quiet()


async def test_a_schedule_that_was_lost_is_made_anew_and_one_that_is_off_is_taken_away(database_place: Place) -> None:
    """The keeper looks at the start; a shorter time between two cycles counts at once."""
    due = "SELECT due_at_ms FROM timer WHERE id = 'server-test.cycle:schedule'"
    async with server_world(database_place, settings={"every_s": 7200}) as world:
        for settings, expected in (({"every_s": 7200}, 7200), ({"every_s": 600}, 600), ({"every_s": 0}, None)):
            own = world.home.settings.server_tests.model_copy(update=settings)
            world.home.settings = world.home.settings.model_copy(update={"server_tests": own})
            wanted = [] if expected is None else [(world.home.clock.now_ms() + expected * 1000,)]
            async with world.home.running(), asyncio.timeout(20):
                while await world.rows(due) != wanted:
                    await world.home._a_moment()


async def test_a_run_that_lost_its_timer_goes_on(database_place: Place) -> None:
    """As after a hand that slipped: the keeper gives it its timer at the next start."""
    async with server_world(database_place) as world:
        fleet(world, 2)
        world.servers.probe.loses = True
        async with world.home.running():
            await world.cycle()
        await world.home.database.apply([Write("DELETE FROM timer")])
        for mail in world.servers.probe.mails:
            world.servers.mailbox.put(mail.token, b"From: <news@sender.test>\r\nReply-To: news@sender.test\r\n\r\n")
        world.home.clock.advance(MINUTE_MS)
        async with world.home.running():
            await begins(world, 2)
            assert counts(world) == (2, 2, 0, 0, 0)
            assert await world.claims() == []


async def test_two_replicas_share_a_cycle(database_place: Place) -> None:
    """Each server is tested once, whoever takes its step, and one of them tells of the end."""
    async with server_world(database_place) as world, world.home.running():
        fleet(world, 30)
        world.servers.probe.found[7] = [BAD_PASSWORD]
        async with build(world.home.settings, Outside(world.home.clock, open_servers=world.servers.open)) as second:
            run = asyncio.create_task(second.run())
            for _ in range(2):
                world.home.sqs.send(
                    world.home.settings.queues.commands, command("server.test-cycle", {"robotId": ROBOT})
                )
            async with asyncio.timeout(20):
                while not world.told(CYCLE):
                    await world.home.quiet()
                    await world.home._a_moment()
            second.stop()
            while not run.done():
                world.home.sqs.end_polls()
                await asyncio.wait([run], timeout=0.02)
        assert sorted(world.servers.probe.delivered) == list(range(1, 31))
        assert inactive(world) == [7]
        assert len(world.servers.mailwizz.history) == 30
        assert len(world.told(CYCLE)) + len(world.told("error")) == 2


async def test_the_same_cycle_again_gets_the_stored_result(database_place: Place) -> None:
    """Also where the inbox has forgotten the command: while it is under way nothing, then the same words."""
    async with server_world(database_place) as world, world.home.running():
        fleet(world, 2)
        world.servers.probe.loses = True
        for is_over in (False, True):
            for _ in range(2):
                await world.tell("server.test-cycle", {"robotId": ROBOT}, id="same")
                await world.home.database.apply([Write("DELETE FROM inbox")])
            if not is_over:
                assert world.told(CYCLE) == []
                await world.later(HOUR_MS)
        told = world.told(CYCLE)
        assert len(told) == 3
        assert all(one == told[0] for one in told)
        assert world.told("error") == []
        assert len(world.servers.probe.delivered) == 2


async def test_a_tick_waits_for_mailwizz_and_leaves_a_cycle_that_is_under_way_alone(database_place: Place) -> None:
    """Down at its time: it begins within half a minute after. Under way still at the next: it is not doubled."""
    async with server_world(database_place, settings={"every_s": 600, "max_age_s": 60}) as world:
        fleet(world, 1)
        world.servers.mailwizz.down = True
        async with world.home.running():
            async with asyncio.timeout(20):
                while ("retried",) not in await world.rows("SELECT outcome FROM journal"):
                    await world.home._a_moment()
            world.servers.probe.loses = True
            world.servers.mailwizz.down = False
            await world.later(21 * SECOND_MS)
            assert world.servers.probe.delivered == [1]
            await world.later(15 * MINUTE_MS)
            assert world.servers.probe.delivered == [1]
            assert ("a cycle is under way already",) in await world.rows("SELECT reason FROM journal")
