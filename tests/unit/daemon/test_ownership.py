"""Ownership without a queue: which receipts are renewed, lost, deleted again, handed back."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from daemon.ownership import Ownership
from daemon.sqs import QueueMissing, StaleHandle
from domain.errors import Unavailable


class FakeSqs:
    """Answers from a list, one entry per call: an error for the call, or one error or None for each entry."""

    def __init__(self, *answers: Exception | Sequence[Exception | None]) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[str, list[Any]]] = []

    async def delete(self, _queue: str, handles: list[str]) -> Sequence[Exception | None]:
        return self._answer("delete", handles)

    async def change_visibility(self, _queue: str, changes: list[tuple[str, int]]) -> Sequence[Exception | None]:
        return self._answer("change", changes)

    def _answer(self, call: str, entries: list[Any]) -> Sequence[Exception | None]:
        self.calls.append((call, list(entries)))
        answer = self.answers.pop(0) if self.answers else [None] * len(entries)
        if isinstance(answer, Exception):
            raise answer
        return answer


GONE, DOWN = StaleHandle("gone"), Unavailable("sqs", "down")


@asynccontextmanager
async def owning(sqs: FakeSqs, timeout_s: int = 30) -> AsyncIterator[Ownership]:
    ownership = Ownership("q", sqs, timeout_s)  # type: ignore[arg-type]  # only two calls are needed
    running = asyncio.create_task(ownership.run())
    await asyncio.sleep(0)
    try:
        yield ownership
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.wait([running])


def idle() -> asyncio.Task[None]:
    async def wait() -> None:
        await asyncio.Event().wait()

    return asyncio.create_task(wait())


@pytest.mark.parametrize(
    ("answers", "calls"),
    [
        ([[None]], 1),
        ([[DOWN], [None]], 2),
        ([DOWN, DOWN, [None]], 3),
        ([[GONE]], 1),
    ],
)
async def test_a_delete_is_tried_up_to_three_times_unless_the_receipt_is_lost(
    answers: list[Exception | Sequence[Exception | None]], calls: int
) -> None:
    """A failed call and a failed entry are the same to it; a lost receipt is nobody's error."""
    sqs = FakeSqs(*answers)
    async with owning(sqs) as ownership:
        await ownership.delete("h")
    assert sqs.calls == [("delete", ["h"])] * calls


async def test_a_delete_that_fails_three_times_is_raised() -> None:
    """So the delivery is known to come back."""
    async with owning(FakeSqs(DOWN, DOWN, DOWN)) as ownership:
        with pytest.raises(Unavailable):
            await ownership.delete("h")


async def test_a_delay_is_bounded_by_what_sqs_takes_and_a_lost_receipt_is_no_error() -> None:
    """Asked for a week, twelve hours are set."""
    sqs = FakeSqs([None], [GONE])
    async with owning(sqs) as ownership:
        await ownership.let_go("a", 700_000)
        await ownership.let_go("b", 5)
    assert sqs.calls == [("change", [("a", 43_200)]), ("change", [("b", 5)])]


async def test_handing_back_reads_every_failure_and_tries_again() -> None:
    """Twelve receipts go in two requests; what fails is tried again, what is stale is not."""
    sqs = FakeSqs([None, DOWN, GONE, *[None] * 7], [None], QueueMissing("q"), [None, None])
    async with owning(sqs) as ownership:
        await ownership.hand_back([str(number) for number in range(12)])
    sizes = [[handle for handle, seconds in entries if seconds == 0] for _, entries in sqs.calls]
    assert sizes == [[str(number) for number in range(10)], ["1"], ["10", "11"], ["10", "11"]]


async def test_a_receipt_that_sqs_no_longer_honours_cancels_its_task_alone() -> None:
    """Of two receipts that are due for renewal, the stale one's handler is cancelled, the other goes on."""
    sqs = FakeSqs([GONE, None])
    async with owning(sqs, 1) as ownership:
        lost, kept = idle(), idle()
        ownership.keep("lost", lost)
        ownership.keep("kept", kept)
        await asyncio.wait([lost], timeout=2)
        assert (lost.cancelled(), kept.done()) == (True, False)
        ownership.forget("kept")
        kept.cancel()


async def test_a_receipt_that_could_not_be_renewed_in_time_is_given_up() -> None:
    """Renewal fails for the whole timeout: the handler is cancelled, and the loop survives even a missing queue."""
    sqs = FakeSqs(*[QueueMissing("q"), DOWN] * 20)
    async with owning(sqs, 1) as ownership:
        task = idle()
        ownership.keep("h", task)
        await asyncio.wait([task], timeout=3)
        assert task.cancelled()
    assert len(sqs.calls) >= 2


async def test_a_renewal_that_hangs_does_not_hide_that_the_time_is_over() -> None:
    """The call never returns; the handler is cancelled all the same when its time is up."""

    class Hanging(FakeSqs):
        async def change_visibility(self, _queue: str, _changes: object) -> Sequence[Exception | None]:
            await asyncio.Event().wait()
            return []

    async with owning(Hanging(), 1) as ownership:
        task = idle()
        ownership.keep("h", task)
        await asyncio.wait([task], timeout=3)
        assert task.cancelled()
