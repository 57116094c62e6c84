"""What the bench of campaigns starts: the WAHA simulator and a sender, each in a process of its own."""

import asyncio
import http.client
import json
import os
import secrets
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from tests.bench.campaigns_child import Order, Reading
from tests.bench.spine import Child

SESSION = "bench"
_LOOK_EVERY_S, _PATIENCE_S = 0.02, 120.0


class Sender(Child):
    """The daemon or a bare loop."""

    async def begin(self, order: Order) -> None:
        """Start; returns when it is connected and warm."""
        await self._ask(json.dumps(asdict(order)))

    async def look(self, word: str = "read") -> Reading:
        return Reading(**await self._ask(word))


class Waha:
    """The simulator, as the bench asks it."""

    def __init__(self, url: str, api_key: str, pid: int) -> None:
        self.url, self.api_key = url, api_key
        self._pid = pid
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"))

    @property
    def accepted(self) -> int:
        """How many messages it took."""
        self._connection.request("GET", "/_robotd/counts")
        told: dict[str, int] = json.loads(self._connection.getresponse().read())
        return told["accepted"]

    @property
    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def took(self, count: int, until_s: float, check: Callable[[], object]) -> int:
        """Return when it took so many, or it is so late; `check` raises when there is no use in waiting."""
        last, last_at_s = -1, 0.0
        loop = asyncio.get_running_loop()
        while (now := self.accepted) < count and loop.time() < until_s:
            check()
            if now > last:
                last, last_at_s = now, loop.time()
            elif loop.time() - last_at_s > _PATIENCE_S:
                raise RuntimeError(f"nothing was sent for {_PATIENCE_S:g} s after {now} messages")
            await asyncio.sleep(_LOOK_EVERY_S)
        return now


@asynccontextmanager
async def sender() -> AsyncIterator[Sender]:
    command = [sys.executable, "-m", "tests.bench.campaigns_child"]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        yield Sender(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def waha() -> AsyncIterator[Waha]:
    """A simulator with one session that is WORKING."""
    key = secrets.token_hex(8)
    command = [sys.executable, "-m", "localstack.waha", "--api-key", key, "--session", SESSION]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    assert process.stdout is not None
    try:
        yield Waha((await process.stdout.readline()).decode().split()[-1], key, process.pid)
    finally:
        process.terminate()
        await process.wait()
