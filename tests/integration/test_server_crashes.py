"""Failures at each commit of a test of a delivery server: a line of history never twice, and none missing."""

from itertools import product

import pytest

from domain.server_test import Finding, StepId, StepOutcome
from tests.integration.sending import FailsOnce
from tests.integration.server_world import HOUR_MS, MINUTE_MS, Place, ServerWorld, server_world
from tests.memory_servers import GOOD, server

BAD_PASSWORD = (*GOOD[:2], Finding(StepId.AUTH, StepOutcome.FAIL, "auth-rejected", "535 5.7.8 no"))
POINTS = ("after_handle", "before_commit", "after_commit")
SOON = {"claim_s": 5, "sweep_every_s": 0.1}  # what a dead process left in the outbox is sent after so long
# A test is six commits: it is begun, loaded, resolved, delivered, looked for and judged, recorded; one that fails at
# the delivery is judged there.
STEPS = [
    *((*step, "SUCCESSFUL") for step in product(POINTS, (1, 2, 3, 4, 5, 6))),
    *((*step, "FAILED") for step in product(POINTS, (1, 2, 3, 4, 5))),
]


async def ends(world: ServerWorld, verdict: str) -> None:
    """One line, one verdict, the status that follows from it, the same words however often they are told."""
    wizz = world.servers.mailwizz
    assert wizz.verdicts(7) == [verdict]
    assert wizz.status(7) == ("active" if verdict == "SUCCESSFUL" else "inactive")
    told = world.told()
    assert told
    assert all(one == told[0] for one in told)
    assert (told[0]["verdict"], told[0]["deactivated"]) == (verdict, verdict == "FAILED")
    assert len({one["id"] for one in world.home.results(61001)}) == 1
    await nothing_is_left(world)


async def nothing_is_left(world: ServerWorld) -> None:
    """But for a count of tries: a process that lives on after its commit failed counts one that was none."""
    assert await world.claims() == []
    assert set(await world.home.leftovers()) <= {"attempt"}


@pytest.mark.parametrize(("point", "at", "verdict"), STEPS)
async def test_a_failure_at_any_step_leaves_one_line_of_history(
    database_place: Place, point: str, at: int, verdict: str
) -> None:
    """The process ends at each point of each commit, once: the test comes to its end as if nothing had been."""
    probe = FailsOnce(point, at)
    async with server_world(database_place, relay=SOON) as world:
        world.servers.mailwizz.add(server())
        if verdict == "FAILED":
            world.servers.probe.found[7] = [BAD_PASSWORD]
        async with world.home.running(probe):
            probe.is_armed = True
            await world.ask()
            await world.later(HOUR_MS)
            await ends(world, verdict)
    assert probe.has_failed


@pytest.mark.parametrize("verdict", ["SUCCESSFUL", "FAILED"])
async def test_a_crash_between_mailwizz_s_commit_and_ours_is_recorded_once(database_place: Place, verdict: str) -> None:
    """The line is there and the server is off, and robotd does not know it: it asks again, and tells what was done."""
    async with server_world(database_place) as world:
        wizz = world.servers.mailwizz
        wizz.add(server())
        crashes = [ConnectionError("as if the process had ended here")]

        def crash() -> None:
            if crashes:
                raise crashes.pop()

        wizz.after_record = crash
        if verdict == "FAILED":
            world.servers.probe.found[7] = [BAD_PASSWORD]
        async with world.home.running():
            await world.ask()
            await world.later(MINUTE_MS)
            await ends(world, verdict)
        assert crashes == []


async def test_a_test_goes_on_after_a_restart(database_place: Place) -> None:
    """Restarted while it waits for its mail: one mail was sent, and it is found."""
    async with server_world(database_place) as world:
        world.servers.mailwizz.add(server())
        world.servers.probe.loses = True
        async with world.home.running():
            await world.ask()
            await world.later(MINUTE_MS)
        (mail,) = world.servers.probe.mails
        world.servers.mailbox.put(mail.token, b"From: <news@sender.test>\r\nReply-To: news@sender.test\r\n\r\n")
        async with world.home.running():
            await world.later(MINUTE_MS)
            await ends(world, "SUCCESSFUL")
        assert world.servers.probe.delivered == [7]


@pytest.mark.parametrize(("point", "at"), list(product(("before_commit", "after_commit"), range(1, 30, 3))))
async def test_a_failure_amid_a_cycle_changes_nothing_of_it(database_place: Place, point: str, at: int) -> None:
    """Wherever it comes: each server has one line, the bad one is off, the cycle is told with the right counts."""
    probe = FailsOnce(point, at)
    async with server_world(database_place, relay=SOON) as world:
        world.servers.mailwizz.add(*(server(number) for number in range(1, 7)))
        world.servers.probe.found[3] = [BAD_PASSWORD]
        async with world.home.running(probe):
            probe.is_armed = True
            await world.cycle()
            await world.later(HOUR_MS)
            told = world.told("server.cycle-tested")
            assert told
            assert all(one == told[0] for one in told)
            assert [told[0][name] for name in ("tested", "successful", "failed", "deactivated")] == [6, 5, 1, 1]
            assert sorted(one for one, *_ in world.servers.mailwizz.history) == [1, 2, 3, 4, 5, 6]
            assert world.servers.mailwizz.status(3) == "inactive"
            await nothing_is_left(world)
    assert probe.has_failed
