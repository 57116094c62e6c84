"""The two transports beside httpx's own: the same requests, answers and errors, and each exchange asked for once."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager

import httpx
import pytest
import trustme

from daemon.clients import transports
from daemon.clients.transports import AiohttpTransport, OneShotTransport

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Build = Callable[[], httpx.AsyncBaseTransport]
HASTE = httpx.Timeout(0.3)
OURS: list[Build] = [lambda: AiohttpTransport(10, keep_s=4), OneShotTransport]
both = pytest.mark.parametrize("build", OURS, ids=["aiohttp", "one-shot"])


class Wire:
    """A server that answers each connection with the same bytes, and knows what it was asked."""

    def __init__(self, says: bytes, *, closes: bool = False, resets: bool = False) -> None:
        self.connections = 0
        self.heard: list[bytes] = []
        self.two_are_there = asyncio.Event()
        self._says = says
        self._closes = closes
        self._resets = resets

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: every request gets the same answer."""
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b""
                )
                body = await reader.readexactly(int(length.partition(b":")[2] or 0))
                self.heard.append(head + body)
                if len(self.heard) == 2:
                    self.two_are_there.set()
                if self._resets:
                    writer.transport.abort()
                    return
                writer.write(self._says)
                if self._closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the other side has hung up: nothing more is asked
        finally:
            writer.close()


@asynccontextmanager
async def serving(wire: Wire, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Its address while it serves."""
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"{'http' if context is None else 'https'}://localhost:{port}"
    finally:
        server.close()


@asynccontextmanager
async def client(transport: httpx.AsyncBaseTransport) -> AsyncIterator[httpx.AsyncClient]:
    """A client of httpx over it."""
    async with httpx.AsyncClient(transport=transport, timeout=HASTE, trust_env=False) as http:
        yield http


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@both
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_request_looks_as_httpx_s_own_does(build: Build, method: str) -> None:
    """Method, target, body and headers, in whatever order; that there is no body may be said."""
    asked: list[set[bytes]] = []
    for transport in (httpx.AsyncHTTPTransport(trust_env=False), build()):
        wire = Wire(OK)
        async with serving(wire) as url, client(transport) as http:
            body = {"text": "Hällo 👋"} if method == "POST" else None
            answer = await http.request(
                method, f"{url}/a%20b/ü", params={"x": "1 2&3"}, json=body, headers={"Call-Ref": "r"}
            )
            assert (answer.status_code, answer.text) == (200, "ok")
        lines = wire.heard[0].replace(url.rpartition(":")[2].encode(), b"PORT").split(b"\r\n")
        asked.append({line.title() for line in lines} - {b"Connection: Keep-Alive", b"Content-Length: 0"})
    assert asked[0] == asked[1]


async def test_kept_connections_are_used_again_and_one_shots_never() -> None:
    """Five exchanges: one connection, or five."""
    for build, connections in zip(OURS, (1, 5), strict=True):
        wire = Wire(OK)
        async with serving(wire) as url, client(build()) as http:
            for _ in range(5):
                assert (await http.get(url)).text == "ok"
        assert wire.connections == connections


@both
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("how", ["resets", "closes"])
async def test_a_connection_that_breaks_was_asked_once(build: Build, method: str, how: str) -> None:
    """Whether to ask again is for whoever asks to say: no transport repeats even a GET by itself."""
    wire = Wire(b"", resets=how == "resets", closes=how == "closes")
    async with serving(wire) as url, client(build()) as http:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await http.request(method, url)
    assert len(wire.heard) == 1


@both
async def test_nobody_listening_is_a_connect_error(build: Build) -> None:
    """So it is certain that nothing was written."""
    async with serving(Wire(OK)) as url:
        gone = url
    async with client(build()) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(gone)


@both
async def test_an_answer_that_does_not_come_is_a_read_timeout(build: Build) -> None:
    """The request was written."""
    wire = Wire(b"")
    async with serving(wire) as url, client(build()) as http:
        with pytest.raises(httpx.ReadTimeout):
            await http.get(url)
    assert len(wire.heard) == 1


@both
async def test_a_connection_that_does_not_come_about_in_time_is_a_connect_timeout(build: Build) -> None:
    """A listener that accepts nobody, and whose queue is full, answers no SYN."""
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        async with asyncio.timeout(5), client(build()) as http:
            with pytest.raises(httpx.ConnectTimeout):
                await http.get(f"http://127.0.0.1:{listener.getsockname()[1]}")


@both
@pytest.mark.parametrize("url", ["waha:3000", "ftp://waha", "//waha", "http://"])
async def test_an_address_that_is_none_is_refused_before_anything_is_done(build: Build, url: str) -> None:
    """As httpx's own transport does."""
    async with build() as transport:
        with pytest.raises(httpx.UnsupportedProtocol):
            await transport.handle_async_request(httpx.Request("GET", url))


@both
@pytest.mark.parametrize(
    "says",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nZ\r\n",
        b"no http at all\r\n\r\n",
    ],
    ids=["cut", "garbled", "none"],
)
async def test_an_answer_that_is_broken_is_an_error_of_the_protocol(build: Build, says: bytes) -> None:
    """Never half an answer that looks whole."""
    wire = Wire(says, closes=True)
    async with serving(wire) as url, client(build()) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(url)
    assert len(wire.heard) == 1


async def test_a_one_shot_has_the_status_of_an_answer_whose_body_is_broken() -> None:
    """A send that was accepted was accepted, whatever follows the status line in the same packet."""
    says = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\n"
    async with serving(Wire(says, closes=True)) as url, OneShotTransport() as transport:
        answer = await transport.handle_async_request(httpx.Request("POST", url))
        assert answer.status_code == 201
        await answer.aclose()


@both
async def test_certificates_are_verified(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nobody has vouched for ends the connection; one of an authority that is trusted does not."""
    authority = trustme.CA()
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(served)
    async with serving(Wire(OK), served) as url:
        async with client(build()) as http:
            with pytest.raises(httpx.ConnectError):
                await http.get(url)
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        monkeypatch.setattr(transports, "_trusted", lambda: trusting)
        async with client(build()) as http:
            assert (await http.get(url)).text == "ok"


async def test_no_more_connections_than_allowed_and_whoever_waits_too_long_has_asked_nothing() -> None:
    """Two are held by answers that don't come; the third request was never written, and says so."""
    wire = Wire(b"")
    transport = AiohttpTransport(2, keep_s=4)
    async with serving(wire) as url, client(transport) as http:
        patient = httpx.Timeout(0.3, read=2.0)
        held = [asyncio.create_task(http.get(url, timeout=patient)) for _ in range(2)]
        async with asyncio.timeout(5):
            await wire.two_are_there.wait()
        with pytest.raises(httpx.ConnectTimeout):
            await http.get(url)
        for task in held:
            task.cancel()
        await asyncio.wait(held)
    assert len(wire.heard) == 2
