"""A status check: phases, windows, history, and what it means for the robot when something was decided.

Sources: seed 003 for phases and results; the decision table at the end of the window is ours, where the
original's was not public. All times are UTC milliseconds cut to the second, as the neighbours store them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from domain.wire import JsonObject, iso


class Phase(StrEnum):
    """Where a check stands. COMPLETED and FAILED are final."""

    CREATED = "CREATED"
    PAST = "PAST"
    FUTURE = "FUTURE"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class Verdict(StrEnum):
    """What a check says about the resident. PENDING until decided."""

    PENDING = "PENDING"
    PASS = "PASS"  # noqa: S105  a verdict, not a password
    FAIL = "FAIL"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Event:
    """One incoming event at Megazord. Sort by (`created_at_ms`, `id`): the time alone has only seconds."""

    id: int
    name: str
    created_at_ms: int
    level: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a check's history: an event, and what the template said once it was known."""

    order: int
    event: Event
    phase: Phase
    result: Verdict
    outgoing_event_id: int | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """Where the script goes on. `next_step_id` None is legal: the script ends there."""

    next_step_id: int | None


@dataclass(frozen=True, slots=True)
class ScriptStep:
    """What a status check needs of a Micro Managers step. Intervals are seconds; past -1 means ever, 0 unset."""

    step_id: int
    template_name: str
    past_interval_s: int
    future_interval_s: int
    branches: dict[Verdict, Branch]


@dataclass(frozen=True, slots=True)
class Window:
    """What part of time a check looks at. `since_ms` None with `looks_back` means ever; `until_ms` None: no future."""

    looks_back: bool
    since_ms: int | None
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class StatusCheck:
    """One status check of one robot. Immutable: every rule returns a new one; `version` counts the saved changes."""

    id: int
    robot_id: int
    step_id: int
    scheduled_id: int
    script_version_id: int
    planned_at_ms: int
    template_name: str
    template_version: int
    started_at_ms: int
    window: Window
    branches: dict[Verdict, Branch]
    phase: Phase = Phase.CREATED
    verdict: Verdict = Verdict.PENDING
    next_step_id: int | None = None
    next_step_resolved: bool = False
    subscription_id: int | None = None
    call_ref: str | None = None
    records: tuple[Record, ...] = ()
    updated_at_ms: int = 0
    notices: int = 0  # how often the robot was told of a change
    version: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing can change any more."""
        return self.phase in (Phase.COMPLETED, Phase.FAILED)

    @property
    def events(self) -> tuple[Event, ...]:
        """The events of the history in time order, which need not be the order in which they became known."""
        return tuple(
            sorted((record.event for record in self.records), key=lambda event: (event.created_at_ms, event.id))
        )

    def unknown_to_history(self, events: Sequence[Event]) -> list[Event]:
        """Those of `events` that the history doesn't hold yet, in time order, each once."""
        known = {record.event.id for record in self.records}
        fresh = {event.id: event for event in events if event.id not in known}
        return sorted(fresh.values(), key=_time_order)

    def is_stale(self, event: Event) -> bool:
        """Whether the event came after the window."""
        return self.window.until_ms is not None and event.created_at_ms > self.window.until_ms

    def with_verdict(self, verdict: Verdict) -> "StatusCheck":
        """The same check with this verdict and the branch that belongs to it.

        UNKNOWN without a branch of its own goes the way of FAIL, and says that it is not resolved.
        """
        branch = self.branches.get(verdict)
        is_resolved = branch is not None
        if branch is None and verdict is Verdict.UNKNOWN:
            branch = self.branches.get(Verdict.FAIL)
        next_step_id = branch.next_step_id if branch is not None else None
        return replace(self, verdict=verdict, next_step_id=next_step_id, next_step_resolved=is_resolved)

    def told_differently(self, before: "StatusCheck") -> bool:
        """Whether the robot must hear of the change from `before` to this."""
        mine = (self.phase, self.verdict, self.next_step_id, self.next_step_resolved)
        return mine != (before.phase, before.verdict, before.next_step_id, before.next_step_resolved)


def window_of(step: ScriptStep, default_past_s: int, default_future_s: int, now_ms: int) -> Window:
    """The window of a check that starts now; an interval of 0 in the step means the template's own default."""
    past_s = step.past_interval_s or default_past_s
    future_s = step.future_interval_s or default_future_s
    return Window(
        looks_back=past_s != 0,
        since_ms=now_ms - past_s * 1000 if past_s > 0 else None,
        until_ms=now_ms + future_s * 1000 if future_s > 0 else None,
    )


def payload_of(check: StatusCheck) -> JsonObject:
    """What the robot gets of a check; the keys are those of the system that we replace, `nextStepResolved` is ours."""
    return {
        "id": check.id,
        "robotId": check.robot_id,
        "statusCheck": check.template_name,
        "stepId": check.step_id,
        "scriptVersionId": check.script_version_id,
        "scheduledId": check.scheduled_id,
        "plannedAt": iso(check.planned_at_ms),
        "phase": check.phase.value,
        "result": check.verdict.value,
        "nextStepId": check.next_step_id,
        "nextStepResolved": check.next_step_resolved,
        "history": [_history_line(record) for record in check.records],
        "createdAt": iso(check.started_at_ms),
        "updatedAt": iso(check.updated_at_ms),
    }


def _history_line(record: Record) -> JsonObject:
    return {
        "order": record.order,
        "eventName": record.event.name,
        "incomingEventId": record.event.id,
        "outgoingEventId": record.outgoing_event_id,
        "phase": record.phase.value,
        "result": record.result.value,
        "createdAt": iso(record.event.created_at_ms),
    }


def _time_order(event: Event) -> tuple[int, int]:
    return (event.created_at_ms, event.id)
