"""What became of a command, by the journal."""

from daemon.journal_view import JournalEntry
from daemon.store.database import Database

_ENTRIES = "SELECT id, outcome, reason, attempt FROM journal WHERE message_id = ? AND source = ? ORDER BY at_ms, id"


async def journal_entries(database: Database, source: str, message_id: str) -> list[JournalEntry]:
    """Each try of one command, in the order in which they were written."""
    rows = await database.fetch(_ENTRIES, (message_id, source))
    return [JournalEntry(str(key), str(outcome), str(reason), int(tries or 0)) for key, outcome, reason, tries in rows]
