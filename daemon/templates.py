"""Loading templates from a folder of YAML files. One bad file never stops the others; all problems come together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.strict_yaml import MAX_BYTES, Marks, StrictYamlError, read_strict
from domain.template import Problem, Template, TemplateError, read_template
from domain.template_cases import misses

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a folder holds. A problem reads `file:line:column: field: message (hint)`."""

    templates: tuple[Template, ...]
    problems: tuple[str, ...]


class FileTemplates:
    """The templates of loaded files, as handlers ask for them."""

    def __init__(self, templates: Sequence[Template]) -> None:
        self._versions: Mapping[tuple[str, int], Template] = {(one.name, one.version): one for one in templates}
        by_version = sorted((one for one in templates if one.is_active), key=lambda one: one.version)
        self._newest: Mapping[str, Template] = {one.name: one for one in by_version}

    async def active(self, name: str) -> Template | None:
        """The newest active version of a template, or None."""
        return self._newest.get(name)

    async def version(self, name: str, version: int) -> Template | None:
        """One version, active or not."""
        return self._versions.get((name, version))


def load_folder(path: Path) -> LoadReport:
    """Read every template of a folder and run the examples inside them. Never raises for what a file holds."""
    templates: dict[tuple[str, int], Template] = {}
    problems: list[str] = []
    files: dict[tuple[str, int], str] = {}
    for file in _files(path, problems):
        template = _load_file(file, problems)
        if template is None:
            continue
        identity = (template.name, template.version)
        if identity in templates:
            hint = f"the first is in {files[identity]}; raise the version"
            problems.append(_line(file.name, (1, 1), f"{template.name} version {template.version} stands twice", hint))
            continue
        templates[identity] = template
        files[identity] = file.name
    return LoadReport(tuple(templates.values()), tuple(problems))


def _files(path: Path, problems: list[str]) -> Iterator[Path]:
    try:
        found = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
    except OSError as error:
        problems.append(f"{path}: the folder can't be read ({error.strerror})")
        return
    if not found:
        problems.append(f"{path}: the folder holds no templates (files that end in .yaml)")
    yield from found


def _load_file(file: Path, problems: list[str]) -> Template | None:
    marks: Marks = {}
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_BYTES + 1)
        content, marks = read_strict(text, file=file.name)
        template = read_template(content)
    except OSError as error:
        problems.append(_line(file.name, (1, 1), f"can't be read: {error.strerror}"))
    except StrictYamlError as error:
        problems.extend(_line(file.name, (one.line, one.column), one.message, one.hint) for one in error.problems)
    except TemplateError as error:
        problems.extend(_located(file.name, one, marks) for one in error.problems)
    else:
        failed = [_located(file.name, one, marks) for one in _failed_cases(template)]
        problems.extend(failed)
        return None if failed else template
    return None


def _failed_cases(template: Template) -> Iterator[Problem]:
    for miss in misses(template):
        because = f" ({'; '.join(miss.problems)})" if miss.problems else ""
        message = f"{miss.case.name!r} expects {miss.case.expect}, but the template says {miss.found}{because}"
        yield Problem(("tests", miss.number, "expect"), message)


def _located(file: str, problem: Problem, marks: Marks) -> str:
    path = problem.path
    while path and path not in marks:
        path = path[:-1]
    name = ".".join(str(part) for part in problem.path)
    message = f"{name}: {problem.message}" if name else problem.message
    return _line(file, marks.get(path, (1, 1)), message, problem.hint)


def _line(file: str, at: tuple[int, int], message: str, hint: str = "") -> str:
    return f"{file}:{at[0]}:{at[1]}: {message}{f' ({hint})' if hint else ''}"
