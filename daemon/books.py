"""What the dispatcher writes down of each delivery, as a port; `daemon.store.books` keeps them in the database."""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from daemon.delivery import Delivery, Identity, Message
from domain.ports import UnitOfWork

Work = TypeVar("Work", bound=UnitOfWork)


@dataclass(frozen=True, slots=True)
class Attempts:
    """Earlier tries of one delivery: failed ones, and those that only waited for a dependency."""

    attempts: int
    deferrals: int
    first_at_ms: int
    now_ms: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the journal: what became of one try."""

    identity: Identity
    outcome: str
    reason: str
    attempt: int


class Books(Protocol, Generic[Work]):
    """Inbox, attempts and journal. Every method raises Unavailable when the database can't be reached."""

    async def seen(self, delivery: Delivery, message: Message) -> bool:
        """Whether this message was handled before, or this claim of a timer has been replaced."""
        ...

    def begin(self, delivery: Delivery, identity: Identity) -> Work:
        """A unit of work for one handling."""
        ...

    async def commit(self, delivery: Delivery, message: Message, work: Work, entry: Entry | None) -> None:
        """One transaction for inbox, work and, with an entry, journal.

        Raises Conflict when another was first, after what the handler wanted salvaged.
        """
        ...

    async def finish(self, work: Work) -> None:
        """Commit what was collected by a handling that has no delivery of its own. Raises Conflict."""
        ...

    async def note_rejected(self, delivery: Delivery, work: Work, entry: Entry) -> None:
        """Commit what is told about a refused message, without marking it as handled."""
        ...

    async def note(self, delivery: Delivery, entry: Entry) -> None:
        """Write the journal alone."""
        ...

    async def attempts(self, delivery: Delivery) -> Attempts:
        """Earlier tries."""
        ...

    async def note_retry(self, delivery: Delivery, attempts: Attempts, entry: Entry) -> None:
        """Count one more try."""
        ...

    async def forget(self, delivery: Delivery) -> None:
        """Drop the count of tries of a delivery that is settled for good."""
        ...
