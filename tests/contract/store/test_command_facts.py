"""What became of a command, read from inbox and journal as the daemon's own books write them, on both engines."""

from dataclasses import replace

import pytest

from daemon.books import Attempts, Entry
from daemon.command_outcome import CommandState, outcome_of
from daemon.delivery import Identity, Message
from daemon.outbox import Addressing
from daemon.probe import unobserved
from daemon.store.books import SqlBooks
from daemon.store.command_facts import SqlCommandFacts
from daemon.store.ids import Ids
from daemon.store.rows import RowIds
from daemon.store.uow import Surroundings
from localstack.clock import ManualClock
from tests.conftest import AnyDatabase
from tests.parts import Delivered, Wish
from tests.world import MORNING_MS

MESSAGE = Message("campaign.run", "agenda", "a-1", Wish(), None, "ref")
NO_TRIES = Attempts(0, 0, 0, 0)


@pytest.fixture
def books(database: AnyDatabase) -> SqlBooks:
    addressing = Addressing("robot-queue-", "robotd", "host")
    around = Surroundings(database, Ids(database), RowIds(), addressing, 30_000, lambda _: None, unobserved)
    return SqlBooks(around, ManualClock(MORNING_MS))


def entry(outcome: str, reason: str, attempt: int = 1, identity: Identity = MESSAGE.identity) -> Entry:
    return Entry(identity, outcome, reason, attempt)


async def test_a_command_is_followed_through_the_books(database: AnyDatabase, books: SqlBooks) -> None:
    """Unknown, retried, refused, redriven, done: the newest word counts, also of several in one millisecond."""
    facts = SqlCommandFacts(database)
    states = [outcome_of(await facts.of("agenda", "a-1")).state]
    await books.note_retry(Delivered(), NO_TRIES, entry("retried", "megazord: down", 0))
    states.append(outcome_of(await facts.of("agenda", "a-1")).state)
    await books.note_retry(Delivered(), NO_TRIES, entry("retried", "TimeoutError", 2))
    retrying = outcome_of(await facts.of("agenda", "a-1"))
    await books.note(Delivered(), entry("rejected", "not-found: nobody's", 3))
    refused = outcome_of(await facts.of("agenda", "a-1"))
    await books.commit(Delivered(), MESSAGE, books.begin(Delivered(), MESSAGE.identity), entry("done", "started"))
    done = outcome_of(await facts.of("agenda", "a-1"))
    assert states == [CommandState.UNKNOWN, CommandState.WAITING]
    assert (retrying.state, retrying.attempts, retrying.last_error) == (CommandState.RETRYING, 2, "TimeoutError")
    assert (refused.state, refused.kind, refused.reason) == (CommandState.REFUSED, "not-found", "nobody's")
    assert (done.state, done.note, done.type, done.call_ref) == (CommandState.DONE, "started", "campaign.run", "ref")


async def test_commands_of_others_are_not_taken_for_it(database: AnyDatabase, books: SqlBooks) -> None:
    """The same id of another source, another id, another case: none of them is this command."""
    for message in (replace(MESSAGE, source="Agenda"), replace(MESSAGE, id="A-1"), replace(MESSAGE, source="other")):
        work = books.begin(Delivered(), message.identity)
        await books.commit(Delivered(), message, work, entry("done", "x", identity=message.identity))
    assert outcome_of(await SqlCommandFacts(database).of("agenda", "a-1")).state is CommandState.UNKNOWN


async def test_only_the_newest_lines_are_read(database: AnyDatabase, books: SqlBooks) -> None:
    """A command that was tried for days costs no more than one that was tried for an hour."""
    for attempt in range(60):
        await books.note(Delivered(), entry("retried", "again", attempt))
    facts = await SqlCommandFacts(database).of("agenda", "a-1")
    assert [line.attempt for line in facts.journal] == list(range(10, 60))
