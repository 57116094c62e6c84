"""Sessions and windows on both engines: one for each rule and date, one writer at a time, forgotten when old."""

from dataclasses import replace
from datetime import date

import pytest

from daemon.outbox import Addressing
from daemon.probe import unobserved
from daemon.store.database import Database, Write
from daemon.store.ids import Ids
from daemon.store.leases import Leases
from daemon.store.retention import Retention
from daemon.store.rows import RowIds
from daemon.store.uow import Committed, SqlUnitOfWork, Surroundings
from domain.errors import Conflict
from domain.messages import EndOfMonitorWindow, OpenMonitor
from domain.monitor import Action, EndedWindow, MonitorPhase, MonitorSession, Rule, WindowEnd
from domain.monitor_days import DailyWindow
from domain.monitor_plan import PlannedOpening
from domain.ports import Timer
from tests.conftest import AnyDatabase
from tests.monitors import at

RULE = Rule(
    2**32 - 1,
    "r" * 64,
    "TOILET_ACTIVITY",
    7_200_000,
    DailyWindow("Europe/Amsterdam", 480, 1200),
    True,
    (Action("NO_TOILET_ACTIVITY_ALARM"), Action(None, 2)),
)
DAY = RULE.daily.day(date(2025, 11, 25))
assert DAY is not None
SESSION = MonitorSession(
    RULE, DAY, 3, at("09:00"), alarms_in_row=2, last_event_id=2**62, last_event_ms=at("08:30"), subscription_id=2**62
)
WINDOW = EndedWindow(1, at("08:00"), at("10:00"), WindowEnd.ALARM, in_row=1)


def work(database: Database) -> SqlUnitOfWork:
    def nobody(_committed: Committed) -> None:
        return

    addressing = Addressing("robot-queue-", "robotd", "host")
    around = Surroundings(database, Ids(database), RowIds(), addressing, 30_000, nobody, unobserved)
    return SqlUnitOfWork(around, "test", "m-1", None, at("09:30"), 0)


async def test_a_session_comes_back_as_it_was_stored_by_every_way_to_find_it(database: AnyDatabase) -> None:
    """With its rule and its day; another robot's key finds nothing."""
    uow = work(database)
    uow.monitors.add(SESSION)
    await uow.commit_now()
    assert await uow.monitors.get(SESSION.id) == SESSION
    assert await uow.monitors.by_subscription(RULE.robot_id, 2**62) == SESSION
    assert await uow.monitors.by_subscription(1, 2**62) is None
    assert await uow.monitors.running() == [SESSION]
    ended = replace(SESSION, phase=MonitorPhase.ENDED, subscription_id=None, last_event_id=None, last_event_ms=None)
    uow.monitors.save(ended)
    await uow.commit_now()
    assert await uow.monitors.get(SESSION.id) == replace(ended, version=1)
    assert await uow.monitors.running() == []


async def test_a_rule_has_one_session_for_a_date(database: AnyDatabase) -> None:
    """The database decides which replica opened it; the other one's is a Conflict, and nothing of it is left."""
    first, second = work(database), work(database)
    first.monitors.add(SESSION)
    await first.commit_now()
    second.monitors.add(replace(SESSION, number=9, subscription_id=1))
    second.monitors.add_window(SESSION.id, WINDOW, None)
    with pytest.raises(Conflict):
        await second.commit_now()
    assert await work(database).monitors.get(SESSION.id) == SESSION
    assert await work(database).monitors.window(SESSION.id, 1) is None


async def test_the_second_of_two_writers_is_a_conflict(database: AnyDatabase) -> None:
    """Both read the same version; the window of the second is not in the audit."""
    first, second = work(database), work(database)
    first.monitors.add(SESSION)
    await first.commit_now()
    first.monitors.save(replace(SESSION, number=4))
    await first.commit_now()
    second.monitors.save(replace(SESSION, number=5))
    second.monitors.add_window(SESSION.id, WINDOW, None)
    with pytest.raises(Conflict):
        await second.commit_now()
    found = await work(database).monitors.get(SESSION.id)
    assert found is not None
    assert found.number == 4
    assert await work(database).monitors.window(SESSION.id, 1) is None


async def test_a_window_says_what_became_of_it(database: AnyDatabase) -> None:
    """How it ended may change once its alarm was posted or given up."""
    uow = work(database)
    uow.monitors.add_window(SESSION.id, WINDOW, "reference")
    await uow.commit_now()
    assert await uow.monitors.window(SESSION.id, 1) == WINDOW
    uow.monitors.end_window_as(SESSION.id, 1, WindowEnd.MISSED, None)
    await uow.commit_now()
    assert await uow.monitors.window(SESSION.id, 1) == replace(WINDOW, how=WindowEnd.MISSED)
    again = work(database)
    again.monitors.add_window(SESSION.id, WINDOW, "reference")
    with pytest.raises(Conflict):
        await again.commit_now()


async def test_what_is_planned_and_awaited_is_read_from_the_timers(database: AnyDatabase) -> None:
    """Only the timers of that type, with all that a plan has to know."""
    uow = work(database)
    opening = OpenMonitor(
        robotId=7, ruleId="a:b", localDate=date(2025, 11, 25), since="2025-11-25T07:00:00Z", plannedBy="f" * 32
    )
    uow.schedule(Timer("monitor.open", "7:a:b", 1, opening))
    uow.schedule(Timer("monitor.window", SESSION.id, 1, EndOfMonitorWindow(robotId=7, sessionId=SESSION.id)))
    uow.schedule(Timer("monitor.zebra", "x", 1, EndOfMonitorWindow(robotId=7, sessionId="x")))
    await uow.commit_now()
    assert await uow.monitors.openings() == [PlannedOpening(7, "a:b", "f" * 32)]
    assert await uow.monitors.awaited() == {SESSION.id}


async def test_old_sessions_and_windows_are_forgotten(database: AnyDatabase) -> None:
    """After so many days from their end, and no other."""
    day_ms = 86_400_000
    session = "INSERT INTO monitor_session (id, robot_id, rule_id, local_date, rule_text, starts_ms, ends_ms, phase, "
    session += (
        "window_number, window_start_ms, window_end_ms, alarms_in_row, version) VALUES (?, ?, 'r', '2025-11-25', "
    )
    session += "'{}', 0, {now_ms} - ?, 'ENDED', 1, 0, 0, 0, 0)"
    window = "INSERT INTO monitor_window (session_id, window_number, start_ms, end_ms, ended_by, alarms_in_row) "
    window += "VALUES (?, 1, 0, {now_ms} - ?, 'EVENT', 0)"
    for number, days in enumerate((29, 31)):
        await database.apply([Write(session, (f"s{number}", number, days * day_ms))])
        await database.apply([Write(window, (f"s{number}", days * day_ms))])
    retention = Retention(database, Leases(database, "me"), 15, 30, monitor_days=30)
    assert [await retention.sweep(), await retention.sweep()] == [2, 0]
    assert await database.fetch("SELECT id FROM monitor_session") == [("s0",)]
    assert await database.fetch("SELECT session_id FROM monitor_window") == [("s0",)]
