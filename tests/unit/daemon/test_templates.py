from pathlib import Path

import pytest

from daemon.templates import FileTemplates, load_folder
from domain.status_check import Verdict
from domain.template_cases import misses

SHIPPED = Path(__file__).parents[3] / "templates"
NAMES = {
    "BACK_IN_BED",
    "CALM_NIGHT",
    "CLIENT_AT_HOME",
    "CLIENT_NEARBY",
    "DINNER_EATEN",
    "DOOR_CLOSED",
    "OUT_OF_BED_MORNING",
    "TOILET_AFTER_RISING",
    "TOILET_VISIT",
}
REAL_EVENTS = {
    *("ACTIVITY", "TOILET_ACTIVITY", "BATHROOM_ACTIVITY", "EATING_ACTIVITY"),
    *("INACTIVITY", "SHORT_INACTIVITY", "SUSPICIOUS_INACTIVITY"),
    *("IN_BED", "OUT_OF_BED", "EARLY_OUT_OF_BED", "NOT_RETURNED_TO_BED", "LONGER_IN_BED_SHORT", "LONGER_IN_BED_LONG"),
    *("INSIDE_HOME", "OUTSIDE_HOME", "DOOR_OPEN_TOO_LONG", "CLIENT_IN_HEARING_RANGE", "NO_TOILET_ACTIVITY_ALARM"),
    *("IN_BATHROOM", "IN_KITCHEN", "IN_BEDROOM", "IN_LIVING_ROOM", "IN_HALL", "IN_TOILET", "IN_DINING_ROOM"),
}
GOOD = """\
name: {name}
version: {version}
description: An example.
isActive: {active}
poller: {{pastInterval: -1}}
resources:
  pastEvents:
    dependsOn: [IN_BED]
    expressions:
      PASS: {expression}
tests:
  - {{name: in bed, start: '08:00', evaluate: start, events: ['-1h IN_BED'], expect: PASS}}
"""

PROBLEM = (
    "resources.pastEvents.expressions.PASS: 'IN_BEDD' is not in this resource's dependsOn "
    "(at character 8) (did you mean IN_BED?)"
)


def write(
    folder: Path,
    file: str,
    name: str = "ONE",
    version: int = 1,
    *,
    active: bool = True,
    expression: str = "exists('IN_BED')",
) -> None:
    text = GOOD.format(name=name, version=version, active=str(active).lower(), expression=expression)
    (folder / file).write_text(text)


def test_the_shipped_templates_load_without_a_problem() -> None:
    """All nine, with their examples."""
    report = load_folder(SHIPPED)

    assert report.problems == ()
    assert {template.name for template in report.templates} == NAMES


def test_the_shipped_templates_depend_on_events_that_really_occur() -> None:
    """Nothing is awaited that no sensor sends."""
    for template in load_folder(SHIPPED).templates:
        assert set(template.event_names) <= REAL_EVENTS


def test_the_examples_of_each_shipped_template_reach_each_of_its_outcomes() -> None:
    """Every verdict that an expression or the answer to silence can give is expected by some example."""
    for template in load_folder(SHIPPED).templates:
        resources = [resource for resource in (template.past, template.future) if resource is not None]
        possible = {verdict for resource in resources for verdict in resource.expressions}
        possible |= {template.on_timeout} if template.on_timeout else {Verdict.FAIL}

        assert {case.expect for case in template.cases} >= {verdict.value for verdict in possible}
        assert all(not miss.problems for miss in misses(template))


def test_the_shipped_templates_use_every_event_that_they_depend_on() -> None:
    """A name in dependsOn that no expression asks for would only cost a subscription."""
    for template in load_folder(SHIPPED).templates:
        for resource in (template.past, template.future):
            if resource is not None:
                used = {name for expression in resource.expressions.values() for name in expression.events}
                if template.name != "CALM_NIGHT":  # its past also fetches what the future needs
                    assert set(resource.depends_on) == used


async def test_the_newest_active_version_is_in_force_and_every_version_can_be_had(tmp_path: Path) -> None:
    """A running check keeps the version that it started with, active or not."""
    write(tmp_path, "a.yaml", version=1)
    write(tmp_path, "b.yaml", version=10)
    write(tmp_path, "c.yml", version=2)
    write(tmp_path, "d.yaml", version=11, active=False)
    write(tmp_path, "e.yaml", name="OFF", active=False)
    templates = FileTemplates(load_folder(tmp_path).templates)

    active = await templates.active("ONE")
    assert active is not None
    assert active.version == 10
    for version in (1, 2, 10, 11):
        found = await templates.version("ONE", version)
        assert found is not None
        assert found.version == version
    assert await templates.version("ONE", 3) is None
    assert await templates.active("OFF") is None
    assert await templates.active("one") is None


def test_one_bad_file_never_stops_the_others(tmp_path: Path) -> None:
    """Each problem names file, line, column and field, and what to do."""
    write(tmp_path, "a.yaml", name="GOOD_ONE")
    write(tmp_path, "b.yaml", name="TYPO", expression="exists('IN_BEDD') and true")
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe")
    write(tmp_path, "d.yaml", name="WRONG", expression="not exists('IN_BED')")
    (tmp_path / "e.yaml").mkdir()
    (tmp_path / "f.yaml").write_text("name: F\nversion: '1'\ndescription: x\nresources: {}\n")
    (tmp_path / "g.yaml").write_text("name: NO\n")
    write(tmp_path, "h.yaml", name="LAST_ONE")
    (tmp_path / "notes.txt").write_text("not a template")

    report = load_folder(tmp_path)

    assert [template.name for template in report.templates] == ["GOOD_ONE", "LAST_ONE"]
    assert list(report.problems) == [
        "b.yaml:10:13: " + PROBLEM,
        "c.yaml:1:1: the file is not UTF-8 text",
        "d.yaml:12:85: tests.0.expect: 'in bed' expects PASS, but the template says FAIL",
        "e.yaml:1:1: can't be read: Is a directory",
        "f.yaml:2:10: version: expected a whole number (write it without quotes and without a fraction)",
        "f.yaml:4:1: resources: needs pastEvents, futureEvents or both",
        "g.yaml:1:7: 'NO' could be read in more than one way (put it in quotes)",
    ]


def test_a_version_that_stands_twice_is_a_problem_and_the_first_file_counts(tmp_path: Path) -> None:
    """Which is the first does not depend on the file system."""
    write(tmp_path, "b.yaml", expression="count('IN_BED') >= 1")
    write(tmp_path, "a.yaml")

    report = load_folder(tmp_path)

    assert report.problems == ("b.yaml:1:1: ONE version 1 stands twice (the first is in a.yaml; raise the version)",)
    (template,) = report.templates
    assert template.past is not None
    assert template.past.expressions[Verdict.PASS].text == "exists('IN_BED')"


@pytest.mark.parametrize("name", ["missing", "empty", "file"])
def test_a_folder_without_templates_is_a_problem_and_not_an_exception(tmp_path: Path, name: str) -> None:
    """The daemon can tell the operator what is wrong with the setting."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")

    report = load_folder(tmp_path / name)

    assert report.templates == ()
    assert len(report.problems) == 1


def test_a_file_that_is_too_large_is_not_read_to_its_end(tmp_path: Path) -> None:
    """Sixty-four kibibytes are more than any template needs."""
    (tmp_path / "a.yaml").write_text("#" * 5_000_000)

    assert load_folder(tmp_path).problems == ("a.yaml:1:1: the file is larger than 64 KiB",)
