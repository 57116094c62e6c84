"""Messages as tests and people look at them: a copy without side effects."""

from collections.abc import Mapping
from dataclasses import dataclass

from localstack.sqs.queues import Message


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message in a queue, whatever its `state`: visible, delayed or in_flight.

    `attributes` maps names to the text that travelled (base64 for binary), `system` holds what came beside them
    (MessageGroupId, AWSTraceHeader, DeadLetterQueueSourceArn).
    """

    message_id: str
    body: str
    attributes: Mapping[str, str]
    system: Mapping[str, str]
    receive_count: int
    state: str
    sent_s: float


def stored(message: Message) -> StoredMessage:
    """The view of one message."""
    attributes = {
        name: each.wire["BinaryValue" if each.is_binary else "StringValue"]
        for name, each in message.content.attributes.items()
    }
    return StoredMessage(
        message_id=message.message_id,
        body=message.content.body,
        attributes=attributes,
        system=message.system,
        receive_count=message.receive_count,
        state=str(message.state),
        sent_s=message.sent_s,
    )
