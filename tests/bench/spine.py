"""Messages per second and CPU per message of robotd beside a bare loop, all in one run on one queue server.

Run it as `python -m tests.bench.spine [--quick] [--json FILE] [--markdown FILE] [--profile FOLDER] [--only WORD]`.
What is measured stands in docs/benchmarks.md, which `--markdown` writes.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from daemon.store.mysql import MysqlAddress
from tests.bench import page
from tests.bench import spine_report as report
from tests.bench.spine_child import BARE, CHECKS, INBOX, NO_DATABASE, Order, Reading
from tests.bench.spine_queue import QueueServer, commands, events, queue_server
from tests.bench.spine_report import Run
from tests.mariadb import MariaDb, MariaDbMissingError

ROBOTS, IDLE_S, PATIENCE_S = 100, 10.0, 60.0
ENOUGH_S = 165.0  # no further round is begun that would probably end later: on a busy machine two must do
ROBOT_PREFIX, WARM, SUFFIX = "bench-robot-", "bench-warm", "bench"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One line of the table."""

    what: str
    explained: str
    kind: str
    on_mariadb: bool = False
    idles: bool = False


EVENT = "robotd itself: read, inbox, check and history read, judged, recorded, result published to one of 100 queues"
SCENARIOS = (
    Scenario("bare aiobotocore", "received by ten, deleted by ten, one after the other; stock configuration", BARE),
    Scenario(
        "no-op, no database",
        "robotd's consumer, ownership, dispatcher and log line around a handler that does nothing; nothing is kept",
        NO_DATABASE,
    ),
    Scenario("no-op, SQLite", "the same with inbox and journal: one read and one transaction", INBOX),
    Scenario("event, SQLite", f"{EVENT}; one transaction and one delete", CHECKS, idles=True),
    Scenario("event, MariaDB", "the same", CHECKS, on_mariadb=True),
)


class Child:
    """A consumer in its process, as the bench talks to it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out, self._process = process.stdin, process.stdout, process

    async def order(self, order: Order) -> None:
        """Start; returns when it is connected and warm."""
        await self._ask(json.dumps(asdict(order)))

    async def ask(self, word: str) -> Reading:
        return Reading(**await self._ask(word))

    def check(self) -> None:
        if self._process.returncode is not None:
            raise RuntimeError(f"the consumer died with code {self._process.returncode}")

    async def _ask(self, line: str) -> dict[str, Any]:
        self._in.write(f"{line}\n".encode())
        if not (told := await self._out.readline()):
            raise RuntimeError("the consumer died")
        answer: dict[str, Any] = json.loads(told)
        return answer


@asynccontextmanager
async def child() -> AsyncIterator[Child]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.spine_child", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield Child(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def settings_of(server: QueueServer, queue: str, scenario: Scenario, database: dict[str, str | None]) -> dict[str, Any]:
    """Production's defaults but for the addresses. The other of the two queues stays empty."""
    other = f"{queue}-other-{SUFFIX}"
    server.create(other)
    is_events = scenario.kind == CHECKS
    return {
        "aws": {"endpoint_url": server.url, "access_key_id": "bench", "secret_access_key": "bench"},
        "queues": {
            "commands": other if is_events else queue,
            "events": queue if is_events else other,
            "robot_prefix": ROBOT_PREFIX,
        },
        "megazord": {"queue_suffix": SUFFIX},
        "database": database,
    }


@dataclass(frozen=True, slots=True)
class Bench:
    """What all runs share."""

    server: QueueServer
    folder: Path
    mariadb: MariaDb | None
    messages: int
    durable: int
    profiles: Path | None

    async def run(self, scenario: Scenario, repeat: int, *, idles: bool) -> Run:
        """Fill a queue, start a consumer, and measure until all is done."""
        queue = f"bench-{SCENARIOS.index(scenario)}-{repeat}-{SUFFIX}"
        bodies = list(self._bodies(scenario))
        for name, content in ((queue, bodies), (WARM, ["warm"])):
            self.server.create(name)
            self.server.fill(name, content)
        order = self._order(scenario, queue)
        published = self._published()
        try:
            async with asyncio.timeout(PATIENCE_S):
                used, idle = await self._measure(order, idles=idles)
        except TimeoutError:
            raise RuntimeError(f"not done within {PATIENCE_S:g} s: {troubles_in(Path(order.log))}") from None
        began, ended = used
        return Run(
            messages=len(bodies),
            wall_s=ended.at_s - began.at_s,
            cpu_s=ended.cpu_s - began.cpu_s,
            rss_mb=ended.rss_mb,
            peak_rss_mb=ended.peak_rss_mb,
            published=self._published() - published,
            idle_percent=idle,
            troubles=len(troubles_in(Path(order.log))),
        )

    async def _measure(self, order: Order, *, idles: bool) -> tuple[tuple[Reading, Reading], float | None]:
        async with child() as consumer:
            await consumer.order(order)
            began = await consumer.ask("go")
            await self.server.emptied(order.queue, consumer.check)
            ended = await consumer.ask("done")
            return (began, ended), await _idle(consumer) if idles else None

    def _bodies(self, scenario: Scenario) -> Iterator[str]:
        if scenario.kind == CHECKS:
            return events(self.durable, ROBOTS)
        return commands(self.durable if scenario.kind == INBOX else self.messages, ROBOTS)

    def _order(self, scenario: Scenario, queue: str) -> Order:
        return Order(
            kind=scenario.kind,
            queue=queue,
            warm=WARM,
            robots=ROBOTS,
            settings=settings_of(self.server, queue, scenario, self._database(scenario, queue)),
            log=str(self.folder / f"{queue}.log"),
            profile=None if self.profiles is None else str(self.profiles / f"{scenario.what.replace(' ', '-')}.prof"),
        )

    def _database(self, scenario: Scenario, queue: str) -> dict[str, str | None]:
        if not scenario.on_mariadb:
            return {"url": f"sqlite:///{self.folder / queue}.sqlite"}
        assert self.mariadb is not None
        address: MysqlAddress = self.mariadb.new_database()
        url = f"mysql://{address.user}@localhost/{address.database}?unix_socket={address.unix_socket}"
        return {"url": url, "password": address.password}

    def _published(self) -> int:
        return sum(self.server.left(f"{ROBOT_PREFIX}{robot_id}") for robot_id in range(1, ROBOTS + 1))


def troubles_in(log: Path) -> list[str]:
    """What was logged as a warning or worse: a run with any of it measured something else."""
    return [line for line in log.read_text().splitlines() if json.loads(line)["level"] in {"warning", "error"}]


async def _idle(consumer: Child) -> float:
    before = await consumer.ask("read")
    await asyncio.sleep(IDLE_S)
    after = await consumer.ask("read")
    return (after.cpu_s - before.cpu_s) / (after.at_s - before.at_s) * 100


def mariadb_if_there(stack: AsyncExitStack) -> MariaDb | None:
    server = MariaDb()
    stack.callback(server.stop)
    try:
        server.create()
    except MariaDbMissingError:
        return None
    return server


async def measure(options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, list[Run]]:
    """Every scenario in turn, again and again; what can't be run here is left out."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="robotd-bench-")))
        server = await stack.enter_async_context(queue_server())
        mariadb = await asyncio.to_thread(mariadb_if_there, stack)
        for robot_id in range(1, ROBOTS + 1):
            server.create(f"{ROBOT_PREFIX}{robot_id}")
        bench = Bench(server, folder, mariadb, options.messages, options.durable, options.profile)
        chosen = [
            it for it in SCENARIOS if (it.kind == BARE or options.only in it.what) and (mariadb or not it.on_mariadb)
        ]
        runs: dict[str, list[Run]] = {scenario.what: [] for scenario in chosen}
        began_s = time.monotonic()
        for repeat in range(1, options.repeats + 1):
            for scenario in chosen:
                say(f"run {repeat} of {options.repeats}: {scenario.what}")
                runs[scenario.what].append(await bench.run(scenario, repeat, idles=scenario.idles and repeat == 1))
            if (time.monotonic() - began_s) / repeat * (repeat + 1) > ENOUGH_S:
                break
        return runs


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few messages and one run of each: only whether it works")
    parser.add_argument("--messages", type=int, default=5000, help="where nothing is stored")
    parser.add_argument("--durable", type=int, default=2000, help="messages where all is stored")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="only scenarios with this in their name, and the bare loop")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--profile", type=Path, help="write cProfile files here; the figures are then no good")
    options = parser.parse_args()
    if options.quick:
        options.messages, options.durable, options.repeats = 500, 200, 1
    return options


def main() -> None:
    options = read_options()
    load = os.getloadavg()[0]
    sys.stdout.write(f"{report.machine()}; load average {load:.1f}\n")
    runs = asyncio.run(measure(options, lambda text: print(text, file=sys.stderr, flush=True)))  # noqa: T201  progress
    found = report.lines(runs)
    left_out = "" if "event, MariaDB" in runs or options.only else "mariadbd is not there: left out."
    sys.stdout.write("\n".join(filter(None, (report.table(found), report.idle(found), left_out))) + "\n")
    if options.json:
        options.json.write_text(json.dumps(report.as_json(found, runs), indent=2) + "\n")
    if options.markdown:
        explained = {scenario.what: scenario.explained for scenario in SCENARIOS}
        own = report.page(found, explained, repeats=len(runs[SCENARIOS[0].what]), load=load, left_out=left_out)
        options.markdown.write_text(page.with_messages(options.markdown, own))


if __name__ == "__main__":
    main()
