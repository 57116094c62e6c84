"""Something is out amid a cycle of fifty delivery servers: none is switched off for it, and the cycle ends soon after.

One of the fifty is really bad: it fails and is switched off, outage or not. Time is business time: the clock leaps over
what nobody works in.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from localstack.mail_host import SmtpFault, SmtpFaultKind, Stage
from tests.mariadb import MariaDb
from tests.proof.child import PAUSE, Armed
from tests.proof.nursery import BOUND_S, Nursery, nursery, within
from tests.proof.proof_amounts import FULL
from tests.proof.server_course import Kind, begin
from tests.proof.server_home import PATIENCE_S, Lab, Place, lab, pause
from tests.proof.server_judge import Judge
from tests.proof.server_outages import OUTAGES, Outage

FLEET, BAD, PASSED = 50, 17, 15
ENDS_WITHIN_MS = 60_000
SLOW = ("mailbox hangs", "dns timeout")  # their time-outs pass in real time
TESTS = {"max_in_flight": 8}
LEASES_S = 11.0  # two of 5 s
WORLDS = 5  # at a time: each has some twenty connections
pytestmark = pytest.mark.xdist_group("server outages")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def children() -> AsyncIterator[Nursery]:
    """One nursery for all tests of this file."""
    async with nursery() as opened:
        yield opened


@pytest.fixture(scope="module")
def private(mariadb: MariaDb) -> Iterator[MariaDb]:
    """One more MariaDB, to be killed; skipped where the usual one is."""
    del mariadb
    server = MariaDb()
    try:
        server.create()
        yield server
    finally:
        server.stop()


async def _fleet(room: Lab, outage: Outage) -> None:
    for number in range(1, FLEET + 1):
        await room.add(is_bad=number == BAD, by_campaign=number > FLEET - outage.campaigns)


async def _out_for(room: Lab, outage: Outage) -> None:
    """Let it last. Without robotd's own database nobody can tell what is due next: then the clock goes by itself."""
    if not outage.is_own:
        await room.pass_time(outage.minutes)
        return
    for _ in range(round(outage.minutes * 6)):
        room.clock.leap(10_000)
        await pause(0.1)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", [name for name in OUTAGES if FULL or name not in SLOW])
async def test_an_outage_amid_a_cycle_fails_nobody_and_the_cycle_ends_when_it_does(
    mariadb: MariaDb, private: MariaDb, tmp_path: Path, children: Nursery, name: str
) -> None:
    """Each good server is SUCCESSFUL with one line, the bad one FAILED and inactive, a minute after at the latest."""
    outage = OUTAGES[name]
    steady, shaky = mariadb.new_database(), private.new_database()
    places = [shaky, steady] if outage.is_own else [steady, shaky]
    async with lab(places, tmp_path / "home", children, tests=TESTS) as room:
        await _fleet(room, outage)
        child = await room.home.start()
        room.cycle("amid")
        point, times = outage.at
        await room.until(lambda: room.home.reached(child, point) >= times, f"{point} {times} times")
        await outage.begin(room, private)
        try:
            await _out_for(room, outage)
        finally:
            await outage.end(room, private)
        ended_at_ms, judged = room.clock.now_ms(), len(room.history())
        await room.until(lambda: len(room.history()) == FLEET and room.is_quiet(), "the cycle is over", PATIENCE_S)
        took_ms = room.clock.now_ms() - ended_at_ms
        assert judged < FLEET, "the outage came too late to prove anything"
        room.kills += outage.is_own  # whoever could not keep what was sent sends again, as after a kill
        wrong = Judge(room).violations(room.servers, "amid")
        assert wrong == [], "\n".join(wrong)
        assert took_ms <= ENDS_WITHIN_MS, f"{took_ms / 1000:.0f} s after the end of the outage"
        assert child.code is None


@pytest.mark.asyncio(loop_scope="module")
async def test_servers_that_refuse_all_passwords_at_once_stay_on(
    mariadb: MariaDb, tmp_path: Path, children: Nursery
) -> None:
    """Only their number tells that it is an outage: those that passed have a line, the others none, all are on."""
    places = [mariadb.new_database(), mariadb.new_database()]
    async with lab(places, tmp_path / "home", children, tests=TESTS) as room:
        for _ in range(FLEET):
            await room.add()
        refused = SmtpFault(SmtpFaultKind.ANSWER, Stage.AUTH, "535 5.7.8 Not now", skip=PASSED)
        room.smtp.faults.add(refused)
        child = await room.home.start()
        room.cycle("refused")
        await room.until(lambda: bool(room.told("server.cycle-tested")) and room.is_quiet(), "over", PATIENCE_S)
        assert [line["status"] for line in room.history()] == ["SUCCESSFUL"] * PASSED
        assert set(room.statuses().values()) == {"active"}
        end = room.told("server.cycle-tested")[0]["payload"]
        assert [end[name] for name in ("successful", "failed", "errors", "deactivated")] == [
            PASSED,
            0,
            FLEET - PASSED,
            0,
        ]
        assert end["outage"].startswith(f"{FLEET - PASSED} of {FLEET} servers failed at T5")
        assert room.claims() == []
        assert child.code is None


FROZEN = {
    Kind.BAD: (
        "before_probe.deliver",
        "after_probe.deliver",
        "before_mailwizz.record",
        "mailwizz_before_commit",
        "mailwizz_after_commit",
        "after_mailwizz.record",
    ),
    Kind.DIRECT: ("after_probe.deliver", "before_mailwizz.record", "mailwizz_before_commit", "after_mailwizz.record"),
    Kind.CAMPAIGN: ("before_campaigns.create", "after_campaigns.create", "before_mailwizz.record"),
}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_daemon_that_wakes_up_after_two_leases_writes_nothing_a_second_time(
    mariadb: MariaDb, tmp_path: Path, children: Nursery
) -> None:
    """Stopped before or after each question that changes something, while another goes on: one line, one verdict."""
    room_for_some = asyncio.Semaphore(WORLDS)
    async with asyncio.TaskGroup() as worlds:
        for kind, points in FROZEN.items():
            for point in points:
                places = [mariadb.new_database(), mariadb.new_database()]
                freeze = _freeze(places, tmp_path / f"{kind}-{point}", children, kind, point)
                worlds.create_task(_when_there_is_room(room_for_some, freeze))


async def _when_there_is_room(room_for_some: asyncio.Semaphore, work: Awaitable[None]) -> None:
    async with room_for_some:
        await work


async def _freeze(places: Sequence[Place], folder: Path, children: Nursery, kind: Kind, point: str) -> None:
    async with lab(places, folder, children) as room:
        sleeper = await room.home.start(Armed(point, PAUSE))
        servers, _ = await begin(room, kind)
        await room.until(sleeper.hit.is_set, f"stopped at {point}")
        heir = await room.home.start()
        room.kills += 1  # who is stopped for so long has died, to all others
        for _ in range(round(LEASES_S / 0.1)):
            await pause(0.1)
            room.leap()
        before = (room.history(), room.statuses(), room.told("server.tested")) if room.is_quiet() else None
        sleeper.signal(signal.SIGCONT)
        await room.until(lambda: bool(room.history()) and room.is_quiet(), f"{kind}, {point}: over")
        sleeper.signal(signal.SIGTERM)  # whatever it still has in hand is at its end when it has stopped
        await within(BOUND_S, sleeper.ended)
        wrong = Judge(room).violations(servers)
        assert wrong == [], f"{kind}, {point}:\n" + "\n".join(wrong)
        if before is not None:
            assert (room.history(), room.statuses()) == before[:2], f"{kind}, {point}: the sleeper wrote something"
        assert (sleeper.code, heir.code) == (0, None), point
