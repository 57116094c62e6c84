"""What the command line reads of the journal: what became of a command that it sent."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """What one try of a command came to."""

    id: str
    outcome: str
    reason: str
    attempt: int


class Journal(Protocol):
    """Where the outcomes of commands are looked up."""

    async def entries(self, source: str, message_id: str) -> list[JournalEntry]:
        """What became of each try of a command, oldest first. Raises Unavailable."""
        ...
