"""The client of WAHA over real HTTP: each row of its table of errors, nothing sent twice, nothing told that we sent."""

import asyncio
import base64
import hashlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import httpx
import pytest

from daemon.clients import waha as waha_client
from daemon.clients.http import unheard
from daemon.clients.transports import AiohttpTransport, OneShotTransport
from daemon.clients.waha import HttpWhatsApp
from daemon.clients.waha_answers import message_id_of
from daemon.clients.waha_http import Patience
from daemon.probe import Probe, unobserved
from domain.campaign_ports import Send, WhatsApp
from domain.errors import ConfigError, Unavailable
from domain.sending import Media, PauseReason, SendAnswer, SendVerdict, SessionState
from domain.wire import JsonObject
from localstack.clock import ManualClock
from localstack.faults import Fault, FaultKind, When
from localstack.waha import IdShape, Trouble, TroubleKind, WahaSimulator

START_MS = 1764060013_000
KEY = "key-of-the-test"
SESSION = "care"
CHAT = "99900000017@c.us"
TEXT = "Hello Ann, your appointment is on Friday at Lindenstrasse 12. Call +99 900 000 017!"
HASTE = Patience(connect_s=0.5, text_s=0.4, media_s=0.4, check_s=0.3)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 3
PICTURE = Media("image/png", "welcome.png", base64.b64encode(PNG).decode())

HANG, RESET, CLOSE, RESET_AT_ONCE = b"hang", b"reset", b"close", b"reset at once"
SENT, FAILED, NOT_SENT, UNKNOWN = SendVerdict.SENT, SendVerdict.FAILED, SendVerdict.NOT_SENT, SendVerdict.UNKNOWN


def always() -> bool:
    return True


def to_chat(message_id: str | None = None, call_ref: str | None = None) -> Send:
    return Send(SESSION, CHAT, message_id, call_ref, always)


def answer(status: int, body: object = b"", **headers: object) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"Content-Length": len(content), **{name.replace("_", "-"): value for name, value in headers.items()}}
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status} As Told\r\n{head}\r\n".encode() + content


def engine_error(message: str, name: str = "Error") -> JsonObject:
    exception = {"name": name, "message": message, "stack": f"{name}: {message}\n    at {TEXT}"}
    request = {"path": "/api/sendText", "body": {"session": SESSION, "chatId": CHAT, "text": TEXT + " error 463"}}
    return {"statusCode": 500, "timestamp": "2025-11-25T08:40:13.000Z", "exception": exception, "request": request}


def not_working(status: str) -> JsonObject:
    error = "Session status is not as expected. Try again later or restart the session"
    return {"error": error, "session": SESSION, "status": status, "expected": ["WORKING"]}


@dataclass(slots=True)
class Seen:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> JsonObject:
        read: JsonObject = json.loads(self.body)
        return read


@dataclass(slots=True)
class Wire:
    """A server that says what it is told, byte by byte, and counts. The last of `says` is said again and again."""

    says: list[bytes]
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    url: str = ""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._answer(reader, writer):
                pass
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """True if both sides want to go on with this connection."""
        said = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        if said != RESET_AT_ONCE:
            self.seen.append(await read_request(reader))
        await self._say(said, writer)
        return b"Connection: keep-alive" in said and self.seen[-1].headers.get("connection") != "close"

    async def _say(self, said: bytes, writer: asyncio.StreamWriter) -> None:
        if said in (RESET, RESET_AT_ONCE):
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return
        if said != CLOSE:
            writer.write(said.removesuffix(HANG))
            await writer.drain()
        if said.endswith(HANG):
            await self.ended.wait()


async def read_request(reader: asyncio.StreamReader) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    headers = dict(_header(line) for line in lines)
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    method, target, _ = first.split(" ")
    return Seen(method, target, headers, body)


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(": ")
    return name.lower(), value


@asynccontextmanager
async def saying(*says: bytes) -> AsyncIterator[Wire]:
    wire = Wire(list(says))
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    wire.url = "http://{}:{}".format(*server.sockets[0].getsockname()[:2])
    try:
        yield wire
    finally:
        wire.ended.set()
        for writer in wire.writers:
            writer.close()
        server.close()
        await server.wait_closed()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.clients.waha_http._FIRST_PAUSE_S", 0.01)


@pytest.fixture
async def http() -> AsyncIterator[AiohttpTransport]:
    async with AiohttpTransport(100, keep_s=4) as transport:
        yield transport


@pytest.fixture
async def waha() -> AsyncIterator[WahaSimulator]:
    async with WahaSimulator(ManualClock(START_MS), api_key=KEY) as simulator:
        simulator.add_session(SESSION)
        yield simulator


_ANY_PATIENCE = Patience()


def whatsapp(
    http: httpx.AsyncBaseTransport,
    url: str,
    key: str | None = None,
    *,
    patience: Patience = _ANY_PATIENCE,
    probe: Probe = unobserved,
    heard: Callable[[str], None] = unheard,
) -> HttpWhatsApp:
    """As the daemon has it: a send has a connection of its own."""
    return HttpWhatsApp(http, url, key, sends=OneShotTransport(), patience=patience, probe=probe, heard=heard)


@pytest.fixture
def client(http: AiohttpTransport, waha: WahaSimulator) -> HttpWhatsApp:
    return whatsapp(http, waha.url, KEY)


async def told(http: AiohttpTransport, says: bytes, media: Media | None = None) -> tuple[SendAnswer, Wire]:
    async with saying(says) as wire:
        hasty = whatsapp(http, wire.url, KEY, patience=HASTE)
        if media is None:
            return await hasty.send_text(to_chat("3EB0AA", "call-1"), TEXT), wire
        return await hasty.send_media(to_chat(None, "call-1"), TEXT, media), wire


async def checked(http: AiohttpTransport, *says: bytes) -> tuple[SessionState, Wire]:
    async with saying(*says) as wire:
        return await whatsapp(http, wire.url, KEY, patience=HASTE).session(SESSION, None), wire


NO_SESSION = f"We didn't find a session with name '{SESSION}'.\nPlease start it first"
TABLE = [
    (RESET, UNKNOWN, "connection-lost", None),
    (RESET_AT_ONCE, UNKNOWN, "connection-lost", None),
    (CLOSE, UNKNOWN, "connection-lost", None),
    (HANG, UNKNOWN, "read-timeout", None),
    (b"HTTP/1.1 20" + HANG, UNKNOWN, "read-timeout", None),
    (b"SMTP ready\r\n", UNKNOWN, "connection-lost", None),
    (answer(301, Location="/elsewhere"), UNKNOWN, "http-301", PauseReason.WAHA_UNREACHABLE),
    (answer(307, Location="/api/sendText"), UNKNOWN, "http-307", PauseReason.WAHA_UNREACHABLE),
    (answer(408), UNKNOWN, "http-408", PauseReason.WAHA_UNREACHABLE),
    (answer(502, b"<html>Bad Gateway"), UNKNOWN, "http-502", PauseReason.WAHA_UNREACHABLE),
    (answer(503), UNKNOWN, "http-503", PauseReason.WAHA_UNREACHABLE),
    (answer(504), UNKNOWN, "http-504", PauseReason.WAHA_UNREACHABLE),
    (answer(500, b"<html>oops"), UNKNOWN, "http-500", None),
    (answer(401, {"message": "Unauthorized", "statusCode": 401}), NOT_SENT, "http-401", PauseReason.AUTH),
    (answer(403, {"message": "Forbidden"}), NOT_SENT, "http-403", PauseReason.AUTH),
    (answer(404, {"message": NO_SESSION}), NOT_SENT, "session-not-found", PauseReason.SESSION_NOT_FOUND),
    (answer(404, {"message": "Session not found"}), NOT_SENT, "session-not-found", PauseReason.SESSION_NOT_FOUND),
    (answer(404, {"error": {"code": 404, "key": "FILE_NOT_FOUND"}}), NOT_SENT, "file-not-found", PauseReason.MEDIA),
    (answer(404, {"message": "Cannot POST /api/sendText"}), NOT_SENT, "http-404", PauseReason.CONFIG),
    (answer(404, {"message": "No such contact"}), FAILED, "http-404", None),
    (answer(405), NOT_SENT, "http-405", PauseReason.CONFIG),
    (answer(400, {"message": ["chatId must be a string"]}), FAILED, "http-400", None),
    (answer(413), NOT_SENT, "http-413", PauseReason.CONFIG),
    (answer(418), FAILED, "http-418", None),
    (answer(422, not_working("FAILED")), NOT_SENT, "session-not-working", PauseReason.SESSION_NOT_WORKING),
    (
        answer(422, {"message": "The method is not implemented by the engine."}),
        NOT_SENT,
        "http-422",
        PauseReason.CONFIG,
    ),
    (answer(422, {"message": "Media is available only in Plus version"}), NOT_SENT, "http-422", PauseReason.CONFIG),
    (answer(422, {"message": "WAHA Core supports only 'default' session"}), NOT_SENT, "http-422", PauseReason.CONFIG),
    (answer(422, {"message": "Message can only be sent to a direct chat"}), FAILED, "http-422", None),
    (answer(501, {"message": "The method is not implemented by 'X' engine"}), NOT_SENT, "http-501", PauseReason.CONFIG),
    (answer(429, Retry_After=40), NOT_SENT, "rate-limited", PauseReason.RATE_LIMITED),
    (answer(500, engine_error("rate-overlimit")), NOT_SENT, "rate-limited", PauseReason.RATE_LIMITED),
    (answer(500, engine_error("server returned 429")), NOT_SENT, "rate-limited", PauseReason.RATE_LIMITED),
    (
        answer(500, engine_error("2 UNKNOWN: server returned error 463")),
        FAILED,
        "reachout-lock",
        PauseReason.REACHOUT_LOCK,
    ),
    (answer(500, engine_error("status 463 from upstream")), FAILED, "reachout-lock", PauseReason.REACHOUT_LOCK),
    (answer(500, engine_error("Evaluation failed: t")), FAILED, "http-500", None),
    (answer(500, {"statusCode": 500, "message": "Internal server error"}), FAILED, "http-500", None),
]


@pytest.mark.parametrize(
    ("says", "verdict", "code", "pause"), TABLE, ids=[f"{row[2]}-{at}" for at, row in enumerate(TABLE)]
)
async def test_each_answer_has_its_verdict_and_is_asked_for_once(
    http: AiohttpTransport, says: bytes, verdict: SendVerdict, code: str, pause: PauseReason | None
) -> None:
    """The table of errors row by row: verdict, code, pause; the server saw one connection, and at most one request."""
    heard, wire = await told(http, says)

    assert (heard.verdict, heard.code, heard.pause, heard.waha_id) == (verdict, code, pause, None)
    assert (wire.connections, len(wire.seen)) == (1, says != RESET_AT_ONCE)
    assert heard.detail
    assert not _leaks(heard.detail)


def _leaks(detail: str) -> list[str]:
    """Words of our own that stand in a detail. 'Call' and such are WAHA's words as well."""
    ours = ("Hello", "Ann", "appointment", "Friday", "Lindenstrasse", "99900000017", "000 017", KEY, "welcome.png")
    return [word for word in ours if word in detail]


@pytest.mark.parametrize(("status", "after_s"), [("STARTING", 5.0), ("SCAN_QR_CODE", None)])
async def test_a_session_that_starts_gets_a_short_grace(
    http: AiohttpTransport, status: str, after_s: float | None
) -> None:
    """Of the statuses that are not WORKING only STARTING passes within seconds; the detail names it."""
    heard, _ = await told(http, answer(422, not_working(status)))

    assert (heard.after_s, heard.detail) == (after_s, f"the session is {status}")


@pytest.mark.parametrize(("value", "after_s"), [("40", 40.0), ("99999999999", 3600.0), ("Tue, 25 Nov 2025", None)])
async def test_retry_after_is_passed_on_within_reason(
    http: AiohttpTransport, value: str, after_s: float | None
) -> None:
    """Seconds are passed on up to an hour; a date is left to our own backoff."""
    heard, _ = await told(http, answer(429, Retry_After=value))

    assert heard.after_s == after_s


async def test_a_file_that_is_too_large_pauses_for_its_media(http: AiohttpTransport) -> None:
    """413 on a file would meet every other contact too."""
    heard, _ = await told(http, answer(413), PICTURE)

    assert (heard.verdict, heard.pause) == (NOT_SENT, PauseReason.MEDIA)


ODD_BODIES = [
    b"",
    b"null",
    b"{",
    b"[]",
    b'"3EB0"',
    b"<html>login",
    b"\xff\xfe\x00",
    b'{"id": 7}',
    b'{"id": {}}',
    b'{"id": null, "key": {"id": []}}',
    b'{"id": "' + b"A" * 300 + b'"}',
    b"[" * 100_000,
    b'{"id": ' + b"9" * 5_000 + b"}",
]


@pytest.mark.parametrize("status", [200, 201, 202, 204])
@pytest.mark.parametrize("body", ODD_BODIES, ids=range(len(ODD_BODIES)))
async def test_any_success_is_sent_whatever_its_body(http: AiohttpTransport, status: int, body: bytes) -> None:
    """A body that can't be understood costs the id, never the fact that the message went out."""
    heard, _ = await told(http, answer(status, body if status != 204 else b""))

    assert heard == SendAnswer(SENT)


@pytest.mark.parametrize(
    "says",
    [
        b"HTTP/1.1 201 Created\r\nContent-Length: 500\r\n\r\n{" + HANG,
        b"HTTP/1.1 201 Created\r\nContent-Length: 500\r\n\r\n{",
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        b"HTTP/1.1 201 Created\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
        answer(201, b" " * 9_000_000 + b'{"id": "3EB0"}'),
    ],
    ids=["hangs", "cut", "garbled", "not gzip", "huge"],
)
async def test_a_success_whose_body_never_ends_well_is_sent(
    http: AiohttpTransport, monkeypatch: pytest.MonkeyPatch, says: bytes
) -> None:
    """The status line decides; what follows is read for a bounded time and up to a bounded size."""
    monkeypatch.setattr("daemon.clients.waha_http._BODY_S", 0.2)
    heard, wire = await told(http, says)

    assert (heard, wire.connections) == (SendAnswer(SENT), 1)


async def test_an_endless_body_is_left(http: AiohttpTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that never stops talking is left as soon as it has said more than any answer needs."""
    monkeypatch.setattr("daemon.clients.waha_http._BODY_BYTES", 100_000)
    written = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await read_request(reader)
        writer.write(b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n")
        with suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b"10000\r\n" + b" " * 65_536 + b"\r\n")
                written += 65_536
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        url = "http://{}:{}".format(*server.sockets[0].getsockname()[:2])
        heard = await whatsapp(http, url, KEY).send_text(to_chat(), TEXT)
    assert (heard.verdict, heard.code) == (UNKNOWN, "http-500")
    assert written < 50_000_000


async def test_an_error_that_repeats_a_whole_file_is_understood(http: AiohttpTransport) -> None:
    """An echo of megabytes doesn't hide why: the bound grows with what we sent."""
    film = Media("video/mp4", "film.mp4", base64.b64encode(b"\x00\x01\x02" * 2_000_000).decode())
    echo = engine_error("server returned error 463")
    echo["request"]["body"]["file"] = {"data": film.data_base64}
    async with saying(answer(500, echo)) as wire:
        heard = await whatsapp(http, wire.url, KEY).send_media(to_chat(), TEXT, film)

    assert heard.pause is PauseReason.REACHOUT_LOCK


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"id": f"true_{CHAT}_3EB0AA"}, f"true_{CHAT}_3EB0AA"),
        ({"id": {"fromMe": True, "remote": CHAT, "id": "A", "_serialized": f"true_{CHAT}_A"}}, f"true_{CHAT}_A"),
        ({"id": {"fromMe": True, "remote": CHAT, "id": "A"}}, f"true_{CHAT}_A"),
        ({"id": {"fromMe": True, "remote": {"_serialized": CHAT}, "id": "A"}}, f"true_{CHAT}_A"),
        (
            {"key": {"remoteJid": CHAT.replace("c.us", "s.whatsapp.net"), "fromMe": True, "id": "A"}},
            f"true_{CHAT}_A",
        ),
        ({"key": {"id": "A"}}, "A"),
        ({"id": "", "key": {"id": "A"}}, "A"),
        ({"id": {"remote": CHAT}}, None),
    ],
)
def test_the_id_is_found_in_every_shape(body: JsonObject, found: str | None) -> None:
    """Text, object with or without its serialized form, and the raw key of the library below."""
    assert message_id_of(body) == found


@pytest.mark.parametrize("shape", list(IdShape))
async def test_every_engine_s_answer_gives_the_id(client: WhatsApp, waha: WahaSimulator, shape: IdShape) -> None:
    """Whatever form the answer has, the id is the one under which WAHA knows the message."""
    waha.behaviour.id_shape = shape
    heard = await client.send_text(to_chat(), TEXT)

    assert heard == SendAnswer(SENT, waha_id=waha.accepted[0].full_id)


@pytest.mark.parametrize(
    "text", ["Zażółć gęślą 🦆 \u202eabc", "x" * 5_000, "a\r\nb\x00", '"quoted" \\ {Name}', "half \ud800", ""]
)
async def test_any_text_arrives_as_it_is(http: AiohttpTransport, text: str) -> None:
    """Emoji, long texts, line ends and even half a surrogate pair: WAHA reads what we had."""
    async with saying(answer(201, {})) as wire:
        heard = await whatsapp(http, wire.url, KEY).send_text(to_chat("3EB0AA", "call-1"), text)

    assert heard.verdict is SENT
    assert wire.seen[0].json == {"session": SESSION, "chatId": CHAT, "text": text, "id": "3EB0AA"}


async def test_a_send_carries_key_and_call_ref_and_no_id_unless_there_is_one(http: AiohttpTransport) -> None:
    """The headers are those that WAHA and our own services want; `id` is left out, not null."""
    async with saying(answer(201, {})) as wire:
        await whatsapp(http, wire.url + "/", KEY).send_text(to_chat(None, "call-1"), TEXT)
        await whatsapp(http, wire.url).send_text(to_chat(), TEXT)

    first, second = wire.seen
    assert (first.method, first.target) == ("POST", "/api/sendText")
    assert first.headers["x-api-key"] == KEY
    assert first.headers["call-ref"] == "call-1"
    assert first.headers["content-type"] == "application/json"
    assert first.json == {"session": SESSION, "chatId": CHAT, "text": TEXT}
    assert {"x-api-key", "call-ref"}.isdisjoint(second.headers)


async def test_every_send_has_a_connection_of_its_own_and_questions_share_one(http: AiohttpTransport) -> None:
    """WAHA closes idle connections after 5 s: one that is used again in that moment would leave a message in doubt."""
    kept = answer(200, {"name": SESSION, "status": "WORKING"}, Connection="keep-alive")
    async with saying(kept) as wire:
        patient = whatsapp(http, wire.url)
        for _ in range(3):
            assert (await patient.session(SESSION, None)).pause is None
            assert (await patient.send_text(to_chat(), TEXT)).verdict is SENT

    assert wire.connections == 4


async def test_without_a_client_for_sends_alone_every_request_has_a_connection_of_its_own() -> None:
    """An idle connection of a question would be used for a send."""
    kept = answer(200, {"name": SESSION, "status": "WORKING"}, Connection="keep-alive")
    async with saying(kept) as wire:
        patient = HttpWhatsApp(OneShotTransport(), wire.url, KEY)
        for _ in range(3):
            assert (await patient.session(SESSION, None)).pause is None
            assert (await patient.send_text(to_chat(), TEXT)).verdict is SENT

    assert wire.connections == 6


async def test_a_send_that_comes_too_late_writes_no_byte(http: AiohttpTransport) -> None:
    """The connection stands when it is asked whether the send may begin; it is closed without a request."""
    asked = []

    def may_begin() -> bool:
        asked.append(True)
        return False

    async with saying(answer(201, {})) as wire:
        heard = await whatsapp(http, wire.url, KEY).send_text(Send(SESSION, CHAT, "3EB0AA", None, may_begin), TEXT)

    assert (heard.verdict, heard.code, heard.pause) == (NOT_SENT, "too-late", PauseReason.WAHA_UNREACHABLE)
    assert asked == [True]
    assert wire.seen == []


async def test_a_user_s_first_session_is_found_by_its_metadata(client: HttpWhatsApp, waha: WahaSimulator) -> None:
    """In the order in which WAHA tells them, stopped ones too; nobody else's, and none where there is none."""
    waha.add_session("of-ben", owner="ben")
    waha.add_session("of-ann-1", "STOPPED", owner="ann")
    waha.add_session("of-ann-2", owner="ann")
    assert [await client.session_of(owner, None) for owner in ("ann", "ben", "cleo")] == ["of-ann-1", "of-ben", None]


@pytest.mark.parametrize("says", [answer(401), answer(500), answer(200, {"no": "list"}), answer(200), RESET])
async def test_without_a_list_of_sessions_nobody_is_said_to_have_none(http: AiohttpTransport, says: bytes) -> None:
    """A campaign must not fail because WAHA can't be asked: it waits."""
    async with saying(says) as wire:
        hasty = whatsapp(http, wire.url, KEY, patience=HASTE)
        with pytest.raises(Unavailable, match="does not tell its sessions"):
            await hasty.session_of("ann", None)


async def test_nobody_waits_for_the_id_of_a_session_that_does_not_work(
    client: HttpWhatsApp, waha: WahaSimulator
) -> None:
    """WAHA holds that question while it hopes for the session; the other one is answered, and that is enough."""
    waha.faults.hang("message-id.new")
    waha.set_status(SESSION, "STOPPED")
    async with asyncio.timeout(5):
        ready = await client.ready(SESSION, None, with_id=True)
    assert (ready.state.pause, ready.message_id) == (PauseReason.SESSION_NOT_WORKING, None)


async def test_odd_sessions_belong_to_nobody(http: AiohttpTransport) -> None:
    """Without metadata, with a number as a user, without a name, or with one that leads elsewhere."""
    odd = [7, {}, {"name": "a", "config": None}, {"name": "b", "config": {"metadata": {"user.id": 7}}}]
    unnamed = [{"config": {"metadata": {"user.id": "ann"}}}, {"name": "..", "config": {"metadata": {"user.id": "ann"}}}]
    good = {"name": "good", "config": {"metadata": {"user.id": "ann"}}}
    async with saying(answer(200, [*odd, *unnamed, good])) as wire:
        assert await whatsapp(http, wire.url, KEY).session_of("ann", None) == "good"
    assert wire.seen[0].target == "/api/sessions?all=true"


async def test_session_and_id_are_asked_for_at_the_same_time(client: HttpWhatsApp, waha: WahaSimulator) -> None:
    """Both come back together; a file needs no id, and none is asked for."""
    ready = await client.ready(SESSION, "call-1", with_id=True)
    assert (ready.state.status, ready.message_id) == ("WORKING", waha.records.issued_ids[0])
    assert (await client.ready(SESSION, "call-1", with_id=False)).message_id is None
    assert len(waha.records.issued_ids) == 1


@pytest.mark.parametrize(
    ("mime_type", "path", "convert"),
    [
        ("image/jpeg", "/api/sendImage", None),
        ("image/png", "/api/sendImage", None),
        ("image/gif", "/api/sendImage", None),
        ("image/webp", "/api/sendImage", None),
        ("video/mp4", "/api/sendVideo", True),
        ("video/webm", "/api/sendVideo", True),
        ("application/pdf", "/api/sendFile", None),
        ("image/svg+xml", "/api/sendFile", None),
    ],
)
async def test_media_goes_where_its_kind_belongs(
    http: AiohttpTransport, mime_type: str, path: str, *, convert: bool | None
) -> None:
    """Pictures, films and the rest; the file is in `data`, byte for byte, with its caption beside it."""
    media = Media(mime_type, "welcome.bin", PICTURE.data_base64)
    heard, wire = await told(http, answer(201, {}), media)

    assert heard.verdict is SENT
    (seen,) = wire.seen
    assert seen.target == path
    assert seen.json.get("convert") == convert
    assert (seen.json["session"], seen.json["chatId"], seen.json["caption"]) == (SESSION, CHAT, TEXT)
    assert seen.json["file"] == {"mimetype": mime_type, "filename": "welcome.bin", "data": PICTURE.data_base64}


@pytest.mark.parametrize("mime_type", ["image/png", "video/mp4", "application/pdf"])
async def test_a_file_arrives_byte_for_byte(client: WhatsApp, waha: WahaSimulator, mime_type: str) -> None:
    """A WAHA that checks its bodies takes every kind of file, and has the same bytes as we."""
    media = Media(mime_type, "welcome.bin", PICTURE.data_base64)
    heard = await client.send_media(to_chat(None, "call-1"), TEXT, media)

    (message,) = waha.accepted
    assert (heard.verdict, heard.waha_id) == (SENT, message.full_id)
    assert message.media_sha256 == hashlib.sha256(PNG).hexdigest()
    assert (message.text, message.call_ref) == (TEXT, "call-1")


class Shy(OneShotTransport):
    """The real transport, behind a number of failures."""

    def __init__(self, failure: type[httpx.RequestError], times: int) -> None:
        super().__init__()
        self.asked = 0
        self._failure = failure
        self._times = times

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.asked <= self._times:
            raise self._failure(f"no way to {CHAT} with {TEXT}")
        return await super().handle_async_request(request)


@pytest.mark.parametrize("failure", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout])
async def test_what_never_left_us_is_tried_again_and_sent_once(
    waha: WahaSimulator, failure: type[httpx.RequestError]
) -> None:
    """Two connections that never came about harm nobody; the third carries the one message."""
    async with Shy(failure, 2) as http:
        heard = await HttpWhatsApp(http, waha.url, KEY).send_text(to_chat(), TEXT)

    assert heard.verdict is SENT
    assert len(waha.accepted) == 1


@pytest.mark.parametrize("failure", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError])
async def test_a_waha_that_is_never_reached_got_nothing(waha: WahaSimulator, failure: type[httpx.RequestError]) -> None:
    """After three tries it is certain that nothing was sent, and the number has to wait."""
    transport = Shy(failure, 99)
    async with transport as http:
        heard = await HttpWhatsApp(http, waha.url, KEY).send_text(to_chat(), TEXT)

    expected = (NOT_SENT, "unreachable", PauseReason.WAHA_UNREACHABLE, f"WAHA can't be reached: {failure.__name__}")
    assert (heard.verdict, heard.code, heard.pause, heard.detail) == expected
    assert (transport.asked, list(waha.requests)) == (3, [])


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ReadTimeout,
        httpx.WriteTimeout,
        httpx.ReadError,
        httpx.WriteError,
        httpx.CloseError,
        httpx.RemoteProtocolError,
        httpx.LocalProtocolError,
    ],
)
async def test_whatever_else_breaks_leaves_doubt_and_is_not_repeated(
    waha: WahaSimulator, failure: type[httpx.RequestError]
) -> None:
    """A byte may have been written: one try, UNKNOWN, and no word of ours in the reason."""
    transport = Shy(failure, 99)
    async with transport as http:
        heard = await HttpWhatsApp(http, waha.url, KEY).send_text(to_chat(), TEXT)

    assert (heard.verdict, heard.pause, transport.asked) == (UNKNOWN, None, 1)
    assert not _leaks(heard.detail)


async def test_nobody_listening_is_not_sent(http: AiohttpTransport) -> None:
    """A refused connection is the plainest case of certainly not sent."""
    async with saying(CLOSE) as wire:
        url = wire.url
    heard = await whatsapp(http, url, KEY).send_text(to_chat(), TEXT)

    assert (heard.verdict, heard.code) == (NOT_SENT, "unreachable")


@pytest.mark.parametrize("url", ["waha:3000", "ftp://waha", "//waha"])
async def test_an_address_that_is_none_is_a_matter_of_the_configuration(http: AiohttpTransport, url: str) -> None:
    """No contact is burnt for it: nothing was sent, and somebody has to look at the settings."""
    broken = whatsapp(http, url, KEY)

    heard = await broken.send_text(to_chat(), TEXT)
    assert (heard.verdict, heard.pause) == (NOT_SENT, PauseReason.CONFIG)
    assert (await broken.session(SESSION, None)).pause is PauseReason.CONFIG


@pytest.mark.parametrize("key", ["clé", "two\nlines", "\x00"])
async def test_a_key_that_no_header_carries_is_refused_at_the_start(http: AiohttpTransport, key: str) -> None:
    """Later it would break every send in a moment in which nobody can tell whether it went out."""
    with pytest.raises(ConfigError, match="API key of WAHA") as raised:
        whatsapp(http, "http://waha", key)
    assert key not in str(raised.value)


@pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.HANG, FaultKind.STATUS])
@pytest.mark.parametrize(("when", "accepted"), [(When.BEFORE, 0), (When.AFTER, 1)])
async def test_before_and_after_acceptance_look_the_same_and_are_not_repeated(
    http: AiohttpTransport, waha: WahaSimulator, kind: FaultKind, when: When, accepted: int
) -> None:
    """From outside nobody can tell; so both are UNKNOWN, and WAHA got one request and one message at most."""
    waha.faults.add(Fault(kind, "sendText", when, status=504))
    hasty = whatsapp(http, waha.url, KEY, patience=HASTE)
    heard = await hasty.send_text(to_chat("3EB0AA", None), TEXT)
    await waha.until(lambda: len(waha.requests) + waha.faults.hanging == 1)

    assert heard.verdict is UNKNOWN
    assert len(waha.accepted) == accepted
    assert len(waha.faults.struck) == 1


ECHOES = [
    TEXT,
    f"could not send to {CHAT}: {TEXT}",
    f'Evaluation failed: {{"text": {json.dumps(TEXT)}}}',
    "cut: " + TEXT[3:31],
    "cut: ent is on Fri",
    TEXT.upper(),
    "Lindenstrasse12Lindenstrasse",
    "number 99900000017 or 0099900000017",
    "file iVBORw0KGgoAAQIDBAUGBwgJCgsMDQ4PEBES is broken",
    base64.b64encode(TEXT.encode()).decode(),
    TEXT.replace(" ", "%20"),
    "welcome.png is no picture",
]


@pytest.mark.parametrize("echo", ECHOES, ids=range(len(ECHOES)))
@pytest.mark.parametrize("place", ["exception", "message", "list"])
async def test_no_word_of_ours_comes_back(http: AiohttpTransport, echo: str, place: str) -> None:
    """However WAHA quotes text, number or file, whole, cut, encoded: the detail holds none of it."""
    bodies: dict[str, JsonObject] = {
        "exception": engine_error(f"Engine says: {echo}"),
        "message": {"statusCode": 500, "message": f"Engine says: {echo}"},
        "list": {"statusCode": 500, "message": ["Engine says:", echo]},
    }
    heard, _ = await told(http, answer(500, bodies[place]), PICTURE)

    assert heard.detail.startswith("the engine failed: ")
    assert "Engine says" in heard.detail
    lowered = heard.detail.lower()
    words = ("ann", "appoint", "ent is on", "fri", "linden", "999", "000", "017", "ivbor", "sgvsbg8", "welcome")
    assert [word for word in words if word in lowered] == []
    assert len(heard.detail) < 260


async def test_the_engine_s_own_words_are_kept(http: AiohttpTransport) -> None:
    """What is not ours helps whoever looks for the cause."""
    heard, _ = await told(http, answer(500, engine_error("Protocol error: Target closed 1234567", "ProtocolError")))

    assert heard.detail == "the engine failed: ProtocolError Protocol error: Target closed …"


@pytest.mark.parametrize("text", ["Room 463 and 429", "server returned error 463", "rate-overlimit"])
async def test_our_own_text_in_the_echo_is_no_reason(http: AiohttpTransport, text: str) -> None:
    """WAHA repeats the request beside the error: a text about 463 locks no number."""
    body = {"exception": {"name": "Error", "message": "Evaluation failed"}, "request": {"body": {"text": text}}}
    async with saying(answer(500, body)) as wire:
        heard = await whatsapp(http, wire.url, KEY).send_text(to_chat(), text)

    assert (heard.verdict, heard.code, heard.pause) == (FAILED, "http-500", None)


async def test_a_text_with_the_number_463_hides_no_lock(http: AiohttpTransport) -> None:
    """The lock is known by WhatsApp's phrase, also where our own text has its number."""
    body = {"exception": {"name": "Error", "message": "2 UNKNOWN: server returned error 463"}}
    async with saying(answer(500, body)) as wire:
        heard = await whatsapp(http, wire.url, KEY).send_text(to_chat(), "Room 463")

    assert heard.pause is PauseReason.REACHOUT_LOCK


@pytest.mark.parametrize(
    ("says", "status", "pause"),
    [
        (answer(200, {"status": "WORKING"}), "WORKING", None),
        (answer(200, {"status": "WORKING", "me": "odd"}), "WORKING", None),
        (answer(200, {"status": "STARTING"}), "STARTING", PauseReason.SESSION_NOT_WORKING),
        (answer(200, {"status": "PASSKEY_REQUIRED"}), "PASSKEY_REQUIRED", PauseReason.SESSION_NOT_WORKING),
        (answer(200, {"status": "WHAT_IS_THIS"}), "WHAT_IS_THIS", PauseReason.SESSION_NOT_WORKING),
        (answer(200, {"status": "working"}), "UNRECOGNISED", PauseReason.SESSION_NOT_WORKING),
        (answer(200, {"status": 7}), "UNRECOGNISED", PauseReason.SESSION_NOT_WORKING),
        (answer(200, {}), "UNRECOGNISED", PauseReason.SESSION_NOT_WORKING),
        (answer(200, []), "", PauseReason.WAHA_UNREACHABLE),
        (answer(200), "", PauseReason.WAHA_UNREACHABLE),
        (answer(401), "", PauseReason.AUTH),
        (answer(403), "", PauseReason.AUTH),
        (answer(404, {"message": "Session not found"}), "", PauseReason.SESSION_NOT_FOUND),
        (answer(404), "", PauseReason.SESSION_NOT_FOUND),
        (answer(422, not_working("STOPPED")), "", PauseReason.SESSION_NOT_WORKING),
        (answer(400), "", PauseReason.CONFIG),
        (answer(501), "", PauseReason.CONFIG),
        (answer(302, Location="/login"), "", PauseReason.WAHA_UNREACHABLE),
    ],
)
async def test_only_a_clear_working_lets_sending_go_on(
    http: AiohttpTransport, says: bytes, status: str, pause: PauseReason | None
) -> None:
    """Statuses that we know and those that we don't, and each refusal; all of them are settled by one request."""
    state, wire = await checked(http, says)

    assert (state.status, state.pause, wire.connections) == (status, pause, 1)


@pytest.mark.parametrize(
    "trouble", [RESET, CLOSE, HANG, answer(500), answer(502), answer(503), answer(429), answer(200, b"<html>")]
)
async def test_a_trouble_that_passes_is_not_the_session_s(http: AiohttpTransport, trouble: bytes) -> None:
    """One bad moment of a status check pauses no campaign; the next try decides."""
    state, wire = await checked(http, trouble, answer(200, {"status": "WORKING"}))

    assert (state, wire.connections) == (SessionState("WORKING"), 2)


@pytest.mark.parametrize("trouble", [RESET, CLOSE, HANG, answer(500), answer(503), answer(200, b"<html>")])
async def test_a_trouble_that_stays_counts_after_three_tries(http: AiohttpTransport, trouble: bytes) -> None:
    """The check is bounded: three tries, then WAHA is unreachable."""
    state, wire = await checked(http, trouble)

    assert (state.pause, wire.connections) == (PauseReason.WAHA_UNREACHABLE, 3)


@pytest.mark.parametrize(
    ("me", "pause", "capping", "locked_until_ms"),
    [
        ({"messageCapping": {"cappingStatus": "FIRST_WARNING", "usedQuota": 7}}, None, "FIRST_WARNING", None),
        ({"messageCapping": {"cappingStatus": "CAPPED"}}, PauseReason.CAPPED, "CAPPED", None),
        ({"messageCapping": {"cappingStatus": "NEW_WORD"}}, None, None, None),
        ({"messageCapping": {"cappingStatus": ["CAPPED"]}}, None, None, None),
        ({"messageCapping": "odd", "reachoutTimelock": []}, None, None, None),
        (
            {"reachoutTimelock": {"isActive": True, "timeEnforcementEnds": START_MS // 1000}},
            PauseReason.REACHOUT_LOCK,
            None,
            START_MS,
        ),
        (
            {"reachoutTimelock": {"isActive": True, "timeEnforcementEnds": START_MS}},
            PauseReason.REACHOUT_LOCK,
            None,
            START_MS,
        ),
        ({"reachoutTimelock": {"isActive": True, "timeEnforcementEnds": "x"}}, PauseReason.REACHOUT_LOCK, None, None),
        ({"reachoutTimelock": {"isActive": False, "timeEnforcementEnds": None}}, None, None, None),
        ({"reachoutTimelock": {"timeEnforcementEnds": 1e300}}, None, None, None),
        ({"reachoutTimelock": None, "messageCapping": None}, None, None, None),
    ],
)
async def test_what_new_versions_tell_of_limits_is_used_and_never_breaks_the_check(
    http: AiohttpTransport,
    me: JsonObject,
    pause: PauseReason | None,
    capping: str | None,
    locked_until_ms: int | None,
) -> None:
    """Capping and lock are optional in every part; a number that is capped or locked must rest."""
    state, _ = await checked(http, answer(200, {"status": "WORKING", "me": me}))

    assert (state.status, state.pause) == ("WORKING", pause)
    assert (state.capping, state.locked_until_ms) == (capping, locked_until_ms)


async def test_a_session_is_seen_as_it_changes(client: WhatsApp, waha: WahaSimulator) -> None:
    """Working, starting, stopped, gone, and a wrong key: each with its own word."""
    states = [await client.session(SESSION, "call-1")]
    for status in ("STARTING", "SCAN_QR_CODE"):
        waha.set_status(SESSION, status)
        states.append(await client.session(SESSION, "call-1"))
    waha.remove_session(SESSION)
    states.append(await client.session(SESSION, "call-1"))
    waha.set_api_key("another-key")
    states.append(await client.session(SESSION, "call-1"))

    not_working = PauseReason.SESSION_NOT_WORKING
    assert [state.status for state in states] == ["WORKING", "STARTING", "SCAN_QR_CODE", "", ""]
    assert [state.pause for state in states] == [
        None,
        not_working,
        not_working,
        PauseReason.SESSION_NOT_FOUND,
        PauseReason.AUTH,
    ]
    assert [state.after_s for state in states] == [None, 5.0, None, None, None]
    assert {request.call_ref for request in waha.requests} == {"call-1"}


@pytest.mark.parametrize("name", ["a/b", "a?b=c#d", "über uns", "50%", "../x", "a b+c", "half\ud800"])
async def test_any_name_stays_within_its_part_of_the_path(http: AiohttpTransport, name: str) -> None:
    """A name with a slash or a question mark asks for that session, and for nothing else."""
    async with saying(answer(200, {"status": "WORKING"})) as wire:
        await whatsapp(http, wire.url, KEY).session(name, None)

    (seen,) = wire.seen
    _, api, sessions, quoted = seen.target.split("/")
    assert (api, sessions) == ("api", "sessions")
    assert httpx.URL(f"http://x/{quoted}").path == "/" + name.replace("\ud800", "?")
    assert {"?", "#", " "}.isdisjoint(quoted)


@pytest.mark.parametrize("name", ["", ".", ".."])
async def test_a_name_that_leads_elsewhere_is_no_session(http: AiohttpTransport, name: str) -> None:
    """Such a path would be another one: WAHA isn't asked at all."""
    async with saying(answer(200, {"status": "WORKING"})) as wire:
        patient = whatsapp(http, wire.url, KEY)
        assert (await patient.session(name, None)).pause is PauseReason.SESSION_NOT_FOUND
        assert await patient.new_message_id(name, None) is None
        assert await patient.was_sent(name, CHAT, "3EB0AA", None) is None

    assert wire.connections == 0


async def test_a_reserved_id_is_the_one_that_is_sent_and_found(client: WhatsApp, waha: WahaSimulator) -> None:
    """Reserve, send, look up: one id all the way."""
    message_id = (await client.ready(SESSION, "call-1", with_id=True)).message_id
    assert message_id is not None
    heard = await client.send_text(to_chat(message_id, "call-1"), TEXT)

    assert waha.accepted[0].id == message_id
    assert heard.waha_id == f"true_{CHAT}_{message_id}"
    assert await client.was_sent(SESSION, CHAT, message_id, "call-1") is True
    assert await client.was_sent(SESSION, CHAT, heard.waha_id, "call-1") is True


NO_ENGINE = {"message": "The method is not implemented by 'WEBJS' engine."}


@pytest.mark.parametrize(
    "says",
    [
        answer(404, {"message": "Cannot GET /api/care/new-message-id"}),
        answer(501, NO_ENGINE),
        answer(422, NO_ENGINE),
        answer(400),
        answer(405),
        answer(200),
        answer(200, {"id": 7}),
        answer(200, {"id": ""}),
        answer(200, {"id": "A" * 129}),
        answer(200, {"id": "a\nb"}),
        answer(200, []),
    ],
)
async def test_an_engine_without_ids_is_not_asked_again_for_ten_minutes(
    http: AiohttpTransport, monkeypatch: pytest.MonkeyPatch, says: bytes
) -> None:
    """The answer is remembered for that session alone, and not for ever."""
    async with saying(says) as wire:
        patient = whatsapp(http, wire.url, KEY)
        for _ in range(3):
            assert await patient.new_message_id(SESSION, None) is None
        assert wire.connections == 1
        assert await patient.new_message_id("other", None) is None
        assert wire.connections == 2
        monkeypatch.setattr(waha_client, "ASK_AGAIN_S", 0.0)
        fresh = whatsapp(http, wire.url, KEY)
        assert [await fresh.new_message_id(SESSION, None) for _ in range(2)] == [None, None]

    assert wire.connections == 4


@pytest.mark.parametrize(
    "says",
    [answer(404, {"message": NO_SESSION}), answer(422, not_working("STARTING")), answer(401), answer(503), CLOSE],
)
async def test_a_session_that_is_not_there_yet_may_get_ids_later(http: AiohttpTransport, says: bytes) -> None:
    """What may pass is nobody's lack of ids: the next contact asks again."""
    async with saying(says, says, says, answer(200, {"id": "3EB0AA"})) as wire:
        patient = whatsapp(http, wire.url, KEY, patience=HASTE)
        found = [await patient.new_message_id(SESSION, None) for _ in range(4)]

    assert found[0] is None
    assert found[-1] == "3EB0AA"


@pytest.mark.parametrize("status", [404, 200, 500])
async def test_an_unknown_message_is_false_only_where_the_chat_proves_it(
    client: HttpWhatsApp, waha: WahaSimulator, status: int
) -> None:
    """The chat reaches back before the send and lacks it; without an older message, or a time, nobody can tell."""
    waha.behaviour.unknown_message_status = status
    later_ms = START_MS + 120_000
    assert await client.was_sent(SESSION, CHAT, "3EB0AA", None, later_ms) is None
    await client.send_text(to_chat("3EB000", None), TEXT)

    assert await client.was_sent(SESSION, CHAT, "3EB0AA", None) is None
    assert await client.was_sent(SESSION, CHAT, "3EB0AA", None, START_MS + 30_000) is None
    assert await client.was_sent(SESSION, CHAT, "3EB0AA", None, later_ms) is False
    assert await client.was_sent(SESSION, CHAT, "3EB000", None, later_ms) is True


async def test_a_message_of_ours_since_then_may_be_the_one(client: HttpWhatsApp, waha: WahaSimulator) -> None:
    """An engine that goes by an id of its own has it under that one: nobody says that it was not sent."""
    waha.remember(SESSION, CHAT, "an older text", START_MS - 3_600_000)
    assert await client.was_sent(SESSION, CHAT, "3EB0AA", None, START_MS) is False
    await client.send_text(to_chat(), TEXT)
    assert await client.was_sent(SESSION, CHAT, "3EB0AA", None, START_MS) is None


@pytest.mark.parametrize(
    "says", [answer(401), answer(400), answer(422, not_working("FAILED")), answer(500), RESET, HANG]
)
async def test_a_lookup_that_fails_proves_nothing(http: AiohttpTransport, says: bytes) -> None:
    """Neither yes nor no without WAHA's word."""
    async with saying(says) as wire:
        hasty = whatsapp(http, wire.url, KEY, patience=HASTE)
        assert await hasty.was_sent(SESSION, CHAT, "3EB0AA", None, START_MS) is None


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ([{"id": "true_777@lid_3EB0AA", "fromMe": True, "timestamp": 1}], True),
        ([{"key": {"remoteJid": "777@lid", "id": "3EB0AA", "fromMe": True}}], True),
        ([{"id": "true_777@g.us_3EB0AA_888@c.us"}], True),
        ([{"id": "false_777@lid_3EB0AA", "fromMe": False, "timestamp": 1}], False),
        ([{"id": f"true_{CHAT}_3EB0AB", "timestamp": 1}, None, 7, "x", {"id": []}], False),
        ([{"id": f"true_{CHAT}_3EB0AB", "timestamp": "1"}], None),
        ([{"id": f"true_{CHAT}_3EB0AB", "timestamp": START_MS // 1000}], None),
        ([], None),
        ({"messages": []}, None),
        (None, None),
    ],
)
async def test_the_chat_s_list_is_read_by_the_last_part_of_the_id(
    http: AiohttpTransport, listed: object, *, found: bool | None
) -> None:
    """A chat may be named by its hidden user id; the id's own part stays. Odd entries are passed over."""
    async with saying(answer(404, {"message": "Message not found"}), answer(200, listed)) as wire:
        patient = whatsapp(http, wire.url, KEY)
        assert await patient.was_sent(SESSION, CHAT, "3EB0AA", "call-1", START_MS) is found

    one, chat = (httpx.URL("http://x" + seen.target) for seen in wire.seen)
    assert one.raw_path.startswith(b"/api/care/chats/99900000017%40c.us/messages/3EB0AA?")
    assert dict(one.params) == {"downloadMedia": "false"}
    assert chat.raw_path.startswith(b"/api/care/chats/99900000017%40c.us/messages?")
    assert dict(chat.params) == {"downloadMedia": "false", "limit": "100", "filter.fromMe": "true"}


async def test_another_message_under_the_address_is_not_taken_for_ours(http: AiohttpTransport) -> None:
    """A lookup that answers with something else says nothing."""
    async with saying(answer(200, {"id": f"true_{CHAT}_OTHER"})) as wire:
        assert await whatsapp(http, wire.url, KEY).was_sent(SESSION, CHAT, "3EB0AA", None, START_MS) is None


@pytest.mark.parametrize(
    ("trouble", "verdict", "pause", "accepted"),
    [
        (Trouble(TroubleKind.REACHOUT_LOCK), FAILED, PauseReason.REACHOUT_LOCK, 0),
        (Trouble(TroubleKind.RATE_OVERLIMIT), NOT_SENT, PauseReason.RATE_LIMITED, 0),
        (Trouble(TroubleKind.TOO_MANY_REQUESTS, retry_after_s=9), NOT_SENT, PauseReason.RATE_LIMITED, 0),
        (Trouble(TroubleKind.ENGINE_ERROR), FAILED, None, 0),
        (Trouble(TroubleKind.BAD_REQUEST), FAILED, None, 0),
        (Trouble(TroubleKind.UNAUTHORIZED), NOT_SENT, PauseReason.AUTH, 0),
        (Trouble(TroubleKind.FORBIDDEN), NOT_SENT, PauseReason.AUTH, 0),
        (Trouble(TroubleKind.FILE_NOT_FOUND), NOT_SENT, PauseReason.MEDIA, 0),
        (Trouble(TroubleKind.TOO_LARGE), NOT_SENT, PauseReason.CONFIG, 0),
        (Trouble(TroubleKind.UNPROCESSABLE), NOT_SENT, PauseReason.CONFIG, 0),
        (Trouble(TroubleKind.BAD_GATEWAY), UNKNOWN, PauseReason.WAHA_UNREACHABLE, 0),
        (Trouble(TroubleKind.BAD_GATEWAY, when=When.AFTER), UNKNOWN, PauseReason.WAHA_UNREACHABLE, 1),
        (Trouble(TroubleKind.EMPTY), SENT, None, 1),
        (Trouble(TroubleKind.ODD_JSON), SENT, None, 1),
    ],
    ids=lambda value: value.kind.value if isinstance(value, Trouble) else "",
)
async def test_the_simulator_s_troubles_mean_what_they_say(
    client: WhatsApp,
    waha: WahaSimulator,
    trouble: Trouble,
    verdict: SendVerdict,
    pause: PauseReason | None,
    accepted: int,
) -> None:
    """Client and simulator were written apart from one table, and agree on every row of it."""
    waha.script.add(trouble)
    heard = await client.send_text(to_chat(), TEXT)

    assert (heard.verdict, heard.pause) == (verdict, pause)
    assert (len(waha.accepted), len(waha.requests)) == (accepted, 1)
    assert not _leaks(heard.detail)


async def test_the_gate_hears_of_every_answer_of_waha_s_own(http: AiohttpTransport) -> None:
    """A refusal is a sign of life too; what a proxy says in its place is none."""
    names: list[str] = []
    async with saying(answer(401), answer(502), answer(201, {})) as wire:
        patient = whatsapp(http, wire.url, KEY, heard=names.append)
        for _ in range(3):
            await patient.send_text(to_chat(), TEXT)

    assert names == ["waha", "waha"]


async def test_the_probe_stands_around_a_send(http: AiohttpTransport) -> None:
    """A test may die right before the request and right after the answer."""
    points: list[str] = []

    async def note(point: str) -> None:
        points.append(point)

    async with AsyncExitStack() as stack:
        wire = await stack.enter_async_context(saying(answer(201, {}), CLOSE))
        patient = whatsapp(http, wire.url, KEY, probe=note)
        for _ in range(2):
            await patient.send_text(to_chat(), TEXT)
    assert points == ["before_upstream", "after_upstream", "before_upstream"]
