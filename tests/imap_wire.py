"""A bare IMAP client for the tests: says what it is told to, byte for byte, and hands back every line."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

_LITERAL = re.compile(rb"\{(\d+)\}\r\n\Z")
LIMIT_S = 10


@dataclass(frozen=True, slots=True)
class Place:
    """Where a mailbox is, and who may open it."""

    port: int
    user: str
    password: str
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """Untagged answers without `* ` and line end, literals included; and the tagged one."""

    untagged: list[bytes]
    status: str
    text: str

    def numbers(self) -> list[int]:
        """What SEARCH found."""
        lines = [line for line in self.untagged if line.startswith(b"SEARCH")]
        assert len(lines) == 1, self
        return [int(number) for number in lines[0].split()[1:]]

    def named(self, word: bytes) -> list[bytes]:
        """Untagged answers with this word in them."""
        return [line for line in self.untagged if word in line]


class BareImap:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._count = 0

    async def line(self) -> bytes:
        """The next line, with the literals in it; empty at the end of the connection."""
        async with asyncio.timeout(LIMIT_S):
            whole = await self.reader.readline()
            while (ahead := _LITERAL.search(whole)) is not None:
                whole += await self.reader.readexactly(int(ahead[1])) + await self.reader.readline()
        return whole.removesuffix(b"\r\n")

    def send(self, said: bytes) -> None:
        """Just these bytes."""
        self.writer.write(said)

    async def ask(self, command: bytes, *literals: bytes) -> Reply:
        """A command with a tag of its own; each literal is sent when it is asked for."""
        self._count += 1
        tag = b"T%d" % self._count
        self.send(tag + b" " + command + b"\r\n")
        left = list(literals)
        untagged: list[bytes] = []
        while True:
            line = await self.line()
            if line.startswith(b"+") and left:
                self.send(left.pop(0))
            elif line.startswith(tag + b" ") or not line:
                _, _, rest = line.decode().partition(" ")
                status, _, text = rest.partition(" ")
                return Reply(untagged, status, text)
            else:
                untagged.append(line.removeprefix(b"* "))


@asynccontextmanager
async def bare_imap(place: Place) -> AsyncIterator[BareImap]:
    """Connected, greeted, not logged in."""
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port, ssl=place.tls, limit=2**24)
    try:
        client = BareImap(reader, writer)
        assert (await client.line()).startswith(b"* OK")
        yield client
    finally:
        writer.close()


@asynccontextmanager
async def opened(place: Place, folder: bytes = b"INBOX") -> AsyncIterator[BareImap]:
    """Logged in, the folder selected."""
    async with bare_imap(place) as client:
        assert (await client.ask(f"LOGIN {place.user} {place.password}".encode())).status == "OK"
        assert (await client.ask(b"SELECT " + folder)).status == "OK"
        yield client


async def put(place: Place, raw: bytes, folder: bytes = b"INBOX") -> None:
    """A mail into a folder, by APPEND on a connection of its own."""
    async with bare_imap(place) as client:
        await client.ask(f"LOGIN {place.user} {place.password}".encode())
        put = await client.ask(b"APPEND %b {%d}" % (folder, len(raw)), raw + b"\r\n")
        assert put.status == "OK", put
