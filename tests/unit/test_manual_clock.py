"""The clock that is turned by hand."""

import asyncio

import pytest

from domain.ports import Clock
from localstack.clock import ManualClock


async def wait_and_note(clock: Clock, at_ms: int, woken: list[tuple[int, int]]) -> None:
    await clock.wait_until(at_ms)
    woken.append((at_ms, clock.now_ms()))


async def test_waiters_are_woken_in_order_when_their_time_has_come() -> None:
    """Nobody is woken early; those whose time came are woken in the order of their moments."""
    clock = ManualClock(1_000)
    woken: list[tuple[int, int]] = []
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        waits = {at_ms: tasks.create_task(wait_and_note(clock, at_ms, woken)) for at_ms in (1_300, 1_100, 1_200)}
        await clock.until(lambda: clock.waiting() == 3)
        assert clock.next_due_ms() == 1_100
        clock.advance(99)
        await asyncio.sleep(0)
        assert woken == []
        clock.set(1_250)
        await asyncio.wait([waits[1_100], waits[1_200]])
        assert woken == [(1_100, 1_250), (1_200, 1_250)]
        assert clock.next_due_ms() == 1_300
        clock.advance(50)

    assert clock.next_due_ms() is None


async def test_a_moment_that_has_passed_is_not_waited_for() -> None:
    """A wait for the past returns, but lets others run first."""
    clock = ManualClock(1_000)
    ran: list[str] = []

    async def other() -> None:
        ran.append("other")

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(other())
        await clock.wait_until(1_000)
        assert ran == ["other"]


async def test_a_clock_that_is_set_back_makes_the_woken_wait_again() -> None:
    """Who wakes up looks at the clock once more, as with a real clock that was stepped."""
    clock = ManualClock(1_000)
    woken: list[tuple[int, int]] = []
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(wait_and_note(clock, 1_500, woken))
        await clock.until(lambda: clock.next_due_ms() == 1_500)
        clock.set(1_500)
        clock.set(900)
        await clock.until(lambda: clock.next_due_ms() == 1_500)
        assert woken == []
        clock.set(1_501)

    assert woken == [(1_500, 1_501)]


async def test_a_cancelled_waiter_is_forgotten() -> None:
    """Whoever gave up is not due any more."""
    clock = ManualClock(1_000)
    waiter = asyncio.ensure_future(clock.wait_until(2_000))
    await clock.until(lambda: clock.waiting() == 1)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter

    assert clock.next_due_ms() is None
    assert clock.waiting() == 0
