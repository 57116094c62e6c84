"""The same check, but its daemon is killed by SIGKILL and started again: nobody can tell from what is left behind.

Daemons are processes of their own on the system's clock; timers and messages are made older instead of waited for.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from daemon.clock import SystemClock
from daemon.store.mysql import MysqlAddress
from tests.mariadb import MariaDb
from tests.proof.child import SIGKILL, Armed
from tests.proof.home import BOUND_S, Home, home
from tests.proof.nursery import Nursery, nursery, within
from tests.world import create_command

ROBOT, STEP, PASS_STEP, FAIL_STEP = 61001, 88120, 88121, 88122
HALF_AN_HOUR_S, A_MOMENT_S = 1800, 1
MINUTE_MS = 61_000
Place = Path | MysqlAddress
pytestmark = [pytest.mark.xdist_group("killed days"), pytest.mark.asyncio(loop_scope="module")]


@dataclass(frozen=True, slots=True)
class Left:
    """What a day leaves behind. `told`: each distinct word to the robot by its number."""

    check: tuple[str, str, int | None]
    history: list[tuple[int, str, str, str]]
    told: list[tuple[int, str, str, int | None]]
    open_subscriptions: list[int]
    rows: dict[str, int]


VISITED = Left(
    ("COMPLETED", "PASS", PASS_STEP),
    [(1, "TOILET_ACTIVITY", "FUTURE", "PASS")],
    [(1, "FUTURE", "PENDING", None), (2, "COMPLETED", "PASS", PASS_STEP)],
    [],
    {},
)
SILENT = Left(
    ("COMPLETED", "FAIL", FAIL_STEP),
    [],
    [(1, "FUTURE", "PENDING", None), (2, "COMPLETED", "FAIL", FAIL_STEP)],
    [],
    {},
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def children() -> AsyncIterator[Nursery]:
    """One nursery for all tests of this file."""
    async with nursery() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module", params=["sqlite", "mariadb"])
async def day(request: pytest.FixtureRequest, tmp_path: Path, children: Nursery) -> AsyncIterator[Home]:
    """A home on each engine, without a daemon so far."""
    if request.param == "sqlite":
        async with home(tmp_path / "robotd.db", tmp_path / "home", children) as opened:
            yield opened
        return
    server: MariaDb = request.getfixturevalue("mariadb")
    address = server.new_database()
    async with home(address, tmp_path / "home", children) as opened:
        yield opened
    server.drop(address)


def ask(day: Home, future_s: int) -> None:
    """The robot asks now."""
    now_ms = SystemClock().now_ms()
    day.managers.add_step(ROBOT, STEP, "TOILET_VISIT", 7200, future_s)
    day.sqs.send(day.commands, create_command(ROBOT, STEP, 77001, now_ms, id="the-question"))


def stands(day: Home, phase: str) -> Callable[[], bool]:
    """Whether the check is there and in this phase."""
    return lambda: day.tables.count(f"status_check WHERE phase = '{phase}'") == 1


async def a_minute_passes(day: Home) -> None:
    """All timers but the end of the check are due, and what that leads to is done."""
    for _ in range(2):  # what the first ones do may schedule others for later within this minute
        day.tables.rows(f"UPDATE timer SET due_at_ms = due_at_ms - {MINUTE_MS} WHERE type <> 'status-check.end'")  # noqa: S608  numbers of ours
        await day.settle(lambda: day.tables.count("timer WHERE type <> 'status-check.end'") == 0)


def open_subscriptions(day: Home) -> list[int]:
    """What Megazord would still send events for."""
    return [subscription.id for subscription in day.megazord.active_subscriptions()]


def left(day: Home) -> Left:
    """All that can be seen from outside once the day is over."""
    (check,) = day.tables.dicts("status_check")
    records = sorted(day.tables.dicts("status_check_record"), key=lambda record: int(record["ordinal"]))
    told: dict[int, Any] = {}
    for result in day.results(ROBOT):
        prefix, check_id, number = result["id"].split("-")
        assert (prefix, int(check_id)) == ("sc", check["id"])
        payload = result["payload"]
        assert told.setdefault(int(number), payload) == payload, "one id, two contents"
    tables = ("outbox", "timer", "attempt", "parked_body")
    queues = {name: day.sqs.counts(name).total for name in day.consumed}
    rows = {table: day.tables.count(table) for table in tables} | queues | {"dead": len(day.dead_letters())}
    return Left(
        (check["phase"], check["result"], check["next_step_id"]),
        [(record["ordinal"], record["event_name"], record["phase"], record["result"]) for record in records],
        [
            (number, told[number]["phase"], told[number]["result"], told[number]["nextStepId"])
            for number in sorted(told)
        ],
        open_subscriptions(day),
        {name: count for name, count in rows.items() if count},
    )


async def dies(day: Home) -> None:
    """Wait until the daemon is gone by SIGKILL, at the point that it was armed for."""
    await within(BOUND_S, day.child.ended)
    assert (day.child.hit.is_set(), day.child.code) == (True, -9)


@pytest.mark.parametrize(
    ("point", "hit", "subscribed"),
    [
        ("after_commit_now", 1, 0),  # that a subscription is wanted is known, it is not asked for yet
        ("after_upstream", 2, 1),  # the first answer is the script's step, the second the subscription
        ("after_commit_now", 2, 1),  # its id is known
        ("after_handle", 1, 1),
        ("before_settle", 1, 1),
    ],
)
async def test_a_daemon_killed_over_the_question_leaves_one_check_and_one_subscription(
    day: Home, point: str, hit: int, subscribed: int
) -> None:
    """Killed around the subscription, before the commit or before the ack: one verdict, and nothing stays open."""
    await day.start(Armed(point, SIGKILL, hit))
    ask(day, HALF_AN_HOUR_S)
    await dies(day)
    assert len(open_subscriptions(day)) == subscribed
    await day.settle(stands(day, "FUTURE"))
    await a_minute_passes(day)
    (check,) = day.tables.dicts("status_check")
    assert open_subscriptions(day) == [check["subscription_id"]]
    await day.megazord.post_event(ROBOT, "TOILET_ACTIVITY")
    await day.settle(stands(day, "COMPLETED"))
    await a_minute_passes(day)
    assert left(day) == VISITED


@pytest.mark.parametrize("point", ["after_handle", "before_settle"])
async def test_a_daemon_killed_over_the_deciding_event_gives_one_verdict(day: Home, point: str) -> None:
    """Killed with the event handled but not committed, or committed but not acked: it counts once."""
    await day.start(Armed(point, SIGKILL, 2))  # the first time is the question's
    ask(day, HALF_AN_HOUR_S)
    await day.settle(stands(day, "FUTURE"))
    await day.megazord.post_event(ROBOT, "TOILET_ACTIVITY")
    await dies(day)
    await day.settle(stands(day, "COMPLETED"))
    await a_minute_passes(day)
    assert left(day) == VISITED


@pytest.mark.parametrize(("point", "hit"), [("after_claim", 1), ("after_handle", 2), ("before_settle", 2)])
async def test_a_daemon_killed_over_the_end_of_the_window_gives_one_verdict(day: Home, point: str, hit: int) -> None:
    """Killed with the timer claimed, handled but not committed, or committed: silence is told once, and not early."""
    await day.start(Armed(point, SIGKILL, hit))
    ask(day, A_MOMENT_S)
    await dies(day)
    await day.settle(stands(day, "COMPLETED"))
    await a_minute_passes(day)
    assert left(day) == SILENT
    (check,) = day.tables.dicts("status_check")
    assert all(result["sent_s"] * 1000 >= check["until_ms"] for result in day.results(ROBOT)[1:])


async def test_a_daemon_that_is_down_at_the_end_of_the_window_tells_it_when_it_is_back(day: Home) -> None:
    """Killed while the check waits, started after its end, with an event in between: that event still counts."""
    await day.start()
    ask(day, A_MOMENT_S)
    await day.sqs.wait_until(stands(day, "FUTURE"), BOUND_S)
    await day.child.kill()
    day.megazord.faults.drop_fan_out()
    (check,) = day.tables.dicts("status_check")
    await day.megazord.post_event(ROBOT, "TOILET_ACTIVITY", created_at_ms=check["until_ms"])
    await SystemClock().wait_until(check["until_ms"] + 1)
    await day.start()
    await day.settle(stands(day, "COMPLETED"))
    day.megazord.faults.clear()
    await a_minute_passes(day)
    assert left(day) == VISITED
