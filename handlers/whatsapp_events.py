"""What WhatsApp tells afterwards: how far texts have come, who wants no more, whether the session stands.

An event is a nudge: a session is asked itself, an acknowledgement only rises, an opt-out is kept once. So events may
come twice, late and in any order. A timer per number asks where nobody tells, and watches for texts dropped in silence.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from domain.alerts import raise_alert
from domain.campaign import CampaignStatus, RecipientState
from domain.campaign_alerts import silent_alert
from domain.errors import Conflict
from domain.number import NumberRules
from domain.number_breaker import Go, Stop, judge_acks
from domain.opt_out import KEYWORDS, is_opt_out
from domain.outcome import Done, Outcome, Retry
from domain.ports import UnitOfWork
from domain.sending import PauseReason, SessionState, bare_id
from domain.whatsapp_events import (
    DEVICE,
    Acknowledgement,
    InboundMessage,
    WatchNumber,
    WhatsAppEvent,
    read_payload,
    rises,
    state_after,
)
from domain.whatsapp_ports import SentMessage, WhatsAppLooks
from handlers.campaign_changes import heal_timer, number_of, paused, save_number
from handlers.number_watch import watch_timer

_DAY_MS = 86_400_000
_WATCHED_MS = 2 * _DAY_MS  # older texts that no phone has are given up
_PATIENCE_MS = 600_000  # a send is answered long before that; what a crash left is looked up at the next step
_UNKNOWN_MS = 120_000  # an id that only the answer tells; most unknown ones are of what others send
_SOON_S = 5.0
_LOOKS = 20
_SILENT_LOOKS = 3  # in a row without an answer: the others would fare no better
_UNSETTLED = 200
_RACES = 5
_GONE = (PauseReason.SESSION_NOT_WORKING, PauseReason.SESSION_NOT_FOUND)
_REASON = "asked for it on WhatsApp"


@dataclass(frozen=True, slots=True)
class WatchRules:
    """How a number is watched: how often (0: never), and whether WAHA is asked because nobody tells."""

    every_ms: int = 300_000
    asks: bool = True


def _nobody(_session: str, _detail: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class WhatsAppEventHandlers:
    """The use cases of what WhatsApp tells. `warn` is called with a session and a sentence, once a day."""

    whatsapp: WhatsAppLooks | None = None
    rules: NumberRules = field(default_factory=NumberRules)
    watch_rules: WatchRules = field(default_factory=WatchRules)
    keywords: Sequence[str] = KEYWORDS
    warn: Callable[[str, str], None] = _nobody

    async def event(self, event: WhatsAppEvent, uow: UnitOfWork) -> Outcome:
        """One event of WAHA. Those that nobody waits for are let go."""
        match event.event:
            case "session.status":
                return await self._session(event.session, uow)
            case "message.ack":
                return await self._acknowledged(event, uow)
            case "message":
                return await self._written(event, uow)
            case _:
                return Done("ignored")

    async def _session(self, session: str, uow: UnitOfWork) -> Outcome:
        """Ask how it stands, whatever the event says: that may be long ago."""
        is_awaited = await uow.campaigns.running(session) or await uow.whatsapp.healing(session)
        if self.whatsapp is None or not is_awaited:
            return Done("no campaign waits for this session")
        state = await self.whatsapp.session(session, uow.call_ref)
        if state.status == "WORKING":
            return Done(f"the session works: {await self._heal(session, uow)} paused campaigns look again")
        if state.pause not in _GONE or state.after_s is not None:
            return Done(f"nothing certain: the session is {state.status or 'not reached'}")
        await self._remember(session, state, uow)
        detail = state.detail or f"the session is {state.status}"
        count = await _pause_all(session, Stop(state.pause, detail), uow)
        return Done(f"the session does not work: {count} campaigns paused")

    async def _heal(self, session: str, uow: UnitOfWork) -> int:
        """Let the pauses look now, so that the time begins for which the session has to work."""
        count = 0
        for campaign_id in await uow.whatsapp.healing(session):
            campaign = await uow.campaigns.get(campaign_id)
            if campaign is None or campaign.status is not CampaignStatus.PAUSED:
                continue
            uow.schedule(heal_timer(campaign, uow.now_ms))
            with suppress(Conflict):  # it looks at this moment, or somebody resumes it
                await uow.commit_now()
                count += 1
        return count

    async def _remember(self, session: str, state: SessionState, uow: UnitOfWork) -> None:
        """What is known of the number must know of the break, or a pause would seem to have healed long ago."""
        for _ in range(_RACES):
            row = await uow.campaigns.pace(session)
            if row is None:
                return
            save_number(session, number_of(self.rules, row).looked(state, uow.now_ms), uow)
            with suppress(Conflict):
                await uow.commit_now()
                return

    async def _acknowledged(self, event: WhatsAppEvent, uow: UnitOfWork) -> Outcome:
        said = read_payload(Acknowledgement, event)
        message_id = bare_id(said.id)
        message = await uow.whatsapp.message(event.session, message_id)
        if message is None:
            if uow.age_ms < _UNKNOWN_MS and await uow.whatsapp.is_sending(event.session):
                return Retry(_SOON_S, "a message is on its way whose id is not known yet", counts=False)
            message = await uow.whatsapp.message(event.session, message_id)  # known since it is not on its way any more
        if message is None:
            return Done("not ours")
        is_under_way = message.is_last_attempt and message.state is RecipientState.SENDING
        if is_under_way and uow.age_ms < _PATIENCE_MS:
            return Retry(_SOON_S, "the answer to its send is not known yet", counts=False)
        return Done(_heard(message, said.ack, uow))

    async def _written(self, event: WhatsAppEvent, uow: UnitOfWork) -> Outcome:
        said = read_payload(InboundMessage, event)
        writer = said.writer
        if said.from_me or writer is None or not is_opt_out(said.body, self.keywords):
            return Done("no opt-out")
        is_new = await uow.contacts.opt_out(writer, _REASON, uow.now_ms)
        if not writer.endswith("@lid") or self.whatsapp is None:
            return Done("opted out" if is_new else "had opted out before")
        await uow.commit_now()  # whatever becomes of the question
        resolved = await self.whatsapp.number_of(event.session, writer, uow.call_ref)
        if not resolved.is_certain:
            return Retry(None, "WAHA can't tell now whose number stands behind a hidden user id", counts=False)
        if resolved.chat_id is None:
            return Done("opted out, and no number is known")
        await uow.contacts.opt_out(resolved.chat_id, _REASON, uow.now_ms)
        return Done("opted out, with the number")

    async def watch(self, watch: WatchNumber, uow: UnitOfWork) -> Outcome:
        """Look how far the texts of a number have come; go on while there is anything to wait for."""
        if self.watch_rules.every_ms == 0:
            return Done("switched off")
        since_ms = uow.now_ms - _WATCHED_MS
        looked = await self._look(watch.session, since_ms, uow) if self.watch_rules.asks else 0
        for message in await uow.whatsapp.unsettled(watch.session, since_ms, _UNSETTLED):
            _settle(message, message.ack or 0, uow)
            with suppress(Conflict):
                await uow.commit_now()
        judged = await self._judge(watch, uow)
        if not await uow.whatsapp.is_awaited(watch.session, since_ms):
            return Done("nothing to wait for")
        uow.schedule(watch_timer(judged, uow.now_ms + self.watch_rules.every_ms))
        return Done(f"looked at {looked} messages")

    async def _look(self, session: str, since_ms: int, uow: UnitOfWork) -> int:
        """Ask for some messages, each with its own commit: they are many small truths."""
        if self.whatsapp is None or (await self.whatsapp.session(session, uow.call_ref)).pause is not None:
            return 0
        looked = silent = 0
        before_ms = uow.now_ms - self.watch_rules.every_ms
        for message in await uow.whatsapp.to_look_at(session, since_ms, before_ms, _LOOKS):
            ack = await self.whatsapp.ack_of(session, message.chat_id, message.message_id, uow.call_ref)
            uow.whatsapp.looked(message, uow.now_ms)
            if ack is not None:
                _heard(message, ack, uow)
            with suppress(Conflict):  # it is looked at again
                await uow.commit_now()
            looked += 1
            silent = silent + 1 if ack is None else 0
            if silent == _SILENT_LOOKS:
                break
        return looked

    async def _judge(self, watch: WatchNumber, uow: UnitOfWork) -> WatchNumber:
        """Whether texts are dropped in silence: what to remember of it."""
        breaker, session = self.rules.breaker, watch.session
        since_ms = max(uow.now_ms - _DAY_MS, watch.judged_until_ms)
        looked_after_ms = breaker.silent_after_ms if self.watch_rules.asks else None
        until_ms = uow.now_ms - breaker.silent_after_ms
        decision = judge_acks(breaker, await uow.whatsapp.acks(session, since_ms, until_ms, looked_after_ms))
        if isinstance(decision, Stop):
            await _pause_all(session, decision, uow)
            return _remembering(watch, judged_until_ms=uow.now_ms)
        today = uow.now_ms // _DAY_MS
        if not (isinstance(decision, Go) and decision.warning) or watch.warned_day == today:
            return watch
        self.warn(session, decision.warning)
        await raise_alert(silent_alert(session, decision.warning, today), uow)
        return _remembering(watch, warned_day=today)


def _remembering(watch: WatchNumber, **changes: int) -> WatchNumber:
    return watch.model_copy(update=changes)


def _heard(message: SentMessage, ack: int, uow: UnitOfWork) -> str:
    """Collect an acknowledgement that says more than what was known, and what follows from it."""
    if not rises(message.ack, ack):
        return f"acknowledgement {ack} says nothing new"
    uow.whatsapp.note(message, ack, uow.now_ms)
    _settle(message, ack, uow)
    return f"acknowledgement {ack}"


def _settle(message: SentMessage, ack: int, uow: UnitOfWork) -> None:
    state = state_after(ack, message.state) if message.is_last_attempt else message.state
    if state is RecipientState.FAILED and state is not message.state:
        uow.whatsapp.settle(message, state, "ack-error", "WhatsApp told an error after it had taken the message")
    elif state is not message.state:
        how = "a phone has it" if ack >= DEVICE else "WhatsApp's server has it"
        uow.whatsapp.settle(message, state, None, f"{how}, as its acknowledgement says")


async def _pause_all(session: str, stop: Stop, uow: UnitOfWork) -> int:
    """Pause what runs on a number, each campaign with its own commit: one that is just stepping must not hold all."""
    count = 0
    for campaign in await uow.campaigns.running(session):
        count += await _pause(campaign.id, stop, uow)
    return count


async def _pause(campaign_id: int, stop: Stop, uow: UnitOfWork) -> bool:
    for _ in range(_RACES):
        campaign = await uow.campaigns.get(campaign_id)
        pending = await uow.campaigns.in_state(campaign_id, RecipientState.PENDING, 1)
        if campaign is None or campaign.status is not CampaignStatus.RUNNING or not pending:
            return False
        await paused(campaign, stop, pending[0].position, uow)
        with suppress(Conflict):
            await uow.commit_now()
            return True
    return False  # it steps at this moment, and asks for its session itself
