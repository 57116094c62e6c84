"""docs/templates.md teaches authors: every example in it works, and every word of templates is explained in it."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from daemon.cli import app
from daemon.template_files import read_file
from domain.event_names import EVENT_NAMES
from domain.expression_syntax import parse_expression
from domain.expression_words import ATTRIBUTES, SIGNATURES, VARIABLES
from domain.template_json_schema import json_schema

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "templates.md").read_text(encoding="utf-8")
QUOTED = re.compile(r"`([^`\n]+)`")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return lines[1:]


WORKED = next(block for block in blocks("yaml") if block.startswith("name:"))
WORDS = {QUOTED.findall(row[0])[0]: QUOTED.findall(row[2])[0] for row in rows("Expressions")}


def test_the_worked_example_is_a_template_without_a_warning(tmp_path: Path) -> None:
    """And with its examples it reaches each of its answers."""
    path = tmp_path / "lunch.yaml"
    path.write_text(WORKED, encoding="utf-8")

    read = read_file(path, warnings=True)

    assert read.problems == ()
    assert read.template is not None
    assert {case.expect for case in read.template.cases} == {"PASS", "FAIL", "UNKNOWN", "PENDING"}


def test_the_mistake_that_is_shown_looks_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lint prints for the worked example with one letter left out."""
    monkeypatch.chdir(tmp_path)
    Path("lunch.yaml").write_text(WORKED.replace("exists('EATING_ACTIVITY')", "exists('EATING_ACTIVTY')", 1))

    answer = CliRunner().invoke(app, ["templates", "lint", "lunch.yaml"])

    assert answer.exit_code == 1
    assert [answer.stdout] == blocks("text")


def test_the_commands_that_are_shown_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, as an author would type them."""
    monkeypatch.chdir(tmp_path)
    commands = [line.removeprefix("$ robotd ").split() for line in "".join(blocks("console")).splitlines()]

    assert [CliRunner().invoke(app, command).exit_code for command in commands] == [0, 0, 0]


def test_every_name_of_an_expression_is_explained() -> None:
    """Functions and variables in the table, the fields of events below it."""
    assert set(WORDS) == {*SIGNATURES, *VARIABLES}
    assert [name for name in ATTRIBUTES if f"`{name}`" not in PAGE] == []


@pytest.mark.parametrize(("word", "example"), WORDS.items())
def test_the_example_of_each_name_is_an_expression_with_it(word: str, example: str) -> None:
    """It could be copied as it stands."""
    assert word in parse_expression(example, EVENT_NAMES).names


def test_every_field_of_a_template_is_explained() -> None:
    """The table has the fields of the model, and the section on examples those of an example."""
    schema = json_schema()
    parts = schema["$defs"]
    assert isinstance(parts, dict)
    objects = [schema, *(part for name, part in parts.items() if name not in ("Case", "Conditions"))]

    told = {name for row in rows("Fields") for name in QUOTED.findall(row[0])}

    assert told | {"pastEvents", "futureEvents"} == {field for one in objects for field in one["properties"]}
    section = PAGE.split("\n## Examples inside the file\n", 1)[1].split("\n## ", 1)[0]
    assert [name for name in parts["Case"]["properties"] if f"`{name}`" not in section] == []


def test_every_known_event_is_listed() -> None:
    """Each once, and no other."""
    told = [name for row in rows("Known events") for name in QUOTED.findall(row[1])]
    assert len(told) == 40
    assert sorted(told) == sorted(EVENT_NAMES)


def test_the_line_for_editors_leads_from_the_shipped_templates_to_the_schema() -> None:
    """As it stands it can be copied into any of them."""
    (line,) = (block for block in blocks("yaml") if block.startswith("#"))
    assert (ROOT / "templates" / line.strip().partition("=")[2]).resolve().is_file()
