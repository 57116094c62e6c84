"""What users want to know of a campaign, as one JSON object: how far it is, how fast, why not, and what to do."""

from collections.abc import Mapping

from daemon.campaign_view import Listed, Look, Reason
from domain.campaign import CampaignStatus, Recipient, RecipientState
from domain.number import Number, NumberRules
from domain.sending import PauseReason
from domain.wire import JsonObject, iso
from handlers.campaign_changes import number_of

_HOUR_MS = 3_600_000
_LATE_MS = 60_000  # a step that is due for so long is one that nobody takes
_HEAD, _TAIL, _HIDDEN = 5, 4, 3
_DONE = (RecipientState.SENT, RecipientState.FAILED, RecipientState.SKIPPED, RecipientState.UNKNOWN)
_COUNTED: Mapping[str, RecipientState] = {
    "sent": RecipientState.SENT,
    "failed": RecipientState.FAILED,
    "skipped": RecipientState.SKIPPED,
    "unknown": RecipientState.UNKNOWN,
    "inDoubt": RecipientState.SENDING,
    "pending": RecipientState.PENDING,
}
ADVICE: Mapping[PauseReason, str] = {
    PauseReason.OPERATOR: "a person paused it: `robotd campaign resume {id}` goes on",
    PauseReason.SESSION_NOT_WORKING: "link the number at WAHA or start its session; "
    "once it works the campaign goes on by itself",
    PauseReason.SESSION_NOT_FOUND: "make this session at WAHA, then `robotd campaign resume {id}`",
    PauseReason.WAHA_UNREACHABLE: "see whether WAHA runs and waha.base_url is its address; "
    "once it answers the campaign goes on by itself",
    PauseReason.AUTH: "correct waha.api_key and start robotd anew, then `robotd campaign resume {id}`",
    PauseReason.CONFIG: "correct what the detail says, then `robotd campaign resume {id}`",
    PauseReason.PLACEHOLDERS: "`robotd campaign cancel {id}` and make one with a right text; "
    "`robotd campaign resume {id}` sends it as it is",
    PauseReason.MEDIA: "put the right file into campaigns.media_folder, then `robotd campaign resume {id}`",
    PauseReason.REACHOUT_LOCK: "WhatsApp lets this number write to nobody new: let it rest, a day at least, then "
    "`robotd campaign resume {id}`; a new attempt before that makes it worse",
    PauseReason.RATE_LIMITED: "the number sends too fast: raise campaigns.gap_min_s, wait an hour, then "
    "`robotd campaign resume {id}`",
    PauseReason.CAPPED: "WhatsApp's quota of this number is used up: wait until it is renewed, then "
    "`robotd campaign resume {id}`",
    PauseReason.TOO_MANY_FAILURES: "see the reasons below and correct what they have in common, then "
    "`robotd campaign resume {id}`; `robotd campaign retry {id}` also sends again to those that failed",
    PauseReason.SILENT_DROPS: "messages are accepted but reach no phone: look at the number in WhatsApp, then "
    "`robotd campaign resume {id}`",
}


def masked(chat_id: str) -> str:
    """A number or chat id with its middle hidden, `99900…0001`: a quarter of it, and three digits at least."""
    digits, at, place = chat_id.removesuffix("@c.us").partition("@")
    shown = max(0, min(len(digits) * 3 // 4, len(digits) - _HIDDEN))
    head, tail = min(_HEAD, (shown + 1) // 2), min(_TAIL, shown // 2)
    return f"{digits[:head]}…{digits[len(digits) - tail :]}{at}{place}"


def status_report(look: Look, rules: NumberRules, now_ms: int) -> JsonObject:
    """A campaign as it stands at `now_ms`."""
    campaign, number = look.campaign, number_of(rules, look.pace)
    done = look.count(*_DONE)
    total = campaign.total_contacts if campaign.started_at_ms is not None else look.contacts
    step_ms = (look.due_ms or {}).get("campaign.step")
    return {
        "campaignId": campaign.id,
        "name": campaign.name,
        "status": campaign.status.value,
        "userId": campaign.owner,
        "session": campaign.session or None,
        "contactListId": campaign.contact_list_id,
        "pauseReason": None if campaign.pause_reason is None else campaign.pause_reason.value,
        "detail": campaign.pause_detail,
        "advice": _advice(campaign.pause_reason, campaign.id),
        "totalContacts": total,
        "handled": done,
        "counts": counted(look.counts),
        "scheduledAt": iso(campaign.scheduled_at_ms),
        "startedAt": _time(campaign.started_at_ms),
        "pausedAt": _time(campaign.paused_at_ms),
        "completedAt": _time(campaign.completed_at_ms),
        "rate": _rate(look, now_ms),
        "nextSendAt": _time(step_ms),
        "waitsFor": _waits_for(look, number, now_ms),
        **_rest(look, number, now_ms),
        "reasons": [_reason(one) for one in look.reasons],
        "unknown": [_unknown(one) for one in look.unknown],
        "notes": _notes(look, step_ms, now_ms),
    }


def counted(counts: Mapping[RecipientState, int]) -> JsonObject:
    """How many recipients are in each state; together they are all."""
    return {name: counts.get(state, 0) for name, state in _COUNTED.items()}


def listed_report(line: Listed) -> JsonObject:
    """One line of a list of campaigns."""
    return {
        "campaignId": line.id,
        "name": line.name,
        "status": line.status,
        "userId": line.owner,
        "session": line.session or None,
        "pauseReason": line.pause_reason,
        "totalContacts": line.total_contacts,
        "counts": counted(line.counts),
        "scheduledAt": iso(line.scheduled_at_ms),
        "startedAt": _time(line.started_at_ms),
        "completedAt": _time(line.completed_at_ms),
    }


def _advice(reason: PauseReason | None, campaign_id: int) -> str | None:
    return None if reason is None else ADVICE[reason].replace("{id}", str(campaign_id))


def _rate(look: Look, now_ms: int) -> JsonObject:
    """Messages in the last hour, and per hour from the first start to the end or to now."""
    campaign = look.campaign
    ended_ms = campaign.completed_at_ms if campaign.is_over and campaign.completed_at_ms is not None else now_ms
    took_ms = 0 if campaign.started_at_ms is None else ended_ms - campaign.started_at_ms
    per_hour = round(look.count(RecipientState.SENT) * _HOUR_MS / took_ms, 1) if took_ms > 0 else None
    return {"lastHour": look.sent_in_hour, "perHour": per_hour}


def _waits_for(look: Look, number: Number, now_ms: int) -> str | None:
    """What the number's next message waits for, where one is to come."""
    if look.campaign.status is not CampaignStatus.RUNNING:
        return None
    if not look.count(RecipientState.PENDING):
        return "DOUBT" if look.count(RecipientState.SENDING) else None
    at_ms, because = number.next_send(now_ms, look.campaign.window)
    return because or None if at_ms > now_ms else None


def _rest(look: Look, number: Number, now_ms: int) -> JsonObject:
    """When it would end at the number's own pace; for one that is paused, if it went on now."""
    campaign = look.campaign
    if campaign.is_over:
        return {"estimatedEnd": None, "secondsLeft": None}
    left = look.count(RecipientState.PENDING, RecipientState.SENDING)
    from_ms = now_ms
    if campaign.status is CampaignStatus.SCHEDULED:
        left, from_ms = look.contacts, max(now_ms, campaign.scheduled_at_ms)
    end_ms = number.estimate(left, from_ms, campaign.window)
    return {"estimatedEnd": iso(end_ms), "secondsLeft": (end_ms - now_ms) // 1_000}


def _reason(reason: Reason) -> JsonObject:
    return {"state": reason.state.value, "code": reason.code, "count": reason.count, "example": reason.example}


def _unknown(recipient: Recipient) -> JsonObject:
    return {
        "position": recipient.position,
        "phone": masked(recipient.chat_id),
        "code": recipient.error_code,
        "sendingAt": _time(recipient.sending_at_ms),
    }


def _notes(look: Look, step_ms: int | None, now_ms: int) -> list[str]:
    found, campaign = [], look.campaign
    if campaign.status is CampaignStatus.RUNNING:
        if step_ms is not None and now_ms - step_ms > _LATE_MS:
            found.append("the next send is overdue: does a robotd run, and does it reach the database?")
        if look.rivals:
            others = "another campaign sends" if look.rivals == 1 else f"{look.rivals} other campaigns send"
            found.append(f"{others} from this number, too: it takes longer than the time left says")
    if look.count(RecipientState.UNKNOWN):
        found.append(
            "nobody knows whether the unknown ones were sent: look into their chats; "
            f"`robotd campaign retry {campaign.id} --scope unknown` sends to them again"
        )
    return found


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else iso(at_ms)
