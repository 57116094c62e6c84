"""The templates that robotd is shipped with."""

from pathlib import Path

import pytest

from daemon.template_files import read_files
from domain.status_check import Verdict
from domain.template import Template
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


@pytest.fixture(scope="module")
def templates() -> list[Template]:
    return [read.template for read in read_files([SHIPPED]) if read.template is not None]


def test_the_shipped_templates_load_without_a_problem(templates: list[Template]) -> None:
    """All nine, with their examples."""
    assert [problem for read in read_files([SHIPPED]) for problem in read.problems] == []
    assert {template.name for template in templates} == NAMES


def test_the_shipped_templates_depend_on_events_that_really_occur(templates: list[Template]) -> None:
    """Nothing is awaited that no sensor sends."""
    for template in templates:
        assert set(template.event_names) <= REAL_EVENTS


def test_the_examples_of_each_shipped_template_reach_each_of_its_outcomes(templates: list[Template]) -> None:
    """Every verdict that an expression or the answer to silence can give is expected by some example."""
    for template in templates:
        resources = [resource for resource in (template.past, template.future) if resource is not None]
        possible = {verdict for resource in resources for verdict in resource.expressions}
        possible |= {template.on_timeout} if template.on_timeout else {Verdict.FAIL}

        assert {case.expect for case in template.cases} >= {verdict.value for verdict in possible}
        assert all(not miss.problems for miss in misses(template))


def test_the_shipped_templates_use_every_event_that_they_depend_on(templates: list[Template]) -> None:
    """A name in dependsOn that no expression asks for would only cost a subscription."""
    for template in templates:
        for resource in (template.past, template.future):
            if resource is not None:
                used = {name for expression in resource.expressions.values() for name in expression.events}
                if template.name != "CALM_NIGHT":  # its past also fetches what the future needs
                    assert set(resource.depends_on) == used
