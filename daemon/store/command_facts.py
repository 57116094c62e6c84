"""What inbox and journal know of one command."""

from dataclasses import dataclass

from daemon.command_outcome import CommandFacts, JournalLine
from daemon.store.database import Database

_NEWEST = 50
_HANDLED = "SELECT 1 FROM inbox WHERE source = ? AND message_id = ?"
_LINES = (
    "SELECT at_ms, outcome, reason, attempt, type, call_ref FROM journal WHERE message_id = ? AND source = ? "
    "ORDER BY at_ms DESC, id DESC LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class SqlCommandFacts:
    """Reads alone."""

    database: Database

    async def of(self, source: str, command_id: str) -> CommandFacts:
        """The facts, with the newest lines of the journal. Raises Unavailable.

        The inbox is read first: its row comes in one transaction with its line, so who finds the row finds the line.
        """
        handled = await self.database.fetch(_HANDLED, (source, command_id))
        lines = await self.database.fetch(_LINES, (command_id, source, _NEWEST))
        journal = [
            JournalLine(int(at_ms or 0), str(outcome), str(reason), int(attempt or 0), str(kind), _text(call_ref))
            for at_ms, outcome, reason, attempt, kind, call_ref in reversed(lines)
        ]
        return CommandFacts(source, command_id, bool(handled), journal)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
