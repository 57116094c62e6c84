"""What a result looks like on its way: the row of the outbox, and the envelope that a robot or a service reads."""

from collections.abc import Mapping
from dataclasses import dataclass

from daemon.traces import TRACEPARENT, current_traceparent
from domain.errors import RuleViolation
from domain.messages import Result
from domain.wire import MAX_MESSAGE_BYTES, JsonObject, iso, write_json


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One message to be sent. `destination` is a queue name or a queue URL; `attempts` counts failed sends."""

    id: str
    destination: str
    body: str
    attributes: Mapping[str, str]
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Addressing:
    """How results are addressed, and who they are from.

    A robot's queue is `{robot_prefix}{robotId}`, plain concatenation. A reply queue was checked when its command came:
    what was accepted is answered there, also by a replica whose list of reply queues is another one by now.
    """

    robot_prefix: str
    service_name: str
    hostname: str

    def row(self, row_id: str, result: Result, now_ms: int) -> OutboxRow:
        """The outbox row of a result. RuleViolation when it is larger than a message may be."""
        time, (destination, to) = iso(now_ms), self._addressee(result)
        attributes = {"type": result.type, "time": time}
        if result.call_ref is not None:
            attributes["callRef"] = result.call_ref
        if (traceparent := current_traceparent()) is not None:
            attributes[TRACEPARENT] = traceparent
        body = write_json(
            {
                "from": {"serviceName": self.service_name, "hostname": self.hostname},
                "to": to,
                "link": {"link": result.link, "rel": ""},
                "payload": result.payload,
                "id": result.id,
                "type": result.type,
                "time": time,
                "callRef": result.call_ref,
            }
        )
        size = len(body) + sum(len(name) + len(text) + len("String") for name, text in attributes.items())
        if size > MAX_MESSAGE_BYTES:
            raise RuleViolation(
                f"the result {result.id} has {size} bytes, SQS takes {MAX_MESSAGE_BYTES}", kind="too-large"
            )
        return OutboxRow(row_id, destination, body, attributes)

    def _addressee(self, result: Result) -> tuple[str, JsonObject]:
        """The queue, and what the envelope says of it."""
        if result.reply_to is not None:
            return result.reply_to, {"queue": result.reply_to}
        return f"{self.robot_prefix}{result.robot_id}", {"robotId": str(result.robot_id)}
