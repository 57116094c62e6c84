"""Runs, claims and cycles of tests of delivery servers in the database, on each engine."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from daemon.store.database import Write
from daemon.store.leases import Leases
from daemon.store.retention import Retention
from daemon.store.server_reads import SqlServerReads
from daemon.store.server_tests import ServerTestReads, SqlServerTests
from domain.errors import Conflict
from domain.server_cycle import ServerCycle
from domain.server_rules import RunRules
from domain.server_run import Phase, ServerRun, Way, Wish
from domain.server_store import CYCLE, list_claim, server_claim
from domain.server_test import Finding, StepId, StepOutcome, Verdict
from tests.conftest import AnyDatabase
from tests.memory_servers import server

FAILED = Finding(StepId.AUTH, StepOutcome.FAIL, "auth-rejected", "535 no")
PASSED = Finding(StepId.ARRIVAL, StepOutcome.PASS)


class Desk:
    """Reads and commits as one unit of work after the other does."""

    def __init__(self, database: AnyDatabase) -> None:
        self.database = database
        self.writes: list[Write] = []
        self.store = SqlServerTests(database, self.writes.append)

    async def commit(self) -> None:
        writes, self.writes[:] = list(self.writes), []
        await self.database.apply(writes)

    async def add(self, *runs: ServerRun) -> None:
        self.store.add(runs)
        await self.commit()

    async def save(self, run: ServerRun) -> None:
        self.store.save(run)
        await self.commit()


@pytest.fixture
def desk(database: AnyDatabase) -> Desk:
    """A desk on a fresh database."""
    return Desk(database)


def new_run(run_id: str = "run-1", server_id: int = 7, cycle_id: str | None = None, at_ms: int = 1_000) -> ServerRun:
    begun = ServerRun.begun(run_id, Wish(server_id, checks=(StepId.DKIM,), cycle_id=cycle_id), at_ms)
    return begun.loading(server(server_id), "2025-11-25 08:40:00", Way.DIRECT)


def judged(run: ServerRun, findings: Sequence[Finding], at_ms: int) -> ServerRun:
    return run.over(list(findings), at_ms, RunRules())


async def test_a_run_is_read_as_it_was_written(desk: Desk) -> None:
    """Every field, findings with their order, also after a change."""
    run = new_run()
    await desk.add(run)
    assert await desk.store.get("run-1") == run
    changed = judged(run, [PASSED, FAILED], 5_000)
    await desk.save(changed)
    assert await desk.store.get("run-1") == replace(changed, version=1)
    assert await desk.store.get("run-2") is None


async def test_a_change_of_what_somebody_else_changed_is_a_conflict(desk: Desk) -> None:
    """The version that was read is named."""
    run = new_run()
    await desk.add(run)
    await desk.save(run.stands(1))
    with pytest.raises(Conflict):
        await desk.save(run.stands(2))


async def test_a_server_is_under_test_once(desk: Desk) -> None:
    """The second run for it is a Conflict and leaves nothing; freed, it may be tested again."""
    await desk.add(new_run("run-1"))
    with pytest.raises(Conflict):
        await desk.add(new_run("run-3", 8), new_run("run-2", 7))
    assert await desk.store.held_servers() == {7}
    assert await desk.store.get("run-3") is None
    assert await desk.store.holder(server_claim(7)) == "run-1"
    desk.store.free("run-1")
    await desk.commit()
    await desk.add(new_run("run-2"))
    assert await desk.store.holder(server_claim(7)) == "run-2"


async def test_lists_are_freed_before_their_run_ends(desk: Desk) -> None:
    """The claim of the server stays."""
    await desk.add(new_run())
    desk.store.claim(list_claim(12), "run-1")
    await desk.commit()
    desk.store.claim(list_claim(12), "run-2")
    with pytest.raises(Conflict):
        await desk.commit()
    desk.store.free_lists("run-1")
    await desk.commit()
    assert await desk.store.holder(list_claim(12)) is None
    assert await desk.store.holder(server_claim(7)) == "run-1"


async def test_a_thousand_runs_are_added_in_one_go(desk: Desk) -> None:
    """In statements of bounded size, all or none."""
    runs = [new_run(f"run-{number:04d}", number, "cycle-1") for number in range(1, 1_001)]
    desk.store.add(runs)
    assert max(len(write.args) for write in desk.writes) <= 1_000
    await desk.commit()
    assert await desk.store.phases("cycle-1") == {Phase.RUNNING: 1_000}
    assert len(await desk.store.held_servers()) == 1_000


async def test_what_was_judged_lately_is_told_with_its_step(desk: Desk) -> None:
    """SUCCESSFUL without one, FAILED with it, also where an outage took the verdict back; other ERRORs say nothing."""
    good = judged(new_run("run-1", 1), [PASSED], 1_000)
    bad = judged(new_run("run-2", 2), [FAILED], 2_000)
    blamed = judged(new_run("run-3", 3), [FAILED], 3_000).blamed_on("many failed")
    unable = new_run("run-4", 4).unable("no way", 4_000)
    await desk.add(good, bad, blamed, unable, new_run("run-5", 5))
    assert [(one.run_id, one.step) for one in await desk.store.judged(1_000)] == [
        ("run-1", ""),
        ("run-2", "T5"),
        ("run-3", "T5"),
    ]
    assert [one.server_id for one in await desk.store.judged(2_500)] == [3]


async def test_fingerprints_are_those_of_the_last_test_that_left_a_line(desk: Desk) -> None:
    """Neither of an ERROR, nor of a dry run, nor of an older test."""
    first, second = new_run("run-1", 1), new_run("run-2", 1)
    changed = replace(second, fingerprint="b" * 64)
    dry = replace(new_run("run-3", 1), wish=Wish(1, dry_run=True), fingerprint="c" * 64)
    unable = replace(new_run("run-4", 1), fingerprint="d" * 64).unable("no way", 9_000)
    for run in (judged(first, [PASSED], 1_000), judged(changed, [FAILED], 2_000), judged(dry, [PASSED], 3_000), unable):
        await desk.add(run)
        desk.store.free(run.id)
        await desk.commit()
    assert await desk.store.fingerprints() == {1: "b" * 64}


async def test_a_cycle_is_the_only_one_until_it_ends(desk: Desk) -> None:
    """Its claim is a Conflict for another; one that is over at once needs none."""
    cycle = ServerCycle("cycle-1", 1_000, force=True, servers=3)
    desk.store.add_cycle(cycle)
    await desk.commit()
    assert await desk.store.cycle("cycle-1") == cycle
    assert await desk.store.holder(CYCLE) == "cycle-1"
    desk.store.add_cycle(ServerCycle("cycle-2", 1_000))
    with pytest.raises(Conflict):
        await desk.commit()
    desk.store.add_cycle(ServerCycle("cycle-3", 1_000, ended_at_ms=1_000))
    await desk.commit()
    desk.store.save_cycle(replace(cycle, ended_at_ms=2_000))
    desk.store.free("cycle-1")
    await desk.commit()
    assert await desk.store.stray_cycles() == []
    desk.store.save_cycle(replace(cycle, ended_at_ms=3_000))
    with pytest.raises(Conflict):
        await desk.commit()


async def test_the_runs_of_a_cycle_are_told_apart_by_phase(desk: Desk) -> None:
    """Held ones in the order in which they failed."""
    held = [judged(new_run(f"run-{at}", at, "cycle-1"), [FAILED], 9_000 - at) for at in (1, 2)]
    await desk.add(*held, new_run("run-3", 3, "cycle-1"), new_run("run-4", 4, "cycle-2"))
    assert await desk.store.phases("cycle-1") == {Phase.HELD: 2, Phase.RUNNING: 1}
    assert [run.id for run in await desk.store.held("cycle-1")] == ["run-2", "run-1"]
    assert [one.run_id for one in await desk.store.judged_in("cycle-1")] == ["run-2", "run-1"]
    assert [line.server_id for line in await desk.store.lines("cycle-1")] == [1, 2, 3]


async def test_runs_without_a_timer_are_strays(desk: Desk) -> None:
    """Those that are held or over need none."""
    held = judged(new_run("run-1", 1), [FAILED], 1_000)
    over = replace(held, id="run-2", wish=Wish(2), phase=Phase.ENDED)
    await desk.add(held, over, new_run("run-3", 3), new_run("run-4", 4))
    timer = (
        "INSERT INTO timer (id, type, data, call_ref, due_at_ms, lease_owner, lease_until_ms, fence, claims) "
        "VALUES (?, ?, '{}', NULL, ?, '', 0, 1, 0)"
    )
    await desk.database.apply(
        [
            Write(timer, ("server-test.step:run-4", "server-test.step", 5)),
            Write(timer, ("server-test.cycle:schedule", "server-test.cycle", 77)),
        ]
    )
    assert [run.id for run in await desk.store.strays()] == ["run-3"]
    assert await desk.store.schedule_due_ms() == 77


async def test_people_read_the_last_run_of_each_server_and_its_history(desk: Desk) -> None:
    """Newest first, with the verdict and what was done; one run with its findings."""
    reads = ServerTestReads(desk.database)
    for number, server_id in enumerate((7, 8, 7), 1):
        run = judged(new_run(f"run-{number}", server_id, at_ms=number * 1_000), [FAILED], number * 1_000)
        await desk.add(run)
        desk.store.free(run.id)
        desk.store.save(replace(run, phase=Phase.ENDED, ended_at_ms=number * 1_000, deactivated=True))
        await desk.commit()
    newest = await reads.newest(10)
    assert [(line.run_id, line.server_id, line.verdict) for line in newest] == [
        ("run-3", 7, Verdict.FAILED),
        ("run-2", 8, Verdict.FAILED),
    ]
    assert (newest[0].step, newest[0].deactivated, newest[0].name) == ("T5", True, "smtp-7")
    assert [line.run_id for line in await reads.history(7, 10)] == ["run-3", "run-1"]
    assert [line.run_id for line in await reads.history(7, 1)] == ["run-3"]
    found = await reads.run("run-3")
    assert found is not None
    assert FAILED in found.findings
    desk.store.add_cycle(ServerCycle("cycle-1", 1_000, ended_at_ms=1_000))
    await desk.commit()
    assert [cycle.id for cycle in await reads.cycles(5)] == ["cycle-1"]


async def test_the_command_line_reads_runs_claims_and_cycles(desk: Desk) -> None:
    """The newest run of each server, who is under test by which, a cycle with its lines, who still takes steps."""
    reads = SqlServerReads(desk.database)
    old = judged(new_run("run-1", 7), [FAILED], 2_000)
    await desk.add(old)
    desk.store.free("run-1")
    desk.store.add_cycle(ServerCycle("cycle-1", 3_000))
    await desk.commit()
    await desk.add(*(new_run(f"run-{number}", number - 1, "cycle-1", at_ms=3_000) for number in (8, 9, 10)))
    await desk.save(judged(new_run("run-10", 9, "cycle-1", at_ms=3_000), [FAILED], 4_000))
    assert {key: line.run_id for key, line in (await reads.newest()).items()} == {7: "run-8", 8: "run-9", 9: "run-10"}
    assert await reads.under_test() == {7: "run-8", 8: "run-9", 9: "run-10"}
    assert [run.id for run in await reads.runs(7, 10)] == ["run-8", "run-1"]
    assert (await reads.runs(7, 10))[1].findings == old.findings
    assert [run.id for run in await reads.runs(7, 1)] == ["run-8"]
    assert await reads.run("run-1") == replace(old, version=0)
    assert (await reads.running_cycle(), await reads.next_cycle_ms()) == ("cycle-1", None)
    assert await reads.cycle("cycle-1") == ServerCycle("cycle-1", 3_000)
    assert [line.server_id for line in await reads.lines("cycle-1")] == [7, 8, 9]
    assert [run.id for run in await reads.under_way("cycle-1", 10)] == ["run-8", "run-9"]
    assert [run.id for run in await reads.under_way("cycle-1", 1)] == ["run-8"]
    assert await reads.fingerprints() == {7: old.fingerprint, 9: server(9).fingerprint}


async def test_old_tests_are_forgotten_and_open_ones_never(desk: Desk) -> None:
    """By their end, with their cycles."""
    rows = await desk.database.fetch("SELECT {now_ms}")
    now_ms = int(rows[0][0] or 0)
    ends = {1: now_ms - 91 * 86_400_000, 2: now_ms - 89 * 86_400_000, 3: None}
    await desk.add(*(replace(new_run(f"run-{at}", at), ended_at_ms=end_ms) for at, end_ms in ends.items()))
    desk.store.add_cycle(ServerCycle("cycle-1", 1, ended_at_ms=ends[1]))
    desk.store.add_cycle(ServerCycle("cycle-2", 1, ended_at_ms=ends[2]))
    await desk.commit()
    assert await Retention(desk.database, Leases(desk.database, "boot"), 15, 30).sweep() == 2
    assert [await desk.store.get(f"run-{at}") is None for at in (1, 2, 3)] == [True, False, False]
    assert await desk.store.cycle("cycle-1") is None
    assert await desk.store.cycle("cycle-2") is not None
