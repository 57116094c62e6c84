"""A check played over known events with a clock of its own: for the examples inside templates and for replays.

Takes the same course as a live check, on the assumption that every event reaches us at the second of its stamp. What
happens in the second in which a check starts belongs to its past, or to its future if it doesn't look back.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from domain.check_course import ON_TIMEOUT, SILENCE, Step, begun, close, closed, hear, heard, moment_of, start
from domain.expression_functions import MAX_EVENTS
from domain.status_check import Branch, Event, Phase, ScriptStep, StatusCheck, Verdict, Window, window_of
from domain.template import Template
from domain.wire import whole_second

_BRANCHES = {verdict: Branch(None) for verdict in (Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN)}


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """How a check went: each step with its moment, in time order; the first is the start."""

    steps: tuple[tuple[int, Step], ...]

    @property
    def check(self) -> StatusCheck:
        """The check after the last step."""
        return self.steps[-1][1].check

    @property
    def deciding(self) -> Step:
        """The step that gave the last verdict: an earlier one than the end, if the end had nothing to add."""
        last = self.steps[-1][1]
        if last.decided_by in ("", ON_TIMEOUT, SILENCE):
            return last
        return next(step for _, step in reversed(self.steps) if _has_answered(step))

    @property
    def told(self) -> tuple[tuple[int, Step], ...]:
        """The steps of which a robot would be told: the start, and whatever changed what the check says."""
        changes = [
            (at_ms, step)
            for (_, before), (at_ms, step) in zip(self.steps, self.steps[1:], strict=False)
            if step.check.told_differently(before.check)
        ]
        return (self.steps[0], *changes)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why expressions gave no answer, each once, in the order in which they came."""
        return tuple(dict.fromkeys(problem for _, step in self.steps for problem in step.problems))


@dataclass(frozen=True, slots=True)
class Ending:
    """How a check that started at `at_ms` ended. `until_ms` is the end of its window, None if it had no future."""

    at_ms: int
    verdict: Verdict
    decided_at_ms: int
    decided_by: str
    until_ms: int | None


class Replay:
    """The events of one home, prepared once, to be asked how checks of one template would have ended at many moments.

    `events` are sorted by (created_at_ms, id). `ending` gives what `rehearse` gives, without the history: one that
    looks back over everything would be copied at every event.
    """

    def __init__(self, template: Template, events: Sequence[Event], time_zone: str = "UTC") -> None:
        self._template = template
        self._log = _Log(template, events)
        self._time_zone = time_zone

    def ending(self, started_at_ms: int) -> Ending:
        """The end of a check that starts then, cut to the second."""
        template, start_ms = self._template, whole_second(started_at_ms)
        window = _window(template, start_ms)
        known = list(self._log.past(start_ms, window, newest=MAX_EVENTS))  # no expression looks at more
        moment = moment_of(window, start_ms, known, start_ms, self._time_zone)
        state = start(template, window, moment, listens=_listens(template, window))
        at_ms = start_ms
        for event in self._log.coming(start_ms, window) if not state.is_over else ():
            known.append(event)
            at_ms = event.created_at_ms
            state = hear(template, state, moment_of(window, start_ms, known, at_ms, self._time_zone))
            if state.is_over:
                break
        if not state.is_over:
            at_ms = window.until_ms if window.until_ms is not None else at_ms
            moment = moment_of(window, start_ms, known, at_ms, self._time_zone, window_ended=True)
            state = close(template, state, moment)
        return Ending(start_ms, state.verdict, at_ms, state.decided_by, window.until_ms)


def rehearse(
    template: Template,
    events: Sequence[Event],
    started_at_ms: int,
    *,
    stop_at_ms: int | None = None,
    time_zone: str = "UTC",
) -> Rehearsal:
    """Play a check that starts at `started_at_ms`, until `stop_at_ms` (None: to its end).

    `events` are sorted by (created_at_ms, id); those that the template doesn't depend on are left out.
    """
    check = _new_check(template, whole_second(started_at_ms))
    log = _Log(template, events)
    past = log.past(check.started_at_ms, check.window)
    steps = [(check.started_at_ms, begun(check, template, past, check.started_at_ms, time_zone))]
    until_ms = check.window.until_ms
    if until_ms is not None:
        stop_ms = until_ms if stop_at_ms is None else min(stop_at_ms, until_ms)
        coming = log.coming(check.started_at_ms, check.window)
        steps += _future(steps[0][1].check, template, coming, stop_ms, time_zone)
    return Rehearsal(tuple(steps))


def _future(
    check: StatusCheck, template: Template, coming: Sequence[Event], stop_ms: int, time_zone: str
) -> Iterator[tuple[int, Step]]:
    for event in coming:
        if check.is_over or event.created_at_ms > stop_ms:
            break
        step = heard(check, template, event, None, event.created_at_ms, time_zone)
        check = step.check
        yield event.created_at_ms, step
    if not check.is_over and stop_ms == check.window.until_ms:
        yield stop_ms, closed(check, template, (), stop_ms, time_zone)


class _Log:
    """Events as a template's checks meet them: all its names in the past, but only those of its future afterwards."""

    __slots__ = ("_coming", "_past")

    def __init__(self, template: Template, events: Sequence[Event]) -> None:
        names = frozenset(template.event_names)
        listened = frozenset(template.future.depends_on if template.future is not None else ())
        self._past = [event for event in events if event.name in names]
        self._coming = [event for event in self._past if event.name in listened]

    def past(self, start_ms: int, window: Window, newest: int | None = None) -> Sequence[Event]:
        """What the history holds at the start, or the newest of it."""
        if not window.looks_back:
            return ()
        end = bisect_right(self._past, start_ms, key=_created)
        first = 0 if window.since_ms is None else bisect_left(self._past, window.since_ms, key=_created)
        return self._past[first if newest is None else max(first, end - newest) : end]

    def coming(self, start_ms: int, window: Window) -> Sequence[Event]:
        """What comes from then to the end of the window."""
        if window.until_ms is None:
            return ()
        after = bisect_right if window.looks_back else bisect_left
        first = after(self._coming, start_ms, key=_created)
        return self._coming[first : bisect_right(self._coming, window.until_ms, key=_created)]


def _created(event: Event) -> int:
    return event.created_at_ms


def _has_answered(step: Step) -> bool:
    return step.asked is not None and step.asked.judgement.verdict is not Verdict.PENDING


def _window(template: Template, started_at_ms: int) -> Window:
    step = ScriptStep(1, template.name, 0, 0, _BRANCHES)
    return window_of(step, template.past_interval_s, template.future_interval_s, started_at_ms)


def _listens(template: Template, window: Window) -> bool:
    return template.future is not None and window.until_ms is not None


def _new_check(template: Template, started_at_ms: int) -> StatusCheck:
    window = _window(template, started_at_ms)
    return StatusCheck(
        id=1,
        robot_id=1,
        step_id=1,
        scheduled_id=1,
        script_version_id=1,
        planned_at_ms=started_at_ms,
        template_name=template.name,
        template_version=template.version,
        started_at_ms=started_at_ms,
        window=window,
        branches=_BRANCHES,
        phase=Phase.FUTURE if _listens(template, window) else Phase.PAST,
    )
