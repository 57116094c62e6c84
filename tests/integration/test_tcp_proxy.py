"""The faulty wire: what each fault does to real connections, exactly, and that it can be switched while they stand."""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator

import aiosmtplib
import pytest

from daemon.clock import SystemClock
from localstack.bell import Bell
from localstack.clock import ManualClock
from localstack.mail_host import MailHost, MailLogin
from localstack.tcp_proxy import TcpProxy
from localstack.tcp_wire import CLEAR, Way, Wire, WireKind, WireRule
from tests.imap_wire import Place, bare_imap
from tests.mail_talk import account, arrived, client_of, send

START_MS = 1764060013_000  # 2025-11-25T08:40:13Z
LIMIT_S = 10


class Echo:
    """A server that says everything twice: as it comes, and what it has got in all."""

    def __init__(self) -> None:
        self.got: list[bytearray] = []
        self.ended: list[str] = []
        self.bell = Bell()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got = bytearray()
        self.got.append(got)
        try:
            while piece := await reader.read(2**16):
                got += piece
                writer.write(piece)
                await writer.drain()
            self.ended.append("end")
        except ConnectionError:
            self.ended.append("reset")
        finally:
            self.bell.ring()
            writer.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_MS)


@pytest.fixture
async def echo() -> Echo:
    return Echo()


@pytest.fixture
async def proxy(echo: Echo, clock: ManualClock) -> AsyncIterator[TcpProxy]:
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with server, TcpProxy(clock, server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


@contextlib.asynccontextmanager
async def connected(proxy: TcpProxy) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with asyncio.timeout(LIMIT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        try:
            yield reader, writer
        finally:
            writer.close()


async def echoes(proxy: TcpProxy) -> bool:
    """Whether a new connection is carried."""
    async with connected(proxy) as (reader, writer):
        writer.write(b"hello")
        return await reader.readexactly(5) == b"hello"


async def gone(proxy: TcpProxy) -> None:
    async with asyncio.timeout(LIMIT_S):
        await proxy.until(lambda: not proxy.standing)


async def test_a_clear_wire_carries_everything(proxy: TcpProxy, echo: Echo) -> None:
    """Megabytes both ways, unchanged; one side's end reaches the other, and the record has bytes, time and end."""
    sent = secrets.token_bytes(3 * 2**20)
    async with connected(proxy) as (reader, writer):
        async with asyncio.TaskGroup() as both:
            back = both.create_task(reader.readexactly(len(sent)))
            writer.write(sent)
            writer.write_eof()
        assert back.result() == sent
        assert await reader.read() == b""
        await echo.bell.until(lambda: bool(echo.ended))
    await gone(proxy)
    assert (bytes(echo.got[0]), echo.ended) == (sent, ["end"])
    link = proxy.links[0]
    assert (link.at_ms, link.end, link.passed) == (START_MS, "client", dict.fromkeys(Way, len(sent)))


async def test_refused_and_open_again(proxy: TcpProxy) -> None:
    """New connections are refused, one that stands goes on; the port stays the same."""
    port = proxy.port
    async with connected(proxy) as (reader, writer):
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
    proxy.clear()
    assert proxy.port == port
    assert await echoes(proxy)
    assert len(proxy.links) == 2


async def test_swallowed_connections_never_come_about(proxy: TcpProxy) -> None:
    """The handshake of TCP itself gets no answer; who still tries when the wire is clear gets through."""
    proxy.swallow()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.open_connection("127.0.0.1", proxy.port), 0.3)
    trying = asyncio.create_task(echoes(proxy))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(trying), 0.3)
    proxy.clear()
    assert await trying
    proxy.swallow()
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)


async def test_reset_at_once(proxy: TcpProxy, echo: Echo) -> None:
    """The connection comes about and breaks; the server behind never hears of it."""
    proxy.switch(Wire(WireKind.RESET))
    async with connected(proxy) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.read()
    await gone(proxy)
    assert (proxy.links[0].end, echo.got) == ("reset", [])


async def test_hangs_and_then_delivers_what_it_held(proxy: TcpProxy, echo: Echo) -> None:
    """No byte passes on old connections, new ones are silent; switched back, all that was sent arrives, in order."""
    async with connected(proxy) as (reader, writer), connected(proxy) as (late_reader, late_writer):
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        proxy.hang()
        async with connected(proxy) as (new_reader, new_writer):
            writer.write(b"b")
            late_writer.write(b"c")
            new_writer.write(b"d")
            held = asyncio.gather(*(each.readexactly(1) for each in (reader, late_reader, new_reader)))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(held), 0.2)
            assert b"".join(echo.got) == b"a"
            proxy.clear()
            assert await held == [b"b", b"c", b"d"]


async def test_hanging_holds_little(proxy: TcpProxy, echo: Echo) -> None:
    """While it hangs it stops reading: the sender is held up, not the proxy's memory filled; later all arrives."""
    sent = secrets.token_bytes(16 * 2**20)
    async with connected(proxy) as (reader, writer):
        proxy.hang()
        writer.write(sent)
        draining = asyncio.create_task(writer.drain())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(draining), 0.2)
        assert writer.transport.get_write_buffer_size() > 2**20
        proxy.clear()
        assert await reader.readexactly(len(sent)) == sent
        await draining
    assert bytes(echo.got[0]) == sent


async def test_latency_is_the_clocks(proxy: TcpProxy, clock: ManualClock) -> None:
    """Each way holds a piece for exactly so long: not a millisecond less."""
    proxy.switch(Wire(latency_ms=100))
    async with connected(proxy) as (reader, writer):
        writer.write(b"ping")
        back = asyncio.create_task(reader.readexactly(4))
        for _ in Way:
            await clock.until(lambda: clock.waiting() == 1)
            due_ms = clock.next_due_ms()
            assert due_ms == clock.now_ms() + 100
            clock.advance(99)
            assert clock.waiting() == 1
            clock.advance(1)
        assert await back == b"ping"
        assert clock.now_ms() == START_MS + 200


async def passed_on(proxy: TcpProxy, at_least: int) -> int:
    async with asyncio.timeout(LIMIT_S):
        await proxy.until(lambda: proxy.links[0].passed[Way.TO_SERVER] >= at_least)
    return proxy.links[0].passed[Way.TO_SERVER]


async def test_bytes_drip(proxy: TcpProxy, echo: Echo, clock: ManualClock) -> None:
    """Two bytes at a time, each drop held by the latency."""
    proxy.switch(Wire(latency_ms=50, drop_bytes=2))
    async with connected(proxy) as (_, writer):
        writer.write(b"abcde")
        for passed in (2, 4, 5):
            await clock.until(lambda: clock.waiting() > 0)
            clock.advance(50)
            assert await passed_on(proxy, at_least=passed) == passed
        proxy.clear()


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("after", [0, 1, 70_000, 3_000_000])
async def test_cut_after_exactly_so_many_bytes_to_the_client(proxy: TcpProxy, *, after: int, ends: bool) -> None:
    """The client gets this many and not one more, then a reset, or what looks like an end."""
    proxy.switch(Wire(WireKind.CUT, cut_after=after, ends=ends))
    async with connected(proxy) as (reader, writer):
        writer.write(b"x" * 4_000_000)
        got = bytearray()
        end = "end"
        try:
            while piece := await reader.read(2**16):
                got += piece
        except ConnectionResetError:
            end = "reset"
        assert (len(got), end) == (after, "end" if ends else "reset")
    await gone(proxy)
    assert (proxy.links[0].end, proxy.links[0].passed[Way.TO_CLIENT]) == ("cut", after)
    proxy.clear()
    assert await echoes(proxy)


async def test_cut_on_the_way_to_the_server(proxy: TcpProxy, echo: Echo) -> None:
    """The server gets this many bytes; both sides see the break."""
    proxy.switch(Wire(WireKind.CUT, cut_after=3, cut_way=Way.TO_SERVER))
    async with connected(proxy) as (reader, writer):
        writer.write(b"abcdef")
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(6)
        await echo.bell.until(lambda: bool(echo.ended))
    assert (bytes(echo.got[0]), echo.ended) == (b"abc", ["reset"])


async def test_cut_breaks_what_stands(proxy: TcpProxy) -> None:
    """Every connection is reset, hanging or not; the next is carried."""
    async with connected(proxy) as (reader, writer), connected(proxy) as (other_reader, _):
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        proxy.hang()
        writer.write(b"y")
        proxy.cut()
        for each in (reader, other_reader):
            with pytest.raises(ConnectionResetError):
                await each.read()
    proxy.clear()
    await gone(proxy)
    assert [link.end for link in proxy.links] == ["cut", "cut"]
    assert await echoes(proxy)


async def test_a_servers_end_and_absence_are_told_apart(clock: ManualClock) -> None:
    """Who ends first is on record; without a server the client sees a reset and the record says why."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with TcpProxy(clock, server.sockets[0].getsockname()[1]) as proxy:
        async with connected(proxy) as (reader, _):
            assert await reader.read() == b"bye"
        await gone(proxy)
        server.close()
        await server.wait_closed()
        async with connected(proxy) as (reader, _):
            with pytest.raises(ConnectionResetError):
                await reader.read()
        await gone(proxy)
        assert [link.end for link in proxy.links] == ["server", "unreachable"]


async def test_a_clients_reset_reaches_the_server(proxy: TcpProxy, echo: Echo) -> None:
    """A reset is passed on as one, not as an end."""
    async with connected(proxy) as (reader, writer):
        writer.write(b"x")
        await reader.readexactly(1)
        below = writer.get_extra_info("socket")
        below.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()
        await gone(proxy)
        await echo.bell.until(lambda: bool(echo.ended))
    assert (echo.ended, proxy.links[0].end) == (["reset"], "client")


async def test_rules_strike_single_connections(proxy: TcpProxy) -> None:
    """`skip` spares the first, `times` ends it; the others have the wire of all."""
    proxy.plan.add(WireRule(Wire(WireKind.RESET), times=1, skip=1))
    assert await echoes(proxy)
    async with connected(proxy) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.read()
    assert await echoes(proxy)
    await gone(proxy)
    assert [link.end for link in proxy.links] == ["client", "reset", "client"]


async def test_one_seed_one_course(clock: ManualClock) -> None:
    """Which connections a rule with a probability strikes is the same in every run with the same seed."""

    def course(seed: int) -> list[bool]:
        proxy = TcpProxy(clock, 1, seed=seed)
        proxy.plan.add(WireRule(Wire(WireKind.RESET), probability=0.5))
        return [proxy.plan.draw() is None for _ in range(40)]

    assert course(7) == course(7)
    assert course(7) != course(8)
    assert {True, False} == set(course(7))


async def test_leaving_resets_what_stands(echo: Echo, clock: ManualClock) -> None:
    """Nothing of the proxy runs on, and the record says that it was stopped."""
    async with await asyncio.start_server(echo.serve, "127.0.0.1", 0) as server:
        async with TcpProxy(clock, server.sockets[0].getsockname()[1]) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(b"x")
            await reader.readexactly(1)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
    assert [link.end for link in proxy.links] == ["stopped"]
    assert proxy.wire == CLEAR


async def test_smtp_and_imap_pass_through_it() -> None:
    """TLS, login and a mail through the wire; a cut in the middle of the mail loses it, a clear wire does not."""
    login = MailLogin("probe", secrets.token_hex(8))
    async with MailHost(SystemClock(), login=login, imap_tls=False) as host:
        server = await host.add_server(account())
        async with TcpProxy(SystemClock(), server.port) as smtp, TcpProxy(SystemClock(), host.imap.port) as imap:
            client = client_of(server)
            client.port = smtp.port
            await client.connect()
            await client.login(server.account.username, server.account.password)
            smtp.switch(Wire(WireKind.CUT, cut_after=smtp.links[0].passed[Way.TO_SERVER] + 100, cut_way=Way.TO_SERVER))
            with pytest.raises((OSError, aiosmtplib.SMTPException)):
                await client.sendmail("a@sender.test", ["probe@box.test"], b"Subject: x\r\n\r\n" + b"x" * 10_000)
            client.close()
            assert arrived(host) == []
            smtp.clear()
            await send(host, server)
            async with bare_imap(Place(imap.port, login.user, login.password)) as mailbox:
                assert (await mailbox.ask(f"LOGIN {login.user} {login.password}".encode())).status == "OK"
                assert (await mailbox.ask(b"SELECT INBOX")).named(b"EXISTS") == [b"1 EXISTS"]
