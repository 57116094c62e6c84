"""The queues of one server and what happens between them: delivery, long polls, dead-lettering, the passing of time.

Waits are real, message time is the clock's: a long poll ends after its seconds on the event loop, while delays and
visibility follow `clock`, which a test may turn by hand (and then calls `tick`).
"""

import asyncio
import itertools
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from localstack.sqs.content import Content
from localstack.sqs.errors import SqsError, missing_queue
from localstack.sqs.faults import Faults
from localstack.sqs.ledger import Action, Entry, Ledger
from localstack.sqs.queues import Message, Queue
from localstack.sqs.settings import Settings

ACCOUNT = "000000000000"
ARN_PREFIX = f"arn:aws:sqs:us-east-1:{ACCOUNT}:"
MAX_IN_FLIGHT = 120_000
_SOONEST_S = 0.001


class Caller(Protocol):
    """The connection that a request came by."""

    number: int

    @property
    def is_gone(self) -> bool:
        """Whether the client has hung up."""
        ...


@dataclass(slots=True, eq=False)
class Poll:
    """A receive, answered at once or when messages come. `answer` gets the messages, or the refusal."""

    queue: Queue
    caller: Caller
    limit: int
    visibility_s: int
    answer: Callable[[list[Message] | SqsError], None]
    is_open: bool = True
    timer: asyncio.TimerHandle | None = None

    def close(self, outcome: list[Message] | SqsError) -> None:
        """Answer, once."""
        if not self.is_open:
            return
        self.is_open = False
        if self.timer is not None:
            self.timer.cancel()
        self.answer(outcome)


@dataclass(slots=True, eq=False)
class _Desk:
    """A queue with those who wait at it and the alarm for its next due message."""

    queue: Queue
    polls: deque[Poll]
    alarm: asyncio.TimerHandle | None = None
    alarm_due_s: float = float("inf")


class Broker:
    """All queues. Every method runs on the event loop's thread and never awaits."""

    def __init__(
        self,
        faults: Faults,
        clock: Callable[[], float],
        ledger: Ledger,
        changed: Callable[[], None],
        *,
        swallow: bool,
    ) -> None:
        self.faults = faults
        self.clock = clock
        self.ledger = ledger
        self.missing: set[str] = set()
        self._changed = changed
        self._swallow = swallow
        self._desks: dict[str, _Desk] = {}
        self._keys = itertools.count(1)
        # Unique across servers, since an inbox outlives the server that it was filled from.
        self._id_prefix = f"{random.getrandbits(32):08x}-{random.getrandbits(16):04x}-4000-8000-"

    def names(self) -> list[str]:
        """The names of all queues, sorted."""
        return sorted(self._desks)

    def queue(self, name: str) -> Queue:
        """The queue with this name, brought up to the clock. Raises SqsError when there is none."""
        if name in self.missing or name not in self._desks:
            raise missing_queue()
        queue = self._desks[name].queue
        queue.promote(self.clock())
        return queue

    def by_arn(self, arn: str) -> Queue | None:
        """The queue with this ARN."""
        desk = self._desks.get(arn.removeprefix(ARN_PREFIX))
        return None if desk is None else desk.queue

    def create(self, name: str, settings: Settings) -> Queue:
        """Add a queue."""
        seal = f"{random.getrandbits(512):0128x}"
        queue = Queue(name, ARN_PREFIX + name, seal, self.clock(), settings, modified_s=self.clock())
        self._desks[name] = _Desk(queue, deque())
        self._changed()
        return queue

    def drop(self, queue: Queue) -> None:
        """Delete a queue with its messages; whoever waits at it is told so."""
        desk = self._desks.pop(queue.name)
        if desk.alarm is not None:
            desk.alarm.cancel()
        for poll in desk.polls:
            poll.close(missing_queue())
        self._changed()

    def send(self, queue: Queue, content: Content, delay_s: float, system: dict[str, str], caller: int) -> Message:
        """Put a new message into a queue. `settle` must follow once the request is through."""
        now_s = self.clock()
        key = next(self._keys)
        message = Message(key, f"{self._id_prefix}{key:012x}", content, now_s, system)
        queue.put(message, now_s, delay_s)
        self.record("sent", queue, message, caller)
        return message

    def receive(self, poll: Poll, wait_s: float) -> None:
        """Answer the poll with what is there, or as soon as something comes, or with nothing after the wait."""
        if poll.queue.in_flight >= MAX_IN_FLIGHT:
            raise SqsError("OverLimit", "The maximum number of in flight messages is reached.", 403)
        if self.faults.rolls("empty_receive", self.faults.empty_receive, "ReceiveMessage"):
            poll.close([])
        elif (messages := self._take(poll)) or wait_s <= 0:
            poll.close(messages)
        else:
            poll.timer = asyncio.get_running_loop().call_later(wait_s, self._give_up, poll)
            self._desks[poll.queue.name].polls.append(poll)
        self.settle(poll.queue)

    def delete(self, queue: Queue, message: Message, caller: int) -> None:
        """Remove a message for good."""
        queue.remove(message)
        self.record("deleted", queue, message, caller)

    def hide(self, queue: Queue, message: Message, for_s: int, caller: int) -> None:
        """Set how long a message in flight stays out of sight from now on."""
        queue.hide(message, self.clock(), for_s)
        self.record("visibility_changed", queue, message, caller)

    def purge(self, queue: Queue, caller: int) -> None:
        """Remove all messages of a queue."""
        queue.purged_s = self.clock()
        for message in queue.clear():
            self.record("purged", queue, message, caller)

    def settle(self, queue: Queue) -> None:
        """After a change: serve who waits, set the alarm for what is due next, tell who watches."""
        desk = self._desks.get(queue.name)
        if desk is None:
            return
        while desk.polls and queue.counts.visible:
            poll = desk.polls[0]
            if poll.caller.is_gone and not self._swallow:
                poll.close([])
            elif poll.is_open and (messages := self._take(poll)):
                poll.close(messages)
            if not poll.is_open:
                desk.polls.popleft()
        self._set_alarm(desk)
        self._changed()

    def refresh(self, queue: Queue) -> None:
        """Bring a queue up to the clock."""
        queue.promote(self.clock())

    def waiting(self, name: str) -> list[Poll]:
        """The long polls that wait at a queue."""
        return [poll for poll in self._desks[name].polls if poll.is_open]

    def tick(self) -> None:
        """Look at the clock again; needed only after a clock was turned by hand."""
        for desk in list(self._desks.values()):
            desk.queue.promote(self.clock())
            self.settle(desk.queue)

    def end_polls(self) -> None:
        """Answer every waiting poll with nothing, as at the end of its wait."""
        for desk in self._desks.values():
            for poll in [poll for poll in desk.polls if poll.is_open]:
                self._give_up(poll)

    def close(self) -> None:
        """Stop all alarms and answer every waiting poll with nothing."""
        for desk in self._desks.values():
            if desk.alarm is not None:
                desk.alarm.cancel()
            for poll in desk.polls:
                poll.close([])
            desk.polls.clear()

    def record(self, action: Action, queue: Queue, message: Message, caller: int = 0) -> None:
        """Write into the ledger, when one is kept."""
        if self.ledger.keeps:
            body = message.content.body
            entry = Entry(action, queue.name, message.message_id, self.clock(), message.receive_count, caller, body)
            self.ledger.add(entry)

    def _take(self, poll: Poll) -> list[Message]:
        queue, now_s = poll.queue, self.clock()
        queue.promote(now_s)
        taken: list[Message] = []
        pick = self._pick if self.faults.reorder_window > 1 and self.faults.covers("ReceiveMessage") else None
        while len(taken) < poll.limit and (message := queue.pop(pick)) is not None:
            if message.sent_s + queue.settings.retention_s < now_s:
                queue.remove(message, popped=True)
                self.record("expired", queue, message)
            elif not self._dead_letter(queue, message):
                taken.append(message)
        for message in taken:
            self._deliver(poll, message, now_s)
        return taken

    def _deliver(self, poll: Poll, message: Message, now_s: float) -> None:
        jump = 0
        if self.faults.rolls("receive_count_jump", self.faults.receive_count_jump, "ReceiveMessage"):
            jump = self.faults.generator("receive_count_jump").randint(1, 3)
        message.receive_count += 1 + jump
        message.delivery += 1
        message.received_s = now_s
        if message.first_received_s is None:
            message.first_received_s = now_s
        poll.queue.hide(message, now_s, poll.visibility_s)
        self.record("received", poll.queue, message, poll.caller.number)
        if poll.caller.is_gone:
            self.record("swallowed", poll.queue, message, poll.caller.number)
        if self.faults.rolls("duplicate", self.faults.duplicate, "ReceiveMessage"):
            copy = replace(message, key=next(self._keys), ticket=0)
            poll.queue.put(copy, now_s)
            self.record("duplicated", poll.queue, copy)

    def _dead_letter(self, queue: Queue, message: Message) -> bool:
        redrive = queue.settings.redrive
        if redrive is None or message.receive_count < redrive.max_receives:
            return False
        target = self.by_arn(redrive.target_arn)
        if target is None or target is queue:
            return False
        queue.remove(message, popped=True)
        self.record("dead_lettered", queue, message)
        message.system = {**message.system, "DeadLetterQueueSourceArn": queue.arn}
        target.put(message, self.clock())
        # Later, not within: two queues that dead-letter into each other would recurse.
        asyncio.get_running_loop().call_soon(self.settle, target)
        return True

    def _pick(self, length: int) -> int:
        return self.faults.generator("reorder_window").randrange(min(length, self.faults.reorder_window))

    def _give_up(self, poll: Poll) -> None:
        poll.close([])
        polls = self._desks[poll.queue.name].polls
        while polls and not polls[0].is_open:
            polls.popleft()

    def _set_alarm(self, desk: _Desk) -> None:
        due_s = desk.queue.next_due_s
        if due_s is None or (desk.alarm is not None and desk.alarm_due_s <= due_s):
            return
        if desk.alarm is not None:
            desk.alarm.cancel()
        after_s = max(_SOONEST_S, due_s - self.clock())
        desk.alarm_due_s = due_s
        desk.alarm = asyncio.get_running_loop().call_later(after_s, self._ring, desk)

    def _ring(self, desk: _Desk) -> None:
        desk.alarm = None
        desk.queue.promote(self.clock())
        self.settle(desk.queue)
