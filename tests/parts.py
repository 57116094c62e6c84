"""The daemon's parts, wired one by one with routes and probes of a test: real SQS over HTTP, a real SQLite file."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.consumer import Consumer, QueueSource
from daemon.dead_letters import DeadLetters
from daemon.delivery import COMMANDS, Rejection
from daemon.dispatcher import Dispatcher, Policy
from daemon.gate import Gate
from daemon.outbox import Addressing
from daemon.probe import Probe, unobserved
from daemon.relay import Relay, RelayPace
from daemon.sqs import Sqs, SqsAccess, connect
from daemon.store.bodies import SqlBodies
from daemon.store.books import SqlBooks
from daemon.store.ids import Ids
from daemon.store.migrate import migrate
from daemon.store.outbox import SqlOutbox
from daemon.store.rows import RowIds
from daemon.store.sqlite import SqliteDatabase
from daemon.store.timers import SqlTimers
from daemon.store.uow import Committed, SqlUnitOfWork, Surroundings
from daemon.timers import TimerPace, Timers
from daemon.watch import Watch
from domain.messages import CommandData
from domain.outcome import Done, Outcome
from domain.ports import UnitOfWork
from domain.wire import RobotId
from handlers.routes import Origin, Route
from localstack.clock import ManualClock
from localstack.sqs import SqsServer
from tests.world import MORNING_MS, command

QUEUE, DEAD, TIMERS_DEAD = "wishes", "wishes-dlq", "timers-dlq"
Handler = Callable[[Any, UnitOfWork], Awaitable[Outcome]]


class Wish(CommandData):
    """The data of the commands and timers of these tests."""

    robot_id: RobotId | None = None
    text: str = ""


def wish(text: str = "", robot_id: int | None = None, **envelope: object) -> str:
    """The body of a command that goes to the handler of the route `wish`."""
    data: dict[str, object] = {"text": text} if robot_id is None else {"text": text, "robotId": robot_id}
    return command("wish", data, **envelope)


def wishes(handler: Handler, origin: Origin = Origin.COMMAND) -> Mapping[str, Route]:
    """A routing table of one route."""
    return {"wish": Route(origin, Wish, handler)}


async def done(_wish: Wish, _work: UnitOfWork) -> Outcome:
    """A handler without effect."""
    return Done()


class Valve:
    """Holds handlers until it is opened, and tells who came, who went through and how many were inside at once."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.came: list[str] = []
        self.through: list[str] = []
        self.cancelled: list[str] = []
        self.most = 0
        self._changed = asyncio.Condition()

    async def __call__(self, wish: Wish, _work: UnitOfWork) -> Outcome:
        self.came.append(wish.text)
        self.most = max(self.most, self.inside)
        await self._tell()
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled.append(wish.text)
            await self._tell()
            raise
        self.through.append(wish.text)
        await self._tell()
        return Done()

    @property
    def inside(self) -> int:
        """How many are held now."""
        return len(self.came) - len(self.through) - len(self.cancelled)

    async def until(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Return as soon as `condition` holds, looked at whenever somebody comes or goes."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(condition)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@dataclass(slots=True)
class Delivered:
    """A delivery that writes down what is done with it."""

    body: str = field(default_factory=wish)
    id: str = "d-1"
    receive_count: int = 1
    attributes: Mapping[str, str] = field(default_factory=dict)
    queue: str = QUEUE
    reads: str = COMMANDS
    age_ms: int = 0
    fence: int | None = None
    actions: list[tuple[str, object]] = field(default_factory=list)
    fails: Exception | None = None

    async def ack(self) -> None:
        self._act("ack", None)

    async def retry(self, after_s: float) -> None:
        self._act("retry", after_s)

    async def reject(self, rejection: Rejection) -> None:
        self._act("reject", rejection)

    def _act(self, action: str, detail: object) -> None:
        if self.fails is not None:
            raise self.fails
        self.actions.append((action, detail))


@dataclass(slots=True)
class Parts:
    """What a test wires together. `offered` holds what commits have set free, unless a relay takes it."""

    server: SqsServer
    sqs: Sqs
    database: SqliteDatabase
    clock: ManualClock
    gate: Gate = field(default_factory=Gate)
    rows: RowIds = field(default_factory=RowIds)
    offered: list[Committed] = field(default_factory=list)
    handed_on: Callable[[Committed], None] | None = None
    lost: list[str] = field(default_factory=list)

    def dispatcher(
        self,
        routes: Mapping[str, Route],
        policy: Policy | None = None,
        probe: Probe = unobserved,
        watch: Watch | None = None,
    ) -> Dispatcher[SqlUnitOfWork]:
        around = Surroundings(
            database=self.database,
            ids=Ids(self.database),
            rows=self.rows,
            addressing=Addressing("robot-queue-", "robotd", "host"),
            claim_ms=30_000,
            handed_on=self._hand_on,
            probe=probe,
        )
        return Dispatcher(
            routes,
            SqlBooks(around, self.clock),
            policy=policy or Policy(first_s=0.1, cap_s=1.0),
            probe=probe,
            lost=lambda error: self.lost.append(error.dependency),
            watch=watch,
        )

    def _hand_on(self, committed: Committed) -> None:
        (self.handed_on or self.offered.append)(committed)

    @property
    def letters(self) -> DeadLetters:
        async def missing(queue: str) -> None:
            self.lost.append(queue)

        bodies = SqlBodies(self.database)
        return DeadLetters(
            self.sqs, lambda queue: TIMERS_DEAD if queue == "timers" else f"{queue}-dlq", bodies, missing
        )

    def consumer(
        self,
        dispatcher: Dispatcher[SqlUnitOfWork],
        *,
        max_in_flight: int = 10,
        visibility_timeout_s: int = 30,
        probe: Probe = unobserved,
    ) -> Consumer:
        source = QueueSource(QUEUE, COMMANDS, max_in_flight, visibility_timeout_s)
        return Consumer(source, self.sqs, dispatcher, self.letters, gate=self.gate, probe=probe)

    def relay(
        self,
        pace: RelayPace | None = None,
        create_queue: Callable[[str], Awaitable[None]] | None = None,
        probe: Probe = unobserved,
    ) -> Relay:
        outbox = SqlOutbox(self.database, self.rows.boot, 30_000)
        pace = pace or RelayPace(sweep_every_s=0.05, backoff_first_s=0.2, backoff_cap_s=2.0)
        return Relay(outbox, self.sqs, pace=pace, gate=self.gate, probe=probe, create_queue=create_queue)

    def timers(self, dispatcher: Dispatcher[SqlUnitOfWork], pace: TimerPace | None = None) -> Timers:
        pace = pace or TimerPace(poll_every_s=30.0)
        store = SqlTimers(self.database, RowIds().boot, round(pace.lease_s * 1000))
        return Timers(store, self.clock, dispatcher, self.letters, pace=pace, gate=self.gate, probe=unobserved)

    async def count(self, table: str) -> int:
        """Rows of a table."""
        rows = await self.database.fetch(f"SELECT COUNT(*) FROM {table}")  # noqa: S608  a table name of ours
        return int(rows[0][0] or 0)

    async def outcomes(self) -> list[str]:
        """The journal: what became of each try, in order."""
        return [str(row[0]) for row in await self.database.fetch("SELECT outcome FROM journal ORDER BY at_ms, id")]

    def is_empty(self, queue: str = QUEUE) -> bool:
        """Whether a queue holds no message in any state."""
        counts = self.server.counts(queue)
        return not (counts.visible or counts.in_flight or counts.delayed)

    async def until_empty(self, timeout_s: float = 10.0) -> None:
        """Return when the input queue holds nothing any more."""
        await self.server.wait_until(self.is_empty, timeout_s)


@asynccontextmanager
async def consuming(consumer: Consumer, drain_s: float = 5.0) -> AsyncIterator[Consumer]:
    """Run a consumer; at the end it drains as the daemon does."""
    keeping = asyncio.create_task(consumer.keep())
    polling = asyncio.create_task(consumer.run())
    try:
        yield consumer
    finally:
        consumer.stop()
        await polling
        await consumer.drain(drain_s)
        await consumer.settled()
        keeping.cancel()
        await asyncio.wait([keeping])


@asynccontextmanager
async def parts(folder: Path, *, wait_s: int = 1, call_timeout_s: float = 10.0) -> AsyncIterator[Parts]:
    """A server with the three queues, a client of it and a migrated database."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(SqsServer())
        for queue in (QUEUE, DEAD, TIMERS_DEAD):
            server.create_queue(queue)
        access = SqsAccess(
            "eu-central-1", server.url, "test", "test", poll_wait_s=wait_s, call_timeout_s=call_timeout_s
        )
        sqs = await stack.enter_async_context(connect(access))
        database = await SqliteDatabase.open(folder / "robotd.db")
        stack.push_async_callback(database.close)
        await migrate(database)
        yield Parts(server, sqs, database, ManualClock(MORNING_MS))
