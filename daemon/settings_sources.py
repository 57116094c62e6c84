"""Where settings come from, weakest first: the YAML file, the folder of secrets, the environment.

A source is read into a flat mapping from path to value and origin, so that merging is an update and every problem can
say where it stands: file, line and column, variable, or secret file. Nothing unknown is skipped in silence.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from daemon.strict_yaml import Marks, StrictYamlError, read_strict
from domain.errors import ConfigError

PREFIX = "ROBOTD_"
CONFIG_VARIABLE = "ROBOTD_CONFIG"
SECRETS_VARIABLE = "ROBOTD_SECRETS_DIR"
DEFAULT_FILE = Path("robotd.yaml")

# A cluster puts these into every container beside a service called robotd or robotd-something.
_SERVICE_LINK = re.compile(
    r"ROBOTD_(?:[A-Z0-9]+_)*(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9]+)*|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)?)?)"
)
_LONGEST_SHOWN = 60

SettingPath = tuple[str, ...]
Fields = Mapping[SettingPath, FieldInfo]
Tree = TypeVar("Tree", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from: `where` is `robotd.yaml:3:9`, the name of a variable, or the path of a secret file."""

    kind: Literal["default", "file", "secret", "environment"]
    where: str


@dataclass(frozen=True, slots=True)
class Found:
    """A value as a source holds it, not yet checked."""

    value: object
    origin: Origin


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `paths` are the settings that it is about; `shown` is the bad value unless secret."""

    paths: tuple[SettingPath, ...]
    where: str
    text: str
    shown: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        about = ", ".join(dotted(path) for path in self.paths)
        place = f"{about} ({self.where})" if about else self.where
        got = f", got {self.shown}" if self.shown is not None else ""
        return f"{place}: {self.text}{got}.{f' {self.hint}' if self.hint else ''}"


class SettingsError(ConfigError):
    """The configuration is not usable; holds every problem that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = "1 problem in the configuration:" if count == 1 else f"{count} problems in the configuration:"
        super().__init__("\n".join([head, *(f"  {problem}" for problem in self.problems)]))


def dotted(path: SettingPath) -> str:
    """`consumer.wait_s`."""
    return ".".join(path)


def variable(path: SettingPath) -> str:
    """`ROBOTD_CONSUMER__WAIT_S`."""
    return PREFIX + "__".join(path).upper()


def leaves(section: type[BaseModel], above: SettingPath = ()) -> dict[SettingPath, FieldInfo]:
    """Every single setting by its path, in the order of the tree."""
    found: dict[SettingPath, FieldInfo] = {}
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= leaves(kind, (*above, name))
        else:
            found[*above, name] = field
    return found


def is_secret(field: FieldInfo) -> bool:
    """Whether the value of this setting must not be shown."""
    return "SecretStr" in str(field.annotation)


def gather(
    config_file: Path | None, environ: Mapping[str, str], fields: Fields
) -> tuple[dict[SettingPath, Found], list[Problem]]:
    """All sources, merged. The problems are those of reading; whether a value is right is checked later."""
    problems: list[Problem] = []
    named = config_file or (Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    found: dict[SettingPath, Found] = {}
    for source in (
        _from_file(named, fields),
        _from_secrets(environ.get(SECRETS_VARIABLE), fields),
        _from_environment(environ, fields),
    ):
        for item in source:
            if isinstance(item, Problem):
                problems.append(item)
            else:
                found[item[0]] = item[1]
    return found, problems


_Items = Iterator[tuple[SettingPath, Found] | Problem]


def _from_file(named: Path | None, fields: Fields) -> _Items:
    file = named or DEFAULT_FILE
    if named is None and not file.exists():
        return
    text = b""
    try:
        text = file.read_bytes()
        tree, marks = read_strict(text)
    except OSError as error:
        yield _unreadable(file, error)
    except StrictYamlError as error:
        lines = text.decode("utf-8", "replace").split("\n")
        for problem in error.problems:
            message = _without_secrets(problem.message, lines[problem.line - 1 : problem.line], fields)
            yield Problem((), f"{file}:{problem.line}:{problem.column}", message, hint=problem.hint or None)
    else:
        sections = {path[:depth] for path in fields for depth in range(1, len(path))}
        yield from _from_tree(tree, (), fields, sections, _Places(str(file), marks))


def _without_secrets(message: str, lines: list[str], fields: Fields) -> str:
    """The message of a reader that quotes what it can't read, which on some lines is a password."""
    secret = {path[-1] for path, field in fields.items() if is_secret(field)}
    is_safe = not any(name in line for line in lines for name in secret)
    return message if is_safe else re.sub(r"(['\"]).*\1", "the value", message, flags=re.DOTALL)


class _Places:
    """Where in a file each path stands."""

    def __init__(self, file: str, marks: Marks) -> None:
        self._file = file
        self._marks = marks

    def __getitem__(self, path: SettingPath) -> str:
        mark = self._marks.get(path)
        return f"{self._file}:{mark[0]}:{mark[1]}" if mark else self._file


def _from_tree(
    tree: Mapping[str, object], above: SettingPath, fields: Fields, sections: set[SettingPath], places: _Places
) -> _Items:
    for name, value in tree.items():
        path = (*above, str(name))
        if path in sections:
            if isinstance(value, dict):
                yield from _from_tree(value, path, fields, sections, places)
            elif value is not None:  # a section whose lines are all commented out reads as null
                yield Problem((path,), places[path], "is a section, not a single value")
        elif path not in fields:
            yield Problem((path,), places[path], "unknown setting", hint=_meant(dotted(path), map(dotted, fields)))
        elif isinstance(value, dict | list):
            yield Problem((path,), places[path], "is a single value, not a section or a list")
        else:
            yield path, Found(value, Origin("file", places[path]))


def _from_secrets(folder: str | None, fields: Fields) -> _Items:
    if not folder:
        return
    try:
        files = sorted(file for file in Path(folder).iterdir() if file.is_file() and not file.name.startswith("."))
    except OSError as error:
        yield _unreadable(Path(folder), error)
        return
    seen: set[SettingPath] = set()
    for file in files:
        path = tuple(file.name.replace("__", ".").split("."))
        if path not in fields:
            yield Problem((), str(file), "unknown secret", hint=_meant(dotted(path), map(dotted, fields)))
        elif path in seen:
            yield Problem((path,), str(file), "set by two files of the folder")
        else:
            seen.add(path)
            yield _secret(path, file)


def _secret(path: SettingPath, file: Path) -> tuple[SettingPath, Found] | Problem:
    try:
        text = file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        return _unreadable(file, error)
    if not text:
        return Problem((path,), str(file), "the file is empty")
    return path, Found(text, Origin("secret", str(file)))


def _from_environment(environ: Mapping[str, str], fields: Fields) -> _Items:
    paths = {variable(path): path for path in fields}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in {CONFIG_VARIABLE, SECRETS_VARIABLE}:
            continue
        if name in paths:
            if environ[name]:  # an empty variable counts as unset, as compose files write it
                yield paths[name], Found(environ[name], Origin("environment", name))
        elif not _SERVICE_LINK.fullmatch(name):
            known = [it.removeprefix(PREFIX) for it in (*paths, CONFIG_VARIABLE, SECRETS_VARIABLE)]
            hint = _meant(name.removeprefix(PREFIX).upper(), known, PREFIX)
            yield Problem((), _printable(name), "unknown variable", hint=hint)


def _meant(written: str, known: Iterable[str], prefix: str = "") -> str | None:
    close = difflib.get_close_matches(written, list(known), n=1, cutoff=0.6)
    return f"Did you mean {prefix}{close[0]}?" if close else None


def _printable(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode("ascii")


def _unreadable(file: Path, error: OSError | UnicodeDecodeError) -> Problem:
    why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
    return Problem((), str(file), f"can't be read: {why}")


def checked(model: type[Tree], found: Mapping[SettingPath, Found], problems: list[Problem]) -> Tree:
    """The model with these values. Raises SettingsError with `problems` and everything that the model refuses."""
    try:
        settings = model.model_validate(_tree(found))
    except ValidationError as error:
        raise SettingsError([*problems, *_refused(model, error, found)]) from None
    if problems:
        raise SettingsError(problems)
    return settings


def _refused(model: type[Tree], error: ValidationError, found: Mapping[SettingPath, Found]) -> list[Problem]:
    fields = leaves(model)
    problems = [_refusal(it, found, fields) for it in error.errors(include_url=False)]
    wrong = {path for problem in problems for path in problem.paths} & found.keys()
    if wrong:  # pydantic compares settings only where each is right in itself: look at the others without these
        rest = {path: value for path, value in found.items() if path not in wrong}
        try:
            model.model_validate(_tree(rest))
        except ValidationError as again:
            problems += [it for it in _refused(model, again, rest) if wrong.isdisjoint(it.paths)]
    return problems


def _refusal(error: ErrorDetails, found: Mapping[SettingPath, Found], fields: Fields) -> Problem:
    text = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    named = error.get("ctx", {}).get("paths")
    paths = tuple(tuple(path.split(".")) for path in named) if named else (tuple(map(str, error["loc"])),)
    where = ", ".join(found[path].origin.where if path in found else "default" for path in paths)
    if named:
        return Problem(paths, where, text)
    path = paths[0]
    field = fields.get(path)
    shown = None if field is None or is_secret(field) or path not in found else shown_value(found[path].value)
    return Problem(paths, where, text, shown, field.description if field else None)


def shown_value(value: object) -> str:
    """A value as a person may see it: short, on one line, and without the password of a URL."""
    text = value if isinstance(value, str) else str(value)
    scheme, mark, rest = text.partition("://")
    if mark and "@" in rest:
        user = re.split("[:@]", rest, maxsplit=1)[0]
        text = f"{scheme}://{user}:…@{rest.rpartition('@')[2]}" if ":" in rest.rpartition("@")[0] else text
    short = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
    return repr(short) if isinstance(value, str) else short


def _tree(found: Mapping[SettingPath, Found]) -> dict[str, object]:
    tree: dict[str, object] = {}
    for path, value in found.items():
        node = tree
        for name in path[:-1]:
            inner = node.setdefault(name, {})
            assert isinstance(inner, dict)  # noqa: S101  a section never holds a value: `gather` saw to it
            node = inner
        node[path[-1]] = value.value
    return tree
