"""What the commands and timers of campaigns carry."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from domain.command_data import Answered, CommandData, Owner, Token
from domain.sending_window import MOST_EXCLUDED, SendingWindow
from domain.wire import RowId, WireTime

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LOCAL_TIME = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
LOCAL_END = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"
LocalTime = Annotated[str, Field(strict=True, pattern=LOCAL_TIME)]
LocalEnd = Annotated[str, Field(strict=True, pattern=LOCAL_END)]


class Window(CommandData):
    """A sending window of a campaign's own, beside that of its number: messages go out while both are open."""

    time_zone: str = Field(default="UTC", strict=True, max_length=64)
    days: tuple[Day, ...] = DAYS
    start: LocalTime = "00:00"
    end: LocalEnd = "24:00"
    excluded_dates: tuple[date, ...] = Field(default=(), max_length=MOST_EXCLUDED)

    @model_validator(mode="after")
    def _opens_at_all(self) -> "Window":
        self.window()
        return self

    def window(self) -> SendingWindow:
        """As the domain reckons with it. Raises ValueError for one that never opens, or a zone that nobody knows."""
        return SendingWindow(
            zone=self.time_zone,
            weekdays=frozenset(DAYS.index(day) + 1 for day in self.days),
            start_minute=minute_of(self.start),
            end_minute=minute_of(self.end),
            excluded=frozenset(self.excluded_dates),
        )

    @classmethod
    def of(cls, window: SendingWindow) -> "Window":
        """The same, as it is written."""
        return cls(
            timeZone=window.zone,
            days=tuple(DAYS[day - 1] for day in sorted(window.weekdays)),
            start=_clock(window.start_minute),
            end=_clock(window.end_minute),
            excludedDates=tuple(sorted(window.excluded)),
        )


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def minute_of(clock: str) -> int:
    """`09:30` as minutes since midnight."""
    hours, _, minutes = clock.partition(":")
    return int(hours) * 60 + int(minutes)


class CreateCampaign(Answered):
    """`campaign.create`: send a text, with a file or without, to everybody on a list, at its time.

    Without a `session` it goes out by the first one that its user has when it starts.
    """

    user_id: Owner
    name: str = Field(strict=True, min_length=1, max_length=256)
    session: Token | None = None
    contact_list_id: RowId
    text: str = Field(strict=True, min_length=1, max_length=16_000)
    default_name_value: str = Field(strict=True, min_length=1, max_length=256)
    media_file: str | None = Field(default=None, strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$")
    scheduled_at: WireTime
    expires_after_s: int | None = Field(default=None, strict=True, ge=60, le=366 * 86_400)
    window: Window | None = None


class ScheduleCampaign(Answered):
    """`campaign.schedule`: move the start of a campaign that has not begun."""

    user_id: Owner
    campaign_id: RowId
    scheduled_at: WireTime


class CampaignCommand(Answered):
    """`campaign.run`, `.pause`, `.resume`, `.cancel`, `.status` and `.preview`: which campaign, and whose it is."""

    user_id: Owner
    campaign_id: RowId


class RetryCampaign(Answered):
    """`campaign.retry`: send again to those in one state; those of whom nobody knows only by this explicit word."""

    user_id: Owner
    campaign_id: RowId
    scope: Literal["failed", "unknown", "pending"] = "failed"


class TrialSend(Answered):
    """`campaign.test-send`: send a campaign's message to one person now, outside of its ledger."""

    user_id: Owner
    campaign_id: RowId
    phone_number: str | None = Field(default=None, strict=True, max_length=64)
    chat_id: str | None = Field(default=None, strict=True, max_length=64)
    first_name: str | None = Field(default=None, strict=True, max_length=256)

    @model_validator(mode="after")
    def _names_one_person(self) -> "TrialSend":
        if (self.phone_number is None) == (self.chat_id is None):
            raise ValueError("name the person by either phoneNumber or chatId")
        return self


class StartCampaign(CommandData):
    """Timer `campaign.start`: the time of a campaign has come."""

    campaign_id: RowId


class StepCampaign(CommandData):
    """Timer `campaign.step`: the next contact of a campaign may be due."""

    campaign_id: RowId


class HealCampaign(CommandData):
    """Timer `campaign.heal`: a pause may have healed by itself."""

    campaign_id: RowId


class ProgressOfCampaign(CommandData):
    """Timer `campaign.progress`: tell how far a running campaign is."""

    campaign_id: RowId
