"""The system's clock."""

import asyncio
import time

import pytest

from daemon.clock import SystemClock


async def test_it_shows_milliseconds_of_the_wall_clock() -> None:
    """Within a second of what Python says."""
    assert abs(SystemClock().now_ms() - time.time() * 1000) < 1000


async def test_a_wait_ends_not_before_its_moment() -> None:
    """Fifty milliseconds ahead; and a moment that has passed is no wait at all."""
    clock = SystemClock()
    at_ms = clock.now_ms() + 50
    async with asyncio.timeout(5):
        await clock.wait_until(at_ms)
        assert clock.now_ms() >= at_ms
        await clock.wait_until(0)


async def test_a_clock_that_is_set_back_makes_the_wait_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait looks at the clock again instead of trusting one long sleep."""
    readings = [1000, 900, 1100]
    clock = SystemClock()
    monkeypatch.setattr(SystemClock, "now_ms", lambda _self: readings.pop(0))
    await clock.wait_until(1050)
    assert readings == []
