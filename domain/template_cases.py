"""The examples inside a template, rehearsed with a clock of their own."""

from dataclasses import dataclass

from domain.expression_words import span_ms
from domain.rehearsal import Rehearsal, rehearse
from domain.status_check import Event, Verdict
from domain.template import Case, Template

_MIDNIGHT_MS = 1_764_028_800_000  # a Tuesday of November 2025, UTC, the zone of all examples


@dataclass(frozen=True, slots=True)
class Miss:
    """An example that came out differently."""

    number: int
    case: Case
    found: Verdict
    problems: tuple[str, ...]


def misses(template: Template) -> list[Miss]:
    """Rehearse every example of a template; returns those that came out differently."""
    found = []
    for number, case in enumerate(template.cases):
        rehearsal = rehearse_case(template, case)
        verdict = rehearsal.check.verdict
        if verdict.value != case.expect:
            found.append(Miss(number, case, verdict, rehearsal.problems))
    return found


def rehearse_case(template: Template, case: Case) -> Rehearsal:
    """One example, until the moment that its `evaluate` names."""
    hour, minute = case.start.split(":")
    started_at_ms = _MIDNIGHT_MS + (int(hour) * 60 + int(minute)) * 60_000
    stop_at_ms = None if case.evaluate == "end" else started_at_ms + _offset_ms(case.evaluate)
    return rehearse(template, _events(case, started_at_ms), started_at_ms, stop_at_ms=stop_at_ms)


def _events(case: Case, started_at_ms: int) -> list[Event]:
    events = []
    for number, text in enumerate(case.events, 1):
        offset, name, *level = text.split()
        at_ms = started_at_ms + _offset_ms(offset)
        events.append(Event(number, name, at_ms, int(level[0]) if level else None))
    return sorted(events, key=lambda event: (event.created_at_ms, event.id))


def _offset_ms(text: str) -> int:
    if text == "start" or text[1:-1] == "0":
        return 0
    return span_ms(text[1:]) * (-1 if text[0] == "-" else 1)
