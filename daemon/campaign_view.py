"""What the command line reads of campaigns: values, and the port that `daemon.store` fills. Nothing here writes."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from daemon.journal_view import JournalEntry
from domain.campaign import Campaign, Recipient, RecipientState
from domain.campaign_ports import PaceRow


@dataclass(frozen=True, slots=True)
class Reason:
    """Why contacts were not sent to: how many have this code, and what one of them was told."""

    state: RecipientState
    code: str
    count: int
    example: str


@dataclass(frozen=True, slots=True)
class Look:
    """A campaign at one moment. `contacts` are those on its list now, `rivals` running campaigns of its number.

    `due_ms` says for each of its timers (`campaign.step`) when it is due; `unknown` are the first of those of whom
    nobody knows.
    """

    campaign: Campaign
    counts: Mapping[RecipientState, int]
    pace: PaceRow | None = None
    due_ms: Mapping[str, int] | None = None
    sent_in_hour: int = 0
    contacts: int = 0
    rivals: int = 0
    reasons: Sequence[Reason] = ()
    unknown: Sequence[Recipient] = ()

    def count(self, *states: RecipientState) -> int:
        """How many recipients are in one of these states."""
        return sum(self.counts.get(state, 0) for state in states)


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a list of campaigns."""

    id: int
    owner: str
    name: str
    session: str
    status: str
    pause_reason: str | None
    scheduled_at_ms: int
    started_at_ms: int | None
    completed_at_ms: int | None
    total_contacts: int
    counts: Mapping[RecipientState, int]


@dataclass(frozen=True, slots=True)
class Addressee:
    """Somebody whom a campaign is for. `reason` is what was noted when they opted out."""

    chat_id: str
    first_name: str | None = None
    fields: Mapping[str, str] | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom a campaign would still reach: those on its list, or once it has started those who are PENDING.

    `first` and `opted_out` are the first few of the `contacts` and of the `opt_outs`.
    """

    contacts: int
    opt_outs: int
    first: Sequence[Addressee]
    opted_out: Sequence[Addressee]
    field_names: frozenset[str]


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One recipient with the highest acknowledgement of its messages; None where none was heard."""

    recipient: Recipient
    ack: int | None


class CampaignReads(Protocol):
    """The campaigns in the database, for those who only read. Every method raises Unavailable."""

    async def campaign(self, campaign_id: int) -> Campaign | None:
        """One campaign, or None."""
        ...

    async def look(self, campaign: Campaign, now_ms: int) -> Look:
        """Everything that is known of it now."""
        ...

    async def listed(self, owner: str | None, limit: int) -> list[Listed]:
        """The newest campaigns, of everybody or of one user."""
        ...

    async def audience(self, campaign: Campaign) -> Audience:
        """Whom it would still reach."""
        ...

    async def pace(self, session: str) -> PaceRow | None:
        """Pace and breaker of a number, or None for one that never sent."""
        ...

    def ledger(self, campaign_id: int) -> AsyncIterator[list[LedgerLine]]:
        """All recipients by position, in pages, so that any number of them fits."""
        ...

    async def list_id(self, owner: str, id_or_name: str) -> int | None:
        """The id of a user's contact list; what is both an id and a name is taken as the id."""
        ...

    async def entries(self, source: str, message_id: str) -> list[JournalEntry]:
        """What became of each try of a command, oldest first."""
        ...
