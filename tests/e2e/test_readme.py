"""The README is run: its commands, its picture of the demo, its variables, its make targets."""

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.settings import Settings
from daemon.settings_sources import leaves, variable
from tests.e2e.processes import BOUND_S, ROOT, Neighbours, line_with, neighbours, process, robotd

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(sh|console|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SLOW = {"demo", "test"}


def lines_of(*kinds: str) -> list[str]:
    """The lines of the blocks of some kinds, without comments and prompts."""
    blocks = [body for kind, body in BLOCK.findall(README) if kind in kinds]
    lines = [line.partition("  #")[0].removeprefix("$ ").strip() for body in blocks for line in body.splitlines()]
    return [line for line in lines if line]


def commands(program: str) -> list[list[str]]:
    """The arguments of each call of a program, in the README's order."""
    return [words[1:] for line in lines_of("sh", "console") if (words := shlex.split(line))[0] == program]


def run_line(around: Neighbours, arguments: list[str]) -> str:
    """Run one line as a shell would, with `> file` for its output; returns stdout."""
    end = arguments.index(">") if ">" in arguments else len(arguments)
    result = around.robotd(*arguments[:end])
    assert result.returncode == 0, f"robotd {shlex.join(arguments)}: {result.stderr}"
    for target in arguments[end + 1 :]:
        (around.folder / target).write_text(result.stdout)
    return result.stdout


def test_every_line_is_of_a_kind_that_is_run() -> None:
    """No block holds a command that no test here looks at."""
    assert {shlex.split(line)[0] for line in lines_of("sh", "console")} == {"make", "export", "robotd"}


def test_the_commands_do_what_the_readme_says(tmp_path: Path) -> None:
    """In its order, among simulators: check, migrate, ensure, run in the background, send; SIGTERM ends it with 0."""
    calls = commands("robotd")
    before, after = calls[: calls.index(["run"])], calls[calls.index(["run"]) + 1 :]
    (tmp_path / "people.csv").write_text("phone_number,first_name\n999000000001,Ann\n999000000002,\n")
    at_once = {"ROBOTD_CAMPAIGNS__GAP_MIN_S": "0", "ROBOTD_CAMPAIGNS__GAP_MAX_S": "0"}
    with neighbours(tmp_path, waha="NOWEB", **at_once) as around:
        said = [run_line(around, call) for call in before]
        with process("daemon", "run", folder=tmp_path, more=around.variables) as running:
            line_with(running, "daemon.started")
            said += [run_line(around, call) for call in after]
            running.send_signal(signal.SIGTERM)
            running.communicate(timeout=BOUND_S)
    assert running.returncode == 0
    assert len(said) >= 6
    assert "created robotd-commands" in "".join(said)
    assert "sent status-check.create" in "".join(said)
    assert "campaign 1 Completed, 2 of 2: 2 sent" in "".join(said)
    assert len((tmp_path / "ledger.csv").read_text().splitlines()) == 3


def test_the_variables_are_settings() -> None:
    """Each `export` names a setting that exists, and the configuration that they make is a good one."""
    assigned = dict(words[0].split("=", 1) for words in commands("export"))
    known = {variable(path) for path in leaves(Settings)} | {"ROBOTD_SECRETS_DIR", "PATH"}
    assert assigned.keys() <= known
    assert len(assigned) > 4


def test_the_variables_make_a_configuration(tmp_path: Path) -> None:
    """`check-config` takes the exported values as they stand, with a folder of secrets that is there."""
    assigned = dict(words[0].split("=", 1) for words in commands("export"))
    del assigned["PATH"]
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "database.password").write_text("not a real one\n")
    checked = robotd("check-config", folder=tmp_path, more={**assigned, "ROBOTD_SECRETS_DIR": str(secrets)})
    assert checked.returncode == 0, checked.stderr


def test_the_make_targets_exist() -> None:
    """Each target that the README names is one of the Makefile's."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = {words[0] for words in commands("make")} | set(re.findall(r"`make ([a-z]+)`", README))
    assert named > SLOW
    assert named <= set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))


def test_the_demo_looks_as_it_does_in_the_readme() -> None:
    """Every line of the picture is a line of the real demo, in the same order."""
    picture = [line.rstrip() for kind, body in BLOCK.findall(README) if kind == "text" for line in body.splitlines()]
    picture = [line for line in picture if line]
    played = robotd("demo", folder=ROOT)
    assert played.returncode == 0, played.stderr
    shown = [line.rstrip() for line in played.stdout.splitlines()]
    assert [line for line in shown if line in set(picture)] == picture
    assert 20 <= len(picture) <= 70


@pytest.mark.parametrize("command", re.findall(r"^\| `robotd ([a-z-]+(?: [a-z][a-z-]*)?)", README, flags=re.MULTILINE))
def test_the_options_in_the_table_exist(command: str) -> None:
    """Each option that the table of commands names is in that command's help."""
    row = next(line for line in README.splitlines() if re.match(rf"\| `robotd {command}(?:`| [^a-z])", line))
    named = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", row.split("|")[1]))
    helped = subprocess.run(  # noqa: S603  our own command
        [sys.executable, "-m", "daemon", *command.split(), "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=True,
    )
    assert {option for option in named if option not in helped.stdout} == set()
