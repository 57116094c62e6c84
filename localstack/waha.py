"""A simulator of WAHA, the WhatsApp HTTP API: sessions, sends, lookups, and all the ways in which a send may end.

It is unkind in the way of the real one: WORKING may lie, an error may come after the message went out, a 201 may say
nothing, an error repeats the text and the number. What it accepted is on record for judges.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Self

from aiohttp import web

from daemon.clock import SystemClock
from domain.ports import Clock
from localstack import waha_answers as answers
from localstack.faults import FaultPlan
from localstack.server import SeenRequest, SimulatorServer, options, serve_until_signalled
from localstack.sqs_sender import SqsSender
from localstack.waha_answers import IdShape
from localstack.waha_bodies import UnfitBody, read_chat, read_message
from localstack.waha_control import WahaControl
from localstack.waha_door import Door, WahaBehaviour
from localstack.waha_posts import Relay, WahaPosts
from localstack.waha_reads import HONOURS_IDS, WahaReads
from localstack.waha_records import WORKING, AcceptedMessage, StatusPoint, WahaRecords, chat_id_of
from localstack.waha_script import Trouble, TroubleKind, TroubleScript

__all__ = ["IdShape", "Trouble", "TroubleKind", "WahaBehaviour", "WahaSimulator"]


class WahaSimulator:
    """WAHA on a local port. `faults` disturbs the connection, `script` the sends; the properties are for judges."""

    def __init__(
        self,
        clock: Clock,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        api_key: str,
        faults: FaultPlan | None = None,
        engine: str = "NOWEB",
        behaviour: WahaBehaviour | None = None,
    ) -> None:
        self.faults = faults or FaultPlan()
        self.script = TroubleScript()
        self.behaviour = behaviour or WahaBehaviour()
        self.engine = engine
        self.typing: list[tuple[str, str, int]] = []
        self.records = WahaRecords(id_is_honoured=engine in HONOURS_IDS)
        self.posts: WahaPosts | None = None
        self._clock = clock
        self._door = Door(api_key, self.records, clock, self.behaviour)
        reads = WahaReads(engine, self._door, self.records, clock)
        control = WahaControl(self.records, self.script, clock, self._ring)
        routes = [*self._routes(), *reads.routes(), *control.routes()]
        self._server = SimulatorServer(routes, clock, self.faults, host, port)

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._server.stop()
        if self.posts is not None:
            await self.posts.drained()

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._server.url

    @property
    def accepted(self) -> Sequence[AcceptedMessage]:
        """Every message that it took, in order, repeats of an id included."""
        return self.records.accepted

    @property
    def accepted_by_chat(self) -> Mapping[str, Sequence[AcceptedMessage]]:
        """The same by chat, of all sessions."""
        by_chat: dict[str, list[AcceptedMessage]] = {}
        for message in self.accepted:
            by_chat.setdefault(message.chat_id, []).append(message)
        return by_chat

    @property
    def delivered(self) -> Sequence[AcceptedMessage]:
        """What people see on their phones: repeats of an id only if `records.delivers_repeats`."""
        return self.records.delivered

    @property
    def requests(self) -> Sequence[SeenRequest]:
        """Every HTTP request in the order in which they ended."""
        return self._server.requests

    def history(self, session: str) -> Sequence[StatusPoint]:
        """The statuses that a session had up to now, oldest first."""
        return self.records.known(session, self._clock.now_ms()).history

    def add_session(
        self, name: str, status: str = WORKING, account: Mapping[str, object] | None = None, owner: str | None = None
    ) -> None:
        """Add a session. `account` adds fields to what is told as `me`; `owner` stands in its metadata as `user.id`."""
        self.records.add_session(name, status, self._clock.now_ms())
        session = self.records.known(name, self._clock.now_ms())
        session.account.update(account or {})
        if owner is not None:
            session.metadata["user.id"] = owner
        self._ring()

    def set_status(self, name: str, status: str) -> None:
        """Give a session a status now. KeyError where it was never added."""
        self.records.turn(name, status, self._clock.now_ms())
        self._ring()

    def remove_session(self, name: str) -> None:
        """Let a session be gone from now on; `set_status` brings it back."""
        self.records.turn(name, None, self._clock.now_ms())
        self._ring()

    def plan_status(
        self, name: str, status: str | None, *, at_ms: int | None = None, after_accepted: int | None = None
    ) -> None:
        """Plan a status for a moment of the clock, or for when the session has accepted so many in all. None: gone."""
        self.records.plan(name, status, at_ms=at_ms, after_accepted=after_accepted)

    def post_webhooks(self, relay: Relay) -> WahaPosts:
        """From now on tell by itself what happens: acknowledgements, statuses, what people write."""
        self.posts = WahaPosts(relay, self.engine, self.records, self._clock)
        self.posts.statuses()
        return self.posts

    def remember(self, session: str, chat_id: str, text: str, at_ms: int) -> None:
        """Let a chat have an older text of the session's own; it can be looked up, but never was accepted here."""
        self.records.remember(session, chat_id_of(chat_id), text, at_ms)

    def set_ack(self, message_id: str, ack: int) -> None:
        """Let lookups tell this ack of a message, -1 to 4. KeyError for an id that was never accepted."""
        self.records.set_ack(message_id, ack)
        if self.posts is not None:
            self.posts.acked(message_id)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as `condition` holds; it is looked at again after every request, message and status set."""
        await self._server.bell.until(condition)

    def _ring(self) -> None:
        self._server.bell.ring()
        if self.posts is not None:
            self.posts.statuses()

    def set_api_key(self, api_key: str) -> None:
        """Let only this key open from now on."""
        self._door.api_key = api_key

    def _routes(self) -> list[web.RouteDef]:
        guarded = self._door.guarded
        return [
            web.post("/api/sendText", guarded(partial(self._send, "text")), name="sendText"),
            web.post("/api/sendImage", guarded(partial(self._send, "image")), name="sendImage"),
            web.post("/api/sendFile", guarded(partial(self._send, "file")), name="sendFile"),
            web.post("/api/sendVideo", guarded(partial(self._send, "video")), name="sendVideo"),
            web.post("/api/startTyping", guarded(partial(self._type, "start")), name="startTyping"),
            web.post("/api/stopTyping", guarded(partial(self._type, "stop")), name="stopTyping"),
        ]

    async def _send(self, kind: str, request: web.Request) -> web.Response:
        raw = await self._door.body(request)
        try:
            wanted = read_message(kind, raw, request.headers.get("Call-Ref"))
        except UnfitBody as error:
            return answers.unfit_body(request, raw, error, self.behaviour.unfit_status, self.engine)
        session = await self._door.working(wanted.session)
        trouble = self.script.draw(wanted.session, wanted.chat_id, self._clock.now_ms())
        if trouble is not None and not trouble.is_accepted:
            return answers.troubled(request, raw, trouble, self.engine)
        message = self.records.accept(wanted, self._clock.now_ms())
        if self.posts is not None:
            self.posts.accepted(message)
        self._server.bell.ring()
        if trouble is not None:
            return answers.troubled(request, raw, trouble, self.engine)
        return web.json_response(answers.sent(message, session.account["id"], self.behaviour.id_shape), status=201)

    async def _type(self, what: str, request: web.Request) -> web.Response:
        raw = await self._door.body(request)
        try:
            body = read_chat(raw)
        except UnfitBody as error:
            return answers.unfit_body(request, raw, error, self.behaviour.unfit_status, self.engine)
        await self._door.working(body.session)
        self.typing.append((chat_id_of(body.chatId), what, self._clock.now_ms()))
        return web.json_response(data=True, status=201)


async def _main(arguments: Sequence[str]) -> None:
    parser = options("waha")
    parser.add_argument("--api-key", required=True, help="what callers have to send as X-Api-Key")
    parser.add_argument("--engine", default="NOWEB", choices=("NOWEB", "GOWS", "WEBJS", "WPP"))
    parser.add_argument("--session", action="append", default=[], help="a session that is WORKING; may be repeated")
    parser.add_argument("--post-to", help="queue onto which it puts its webhooks; needs --sqs and --webhook-key")
    parser.add_argument("--sqs", help="address of the SQS server")
    parser.add_argument("--webhook-key", help="what signs the webhooks")
    asked = parser.parse_args(arguments)
    simulator = WahaSimulator(
        SystemClock(),
        asked.host,
        asked.port,
        api_key=asked.api_key,
        faults=FaultPlan(asked.seed),
        engine=asked.engine,
        behaviour=WahaBehaviour(wait_scale=1.0),
    )
    for name in asked.session:
        simulator.add_session(name)
    async with AsyncExitStack() as stack:
        if asked.post_to:
            if not (asked.sqs and asked.webhook_key):
                parser.error("--post-to needs --sqs and --webhook-key")
            sender = await stack.enter_async_context(SqsSender(asked.sqs))
            simulator.post_webhooks(Relay(sender, asked.post_to, asked.webhook_key))
        await serve_until_signalled("waha", simulator)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
