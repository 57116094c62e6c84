"""What the server did, in order: the history that a test asks afterwards to tell lost from not yet processed."""

from collections import deque
from collections.abc import Iterator
from typing import Literal, NamedTuple

Action = Literal[
    "sent", "received", "swallowed", "deleted", "visibility_changed", "dead_lettered", "duplicated", "expired", "purged"
]


class Entry(NamedTuple):
    """One thing that happened to one message. A tuple, because one is made for each on the hot path.

    `connection` is 0 when no client was concerned. "swallowed" follows "received" when the client had already gone;
    "dead_lettered" names the queue that the message left.
    """

    action: Action
    queue: str
    message_id: str
    time_s: float
    receive_count: int
    connection: int
    body: str


class Ledger:
    """The last `size` entries; with size 0 nothing is kept."""

    def __init__(self, size: int) -> None:
        self.keeps = size > 0
        self._entries: deque[Entry] = deque(maxlen=size)

    def add(self, entry: Entry) -> None:
        """Append, letting the oldest go when full."""
        self._entries.append(entry)

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def of(self, action: Action | None = None, queue: str | None = None, message_id: str | None = None) -> list[Entry]:
        """The entries that match everything given, oldest first."""
        return [
            entry
            for entry in self._entries
            if (action is None or entry.action == action)
            and (queue is None or entry.queue == queue)
            and (message_id is None or entry.message_id == message_id)
        ]
