"""A local port that can be closed and opened again without losing its number, and streams over what it accepts."""

import asyncio
import fcntl
import socket
import ssl
import struct
import termios
from asyncio.trsock import TransportSocket
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Self

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)
_GOODBYE_S = 1.0
_LOOK_S = 0.001
Serve = Callable[[socket.socket], Awaitable[None]]


class Listener:
    """Hands each connection to `serve`, in a task of its own that ends with the listener.

    A socket that is bound and never listens keeps the number: nobody else gets it while the port is closed.
    """

    def __init__(self, serve: Serve, host: str = "127.0.0.1", port: int = 0) -> None:
        self._serve = serve
        self._listen_on = (host, port)
        self._anchor: socket.socket | None = None
        self._open: socket.socket | None = None
        self._filler: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._anchor = _bound(self._listen_on)
        self._listen_on = self._anchor.getsockname()[:2]
        self.listen()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.refuse()
        await self.end_all()
        if self._anchor is not None:
            self._anchor.close()
            self._anchor = None

    @property
    def host(self) -> str:
        """The address it listens on."""
        return self._listen_on[0]

    @property
    def port(self) -> int:
        """The same from start to end."""
        return self._listen_on[1]

    @property
    def connections(self) -> int:
        """How many are served now."""
        return len(self._tasks)

    def listen(self) -> None:
        """Accept connections, from now on or again."""
        if self._filler is not None:
            self.refuse()
        if self._open is None:
            self._open = _bound(self._listen_on)
            self._open.listen(512)
            asyncio.get_running_loop().add_reader(self._open, self._accept, self._open)

    def refuse(self) -> None:
        """Close the port: who connects is refused. Connections that stand go on."""
        if self._open is not None:
            asyncio.get_running_loop().remove_reader(self._open)
            self._open.close()
            self._open = None
        if self._filler is not None:
            self._filler.close()
            self._filler = None

    def swallow(self) -> None:
        """Let nobody's connection come about: packets to the port vanish, and who connects waits in vain.

        Linux drops them when the queue of those who wait to be accepted is full: it is made as short as can be, and
        one connection of our own fills it. Who still waits at `listen` is let in when his system tries again.
        """
        self.refuse()
        self._open = _bound(self._listen_on)
        self._open.listen(0)
        self._filler = socket.create_connection(self._listen_on)

    async def end_all(self) -> None:
        """End every connection that is served now; returns when the last has ended."""
        ending = tuple(self._tasks)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Run something that ends with the listener."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):  # nobody there any more, or no descriptor left: who waits is accepted later
            while True:
                connection, _ = listening.accept()
                connection.setblocking(False)
                self.spawn(self._served(connection))

    async def _served(self, connection: socket.socket) -> None:
        try:
            await self._serve(connection)
        except OSError:
            pass  # the other side went away, or failed at the handshake: its business
        finally:
            connection.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler({"message": "a connection broke", "exception": error})


def _bound(address: tuple[str, int]) -> socket.socket:
    bound = socket.socket()
    bound.setblocking(False)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(address)
    return bound


def taken_over(connection: socket.socket) -> socket.socket:
    """The same connection for a transport that will close it; the listener no longer does."""
    return socket.socket(fileno=connection.detach())


async def streams_over(
    connection: socket.socket, limit: int, tls: ssl.SSLContext | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Streams over an accepted connection, behind a server's handshake where `tls` is given. Raises OSError."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, taken_over(connection), ssl=tls)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close a stream and wait until what was written has gone out; who does not take it in time is cut off."""
    writer.close()
    try:
        async with asyncio.timeout(_GOODBYE_S):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()


async def acknowledged(writer: asyncio.StreamWriter) -> None:
    """Wait until the other side's system has all that was written: a reset would take the rest back."""
    await writer.drain()
    below = socket_of(writer.transport)
    waited_s = 0.0
    while waited_s < _GOODBYE_S and any(fcntl.ioctl(below.fileno(), termios.TIOCOUTQ, bytes(4))):
        await asyncio.sleep(_LOOK_S)  # nothing tells of the queue of the system
        waited_s += _LOOK_S


def socket_of(transport: asyncio.BaseTransport) -> TransportSocket:
    """The socket below a transport that is open."""
    below = transport.get_extra_info("socket")
    assert isinstance(below, TransportSocket)  # noqa: S101  of a socket transport it always is
    return below


def cut_off(writer: asyncio.StreamWriter) -> None:
    """Reset a stream that is not closing already."""
    if not writer.transport.is_closing():
        reset(writer.transport, socket_of(writer.transport))


def reset(transport: asyncio.BaseTransport, below: TransportSocket) -> None:
    """Drop a connection so that the other side sees a reset, not an end. `below` is its socket."""
    with suppress(OSError):
        below.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
    was_closing = transport.is_closing()
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()
    if was_closing:  # asyncio's TLS forgets what it must abort when it is closed twice, as aiosmtpd does
        with suppress(OSError):
            below.shutdown(socket.SHUT_RDWR)
