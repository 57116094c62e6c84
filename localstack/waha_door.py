"""What every call to WAHA passes: the key, the size of its body, the wait for a session that is WORKING."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from domain.ports import Clock
from localstack import waha_answers as answers
from localstack.waha_answers import IdShape
from localstack.waha_records import WORKING, Session, WahaRecords

_PATIENCE_MS, _LOOK_EVERY_MS = 5000, 500
Handler = Callable[[web.Request], Awaitable[web.Response]]


class Refused(Exception):  # noqa: N818  an answer, not a fault
    """A request that ends early, with its answer."""

    def __init__(self, answer: web.Response) -> None:
        super().__init__(answer.status)
        self.answer = answer


@dataclass(slots=True)
class WahaBehaviour:
    """How this WAHA behaves; may be changed while it runs.

    `wait_scale` is the part of WAHA's wait of 5 s for a session to become WORKING; it passes on the simulator's clock.
    """

    wait_scale: float = 0.0
    id_shape: IdShape = IdShape.TEXT
    unfit_status: int = 400  # or 500: versions without validation of sends
    unknown_message_status: int = 404  # or 200 with null, or 500
    no_new_ids_status: int = 501  # of an engine without new-message-id; 404 or 422 in other versions
    has_store: bool = True  # NOWEB without its store can't look anything up: 400
    stopped_is_missing: bool = False  # some versions answer sends through a stopped session with 404
    is_healthy: bool = True
    max_body_bytes: int = 50 * 1024 * 1024


class Door:
    """The way in, with the one `api_key` that opens it."""

    def __init__(self, api_key: str, records: WahaRecords, clock: Clock, behaviour: WahaBehaviour) -> None:
        self.api_key = api_key
        self.behaviour = behaviour
        self._records = records
        self._clock = clock

    def guarded(self, handler: Handler) -> Handler:
        """The handler behind the key; what it raises as Refused is the answer."""

        async def handle(request: web.Request) -> web.Response:
            if self.api_key not in (request.headers.get("X-Api-Key"), request.query.get("x-api-key")):
                return answers.unauthorized()
            try:
                return await handler(request)
            except Refused as refused:
                return refused.answer

        return handle

    async def body(self, request: web.Request) -> bytes:
        """The whole body. Refused with 413 as soon as it is too long."""
        limit = self.behaviour.max_body_bytes
        if request.content.at_eof():  # read already, before the request hung
            return await request.read()
        raw = bytearray()
        async for chunk in request.content.iter_any():
            raw += chunk
            if len(raw) > limit:
                raise Refused(answers.refusal(413, "request entity too large"))
        return bytes(raw)

    async def working(self, name: str) -> Session:
        """The session as soon as it is WORKING, looked at as often as WAHA does; else an answer."""
        given_up_ms = self._clock.now_ms() + int(_PATIENCE_MS * self.behaviour.wait_scale)
        while True:
            now_ms = self._clock.now_ms()
            session = self._records.session(name, now_ms)
            if session is None or (session.status == "STOPPED" and self.behaviour.stopped_is_missing):
                raise Refused(answers.no_session(name))
            if session.status == WORKING:
                return session
            if now_ms >= given_up_ms:
                raise Refused(answers.not_working(name, session.status))
            look_again_ms = now_ms + max(1, int(_LOOK_EVERY_MS * self.behaviour.wait_scale))
            await self._clock.wait_until(min(look_again_ms, given_up_ms))
