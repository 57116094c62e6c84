"""Moving a delivery to its dead-letter queue, with the reason in message attributes that a person can read."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from daemon.delivery import Delivery, Rejection
from daemon.sqs import Outgoing, QueueMissing, Sqs
from domain.errors import Unavailable
from domain.wire import MAX_MESSAGE_BYTES, iso, write_json

_MOST_ATTRIBUTES = 10
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

    async def bury(self, delivery: Delivery, rejection: Rejection) -> None:
        """Send the copy. Raises Unavailable; then nothing was deleted and the delivery comes back."""
        queue = self.queue_of(delivery.queue)
        letter = Outgoing(delivery.body, _attributes(delivery, rejection))
        if letter.size > MAX_MESSAGE_BYTES or not letter.body:
            await self.bodies.park_body(delivery.id, delivery.body)
            letter = Outgoing(_stand_in(delivery), {**letter.attributes, "bodyKeptAs": delivery.id})
        try:
            errors = await self.sqs.send(queue, [letter])
        except QueueMissing:
            await self.missing(queue)
            raise Unavailable("sqs", f"the dead-letter queue {queue} does not exist") from None
        if errors[0] is not None:
            raise errors[0]


def _attributes(delivery: Delivery, rejection: Rejection) -> Mapping[str, str]:
    """Seven of ours, then the message's own as far as SQS's limit of ten allows; the rest as one JSON attribute."""
    attributes = {
        "errorKind": rejection.kind,
        "errorMessage": _printable(rejection.reason)[:_REASON_CHARS],
        "handler": rejection.handler,
        "attempts": str(rejection.attempts),
        "firstAttemptAt": iso(rejection.first_at_ms),
        "lastAttemptAt": iso(rejection.last_at_ms),
        "sourceQueue": delivery.queue,
    }
    own = {name: text for name, text in delivery.attributes.items() if name not in attributes and text}
    room = _MOST_ATTRIBUTES - len(attributes) - 1  # one is kept free for `bodyKeptAs`
    if len(own) <= room:
        return {**attributes, **own}
    return {**attributes, "originalAttributes": json.dumps(own)}


def _printable(text: str) -> str:
    """SQS refuses control characters and lone surrogates in attributes as it does in bodies."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)


def _stand_in(delivery: Delivery) -> str:
    note = "the body and the reason did not fit into one message: the whole body is in the table parked_body"
    return write_json({"note": note, "id": delivery.id, "head": delivery.body[:_KEPT_HEAD_CHARS]})
