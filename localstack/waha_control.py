"""The control API of the WAHA simulator: sessions, trouble, numbers and acks from outside; what was accepted."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from domain.ports import Clock
from localstack.server import CONTROL, refusal
from localstack.waha_records import WORKING, WahaRecords
from localstack.waha_script import Trouble, TroubleScript

_TROUBLE: TypeAdapter[Trouble] = TypeAdapter(Trouble)
_SESSION = f"{CONTROL}/sessions/{{session}}"


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class _NewSession(_Body):
    name: Annotated[str, Field(min_length=1)]
    status: str = WORKING


class _Status(_Body):
    """`at_ms` or `after_accepted` plan it; without them it is so now. `status` null: the session is gone."""

    status: str | None
    at_ms: int | None = None
    after_accepted: int | None = None


class _Number(_Body):
    phone: str
    chat_id: str | None = None


class _Ack(_Body):
    id: str
    ack: Annotated[int, Field(ge=-1, le=4)]


class WahaControl:
    """Handlers under /_robotd/. `ring` is called after each change."""

    def __init__(self, records: WahaRecords, script: TroubleScript, clock: Clock, ring: Callable[[], None]) -> None:
        self._records = records
        self._script = script
        self._clock = clock
        self._ring = ring

    def routes(self) -> list[web.RouteDef]:
        """What the server has to serve."""
        return [
            web.post(f"{CONTROL}/sessions", self._guarded(self._add_session)),
            web.put(_SESSION, self._guarded(self._turn_session)),
            web.delete(_SESSION, self._guarded(self._end_session)),
            web.post(f"{CONTROL}/troubles", self._guarded(self._add_trouble)),
            web.delete(f"{CONTROL}/troubles", self._guarded(self._clear_troubles)),
            web.post(f"{CONTROL}/numbers", self._guarded(self._add_number)),
            web.post(f"{CONTROL}/acks", self._guarded(self._set_ack)),
            web.get(f"{CONTROL}/accepted", self._show_accepted),
            web.get(f"{CONTROL}/counts", self._show_counts),
        ]

    def _guarded(self, change: Callable[[str, bytes], None]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            try:
                change(request.match_info.get("session", ""), await request.read())
            except (ValidationError, ValueError) as error:
                return refusal(400, str(error))
            except KeyError as error:
                return refusal(404, f"nobody knows {error}")
            self._ring()
            return web.Response(status=204)

        return handle

    def _add_session(self, _name: str, raw: bytes) -> None:
        body = _NewSession.model_validate_json(raw)
        self._records.add_session(body.name, body.status, self._clock.now_ms())

    def _turn_session(self, name: str, raw: bytes) -> None:
        body = _Status.model_validate_json(raw)
        if body.at_ms is None and body.after_accepted is None:
            self._records.turn(name, body.status, self._clock.now_ms())
        else:
            self._records.plan(name, body.status, at_ms=body.at_ms, after_accepted=body.after_accepted)

    def _end_session(self, name: str, _raw: bytes) -> None:
        self._records.turn(name, None, self._clock.now_ms())

    def _add_trouble(self, _name: str, raw: bytes) -> None:
        self._script.add(_TROUBLE.validate_json(raw))

    def _clear_troubles(self, _name: str, _raw: bytes) -> None:
        self._script.clear()

    def _add_number(self, _name: str, raw: bytes) -> None:
        body = _Number.model_validate_json(raw)
        self._records.numbers[body.phone] = body.chat_id

    def _set_ack(self, _name: str, raw: bytes) -> None:
        body = _Ack.model_validate_json(raw)
        self._records.set_ack(body.id, body.ack)

    async def _show_accepted(self, request: web.Request) -> web.Response:
        """All of them, or `count` from number `from` on: hundreds of thousands would be too much for one answer."""
        try:
            first = int(request.query.get("from", "0"))
            count = int(request.query.get("count", len(self._records.accepted)))
        except ValueError as error:
            return refusal(400, str(error))
        return web.json_response([asdict(message) for message in self._records.accepted[first : first + count]])

    async def _show_counts(self, _request: web.Request) -> web.Response:
        return web.json_response({"accepted": len(self._records.accepted)})
