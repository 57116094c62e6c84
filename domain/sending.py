"""What a messenger says to one send, and why a campaign stops: values, the same for every client and every rule.

Source of the meanings: WAHA's answers and what they stand for. One contact's error never stops the others; an error of
the number always does.
"""

from dataclasses import dataclass
from enum import StrEnum


class PauseReason(StrEnum):
    """Why a campaign is paused. The value is what robots, operators and the database see."""

    OPERATOR = "OPERATOR"
    SESSION_NOT_WORKING = "SESSION_NOT_WORKING"
    SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
    WAHA_UNREACHABLE = "WAHA_UNREACHABLE"
    AUTH = "AUTH"
    CONFIG = "CONFIG"
    MEDIA = "MEDIA"
    PLACEHOLDERS = "PLACEHOLDERS"  # braces of the text that nobody's contact fills: a resume sends them as they are
    REACHOUT_LOCK = "REACHOUT_LOCK"
    RATE_LIMITED = "RATE_LIMITED"
    CAPPED = "CAPPED"
    TOO_MANY_FAILURES = "TOO_MANY_FAILURES"
    SILENT_DROPS = "SILENT_DROPS"

    @property
    def heals_by_itself(self) -> bool:
        """Whether it may go on by itself once the session works again. Never where a reputation is at risk."""
        return self in (PauseReason.SESSION_NOT_WORKING, PauseReason.WAHA_UNREACHABLE)


class SendVerdict(StrEnum):
    """What became of one send."""

    SENT = "SENT"
    FAILED = "FAILED"  # this contact's own fault: the others go on
    NOT_SENT = "NOT_SENT"  # certainly not sent: may be tried again later
    UNKNOWN = "UNKNOWN"  # nobody knows: never sent again blindly


@dataclass(frozen=True, slots=True)
class SendAnswer:
    """The answer to one send. `pause` says that the number, not the contact, is in trouble.

    `code` is short and stable (`http-500`, `read-timeout`), `detail` a sentence without the text or the phone number.
    """

    verdict: SendVerdict
    code: str = ""
    detail: str = ""
    waha_id: str | None = None
    pause: PauseReason | None = None
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class SessionState:
    """A WhatsApp session as its owner sees it. `pause` is None only where sending may go on.

    `status` is WAHA's word, empty where it told none. `after_s` is when to look again where that is known to be soon.
    `locked_until_ms` may have passed: it is WhatsApp's word, and nobody compared it with a clock.
    """

    status: str
    pause: PauseReason | None = None
    detail: str = ""
    capping: str | None = None  # NONE, FIRST_WARNING, SECOND_WARNING, CAPPED where the engine tells
    locked_until_ms: int | None = None
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Media:
    """A file to send with a text: read, checked and encoded once per run."""

    mime_type: str
    filename: str
    data_base64: str


def bare_id(message_id: str) -> str:
    """The part of `true_<chatId>_<ID>` that stays the same whether a chat is named by its number or its hidden id."""
    parts = message_id.split("_")
    return parts[2] if len(parts) in (3, 4) else message_id  # a fourth one is the group's participant
