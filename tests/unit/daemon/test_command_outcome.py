import pytest

from daemon.command_outcome import CommandFacts, CommandOutcome, CommandState, JournalLine, outcome_of
from domain.messages import reply_id

SOURCE, ID = "agenda", "a-1"
ANSWER = reply_id(SOURCE, ID)


def line(
    outcome: str, reason: str, *, attempt: int = 1, kind: str = "campaign.run", at_ms: int = 1_764_060_000_000
) -> JournalLine:
    return JournalLine(at_ms, outcome, reason, attempt, kind, "ref")


def told(*journal: JournalLine, is_in_inbox: bool = False, is_in_hand: bool = False) -> CommandOutcome:
    return outcome_of(CommandFacts(SOURCE, ID, is_in_inbox, journal, is_in_hand))


RETRIED = line("retried", "TimeoutError: 5 s", attempt=3)
DEFERRED = line("retried", "megazord: connection refused", attempt=0)
REJECTED = line("rejected", "not-found: the user has no campaign 7: none at all")
DONE = line("done", "campaign 7 resumed")


@pytest.mark.parametrize(
    ("journal", "is_in_inbox", "is_in_hand", "state"),
    [
        ((), False, False, CommandState.UNKNOWN),
        ((), False, True, CommandState.WAITING),
        ((DEFERRED,), False, False, CommandState.WAITING),
        ((DEFERRED, RETRIED), False, False, CommandState.RETRYING),
        ((RETRIED, DONE), True, False, CommandState.DONE),
        ((DONE,), False, False, CommandState.DONE),  # the inbox has forgotten it, the journal has not
        ((), True, False, CommandState.DONE),  # the other way round
        ((RETRIED,), True, False, CommandState.DONE),  # its own line is gone
        ((REJECTED,), False, False, CommandState.REFUSED),
        ((RETRIED, REJECTED), False, False, CommandState.REFUSED),
        ((REJECTED, RETRIED), False, False, CommandState.RETRYING),  # redriven
        ((REJECTED, DONE), True, False, CommandState.DONE),
        ((REJECTED,), True, False, CommandState.DONE),
    ],
)
def test_the_state_follows_from_inbox_and_journal(
    journal: tuple[JournalLine, ...],
    is_in_inbox: bool,  # noqa: FBT001  a row of the table
    is_in_hand: bool,  # noqa: FBT001  as above
    state: CommandState,
) -> None:
    """The last line counts, and the inbox more than any line."""
    outcome = told(*journal, is_in_inbox=is_in_inbox, is_in_hand=is_in_hand)
    assert outcome.state is state
    assert outcome.is_final == (state in (CommandState.DONE, CommandState.REFUSED))
    assert (outcome.source, outcome.id) == (SOURCE, ID)


def test_a_refused_command_says_kind_and_whole_reason() -> None:
    """The kind is what stands before the first colon, and the error result has the answer's id."""
    outcome = told(RETRIED, REJECTED)
    assert (outcome.kind, outcome.reason) == ("not-found", "the user has no campaign 7: none at all")
    assert outcome.result_ids == (ANSWER,)
    assert (outcome.type, outcome.call_ref, outcome.at) == ("campaign.run", "ref", "2025-11-25T08:40:00.000Z")


def test_a_retried_command_says_attempts_and_the_last_error() -> None:
    """What waits for a neighbour has no attempt against it, and says for whom it waits."""
    assert (told(RETRIED).attempts, told(RETRIED).last_error) == (3, "TimeoutError: 5 s")
    assert (told(DEFERRED).attempts, told(DEFERRED).last_error) == (0, "megazord: connection refused")


@pytest.mark.parametrize(
    ("kind", "note", "ids"),
    [
        ("status-check.create", "check 30451 FUTURE PENDING", ("sc-30451-1",)),
        ("status-check.create", "already-started", (ANSWER,)),
        ("status-check.get", "handled", (ANSWER,)),
        ("status-check.cancel", "already-over", (ANSWER,)),
        ("status-check.cancel", "cancelled", ()),
        ("campaign.run", "campaign 7 started with 8 contacts", (ANSWER,)),
        ("contacts.import", "8 imported, 1 duplicates, 1 bad of 10 rows", (ANSWER,)),
        ("server.test", "test of server 7 begins: run x", (f"server-test-{ANSWER}",)),
        ("server.test-cycle", "cycle x begins", (f"server-cycle-{ANSWER}",)),
    ],
)
def test_a_done_command_names_the_results_that_answer_it(kind: str, note: str, ids: tuple[str, ...]) -> None:
    """As far as their ids follow from the command and what was noted of it."""
    outcome = told(line("done", note, kind=kind), is_in_inbox=True)
    assert (outcome.note, outcome.result_ids) == (note, ids)


def test_an_outcome_survives_the_wire() -> None:
    """What the server writes in camelCase the client reads as the same, and a key more does not disturb it."""
    outcome = told(RETRIED)
    written = outcome.model_dump_json(by_alias=True)
    assert '"lastError":"TimeoutError: 5 s"' in written
    assert CommandOutcome.model_validate_json(written) == outcome
    assert CommandOutcome.model_validate_json(written.replace("{", '{"new":1,', 1)) == outcome
