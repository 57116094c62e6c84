"""Reading YAML so that it means one thing: plain mappings, lists, text, numbers and true or false, nothing else.

Works on the parser's events, never on its objects: no anchors, aliases, tags, directives, second documents, duplicate
keys or deep nesting, and no scalar that two readers could take for different types. Every value keeps its place.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import yaml

from domain.errors import RobotdError

MAX_BYTES, MAX_DEPTH, MAX_NODES, MAX_PROBLEMS = 65_536, 8, 2_000, 20

Path = tuple[str | int, ...]
Marks = Mapping[Path, tuple[int, int]]

_QUOTES = "put it in quotes"
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,14})\.[0-9]{1,9}")
# What some reader of YAML takes for something else than text.
_NOT_TEXT = frozenset(["y", "yes", "n", "no", "on", "off", "true", "false", "null", "none", "nan", "inf", "infinity"])
_BROKEN = (yaml.YAMLError, ValueError, ArithmeticError, LookupError, RecursionError, StopIteration)


@dataclass(frozen=True, slots=True)
class YamlProblem:
    """Something wrong at one place."""

    line: int
    column: int
    message: str
    hint: str = ""


class StrictYamlError(RobotdError):
    """The text can't be read as strict YAML."""

    def __init__(self, problems: list[YamlProblem], file: str = "") -> None:
        where = f"{file}:" if file else ""
        super().__init__("; ".join(f"{where}{one.line}:{one.column}: {one.message}" for one in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a file may hold."""

    max_bytes: int = MAX_BYTES
    max_nodes: int = MAX_NODES


def read_strict(text: str | bytes, *, file: str = "", limits: Limits | None = None) -> tuple[dict[str, object], Marks]:
    """Read one mapping, and where each path of it stands as (line, column), from 1. Raises StrictYamlError.

    An empty value reads as None, an empty file as an empty mapping.
    """
    limits = limits or Limits()
    decoded, problem = _decoded(text, limits.max_bytes)
    if problem is None:
        problem = _first_odd_character(decoded)
    if problem is not None:
        raise StrictYamlError([problem], file)
    reading = _Reading(limits.max_nodes)
    try:
        value = reading.document(_events(decoded))
    except _Refused as refused:
        reading.problems.append(refused.problem)
    except _BROKEN as error:
        reading.problems.append(_from_parser(error))
    else:
        if value is not None and not isinstance(value, dict):
            reading.problems.append(YamlProblem(1, 1, "expected 'key: value' lines at the top"))
    if reading.problems:
        raise StrictYamlError(reading.problems, file)
    return (value if isinstance(value, dict) else {}), reading.marks


class _Refused(Exception):  # noqa: N818  ends the reading; the problem inside is what is reported
    def __init__(self, problem: YamlProblem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def _decoded(text: str | bytes, max_bytes: int) -> tuple[str, YamlProblem | None]:
    try:
        as_bytes = text.encode() if isinstance(text, str) else text
        if len(as_bytes) > max_bytes:
            return "", YamlProblem(1, 1, f"the file is larger than {max_bytes // 1024} KiB")
        decoded = as_bytes.decode()
    except UnicodeError:
        return "", YamlProblem(1, 1, "the file is not UTF-8 text")
    return decoded.removeprefix("\ufeff").replace("\r\n", "\n"), None


def _first_odd_character(text: str) -> YamlProblem | None:
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("%"):
            return YamlProblem(number, 1, "directives are not allowed", "remove the line that begins with %")
        if not line.isprintable():
            column = next(column for column, character in enumerate(line, 1) if not character.isprintable())
            hint = "use spaces" if line[column - 1] == "\t" else ""
            return YamlProblem(number, column, f"the character {line[column - 1]!a} is not allowed", hint)
    return None


class _Loader(yaml.SafeLoader):
    def fetch_flow_collection_start(self, TokenClass: type[yaml.Token]) -> None:  # noqa: N803  PyYAML's own name
        # The scanner reads far ahead of the events, in time that grows with the square of the open brackets.
        if self.flow_level >= MAX_DEPTH:
            raise _Refused(_too_deep(self.line + 1, self.column + 1))
        super().fetch_flow_collection_start(TokenClass)


def _too_deep(line: int, column: int) -> YamlProblem:
    return YamlProblem(line, column, f"nested deeper than {MAX_DEPTH} levels")


def _events(text: str) -> Iterator[yaml.Event]:
    yield from yaml.parse(text, Loader=_Loader)


def _from_parser(error: Exception) -> YamlProblem:
    mark = getattr(error, "problem_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    message = str(getattr(error, "problem", None) or "can't be read")
    return YamlProblem(line, column, f"not YAML: {ascii(message)[1:-1][:120]}")


def _place(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _at(event: yaml.Event, message: str, hint: str = "") -> YamlProblem:
    return YamlProblem(*_place(event), message, hint)


@dataclass(slots=True)
class _Reading:
    """One walk over the events of one text."""

    max_nodes: int
    marks: dict[Path, tuple[int, int]] = field(default_factory=dict)
    problems: list[YamlProblem] = field(default_factory=list)
    nodes: int = 0

    def document(self, events: Iterator[yaml.Event]) -> object:
        value: object = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _Refused(_at(event, "a second document begins", "one document per file"))
            elif isinstance(event, yaml.NodeEvent):
                value = self.value(event, events, ())
        return value

    def value(self, event: yaml.Event, events: Iterator[yaml.Event], path: Path) -> object:
        self.nodes += 1
        if self.nodes > self.max_nodes:
            raise _Refused(_at(event, f"more than {self.max_nodes} values"))
        self._refuse_cleverness(event)
        self.marks.setdefault(path, _place(event))
        if isinstance(event, yaml.ScalarEvent):
            self.marks[path] = _place(event)
            return self.scalar(event)
        if len(path) >= MAX_DEPTH:
            raise _Refused(_too_deep(*_place(event)))
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(events, path)
        return self.sequence(events, path)

    def mapping(self, events: Iterator[yaml.Event], path: Path) -> dict[str, object]:
        found: dict[str, object] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = self.key(event)
            below = (*path, key)
            if key in found:
                self._complain(event, f"{key[:64]!a} stands twice", f"first in line {self.marks[below][0]}")
            self.marks[below] = _place(event)
            found[key] = self.value(next(events), events, below)
        return found

    def sequence(self, events: Iterator[yaml.Event], path: Path) -> list[object]:
        found: list[object] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            found.append(self.value(event, events, (*path, len(found))))
        return found

    def key(self, event: yaml.Event) -> str:
        self._refuse_cleverness(event)
        if not isinstance(event, yaml.ScalarEvent):
            raise _Refused(_at(event, "a key must be text"))
        key = self.scalar(event)
        if not isinstance(key, str) or not 1 <= len(key) <= 128 or "\n" in key:  # noqa: PLR2004  longer is no name
            self._complain(event, "a key must be a name of at most 128 characters", _QUOTES)
            return event.value[:128]
        return key

    def scalar(self, event: yaml.ScalarEvent) -> object:
        text = event.value
        lines = text.split("\n") if event.style in ("|", ">") else [text]
        if not all(line.isprintable() for line in lines):
            self._complain(event, "the text holds a character that can't be shown")
        if event.style is not None:
            return text
        return self._plain(event, text)

    def _plain(self, event: yaml.ScalarEvent, text: str) -> object:
        if text in ("true", "false"):
            return text == "true"
        if text == "":
            return None
        if text != "-0" and _INTEGER.fullmatch(text):
            return int(text)
        if _DECIMAL.fullmatch(text):
            return float(text)
        if text.lower() in _NOT_TEXT or not (text[0].isalpha() or text[0] in "_/("):
            self._complain(event, f"{text[:40]!a} could be read in more than one way", _QUOTES)
        return text

    def _refuse_cleverness(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.AliasEvent):
            raise _Refused(_at(event, "aliases are not allowed", "write the value out"))
        if getattr(event, "anchor", None) is not None:
            raise _Refused(_at(event, "anchors are not allowed", "write the value out each time"))
        if getattr(event, "tag", None) is not None:
            raise _Refused(_at(event, "tags are not allowed", "a text that begins with ! needs quotes"))

    def _complain(self, event: yaml.Event, message: str, hint: str = "") -> None:
        self.problems.append(_at(event, message, hint))
        if len(self.problems) >= MAX_PROBLEMS:
            raise _Refused(_at(event, "too many problems, the rest is not read"))
