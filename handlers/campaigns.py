"""Campaigns: created, scheduled, started once, paused, resumed, cancelled; how they send is `campaign_sending`.

A start is claimed by the version of the campaign's row and freezes its recipients in the same transaction, so that of
two starts at once one finds a conflict and does nothing.
"""

from dataclasses import dataclass, replace

from domain.campaign import Campaign, CampaignStatus, RecipientState, campaign_payload
from domain.campaign_messages import (
    CampaignCommand,
    CreateCampaign,
    HealCampaign,
    ProgressOfCampaign,
    RetryCampaign,
    ScheduleCampaign,
    StartCampaign,
    StepCampaign,
)
from domain.campaign_ports import MediaFiles, WhatsApp
from domain.contacts import personal, unknown_placeholders
from domain.errors import RuleViolation
from domain.messages import Addressed, reply_id
from domain.number import Number, NumberRules
from domain.number_breaker import Stop, may_resume
from domain.outcome import Done, Outcome
from domain.pace import LATEST_MS, is_expired
from domain.ports import UnitOfWork
from domain.sending import PauseReason
from domain.wire import JsonObject, iso, milliseconds, whole_second
from handlers.campaign_changes import (
    HEAL,
    HEAL_EVERY_MS,
    START,
    addressee,
    already,
    check_schedule,
    ended,
    gateway,
    heal_timer,
    must_be,
    names_somebody,
    number_of,
    own,
    paused,
    paused_with,
    progress_timer,
    publish,
    reply,
    save_number,
    start_timer,
    step_timer,
    tell,
)
from handlers.number_watch import ACKS, ack_timer


@dataclass(frozen=True, slots=True)
class CampaignHandlers:
    """The use cases of campaigns. None and 0: no campaign expires, tells its progress, has its number watched."""

    whatsapp: WhatsApp | None
    media: MediaFiles
    rules: NumberRules
    expires_after_s: float | None = None
    progress_every_ms: int = 0
    acks_every_ms: int = 0

    async def create(self, command: CreateCampaign, uow: UnitOfWork) -> Outcome:
        """Store a campaign and schedule its start; one whose time has passed starts at once."""
        gateway(self.whatsapp)  # refused at once where nobody could send
        contact_list = await uow.contacts.list_of(command.contact_list_id, command.user_id)
        if contact_list is None:
            reason = f"user {command.user_id} has no contact list {command.contact_list_id}"
            raise RuleViolation(reason, kind="not-found")
        if command.media_file is not None:
            await self.media.read(command.user_id, command.media_file)
        scheduled_at_ms = milliseconds(command.scheduled_at)
        check_schedule(scheduled_at_ms, uow.now_ms)
        window = None if command.window is None else command.window.window()
        if self.rules.opens(window).next_open_ms(uow.now_ms) >= LATEST_MS:
            raise RuleViolation("its window is never open while that of its number is", kind="never-open")
        campaign = Campaign(
            id=await uow.campaigns.new_id(),
            owner=command.user_id,
            name=command.name,
            session=command.session or "",
            contact_list_id=command.contact_list_id,
            text=command.text,
            default_name=command.default_name_value,
            media_file=command.media_file,
            scheduled_at_ms=scheduled_at_ms,
            expires_after_s=command.expires_after_s,
            created_at_ms=uow.now_ms,
            total_contacts=contact_list.contact_count,
            robot_id=command.robot_id,
            reply_to=command.reply_to,
            call_ref=uow.call_ref,
            window=window,
        )
        uow.campaigns.add(campaign)
        uow.schedule(start_timer(campaign))
        reply(command, campaign, {}, uow)
        return Done(f"campaign {campaign.id} scheduled")

    async def schedule(self, command: ScheduleCampaign, uow: UnitOfWork) -> Outcome:
        """Move the start of a campaign that has not begun."""
        campaign = await own(command.user_id, command.campaign_id, uow)
        must_be(campaign, CampaignStatus.SCHEDULED)
        scheduled_at_ms = milliseconds(command.scheduled_at)
        check_schedule(scheduled_at_ms, uow.now_ms)
        moved = replace(campaign, scheduled_at_ms=scheduled_at_ms)
        uow.campaigns.save(moved)
        uow.schedule(start_timer(moved))
        reply(command, moved, {}, uow)
        return Done(f"campaign {campaign.id} scheduled")

    async def run(self, command: CampaignCommand, uow: UnitOfWork) -> Outcome:
        """Start a scheduled campaign now."""
        campaign = await own(command.user_id, command.campaign_id, uow)
        if campaign.status is CampaignStatus.RUNNING:
            return await already(command, campaign, uow)
        must_be(campaign, CampaignStatus.SCHEDULED)
        return await self._start(campaign, uow, command)

    async def start(self, timer: StartCampaign, uow: UnitOfWork) -> Outcome:
        """Its time has come, or passed while nobody was there."""
        campaign = await uow.campaigns.get(timer.campaign_id)
        if campaign is None or campaign.status is not CampaignStatus.SCHEDULED:
            return Done("not scheduled any more")
        if whole_second(campaign.scheduled_at_ms) > uow.now_ms:  # it was moved while its timer was looked after
            uow.schedule(start_timer(campaign))
            return Done("not yet")
        expires_after_s = self.expires_after_s if campaign.expires_after_s is None else campaign.expires_after_s
        if is_expired(campaign.scheduled_at_ms, expires_after_s, uow.now_ms):
            detail = f"expired: it was due {(uow.now_ms - campaign.scheduled_at_ms) // 1_000} s ago"
            return await ended(campaign, CampaignStatus.FAILED, detail, uow)
        return await self._start(campaign, uow)

    async def _start(self, campaign: Campaign, uow: UnitOfWork, command: Addressed | None = None) -> Outcome:
        """Claim it and freeze its recipients in one transaction: of two starts at once, one finds a Conflict."""
        session = campaign.session or await gateway(self.whatsapp).session_of(campaign.owner, uow.call_ref)
        if session is None:
            detail = f"user {campaign.owner} has no WhatsApp session"
            return await ended(campaign, CampaignStatus.FAILED, detail, uow, command)
        contacts = await uow.campaigns.contacts_of(campaign.contact_list_id)
        if contacts == 0:
            over = campaign.started(0, uow.now_ms)
            return await ended(over, CampaignStatus.COMPLETED, "no contacts", uow, command)
        started = replace(campaign.started(contacts, uow.now_ms), session=session)
        number = number_of(self.rules, await uow.campaigns.pace(session))
        uow.campaigns.freeze(started, contacts)
        uow.cancel_timer(START, str(campaign.id))
        raw = unknown_placeholders(campaign.text, await uow.contacts.field_names(campaign.contact_list_id))
        if raw:
            stop = Stop(PauseReason.PLACEHOLDERS, f"{', '.join(raw)} would reach people as it is")
            return await paused_with(started, stop, 0, {RecipientState.PENDING: contacts}, uow, command)
        uow.schedule(step_timer(started, uow.now_ms))
        await self._attend(started, uow)
        warnings = self.rules.pace.warnings
        more: JsonObject = {
            "warnings": list(warnings),
            "estimatedEnd": iso(number.estimate(contacts, uow.now_ms, started.window)),
        }
        tell(started, {RecipientState.PENDING: contacts}, "campaign.started", uow, more, command)
        return Done("; ".join((f"campaign {campaign.id} started with {contacts} contacts", *warnings)))

    async def _attend(self, campaign: Campaign, uow: UnitOfWork) -> None:
        """What goes on beside the sending: words of progress, and a look at what becomes of the number's texts."""
        self._schedule_progress(campaign, uow)
        if self.acks_every_ms and not await uow.is_scheduled(ACKS, campaign.session):
            uow.schedule_new(ack_timer(campaign.session, uow.now_ms + self.acks_every_ms))

    def _schedule_progress(self, campaign: Campaign, uow: UnitOfWork) -> None:
        if self.progress_every_ms and names_somebody(campaign):
            uow.schedule(progress_timer(campaign, uow.now_ms + self.progress_every_ms))

    async def progress(self, timer: ProgressOfCampaign, uow: UnitOfWork) -> Outcome:
        """Tell how far it is and when it will end, and again after the same span."""
        found = await uow.campaigns.with_pace(timer.campaign_id)
        if found is None or found[0].status is not CampaignStatus.RUNNING:
            return Done("not running")
        campaign, number = found[0], number_of(self.rules, found[1])
        counts = await uow.campaigns.counts(campaign.id)
        ends_ms = number.estimate(counts.get(RecipientState.PENDING, 0), uow.now_ms, campaign.window)
        payload = {**campaign_payload(campaign, counts), "estimatedEnd": iso(ends_ms)}
        publish(campaign, campaign, reply_id(uow.source, uow.id), "campaign.progress", payload, uow)
        self._schedule_progress(campaign, uow)
        return Done(f"campaign {campaign.id} told how far it is")

    async def gave_up(self, timer: StartCampaign | StepCampaign | HealCampaign, reason: str, uow: UnitOfWork) -> None:
        """A timer of it goes to the dead-letter queue: it ends as Failed instead of running for ever."""
        campaign = await uow.campaigns.get(timer.campaign_id)
        if campaign is not None and not campaign.is_over:
            await ended(campaign, CampaignStatus.FAILED, reason[:512], uow)

    async def tend(self, uow: UnitOfWork) -> int:
        """Give every campaign the timer that it waits for, where that is missing. Returns how many had none."""
        strays = await uow.campaigns.strays()
        for campaign in strays:
            match campaign.status:
                case CampaignStatus.SCHEDULED:
                    uow.schedule(start_timer(campaign))
                case CampaignStatus.RUNNING:
                    uow.schedule(step_timer(campaign, uow.now_ms))
                case _:
                    uow.schedule(heal_timer(campaign, uow.now_ms))
        return len(strays)

    async def pause(self, command: CampaignCommand, uow: UnitOfWork) -> Outcome:
        """Stop before the next send, also inside a wait."""
        campaign = await own(command.user_id, command.campaign_id, uow)
        if campaign.status is CampaignStatus.PAUSED:
            return await already(command, campaign, uow)
        must_be(campaign, CampaignStatus.RUNNING)
        pending = await uow.campaigns.in_state(campaign.id, RecipientState.PENDING, 1)
        position = pending[0].position if pending else None
        stop = Stop(PauseReason.OPERATOR, "paused by its user")
        return await paused(campaign, stop, position, uow, command)

    async def resume(self, command: CampaignCommand, uow: UnitOfWork) -> Outcome:
        """Go on at exactly the contact that is next in the ledger."""
        campaign = await own(command.user_id, command.campaign_id, uow)
        if campaign.status is CampaignStatus.RUNNING:
            return await already(command, campaign, uow)
        must_be(campaign, CampaignStatus.PAUSED)
        number = await self._number(campaign.session, uow)
        if number.version:
            save_number(campaign.session, number.resumed(), uow)
        return await self._resume(campaign, uow, command)

    async def _number(self, session: str, uow: UnitOfWork) -> Number:
        return number_of(self.rules, await uow.campaigns.pace(session))

    @property
    def _heal_every_ms(self) -> int:
        return min(HEAL_EVERY_MS, max(1_000, self.rules.breaker.working_hold_ms))

    async def heal(self, timer: HealCampaign, uow: UnitOfWork) -> Outcome:
        """A pause that may heal by itself: look whether the session works again."""
        campaign = await uow.campaigns.get(timer.campaign_id)
        reason = None if campaign is None else campaign.pause_reason
        if campaign is None or reason is None or not reason.heals_by_itself:
            return Done("nothing to heal")
        if self.whatsapp is None:
            uow.schedule(heal_timer(campaign, uow.now_ms + HEAL_EVERY_MS))
            return Done("waha.base_url is not set")
        number = await self._number(campaign.session, uow)
        state = await gateway(self.whatsapp).session(campaign.session, uow.call_ref)
        number = number.looked(state, uow.now_ms)
        may_go_on = may_resume(self.rules.breaker, reason, number.breaker, uow.now_ms)
        save_number(campaign.session, number.resumed() if may_go_on else number, uow)
        if not may_go_on:
            uow.schedule(heal_timer(campaign, uow.now_ms + self._heal_every_ms))
            return Done(f"not yet: the session is {state.status or 'not reached'}")
        return await self._resume(campaign, uow)

    async def _resume(self, campaign: Campaign, uow: UnitOfWork, command: Addressed | None = None) -> Outcome:
        resumed = campaign.resumed()
        uow.cancel_timer(HEAL, str(campaign.id))
        uow.schedule(step_timer(resumed, uow.now_ms))
        await self._attend(resumed, uow)
        tell(resumed, await uow.campaigns.counts(campaign.id), "campaign.resumed", uow, command=command)
        return Done(f"campaign {campaign.id} resumed")

    async def cancel(self, command: CampaignCommand, uow: UnitOfWork) -> Outcome:
        """End it for good; what was sent stays in the ledger."""
        campaign = await own(command.user_id, command.campaign_id, uow)
        if campaign.is_over:
            return await already(command, campaign, uow)
        return await ended(campaign, CampaignStatus.CANCELLED, "cancelled by its user", uow, command)

    async def status(self, command: CampaignCommand, uow: UnitOfWork) -> Outcome:
        """Tell the present state with counts."""
        campaign = await own(command.user_id, command.campaign_id, uow)
        reply(command, campaign, await uow.campaigns.counts(campaign.id), uow)
        return Done(f"campaign {campaign.id} {campaign.status}")

    async def retry(self, command: RetryCampaign, uow: UnitOfWork) -> Outcome:
        """Send again to those who failed, or, by a person's explicit word, to those of whom nobody knows."""
        campaign = await own(command.user_id, command.campaign_id, uow)
        is_cancelled = campaign.status is CampaignStatus.CANCELLED
        if campaign.status is CampaignStatus.RUNNING or is_cancelled or campaign.started_at_ms is None:
            raise RuleViolation(f"campaign {campaign.id} is {campaign.status}: nothing to retry", kind="wrong-state")
        state = RecipientState[command.scope.upper()]
        if not await uow.campaigns.in_state(campaign.id, state, 1):
            raise RuleViolation(f"campaign {campaign.id} has no recipient that is {state}", kind="wrong-state")
        if state is not RecipientState.PENDING:
            uow.campaigns.again(campaign.id, state)
        return await self._resume(replace(campaign, completed_at_ms=None), uow, command)

    async def preview(self, command: CampaignCommand, uow: UnitOfWork) -> Outcome:
        """What a start would do now: how many contacts, and what in the text would go out raw."""
        campaign = await own(command.user_id, command.campaign_id, uow)
        contacts = await uow.campaigns.contacts_of(campaign.contact_list_id)
        known = await uow.contacts.field_names(campaign.contact_list_id)
        number = await self._number(campaign.session, uow)
        payload: JsonObject = {
            **campaign_payload(campaign, {}),
            "contacts": contacts,
            "unknownPlaceholders": unknown_placeholders(campaign.text, known),
            "warnings": list(self.rules.pace.warnings),
            "estimatedEnd": iso(number.estimate(contacts, uow.now_ms, campaign.window)),
            "example": personal(campaign.text, None, campaign.default_name, {}),
        }
        to = addressee(command, campaign)
        publish(to, campaign, reply_id(uow.source, uow.id), "campaign.preview", payload, uow)
        return Done(f"campaign {campaign.id} previewed")
