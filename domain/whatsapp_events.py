"""What WAHA tells by webhook, and the timer that asks where nobody tells: models, and what an acknowledgement changes.

WAHA's messages are not ours: unknown fields are ignored. No error here repeats a text or a number.
"""

import hashlib
import re
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from domain.campaign import RecipientState
from domain.command_data import CommandData, Token
from domain.errors import MessageError, RuleViolation
from domain.messages import problems_of
from domain.webhook_call import json_object
from domain.wire import JsonObject

ERROR, SERVER, DEVICE = -1, 1, 2  # acknowledgements; 0 is pending, 3 read, 4 played
_EVENT_ID = re.compile(r"evt_[0-9A-Za-z]{1,64}")
_PERSON = re.compile(r"([0-9]{5,25})(?::[0-9]{1,4})?@(c\.us|s\.whatsapp\.net|lid)")
_MAY_BECOME_SENT = (RecipientState.UNKNOWN, RecipientState.FAILED, RecipientState.PENDING)


class _Told(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class WhatsAppEvent(_Told):
    """WAHA's envelope. `id` is WAHA's own, or one made of the body where it has none."""

    id: str
    event: str = Field(strict=True, max_length=128)
    session: Token
    payload: JsonObject = Field(default_factory=dict)


def _id_text(value: object) -> object:
    """Some versions tell the id of a message as an object."""
    return value.get("_serialized", value.get("id")) if isinstance(value, dict) else value


def _text(value: object) -> str:
    """A message without a text, such as a picture, says nothing."""
    return value if isinstance(value, str) else ""


class Acknowledgement(_Told):
    """`message.ack`: how far a message has come."""

    id: Annotated[str, BeforeValidator(_id_text), Field(strict=True, min_length=1, max_length=256)]
    ack: int = Field(strict=True, ge=ERROR, le=99)


class InboundMessage(_Told):
    """`message`: somebody writes. In a group `participant` is who."""

    chat: str = Field(alias="from", strict=True)
    participant: Annotated[str, BeforeValidator(_text)] = ""
    from_me: bool = Field(default=False, alias="fromMe", strict=True)
    body: Annotated[str, BeforeValidator(_text)] = ""

    @property
    def writer(self) -> str | None:
        """Chat id of the person who writes; None where it is no person, such as a channel."""
        found = _PERSON.fullmatch(self.participant if self.chat.endswith("@g.us") else self.chat)
        return None if found is None else f"{found[1]}@{'lid' if found[2] == 'lid' else 'c.us'}"


class WatchNumber(CommandData):
    """Timer `number.acks`: look how far the texts of one number have come.

    `judged_until_ms`: older texts have led to a pause already. `warned_day`: of the last warning, in days since 1970.
    """

    session: Token
    judged_until_ms: int = 0
    warned_day: int = 0


Payload = TypeVar("Payload", bound=_Told)


def read_event(body: bytes) -> WhatsAppEvent:
    """Read an envelope whose signature was checked. Raises MessageError (`invalid-event`) with every bad field."""
    read: dict[str, Any] = json_object(body)
    told = read.get("id")
    if not (isinstance(told, str) and _EVENT_ID.fullmatch(told)):
        told = f"sha256:{hashlib.sha256(body).hexdigest()}"
    try:
        return WhatsAppEvent.model_validate({**read, "id": told})
    except ValidationError as error:
        raise MessageError(f"not an envelope of WAHA: {problems_of(error)}", kind="invalid-event") from None


def read_payload(model: type[Payload], event: WhatsAppEvent) -> Payload:
    """Read what one kind of event carries. Raises RuleViolation (`invalid-event`)."""
    try:
        return model.model_validate(event.payload)
    except ValidationError as error:
        raise RuleViolation(f"payload of {event.event}: {problems_of(error)}", kind="invalid-event") from None


def rises(stored: int | None, heard: int) -> bool:
    """Whether an acknowledgement says more than the stored one; so their order of arrival does not matter.

    An error is said after the server took the message, and is refuted by a phone that has it.
    """
    return stored is None or _rank(heard) > _rank(stored)


def state_after(ack: int, state: RecipientState) -> RecipientState:
    """The state of a recipient whose last attempt has this acknowledgement.

    Whoever has got the message is SENT, whatever the answer to the send was: nobody may send it again.
    """
    if ack == ERROR and state is RecipientState.SENT:
        return RecipientState.FAILED
    return RecipientState.SENT if ack >= SERVER and state in _MAY_BECOME_SENT else state


def _rank(ack: int) -> float:
    return (SERVER + DEVICE) / 2 if ack == ERROR else ack
