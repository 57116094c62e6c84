"""A whole small world for tests: the SQS server, both neighbours, a clock turned by hand, and a daemon among them.

Everything talks over real HTTP. `World.quiet` waits until nothing is left to do at this moment of the clock.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon import topology
from daemon.app import Outside, build
from daemon.families import OpensServers
from daemon.lifecycle import Daemon, Ending
from daemon.opening import open_database, open_sqs
from daemon.probe import Probe, unobserved
from daemon.settings import Settings
from daemon.store.database import Database
from daemon.store.mysql import MysqlAddress
from daemon.traces import Traces
from domain.wire import iso
from localstack.clock import ManualClock
from localstack.megazord import MegazordSimulator
from localstack.micro_managers import MicroManagersSimulator
from localstack.sqs import SqsServer
from localstack.sqs_sender import SqsSender

MORNING_MS = 1_764_060_000_000  # 2025-11-25T08:40:00Z
_numbers = itertools.count(1)


def settings_for(
    sqs_url: str, megazord_url: str, managers_url: str, database: Path | MysqlAddress, **sections: Mapping[str, Any]
) -> Settings:
    """Settings of a daemon in a test world; `sections` overrides single sections by name."""
    if isinstance(database, Path):
        url, password = f"sqlite:///{database}", None
    else:
        url = f"mysql://{database.user}@localhost/{database.database}?unix_socket={database.unix_socket}"
        password = database.password or None
    tree: dict[str, Any] = {
        "environment": "development",
        "aws": {"endpoint_url": sqs_url, "access_key_id": "test", "secret_access_key": "test"},
        "queues": {"create_robot_queues": True},
        "consumer": {"wait_s": 1, "visibility_timeout_s": 30, "stalled_after_s": 20},
        "database": {"url": url, "password": password},
        "megazord": {"base_url": megazord_url},
        "micro_managers": {"base_url": managers_url},
    }
    for name, section in sections.items():
        tree[name] = {**tree.get(name, {}), **section} if isinstance(section, Mapping) else section
    return Settings.model_validate(tree)


def command(command_type: str, data: Mapping[str, object], **envelope: object) -> str:
    """The body of a command; every call has an id of its own unless `id` is given."""
    fields = {"specversion": "1.0", "id": f"command-{next(_numbers)}", "source": "test", "type": command_type}
    return json.dumps({**fields, "time": iso(MORNING_MS), "data": dict(data), **envelope})


def create_command(robot_id: int, step_id: int, scheduled_id: int, planned_at_ms: int, **envelope: object) -> str:
    """The body of `status-check.create`."""
    data = {
        "robotId": robot_id,
        "stepId": step_id,
        "scheduledId": scheduled_id,
        "scriptVersionId": 5310,
        "plannedAt": iso(planned_at_ms),
    }
    return command("status-check.create", data, **envelope)


@dataclass(slots=True)
class World:
    """The neighbours and, while `running()`, a daemon."""

    sqs: SqsServer
    megazord: MegazordSimulator
    managers: MicroManagersSimulator
    clock: ManualClock
    settings: Settings
    database: Database
    daemon: Daemon | None = field(default=None)
    open_servers: OpensServers | None = None
    traces: Traces | None = None

    @asynccontextmanager
    async def running(self, probe: Probe = unobserved) -> AsyncIterator[Daemon]:
        """A daemon in this process, drained at the end; an unclean end fails the test."""
        async with build(self.settings, Outside(self.clock, probe, self.open_servers, self.traces)) as daemon:
            run = asyncio.create_task(daemon.run())
            self.daemon = daemon
            try:
                yield daemon
            finally:
                self.daemon = None
                daemon.stop()
                while not run.done():  # its last long polls needn't be waited for
                    self.sqs.end_polls()
                    await asyncio.wait([run], timeout=0.02)
                ending = run.result()
            assert ending is Ending.CLEAN

    async def quiet(self, timeout_s: float = 20.0) -> None:
        """Return when no queue of ours holds a message, no timer is due, and the daemon has nothing in hand."""
        queues, told = self.settings.queues, self.settings.waha.events_queue
        consumed = (queues.commands, queues.events, *([] if told is None else [told]))
        try:
            async with asyncio.timeout(timeout_s):
                while await self._is_busy(consumed):
                    if self.daemon is not None:
                        await self.daemon.at_rest()
                    await self._a_moment()
        except TimeoutError:
            raise AssertionError(f"not quiet after {timeout_s} s: {await self.leftovers()}") from None

    async def _is_busy(self, queues: tuple[str, ...]) -> bool:
        if any(any(self._count(queue)) for queue in queues):
            return True
        rows = await self.database.fetch("SELECT COUNT(*) FROM timer WHERE due_at_ms <= ?", (self.clock.now_ms(),))
        waiting = await self.database.fetch("SELECT COUNT(*) FROM outbox")
        return rows[0][0] != 0 or waiting[0][0] != 0 or (self.daemon is not None and self.daemon.in_flight > 0)

    async def _a_moment(self) -> None:
        """Let the others have the processor: neither the database nor a batch of deletes rings when it is done."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0.002):
                await asyncio.Event().wait()

    def _count(self, queue: str) -> tuple[int, int, int]:
        counts = self.sqs.counts(queue)
        return (counts.visible, counts.in_flight, counts.delayed)

    async def leftovers(self) -> dict[str, object]:
        """What is still there: rows that should be gone when all work is done, messages, open subscriptions."""
        left: dict[str, object] = {}
        for table in ("outbox", "timer", "attempt", "lease WHERE name <> 'retention'", "parked_body"):
            rows = await self.database.fetch(f"SELECT COUNT(*) FROM {table}")  # noqa: S608  a table name of ours
            if rows[0][0]:
                left[table] = rows[0][0]
        for queue in self.sqs.queues():
            if any(self._count(queue)) and not queue.startswith(self.settings.queues.robot_prefix):
                left[queue] = self._count(queue)
        if active := self.megazord.active_subscriptions():
            left["subscriptions"] = [subscription.id for subscription in active]
        return left

    async def pass_time(self, to_ms: int) -> None:
        """Turn the clock to `to_ms`, stopping at every timer that becomes due on the way until all is quiet again."""
        await self.quiet()
        while (due_ms := await self._next_due_ms(to_ms)) is not None:
            self.clock.set(due_ms)
            await self.quiet()
        self.clock.set(to_ms)

    async def _next_due_ms(self, to_ms: int) -> int | None:
        sql = "SELECT MIN(due_at_ms) FROM timer WHERE due_at_ms > ? AND due_at_ms < ?"
        rows = await self.database.fetch(sql, (self.clock.now_ms(), to_ms))
        return None if rows[0][0] is None else int(rows[0][0])

    def results(self, robot_id: int) -> list[dict[str, Any]]:
        """What lies in a robot's queue, in the order in which it came."""
        queue = f"{self.settings.queues.robot_prefix}{robot_id}"
        if queue not in self.sqs.queues():
            return []
        return [json.loads(body) for body in self.sqs.bodies(queue)]


@dataclass(frozen=True, slots=True)
class Repeating:
    """Sends what Megazord sends `copies` times."""

    sender: SqsSender
    copies: int

    async def send(self, queue_name: str, body: str, attributes: Mapping[str, str]) -> bool:
        """True once every copy is on the queue."""
        sent = await asyncio.gather(*(self.sender.send(queue_name, body, attributes) for _ in range(self.copies)))
        return all(sent)


@asynccontextmanager
async def world(
    database: Path | MysqlAddress,
    *,
    start_ms: int = MORNING_MS,
    copies: int = 1,
    clock: ManualClock | None = None,
    **sections: Mapping[str, Any],
) -> AsyncIterator[World]:
    """Everything but the daemon, with all queues of the topology created; Megazord sends `copies` of each event."""
    clock = clock or ManualClock(start_ms)
    async with AsyncExitStack() as stack:
        sqs = await stack.enter_async_context(SqsServer())
        sender = await stack.enter_async_context(SqsSender(sqs.url))
        megazord = await stack.enter_async_context(MegazordSimulator(Repeating(sender, copies), clock))
        managers = await stack.enter_async_context(MicroManagersSimulator(clock))
        settings = settings_for(sqs.url, megazord.url, managers.url, database, **sections)
        async with open_sqs(settings) as client:
            await topology.ensure(client, topology.topology(settings))
        async with build(settings, Outside(clock)):
            pass  # applies the migrations
        opened = await stack.enter_async_context(open_database(settings))
        yield World(sqs, megazord, managers, clock, settings, opened)
