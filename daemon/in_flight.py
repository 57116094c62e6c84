"""The deliveries of one source that are being handled: a task each, waited for or cancelled at the end."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import structlog

from daemon.delivery import Delivery
from daemon.dispatcher import Dispatcher
from daemon.gate import Gate
from daemon.log import LogEvent
from domain.errors import Unavailable

_log = structlog.get_logger()
_CANCEL_BOUND_S = 2.0  # a handler that swallows its cancellation can't hold the exit
D = TypeVar("D", bound=Delivery)


class InFlight(Generic[D]):
    """Starts one task a delivery and keeps it until it ends; `ended` hears of every end."""

    def __init__(self, dispatcher: Dispatcher[Any], gate: Gate, ended: Callable[[D], None]) -> None:
        self._dispatcher = dispatcher
        self._gate = gate
        self._ended = ended
        self._running: dict[asyncio.Task[None], D] = {}

    def __len__(self) -> int:
        return len(self._running)

    @property
    def running(self) -> Mapping[asyncio.Task[None], D]:
        """A snapshot of what is being handled."""
        return dict(self._running)

    def start(self, delivery: D) -> asyncio.Task[None]:
        """Hand a delivery to the dispatcher."""
        task = asyncio.create_task(self._process(delivery), name=f"{delivery.queue}:{delivery.id}")
        self._running[task] = delivery
        task.add_done_callback(self._finished)
        return task

    async def at_rest(self) -> None:
        """Return when nothing is in flight."""
        while self._running:
            await asyncio.wait(self._running)

    async def drain(self, bound_s: float) -> list[D]:
        """Wait for what runs; after `bound_s` cancel it. Returns what was cancelled."""
        if self._running:
            await asyncio.wait(self._running, timeout=bound_s)
        late = dict(self._running)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=_CANCEL_BOUND_S)
        return list(late.values())

    async def _process(self, delivery: D) -> None:
        try:
            await self._dispatcher.process(delivery)
        except Unavailable as error:  # the outcome could not be told: it comes back, and is then known
            self._gate.lost(error.dependency, str(error))

    def _finished(self, task: asyncio.Task[None]) -> None:
        delivery = self._running.pop(task)
        self._ended(delivery)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error(LogEvent.MESSAGE_FAILED, exc_info=error, queue=delivery.queue, delivery=delivery.id)
