from copy import deepcopy
from typing import Any

import pytest

from domain.status_check import Event, Verdict
from domain.template import Judgement, Moment, Problem, TemplateError, judge, read_template

NOON = 1_764_072_000_000
CONTENT: dict[str, Any] = {
    "name": "TOILET_VISIT",
    "version": 3,
    "description": "Did the resident use the toilet?",
    "isActive": True,
    "pollUntilEnd": True,
    "poller": {"pastInterval": -1, "futureInterval": 1800, "onTimeout": "FAIL"},
    "resources": {
        "pastEvents": {
            "dependsOn": ["TOILET_ACTIVITY", "IN_TOILET"],
            "expressions": {"PASS": "exists('TOILET_ACTIVITY', within='2h')"},
        },
        "futureEvents": {
            "dependsOn": ["IN_TOILET", "OUTSIDE_HOME"],
            "expressions": {
                "UNKNOWN": "exists('OUTSIDE_HOME')",
                "FAIL": "count('IN_TOILET') > 3",
                "PASS": "exists('IN_TOILET')",
            },
        },
    },
}
EXAMPLE = {"name": "went", "start": "08:00", "evaluate": "start", "events": ["-1h TOILET_ACTIVITY"], "expect": "PASS"}


def changed(path: str, value: object) -> dict[str, Any]:
    """Copy the content with one field set, or removed when the value is Ellipsis."""
    content = deepcopy(CONTENT)
    *above, last = path.split(".")
    place = content
    for name in above:
        place = place[name]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return content


def moment(*names: str, time_zone: str = "UTC") -> Moment:
    events = [Event(number, name, NOON - 60_000) for number, name in enumerate(names, 1)]
    return Moment(events, NOON, NOON, None, None, time_zone=time_zone)


def test_a_template_is_read_field_by_field() -> None:
    """Names on the wire are camelCase, ours have units."""
    template = read_template(CONTENT)

    assert (template.name, template.version, template.is_active, template.poll_until_end) == (
        "TOILET_VISIT",
        3,
        True,
        True,
    )
    assert (template.past_interval_s, template.future_interval_s, template.on_timeout) == (-1, 1800, Verdict.FAIL)
    assert template.event_names == ("TOILET_ACTIVITY", "IN_TOILET", "OUTSIDE_HOME")
    assert template.past is not None
    assert template.future is not None
    assert list(template.past.expressions) == [Verdict.PASS]
    assert list(template.future.expressions) == [Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN]


def test_what_may_be_left_out_has_a_plain_meaning() -> None:
    """No intervals, no answer to silence, active, and the first decision counts."""
    content = {key: CONTENT[key] for key in ("name", "version", "description")}
    template = read_template(content | {"resources": {"pastEvents": CONTENT["resources"]["pastEvents"]}})

    assert (template.past_interval_s, template.future_interval_s, template.on_timeout) == (0, 0, None)
    assert (template.is_active, template.poll_until_end, template.future, template.cases) == (True, False, None, ())


@pytest.mark.parametrize(
    ("names", "verdict", "text"),
    [
        (["IN_TOILET", "OUTSIDE_HOME"], Verdict.PASS, "exists('IN_TOILET')"),
        (["OUTSIDE_HOME"], Verdict.UNKNOWN, "exists('OUTSIDE_HOME')"),
        ([], Verdict.PENDING, None),
        (["IN_KITCHEN"], Verdict.PENDING, None),
    ],
)
def test_the_first_true_expression_decides_and_none_leaves_it_pending(
    names: list[str], verdict: Verdict, text: str | None
) -> None:
    """The order is PASS, FAIL, UNKNOWN, however the file is written."""
    future = read_template(CONTENT).future
    assert future is not None

    assert judge(future, moment(*names)) == Judgement(verdict, text)


def broken_first(second: str) -> Judgement:
    content = changed(
        "resources.futureEvents.expressions",
        {"PASS": "between('00:00', '23:59') or exists('IN_TOILET')", "FAIL": second},
    )
    future = read_template(content).future
    assert future is not None
    return judge(future, moment("IN_TOILET", time_zone="Nowhere/Land"))


def test_an_expression_that_fails_is_noted_and_never_true() -> None:
    """Nothing else true: UNKNOWN, and the problem says which expression and why."""
    judgement = broken_first("exists('OUTSIDE_HOME')")

    assert (judgement.verdict, judgement.decided_by) == (Verdict.UNKNOWN, None)
    (problem,) = judgement.problems
    assert problem.startswith("PASS: the robot's local time is not known")
    assert problem.endswith(" in between('00:00', '23:59') or exists('IN_TOILET')")


def test_a_failing_expression_does_not_hide_a_true_one() -> None:
    """The next true expression decides; the problem stays noted."""
    judgement = broken_first("exists('IN_TOILET')")

    assert (judgement.verdict, judgement.decided_by) == (Verdict.FAIL, "exists('IN_TOILET')")
    assert len(judgement.problems) == 1


def test_too_many_events_are_cut_and_counted() -> None:
    """The judgement says how many older events nobody looked at."""
    future = read_template(CONTENT).future
    assert future is not None
    events = [Event(number, "IN_TOILET", NOON + number) for number in range(2_100)]

    judgement = judge(future, Moment(events, NOON, NOON, None, None))

    assert (judgement.verdict, judgement.left_out) == (Verdict.PASS, 100)


def test_the_hash_follows_what_decides_and_nothing_else() -> None:
    """A new text, state, example or version leaves it; an expression, a name, an interval changes it."""
    same = read_template(CONTENT).content_hash
    harmless: list[tuple[str, object]] = [
        ("description", "Other words."),
        ("isActive", False),
        ("version", 4),
        ("tests", [EXAMPLE]),
    ]
    for path, value in harmless:
        assert read_template(changed(path, value)).content_hash == same
    deciding: list[tuple[str, object]] = [
        ("name", "OTHER"),
        ("pollUntilEnd", False),
        ("poller.onTimeout", "UNKNOWN"),
        ("poller.pastInterval", 7200),
        ("resources.pastEvents.dependsOn", ["TOILET_ACTIVITY"]),
        ("resources.pastEvents.expressions.PASS", "exists('IN_TOILET')"),
    ]
    for path, value in deciding:
        assert read_template(changed(path, value)).content_hash != same


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", ...),
        ("name", ""),
        ("name", "1ST"),
        ("name", "TOILET VISIT"),
        ("name", "TOILET_VISIT\n"),
        ("name", "A" * 65),
        ("name", 7),
        ("version", ...),
        ("version", 0),
        ("version", -1),
        ("version", 2**31),
        ("version", "3"),
        ("version", 3.0),
        ("version", True),
        ("description", ...),
        ("description", ""),
        ("description", "  "),
        ("description", "two\nlines"),
        ("description", "zero\u200bwidth"),
        ("description", "x" * 501),
        ("isActive", "yes"),
        ("isActive", 1),
        ("pollUntilEnd", None),
        ("poller", []),
        ("poller", 7200),
        ("poller.pastInterval", -2),
        ("poller.pastInterval", "7200"),
        ("poller.pastInterval", 1.5),
        ("poller.futureInterval", -1),
        ("poller.futureInterval", 10**9),
        ("poller.onTimeout", "PENDING"),
        ("poller.onTimeout", "pass"),
        ("poller.until", 7),
        ("resources", {}),
        ("resources", None),
        ("resources", {"pastEvents": None}),
        ("resources.laterEvents", {}),
        ("resources.pastEvents.dependsOn", []),
        ("resources.pastEvents.dependsOn", "TOILET_ACTIVITY"),
        ("resources.pastEvents.dependsOn", ["TOILET_ACTIVITY", "TOILET_ACTIVITY"]),
        ("resources.pastEvents.dependsOn", ["TOILET_ACTIVITY", "toilet"]),
        ("resources.pastEvents.dependsOn", ["TOILET_ACTIVITY", "A?robot=1"]),
        ("resources.pastEvents.dependsOn", ["TOILET_ACTIVITY", "../A"]),
        ("resources.pastEvents.dependsOn", ["TOILET_ACTIVITY", "A\r\nHost: x"]),
        ("resources.pastEvents.dependsOn", ["TOILET_ACTIVITY", "A\n"]),
        ("resources.pastEvents.dependsOn", ["TOILET_ACTIVITY", "\u0410"]),
        ("resources.pastEvents.dependsOn", ["TOILET_ACTIVITY", "A" * 65]),
        ("resources.pastEvents.dependsOn", ["TOILET_ACTIVITY", 7]),
        ("resources.pastEvents.dependsOn", ["TOILET_ACTIVITY", *(f"E{number}" for number in range(16))]),
        ("resources.pastEvents.dependsOn", ["TOILET_ACTIVITY", *(f"E{number:063}" for number in range(10))]),
        ("resources.pastEvents.expressions", {}),
        ("resources.pastEvents.expressions", ...),
        ("resources.pastEvents.expressions", ["True"]),
        ("resources.pastEvents.expressions.PASS", True),
        ("resources.pastEvents.expressions.PASS", ""),
        ("resources.pastEvents.expressions.PASS", "exists('OUTSIDE_HOME')"),
        ("resources.pastEvents.expressions.PASS", "__import__('os')"),
        ("resources.pastEvents.expressions.PENDING", "True"),
        ("resources.pastEvents.expressions.pass", "True"),
        ("resources.pastEvents.within", "2h"),
        ("tests", {}),
        ("tests", ["x"]),
        ("author", "me"),
        ("isactive", True),
    ],
)
def test_a_wrong_field_is_refused_with_its_path(path: str, value: object) -> None:
    """Every refusal names a place at or below the field, or above it when the field is missing."""
    with pytest.raises(TemplateError) as refused:
        read_template(changed(path, value))

    names = [".".join(str(part) for part in problem.path) for problem in refused.value.problems]
    assert any(name.startswith(path) or path.startswith(name) for name in names)


@pytest.mark.parametrize("content", [None, [], "x", 7, {}, {1: 2}, {"name": {"name": {}}}])
def test_what_is_not_a_template_at_all_is_refused(content: object) -> None:
    """No shape of plain data makes another exception."""
    with pytest.raises(TemplateError):
        read_template(content)


def test_all_problems_of_a_template_come_together() -> None:
    """A bad field does not hide what is wrong with an expression."""
    content = changed("version", "3")
    content["resources"]["pastEvents"]["expressions"] = {"PASS": "exists('TOILET_ACTIVTY')"}
    content["isActve"] = True
    content["resources"]["futureEvents"]["expressions"]["FAIL"] = "count('IN_TOILET')"

    with pytest.raises(TemplateError) as refused:
        read_template(content)

    assert refused.value.problems == [
        Problem(("version",), "expected a whole number", "write it without quotes and without a fraction"),
        Problem(("isActve",), "unknown field", "did you mean isActive?"),
        Problem(
            ("resources", "pastEvents", "expressions", "PASS"),
            "'TOILET_ACTIVTY' is not in this resource's dependsOn",
            "did you mean TOILET_ACTIVITY?",
            at=8,
        ),
        Problem(
            ("resources", "futureEvents", "expressions", "FAIL"),
            "expected a condition, found a number",
            "compare it, such as count('X') >= 1",
            at=1,
        ),
    ]


def test_an_error_never_shows_the_value_that_was_wrong() -> None:
    """A file read by mistake may hold a secret."""
    private = "hunter-" + "x" * 20
    with pytest.raises(TemplateError) as refused:
        read_template({"name": private + "!", "version": private, "description": [private], "resources": private})

    assert private not in str(refused.value)
