import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from daemon.probe import unobserved
from daemon.timers import TimerPace, TimerRow, Timers
from localstack.clock import ManualClock
from tests.parts import done, parts, wishes
from tests.world import MORNING_MS

DUE_MS, AFTER_MS = MORNING_MS + 500, MORNING_MS + 1_000


@dataclass(slots=True)
class SlowClaims:
    """A store whose one timer becomes due while the first claim is under way."""

    clock: ManualClock
    claimed: list[int] = field(default_factory=list)
    was_found: asyncio.Event = field(default_factory=asyncio.Event)

    async def claim(self, now_ms: int, limit: int) -> list[TimerRow]:
        del limit
        self.claimed.append(now_ms)
        self.clock.set(AFTER_MS)
        if now_ms >= DUE_MS:
            self.was_found.set()
        return []

    async def next_due_ms(self, now_ms: int) -> int | None:
        return DUE_MS if now_ms < DUE_MS else None

    async def renew(self, row: TimerRow) -> bool:
        raise NotImplementedError

    async def move(self, row: TimerRow, due_at_ms: int) -> bool:
        raise NotImplementedError

    async def delete(self, row: TimerRow) -> bool:
        raise NotImplementedError


async def test_a_timer_that_becomes_due_during_a_claim_is_found_at_once_not_at_the_next_poll(tmp_path: Path) -> None:
    """The next due time is looked for after the moment up to which was claimed, not after the one now."""
    async with parts(tmp_path) as around:
        store = SlowClaims(around.clock)
        timers = Timers(
            store,
            around.clock,
            around.dispatcher(wishes(done)),
            around.letters,
            pace=TimerPace(poll_every_s=60.0),
            gate=around.gate,
            probe=unobserved,
        )
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            running = group.create_task(timers.run())
            await store.was_found.wait()
            timers.stop()
            await running
    assert store.claimed[:2] == [MORNING_MS, AFTER_MS]
