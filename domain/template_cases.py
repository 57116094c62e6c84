"""The examples inside a template, played through the same decisions as a real check, with a clock of their own."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.expression_words import span_ms
from domain.status_check import Event, Verdict
from domain.template import Case, Moment, Resource, Template, judge

_MIDNIGHT_MS = 1_764_028_800_000  # a Tuesday of November 2025, UTC, the zone of all examples


@dataclass(frozen=True, slots=True)
class Miss:
    """An example that came out differently."""

    number: int
    case: Case
    found: Verdict
    problems: tuple[str, ...]


@dataclass(slots=True)
class _Play:
    """One example as it runs. Only events that a real check would have known are in it."""

    template: Template
    started_at_ms: int
    known: Sequence[Event]
    verdict: Verdict = Verdict.PENDING
    is_over: bool = False
    problems: tuple[str, ...] = ()

    def ask(self, resource: Resource, now_ms: int, *, window_ended: bool = False) -> Verdict:
        past_s, future_s = self.template.past_interval_s, self.template.future_interval_s
        moment = Moment(
            events=[event for event in self.known if event.created_at_ms <= now_ms],
            now_ms=now_ms,
            started_at_ms=self.started_at_ms,
            since_ms=None if past_s < 0 else self.started_at_ms - past_s * 1_000,
            until_ms=self.started_at_ms + future_s * 1_000 if future_s else None,
            window_ended=window_ended,
        )
        judgement = judge(resource, moment)
        self.problems += judgement.problems
        return judgement.verdict

    def begin(self) -> None:
        if self.template.past is not None and self.template.past_interval_s:
            self.verdict = self.ask(self.template.past, self.started_at_ms)
        listens = self.template.future is not None and self.template.future_interval_s > 0
        decided = self.verdict is not Verdict.PENDING and not self.template.poll_until_end
        if decided or not listens:
            self.close()

    def hear(self, event: Event) -> None:
        if self.template.future is not None and not self.is_over:
            self.verdict = self.ask(self.template.future, event.created_at_ms)
            self.is_over = self.verdict is not Verdict.PENDING and not self.template.poll_until_end

    def end(self) -> None:
        if self.template.future is not None and not self.is_over:
            until_ms = self.started_at_ms + self.template.future_interval_s * 1_000
            final = self.ask(self.template.future, until_ms, window_ended=True)
            self.verdict = self.verdict if final is Verdict.PENDING else final
            self.close()

    def close(self) -> None:
        if self.verdict is Verdict.PENDING:
            self.verdict = self.template.on_timeout or Verdict.FAIL
        self.is_over = True


def misses(template: Template) -> list[Miss]:
    """Play every example of a template; returns those that came out differently."""
    found = []
    for number, case in enumerate(template.cases):
        play = _played(template, case)
        if play.verdict.value != case.expect:
            found.append(Miss(number, case, play.verdict, play.problems))
    return found


def _played(template: Template, case: Case) -> _Play:
    hour, minute = case.start.split(":")
    started_at_ms = _MIDNIGHT_MS + (int(hour) * 60 + int(minute)) * 60_000
    until_ms = started_at_ms + template.future_interval_s * 1_000
    events = _events(case, started_at_ms)
    since_ms = -1 if template.past_interval_s < 0 else started_at_ms - template.past_interval_s * 1_000
    looks_back = template.past is not None and template.past_interval_s != 0
    past = [event for event in events if since_ms <= event.created_at_ms <= started_at_ms] if looks_back else []
    coming = [event for event in events if started_at_ms <= event.created_at_ms <= until_ms and event not in past]
    play = _Play(template, started_at_ms, past)
    play.begin()
    moment_ms = until_ms if case.evaluate == "end" else started_at_ms + _offset_ms(case.evaluate)
    for event in coming:
        if event.created_at_ms <= moment_ms:
            play.known = [*play.known, event]
            play.hear(event)
    if case.evaluate == "end" or moment_ms >= until_ms:
        play.end()
    return play


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
