import ast
import inspect
from pathlib import Path

import pytest

import daemon
from daemon.app import Outside, build
from daemon.clock import SystemClock
from daemon.opening import open_database
from daemon.probe import POINTS, unobserved
from daemon.settings import Settings, load_settings
from daemon.settings_sources import leaves
from domain.errors import ConfigError

DAEMON = Path(daemon.__file__).parent
TREES = {file: ast.parse(file.read_text(encoding="utf-8")) for file in sorted(DAEMON.rglob("*.py"))}
OFFICES = ("probe", "failpoint", "crash", "chaos", "inject")


@pytest.mark.parametrize("name", ["ROBOTD_FAILPOINTS", "ROBOTD_PROBE", "ROBOTD_CRASH_AT", "ROBOTD_CONSUMER__PROBE"])
def test_a_variable_that_would_arm_a_failpoint_is_refused(name: str) -> None:
    """The environment can't arm a point: such a variable stops the start instead of being read."""
    with pytest.raises(ConfigError, match="unknown variable"):
        load_settings(None, {name: "after_commit=kill"})


@pytest.mark.parametrize("text", ["failpoints: after_commit", "probe: {point: after_commit}"])
def test_a_setting_that_would_arm_a_failpoint_is_refused(tmp_path: Path, text: str) -> None:
    """The configuration file can't arm a point either."""
    file = tmp_path / "robotd.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="unknown setting"):
        load_settings(file, {})


def test_no_setting_speaks_of_failpoints() -> None:
    """The tree of settings has no leaf that could be a switch for them."""
    names = [".".join(path) for path in leaves(Settings)]
    mails = {"mail.probe_address", "mail.probe_is_tagged"}  # of tests of delivery servers
    assert {name for name in names if any(word in name for word in OFFICES)} == mails


def test_the_default_probe_does_nothing() -> None:
    """Whoever builds a daemon without naming a probe gets the one without a body."""
    assert Outside(SystemClock()).probe is unobserved
    assert inspect.signature(open_database).parameters["probe"].default is unobserved
    assert inspect.signature(build).parameters["outside"].default is None
    (function,) = ast.parse(inspect.getsource(unobserved)).body
    assert isinstance(function, ast.AsyncFunctionDef)
    assert [type(statement) for statement in function.body] == [ast.Expr]  # the docstring


def _awaited_points() -> list[str]:
    """The literal of each `await …probe("…")`."""
    awaits = [node.value for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.Await)]
    calls = [value for value in awaits if isinstance(value, ast.Call) and _ends_with_probe(value.func)]
    arguments = [argument for call in calls for argument in call.args]
    assert all(isinstance(argument, ast.Constant) for argument in arguments), "a point is named by a literal"
    return [str(argument.value) for argument in arguments if isinstance(argument, ast.Constant)]


def _ends_with_probe(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name.lstrip("_") == "probe"


def test_every_named_point_is_awaited_and_no_other() -> None:
    """POINTS and the code agree, so a proof that strikes every name strikes every place."""
    assert set(_awaited_points()) == set(POINTS)
    assert len(POINTS) == len(set(POINTS)) >= 12


def test_nothing_but_the_settings_reads_the_environment() -> None:
    """No module of the daemon looks at os.environ beside the settings, so no hidden switch can be read."""
    readers = {
        file.relative_to(DAEMON).as_posix()
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb"}
    }
    asks_a_daemon = "healthcheck.py"  # a process of its own, which no daemon loads
    assert readers <= {"settings.py", "settings_sources.py", "cli.py", "cli_check.py", asks_a_daemon}, readers
    loaders = {file.name for file, tree in TREES.items() if "daemon.healthcheck" in ast.unparse(tree)}
    assert loaders == {"cli.py"}
