"""A campaign and its recipients: states, what may follow what, and what users are told of it.

Sources: seeds 001, 002 and 004 for states, counts, times and `lastProcessedContactIndex`, which is kept for information
only: the resume point is the ledger of recipients. All times are UTC milliseconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from domain.sending import PauseReason, SendAnswer, SendVerdict
from domain.sending_window import SendingWindow
from domain.wire import JsonObject, iso

IN_DOUBT = "in-doubt"  # the code of an intent that was found later and is looked up once more when its time is over


class CampaignStatus(StrEnum):
    """Where a campaign stands, in the words of the system that we replace. The last three are final."""

    SCHEDULED = "Scheduled"
    RUNNING = "Running"
    PAUSED = "Paused"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


class RecipientState(StrEnum):
    """What became of one contact. SENDING is an intent: committed before the send, gone after it."""

    PENDING = "PENDING"
    SENDING = "SENDING"
    SENT = "SENT"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    UNKNOWN = "UNKNOWN"


Counts = Mapping[RecipientState, int]


@dataclass(frozen=True, slots=True)
class Campaign:
    """One campaign. Immutable: every rule returns a new one; `version` counts the saved changes.

    `session` is empty until the start of one that goes out by its user's first session. `window` is its own, beside
    that of its number.
    """

    id: int
    owner: str
    name: str
    session: str
    contact_list_id: int
    text: str
    default_name: str
    scheduled_at_ms: int
    created_at_ms: int
    media_file: str | None = None
    expires_after_s: int | None = None
    status: CampaignStatus = CampaignStatus.SCHEDULED
    pause_reason: PauseReason | None = None
    pause_detail: str | None = None
    paused_at_ms: int | None = None
    total_contacts: int = 0
    last_processed_contact_index: int | None = None
    started_at_ms: int | None = None
    completed_at_ms: int | None = None
    robot_id: int | None = None
    reply_to: str | None = None
    call_ref: str | None = None
    window: SendingWindow | None = None
    notices: int = 0  # how often its robot was told
    version: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing more is sent, unless somebody asks for a retry."""
        return self.status in (CampaignStatus.COMPLETED, CampaignStatus.FAILED, CampaignStatus.CANCELLED)

    def started(self, total: int, now_ms: int) -> "Campaign":
        """Running over `total` frozen recipients. The first start counts; a later one keeps its time."""
        started_at_ms = now_ms if self.started_at_ms is None else self.started_at_ms
        return replace(
            self,
            status=CampaignStatus.RUNNING,
            total_contacts=total,
            started_at_ms=started_at_ms,
            completed_at_ms=None,
            pause_reason=None,
            pause_detail=None,
            paused_at_ms=None,
        )

    def paused(self, reason: PauseReason, detail: str, next_index: int | None, now_ms: int) -> "Campaign":
        """Stopped at the contact `next_index`, which is the next one to be handled."""
        return replace(
            self,
            status=CampaignStatus.PAUSED,
            pause_reason=reason,
            pause_detail=detail[:512],
            paused_at_ms=now_ms,
            last_processed_contact_index=next_index,
        )

    def resumed(self) -> "Campaign":
        """Running again, from the ledger."""
        return replace(self, status=CampaignStatus.RUNNING, pause_reason=None, pause_detail=None, paused_at_ms=None)

    def ended(self, status: CampaignStatus, now_ms: int, detail: str | None = None) -> "Campaign":
        """Over. A completed one forgets its index, as the seeds have it; a failed one keeps it."""
        index = None if status is CampaignStatus.COMPLETED else self.last_processed_contact_index
        return replace(
            self,
            status=status,
            completed_at_ms=now_ms,
            last_processed_contact_index=index,
            pause_reason=None,
            pause_detail=detail,
            paused_at_ms=None,
        )


@dataclass(frozen=True, slots=True)
class Recipient:
    """One contact of one campaign, as it was when the campaign started. `position` counts from 0."""

    campaign_id: int
    position: int
    contact_id: int
    chat_id: str
    first_name: str | None = None
    fields: Mapping[str, str] | None = None
    state: RecipientState = RecipientState.PENDING
    attempt: int = 0
    message_id: str | None = None
    waha_id: str | None = None
    error_code: str | None = None
    error_detail: str | None = None
    sending_at_ms: int | None = None
    ended_at_ms: int | None = None

    def intended(self, message_id: str | None, now_ms: int) -> "Recipient":
        """About to be sent to, with the id by which the message can be looked up."""
        return replace(
            self,
            state=RecipientState.SENDING,
            attempt=self.attempt + 1,
            message_id=message_id,
            sending_at_ms=now_ms,
            error_code=None,
            error_detail=None,
        )

    @property
    def is_looked_up_before(self) -> bool:
        """Whether this intent was found by an earlier step already, and could not be cleared up."""
        return self.error_code == IN_DOUBT

    def unanswered(self, answer: SendAnswer) -> "Recipient":
        """Sent perhaps: it stays an intent, to be looked up by its id at the next step."""
        return replace(self, error_code=answer.code or None, error_detail=answer.detail[:512] or None)

    def doubted(self, detail: str) -> "Recipient":
        """Found as an intent without an answer; to be looked up again when a send can't be under way any more."""
        return replace(self, error_code=IN_DOUBT, error_detail=detail[:512])

    def answered(self, answer: SendAnswer, now_ms: int) -> "Recipient":
        """What the messenger said."""
        state = {
            SendVerdict.SENT: RecipientState.SENT,
            SendVerdict.FAILED: RecipientState.FAILED,
            SendVerdict.UNKNOWN: RecipientState.UNKNOWN,
            SendVerdict.NOT_SENT: RecipientState.PENDING,
        }[answer.verdict]
        is_over = state is not RecipientState.PENDING
        return replace(
            self,
            state=state,
            waha_id=answer.waha_id or self.waha_id,
            error_code=answer.code or None,
            error_detail=answer.detail[:512] or None,
            ended_at_ms=now_ms if is_over else None,
        )

    def skipped(self, code: str, detail: str, now_ms: int) -> "Recipient":
        """Left out, with the reason."""
        return replace(
            self, state=RecipientState.SKIPPED, error_code=code, error_detail=detail[:512], ended_at_ms=now_ms
        )


def campaign_payload(campaign: Campaign, counts: Counts) -> JsonObject:
    """What users are told; every count comes from the recipients' rows."""
    return {
        "campaignId": campaign.id,
        "name": campaign.name,
        "status": campaign.status.value,
        "pauseReason": campaign.pause_reason.value if campaign.pause_reason is not None else None,
        "detail": campaign.pause_detail,
        "totalContacts": campaign.total_contacts,
        "sentCount": counts.get(RecipientState.SENT, 0),
        "failedCount": counts.get(RecipientState.FAILED, 0),
        "skippedCount": counts.get(RecipientState.SKIPPED, 0),
        "unknownCount": counts.get(RecipientState.UNKNOWN, 0),
        "sendingCount": counts.get(RecipientState.SENDING, 0),
        "pendingCount": counts.get(RecipientState.PENDING, 0),
        "lastProcessedContactIndex": campaign.last_processed_contact_index,
        "scheduledAt": iso(campaign.scheduled_at_ms),
        "startedAt": _time(campaign.started_at_ms),
        "completedAt": _time(campaign.completed_at_ms),
    }


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else iso(at_ms)
