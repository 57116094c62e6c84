"""The course of a status check: begun, heard, closed. Each step gives the check as it is afterwards, and why.

The one place where checks are decided: live checks, the examples inside templates and replays of past days. The rules
(`start`, `hear`, `close`) know nothing of histories; `begun`, `heard` and `closed` keep the history around them.
Source of the order: seed 003. The decision table at the end of the window is ours, where the original's was not public.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from domain.status_check import Event, Phase, Record, StatusCheck, Verdict, Window
from domain.template import FUTURE, PAST, Judgement, Moment, Resource, Template, judge

ON_TIMEOUT, SILENCE = "onTimeout", "silence"


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to a template: which of its resources, what was known then, and the answer."""

    resource_name: str
    resource: Resource
    moment: Moment
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class CheckState:
    """Where a check stands, apart from its history: what it says, and what that rests on. `asked` is the last question.

    `decided_by` is an expression such as `futureEvents.PASS`, a resource of which an expression failed, `onTimeout`, or
    `silence` where the template has no answer; empty while PENDING.
    """

    phase: Phase
    verdict: Verdict = Verdict.PENDING
    decided_by: str = ""
    asked: Asked | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing can change any more."""
        return self.phase in (Phase.COMPLETED, Phase.FAILED)


@dataclass(frozen=True, slots=True)
class Step:
    """What one step made of a check. `new_records` are the last of `check.records`; `decided_by` as in `CheckState`."""

    check: StatusCheck
    new_records: tuple[Record, ...] = ()
    asked: Asked | None = None
    decided_by: str = ""

    @property
    def problems(self) -> tuple[str, ...]:
        """Why expressions gave no answer, in their authors' words."""
        return self.asked.judgement.problems if self.asked is not None else ()


def begun(check: StatusCheck, template: Template, events: Sequence[Event], now_ms: int, time_zone: str) -> Step:
    """The past is judged. `events` are all within the window so far; phase FUTURE means that it listens already."""
    seen, records = _with_events(check, events, Phase.PAST)
    state = start(template, check.window, _moment(seen, now_ms, time_zone), listens=check.phase is Phase.FUTURE)
    return _step(seen, records, state)


def begun_late(check: StatusCheck, template: Template, events: Sequence[Event], now_ms: int, time_zone: str) -> Step:
    """As `begun`, but moments after the start: what came since then is heard at once, for its message may be dropped.

    What came in the very second of the start is past where the template judges the past, and heard where it doesn't.
    """
    fresh_ms = check.started_at_ms + (1_000 if template.past is not None else 0)
    listens = check.phase is Phase.FUTURE
    past = [event for event in events if event.created_at_ms < fresh_ms or not listens]
    step = begun(check, template, past, now_ms, time_zone)
    for event in events[len(past) :]:
        if step.check.is_over:
            break
        later = heard(step.check, template, event, None, now_ms, time_zone)
        step = replace(later, new_records=(*step.new_records, *later.new_records))
    return step


def heard(
    check: StatusCheck, template: Template, event: Event, outgoing_id: int | None, now_ms: int, time_zone: str
) -> Step:
    """One new event within the window: the whole history is judged again."""
    seen, records = _with_events(check, [event], Phase.FUTURE, outgoing_id)
    return _step(seen, records, hear(template, _state(check, template), _moment(seen, now_ms, time_zone)))


def closed(check: StatusCheck, template: Template, missed: Sequence[Event], now_ms: int, time_zone: str) -> Step:
    """The window has ended. `missed` are its events that never reached us; the whole history is judged once more."""
    seen, records = _with_events(check, missed, Phase.FUTURE)
    before = _state(check, template)
    if missed and template.poll_until_end:  # what they take back is taken back, as if they had been heard
        before = hear(template, before, _moment(seen, now_ms, time_zone))
    return _step(seen, records, close(template, before, _moment(seen, now_ms, time_zone, window_ended=True)))


def looked_at(check: StatusCheck, template: Template, now_ms: int, time_zone: str) -> Step:
    """What a running check would say if it were asked now, or if its window has ended, with what it knows."""
    until_ms = check.window.until_ms
    if until_ms is not None and now_ms >= until_ms:
        return closed(check, template, (), until_ms, time_zone)
    return _step(check, (), hear(template, _state(check, template), _moment(check, now_ms, time_zone)))


def start(template: Template, window: Window, moment: Moment, *, listens: bool) -> CheckState:
    """The rule of the beginning: the past is asked, unless the check doesn't look back."""
    state = CheckState(Phase.FUTURE if listens else Phase.PAST)
    if template.past is not None and window.looks_back:
        state = _judged(state, PAST, template.past, moment)
    keeps_listening = listens and (template.poll_until_end or state.verdict is Verdict.PENDING)
    return state if keeps_listening else _over(state, template)


def hear(template: Template, before: CheckState, moment: Moment) -> CheckState:
    """The rule of an event: the last answer counts, and the first decision ends a check that doesn't poll on."""
    if template.future is None:
        return before
    state = _judged(before, FUTURE, template.future, moment)
    ends = state.verdict is not Verdict.PENDING and not template.poll_until_end
    return replace(state, phase=Phase.COMPLETED) if ends else state


def close(template: Template, before: CheckState, moment: Moment) -> CheckState:
    """The rule of the window's end: what is decided now, else what was decided before, else the answer to silence."""
    if template.future is None:
        return _over(before, template)
    now = _judged(before, FUTURE, template.future, moment)
    return _over(now if now.verdict is not Verdict.PENDING else replace(before, asked=now.asked), template)


def moment_of(
    window: Window,
    started_at_ms: int,
    events: Sequence[Event],
    now_ms: int,
    time_zone: str,
    *,
    window_ended: bool = False,
) -> Moment:
    """What a check of this window knows at `now_ms`. `events` are sorted by (created_at_ms, id)."""
    since_ms = window.since_ms if window.looks_back else started_at_ms
    return Moment(events, now_ms, started_at_ms, since_ms, window.until_ms, window_ended, time_zone)


def _moment(check: StatusCheck, now_ms: int, time_zone: str, *, window_ended: bool = False) -> Moment:
    return moment_of(check.window, check.started_at_ms, check.events, now_ms, time_zone, window_ended=window_ended)


def _state(check: StatusCheck, template: Template) -> CheckState:
    return CheckState(check.phase, check.verdict, _rests_on(check, template))


def _rests_on(check: StatusCheck, template: Template) -> str:
    """What a verdict so far rests on: each event asks futureEvents anew, and before the first the past has spoken."""
    if check.verdict is Verdict.PENDING:
        return ""
    has_heard = any(record.phase is Phase.FUTURE for record in check.records)
    name, resource = (FUTURE, template.future) if has_heard else (PAST, template.past)
    return _decisive(name, check.verdict, is_said=resource is not None and check.verdict in resource.expressions)


def _step(check: StatusCheck, records: Sequence[Record], state: CheckState) -> Step:
    """New records carry the verdict that they led to: what the check said once they were known."""
    judged = tuple(replace(record, result=state.verdict) for record in records)
    kept = check.records[: len(check.records) - len(judged)]
    after = replace(check.with_verdict(state.verdict), phase=state.phase, records=(*kept, *judged))
    return Step(after, judged, state.asked, state.decided_by)


def _over(state: CheckState, template: Template) -> CheckState:
    """Undecided at the end: the template's own answer to silence, else FAILED as in the system that we replace."""
    if state.verdict is not Verdict.PENDING:
        return replace(state, phase=Phase.COMPLETED)
    if template.on_timeout is not None:
        return CheckState(Phase.COMPLETED, template.on_timeout, ON_TIMEOUT, state.asked)
    return CheckState(Phase.FAILED, Verdict.FAIL, SILENCE, state.asked)


def _judged(before: CheckState, name: str, resource: Resource, moment: Moment) -> CheckState:
    judgement = judge(resource, moment)
    decided_by = _decisive(name, judgement.verdict, is_said=judgement.decided_by is not None)
    return CheckState(before.phase, judgement.verdict, decided_by, Asked(name, resource, moment, judgement))


def _decisive(name: str, verdict: Verdict, *, is_said: bool) -> str:
    if verdict is Verdict.PENDING:
        return ""
    return f"{name}.{verdict}" if is_said else f"{name}: an expression failed"


def _with_events(
    check: StatusCheck, events: Sequence[Event], phase: Phase, outgoing_id: int | None = None
) -> tuple[StatusCheck, tuple[Record, ...]]:
    first = len(check.records) + 1
    records = tuple(
        Record(first + index, event, phase, Verdict.PENDING, outgoing_id) for index, event in enumerate(events)
    )
    return replace(check, records=(*check.records, *records)), records
