"""What sends, in a process of its own: the daemon, or a bare loop; started by `tests.bench.campaigns` alone.

The first line of stdin is the order. Then `go` begins, `read` only reads, and `end` writes the profile; each is
answered with a reading. The end of stdin is the end.
"""

import asyncio
import json
import os
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from cProfile import Profile
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import httpx

from daemon.app import build
from daemon.log import configure
from daemon.settings import Settings
from tests.bench.spine_child import Subject, died, lines, nothing, reading, tell

DAEMON, SOCKETS, TWO_CALLS, THREE_CALLS, NEW_CONNECTION = "daemon", "sockets", "two", "three", "new-connection"
TEXT = "Dear friend, your appointment is tomorrow. Answer STOP if you want no more messages."
TIMEOUT_S = 30.0
_STATEMENTS, _COMMIT = ("SELECT", "INSERT", "UPDATE", "DELETE"), "COMMIT"
Ask = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Order:
    """What to run. `contacts` is for a bare loop; the daemon has its own in the database."""

    kind: str
    settings: dict[str, Any]
    waha: str
    api_key: str
    session: str
    contacts: int
    log: str
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What the process has used until now. Statements are those of SQLite alone: MariaDB counts its own."""

    at_s: float
    cpu_s: float
    rss_mb: float
    peak_rss_mb: float
    statements: int
    commits: int


class CountingConnection(sqlite3.Connection):
    """Counts what is executed by the first six letters, which tell statements from each other."""

    words: ClassVar[Counter[str]] = Counter()

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        self.words[sql[:6]] += 1
        return super().execute(sql, *arguments)


@asynccontextmanager
async def daemon(order: Order) -> AsyncIterator[Subject]:
    """The whole daemon, as `robotd run` builds it."""
    sqlite3.connect = partial(sqlite3.connect, factory=CountingConnection)  # type: ignore[assignment]
    async with build(Settings.model_validate(order.settings)) as built:
        yield Subject(built.run, nothing)


@asynccontextmanager
async def bare(order: Order) -> AsyncIterator[Subject]:
    """The least that a sender can do: one contact after the other."""
    async with (over_sockets if order.kind == SOCKETS else over_httpx)(order) as ask:

        async def send_to(number: int) -> None:
            await ask("GET", f"/api/sessions/{order.session}")
            body = {"session": order.session, "chatId": f"99900{number:07d}@c.us", "text": TEXT}
            if order.kind == THREE_CALLS:
                body["id"] = (await ask("GET", f"/api/{order.session}/new-message-id"))["id"]
            await ask("POST", "/api/sendText", body)

        async def run() -> None:
            for number in range(order.contacts):
                await send_to(number)
            await asyncio.Event().wait()

        await send_to(order.contacts)
        yield Subject(run, nothing)


@asynccontextmanager
async def over_httpx(order: Order) -> AsyncIterator[Ask]:
    """The library as it comes, over a connection that is kept."""
    own = {"Connection": "close"} if order.kind == NEW_CONNECTION else {}
    async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_S, headers={"X-Api-Key": order.api_key}) as http:

        async def ask(method: str, path: str, body: object = None) -> Any:
            headers = own if method == "POST" else {}
            answer = await http.request(method, order.waha + path, json=body, headers=headers)
            return answer.raise_for_status().json()

        yield ask


@asynccontextmanager
async def over_sockets(order: Order) -> AsyncIterator[Ask]:
    """No library at all: what the simulator can do."""
    host, _, port = order.waha.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))

    async def ask(method: str, path: str, body: object = None) -> Any:
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nX-Api-Key: {order.api_key}\r\n"
        more = f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        writer.write((head + more).encode() + content)
        answer = await reader.readuntil(b"\r\n\r\n")
        at = answer.index(b"Content-Length: ") + 16
        read = await reader.readexactly(int(answer[at : answer.index(b"\r", at)]))
        if not answer.startswith(b"HTTP/1.1 20"):
            raise RuntimeError(read.decode())
        return json.loads(read)

    try:
        yield ask
    finally:
        writer.close()


def tell_reading() -> None:
    words = CountingConnection.words
    tell(**asdict(reading()), statements=sum(words[word] for word in _STATEMENTS), commits=words[_COMMIT])


class Runner:
    """Runs the subject when it is told to, and dies loudly if the subject does."""

    def __init__(self, order: Order, subject: Subject) -> None:
        self._subject = subject
        self._profile = Profile(time.thread_time) if order.profile else None  # not wall time: others use the machine
        self._profile_file = order.profile or ""
        self._run: asyncio.Task[object] | None = None

    def obey(self, word: str) -> None:
        if word == "go":
            self._run = asyncio.create_task(self._subject.run())
            self._run.add_done_callback(died)
            if self._profile is not None:
                self._profile.enable()
        if word == "end" and self._profile is not None:
            self._profile.disable()
            self._profile.dump_stats(self._profile_file)
        tell_reading()


async def main() -> None:
    told = lines()
    order = Order(**json.loads(await anext(told)))
    with Path(order.log).open("a") as log:  # noqa: ASYNC230  once, before anything runs
        configure("json", "info", log)
        async with (daemon if order.kind == DAEMON else bare)(order) as subject:
            tell(ready=True)
            runner = Runner(order, subject)
            async for word in told:
                runner.obey(word)
            sys.stdout.flush()
            os._exit(0)  # a long poll is under way, and nothing is left to be saved


if __name__ == "__main__":
    asyncio.run(main())
