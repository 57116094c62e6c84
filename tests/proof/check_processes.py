"""Two replicas of the daemon's inside on one database: dispatcher, routes, handlers, books and store are the real ones.

Each can be stopped at any point of a message's path, for good or for a while, so that the other overtakes it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from daemon.dead_letters import DeadLetters
from daemon.delivery import Delivery
from daemon.dispatcher import Dispatcher, Policy
from daemon.outbox import Addressing, OutboxRow
from daemon.store.books import SqlBooks
from daemon.store.ids import Ids
from daemon.store.mysql import MysqlAddress, MysqlDatabase
from daemon.store.outbox import SqlOutbox
from daemon.store.rows import RowIds
from daemon.store.sqlite import SqliteDatabase
from daemon.store.timers import SqlTimers
from daemon.store.uow import SqlUnitOfWork, Surroundings
from daemon.timers import TimerDelivery, TimerRow
from domain.outcome import Outcome
from domain.ports import Templates
from domain.template import read_template
from handlers.routes import Families, Route, routes
from handlers.status_checks import StatusCheckHandlers
from handlers.subscriptions import SubscriptionHandlers
from tests.proof.check_neighbours import (
    ROLL_CALL_EVENT,
    HandClock,
    Look,
    Megazord,
    MegazordClient,
    MicroManagers,
    Post,
)
from tests.templates import FixedTemplates

AnyDatabase = SqliteDatabase | MysqlDatabase
Place = Path | MysqlAddress
# How often something is received without an outcome is no subject here: the proof receives as often as it likes.
POLICY = Policy(unexplained_receives=1_000_000)


class Crash(BaseException):
    """The process is gone: no code of the product may answer to it."""


@dataclass(slots=True)
class Stop:
    """At the `hit`-th time that `point` is reached, the process dies, or only waits until it may go on."""

    point: str
    hit: int = 1
    is_pause: bool = False


class Absent:
    """A family that takes no part here: nothing of its types is ever sent."""

    def __getattr__(self, name: str) -> Any:
        async def absent(_command: object, _uow: object) -> Outcome:
            raise AssertionError(f"{name} takes no part in this proof")

        return absent


class Watch:
    """The probe of one process."""

    def __init__(self) -> None:
        self.stop: Stop | None = None
        self.paused = asyncio.Event()
        self._go_on = asyncio.Event()
        self._hits = 0

    def arm(self, stop: Stop | None) -> None:
        """What is to happen during the next delivery."""
        self.stop, self._hits = stop, 0
        self.paused.clear()
        self._go_on.clear()

    def go_on(self) -> None:
        """Let a delivery that was stopped go on."""
        self.paused.clear()
        self._go_on.set()

    async def __call__(self, point: str) -> None:
        if self.stop is None or self.stop.point != point:
            return
        self._hits += 1
        if self._hits != self.stop.hit:
            return
        if not self.stop.is_pause:
            raise Crash(point)
        self.paused.set()
        await self._go_on.wait()


@dataclass(slots=True)
class World:
    """What all processes share."""

    loop: asyncio.AbstractEventLoop
    place: Place
    templates: Templates
    clock: HandClock
    post: Post
    megazord: Megazord
    managers: MicroManagers
    robots: dict[int, list[OutboxRow]] = field(default_factory=dict)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Drive the loop until this is done."""
        return self.loop.run_until_complete(work)


class Process:
    """One replica; `crash` throws everything away and starts anew on the same database."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.held: asyncio.Task[None] | None = None
        self.held_since_ms = 0
        self.look = Look()  # outlives a crash: the judge wants to know what a dead process had seen
        self._start()

    def _start(self) -> None:
        world = self._world
        self.watch = Watch()
        self.database = world.run(open_place(world.place, self.watch))
        self.megazord = MegazordClient(world.megazord, world.clock, self.watch, self.look)
        rows = RowIds()
        self.timers = SqlTimers(self.database, rows.boot, lease_ms=0)  # every claim may be taken over at once
        self._outbox = SqlOutbox(self.database, rows.boot, claim_ms=0)
        around = Surroundings(
            database=self.database,
            ids=Ids(self.database),
            rows=rows,
            addressing=Addressing("robot-", "robotd", "proof"),
            claim_ms=0,
            handed_on=lambda _committed: None,
            probe=self.watch,
        )
        checks = StatusCheckHandlers(self.megazord, world.managers, world.templates)
        subscriptions = SubscriptionHandlers(self.megazord, (checks,), ROLL_CALL_EVENT)
        others: dict[str, Any] = {part.name: Absent() for part in fields(Families)}
        table: Mapping[str, Route] = routes(Families(**{**others, "checks": checks, "subscriptions": subscriptions}))
        self.dispatcher: Dispatcher[SqlUnitOfWork] = Dispatcher(
            table, SqlBooks(around, world.clock), policy=POLICY, probe=self.watch, lost=lambda _error: None
        )

    def close(self) -> None:
        """End it, without a word to anybody."""
        if self.held is not None:
            self.held.cancel()
            self._world.run(asyncio.wait([self.held]))
            self.held = None
        self._world.run(self.database.close())

    @property
    def _is_on_a_server(self) -> bool:
        return isinstance(self._world.place, MysqlAddress)

    def crash(self) -> None:
        """Kill it and start another."""
        self.close()
        self._start()

    def deliver(self, delivery: Delivery, stop: Stop | None) -> None:
        """Take a delivery to its end, to the process's, or to where it is held.

        On a server that is never inside a transaction: whoever meets its locks would wait for seconds.
        """
        assert self.held is None
        if stop is not None and stop.is_pause and stop.point == "before_commit" and self._is_on_a_server:
            stop = Stop("after_handle", is_pause=True)
        self.watch.arm(stop)
        self._go(self._world.loop.create_task(self.dispatcher.process(delivery)))

    def go_on(self) -> None:
        """Let what is held go to its end."""
        if self.held is not None:
            held, self.held = self.held, None
            self.watch.go_on()
            self._go(held)

    def _go(self, task: asyncio.Task[None]) -> None:
        self._world.run(_first(task, self.watch.paused))
        if not task.done():
            self.held, self.held_since_ms = task, self._world.clock.at_ms
            return
        self.watch.arm(None)
        if isinstance(task.exception(), Crash):
            self.crash()
        else:
            task.result()

    def claim(self, limit: int = 50) -> list[TimerRow]:
        """Claim what is due, also from others."""
        rows: list[TimerRow] = self._world.run(self.timers.claim(self._world.clock.at_ms, limit))
        return rows

    def timer(self, row: TimerRow) -> TimerDelivery:
        """A claimed timer as a delivery."""
        return TimerDelivery(row, self.timers, self._world.clock, cast("DeadLetters", self._world.post))

    def relay(self, *, forgets: bool) -> int:
        """Tell the robots what was committed; one that dies in between `forgets`, and tells them again."""
        rows: list[OutboxRow] = self._world.run(self._outbox.leftovers(100))
        for row in rows:
            self._world.robots.setdefault(int(row.destination.removeprefix("robot-")), []).append(row)
        if rows and not forgets:
            self._world.run(self._outbox.sent([row.id for row in rows]))
        return len(rows)


async def _first(task: asyncio.Task[None], event: asyncio.Event) -> None:
    waiting = asyncio.ensure_future(event.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


async def open_place(place: Place, probe: Callable[[str], Awaitable[None]]) -> AnyDatabase:
    """The database of one process."""
    if isinstance(place, Path):
        return await SqliteDatabase.open(place, probe=probe)
    return await MysqlDatabase.open(place, pool_size=2, probe=probe)


def templates_of(contents: list[dict[str, object]]) -> Templates:
    """Templates as the product reads them."""
    return FixedTemplates([read_template(content) for content in contents])
