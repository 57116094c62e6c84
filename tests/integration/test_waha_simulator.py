"""The WAHA simulator sends, refuses and stays silent over real HTTP as WAHA does, and keeps its own record."""

import asyncio
import base64
import hashlib
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from localstack.clock import ManualClock
from localstack.faults import When
from localstack.waha import IdShape, Trouble, TroubleKind, WahaBehaviour, WahaSimulator
from localstack.waha_records import StatusPoint
from localstack.waha_webhooks import WahaWebhooks, signature

START_MS = 1764060013_750  # 2025-11-25T08:40:13.750Z
ROOT = Path(__file__).parents[2]
KEY = "a-key"
ANN, BOB = "99910000001@c.us", "99910000002@c.us"
CHATS = "/api/default/chats"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_MS)


@pytest.fixture
async def waha(clock: ManualClock) -> AsyncIterator[WahaSimulator]:
    async with WahaSimulator(clock, api_key=KEY) as simulator:
        simulator.add_session("default")
        yield simulator


@pytest.fixture
async def http(waha: WahaSimulator) -> AsyncIterator[httpx.AsyncClient]:
    async with client(waha) as http:
        yield http


def client(waha: WahaSimulator) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=waha.url, timeout=5, headers={"X-Api-Key": KEY})


async def text(http: httpx.AsyncClient, chat_id: str = ANN, said: str = "Hello", **more: object) -> httpx.Response:
    return await http.post("/api/sendText", json={"session": "default", "chatId": chat_id, "text": said, **more})


def picture(content: bytes = b"a picture", **more: object) -> dict[str, Any]:
    file = {"mimetype": "image/jpeg", "filename": "a.jpg", "data": base64.b64encode(content).decode()}
    return {"session": "default", "chatId": ANN, "caption": "Look", "file": file, **more}


def told(waha: WahaSimulator) -> list[tuple[str, str]]:
    return [(message.chat_id, message.text) for message in waha.accepted]


async def test_a_text_is_accepted_answered_and_on_record(http: httpx.AsyncClient, waha: WahaSimulator) -> None:
    """201 with the message; the record has session, chat, text, id, moment and the caller's reference."""
    answer = await http.post(
        "/api/sendText", json={"session": "default", "chatId": "99910000001", "text": "Hé"}, headers={"Call-Ref": "c-1"}
    )
    message = waha.accepted[0]

    assert answer.status_code == 201
    assert answer.json()["id"] == message.full_id == f"true_{ANN}_{message.id}"
    assert (message.session, message.chat_id, message.text, message.at_ms) == ("default", ANN, "Hé", START_MS)
    assert (message.call_ref, message.media_sha256, len(waha.accepted)) == ("c-1", None, 1)


@pytest.mark.parametrize(("kind", "more"), [("image", {}), ("file", {}), ("video", {"convert": True})])
async def test_a_file_is_on_record_by_the_hash_of_its_bytes(
    http: httpx.AsyncClient, waha: WahaSimulator, kind: str, more: dict[str, object]
) -> None:
    """The caption is the text; two megabytes are no trouble, as WAHA takes up to fifty."""
    content = b"\x00\xff" * 1_000_000
    answer = await http.post(f"/api/send{kind.title()}", json=picture(content, **more))
    message = waha.accepted[0]

    assert (answer.status_code, message.kind, message.text) == (201, kind, "Look")
    assert message.media_sha256 == hashlib.sha256(content).hexdigest()
    assert (message.mime_type, message.filename, message.media_url) == ("image/jpeg", "a.jpg", None)


async def test_a_file_may_be_an_address(http: httpx.AsyncClient, waha: WahaSimulator) -> None:
    """Then its address is on record, as nobody fetches it."""
    answer = await http.post(
        "/api/sendImage", json=picture(file={"mimetype": "image/png", "url": "http://files.invalid/a.png"})
    )

    assert answer.status_code == 201
    assert (waha.accepted[0].media_url, waha.accepted[0].media_sha256) == ("http://files.invalid/a.png", None)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("sendText", {"session": "default", "chatId": ANN}),
        ("sendText", {"session": "default", "text": "Hello"}),
        ("sendText", {"chatId": ANN, "text": "Hello"}),
        ("sendText", {"session": "default", "chatId": ANN, "text": 5}),
        ("sendText", ["Hello"]),
        ("sendImage", picture(file={"mimetype": "image/jpeg", "base64": "aGk="})),
        ("sendImage", picture(file={"data": "aGk="})),
        ("sendImage", picture(file={"mimetype": "image/jpeg", "data": "no base64!"})),
        ("sendImage", {"session": "default", "chatId": ANN}),
        ("sendVideo", picture()),
        ("startTyping", {"session": "default"}),
    ],
)
async def test_an_unfit_body_is_refused_in_the_way_of_the_version(
    http: httpx.AsyncClient, waha: WahaSimulator, path: str, body: object
) -> None:
    """400 with sentences, or the older 500 that repeats the body; nothing is accepted."""
    new = await http.post(f"/api/{path}", json=body)
    waha.behaviour.unfit_status = 500
    old = await http.post(f"/api/{path}", json=body)

    assert (new.status_code, new.json()["error"]) == (400, "Bad Request")
    assert (old.status_code, old.json()["exception"]["name"]) == (500, "TypeError")
    assert old.json()["request"]["body"] == body
    assert waha.accepted == []
    assert waha.typing == []


async def test_what_is_no_json_is_refused_with_400_by_every_version(
    http: httpx.AsyncClient, waha: WahaSimulator
) -> None:
    """Also what is cut, empty, or not UTF-8."""
    waha.behaviour.unfit_status = 500
    answers = [await http.post("/api/sendText", content=raw) for raw in (b'{"session": "de', b"", b"\xff\xfe{}")]

    assert [answer.status_code for answer in answers] == [400, 400, 400]


async def test_a_body_above_the_limit_is_too_large(http: httpx.AsyncClient, waha: WahaSimulator) -> None:
    """413, and nothing is accepted."""
    waha.behaviour.max_body_bytes = 1000
    answers = [await text(http, said="x" * 2000), await text(http, said="x" * 100)]

    assert [answer.status_code for answer in answers] == [413, 201]
    assert len(waha.accepted) == 1


async def test_without_the_key_nothing_opens_but_ping(waha: WahaSimulator) -> None:
    """401 with WAHA's body for a missing and a wrong key; the key may also stand in the query; it may change."""
    async with httpx.AsyncClient(base_url=waha.url, timeout=5) as http:
        answers = [
            await http.get("/api/sessions/default"),
            await http.get("/health", headers={"X-Api-Key": "another"}),
            await text(http),
            await http.get("/ping"),
            await http.get(f"/api/sessions/default?x-api-key={KEY}"),
        ]
        waha.set_api_key("a-new-key")
        answers.append(await http.get("/api/sessions/default", headers={"X-Api-Key": KEY}))

    assert [answer.status_code for answer in answers] == [401, 401, 401, 200, 200, 401]
    assert answers[0].json() == {"message": "Unauthorized", "statusCode": 401}
    assert answers[3].json() == {"message": "pong"}
    assert waha.accepted == []


async def test_sessions_are_told_with_who_is_logged_in(http: httpx.AsyncClient, waha: WahaSimulator) -> None:
    """`me` only while WORKING; the list has stopped ones only when all are asked for; an unknown one is 404."""
    waha.add_session("office", "STOPPED")
    waha.set_status("default", "SCAN_QR_CODE")
    one = (await http.get("/api/sessions/default")).json()
    listed = [(await http.get(f"/api/sessions{query}")).json() for query in ("", "?all=true")]
    unknown = await http.get("/api/sessions/other")

    assert (one["name"], one["status"], one["me"]) == ("default", "SCAN_QR_CODE", None)
    assert [[each["name"] for each in sessions] for sessions in listed] == [["default"], ["default", "office"]]
    assert (unknown.status_code, unknown.json()["message"]) == (404, "Session not found")


async def test_an_account_tells_of_its_limits(http: httpx.AsyncClient, waha: WahaSimulator) -> None:
    """Fields that newer versions add to `me`."""
    capping = {"cappingStatus": "SECOND_WARNING", "totalQuota": 1000, "usedQuota": 950}
    waha.add_session("capped", account={"messageCapping": capping})

    assert (await http.get("/api/sessions/capped")).json()["me"]["messageCapping"] == capping


@pytest.mark.parametrize("status", ["STOPPED", "STARTING", "SCAN_QR_CODE", "PASSKEY_REQUIRED", "FAILED", "UNHEARD_OF"])
async def test_a_session_that_does_not_work_sends_nothing(
    http: httpx.AsyncClient, waha: WahaSimulator, status: str
) -> None:
    """422 with WAHA's body, for sends, new ids, lookups and typing alike."""
    waha.set_status("default", status)
    answers = [
        await text(http),
        await http.post("/api/sendImage", json=picture()),
        await http.post("/api/startTyping", json={"session": "default", "chatId": ANN}),
        await http.get("/api/default/new-message-id"),
        await http.get(f"{CHATS}/{ANN}/messages/abc"),
        await http.get(f"{CHATS}/{ANN}/messages?limit=5"),
        await http.get("/api/contacts/check-exists?phone=99910000001&session=default"),
    ]

    assert {answer.status_code for answer in answers} == {422}
    assert answers[0].json() == {
        "error": "Session status is not as expected. Try again later or restart the session",
        "session": "default",
        "status": status,
        "expected": ["WORKING"],
    }
    assert waha.accepted == []


async def test_waha_waits_for_a_session_before_it_refuses(clock: ManualClock) -> None:
    """A send waits on the clock, looks every half second, goes on when the session works, and gives up after 5 s."""
    async with (
        WahaSimulator(clock, api_key=KEY, behaviour=WahaBehaviour(wait_scale=1.0)) as waha,
        client(waha) as http,
        asyncio.timeout(10),
        asyncio.TaskGroup() as tasks,
    ):
        waha.add_session("default", "STARTING")
        first = tasks.create_task(text(http, said="in time"))
        await clock.until(lambda: clock.waiting() == 1)
        waha.plan_status("default", "WORKING", at_ms=START_MS + 1200)
        looks_again_ms = clock.next_due_ms()
        clock.advance(1500)
        await waha.until(lambda: len(waha.requests) == 1)
        waha.set_status("default", "FAILED")
        second = tasks.create_task(text(http, said="too late"))
        await clock.until(lambda: clock.waiting() == 1)
        clock.advance(5000)

    assert looks_again_ms == START_MS + 500
    assert (first.result().status_code, waha.accepted[0].at_ms) == (201, START_MS + 1500)
    assert (second.result().status_code, second.result().json()["status"]) == (422, "FAILED")
    assert told(waha) == [(ANN, "in time")]


async def test_a_session_changes_at_planned_moments_and_counts(
    http: httpx.AsyncClient, waha: WahaSimulator, clock: ManualClock
) -> None:
    """After the second message it fails, a minute later it works again, then it is gone; all is in its history."""
    waha.plan_status("default", "FAILED", after_accepted=2)
    waha.plan_status("default", None, at_ms=START_MS + 120_000)
    waha.plan_status("default", "WORKING", at_ms=START_MS + 60_000)
    statuses = [(await text(http)).status_code for _ in range(3)]
    clock.advance(60_000)
    statuses.append((await text(http)).status_code)
    clock.advance(60_000)
    gone = await text(http)

    assert [*statuses, gone.status_code] == [201, 201, 422, 201, 404]
    assert "We didn't find a session with name 'default'" in gone.json()["message"]
    assert [(point.status, point.at_ms - START_MS) for point in waha.history("default")] == [
        ("WORKING", 0),
        ("FAILED", 0),
        ("WORKING", 60_000),
        (None, 120_000),
    ]


def test_a_plan_for_the_past_counts_from_now_on(waha: WahaSimulator) -> None:
    """A history never goes back; a plan must say its moment or its count, and name a session that was added."""
    waha.plan_status("default", "FAILED", at_ms=START_MS - 5000)

    assert waha.history("default")[-1] == StatusPoint("FAILED", START_MS)
    with pytest.raises(ValueError, match="either at_ms or after_accepted"):
        waha.plan_status("default", "FAILED")
    with pytest.raises(KeyError, match="other"):
        waha.set_status("other", "FAILED")


async def test_a_stopped_session_is_missing_to_some_versions(http: httpx.AsyncClient, waha: WahaSimulator) -> None:
    """By setting, sends through a stopped session are answered with 404; so are those through an unknown one."""
    waha.behaviour.stopped_is_missing = True
    waha.set_status("default", "STOPPED")
    unknown = await http.post("/api/sendText", json={"session": "other", "chatId": ANN, "text": "Hello"})

    assert [(await text(http)).status_code, unknown.status_code] == [404, 404]


@pytest.mark.parametrize("engine", ["NOWEB", "GOWS"])
async def test_a_reserved_id_is_honoured_and_its_repeat_not_delivered(clock: ManualClock, engine: str) -> None:
    """The second send with an id is answered like the first and on record as a repeat; in another chat it is none."""
    async with WahaSimulator(clock, api_key=KEY, engine=engine) as waha, client(waha) as http:
        waha.add_session("default")
        reserved = (await http.get("/api/default/new-message-id")).json()["id"]
        for chat_id in (ANN, ANN, BOB):
            await text(http, chat_id, id=reserved)
        delivered = len(waha.delivered)
        waha.records.delivers_repeats = True

    assert [(message.chat_id, message.id, message.is_repeat) for message in waha.accepted] == [
        (ANN, reserved, False),
        (ANN, reserved, True),
        (BOB, reserved, False),
    ]
    assert (delivered, len(waha.delivered)) == (2, 3)
    assert {chat_id: len(messages) for chat_id, messages in waha.accepted_by_chat.items()} == {ANN: 2, BOB: 1}


@pytest.mark.parametrize("status", [404, 422, 501])
async def test_a_browser_engine_reserves_no_ids(clock: ManualClock, status: int) -> None:
    """WEBJS has no new-message-id, and takes no notice of an id in a send."""
    behaviour = WahaBehaviour(no_new_ids_status=status)
    async with WahaSimulator(clock, api_key=KEY, engine="WEBJS", behaviour=behaviour) as waha, client(waha) as http:
        waha.add_session("default")
        answer = await http.get("/api/default/new-message-id")
        await text(http, id="MINE")

    assert answer.status_code == status
    assert waha.accepted[0].id != "MINE"


async def test_the_id_comes_in_each_engines_shape(http: httpx.AsyncClient, waha: WahaSimulator) -> None:
    """A text, an object with `_serialized`, or a raw key."""
    answers = {}
    for shape in IdShape:
        waha.behaviour.id_shape = shape
        answers[shape] = (await text(http)).json()
    ids = [message.full_id for message in waha.accepted]

    assert answers[IdShape.TEXT]["id"] in ids
    assert answers[IdShape.WEBJS]["id"]["_serialized"] in ids
    key = answers[IdShape.NOWEB]["key"]
    assert f"true_{key['remoteJid'].replace('@s.whatsapp.net', '@c.us')}_{key['id']}" in ids


async def test_a_message_is_found_by_either_form_of_its_id(http: httpx.AsyncClient, waha: WahaSimulator) -> None:
    """200 with the message and its ack, only in its own chat."""
    sent = (await text(http)).json()["id"]
    bare = waha.accepted[0].id
    waha.set_ack(bare, 3)
    found = [await http.get(f"{CHATS}/{ANN}/messages/{each}?downloadMedia=false") for each in (sent, bare)]
    foreign = await http.get(f"{CHATS}/{BOB}/messages/{bare}")

    assert [(each.status_code, each.json()["id"], each.json()["ackName"]) for each in found] == [
        (200, sent, "READ")
    ] * 2
    assert foreign.status_code == 404


@pytest.mark.parametrize(("status", "is_null"), [(404, False), (200, True), (500, False)])
async def test_an_unknown_message_is_told_in_the_way_of_the_version(
    http: httpx.AsyncClient, waha: WahaSimulator, status: int, *, is_null: bool
) -> None:
    """404, or 200 with null, or 500."""
    waha.behaviour.unknown_message_status = status
    answer = await http.get(f"{CHATS}/{ANN}/messages/3EB0AA")

    assert (answer.status_code, answer.json() is None) == (status, is_null)


async def test_lookups_may_lag_or_lack_their_store(
    http: httpx.AsyncClient, waha: WahaSimulator, clock: ManualClock
) -> None:
    """A message that went out is not found for a while, by setting; NOWEB without its store finds nothing at all."""
    waha.records.lookup_lag_ms = 2000
    await text(http)
    path = f"{CHATS}/{ANN}/messages"
    early = [await http.get(f"{path}/{waha.accepted[0].id}"), await http.get(f"{path}?limit=5")]
    clock.advance(2000)
    late = [await http.get(f"{path}/{waha.accepted[0].id}"), await http.get(f"{path}?limit=5")]
    waha.behaviour.has_store = False
    none = await http.get(f"{path}?limit=5")

    assert [early[0].status_code, late[0].status_code, none.status_code] == [404, 200, 400]
    assert [len(early[1].json()), len(late[1].json())] == [0, 1]


@pytest.mark.parametrize(
    ("query", "texts"),
    [
        ("limit=2", ["third", "second"]),
        ("limit=2&offset=2", ["first", "long ago"]),
        ("limit=9&sortOrder=asc", ["long ago", "first", "second", "third"]),
        ("limit=9&filter.ack=READ", ["long ago"]),
        (f"limit=9&filter.timestamp.gte={START_MS // 1000 + 1}&filter.fromMe=true", ["third", "second"]),
        (f"limit=9&filter.timestamp.lte={START_MS // 1000}", ["first", "long ago"]),
        ("limit=9&filter.fromMe=false", []),
    ],
)
async def test_a_chat_is_listed_by_filters_and_pages(
    http: httpx.AsyncClient, waha: WahaSimulator, clock: ManualClock, query: str, texts: list[str]
) -> None:
    """Newest first unless asked otherwise; what the chat remembers from before was never accepted here."""
    for said in ("first", "second", "third"):
        await text(http, said=said)
        clock.advance(1000)
    waha.remember("default", ANN, "long ago", START_MS - 86_400_000)
    answer = await http.get(f"{CHATS}/{ANN}/messages?{query}")

    assert [message["body"] for message in answer.json()] == texts
    assert len(waha.accepted) == 3


@pytest.mark.parametrize("query", ["", "limit=x", "limit=5&filter.ack=SEEN", "limit=5&filter.timestamp.gte=now"])
async def test_a_list_with_a_wrong_query_is_refused(http: httpx.AsyncClient, query: str) -> None:
    """`limit` is needed; what is no number or no ack is told."""
    assert (await http.get(f"{CHATS}/{ANN}/messages?{query}")).status_code == 400


async def test_numbers_exist_unless_scripted(http: httpx.AsyncClient, waha: WahaSimulator) -> None:
    """WAHA may know a person under another chat than the number says, or not at all."""
    waha.records.numbers.update({"99910000002": "99910002@c.us", "99910000003": None})
    ask = "/api/contacts/check-exists?session=default"
    answers = [await http.get(f"{ask}&phone=9991000000{each}") for each in (1, 2, 3)]

    assert [answer.json() for answer in answers] == [
        {"numberExists": True, "chatId": ANN},
        {"numberExists": True, "chatId": "99910002@c.us"},
        {"numberExists": False},
    ]
    assert (await http.get(ask)).status_code == 400


async def test_typing_health_and_version_are_told(http: httpx.AsyncClient, waha: WahaSimulator) -> None:
    """Typing is on record; health turns with its setting; the version names the engine."""
    for what in ("start", "stop"):
        assert (await http.post(f"/api/{what}Typing", json={"session": "default", "chatId": ANN})).status_code == 201
    well = await http.get("/health")
    waha.behaviour.is_healthy = False

    assert [each[:2] for each in waha.typing] == [(ANN, "start"), (ANN, "stop")]
    assert [well.status_code, (await http.get("/health")).status_code] == [200, 503]
    assert (await http.get("/api/server/version")).json()["engine"] == "NOWEB"


_ANSWERED = {
    TroubleKind.REACHOUT_LOCK: 500,
    TroubleKind.RATE_OVERLIMIT: 500,
    TroubleKind.ENGINE_ERROR: 500,
    TroubleKind.TOO_MANY_REQUESTS: 429,
    TroubleKind.BAD_REQUEST: 400,
    TroubleKind.UNAUTHORIZED: 401,
    TroubleKind.FORBIDDEN: 403,
    TroubleKind.FILE_NOT_FOUND: 404,
    TroubleKind.TOO_LARGE: 413,
    TroubleKind.UNPROCESSABLE: 422,
    TroubleKind.BAD_GATEWAY: 502,
    TroubleKind.EMPTY: 201,
    TroubleKind.ODD_JSON: 201,
}


@pytest.mark.parametrize("when", list(When))
@pytest.mark.parametrize("kind", list(TroubleKind))
async def test_every_trouble_is_told_before_or_after_the_message_went_out(
    http: httpx.AsyncClient, waha: WahaSimulator, kind: TroubleKind, when: When
) -> None:
    """Its status; the message is accepted only after the fact or with 201; the next send is spared."""
    waha.script.add(Trouble(kind, times=1, when=when))
    answers = [await text(http, said="a"), await text(http, said="b")]
    is_out = when is When.AFTER or _ANSWERED[kind] == 201

    assert [answer.status_code for answer in answers] == [_ANSWERED[kind], 201]
    assert told(waha) == ([(ANN, "a")] if is_out else []) + [(ANN, "b")]
    assert [struck.kind for _, struck in waha.script.struck] == [kind]


async def test_trouble_chooses_chats_moments_and_turns(
    http: httpx.AsyncClient, waha: WahaSimulator, clock: ManualClock
) -> None:
    """463 for one chat; for everybody from a moment to another; an error that spares the first two sends."""
    waha.script.add(Trouble(TroubleKind.REACHOUT_LOCK, chats=frozenset({BOB})))
    waha.script.add(Trouble(TroubleKind.REACHOUT_LOCK, from_ms=START_MS + 1000, until_ms=START_MS + 2000))
    waha.script.add(Trouble(TroubleKind.ENGINE_ERROR, session="default", skip=2, times=1))
    statuses = [(await text(http, chat_id)).status_code for chat_id in (ANN, BOB, ANN, ANN)]
    for _ in range(2):
        clock.advance(1000)
        statuses.append((await text(http)).status_code)

    assert statuses == [201, 500, 201, 500, 500, 201]


async def test_an_engines_error_repeats_the_request(http: httpx.AsyncClient, waha: WahaSimulator) -> None:
    """463 with WhatsApp's words, and with text and number of the request; 429 with when to come back."""
    waha.script.add(Trouble(TroubleKind.REACHOUT_LOCK, times=1))
    waha.script.add(Trouble(TroubleKind.TOO_MANY_REQUESTS, times=1, retry_after_s=60))
    waha.script.add(Trouble(TroubleKind.FILE_NOT_FOUND, times=1))
    waha.script.add(Trouble(TroubleKind.ODD_JSON, text="not json at all", times=1))
    locked, limited, missing, odd = [await text(http, said="a secret") for _ in range(4)]

    assert locked.json()["exception"]["message"] == "2 UNKNOWN: server returned error 463"
    assert locked.json()["request"]["body"] == {"session": "default", "chatId": ANN, "text": "a secret"}
    assert limited.headers["Retry-After"] == "60"
    assert missing.json() == {"error": {"code": 404, "key": "FILE_NOT_FOUND"}}
    assert odd.text == "not json at all"


async def test_a_connection_may_be_lost_before_and_after_accepting(
    http: httpx.AsyncClient, waha: WahaSimulator
) -> None:
    """The caller hears the same; the record tells the difference, and so does a lookup."""
    waha.faults.reset("sendText", times=1)
    waha.faults.reset("sendText", times=1, when=When.AFTER)
    for said in ("before", "after"):
        with pytest.raises(httpx.TransportError):
            await text(http, said=said, id=f"3EB0{said}")
    lookups = [await http.get(f"{CHATS}/{ANN}/messages/3EB0{said}") for said in ("before", "after")]

    assert told(waha) == [(ANN, "after")]
    assert [lookup.status_code for lookup in lookups] == [404, 200]
    assert [seen.status for seen in waha.requests] == [None, None, 404, 200]


@pytest.mark.parametrize("when", list(When))
async def test_a_send_that_hangs_goes_out_although_its_caller_has_left(
    http: httpx.AsyncClient, waha: WahaSimulator, when: When
) -> None:
    """Before or after: the message is there in the end, and its caller never heard of it."""
    waha.faults.hang("sendText", times=1, when=when)
    async with asyncio.timeout(5):
        hanging = asyncio.ensure_future(text(http))
        await waha.faults.until(lambda: waha.faults.hanging == 1)
        accepted_meanwhile = len(waha.accepted)
        hanging.cancel()
        waha.faults.release()
        await waha.until(lambda: len(waha.accepted) == 1)

    assert accepted_meanwhile == (1 if when is When.AFTER else 0)


async def test_many_sends_at_once_are_each_on_record_once(http: httpx.AsyncClient, waha: WahaSimulator) -> None:
    """Fifty callers at a time: fifty different ids, and the planned change comes after exactly twenty."""
    waha.plan_status("default", "FAILED", after_accepted=20)
    answers = await asyncio.gather(*(text(http, f"9991000{number:04}") for number in range(50)))

    assert sorted(answer.status_code for answer in answers) == [201] * 20 + [422] * 30
    assert len({message.id for message in waha.accepted}) == len(waha.accepted) == 20


async def test_the_record_is_told_in_slices_and_counted(http: httpx.AsyncClient, waha: WahaSimulator) -> None:
    """A long record comes page by page, in order and without a gap; a wrong page is refused."""
    chats = [f"9990000{number:04d}@c.us" for number in range(5)]
    for chat_id in chats:
        await text(http, chat_id)
    pages = [(await http.get(f"/_robotd/accepted?from={first}&count=2")).json() for first in (0, 2, 4, 6)]
    assert [[message["chat_id"] for message in page] for page in pages] == [chats[:2], chats[2:4], chats[4:], []]
    assert (await http.get("/_robotd/counts")).json() == {"accepted": 5}
    assert (await http.get("/_robotd/accepted?from=x")).status_code == 400


def test_the_signature_is_the_one_of_the_documentation() -> None:
    """WAHA's own example of key and body."""
    signed = signature("my-secret-key", b'{"event":"message","session":"default","engine":"WEBJS"}')

    assert (len(signed), signed[:8], signed[-6:]) == (128, "208f8a55", "53fa89")


async def test_webhooks_tell_of_statuses_acks_and_people(http: httpx.AsyncClient, waha: WahaSimulator) -> None:
    """Envelopes in WAHA's form, signed over their very bytes; an ack may name the person by another id."""
    for status in ("FAILED", "STARTING", "WORKING"):
        waha.set_status("default", status)
    await text(http)
    webhooks = WahaWebhooks(key="a-secret")
    message = waha.accepted[0]
    calls = {
        "session.status": webhooks.session_status("default", waha.history("default")),
        "message.ack": webhooks.ack(message, -1, START_MS, chat_id="5550@lid"),
        "message": webhooks.inbound("default", ANN, "STOP", START_MS),
        "message.any": webhooks.own("default", BOB, "It's me", START_MS),
    }
    bodies = {event: json.loads(call.body) for event, call in calls.items()}

    assert {event: each["event"] for event, each in bodies.items()} == {event: event for event in calls}
    assert [point["status"] for point in bodies["session.status"]["payload"]["statuses"]] == [
        "FAILED",
        "STARTING",
        "WORKING",
    ]
    ack = bodies["message.ack"]["payload"]
    assert (ack["id"], ack["ack"], ack["ackName"]) == (f"true_5550@lid_{message.id}", -1, "ERROR")
    inbound, own = bodies["message"]["payload"], bodies["message.any"]["payload"]
    assert (inbound["from"], inbound["fromMe"], inbound["body"]) == (ANN, False, "STOP")
    assert (own["to"], own["fromMe"], own["source"]) == (BOB, True, "app")
    assert all(call.headers["X-Webhook-Hmac"] == signature("a-secret", call.body.encode()) for call in calls.values())
    assert len({each["id"] for each in bodies.values()}) == 4


def test_an_unsigned_webhook_has_no_signature() -> None:
    """Without a key there are no signature headers; only the last three statuses are told."""
    history = [StatusPoint(status, START_MS) for status in ("STOPPED", "STARTING", "SCAN_QR_CODE", "WORKING")]
    call = WahaWebhooks().session_status("default", history)

    assert set(call.headers) == {"X-Webhook-Request-Id", "X-Webhook-Timestamp"}
    assert len(json.loads(call.body)["payload"]["statuses"]) == 3


async def test_alone_it_is_scripted_over_http_until_sigterm() -> None:
    """As a process: ready line, sessions, trouble, numbers, acks and faults from outside, its record, exit 0."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "localstack.waha", "--api-key", KEY, "--session", "default"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            ready = (await process.stdout.readline()).decode()
            url = ready.removeprefix("waha simulator on ").strip()
            async with httpx.AsyncClient(base_url=url, headers={"X-Api-Key": KEY}) as http:
                control = [
                    await http.post("/_robotd/sessions", json={"name": "office"}),
                    await http.put("/_robotd/sessions/default", json={"status": "STOPPED", "afterAccepted": 2}),
                    await http.put("/_robotd/sessions/default", json={"status": "WORKING"}),
                    await http.delete("/_robotd/sessions/office"),
                    await http.post("/_robotd/troubles", json={"kind": "reachout-lock", "chats": [BOB]}),
                    await http.post("/_robotd/numbers", json={"phone": "99910000003"}),
                    await http.post("/_robotd/faults", json={"kind": "status", "route": "ping", "times": 1}),
                ]
                wrong = [
                    await http.post("/_robotd/sessions", json={"nam": "x"}),
                    await http.put("/_robotd/sessions/other", json={"status": "FAILED"}),
                    await http.post("/_robotd/troubles", json={"kind": "bad-luck"}),
                    await http.put("/_robotd/sessions/default", json={"status": "X", "atMs": 1, "afterAccepted": 1}),
                    await http.post("/_robotd/acks", json={"id": "never-sent", "ack": 2}),
                ]
                sends = [await text(http, chat_id) for chat_id in (ANN, BOB, ANN)]
                cleared = await http.delete("/_robotd/troubles")
                accepted = (await http.get("/_robotd/accepted")).json()
                acked = await http.post("/_robotd/acks", json={"id": accepted[0]["id"], "ack": -1})
                statuses = [(await http.get(f"/api/sessions/{name}")).status_code for name in ("default", "office")]
                pings = [(await http.get("/ping")).status_code for _ in range(2)]
    finally:
        process.send_signal(signal.SIGTERM)
        code = await process.wait()

    assert {answer.status_code for answer in [*control, cleared, acked]} == {204}
    assert [answer.status_code for answer in wrong] == [400, 404, 400, 400, 404]
    assert [answer.status_code for answer in sends] == [201, 500, 201]
    assert [message["chat_id"] for message in accepted] == [ANN, ANN]
    assert (statuses, pings, code) == ([200, 404], [503, 200], 0)
