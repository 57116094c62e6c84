"""What every use case of campaigns does with a change: save it, tell of it, move its timers."""

from dataclasses import replace

from domain.alerts import raise_alert
from domain.campaign import Campaign, CampaignStatus, Counts, Recipient, RecipientState, campaign_payload
from domain.campaign_alerts import failed_alert, paused_alert
from domain.campaign_messages import HealCampaign, ProgressOfCampaign, StartCampaign, StepCampaign
from domain.campaign_ports import PaceRow, WhatsApp
from domain.errors import RuleViolation
from domain.messages import Addressed, reply_id, result_to
from domain.number import Number, NumberRules
from domain.number_breaker import Stop
from domain.outcome import Done, Outcome
from domain.ports import Timer, UnitOfWork
from domain.wire import JsonObject, whole_second

START, STEP, HEAL, PROGRESS = "campaign.start", "campaign.step", "campaign.heal", "campaign.progress"
HEAL_EVERY_MS = 60_000
_STOPPED = "it ended between the intent and the answer; ask the person, or retry by an explicit word"
_YEAR_MS = 366 * 86_400_000


def gateway(whatsapp: WhatsApp | None) -> WhatsApp:
    """The gateway. Raises RuleViolation where there is none."""
    if whatsapp is None:
        raise RuleViolation("there are no campaigns here: waha.base_url is not set", kind="campaigns-off")
    return whatsapp


def number_of(rules: NumberRules, row: PaceRow | None) -> Number:
    """A number from its row, None for one that never sent."""
    return Number(rules) if row is None else Number.of(rules, row.pace, row.breaker, row.version)


async def own(owner: str, campaign_id: int, uow: UnitOfWork) -> Campaign:
    """A user's own campaign. Raises RuleViolation for one that is not there or another user's, without saying which."""
    campaign = await uow.campaigns.get(campaign_id)
    if campaign is None or campaign.owner != owner:
        raise RuleViolation(f"user {owner} has no campaign {campaign_id}", kind="not-found")
    return campaign


def must_be(campaign: Campaign, status: CampaignStatus) -> None:
    """Raises RuleViolation unless the campaign is in this state."""
    if campaign.status is not status:
        raise RuleViolation(f"campaign {campaign.id} is {campaign.status}, not {status}", kind="wrong-state")


def check_schedule(scheduled_at_ms: int, now_ms: int) -> None:
    """Raises RuleViolation for a time that nobody can mean."""
    if scheduled_at_ms > now_ms + 10 * _YEAR_MS:
        raise RuleViolation("scheduledAt lies more than ten years ahead", kind="far-future")


async def already(command: Addressed, campaign: Campaign, uow: UnitOfWork) -> Outcome:
    """What was asked for is so: only tell it."""
    reply(command, campaign, await uow.campaigns.counts(campaign.id), uow)
    return Done(f"campaign {campaign.id} is {campaign.status} already")


def handled(campaign: Campaign, recipient: Recipient, at_ms: int, uow: UnitOfWork) -> Outcome:
    """One contact is done with: collect the index that users see, and the next step at `at_ms`."""
    moved = replace(campaign, last_processed_contact_index=recipient.position)
    uow.campaigns.save(moved)
    uow.schedule(step_timer(moved, at_ms))
    return Done(f"campaign {campaign.id} handled contact {recipient.position}")


async def paused(
    campaign: Campaign, stop: Stop, position: int | None, uow: UnitOfWork, command: Addressed | None = None
) -> Outcome:
    """Collect a pause at the contact `position`; one that heals by itself gets a timer that looks."""
    return await paused_with(campaign, stop, position, await uow.campaigns.counts(campaign.id), uow, command)


async def paused_with(
    campaign: Campaign,
    stop: Stop,
    position: int | None,
    counts: Counts,
    uow: UnitOfWork,
    command: Addressed | None = None,
) -> Outcome:
    """The same with counts that are not committed yet."""
    stopped = campaign.paused(stop.reason, stop.detail, position, uow.now_ms)
    for timer_type in (STEP, PROGRESS):
        uow.cancel_timer(timer_type, str(campaign.id))
    if stop.reason.heals_by_itself:
        uow.schedule(heal_timer(stopped, uow.now_ms + HEAL_EVERY_MS))
    alert = paused_alert(stopped, stop)
    if alert is not None:
        await raise_alert(alert, uow)
    tell(stopped, counts, "campaign.paused", uow, command=command)
    return Done(f"campaign {campaign.id} paused: {stop.reason}")


def save_number(session: str, number: Number, uow: UnitOfWork) -> None:
    """Collect what is known of a number."""
    uow.campaigns.save_pace(session, PaceRow(number.pace_row, number.breaker_row, number.version))


async def ended(
    campaign: Campaign,
    status: CampaignStatus,
    detail: str | None,
    uow: UnitOfWork,
    command: Addressed | None = None,
) -> Outcome:
    """Collect the end, with all timers gone; whom an intent without an answer is about is UNKNOWN then."""
    over = campaign.ended(status, uow.now_ms, detail)
    for timer_type in (START, STEP, HEAL, PROGRESS):
        uow.cancel_timer(timer_type, str(campaign.id))
    counts = dict(await uow.campaigns.counts(campaign.id))
    if unanswered := counts.pop(RecipientState.SENDING, 0):
        uow.campaigns.doubt(campaign.id, _STOPPED, uow.now_ms)
        counts[RecipientState.UNKNOWN] = counts.get(RecipientState.UNKNOWN, 0) + unanswered
    if status is CampaignStatus.FAILED:
        await raise_alert(failed_alert(over, detail), uow)
    tell(over, counts, f"campaign.{status.value.lower()}", uow, command=command)
    return Done(f"campaign {campaign.id} {status}")


def tell(
    campaign: Campaign,
    counts: Counts,
    kind: str,
    uow: UnitOfWork,
    more: JsonObject | None = None,
    command: Addressed | None = None,
) -> None:
    """Save a change and tell of it, with `more` beside its counts; the id counts what was told.

    Whom the command names that wanted it is answered too.
    """
    told = replace(campaign, notices=campaign.notices + 1)
    uow.campaigns.save(told)
    payload = {**campaign_payload(told, counts), **(more or {})}
    publish(told, campaign, f"campaign-{told.id}-{told.notices}", kind, payload, uow)
    if command is not None and names_somebody(command):
        publish(command, campaign, reply_id(uow.source, uow.id), "campaign.current", payload, uow)


def reply(command: Addressed, campaign: Campaign, counts: Counts, uow: UnitOfWork) -> None:
    """Collect the answer to a command: the campaign as it stands, for whom the command names, else the campaign."""
    publish(
        addressee(command, campaign),
        campaign,
        reply_id(uow.source, uow.id),
        "campaign.current",
        campaign_payload(campaign, counts),
        uow,
    )


def addressee(command: Addressed, campaign: Campaign) -> Addressed:
    """Whom an answer goes to: whoever the command names, else whoever the campaign names."""
    return command if names_somebody(command) else campaign


def names_somebody(to: Addressed) -> bool:
    """Whether there is anybody to be told."""
    return to.robot_id is not None or to.reply_to is not None


def publish(to: Addressed, campaign: Campaign, identity: str, kind: str, payload: JsonObject, uow: UnitOfWork) -> None:
    """Collect a result of a campaign for whom `to` names, if anybody."""
    result = result_to(to, identity, kind, payload, campaign.call_ref or uow.call_ref)
    if result is not None:
        uow.publish(result)


def start_timer(campaign: Campaign) -> Timer:
    """The timer that starts a campaign at its time."""
    data = StartCampaign(campaignId=campaign.id)
    return Timer(START, str(campaign.id), whole_second(campaign.scheduled_at_ms), data, campaign.call_ref)


def step_timer(campaign: Campaign, at_ms: int) -> Timer:
    """The timer that handles the next contact."""
    return Timer(STEP, str(campaign.id), at_ms, StepCampaign(campaignId=campaign.id), campaign.call_ref)


def heal_timer(campaign: Campaign, at_ms: int) -> Timer:
    """The timer that looks whether a pause has healed."""
    return Timer(HEAL, str(campaign.id), at_ms, HealCampaign(campaignId=campaign.id), campaign.call_ref)


def progress_timer(campaign: Campaign, at_ms: int) -> Timer:
    """The timer that tells how far a campaign is."""
    return Timer(PROGRESS, str(campaign.id), at_ms, ProgressOfCampaign(campaignId=campaign.id), campaign.call_ref)
