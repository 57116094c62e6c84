"""A daemon is killed at every step of a test of a delivery server, and another goes on: one line, one verdict.

Every (point, hit) that an undisturbed run reaches is a case: those of the message's path, each question to MailWizz,
to the SMTP server and to the mailbox, and each commit in robotd's database and in MailWizz's. The gate strikes at a
sample of them on MariaDB, `make prove` at all of them on both engines.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import pytest
import pytest_asyncio

from tests.mariadb import MariaDb
from tests.proof.child import SIGKILL, Armed
from tests.proof.nursery import Child, Nursery, nursery
from tests.proof.proof_amounts import FULL, SEED, dice
from tests.proof.server_course import Kind, Step, begin, undisturbed
from tests.proof.server_home import PATIENCE_S, SERVERS, Lab, Place, lab, pause
from tests.proof.server_judge import Judge

LANES = 3
SAMPLE = {Kind.DIRECT: 6, Kind.BAD: 12, Kind.CAMPAIGN: 8, Kind.CYCLE: 6}
DECISIVE = (
    "after_campaigns.create",
    "before_mailwizz.record",
    "mailwizz_before_commit",
    "mailwizz_after_commit",
    "after_mailwizz.record",
)
# Many servers that fail in single tests are no outage here; each has a world's whole past behind it.
NO_BREAKER = {"breaker_servers": 10_000, "breaker_in_row": 0}
INSTANTS, PIECES = (20, 10) if FULL else (5, 1)
FLEET, ALONE = 10, 6
pytestmark = pytest.mark.xdist_group("server kills")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def children() -> AsyncIterator[Nursery]:
    """One nursery for all tests of this file."""
    async with nursery() as opened:
        yield opened


@dataclass(slots=True)
class Places:
    """Fresh pairs of databases of one engine: robotd's and MailWizz's."""

    folder: Path
    server: MariaDb | None
    made: int = 0

    def new(self) -> tuple[list[Place], Path]:
        """Two that nobody has used, and a folder for their world."""
        self.made += 1
        folder = self.folder / f"world-{self.made}"
        folder.mkdir()
        if self.server is None:
            return [folder / "robotd.db", folder / "mailwizz.db"], folder
        return [self.server.new_database(), self.server.new_database()], folder


@pytest.fixture(params=["mariadb", "sqlite"] if FULL else ["mariadb"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Places:
    """On MariaDB, in the full run on each engine."""
    return Places(tmp_path, None if request.param == "sqlite" else request.getfixturevalue("mariadb"))


@dataclass(slots=True)
class Strikes:
    """Cases of one kind, several at a time; each lane has a world, and leaves it when something was wrong in it."""

    places: Places
    children: Nursery
    kind: Kind
    left: deque[Step]
    found: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    async def all(self) -> None:
        """Return when every case is done."""
        async with asyncio.TaskGroup() as lanes:
            for _ in range(LANES):
                lanes.create_task(self._lane())

    async def _lane(self) -> None:
        while self.left:
            databases, folder = self.places.new()
            async with lab(databases, folder, self.children, tests=NO_BREAKER) as room:
                while self.left and await self._is_well(room, self.left.popleft()):
                    pass

    async def _is_well(self, room: Lab, step: Step) -> bool:
        try:
            wrong = await self._strike(room, step)
        except (AssertionError, TimeoutError) as error:
            wrong = [f"never over: {error}"]
        self.found += [f"{step}: {what}" for what in wrong]
        return not wrong

    async def _strike(self, room: Lab, step: Step) -> list[str]:
        killed = await room.start_again(Armed(step.point, SIGKILL, step.hit))
        servers, cycle = await begin(room, self.kind)

        def is_over() -> bool:
            return bool({line["delivery_server_id"] for line in room.history()} & {servers[0].id}) and room.is_quiet()

        await room.until(lambda: killed.ended.is_set() or is_over(), f"killed at {step}")
        if not killed.ended.is_set():
            self.missed.append(str(step))
            await room.kill(killed)
            return []
        await room.buried(killed)
        heir = await room.start_again()
        await room.until(is_over, f"over after {step}")
        wrong = Judge(room).violations(servers, cycle)
        assert not heir.ended.is_set()
        await room.kill(heir)
        return wrong


def spread(kind: Kind, steps: Sequence[Step]) -> list[Step]:
    """What the gate strikes: around all that changes something at MailWizz, and at what chance draws beside it."""
    chance = dice("server steps", kind)
    by_point: dict[str, list[Step]] = {}
    for step in steps:
        by_point.setdefault(step.point, []).append(step)
    always = [some[0] for point, some in by_point.items() if point in DECISIVE]
    others = [chance.choice(some) for point, some in by_point.items() if point not in DECISIVE]
    return [*always, *chance.sample(others, min(SAMPLE[kind], len(others)))]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("kind", list(Kind))
async def test_a_daemon_that_is_killed_at_any_step_leaves_one_line_and_one_verdict(
    places: Places, children: Nursery, kind: Kind
) -> None:
    """MailWizz has one line and the right status for each server, the robot one meaning of each end, no claim stays."""
    databases, folder = places.new()
    async with lab(databases, folder, children, tests=NO_BREAKER) as room:
        course = await undisturbed(room, kind)
    steps = course if FULL else spread(kind, course)
    strikes = Strikes(places, children, kind, deque(steps))
    await strikes.all()
    told = f"ROBOTD_PROOF_SEED={SEED}, {len(steps)} steps"
    assert strikes.found == [], f"{told}:\n" + "\n".join(strikes.found)
    # How often a mail is looked for is nobody's promise, so the last looks may not come about.
    assert len(strikes.missed) <= 1 + len(steps) // 4, f"{told}; never reached: {strikes.missed}"


@dataclass(slots=True)
class Killer:
    """Kills daemons at instants that chance chooses, and keeps so many running."""

    room: Lab
    chance: random.Random
    replicas: int
    alive: list[Child] = field(default_factory=list)

    async def begin(self) -> None:
        """The living keep their claims; only when all are dead those of the dead are over at once."""
        if not self.alive:
            self.alive.append(await self.room.start_again())
        while len(self.alive) < self.replicas:
            self.alive.append(await self.room.home.start())

    async def strike(self, instants: int) -> None:
        """So many times, while tests are under way."""
        for _ in range(instants):
            ends_s = asyncio.get_running_loop().time() + self.chance.uniform(0, 0.6)
            while (left_s := ends_s - asyncio.get_running_loop().time()) > 0:
                await pause(min(left_s, 0.03))
                self.room.leap()
            doomed = list(self.alive) if self.chance.random() < 0.5 else [self.chance.choice(self.alive)]
            for child in doomed:
                self.alive.remove(child)
                await self.room.kill(child)
            await self.begin()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("replicas", "piece"), list(product((1, 2), range(PIECES))))
async def test_kills_at_random_instants_with_copies_of_commands_leave_each_server_one_verdict(
    mariadb: MariaDb, tmp_path: Path, children: Nursery, replicas: int, piece: int
) -> None:
    """A cycle and single tests at once, each asked for more than once by one id, by one daemon and by two."""
    chance = dice("server kills", replicas, piece)
    databases, folder = Places(tmp_path, mariadb).new()
    told = f"ROBOTD_PROOF_SEED={SEED}, {replicas} replicas, piece {piece}"
    async with lab(databases, folder, children, tests=NO_BREAKER) as room:
        for number in range(FLEET):
            await room.add(is_bad=number in (2, 7), by_campaign=number % 5 == 4)
        alone = [await room.add(is_bad=number == 1, status="inactive") for number in range(ALONE)]
        killer = Killer(room, chance, replicas)
        await killer.begin()
        room.cycle("all", copies=chance.randint(1, 3))
        for server in alone:
            room.ask(server, copies=chance.randint(1, 3))
        try:
            await killer.strike(INSTANTS)
            await room.until(
                lambda: len(room.history()) == len(room.servers) and room.is_quiet(), "all are judged", PATIENCE_S
            )
            wrong = Judge(room).violations(room.servers, "all")
        except (AssertionError, TimeoutError) as error:
            wrong = [f"never over: {error}"]
    assert wrong == [], f"{told}, {room.kills} kills:\n" + "\n".join(wrong)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("point", ["before_mailwizz.record", "mailwizz_before_commit"])
async def test_a_server_that_was_repaired_while_nobody_was_there_stays_on(
    mariadb: MariaDb, tmp_path: Path, children: Nursery, point: str
) -> None:
    """FAILED, then the daemon is killed before that is committed at MailWizz, then its password is put right: kept."""
    databases, folder = Places(tmp_path, mariadb).new()
    async with lab(databases, folder, children) as room:
        killed = await room.start_again(Armed(point, SIGKILL))
        (server,), _ = await begin(room, Kind.BAD)
        await room.until(killed.ended.is_set, f"killed at {point}")
        await room.buried(killed)
        right = room.smtp.account.password
        room.tables.rows(f"UPDATE {SERVERS} SET password = '{right}', last_updated = NOW()")  # noqa: S608  words of ours
        await room.start_again()
        await room.until(lambda: bool(room.told("server.tested")) and room.is_quiet(), "over")
        (line,), (end, *_) = room.history(), room.told("server.tested")
        assert (line["status"], room.statuses()) == ("FAILED", {server.id: "active"})
        assert (end["payload"]["deactivated"], end["payload"]["kept"]) == (False, "changed")
        assert room.claims() == []
