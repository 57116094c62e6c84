"""A daemon is killed at every step of an alarm, on both engines: the alarm is at Megazord once, and the robot told."""

import signal
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from daemon.settings_sections import MonitorSettings
from tests.mariadb import MariaDb
from tests.monitors import ALARM_EVENT, ROBOT, robot, rule, write_rules
from tests.proof.child import SIGKILL, Armed
from tests.proof.home import BOUND_S, Home, home
from tests.proof.nursery import Nursery, nursery, within

SQLITE, MARIADB = "sqlite", "mariadb"
# The only requests are the history, the look for the alarm, and its post. The first commit is the start's own, the next
# two are the decision and what became of the alarm.
STEPS = [
    ("after_claim", 1),
    *product(("before_upstream", "after_upstream"), (1, 2, 3)),
    *product(("after_handle", "before_settle"), (1, 2)),
    *product(("before_commit", "after_commit"), (1, 2, 3)),
]
pytestmark = pytest.mark.xdist_group("monitors killed")


@pytest.fixture(params=[SQLITE, MARIADB])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A fresh database on each engine."""
    if request.param == SQLITE:
        yield tmp_path / "robotd.db"
        return
    server: MariaDb = request.getfixturevalue("mariadb")
    address = server.new_database()
    yield address
    server.drop(address)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def children() -> AsyncIterator[Nursery]:
    """One nursery for all tests of this file."""
    async with nursery() as opened:
        yield opened


def noon() -> str:
    """A zone in which it is now between 12:00 and 13:00, so that no test runs over a midnight."""
    return f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"


def with_a_rule(opened: Home, folder: Path) -> None:
    """A rule whose day runs now."""
    whole_day = rule(dailyWindow={"startTime": "00:00", "endTime": "24:00"})
    file = write_rules(folder / "monitors.yaml", robot(whole_day, timezone=noon()))
    opened.settings = opened.settings.model_copy(update={"monitors": MonitorSettings(file=file)})


async def with_a_session(opened: Home, folder: Path) -> None:
    """A daemon opens the day and is stopped; then its first window is made to end now."""
    with_a_rule(opened, folder)
    first = await opened.start()
    await opened.settle(lambda: opened.tables.count("monitor_session WHERE subscription_id IS NOT NULL") == 1)
    first.signal(signal.SIGTERM)
    await within(BOUND_S, first.ended)
    now_ms = round(time.time() * 1000)
    opened.tables.rows(
        f"UPDATE monitor_session SET window_start_ms = {now_ms - 7_200_000}, window_end_ms = {now_ms}"  # noqa: S608  numbers of ours
    )
    opened.tables.rows(f"UPDATE timer SET due_at_ms = {now_ms} WHERE type = 'monitor.window'")  # noqa: S608  as above


async def one_subscription(opened: Home) -> None:
    """What a crash, or a lease that was taken over, has left open is released at its time; the session's own stays."""
    opened.tables.rows("UPDATE timer SET due_at_ms = 1 WHERE type LIKE 'subscription.%'")
    await opened.settle(lambda: opened.tables.count("timer WHERE type LIKE 'subscription.%'") == 0)
    await opened.settle(lambda: len(opened.megazord.active_subscriptions()) == 1)
    (row,) = opened.tables.dicts("monitor_session")
    assert [subscription.id for subscription in opened.megazord.active_subscriptions()] == [row["subscription_id"]]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step[0]}-{step[1]}")
async def test_an_alarm_is_posted_once_although_the_daemon_is_killed(
    place: Any, tmp_path: Path, children: Nursery, step: tuple[str, int]
) -> None:
    """Between decision, post and commit: one event at Megazord, one id at the robot, one line in the audit."""
    async with home(place, tmp_path / "home", children) as opened:
        await with_a_session(opened, tmp_path)
        killed = await opened.start(Armed(step[0], SIGKILL, step[1]))
        await within(BOUND_S, killed.ended)
        assert killed.code == -signal.SIGKILL
        await opened.settle(lambda: opened.tables.count("monitor_window WHERE posted_at_ms IS NOT NULL") == 1)
        alarms = [event for event in opened.megazord.incoming if event.event_name == ALARM_EVENT]
        assert [str(event.reference_id).rpartition("-")[2] for event in alarms] == ["1"]
        assert {result["id"] for result in opened.results(ROBOT)} == {f"ma-{alarms[0].reference_id}"}
        assert [(row["ended_by"], row["window_number"]) for row in opened.tables.dicts("monitor_window")] == [
            ("ALARM", 1)
        ]
        assert opened.tables.count("monitor_session WHERE window_number = 2 AND phase = 'RUNNING'") == 1
        await one_subscription(opened)


# The requests are the subscription and the history. The commits: the start's own, the plan, the intent, the
# subscription's id, the session.
OPENING = [
    *product(("before_upstream", "after_upstream"), (1, 2)),
    *product(("before_commit", "after_commit"), (1, 2, 3, 4, 5)),
]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("step", OPENING, ids=lambda step: f"{step[0]}-{step[1]}")
async def test_a_day_is_opened_once_although_the_daemon_is_killed(
    place: Any, tmp_path: Path, children: Nursery, step: tuple[str, int]
) -> None:
    """One session, and one subscription when those that a crash left over have been released."""
    async with home(place, tmp_path / "home", children) as opened:
        earlier = await opened.start()  # the migrations are no part of this
        earlier.signal(signal.SIGTERM)
        await within(BOUND_S, earlier.ended)
        with_a_rule(opened, tmp_path)
        killed = await opened.start(Armed(step[0], SIGKILL, step[1]))
        await within(BOUND_S, killed.ended)
        assert killed.code == -signal.SIGKILL
        await opened.start()
        running = "monitor_session WHERE phase = 'RUNNING' AND window_number = 1"
        await opened.settle(lambda: opened.tables.count(running) == 1)
        await one_subscription(opened)
        assert sorted(timer["type"] for timer in opened.tables.dicts("timer")) == ["monitor.open", "monitor.window"]
