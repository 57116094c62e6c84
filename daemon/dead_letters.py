"""Moving a delivery to its dead-letter queue, with the reason in message attributes that a person can read."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from daemon.delivery import Delivery, Rejection
from daemon.metrics import Metrics
from daemon.sqs import Outgoing, QueueMissing, Sqs
from domain.errors import Unavailable
from domain.wire import MAX_MESSAGE_BYTES, iso, write_json

_MOST_ATTRIBUTES = 10
_OURS = (
    "errorKind",
    "errorMessage",
    "handler",
    "attempts",
    "firstAttemptAt",
    "lastAttemptAt",
    "sourceQueue",
    "bodyKeptAs",  # not on every letter, but its place is kept free
)
_REASON_CHARS = 1000
_KEPT_HEAD_CHARS = 4000


class KeepsBodies(Protocol):
    """Where the whole body stays when body and reason no longer fit into one message."""

    async def park_body(self, delivery_id: str, body: str) -> None:
        """Keep it; keeping it again is harmless."""
        ...


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Buries deliveries. `queue_of` names the dead-letter queue of a queue."""

    sqs: Sqs
    queue_of: Callable[[str], str]
    bodies: KeepsBodies
    missing: Callable[[str], Awaitable[None]]
    metrics: Metrics = field(default_factory=Metrics)

    async def bury(self, delivery: Delivery, rejection: Rejection) -> None:
        """Send the copy. Raises Unavailable; then nothing was deleted and the delivery comes back."""
        queue = self.queue_of(delivery.queue)
        letter = await self._letter(delivery, rejection)
        try:
            errors = await self.sqs.send(queue, [letter])
        except QueueMissing:
            await self.missing(queue)
            raise Unavailable("sqs", f"the dead-letter queue {queue} does not exist") from None
        if errors[0] is not None:
            raise errors[0]
        self.metrics.buried(delivery.queue, rejection.kind)

    async def _letter(self, delivery: Delivery, rejection: Rejection) -> Outgoing:
        reason, own = _reason(delivery, rejection), _own(delivery)
        letter = Outgoing(delivery.body, {**reason, **own})
        if letter.size > MAX_MESSAGE_BYTES or not letter.body:
            await self.bodies.park_body(delivery.id, delivery.body)
            letter = Outgoing(_stand_in(delivery), {**letter.attributes, "bodyKeptAs": delivery.id})
        if letter.size > MAX_MESSAGE_BYTES:  # attributes count like the body, and alone may fill a message
            name = f"{delivery.id}:attributes"
            await self.bodies.park_body(name, json.dumps(dict(delivery.attributes)))
            letter = Outgoing(letter.body, {**reason, "bodyKeptAs": delivery.id, "attributesKeptAs": name})
        return letter


def _reason(delivery: Delivery, rejection: Rejection) -> Mapping[str, str]:
    return {
        "errorKind": rejection.kind,
        "errorMessage": _printable(rejection.reason)[:_REASON_CHARS],
        "handler": rejection.handler,
        "attempts": str(rejection.attempts),
        "firstAttemptAt": iso(rejection.first_at_ms),
        "lastAttemptAt": iso(rejection.last_at_ms),
        "sourceQueue": delivery.queue,
    }


def _own(delivery: Delivery) -> Mapping[str, str]:
    """The message's own attributes, as one of JSON when SQS's limit of ten leaves no room for them beside ours."""
    own = {name: text for name, text in delivery.attributes.items() if name not in _OURS and text}
    return own if len(own) <= _MOST_ATTRIBUTES - len(_OURS) else {"originalAttributes": json.dumps(own)}


def _printable(text: str) -> str:
    """SQS refuses control characters and lone surrogates in attributes as it does in bodies."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)


def _stand_in(delivery: Delivery) -> str:
    note = "the body and the reason did not fit into one message: the whole body is in the table parked_body"
    return write_json({"note": note, "id": delivery.id, "head": delivery.body[:_KEPT_HEAD_CHARS]})
