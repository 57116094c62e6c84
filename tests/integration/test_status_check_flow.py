from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.mariadb import MariaDb
from tests.world import MORNING_MS, World, create_command, world

ROBOT, STEP = 61001, 88120


@pytest.fixture(params=["sqlite", "mariadb"])
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "sqlite":
        async with world(tmp_path / "robotd.db") as opened:
            yield opened
        return
    server: MariaDb = request.getfixturevalue("mariadb")
    address = server.new_database()
    async with world(address) as opened:
        yield opened
    server.drop(address)


async def test_a_robot_that_asks_is_told_pending_and_then_pass(home: World) -> None:
    """A check that opens with an empty past passes with the first toilet visit, and everything is released."""
    home.managers.add_step(ROBOT, STEP, "TOILET_VISIT", past_interval_s=7200, future_interval_s=1800)
    async with home.running():
        home.sqs.send(home.settings.queues.commands, create_command(ROBOT, STEP, 77001, MORNING_MS, callref="abc"))
        await home.quiet()
        home.clock.advance(25 * 60_000)
        await home.megazord.post_event(ROBOT, "TOILET_ACTIVITY")
        await home.quiet()
        home.clock.advance(3_600_000)
        await home.quiet()
    told = [(result["payload"]["phase"], result["payload"]["result"]) for result in home.results(ROBOT)]
    assert told == [("FUTURE", "PENDING"), ("COMPLETED", "PASS")]
    assert home.results(ROBOT)[1]["payload"]["nextStepId"] == 88121
    assert {result["callRef"] for result in home.results(ROBOT)} == {"abc"}
    assert await home.leftovers() == {}


async def test_silence_ends_the_check_at_the_end_of_its_window(home: World) -> None:
    """Without an event the check ends exactly at `until` with the template's answer to silence."""
    home.managers.add_step(ROBOT, STEP, "TOILET_VISIT", past_interval_s=7200, future_interval_s=1800)
    async with home.running():
        home.sqs.send(home.settings.queues.commands, create_command(ROBOT, STEP, 77001, MORNING_MS))
        await home.quiet()
        home.clock.set(MORNING_MS + 1_799_999)
        await home.quiet()
        assert len(home.results(ROBOT)) == 1
        home.clock.set(MORNING_MS + 1_800_000)
        await home.quiet()
    last = home.results(ROBOT)[-1]["payload"]
    assert (last["phase"], last["result"], last["nextStepId"]) == ("COMPLETED", "FAIL", 88122)
    assert await home.leftovers() == {}
