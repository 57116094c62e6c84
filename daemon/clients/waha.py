"""WAHA, a WhatsApp gateway over HTTP, as the domain's `WhatsApp`.

Its answers are not ours: unknown fields are ignored, and no form of an answer to a send or a look raises.
"""

import asyncio
from collections.abc import Callable, Sequence
from urllib.parse import quote

import httpx

from daemon.clients.http import Request, unheard
from daemon.clients.waha_answers import (
    ack_told,
    is_beyond_the_engine,
    is_session_missing,
    mapping,
    message_id_of,
    number_told,
    send_answer,
    session_state,
)
from daemon.clients.waha_http import Answer, Gateway, Heard, Patience
from daemon.probe import Probe, unobserved
from domain.campaign_ports import Ready, Send
from domain.errors import Unavailable
from domain.sending import Media, PauseReason, SendAnswer, SessionState, bare_id
from domain.whatsapp_ports import Resolved
from domain.wire import JsonObject

ASK_AGAIN_S = 600.0  # an engine that reserves no ids may have been replaced meanwhile
NEWEST = 100  # messages of a chat that are looked through
SLACK_MS = 60_000  # our clock and WhatsApp's differ
_NO_IDS = (400, 404, 405, 501)
_LONGEST_ID = 128
_QUOTABLE = 400  # characters of a file's beginning that an error may quote
_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_VIDEOS = frozenset({"video/mp4", "video/webm"})
_ANY_PATIENCE = Patience()


class HttpWhatsApp:
    """WAHA at one address. A send has a connection of its own; questions share theirs where `sends` sends."""

    def __init__(
        self,
        http: httpx.AsyncBaseTransport,
        base_url: str,
        api_key: str | None = None,
        *,
        sends: httpx.AsyncBaseTransport | None = None,
        patience: Patience = _ANY_PATIENCE,
        probe: Probe = unobserved,
        heard: Callable[[str], None] = unheard,
    ) -> None:
        connect_s = patience.connect_s
        self._gateway = Gateway(http, base_url, api_key, connect_s=connect_s, sends=sends, probe=probe, heard=heard)
        self._patience = patience
        self._no_ids_until_s: dict[str, float] = {}

    async def session(self, name: str, call_ref: str | None) -> SessionState:
        """How a session stands now. What may pass is asked up to three times before it counts."""
        if _is_no_name(name):
            return SessionState("", PauseReason.SESSION_NOT_FOUND, "no session can have this name")
        return session_state(await self._read(f"/api/sessions/{_quoted(name)}", "tell a session's status", call_ref))

    async def session_of(self, owner: str, call_ref: str | None) -> str | None:
        """The first session, in WAHA's order, whose metadata name this user (`user.id`); stopped ones count.

        Raises Unavailable where WAHA tells no list.
        """
        heard = await self._read("/api/sessions", "list the sessions", call_ref, {"all": "true"})
        sessions = heard.json if isinstance(heard, Answer) and heard.is_success else None
        if not isinstance(sessions, list):
            raise Unavailable("waha", "it does not tell its sessions")
        names = (mapping(each).get("name") for each in sessions if _owner_of(each) == owner)
        return next((name for name in names if isinstance(name, str) and not _is_no_name(name)), None)

    async def ready(self, session: str, call_ref: str | None, *, with_id: bool) -> Ready:
        """Both questions at the same time; an id that is not used harms nobody.

        Where the session does not work, WAHA would let the second one wait for 5 s: it is given up.
        """
        if not with_id:
            return Ready(await self.session(session, call_ref))
        asked_for_id = asyncio.create_task(self.new_message_id(session, call_ref))
        try:
            state = await self.session(session, call_ref)
            return Ready(state, await asked_for_id if state.pause is None else None)
        finally:
            asked_for_id.cancel()
            await asyncio.wait([asked_for_id])

    async def new_message_id(self, session: str, call_ref: str | None) -> str | None:
        """An id to send a text with; None where the engine reserves none, which is remembered for ten minutes."""
        now_s = asyncio.get_running_loop().time()
        self._no_ids_until_s = {name: until_s for name, until_s in self._no_ids_until_s.items() if until_s > now_s}
        if _is_no_name(session) or session in self._no_ids_until_s:
            return None
        heard = await self._read(f"/api/{_quoted(session)}/new-message-id", "reserve an id", call_ref)
        message_id = mapping(heard.json).get("id") if isinstance(heard, Answer) and heard.is_success else None
        if isinstance(message_id, str) and _is_id(message_id):
            return message_id
        if _reserves_no_ids(heard):
            self._no_ids_until_s[session] = now_s + ASK_AGAIN_S
        return None

    async def send_text(self, send: Send, text: str) -> SendAnswer:
        """Send once. Asked again only while no connection came about."""
        body: JsonObject = {"session": send.session, "chatId": send.chat_id, "text": text}
        if send.message_id is not None:
            body["id"] = send.message_id
        request = Request("POST", "/api/sendText", "send a text", send.call_ref, body=body)
        heard = await self._gateway.send(request, self._patience.text_s, send.may_begin)
        return send_answer(heard, (send.session, send.chat_id, text), is_media=False)

    async def send_media(self, send: Send, caption: str, media: Media) -> SendAnswer:
        """Send a file with its caption, once: as a picture, as a film, or else as a document."""
        file = {"mimetype": media.mime_type, "filename": media.filename, "data": media.data_base64}
        body: JsonObject = {"session": send.session, "chatId": send.chat_id, "caption": caption, "file": file}
        path = "/api/sendFile"
        if media.mime_type in _IMAGES:
            path = "/api/sendImage"
        elif media.mime_type in _VIDEOS:
            path, body["convert"] = "/api/sendVideo", True  # an mp4 may hold what phones can't show
        request = Request("POST", path, "send a file", send.call_ref, body=body)
        heard = await self._gateway.send(request, self._patience.media_s, send.may_begin)
        ours = (send.session, send.chat_id, caption, media.filename, media.data_base64[:_QUOTABLE])
        return send_answer(heard, ours, is_media=True)

    async def was_sent(
        self, session: str, chat_id: str, message_id: str, call_ref: str | None, since_ms: int | None = None
    ) -> bool | None:
        """Whether WAHA knows this message; None where it can't tell for sure.

        False needs `since_ms`, before which it can't have been sent: then the chat's own list must reach back beyond
        that, and hold nothing of ours since: an engine that went by another id has it under that one. WAHA goes on with
        a send whose caller is gone: while one may be under way, False says nothing.
        """
        if _is_no_name(session) or _is_no_name(chat_id) or _is_no_name(message_id):
            return None
        chat = f"/api/{_quoted(session)}/chats/{_quoted(chat_id)}/messages"
        plain: dict[str, str | int] = {"downloadMedia": "false"}
        wanted = "look up a message"
        if _holds([await self._json(f"{chat}/{_quoted(message_id)}", wanted, call_ref, plain)], message_id):
            return True
        newest = await self._json(chat, wanted, call_ref, {**plain, "limit": NEWEST, "filter.fromMe": "true"})
        if not isinstance(newest, list):
            return None
        if _holds(newest, message_id):
            return True
        return False if since_ms is not None and _is_silent_since(newest, since_ms - SLACK_MS) else None

    async def number_of(self, session: str, lid: str, call_ref: str | None) -> Resolved:
        """Whose number stands behind a hidden user id (`@lid`)."""
        if _is_no_name(session) or _is_no_name(lid):
            return Resolved()
        path = f"/api/{_quoted(session)}/lids/{_quoted(lid)}"
        return number_told(await self._read(path, "resolve a hidden user id", call_ref))

    async def ack_of(self, session: str, chat_id: str, message_id: str, call_ref: str | None) -> int | None:
        """How far a message has come, by its bare id; None where WAHA can't tell."""
        if _is_no_name(session) or _is_no_name(chat_id) or _is_no_name(message_id):
            return None
        path = f"/api/{_quoted(session)}/chats/{_quoted(chat_id)}/messages/{_quoted(f'true_{chat_id}_{message_id}')}"
        heard = await self._read(path, "look up an acknowledgement", call_ref, {"downloadMedia": "false"})
        return ack_told(heard, message_id)

    async def _json(self, path: str, wanted: str, call_ref: str | None, query: dict[str, str | int]) -> object:
        heard = await self._read(path, wanted, call_ref, query)
        return heard.json if isinstance(heard, Answer) and heard.is_success else None

    async def _read(
        self, path: str, wanted: str, call_ref: str | None, query: dict[str, str | int] | None = None
    ) -> Heard:
        return await self._gateway.read(Request("GET", path, wanted, call_ref, query=query), self._patience.check_s)


def _owner_of(session: object) -> str | None:
    owner = mapping(mapping(mapping(session).get("config")).get("metadata")).get("user.id")
    return owner if isinstance(owner, str) else None


def _quoted(part: str) -> str:
    return quote(part, safe="", errors="replace")


def _is_no_name(part: str) -> bool:
    """Dots alone would lead to another path, and so would nothing at all."""
    return not part.strip(".")


def _is_id(message_id: str) -> bool:
    return 0 < len(message_id) <= _LONGEST_ID and message_id.isascii() and message_id.isprintable()


def _reserves_no_ids(heard: Heard) -> bool:
    """Whether it is the engine that lacks them, not a session or a network that will be back."""
    if not isinstance(heard, Answer):
        return False
    lacks_them = heard.is_success or heard.status in _NO_IDS or is_beyond_the_engine(heard)
    return lacks_them and not is_session_missing(heard)


def _holds(messages: Sequence[object], message_id: str) -> bool:
    own = bare_id(message_id)
    return any(
        bare_id(found) == own
        for message in messages
        if mapping(message).get("fromMe") is not False and (found := message_id_of(message)) is not None
    )


def _is_silent_since(messages: Sequence[object], since_ms: int) -> bool:
    """Whether there are messages, and the time of each is known and before that. What has no id is no message."""
    times = [mapping(each).get("timestamp") for each in messages if message_id_of(each) is not None]
    return bool(times) and all(isinstance(at_s, int | float) and 0 < at_s * 1000 < since_ms for at_s in times)
