"""The composition root: everything is built here, in order, and closed in reverse; nothing is wired anywhere else."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog

from daemon import topology
from daemon.campaign_keeper import CampaignKeeper
from daemon.clock import SystemClock
from daemon.consumer import Consumer, QueueSource
from daemon.dead_letters import DeadLetters
from daemon.delivery import COMMANDS, EVENTS, HTTP, WHATSAPP
from daemon.dispatcher import Dispatcher, Policy
from daemon.families import Neighbours, OpensServers, open_families
from daemon.gate import Gate
from daemon.health import TakesUp
from daemon.http.edge import Edge, EdgeLimits
from daemon.lifecycle import Daemon, Parts
from daemon.log import LogEvent
from daemon.metrics import Metrics
from daemon.monitors import FileMonitors, MonitorKeeper
from daemon.opening import AnyDatabase, checks_to_read, open_database, open_sqs, template_library
from daemon.operations import Seen, open_ops, open_watch, queue_samples
from daemon.outbox import Addressing
from daemon.probe import Probe, unobserved
from daemon.relay import Relay, RelayPace
from daemon.settings import Settings
from daemon.settings_values import read_queue_names
from daemon.sqs import Sqs
from daemon.store.bodies import SqlBodies
from daemon.store.books import SqlBooks
from daemon.store.gauges import SqlGauges
from daemon.store.ids import Ids
from daemon.store.leases import Leases
from daemon.store.migrate import migrate
from daemon.store.outbox import SqlOutbox
from daemon.store.retention import Retention
from daemon.store.rows import RowIds
from daemon.store.timers import SqlTimers, Types
from daemon.store.uow import Committed, SqlUnitOfWork, Surroundings
from daemon.template_watch import TemplateWatch
from daemon.timers import TimerPace, Timers
from daemon.traces import Traces
from daemon.watch import Watch
from daemon.whatsapp_events import webhook_key
from domain.ports import Clock
from handlers.routes import Families, Route, patient_timers, routes, server_timers

_log = structlog.get_logger()
_REST_S = 0.05  # of timers that may wait for a slow neighbour: nobody notices, and claims are fewer


@dataclass(frozen=True, slots=True)
class Outside:
    """What a test or the demo may put in place of our own: the clock, a probe for its failpoints, mail, traces."""

    clock: Clock
    probe: Probe = unobserved
    open_servers: OpensServers | None = None
    traces: Traces | None = None


@dataclass(frozen=True, slots=True)
class Base:
    """What the parts of one process share."""

    settings: Settings
    outside: Outside
    database: AnyDatabase
    sqs: Sqs
    gate: Gate
    rows: RowIds
    watch: Watch


@asynccontextmanager
async def build(settings: Settings, outside: Outside | None = None) -> AsyncIterator[Daemon]:
    """A daemon that is ready to run. Applies pending migrations. Raises ConfigError, Unavailable."""
    outside = outside or Outside(SystemClock())
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings, outside.probe))
        for name in await migrate(database):
            _log.info(LogEvent.MIGRATION_APPLIED, migration=name)
        gate, templates = Gate(), template_library(settings, database)
        watch = TemplateWatch(settings.templates.folder, templates, gate, every_s=settings.templates.reload_every_s)
        await watch.begin()
        metrics = Metrics()
        sqs = await stack.enter_async_context(open_sqs(settings, metrics=metrics))
        base = Base(
            settings,
            outside,
            database,
            sqs,
            gate,
            RowIds(),
            stack.enter_context(open_watch(settings, metrics, outside.traces)),
        )
        rules = FileMonitors(settings.monitors.file)
        rules.look()
        neighbours = Neighbours(settings, gate.restored, outside.probe, outside.open_servers)
        families = await stack.enter_async_context(open_families(neighbours, templates, rules))
        yield _daemon(base, families, rules, watch)


def _daemon(base: Base, families: Families, rules: FileMonitors, watch: TemplateWatch) -> Daemon:
    relay = _relay(base)
    timers_nudge: list[tuple[Types, Callable[[int], None]]] = []

    def handed_on(committed: Committed) -> None:
        relay.offer(committed.outbox)
        for metric, label in committed.tally:
            base.watch.metrics.tallied(metric, label)
        for timer_type, due_at_ms in committed.timers:
            for types, nudge in timers_nudge:
                if types.covers(timer_type):
                    nudge(due_at_ms)

    around = _around(base, handed_on)
    dispatcher = _dispatcher(base, families, around)
    letters = _letters(base)
    timers = _all_timers(base, dispatcher, letters, routes(families))
    timers_nudge += [(types, source.nudge) for types, source in timers]
    consumers, edge = tuple(_consumers(base, dispatcher, letters)), _edge(base, dispatcher)
    parts = Parts(
        consumers=consumers,
        timers=tuple(source for _, source in timers),
        relay=relay,
        gate=base.gate,
        ping=partial(base.database.fetch, "SELECT 1"),
        renew_polling=base.sqs.renew_polling,
        forget_old=_retention(base).sweep,
        edge=edge,
        ops=open_ops(_watched(base, consumers, timers, edge), base.watch.metrics, base.settings.ops),
        keepers=(
            _monitor_keeper(base, families, rules, around).run,
            _keeper(base, around, families.campaigns.tend, LogEvent.CAMPAIGN_STRAYED).run,
            _keeper(base, around, families.cycles.tend, LogEvent.SERVER_STRAYED).run,
            *watch.keepers,
        ),
    )
    return Daemon(parts, base.settings.drain_timeout_s, base.settings.consumer.stalled_after_s)


def _letters(base: Base) -> DeadLetters:
    queue_of = partial(topology.dead_letter_queue, base.settings.queues)
    return DeadLetters(base.sqs, queue_of, SqlBodies(base.database), topology.report_missing, base.watch.metrics)


def _retention(base: Base) -> Retention:
    keep, leases = base.settings.retention, Leases(base.database, base.rows.boot)
    days = (keep.inbox_days, keep.journal_days, keep.monitor_days, keep.server_test_days)
    return Retention(base.database, leases, *days)


def _around(base: Base, handed_on: Callable[[Committed], None]) -> Surroundings:
    settings = base.settings
    return Surroundings(
        database=base.database,
        ids=Ids(base.database),
        rows=base.rows,
        addressing=Addressing(settings.queues.robot_prefix, settings.service_name, socket.gethostname()),
        claim_ms=round(settings.relay.claim_s * 1000),
        handed_on=handed_on,
        probe=base.outside.probe,
        lease_ms=round(settings.timers.lease_s * 1000),
        clock=base.outside.clock,
    )


def _monitor_keeper(base: Base, families: Families, rules: FileMonitors, around: Surroundings) -> MonitorKeeper:
    async def plan() -> None:
        work = SqlUnitOfWork(around, "robotd", "monitor-plan", None, base.outside.clock.now_ms(), 0)
        await families.monitors.plan(work)
        await work.commit([])

    return MonitorKeeper(rules, plan, base.gate, look_every_s=base.settings.monitors.look_every_s)


def _keeper(
    base: Base, around: Surroundings, tend: Callable[[SqlUnitOfWork], Awaitable[int]], strayed: LogEvent
) -> CampaignKeeper:
    async def tend_once() -> int:
        work = SqlUnitOfWork(around, "robotd", "keeper", None, base.outside.clock.now_ms(), 0)
        strays = await tend(work)
        await work.commit([])
        return strays

    return CampaignKeeper(tend_once, base.gate, strayed)


def _dispatcher(base: Base, families: Families, around: Surroundings) -> Dispatcher[SqlUnitOfWork]:
    settings, clock = base.settings, base.outside.clock
    consumer = settings.consumer
    policy = Policy(
        max_attempts=consumer.max_attempts,
        first_s=consumer.backoff_first_s,
        cap_s=consumer.backoff_cap_s,
        handler_timeout_s=consumer.handler_timeout_s,
        reply_queues=read_queue_names(settings.queues.reply_queues),
    )
    return Dispatcher(
        routes(families),
        SqlBooks(around, clock),
        policy=policy,
        probe=base.outside.probe,
        lost=lambda error: base.gate.lost(error.dependency, str(error)),
        webhook_key=webhook_key(settings),
        watch=base.watch,
    )


def _edge(base: Base, dispatcher: Dispatcher[SqlUnitOfWork]) -> Edge | None:
    settings = base.settings.edge
    if settings.port is None:
        return None
    limits = EdgeLimits(settings.host, settings.port, settings.max_requests, settings.request_timeout_s)
    checks, clock = checks_to_read(base.database), base.outside.clock
    return Edge(limits, dispatcher, checks, clock=clock, gate=base.gate, metrics=base.watch.metrics)


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
        watch=base.watch,
    )


def _all_timers(
    base: Base, dispatcher: Dispatcher[SqlUnitOfWork], letters: DeadLetters, table: Mapping[str, Route]
) -> list[tuple[Types, Timers]]:
    """Those that must not be late, and two kinds that may wait for neighbours: none takes a slot of another kind."""
    patient, of_servers = patient_timers(table), server_timers(table)
    settings = base.settings
    kinds = (
        (Types((*patient, *of_servers)), settings.consumer.max_in_flight, 0.0),
        (Types(patient, are_others=False), settings.campaigns.max_in_flight, _REST_S),
        (Types(of_servers, are_others=False), settings.server_tests.max_in_flight, 0.0),  # a row of short stages
    )
    return [(types, _timers(base, dispatcher, letters, types, at_once, rest_s)) for types, at_once, rest_s in kinds]


def _timers(
    base: Base,
    dispatcher: Dispatcher[SqlUnitOfWork],
    letters: DeadLetters,
    types: Types,
    max_in_flight: int,
    rest_s: float = 0.0,
) -> Timers:
    settings = base.settings.timers
    return Timers(
        SqlTimers(base.database, base.rows.boot, round(settings.lease_s * 1000), types),
        base.outside.clock,
        dispatcher,
        letters,
        pace=TimerPace(settings.poll_every_s, settings.batch, max_in_flight, settings.lease_s, rest_s),
        gate=base.gate,
        probe=base.outside.probe,
        metrics=base.watch.metrics,
    )


def _consumers(base: Base, dispatcher: Dispatcher[SqlUnitOfWork], letters: DeadLetters) -> list[Consumer]:
    queues, consumer, told = base.settings.queues, base.settings.consumer, base.settings.waha.events_queue
    consumed = [(queues.commands, COMMANDS), (queues.events, EVENTS), *([] if told is None else [(told, WHATSAPP)])]
    sources = [
        QueueSource(name, reads, consumer.max_in_flight, consumer.visibility_timeout_s) for name, reads in consumed
    ]
    return [
        Consumer(
            source,
            base.sqs,
            dispatcher,
            letters,
            gate=base.gate,
            probe=base.outside.probe,
            watch=base.watch,
        )
        for source in sources
    ]


def _watched(
    base: Base, consumers: Sequence[Consumer], timers: Sequence[tuple[Types, Timers]], edge: Edge | None
) -> Seen:
    named = zip(("timers", "timers-campaigns", "timers-servers"), (source for _, source in timers), strict=True)
    sources: list[tuple[str, TakesUp]] = [*((consumer.source.name, consumer) for consumer in consumers), *named]
    if edge is not None:
        sources.append((HTTP, edge))
    return Seen(
        sources=sources,
        gate=base.gate,
        ping=partial(base.database.fetch, "SELECT 1"),
        wait_s=base.settings.consumer.wait_s,
        of_database=SqlGauges(base.database, base.outside.clock).samples,
        of_queues=partial(queue_samples, base.sqs, topology.topology(base.settings)),
    )
