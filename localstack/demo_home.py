"""The home that the demo plays in: queues, neighbours, clock and daemon, and what was said of them."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from daemon import log, topology
from daemon.app import Outside, build
from daemon.lifecycle import Daemon, Ending
from daemon.opening import open_database, open_sqs
from daemon.settings import Settings
from daemon.store.database import Database
from domain.wire import JsonObject, iso, write_json
from localstack.clock import ManualClock
from localstack.demo_day import ZONE, Asks
from localstack.megazord import MegazordSimulator
from localstack.micro_managers import MicroManagersSimulator
from localstack.sqs import SqsServer
from localstack.sqs_sender import SqsSender

ROBOT = 61001
_QUIET_BOUND_S = 20.0
_STYLES = {"PASS": "bold green", "FAIL": "bold yellow", "UNKNOWN": "bold magenta", "PENDING": "dim"}


@dataclass(slots=True)
class Home:
    """The running parts, and the story so far."""

    sqs: SqsServer
    megazord: MegazordSimulator
    managers: MicroManagersSimulator
    clock: ManualClock
    settings: Settings
    database: Database
    console: Console
    story: list[JsonObject] = field(default_factory=list)
    _daemon: Daemon | None = None
    _running: asyncio.Task[Ending] | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _told: int = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path, console: Console, start_ms: int) -> AsyncIterator["Home"]:
        """Start the SQS server and the neighbours, and create the queues."""
        clock = ManualClock(start_ms)
        async with AsyncExitStack() as stack:
            logs = stack.enter_context((folder / "robotd.log").open("w", encoding="utf-8"))
            log.configure("json", "info", logs)
            sqs = await stack.enter_async_context(SqsServer())
            sender = await stack.enter_async_context(SqsSender(sqs.url))
            megazord = await stack.enter_async_context(MegazordSimulator(sender, clock))
            managers = await stack.enter_async_context(MicroManagersSimulator(clock))
            settings = _settings(folder, sqs.url, megazord.url, managers.url)
            async with open_sqs(settings) as client:
                await topology.ensure(client, topology.topology(settings))
                await topology.create_robot_queue(client, f"{settings.queues.robot_prefix}{ROBOT}")
            database = await stack.enter_async_context(open_database(settings))
            home = cls(sqs, megazord, managers, clock, settings, database, console)
            yield home
            await home.stop()

    def say(self, who: str, style: str, text: str) -> None:
        """One line of the story, with the time in the home."""
        at = datetime.fromtimestamp(self.clock.now_ms() / 1000, UTC).astimezone(ZONE)
        self.story.append({"at": iso(self.clock.now_ms()), "who": who, "text": text})
        self.console.print(f"  [dim]{at:%a %H:%M}[/]  [{style}]{who:<9}[/] {text}", soft_wrap=True)

    async def start(self) -> None:
        """Start the daemon."""
        self._daemon = await self._stack.enter_async_context(build(self.settings, Outside(self.clock)))
        self._running = asyncio.create_task(self._daemon.run())

    async def stop(self) -> None:
        """Stop it as SIGTERM would."""
        if self._daemon is None or self._running is None:
            return
        self._daemon.stop()
        await self._running
        self._daemon = None
        await self._stack.aclose()

    async def report(self, event: str) -> None:
        """A sensor's event reaches Megazord."""
        await self.megazord.post_event(ROBOT, event)

    def ask(self, question: Asks) -> None:
        """The robot's step, as the service that runs scripts sends it."""
        self.managers.add_step(ROBOT, question.step_id, question.template, question.past_s, question.future_s)
        data = {
            "robotId": ROBOT,
            "stepId": question.step_id,
            "scheduledId": question.step_id + 5000,
            "scriptVersionId": 5310,
            "plannedAt": iso(self.clock.now_ms()),
        }
        envelope = {
            "specversion": "1.0",
            "id": f"ask-{question.step_id}",
            "source": "scripts",
            "type": "status-check.create",
            "time": iso(self.clock.now_ms()),
            "data": data,
            "callref": f"demo-{question.step_id}",
        }
        self.sqs.send(self.settings.queues.commands, write_json(envelope))

    async def suffer(self, kind: str) -> None:
        """Trouble of one kind: `garbage`, `twice` or `restart`."""
        queues = self.settings.queues
        match kind:
            case "garbage":
                self.sqs.send(queues.commands, '{"type": "status-check.create", "robot": 61001')
                await self.quiet()
                letter = self.sqs.messages(topology.dead_letter_queue(queues, queues.commands))[-1]
                self.say("robotd", "blue", f"dead-letter queue, with the reason: {letter.attributes['errorMessage']}")
            case "twice":
                self.sqs.send(queues.events, write_json(dict(self.megazord.outgoing[-1].to_message())))
                told = len(self._results())
                await self.quiet()
                if len(self._results()) == told:
                    self.say("robotd", "blue", "knows it already, and does nothing")
            case _:
                await self.stop()
                await self.start()
                self.say("robotd", "blue", "is back, and goes on where it was")

    async def turn_clock(self, at_ms: int) -> None:
        """Turn the clock to a moment, stopping at every timer on the way."""
        while (due_ms := await self._next_timer_ms()) is not None and due_ms < at_ms:
            self.clock.set(max(due_ms, self.clock.now_ms()))
            await self.quiet()
        self.clock.set(at_ms)
        await self.quiet()

    async def _next_timer_ms(self) -> int | None:
        rows = await self.database.fetch("SELECT MIN(due_at_ms) FROM timer")
        return None if rows[0][0] is None else int(rows[0][0])

    async def quiet(self) -> None:
        """Wait until nothing is left to do at this moment, then tell what the robot heard."""
        async with asyncio.timeout(_QUIET_BOUND_S):
            while self._daemon is not None and await self._is_busy():
                await self._daemon.at_rest()
        self._tell()

    async def _is_busy(self) -> bool:
        queues = self.settings.queues
        counts = [self.sqs.counts(queue) for queue in (queues.commands, queues.events)]
        sql = "SELECT (SELECT COUNT(*) FROM timer WHERE due_at_ms <= ?) + (SELECT COUNT(*) FROM outbox)"
        rows = await self.database.fetch(sql, (self.clock.now_ms(),))
        in_flight = 0 if self._daemon is None else self._daemon.in_flight
        return bool(rows[0][0]) or bool(in_flight) or any(one.visible or one.in_flight for one in counts)

    def _results(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.sqs.bodies(f"{self.settings.queues.robot_prefix}{ROBOT}")]

    def _tell(self) -> None:
        results = self._results()
        for result in results[self._told :]:
            payload = result["payload"]
            verdict = f"[{_STYLES[payload['result']]}]{payload['result']}[/]"
            goes_on = "wait" if payload["result"] == "PENDING" else f"go on with step {payload['nextStepId']}"
            self.say("robotd", "blue", f"tells the robot: {verdict} [dim]{payload['statusCheck']}[/] - {goes_on}")
        self._told = len(results)

    def endings(self) -> list[dict[str, Any]]:
        """The final payload of each check, in the order in which they were asked for."""
        last = {result["payload"]["id"]: result["payload"] for result in self._results()}
        return [last[check_id] for check_id in sorted(last)]

    async def wrong(self, questions: Sequence[Asks]) -> list[str]:
        """What is not as the day demands, one sentence each."""
        endings = [payload["result"] for payload in self.endings()]
        expected = [question.expected for question in questions]
        wrong = [] if endings == expected else [f"the verdicts are {endings}, expected {expected}"]
        for table in ("outbox", "timer", "attempt"):
            rows = await self.database.fetch(f"SELECT COUNT(*) FROM {table}")  # noqa: S608  a table name of ours
            if left := int(rows[0][0] or 0):
                wrong.append(f"{left} rows are left in {table}")
        if active := self.megazord.active_subscriptions():
            wrong.append(f"{len(active)} subscriptions are still open")
        return wrong

    @property
    def figures(self) -> str:
        """How much happened."""
        letters = self.sqs.counts(topology.dead_letter_queue(self.settings.queues, self.settings.queues.commands))
        return (
            f"{len(self.megazord.incoming)} sensor events, {len(self.megazord.outgoing)} of them for open checks; "
            f"{len(self._results())} results to the robot; {letters.visible} dead letter, with its reason."
        )


def _settings(folder: Path, sqs_url: str, megazord_url: str, managers_url: str) -> Settings:
    tree = {
        "environment": "development",
        "aws": {"endpoint_url": sqs_url, "access_key_id": "demo", "secret_access_key": "demo"},
        "consumer": {"wait_s": 1, "visibility_timeout_s": 30},
        "database": {"url": f"sqlite:///{folder / 'robotd.db'}"},
        "megazord": {"base_url": megazord_url},
        "micro_managers": {"base_url": managers_url},
        "templates": {"time_zone": str(ZONE)},
    }
    return Settings.model_validate(tree)
