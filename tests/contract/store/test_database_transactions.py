"""What both engines promise about transactions."""

import asyncio
import random
from collections import Counter

import pytest

from daemon.store.database import Write
from domain.errors import Conflict, Unavailable
from tests.conftest import AnyDatabase, Opener

ADD = "INSERT INTO thing (k, n) VALUES (?, ?)"
SET = "UPDATE thing SET n = ? WHERE k = ?"
MOVE = "UPDATE thing SET n = n + ? WHERE k = ?"
KEYS = "SELECT k FROM thing ORDER BY k"


async def test_writes_are_committed_together_and_in_order(things: AnyDatabase) -> None:
    """A transaction's writes build on each other and are all there afterwards."""
    async with asyncio.timeout(10):
        await things.apply([Write(ADD, ("a", 1)), Write(MOVE, (5, "a"), rows=1), Write(ADD, ("b", 2))])
        assert await things.fetch("SELECT k, n FROM thing ORDER BY k") == [("a", 6), ("b", 2)]


async def test_a_missed_row_count_undoes_everything_before_and_after_it(things: AnyDatabase) -> None:
    """A write that matches too few rows is a Conflict, and neither its neighbours nor itself are written."""
    async with asyncio.timeout(10):
        await things.apply([Write(ADD, ("a", 1))])
        with pytest.raises(Conflict, match="0 rows instead of 1"):
            await things.apply([Write(SET, (2, "a")), Write(SET, (9, "absent"), rows=1), Write(ADD, ("b", 1))])
        assert await things.fetch("SELECT k, n FROM thing") == [("a", 1)]


async def test_too_many_rows_are_a_conflict_as_well(things: AnyDatabase) -> None:
    """The demanded count is exact, and zero can be demanded."""
    async with asyncio.timeout(10):
        await things.apply([Write(ADD, ("a", 1)), Write(ADD, ("b", 1))])
        with pytest.raises(Conflict, match="2 rows instead of 1"):
            await things.apply([Write("DELETE FROM thing WHERE n = ?", (1,), rows=1)])
        await things.apply([Write(SET, (5, "absent"), rows=0)])
        assert await things.fetch(KEYS) == [("a",), ("b",)]


async def test_a_row_that_matches_without_changing_counts(things: AnyDatabase) -> None:
    """Setting a value that is already there still meets a demand of one row."""
    async with asyncio.timeout(10):
        await things.apply([Write(ADD, ("a", 1))])
        await things.apply([Write(SET, (1, "a"), rows=1)])
        assert await things.fetch("SELECT n FROM thing") == [(1,)]


async def test_a_duplicate_key_is_a_conflict_and_undoes_the_rest(things: AnyDatabase) -> None:
    """The second writer of a key loses everything it wrote with it."""
    async with asyncio.timeout(10):
        await things.apply([Write(ADD, ("a", 1))])
        with pytest.raises(Conflict):
            await things.apply([Write(ADD, ("b", 1)), Write(ADD, ("a", 2)), Write(ADD, ("c", 1))])
        assert await things.fetch("SELECT k, n FROM thing") == [("a", 1)]


async def test_a_missing_parent_row_is_a_conflict(things: AnyDatabase) -> None:
    """Foreign keys are checked, and the one who lost the race for the parent is told so."""
    async with asyncio.timeout(10):
        with pytest.raises(Conflict):
            await things.apply([Write("INSERT INTO part (k, thing) VALUES (?, ?)", ("p", "absent"))])
        assert await things.fetch("SELECT k FROM part") == []


async def test_a_mistake_in_a_statement_is_no_conflict_and_no_outage(things: AnyDatabase) -> None:
    """A missing column, value or argument surfaces as what it is, and nothing is written."""
    mistakes = [
        Write("UPDATE thing SET nothing = ?", (1,)),
        Write("INSERT INTO part (k, thing) VALUES (?, ?)", ("p", None)),
        Write(SET, (1,)),
    ]
    async with asyncio.timeout(10):
        for mistake in mistakes:
            with pytest.raises(Exception, match=r".") as caught:
                await things.apply([Write(ADD, ("a", 1)), mistake])
            assert not isinstance(caught.value, Conflict | Unavailable)
        assert await things.fetch(KEYS) == []


async def test_nobody_sees_a_transaction_before_its_commit(open_database: Opener, things: AnyDatabase) -> None:
    """While a transaction stands before its commit, others read the old state; at once afterwards the new one."""
    at_commit, go_on = asyncio.Event(), asyncio.Event()

    async def hold(moment: str) -> None:
        if moment == "before_commit":
            at_commit.set()
            await go_on.wait()

    writer = await open_database(probe=hold)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(writer.apply([Write(ADD, ("a", 1))]))
        await at_commit.wait()
        seen = [await things.fetch(KEYS), await writer.fetch(KEYS)]
        go_on.set()
        await running
        seen += [await things.fetch(KEYS), await writer.fetch(KEYS)]
    assert seen == [[], [], [("a",)], [("a",)]]


async def test_a_read_never_serves_an_old_snapshot(open_database: Opener, things: AnyDatabase) -> None:
    """A connection that has read before sees what another replica committed since."""
    other = await open_database()
    async with asyncio.timeout(10):
        for n in range(20):
            await other.apply([Write(ADD, (f"k{n:02}", n))])
            assert await things.fetch("SELECT COUNT(*) FROM thing") == [(n + 1,)]


async def test_the_probe_stands_on_both_sides_of_the_commit(open_database: Opener, things: AnyDatabase) -> None:
    """A crash before the commit leaves nothing, a crash after it leaves everything, and reads pass no probe."""
    moments: list[str] = []
    crashes_at = ["before_commit", "after_commit"]

    async def crash(moment: str) -> None:
        moments.append(moment)
        if moment == crashes_at[0]:
            raise ConnectionAbortedError(crashes_at.pop(0))

    crashing = await open_database(probe=crash)
    async with asyncio.timeout(10):
        for key in ("a", "b"):
            with pytest.raises(ConnectionAbortedError):
                await crashing.apply([Write(ADD, (key, 1))])
        assert await crashing.fetch(KEYS) == [("b",)]
    assert moments == ["before_commit", "before_commit", "after_commit"]


async def test_a_cancelled_transaction_happens_whole_or_not_at_all(things: AnyDatabase) -> None:
    """Cancelled at any moment, a transaction leaves both rows or none, and the next call gets its own answer."""
    chance = random.Random(7)
    async with asyncio.timeout(30):
        for n in range(150):
            writes = [Write(ADD, (f"{n}-one", n)), Write(ADD, (f"{n}-two", n), rows=1)]
            task = asyncio.create_task(things.apply(writes))
            for _ in range(chance.randrange(8)):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert await things.fetch("SELECT ?", (n,)) == [(n,)]
        rows = await things.fetch("SELECT n FROM thing")
        assert set(Counter(n for (n,) in rows).values()) <= {2}
        await things.apply([Write(ADD, ("last", 1))])


async def test_a_cancelled_read_never_leaves_its_answer_to_the_next(things: AnyDatabase) -> None:
    """Reads cancelled in flight do not shift the answers of those that follow."""
    chance = random.Random(8)
    async with asyncio.timeout(30):
        for n in range(150):
            task = asyncio.create_task(things.fetch("SELECT ?", (-n,)))
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            task.cancel()
            answers = await asyncio.gather(*(things.fetch("SELECT ?", (n + i,)) for i in range(3)))
            assert answers == [[(n + i,)] for i in range(3)]
            await asyncio.wait([task])


async def test_transfers_in_any_order_keep_the_sum(open_database: Opener, things: AnyDatabase) -> None:
    """Eight writers that move amounts between rows in any lock order all get through, and nothing is lost."""
    names = [f"k{n}" for n in range(4)]
    await things.apply([Write(ADD, (name, 100)) for name in names])
    replicas = [await open_database(), await open_database()]

    async def transfer(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(25):
            source, target = chance.sample(names, 2)
            writes = [Write(MOVE, (-1, source), rows=1), Write(MOVE, (1, target), rows=1)]
            await replicas[seed % 2].apply([*writes, Write(ADD, (f"{seed}-{chance.random()}", None))])

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for seed in range(8):
            tasks.create_task(transfer(seed))
    assert await things.fetch("SELECT SUM(n), COUNT(*) FROM thing") == [(400, 204)]


async def test_of_many_writers_of_one_key_exactly_one_wins(open_database: Opener, things: AnyDatabase) -> None:
    """Ten deliveries of one message at once: one commit, nine Conflicts, one effect."""
    replicas = [things, await open_database()]

    async def deliver(n: int) -> bool:
        try:
            await replicas[n % 2].apply([Write(ADD, ("message", n)), Write(ADD, (f"effect-{n}", n))])
        except Conflict:
            return False
        return True

    async with asyncio.timeout(20):
        won = await asyncio.gather(*(deliver(n) for n in range(10)))
    assert sorted(won) == [False] * 9 + [True]
    assert await things.fetch(KEYS) == [(f"effect-{won.index(True)}",), ("message",)]


async def test_the_engine_names_its_tables(things: AnyDatabase) -> None:
    """The list of tables holds ours and none of the server's."""
    assert await things.tables() == {"thing", "part"}


async def test_after_close_every_call_is_unavailable(things: AnyDatabase) -> None:
    """A closed database refuses, in the same words as one that is down."""
    await things.close()
    with pytest.raises(Unavailable, match="closed"):
        await things.fetch("SELECT 1")
    with pytest.raises(Unavailable, match="closed"):
        await things.apply([Write(ADD, ("a", 1))])


async def test_closing_waits_for_what_runs(open_database: Opener, things: AnyDatabase) -> None:
    """A transaction that has begun is finished by a close, not cut."""
    arrived = asyncio.Event()

    async def report(moment: str) -> None:
        arrived.set()
        await asyncio.sleep(0)

    closing = await open_database(probe=report)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(closing.apply([Write(ADD, (f"k{n}", n)) for n in range(50)]))
        await arrived.wait()
        await running
        await closing.close()
    assert await things.fetch("SELECT COUNT(*) FROM thing") == [(50,)]
