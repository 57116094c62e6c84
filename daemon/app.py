"""The composition root: everything is built here, in order, and closed in reverse; nothing is wired anywhere else."""

import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import httpx
import structlog

from daemon import topology
from daemon.clients.megazord import HttpMegazord
from daemon.clients.micro_managers import HttpMicroManagers
from daemon.clock import SystemClock
from daemon.consumer import Consumer, QueueSource
from daemon.dead_letters import DeadLetters
from daemon.delivery import COMMANDS, EVENTS
from daemon.dispatcher import Dispatcher, Policy
from daemon.gate import Gate
from daemon.lifecycle import Daemon, Parts
from daemon.log import LogEvent
from daemon.outbox import Addressing
from daemon.probe import Probe, unobserved
from daemon.relay import Relay, RelayPace
from daemon.settings import Settings
from daemon.settings_values import SqliteFile
from daemon.sqs import Sqs, SqsAccess, connect
from daemon.store.bodies import SqlBodies
from daemon.store.books import SqlBooks
from daemon.store.ids import Ids
from daemon.store.leases import Leases
from daemon.store.migrate import migrate, pending
from daemon.store.mysql import MysqlAddress, MysqlDatabase
from daemon.store.outbox import SqlOutbox
from daemon.store.retention import Retention
from daemon.store.rows import RowIds
from daemon.store.sqlite import SqliteDatabase
from daemon.store.timers import SqlTimers
from daemon.store.uow import Committed, SqlUnitOfWork, Surroundings
from daemon.templates import FileTemplates, load_folder
from daemon.timers import TimerPace, Timers
from domain.errors import ConfigError
from domain.ports import Clock
from handlers.routes import routes
from handlers.status_checks import StatusCheckHandlers

_log = structlog.get_logger()
AnyDatabase = SqliteDatabase | MysqlDatabase
# The library's own 100, of which it keeps 20: it would close one after nearly every request, and look at all of them
# for each of all waiting requests, which costs more than the request.
_HTTP_LIMITS = httpx.Limits(max_connections=20, max_keepalive_connections=20)


@dataclass(frozen=True, slots=True)
class Outside:
    """What a test or the demo may put in place of the world's own: the clock, and a probe for its failpoints."""

    clock: Clock
    probe: Probe = unobserved


@dataclass(frozen=True, slots=True)
class Base:
    """What the parts of one process share."""

    settings: Settings
    outside: Outside
    database: AnyDatabase
    sqs: Sqs
    gate: Gate
    rows: RowIds


@asynccontextmanager
async def build(settings: Settings, outside: Outside | None = None) -> AsyncIterator[Daemon]:
    """A daemon that is ready to run. Applies pending migrations. Raises ConfigError, Unavailable."""
    outside = outside or Outside(SystemClock())
    templates = _templates(settings)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings, outside.probe))
        for name in await migrate(database):
            _log.info(LogEvent.MIGRATION_APPLIED, migration=name)
        sqs = await stack.enter_async_context(open_sqs(settings))
        neighbours = [await stack.enter_async_context(_http()) for _ in ("megazord", "micro-managers")]
        base = Base(settings, outside, database, sqs, Gate(), RowIds())
        yield _daemon(base, _checks(base, neighbours, templates))


def _templates(settings: Settings) -> FileTemplates:
    report = load_folder(settings.templates.folder)
    for problem in report.problems:
        _log.error(LogEvent.TEMPLATE_REFUSED, reason=problem)
    if not report.templates:
        raise ConfigError(f"templates.folder: no usable template in {settings.templates.folder}")
    return FileTemplates(report.templates)


def _http() -> httpx.AsyncClient:
    """A client of one neighbour: one that hangs must not hold the connections of another."""
    return httpx.AsyncClient(trust_env=False, limits=_HTTP_LIMITS)


def _checks(base: Base, neighbours: Sequence[httpx.AsyncClient], templates: FileTemplates) -> StatusCheckHandlers:
    settings, probe = base.settings, base.outside.probe
    for_megazord, for_managers = neighbours
    megazord = HttpMegazord(
        for_megazord,
        settings.megazord.base_url,
        settings.megazord.queue_suffix,
        timeout_s=settings.megazord.timeout_s,
        probe=probe,
        heard=base.gate.restored,
    )
    managers = HttpMicroManagers(
        for_managers,
        settings.micro_managers.base_url,
        timeout_s=settings.micro_managers.timeout_s,
        probe=probe,
        heard=base.gate.restored,
    )
    return StatusCheckHandlers(megazord, managers, templates, settings.templates.time_zone)


def _daemon(base: Base, checks: StatusCheckHandlers) -> Daemon:
    relay = _relay(base)
    timers_nudge: list[Callable[[int], None]] = []

    def handed_on(committed: Committed) -> None:
        relay.offer(committed.outbox)
        for due_at_ms in committed.due_at_ms:
            for nudge in timers_nudge:
                nudge(due_at_ms)

    dispatcher = _dispatcher(base, checks, handed_on)
    letters = DeadLetters(
        base.sqs,
        partial(topology.dead_letter_queue, base.settings.queues),
        SqlBodies(base.database),
        topology.report_missing,
    )
    timers = _timers(base, dispatcher, letters)
    timers_nudge.append(timers.nudge)
    leases = Leases(base.database, base.rows.boot)
    keep = base.settings.retention
    parts = Parts(
        consumers=tuple(_consumers(base, dispatcher, letters)),
        timers=timers,
        relay=relay,
        gate=base.gate,
        ping=partial(base.database.fetch, "SELECT 1"),
        renew_polling=base.sqs.renew_polling,
        forget_old=Retention(base.database, leases, keep.inbox_days, keep.journal_days).sweep,
    )
    return Daemon(parts, base.settings.drain_timeout_s, base.settings.consumer.stalled_after_s)


def _dispatcher(
    base: Base, checks: StatusCheckHandlers, handed_on: Callable[[Committed], None]
) -> Dispatcher[SqlUnitOfWork]:
    settings, clock = base.settings, base.outside.clock
    around = Surroundings(
        database=base.database,
        ids=Ids(base.database),
        rows=base.rows,
        addressing=Addressing(settings.queues.robot_prefix, settings.service_name, socket.gethostname()),
        claim_ms=round(settings.relay.claim_s * 1000),
        handed_on=handed_on,
        probe=base.outside.probe,
    )
    consumer = settings.consumer
    policy = Policy(
        max_attempts=consumer.max_attempts,
        first_s=consumer.backoff_first_s,
        cap_s=consumer.backoff_cap_s,
        handler_timeout_s=consumer.handler_timeout_s,
    )
    return Dispatcher(
        routes(checks),
        SqlBooks(around, clock),
        policy=policy,
        probe=base.outside.probe,
        lost=lambda error: base.gate.lost(error.dependency, str(error)),
    )


def _relay(base: Base) -> Relay:
    settings = base.settings.relay
    pace = RelayPace(
        workers=settings.workers,
        sweep_every_s=settings.sweep_every_s,
        backoff_first_s=settings.missing_queue_backoff_first_s,
        backoff_cap_s=settings.missing_queue_backoff_cap_s,
    )
    create = partial(topology.create_robot_queue, base.sqs) if base.settings.queues.create_robot_queues else None
    return Relay(
        SqlOutbox(base.database, base.rows.boot, round(settings.claim_s * 1000)),
        base.sqs,
        pace=pace,
        gate=base.gate,
        probe=base.outside.probe,
        create_queue=create,
    )


def _timers(base: Base, dispatcher: Dispatcher[SqlUnitOfWork], letters: DeadLetters) -> Timers:
    settings = base.settings.timers
    return Timers(
        SqlTimers(base.database, base.rows.boot, round(settings.lease_s * 1000)),
        base.outside.clock,
        dispatcher,
        letters,
        pace=TimerPace(settings.poll_every_s, settings.batch, base.settings.consumer.max_in_flight, settings.lease_s),
        gate=base.gate,
        probe=base.outside.probe,
    )


def _consumers(base: Base, dispatcher: Dispatcher[SqlUnitOfWork], letters: DeadLetters) -> list[Consumer]:
    queues, consumer = base.settings.queues, base.settings.consumer
    sources = [
        QueueSource(name, reads, consumer.max_in_flight, consumer.visibility_timeout_s)
        for name, reads in ((queues.commands, COMMANDS), (queues.events, EVENTS))
    ]
    return [
        Consumer(source, base.sqs, dispatcher, letters, gate=base.gate, probe=base.outside.probe) for source in sources
    ]


@asynccontextmanager
async def open_database(settings: Settings, probe: Probe = unobserved) -> AsyncIterator[AnyDatabase]:
    """The engine that the settings name."""
    database = await _open_database(settings, probe)
    try:
        yield database
    finally:
        await database.close()


async def _open_database(settings: Settings, probe: Probe) -> AnyDatabase:
    target = settings.database.target
    if isinstance(target, SqliteFile):
        return await SqliteDatabase.open(target.path, probe=probe)
    password = settings.database.password
    address = MysqlAddress(
        host=target.host,
        port=target.port,
        unix_socket=target.unix_socket,
        user=target.user,
        password=password.get_secret_value() if password else "",
        database=target.name,
    )
    return await MysqlDatabase.open(
        address,
        pool_size=settings.database.pool_size,
        connect_timeout_s=settings.database.connect_timeout_s,
        statement_timeout_s=settings.database.statement_timeout_s,
        probe=probe,
    )


@asynccontextmanager
async def open_sqs(settings: Settings, *, poll_wait_s: int | None = None) -> AsyncIterator[Sqs]:
    """SQS as the settings say; `poll_wait_s` overrides how long a long poll waits."""
    aws = settings.aws
    access = SqsAccess(
        region=aws.region,
        endpoint_url=aws.endpoint_url,
        access_key_id=aws.access_key_id.get_secret_value() if aws.access_key_id else None,
        secret_access_key=aws.secret_access_key.get_secret_value() if aws.secret_access_key else None,
        connect_timeout_s=aws.connect_timeout_s,
        poll_wait_s=settings.consumer.wait_s if poll_wait_s is None else poll_wait_s,
    )
    async with connect(access) as sqs:
        yield sqs


async def apply_migrations(settings: Settings) -> list[str]:
    """Bring the database up to date. Returns the names of what was applied."""
    async with open_database(settings) as database:
        return await migrate(database)


async def pending_migrations(settings: Settings) -> list[str]:
    """What `apply_migrations` would do."""
    async with open_database(settings) as database:
        return await pending(database)
