"""The batcher: what waits goes out together, each submitter hears its own outcome, and nobody takes others down."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from daemon.batcher import Batcher


class Line:
    """A flush that can be held, and remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.began = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()
        self.error: Exception | None = None

    async def __call__(self, items: list[int]) -> Sequence[Exception | None]:
        self.batches.append(items)
        self.began.set()
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return [ValueError(item) if item < 0 else None for item in items]


@asynccontextmanager
async def running(batcher: Batcher[int]) -> AsyncIterator[None]:
    task = asyncio.create_task(batcher.run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_an_idle_batcher_sends_one_item_at_once() -> None:
    """No linger: a single item is a batch of one."""
    line = Line()
    async with running(batcher := Batcher(line)):
        await batcher.submit(1)
    assert line.batches == [[1]]


async def test_what_waits_during_a_call_goes_out_in_full_batches_in_order() -> None:
    """One worker is busy with the first; the next twenty-five go out as ten, ten and five."""
    line = Line()
    line.go.clear()
    async with running(batcher := Batcher(line, workers=1)), asyncio.timeout(5):
        tasks = [asyncio.create_task(batcher.submit(0))]
        await line.began.wait()
        tasks += [asyncio.create_task(batcher.submit(item)) for item in range(1, 26)]
        await asyncio.sleep(0)
        line.go.set()
        await asyncio.gather(*tasks)
    assert line.batches == [[0], list(range(1, 11)), list(range(11, 21)), list(range(21, 26))]


async def test_each_submitter_hears_of_its_own_item() -> None:
    """One bad item among good ones is one raised error."""
    async with running(batcher := Batcher(Line())):
        told = await asyncio.gather(*(batcher.submit(item) for item in (1, -2, 3)), return_exceptions=True)
    assert [type(each) for each in told] == [type(None), ValueError, type(None)]


async def test_a_call_that_fails_is_the_error_of_each_of_its_items_and_the_worker_lives() -> None:
    """The next items go out as if nothing had happened."""
    line = Line()
    line.error = OSError("cut")
    async with running(batcher := Batcher(line, workers=1)):
        told = await asyncio.gather(*(batcher.submit(item) for item in (1, 2)), return_exceptions=True)
        assert [str(each) for each in told] == ["cut", "cut"]
        line.error = None
        await batcher.submit(3)


async def test_a_cancelled_submitter_neither_stops_the_call_nor_the_others() -> None:
    """Its item goes out all the same, and its neighbour in the batch is told."""
    line = Line()
    line.go.clear()
    async with running(batcher := Batcher(line)), asyncio.timeout(5):
        gone, stays = (asyncio.create_task(batcher.submit(item)) for item in (1, 2))
        await line.began.wait()
        gone.cancel()
        await asyncio.wait([gone])
        line.go.set()
        await stays
        await batcher.drained()
    assert line.batches == [[1, 2]]


async def test_drained_waits_for_what_waits_and_for_what_is_under_way() -> None:
    """It returns at once when idle, and not before the last call has ended otherwise."""
    line = Line()
    async with running(batcher := Batcher(line)), asyncio.timeout(5):
        await batcher.drained()
        line.go.clear()
        sending = asyncio.create_task(batcher.submit(1))
        await line.began.wait()
        draining = asyncio.create_task(batcher.drained())
        await asyncio.sleep(0)
        assert not draining.done()
        line.go.set()
        await draining
        await sending


async def test_the_end_of_the_batcher_cancels_who_waits_for_a_call() -> None:
    """A submitter whose call is cut off with the process does not hang."""
    line = Line()
    line.go.clear()
    async with running(batcher := Batcher(line)):
        sending = asyncio.create_task(batcher.submit(1))
        async with asyncio.timeout(5):
            await line.began.wait()
    with pytest.raises(asyncio.CancelledError):
        await sending
