"""The tools for authors as a terminal, an editor and a build have them: exit codes, lines and JSON."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from domain.template_json_schema import json_schema
from tests.e2e.processes import ROOT, robotd

SHIPPED = ROOT / "templates"
UNKNOWN_NAME = "'IN_BEDD' is not in this resource's dependsOn (did you mean IN_BED?)"
GOOD = """\
name: {name}
version: 1
description: An example.
poller: {{pastInterval: -1, onTimeout: FAIL}}
resources:
  pastEvents:
    dependsOn: [IN_BED]
    expressions: {{PASS: "{expression}"}}
tests:
  - {{name: in bed, start: '08:00', evaluate: start, events: ['-1h IN_BED'], expect: PASS}}
  - {{name: is up, start: '08:00', evaluate: end, expect: FAIL}}
"""


def write(path: Path, name: str = "ONE", expression: str = "exists('IN_BED')") -> Path:
    path.write_text(GOOD.format(name=name, expression=expression), encoding="utf-8")
    return path


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_lint_of_the_shipped_templates_says_nothing_against_them(tmp_path: Path) -> None:
    """Without a path it is the configured folder; all nine are good, without a warning."""
    answer = robotd("templates", "lint", folder=tmp_path)

    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == "9 files: 9 ok, 0 not ok; 0 errors, 0 warnings\n"


def test_lint_reads_the_folder_of_the_configuration(tmp_path: Path) -> None:
    """One that is not there is a fault of the configuration; files that are named need no configuration at all."""
    (tmp_path / "mine").mkdir()
    write(tmp_path / "mine" / "a.yaml")
    (tmp_path / "other.yaml").write_text("templates: {folder: elsewhere}\n")

    found = robotd("templates", "lint", folder=tmp_path, more={"ROBOTD_TEMPLATES__FOLDER": str(tmp_path / "mine")})
    missing = robotd("templates", "lint", "--json", "--config", "other.yaml", folder=tmp_path)
    named = robotd("templates", "lint", "--config", "other.yaml", "mine", folder=tmp_path)

    assert (found.returncode, found.stdout) == (0, "1 file: 1 ok, 0 not ok; 0 errors, 0 warnings\n")
    assert named.returncode == 0
    assert missing.returncode == 3
    assert [one["exitCode"] for one in objects(missing.stdout)] == [3]


def test_lint_as_json_has_one_object_in_a_line_for_each_file(tmp_path: Path) -> None:
    """Exactly the fields that programs rely on; a warning alone leaves a file ok and the exit code 0."""
    write(tmp_path / "a.yaml")
    write(tmp_path / "b.yaml", "TWO", "exists('IN_BED') or 1 < 2")
    (tmp_path / "b.yaml").write_text(
        (tmp_path / "b.yaml").read_text().replace("expect: FAIL", "expect: PASS"), encoding="utf-8"
    )

    answer = robotd("templates", "lint", "--json", "a.yaml", "b.yaml", folder=tmp_path)

    assert answer.returncode == 0
    assert objects(answer.stdout) == [
        {"file": "a.yaml", "ok": True, "problems": []},
        {
            "file": "b.yaml",
            "ok": True,
            "problems": [
                {
                    "line": 4,
                    "column": 39,
                    "field": "poller.onTimeout",
                    "message": "no example reaches the answer to silence",
                    "hint": "add one with evaluate: end in which nothing decides",
                    "severity": "warning",
                },
                {
                    "line": 8,
                    "column": 25,
                    "field": "resources.pastEvents.expressions.PASS",
                    "message": "is always true, whatever happens",
                    "hint": "onTimeout answers silence",
                    "severity": "warning",
                },
            ],
        },
    ]


def test_lint_as_text_names_place_severity_field_and_way_out(tmp_path: Path) -> None:
    """One line for each problem, and the counts at the end; exit code 1 for the bad file."""
    write(tmp_path / "a.yaml", expression="exists('IN_BEDD')")
    write(tmp_path / "b.yaml", "TWO", "exists('IN_BED', within='2h') or exists('IN_BED', within='1h')")

    answer = robotd("templates", "lint", "a.yaml", "b.yaml", "c.yaml", folder=tmp_path)

    assert (answer.returncode, answer.stderr) == (1, "")
    assert answer.stdout.splitlines() == [
        f"a.yaml:8:33: error: resources.pastEvents.expressions.PASS: {UNKNOWN_NAME}",
        "c.yaml:1:1: error: can't be read: No such file or directory",
        "3 files: 1 ok, 2 not ok; 2 errors, 0 warnings",
    ]


def test_no_file_whatever_its_bytes_stops_lint(tmp_path: Path) -> None:
    """Pipes, devices, folders, broken links, megabytes, NUL, no UTF-8, odd names: one object each, none hangs."""
    write(tmp_path / "good.yaml")
    contents = {
        "big.yaml": b"#" * 10_000_000,
        "deep.yaml": b"[" * 60_000,
        "empty.yaml": b"",
        "list.yaml": b"- a\n",
        "nul.yaml": b"name: \x00\n",
        "random.yaml": bytes(range(256)) * 16,
        "latin.yaml": b"name: caf\xe9\n",
        "bomb.yaml": b"a: &a [x]\nb: [*a, *a]\n",
        "new\nline.yaml": b"name: 1",
        "\x1b[31m.yaml": b"name: 1",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / os.fsdecode(b"\xff.yaml")).write_bytes(b"name: 1")
    (tmp_path / "folder.yaml").mkdir()
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    (tmp_path / "gone.yaml").symlink_to("nowhere")

    as_json = robotd("templates", "lint", "--json", ".", "folder.yaml", "pipe.yaml", "/dev/zero", folder=tmp_path)
    as_text = robotd("templates", "lint", ".", folder=tmp_path, more={"PYTHONIOENCODING": "ascii"})
    examples = robotd("templates", "test", "--json", ".", folder=tmp_path)

    assert (as_json.returncode, as_json.stderr) == (1, "")
    found = objects(as_json.stdout)
    assert [one["file"] for one in found if one["ok"]] == ["good.yaml"]
    assert len(found) == len(contents) + 7
    assert {"folder.yaml", "pipe.yaml", "/dev/zero", "new\nline.yaml", "\\udcff.yaml"} < {one["file"] for one in found}
    assert all(one["problems"][0]["line"] >= 1 and one["problems"][0]["column"] >= 1 for one in found if not one["ok"])
    assert (as_text.returncode, as_text.stderr) == (1, "")
    assert "\x1b" not in as_text.stdout
    assert "new\\nline.yaml:1:7: error: name: expected text (put it in quotes)" in as_text.stdout.splitlines()
    assert (examples.returncode, examples.stderr, len(objects(examples.stdout))) == (1, "", len(contents) + 6)


def test_the_examples_of_the_shipped_templates_pass(tmp_path: Path) -> None:
    """Each with its answer and what decided."""
    answer = robotd("templates", "test", str(SHIPPED / "client_at_home.yaml"), str(SHIPPED), folder=tmp_path)

    assert (answer.returncode, answer.stderr) == (0, "")
    lines = answer.stdout.splitlines()
    assert lines[:5] == [
        f"{SHIPPED / 'client_at_home.yaml'}: CLIENT_AT_HOME version 1",
        "  pass  came home: PASS by pastEvents.PASS: age('INSIDE_HOME') < age('OUTSIDE_HOME')",
        "  pass  was never seen leaving: PASS by pastEvents.PASS: age('INSIDE_HOME') < age('OUTSIDE_HOME')",
        "  pass  went out: FAIL by pastEvents.FAIL: age('OUTSIDE_HOME') < age('INSIDE_HOME')",
        "  pass  no sensor ever said: UNKNOWN by onTimeout",
    ]
    assert lines[-1].startswith("9 files: 9 ok, 0 not ok; 0 errors, 0 warnings; ")
    assert lines[-1].endswith(" pass, 0 miss")


def test_an_example_that_misses_is_shown_with_what_was_found(tmp_path: Path) -> None:
    """Exit code 1, in text and in JSON; a file that can't be read at all is there too."""
    path = write(tmp_path / "a.yaml", expression="exists('IN_BED', within='30m')")
    (tmp_path / "b.yaml").write_text("name: B\n")

    as_text = robotd("templates", "test", "a.yaml", "b.yaml", folder=tmp_path)
    as_json = robotd("templates", "test", "--json", str(path), folder=tmp_path)

    assert (as_text.returncode, as_json.returncode) == (1, 1)
    assert as_text.stdout.splitlines() == [
        "a.yaml: ONE version 1",
        "  MISS  in bed: expected PASS, found FAIL by onTimeout",
        "  pass  is up: FAIL by onTimeout",
        "b.yaml: not read",
        "  b.yaml:1:1: error: version: is missing",
        "  b.yaml:1:1: error: description: is missing",
        "  b.yaml:1:1: error: resources: is missing",
        "2 files: 0 ok, 2 not ok; 4 errors, 0 warnings; 2 examples: 1 pass, 1 miss",
    ]
    (found,) = objects(as_json.stdout)
    assert (found["file"], found["ok"], found["problems"][0]["field"]) == (str(path), False, "tests.0.expect")
    assert found["tests"] == [
        {
            "name": "in bed",
            "ok": False,
            "expected": "PASS",
            "found": "FAIL",
            "decidedBy": "onTimeout",
            "expression": "",
            "problems": [],
        },
        {
            "name": "is up",
            "ok": True,
            "expected": "FAIL",
            "found": "FAIL",
            "decidedBy": "onTimeout",
            "expression": "",
            "problems": [],
        },
    ]


def test_a_decision_that_stood_to_the_end_is_shown_with_the_expression_that_made_it(tmp_path: Path) -> None:
    """With pollUntilEnd the last question may say nothing new."""
    (tmp_path / "a.yaml").write_text(
        "name: A\nversion: 1\ndescription: An example.\npollUntilEnd: true\n"
        "poller: {futureInterval: 600, onTimeout: FAIL}\n"
        "resources:\n  futureEvents:\n    dependsOn: [IN_BED]\n"
        "    expressions: {PASS: \"exists('IN_BED') and not window_ended\"}\n"
        "tests:\n  - {name: stays, start: '08:00', evaluate: end, events: ['+1m IN_BED'], expect: PASS}\n"
    )

    answer = robotd("templates", "test", "--json", "a.yaml", folder=tmp_path)

    (found,) = objects(answer.stdout)
    assert (answer.returncode, found["tests"][0]["decidedBy"]) == (0, "futureEvents.PASS")
    assert found["tests"][0]["expression"] == "exists('IN_BED') and not window_ended"


@pytest.mark.parametrize("name", ["TEA_TIME", "NO", "a-b"])
def test_a_new_template_is_clean_and_passes_its_examples(tmp_path: Path, name: str) -> None:
    """Also under a name that YAML would take for something else, in a folder that is made for it."""
    made = robotd("templates", "new", name, "--folder", "mine", folder=tmp_path)
    linted = robotd("templates", "lint", "--json", "mine", folder=tmp_path)
    rehearsed = robotd("templates", "test", "mine", folder=tmp_path)

    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.startswith(f"written: mine/{name.lower()}.yaml\n")
    assert objects(linted.stdout) == [{"file": f"mine/{name.lower()}.yaml", "ok": True, "problems": []}]
    assert (linted.returncode, rehearsed.returncode) == (0, 0)
    assert rehearsed.stdout.endswith("5 examples: 5 pass, 0 miss\n")
    assert "yaml-language-server" not in (tmp_path / "mine" / f"{name.lower()}.yaml").read_text()


def test_new_never_overwrites(tmp_path: Path) -> None:
    """Neither a file nor a name that another file has, nor what a broken link hides; exit code 1 and a way out."""
    taken = write(tmp_path / "tea_time.yaml", name="ONE")
    (tmp_path / "coffee.yaml").symlink_to("nowhere")
    before = taken.read_bytes()

    file = robotd("templates", "new", "TEA_TIME", "--folder", ".", folder=tmp_path)
    name = robotd("templates", "new", "ONE", "--folder", ".", folder=tmp_path)
    link = robotd("templates", "new", "COFFEE", "--folder", ".", folder=tmp_path)
    below = robotd("templates", "new", "TEA", "--folder", "tea_time.yaml", folder=tmp_path)

    assert [answer.returncode for answer in (file, name, link, below)] == [1, 1, 1, 1]
    assert file.stderr == "robotd: tea_time.yaml is there already, and stays as it is: choose another name\n"
    assert name.stderr == "robotd: tea_time.yaml has a template of this name: raise the version there\n"
    assert "is there already" in link.stderr
    assert below.stderr == "robotd: tea_time.yaml is no folder, and can't be made one: File exists\n"
    assert taken.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["coffee.yaml", "tea_time.yaml"]
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["", "1ST", "../up", "TEA TIME", "TEA\n", "A" * 65, "\udcff"])
def test_a_name_that_no_template_may_have_is_wrong_usage(tmp_path: Path, name: str) -> None:
    """Exit code 2, and nothing is written."""
    answer = robotd("templates", "new", name, "--folder", "mine", folder=tmp_path)

    assert answer.returncode == 2
    assert "is no name for a template" in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_schema_is_printed_as_it_is_committed(tmp_path: Path) -> None:
    """To be saved beside one's own templates."""
    answer = robotd("templates", "schema", folder=tmp_path)

    assert answer.returncode == 0
    assert json.loads(answer.stdout) == json_schema()
    assert answer.stdout == (ROOT / "docs/contracts/status-check-template.schema.json").read_text(encoding="utf-8")


def test_each_tool_explains_itself(tmp_path: Path) -> None:
    """`--help` names what is special to it."""
    words = {"lint": "warnings", "test": "Rehearse", "new": "overwrites", "schema": "yaml-language-server"}
    answers = {name: robotd("templates", name, "--help", folder=tmp_path) for name in words}

    assert all(answer.returncode == 0 for answer in answers.values())
    assert all(word in answers[name].stdout for name, word in words.items())
