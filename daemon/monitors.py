"""The monitoring rules of a file: read strictly, read again when the file changes, planned anew after each change.

A file with a mistake changes nothing: the rules of the last good one stay in force.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog

from daemon.gate import Gate
from daemon.log import LogEvent
from daemon.strict_yaml import Limits, Marks, StrictYamlError, read_strict
from daemon.template_files import FileProblem, Severity
from domain.errors import Conflict, Unavailable
from domain.monitor import Rule
from domain.monitor_schema import ReadRules, read_rules
from domain.template_schema import Problem

LIMITS = Limits(max_bytes=524_288, max_nodes=20_000)  # about a thousand rules
PLAN_EVERY_S = 300.0  # finds what was forgotten: an opening whose timer is a dead letter, a session that nobody wakes

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ReadMonitors:
    """What a file came to. There are rules exactly if no problem is an error; problems are in the file's order."""

    path: Path
    rules: ReadRules | None
    problems: tuple[FileProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why there are no bytes."""

    reason: str


def read_monitors(path: Path) -> ReadMonitors:
    """Read a file of monitoring rules. Raises ConfigError alone, where the machine has no time zones."""
    return _read(path, _content_of(path))


def _content_of(path: Path) -> bytes | Unreadable:
    try:
        if path.exists() and not path.is_file():
            return Unreadable("not a regular file")
        with path.open("rb") as opened:
            return opened.read(LIMITS.max_bytes + 1)
    except (OSError, ValueError) as error:
        return Unreadable(error.strerror or "unknown error" if isinstance(error, OSError) else str(error))


def _read(path: Path, content: bytes | Unreadable) -> ReadMonitors:
    if isinstance(content, Unreadable):
        return ReadMonitors(path, None, (FileProblem(str(path), 1, 1, "", f"can't be read: {content.reason}"),))
    try:
        tree, marks = read_strict(content, limits=LIMITS)
    except StrictYamlError as error:
        found = [FileProblem(str(path), one.line, one.column, "", one.message, one.hint) for one in error.problems]
        return ReadMonitors(path, None, tuple(found))
    rules, problems = read_rules(tree)
    errors = _located(path, problems, marks, "error")
    warnings = _located(path, () if rules is None else rules.warnings, marks, "warning")
    return ReadMonitors(path, rules, (*errors, *warnings))


def _located(path: Path, problems: Iterable[Problem], marks: Marks, severity: Severity) -> tuple[FileProblem, ...]:
    found = [_at(path, problem, marks, severity) for problem in problems]
    return tuple(sorted(found, key=lambda one: (one.line, one.column)))


def _at(path: Path, problem: Problem, marks: Marks, severity: Severity) -> FileProblem:
    place = problem.path
    while place and place not in marks:
        place = place[:-1]
    line, column = marks.get(place, (1, 1))
    name = ".".join(str(part) for part in problem.path)
    return FileProblem(str(path), line, column, name, problem.message, problem.hint, severity)


class FileMonitors:
    """The port `MonitorRules` over one file; without a file there are no rules."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._rules: tuple[Rule, ...] | None = () if path is None else None
        self._seen: bytes | Unreadable | None = None
        self._taken: bytes | Unreadable | None = None
        self._told: frozenset[str] = frozenset()

    def current(self) -> tuple[Rule, ...] | None:
        """Every enabled rule of the last good file; None while there was none."""
        return self._rules

    def look(self) -> bool:
        """Read the file again. True if the rules are others now; each problem is logged once while it lasts.

        What is read is taken when it is the first, or was the same at the look before: the beginning of a file that is
        still being written may be a file of fewer rules.
        """
        if self._path is None:
            return False
        content, before = _content_of(self._path), self._seen
        self._seen = content
        if content == self._taken or (before is not None and content != before):
            return False
        self._taken = content
        return self._take(_read(self._path, content))

    def _take(self, read: ReadMonitors) -> bool:
        errors = [str(problem) for problem in read.problems if problem.severity == "error"]
        for problem in errors:
            if problem not in self._told:
                _log.error(LogEvent.MONITORS_REFUSED, reason=problem)
        self._told = frozenset(errors)
        if read.rules is None or read.rules.rules == self._rules:
            return False
        self._rules = read.rules.rules
        _log.info(LogEvent.MONITORS_LOADED, rules=len(self._rules), disabled=read.rules.disabled)
        return True


class MonitorKeeper:
    """Looks at the file again and again, and plans when it changed, when planning failed, and every few minutes."""

    def __init__(
        self, rules: FileMonitors, plan: Callable[[], Awaitable[None]], gate: Gate, *, look_every_s: float
    ) -> None:
        self._rules = rules
        self._plan = plan
        self._gate = gate
        self._look_every_s = look_every_s
        self._plan_at_s = 0.0

    async def run(self) -> None:
        """For ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._gate.wait()
            if await asyncio.to_thread(self._rules.look) or loop.time() >= self._plan_at_s:
                self._plan_at_s = loop.time() + PLAN_EVERY_S if await self._has_planned() else 0.0
            await asyncio.sleep(self._look_every_s)

    async def _has_planned(self) -> bool:
        try:
            await self._plan()
        except Unavailable as error:
            self._gate.lost(error.dependency, str(error))
            return False
        except Conflict:  # another replica planned the same at this moment
            return False
        return True
