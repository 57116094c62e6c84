"""A delivery: one receipt of one message or one claim of one timer, with the three ways to settle it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel

COMMANDS, EVENTS, TIMERS, HTTP, WHATSAPP = "commands", "events", "timers", "http", "whatsapp"


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a delivery goes to the dead-letter queue; every field becomes a message attribute there."""

    kind: str
    reason: str
    handler: str
    attempts: int
    first_at_ms: int
    last_at_ms: int


class Delivery(Protocol):
    """What the dispatcher needs to know of a receipt, and what it may do with it."""

    @property
    def queue(self) -> str:
        """Name of the queue, or `timers`, or `http`."""
        ...

    @property
    def reads(self) -> str:
        """How the body is to be read: COMMANDS, EVENTS, WHATSAPP, TIMERS, or HTTP, a command whose caller waits."""
        ...

    @property
    def id(self) -> str:
        """SQS message id or timer id, the same at each redelivery; of an HTTP request its own."""
        ...

    @property
    def body(self) -> str:
        """The text as it came."""
        ...

    @property
    def attributes(self) -> Mapping[str, str]:
        """String message attributes."""
        ...

    @property
    def receive_count(self) -> int:
        """How often it was handed out, to anyone."""
        ...

    @property
    def age_ms(self) -> int:
        """Time since it was sent; 0 where nobody knows."""
        ...

    @property
    def fence(self) -> int | None:
        """Fencing token of a claimed timer; None for a message."""
        ...

    async def ack(self) -> None:
        """Delete it: handled for good."""
        ...

    async def retry(self, after_s: float) -> None:
        """Let it come back after `after_s`."""
        ...

    async def reject(self, rejection: Rejection) -> None:
        """Move it to the dead-letter queue with the reason, then delete it."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """A delivery, understood. (`source`, `id`) is its identity in the inbox."""

    type: str
    source: str
    id: str
    command: BaseModel
    robot_id: int | None = None
    call_ref: str | None = None
    reply_to: str | None = None
    traceparent: str | None = None

    @property
    def identity(self) -> "Identity":
        """Who and what it is, without what it says."""
        return Identity(self.type, self.source, self.id, self.robot_id, self.call_ref, self.reply_to)


@dataclass(frozen=True, slots=True)
class Identity:
    """As much as could be made out of a delivery that may be unreadable; for logs, journal and error results."""

    type: str = "unknown"
    source: str = "unknown"
    id: str = "unknown"
    robot_id: int | None = None
    call_ref: str | None = None
    reply_to: str | None = None
