"""Campaigns: created, scheduled, started once, sent contact by contact, paused, resumed, cancelled; never sent twice.

One step handles one contact and is a timer, so that a restart, a pause or a replica costs nothing. The intent to send
is committed before the send and the answer after it. An intent that is found later was left by a crash: it is looked up
at the messenger by the id that was reserved for it, and is UNKNOWN where that can't tell; never sent again blindly.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from domain.campaign import Campaign, CampaignStatus, Recipient, RecipientState, campaign_payload
from domain.campaign_messages import (
    CampaignCommand,
    CreateCampaign,
    HealCampaign,
    RetryCampaign,
    ScheduleCampaign,
    StartCampaign,
    StepCampaign,
)
from domain.campaign_ports import MediaFiles, WhatsApp
from domain.contacts import personal, unknown_placeholders
from domain.errors import Conflict, RuleViolation
from domain.messages import reply_id
from domain.number import Number, NumberRules
from domain.number_breaker import Stop, may_resume
from domain.outcome import Done, Outcome
from domain.pace import is_expired
from domain.ports import UnitOfWork
from domain.sending import PauseReason, SendAnswer, SendVerdict
from domain.wire import JsonObject, iso, milliseconds
from handlers.campaign_changes import (
    HEAL,
    HEAL_EVERY_MS,
    START,
    already,
    check_schedule,
    ended,
    handled,
    heal_timer,
    must_be,
    own,
    paused,
    publish,
    reply,
    save_number,
    start_timer,
    step_timer,
    tell,
)

_RACES = 5


@dataclass(frozen=True, slots=True)
class CampaignHandlers:
    """The use cases of campaigns. `chance` gives numbers from 0 to 1 for the gaps between two messages."""

    whatsapp: WhatsApp | None
    media: MediaFiles
    rules: NumberRules
    chance: Callable[[], float]

    @property
    def _gateway(self) -> WhatsApp:
        if self.whatsapp is None:
            raise RuleViolation("there are no campaigns here: waha.base_url is not set", kind="campaigns-off")
        return self.whatsapp

    async def create(self, command: CreateCampaign, uow: UnitOfWork) -> Outcome:
        """Store a campaign and schedule its start; one whose time has passed starts at once."""
        _ = self._gateway  # refused at once where nobody could send
        contact_list = await uow.contacts.list_of(command.contact_list_id, command.user_id)
        if contact_list is None:
            reason = f"user {command.user_id} has no contact list {command.contact_list_id}"
            raise RuleViolation(reason, kind="not-found")
        if command.media_file is not None:
            await self.media.read(command.media_file)
        scheduled_at_ms = milliseconds(command.scheduled_at)
        check_schedule(scheduled_at_ms, uow.now_ms)
        campaign = Campaign(
            id=await uow.campaigns.new_id(),
            owner=command.user_id,
            name=command.name,
            session=command.session,
            contact_list_id=command.contact_list_id,
            text=command.text,
            default_name=command.default_name_value,
            media_file=command.media_file,
            scheduled_at_ms=scheduled_at_ms,
            expires_after_s=command.expires_after_s,
            created_at_ms=uow.now_ms,
            total_contacts=contact_list.contact_count,
            robot_id=command.robot_id,
            call_ref=uow.call_ref,
        )
        uow.campaigns.add(campaign)
        uow.schedule(start_timer(campaign))
        reply(campaign, {}, uow)
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
        reply(moved, {}, uow)
        return Done(f"campaign {campaign.id} scheduled")

    async def run(self, command: CampaignCommand, uow: UnitOfWork) -> Outcome:
        """Start a scheduled campaign now."""
        campaign = await own(command.user_id, command.campaign_id, uow)
        if campaign.status is CampaignStatus.RUNNING:
            return await already(campaign, uow)
        must_be(campaign, CampaignStatus.SCHEDULED)
        return await self._start(campaign, uow)

    async def start(self, timer: StartCampaign, uow: UnitOfWork) -> Outcome:
        """Its time has come, or passed while nobody was there."""
        campaign = await uow.campaigns.get(timer.campaign_id)
        if campaign is None or campaign.status is not CampaignStatus.SCHEDULED:
            return Done("not scheduled any more")
        if is_expired(campaign.scheduled_at_ms, campaign.expires_after_s, uow.now_ms):
            detail = f"expired: it was due {(uow.now_ms - campaign.scheduled_at_ms) // 1_000} s ago"
            return await ended(campaign, CampaignStatus.FAILED, detail, uow)
        return await self._start(campaign, uow)

    async def _start(self, campaign: Campaign, uow: UnitOfWork) -> Outcome:
        """Claim it and freeze its recipients in one transaction: of two starts at once, one finds a Conflict."""
        contacts = await uow.campaigns.contacts_of(campaign.contact_list_id)
        if contacts == 0:
            return await ended(campaign.started(0, uow.now_ms), CampaignStatus.COMPLETED, "no contacts", uow)
        started = campaign.started(contacts, uow.now_ms)
        uow.campaigns.freeze(started, contacts)
        uow.cancel_timer(START, str(campaign.id))
        uow.schedule(step_timer(started, uow.now_ms))
        tell(started, {RecipientState.PENDING: contacts}, "campaign.started", uow)
        return Done(f"campaign {campaign.id} started with {contacts} contacts")

    async def step(self, timer: StepCampaign, uow: UnitOfWork) -> Outcome:
        """Handle the next contact, or wait for the number's pace, or finish."""
        campaign = await uow.campaigns.get(timer.campaign_id)
        if campaign is None or campaign.status is not CampaignStatus.RUNNING:
            return Done("not running")
        doubtful = await uow.campaigns.in_state(campaign.id, RecipientState.SENDING, 1)
        if doubtful:
            return await self._look_up(campaign, doubtful[0], uow)
        pending = await uow.campaigns.in_state(campaign.id, RecipientState.PENDING, 1)
        if not pending:
            return await ended(campaign, CampaignStatus.COMPLETED, None, uow)
        number = await self._number(campaign.session, uow)
        next_at_ms, because = number.next_send(uow.now_ms)
        if next_at_ms > uow.now_ms:
            uow.schedule(step_timer(campaign, next_at_ms))
            return Done(f"waits: {because}")
        return await self._handle(campaign, pending[0], number, uow)

    async def _number(self, session: str, uow: UnitOfWork) -> Number:
        row = await uow.campaigns.pace(session)
        return Number.of(self.rules, row.pace, row.breaker, row.version) if row else Number(self.rules)

    async def _look_up(self, campaign: Campaign, recipient: Recipient, uow: UnitOfWork) -> Outcome:
        """What a crash left: sent, surely not sent, or nobody knows."""
        was_sent: bool | None = None
        if recipient.message_id is not None:
            was_sent = await self._gateway.was_sent(
                campaign.session, recipient.chat_id, recipient.message_id, uow.call_ref
            )
        answer = SendAnswer(SendVerdict.SENT) if was_sent else SendAnswer(SendVerdict.UNKNOWN, "crashed", _IN_DOUBT)
        uow.campaigns.settle(recipient.answered(answer, uow.now_ms))
        uow.schedule(step_timer(campaign, uow.now_ms))
        return Done(f"looked up contact {recipient.position}: {answer.verdict}")

    async def _handle(self, campaign: Campaign, recipient: Recipient, number: Number, uow: UnitOfWork) -> Outcome:
        number = number.looked(await self._gateway.session(campaign.session, uow.call_ref), uow.now_ms)
        if number.stop is not None:
            save_number(campaign.session, number, uow)
            return await paused(campaign, number.stop, recipient.position, uow)
        next_at_ms, because = number.next_send(uow.now_ms)
        if next_at_ms > uow.now_ms:  # it can't be reached, and is asked again in a moment
            save_number(campaign.session, number, uow)
            uow.schedule(step_timer(campaign, next_at_ms))
            return Done(f"waits: {because}")
        if recipient.chat_id in await uow.contacts.opted_out([recipient.chat_id]):
            uow.campaigns.settle(recipient.skipped("opt-out", "asked not to be written to", uow.now_ms))
            return handled(campaign, recipient, uow.now_ms, uow)
        return await self._send(campaign, recipient, number, uow)

    async def _send(self, campaign: Campaign, recipient: Recipient, number: Number, uow: UnitOfWork) -> Outcome:
        text = personal(campaign.text, recipient.first_name, campaign.default_name, recipient.fields or {})
        try:
            media = None if campaign.media_file is None else await self.media.read(campaign.media_file)
        except RuleViolation as refusal:
            return await paused(campaign, Stop(PauseReason.MEDIA, str(refusal)), recipient.position, uow)
        has_id = campaign.media_file is None
        message_id = await self._gateway.new_message_id(campaign.session, uow.call_ref) if has_id else None
        recipient = recipient.intended(message_id, uow.now_ms)
        uow.campaigns.intend(recipient)
        save_number(campaign.session, number.sending(uow.now_ms, self.chance()), uow)
        await uow.commit_now()
        await uow.still_ours()
        if media is None:
            answer = await self._gateway.send_text(campaign.session, recipient.chat_id, text, message_id, uow.call_ref)
        else:
            answer = await self._gateway.send_media(campaign.session, recipient.chat_id, text, media, uow.call_ref)
        return await self._answered(campaign, recipient, answer, uow)

    async def _answered(self, campaign: Campaign, recipient: Recipient, answer: SendAnswer, uow: UnitOfWork) -> Outcome:
        """Write down first what can't be learnt again, whatever others did to the campaign meanwhile."""
        uow.campaigns.settle(recipient.answered(answer, uow.now_ms))
        await uow.commit_now()
        number = await self._learn(campaign.session, recipient.chat_id, answer, uow)
        current = await uow.campaigns.get(campaign.id)
        if current is None or current.status is not CampaignStatus.RUNNING:
            return Done(f"contact {recipient.position}: {answer.verdict}; then it was {current and current.status}")
        if number.stop is not None:
            position = recipient.position + (answer.verdict is not SendVerdict.NOT_SENT)
            return await paused(current, number.stop, position, uow)
        next_at_ms, _ = number.next_send(uow.now_ms)
        return handled(current, recipient, next_at_ms, uow)

    async def _learn(self, session: str, chat_id: str, answer: SendAnswer, uow: UnitOfWork) -> Number:
        """Add the answer to what is known of the number, beside other campaigns that do the same."""
        for _ in range(_RACES):
            number = (await self._number(session, uow)).answered(answer, chat_id, uow.now_ms)
            save_number(session, number, uow)
            with suppress(Conflict):
                await uow.commit_now()
                break
        return number

    async def pause(self, command: CampaignCommand, uow: UnitOfWork) -> Outcome:
        """Stop before the next send, also inside a wait."""
        campaign = await own(command.user_id, command.campaign_id, uow)
        if campaign.status is CampaignStatus.PAUSED:
            return await already(campaign, uow)
        must_be(campaign, CampaignStatus.RUNNING)
        pending = await uow.campaigns.in_state(campaign.id, RecipientState.PENDING, 1)
        position = pending[0].position if pending else None
        return await paused(campaign, Stop(PauseReason.OPERATOR, "paused by its user"), position, uow)

    async def resume(self, command: CampaignCommand, uow: UnitOfWork) -> Outcome:
        """Go on at exactly the contact that is next in the ledger."""
        campaign = await own(command.user_id, command.campaign_id, uow)
        if campaign.status is CampaignStatus.RUNNING:
            return await already(campaign, uow)
        must_be(campaign, CampaignStatus.PAUSED)
        number = await self._number(campaign.session, uow)
        if number.version:
            save_number(campaign.session, number.resumed(), uow)
        return await self._resume(campaign, uow)

    async def heal(self, timer: HealCampaign, uow: UnitOfWork) -> Outcome:
        """A pause that may heal by itself: look whether the session works again."""
        campaign = await uow.campaigns.get(timer.campaign_id)
        reason = None if campaign is None else campaign.pause_reason
        if campaign is None or reason is None or not reason.heals_by_itself:
            return Done("nothing to heal")
        number = await self._number(campaign.session, uow)
        state = await self._gateway.session(campaign.session, uow.call_ref)
        number = number.looked(state, uow.now_ms)
        may_go_on = may_resume(self.rules.breaker, reason, number.breaker, uow.now_ms)
        save_number(campaign.session, number.resumed() if may_go_on else number, uow)
        if not may_go_on:
            uow.schedule(heal_timer(campaign, uow.now_ms + HEAL_EVERY_MS))
            return Done(f"not yet: the session is {state.status or 'not reached'}")
        return await self._resume(campaign, uow)

    async def _resume(self, campaign: Campaign, uow: UnitOfWork) -> Outcome:
        resumed = campaign.resumed()
        uow.cancel_timer(HEAL, str(campaign.id))
        uow.schedule(step_timer(resumed, uow.now_ms))
        tell(resumed, await uow.campaigns.counts(campaign.id), "campaign.resumed", uow)
        return Done(f"campaign {campaign.id} resumed")

    async def cancel(self, command: CampaignCommand, uow: UnitOfWork) -> Outcome:
        """End it for good; what was sent stays in the ledger."""
        campaign = await own(command.user_id, command.campaign_id, uow)
        if campaign.is_over:
            return await already(campaign, uow)
        return await ended(campaign, CampaignStatus.CANCELLED, "cancelled by its user", uow)

    async def status(self, command: CampaignCommand, uow: UnitOfWork) -> Outcome:
        """Tell the present state with counts."""
        campaign = await own(command.user_id, command.campaign_id, uow)
        reply(campaign, await uow.campaigns.counts(campaign.id), uow)
        return Done(f"campaign {campaign.id} {campaign.status}")

    async def retry(self, command: RetryCampaign, uow: UnitOfWork) -> Outcome:
        """Send again to those who failed, or, by a person's explicit word, to those of whom nobody knows."""
        campaign = await own(command.user_id, command.campaign_id, uow)
        if campaign.status is CampaignStatus.RUNNING or campaign.started_at_ms is None:
            raise RuleViolation(f"campaign {campaign.id} is {campaign.status}: nothing to retry", kind="wrong-state")
        state = RecipientState[command.scope.upper()]
        if state is not RecipientState.PENDING:
            uow.campaigns.again(campaign.id, state)
        return await self._resume(replace(campaign, completed_at_ms=None), uow)

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
            "estimatedEnd": iso(number.estimate(contacts, uow.now_ms)),
            "example": personal(campaign.text, None, campaign.default_name, {}),
        }
        publish(campaign, reply_id(uow.source, uow.id), "campaign.preview", payload, uow)
        return Done(f"campaign {campaign.id} previewed")


_IN_DOUBT = "the process ended between the intent and the answer, and the messenger can't tell"
