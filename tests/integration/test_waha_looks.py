"""What the client of WAHA hears when it only looks: whose number is behind a hidden id, how far a text has come."""

import asyncio
import json
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from daemon.clients.transports import OneShotTransport
from daemon.clients.waha import HttpWhatsApp
from daemon.clients.waha_answers import ack_told, number_told
from daemon.clients.waha_http import Answer, Patience, Silence
from domain.sending import bare_id
from domain.webhook_call import read_call
from domain.whatsapp_ports import Resolved, WhatsAppLooks
from localstack.clock import ManualClock
from localstack.sqs import SqsServer
from localstack.waha import WahaSimulator
from tests.world import MORNING_MS

KEY, SESSION = "a-key", "care"
ANN, LID = "99900000001@c.us", "99900777@lid"
ID = "3EB0AA"


@pytest.fixture
async def waha() -> AsyncIterator[WahaSimulator]:
    async with WahaSimulator(ManualClock(MORNING_MS), api_key=KEY) as simulator:
        simulator.add_session(SESSION)
        yield simulator


@pytest.fixture
async def client(waha: WahaSimulator) -> AsyncIterator[WhatsAppLooks]:
    async with OneShotTransport() as transport:
        yield HttpWhatsApp(transport, waha.url, KEY, patience=Patience(connect_s=0.5, check_s=0.5))


async def test_a_hidden_id_is_resolved_or_not_or_not_now(waha: WahaSimulator, client: WhatsAppLooks) -> None:
    """Known, unknown, and a session that does not work: only the last is not certain."""
    waha.records.lids[LID] = ANN
    assert await client.number_of(SESSION, LID, "call-1") == Resolved(ANN)
    assert await client.number_of(SESSION, "99900778@lid", None) == Resolved(None)
    assert await client.number_of("nobody", LID, None) == Resolved(None)
    waha.set_status(SESSION, "STOPPED")
    assert await client.number_of(SESSION, LID, None) == Resolved(is_certain=False)
    assert [request.path for request in waha.requests][:1] == [f"/api/{SESSION}/lids/99900777%40lid"]
    assert waha.requests[0].call_ref == "call-1"


async def test_an_acknowledgement_is_looked_up_by_the_bare_id(waha: WahaSimulator, client: WhatsAppLooks) -> None:
    """Every value is told; nothing of an unknown message, of a dead session, of a gateway that is gone."""
    body = {"session": SESSION, "chatId": ANN, "text": "Hello"}
    async with httpx.AsyncClient(base_url=waha.url, headers={"X-Api-Key": KEY}) as http:
        await http.post("/api/sendText", json=body)
    message_id = waha.accepted[0].id
    for ack in (-1, 0, 1, 2, 3, 4):
        waha.set_ack(message_id, ack)
        assert await client.ack_of(SESSION, ANN, message_id, None) == ack
    assert await client.ack_of(SESSION, ANN, ID, None) is None
    waha.set_status(SESSION, "FAILED")
    assert await client.ack_of(SESSION, ANN, message_id, None) is None


@pytest.mark.parametrize("name", ["", ".", ".."])
async def test_a_name_that_would_lead_elsewhere_is_asked_for_nothing(
    waha: WahaSimulator, client: WhatsAppLooks, name: str
) -> None:
    """Nothing is known of it, and no request is made."""
    assert await client.number_of(name, LID, None) == await client.number_of(SESSION, name, None) == Resolved()
    for asked in ((name, ANN, ID), (SESSION, name, ID), (SESSION, ANN, name)):
        assert await client.ack_of(*asked, None) is None
    assert list(waha.requests) == []


@pytest.mark.parametrize(
    ("heard", "resolved"),
    [
        (Answer(200, b'{"lid": "1@lid", "pn": "99900000001@c.us"}'), Resolved(ANN)),
        (Answer(200, b'{"lid": null, "pn": null}'), Resolved()),
        (Answer(200, b'{"pn": "99900000001@s.whatsapp.net"}'), Resolved()),
        (Answer(200, b'{"pn": 99900000001}'), Resolved()),
        (Answer(200, b"<html>"), Resolved(is_certain=False)),
        (Answer(404, b"{}"), Resolved()),
        (Answer(501, b"{}"), Resolved()),
        (Answer(422, json.dumps({"message": "not implemented by the engine"}).encode()), Resolved()),
        (Answer(422, b"{}"), Resolved(is_certain=False)),
        (Answer(401, b"{}"), Resolved(is_certain=False)),
        (Answer(500, b"{}"), Resolved(is_certain=False)),
        (Answer(502, b"<html>"), Resolved(is_certain=False)),
        (Silence("unreachable", "", was_asked=False), Resolved(is_certain=False)),
        (Silence("read-timeout", "", was_asked=True), Resolved(is_certain=False)),
    ],
)
def test_each_answer_about_a_hidden_id_has_its_meaning(heard: Answer | Silence, resolved: Resolved) -> None:
    """What may be otherwise later is asked again; what the engine does not know or can't do is not."""
    assert number_told(heard) == resolved


@pytest.mark.parametrize(
    ("message", "ack"),
    [
        ({"id": f"true_{ANN}_{ID}", "ack": 2}, 2),
        ({"id": f"true_{LID}_{ID}", "ack": 3}, 3),
        ({"id": {"_serialized": f"true_{ANN}_{ID}"}, "ack": -1}, -1),
        ({"id": ID, "ack": 0}, 0),
        ({"id": f"true_{ANN}_OTHER", "ack": 2}, None),
        ({"ack": 2}, None),
        ({"id": ID}, None),
        *(({"id": ID, "ack": ack}, None) for ack in (True, 5, -2, "2", None, 1.5, [2])),
    ],
)
def test_an_acknowledgement_counts_only_of_the_message_that_was_asked_for(message: object, ack: int | None) -> None:
    """In any shape of an id; a number that is no acknowledgement is none."""
    assert ack_told(Answer(200, json.dumps(message).encode()), ID) == ack


@pytest.mark.parametrize("heard", [Answer(404, b"{}"), Answer(200, b"null"), Silence("reset", "", was_asked=True)])
def test_without_a_message_there_is_no_acknowledgement(heard: Answer | Silence) -> None:
    """Whatever is answered instead."""
    assert ack_told(heard, ID) is None


@pytest.mark.parametrize(
    ("whole", "bare"),
    [
        (f"true_{ANN}_{ID}", ID),
        (f"false_{LID}_{ID}", ID),
        (f"true_999@g.us_{ID}_{ANN}", ID),
        (ID, ID),
        ("", ""),
        ("a_b", "a_b"),
        ("a_b_c_d_e", "a_b_c_d_e"),
    ],
)
def test_the_bare_id_is_the_same_under_every_name_of_a_chat(whole: str, bare: str) -> None:
    """What is no id of WAHA stays as it is."""
    assert bare_id(whole) == bare


async def test_alone_it_posts_its_webhooks_until_sigterm() -> None:
    """As a process beside an SQS server: status and acknowledgements of what it took are on the queue, signed."""
    key = secrets.token_hex(8)
    async with SqsServer() as sqs:
        sqs.create_queue("told")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "localstack.waha", "--api-key", KEY, "--session", SESSION),
            *("--post-to", "told", "--sqs", sqs.url, "--webhook-key", key),
            cwd=Path(__file__).parents[2],
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        async with asyncio.timeout(20):
            url = (await process.stdout.readline()).decode().removeprefix("waha simulator on ").strip()
            async with httpx.AsyncClient(base_url=url, headers={"X-Api-Key": KEY}) as http:
                await http.post("/api/sendText", json={"session": SESSION, "chatId": ANN, "text": "Hello"})
            await sqs.wait_until(lambda: len(sqs.bodies("told")) == 3, 10)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
        letters = sqs.messages("told")
        assert all(read_call(letter.body, letter.attributes).is_signed_with(key) for letter in letters)
        told = [json.loads(letter.body) for letter in letters]
        assert [each["payload"].get("ack", each["event"]) for each in told] == ["session.status", 1, 2]
