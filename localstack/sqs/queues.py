"""One standard queue: a line of visible messages and a heap of those that come back later, delayed or in flight.

Every step costs O(1) or O(log n), whatever the depth. Entries of the line and the heap are left behind when their
message moves on, recognised when met, and swept when they outnumber the living. No clock and no I/O: the caller says
what time it is.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heapify, heappop, heappush
from itertools import count

from localstack.sqs.content import Content
from localstack.sqs.settings import Settings

_SWEEP_FROM = 512


class State(StrEnum):
    """Where a message is."""

    VISIBLE = "visible"
    DELAYED = "delayed"
    IN_FLIGHT = "in_flight"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many messages a queue holds, by state."""

    visible: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        """All messages of the queue."""
        return self.visible + self.in_flight + self.delayed


@dataclass(slots=True, eq=False)
class Message:
    """A message in a queue. `delivery` numbers its receives, so that an old receipt handle can be told from the last.

    `due_s` is when it comes back, `ticket` the heap entry that says so.
    """

    key: int
    message_id: str
    content: Content
    sent_s: float
    system: dict[str, str]
    state: State = State.GONE
    due_s: float = 0.0
    ticket: int = 0
    delivery: int = 0
    receive_count: int = 0
    received_s: float = 0.0
    first_received_s: float | None = None


@dataclass(slots=True, eq=False)
class Queue:
    """A queue by name. `seal` ends each of its receipt handles: a handle of another queue is told by it."""

    name: str
    arn: str
    seal: str
    created_s: float
    settings: Settings
    modified_s: float = 0.0
    purged_s: float = float("-inf")
    tags: dict[str, str] = field(default_factory=dict)
    in_flight: int = 0
    delayed: int = 0
    _messages: dict[int, Message] = field(default_factory=dict)
    _line: deque[Message] = field(default_factory=deque)
    _left_in_line: int = 0
    _heap: list[tuple[float, int, Message]] = field(default_factory=list)
    _left_in_heap: int = 0
    _tickets: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def counts(self) -> Counts:
        """The three numbers that SQS calls approximate; here they are exact."""
        return Counts(len(self._line) - self._left_in_line, self.in_flight, self.delayed)

    @property
    def next_due_s(self) -> float | None:
        """When the next message may come back; early when that entry was left behind."""
        return self._heap[0][0] if self._heap else None

    def __iter__(self) -> Iterator[Message]:
        """The messages in the order in which they came to this queue."""
        return iter(tuple(self._messages.values()))

    def find(self, key: int) -> Message | None:
        """The message with this key, if it is still here."""
        return self._messages.get(key)

    def put(self, message: Message, now_s: float, delay_s: float = 0) -> None:
        """Take in a new message, visible after the delay."""
        self._messages[message.key] = message
        if delay_s > 0:
            self.delayed += 1
            self._lay_by(message, State.DELAYED, now_s + delay_s)
        else:
            self._line_up(message)

    def pop(self, pick: Callable[[int], int] | None = None) -> Message | None:
        """Take a visible message out of the line: the first, or the one whose index `pick` draws below a length.

        The caller hides it, or removes it.
        """
        line = self._line
        while line:
            index = pick(len(line)) if pick is not None else 0
            message = line[index]
            del line[index]
            if message.state is State.VISIBLE:
                return message
            self._left_in_line -= 1
        return None

    def hide(self, message: Message, now_s: float, for_s: float) -> None:
        """Put a popped message, or one that is in flight, out of sight; for 0 s means back in line at once."""
        if message.state is State.IN_FLIGHT:
            self._leave_heap(message)
        else:
            self.in_flight += 1
        if for_s > 0:
            self._lay_by(message, State.IN_FLIGHT, now_s + for_s)
        else:
            self.in_flight -= 1
            self._line_up(message)

    def remove(self, message: Message, *, popped: bool = False) -> None:
        """Let go of a message, wherever it is; `popped` when it was just taken out of the line."""
        state, message.state = message.state, State.GONE
        self._messages.pop(message.key, None)
        if state is State.IN_FLIGHT:
            self.in_flight -= 1
            self._leave_heap(message)
        elif state is State.DELAYED:
            self.delayed -= 1
            self._leave_heap(message)
        elif state is State.VISIBLE and not popped:
            self._left_in_line += 1
            self._sweep_line()

    def promote(self, now_s: float) -> list[Message]:
        """Bring back what is due. Returns it, oldest due first."""
        heap = self._heap
        back: list[Message] = []
        while heap and heap[0][0] <= now_s:
            _, ticket, message = heappop(heap)
            if message.ticket != ticket:
                self._left_in_heap -= 1
                continue
            if message.state is State.DELAYED:
                self.delayed -= 1
            else:
                self.in_flight -= 1
            self._line_up(message)
            back.append(message)
        return back

    def clear(self) -> list[Message]:
        """Remove every message and return them."""
        gone = list(self._messages.values())
        for message in gone:
            message.state = State.GONE
        self._messages.clear()
        self._line.clear()
        self._heap.clear()
        self.in_flight = self.delayed = self._left_in_heap = self._left_in_line = 0
        return gone

    def _line_up(self, message: Message) -> None:
        message.state = State.VISIBLE
        message.ticket = 0
        self._line.append(message)

    def _lay_by(self, message: Message, state: State, due_s: float) -> None:
        message.state = state
        message.due_s = due_s
        message.ticket = next(self._tickets)
        heappush(self._heap, (due_s, message.ticket, message))

    def _leave_heap(self, message: Message) -> None:
        message.ticket = 0
        self._left_in_heap += 1
        if self._left_in_heap > _SWEEP_FROM and self._left_in_heap * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].ticket == entry[1]]
            heapify(self._heap)
            self._left_in_heap = 0

    def _sweep_line(self) -> None:
        if self._left_in_line > _SWEEP_FROM and self._left_in_line * 2 > len(self._line):
            self._line = deque(message for message in self._line if message.state is State.VISIBLE)
            self._left_in_line = 0
