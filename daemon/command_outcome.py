"""What became of a command, from what the database still knows of it: for the ops API and the client.

Pure: `outcome_of` decides over facts that somebody has read. What is older than the retention is unknown again.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from domain.messages import reply_id
from domain.wire import iso

PATH = "/api/v1/commands/{id}"
"""Where it is asked for by GET, with the parameter `source`; the answer is a CommandOutcome, also of an unknown one."""

_CHECK = re.compile(r"check ([1-9][0-9]*) ")
_CREATE, _CANCEL = "status-check.create", "status-check.cancel"
_IDS = {"server.test": "server-test-{}", "server.test-cycle": "server-cycle-{}"}


class CommandState(StrEnum):
    """Where a command stands. DONE and REFUSED are final, unless a refused one is sent again."""

    UNKNOWN = "unknown"  # still on the queue, never sent, or too long ago
    WAITING = "waiting"  # received, and nothing has failed: it is in hand, or waits for something that is down
    RETRYING = "retrying"  # tried without success, to be tried again
    DONE = "done"
    REFUSED = "refused"  # in the dead-letter queue


class CommandOutcome(BaseModel):
    """What is known of one command. `kind` and `reason` belong to REFUSED, `last_error` to RETRYING and WAITING.

    `result_ids`: the ids of the results that answer it, as far as they follow from it. Results have them only where
    somebody is told.
    """

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, validate_by_name=True, extra="ignore")

    source: str
    id: str
    state: CommandState
    type: str | None = None
    call_ref: str | None = None
    at: str | None = None
    note: str | None = None
    kind: str | None = None
    reason: str | None = None
    attempts: int = Field(default=0, ge=0)
    last_error: str | None = None
    result_ids: tuple[str, ...] = ()

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.state in (CommandState.DONE, CommandState.REFUSED)


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One line of the journal: `outcome` is done, retried or rejected."""

    at_ms: int
    outcome: str
    reason: str
    attempt: int
    type: str
    call_ref: str | None


@dataclass(frozen=True, slots=True)
class CommandFacts:
    """All that is known of (`source`, `id`); the journal oldest first. `is_in_hand`: this process works on it now."""

    source: str
    id: str
    is_in_inbox: bool
    journal: Sequence[JournalLine] = ()
    is_in_hand: bool = False


def outcome_of(facts: CommandFacts) -> CommandOutcome:
    """The state that follows. The inbox goes before the journal, which may be cut off earlier or later."""
    last = facts.journal[-1] if facts.journal else None
    if facts.is_in_inbox or (last is not None and last.outcome == "done"):
        return _done(facts)
    if last is None:
        state = CommandState.WAITING if facts.is_in_hand else CommandState.UNKNOWN
        return CommandOutcome(source=facts.source, id=facts.id, state=state)
    if last.outcome == "rejected":
        return _refused(facts, last)
    state = CommandState.RETRYING if last.attempt else CommandState.WAITING
    return CommandOutcome(
        source=facts.source,
        id=facts.id,
        state=state,
        type=last.type,
        call_ref=last.call_ref,
        at=iso(last.at_ms),
        attempts=last.attempt,
        last_error=last.reason,
    )


def _done(facts: CommandFacts) -> CommandOutcome:
    done = next((line for line in reversed(facts.journal) if line.outcome == "done"), None)
    if done is None:  # its line is older than the journal
        return CommandOutcome(source=facts.source, id=facts.id, state=CommandState.DONE)
    return CommandOutcome(
        source=facts.source,
        id=facts.id,
        state=CommandState.DONE,
        type=done.type,
        call_ref=done.call_ref,
        at=iso(done.at_ms),
        note=done.reason,
        attempts=done.attempt,
        result_ids=_results_of(done, reply_id(facts.source, facts.id)),
    )


def _refused(facts: CommandFacts, line: JournalLine) -> CommandOutcome:
    kind, _, reason = line.reason.partition(": ")
    return CommandOutcome(
        source=facts.source,
        id=facts.id,
        state=CommandState.REFUSED,
        type=line.type,
        call_ref=line.call_ref,
        at=iso(line.at_ms),
        kind=kind,
        reason=reason,
        attempts=line.attempt,
        result_ids=(reply_id(facts.source, facts.id),),
    )


def _results_of(done: JournalLine, answer: str) -> tuple[str, ...]:
    """Most answers have an id of the command; the first word of a check has one of the check."""
    check = _CHECK.match(done.reason)
    if done.type == _CREATE and check is not None:
        return (f"sc-{check[1]}-1",)
    if done.type == _CANCEL and done.reason == "cancelled":
        return ()
    return (_IDS.get(done.type, "{}").format(answer),)
