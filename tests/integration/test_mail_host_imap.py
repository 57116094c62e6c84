"""The IMAP side of the mail host beyond the contract of mailboxes: outages, TLS, limits, record, hostile bytes."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import aioimaplib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.clock import SystemClock
from localstack.mail_host import MailHost, MailLogin, Seen
from localstack.mail_imap_wire import Limits
from tests.imap_wire import BareImap, Place, bare_imap, opened, put
from tests.mail_talk import PROBE, account, send

RAW = f"Subject: probe [{PROBE}]\r\n\r\nHello\r\n".encode()


@pytest.fixture
async def host() -> AsyncIterator[MailHost]:
    login = MailLogin("probe", secrets.token_hex(8))
    async with MailHost(SystemClock(), login=login, imap_tls=False) as host:
        yield host


@pytest.fixture
def place(host: MailHost) -> Place:
    return Place(host.imap.port, host.imap.login.user, host.imap.login.password)


async def reads_a_mail(place: Place) -> bool:
    async with opened(place) as client:
        return (await client.ask(b"UID SEARCH ALL")).numbers() == [1]


async def test_a_mail_sent_by_smtp_is_read_by_imap() -> None:
    """Both sides share one mailbox: IDLE over TLS is told of a mail that a delivery server took."""
    login = MailLogin("probe", secrets.token_hex(8))
    async with MailHost(SystemClock(), login=login) as host:
        server = await host.add_server(account())
        place = Place(host.imap.port, login.user, login.password, host.certificates.client())
        async with opened(place) as client:
            client.send(b"X IDLE\r\n")
            assert (await client.line()).startswith(b"+")
            await send(host, server)
            assert await client.line() == b"* 1 EXISTS"


async def test_search_stays_blind_without_noop(host: MailHost, place: Place) -> None:
    """However often it searches, who neither idles nor says NOOP or CHECK never finds what came after SELECT."""
    async with opened(place) as client:
        host.mailbox.deliver("INBOX", RAW, 0)
        for _ in range(3):
            blind = await client.ask(b"UID SEARCH ALL")
            assert (blind.numbers(), blind.named(b"EXISTS")) == ([], [])
        assert (await client.ask(b"CHECK")).named(b"EXISTS") == [b"1 EXISTS"]
        assert (await client.ask(b"UID SEARCH ALL")).numbers() == [1]


async def test_refused_and_back_with_its_mails(host: MailHost, place: Place) -> None:
    """New connections are refused, one that stands is served; after it everything is there on the same port."""
    await put(place, RAW)
    async with opened(place) as client:
        host.imap.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", place.port)
        assert (await client.ask(b"NOOP")).status == "OK"
    host.imap.recover()
    assert await reads_a_mail(place)


async def test_hangs_and_answers_late(host: MailHost, place: Place) -> None:
    """Nothing is said on old and new connections, nothing pushed; afterwards all is answered and told."""
    async with opened(place) as client, opened(place) as idler:
        idler.send(b"X IDLE\r\n")
        await idler.line()
        host.imap.hang()
        host.mailbox.deliver("INBOX", RAW, 0)
        asked = asyncio.create_task(client.ask(b"NOOP"))
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readline(), 0.2)
        assert not asked.done()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(idler.line(), 0.1)
        host.imap.recover()
        assert (await asked).named(b"EXISTS") == [b"1 EXISTS"]
        assert await idler.line() == b"* 1 EXISTS"
        writer.close()
    assert await reads_a_mail(place)


async def test_cut_connections_break(host: MailHost, place: Place) -> None:
    """Who is connected, idling or not, sees a reset; who comes next is served."""
    await put(place, RAW)
    async with opened(place) as client, opened(place) as idler:
        idler.send(b"X IDLE\r\n")
        await idler.line()
        host.imap.cut()
        for cut in (client, idler):
            with pytest.raises(ConnectionResetError):
                await cut.line()
    assert await reads_a_mail(place)


async def test_aioimaplib_notices_each_outage(host: MailHost, place: Place) -> None:
    """Robotd's client: refused is an error at once, hanging a timeout."""
    host.imap.refuse()
    client = aioimaplib.IMAP4(host="127.0.0.1", port=place.port, timeout=0.3)
    with pytest.raises(ConnectionRefusedError):
        await client.wait_hello_from_server()
    host.imap.recover()
    host.imap.hang()
    client = aioimaplib.IMAP4(host="127.0.0.1", port=place.port, timeout=0.3)
    with pytest.raises(TimeoutError):
        await client.wait_hello_from_server()
    client.protocol.transport.close()


async def test_record_tells_who_came_and_what_he_opened(host: MailHost, place: Place) -> None:
    """Connections, users that were let in or not, folders; no password."""
    async with bare_imap(place) as client:
        await client.ask(b"LOGIN somebody guessed-by-a-test")
        await client.ask(f"LOGIN {place.user} {place.password}".encode())
        await client.ask(b"EXAMINE Junk")
        await client.ask(b"LOGOUT")
    await asyncio.wait_for(host.record.until(lambda: bool(host.record.of(Seen.DISCONNECTED))), 10)
    assert [(line.what, line.about) for line in host.record.lines] == [
        (Seen.CONNECTED, ""),
        (Seen.AUTH_REFUSED, "somebody"),
        (Seen.AUTHENTICATED, "probe"),
        (Seen.SELECTED, "Junk"),
        (Seen.DISCONNECTED, ""),
    ]
    assert place.password not in repr(host.record.lines)
    assert "guessed" not in repr(host.record.lines)


async def test_a_mail_above_the_limit_is_not_taken(place: Place) -> None:
    """It is declined before it is sent, and the connection goes on; one that is just sent ends the connection."""
    size = Limits().mail_bytes
    async with opened(place) as client:
        declined = await client.ask(b"APPEND INBOX {%d}" % size)
        assert (declined.status, declined.text) == ("BAD", "Literal too long")
        assert (await client.ask(b"NOOP")).status == "OK"
        ended = await client.ask(b"APPEND INBOX {%d+}" % size)
        assert ended.untagged == [b"BYE Literal too long"]


async def test_too_many_errors_end_the_connection(place: Place) -> None:
    """Twenty in a row, and it says goodbye; a command that is right begins the count anew."""
    async with bare_imap(place) as client:
        for _ in range(19):
            await client.ask(b"NONSENSE")
        assert (await client.ask(b"NOOP")).status == "OK"
        for _ in range(19):
            assert (await client.ask(b"NONSENSE")).status == "BAD"
        client.send(b"x NONSENSE\r\n")
        assert [await client.line(), await client.line(), await client.line()] == [
            b"x BAD NONSENSE is unknown here, or not now",
            b"* BYE Too many invalid commands",
            b"",
        ]


async def test_who_does_not_read_holds_up_nobody(host: MailHost, place: Place) -> None:
    """A client that asks for a large mail again and again and reads nothing is waited for; others are served."""
    host.mailbox.deliver("INBOX", b"Subject: large\r\n\r\n" + b"x" * 2**20, 0)
    async with opened(place) as deaf:
        for _ in range(50):
            deaf.send(b"A FETCH 1 BODY.PEEK[]\r\n")
        for _ in range(3):
            assert await reads_a_mail(place)
        deaf.writer.transport.abort()


LINES = st.sampled_from(
    [
        *(b"a LOGIN {5+}\r\nprobe {3+}\r\nxyz\r\n", b"a NOOP\r\n", b"a SELECT INBOX\r\n", b"a IDLE\r\n", b"DONE\r\n"),
        *(
            b"a FETCH 1:* (FLAGS BODY[])\r\n",
            b"a UID SEARCH CHARSET UTF-8 TEXT {2}\r\n",
            b"ab\r\n",
            b"a STORE 1 FLAGS ()\r\n",
        ),
        *(
            b"a APPEND INBOX {9}\r\n",
            b"Subject: x",
            b"a UID MOVE 1:* Junk\r\n",
            b"a EXPUNGE\r\n",
            b'a LIST "" "*a*b%%"\r\n',
        ),
        *(
            b"a AUTHENTICATE PLAIN\r\n",
            b"AHByb2JlAHg=\r\n",
            b"\r\n",
            b"\n",
            b"\0",
            b'"',
            b"{99999}\r\n",
            b"a LOGOUT\r\n",
        ),
    ]
)


@settings(max_examples=40, deadline=None)
@given(chunks=st.lists(st.one_of(LINES, st.binary(max_size=40)), max_size=20), knows=st.booleans())
async def test_hostile_bytes_break_nothing(chunks: list[bytes], *, knows: bool) -> None:
    """Whatever is sent, before or after login: no error of ours, the connection ends, and the next client is served."""
    broken: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: broken.append(context))
    async with MailHost(SystemClock(), login=MailLogin("probe", secrets.token_hex(8)), imap_tls=False) as host:
        place = Place(host.imap.port, "probe", host.imap.login.password)
        host.mailbox.deliver("INBOX", RAW, 0)
        await send_all(place, chunks, knows=knows)
        async with bare_imap(place) as client:
            assert (await client.ask(f"LOGIN {place.user} {place.password}".encode())).status == "OK"
            assert (await client.ask(b"SELECT INBOX")).status == "OK"
    assert broken == []


async def send_all(place: Place, chunks: list[bytes], *, knows: bool) -> None:
    """Send, end, and read until the other side ends, too."""
    async with bare_imap(place) as client:
        if knows:
            await client.ask(f"LOGIN {place.user} {place.password}".encode())
            await client.ask(b"SELECT INBOX")
        client.send(b"".join(chunks))
        await read_to_the_end(client)


async def read_to_the_end(client: BareImap) -> None:
    try:
        client.writer.write_eof()
        async with asyncio.timeout(10):
            while await client.reader.read(2**16):
                pass
    except ConnectionError:
        return
