"""Daemons in processes of their own, as a test sees them: started, ready, at the armed point, ended with a code."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BOUND_S = 30.0


@dataclass(slots=True, eq=False)
class Child:
    """One daemon. The events are set once each; `code` is there when it has ended, negative for a signal."""

    pid: int = 0
    code: int | None = None
    started: asyncio.Event = field(default_factory=asyncio.Event)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    hit: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it is gone."""
        if not self.ended.is_set():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        await within(BOUND_S, self.ended)

    async def is_up(self) -> bool:
        """Wait until it is ready, or has died on the way there: False."""
        await first_of(BOUND_S, self.ready, self.ended)
        return self.ready.is_set()


async def within(bound_s: float, event: asyncio.Event) -> None:
    """Wait for an event. Raises TimeoutError."""
    async with asyncio.timeout(bound_s):
        await event.wait()


async def first_of(bound_s: float, *events: asyncio.Event) -> None:
    """Wait for any of these. Raises TimeoutError."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        done, _ = await asyncio.wait(waits, timeout=bound_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    if not done:
        raise TimeoutError(f"none of {len(events)} events in {bound_s} s")


class Nursery:
    """Starts children, and hears what they tell."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._asked: dict[str, Child] = {}
        self._children: dict[int, Child] = {}

    async def start(self, config: Path) -> Child:
        """Start a daemon on a config file; returns once the process exists."""
        child = Child()
        self._asked[str(config)] = child
        assert self._process.stdin is not None
        self._process.stdin.write(f"{config}\n".encode())
        await self._process.stdin.drain()
        await within(BOUND_S, child.started)
        return child

    async def listen(self) -> None:
        """Hear the children until the nursery closes."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            what: str = told["is"]
            if what.startswith("started "):
                child = self._asked.pop(what.removeprefix("started "))
                child.pid = told["pid"]
                self._children[child.pid] = child
                child.started.set()
                continue
            child = self._children[told["pid"]]
            if what == "ended":
                child.code = told["code"]
                del self._children[child.pid]
            getattr(child, what).set()

    async def close(self) -> None:
        """End every child, then itself."""
        for child in list(self._children.values()):
            await child.kill()
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


@asynccontextmanager
async def nursery() -> AsyncIterator[Nursery]:
    """One nursery for many children."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.proof.child", "--nursery", stdin=PIPE, stdout=PIPE, cwd=ROOT
    )
    opened = Nursery(process)
    hears = asyncio.create_task(opened.listen())
    try:
        yield opened
    finally:
        await opened.close()
        await hears
