"""Who looks after campaigns whose timers are missing: at the start, again and again, whatever came between."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from structlog.testing import capture_logs

from daemon.campaign_keeper import TEND_EVERY_S, CampaignKeeper
from daemon.gate import Gate
from domain.errors import Conflict, Unavailable


class Looks:
    """What each look comes to: a number of strays, or an error."""

    def __init__(self, comes_to: Sequence[int | Exception]) -> None:
        self._comes_to = list(comes_to)
        self.taken = 0
        self.have_begun = asyncio.Event()
        self.are_over = asyncio.Event()

    async def __call__(self) -> int:
        found = self._comes_to[min(self.taken, len(self._comes_to) - 1)]
        self.taken += 1
        self.have_begun.set()
        if self.taken == len(self._comes_to):
            self.are_over.set()
        if isinstance(found, Exception):
            raise found
        return found


async def kept(looks: Looks, gate: Gate, every_s: float = 0) -> list[dict[str, object]]:
    """Let a keeper look until all looks are over, and return what was logged."""
    keeper = asyncio.create_task(CampaignKeeper(looks, gate, every_s=every_s).run())
    with capture_logs() as logs:
        async with asyncio.timeout(10):
            await looks.are_over.wait()
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper
    return [dict(line) for line in logs]


async def test_it_looks_at_the_start_and_again_and_again() -> None:
    """A minute between two looks by default; strays are one warning with their number, and none is no line."""
    assert TEND_EVERY_S == 60
    logs = await kept(Looks([2, 0, 0, 1, 0]), Gate())
    warned = [(line["event"], line["count"]) for line in logs]
    assert warned == [("campaign.strayed", 2), ("campaign.strayed", 1)]
    first = Looks([3])
    assert [line["count"] for line in await kept(first, Gate(), every_s=3_600)] == [3]
    assert first.taken == 1


async def test_a_lost_race_is_left_to_the_next_look() -> None:
    """Somebody else moved a timer meanwhile: no line, no end."""
    logs = await kept(Looks([Conflict("first"), Conflict("again"), 1, 0]), Gate())
    assert [line["event"] for line in logs] == ["campaign.strayed"]


async def test_a_lost_database_is_said_once_and_waited_for() -> None:
    """No look while it is away; the next one comes as soon as it is back."""
    gate = Gate()
    looks = Looks([Unavailable("database", "gone"), 1, 0])
    waits = asyncio.create_task(kept(looks, gate))
    async with asyncio.timeout(10):
        await looks.have_begun.wait()
    for _ in range(100):
        await asyncio.sleep(0)
    assert (looks.taken, gate.missing) == (1, frozenset({"database"}))
    gate.restored("database")
    logs = await waits
    assert [line["event"] for line in logs] == ["dependency.lost", "dependency.restored", "campaign.strayed"]
