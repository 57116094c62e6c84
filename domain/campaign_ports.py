"""What campaigns need from the world, as Protocols: their tables, the files that they send, a WhatsApp gateway."""

from collections.abc import Callable, Mapping, Sequence
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

    async def session_of(self, owner: str, call_ref: str | None) -> str | None:
        """The first session of a user, None without one. Raises Unavailable where the gateway can't be asked."""
        ...

    async def ready(self, session: str, call_ref: str | None, *, with_id: bool) -> "Ready":
        """How a session stands, and with `with_id` an id to send a text with; both are asked at the same time."""
        ...

    async def send_text(self, send: "Send", text: str) -> SendAnswer:
        """Send once. Never repeated by the client once a byte may have reached the gateway."""
        ...

    async def send_media(self, send: "Send", caption: str, media: Media) -> SendAnswer:
        """Send a file with its caption, once."""
        ...

    async def was_sent(
        self, session: str, chat_id: str, message_id: str, call_ref: str | None, since_ms: int | None = None
    ) -> bool | None:
        """Whether the gateway knows this message; None where it can't tell for sure.

        False needs `since_ms`, before which it can't have been sent, and is only true of a send that is over.
        """
        ...


@dataclass(frozen=True, slots=True)
class Ready:
    """A session before a send. `message_id` makes a text findable after a crash; None: the engine reserves none."""

    state: SessionState
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """One send: from where, to whom, under which reserved id.

    `may_begin` is asked right before the first byte: a process that slept since its intent must not send any more.
    """

    session: str
    chat_id: str
    message_id: str | None
    call_ref: str | None
    may_begin: Callable[[], bool]


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

    async def with_pace(self, campaign_id: int) -> tuple[Campaign, PaceRow | None] | None:
        """One campaign with the row of its number, None for one that never sent; or None."""
        ...

    async def running(self, session: str) -> Sequence[Campaign]:
        """All running campaigns of a session."""
        ...

    async def strays(self) -> Sequence[Campaign]:
        """Those that wait for a timer that is not there.

        Scheduled without a start at their time, running without a step, or paused by what heals and never looked at.
        """
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

    async def to_do(self, campaign_id: int) -> "ToDo":
        """What the next step of a campaign has to do."""
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

    def intend(self, recipient: Recipient, session: str) -> None:
        """Collect the intent to send; the commit raises Conflict unless the recipient is PENDING still."""
        ...

    def settle(self, recipient: Recipient, session: str) -> None:
        """Collect what became of a recipient; the commit raises Conflict if another attempt was begun meanwhile.

        The messenger's own id is kept too, so that an acknowledgement finds its recipient.
        """
        ...

    def doubt(self, campaign_id: int, detail: str, at_ms: int) -> None:
        """Collect: every intent without an answer is UNKNOWN. An answer that still comes is kept nevertheless."""
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


@dataclass(frozen=True, slots=True)
class ToDo:
    """What a campaign has to do next. `doubtful` are intents that an earlier step left, the first few of them.

    `next` is the first recipient that is PENDING, `is_opted_out` whether they asked to be left alone, `is_last` whether
    nobody is PENDING behind them.
    """

    doubtful: Sequence[Recipient] = ()
    next: Recipient | None = None
    is_opted_out: bool = False
    is_last: bool = True


@dataclass(frozen=True, slots=True)
class TrialSent:
    """A test send. `id` is that of the command that asked for it."""

    id: str
    campaign_id: int
    chat_id: str
    state: RecipientState
    at_ms: int
    message_id: str | None = None
    waha_id: str | None = None
    error_code: str | None = None
    error_detail: str | None = None


class TrialSends(Protocol):
    """The test sends in the database."""

    async def get(self, send_id: str) -> TrialSent | None:
        """One of them, or None."""
        ...

    def add(self, sent: TrialSent) -> None:
        """Collect an intent; the commit raises Conflict if the same command made one meanwhile."""
        ...

    def settle(self, sent: TrialSent) -> None:
        """Collect what became of it."""
        ...


class MediaFiles(Protocol):
    """The files that campaigns may send."""

    async def read(self, owner: str, name: str) -> Media:
        """Read, check and encode a user's file, or one that all may use. Raises RuleViolation with what is wrong."""
        ...
