"""Two thousand campaigns run at once in one daemon: on time, in little memory, and nobody else waits for them.

Some hundreds with a few contacts each belong to every run of the tests; all, with 200 contacts each, to `make scale`.
"""

import asyncio
import os
import secrets
import signal
import sys
import time
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from daemon import topology
from daemon.clock import SystemClock
from daemon.opening import open_database, open_sqs
from daemon.settings import Settings
from daemon.store.database import Database
from daemon.store.migrate import migrate
from daemon.store.mysql import MysqlAddress
from domain.wire import iso
from localstack.megazord import MegazordSimulator
from localstack.micro_managers import MicroManagersSimulator
from localstack.sqs import SqsServer
from localstack.sqs_sender import SqsSender
from tests.contact_lists import Crowd
from tests.e2e.processes import environment
from tests.mariadb import MariaDb
from tests.world import create_command

FULL = os.environ.get("ROBOTD_TEST_SCALE") == "full"
CROWD = Crowd(lists=2_000, contacts=200) if FULL else Crowd(lists=120, contacts=4)
GAP_MS = 10_000 if FULL else 3_000  # 200 sends a second are due, or 40
STARTS_MS = 3 * GAP_MS if FULL else GAP_MS  # to freeze a list is work, too
LATE_P99_MS = 2_000
MOST_MB, GROWS_MB = 300.0, 10.0
STEP, FIRST_ROBOT = 88120, 70_001
CHECK_EVERY_MS = 200 if FULL else 100
QUIET_CHECKS = 300 if FULL else 20
# Beside other tests everything waits for the processor, and so few checks tell only of what is held up for long.
SLACK_MS = 0 if FULL else 1_000
START_S, END_S, PATIENCE_S = 30.0, 60.0, 300.0 if FULL else 60.0
ROWS_TOGETHER = 5_000
Place = Path | MysqlAddress


@pytest.fixture(params=["sqlite", "mariadb"] if FULL else ["sqlite"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """On each engine where time does not matter."""
    if request.param == "sqlite":
        yield tmp_path / "robotd.db"
        return
    server: MariaDb = request.getfixturevalue("mariadb")
    address = server.new_database()
    yield address
    server.drop(address)


@dataclass(slots=True)
class Neighbourhood:
    """A daemon in its process, WAHA in another, and the rest of the world here."""

    sqs: SqsServer
    managers: MicroManagersSimulator
    waha: httpx.AsyncClient
    database: Database
    settings: Settings
    daemon: Process
    checks: int = 0
    memory_mb: list[float] = field(default_factory=list)
    used_s: list[tuple[float, float]] = field(default_factory=list)

    async def accepted(self) -> int:
        """How many messages WAHA took."""
        return int((await self._of_waha("/_robotd/counts"))["accepted"])

    async def record(self) -> list[dict[str, Any]]:
        """Every message that WAHA took, as its own record has it."""
        found: list[dict[str, Any]] = []
        while page := await self._of_waha(f"/_robotd/accepted?from={len(found)}&count={ROWS_TOGETHER}"):
            found += [{key: message[key] for key in ("session", "chat_id", "at_ms")} for message in page]
        return found

    async def _of_waha(self, path: str) -> Any:
        return (await self.waha.get(path)).raise_for_status().json()

    def ask(self) -> None:
        """A robot that has none yet asks for a check."""
        robot_id = FIRST_ROBOT + self.checks
        self.checks += 1
        self.managers.add_step(robot_id, STEP, "TOILET_VISIT", 0, 7200)
        self.sqs.create_queue(f"{self.settings.queues.robot_prefix}{robot_id}")
        now_ms = SystemClock().now_ms()
        self.sqs.send(self.settings.queues.commands, create_command(robot_id, STEP, robot_id, now_ms, time=iso(now_ms)))

    async def all_told(self) -> None:
        """Return when each robot that asked has its answer."""
        await self.sqs.wait_until(lambda: len(self._heard_s()) == self.checks, END_S)

    def waits_ms(self, first: int = 0) -> list[float]:
        """How long the robots waited from their command to the answer in their queue, by the queue server's record."""
        asked = [entry.time_s for entry in self.sqs.ledger.of("sent", self.settings.queues.commands)]
        heard = self._heard_s()
        return [(heard[FIRST_ROBOT + number] - asked[number]) * 1000 for number in range(first, self.checks)]

    def _heard_s(self) -> dict[int, float]:
        prefix = self.settings.queues.robot_prefix
        answers = [entry for entry in self.sqs.ledger.of("sent") if entry.queue.startswith(prefix)]
        return {int(entry.queue.removeprefix(prefix)): entry.time_s for entry in answers}

    def measure(self) -> None:
        """Note how much memory the daemon has, and how much of a processor it has used until when."""
        pages = int(Path(f"/proc/{self.daemon.pid}/statm").read_text().split()[1])
        self.memory_mb.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
        ticks = Path(f"/proc/{self.daemon.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        self.used_s.append((time.monotonic(), sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")))


def _variables(tree: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    return {
        f"ROBOTD_{section}__{name}".upper(): str(value)
        for section, values in tree.items()
        for name, value in values.items()
        if value is not None
    }


def _tree(
    place: Place, sqs: str, megazord: str, managers: str, waha: Mapping[str, str]
) -> dict[str, dict[str, object]]:
    database: dict[str, object] = {"url": f"sqlite:///{place}"}
    if isinstance(place, MysqlAddress):
        url = f"mysql://{place.user}@localhost/{place.database}?unix_socket={place.unix_socket}"
        database = {"url": url, "password": place.password}
    return {
        "aws": {"endpoint_url": sqs, "access_key_id": "test", "secret_access_key": "test"},
        "consumer": {"wait_s": 1},
        "database": database,
        "megazord": {"base_url": megazord},
        "micro_managers": {"base_url": managers},
        # For so many numbers a relay brings the acknowledgements: to ask for them would cost more than the sends.
        "waha": {**waha, "events_queue": "waha-events", "webhook_key": secrets.token_hex(16)},
        "campaigns": {"gap_min_s": GAP_MS / 1000, "gap_max_s": GAP_MS / 1000},
    }


@asynccontextmanager
async def _process(log: Path, *arguments: str, more: Mapping[str, str] | None = None) -> AsyncIterator[Process]:
    """`python -m` of something until it has ended by SIGTERM, cleanly; what it says goes into a file."""
    with log.open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *arguments, cwd=log.parent, env=environment(more or {}), stdout=said, stderr=said
        )
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(END_S):
            assert await process.wait() == 0, arguments
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def _waha(folder: Path) -> AsyncIterator[tuple[httpx.AsyncClient, dict[str, str]]]:
    """WAHA with a session for each campaign; how a judge asks it, and how the daemon finds it."""
    key, sessions = secrets.token_hex(8), [f"--session={name}" for name in CROWD.sessions]
    log = folder / "waha.log"
    async with _process(log, "localstack.waha", "--api-key", key, *sessions):
        async with asyncio.timeout(START_S):
            while " on http" not in (said := log.read_text()):
                await SystemClock().wait_until(SystemClock().now_ms() + 20)
        url = said.split(" on ")[1].strip()
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=END_S) as http:
            yield http, {"base_url": url, "api_key": key}


@asynccontextmanager
async def _neighbourhood(place: Place, folder: Path) -> AsyncIterator[Neighbourhood]:
    async with AsyncExitStack() as stack:
        clock = SystemClock()
        sqs = await stack.enter_async_context(SqsServer(ledger_size=1_000_000))
        sender = await stack.enter_async_context(SqsSender(sqs.url))
        megazord = await stack.enter_async_context(MegazordSimulator(sender, clock))
        managers = await stack.enter_async_context(MicroManagersSimulator(clock))
        http, waha = await stack.enter_async_context(_waha(folder))
        tree = _tree(place, sqs.url, megazord.url, managers.url, waha)
        settings = Settings.model_validate({"environment": "development", **tree})
        async with open_sqs(settings) as client:
            await topology.ensure(client, topology.topology(settings))
        database = await stack.enter_async_context(open_database(settings))
        await migrate(database)
        await CROWD.add(database)
        more = {"ROBOTD_ENVIRONMENT": "development", **_variables(tree)}
        daemon = await stack.enter_async_context(_process(folder / "robotd.log", "daemon", "run", more=more))
        yield Neighbourhood(sqs, managers, http, database, settings, daemon)


async def _quiet(around: Neighbourhood) -> None:
    """Checks alone; the first one is not counted, as the daemon starts meanwhile."""
    around.ask()
    await around.sqs.wait_until(lambda: around.checks == len(around._heard_s()), START_S)
    for _ in range(QUIET_CHECKS):
        around.ask()
        await SystemClock().wait_until(SystemClock().now_ms() + CHECK_EVERY_MS)
    await around.all_told()


async def _busy(around: Neighbourhood) -> None:
    """Checks at the same rate until WAHA has taken everything and the campaigns are over; memory once a second."""
    clock, all_of_them = SystemClock(), CROWD.lists * CROWD.contacts
    begins_ms = clock.now_ms() + 1_000
    await CROWD.schedule(around.database, begins_ms, STARTS_MS)
    bound_s = (STARTS_MS + CROWD.contacts * GAP_MS) / 1000 + PATIENCE_S
    async with asyncio.timeout(bound_s):
        while await around.accepted() < all_of_them:
            around.measure()
            for _ in range(1_000 // CHECK_EVERY_MS):
                around.ask()
                await clock.wait_until(clock.now_ms() + CHECK_EVERY_MS)
        await around.all_told()
        while await _campaigns(around.database) != {"Completed": CROWD.lists}:
            await clock.wait_until(clock.now_ms() + CHECK_EVERY_MS)


async def _campaigns(database: Database) -> dict[str, int]:
    rows = await database.fetch("SELECT status, COUNT(*) FROM campaign GROUP BY status")
    return {str(status): int(count or 0) for status, count in rows}


async def _late_ms(database: Database, record: Sequence[Mapping[str, Any]]) -> list[int]:
    """How long after its step was due each message was at WAHA.

    The first step of a campaign is due when it has started, each other one a gap after the answer before it.
    """
    at_ms = {(message["session"], message["chat_id"]): int(message["at_ms"]) for message in record}
    late = []
    for campaign, (session, started_ms) in (await _started(database)).items():
        sql = "SELECT chat_id, ended_at_ms FROM campaign_recipient WHERE campaign_id = ? ORDER BY position"
        rows = [(str(chat_id), int(ended or 0)) for chat_id, ended in await database.fetch(sql, (campaign,))]
        late.append(at_ms[session, rows[0][0]] - started_ms)
        late += [at_ms[session, chat_id] - before_ms - GAP_MS for (_, before_ms), (chat_id, _) in pairwise(rows)]
    return sorted(late)


async def _started(database: Database) -> dict[int, tuple[str, int]]:
    rows = await database.fetch("SELECT id, session, started_at_ms FROM campaign")
    return {int(number or 0): (str(session), int(at_ms or 0)) for number, session, at_ms in rows}


def _share(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _spread(values: Sequence[float]) -> str:
    p50, p95, p99 = (_share(values, share) for share in (0.5, 0.95, 0.99))
    return f"p50 {p50:.0f} p95 {p95:.0f} p99 {p99:.0f} max {max(values):.0f} ms"


def _grown_mb(memory_mb: Sequence[float]) -> float:
    """From the second fifth of the run, when all campaigns have begun, to the last."""
    fifth = max(1, len(memory_mb) // 5)
    return _share(memory_mb[-fifth:], 0.5) - _share(memory_mb[fifth : 2 * fifth], 0.5)


def _processor(used_s: Sequence[tuple[float, float]]) -> str:
    (began_s, before_s), (ended_s, after_s) = used_s[0], used_s[-1]
    return f"{(after_s - before_s) / (ended_s - began_s) * 100:.0f} % of a processor"


def _errors(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if '"level":"error"' in line]


@pytest.mark.xdist_group("ten thousand checks")  # not beside that one: both need a processor
async def test_every_one_of_many_campaigns_sends_on_time_and_checks_do_not_wait_for_them(
    place: Place, tmp_path: Path
) -> None:
    """Each contact is written to once, at most two seconds late; memory stays small; no check takes twice as long."""
    began_s = time.monotonic()
    async with _neighbourhood(place, tmp_path) as around:
        await _quiet(around)
        quiet, before = around.waits_ms(first=1), around.checks
        await _busy(around)
        busy = around.waits_ms(first=before)
        record = await around.record()
        late = await _late_ms(around.database, record)
        states = await around.database.fetch("SELECT state, COUNT(*) FROM campaign_recipient GROUP BY state")
    sys.stdout.write(
        f"\n{CROWD.lists} campaigns, {len(record)} messages in {time.monotonic() - began_s:.0f} s with all around it\n"
        f"late: {_spread(late)}\n"
        f"checks: {_spread(quiet)} alone, {_spread(busy)} beside them ({len(busy)} checks)\n"
        f"the daemon: at most {max(around.memory_mb):.0f} MB, grown by {_grown_mb(around.memory_mb):.1f} MB; "
        f"{_processor(around.used_s)}\n"
    )
    assert Counter((message["session"], message["chat_id"]) for message in record) == Counter(CROWD.everybody)
    assert [tuple(row) for row in states] == [("SENT", CROWD.lists * CROWD.contacts)]
    assert _errors(tmp_path / "robotd.log") == []
    assert late[0] >= 0, "no step is early"
    assert _share(late, 0.99) <= LATE_P99_MS
    assert max(around.memory_mb) <= MOST_MB
    assert _grown_mb(around.memory_mb) <= GROWS_MB
    for share in (0.5, 0.95):
        assert _share(busy, share) <= 2 * _share(quiet, share) + SLACK_MS
