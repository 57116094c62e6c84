"""Subscriptions at Megazord, whichever family needs them: opened so that none is lost, heard, and released.

Megazord lists no subscriptions and merges none, so an id that is lost between its answer and our commit is lost. What
stays is the intent, committed ahead of the request as a timer: when it fires, a roll call makes every open subscription
of ours for that robot send one event, and one that nobody knows is released.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.errors import RuleViolation
from domain.messages import MegazordEvent, ReleaseSubscription, RollCall, reply_id
from domain.outcome import Done, Outcome, Retry
from domain.ports import Megazord, Timer, UnitOfWork
from domain.wire import milliseconds, whole_second

RELEASE, ROLL_CALL = "subscription.release", "subscription.roll-call"
DAY_MS = 86_400_000
UNKNOWN_EVENT_PATIENCE_MS = 30_000  # the commit that makes it known may still be on its way when the first event comes
UNKNOWN_EVENT_RETRY_S = 5.0
UNUSED_SUBSCRIPTION_MS = 60_000  # a subscription that nobody committed to use is released after this long
ROLL_CALL_AFTER_MS = 20_000  # with the patience above, a lost subscription is released within a minute


class Listener(Protocol):
    """A family that waits for Megazord's events."""

    async def hear(self, event: MegazordEvent, uow: UnitOfWork) -> Outcome | None:
        """Handle an event of one of the family's own subscriptions; None when the subscription is not the family's."""
        ...

    async def holds(self, robot_id: int, subscription_id: int, uow: UnitOfWork) -> bool:
        """Whether something that still runs needs this subscription."""
        ...


async def open_subscription(
    megazord: Megazord, robot_id: int, event_names: Sequence[str], until_ms: int, uow: UnitOfWork
) -> int:
    """Subscribe, with the intent committed before and the id right after; nothing else could ever find it again.

    Commits twice, ahead of the message, and with it all that the unit of work has collected so far. The subscription
    is released after a minute unless a family holds it by then.
    """
    key = reply_id(uow.source, uow.id)
    is_doubtful = await uow.is_scheduled(ROLL_CALL, key)  # an earlier try of this message may have left one open
    # That try's roll call is neither moved nor cancelled: it is due for what that try, or another replica, has left.
    name = f"{key}-again" if is_doubtful else key
    intent = Timer(ROLL_CALL, name, uow.now_ms + ROLL_CALL_AFTER_MS, RollCall(robotId=robot_id), uow.call_ref)
    if is_doubtful:
        uow.schedule(intent)
    else:
        uow.schedule_new(intent)  # another replica may have begun the same message since we looked: then a Conflict
    await uow.commit_now()
    try:
        subscription_id = await megazord.subscribe(robot_id, event_names, until_ms, uow.call_ref)
    except RuleViolation as refusal:
        if refusal.kind != "upstream-contract" and not is_doubtful:  # a plain no: there is nothing to look for
            uow.cancel_timer(ROLL_CALL, key)
            await uow.commit_now()
        raise
    if not is_doubtful:
        uow.cancel_timer(ROLL_CALL, key)
    uow.subscriptions.hold(subscription_id, robot_id)
    uow.schedule(_release_timer(robot_id, subscription_id, uow.now_ms + UNUSED_SUBSCRIPTION_MS, uow.call_ref))
    await uow.commit_now()
    return subscription_id


def release_soon(robot_id: int, subscription_id: int, call_ref: str | None, uow: UnitOfWork) -> None:
    """Collect: delete the subscription at Megazord as soon as this is committed, and until it is gone."""
    uow.schedule(_release_timer(robot_id, subscription_id, uow.now_ms, call_ref))


@dataclass(frozen=True, slots=True)
class SubscriptionHandlers:
    """The use cases of subscriptions. `listeners` are asked in turn; `roll_call_event` is no event of a home."""

    megazord: Megazord
    listeners: tuple[Listener, ...]
    roll_call_event: str | None = None

    async def event(self, event: MegazordEvent, uow: UnitOfWork) -> Outcome:
        """Give one event to the family that waits for it; what nobody waits for is released."""
        if whole_second(milliseconds(event.source_event.created_at)) > uow.now_ms + DAY_MS:
            raise RuleViolation("the event's createdAt lies more than a day ahead", kind="far-future")
        if event.source_event.event_name == self.roll_call_event:
            if await uow.subscriptions.is_known(event.subscription_id):
                return Done("roll-call: known")  # whoever made it known scheduled its release, too
            return await self._unused(event, uow)
        for listener in self.listeners:
            outcome = await listener.hear(event, uow)
            if outcome is not None:
                return outcome
        if await uow.subscriptions.is_released(event.subscription_id):
            return Done("stale")
        return await self._unused(event, uow)

    async def _unused(self, event: MegazordEvent, uow: UnitOfWork) -> Outcome:
        if uow.age_ms < UNKNOWN_EVENT_PATIENCE_MS:
            return Retry(UNKNOWN_EVENT_RETRY_S, f"nobody uses subscription {event.subscription_id} yet", counts=False)
        if await uow.subscriptions.is_known(event.subscription_id):
            return Done("unused-subscription")  # whoever opened it scheduled its release: none is due before its use
        # It came to our own queue, so it is ours: what a crash between Megazord's answer and our commit leaves behind.
        uow.subscriptions.hold(event.subscription_id, event.robot_id)
        release_soon(event.robot_id, event.subscription_id, uow.call_ref, uow)
        return Done("unknown-subscription")

    async def release(self, timer: ReleaseSubscription, uow: UnitOfWork) -> Outcome:
        """Delete a subscription at Megazord, unless something that runs still needs it."""
        for listener in self.listeners:
            if await listener.holds(timer.robot_id, timer.subscription_id, uow):
                return Done("in-use")
        await self.megazord.unsubscribe(timer.robot_id, timer.subscription_id, uow.call_ref)
        uow.subscriptions.release(timer.subscription_id)
        return Done("released")

    async def roll_call(self, timer: RollCall, uow: UnitOfWork) -> Outcome:
        """Find what a crash or a lost answer left open: each subscription of ours for this robot sends an event."""
        if await self.megazord.roll_call(timer.robot_id, uow.call_ref):
            return Done("roll-call: called")
        return Done("roll-call: Megazord doesn't know it; a subscription may stay open until its first event")


def _release_timer(robot_id: int, subscription_id: int, due_at_ms: int, call_ref: str | None) -> Timer:
    data = ReleaseSubscription(robotId=robot_id, subscriptionId=subscription_id)
    return Timer(RELEASE, str(subscription_id), due_at_ms, data, call_ref)
