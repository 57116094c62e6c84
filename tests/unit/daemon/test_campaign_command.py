"""What became of a command, found in the journal: the last word counts, and only what is new is a word."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from daemon.campaign_command import _about
from daemon.command_sending import Became, Sending, outcome_of, tell
from daemon.journal_view import JournalEntry
from daemon.store.campaign_reads import SqlCampaignReads
from daemon.store.database import Write
from daemon.store.migrate import migrate
from daemon.store.sqlite import SqliteDatabase

SENT: dict[str, Any] = {"sent": "c-1", "callRef": "r-1", "queue": "robotd-commands"}
TEXT = Sending(None, None, 15, as_json=False)


@pytest.fixture
async def database(tmp_path: Any) -> AsyncIterator[SqliteDatabase]:
    """A database with a journal."""
    opened = await SqliteDatabase.open(tmp_path / "robotd.db")
    await migrate(opened)
    yield opened
    await opened.close()


async def journal(database: SqliteDatabase, *entries: tuple[str, str, str]) -> None:
    sql = (
        "INSERT INTO journal (id, at_ms, queue, delivery_id, source, message_id, type, outcome, reason, attempt) "
        "VALUES (?, ?, 'q', 'd', 'robotd-cli', 'c-1', 'campaign.run', ?, ?, ?)"
    )
    rows = [(key, at_ms, outcome, reason, at_ms) for at_ms, (key, outcome, reason) in enumerate(entries, 1)]
    await database.apply([Write(sql, row) for row in rows])


async def outcome(database: SqliteDatabase, *before: str) -> JournalEntry | None:
    return await outcome_of(SqlCampaignReads(database), "robotd-cli", "c-1", set(before), 0)


def said(entry: JournalEntry | None, sending: Sending) -> int:
    return tell(Became("robotd-cli", "c-1", SENT, entry), "campaign.run", sending, _about)


async def test_nothing_in_the_journal_is_no_outcome(database: SqliteDatabase) -> None:
    """It is looked for once at least, also with no time to wait."""
    assert await outcome(database) is None


async def test_a_refusal_of_an_earlier_copy_is_no_outcome(database: SqliteDatabase) -> None:
    """The same id is sent again after its dead letter was corrected: only what comes now is its outcome."""
    await journal(database, ("1", "rejected", "not-found: no"))
    assert await outcome(database, "1") is None
    await journal(database, ("2", "done", "campaign 7 resumed"))
    assert await outcome(database, "1") == JournalEntry("2", "done", "campaign 7 resumed", 1)


async def test_what_was_done_once_stays_done(database: SqliteDatabase) -> None:
    """Whatever was tried before or after; of others the last word counts."""
    await journal(database, ("1", "retried", "busy"), ("2", "done", "yes"), ("3", "rejected", "wrong-state: no"))
    found = await outcome(database)
    assert (found and found.id) == "2"


async def test_tries_that_failed_are_told(database: SqliteDatabase, capsys: pytest.CaptureFixture[str]) -> None:
    """With how many there were and why the last one failed; the exit code says that it is not done."""
    await journal(database, ("1", "retried", "busy"), ("2", "retried", "waha: connect timeout"))
    assert said(await outcome(database), TEXT) == 1
    tried = "tried so far: 2, the last time: waha: connect timeout"
    told = f"robotd: not handled within 15 s; {tried}; it stays in robotd-commands until a robotd handles it\n"
    assert capsys.readouterr() == ("", told)


@pytest.mark.parametrize(
    ("entry", "code", "told"),
    [
        (None, 1, {"outcome": "waiting", "reason": None}),
        (JournalEntry("1", "retried", "busy", 1), 1, {"outcome": "waiting", "reason": "busy"}),
        (JournalEntry("1", "rejected", "not-found: no", 1), 1, {"outcome": "rejected", "reason": "not-found: no"}),
        (JournalEntry("1", "done", "campaign 7 x", 1), 0, {"outcome": "done", "note": "campaign 7 x", "campaignId": 7}),
        (JournalEntry("1", "done", "so", 1), 0, {"outcome": "done", "note": "so"}),
    ],
)
def test_an_outcome_has_one_form_for_programs(
    entry: JournalEntry | None, code: int, told: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One object on stdout with what was sent and what came of it; the exit code agrees with it."""
    printed: list[Any] = []
    monkeypatch.setattr("daemon.command_sending.say_json", printed.append)
    assert said(entry, Sending(None, None, 15, as_json=True)) == code
    assert printed == [{**SENT, **told}]
