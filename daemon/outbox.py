"""What a result looks like on its way to a robot: the row of the outbox, and the envelope that the robot reads."""

from collections.abc import Mapping
from dataclasses import dataclass

from domain.errors import RuleViolation
from domain.messages import Result
from domain.wire import MAX_MESSAGE_BYTES, iso, write_json


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
    """How results are addressed: `{robot_prefix}{robotId}`, plain concatenation, and who they are from."""

    robot_prefix: str
    service_name: str
    hostname: str

    def row(self, row_id: str, result: Result, now_ms: int) -> OutboxRow:
        """The outbox row of a result. RuleViolation when it is larger than a message may be."""
        time = iso(now_ms)
        attributes = {"type": result.type, "time": time}
        if result.call_ref is not None:
            attributes["callRef"] = result.call_ref
        body = write_json(
            {
                "from": {"serviceName": self.service_name, "hostname": self.hostname},
                "to": {"robotId": str(result.robot_id)},
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
        return OutboxRow(row_id, f"{self.robot_prefix}{result.robot_id}", body, attributes)
