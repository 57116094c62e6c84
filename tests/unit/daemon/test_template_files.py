import os
from pathlib import Path

import pytest

from daemon.template_files import FileProblem, ReadFile, read_file, read_files

GOOD = """\
# a comment
name: {name}
version: {version}
description: An example.
poller: {{pastInterval: -1, onTimeout: FAIL}}
resources:
  pastEvents:
    dependsOn: [IN_BED]
    expressions:
      PASS: {expression}
tests:
  - {{name: in bed, start: '08:00', evaluate: start, events: ['-1h IN_BED'], expect: PASS}}
  - {{name: is up, start: '08:00', evaluate: end, expect: FAIL}}
"""


def write(path: Path, *, name: str = "ONE", version: int = 1, expression: str = "exists('IN_BED')") -> Path:
    path.write_text(GOOD.format(name=name, version=version, expression=expression), encoding="utf-8")
    return path


def problem_of(path: Path) -> FileProblem:
    (problem,) = read_file(path).problems
    return problem


def test_a_good_file_gives_its_template_and_nothing_else(tmp_path: Path) -> None:
    """Also with warnings asked for, since there is nothing to warn of."""
    path = write(tmp_path / "a.yaml")

    read = read_file(path, warnings=True)

    assert (read.ok, read.problems, read.path) == (True, (), path)
    assert read.template is not None
    assert (read.template, read.template.name) == (read.draft, "ONE")


def test_a_problem_reads_as_editors_and_compilers_write_it() -> None:
    """The field and the hint are left out where there is none."""
    whole = FileProblem("a.yaml", 3, 7, "poller.onTimeout", "is odd", "write FAIL", "warning")

    assert str(whole) == "a.yaml:3:7: poller.onTimeout: is odd (write FAIL)"
    assert str(FileProblem("a.yaml", 1, 1, "", "is odd")) == "a.yaml:1:1: is odd"


@pytest.mark.parametrize(
    ("expression", "line", "column", "message"),
    [
        ("exists('IN_BEDD')", 10, 20, "'IN_BEDD' is not in this resource's dependsOn"),
        ("   exists('IN_BEDD')", 10, 23, "'IN_BEDD' is not in this resource's dependsOn"),
        ("\"  exists('IN_BEDD')\"", 10, 23, "'IN_BEDD' is not in this resource's dependsOn"),
        ("'exists(''IN_BED'') && True'", 10, 33, "&& is not an operator"),
        ("exists('IN_BED') and", 10, 32, "not an expression"),
        ("exists('IN_BED') or !exists('IN_BED')", 10, 33, "not an expression"),
        ("first('IN_BED').agee > 1", 10, 29, "an event has no such field"),
        ("exists('IN_BED', without='2h')", 10, 38, "unknown option of exists()"),
        (">-\n        exists('IN_BED') and\n        exists('IN_BEDD')", 10, 13, "(at character 29)"),
        ("exists('IN_BED')\n        and exists('IN_BEDD')", 10, 13, "(at character 29)"),
        ("count('IN_BED')", 10, 13, "expected a condition, found a number"),
    ],
)
def test_a_mistake_in_an_expression_is_shown_at_its_character(
    tmp_path: Path, expression: str, line: int, column: int, message: str
) -> None:
    """In one line exactly; in a text over several lines by the number of the character."""
    problem = problem_of(write(tmp_path / "a.yaml", expression=expression))

    assert (problem.line, problem.column) == (line, column)
    assert message in problem.message
    assert (problem.field, problem.severity) == ("resources.pastEvents.expressions.PASS", "error")


def test_windows_line_ends_and_a_byte_order_mark_move_nothing(tmp_path: Path) -> None:
    """Lines and columns are those that an editor shows."""
    text = GOOD.format(name="ONE", version=1, expression="exists('IN_BEDD')").replace("\n", "\r\n")
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())

    problem = problem_of(path)

    assert (problem.line, problem.column) == (10, 20)


def test_problems_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Errors and warnings together, as one reads."""
    path = write(tmp_path / "a.yaml", version=0, expression="exists('IN_BED') and 1")
    problems = read_file(path, warnings=True).problems

    assert [problem.line for problem in problems] == [3, 10]


def test_warnings_are_told_only_when_asked_for_and_never_refuse_a_file(tmp_path: Path) -> None:
    """They have the place of what they mean."""
    path = write(tmp_path / "a.yaml", expression="exists('IN_BED') or exists('IN_BED', within='1d')")
    path.write_text(path.read_text().replace("pastInterval: -1", "pastInterval: 3600"), encoding="utf-8")

    assert read_file(path).problems == ()
    read = read_file(path, warnings=True)
    assert read.ok
    assert read.template is not None
    assert [(one.line, one.column, one.severity) for one in read.problems] == [(10, 57, "warning")]


def test_an_example_that_comes_out_differently_refuses_the_file(tmp_path: Path) -> None:
    """The draft is there for the tools that show examples."""
    read = read_file(write(tmp_path / "a.yaml", expression="exists('IN_BED') and 1 > 2"), warnings=True)

    assert (read.ok, read.template) == (False, None)
    assert read.draft is not None
    errors = [one for one in read.problems if one.severity == "error"]
    assert [(one.line, one.field) for one in errors] == [(12, "tests.0.expect")]
    assert "is always false, whatever happens" in {one.message for one in read.problems}


@pytest.mark.parametrize("event", ["-367d IN_BED", "+9999999d IN_BED", "-8785h IN_BED"])
def test_an_event_too_far_away_is_a_problem_of_the_file(tmp_path: Path, event: str) -> None:
    """It is written as it must be, and still no time that anything can hold."""
    path = write(tmp_path / "a.yaml")
    path.write_text(path.read_text().replace("-1h IN_BED", event), encoding="utf-8")

    problem = problem_of(path)
    assert (problem.line, problem.message) == (12, "lies more than 366 days from the start")


def test_a_moment_too_far_away_is_a_problem_of_the_file(tmp_path: Path) -> None:
    """As with events."""
    path = write(tmp_path / "a.yaml")
    path.write_text(path.read_text().replace("evaluate: start", "evaluate: '+400d'"), encoding="utf-8")

    assert problem_of(path).field == "tests.0.evaluate"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is missing"),
        (b"\x00" * 10, "the character '\\x00' is not allowed"),
        (b"name: \xff\xfe", "the file is not UTF-8 text"),
        (b"#" * 65_537, "the file is larger than 64 KiB"),
        (b"[" * 60_000, "nested deeper than 8 levels"),
        (b"a: &x 1\nb: *x", "anchors are not allowed"),
        (b"%YAML 1.2\n---\na: 1", "directives are not allowed"),
        (b"- 1\n- 2\n", "expected 'key: value' lines at the top"),
        (b"name: A\rversion: 1", "the character '\\r' is not allowed"),
        ("name: \ud83d".encode("utf-8", "surrogatepass"), "the file is not UTF-8 text"),
        (b"? [a]\n: 1\n", "a key must be text"),
        (b"a: 'x", "not YAML: found unexpected end of stream"),
        (b"\x1b]0;title\x07: 1", "the character '\\x1b' is not allowed"),
    ],
)
def test_bytes_that_are_no_template_become_problems(tmp_path: Path, content: bytes, message: str) -> None:
    """Never an exception, and each with a line and a column."""
    path = tmp_path / "a.yaml"
    path.write_bytes(content)

    read = read_file(path, warnings=True)

    assert (read.ok, read.template, read.draft) == (False, None, None)
    assert message in {one.message for one in read.problems}
    assert all(one.line >= 1 and one.column >= 1 and one.file == str(path) for one in read.problems)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    """A pipe without a writer, a device without an end and a folder are problems at once; a link to a file is fine."""
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "gone.yaml").symlink_to("nowhere")
    write(tmp_path / "real.txt")
    (tmp_path / "link.yaml").symlink_to("real.txt")

    found = {read.path.name: read for read in read_files([tmp_path])}

    assert [name for name, read in found.items() if read.ok] == ["link.yaml"]
    messages = {name: read.problems[0].message for name, read in found.items() if not read.ok}
    assert messages == {
        "folder.yaml": "can't be read: Is a directory",
        "gone.yaml": "can't be read: No such file or directory",
        "loop.yaml": "can't be read: Too many levels of symbolic links",
        "pipe.yaml": "can't be read: not a regular file",
        "zero.yaml": "can't be read: not a regular file",
    }


@pytest.mark.parametrize("name", ["a\0b.yaml", "x" * 300, "missing.yaml", "\udcff.yaml", "file.yaml/below.yaml"])
def test_a_path_that_leads_nowhere_is_a_problem(tmp_path: Path, name: str) -> None:
    """Whatever is wrong with it."""
    write(tmp_path / "file.yaml")

    (read,) = read_files([tmp_path / name])

    assert (read.ok, len(read.problems)) == (False, 1)
    assert read.problems[0].message.startswith("can't be read: ")


def test_folders_give_their_files_sorted_and_no_deeper(tmp_path: Path) -> None:
    """Only names that end in .yaml or .yml."""
    for number, name in enumerate(("b.yml", "a.yaml", "notes.txt", "c.yaml.bak")):
        write(tmp_path / name, name=f"N{number}")
    (tmp_path / "deeper").mkdir()
    write(tmp_path / "deeper" / "d.yaml", name="DEEP")

    assert [read.path.name for read in read_files([tmp_path])] == ["a.yaml", "b.yml"]


def test_a_folder_without_templates_is_a_problem(tmp_path: Path) -> None:
    """One that says so."""
    (read,) = read_files([tmp_path])

    assert read == ReadFile(
        tmp_path,
        None,
        (FileProblem(str(tmp_path), 1, 1, "", "the folder holds no templates", "their names end in .yaml"),),
    )


def test_of_two_files_with_one_name_and_version_the_later_is_not_ok(tmp_path: Path) -> None:
    """In the order in which they were given, over all paths; another version is another template."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    write(first / "z.yaml")
    write(second / "a.yaml")
    write(second / "b.yaml", version=2)
    write(second / "c.yaml", version=2)

    files = read_files([first / "z.yaml", second])

    assert [(read.path.name, read.ok) for read in files] == [
        ("z.yaml", True),
        ("a.yaml", False),
        ("b.yaml", True),
        ("c.yaml", False),
    ]
    assert [read.problems[0].hint for read in files if not read.ok] == [
        f"the first is in {first / 'z.yaml'}; raise the version",
        "the first is in b.yaml; raise the version",
    ]
    assert all(read.template is None and read.draft is not None for read in files if not read.ok)


def test_a_file_that_is_not_ok_takes_no_name(tmp_path: Path) -> None:
    """The next with its name and version is used."""
    write(tmp_path / "a.yaml", expression="exists('IN_BED') and 1 > 2")
    write(tmp_path / "b.yaml")

    assert [read.ok for read in read_files([tmp_path])] == [False, True]


def test_a_file_given_twice_is_read_once(tmp_path: Path) -> None:
    """Alone and with its folder, however its path is written."""
    write(tmp_path / "a.yaml")
    (tmp_path / "deeper").mkdir()

    files = read_files([tmp_path, tmp_path / "a.yaml", tmp_path / "deeper" / ".." / "a.yaml"])

    assert [read.ok for read in files] == [True]
