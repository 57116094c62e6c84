"""One consumer in a process of its own, which says over its pipes what it used; started by `tests.bench.spine` alone.

The first line of stdin is the order. Then `go` begins, `done` waits until nothing is left to do and answers with a
reading, `read` answers with another, and the end of stdin is the end.
"""

import asyncio
import json
import os
import resource
import secrets
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from cProfile import Profile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from aiobotocore.session import get_session

from daemon.app import build
from daemon.books import Attempts, Books, Entry
from daemon.clock import SystemClock
from daemon.consumer import Consumer, QueueSource
from daemon.dead_letters import DeadLetters
from daemon.delivery import COMMANDS, Delivery, Identity, Message
from daemon.dispatcher import Dispatcher, Policy
from daemon.gate import Gate
from daemon.log import configure
from daemon.opening import open_database, open_sqs
from daemon.outbox import Addressing
from daemon.probe import unobserved
from daemon.settings import Settings
from daemon.sqs import Outgoing, Sqs
from daemon.store.books import SqlBooks
from daemon.store.database import Database, Write
from daemon.store.ids import Ids
from daemon.store.migrate import migrate
from daemon.store.rows import RowIds
from daemon.store.status_checks import SqlStatusChecks
from daemon.store.uow import Surroundings
from daemon.topology import report_missing
from domain.messages import CreateStatusCheck
from domain.outcome import Done, Outcome
from domain.ports import UnitOfWork
from domain.status_check import Branch, Phase, StatusCheck, Verdict, Window
from handlers.routes import Origin, Route

BARE, NO_DATABASE, INBOX, CHECKS = "bare", "no-database", "inbox", "checks"
TEMPLATE, TEMPLATE_VERSION = "OUT_OF_BED_MORNING", 2  # pollUntilEnd, so that every event is judged


@dataclass(frozen=True, slots=True)
class Order:
    """What to run. `warm` is a queue of one message for each client, so that first calls are not measured."""

    kind: str
    queue: str
    warm: str
    robots: int
    settings: dict[str, Any]
    log: str
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What the process has used until now."""

    at_s: float
    cpu_s: float
    rss_mb: float
    peak_rss_mb: float


@dataclass(frozen=True, slots=True)
class Subject:
    """A consumer that is connected and warm, and has not begun."""

    run: Callable[[], Coroutine[Any, Any, object]]
    at_rest: Callable[[], Awaitable[object]]


def reading() -> Reading:
    memory = {"VmRSS": 0.0, "VmHWM": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    with suppress(FileNotFoundError):  # getrusage's peak holds the parent's, from before exec
        for line in Path("/proc/self/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in memory:
                memory[name] = int(value.split()[0]) / 1024
    return Reading(time.monotonic(), time.process_time(), memory["VmRSS"], memory["VmHWM"])


@asynccontextmanager
async def bare(order: Order, settings: Settings) -> AsyncIterator[Subject]:
    """The least that a consumer can do with the library as it comes."""
    key = secrets.token_hex(8)
    session, endpoint = get_session(), settings.aws.endpoint_url
    async with session.create_client(
        "sqs",
        region_name=settings.aws.region,
        endpoint_url=endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=key,
    ) as client:
        url = (await client.get_queue_url(QueueName=order.queue))["QueueUrl"]
        warm_url = (await client.get_queue_url(QueueName=order.warm))["QueueUrl"]

        async def drain_ten(url: str) -> None:
            got = await client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=10)
            messages = got.get("Messages", [])
            entries = [{"Id": str(place), "ReceiptHandle": it["ReceiptHandle"]} for place, it in enumerate(messages)]
            if entries:
                await client.delete_message_batch(QueueUrl=url, Entries=entries)

        async def run() -> None:
            while True:
                await drain_ten(url)

        await drain_ten(warm_url)
        yield Subject(run, nothing)


@dataclass(frozen=True, slots=True)
class NoBooks:
    """Books that keep nothing: what the path of a message costs without a database."""

    async def seen(self, delivery: Delivery, message: Message) -> bool:
        del delivery, message
        return False

    def begin(self, delivery: Delivery, identity: Identity) -> UnitOfWork:
        del delivery, identity
        return cast("UnitOfWork", None)  # the only handler beside it looks at nothing

    async def commit(self, delivery: Delivery, message: Message, work: UnitOfWork, entry: Entry | None) -> None:
        pass

    async def finish(self, work: UnitOfWork) -> None:
        raise NotImplementedError

    async def note_rejected(self, delivery: Delivery, work: UnitOfWork, entry: Entry) -> None:
        raise NotImplementedError

    async def note(self, delivery: Delivery, entry: Entry) -> None:
        raise NotImplementedError

    async def attempts(self, delivery: Delivery) -> Attempts:
        raise NotImplementedError

    async def note_retry(self, delivery: Delivery, attempts: Attempts, entry: Entry) -> None:
        raise NotImplementedError

    async def forget(self, delivery: Delivery) -> None:
        raise NotImplementedError

    async def park_body(self, delivery_id: str, body: str) -> None:
        raise NotImplementedError


@asynccontextmanager
async def without_database(order: Order, settings: Settings) -> AsyncIterator[Subject]:
    async with open_sqs(settings) as sqs:
        yield await _noop(order, settings, sqs, NoBooks())


@asynccontextmanager
async def with_inbox(order: Order, settings: Settings) -> AsyncIterator[Subject]:
    async with open_database(settings) as database, open_sqs(settings) as sqs:
        await migrate(database)
        around = Surroundings(
            database=database,
            ids=Ids(database),
            rows=RowIds(),
            addressing=Addressing("robot-queue-", "bench", "bench"),
            claim_ms=30_000,
            handed_on=lambda _: None,
            probe=unobserved,
        )
        yield await _noop(order, settings, sqs, SqlBooks(around, SystemClock()))


async def _noop(order: Order, settings: Settings, sqs: Sqs, books: Books[Any]) -> Subject:
    """The daemon's own consumer, ownership and dispatcher around a handler that does nothing."""
    limits, gate = settings.consumer, Gate()
    policy = Policy(limits.max_attempts, limits.backoff_first_s, limits.backoff_cap_s)
    routes = {"status-check.create": Route(Origin.COMMAND, CreateStatusCheck, _handle_nothing)}
    dispatcher: Dispatcher[Any] = Dispatcher(
        routes, books, policy=policy, probe=unobserved, lost=lambda error: gate.lost(error.dependency, str(error))
    )
    source = QueueSource(order.queue, COMMANDS, limits.max_in_flight, limits.visibility_timeout_s)
    letters = DeadLetters(sqs, lambda queue: f"{queue}-dlq", NoBooks(), report_missing)
    consumer = Consumer(source, sqs, dispatcher, letters, gate=gate, probe=unobserved)

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(consumer.keep())
            group.create_task(consumer.run())

    async def at_rest() -> None:
        await consumer.at_rest()
        await consumer.settled()

    await _warm(sqs, order)
    return Subject(run, at_rest)


async def _handle_nothing(_command: CreateStatusCheck, _uow: UnitOfWork) -> Outcome:
    return Done()


async def nothing() -> None:
    pass


@asynccontextmanager
async def checks(order: Order, settings: Settings) -> AsyncIterator[Subject]:
    """The whole daemon, with one running check for each robot."""
    async with open_database(settings) as database:
        await migrate(database)
        await _start_checks(database, order.robots)
    async with build(settings) as daemon:
        sqs: Sqs = daemon._parts.relay._sqs
        await _warm(sqs, order)
        await sqs.send(order.warm, [Outgoing("warm", {})])
        for robot_id in range(1, order.robots + 1):
            await sqs.url(f"{settings.queues.robot_prefix}{robot_id}")
        yield Subject(daemon.run, daemon.at_rest)


async def _start_checks(database: Database, robots: int) -> None:
    writes: list[Write] = []
    keep = SqlStatusChecks(database, Ids(database), writes.append)
    now_ms = int(datetime.now(UTC).timestamp()) * 1000
    hour_ms = 3_600_000
    first = StatusCheck(
        id=0,
        robot_id=0,
        step_id=1,
        scheduled_id=1,
        script_version_id=1,
        planned_at_ms=now_ms,
        template_name=TEMPLATE,
        template_version=TEMPLATE_VERSION,
        started_at_ms=now_ms - hour_ms,
        window=Window(looks_back=True, since_ms=None, until_ms=now_ms + hour_ms),
        branches={verdict: Branch(number) for number, verdict in enumerate(Verdict)},
        phase=Phase.FUTURE,
    )
    for number in range(1, robots + 1):
        keep.add(replace(first, id=number, robot_id=number, subscription_id=number))
    await database.apply(writes)


async def _warm(sqs: Sqs, order: Order) -> None:
    received = await sqs.receive(order.warm, limit=1, visibility_timeout_s=30)
    await sqs.delete(order.warm, [message.handle for message in received])
    await sqs.url(order.queue)


SCENARIOS = {BARE: bare, NO_DATABASE: without_database, INBOX: with_inbox, CHECKS: checks}


def tell(**fields: object) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def tell_reading() -> None:
    now = reading()
    tell(at_s=now.at_s, cpu_s=now.cpu_s, rss_mb=now.rss_mb, peak_rss_mb=now.peak_rss_mb)


async def lines() -> AsyncIterator[str]:
    stream = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), sys.stdin)
    while line := await stream.readline():
        yield line.decode().strip()


class Runner:
    """Runs the subject when it is told to, and dies loudly if the subject does."""

    def __init__(self, order: Order, subject: Subject) -> None:
        self._subject = subject
        self._profile = Profile(time.thread_time) if order.profile else None  # not wall time: others use the machine
        self._profile_file = order.profile or ""
        self._run: asyncio.Task[object] | None = None

    async def obey(self, word: str) -> None:
        if word == "go":
            if self._profile is not None:
                self._profile.enable()
            tell_reading()
            self._run = asyncio.create_task(self._subject.run())
            self._run.add_done_callback(died)
            return
        if word == "done":
            await self._subject.at_rest()
            if self._profile is not None:
                self._profile.disable()
                self._profile.dump_stats(self._profile_file)
        tell_reading()


def died(run: asyncio.Task[object]) -> None:
    """It never ends by itself but by an error."""
    traceback.print_exception(run.exception())
    os._exit(1)


async def main() -> None:
    told = lines()
    order = Order(**json.loads(await anext(told)))
    with Path(order.log).open("a") as log:  # noqa: ASYNC230  once, before anything runs
        configure("json", "info", log)
        async with SCENARIOS[order.kind](order, Settings.model_validate(order.settings)) as subject:
            tell(ready=True)
            runner = Runner(order, subject)
            async for line in told:
                await runner.obey(line)
            sys.stdout.flush()
            os._exit(0)  # a long poll is under way, and nothing is left to be saved


if __name__ == "__main__":
    asyncio.run(main())
