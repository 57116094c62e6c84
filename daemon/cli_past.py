"""What `replay` and `explain` share: a template, a log of events and times of their own, read or refused; and text."""

import json
import sys
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rich.console import Console
from rich.text import Text

from daemon.event_log import BadTime, EventLog, read_log, read_time
from daemon.template_files import read_file
from domain.errors import MessageError
from domain.status_check import Event
from domain.template import Template
from domain.wire import JsonObject

STYLES = {"PASS": "green", "FAIL": "red", "UNKNOWN": "yellow", "PENDING": "dim"}


class Unusable(Exception):  # noqa: N818  a word about files, told to a person
    """A template or a log that nothing can be decided with. `problems` are one object for each."""

    def __init__(self, sentence: str, problems: list[JsonObject], lines: list[str]) -> None:
        super().__init__(sentence)
        self.problems = problems
        self.lines = lines


@dataclass(frozen=True, slots=True)
class Given:
    """A template and a log that can be used. `log_path` is for messages."""

    template: Template
    events: tuple[Event, ...]
    zone: ZoneInfo
    log_path: Path


def given(template_path: Path, log_path: Path, zone: ZoneInfo) -> Given:
    """Read both. Raises Unusable with every problem; warnings go to stderr."""
    read = read_file(template_path)
    if read.template is None:
        problems: list[JsonObject] = [
            {"line": one.line, "column": one.column, "field": one.field, "message": one.message, "hint": one.hint}
            for one in read.problems
        ]
        raise Unusable(f"{template_path}: the template can't be used", problems, [str(one) for one in read.problems])
    log = read_log(log_path, zone)
    if log.problems:
        raise _bad_rows(log_path, log)
    for warning in (*log.warnings, *_strangers(read.template, log)):
        warn(f"{log_path}: {warning}")
    return Given(read.template, log.events, zone, log_path)


def _bad_rows(path: Path, log: EventLog) -> Unusable:
    problems: list[JsonObject] = [{"row": one.row, "field": one.field, "message": one.message} for one in log.problems]
    lines = [f"{path}:{one.row}: {f'{one.field}: ' if one.field else ''}{one.message}" for one in log.problems]
    rows = len({one.row for one in log.problems})
    return Unusable(f"{path}: {rows} bad {'row' if rows == 1 else 'rows'}, nothing was decided", problems, lines)


def _strangers(template: Template, log: EventLog) -> list[str]:
    names = template.event_names
    if any(event.name in names for event in log.events):
        return []
    what = "holds none of the events that the template depends on" if log.events else "holds no events"
    return [f"{what} ({', '.join(names)}): all is silence"]


def refused(error: Unusable, *, as_json: bool) -> int:
    """Say every problem, to programs on stdout, to people on stderr. Returns the exit code."""
    if as_json:
        say_json({"error": str(error), "exitCode": 1, "problems": error.problems})
    else:
        for line in (*error.lines, str(error)):
            _to_stderr(line)
    return 1


def zone_of(name: str) -> ZoneInfo:
    """The time zone of this name. Raises MessageError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise MessageError(f"--timezone: {ascii(name)[:80]} is no time zone, such as Europe/Amsterdam") from None


def time_of(option: str, text: str, zone: ZoneInfo) -> int:
    """Milliseconds since 1970 of an option's time. Raises MessageError."""
    try:
        return read_time(text, zone)[0]
    except BadTime as error:
        raise MessageError(f"{option}: {error}") from None


def local(at_ms: int, zone: tzinfo) -> str:
    """A time for people: `2025-11-25 09:40:00 +0100`, always 25 characters."""
    return f"{datetime.fromtimestamp(at_ms // 1_000, zone):%Y-%m-%d %H:%M:%S %z}"


def plain(text: str) -> str:
    """What a terminal would obey is written out; names of files may hold anything."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def colored(result: str) -> Text:
    """A result in its colour."""
    return Text(result, STYLES.get(result, ""))


def console() -> Console:
    """Text for people: nothing in it is markup, and nothing is coloured that we did not colour."""
    return Console(highlight=False, markup=False, emoji=False)


def say_json(content: JsonObject) -> None:
    """One object on one line."""
    sys.stdout.write(json.dumps(content) + "\n")


def warn(sentence: str) -> None:
    """A word that changes nothing: to stderr, so that programs never meet it."""
    _to_stderr(f"warning: {sentence}")


def _to_stderr(line: str) -> None:
    encoding = sys.stderr.encoding or "utf-8"
    sys.stderr.write(plain(line).encode(encoding, "backslashreplace").decode(encoding) + "\n")
