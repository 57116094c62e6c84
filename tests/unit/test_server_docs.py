"""The chapter on server tests in operations.md says what the code says: each step, kind and reason is explained."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from daemon.server_step_text import _KEPT
from domain.server_test import StepId

ROOT = Path(__file__).resolve().parents[2]
# Where in a call the kind of a finding stands.
PLACES = {"Finding": 2, "Told": 1, "_Trouble": 1, "_Problem": 1, "fail": 0, "error": 0, "_fail": 0}
WORD = re.compile(r"[a-z]+(?:-[a-z]+)*")


@cache
def chapter() -> str:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    return text.split("## Server tests\n", 1)[1].split("\n## ", 1)[0]


def quoted(heading: str, column: int) -> set[str]:
    """What stands in code quotes in a column of the first table under a heading."""
    table = chapter().split(heading, 1)[1].split("\n\n|", 1)[1].split("\n\n", 1)[0]
    cells = [line.split("|")[column] for line in table.splitlines()[2:]]
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


def kinds() -> Iterator[str]:
    """Every kind that some call of the code gives a finding."""
    files = [*(ROOT / "daemon" / "clients").glob("*.py"), *(ROOT / "handlers").glob("server_*.py")]
    files += (ROOT / "domain").glob("server_*.py")
    for call in (node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id not in PLACES:
            continue
        place = PLACES[call.func.id]
        for constant in ast.walk(call.args[place]) if len(call.args) > place else ():
            if isinstance(constant, ast.Constant) and WORD.fullmatch(str(constant.value)):
                yield str(constant.value)


def test_each_kind_of_finding_is_explained() -> None:
    """Whoever reads a kind at night finds its row."""
    found = set(kinds())
    assert {"auth-rejected", "not-isolated", "lost", "nxdomain", "listed", "led-away", "our-mailbox"} <= found
    assert found - quoted("### Steps and kinds", 2) == set()


def test_each_step_is_explained() -> None:
    """By its id; the last one, the record, is told of as verdicts and what was kept."""
    rows = re.findall(r"^\| ([TC]\d+) ", chapter(), flags=re.MULTILINE)
    assert set(rows) == {step.value for step in StepId} - {StepId.RECORD}


def test_each_reason_to_keep_a_server_is_explained_and_said() -> None:
    """The table has the reasons that the command line has a sentence for, and those that a verdict tells itself."""
    told = quoted("T9 to T14 are advice", 1)
    assert told == {*_KEPT, "dry-run", "outage"}
