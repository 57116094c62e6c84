"""Our client's requests and the simulator's answers and webhooks, checked against WAHA's own OpenAPI document.

The document is not ours and not in this tree. It names no errors, so those are not checked here. Where it is known to
say something else than WAHA does, that is named below.
"""

import base64
import copy
import json
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from daemon.clients.transports import OneShotTransport
from daemon.clients.waha import HttpWhatsApp
from domain.campaign_ports import Send
from domain.sending import Media, SendVerdict
from localstack.clock import ManualClock
from localstack.waha import IdShape, Trouble, TroubleKind, WahaSimulator
from localstack.waha_records import AcceptedMessage, StatusPoint
from localstack.waha_webhooks import WahaWebhooks

FILE = "waha-openapi.json"
START_MS = 1764060013_750
KEY = "a-key"
ANN = "99910000001@c.us"
CHAT = f"/api/default/chats/{ANN}/messages"

NULL_IN_LIFE = {"me", "presence", "participant", "mediaUrl", "pn"}  # null where there is none, although not said to be
A_WORD_IN_LIFE = {"presence"}  # "online", although said to be an object
SAID_NOWHERE = {"engine", "assignedWorker", "messageCapping"}  # told by WAHA, unknown to its document
UNDERSTOOD = {"type", "properties", "required", "items", "$ref", "allOf", "oneOf", "enum", "nullable"}
SAYS_NOTHING = {"description", "example", "default", "deprecated", "additionalProperties"}
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "number": (int, float),
    "boolean": bool,
}
Schema = Mapping[str, Any]


def to_ann(message_id: str | None = None, call_ref: str | None = None) -> Send:
    return Send("default", ANN, message_id, call_ref, lambda: True)


@dataclass(frozen=True)
class Document:
    """The part of JSON Schema that WAHA uses. Each problem is a sentence with the place in it."""

    content: Schema

    def schema(self, name: str) -> Schema:
        return {"$ref": f"#/components/schemas/{name}"}

    def operation(self, method: str, path: str) -> Schema | None:
        """The most literal path that fits."""
        fitting = [known for known in self.content["paths"] if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", known), path)]
        for known in sorted(fitting, key=lambda known: known.count("{")):
            operation: Schema | None = self.content["paths"][known].get(method.lower())
            if operation is not None:
                return operation
        return None

    def problems(self, value: object, schema: Schema, at: str = "body", *, is_ours: bool = False) -> Iterator[str]:
        """What is wrong with a value. `is_ours`: a field that the document doesn't know is a problem too."""
        schema = self._resolved(schema)
        name = at.rpartition(".")[2]
        if value is None:
            yield from () if schema.get("nullable") or name in NULL_IN_LIFE else (f"{at} is null",)
        elif not (isinstance(value, str) and name in A_WORD_IN_LIFE):
            yield from _of_type(value, schema, at) or self._inside(value, schema, at, is_ours=is_ours)

    def _inside(self, value: object, schema: Schema, at: str, *, is_ours: bool) -> Iterator[str]:
        for part in schema.get("allOf", []):
            yield from self.problems(value, part, at, is_ours=is_ours)
        if "oneOf" in schema:
            yield from self._fits_one(value, schema["oneOf"], at, is_ours=is_ours)
        if isinstance(value, list):
            for number, item in enumerate(value):
                yield from self.problems(item, schema.get("items", {}), f"{at}[{number}]", is_ours=is_ours)
        if isinstance(value, dict):
            yield from self._fields(value, schema, at, is_ours=is_ours)

    def _fields(self, value: Mapping[str, object], schema: Schema, at: str, *, is_ours: bool) -> Iterator[str]:
        required = schema.get("required", [])
        yield from (f"{at}.{name} is missing" for name in required if name not in value)
        known = schema.get("properties")
        if known is None:
            return
        for name, item in value.items():
            if name in known:
                inner = {key: said for key, said in known[name].items() if key != "required" or said is not True}
                yield from self.problems(item, inner, f"{at}.{name}", is_ours=is_ours)
            elif is_ours or name not in SAID_NOWHERE:
                yield f"{at}.{name} is unknown"

    def _fits_one(self, value: object, choices: list[Schema], at: str, *, is_ours: bool) -> Iterator[str]:
        tries = [list(self.problems(value, choice, at, is_ours=is_ours)) for choice in choices]
        if tries.count([]) != 1:
            yield f"{at} fits {tries.count([])} of {len(choices)} forms: {tries}"

    def _resolved(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            schema = self.content["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        foreign = set(schema) - UNDERSTOOD - SAYS_NOTHING
        assert not foreign, f"the document uses {foreign}, which this check doesn't understand"
        return schema


def _of_type(value: object, schema: Schema, at: str) -> list[str]:
    """Enums and optional texts are said to be objects in places: their values tell better."""
    wanted = schema.get("type")
    hint = schema.get("default", *schema.get("enum", [None])[:1])
    if wanted == "object" and isinstance(hint, str):
        wanted = "string"
    if wanted is not None and (not isinstance(value, TYPES[wanted]) or (wanted == "number" and value is True)):
        return [f"{at} is no {wanted}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{at} is none of {schema['enum']}"]
    return []


@dataclass
class Witness:
    """Looks at every exchange of the HTTP clients that it is hooked to."""

    document: Document
    problems: list[str] = field(default_factory=list)
    seen: list[tuple[str, int]] = field(default_factory=list)

    async def look(self, response: httpx.Response) -> None:
        await response.aread()
        request = response.request
        path = request.url.path
        self.seen.append((f"{request.method} {path}", response.status_code))
        operation = self.document.operation(request.method, path)
        if operation is None:
            self.problems.append(f"{path}: no such call")
            return
        for problem in [*self._of_request(request, operation), *self._of_answer(response, operation)]:
            self.problems.append(f"{request.method} {path}: {problem}")

    def _of_request(self, request: httpx.Request, operation: Schema) -> Iterator[str]:
        known = {each["name"]: each for each in operation.get("parameters", []) if each["in"] == "query"}
        given = request.url.params
        yield from (f"query {name} is unknown" for name in given if name not in known)
        yield from (
            f"query {name} is missing" for name, said in known.items() if said["required"] and name not in given
        )
        for name, value in given.items():
            words = known.get(name, {}).get("schema", {}).get("enum")
            if words is not None and value not in words:
                yield f"query {name} is none of {words}"
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            yield from self.document.problems(json.loads(request.content), schema, is_ours=True)
        if request.headers.get("X-Api-Key") != KEY and request.url.path != "/ping":
            yield "the key is missing"

    def _of_answer(self, response: httpx.Response, operation: Schema) -> Iterator[str]:
        said = operation["responses"].get(str(response.status_code))
        if said is None:
            if response.is_success:
                yield f"answers with {response.status_code}"
            return
        schema = said.get("content", {}).get("application/json", {}).get("schema")
        if schema is not None:
            yield from self.document.problems(response.json(), schema, "answer")


@pytest.fixture(scope="module")
def document() -> Document:
    """The whole document. Skips the test, by the file's name, where it is absent."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    file = Path(os.environ.get("ROBOTD_DATA", beside)) / FILE
    if not file.is_file():
        pytest.skip(f"{FILE} is absent: name its folder in ROBOTD_DATA")
    return Document(json.loads(file.read_text(encoding="utf-8")))


class Watched(OneShotTransport):
    """Lets a witness look at every exchange of whoever goes by it."""

    def __init__(self, witness: Witness) -> None:
        super().__init__()
        self._witness = witness

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        response.request = request
        await self._witness.look(response)
        return response


@dataclass(frozen=True)
class Home:
    """A WAHA, a client of the test's own, and a transport for ours; both are watched."""

    waha: WahaSimulator
    http: httpx.AsyncClient
    transport: httpx.AsyncBaseTransport


@asynccontextmanager
async def home(document: Document, engine: str = "NOWEB") -> AsyncIterator[Home]:
    """A WAHA with one session under a witness: it closes with no problem seen."""
    witness = Witness(document)
    async with (
        WahaSimulator(ManualClock(START_MS), api_key=KEY, engine=engine) as waha,
        Watched(witness) as transport,
        httpx.AsyncClient(transport=Watched(witness), base_url=waha.url, timeout=5, headers={"X-Api-Key": KEY}) as http,
    ):
        waha.add_session("default")
        yield Home(waha, http, transport)
    assert witness.problems == []
    assert len(witness.seen) == len(waha.requests) > 0


@pytest.mark.parametrize("engine", ["NOWEB", "GOWS", "WEBJS"])
async def test_every_request_of_our_client_is_one_that_waha_knows(document: Document, engine: str) -> None:
    """Session, new id, text, picture, film, document and all lookups, with the answers of each engine."""
    async with home(document, engine) as place:
        waha, ours = place.waha, HttpWhatsApp(place.transport, place.waha.url, KEY)
        state = await ours.session("default", "call-1")
        message_id = await ours.new_message_id("default", "call-1")
        sent = [await ours.send_text(to_ann(message_id, "call-1"), "Hé {Name} 🙂")]
        for mime_type, name in (("image/png", "a.png"), ("video/mp4", "a.mp4"), ("application/pdf", "a.pdf")):
            media = Media(mime_type, name, base64.b64encode(b"a file").decode())
            sent.append(await ours.send_media(to_ann(None, "call-1"), "Look", media))
        found = [await ours.was_sent("default", ANN, each, None) for each in (waha.accepted[0].id, "3EB0UNKNOWN")]
        waha.records.lids["99900777@lid"] = ANN
        behind = [(await ours.number_of("default", lid, None)).chat_id for lid in ("99900777@lid", "99900778@lid")]
        acks = [await ours.ack_of("default", ANN, each, None) for each in (waha.accepted[0].id, "3EB0UNKNOWN")]
        accepted = [(message.chat_id, message.text, message.kind, message.call_ref) for message in waha.accepted]

    assert (behind, acks) == ([ANN, None], [1, None])
    assert (state.status, state.pause) == ("WORKING", None)
    assert (message_id is None) == (engine == "WEBJS")
    assert [answer.verdict for answer in sent] == [SendVerdict.SENT] * 4
    assert accepted == [
        (ANN, "Hé {Name} 🙂", "text", "call-1"),
        *((ANN, "Look", kind, "call-1") for kind in ("image", "video", "file")),
    ]
    assert found == [True, None]


async def test_every_shape_of_an_id_is_understood_by_our_client() -> None:
    """Only one of the shapes is in the document; after a 201 the verdict never depends on it."""
    async with WahaSimulator(ManualClock(START_MS), api_key=KEY) as waha, OneShotTransport() as http:
        waha.add_session("default")
        ours = HttpWhatsApp(http, waha.url, KEY)
        told = []
        for shape in IdShape:
            waha.behaviour.id_shape = shape
            told.append(await ours.send_text(to_ann(), "Hello"))
        for kind in (TroubleKind.EMPTY, TroubleKind.ODD_JSON):
            waha.script.add(Trouble(kind, times=1))
            told.append(await ours.send_text(to_ann(), "Hello"))

    assert [answer.verdict for answer in told] == [SendVerdict.SENT] * 5
    sure = [answer.waha_id or "" for answer in told[:3]]
    assert [each.rpartition("_")[2] for each in sure] == [message.id for message in waha.accepted[:3]]


async def test_every_answer_of_the_simulator_is_one_of_waha(document: Document) -> None:
    """Calls that our client has no use for, sessions in every status, chats with and without messages."""
    async with home(document) as place:
        waha, http = place.waha, place.http
        body = {"session": "default", "chatId": ANN}
        file = {"mimetype": "image/jpeg", "url": "http://files.invalid/a.jpg"}
        for path, more in (
            ("sendText", {"text": "Hello", "linkPreview": False}),
            ("sendImage", {"file": file, "caption": "Look"}),
            ("sendFile", {"file": file}),
            ("sendVideo", {"file": file | {"filename": "a.mp4"}, "convert": False, "asNote": False}),
            ("startTyping", {}),
            ("stopTyping", {}),
        ):
            assert (await http.post(f"/api/{path}", json=body | more)).status_code == 201
        waha.records.numbers["99910000002"] = None
        for path in (
            *("/ping", "/health", "/api/server/version", "/api/sessions?all=true", "/api/default/new-message-id"),
            *(f"{CHAT}?limit=2&filter.ack=SERVER&downloadMedia=false&sortOrder=asc", f"{CHAT}/{waha.accepted[1].id}"),
            *("/api/default/lids/99900778", "/api/default/lids/99900778%40lid"),
            *(f"/api/contacts/check-exists?session=default&phone=9991000000{each}" for each in (1, 2)),
        ):
            assert (await http.get(path)).status_code == 200
        waha.behaviour.is_healthy = False
        assert (await http.get("/health")).status_code == 503
        for status in document.content["components"]["schemas"]["SessionInfo"]["properties"]["status"]["enum"]:
            waha.set_status("default", status)
            assert (await http.get("/api/sessions/default")).json()["status"] == status


@pytest.mark.parametrize("engine", ["NOWEB", "GOWS", "WEBJS"])
def test_every_webhook_is_one_of_waha(document: Document, engine: str) -> None:
    """The four kinds that the simulator makes, every ack among them."""
    webhooks = WahaWebhooks(engine)
    message = AcceptedMessage("default", ANN, "Hello", "3EB0AA", START_MS)
    history = [StatusPoint("FAILED", START_MS), StatusPoint("WORKING", START_MS + 1)]
    calls = [
        ("WAHAWebhookSessionStatus", webhooks.session_status("default", history)),
        ("WAHAWebhookMessage", webhooks.inbound("default", ANN, "STOP", START_MS)),
        ("WAHAWebhookMessageAny", webhooks.own("default", ANN, "It's me", START_MS)),
        *(("WAHAWebhookMessageAck", webhooks.ack(message, ack, START_MS)) for ack in range(-1, 5)),
    ]
    problems = [
        problem
        for schema, call in calls
        for problem in document.problems(json.loads(call.body), document.schema(schema), schema)
    ]

    assert problems == []


TEXT = {"session": "default", "chatId": ANN, "text": "Hello"}
IMAGE = {"session": "default", "chatId": ANN, "file": {"mimetype": "image/jpeg", "data": "aGk="}}


@pytest.mark.parametrize(
    ("schema", "right", "changes", "problem"),
    [
        ("MessageTextRequest", TEXT, {"text": None}, "body.text is null"),
        ("MessageTextRequest", TEXT, {"text": 5}, "body.text is no string"),
        ("MessageTextRequest", TEXT, {"linkPreview": "no"}, "body.linkPreview is no boolean"),
        ("MessageTextRequest", TEXT, {"message": "Hello"}, "body.message is unknown"),
        ("MessageImageRequest", IMAGE, {"file": {"mimetype": "a/b", "base64": "aGk="}}, "body.file fits 0 of 2 forms"),
        ("SessionStatusPoint", {"status": "WORKING", "timestamp": 1}, {"status": "OFFLINE"}, "body.status is none of"),
        (
            "SessionStatusPoint",
            {"status": "WORKING", "timestamp": 1},
            {"timestamp": "1"},
            "body.timestamp is no number",
        ),
        ("WAHAEnvironment", {}, {}, "body.version is missing"),
    ],
)
def test_the_check_sees_what_is_wrong(
    document: Document, schema: str, right: dict[str, object], changes: dict[str, object], problem: str
) -> None:
    """A right value passes, and each wrong one is told with its place."""
    wrong = copy.deepcopy(right) | changes
    before = list(document.problems(right, document.schema(schema), is_ours=True)) if right else []
    found = list(document.problems(wrong, document.schema(schema), is_ours=True))

    assert before == []
    assert found
    assert found[0].startswith(problem)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/api/sendVoice2", "no such call"),
        (CHAT, "query limit is missing"),
        (f"{CHAT}?limit=5&filter.ack=SEEN", "query filter.ack is none of"),
        (f"{CHAT}?limit=5&filters=x", "query filters is unknown"),
    ],
)
async def test_the_witness_sees_a_wrong_request(document: Document, path: str, problem: str) -> None:
    """A path or query that the document doesn't have is told, whatever the simulator answers."""
    witness = Witness(document)
    hooks = {"response": [witness.look]}
    async with (
        WahaSimulator(ManualClock(START_MS), api_key=KEY) as waha,
        httpx.AsyncClient(base_url=waha.url, timeout=5, event_hooks=hooks, headers={"X-Api-Key": KEY}) as http,
    ):
        waha.add_session("default")
        await http.get(path)

    assert [problem in found for found in witness.problems] == [True]
