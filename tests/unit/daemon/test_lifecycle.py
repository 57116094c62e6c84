"""A poll that never ends can't be had from a real server, because every call is bounded: SQS is a stand-in here."""

import asyncio
from typing import Any, cast

import pytest

from daemon.consumer import Consumer, QueueSource
from daemon.dispatcher import Dispatcher
from daemon.gate import Gate
from daemon.lifecycle import Daemon, Ending, Parts, Stalled
from daemon.probe import unobserved
from daemon.relay import Relay
from daemon.sqs import Received, Sqs
from daemon.timers import Timers


class HangingSqs:
    """Polls hang until `heal`; later ones come back empty."""

    def __init__(self) -> None:
        self.healthy = asyncio.Event()
        self.polls = 0

    async def receive(self, _queue: str, **_how: object) -> list[Received]:
        self.polls += 1
        await self.healthy.wait()
        await asyncio.sleep(0)
        return []


class Idle:
    """Timers and relay without anything to do."""

    in_flight = 0

    def __init__(self) -> None:
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        self._stopped.set()

    async def run(self) -> None:
        await self._stopped.wait()

    async def keep(self) -> None:
        await asyncio.Event().wait()

    async def drain(self, _bound_s: float) -> int:
        return 0

    async def at_rest(self) -> None:
        return

    async def drained(self) -> None:
        return


class IdleRelay(Idle):
    async def run(self) -> None:
        await asyncio.Event().wait()


async def nothing() -> int:
    return 0


def watched(sqs: HangingSqs, renewed: list[int], *, heals_at: int | None) -> Daemon:
    async def renew() -> None:
        renewed.append(len(renewed) + 1)
        if len(renewed) == heals_at:
            sqs.healthy.set()

    gate = Gate()
    source = QueueSource("commands", "commands", 1, 30)
    dispatcher = cast("Dispatcher[Any]", None)
    consumer = Consumer(source, cast("Sqs", sqs), dispatcher, cast("Any", None), gate=gate, probe=unobserved)
    parts = Parts((consumer,), (cast("Timers", Idle()),), cast("Relay", IdleRelay()), gate, nothing, renew, nothing)
    return Daemon(parts, drain_timeout_s=4.0, stalled_after_s=0.05, watch_every_s=0.1)


async def test_polls_that_stay_silent_end_the_process_after_two_new_clients() -> None:
    """I12: no silent stall. The client is replaced twice; then the process ends loudly instead of staying deaf."""
    sqs, renewed = HangingSqs(), list[int]()
    async with asyncio.timeout(10):
        with pytest.raises(ExceptionGroup) as raised:
            await watched(sqs, renewed, heals_at=None).run()
    assert raised.group_contains(Stalled)
    assert renewed == [1, 2]


async def test_a_stall_that_a_new_client_heals_is_forgotten() -> None:
    """After the client was replaced polls return again: the daemon goes on, and later stops cleanly."""
    sqs, renewed = HangingSqs(), list[int]()
    daemon = watched(sqs, renewed, heals_at=2)
    async with asyncio.timeout(10):
        running = asyncio.create_task(daemon.run())
        await sqs.healthy.wait()
        while sqs.polls < 20:
            await asyncio.to_thread(int)
        daemon.stop()
        assert await running is Ending.CLEAN
    assert renewed == [1, 2]
