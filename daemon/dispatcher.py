"""One delivery, from its text to its settlement: read, seen, handle, commit, settle.

The delivery is deleted because of the commit, never because of the publish. Every way to end has exactly one action
on the queue, and `outcome_of` is the one place where surprises become outcomes.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Generic

import structlog

from daemon.books import Attempts, Books, Entry, Work
from daemon.delivery import COMMANDS, HTTP, TIMERS, Delivery, Identity, Message, Rejection
from daemon.lanes import Lanes
from daemon.log import LogEvent, message_context
from daemon.metrics import now_s
from daemon.probe import Probe
from daemon.reading import identify, read
from daemon.traces import TRACEPARENT, UNTRACED, valid_traceparent
from daemon.watch import Watch
from domain.backoff import backoff_s, deferral_s
from domain.errors import Conflict, MessageError, RuleViolation, Unavailable
from domain.messages import error_result
from domain.outcome import Done, Outcome, Reject, Retry
from handlers.routes import Route

# Before each try but the first, on average half of it: those who collided must not do so again. Six tries are enough
# for eight replicas that write to one check at once.
_PAUSES_AFTER_CONFLICT_S = (0.01, 0.02, 0.04, 0.08, 0.16)
_UNTRACED = nullcontext()
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Policy:
    """How often and how patiently a delivery is tried."""

    max_attempts: int = 8
    first_s: float = 1.0
    cap_s: float = 300.0
    unavailable_cap_s: float = 20.0  # a dependency that is back is found within I8's 30 s
    handler_timeout_s: float = 30.0
    unexplained_receives: int = 10  # received, yet never an outcome of ours: it probably kills the process
    reply_queues: frozenset[str] = frozenset()  # where senders may want their answers


class Dispatcher(Generic[Work]):
    """Takes deliveries of every source through the same steps."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        books: Books[Work],
        *,
        policy: Policy,
        probe: Probe,
        lost: Callable[[Unavailable], None],
        webhook_key: str | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._routes = routes
        self._books = books
        self._policy = policy
        self._probe = probe
        self._lost = lost
        self._webhook_key = webhook_key
        watch = watch or Watch()
        self._metrics, self._traces = watch.metrics, watch.traces
        self._lanes = Lanes()

    async def process(self, delivery: Delivery) -> None:
        """Take one delivery to its end. Raises Unavailable only when the queue itself can't be told the outcome."""
        began_s, outcome = now_s(), "unsettled"
        read_as = self._read(delivery)
        identity = read_as.identity if isinstance(read_as, Message) else identify(delivery)
        try:
            with _context(delivery, identity), self._span(delivery, identity, read_as):
                if isinstance(read_as, Message):
                    await self._probe("after_read")
                    wanted = await self._outcome(delivery, read_as)
                else:
                    wanted = self.outcome_of(read_as)
                outcome = await self._settle_safely(delivery, identity, wanted)
        finally:
            known = identity.type if identity.type in self._routes else "unknown"  # a sender's word is no label
            self._metrics.processed(delivery.queue, known, outcome, now_s() - began_s)

    def _read(self, delivery: Delivery) -> Message | Exception:
        try:
            return read(delivery, self._routes, self._webhook_key)
        except Exception as error:  # noqa: BLE001  also what no reader foresaw must end in the dead-letter queue
            return error

    def _span(
        self, delivery: Delivery, identity: Identity, read_as: Message | Exception
    ) -> AbstractContextManager[None]:
        of_envelope = read_as.traceparent if isinstance(read_as, Message) else None
        parent = valid_traceparent(delivery.attributes.get(TRACEPARENT) or of_envelope)
        if self._traces is UNTRACED and parent is None:
            return _UNTRACED
        ids = {"messaging.message.id": delivery.id, "messaging.message.conversation_id": identity.call_ref}
        return self._traces.process(delivery.queue, parent, ids)

    async def _outcome(self, delivery: Delivery, message: Message) -> Outcome:
        try:
            async with self._lanes.hold(message.robot_id):
                return await self._handle(delivery, message)
        except Exception as error:  # noqa: BLE001  every surprise becomes an outcome here, none is swallowed
            return self.outcome_of(error)

    async def _handle(self, delivery: Delivery, message: Message) -> Outcome:
        looks = delivery.reads != TIMERS  # a timer that was just claimed needs no second look
        for pause_s in (*_PAUSES_AFTER_CONFLICT_S, None):
            try:
                return await self._once(delivery, message, looks=looks)
            except Conflict:
                if pause_s is None:
                    raise
            looks = True  # somebody else was first: read again, the message may be known now
            await asyncio.sleep(pause_s * random.random())  # noqa: S311  jitter
        raise AssertionError("unreachable: the last try returns or raises")

    async def _once(self, delivery: Delivery, message: Message, *, looks: bool) -> Outcome:
        if looks and await self._books.seen(delivery, message):
            return Done("duplicate")
        if await self._kills_the_process(delivery):  # asked only now: a handled message may come as often as it likes
            return Reject("received again and again without ever reaching an outcome", "crash-loop")
        if message.reply_to is not None and message.reply_to not in self._policy.reply_queues:
            raise RuleViolation(f"{message.reply_to} is none of queues.reply_queues", kind="reply-queue")
        await self._probe("after_seen")
        work = self._books.begin(delivery, message.identity)
        route = self._routes[message.type]
        async with asyncio.timeout(route.timeout_s or self._policy.handler_timeout_s):
            outcome = await route.handle(message.command, work)
        await self._probe("after_handle")
        if isinstance(outcome, Done):
            entry = Entry(message.identity, "done", outcome.note, delivery.receive_count)
            await self._books.commit(delivery, message, work, entry if route.is_journaled else None)
        return outcome

    def outcome_of(self, error: Exception) -> Outcome:
        """The one place where a surprise becomes an outcome."""
        match error:
            case MessageError() | RuleViolation():
                return Reject(str(error), error.kind)
            case Unavailable():
                self._lost(error)
                after_s = None if error.after_s is None else max(1.0, error.after_s)
                return Retry(after_s, str(error), counts=False)
            case Conflict():
                return Retry(random.uniform(0.5, 2.0), str(error))  # noqa: S311  jitter
            case TimeoutError():
                return Retry(None, f"the handler took longer than {self._policy.handler_timeout_s:g} s")
            case _:
                _log.exception(LogEvent.MESSAGE_FAILED, exc_info=error)
                return Retry(None, f"{type(error).__name__}: {error}")

    async def _settle_safely(self, delivery: Delivery, identity: Identity, outcome: Outcome) -> str:
        """Returns what became of it, in the words of the journal."""
        try:
            with self._traces.settle(delivery.queue):
                return await self._settle(delivery, identity, outcome)
        except Unavailable as error:
            self._lost(error)
            if error.dependency == "sqs":
                raise
            await delivery.retry(self._policy.unavailable_cap_s / 2)
            return "retried"

    async def _settle(self, delivery: Delivery, identity: Identity, outcome: Outcome) -> str:
        await self._probe("before_settle")
        became = "done"
        match outcome:
            case Done():
                await self._forget_tries_of_a_copy(delivery, outcome)
                await delivery.ack()
                became = "duplicate" if outcome.note == "duplicate" else "done"
                event = LogEvent.MESSAGE_DUPLICATE if became == "duplicate" else LogEvent.MESSAGE_HANDLED
                _log.info(event, note=outcome.note)
            case Retry():
                became = await self._retry(delivery, identity, outcome)
            case Reject():
                became = await self._reject(delivery, identity, outcome)
        await self._probe("after_settle")
        return became

    async def _forget_tries_of_a_copy(self, delivery: Delivery, outcome: Done) -> None:
        """Another copy was handled: its commit forgot its own tries, not those of this one."""
        if outcome.note == "duplicate" and delivery.receive_count > 1 and delivery.fence is None:
            await self._books.forget(delivery)

    async def _retry(self, delivery: Delivery, identity: Identity, retry: Retry) -> str:
        if delivery.reads == HTTP:
            return await self._turn_away(delivery, identity, retry)
        before = await self._books.attempts(delivery)
        now = replace(
            before,
            attempts=before.attempts + (1 if retry.counts else 0),
            deferrals=before.deferrals + (0 if retry.counts else 1),
        )
        if now.attempts >= self._policy.max_attempts:
            reason = f"gave up after {now.attempts} attempts; the last one: {retry.reason}"
            return await self._reject(delivery, identity, Reject(reason, "attempts-exhausted"))
        after_s = self._wait_s(retry, now)
        await self._books.note_retry(delivery, now, Entry(identity, "retried", retry.reason, now.attempts))
        await delivery.retry(after_s)
        _log.info(LogEvent.MESSAGE_RETRIED, after_s=after_s, reason=retry.reason, attempts=now.attempts)
        return "retried"

    async def _turn_away(self, delivery: Delivery, identity: Identity, retry: Retry) -> str:
        """The caller hears it and asks again with a delivery of its own: this one never comes back to be counted."""
        after_s = self._wait_s(retry, Attempts(1, 1, 0, 0))
        await self._books.note(delivery, Entry(identity, "retried", retry.reason, 1))
        await delivery.retry(after_s)
        _log.info(LogEvent.MESSAGE_RETRIED, after_s=after_s, reason=retry.reason, attempts=1)
        return "retried"

    def _wait_s(self, retry: Retry, now: Attempts) -> float:
        if retry.after_s is not None:
            return retry.after_s
        chance = random.random()  # noqa: S311  jitter
        if retry.counts:
            return backoff_s(now.attempts, self._policy.first_s, self._policy.cap_s, chance)
        return deferral_s(now.deferrals, self._policy.unavailable_cap_s, chance)

    async def _reject(self, delivery: Delivery, identity: Identity, reject: Reject) -> str:
        before = await self._books.attempts(delivery)
        entry = Entry(identity, "rejected", f"{reject.kind}: {reject.reason}", before.attempts + 1)
        await self._give_up(delivery, identity, reject)
        await self._tell_robot(delivery, identity, reject, entry)
        await self._probe("before_dead_letter")
        route = self._routes.get(identity.type)
        await delivery.reject(_rejection(reject, before, route.handler_name if route else "none"))
        await self._probe("after_dead_letter")
        await self._books.forget(delivery)
        _log.warning(LogEvent.MESSAGE_REJECTED, kind=reject.kind, reason=reject.reason, rejected_type=identity.type)
        return "rejected"

    async def _give_up(self, delivery: Delivery, identity: Identity, reject: Reject) -> None:
        """Let the family say what follows where its message is given up: something may wait for it for ever.

        Whatever goes wrong here is logged: the message has to leave its queue.
        """
        route = self._routes.get(identity.type)
        if route is None or route.gave_up is None:
            return
        try:
            message = read(delivery, self._routes)
            for _ in _PAUSES_AFTER_CONFLICT_S:
                work = self._books.begin(delivery, identity)
                await route.gave_up(message.command, reject.reason, work)
                with suppress(Conflict):
                    await self._books.finish(work)
                    return
        except MessageError:
            return  # it can't be read, so nothing can wait for it by its name
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001  see above
            _log.exception(LogEvent.MESSAGE_FAILED, exc_info=error)

    async def _tell_robot(self, delivery: Delivery, identity: Identity, reject: Reject, entry: Entry) -> None:
        """The robot or the queue that a refused command names is waiting for an answer: give it one, and journal."""
        is_allowed = identity.reply_to in self._policy.reply_queues  # a queue that is not gets no error about it either
        to = identity if is_allowed else replace(identity, reply_to=None)
        about = (identity.type, identity.source, identity.id)
        told = error_result(to, about, reject.kind, reject.reason, identity.call_ref)
        if delivery.reads != COMMANDS or told is None:
            await self._books.note(delivery, entry)
            return
        work = self._books.begin(delivery, identity)
        work.publish(told)
        await self._books.note_rejected(delivery, work, entry)

    async def _kills_the_process(self, delivery: Delivery) -> bool:
        if delivery.receive_count <= self._policy.unexplained_receives:
            return False
        known = await self._books.attempts(delivery)
        unexplained = delivery.receive_count - known.attempts - known.deferrals
        return unexplained > self._policy.unexplained_receives


def _context(delivery: Delivery, identity: Identity) -> AbstractContextManager[None]:
    return message_context(
        message_id=identity.id,
        call_ref=identity.call_ref,
        queue=delivery.queue,
        type=identity.type,
        attempt=delivery.receive_count,
        robot_id=identity.robot_id,
    )


def _rejection(reject: Reject, before: Attempts, handler: str) -> Rejection:
    return Rejection(
        kind=reject.kind,
        reason=reject.reason,
        handler=handler,
        attempts=before.attempts + 1,
        first_at_ms=before.first_at_ms,
        last_at_ms=before.now_ms,
    )
