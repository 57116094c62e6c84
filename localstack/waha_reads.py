"""All that WAHA tells without sending: its sessions and version, whether a number exists, which messages it knows."""

from aiohttp import web

from domain.ports import Clock
from localstack import waha_answers as answers
from localstack.waha_door import Door, Refused
from localstack.waha_lookups import Chosen, choose
from localstack.waha_records import AcceptedMessage, Session, WahaRecords, chat_id_of

HONOURS_IDS = frozenset({"NOWEB", "GOWS"})
_CHAT = "/api/{session}/chats/{chat_id}/messages"


class WahaReads:
    """Handlers of the GET calls, for an engine."""

    def __init__(self, engine: str, door: Door, records: WahaRecords, clock: Clock) -> None:
        self._engine = engine
        self._door = door
        self._records = records
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        """What the server has to serve."""
        guarded = self._door.guarded
        return [
            web.get("/ping", self._ping, name="ping"),
            web.get("/health", guarded(self._health), name="health"),
            web.get("/api/server/version", guarded(self._version), name="version"),
            web.get("/api/sessions", guarded(self._list_sessions), name="session.list"),
            web.get("/api/sessions/{session}", guarded(self._read_session), name="session.read"),
            web.get("/api/contacts/check-exists", guarded(self._check_number), name="contact.check"),
            web.get("/api/{session}/new-message-id", guarded(self._new_id), name="message-id.new"),
            web.get("/api/{session}/lids/{lid}", guarded(self._read_lid), name="lid.read"),
            web.get(_CHAT, guarded(self._list_messages), name="message.list"),
            web.get(_CHAT + "/{message_id}", guarded(self._read_message), name="message.read"),
        ]

    async def _ping(self, _request: web.Request) -> web.Response:
        return web.json_response({"message": "pong"})

    async def _health(self, _request: web.Request) -> web.Response:
        is_healthy = self._door.behaviour.is_healthy
        body: dict[str, object] = {"status": "ok" if is_healthy else "error", "info": {}, "error": {}, "details": {}}
        return web.json_response(body, status=200 if is_healthy else 503)

    async def _version(self, _request: web.Request) -> web.Response:
        return web.json_response(answers.environment(self._engine))

    async def _list_sessions(self, request: web.Request) -> web.Response:
        with_stopped = request.query.get("all") == "true"
        sessions = self._records.sessions(self._clock.now_ms())
        told = [session for session in sessions if with_stopped or session.status != "STOPPED"]
        return web.json_response([answers.session_info(session, self._engine) for session in told])

    async def _read_session(self, request: web.Request) -> web.Response:
        session = self._records.session(request.match_info["session"], self._clock.now_ms())
        if session is None:
            return answers.refusal(404, "Session not found", "Not Found")
        return web.json_response(answers.session_info(session, self._engine))

    async def _check_number(self, request: web.Request) -> web.Response:
        phone, session = request.query.get("phone"), request.query.get("session")
        if not phone or not session:
            return answers.refusal(400, ["phone and session are needed"], "Bad Request")
        await self._door.working(session)
        chat_id = self._records.numbers.get(phone, chat_id_of(phone))
        return web.json_response(
            {"numberExists": False} if chat_id is None else {"numberExists": True, "chatId": chat_id}
        )

    async def _new_id(self, request: web.Request) -> web.Response:
        if self._engine not in HONOURS_IDS:
            return answers.not_implemented(self._engine, self._door.behaviour.no_new_ids_status)
        await self._door.working(request.match_info["session"])
        return web.json_response({"id": self._records.new_id()})

    async def _read_lid(self, request: web.Request) -> web.Response:
        """Asked with `@lid` or without; of one that nobody knows the number is null."""
        await self._door.working(request.match_info["session"])
        lid = f"{request.match_info['lid'].removesuffix('@lid')}@lid"
        return web.json_response({"lid": lid, "pn": self._records.lids.get(lid)})

    async def _list_messages(self, request: web.Request) -> web.Response:
        session, chat_id = await self._chat(request)
        messages = self._records.chat(session.name, chat_id, self._clock.now_ms())
        try:
            chosen = choose(messages, self._records.acks, Chosen.of(request.query))
        except ValueError as error:
            return answers.refusal(400, [str(error)], "Bad Request")
        return web.json_response([self._told(message, session) for message in chosen])

    async def _read_message(self, request: web.Request) -> web.Response:
        session, chat_id = await self._chat(request)
        asked_id = request.match_info["message_id"]
        message = self._records.find(session.name, chat_id, asked_id, self._clock.now_ms())
        if message is not None:
            return web.json_response(self._told(message, session))
        match self._door.behaviour.unknown_message_status:
            case 200:
                return web.json_response(None)
            case 500:
                exception = {"name": "TypeError", "message": "Cannot read properties of undefined (reading 'key')"}
                return answers.engine_error(request, b"", exception, self._engine)
            case status:
                return answers.refusal(status, "Message not found", "Not Found")

    def _told(self, message: AcceptedMessage, session: Session) -> dict[str, object]:
        return answers.message_info(message, session.account["id"], self._records.acks[message.id])

    async def _chat(self, request: web.Request) -> tuple[Session, str]:
        session = await self._door.working(request.match_info["session"])
        if not self._door.behaviour.has_store:
            raise Refused(answers.refusal(400, "Enable the NOWEB store to read chats", "Bad Request"))
        return session, chat_id_of(request.match_info["chat_id"])
