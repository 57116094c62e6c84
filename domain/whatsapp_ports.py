"""What the watch over WhatsApp messages needs from the world: the messages by their ids, and a gateway that looks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.campaign import RecipientState
from domain.number_breaker import Acks
from domain.sending import SessionState


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message of a campaign by WhatsApp's bare id, with the recipient to whom it went, as it stands now."""

    session: str
    message_id: str
    campaign_id: int
    position: int
    attempt: int
    at_ms: int
    ack: int | None
    chat_id: str
    state: RecipientState
    recipient_attempt: int

    @property
    def is_last_attempt(self) -> bool:
        """Whether the recipient's state tells of this message, not of a later one."""
        return self.attempt == self.recipient_attempt


@dataclass(frozen=True, slots=True)
class Resolved:
    """The chat id behind a hidden user id, None where there is none. Not certain: ask again later."""

    chat_id: str | None = None
    is_certain: bool = True


class WhatsAppLooks(Protocol):
    """A WhatsApp gateway, as far as it is only looked at. No method raises for what the gateway answers."""

    async def session(self, name: str, call_ref: str | None) -> SessionState:
        """How a session stands now."""
        ...

    async def number_of(self, session: str, lid: str, call_ref: str | None) -> Resolved:
        """Whose number stands behind a hidden user id (`@lid`)."""
        ...

    async def ack_of(self, session: str, chat_id: str, message_id: str, call_ref: str | None) -> int | None:
        """How far a message has come, -1 to 4; None where the gateway can't tell."""
        ...


class WhatsAppLedger(Protocol):
    """The messages that campaigns have sent, and how far they have come."""

    async def message(self, session: str, message_id: str) -> SentMessage | None:
        """One message by its bare id, or None."""
        ...

    async def is_sending(self, session: str) -> bool:
        """Whether a message of this session is on its way whose id may not be known yet."""
        ...

    async def to_look_at(self, session: str, since_ms: int, before_ms: int, limit: int) -> Sequence[SentMessage]:
        """Messages since `since_ms` that no phone is known to have and nobody looked at since `before_ms`.

        The oldest look first.
        """
        ...

    async def unsettled(self, session: str, since_ms: int, limit: int) -> Sequence[SentMessage]:
        """Messages since `since_ms` whose acknowledgement says something else than the state of their recipient."""
        ...

    async def acks(self, session: str, since_ms: int, until_ms: int, looked_after_ms: int | None) -> Acks:
        """Of the messages sent in a time: all, those with any acknowledgement, and those that a phone has.

        With `looked_after_ms` only those count that a phone has, or that were looked at so long after the send.
        """
        ...

    async def is_awaited(self, session: str, since_ms: int) -> bool:
        """Whether a campaign of this session runs, or a message since `since_ms` is on its way."""
        ...

    async def healing(self, session: str) -> Sequence[int]:
        """The ids of all campaigns of a session that are paused for what heals by itself."""
        ...

    def note(self, message: SentMessage, ack: int, at_ms: int) -> None:
        """Collect an acknowledgement; the commit raises Conflict if another was noted since the message was read."""
        ...

    def looked(self, message: SentMessage, at_ms: int) -> None:
        """Collect that the gateway was asked for a message."""
        ...

    def settle(self, message: SentMessage, state: RecipientState, code: str | None, detail: str | None) -> None:
        """Collect the recipient's new state; the commit raises Conflict if it changed since the message was read."""
        ...
