from typing import Any

import pytest

from domain.status_check import Verdict
from domain.template import Template, TemplateError, read_template
from domain.template_cases import misses


def template(case: dict[str, Any], **changes: Any) -> Template:
    """Build a template with one example; keywords replace fields of its poller or of itself."""
    poller = {"pastInterval": 3600, "futureInterval": 1800, "onTimeout": "UNKNOWN"}
    poller |= {key: changes.pop(key) for key in list(changes) if key in poller}
    return read_template(
        {
            "name": "EXAMPLE",
            "version": 1,
            "description": "An example.",
            "poller": poller,
            "resources": {
                "pastEvents": {"dependsOn": ["IN_BED"], "expressions": {"PASS": "exists('IN_BED')"}},
                "futureEvents": {
                    "dependsOn": ["IN_BED", "OUT_OF_BED"],
                    "expressions": {
                        "PASS": "new_count('IN_BED') >= 1 and level('IN_BED') <= 5",
                        "FAIL": "new_count('OUT_OF_BED') == 1",
                        "UNKNOWN": "window_ended and between('08:30', '08:31')",
                    },
                },
            },
            "tests": [{"name": "one", "start": "08:00"} | case],
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("evaluate", "events", "verdict", "changes"),
    [
        ("start", ["-60m IN_BED"], "PASS", {}),
        ("start", ["-61m IN_BED"], "PENDING", {}),
        ("start", ["-61m IN_BED"], "PASS", {"pastInterval": -1}),
        ("start", ["-5m IN_BED"], "PENDING", {"pastInterval": 0}),
        ("start", ["+5m IN_BED 5"], "PENDING", {}),
        ("end", ["-5m IN_BED", "+5m OUT_OF_BED"], "PASS", {}),
        ("end", ["-5m IN_BED", "+5m OUT_OF_BED"], "FAIL", {"pollUntilEnd": True}),
        ("+5m", ["+5m IN_BED 5"], "PASS", {}),
        ("+4m", ["+5m IN_BED 5"], "PENDING", {}),
        ("+5m", ["+5m IN_BED 6"], "PENDING", {}),
        ("+5m", ["+5m IN_BED"], "PENDING", {}),
        ("+10m", ["+5m OUT_OF_BED", "+6m IN_BED 1"], "FAIL", {}),
        ("+10m", ["+6m IN_BED 1", "+5m OUT_OF_BED"], "FAIL", {}),
        ("+10m", ["+5m OUT_OF_BED", "+6m IN_BED 1"], "PASS", {"pollUntilEnd": True}),
        ("+10m", ["+5m OUT_OF_BED", "+6m OUT_OF_BED"], "PENDING", {"pollUntilEnd": True}),
        ("end", ["+5m OUT_OF_BED", "+6m OUT_OF_BED"], "UNKNOWN", {"pollUntilEnd": True}),
        ("end", ["+30m OUT_OF_BED"], "FAIL", {}),
        ("end", ["+1801s OUT_OF_BED"], "UNKNOWN", {}),
        ("+40m", ["+35m OUT_OF_BED"], "UNKNOWN", {}),
        ("end", [], "UNKNOWN", {"onTimeout": "PASS"}),
        ("end", [], "PASS", {"onTimeout": "PASS", "futureInterval": 600}),
        ("end", [], "FAIL", {"onTimeout": None, "futureInterval": 600}),
        ("end", ["-2h IN_BED"], "FAIL", {"onTimeout": "FAIL", "futureInterval": 0}),
        ("+0m", ["+0m IN_BED"], "PASS", {}),
        ("+0s", ["-0s OUT_OF_BED"], "FAIL", {"pastInterval": 0}),
    ],
)
def test_an_example_goes_the_way_of_a_real_check(
    evaluate: str, events: list[str], verdict: str, changes: dict[str, Any]
) -> None:
    """The past at the start, each event as it comes, at the end once more, then the answer to silence."""
    case = {"evaluate": evaluate, "events": events, "expect": verdict}

    assert [(miss.found, miss.problems) for miss in misses(template(case, **changes))] == []


def test_an_example_that_comes_out_differently_is_a_miss() -> None:
    """It says what was found."""
    (miss,) = misses(template({"evaluate": "end", "events": ["+5m OUT_OF_BED"], "expect": "PASS"}))

    assert (miss.number, miss.case.name, miss.found) == (0, "one", Verdict.FAIL)


@pytest.mark.parametrize(
    "case",
    [
        {"evaluate": "later"},
        {"evaluate": "-5m"},
        {"evaluate": "+5"},
        {"start": "8:00"},
        {"start": "24:00"},
        {"start": 480},
        {"expect": "MAYBE"},
        {"expect": True},
        {"name": ""},
        {"events": "+5m IN_BED"},
        {"events": ["5m IN_BED"]},
        {"events": ["+5m"]},
        {"events": ["+5m in_bed"]},
        {"events": ["+5m IN_BED high"]},
        {"events": ["+5m  IN_BED"]},
        {"events": ["+5m INSIDE_HOME"]},
        {"events": ["+5m IN_BED"] * 101},
        {"within": "5m"},
    ],
)
def test_an_example_that_can_not_be_read_is_refused(case: dict[str, Any]) -> None:
    """The problem's path leads to the example."""
    with pytest.raises(TemplateError) as refused:
        template({"evaluate": "end", "events": [], "expect": "PASS"} | case)

    assert all(problem.path[:2] == ("tests", 0) for problem in refused.value.problems)
