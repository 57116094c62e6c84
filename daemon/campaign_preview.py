"""What a campaign would do if it went out now: to whom, with which words, until when; and what speaks against it."""

from collections.abc import Mapping

from daemon.campaign_report import masked
from daemon.campaign_view import Addressee, Audience
from domain.campaign import Campaign, CampaignStatus
from domain.contacts import personal, unknown_placeholders
from domain.monitor_days import MIDNIGHT
from domain.number import Number
from domain.sending_window import EVERY_DAY, SendingWindow
from domain.wire import JsonObject, iso

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def preview_report(campaign: Campaign, audience: Audience, number: Number, now_ms: int) -> JsonObject:
    """The whole preview. One that has started is previewed for those who are still to come."""
    is_scheduled = campaign.status is CampaignStatus.SCHEDULED
    due_ms = max(now_ms, campaign.scheduled_at_ms) if is_scheduled else now_ms
    starts_ms, _ = number.next_send(due_ms, campaign.window)
    end_ms = number.estimate(audience.contacts - audience.opt_outs, due_ms, campaign.window)
    return {
        "campaignId": campaign.id,
        "name": campaign.name,
        "status": campaign.status.value,
        "userId": campaign.owner,
        "session": campaign.session or None,
        "contactListId": campaign.contact_list_id,
        "mediaFile": campaign.media_file,
        "audience": "list" if is_scheduled else "ledger",
        "contacts": audience.contacts,
        "optedOut": audience.opt_outs,
        "leftOut": [{"phone": masked(one.chat_id), "reason": one.reason} for one in audience.opted_out],
        "unknownPlaceholders": unknown_placeholders(campaign.text, audience.field_names),
        "examples": [*(_example(campaign, one) for one in audience.first), _example(campaign, None)],
        "startsAt": iso(starts_ms),
        "estimatedEnd": iso(max(starts_ms, end_ms)),
        "seconds": max(0, end_ms - starts_ms) // 1_000,
        "window": window_words(number.rules.window),
        "ownWindow": None if campaign.window is None else window_words(campaign.window),
        "warnings": _warnings(campaign, audience, number),
    }


def window_words(window: SendingWindow) -> str:
    """When messages may go out, in words."""
    days = ", ".join(_DAYS[day - 1] for day in sorted(window.weekdays))
    is_whole = (window.start_minute, window.end_minute) == (0, MIDNIGHT)
    hours = "" if is_whole else f"{_clock(window.start_minute)} to {_clock(window.end_minute)}"
    shut = f"not on {', '.join(on.isoformat() for on in sorted(window.excluded))}" if window.excluded else ""
    said = [part for part in ("" if window.weekdays == EVERY_DAY else days, hours, shut) if part]
    return f"{'; '.join(said)} ({window.zone})" if said else "at any time"


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _example(campaign: Campaign, one: Addressee | None) -> JsonObject:
    """The text for somebody, or for anybody without a name and fields."""
    name: str | None = None if one is None else one.first_name
    fields: Mapping[str, str] = {} if one is None else one.fields or {}
    text = personal(campaign.text, name, campaign.default_name, fields)
    return {"phone": None if one is None else masked(one.chat_id), "firstName": name, "text": text}


def _warnings(campaign: Campaign, audience: Audience, number: Number) -> list[str]:
    found = list(number.rules.pace.warnings)
    if campaign.is_over:
        found.insert(0, f"the campaign is {campaign.status}: nothing goes out unless somebody asks for a retry")
    elif not audience.contacts:
        found.insert(0, "there is nobody to send to")
    elif audience.contacts == audience.opt_outs:
        found.insert(0, "everybody has opted out")
    return found
