"""What the tools for authors print: text for people, JSON for programs, one object for each file."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from daemon.template_files import FileProblem, ReadFile, read_files
from daemon.template_starter import starter
from domain.errors import MessageError, RobotdError
from domain.rehearsal import Rehearsal
from domain.template import Case, Template
from domain.template_cases import rehearse_case
from domain.template_json_schema import json_schema
from domain.template_schema import is_template_name
from domain.wire import JsonObject


def show_problems(paths: Iterable[Path], *, as_json: bool) -> int:
    """Print every problem and warning; 1 if a file is not ok."""
    files = read_files(paths, warnings=True)
    for read in files:
        if as_json:
            _say_json(_file(read))
        else:
            _say_lines(_line(problem) for problem in read.problems)
    if not as_json:
        _say_lines([_closing(files)])
    return int(not all(read.ok for read in files))


def show_examples(paths: Iterable[Path], *, as_json: bool) -> int:
    """Rehearse every example and print how it went; 1 if one came out differently or a file is not ok."""
    files = read_files(paths)
    count: Counter[bool] = Counter()
    for read in files:
        shown = list(_examples(read.draft))
        count.update(bool(example["ok"]) for example in shown)
        if as_json:
            _say_json({**_file(read), "tests": shown})
        else:
            _say_lines(_report(read, shown))
    if not as_json:
        _say_lines([f"{_closing(files)}; {_count(count.total(), 'example')}: {count[True]} pass, {count[False]} miss"])
    return int(not all(read.ok for read in files))


def write_new(name: str, folder: Path) -> int:
    """Write the starting template and say where. Raises MessageError for a bad name, RobotdError for a taken one."""
    if not is_template_name(name):
        raise MessageError(
            f"{ascii(name)[:80]} is no name for a template: use letters, digits, _ and -, first a letter"
        )
    for read in read_files([folder]) if folder.is_dir() else ():
        if read.draft is not None and read.draft.name == name:
            raise RobotdError(f"{_plain(str(read.path))} has a template of this name: raise the version there")
    file = folder / f"{name.lower()}.yaml"
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True)
    except OSError as error:
        raise RobotdError(f"{_plain(str(folder))} is no folder, and can't be made one: {error.strerror}") from error
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(starter(name, folder))
    except FileExistsError:
        raise RobotdError(f"{_plain(str(file))} is there already, and stays as it is: choose another name") from None
    except OSError as error:
        raise RobotdError(f"{_plain(str(file))} can't be written: {error.strerror}") from error
    _say_lines([f"written: {file}", f"now change it, and ask `robotd templates lint {file}` and `... test` again"])
    return 0


def show_schema() -> int:
    """Print the JSON Schema of templates."""
    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
    return 0


def _file(read: ReadFile) -> JsonObject:
    problems = [
        {
            "line": one.line,
            "column": one.column,
            "field": one.field,
            "message": one.message,
            "hint": _utf8(one.hint),
            "severity": one.severity,
        }
        for one in read.problems
    ]
    return {"file": _utf8(str(read.path)), "ok": read.ok, "problems": problems}


def _line(one: FileProblem) -> str:
    place, named = f"{one.file}:{one.line}:{one.column}", f"{one.field}: " if one.field else ""
    return f"{place}: {one.severity}: {named}{one.message}{f' ({one.hint})' if one.hint else ''}"


def _closing(files: Sequence[ReadFile]) -> str:
    bad = sum(not read.ok for read in files)
    counts = Counter(problem.severity for read in files for problem in read.problems)
    found = f"{_count(counts['error'], 'error')}, {_count(counts['warning'], 'warning')}"
    return f"{_count(len(files), 'file')}: {len(files) - bad} ok, {bad} not ok; {found}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _examples(template: Template | None) -> Iterator[JsonObject]:
    if template is not None:
        yield from (_example(case, rehearse_case(template, case)) for case in template.cases)


def _example(case: Case, rehearsal: Rehearsal) -> JsonObject:
    found = rehearsal.check.verdict.value
    step = rehearsal.deciding
    return {
        "name": case.name,
        "ok": found == case.expect,
        "expected": case.expect,
        "found": found,
        "decidedBy": step.decided_by,
        "expression": (step.asked.judgement.decided_by or "") if step.asked is not None else "",
        "problems": list(rehearsal.problems),
    }


def _report(read: ReadFile, examples: Sequence[JsonObject]) -> Iterator[str]:
    template = read.draft
    yield f"{read.path}: {f'{template.name} version {template.version}' if template is not None else 'not read'}"
    for one in examples:
        word = "pass" if one["ok"] else "MISS"
        said = one["found"] if one["ok"] else f"expected {one['expected']}, found {one['found']}"
        yield f"  {word}  {one['name']}: {said}{_reason(one)}"
        problems = one["problems"]
        yield from (f"        {problem}" for problem in (problems if isinstance(problems, list) else ()))
    if template is None or not examples:
        yield from (f"  {_line(problem)}" for problem in read.problems)


def _reason(example: JsonObject) -> str:
    if not example["decidedBy"]:
        return ", nothing has decided yet"
    text = f": {example['expression']}" if example["expression"] else ""
    return f" by {example['decidedBy']}{text}"


def _say_json(content: JsonObject) -> None:
    sys.stdout.write(json.dumps(content) + "\n")


def _say_lines(lines: Iterable[str]) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    for line in lines:
        sys.stdout.write(_plain(line).encode(encoding, "backslashreplace").decode(encoding) + "\n")


def _utf8(text: str) -> str:
    """Names of files are bytes: what is no text in them is written out, because JSON has no way to carry it."""
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(text: str) -> str:
    """The name of a file may hold anything: what a terminal would obey is written out."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
