import copy
from typing import Any

import pytest

from domain.event_names import EVENT_NAMES, ROOMS, nearest_event
from domain.template import Problem, Template, read_template
from domain.template_lint import lint

CONTENT: dict[str, Any] = {
    "name": "CLEAN",
    "version": 1,
    "description": "A template that nothing is to be said against.",
    "poller": {"pastInterval": 7200, "futureInterval": 1800, "onTimeout": "FAIL"},
    "resources": {
        "pastEvents": {"dependsOn": ["IN_BED"], "expressions": {"PASS": "exists('IN_BED')"}},
        "futureEvents": {
            "dependsOn": ["IN_BED", "OUT_OF_BED"],
            "expressions": {"PASS": "new_count('IN_BED') >= 1", "UNKNOWN": "new_count('OUT_OF_BED') >= 2"},
        },
    },
    "tests": [
        {"name": "was in bed", "start": "22:00", "evaluate": "start", "events": ["-1h IN_BED"], "expect": "PASS"},
        {"name": "goes to bed", "start": "22:00", "evaluate": "+5m", "events": ["+5m IN_BED"], "expect": "PASS"},
        {
            "name": "is restless",
            "start": "22:00",
            "evaluate": "end",
            "events": ["+5m OUT_OF_BED", "+6m OUT_OF_BED"],
            "expect": "UNKNOWN",
        },
        {"name": "stays up", "start": "22:00", "evaluate": "end", "expect": "FAIL"},
    ],
}
PAST = ("resources", "pastEvents", "expressions")
FUTURE = ("resources", "futureEvents", "expressions")


def template(**changes: object) -> Template:
    """Build the clean template with some fields set; `poller__onTimeout` leads below, Ellipsis removes."""
    content = copy.deepcopy(CONTENT)
    for name, value in changes.items():
        *above, last = name.split("__")
        place = content
        for part in above:
            place = place[part]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return read_template(content)


def future(passes: str, fails: str = "", unknown: str = "") -> Template:
    """Build the clean template with other expressions for the future."""
    texts = {"PASS": passes, "FAIL": fails, "UNKNOWN": unknown}
    return template(resources__futureEvents__expressions={verdict: text for verdict, text in texts.items() if text})


def said(warnings: list[Problem], path: tuple[str | int, ...]) -> list[str]:
    return [warning.message for warning in warnings if warning.path == path]


def test_a_template_that_is_right_gets_no_warning() -> None:
    """Silence is what an author works towards."""
    assert lint(template()) == []


def test_a_template_without_examples_is_told_to_have_some() -> None:
    """Nothing else is said about examples then."""
    (warning,) = lint(template(tests=[]))

    assert warning == Problem(
        ("tests",), "no example shows what this template does", "add one for each outcome below tests"
    )


def test_an_outcome_that_no_example_reaches_is_named() -> None:
    """Each expression of each resource for itself, and the answer to silence."""
    warnings = lint(template(tests=CONTENT["tests"][:1]))

    assert [warning.path for warning in warnings] == [(*FUTURE, "PASS"), (*FUTURE, "UNKNOWN"), ("poller", "onTimeout")]
    assert warnings[0].hint == "add one to tests that expects PASS by it"
    assert warnings[2].message == "no example reaches the answer to silence"


def test_an_outcome_of_a_part_that_is_never_asked_is_not_asked_for() -> None:
    """Without its interval an example can't reach it; that it has none is said instead."""
    warnings = lint(template(poller__pastInterval=..., tests=CONTENT["tests"][1:]))

    assert [warning.path for warning in warnings] == [("poller", "pastInterval")]


def test_pass_and_fail_that_are_true_at_once_are_found_by_the_examples() -> None:
    """Once for a resource, with the example that shows it."""
    both = future(passes="new_count('IN_BED') >= 1", fails="exists('IN_BED')", unknown="new_count('OUT_OF_BED') >= 2")

    assert said(lint(both), (*FUTURE, "FAIL")) == [
        "is true together with PASS in the example 'goes to bed', where PASS wins",
        "no example reaches this outcome",
    ]


def test_a_level_that_nobody_reported_makes_no_clash() -> None:
    """PASS alone is true in every example."""
    warnings = lint(
        future(
            passes="new_count('IN_BED') >= 1",
            fails="exists('IN_BED') and level('IN_BED') < 5",
            unknown="new_count('OUT_OF_BED') >= 2",
        )
    )

    assert said(warnings, (*FUTURE, "FAIL")) == ["no example reaches this outcome"]


def test_an_event_that_nothing_asks_for_is_named_with_its_place() -> None:
    """Each resource for itself: what the future asks for needs no place in the past."""
    warnings = lint(template(resources__pastEvents__dependsOn=["IN_BED", "OUT_OF_BED"]))

    assert warnings == [
        Problem(
            ("resources", "pastEvents", "dependsOn", 1),
            "no expression of pastEvents asks for OUT_OF_BED",
            "remove it, or ask for it in an expression",
        )
    ]


@pytest.mark.parametrize(
    ("name", "hint"),
    [("TOILET_ACTIVTY", "did you mean TOILET_ACTIVITY?"), ("XYLOPHONE", "docs/templates.md lists the known ones")],
)
def test_an_event_that_megazord_may_not_have_is_doubted(name: str, hint: str) -> None:
    """It stays legal: Megazord may learn a new one first."""
    past = {"dependsOn": ["IN_BED", name], "expressions": {"PASS": f"exists('IN_BED') and not exists('{name}')"}}

    (warning,) = lint(template(resources__pastEvents=past))

    assert (warning.path, warning.hint) == (("resources", "pastEvents", "dependsOn", 1), hint)
    assert warning.message == f"Megazord is not known to have {name}"


def test_the_forty_known_events_are_there_once() -> None:
    """Twenty-two of them are rooms; each is its own nearest."""
    assert len(EVENT_NAMES) == len(set(EVENT_NAMES)) == 40
    assert len(ROOMS) == 22
    assert [nearest_event(name) for name in EVENT_NAMES] == list(EVENT_NAMES)
    assert nearest_event("XYLOPHONE") is None


@pytest.mark.parametrize(
    ("text", "word", "at"),
    [
        ("exists('IN_BED', within='3h')", "'3h' of exists()", 25),
        ("count('IN_BED', within='9001s') > 1", "'9001s' of count()", 24),
        ("absent_for('IN_BED', '151m')", "'151m' of absent_for()", 22),
        ("sequence('IN_BED', 'IN_BED', within='3h')", "'3h' of sequence()", 37),
        ("count_between('IN_BED', '20:00', '23:00', within='1d') == 1", "'1d' of count_between()", 50),
        ("level('IN_BED') != 5 and exists('IN_BED', within='3h')", "'3h' of exists()", 50),
        ("count('IN_BED', within='3h') - level('IN_BED') != 5", "'3h' of count()", 24),
    ],
)
def test_a_span_longer_than_the_window_is_found_at_its_place(text: str, word: str, at: int) -> None:
    """Past and future together are what futureEvents can know: two and a half hours here."""
    warnings = [one for one in lint(future(passes=text, unknown="new_count('OUT_OF_BED') >= 2")) if one.at]

    (warning,) = warnings
    assert (warning.path, warning.at) == ((*FUTURE, "PASS"), at)
    assert warning.message.startswith(f"{word} is longer than the 150m that a check knows")
    assert warning.hint == "write at most '150m', or raise pastInterval below poller"


@pytest.mark.parametrize(
    ("past_interval", "resource", "span", "warned"),
    [
        (7200, "pastEvents", "2h", False),
        (7200, "pastEvents", "7201s", True),
        (7200, "futureEvents", "150m", False),
        (7200, "futureEvents", "151m", True),
        (0, "futureEvents", "30m", False),
        (0, "futureEvents", "31m", True),
        (-1, "pastEvents", "366d", False),
        (-1, "futureEvents", "366d", False),
        (0, "pastEvents", "1d", False),
    ],
)
def test_the_window_of_each_resource_bounds_its_spans(
    past_interval: int, resource: str, span: str, *, warned: bool
) -> None:
    """All the past has no bound, and a past that is never asked is another warning's matter."""
    changes = {f"resources__{resource}__expressions__PASS": f"exists('IN_BED', within='{span}')", "tests": []}

    warnings = lint(template(poller__pastInterval=past_interval, **changes))

    assert any(warning.at for warning in warnings) is warned


@pytest.mark.parametrize(
    ("expressions", "warned"),
    [
        ({"PASS": "exists('IN_BED')"}, True),
        ({"PASS": "count('IN_BED') > 2 and exists('OUT_OF_BED')"}, True),
        ({"PASS": "exists('IN_BED') and not window_ended"}, True),
        ({"PASS": "not window_ended and age('IN_BED') < 5"}, True),
        ({"PASS": "not (window_ended or exists('IN_BED'))"}, True),
        ({"PASS": "exists('IN_BED')", "FAIL": "window_ended"}, False),
        ({"FAIL": "window_ended and not exists('IN_BED')"}, False),
        ({"FAIL": "remaining_minutes < 1"}, False),
        ({"FAIL": "elapsed_minutes >= 30"}, False),
        ({"FAIL": "absent_for('IN_BED', '30m')"}, False),
        ({"FAIL": "age('IN_BED') > 30"}, False),
        ({"FAIL": "not exists('IN_BED', within='10m')"}, False),
        ({"FAIL": "count('IN_BED') == 0"}, False),
        ({"FAIL": "not exists('IN_BED')"}, False),
    ],
)
def test_a_window_whose_end_nobody_answers_is_found(expressions: dict[str, str], *, warned: bool) -> None:
    """Time that passes may make an expression true at the end, and so may silence; events alone can't."""
    silent = template(poller__onTimeout=..., resources__futureEvents__expressions=expressions, tests=[])

    found = said(lint(silent), ("poller", "onTimeout"))

    assert found == (["when the window ends undecided, the check ends as FAILED"] if warned else [])


def test_a_template_without_a_future_needs_no_answer_for_its_end() -> None:
    """It answers at its start."""
    changes: dict[str, object] = {"poller__onTimeout": ..., "poller__futureInterval": ..., "tests": []}

    warnings = lint(template(resources__futureEvents=..., **changes))

    assert [warning.path for warning in warnings] == [("tests",)]


@pytest.mark.parametrize(
    ("text", "always"),
    [
        ("True", True),
        ("not True", False),
        ("1 < 2", True),
        ("abs(-3) + 1 > max(4, 5)", False),
        ("exists('IN_BED') or 1 < 2", True),
        ("exists('IN_BED') and not (1 < 2)", False),
        ("window_ended or not False", True),
    ],
)
def test_a_condition_that_never_changes_is_found(text: str, *, always: bool) -> None:
    """Also where an event is asked for and its answer can't matter."""
    warnings = lint(future(passes=text, fails="exists('IN_BED')", unknown="new_count('OUT_OF_BED') >= 2"))

    assert f"is always {str(always).lower()}, whatever happens" in said(warnings, (*FUTURE, "PASS"))


@pytest.mark.parametrize(
    "text", ["window_ended", "not window_ended", "between('22:00', '23:00')", "elapsed_minutes > 1", "exists('IN_BED')"]
)
def test_a_condition_over_time_is_not_taken_for_a_constant(text: str) -> None:
    """It names no event and still changes."""
    warnings = lint(future(passes=text))

    assert not [warning for warning in warnings if warning.message.startswith("is always")]


def test_the_end_of_the_window_never_comes_for_the_past() -> None:
    """The past is asked once, at the start."""
    warnings = lint(template(resources__pastEvents__expressions__FAIL="window_ended and exists('IN_BED')"))

    assert said(warnings, (*PAST, "FAIL")) == ["is always false, whatever happens"]


def test_two_outcomes_with_one_condition_are_found_however_they_are_written() -> None:
    """The second could never decide; that no example reaches it goes without saying."""
    warnings = lint(
        future(
            passes="exists('IN_BED', within='1h')",
            fails='exists( "IN_BED", within = "60m" )',
            unknown="new_count('OUT_OF_BED') >= 2",
        )
    )

    assert [(warning.path, warning.message) for warning in warnings] == [
        ((*FUTURE, "FAIL"), "is the same condition as PASS, which is asked first: it never decides")
    ]


def test_events_without_their_interval_are_a_warning_only() -> None:
    """The step of a script may give one."""
    warnings = lint(template(poller={"onTimeout": "FAIL"}, tests=[]))

    assert [warning.path for warning in warnings] == [
        ("poller", "pastInterval"),
        ("poller", "futureInterval"),
        ("tests",),
    ]
    assert all("unless the step of a script gives one" in warning.message for warning in warnings[:2])


def test_a_window_without_anybody_who_listens_is_found() -> None:
    """A future interval does nothing without futureEvents."""
    warnings = lint(template(resources__futureEvents=..., tests=[]))

    assert said(warnings, ("poller", "futureInterval")) == ["nobody listens without futureEvents"]
