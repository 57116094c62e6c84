import asyncio
import json
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from localstack.faults import Fault, FaultKind
from tests.mariadb import MariaDb
from tests.proof.home import Home, home
from tests.proof.nursery import Nursery, nursery, within
from tests.world import create_command

DRAIN_S = 6.0
BOUND_S = DRAIN_S + 1.0
CLEAN, FAILED, HANDED_BACK = 0, 1, 4
STEP = 88120
EACH_TIME = 10
INSTANTS = 5  # in each of two worlds on each of two engines: 20 stops
AT_ONCE_S = 0.2  # between the signal and the loop's next turn


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def children() -> AsyncIterator[Nursery]:
    """One nursery for all tests of this file."""
    async with nursery() as opened:
        yield opened


class Load:
    """Commands that are each decided at once, with neighbours slow enough to be caught at work."""

    def __init__(self, opened: Home) -> None:
        self._home = opened
        self.robots: list[int] = []
        opened.megazord.faults.add(Fault(FaultKind.SLOW, delay_ms=40))

    async def add(self, count: int) -> None:
        """Send so many commands more."""
        now_ms = round(time.time() * 1000)
        for robot_id in range(9001 + len(self.robots), 9001 + len(self.robots) + count):
            self._home.managers.add_step(robot_id, STEP, "TOILET_VISIT", past_interval_s=7200, future_interval_s=1800)
            await self._home.megazord.post_event(robot_id, "TOILET_ACTIVITY", created_at_ms=now_ms - 600_000)
            body = create_command(robot_id, STEP, 1, now_ms, id=f"stop-{robot_id}")
            self._home.sqs.send(self._home.commands, body)
            self.robots.append(robot_id)

    def violations(self) -> Iterator[str]:
        """What was lost or done twice."""
        checks = {row["robot_id"]: row for row in self._home.tables.dicts("status_check")}
        if sorted(checks) != self.robots or self._home.tables.count("status_check") != len(self.robots):
            yield f"{self._home.tables.count('status_check')} checks for {len(self.robots)} commands"
        for robot_id, check in checks.items():
            told = {result["id"] for result in self._home.results(robot_id)}
            if (check["result"], told) != ("PASS", {f"sc-{check['id']}-1"}):
                yield f"robot {robot_id}: {check['result']}, told {sorted(told)}"
        if letters := self._home.dead_letters():
            yield f"dead letters: {[letter.body[:60] for letter in letters]}"
        if active := self._home.megazord.active_subscriptions():
            yield f"open subscriptions: {len(active)}"


async def stop(opened: Home) -> float:
    """SIGTERM, and how long the daemon took to end."""
    child = opened.child
    began_s = time.monotonic()
    child.signal(signal.SIGTERM)
    await within(BOUND_S, child.ended)
    return time.monotonic() - began_s


def left_behind(opened: Home) -> dict[str, int]:
    """Messages in flight, which is to say ours, as nobody else receives."""
    return {queue: held for queue in opened.consumed if (held := opened.sqs.counts(queue).in_flight)}


def late_starters(opened: Home) -> list[str]:
    """Commands that were received after the signal, and begun all the same."""
    pid = opened.child.pid
    steps = [step for step in opened.trace() if step["pid"] == pid]
    at_s = next(step["at_s"] for step in steps if step["point"] == "signal") + AT_ONCE_S
    received = opened.sqs.ledger.of("received", opened.commands)
    late = {json.loads(entry.body)["id"] for entry in received if entry.time_s > at_s}
    early = {json.loads(entry.body)["id"] for entry in received if entry.time_s <= at_s}
    begun = {step["id"] for step in steps if step["point"] == "after_read" and step["at_s"] > at_s}
    return sorted(begun & (late - early))


async def finish(opened: Home, load: Load) -> None:
    """A fresh daemon does the rest, and everything is as if nothing had been stopped."""
    await opened.start()
    await opened.settle(lambda: opened.tables.count("timer WHERE due_at_ms < 9000000000000000") == 0, 60.0)
    assert list(load.violations()) == [], opened.log_file.read_text()[-4000:]


async def _a_day_of_stops(opened: Home, dice: random.Random) -> None:
    load = Load(opened)
    for instant in range(INSTANTS):
        child = await opened.start()
        await load.add(0 if instant == INSTANTS - 1 else EACH_TIME)  # the last one idles, or finishes the rest
        with suppress(TimeoutError):
            await within(dice.uniform(0.0, 0.6), child.ended)
        took_s = await stop(opened)
        told = f"instant {instant}: code {child.code} after {took_s:.2f} s, left {left_behind(opened)}"
        assert child.code in {CLEAN, HANDED_BACK}, f"{told}\n{opened.log_file.read_text()[-3000:]}"
        assert left_behind(opened) == {}, f"{told}\n{opened.log_file.read_text()[-3000:]}"
        assert late_starters(opened) == [], told
    await finish(opened, load)


@pytest.fixture(params=["sqlite", "mariadb"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> list[Any]:
    """Two fresh databases on each engine."""
    if request.param == "sqlite":
        return [tmp_path / "one.db", tmp_path / "two.db"]
    server: MariaDb = request.getfixturevalue("mariadb")
    return [server.new_database(), server.new_database()]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_stop_at_any_instant_is_clean_bounded_and_loses_nothing(
    places: list[Any], tmp_path: Path, children: Nursery
) -> None:
    """I7: SIGTERM busy or idle ends in time with nothing in flight and nothing begun; the next daemon does the rest."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201  pytest shows it when the test fails

    async def one_world(number: int, place: Any) -> None:
        async with home(place, tmp_path / f"home-{number}", children, max_in_flight=4) as opened:
            await _a_day_of_stops(opened, random.Random(f"{seed} {number}"))

    async with asyncio.TaskGroup() as worlds:
        for number, place in enumerate(places):
            worlds.create_task(one_world(number, place))


@pytest.mark.asyncio(loop_scope="module")
async def test_a_stop_waits_no_longer_than_its_bound_for_a_neighbour_that_hangs(
    tmp_path: Path, children: Nursery
) -> None:
    """What can't be finished is handed back, visible at once, and the exit code says so."""
    async with home(tmp_path / "robotd.db", tmp_path / "home", children) as opened:
        load = Load(opened)
        opened.megazord.faults.clear()
        opened.megazord.faults.hang("subscriptions.create")
        await opened.start()
        await load.add(3)
        await opened.megazord.faults.until(lambda: opened.megazord.faults.hanging == 3)
        await stop(opened)
        assert opened.child.code == HANDED_BACK
        assert left_behind(opened) == {}
        assert opened.sqs.counts(opened.commands).visible == 3
        opened.megazord.faults.clear()
        await finish(opened, load)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_second_sigterm_does_not_hang_the_stop(tmp_path: Path, children: Nursery) -> None:
    """Whoever signals twice gets an end at least as soon, and what was cut off is done by the next daemon."""
    async with home(tmp_path / "robotd.db", tmp_path / "home", children, max_in_flight=4) as opened:
        load = Load(opened)
        await opened.start()
        await load.add(EACH_TIME)
        await opened.sqs.wait_until(lambda: bool(opened.sqs.ledger.of("received")))
        opened.child.signal(signal.SIGTERM)
        await stop(opened)
        assert opened.child.code in {CLEAN, FAILED, HANDED_BACK}
        opened.pass_time()
        await finish(opened, load)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("is_busy", [True, False], ids=["busy", "idle"])
async def test_a_stop_is_bounded_while_the_database_is_silent(
    mariadb: MariaDb, tmp_path: Path, children: Nursery, *, is_busy: bool
) -> None:
    """A database that neither answers nor refuses can't hold the exit, and nothing is lost by it."""
    address = mariadb.new_database()
    async with home(address, tmp_path / "home", children, max_in_flight=4) as opened:
        load = Load(opened)
        await opened.start()
        mariadb.pause()
        try:
            if is_busy:
                await load.add(EACH_TIME)
                await opened.sqs.wait_until(lambda: bool(opened.sqs.ledger.of("received")))
            await stop(opened)
            assert opened.child.code in {CLEAN, HANDED_BACK}, opened.log_file.read_text()[-3000:]
            assert left_behind(opened) == {}
        finally:
            mariadb.resume()
        await finish(opened, load)
    mariadb.drop(address)
