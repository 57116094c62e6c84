"""Sends per second, CPU and statements per contact of a campaign without gaps, beside bare loops, all in one run.

Run it as `python -m tests.bench.campaigns [--quick] [--contacts N] [--seconds S] [--json FILE] [--markdown FILE]
[--profile FOLDER] [--only WORD]`. What is measured stands in docs/benchmarks.md, whose second part `--markdown` writes.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from daemon.clock import SystemClock
from daemon.opening import open_database
from daemon.settings import Settings
from daemon.store.database import Database
from daemon.store.migrate import migrate
from domain.wire import iso
from tests.bench import campaigns_report as report
from tests.bench import page
from tests.bench.campaigns_child import DAEMON, NEW_CONNECTION, SOCKETS, TEXT, THREE_CALLS, TWO_CALLS, Order, Reading
from tests.bench.campaigns_report import BARE, Part, Run
from tests.bench.campaigns_world import SESSION, Sender, Waha, sender, waha
from tests.bench.spine import mariadb_if_there, troubles_in
from tests.bench.spine_queue import QueueServer, queue_server
from tests.contact_lists import OWNER, Crowd
from tests.mariadb import MariaDb

SUFFIX, COMMANDS = "bench", "bench-commands"
EVENTS = f"bench-events-{SUFFIX}"
QUEUES = (COMMANDS, EVENTS, f"{COMMANDS}-dlq", f"{EVENTS}-dlq", "robotd-timers-dlq")
BARE_CONTACTS, PARTS, BARE_PARTS = 2_000, 20, 5
START_S, END_S, LOOK_EVERY_S = 120.0, 30.0, 0.02
NOBODY = "999019999999"  # on no list
Point = tuple[Reading, int, tuple[int, int]]  # what was used until so many were sent; statements and commits


@dataclass(frozen=True, slots=True)
class Scenario:
    """One line of the table."""

    what: str
    explained: str
    kind: str
    on_mariadb: bool = False


SCENARIOS = (
    Scenario("sockets, two calls", "the same two calls without any HTTP library: what the simulator can do", SOCKETS),
    Scenario(BARE, "GET of the session, POST of the text, over one connection of an `httpx.AsyncClient`", TWO_CALLS),
    Scenario("httpx, new connection", "the same, but each POST over a connection of its own", NEW_CONNECTION),
    Scenario("httpx, three calls", "over one connection, with a GET of an id for the message", THREE_CALLS),
    Scenario("robotd, SQLite", "one campaign: session, pace, opt-out, intent, send, answer, next timer", DAEMON),
    Scenario("robotd, MariaDB", "the same", DAEMON, on_mariadb=True),
)


@dataclass(frozen=True, slots=True)
class Bench:
    """What all runs share."""

    folder: Path
    mariadb: MariaDb | None
    contacts: int
    seconds: float
    profiles: Path | None

    async def run(self, scenario: Scenario, name: str) -> Run:
        """One run against a simulator of its own."""
        async with waha() as simulator:
            order = self._order(scenario, name, simulator)
            run = self._campaign if scenario.kind == DAEMON else self._loop
            return await run(scenario, order, simulator)

    async def _loop(self, scenario: Scenario, order: Order, simulator: Waha) -> Run:
        async with sender() as child:
            await child.begin(order)
            waha_s, sent = simulator.cpu_s, simulator.accepted
            points = [(await child.look("go"), sent, (0, 0))]
            points += await self._watch(child, simulator, scenario, sent + order.contacts, BARE_PARTS)
            return _run(points, (simulator.cpu_s - waha_s))

    async def _campaign(self, scenario: Scenario, order: Order, simulator: Waha) -> Run:
        async with AsyncExitStack() as stack:
            queues = await stack.enter_async_context(queue_server())
            order = replace(order, settings=self._settings(queues, scenario, order, simulator))
            database = await stack.enter_async_context(open_database(Settings.model_validate(order.settings)))
            await migrate(database)
            await Crowd(lists=1, contacts=self.contacts).add(database)
            child = await stack.enter_async_context(sender())
            await child.begin(order)
            try:
                return await self._measured(child, queues, simulator, scenario, database)
            except (TimeoutError, RuntimeError, AssertionError) as error:
                raise RuntimeError(f"{error}: {troubles_in(Path(order.log))}") from error

    async def _measured(
        self, child: Sender, queues: QueueServer, simulator: Waha, scenario: Scenario, database: Database
    ) -> Run:
        await child.look("go")
        await _ask(queues, child, "opt-out.add", {"phoneNumber": NOBODY})  # first calls are not measured
        asked = await child.look()
        await _ask(queues, child, "campaign.create", _campaign())
        loop = asyncio.get_running_loop()
        if await simulator.took(1, loop.time() + START_S, child.check) == 0:
            raise RuntimeError(f"the campaign has sent nothing for {START_S:g} s")
        began, waha_s = await child.look(), simulator.cpu_s
        points = [(began, simulator.accepted, self._counted(scenario))]
        points += await self._watch(child, simulator, scenario, self.contacts, PARTS)
        run = _run(points, simulator.cpu_s - waha_s)
        if points[-1][1] == self.contacts:
            async with asyncio.timeout(END_S):
                await _completed(database)
        return replace(run, start_s=began.at_s - asked.at_s, start_mb=began.peak_rss_mb - asked.rss_mb)

    async def _watch(self, child: Sender, simulator: Waha, scenario: Scenario, until: int, parts: int) -> list[Point]:
        """What was used at the end of each part, until all is sent or the time is over."""
        loop = asyncio.get_running_loop()
        first, began_s = simulator.accepted, loop.time()
        points: list[Point] = []
        while not points or (points[-1][1] < until and loop.time() < began_s + self.seconds):
            by_time_s = began_s + self.seconds * (len(points) + 1) / parts
            by_count = first + (until - first) * (len(points) + 1) // parts
            await simulator.took(min(until, by_count), by_time_s, child.check)
            points.append((await child.look(), simulator.accepted, self._counted(scenario)))
        await child.look("end")
        return points

    def _counted(self, scenario: Scenario) -> tuple[int, int]:
        """Statements and commits until now by MariaDB's own count."""
        if not scenario.on_mariadb:
            return (0, 0)
        assert self.mariadb is not None
        told = {str(name): int(value) for name, value in self.mariadb.execute("SHOW GLOBAL STATUS LIKE 'Com\\_%'")}
        return sum(told[f"Com_{word}"] for word in ("select", "insert", "update", "delete")), told["Com_commit"]

    def _order(self, scenario: Scenario, name: str, simulator: Waha) -> Order:
        return Order(
            kind=scenario.kind,
            settings={},
            waha=simulator.url,
            api_key=simulator.api_key,
            session=SESSION,
            contacts=min(BARE_CONTACTS, self.contacts),
            log=str(self.folder / f"{name}.log"),
            profile=None if self.profiles is None else str(self.profiles / f"{name}.prof"),
        )

    def _settings(self, queues: QueueServer, scenario: Scenario, order: Order, simulator: Waha) -> dict[str, Any]:
        """Production's defaults but for the addresses and the gap."""
        for queue in QUEUES:
            queues.create(queue)
        database: dict[str, str | None] = {"url": f"sqlite:///{order.log}.sqlite"}
        if scenario.on_mariadb:
            assert self.mariadb is not None
            address = self.mariadb.new_database()
            url = f"mysql://{address.user}@localhost/{address.database}?unix_socket={address.unix_socket}"
            database = {"url": url, "password": address.password}
        return {
            "aws": {"endpoint_url": queues.url, "access_key_id": "bench", "secret_access_key": "bench"},
            "queues": {"commands": COMMANDS, "events": EVENTS},
            "megazord": {"queue_suffix": SUFFIX},
            "database": database,
            "waha": {"base_url": simulator.url, "api_key": simulator.api_key},
            "campaigns": {"gap_min_s": 0, "gap_max_s": 0},
        }


def _run(points: list[Point], waha_s: float) -> Run:
    parts = []
    for (before, sent, counted), (after, sent_then, counted_then) in pairwise(points):
        statements = after.statements - before.statements + counted_then[0] - counted[0]
        commits = after.commits - before.commits + counted_then[1] - counted[1]
        wall_s, cpu_s = after.at_s - before.at_s, after.cpu_s - before.cpu_s
        if sent_then > sent:
            parts.append(Part(sent_then - sent, wall_s, cpu_s, after.rss_mb, statements, commits))
    contacts = points[-1][1] - points[0][1]
    return Run(contacts, parts, max(reading.peak_rss_mb for reading, _, _ in points), waha_s / contacts * 1000)


async def _ask(queues: QueueServer, child: Sender, kind: str, data: dict[str, object]) -> None:
    """Send a command, and return when it is handled."""
    fields = {"specversion": "1.0", "id": f"bench-{kind}", "source": "bench", "type": kind}
    queues.fill(COMMANDS, [json.dumps({**fields, "time": iso(SystemClock().now_ms()), "data": data})])
    await queues.emptied(COMMANDS, child.check)
    if queues.left(f"{COMMANDS}-dlq"):
        raise RuntimeError(f"{kind} was refused")


def _campaign() -> dict[str, object]:
    return {
        "userId": OWNER,
        "name": "bench",
        "session": SESSION,
        "contactListId": 1,
        "text": TEXT.replace("friend", "{name}"),
        "defaultNameValue": "friend",
        "scheduledAt": iso(SystemClock().now_ms()),
    }


async def _completed(database: Database) -> None:
    while await database.fetch("SELECT status FROM campaign") != [("Completed",)]:  # noqa: ASYNC110  nothing rings here
        await asyncio.sleep(LOOK_EVERY_S)
    states = await database.fetch("SELECT state, COUNT(*) FROM campaign_recipient GROUP BY state")
    assert [state for state, _ in states] == ["SENT"], states


def _plan(chosen: list[Scenario]) -> Iterator[Scenario]:
    """The bare loops before each campaign and after the last, as the machine does not stay the same."""
    loops = [scenario for scenario in chosen if scenario.kind != DAEMON]
    for scenario in (scenario for scenario in chosen if scenario.kind == DAEMON):
        yield from loops
        yield scenario
    yield from loops


async def measure(options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, list[Run]]:
    """Every scenario in turn, again and again; what can't be run here is left out."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="robotd-bench-")))
        mariadb = await asyncio.to_thread(mariadb_if_there, stack)
        bench = Bench(folder, mariadb, options.contacts, options.seconds, options.profile)
        chosen = [it for it in SCENARIOS if (it.what == BARE or options.only in it.what)]
        chosen = [it for it in chosen if mariadb or not it.on_mariadb]
        runs: dict[str, list[Run]] = {scenario.what: [] for scenario in chosen}
        for repeat in range(1, options.repeats + 1):
            for scenario in _plan(chosen):
                of_one = runs[scenario.what]
                say(f"run {repeat} of {options.repeats}: {scenario.what}")
                name = f"{scenario.what.replace(', ', '-').replace(' ', '-')}-{len(of_one) + 1}"
                of_one.append(await bench.run(scenario, name))
        return runs


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few contacts: only whether it works")
    parser.add_argument("--contacts", type=int, default=100_000, help="on the list of the campaign")
    parser.add_argument("--seconds", type=float, default=60.0, help="then a campaign is not watched any longer")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--only", default="", help=f"only scenarios with this in their name, and {BARE}")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--profile", type=Path, help="write cProfile files here; the figures are then no good")
    options = parser.parse_args()
    if options.quick:
        options.contacts, options.repeats = 300, 1
    return options


def main() -> None:
    options = read_options()
    load = os.getloadavg()[0]
    sys.stdout.write(f"{report.machine()}; load average {load:.1f}\n")
    runs = asyncio.run(measure(options, lambda text: print(text, file=sys.stderr, flush=True)))  # noqa: T201  progress
    found = report.lines(runs)
    left_out = "" if "robotd, MariaDB" in runs or options.only else "mariadbd is not there: left out."
    sys.stdout.write("\n".join(filter(None, (report.table(found), left_out))) + "\n")
    if options.json:
        options.json.write_text(json.dumps(report.as_json(found, runs), indent=2) + "\n")
    if options.markdown:
        explained = {scenario.what: scenario.explained for scenario in SCENARIOS}
        counts = (options.contacts, min(BARE_CONTACTS, options.contacts))
        own = report.section(found, explained, counts, load=load, left_out=left_out)
        options.markdown.write_text(page.with_campaigns(options.markdown, own))


if __name__ == "__main__":
    main()
