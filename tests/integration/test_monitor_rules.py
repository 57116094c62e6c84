"""Rules that change while their day runs, two replicas, odd days: in a small world, on both engines."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from daemon.app import Outside, build
from daemon.lifecycle import Ending
from daemon.store.database import Write
from localstack.faults import Fault, FaultKind, When
from tests.mariadb import MariaDb
from tests.monitors import (
    ALARM_EVENT,
    EVENT,
    OTHER_ROBOT,
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
    until,
    visit,
    windows,
    write_rules,
)
from tests.world import World, world

EARLY = at("06:00")
RUNNING = "SELECT COUNT(*) FROM monitor_session WHERE phase = 'RUNNING'"
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
    async def open_one(start_ms: int = EARLY) -> AsyncIterator[World]:
        monitors = {"file": str(rules), "look_every_s": 0.05}
        async with world(place, start_ms=start_ms, monitors=monitors) as home:
            yield home

    return open_one


async def test_a_rule_that_is_disabled_ends_its_session_at_once(opens: Opens, rules: Path) -> None:
    """The subscription is released, no timer is left, the window is CLOSED, and nothing is alarmed any more."""
    async with opens() as home:
        async with home.running():
            await planned(home)
            await pass_to(home, "09:00")
            write_rules(rules, robot(enabled=False))
            await until(home, RUNNING, lambda count: count == 0)
            await home.quiet()
            assert await home.leftovers() == {}
            await pass_to(home, "23:00")
        assert posted(home) == []
        assert await windows(home) == [("08:00", "09:00", "CLOSED")]


async def test_a_rule_that_comes_back_on_the_same_day_is_watched_from_then_on(opens: Opens, rules: Path) -> None:
    """Disabled at 09:00, enabled at 10:30: one session, its second window begins at 10:30."""
    async with opens() as home:
        async with home.running():
            await planned(home)
            await pass_to(home, "09:00")
            write_rules(rules)
            await until(home, RUNNING, lambda count: count == 0)
            await pass_to(home, "10:30")
            write_rules(rules, robot())
            await until(home, RUNNING, lambda count: count == 1)
            await pass_to(home, "12:45")
        assert await windows(home) == [("08:00", "09:00", "CLOSED"), ("10:30", "12:30", "ALARM")]
        assert alarms(home) == [("12:30", "2")]
        assert len(home.megazord.active_subscriptions()) == 1


async def test_a_changed_rule_takes_over_the_running_window(opens: Opens, rules: Path) -> None:
    """At 09:00 the window becomes 90 minutes and the day an hour longer: the window ends at 09:30, the day at 21:00."""
    async with opens() as home:
        async with home.running():
            await planned(home)
            await pass_to(home, "09:00")
            daily = {"startTime": "08:00", "endTime": "21:00"}
            write_rules(rules, robot(rule(windowDurationMinutes=90, dailyWindow=daily)))
            await until(home, f"{RUNNING} AND ends_ms = {at('21:00')}", lambda count: count == 1)
            await home.quiet()
            (subscription,) = home.megazord.active_subscriptions()
            assert subscription.asked_until == "2025-11-25T20:00:00.000Z"
            await pass_to(home, "11:00")
            assert alarms(home) == [("09:30", "1"), ("11:00", "2")]
            await pass_to(home, "22:00")
        assert (await windows(home))[-1] == ("20:00", "21:00", "PARTIAL")
        assert await leftovers(home) == {}


async def test_a_rule_that_waits_for_another_event_begins_a_new_window(opens: Opens, rules: Path) -> None:
    """What was not heard of the old event says nothing about the new one."""
    async with opens() as home:
        async with home.running():
            await planned(home)
            await pass_to(home, "09:00")
            write_rules(rules, robot(rule(eventName="EATING_ACTIVITY")))
            await until(home, f"{RUNNING} AND window_number = 2", lambda count: count == 1)
            await home.quiet()
            await visit(home, "10:00")
            await pass_to(home, "11:00")
        assert await windows(home) == [("08:00", "09:00", "CLOSED"), ("09:00", "11:00", "ALARM")]
        (subscription,) = home.megazord.active_subscriptions()
        assert "EATING_ACTIVITY" in subscription.event_names


async def test_a_new_rule_is_not_judged_for_the_time_before_it(opens: Opens, rules: Path) -> None:
    """A rule that comes at 13:00 alarms at 15:00: nobody asked for anything before."""
    write_rules(rules)
    async with opens(at("13:00")) as home:
        async with home.running():
            await planned(home, 0)
            write_rules(rules, robot())
            await planned(home)
            await pass_to(home, "15:00")
        assert await windows(home) == [("13:00", "15:00", "ALARM")]
        assert alarms(home) == [("15:00", "1")]


def spoil(file: Path, bad: str) -> None:
    """Write what is no file of rules."""
    file.write_text(bad)


@pytest.mark.parametrize("bad", ["robots: [", "robots: 3\n", '{"robots": [], "more": 1}', "", "\x00"])
async def test_a_bad_file_keeps_the_old_rules(opens: Opens, rules: Path, bad: str) -> None:
    """The session goes on, and so does a process that is started with the bad file; a good file is taken at once."""
    async with opens() as home:
        async with home.running():
            await planned(home)
            await pass_to(home, "09:00")
            spoil(rules, bad)
            await pass_to(home, "10:30")
            assert alarms(home) == [("10:00", "1")]
        async with home.running():
            await pass_to(home, "12:30")
            assert alarms(home)[1:] == [("12:00", "2")]
            write_rules(rules)
            await until(home, RUNNING, lambda count: count == 0)
            await home.quiet()
        assert await home.leftovers() == {}


@asynccontextmanager
async def another(home: World) -> AsyncIterator[None]:
    """A second replica on the same database and queues."""
    async with build(home.settings, Outside(home.clock)) as daemon:
        run = asyncio.create_task(daemon.run())
        try:
            yield
        finally:
            daemon.stop()
            assert await run is Ending.CLEAN


async def test_two_replicas_make_one_session_and_one_alarm_of_each_window(opens: Opens, rules: Path) -> None:
    """Both read the same file and share the timers: everything happens once."""
    write_rules(rules, robot(), robot(robotId=OTHER_ROBOT))
    async with opens() as home:
        async with home.running(), another(home):
            await planned(home, 2)
            await visit(home, "09:00")
            await pass_to(home, "20:00")
            await until(
                home, "SELECT COUNT(*) FROM monitor_window WHERE posted_at_ms IS NULL", lambda left: left == 1 + 1
            )
            await pass_to(home, "20:30")
        assert alarms(home) == [(f"{hour}:00", str(n)) for n, hour in enumerate((11, 13, 15, 17, 19), 2)]
        assert len(posted(home, OTHER_ROBOT)) == 6
        assert {subscription.robot_id for subscription in home.megazord.subscriptions} == {ROBOT, OTHER_ROBOT}
        assert len(home.megazord.subscriptions) == 2
        assert await leftovers(home) == {}


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_two_replicas_in_trouble_post_no_alarm_twice(opens: Opens, seed: int) -> None:
    """One request in three fails, before or after it was done: the audit has no gap, and each alarm lies there once."""
    async with opens() as home:
        home.megazord.faults._dice.seed(seed)
        for route in ("incomings.create", "incomings.list", "subscriptions.delete"):
            home.megazord.faults.add(Fault(FaultKind.RESET, route, When.AFTER, probability=0.2))
            home.megazord.faults.add(Fault(FaultKind.STATUS, route, When.BEFORE, probability=0.2))
        home.megazord.faults.drop_fan_out(probability=0.3)
        async with home.running(), another(home):
            await planned(home)
            for when in ("09:10", "09:11", "11:30", "16:02", "16:40"):
                await visit(home, when)
            home.megazord.faults.clear()
            await pass_to(home, "21:00")
        references = [event.reference_id for event in posted(home)]
        assert len(references) == len(set(references))
        sql = "SELECT COUNT(*) FROM monitor_window WHERE ended_by = 'ALARM' AND posted_at_ms IS NOT NULL"
        assert (await home.database.fetch(sql))[0][0] == len(references)
        found = [(start, end, how.replace("MISSED", "ALARM")) for start, end, how in await windows(home)]
        assert [end for _, end, _ in found] == [start for start, _, _ in found[1:]] + ["20:00"]
        # An event that was lost, and followed by another in its window, has left no line of its own.
        assert [window for window in found if window[2] != "EVENT"] == [
            ("09:11", "11:11", "ALARM"),
            ("11:30", "13:30", "ALARM"),
            ("13:30", "15:30", "ALARM"),
            ("16:40", "18:40", "ALARM"),
            ("18:40", "20:00", "PARTIAL"),
        ]
        assert len(home.megazord.faults.struck) > 3


async def test_a_night_belongs_to_the_day_on_which_it_starts(opens: Opens, rules: Path) -> None:
    """From 22:00 to 06:00 with windows of three hours: one session, dated on the evening."""
    night = {"startTime": "22:00", "endTime": "06:00"}
    write_rules(rules, robot(rule(windowDurationMinutes=180, dailyWindow=night)))
    async with opens() as home:
        async with home.running():
            await planned(home)
            await pass_to(home, "23:30")
            await home.megazord.post_event(ROBOT, EVENT)
            await pass_to(home, "07:00", "2025-11-26")
        assert await windows(home) == [
            ("22:00", "23:30", "EVENT"),
            ("23:30", "02:30", "ALARM"),
            ("02:30", "05:30", "ALARM"),
            ("05:30", "06:00", "PARTIAL"),
        ]
        assert await leftovers(home) == {}


@pytest.mark.parametrize(
    ("date", "ends"),
    [
        ("2025-10-26", ["01:00", "02:00", "02:00", "03:00", "04:00"]),  # 25 hours: 02:00 comes twice
        ("2026-03-29", ["01:00", "03:00", "04:00"]),  # 23 hours: 02:00 does not exist
    ],
)
async def test_windows_last_as_long_on_days_of_23_and_25_hours(
    opens: Opens, rules: Path, date: str, ends: list[str]
) -> None:
    """An hour of silence is an hour, whatever the clock on the wall says; the day begins and ends by that clock."""
    hourly = rule(windowDurationMinutes=60, dailyWindow={"startTime": "00:00", "endTime": "04:00"})
    write_rules(rules, robot(hourly))
    async with opens(at("00:00", date) - 3_600_000) as home:
        async with home.running():
            await planned(home)
            await pass_to(home, "05:00", date)
        session = SESSION.replace("2025-11-25", date)
        found = await windows(home, session)
        assert [end for _, end, _ in found] == ends
        assert {how for _, _, how in found} == {"ALARM"}
        at_megazord = [event.created_at_ms for event in posted(home)]
        assert [later - sooner for sooner, later in pairwise(at_megazord)] == [3_600_000] * (len(ends) - 1)
        assert (await session_row(home, "ends_ms - starts_ms", session))[0] == len(ends) * 3_600_000


async def test_a_session_that_no_timer_wakes_is_found(opens: Opens) -> None:
    """Its timer may have become a dead letter; the next start plans it anew, as every few minutes do."""
    async with opens() as home:
        async with home.running():
            await planned(home)
            await pass_to(home, "09:00")
        await home.database.apply([Write("DELETE FROM timer WHERE type = 'monitor.window'")])
        async with home.running():
            await until(home, "SELECT COUNT(*) FROM timer WHERE type = 'monitor.window'", lambda count: count == 1)
            await pass_to(home, "10:00")
        assert alarms(home) == [("10:00", "1")]
        assert {event.event_name for event in posted(home)} == {ALARM_EVENT}
