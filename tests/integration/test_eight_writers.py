"""Eight daemons on one database write into one status check at the same time, and no event is lost or counted twice.

A robot's lane orders its messages within one process only; eight daemons have eight lanes, so here the database alone
keeps the order.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from daemon.app import Outside, build
from daemon.lifecycle import Daemon, Ending
from daemon.store.mysql import MysqlAddress
from tests.mariadb import MariaDb
from tests.world import MORNING_MS, World, create_command, world

ROBOT, STEP = 61001, 88120
WRITERS, EVENTS = 8, 200
NAMES = ("IN_BED", "OUT_OF_BED", "EARLY_OUT_OF_BED")
PATIENT = {"timeout_s": 60}  # the neighbours live in this very process and have no processor of their own
Place = Path | MysqlAddress


@pytest.fixture(params=["sqlite", "mariadb"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A fresh database on each engine."""
    if request.param == "sqlite":
        return tmp_path / "robotd.db"
    server: MariaDb = request.getfixturevalue("mariadb")
    return server.new_database()


@asynccontextmanager
async def eight_daemons(home: World) -> AsyncIterator[list[Daemon]]:
    """So many daemons side by side, each with connections, lanes and books of its own; all end cleanly."""
    async with AsyncExitStack() as stack:
        outside = Outside(home.clock)
        daemons = [await stack.enter_async_context(build(home.settings, outside)) for _ in range(WRITERS)]
        runs = [asyncio.create_task(daemon.run()) for daemon in daemons]
        try:
            yield daemons
        finally:
            for daemon in daemons:
                daemon.stop()
            endings = await asyncio.gather(*runs)
        assert endings == [Ending.CLEAN] * WRITERS


async def _is_done(home: World, daemons: list[Daemon], timeout_s: float = 60) -> None:
    """Return when the events are handled and deleted, and no daemon has anything in hand."""
    events = home.settings.queues.events
    await home.sqs.wait_until(lambda: home.sqs.counts(events).total == 0, timeout_s)
    for daemon in daemons:
        await daemon.at_rest()
    await home.quiet(timeout_s)


async def _storm(home: World, copies: int) -> None:
    """One check that listens until its end, and two hundred events of its robot, all there before one is received."""
    home.managers.add_step(ROBOT, STEP, "OUT_OF_BED_MORNING")
    async with home.running():
        home.sqs.send(home.settings.queues.commands, create_command(ROBOT, STEP, 77001, MORNING_MS))
        await home.quiet()
    dice = random.Random(17)
    home.clock.set(MORNING_MS + EVENTS * 1000)
    for second in range(EVENTS):
        await home.megazord.post_event(ROBOT, dice.choice(NAMES), created_at_ms=MORNING_MS + (second + 1) * 1000)
    assert home.sqs.counts(home.settings.queues.events).total == EVENTS * copies
    async with eight_daemons(home) as daemons:
        await _is_done(home, daemons)
    async with home.running():
        await home.pass_time(MORNING_MS + 2 * 3_600_000)


@pytest.mark.parametrize("copies", [1, 3])
async def test_eight_daemons_that_write_into_one_check_lose_and_repeat_nothing(place: Place, copies: int) -> None:
    """Two hundred events, each sent once or thrice: as many lines, numbered without a gap, and one version for each."""
    consumer = {"max_in_flight": 5}
    async with world(place, copies=copies, consumer=consumer, megazord=PATIENT) as home:
        home.sqs.faults.reorder_window = 50
        await _storm(home, copies)
        (check,) = await home.database.fetch("SELECT id, phase, version FROM status_check")
        check_id = int(check[0] or 0)
        records = await home.database.fetch(
            "SELECT status_check_id, ordinal, incoming_event_id FROM status_check_record ORDER BY ordinal"
        )
        assert [row[1] for row in records] == list(range(1, EVENTS + 1))
        assert {row[0] for row in records} == {check_id}
        assert sorted(int(row[2] or 0) for row in records) == [event.id for event in home.megazord.incoming]
        # One change of the check for each event, and one for its end.
        assert (check[1], check[2]) == ("COMPLETED", EVENTS + 1)
        inbox = await home.database.fetch("SELECT COUNT(*) FROM inbox WHERE source <> 'test'")
        assert inbox[0][0] == EVENTS
        journal = await home.database.fetch("SELECT outcome, reason FROM journal")
        outcomes = Counter(str(row[0]) for row in journal)
        assert outcomes["rejected"] == 0
        reasons = " ".join(str(row[1]) for row in journal).lower()
        assert "deadlock" not in reasons
        assert "lock wait" not in reasons
        assert await home.leftovers() == {}
        results = home.results(ROBOT)
        # What was told rises by one with each change: nothing skipped, nothing told twice.
        assert [result["id"] for result in results] == [
            f"sc-{check_id}-{number}" for number in range(1, len(results) + 1)
        ]
        assert results[-1]["payload"]["result"] == _last_word(home)


def _last_word(home: World) -> str:
    return "FAIL" if home.megazord.incoming[-1].event_name == "IN_BED" else "PASS"
