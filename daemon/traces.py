"""Traces, as the parts see them: which trace is going on, and spans around what is done in it.

Without a tracer nothing is made, but a sender's `traceparent` (W3C) is still passed on, in the attributes of results
and in calls of neighbours, so that a trace does not end here. `daemon.otel` makes spans of it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Protocol

TRACEPARENT = "traceparent"
_FORM = re.compile("00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_current: ContextVar[str | None] = ContextVar(TRACEPARENT, default=None)
_nothing = nullcontext()


def current_traceparent() -> str | None:
    """Of the span that is open, or of the message that is handled; None where there is neither."""
    return _current.get()


def valid_traceparent(text: str | None) -> str | None:
    """What a sender gave, if it is one."""
    return text if text is not None and _FORM.fullmatch(text) else None


@contextmanager
def continuing(traceparent: str) -> Iterator[None]:
    """Let what is done inside belong to that trace."""
    token = _current.set(traceparent)
    try:
        yield
    finally:
        _current.reset(token)


class Traces(Protocol):
    """Makes spans. `queue` is a name or a template without ids; `ids` go into attributes, where they may be."""

    def send(self, queue: str, parents: Sequence[str | None]) -> AbstractContextManager[None]:
        """Around the sending of a batch whose messages belong to those traces."""
        ...

    def receive(self, queue: str, count: int, began_ns: int) -> None:
        """A poll that began at that time (wall clock) has brought messages."""
        ...

    def process(self, queue: str, parent: str | None, ids: Mapping[str, str | None]) -> AbstractContextManager[None]:
        """Around a delivery, in the trace of its sender."""
        ...

    def settle(self, queue: str) -> AbstractContextManager[None]:
        """Around telling the queue how it ended."""
        ...


class Untraced:
    """No spans; a delivery's trace is passed on."""

    def send(self, queue: str, parents: Sequence[str | None]) -> AbstractContextManager[None]:
        """Nothing."""
        del queue, parents
        return _nothing

    def receive(self, queue: str, count: int, began_ns: int) -> None:
        """Nothing."""

    def process(self, queue: str, parent: str | None, ids: Mapping[str, str | None]) -> AbstractContextManager[None]:
        """The sender's trace goes on as it is."""
        del queue, ids
        return _nothing if parent is None else continuing(parent)

    def settle(self, queue: str) -> AbstractContextManager[None]:
        """Nothing."""
        del queue
        return _nothing


UNTRACED = Untraced()
