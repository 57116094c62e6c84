"""What holds for every file of the tree, checked with nothing but Python: sizes, rooms, sentences, no traces."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("domain", "handlers", "daemon", "localstack")
MAX_LINES, MAX_BODY_LINES = 350, 40
MAY_IMPORT = {"domain": {"domain", "pydantic", "asteval"}, "handlers": {"domain", "handlers", "pydantic"}}
WORLD = {
    "asyncio",
    "http",
    "io",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "socket",
    "sqlite3",
    "subprocess",
    "urllib",
}
# Put together here, because this file is one of those that are searched.
HOSTS = tuple(".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("registry", "npmjs")))
A_MACHINE = re.compile(r"(?<![\w.$}:])/(?:home|root|Users|work|mnt)/\w")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that is or would be committed."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(  # noqa: S603  git itself
        [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple(ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file())


def sources(*rooms: str) -> Iterator[tuple[str, str]]:
    """Name and text of each Python file of some rooms."""
    for room in rooms:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def functions(text: str) -> Iterator[Function]:
    """Every function of a module, methods and inner ones included."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Function):
            yield node


def imports(text: str) -> set[str]:
    """Top-level names that a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import():
                found |= {alias.name.partition(".")[0] for alias in node.names}
            case ast.ImportFrom():
                found.add((node.module or "").partition(".")[0])
    return found


def test_no_module_is_too_long_to_be_read() -> None:
    """A source module has at most 350 lines."""
    long = {name: lines for name, text in sources(*ROOMS) if (lines := text.count("\n")) > MAX_LINES}
    assert long == {}


def test_no_function_is_too_long_to_be_seen_at_once() -> None:
    """A function's body has at most 40 lines."""
    long = [
        f"{name}:{function.lineno} {function.name}: {size}"
        for name, text in sources(*ROOMS)
        for function in functions(text)
        if (size := (function.end_lineno or 0) - function.body[0].lineno + 1) > MAX_BODY_LINES
    ]
    assert long == []


def test_every_test_says_in_a_sentence_what_it_proves() -> None:
    """Each test function has a docstring of one paragraph that ends as a sentence does."""
    silent = [
        f"{name}:{function.lineno} {function.name}"
        for name, text in sources("tests")
        for function in functions(text)
        if function.name.startswith("test_")
        and ("\n\n" in (said := ast.get_docstring(function) or "") or not said.endswith((".", "?", "!")))
    ]
    assert silent == []


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_an_inner_room_knows_nothing_of_the_world(room: str) -> None:
    """`domain` and `handlers` import each other one way, pydantic, asteval, and what of Python does no I/O."""
    allowed = MAY_IMPORT[room] | (set(sys.stdlib_module_names) - WORLD)
    foreign = {name: sorted(found) for name, text in sources(room) if (found := imports(text) - allowed)}
    assert foreign == {}


def test_the_daemon_runs_without_tests_and_simulators() -> None:
    """No module of the image imports what is not in it; only the demo is looked for by name, when it is asked for."""
    inward = {name for name, text in sources("domain", "handlers", "daemon") if imports(text) & {"localstack", "tests"}}
    assert inward == set()


def test_no_file_names_a_package_registry_or_a_machine() -> None:
    """What is committed works on any machine: no absolute path of one, no address of a registry or mirror."""
    traces = []
    for path in tracked():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(lines, 1):
            if any(host in line for host in HOSTS) or A_MACHINE.search(line):
                traces.append(f"{path.relative_to(ROOT)}:{number}")
    assert traces == []


def test_the_version_is_the_one_of_the_changelog() -> None:
    """The changelog speaks of the version that pyproject.toml has."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{version}]" in changelog or f"Becomes {version}," in changelog


def test_nobody_else_owns_our_package_names() -> None:
    """No other distribution brings a package of our names, as python-daemon would, and it is ours that is imported."""
    owners = packages_distributions()
    for package in ("daemon", "handlers", "domain"):
        assert set(owners.get(package, ["robotd"])) == {"robotd"}, package
        found = find_spec(package)
        assert found is not None
        assert found.origin == str(ROOT / package / "__init__.py")
