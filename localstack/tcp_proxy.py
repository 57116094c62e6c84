"""A TCP proxy with a faulty wire, in front of any neighbour: database, HTTP, SMTP, IMAP. Switched while it runs.

It knows nothing of what it carries. What passed through it is on record for judges; connections that the system refused
or swallowed never reached it, and are not.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from domain.ports import Clock
from localstack.bell import Bell
from localstack.listening import Listener, acknowledged, closed, cut_off, streams_over
from localstack.tcp_wire import CLEAR, Way, Wire, WireKind, WirePlan

_PIECE = 65_536
_GOODBYE_S = 1.0


@dataclass(slots=True)
class SeenLink:
    """One connection. `end`: empty while it stands, else who or what ended it.

    `client` or `server`, whichever was first; `reset` and `cut` by the wire; `unreachable`, no server; `stopped`.
    """

    number: int
    at_ms: int
    passed: dict[Way, int] = field(default_factory=lambda: dict.fromkeys(Way, 0))
    end: str = ""


class _Broken(Exception):  # noqa: N818  the wire did it
    """`end`: what the record calls it. The connections end with a reset where one of the sides did, or the wire."""

    def __init__(self, end: str, *, is_reset: bool = True) -> None:
        super().__init__(end)
        self.end = end
        self.is_reset = is_reset


class _Link:
    """A connection and the one behind it. `own` is the wire that it drew, None where it has that of all."""

    def __init__(
        self, seen: SeenLink, own: Wire | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.seen = seen
        self.own = own
        self.readers = [reader]
        self.writers = [writer]
        self.first_end = ""

    async def end(self) -> None:
        """End both. What still comes is read and thrown away for a while: unread, it would make a reset of the end."""
        with suppress(OSError, TimeoutError):
            for writer in self.writers:
                writer.write_eof()
            async with asyncio.timeout(_GOODBYE_S):
                for reader in self.readers:
                    while await reader.read(_PIECE):
                        pass
        for writer in self.writers:
            await closed(writer)

    def reset(self) -> None:
        """Reset both, as far as they stand."""
        for writer in self.writers:
            cut_off(writer)


class TcpProxy:
    """Listens from start to end and carries each connection to `host`:`port`. Times are the clock's.

    `wire` is what all connections have that drew none of their own from `plan`.
    """

    def __init__(self, clock: Clock, port: int, *, host: str = "127.0.0.1", seed: int = 0) -> None:
        self.links: list[SeenLink] = []
        self.plan = WirePlan(seed)
        self._clock = clock
        self._server = (host, port)
        self._listener = Listener(self._carry)
        self._wire = CLEAR
        self._standing: set[_Link] = set()
        self._bell = Bell()

    async def __aenter__(self) -> Self:
        await self._listener.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._listener.__aexit__(*error)

    @property
    def port(self) -> int:
        """The same from start to end."""
        return self._listener.port

    @property
    def wire(self) -> Wire:
        """What happens to connections now, to those that stand as well."""
        return self._wire

    @property
    def standing(self) -> Sequence[SeenLink]:
        """The connections that have not ended."""
        return [link for link in self.links if not link.end]

    def switch(self, wire: Wire) -> None:
        """Change the wire for all connections, now; what hung goes on."""
        self._wire = wire
        self._listener.listen()
        self._bell.ring()

    def clear(self) -> None:
        """A good wire again, and no rules."""
        self.plan.clear()
        self.switch(CLEAR)

    def hang(self) -> None:
        """No byte passes until the wire is switched; new connections come about and stay silent."""
        self.switch(Wire(WireKind.HANG))

    def refuse(self) -> None:
        """Refuse new connections until the wire is switched; those that stand go on."""
        self._listener.refuse()

    def swallow(self) -> None:
        """Let new connections never come about until the wire is switched; those that stand go on."""
        self._listener.swallow()

    def cut(self) -> None:
        """Reset every connection that stands; new ones are carried."""
        for link in self._standing:
            link.seen.end = "cut"
            link.reset()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as `condition` holds; it is looked at again at every connection, end and piece of bytes."""
        await self._bell.until(condition)

    async def _carry(self, connection: socket.socket) -> None:
        seen = SeenLink(len(self.links) + 1, self._clock.now_ms())
        self.links.append(seen)
        reader, writer = await streams_over(connection, _PIECE)
        link = _Link(seen, self.plan.draw(), reader, writer)
        self._standing.add(link)
        self._bell.ring()
        end = "stopped"
        try:
            end = await self._carried(link)
        finally:
            seen.end = seen.end or end
            link.reset()
            self._standing.discard(link)
            self._bell.ring()

    async def _carried(self, link: _Link) -> str:
        """How it ended."""
        first: _Broken | None = None
        try:
            async with asyncio.TaskGroup() as both:
                await self._connect(link)
                both.create_task(self._pump(link, Way.TO_SERVER, link.readers[0], link.writers[1]))
                both.create_task(self._pump(link, Way.TO_CLIENT, link.readers[1], link.writers[0]))
        except* _Broken as broken:
            first = next(error for error in broken.exceptions if isinstance(error, _Broken))
        if first is None or not first.is_reset:
            await link.end()
        return link.first_end if first is None else first.end

    async def _connect(self, link: _Link) -> None:
        if self._of(link).kind is WireKind.RESET:
            raise _Broken("reset")
        await self._flowing(link)
        try:
            reader, writer = await asyncio.open_connection(*self._server, limit=_PIECE)
        except OSError:
            raise _Broken("unreachable") from None
        link.readers.append(reader)
        link.writers.append(writer)
        for each in link.writers:
            each.transport.set_write_buffer_limits(high=0)  # what was passed on has left before it is counted

    async def _pump(self, link: _Link, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sides = ("client", "server") if way is Way.TO_SERVER else ("server", "client")
        while True:
            try:
                piece = await reader.read(_PIECE)
            except OSError:
                raise _Broken(sides[0]) from None
            try:
                if not piece:
                    await self._flowing(link)
                    link.first_end = link.first_end or sides[0]
                    writer.write_eof()
                    return
                await self._pass(link, way, piece, writer)
            except OSError:
                raise _Broken(sides[1]) from None

    async def _pass(self, link: _Link, way: Way, piece: bytes, writer: asyncio.StreamWriter) -> None:
        left = memoryview(piece)
        while left:
            wire = self._of(link)
            if (held_ms := self.plan.latency_ms(wire)) > 0:
                await self._clock.wait_until(self._clock.now_ms() + held_ms)
            await self._flowing(link)
            wire = self._of(link)
            room = wire.room(way, link.seen.passed[way])
            drop = left[: wire.drop_bytes][:room]
            writer.write(drop)
            await writer.drain()
            link.seen.passed[way] += len(drop)
            left = left[len(drop) :]
            if room == len(drop):
                await acknowledged(writer)
                raise _Broken("cut", is_reset=not wire.ends)
            self._bell.ring()

    async def _flowing(self, link: _Link) -> None:
        await self._bell.until(lambda: self._of(link).kind is not WireKind.HANG)

    def _of(self, link: _Link) -> Wire:
        return link.own or self._wire
