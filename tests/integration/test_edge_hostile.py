"""What no good caller sends to the HTTP edge: each is refused in the usual form or cut off, and nobody else notices."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from daemon.lifecycle import Daemon
from daemon.log import LogEvent
from domain.wire import iso
from tests.edge import CHECKS, ROBOT, asking, error, house, kong, payload, wanted
from tests.world import MORNING_MS, World

AS_JSON = {"Content-Type": "application/json"}
PLANNED = iso(MORNING_MS)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[World]:
    async with house(tmp_path / "robotd.db", edge={"request_timeout_s": 1}) as opened:
        yield opened


async def connect(daemon: Daemon) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    assert daemon.edge is not None
    host, _, port = (await daemon.edge.listening()).removeprefix("http://").rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):  # the edge may have reset it
        await writer.wait_closed()


async def said(daemon: Daemon, text: bytes) -> bytes:
    """All that comes back for some bytes, until the edge closes the connection."""
    reader, writer = await connect(daemon)
    writer.write(text)
    try:
        return await reader.read()
    except ConnectionResetError:
        return b"reset"
    finally:
        await hang_up(writer)


def head(*lines: str, **headers: str | None) -> bytes:
    fields = {**kong(**headers), **AS_JSON, "Host": "edge"}
    return "\r\n".join(
        [f"POST {CHECKS} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), *lines, "", ""]
    ).encode()


def answer_in(text: bytes) -> dict[str, Any]:
    """The JSON body of the last answer in what came back."""
    read: dict[str, Any] = json.loads(text.rpartition(b"\r\n\r\n")[2])
    return read


async def is_well(home: World, daemon: Daemon) -> None:
    """A good request is served at once, and it is all that there is."""
    async with asking(daemon) as robot:
        assert (await robot.post(CHECKS, json=wanted())).status_code == 201
    await home.quiet()
    assert len(home.results(ROBOT)) == len(home.megazord.subscriptions) == 1
    rows = await home.database.fetch("SELECT COUNT(*) FROM journal")
    assert rows[0][0] == 1
    assert home.sqs.bodies("robotd-commands-dlq") == []


BODIES = [
    (b"", "not JSON: Expecting value at line 1, column 1"),
    (b"null", "expected a JSON object, found NoneType"),
    (b"{", "not JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
    (b"[" * 60_000, "nested too deeply to be read"),
    (b'{"stepId":' * 6_000, "nested too deeply to be read"),
    (b'{"stepId":NaN}', "NaN is not a JSON number"),
    (b'{"stepId":-Infinity}', "-Infinity is not a JSON number"),
    (b'{"stepId":1,"stepId":2}', "the key 'stepId' stands twice in one object"),
    (b'{"x":"\\ud800"}', "holds half of a surrogate pair, which is not text"),
    (b'{"stepId":' + b"9" * 5000 + b"}", "a number has too many digits to be read"),
    (b"\xff\xfe{\x00}\x00", "the body is not UTF-8"),
    (b"\xef\xbb\xbf{}", "not JSON: Unexpected UTF-8 BOM (decode using utf-8-sig) at line 1, column 1"),
]


async def test_a_body_that_is_no_json_object_is_named_as_what_it_is(home: World) -> None:
    """400 in the usual form, beside what else is wrong."""
    async with home.running() as daemon:
        async with asking(daemon, kong(x_consumer_id=None)) as robot:
            answers = [await robot.post(CHECKS, content=body, headers=AS_JSON) for body, _ in BODIES]
        await is_well(home, daemon)
    named = [error(400, "Bad Request", f"x-consumer-id: missing; {message}") for _, message in BODIES]
    assert [answer.json() for answer in answers] == named
    assert {answer.status_code for answer in answers} == {400}


GOOD_TIMES = [
    "2025-11-25T08:40:00Z",
    "2025-11-25T08:40:00.000Z",
    "2025-11-25T08:40:00.999Z",
    "2025-11-25T09:40:00+01:00",
    "2025-11-25 08:40:00+00:00",
    "20251125T084000Z",
    "2025-11-25T08:40Z",
    "2025-W48-2T08:40:00Z",
]
BAD_TIMES: list[object] = [
    "2025-11-25T08:40:00",
    "2025-11-25",
    "2025-11-25T08:40:00 Europe/Amsterdam",
    "2025-13-25T08:40:00Z",
    "2025-11-25T08:40:60Z",
    "1999-12-31T23:59:59Z",
    "2100-01-01T00:00:00Z",
    "99999-01-01T00:00:00Z",
    "Tue, 25 Nov 2025 08:40:00 GMT",
    "1764060000",
    "2025-11-25T08:40:00Z\u0000",
    "\uff12025-11-25T08:40:00Z",
    "",
    " ",
    "z" * 60_000,
    1764060000,
    1764060000000.5,
    True,
    None,
    {},
    [PLANNED],
]  # fmt: skip


async def test_one_moment_in_any_spelling_is_one_request(home: World) -> None:
    """All are answered with the same check, whose time is cut to the second."""
    async with home.running() as daemon, asking(daemon) as robot:
        answers = [payload(await robot.post(CHECKS, json=wanted(plannedAt=time))) for time in GOOD_TIMES]
    assert [(answer["id"], answer["plannedAt"]) for answer in answers] == [(answers[0]["id"], PLANNED)] * len(answers)


async def test_a_time_that_could_be_misread_is_refused(home: World) -> None:
    """400 that names the field and says nothing of the value."""
    async with home.running() as daemon:
        async with asking(daemon) as robot:
            answers = [await robot.post(CHECKS, json=wanted(plannedAt=time)) for time in BAD_TIMES]
        await is_well(home, daemon)
    assert [answer.status_code for answer in answers] == [400] * len(BAD_TIMES)
    messages = {answer.json()["message"] for answer in answers}
    assert messages == {
        "plannedAt: expected an ISO 8601 time, such as 2025-11-25T08:40:00Z",
        "plannedAt: expected an ISO 8601 time as text, such as 2025-11-25T08:40:00Z",
        "plannedAt: a time needs its zone, such as the Z in 2025-11-25T08:40:00Z",
        "plannedAt: expected a time between the years 2000 and 2100",
    }


async def test_only_plain_json_is_read(home: World) -> None:
    """415 before any of the body is looked at, so nothing can unfold itself in memory."""
    kinds = [
        {"Content-Type": ""},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/problem+json"},
        {**AS_JSON, "Content-Encoding": "gzip"},
        {**AS_JSON, "Content-Encoding": "br"},
    ]
    async with home.running() as daemon:
        async with asking(daemon) as robot:
            answers = [await robot.post(CHECKS, content=b"x" * 1000, headers=headers) for headers in kinds]
        await is_well(home, daemon)
    assert [(answer.status_code, answer.json()["statusCode"]) for answer in answers] == [(415, 415)] * len(kinds)


async def test_a_header_that_stands_twice_is_nobodys(home: World) -> None:
    """400: a caller who adds the header of another robot beside Kong's gets nothing of that robot."""
    text = head("X-Authenticated-UserId: 61002", "Content-Length: 2", "Connection: close") + b"{}"
    async with home.running() as daemon:
        answer = answer_in(await said(daemon, text))
        assert answer["statusCode"] == 400
        assert answer["message"].startswith("x-authenticated-userid: given more than once; stepId: ")
        await is_well(home, daemon)


async def test_a_reference_that_can_t_be_kept_is_replaced(home: World) -> None:
    """A fresh one is on each answer, in the robot's message and in the log, and nowhere anything of the other."""
    body = json.dumps(wanted()).encode()
    end = (f"Content-Length: {len(body)}", "Connection: close")
    references = [None, "x" * 129, "x" * 8000, "caf\u00e9", "a\tb", "\u202e", "", " "]
    with capture_logs() as lines:
        async with home.running() as daemon:
            back = [await said(daemon, head(*end, Call_Ref=reference) + body) for reference in references]
            await home.quiet()
    given = [line[10:] for text in back for line in text.decode().split("\r\n") if line.startswith("Call-Ref: ")]
    assert [UUID(value).version for value in given] == [4] * len(references)
    assert [message["callRef"] for message in home.results(ROBOT)] == given
    assert {line["call_ref"] for line in lines if "call_ref" in line} == set(given)


@pytest.mark.parametrize(
    "text",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a-secret",
        b"GET / HTTP/1.1\r\nHost: a\r\nx-a-secret\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nx: " + b"a-secret" * 2_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nx: " + b"a-secret" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"x-%d: a-secret\r\n" % number for number in range(1000)) + b"\r\n",
        b"GET /" + b"a-secret" * 2_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        head("Content-Length: 5", "Content-Length: 6") + b"a-secret",
        head("Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\na-secret",
        head("Content-Length: -5") + b"a-secret",
        head("Transfer-Encoding: chunked") + b"a-secret\r\n",
    ],
    ids=lambda text: f"{text[:12]!r}-{len(text)}",
)
async def test_what_is_not_http_is_cut_off(home: World, caplog: pytest.LogCaptureFixture, text: bytes) -> None:
    """400 by the library and the end of the connection; the log says that it came, and nothing of what it said."""
    async with home.running() as daemon:
        with caplog.at_level(logging.DEBUG):
            back = await said(daemon, text)
        assert back == b"reset" or back.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
        assert "a-secret" not in caplog.text
        assert {line.levelname for line in caplog.records if line.name == "robotd.http"} <= {"WARNING"}
        await is_well(home, daemon)


async def test_a_body_that_never_ends_is_not_waited_for(home: World) -> None:
    """408 after the time of a request, in the usual form, and the end of the connection."""
    chunked, counted = head("Transfer-Encoding: chunked") + b'5\r\n{"a":', head("Content-Length: 500") + b"{"
    async with home.running() as daemon:
        back = await asyncio.gather(said(daemon, chunked), said(daemon, counted))
        late = error(408, "Request Timeout", "the body did not come in time")
        assert [answer_in(text) for text in back] == [late, late]
        await is_well(home, daemon)


async def test_a_body_that_turns_into_nonsense_is_not_waited_for_either(home: World) -> None:
    """408 where the head was good and had been taken: for the library such a body never ends."""
    async with home.running() as daemon:
        reader, writer = await connect(daemon)
        writer.write(head("Expect: 100-continue", "Transfer-Encoding: chunked"))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"nonsense\r\n")
        assert answer_in(await reader.read()) == error(408, "Request Timeout", "the body did not come in time")
        await hang_up(writer)
        await is_well(home, daemon)


async def test_a_caller_who_hangs_up_within_the_body_is_only_a_line_in_the_log(home: World) -> None:
    """Nothing is handled, and the line says that the body ended early."""
    with capture_logs() as lines:
        async with home.running() as daemon:
            _, writer = await connect(daemon)
            writer.write(head("Content-Length: 500") + b"{")
            await writer.drain()
            await hang_up(writer)
            await is_well(home, daemon)
    told = {(line["status"], line.get("reason")) for line in lines if line["event"] == LogEvent.HTTP_ANSWERED}
    assert told == {(201, None), (400, "the body ended early, or is not what its length says")}


async def test_a_caller_who_waits_to_be_asked_for_the_body_is_asked(home: World) -> None:
    """`Expect: 100-continue` is met, and any other expectation passed over."""
    body = json.dumps(wanted()).encode()
    async with home.running() as daemon:
        reader, writer = await connect(daemon)
        writer.write(head("Expect: 100-continue", f"Content-Length: {len(body)}", "Connection: close"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        asked = answer_in(await reader.read())
        await hang_up(writer)
        text = head("Expect: a miracle", f"Content-Length: {len(body)}", "Connection: close") + body
        assert answer_in(await said(daemon, text)) == asked


async def test_requests_in_one_piece_are_answered_in_their_order(home: World) -> None:
    """Forty at once on one connection, good and bad ones in turn."""
    body = json.dumps(wanted()).encode()
    good, bad = head(f"Content-Length: {len(body)}") + body, head("Content-Length: 1") + b"{"
    last = head("Content-Length: 1", "Connection: close") + b"{"
    async with home.running() as daemon:
        back = await said(daemon, (good + bad) * 20 + last)
    statuses = [line.split(b" ")[1] for line in back.split(b"HTTP/1.1 ")[1:] for line in [b"x " + line]]
    assert statuses == [b"201", b"400"] * 20 + [b"400"]


async def test_connections_that_stay_silent_don_t_hold_the_end(home: World) -> None:
    """Idle ones, half heads and half bodies are cut off; the daemon ends cleanly, far within its bound."""
    async with asyncio.timeout(15):
        async with home.running() as daemon:
            open_ones = [await connect(daemon) for _ in range(60)]
            for number, (_, writer) in enumerate(open_ones):
                writer.write([b"", head()[:60], head("Content-Length: 500") + b"{"][number % 3])
            await is_well(home, daemon)
        for reader, writer in open_ones:
            try:
                await reader.read()
            except ConnectionResetError:
                continue
            finally:
                await hang_up(writer)
