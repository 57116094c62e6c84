"""From a delivery's text to a typed message: envelope, route, fields."""

import re
from collections.abc import Mapping
from uuid import UUID, uuid5

from pydantic import BaseModel, ValidationError

from daemon.delivery import COMMANDS, EVENTS, HTTP, TIMERS, WHATSAPP, Delivery, Identity, Message
from domain.errors import MessageError
from domain.messages import problems_of, read_envelope, read_megazord_event
from domain.webhook_call import read_call
from domain.whatsapp_events import read_event
from domain.wire import JsonObject, read_json
from handlers.routes import Origin, Route

_REFERENCES = UUID("6f8c1c6e-5d0b-4c55-9f0e-2f1d3b7a9e41")  # any fixed one: it only has to stay the same
_CALL_REF = re.compile("[ -~]{1,128}")
EVENT_TYPE = "megazord.event"
EVENT_SOURCE = "megazord-events"
WHATSAPP_TYPE, WHATSAPP_SOURCE = "waha.event", "waha"


def read(delivery: Delivery, routes: Mapping[str, Route], webhook_key: str | None = None) -> Message:
    """Understand a delivery. Raises MessageError with a reason that a person understands.

    `webhook_key` is what WAHA signs with; without one nothing of WhatsApp is believed.
    """
    match delivery.reads:
        case kind if kind in (COMMANDS, HTTP):
            return _command(delivery, routes)
        case kind if kind == EVENTS:
            return _event(delivery)
        case kind if kind == WHATSAPP:
            return _whatsapp(delivery, webhook_key)
        case kind if kind == TIMERS:
            return _timer(delivery, routes)
        case other:
            raise MessageError(f"no reader for {other}", kind="no-reader")


def _command(delivery: Delivery, routes: Mapping[str, Route]) -> Message:
    envelope = read_envelope(delivery.body)
    route = _route(envelope.type, Origin.COMMAND, routes)
    data = _data(envelope.data, route.model, "data")
    given = envelope.callref or _call_ref(delivery.attributes.get("callRef"))
    call_ref = given or _own_call_ref(envelope.source, envelope.id)
    robot_id, reply_to = getattr(data, "robot_id", None), getattr(data, "reply_to", None)
    return Message(
        envelope.type, envelope.source, envelope.id, data, robot_id, call_ref, reply_to, envelope.traceparent
    )


def _event(delivery: Delivery) -> Message:
    event = read_megazord_event(delivery.body)
    given = _call_ref(delivery.attributes.get("callRef"))
    call_ref = given or _own_call_ref(EVENT_SOURCE, event.message_id)
    return Message(EVENT_TYPE, EVENT_SOURCE, event.message_id, event, event.robot_id, call_ref)


def _whatsapp(delivery: Delivery, key: str | None) -> Message:
    """Nothing of it is looked at before its signature was; nor the attributes beside it, which nobody has signed."""
    call = read_call(delivery.body, delivery.attributes)
    if not key or not call.is_signed_with(key):
        raise MessageError("there is no signature of WAHA, or not one by waha.webhook_key", kind="bad-signature")
    event = read_event(call.body)
    call_ref = _own_call_ref(WHATSAPP_SOURCE, event.id)
    return Message(WHATSAPP_TYPE, WHATSAPP_SOURCE, event.id, event, call_ref=call_ref)


def _timer(delivery: Delivery, routes: Mapping[str, Route]) -> Message:
    timer_type = delivery.attributes["type"]
    route = _route(timer_type, Origin.TIMER, routes)
    data = _data(read_json(delivery.body), route.model, "timer")
    identity = f"{delivery.id}#{delivery.fence}"
    call_ref = delivery.attributes.get("callRef") or _own_call_ref("timer", identity)
    return Message(timer_type, "timer", identity, data, getattr(data, "robot_id", None), call_ref)


def _route(message_type: str, origin: Origin, routes: Mapping[str, Route]) -> Route:
    route = routes.get(message_type)
    if route is None or route.origin is not origin:
        known = ", ".join(sorted(name for name, known in routes.items() if known.origin is origin))
        raise MessageError(f"unknown type {message_type[:80]!r}; known: {known}", kind="unknown-type")
    return route


def _data(content: JsonObject, model: type[BaseModel], where: str) -> BaseModel:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise MessageError(f"{where}: {problems_of(error)}", kind="invalid-data") from None


def identify(delivery: Delivery) -> Identity:
    """Whatever can be made out of a body that could not be read as a message. Never raises."""
    if delivery.reads == WHATSAPP:  # anybody may have written it, and what people write is not journalled
        return Identity(WHATSAPP_TYPE, WHATSAPP_SOURCE, delivery.id)
    call_ref = _call_ref(delivery.attributes.get("callRef"))
    try:
        body = read_json(delivery.body)
    except MessageError:
        return Identity(id=delivery.id, call_ref=call_ref)
    data = body.get("data")
    robot_id, reply_to = (data.get("robotId"), data.get("replyTo")) if isinstance(data, dict) else (None, None)
    return Identity(
        type=_word(body.get("type"), "unknown"),
        source=_word(body.get("source"), "unknown"),
        id=_word(body.get("id"), delivery.id),
        robot_id=robot_id if _is_robot_id(robot_id) else None,
        call_ref=_call_ref(body.get("callref")) or call_ref,
        reply_to=reply_to if isinstance(reply_to, str) else None,
    )


def _word(value: object, otherwise: str) -> str:
    return str(value)[:128] if isinstance(value, str | int) and value != "" else otherwise


def _call_ref(value: object) -> str | None:
    """A reference that the database can keep; any other isn't worth refusing a message that is good otherwise."""
    is_good = isinstance(value, str) and _CALL_REF.fullmatch(value) is not None
    return str(value) if is_good else None


def _own_call_ref(source: str, identity: str) -> str:
    """A plain UUID for a message without a reference, the same at each redelivery: its lines belong together."""
    return str(uuid5(_REFERENCES, f"{source} {identity}"))


def _is_robot_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**32
