"""Reading template files, one by one or by the folder. Nothing that a file holds raises: it becomes a problem.

Used by all that takes templates from files: the daemon's start and the tools for authors.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from daemon.scalar_columns import column_of
from daemon.strict_yaml import MAX_BYTES, Marks, StrictYamlError, read_strict
from domain.template import Problem, Template, TemplateError, read_template
from domain.template_cases import misses
from domain.template_lint import lint

SUFFIXES = (".yaml", ".yml")
Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class FileProblem:
    """Something wrong at one place of a file. Line and column count from 1; `field` is a dotted path, or empty."""

    file: str
    line: int
    column: int
    field: str
    message: str
    hint: str = ""
    severity: Severity = "error"

    def __str__(self) -> str:
        named = f"{self.field}: " if self.field else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.file}:{self.line}:{self.column}: {named}{self.message}{hint}"


@dataclass(frozen=True, slots=True)
class ReadFile:
    """What a file came to. There is a template exactly if no problem is an error; problems are in the file's order.

    `draft` is the template also where only its examples, or another file of its name and version, stand against it.
    """

    path: Path
    template: Template | None
    problems: tuple[FileProblem, ...] = ()
    draft: Template | None = None

    @property
    def ok(self) -> bool:
        """Whether the template may be used."""
        return not any(problem.severity == "error" for problem in self.problems)


def read_files(paths: Iterable[Path], *, warnings: bool = False) -> list[ReadFile]:
    """Read files, and of folders what ends in .yaml or .yml, sorted. A path that stands twice is read once.

    Of two files with the same name and version of a template the later is not ok.
    """
    files: dict[str, ReadFile] = {}
    for path in paths:
        for read in _read_path(path, warnings=warnings):
            files.setdefault(os.path.abspath(read.path), read)  # noqa: PTH100  a link is not followed here
    return list(_without_twins(files.values()))


def read_file(path: Path, *, warnings: bool = False) -> ReadFile:
    """Read one template and rehearse its examples; with `warnings` also say what is legal and yet probably wrong."""
    try:
        content = _bytes_of(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return _refused(path, f"can't be read: {reason}")
    reading = _Reading(str(path))
    template = reading.draft(content, warnings=warnings)
    problems = tuple(sorted(reading.problems, key=lambda one: (one.line, one.column)))
    read = ReadFile(path, None, problems, draft=template)
    return replace(read, template=template) if read.ok else read


def _read_path(path: Path, *, warnings: bool) -> Iterator[ReadFile]:
    if not _is_folder(path):
        yield read_file(path, warnings=warnings)
        return
    try:
        found = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
    except OSError as error:
        yield _refused(path, f"the folder can't be read: {error.strerror}")
        return
    if not found:
        yield _refused(path, "the folder holds no templates", "their names end in .yaml")
    for file in found:
        yield read_file(file, warnings=warnings)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _refused(path: Path, message: str, hint: str = "") -> ReadFile:
    return ReadFile(path, None, (FileProblem(str(path), 1, 1, "", message, hint),))


def _bytes_of(path: Path) -> bytes:
    """The beginning of a regular file, at most one byte more than a template may have."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ValueError("not a regular file")
    with open(path, "rb", opener=_never_waiting) as opened:  # a Path's own open() takes no opener
        return opened.read(MAX_BYTES + 1) or b""


def _never_waiting(path: str, flags: int) -> int:
    # What was a file a moment ago may be a pipe by now, and some files of the kernel wait for news.
    return os.open(path, flags | os.O_NONBLOCK)


def _without_twins(files: Iterable[ReadFile]) -> Iterator[ReadFile]:
    first: dict[tuple[str, int], Path] = {}
    for read in files:
        if read.template is None:
            yield read
            continue
        name, version = read.template.name, read.template.version
        other = first.setdefault((name, version), read.path)
        if other is read.path:
            yield read
            continue
        where = other.name if other.parent == read.path.parent else str(other)
        hint = f"the first is in {where}; raise the version"
        twice = FileProblem(str(read.path), 1, 1, "", f"{name} version {version} stands twice", hint)
        yield replace(read, template=None, problems=(twice, *read.problems))


@dataclass(slots=True)
class _Reading:
    """One file as it is read: its problems so far, and what is needed to say where they are."""

    file: str
    problems: list[FileProblem] = field(default_factory=list)
    content: object = None
    marks: Marks = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def draft(self, content: bytes, *, warnings: bool) -> Template | None:
        try:
            self.content, self.marks = read_strict(content)
            self.lines = content.decode().removeprefix("\ufeff").split("\n")
            template = read_template(self.content)
        except StrictYamlError as error:
            for one in error.problems:
                self.problems.append(FileProblem(self.file, one.line, one.column, "", one.message, one.hint))
            return None
        except TemplateError as error:
            self.note(error.problems, "error")
            return None
        self.note(_failed_cases(template), "error")
        if warnings:
            self.note(lint(template), "warning")
        return template

    def note(self, problems: Iterable[Problem], severity: Severity) -> None:
        self.problems.extend(self.located(problem, severity) for problem in problems)

    def located(self, problem: Problem, severity: Severity) -> FileProblem:
        path = problem.path
        while path and path not in self.marks:
            path = path[:-1]
        line, start = self.marks.get(path, (1, 1))
        column = self.column_inside(problem, line, start) if path == problem.path and problem.at else None
        message = problem.message if column or problem.at <= 1 else f"{problem.message} (at character {problem.at})"
        name = ".".join(str(part) for part in problem.path)
        return FileProblem(self.file, line, column or start, name, message, problem.hint, severity)

    def column_inside(self, problem: Problem, line: int, start: int) -> int | None:
        value: object = self.content
        for part in problem.path:
            value = value[part] if isinstance(value, dict | list) else None  # type: ignore[index]
        if not isinstance(value, str):
            return None
        outer_spaces = len(value) - len(value.lstrip(" \n"))
        return column_of(self.lines[line - 1], start, value, problem.at + outer_spaces)


def _failed_cases(template: Template) -> Iterator[Problem]:
    for miss in misses(template):
        because = f" ({'; '.join(miss.problems)})" if miss.problems else ""
        message = f"{miss.case.name!r} expects {miss.case.expect}, but the template says {miss.found}{because}"
        yield Problem(("tests", miss.number, "expect"), message)
