"""`robotd templates replay`: what a template would have said at many moments of a past that a file holds."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from daemon.cli_past import (
    Given,
    Unusable,
    colored,
    console,
    given,
    local,
    plain,
    refused,
    say_json,
    time_of,
    warn,
    zone_of,
)
from domain.errors import MessageError
from domain.expression_words import ExpressionError, span_ms
from domain.rehearsal import Ending, Replay
from domain.wire import iso, whole_second

RESULTS = ("PASS", "FAIL", "UNKNOWN")
MAX_MOMENTS = 1_000_000
_EARLY = "the log ends before the window does: what it doesn't hold counts as silence"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options as they were typed. Either `at` or `every`; empty texts are options that were not given."""

    at: tuple[str, ...]
    every: str
    first: str
    last: str
    time_zone: str
    only: tuple[str, ...]


def replay(template: Path, log: Path, wanted: Wanted, *, as_json: bool) -> int:
    """Print how each check would have ended. Raises MessageError for options that make no sense."""
    zone = zone_of(wanted.time_zone)
    _check(wanted)
    try:
        past = given(template, log, zone)
    except Unusable as error:
        return refused(error, as_json=as_json)
    moments = _moments(wanted, past)
    course = Replay(past.template, past.events, zone.key)
    count: Counter[str] = Counter()
    endings = _shown((course.ending(at_ms) for at_ms in moments), wanted.only, count)
    if as_json:
        _print_json(endings, past)
    else:
        _print_text(endings, past, count)
    return 0


def _check(wanted: Wanted) -> None:
    if bool(wanted.at) == bool(wanted.every):
        raise MessageError("say either --at, once or more often, or --every")
    if wanted.at and (wanted.first or wanted.last):
        raise MessageError("--from and --to belong to --every")
    if strange := sorted(set(wanted.only) - set(RESULTS)):
        raise MessageError(f"--only: {ascii(strange[0])[:80]} is none of {', '.join(RESULTS)}")


def _moments(wanted: Wanted, past: Given) -> Sequence[int]:
    """In elapsed time: an hour is an hour also where the clocks change. Both ends are moments."""
    if wanted.at:
        return [time_of("--at", text, past.zone) for text in wanted.at]
    try:
        step_ms = span_ms(wanted.every)
    except ExpressionError as error:
        raise MessageError(f"--every: {ascii(wanted.every)[:80]} is {error}: {error.hint}") from None
    if not past.events and not (wanted.first and wanted.last):
        raise MessageError("the log holds no events: say --from and --to")
    first = time_of("--from", wanted.first, past.zone) if wanted.first else past.events[0].created_at_ms
    last = time_of("--to", wanted.last, past.zone) if wanted.last else past.events[-1].created_at_ms
    first, last = whole_second(first), whole_second(last)
    if first > last:
        raise MessageError("--to lies before --from")
    moments = range(first, last + 1, step_ms)
    if len(moments) > MAX_MOMENTS:
        raise MessageError(f"--every: that makes {len(moments)} moments, at most {MAX_MOMENTS} are asked")
    return moments


def _ends_early(ending: Ending, past: Given) -> bool:
    """Whether the end of the window decided, and the log can't have known it."""
    last_ms = past.events[-1].created_at_ms if past.events else 0
    return ending.until_ms is not None and ending.decided_at_ms == ending.until_ms > last_ms


def _shown(endings: Iterable[Ending], only: Sequence[str], count: Counter[str]) -> Iterator[Ending]:
    """Those that `only` leaves, each while it is asked for; all are counted."""
    for ending in endings:
        count[ending.verdict.value] += 1
        if not only or ending.verdict.value in only:
            yield ending


def _print_json(endings: Iterable[Ending], past: Given) -> None:
    early = 0
    for ending in endings:
        early += _ends_early(ending, past)
        say_json(
            {
                "at": iso(ending.at_ms),
                "result": ending.verdict.value,
                "decidedAt": iso(ending.decided_at_ms),
                "decidedBy": ending.decided_by,
            }
        )
    if early:
        warn(f"{past.log_path}: {_EARLY}: {_counted(early, 'check')}")


def _print_text(endings: Iterable[Ending], past: Given, count: Counter[str]) -> None:
    out, template = console(), past.template
    events = f"{_counted(len(past.events), 'event')} of {plain(str(past.log_path))}"
    out.print(Text(f"{template.name} version {template.version}; {events}; times of {past.zone.key}"), soft_wrap=True)
    out.print(Text(f"{'check started':<27}{'result':<9}{'after':<11}decided by", "bold"), soft_wrap=True)
    early = shown = 0
    for ending in endings:
        is_early = _ends_early(ending, past)
        early, shown = early + is_early, shown + 1
        out.print(_line(ending, past, is_early=is_early), soft_wrap=True)
    if early:
        out.print(Text(f"* {_EARLY}"), soft_wrap=True)
    counts = ", ".join(f"{count[result]} {result}" for result in RESULTS)
    hidden = f"; {shown} shown" if shown < count.total() else ""
    out.print(Text(f"{_counted(count.total(), 'check')}: {counts}{hidden}"), soft_wrap=True)


def _line(ending: Ending, past: Given, *, is_early: bool) -> Text:
    result = ending.verdict.value
    line = Text(f"{local(ending.at_ms, past.zone)}  ")
    line.append_text(colored(result)).append(("*" if is_early else "").ljust(9 - len(result)))
    return line.append(f"{_after(ending.decided_at_ms - ending.at_ms):<11}{ending.decided_by}")


def _after(elapsed_ms: int) -> str:
    """How long a check ran: `1d 02:03:04`, without days that are none."""
    minutes, seconds = divmod(elapsed_ms // 1_000, 60)
    days, minutes = divmod(minutes, 1_440)
    clock = f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
    return f"{days}d {clock}" if days else clock


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
