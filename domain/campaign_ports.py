"""What campaigns need from the world, as Protocols: their tables, the files that they send, a WhatsApp gateway."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.campaign import Campaign, Recipient, RecipientState
from domain.sending import Media, SendAnswer, SessionState
from domain.wire import JsonObject


class WhatsApp(Protocol):
    """A WhatsApp gateway. No method raises for what the gateway answers: its trouble is in the value."""

    async def session(self, name: str, call_ref: str | None) -> SessionState:
        """How a session stands now. A gateway that can't be reached is WAHA_UNREACHABLE."""
        ...

    async def new_message_id(self, session: str, call_ref: str | None) -> str | None:
        """An id to send a text with, so that it can be looked up after a crash; None where the engine has none."""
        ...

    async def send_text(
        self, session: str, chat_id: str, text: str, message_id: str | None, call_ref: str | None
    ) -> SendAnswer:
        """Send once. Never repeated by the client once a byte may have reached the gateway."""
        ...

    async def send_media(
        self, session: str, chat_id: str, caption: str, media: Media, call_ref: str | None
    ) -> SendAnswer:
        """Send a file with its caption, once."""
        ...

    async def was_sent(self, session: str, chat_id: str, message_id: str, call_ref: str | None) -> bool | None:
        """Whether the gateway knows this message; None where it can't tell for sure."""
        ...


@dataclass(frozen=True, slots=True)
class PaceRow:
    """Pace and breaker of one WhatsApp number as they are stored. `version` 0: not stored yet."""

    pace: JsonObject
    breaker: JsonObject
    version: int = 0


class Campaigns(Protocol):
    """The campaigns in the database, with their ledger of recipients."""

    async def new_id(self) -> int:
        """An id that no other campaign has or will have, on any replica."""
        ...

    async def get(self, campaign_id: int) -> Campaign | None:
        """One campaign, or None."""
        ...

    async def counts(self, campaign_id: int) -> Mapping[RecipientState, int]:
        """How many recipients are in each state; a state without any is left out."""
        ...

    async def contacts_of(self, list_id: int) -> int:
        """How many contacts a list has now."""
        ...

    async def in_state(self, campaign_id: int, state: RecipientState, limit: int) -> Sequence[Recipient]:
        """The first recipients in this state, by position."""
        ...

    def add(self, campaign: Campaign) -> None:
        """Collect a new campaign."""
        ...

    def save(self, campaign: Campaign) -> None:
        """Collect a change; the commit raises Conflict if another writer saved it since it was read."""
        ...

    def freeze(self, campaign: Campaign, contacts: int) -> None:
        """Collect: the list's contacts, `contacts` of them, become the campaign's recipients, in a stable order."""
        ...

    def intend(self, recipient: Recipient) -> None:
        """Collect the intent to send; the commit raises Conflict unless the recipient is PENDING still."""
        ...

    def settle(self, recipient: Recipient) -> None:
        """Collect what became of a recipient; the commit raises Conflict if another attempt was begun meanwhile."""
        ...

    def again(self, campaign_id: int, state: RecipientState) -> None:
        """Collect: every recipient in this state is PENDING again."""
        ...

    async def pace(self, session: str) -> PaceRow | None:
        """Pace and breaker of a number, or None for one that never sent."""
        ...

    def save_pace(self, session: str, row: PaceRow) -> None:
        """Collect a change of both; the commit raises Conflict if another campaign of the number was first."""
        ...


class MediaFiles(Protocol):
    """The files that campaigns may send."""

    async def read(self, name: str) -> Media:
        """Read, check and encode a file. Raises RuleViolation that says what is wrong with it."""
        ...
