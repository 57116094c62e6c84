"""The home that the demo plays in: queues, neighbours, clock and daemon, and what was said of them."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from daemon import log, topology
from daemon.app import Outside, build
from daemon.lifecycle import Daemon, Ending
from daemon.opening import open_database, open_sqs
from daemon.settings import Settings
from daemon.store.database import Database
from domain.campaign import RecipientState
from domain.wire import JsonObject, iso, write_json
from localstack.clock import ManualClock
from localstack.demo_campaign import GAP_S, SESSION, Played, data_of
from localstack.demo_day import ZONE, Asks, local
from localstack.demo_fleet import Fleet
from localstack.demo_ledger import read_ledger, read_statuses
from localstack.demo_servers import OFFICE, FleetPlayed, RunSeen, When
from localstack.demo_told import sentences
from localstack.demo_verdicts import news, read_runs
from localstack.demo_verdicts import sentences as cycle_sentences
from localstack.megazord import MegazordSimulator
from localstack.micro_managers import MicroManagersSimulator
from localstack.sqs import SqsServer
from localstack.sqs_sender import SqsSender
from localstack.waha import WahaSimulator

ROBOT = 61001
_QUIET_BOUND_S = 20.0
_NARROWEST = 30
_AFTER_SENDS = frozenset({"campaign.paused", "campaign.completed", "campaign.failed", "campaign.cancelled"})


@dataclass(slots=True)
class Home:
    """The running parts, and the story so far."""

    sqs: SqsServer
    megazord: MegazordSimulator
    managers: MicroManagersSimulator
    waha: WahaSimulator
    fleet: Fleet
    clock: ManualClock
    settings: Settings
    database: Database
    console: Console
    story: list[JsonObject] = field(default_factory=list)
    _daemon: Daemon | None = None
    _running: asyncio.Task[Ending] | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _told: int = 0
    _written: int = 0
    _skipped: set[int] = field(default_factory=set)
    _runs: list[RunSeen] = field(default_factory=list)
    _told_office: int = 0
    _commands: int = 0

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
            key = secrets.token_hex(16)
            waha = await stack.enter_async_context(WahaSimulator(clock, api_key=key))
            waha.add_session(SESSION)
            waha.records.first_ack = 2  # every text reaches a phone
            fleet = await stack.enter_async_context(Fleet.open(folder))
            settings = _settings(
                folder,
                aws={"endpoint_url": sqs.url, "access_key_id": "demo", "secret_access_key": "demo"},
                megazord={"base_url": megazord.url},
                micro_managers={"base_url": managers.url},
                waha={"base_url": waha.url, "api_key": key},
                queues={"reply_queues": OFFICE},
                **fleet.sections(),
            )
            async with open_sqs(settings) as client:
                await topology.ensure(client, topology.topology(settings))
                for queue in (f"{settings.queues.robot_prefix}{ROBOT}", OFFICE):
                    await topology.create_robot_queue(client, queue)
            database = await stack.enter_async_context(open_database(settings))
            home = cls(sqs, megazord, managers, waha, fleet, clock, settings, database, console)
            yield home
            await home.stop()

    def say(self, who: str, style: str, text: str) -> None:
        """One line of the story, with the time in the home; on a narrow terminal it goes on below itself."""
        now_ms, told = self.clock.now_ms(), Text.from_markup(text)
        self.story.append({"at": iso(now_ms), "who": who, "text": told.plain})
        head = Text.from_markup(f"  [dim]{local(now_ms):%a %H:%M}[/]  [{style}]{who:<9}[/] ")
        room = max(_NARROWEST, self.console.width - head.cell_len)
        lines = told.wrap(self.console, room) if self.console.is_terminal else [told]
        self.console.print(head + Text("\n" + " " * head.cell_len).join(lines), soft_wrap=True)

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
        self._send("scripts", f"ask-{question.step_id}", "status-check.create", data)

    def command(self, who: str, command: str) -> None:
        """Somebody's command about the campaign, or for tests of delivery servers."""
        self._commands += 1
        data = {"replyTo": OFFICE} if command == "server.test-cycle" else data_of(command, ROBOT)
        self._send(who, f"{command}-{self._commands}", command, data)

    def _send(self, source: str, identity: str, command: str, data: JsonObject) -> None:
        envelope = {
            "specversion": "1.0",
            "id": identity,
            "source": source,
            "type": command,
            "time": iso(self.clock.now_ms()),
            "data": data,
            "callref": f"demo-{identity}",
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
        await self._tell()

    async def _is_busy(self) -> bool:
        queues = self.settings.queues
        counts = [self.sqs.counts(queue) for queue in (queues.commands, queues.events)]
        sql = "SELECT (SELECT COUNT(*) FROM timer WHERE due_at_ms <= ?) + (SELECT COUNT(*) FROM outbox)"
        rows = await self.database.fetch(sql, (self.clock.now_ms(),))
        in_flight = 0 if self._daemon is None else self._daemon.in_flight
        return bool(rows[0][0]) or bool(in_flight) or any(one.visible or one.in_flight for one in counts)

    def _results(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.sqs.bodies(f"{self.settings.queues.robot_prefix}{ROBOT}")]

    async def _tell(self) -> None:
        """Each result, and what was done for contacts since the last: before a pause or an end, after a start."""
        results = self._results()
        for result in results[self._told :]:
            if result["type"] in _AFTER_SENDS:
                await self._tell_sends()
            for sentence in sentences(result):
                self.say("robotd", "blue", sentence)
        self._told = len(results)
        await self._tell_sends()
        await self._tell_tests()

    async def _tell_sends(self) -> None:
        for row in await read_ledger(self.database):
            if row.state == RecipientState.SKIPPED and row.position not in self._skipped:
                self._skipped.add(row.position)
                self.say("robotd", "blue", f"leaves out {row.first_name or 'one'}, who {row.why}")
        for message in self.waha.accepted[self._written :]:
            self.say("robotd", "blue", f"writes: [italic]{escape(message.text)}[/]")
        self._written = len(self.waha.accepted)

    async def _tell_tests(self) -> None:
        """How far the tests of delivery servers have come, then what the office is told of them."""
        before, self._runs = self._runs, await read_runs(self.database)
        for sentence in news(before, self._runs):
            self.say("robotd", "blue", sentence)
        told = self._told_to_office()
        for result in told[self._told_office :]:
            for sentence in cycle_sentences(result):
                self.say("robotd", "blue", sentence)
        self._told_office = len(told)

    def _told_to_office(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.sqs.bodies(OFFICE)]

    def endings(self) -> list[dict[str, Any]]:
        """The final payload of each check, in the order in which they were asked for."""
        payloads = [result["payload"] for result in self._results() if "statusCheck" in result["payload"]]
        last = {payload["id"]: payload for payload in payloads}
        return [last[check_id] for check_id in sorted(last)]

    async def played(self) -> Played:
        """What became of the campaign."""
        told = [result for result in self._results() if "statusCheck" not in result["payload"]]
        statuses, ledger = await read_statuses(self.database), await read_ledger(self.database)
        return Played(statuses, ledger, self.waha.accepted, told)

    async def tested(self) -> FleetPlayed:
        """What became of the tests of delivery servers."""
        fleet = self.fleet
        await fleet.look(When.AFTER)
        runs = await read_runs(self.database)
        return FleetPlayed(fleet.statuses, await fleet.history(), fleet.seen, self._told_to_office(), runs)

    async def wrong(self, questions: Sequence[Asks]) -> list[str]:
        """What is not as the day demands, one sentence each."""
        endings = [payload["result"] for payload in self.endings()]
        expected = [question.expected for question in questions]
        wrong = [] if endings == expected else [f"the verdicts are {endings}, expected {expected}"]
        for queue in (self.settings.queues.commands, self.settings.queues.events):
            counts = self.sqs.counts(queue)
            if left := counts.visible + counts.in_flight + counts.delayed:
                wrong.append(f"{left} messages are left in {queue}")
        for table in ("outbox", "timer", "attempt", "parked_body", "server_test_claim"):
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
            f"{len(self.megazord.incoming)} sensor events ({len(self.megazord.outgoing)} for open checks), "
            f"{len(self._results())} results to the robot, {letters.visible} dead letter."
        )


def _settings(folder: Path, **sections: Mapping[str, object]) -> Settings:
    tree = {
        "environment": "development",
        "consumer": {"wait_s": 1, "visibility_timeout_s": 30},
        "database": {"url": f"sqlite:///{folder / 'robotd.db'}"},
        "campaigns": {"gap_min_s": GAP_S, "gap_max_s": GAP_S},
        "templates": {"time_zone": str(ZONE)},
        **sections,
    }
    return Settings.model_validate(tree)
