"""What the commands and timers of campaigns carry."""

from typing import Literal

from pydantic import Field

from domain.command_data import CommandData, Owner, Token
from domain.wire import RobotId, RowId, WireTime


class CreateCampaign(CommandData):
    """`campaign.create`: send a text, with a file or without, to everybody on a list, at its time."""

    user_id: Owner
    name: str = Field(strict=True, min_length=1, max_length=256)
    session: Token
    contact_list_id: RowId
    text: str = Field(strict=True, min_length=1, max_length=16_000)
    default_name_value: str = Field(strict=True, min_length=1, max_length=256)
    media_file: str | None = Field(default=None, strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$")
    scheduled_at: WireTime
    expires_after_s: int | None = Field(default=None, strict=True, ge=60, le=366 * 86_400)
    robot_id: RobotId | None = None


class ScheduleCampaign(CommandData):
    """`campaign.schedule`: move the start of a campaign that has not begun."""

    user_id: Owner
    campaign_id: RowId
    scheduled_at: WireTime


class CampaignCommand(CommandData):
    """`campaign.run`, `.pause`, `.resume`, `.cancel`, `.status` and `.preview`: which campaign, and whose it is."""

    user_id: Owner
    campaign_id: RowId


class RetryCampaign(CommandData):
    """`campaign.retry`: send again to those in one state; those of whom nobody knows only by this explicit word."""

    user_id: Owner
    campaign_id: RowId
    scope: Literal["failed", "unknown", "pending"] = "failed"


class StartCampaign(CommandData):
    """Timer `campaign.start`: the time of a campaign has come."""

    campaign_id: RowId


class StepCampaign(CommandData):
    """Timer `campaign.step`: the next contact of a campaign may be due."""

    campaign_id: RowId


class HealCampaign(CommandData):
    """Timer `campaign.heal`: a pause may have healed by itself."""

    campaign_id: RowId
