"""A simulator of Megazord Events: its HTTP API, and one SQS message for each event and matching subscription.

It behaves like Megazord also where that hurts: `until` is not stored, service subscriptions are never merged, a missing
queue or a failed send loses the message silently, queries have no order. What it did is on record for judges.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Annotated, Self
from uuid import uuid4

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from daemon.clock import SystemClock
from domain.ports import Clock
from localstack.faults import FAN_OUT, FaultPlan
from localstack.megazord_records import (
    Duplicate,
    Fate,
    IncomingEvent,
    MegazordRecords,
    OutgoingEvent,
    Report,
    Subscription,
    UnknownName,
)
from localstack.server import CONTROL, SeenRequest, SimulatorServer, options, refusal, serve_until_signalled
from localstack.sqs_sender import SendFailed, SendsMessages, SqsSender

_ROBOT = "/internal/v1/events/robots/{robot_id:[0-9]{1,10}}"
_SUBSCRIPTION = _ROBOT + "/subscriptions/{subscription_id:[0-9]{1,18}}"
_IsoTime = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class _CreateIncoming(_Body):
    provider_name: str
    event_name: str
    level: Annotated[int, Field(ge=0, le=255)] | None = None
    reference_id: Annotated[str, Field(max_length=256)] | None = None


class _CreateSubscription(_Body):
    event_names: Annotated[list[str], Field(min_length=1)]
    until: _IsoTime | None = None
    is_trigger_subscription: bool = False
    queue: Annotated[str, Field(max_length=128, pattern=r"^[a-zA-Z0-9-]+$")] | None = None


class _PostEvent(_Body):
    robot_id: int
    event_name: str
    level: int | None = None
    reference_id: str | None = None
    provider_name: str = "Sensara"
    created_at_ms: int | None = None


class MegazordSimulator:
    """Megazord on a local port. `faults` disturbs it; the properties tell judges what happened.

    It doesn't know `unknown_names`: a Megazord that nobody has taught a new event yet.
    """

    def __init__(
        self,
        sqs: SendsMessages,
        clock: Clock,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        status_queue: str = "status-queue",
        faults: FaultPlan | None = None,
        unknown_names: Iterable[str] = (),
    ) -> None:
        self.faults = faults or FaultPlan()
        self._sqs = sqs
        self._clock = clock
        self._records = MegazordRecords(status_queue, unknown_names)
        self._server = SimulatorServer(self._routes(), clock, self.faults, host, port)

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._server.stop()

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._server.url

    @property
    def incoming(self) -> Sequence[IncomingEvent]:
        """Every stored event, oldest id first."""
        return self._records.incoming

    @property
    def outgoing(self) -> Sequence[OutgoingEvent]:
        """Every outgoing event with what became of its message."""
        return list(self._records.outgoing.values())

    @property
    def subscriptions(self) -> Sequence[Subscription]:
        """Every subscription that was ever made."""
        return list(self._records.subscriptions.values())

    @property
    def requests(self) -> Sequence[SeenRequest]:
        """Every HTTP request in the order in which they ended."""
        return self._server.requests

    def active_subscriptions(self, robot_id: int | None = None) -> list[Subscription]:
        """Subscriptions that are not deleted, of one robot or of all."""
        return [
            subscription
            for subscription in self._records.subscriptions.values()
            if subscription.is_active and robot_id in (None, subscription.robot_id)
        ]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as `condition` holds; it is looked at again after every request and every event."""
        await self._server.bell.until(condition)

    async def post_event(
        self,
        robot_id: int,
        event_name: str,
        level: int | None = None,
        reference_id: str | None = None,
        created_at_ms: int | None = None,
        *,
        provider_name: str = "Sensara",
        call_ref: str | None = None,
    ) -> int:
        """What POST incomings does, without HTTP: returns the event's id once its messages are sent or lost."""
        report = Report(robot_id, event_name, level, provider_name, reference_id)
        return (await self._take_in(report, call_ref, created_at_ms)).id

    async def _take_in(self, report: Report, call_ref: str | None, at_ms: int | None) -> IncomingEvent:
        event = self._records.add_incoming(report, self._clock.now_ms() if at_ms is None else at_ms)
        outgoing = self._records.send_out(event, call_ref or str(uuid4()), self._clock.now_ms())
        await asyncio.gather(*(self._send(each) for each in outgoing))
        self._server.bell.ring()
        return event

    async def _send(self, outgoing: OutgoingEvent) -> None:
        if self.faults.draw(FAN_OUT) is not None:
            self._records.settle(outgoing, Fate.DROPPED)
            return
        body = json.dumps(outgoing.to_message(), separators=(",", ":"))
        try:
            is_sent = await self._sqs.send(outgoing.queue_name, body, {"callRef": outgoing.call_ref})
        except SendFailed:  # Megazord says nothing and tries nothing again
            self._records.settle(outgoing, Fate.SEND_FAILED)
        else:
            self._records.settle(outgoing, Fate.SENT if is_sent else Fate.NO_QUEUE)

    def _routes(self) -> list[web.RouteDef]:
        return [
            web.post(f"{_ROBOT}/incomings", self._create_incoming, name="incomings.create"),
            web.get(f"{_ROBOT}/incomings", self._list_incomings, name="incomings.list"),
            web.post(f"{_ROBOT}/subscriptions", self._create_subscription, name="subscriptions.create"),
            web.delete(_SUBSCRIPTION, self._delete_subscription, name="subscriptions.delete"),
            web.get(_SUBSCRIPTION + "/outgoings/{outgoing_id:[0-9]{1,18}}", self._read_outgoing, name="outgoings.read"),
            web.get(f"{CONTROL}/subscriptions", self._show_subscriptions),
            web.get(f"{CONTROL}/events", self._show_events),
            web.get(f"{CONTROL}/outgoings", self._show_outgoings),
            web.post(f"{CONTROL}/events", self._post_event),
        ]

    async def _create_incoming(self, request: web.Request) -> web.Response:
        robot_id = int(request.match_info["robot_id"])
        try:
            body = _CreateIncoming.model_validate_json(await request.read())
            report = Report(robot_id, body.event_name, body.level, body.provider_name, body.reference_id)
            event = await self._take_in(report, request.headers.get("Call-Ref"), None)
        except ValidationError as error:
            return refusal(400, str(error))
        except UnknownName as error:
            return refusal(404, str(error))
        return web.json_response(event.to_wire(), status=201)

    async def _list_incomings(self, request: web.Request) -> web.Response:
        since = request.query.get("created_since")
        if since is not None and not (since.isascii() and since.isdigit()):
            return refusal(400, "created_since must be Unix seconds")
        events = self._records.events(
            int(request.match_info["robot_id"]),
            request.query.get("event_name"),
            None if since is None else int(since),
        )
        return web.json_response([event.to_wire() for event in events])

    async def _create_subscription(self, request: web.Request) -> web.Response:
        try:
            body = _CreateSubscription.model_validate_json(await request.read())
        except ValidationError as error:
            return refusal(400, str(error))
        if len(set(body.event_names)) != len(body.event_names):
            return refusal(400, "eventNames must be unique")
        try:
            subscription = self._records.subscribe(self._wanted(request, body))
        except UnknownName as error:
            return refusal(404, str(error))
        except Duplicate as error:
            return refusal(409, str(error))
        return web.json_response(subscription.to_wire(), status=201)

    def _wanted(self, request: web.Request, body: _CreateSubscription) -> Subscription:
        return Subscription(
            id=0,
            robot_id=int(request.match_info["robot_id"]),
            event_names=tuple(body.event_names),
            queue=body.queue,
            is_trigger=body.is_trigger_subscription,
            asked_until=body.until,
            call_ref=request.headers.get("Call-Ref"),
            created_at_ms=self._clock.now_ms(),
        )

    async def _delete_subscription(self, request: web.Request) -> web.Response:
        robot_id, subscription_id = int(request.match_info["robot_id"]), int(request.match_info["subscription_id"])
        if not self._records.unsubscribe(robot_id, subscription_id, self._clock.now_ms()):
            return refusal(404, f"subscription {subscription_id} not found")
        return web.Response(status=204)

    async def _read_outgoing(self, request: web.Request) -> web.Response:
        outgoing = self._records.outgoing.get(int(request.match_info["outgoing_id"]))
        asked_for = (int(request.match_info["robot_id"]), int(request.match_info["subscription_id"]))
        if outgoing is None or (outgoing.source.robot_id, outgoing.subscription_id) != asked_for:
            return refusal(404, "outgoing event not found")
        return web.json_response(outgoing.to_wire())

    async def _show_subscriptions(self, _request: web.Request) -> web.Response:
        return web.json_response([asdict(subscription) for subscription in self.subscriptions])

    async def _show_events(self, _request: web.Request) -> web.Response:
        return web.json_response([asdict(event) for event in self.incoming])

    async def _show_outgoings(self, _request: web.Request) -> web.Response:
        return web.json_response([asdict(outgoing) for outgoing in self.outgoing])

    async def _post_event(self, request: web.Request) -> web.Response:
        try:
            body = _PostEvent.model_validate_json(await request.read())
            report = Report(body.robot_id, body.event_name, body.level, body.provider_name, body.reference_id)
            event = await self._take_in(report, request.headers.get("Call-Ref"), body.created_at_ms)
        except (ValidationError, UnknownName) as error:
            return refusal(400, str(error))
        return web.json_response({"id": event.id}, status=201)


async def _main(arguments: Sequence[str]) -> None:
    parser = options("megazord")
    parser.add_argument("--sqs", required=True, help="address of the SQS endpoint")
    parser.add_argument("--status-queue", default="status-queue")
    asked = parser.parse_args(arguments)
    async with AsyncExitStack() as open_until_end:
        sqs = await open_until_end.enter_async_context(SqsSender(asked.sqs))
        faults = FaultPlan(asked.seed)
        simulator = MegazordSimulator(
            sqs, SystemClock(), asked.host, asked.port, status_queue=asked.status_queue, faults=faults
        )
        await serve_until_signalled("megazord", simulator)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
