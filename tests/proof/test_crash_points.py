"""A daemon is hit at every named point of a message's path, in three ways, on both engines; nothing may show it.

Some cases run side by side, because most of each is waiting: the first test starts them all, each test awaits its own.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from daemon.probe import POINTS
from tests.mariadb import MariaDb
from tests.proof import script
from tests.proof.child import CANCEL, PAUSE, RAISE, SIGKILL, Armed
from tests.proof.home import BOUND_S, Home, home
from tests.proof.nursery import Nursery, nursery, within

SQLITE, MARIADB = "sqlite", "mariadb"
AT_ONE_TIME = 3
pytestmark = pytest.mark.xdist_group("crash points")  # the cases share their processes: one worker runs them all
# Which hit is struck, by fault: the later ones fall on other messages and steps, as far as each point has them.
OFTEN = {SIGKILL: {SQLITE: 3, MARIADB: 5}, RAISE: {SQLITE: 5, MARIADB: 2}, CANCEL: {SQLITE: 4, MARIADB: 6}}
SELDOM = {SIGKILL: {SQLITE: 1, MARIADB: 2}, RAISE: {SQLITE: 2, MARIADB: 1}, CANCEL: {SQLITE: 1, MARIADB: 2}}
# Of about 29 transactions the first 7 are ids and refusals; then intents, ids of subscriptions, the checks' own.
COMMITS = {SIGKILL: {SQLITE: 9, MARIADB: 18}, RAISE: {SQLITE: 17, MARIADB: 8}, CANCEL: {SQLITE: 19, MARIADB: 11}}
HIT_OFTEN = {
    *("after_read", "after_seen", "before_upstream", "after_upstream", "after_handle"),
    *("after_commit_now", "before_settle", "after_settle"),  # of `after_commit_now` the first three are intents
}


@dataclass(frozen=True, slots=True)
class Case:
    """One crash."""

    engine: str
    fault: str
    point: str
    hit: int = 0

    @property
    def armed(self) -> Armed:
        """What the child is told."""
        if self.hit:
            return Armed(self.point, self.fault, self.hit)
        hits = OFTEN if self.point in HIT_OFTEN else SELDOM
        if self.point in {"before_commit", "after_commit"}:
            hits = COMMITS
        return Armed(self.point, self.fault, hits[self.fault][self.engine])

    def __str__(self) -> str:
        return f"{self.engine}-{self.fault}-{self.point}{f'-{self.hit}' if self.hit else ''}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a case came to."""

    was_hit: bool
    codes: list[int | None]
    violations: list[str]
    log: str


CASES = [
    *(Case(*case) for case in product((SQLITE, MARIADB), (SIGKILL, RAISE, CANCEL), POINTS)),
    # Ahead of each transaction of the load: what belongs into one, but is written in two, comes apart here.
    *(Case(SQLITE, SIGKILL, "before_commit", hit) for hit in range(6, 25)),
]


class Runs:
    """The cases that were selected, a few at a time."""

    def __init__(self, nursery: Nursery, server: MariaDb | None, folder: Path, cases: list[Case]) -> None:
        self._nursery = nursery
        self._server = server
        self._folder = folder
        self._turn = asyncio.Semaphore(AT_ONE_TIME)
        self._tasks = {case: asyncio.create_task(self._take_turn(case)) for case in cases}

    async def verdict(self, case: Case) -> Verdict:
        """Wait for one case."""
        return await self._tasks[case]

    async def close(self) -> None:
        """End what nobody waited for."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _take_turn(self, case: Case) -> Verdict:
        async with self._turn:
            if case.engine == SQLITE:
                return await self._run(case, self._folder / f"{case}.db")
            assert self._server is not None
            address = self._server.new_database()
            verdict = await self._run(case, address)
            self._server.drop(address)
            return verdict

    async def _run(self, case: Case, place: Any) -> Verdict:
        async with home(place, self._folder / str(case), self._nursery) as opened:
            await one_day(opened, case.armed)
            codes = [child.code for child in opened.children]
            was_hit = opened.children[0].hit.is_set()
            return Verdict(was_hit, codes, script.violations(opened), opened.log_file.read_text())


async def one_day(opened: Home, armed: Armed | None) -> None:
    """The whole load, with whatever is armed, until nothing is left to do."""
    script.prepare(opened)
    await opened.start(armed)
    answer = asyncio.create_task(script.answer_the_waiting(opened))
    try:
        await script.play(opened)
        await opened.settle(answer.done)
        if armed is not None:
            with suppress(TimeoutError):  # the last write may show before the point behind it is reached
                await within(2.0, opened.children[0].hit)
            await opened.settle(answer.done)
        await script.last_words(opened)
    finally:
        answer.cancel()
        with suppress(asyncio.CancelledError):
            await answer


def _selected(request: pytest.FixtureRequest) -> list[Case]:
    params = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    return [value["case"] for value in params if isinstance(value.get("case"), Case)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def children() -> AsyncIterator[Nursery]:
    """One nursery for all tests of this file."""
    async with nursery() as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, children: Nursery
) -> AsyncIterator[Runs]:
    """All selected cases, started."""
    cases = _selected(request)
    server = None
    with suppress(pytest.skip.Exception):  # without MariaDB the cases on SQLite still run
        server = request.getfixturevalue("mariadb")
    cases = [case for case in cases if case.engine == SQLITE or server is not None]
    opened = Runs(children, server, tmp_path_factory.mktemp("crash"), cases)
    yield opened
    await opened.close()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_daemon_that_is_hit_at_any_point_loses_nothing_and_repeats_no_effect(
    request: pytest.FixtureRequest, runs: Runs, case: Case
) -> None:
    """I1, I2, I3, I13 and I14 hold after a crash, an exception or a cancellation at the point."""
    if case.engine == MARIADB:
        request.getfixturevalue("mariadb")
    verdict = await runs.verdict(case)
    assert verdict.was_hit, f"{case.point} was never reached: the case proves nothing"
    if case.fault == SIGKILL:
        assert verdict.codes[0] == -signal.SIGKILL
    assert len(verdict.codes) <= 2, f"replaced more than once: {verdict.codes}"
    assert verdict.codes[-1] is None, "the last daemon had to be up to the end"
    assert verdict.violations == [], verdict.log


@pytest.mark.asyncio(loop_scope="module")
async def test_without_a_fault_nothing_is_told_twice(tmp_path: Path, children: Nursery) -> None:
    """The same load and the same judge, undisturbed: no violation, no repeat, one daemon from beginning to end."""
    async with home(tmp_path / "robotd.db", tmp_path / "home", children) as opened:
        opened.calm_s = 3.0  # a busy machine must not look like one where time has to pass, which may repeat results
        await one_day(opened, None)
        assert script.violations(opened) == []
        assert script.repeats(opened) == 0
        assert len(opened.children) == 1
        reached = {step["point"] for step in opened.trace()}
    assert reached == set(POINTS), "a point that the load never reaches can't be struck by it"


@pytest.fixture(params=[SQLITE, MARIADB])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A fresh database on each engine."""
    if request.param == SQLITE:
        return tmp_path / "robotd.db"
    server: MariaDb = request.getfixturevalue("mariadb")
    return server.new_database()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_subscription_that_a_crash_left_unknown_is_found_without_any_event_of_the_home(
    place: Any, tmp_path: Path, children: Nursery
) -> None:
    """Between Megazord's answer and our commit nobody knows the id; the intent does, and calls the roll when due."""
    async with home(place, tmp_path / "home", children) as opened:
        script.prepare(opened)
        opened.sqs.send(opened.commands, script.silent_command())
        first = await opened.start(Armed("after_upstream", SIGKILL, 2))  # the step was the first answer
        await within(BOUND_S, first.ended)
        (orphan,) = opened.megazord.active_subscriptions()
        assert opened.tables.count("subscription") == 0
        (intent,) = opened.tables.dicts("timer")
        assert intent["type"] == "subscription.roll-call"
        await opened.settle(lambda: opened.tables.count("status_check WHERE phase = 'COMPLETED'") == 1)
        assert opened.megazord.active_subscriptions() == [orphan]
        script.let_the_rolls_be_called(opened)
        await opened.settle(lambda: opened.megazord.active_subscriptions() == [])
        assert {event.event_name for event in opened.megazord.incoming} == {"SUBSCRIPTION_ROLL_CALL"}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_daemon_that_dies_of_a_bug_ends_although_handlers_are_at_work(
    tmp_path: Path, children: Nursery
) -> None:
    """What a dying daemon has in hand must not keep the process: nobody replaces one that still looks alive."""
    async with home(tmp_path / "robotd.db", tmp_path / "home", children) as opened:
        script.prepare(opened)
        opened.megazord.faults.hang("incomings.list")
        child = await opened.start(Armed("relay_before_send", RAISE, 1))
        opened.sqs.send(opened.commands, script.silent_command())
        await opened.megazord.faults.until(lambda: opened.megazord.faults.hanging >= 1)
        opened.sqs.send(opened.commands, script.refused_command())
        await within(BOUND_S, child.hit)
        await within(5.0, child.ended)
        assert child.code == 1


STATE = ("status_check", "status_check_record", "timer", "outbox", "subscription", "inbox")


def state(opened: Home) -> str:
    """Everything that a stale writer could spoil."""
    tables = {table: opened.tables.dicts(table) for table in STATE}
    robots = {robot_id: opened.results(robot_id) for robot_id in script.VERDICTS}
    return json.dumps([tables, robots], sort_keys=True, default=str)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("point", ["after_claim", "after_handle"])
async def test_a_daemon_that_slept_past_its_timer_lease_writes_nothing(
    place: Any, tmp_path: Path, children: Nursery, point: str
) -> None:
    """I6: one daemon stops while it holds timers, another takes them over, and the first wakes up without an effect."""
    async with home(place, tmp_path / "home", children) as opened:
        script.prepare(opened)
        # The check that ends by silence alone: its two timers are the only deliveries that reach the point again.
        sleeper = await opened.start(Armed(point, PAUSE, 1 if point == "after_claim" else 2))
        opened.sqs.send(opened.commands, script.silent_command())
        await within(BOUND_S, sleeper.hit)
        opened.pass_time()
        heir = await opened.start()
        await opened.settle(lambda: opened.tables.count("status_check WHERE phase = 'COMPLETED'") == 1)
        before, log_before, settled = state(opened), len(opened.log()), opened.reached(sleeper, "after_settle")
        sleeper.signal(signal.SIGCONT)
        noticed = {"timer.lease_lost", "message.retried", "message.duplicate"}
        await opened.until_trace(sleeper, "after_settle", settled)
        assert any(line["event"] in noticed for line in opened.log()[log_before:])
        assert state(opened) == before
        assert not heir.ended.is_set()
        assert not sleeper.ended.is_set()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_daemon_that_slept_past_its_visibility_timeout_writes_nothing(
    place: Any, tmp_path: Path, children: Nursery
) -> None:
    """I6 for messages: the one that was handled by another meanwhile is a duplicate to the one that wakes up."""
    async with home(place, tmp_path / "home", children) as opened:
        script.prepare(opened)
        sleeper = await opened.start(Armed("after_handle", PAUSE, 1))
        opened.sqs.send(opened.commands, script.silent_command())
        await within(BOUND_S, sleeper.hit)
        opened.pass_time()
        await opened.start()
        await opened.settle(lambda: opened.tables.count("status_check WHERE phase = 'COMPLETED'") == 1)
        before, settled = state(opened), opened.reached(sleeper, "after_settle")
        sleeper.signal(signal.SIGCONT)
        await opened.until_trace(sleeper, "after_settle", settled)
        assert state(opened) == before
