"""Whole days of rolling monitors in a small world, on both engines: when alarms are posted, and what is left."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from localstack.faults import When
from tests.mariadb import MariaDb
from tests.monitors import (
    ALARM_ACTION,
    EVENT,
    ROBOT,
    SESSION,
    alarms,
    at,
    leftovers,
    pass_to,
    planned,
    posted,
    robot,
    rule,
    session_row,
    visit,
    windows,
    write_rules,
)
from tests.world import World, world

EARLY = at("06:00")
Opens = Callable[..., AbstractAsyncContextManager[World]]


@pytest.fixture(params=["sqlite", "mariadb"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    """A fresh database on each engine."""
    if request.param == "sqlite":
        yield tmp_path / "robotd.db"
        return
    server: MariaDb = request.getfixturevalue("mariadb")
    address = server.new_database()
    yield address
    server.drop(address)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The file of rules, with the plain one in it."""
    return write_rules(tmp_path / "monitors.yaml", robot())


@pytest.fixture
def opens(place: Any, rules: Path) -> Opens:
    """A world with the rules, at 06:00 in the morning."""

    @asynccontextmanager
    async def open_one(start_ms: int = EARLY, copies: int = 1) -> AsyncIterator[World]:
        monitors = {"file": str(rules), "look_every_s": 0.05}
        async with world(place, start_ms=start_ms, copies=copies, monitors=monitors) as home:
            yield home

    return open_one


async def test_a_silent_day_alarms_at_each_window_s_end_and_never_drifts(opens: Opens) -> None:
    """Six windows of two hours: six alarms, to the second, and the robot is told of each; then everything is let go."""
    async with opens() as home:
        async with home.running():
            await planned(home)
            await pass_to(home, "08:00")
            (subscription,) = home.megazord.active_subscriptions(ROBOT)
            assert subscription.asked_until == "2025-11-25T19:00:00.000Z"
            await pass_to(home, "23:00")
        ends = ["10:00", "12:00", "14:00", "16:00", "18:00", "20:00"]
        assert alarms(home) == [(end, str(number)) for number, end in enumerate(ends, 1)]
        assert {event.provider_name for event in posted(home)} == {"azi-3-status-jobs"}
        assert {str(event.reference_id).rpartition("-")[0] for event in posted(home)} == {SESSION}
        told = home.results(ROBOT)
        assert [result["id"] for result in told] == [f"ma-{SESSION}-{number}" for number in range(1, 7)]
        assert [result["payload"]["alarmsInRow"] for result in told] == [1, 2, 3, 4, 5, 6]
        assert {result["type"] for result in told} == {"monitor.alarm"}
        assert await windows(home) == [
            ("08:00", "10:00", "ALARM"),
            ("10:00", "12:00", "ALARM"),
            ("12:00", "14:00", "ALARM"),
            ("14:00", "16:00", "ALARM"),
            ("16:00", "18:00", "ALARM"),
            ("18:00", "20:00", "ALARM"),
        ]
        assert (await session_row(home, "phase"))[0] == "ENDED"
        assert await leftovers(home) == {}


async def test_each_event_restarts_the_window_and_the_shortened_last_one_is_silent(opens: Opens) -> None:
    """Events at 09:30, 11:00 and 12:59: one silence of two hours after each gap, and none for the cut window."""
    async with opens() as home:
        async with home.running():
            await planned(home)
            await visit(home, "09:30")
            await visit(home, "11:00")
            await visit(home, "12:59")
            await visit(home, "15:30")
            await visit(home, "18:30")
            await pass_to(home, "21:00")
        assert alarms(home) == [("14:59", "4"), ("17:30", "6")]
        assert await windows(home) == [
            ("08:00", "09:30", "EVENT"),
            ("09:30", "11:00", "EVENT"),
            ("11:00", "12:59", "EVENT"),
            ("12:59", "14:59", "ALARM"),
            ("14:59", "15:30", "EVENT"),
            ("15:30", "17:30", "ALARM"),
            ("17:30", "18:30", "EVENT"),
            ("18:30", "20:00", "PARTIAL"),
        ]
        assert [result["payload"]["alarmsInRow"] for result in home.results(ROBOT)] == [1, 1]
        assert await leftovers(home) == {}


async def test_a_shortened_window_alarms_where_the_rule_says_so(opens: Opens, rules: Path) -> None:
    """`alarmOnPartialWindow` makes the end of the day the end of a window like any other."""
    write_rules(rules, robot(rule(alarmOnPartialWindow=True)))
    async with opens() as home:
        async with home.running():
            await planned(home)
            await visit(home, "19:30")
            await pass_to(home, "21:00")
        assert alarms(home)[-1] == ("20:00", "7")
        assert (await windows(home))[-1] == ("19:30", "20:00", "ALARM")


async def test_escalation_waits_for_silence_in_a_row(opens: Opens, rules: Path) -> None:
    """With `after: 2` the robot is told of the second alarm in a row; an event begins the count anew."""
    write_rules(rules, robot(rule(actions=[ALARM_ACTION, {"type": "MESSAGE", "after": 2}])))
    async with opens() as home:
        async with home.running():
            await planned(home)
            await visit(home, "13:00")
            await pass_to(home, "17:30")
        assert alarms(home) == [("10:00", "1"), ("12:00", "2"), ("15:00", "4"), ("17:00", "5")]
        assert [result["id"] for result in home.results(ROBOT)] == [f"ma-{SESSION}-2", f"ma-{SESSION}-5"]


async def test_repeats_and_strays_change_nothing(opens: Opens) -> None:
    """Each event comes three times, one comes from before the window, one after the day: the windows are the same."""
    async with opens(copies=3) as home:
        async with home.running():
            await planned(home)
            await visit(home, "09:30")
            await home.megazord.post_event(ROBOT, EVENT, created_at_ms=at("09:10"))
            await home.megazord.post_event(ROBOT, EVENT, created_at_ms=at("20:00"))
            await home.quiet()
            await pass_to(home, "11:00")
        assert await windows(home) == [("08:00", "09:30", "EVENT")]
        assert await session_row(home, "window_number, window_start_ms") == (2, at("09:30"))


async def test_an_event_that_megazord_lost_on_the_way_is_found_in_its_history(opens: Opens) -> None:
    """The window goes on from the event, although nobody was told of it, and no alarm is posted."""
    async with opens() as home:
        home.megazord.faults.drop_fan_out(times=1)
        async with home.running():
            await planned(home)
            await visit(home, "09:30")
            await pass_to(home, "11:29:59")
            assert alarms(home) == []
            await pass_to(home, "11:30")
        assert alarms(home) == [("11:30", "2")]
        assert await windows(home) == [("08:00", "09:30", "EVENT"), ("09:30", "11:30", "ALARM")]


async def test_a_restart_in_the_middle_changes_nothing(opens: Opens) -> None:
    """Two events come while no daemon runs; the next one goes on as if it had been there."""
    async with opens() as home:
        async with home.running():
            await planned(home)
            await visit(home, "08:30")
        home.clock.set(at("09:30"))
        await home.megazord.post_event(ROBOT, EVENT)
        home.clock.set(at("09:40"))
        async with home.running():
            await home.quiet()
            await pass_to(home, "12:00")
        assert alarms(home) == [("11:30", "3")]
        assert await windows(home) == [
            ("08:00", "08:30", "EVENT"),
            ("08:30", "09:30", "EVENT"),
            ("09:30", "11:30", "ALARM"),
        ]


async def test_after_an_outage_only_the_latest_alarm_is_posted(opens: Opens) -> None:
    """The daemon is away from 09:00 to 15:00: of the silences until then only the one that is still true is told."""
    async with opens() as home:
        async with home.running():
            await planned(home)
            await pass_to(home, "09:00")
        home.clock.set(at("15:00"))
        async with home.running():
            await home.quiet()
        assert alarms(home) == [("15:00", "3")]
        assert [result["id"] for result in home.results(ROBOT)] == [f"ma-{SESSION}-3"]
        assert await windows(home) == [
            ("08:00", "10:00", "MISSED"),
            ("10:00", "12:00", "MISSED"),
            ("12:00", "14:00", "ALARM"),
        ]


async def test_a_late_alarm_that_is_no_longer_true_is_not_posted(opens: Opens) -> None:
    """The silence until 10:00 was over when the daemon came back, so nobody is alarmed by it any more."""
    async with opens() as home:
        async with home.running():
            await planned(home)
            await pass_to(home, "09:00")
        home.clock.set(at("11:00"))
        await home.megazord.post_event(ROBOT, EVENT)
        home.clock.set(at("11:30"))
        async with home.running():
            await home.quiet()
        assert alarms(home) == []
        assert await windows(home) == [("08:00", "10:00", "MISSED"), ("10:00", "11:00", "EVENT")]


async def test_a_missed_opening_is_judged_from_its_start(opens: Opens) -> None:
    """The daemon is away from 07:00 to 10:30: the day begins at 08:00, and its first alarm is posted late."""
    async with opens() as home:
        async with home.running():
            await planned(home)
        home.clock.set(at("08:20"))
        await home.megazord.post_event(ROBOT, EVENT)
        home.clock.set(at("10:30"))
        async with home.running():
            await home.quiet()
            await pass_to(home, "12:30")
        assert await windows(home) == [
            ("08:00", "08:20", "EVENT"),
            ("08:20", "10:20", "ALARM"),
            ("10:20", "12:20", "ALARM"),
        ]
        assert alarms(home) == [("10:30", "2"), ("12:20", "3")]


async def test_a_day_that_was_missed_whole_is_judged_and_the_present_one_opened(opens: Opens) -> None:
    """Away from the evening before until the afternoon after next: both days are in the audit, one alarm is posted."""
    async with opens() as home:
        async with home.running():
            await planned(home)
        home.clock.set(at("13:00", "2025-11-26"))
        async with home.running():
            await home.quiet()
        assert [how for _, _, how in await windows(home)] == ["MISSED"] * 6
        second = SESSION.replace("2025-11-25", "2025-11-26")
        assert await windows(home, second) == [("08:00", "10:00", "MISSED"), ("10:00", "12:00", "ALARM")]
        assert [event.reference_id for event in posted(home)] == [f"{second}-2"]
        assert len(home.megazord.active_subscriptions()) == 1


async def test_megazord_may_be_down_when_a_window_ends(opens: Opens) -> None:
    """Nothing is called silent without its history; when Megazord is back, the alarm follows, once."""
    async with opens() as home:
        async with home.running() as daemon:
            await planned(home)
            await pass_to(home, "09:59")
            home.megazord.faults.fail("*")
            home.clock.set(at("10:00"))
            await home.megazord.faults.until(lambda: len(home.megazord.faults.struck) >= 1)
            await daemon.at_rest()
            assert await windows(home) == []
            home.megazord.faults.clear()
            await pass_to(home, "10:05")
        assert await windows(home) == [("08:00", "10:00", "ALARM")]
        assert len(posted(home)) == 1
        assert home.sqs.messages(home.settings.queues.timers_dead_letter) == []


@pytest.mark.parametrize("when", [When.BEFORE, When.AFTER])
async def test_an_alarm_whose_answer_was_lost_is_posted_once(opens: Opens, when: When) -> None:
    """Whether the post had reached Megazord or not: the next try looks before it posts."""
    async with opens() as home:
        async with home.running():
            await planned(home)
            await pass_to(home, "09:59")
            home.megazord.faults.reset("incomings.create", times=1, when=when)
            await pass_to(home, "10:05")
        assert [route for route, _ in home.megazord.faults.struck] == ["incomings.create"]
        assert [event.reference_id for event in posted(home)] == [f"{SESSION}-1"]
        assert await session_row(home, "alarms_in_row") == (1,)
        rows = await home.database.fetch("SELECT COUNT(*) FROM monitor_window WHERE posted_at_ms IS NOT NULL")
        assert rows[0][0] == 1


async def test_an_alarm_that_megazord_refuses_leaves_the_day_alone(opens: Opens, rules: Path) -> None:
    """An event name that Megazord does not know ends as a dead letter with the reason; the windows go on."""
    action = {"type": "ALARM", "config": {"eventName": "NO_SUCH_EVENT"}}
    write_rules(rules, robot(rule(actions=[action, {"type": "MESSAGE"}])))
    async with opens() as home:
        async with home.running():
            await planned(home)
            await pass_to(home, "12:00")
        letters = home.sqs.messages(home.settings.queues.timers_dead_letter)
        assert [letter.attributes["handler"] for letter in letters] == ["MonitorHandlers.alarm"] * 2
        assert len(await windows(home)) == 2
        assert len(home.results(ROBOT)) == 2


async def test_a_refused_subscription_is_told_once_a_day_and_tried_again_on_the_next(opens: Opens, rules: Path) -> None:
    """An unknown event name: one dead letter for each day, and the next day is opened all the same."""
    write_rules(rules, robot(rule(eventName="NO_SUCH_EVENT")))
    async with opens() as home:
        async with home.running():
            await planned(home)
            await pass_to(home, "21:00")
            assert len(home.sqs.messages(home.settings.queues.timers_dead_letter)) == 1
            assert (await session_row(home, "phase"))[0] == "REFUSED"
            await pass_to(home, "21:00", "2025-11-26")
        assert len(home.sqs.messages(home.settings.queues.timers_dead_letter)) == 2
        assert home.megazord.active_subscriptions() == []
