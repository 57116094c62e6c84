"""Timers: never early, once, under a lease with a fencing token, and settled like messages."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from daemon.delivery import Identity
from daemon.dispatcher import Policy
from daemon.store.books import SqlBooks
from daemon.store.database import Write
from daemon.store.rows import RowIds
from daemon.store.timers import SqlTimers
from daemon.timers import TimerDelivery, TimerPace, Timers
from domain.errors import Conflict, Unavailable
from domain.outcome import Done, Outcome, Retry
from domain.ports import Timer, UnitOfWork
from handlers.routes import Origin
from tests.parts import TIMERS_DEAD, Delivered, Handler, Parts, Valve, Wish, parts, wishes
from tests.world import MORNING_MS


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Parts]:
    async with parts(tmp_path) as opened:
        yield opened


@asynccontextmanager
async def firing(timers: Timers) -> AsyncIterator[Timers]:
    keeping, running = asyncio.create_task(timers.keep()), asyncio.create_task(timers.run())
    try:
        yield timers
    finally:
        timers.stop()
        await running
        await timers.drain(5.0)
        keeping.cancel()
        await asyncio.wait([keeping])


def timers_of(home: Parts, handler: Handler, pace: TimerPace | None = None, policy: Policy | None = None) -> Timers:
    return home.timers(home.dispatcher(wishes(handler, Origin.TIMER), policy), pace)


async def schedule(home: Parts, key: str, due_at_ms: int, *nudged: Timers) -> None:
    """Commit a timer as a handler would, and nudge as the daemon does."""
    dispatcher = home.dispatcher({})
    books = dispatcher._books
    assert isinstance(books, SqlBooks)
    work = books.begin(Delivered(), Identity())
    work.schedule(Timer("wish", key, due_at_ms, Wish(text=key)))
    await work.commit_now()
    for timers in nudged:
        timers.nudge(due_at_ms)


class Fired:
    """Remembers when what fired, business time."""

    def __init__(self, home: Parts) -> None:
        self.at: list[tuple[str, int]] = []
        self._home = home
        self._changed = asyncio.Condition()

    async def __call__(self, asked: Wish, _work: UnitOfWork) -> Outcome:
        self.at.append((asked.text, self._home.clock.now_ms() - MORNING_MS))
        async with self._changed:
            self._changed.notify_all()
        return Done()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: len(self.at) >= count)


async def waits_for(home: Parts, due_ms: int) -> None:
    """Return once a part of the daemon waits for this moment."""
    async with asyncio.timeout(10):
        await home.clock.until(lambda: home.clock.next_due_ms() == due_ms)


async def test_a_timer_fires_at_its_moment_and_not_a_millisecond_before(home: Parts) -> None:
    """It is waited for by the clock, not by the poll interval, which is half a minute here."""
    fired = Fired(home)
    async with firing(timers_of(home, fired)) as timers:
        await schedule(home, "a", MORNING_MS + 5000, timers)
        await waits_for(home, MORNING_MS + 5000)
        home.clock.advance(4999)
        await timers.at_rest()
        assert fired.at == []
        home.clock.advance(1)
        await fired.until(1)
        await timers.at_rest()
    assert fired.at == [("a", 5000)]
    assert await home.count("timer") == 0


async def test_a_sooner_timer_nudges_and_fires_first(home: Parts) -> None:
    """A commit of an earlier moment is looked at without waiting for the poll interval."""
    fired = Fired(home)
    async with firing(timers_of(home, fired)) as timers:
        await schedule(home, "late", MORNING_MS + 9000, timers)
        await waits_for(home, MORNING_MS + 9000)
        await schedule(home, "soon", MORNING_MS + 2000, timers)
        await waits_for(home, MORNING_MS + 2000)
        home.clock.advance(2000)
        await fired.until(1)
        home.clock.advance(7000)
        await fired.until(2)
    assert fired.at == [("soon", 2000), ("late", 9000)]


async def test_a_moved_timer_fires_once_at_its_new_moment(home: Parts) -> None:
    """Scheduled again under the same key, the first moment passes in silence."""
    fired = Fired(home)
    async with firing(timers_of(home, fired)) as timers:
        await schedule(home, "a", MORNING_MS + 1000, timers)
        await schedule(home, "a", MORNING_MS + 3000, timers)
        await schedule(home, "mark", MORNING_MS + 2000, timers)
        home.clock.advance(2000)
        await fired.until(1)
        home.clock.advance(1000)
        await fired.until(2)
    assert fired.at == [("mark", 2000), ("a", 3000)]


async def test_two_daemons_share_due_timers_and_each_fires_once(home: Parts) -> None:
    """Two hundred due timers, two claimers on one database: two hundred firings, no row left."""
    fired = Fired(home)
    for number in range(200):
        await schedule(home, str(number), MORNING_MS)
    async with firing(timers_of(home, fired)) as one, firing(timers_of(home, fired)) as two:
        await fired.until(200)
        await one.at_rest()
        await two.at_rest()
    assert sorted(int(key) for key, _ in fired.at) == list(range(200))
    assert await home.count("timer") == 0


async def test_a_stale_fence_writes_nothing(home: Parts) -> None:
    """A frozen holder whose lease ran out: the next claim has a higher token, every write of the first is refused."""
    await schedule(home, "a", MORNING_MS)
    frozen, other = SqlTimers(home.database, "frozen", -1), SqlTimers(home.database, "other", 30_000)
    (old,) = await frozen.claim(MORNING_MS, 10)
    (new,) = await other.claim(MORNING_MS, 10)
    assert new.fence > old.fence
    assert not await frozen.renew(old)
    assert not await frozen.move(old, MORNING_MS + 1)
    assert not await frozen.delete(old)
    assert await other.renew(new)
    dispatcher = home.dispatcher(wishes(Fired(home), Origin.TIMER))
    await dispatcher.process(TimerDelivery(old, frozen, home.clock, home.letters))
    assert await home.outcomes() == []
    assert await home.count("timer") == 1
    assert await home.count("attempt") == 0


async def test_a_timer_that_another_commit_has_cancelled_meanwhile_is_over(home: Parts) -> None:
    """The row goes while its handler runs: nothing of the handler is committed, no try is counted, no row appears."""
    valve = Valve()
    await schedule(home, "a", MORNING_MS)
    async with firing(timers_of(home, valve)) as timers:
        await valve.until(lambda: valve.inside == 1)
        await home.database.apply([Write("DELETE FROM timer")])
        valve.opened.set()
        await timers.at_rest()
    assert (await home.count("attempt"), await home.outcomes()) == (0, [])


async def test_the_lease_is_renewed_during_a_long_handling(home: Parts) -> None:
    """A lease of 0.8 s, a handling of three times that: nobody else can claim it, and it is handled once."""
    valve = Valve()
    await schedule(home, "a", MORNING_MS)
    async with firing(timers_of(home, valve, TimerPace(poll_every_s=0.1, lease_s=0.8))) as timers:
        await valve.until(lambda: valve.inside == 1)
        first = await lease_until(home)
        async with asyncio.timeout(10):
            while await lease_until(home) < first + 2000:
                assert await SqlTimers(home.database, "thief", 1000).claim(MORNING_MS, 1) == []
        valve.opened.set()
        await timers.at_rest()
    assert (valve.came, valve.cancelled, await home.count("timer")) == (["a"], [], 0)


async def lease_until(home: Parts) -> int:
    ((until_ms,),) = await home.database.fetch("SELECT lease_until_ms FROM timer")
    return int(until_ms or 0)


async def test_a_lost_lease_cancels_the_handler(home: Parts) -> None:
    """Somebody else claimed it: the handler is cancelled, and the other's claim stands."""
    valve = Valve()
    await schedule(home, "a", MORNING_MS)
    async with firing(timers_of(home, valve, TimerPace(poll_every_s=5, lease_s=0.4))):
        await valve.until(lambda: valve.inside == 1)
        await home.database.apply([Write("UPDATE timer SET fence = fence + 1, lease_until_ms = {now_ms} + 60000")])
        await valve.until(lambda: valve.cancelled == ["a"])
    assert await home.count("timer") == 1


async def test_a_retry_moves_the_timer_by_business_time(home: Parts) -> None:
    """Asked to come back in a minute, it fires again after a minute, and the count of its tries goes with it."""
    fired = Fired(home)

    async def twice(asked: Wish, work: UnitOfWork) -> Outcome:
        await fired(asked, work)
        return Done() if len(fired.at) == 2 else Retry(60.0, "not yet")

    await schedule(home, "a", MORNING_MS)
    async with firing(timers_of(home, twice)):
        await fired.until(1)
        await waits_for(home, MORNING_MS + 60_000)
        home.clock.advance(60_000)
        await fired.until(2)
    assert fired.at == [("a", 0), ("a", 60_000)]
    assert await home.outcomes() == ["retried", "done"]
    assert (await home.count("attempt"), await home.count("timer")) == (0, 0)


async def test_a_timer_that_always_fails_goes_to_the_timers_dead_letter_queue(home: Parts) -> None:
    """Its type, its data and the reason are there; the row is gone."""

    async def fails(_asked: Wish, _work: UnitOfWork) -> Outcome:
        raise ValueError("never")

    await schedule(home, "a", MORNING_MS)
    async with firing(timers_of(home, fails, policy=Policy(max_attempts=1))):
        await home.server.wait_until(lambda: bool(home.server.messages(TIMERS_DEAD)))
    (letter,) = home.server.messages(TIMERS_DEAD)
    assert letter.attributes["errorMessage"] == "gave up after 1 attempts; the last one: ValueError: never"
    assert (letter.attributes["type"], letter.attributes["sourceQueue"]) == ("wish", "timers")
    assert letter.body == '{"robotId":null,"text":"a"}'
    assert (await home.count("timer"), await home.count("attempt")) == (0, 0)


async def test_without_a_free_slot_the_loop_waits_instead_of_spinning(home: Parts) -> None:
    """One slot, a slow handler, a second timer due: claims are tried a handful of times, not thousands."""
    valve = Valve()
    for key in ("a", "b"):
        await schedule(home, key, MORNING_MS)
    timers = timers_of(home, valve, TimerPace(poll_every_s=30, max_in_flight=1))
    looks: list[int] = []
    wait = timers._wait_for_next

    async def counted() -> None:
        looks.append(1)
        await wait()

    timers._wait_for_next = counted  # type: ignore[method-assign]  # counts the rounds
    timers._next_due_ms = MORNING_MS - 1
    async with firing(timers):
        await valve.until(lambda: valve.inside == 1)
        for _ in range(200):
            await asyncio.sleep(0)
        assert len(looks) <= 3
        valve.opened.set()
        await valve.until(lambda: len(valve.through) == 2)
    assert sorted(valve.through) == ["a", "b"]


async def test_an_outage_and_a_lost_race_of_claims_do_not_end_the_loop(
    home: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first claim finds the database gone, the second gives way to another: the third fires."""
    fired = Fired(home)
    timers = timers_of(home, fired, TimerPace(poll_every_s=0.05))
    claim, trouble = timers._store.claim, [Unavailable("database", "gone"), Conflict("gave way")]

    async def troubled(now_ms: int, limit: int) -> object:
        if trouble:
            raise trouble.pop(0)
        return await claim(now_ms, limit)

    monkeypatch.setattr(SqlTimers, "claim", lambda _self, now_ms, limit: troubled(now_ms, limit))
    probing = asyncio.create_task(home.gate.probe_database(lambda: home.database.fetch("SELECT 1")))
    await schedule(home, "a", MORNING_MS)
    async with firing(timers):
        await fired.until(1)
    probing.cancel()
    await asyncio.wait([probing])
    assert fired.at == [("a", 0)]


async def test_what_the_drain_can_not_wait_for_is_free_for_others_at_once(home: Parts) -> None:
    """A handler that takes longer than the bound is cancelled, and another replica claims the timer without waiting."""
    valve = Valve()
    await schedule(home, "a", MORNING_MS)
    timers = timers_of(home, valve)
    running = asyncio.create_task(timers.run())
    await valve.until(lambda: valve.inside == 1)
    timers.stop()
    await running
    assert await timers.drain(0.05) == 1
    (row,) = await SqlTimers(home.database, RowIds().boot, 1000).claim(MORNING_MS, 10)
    assert (row.id, row.due_at_ms, valve.cancelled) == ("wish:a", MORNING_MS, ["a"])
