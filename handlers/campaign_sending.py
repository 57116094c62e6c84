"""One step of a campaign: one contact is handled, or an intent that a crash left is cleared up, or the end is told.

A step is a timer, so that a restart, a pause or a replica costs nothing. The intent to send is committed before the
send, and the answer with the next timer after it. An intent that is found later was left by a crash: it is looked up at
the messenger by the id that was reserved for it, is UNKNOWN where that can't tell, and is never sent again blindly.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from domain.campaign import Campaign, CampaignStatus, Recipient, RecipientState
from domain.campaign_messages import StepCampaign, TrialSend
from domain.campaign_ports import MediaFiles, Send, ToDo, TrialSent, WhatsApp
from domain.contacts import address_of, personal
from domain.errors import Conflict, RuleViolation
from domain.messages import reply_id
from domain.number import Number, NumberRules
from domain.number_breaker import Stop
from domain.outcome import Done, Outcome, Retry
from domain.ports import UnitOfWork
from domain.sending import Media, PauseReason, SendAnswer, SendVerdict
from handlers.campaign_changes import (
    addressee,
    ended,
    gateway,
    handled,
    number_of,
    own,
    paused,
    publish,
    save_number,
    step_timer,
)

_RACES = 5
_LEFT = "the process ended between the intent and the answer, and the messenger can't tell"
_LATER = "the process ended between the intent and the answer; it is looked up once more"
_SURELY_NOT = "a crash came before the send: the messenger does not have it"


@dataclass(frozen=True, slots=True)
class Sent:
    """A send and its answer at `at_ms`. `is_last`: after it nobody is left, and nothing is in doubt."""

    campaign: Campaign
    recipient: Recipient
    answer: SendAnswer
    is_last: bool
    at_ms: int


@dataclass(frozen=True, slots=True)
class CampaignSending:
    """The way of a message of a campaign. `chance` gives numbers from 0 to 1 for the gaps between two messages."""

    whatsapp: WhatsApp | None
    media: MediaFiles
    rules: NumberRules
    chance: Callable[[], float]
    doubt_grace_ms: int = 120_000

    async def step(self, timer: StepCampaign, uow: UnitOfWork) -> Outcome:
        """Handle the next contact, or wait for the number's pace, or finish."""
        found = await uow.campaigns.with_pace(timer.campaign_id)
        if found is None or found[0].status is not CampaignStatus.RUNNING:
            return Done("not running")
        campaign, number = found[0], number_of(self.rules, found[1])
        if self.whatsapp is None:
            return await paused(campaign, Stop(PauseReason.CONFIG, "waha.base_url is not set"), None, uow)
        to_do = await uow.campaigns.to_do(campaign.id)
        cleared_up = await self._clear_up(campaign, to_do, uow)
        if cleared_up is not None:
            return cleared_up
        if to_do.next is None:
            return await self._nobody_left(campaign, to_do, uow)
        return await self._next(campaign, to_do, to_do.next, number, uow)

    async def _next(
        self, campaign: Campaign, to_do: ToDo, recipient: Recipient, number: Number, uow: UnitOfWork
    ) -> Outcome:
        next_at_ms, because = number.next_send(uow.now_ms, campaign.window)
        if next_at_ms > uow.now_ms:
            return _waits(campaign, next_at_ms, because, uow)
        if to_do.is_opted_out:
            uow.campaigns.settle(recipient.skipped("opt-out", "asked not to be written to", uow.now_ms), "")
            return handled(campaign, recipient, uow.now_ms, uow)
        return await self._send(campaign, to_do, recipient, number, uow)

    async def _clear_up(self, campaign: Campaign, to_do: ToDo, uow: UnitOfWork) -> Outcome | None:
        """Look an intent up that a crash left; None while there is none that can be looked up now."""
        for recipient in to_do.doubtful:
            is_over = uow.now_ms >= self._doubt_ends_ms(recipient)
            if recipient.is_looked_up_before and not is_over:
                continue
            settled = await self._look_up(campaign, recipient, uow, is_over=is_over)
            uow.campaigns.settle(settled, campaign.session)
            uow.schedule(step_timer(campaign, uow.now_ms))
            return Done(f"looked up contact {recipient.position}: {settled.state}")
        return None

    def _doubt_ends_ms(self, recipient: Recipient) -> int:
        """When a send that a crash has cut off can't be under way at the messenger any more."""
        return (recipient.sending_at_ms or 0) + self.doubt_grace_ms

    async def _look_up(self, campaign: Campaign, recipient: Recipient, uow: UnitOfWork, *, is_over: bool) -> Recipient:
        """What a crash left: sent, surely not sent, nobody knows, or nobody knows yet."""
        if recipient.message_id is None:
            return recipient.answered(SendAnswer(SendVerdict.UNKNOWN, "crashed", _LEFT), uow.now_ms)
        was_sent = await gateway(self.whatsapp).was_sent(
            campaign.session, recipient.chat_id, recipient.message_id, uow.call_ref, recipient.sending_at_ms
        )
        if was_sent:
            return recipient.answered(SendAnswer(SendVerdict.SENT, "looked-up"), uow.now_ms)
        if not is_over:
            return recipient.doubted(_LATER)
        if was_sent is False:
            return recipient.answered(SendAnswer(SendVerdict.NOT_SENT, "crashed", _SURELY_NOT), uow.now_ms)
        return recipient.answered(SendAnswer(SendVerdict.UNKNOWN, "crashed", _LEFT), uow.now_ms)

    async def _nobody_left(self, campaign: Campaign, to_do: ToDo, uow: UnitOfWork) -> Outcome:
        if not to_do.doubtful:
            return await ended(campaign, CampaignStatus.COMPLETED, None, uow)
        looks_ms = min(self._doubt_ends_ms(recipient) for recipient in to_do.doubtful)
        return _waits(campaign, max(looks_ms, uow.now_ms), "DOUBT", uow)

    async def _send(
        self, campaign: Campaign, to_do: ToDo, recipient: Recipient, number: Number, uow: UnitOfWork
    ) -> Outcome:
        has_id = campaign.media_file is None  # no engine takes an id for a file
        ready = await gateway(self.whatsapp).ready(campaign.session, uow.call_ref, with_id=has_id)
        number = number.looked(ready.state, uow.now_ms)
        if number.stop is not None:
            save_number(campaign.session, number, uow)
            return await paused(campaign, number.stop, recipient.position, uow)
        next_at_ms, because = number.next_send(uow.now_ms, campaign.window)
        if next_at_ms > uow.now_ms:  # it can't be reached, and is asked again in a moment
            save_number(campaign.session, number, uow)
            return _waits(campaign, next_at_ms, because, uow)
        try:
            media = await self._media(campaign)
        except RuleViolation as refusal:
            return await paused(campaign, Stop(PauseReason.MEDIA, str(refusal)), recipient.position, uow)
        now_ms = uow.present_ms  # the questions may have taken long
        recipient = recipient.intended(ready.message_id, now_ms)
        number = number.sending(now_ms, self.chance())
        uow.hold()
        uow.campaigns.intend(recipient, campaign.session)
        save_number(campaign.session, number, uow)
        await uow.commit_now()
        answer = await self._deliver(campaign, recipient, media, uow)
        is_last = to_do.is_last and not to_do.doubtful
        return await self._answered(Sent(campaign, recipient, answer, is_last, uow.present_ms), number.saved(), uow)

    async def _media(self, campaign: Campaign) -> Media | None:
        return None if campaign.media_file is None else await self.media.read(campaign.owner, campaign.media_file)

    async def _deliver(
        self, campaign: Campaign, recipient: Recipient, media: Media | None, uow: UnitOfWork
    ) -> SendAnswer:
        text = personal(campaign.text, recipient.first_name, campaign.default_name, recipient.fields or {})
        send = Send(campaign.session, recipient.chat_id, recipient.message_id, uow.call_ref, uow.is_surely_ours)
        if media is None:
            return await gateway(self.whatsapp).send_text(send, text)
        return await gateway(self.whatsapp).send_media(send, text, media)

    async def _answered(self, sent: Sent, number: Number, uow: UnitOfWork) -> Outcome:
        """Usually all of it is one commit. If another writer was first, what can't be learnt again is saved alone."""
        campaign, recipient, answer, now_ms = sent.campaign, sent.recipient, sent.answer, sent.at_ms

        async def keep() -> None:
            await self._keep(sent, uow)

        number = number.answered(answer, recipient.chat_id, now_ms)
        if number.stop is not None:
            return await self._stop(sent, (await self._keep(sent, uow)).stop, uow)
        uow.salvage(keep)
        uow.campaigns.settle(_settled(sent), campaign.session)
        save_number(campaign.session, number, uow)
        if answer.verdict is SendVerdict.NOT_SENT:
            uow.schedule(step_timer(campaign, number.next_send(now_ms, campaign.window)[0]))
            return Done(f"contact {recipient.position} was not sent to: {answer.code}")
        next_at_ms = now_ms if sent.is_last else number.next_send(now_ms, campaign.window)[0]
        return handled(campaign, recipient, next_at_ms, uow)

    async def _keep(self, sent: Sent, uow: UnitOfWork) -> Number:
        """Write down what can't be learnt again, whatever others did to the campaign and its number meanwhile."""
        session = sent.campaign.session
        uow.campaigns.settle(_settled(sent), session)
        with suppress(Conflict):  # it was given up meanwhile, and was not sent: it stays given up
            await uow.commit_now()
        for _ in range(_RACES):
            number = number_of(self.rules, await uow.campaigns.pace(session))
            number = number.answered(sent.answer, sent.recipient.chat_id, sent.at_ms)
            save_number(session, number, uow)
            with suppress(Conflict):
                await uow.commit_now()
                break
        return number

    async def _stop(self, sent: Sent, stop: Stop | None, uow: UnitOfWork) -> Outcome:
        """The number's own error: its campaign pauses, unless somebody did something else with it meanwhile."""
        what = f"contact {sent.recipient.position}: {sent.answer.verdict}"
        current = await uow.campaigns.get(sent.campaign.id)
        if current is None or current.status is not CampaignStatus.RUNNING:
            return Done(f"{what}; then it was {current and current.status}")
        if stop is None:
            uow.schedule(step_timer(current, sent.at_ms))
            return Done(what)
        position = sent.recipient.position + (sent.answer.verdict is not SendVerdict.NOT_SENT)
        return await paused(current, stop, position, uow)

    async def test_send(self, command: TrialSend, uow: UnitOfWork) -> Outcome:
        """Send a campaign's message to one person, once for each command, at the number's pace; no ledger knows it."""
        campaign = await own(command.user_id, command.campaign_id, uow)
        send_id = reply_id(uow.source, uow.id)
        known = await uow.trial_sends.get(send_id)
        if known is not None:
            return await self._look_up_test(command, campaign, known, uow)
        chat_id = address_of(command.phone_number or command.chat_id or "")[1]
        if chat_id in await uow.contacts.opted_out([chat_id]):
            raise RuleViolation("this person asked not to be written to", kind="opted-out")
        return await self._try(campaign, command, TrialSent(send_id, campaign.id, chat_id, _SENDING, uow.now_ms), uow)

    async def _try(self, campaign: Campaign, command: TrialSend, sent: TrialSent, uow: UnitOfWork) -> Outcome:
        media = await self._media(campaign)
        session = campaign.session or await gateway(self.whatsapp).session_of(campaign.owner, uow.call_ref)
        if session is None:
            raise RuleViolation(f"user {campaign.owner} has no WhatsApp session", kind="no-session")
        campaign = replace(campaign, session=session)
        number = number_of(self.rules, await uow.campaigns.pace(session))
        ready = await gateway(self.whatsapp).ready(session, uow.call_ref, with_id=media is None)
        number = number.looked(ready.state, uow.now_ms)
        if number.stop is not None:
            raise RuleViolation(f"{number.stop.reason}: {number.stop.detail}", kind="number-stopped")
        next_at_ms, because = number.next_send(uow.now_ms)
        if next_at_ms > uow.now_ms:
            return Retry((next_at_ms - uow.now_ms) / 1000, f"waits: {because}", counts=False)
        sent = replace(sent, message_id=ready.message_id)
        uow.trial_sends.add(sent)
        save_number(session, number.sending(uow.now_ms, self.chance()), uow)
        await uow.commit_now()
        person = Recipient(campaign.id, -1, 0, sent.chat_id, command.first_name, message_id=sent.message_id)
        answer = await self._deliver(campaign, person, media, uow)
        return self._tell_test(command, campaign, sent, answer, uow)

    async def _look_up_test(self, command: TrialSend, campaign: Campaign, sent: TrialSent, uow: UnitOfWork) -> Outcome:
        """The same command again: what is known of it, and of a crash what the messenger knows."""
        if sent.state is not _SENDING:
            return self._tell_test(command, campaign, sent, None, uow)
        was_sent = sent.message_id is not None and await gateway(self.whatsapp).was_sent(
            campaign.session, sent.chat_id, sent.message_id, uow.call_ref
        )
        answer = SendAnswer(SendVerdict.SENT) if was_sent else SendAnswer(SendVerdict.UNKNOWN, "crashed", _LEFT)
        return self._tell_test(command, campaign, sent, answer, uow)

    def _tell_test(
        self, command: TrialSend, campaign: Campaign, sent: TrialSent, answer: SendAnswer | None, uow: UnitOfWork
    ) -> Outcome:
        if answer is not None:
            state = RecipientState(answer.verdict.value) if answer.verdict in _ENDS else RecipientState.FAILED
            code, detail = answer.code or None, answer.detail[:512] or None
            sent = replace(sent, state=state, waha_id=answer.waha_id, error_code=code, error_detail=detail)
            uow.trial_sends.settle(sent)
        payload = {"campaignId": campaign.id, "state": sent.state.value, "error": sent.error_detail}
        to = addressee(command, campaign)
        publish(to, campaign, reply_id(uow.source, uow.id), "campaign.test-sent", payload, uow)
        return Done(f"test send of campaign {campaign.id}: {sent.state}")


_SENDING = RecipientState.SENDING
_ENDS = (SendVerdict.SENT, SendVerdict.FAILED, SendVerdict.UNKNOWN)


def _waits(campaign: Campaign, until_ms: int, because: str, uow: UnitOfWork) -> Outcome:
    uow.schedule(step_timer(campaign, until_ms))
    return Done(f"waits: {because}")


def _settled(sent: Sent) -> Recipient:
    """Where nobody knows, but it can be looked up, it stays an intent until that is done."""
    if sent.answer.verdict is SendVerdict.UNKNOWN and sent.recipient.message_id is not None:
        return sent.recipient.unanswered(sent.answer)
    return sent.recipient.answered(sent.answer, sent.at_ms)
