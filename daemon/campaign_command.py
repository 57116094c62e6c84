"""Campaign commands of the command line: what a person says of a campaign, as the command that a program would send."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.campaign_status import Which, found
from daemon.campaign_view import CampaignReads
from daemon.clock import SystemClock
from daemon.command_sending import Order, Sending, hand_over, tell
from daemon.opening import open_campaigns
from daemon.settings import Settings
from domain.errors import MessageError, RuleViolation
from domain.wire import JsonObject, iso

_CAMPAIGN = re.compile(r"campaign (\d+)")
_OPTIONS = {
    "userId": "--user",
    "name": "--name",
    "session": "--session",
    "text": "--text",
    "defaultNameValue": "--default-name",
    "mediaFile": "--media",
    "scheduledAt": "--at",
    "expiresAfterS": "--expires-after",
    "robotId": "--robot",
    "scope": "--scope",
    "phoneNumber": "--to",
    "chatId": "--to",
    "firstName": "--first-name",
}
NOW = "now"


@dataclass(frozen=True, slots=True)
class New:
    """A campaign as it is described on the command line. `more` are fields of the command, NAME=VALUE."""

    owner: str
    contact_list: str
    text: str | None
    text_file: Path | None
    at: str
    data: Mapping[str, object]
    more: Sequence[str]


async def create(settings: Settings, new: New, sending: Sending) -> int:
    """Send `campaign.create`; once it is done, its id is known."""
    data = {**new.data, "userId": new.owner, "text": _text(new), "scheduledAt": _time(new.at)}
    async with open_campaigns(settings) as reads:
        list_id = await reads.list_id(new.owner, new.contact_list.strip())
        if list_id is None:
            known = f"`robotd contacts lists --owner {new.owner}` shows those that there are"
            raise RuleViolation(f"user {new.owner} has no contact list {new.contact_list!a}; {known}")
        return await _send(settings, reads, "campaign.create", {**data, "contactListId": list_id}, sending, new.more)


async def change(
    settings: Settings, verb: str, which: Which, sending: Sending, *, at: str | None = None, **data: object
) -> int:
    """Send a command about one campaign, in its owner's name where nobody names one."""
    async with open_campaigns(settings) as reads:
        owner = which.owner if which.owner is not None else (await found(reads, which)).owner
        fields = {"userId": owner, "campaignId": which.campaign_id, **data}
        if at is not None:
            fields["scheduledAt"] = _time(at)
        return await _send(settings, reads, f"campaign.{verb}", fields, sending)


async def _send(
    settings: Settings,
    reads: CampaignReads,
    command_type: str,
    data: Mapping[str, object],
    sending: Sending,
    more: Sequence[str] = (),
) -> int:
    became = await hand_over(settings, reads, Order(command_type, data, _OPTIONS, more), sending)
    return tell(became, command_type, sending, _about)


def _about(note: str) -> JsonObject:
    campaign = _CAMPAIGN.search(note)
    return {"campaignId": int(campaign[1])} if campaign else {}


def _time(text: str) -> str:
    return iso(SystemClock().now_ms()) if text == NOW else text


def _text(new: New) -> str:
    """Raises MessageError unless there is exactly one text."""
    if new.text is not None and new.text_file is None:
        return new.text
    if new.text is not None or new.text_file is None:
        raise MessageError("name either --text or --text-file")
    try:
        return new.text_file.read_text(encoding="utf-8").removesuffix("\n")
    except OSError as error:
        raise MessageError(f"--text-file {new.text_file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise MessageError(f"--text-file {new.text_file}: not UTF-8") from None
