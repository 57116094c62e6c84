"""The world around real daemon processes: SQS server, both neighbours, one database, and time that can pass at will.

The daemons run on the system's clock, and so do the simulators. What would make a test wait (visibility timeouts,
leases, claims, the age of a message) is not waited for: `Home.pass_time` makes all that is stored older by so much,
which is what the passing of time does. The end of a status check's window is never moved: it must not come early.
"""

import asyncio
import json
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql

from daemon import topology
from daemon.clock import SystemClock
from daemon.settings import Settings
from daemon.settings_sections import default_templates
from daemon.store.mysql import MysqlAddress
from localstack.megazord import MegazordSimulator
from localstack.micro_managers import MicroManagersSimulator
from localstack.sqs import SqsServer
from localstack.waha import WahaSimulator
from tests.proof.child import PAUSE, Armed
from tests.proof.nursery import Child, Nursery
from tests.world import settings_for

CALM_S = 0.25  # nothing has moved for so long: whatever is left waits for time to pass
JUMP_S = 31.0  # beyond visibility timeout, lease and claim, and beyond the patience with unknown events
BOUND_S = 40.0


@dataclass(frozen=True, slots=True)
class Straight:
    """Puts the simulator's messages on the queues of the server in this process."""

    sqs: SqsServer

    async def send(self, queue_name: str, body: str, attributes: Mapping[str, str]) -> bool:
        """What `SqsSender.send` does, without HTTP and without attributes."""
        del attributes
        if queue_name not in self.sqs.queues():
            return False
        self.sqs.send(queue_name, body)
        return True


@dataclass(frozen=True, slots=True)
class Tables:
    """The database, asked with plain drivers instead of the product's own seam."""

    place: Path | MysqlAddress

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement and return what it yields."""
        with closing(self._open()) as connection, closing(connection.cursor()) as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def dicts(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table."""
        with closing(self._open()) as connection, closing(connection.cursor()) as cursor:
            cursor.execute(f"SELECT * FROM {table}")  # noqa: S608  a table name of ours
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def count(self, what: str) -> int:
        """How many rows `what` (a table, and perhaps a WHERE) has."""
        return int(self.rows(f"SELECT COUNT(*) FROM {what}")[0][0])  # noqa: S608  words of ours

    def are_let_go(self) -> bool:
        """Whether nobody else is connected: then nothing that a dead process has sent can still be carried out."""
        if isinstance(self.place, Path):
            return True
        return self.count("information_schema.processlist WHERE db = DATABASE()") == 1

    def _open(self) -> Any:
        if isinstance(self.place, Path):
            return sqlite3.connect(self.place, timeout=10, isolation_level=None)
        place = self.place
        return pymysql.connect(
            unix_socket=place.unix_socket,
            user=place.user,
            password=place.password,
            database=place.database,
            autocommit=True,
            charset="utf8mb4",
            ssl_disabled=True,  # else each connection reads all certificates of the machine first
        )


@dataclass(slots=True)
class Home:
    """One world. `children` are all daemons that were ever started in it, the last one last."""

    sqs: SqsServer
    megazord: MegazordSimulator
    managers: MicroManagersSimulator
    settings: Settings
    tables: Tables
    folder: Path
    nursery: Nursery
    children: list[Child] = field(default_factory=list)
    calm_s: float = CALM_S
    waha: WahaSimulator | None = None
    of_children: dict[str, Any] = field(default_factory=dict)  # what else their configs say

    @property
    def child(self) -> Child:
        """The daemon that was started last."""
        return self.children[-1]

    @property
    def commands(self) -> str:
        """Name of the queue of commands."""
        return self.settings.queues.commands

    @property
    def consumed(self) -> tuple[str, str]:
        """Both queues that the daemon reads."""
        return self.settings.queues.commands, self.settings.queues.events

    async def start(self, armed: Armed | None = None) -> Child:
        """Start a daemon and wait until it is ready, or dead already."""
        config = self.folder / f"child-{len(self.children)}.json"
        arming = {"point": armed.point, "fault": armed.fault, "hit": armed.hit} if armed else None
        settings = self._tree()
        if armed is not None and armed.fault == PAUSE:
            # It may stop anywhere, also in the middle of a sweep's transaction, whose locks everybody would wait for.
            settings["relay"]["sweep_every_s"] = 60
        tree = {"settings": settings, "armed": arming, "trace": str(self.trace_file), "log": str(self.log_file)}
        tree |= self.of_children
        config.touch(mode=0o600)
        config.write_text(json.dumps(tree))
        child = await self.nursery.start(config)
        self.children.append(child)
        await child.is_up()
        return child

    @property
    def trace_file(self) -> Path:
        """Every point that any daemon here reached."""
        return self.folder / "trace"

    @property
    def log_file(self) -> Path:
        """What the daemons here logged."""
        return self.folder / "log"

    def trace(self) -> list[dict[str, Any]]:
        """The points in the order in which they were reached."""
        return [json.loads(line) for line in self.trace_file.read_text().splitlines()]

    async def until_trace(self, child: Child, point: str, times: int, bound_s: float = BOUND_S) -> None:
        """Return when `child` has reached `point` more than `times` times."""
        async with asyncio.timeout(bound_s):
            while self.reached(child, point) <= times:
                with suppress(TimeoutError):
                    await self.sqs.wait_until(lambda: self.reached(child, point) > times, CALM_S)

    def reached(self, child: Child, point: str) -> int:
        """How often `child` has reached `point`."""
        return sum(step["pid"] == child.pid and step["point"] == point for step in self.trace())

    def log(self) -> list[dict[str, Any]]:
        """The log lines of all daemons; tracebacks of a dying one are left out."""
        return [json.loads(line) for line in self.log_file.read_text().splitlines() if line.startswith("{")]

    def _tree(self) -> dict[str, Any]:
        tree = self.settings.model_dump(mode="json")
        secrets = (("aws", "access_key_id"), ("aws", "secret_access_key"), ("database", "password"))
        of_mail = (("mailwizz", "database_password"), ("mail", "imap_password"), ("mail", "canary_password"))
        for section, name in (*secrets, *of_mail, ("slack", "webhook_url"), ("waha", "api_key")):
            secret = getattr(getattr(self.settings, section), name)
            tree[section][name] = secret.get_secret_value() if secret else None
        return tree

    def pass_time(self, by_s: float = JUMP_S) -> None:
        """Make everything that is stored older: messages, leases and claims; never the timers' own moments."""
        self.age_messages(by_s)
        by_ms = round(by_s * 1000)
        for table, column in (
            ("timer", "lease_until_ms"),
            ("outbox", "claimed_until_ms"),
            ("outbox", "due_at_ms"),
            ("lease", "until_ms"),
        ):
            self.tables.rows(f"UPDATE {table} SET {column} = {column} - {by_ms} WHERE {column} > 0")  # noqa: S608  words of ours

    def age_messages(self, by_s: float = JUMP_S) -> None:
        """Make the messages alone older: what a dead daemon had received comes again, and every lease lasts."""
        for name in self.sqs.queues():
            queue = self.sqs._queue(name)
            for message in queue:
                message.sent_s -= by_s
                message.due_s -= by_s
            queue._heap = [(due_s - by_s, ticket, message) for due_s, ticket, message in queue._heap]
        self.sqs.tick()

    async def settle(self, is_done: Callable[[], bool], bound_s: float = BOUND_S) -> None:
        """Return when nothing is left to do and `is_done`: a dead daemon is replaced, and time passes where it must."""
        try:
            async with asyncio.timeout(bound_s):
                while True:
                    if self.child.ended.is_set():
                        self.pass_time()
                        await self.start()
                    if self._is_quiet() and is_done():
                        return
                    await self._movement()
        except TimeoutError:
            raise AssertionError(f"not settled after {bound_s} s: {self.leftovers()}") from None

    async def _movement(self) -> None:
        mark = self._mark()
        with suppress(TimeoutError):
            await self.sqs.wait_until(lambda: self._mark() != mark, self.calm_s)
        if self._mark() == mark and not self.child.ended.is_set():
            self.pass_time()

    def _mark(self) -> tuple[int, ...]:
        asked = (neighbour.requests for neighbour in (self.megazord, self.managers, self.waha) if neighbour is not None)
        return len(self.sqs.ledger), *map(len, asked)

    def _is_quiet(self) -> bool:
        soon_ms = round(time.time() * 1000) + 3000
        return (
            not any(self.sqs.counts(queue).total for queue in self.consumed)
            and self.tables.count("outbox") == 0
            and self.tables.count(f"timer WHERE due_at_ms <= {soon_ms}") == 0
        )

    def leftovers(self) -> dict[str, object]:
        """What is still there, for the message of a failure."""
        left: dict[str, object] = {table: self.tables.dicts(table) for table in ("outbox", "timer")}
        left |= {queue: str(self.sqs.counts(queue)) for queue in self.consumed}
        left["active"] = [subscription.id for subscription in self.megazord.active_subscriptions()]
        left["children"] = [(child.pid, child.code) for child in self.children]
        left["log"] = self.log_file.read_text()[-3000:]
        return left

    def dead_letters(self) -> list[Any]:
        """Everything in any dead-letter queue."""
        names = [topology.dead_letter_queue(self.settings.queues, name) for name in (*self.consumed, "timers")]
        return [message for name in names for message in self.sqs.messages(name)]

    def results(self, robot_id: int) -> list[dict[str, Any]]:
        """What lies in a robot's queue, with the server's own time of each as `sent_s`, in the order of sending."""
        queue = f"{self.settings.queues.robot_prefix}{robot_id}"
        sent = self.sqs.ledger.of("sent", queue)
        return [{**json.loads(entry.body), "sent_s": entry.time_s} for entry in sent]


def _few_templates(folder: Path) -> Path:
    """The one template that the load asks for: reading all of them at every start would take longer than the rest."""
    few = folder / "templates"
    few.mkdir(parents=True)
    shutil.copy(default_templates() / "toilet_visit.yaml", few)
    return few


@asynccontextmanager
async def home(
    place: Path | MysqlAddress,
    folder: Path,
    nursery: Nursery,
    *,
    waha: WahaSimulator | None = None,
    sections: Mapping[str, Mapping[str, Any]] | None = None,
    **consumer: object,
) -> AsyncIterator[Home]:
    """A world without a daemon in it; the daemons that the test starts are ended with it.

    `waha` may stand among the neighbours; `sections` are more of the settings, `consumer` that section.
    """
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        sqs = await stack.enter_async_context(SqsServer())
        megazord = await stack.enter_async_context(MegazordSimulator(Straight(sqs), clock))
        managers = await stack.enter_async_context(MicroManagersSimulator(clock))
        settings = settings_for(
            sqs.url,
            megazord.url,
            managers.url,
            place,
            consumer={"backoff_first_s": 0.2, **consumer},
            relay={"sweep_every_s": 0.2, "claim_s": 5},
            timers={"poll_every_s": 0.2, "lease_s": 5},
            templates={"folder": _few_templates(folder)},
            drain_timeout_s=6,  # type: ignore[arg-type]
            **(sections or {}),
        )
        for spec in topology.topology(settings):
            sqs.create_queue(spec.name)
        opened = Home(sqs, megazord, managers, settings, Tables(place), folder, nursery, waha=waha)
        try:
            yield opened
        finally:
            for child in opened.children:
                await child.kill()
