import copy
import time
from collections.abc import Callable

import pytest

from daemon.strict_yaml import MAX_BYTES, StrictYamlError, read_strict
from domain.template import MAX_REHEARSAL, Template, TemplateError, read_template
from domain.template_cases import misses

GOOD: dict[str, object] = {
    "name": "IN_BED_NOW",
    "version": 1,
    "description": "Is the resident in bed?",
    "isActive": True,
    "pollUntilEnd": False,
    "poller": {"pastInterval": 3600, "futureInterval": 1800, "onTimeout": "FAIL"},
    "resources": {
        "pastEvents": {"dependsOn": ["IN_BED"], "expressions": {"PASS": "exists('IN_BED')"}},
        "futureEvents": {"dependsOn": ["IN_BED", "OUT_OF_BED"], "expressions": {"PASS": "new_count('IN_BED') >= 1"}},
    },
    "tests": [{"name": "lies", "start": "08:00", "evaluate": "start", "events": ["-5m IN_BED"], "expect": "PASS"}],
}
GONE = object()
Place = tuple[str | int, ...]

WRONG_TYPES: tuple[object, ...] = (
    None,
    True,
    0,
    1,
    -1,
    1.0,
    1.5,
    float("nan"),
    "",
    " ",
    "1",
    "true",
    [],
    {},
    [[]],
    b"x",
    {1: 2},
    10**5_000,
)
FIELDS: dict[Place, tuple[object, ...]] = {  # what is right at each place, of the wrong types above
    ("name",): ("true",),
    ("version",): (1,),
    ("description",): ("1", "true"),
    ("isActive",): (True,),
    ("pollUntilEnd",): (True,),
    ("poller",): ({},),
    ("poller", "pastInterval"): (0, 1, -1),
    ("poller", "futureInterval"): (0, 1),
    ("poller", "onTimeout"): (None,),
    ("resources",): (),
    ("resources", "pastEvents"): (None,),
    ("resources", "pastEvents", "dependsOn"): (),
    ("resources", "pastEvents", "dependsOn", 0): (),
    ("resources", "pastEvents", "expressions"): (),
    ("resources", "pastEvents", "expressions", "PASS"): (),
    ("resources", "futureEvents", "expressions", "PASS"): (),
    ("tests",): ([],),
    ("tests", 0): (),
    ("tests", 0, "name"): ("1", "true"),
    ("tests", 0, "start"): (),
    ("tests", 0, "evaluate"): (),
    ("tests", 0, "events"): ([],),
    ("tests", 0, "events", 0): (),
    ("tests", 0, "expect"): (),
}
WRONG_VALUES: dict[Place, tuple[object, ...]] = {
    ("name",): (
        GONE,
        "1X",
        "-X",
        "_X",
        "X Y",
        "X\n",
        "\nX",
        "X;",
        "X/../Y",
        "\u0416",
        "\uff38",
        "X" * 65,
        "x.yaml",
        "X\x00",
    ),
    ("version",): (GONE, 2**31, 2**63, -(2**31), "1", "1.0", 1e3),
    ("description",): (
        GONE,
        "x" * 501,
        "a\nb",
        "a\tb",
        "a\x00",
        "a\x1b[31m",
        "a\u202eb",
        "a\u200bb",
        "\ufeffa",
        "\u00a0",
        "\ud800",
    ),
    ("isActive",): ("yes", "True", "on"),
    ("poller", "pastInterval"): (-2, 366 * 86_400 + 1, 2**63, "3600", "1h"),
    ("poller", "futureInterval"): (-1, 31 * 86_400 + 1, 2**63, "30m"),
    ("poller", "onTimeout"): ("pass", "PENDING", "ERROR", " PASS", "PASS\n"),
    ("poller", "interval"): (1,),
    ("poller", "past_interval"): (1,),
    ("poller", "__class__"): (1,),
    ("resources",): (GONE, {"pastEvents": None, "futureEvents": None}),
    ("resources", "PastEvents"): ({},),
    ("resources", "past_events"): ({},),
    ("resources", "pastEvents", "dependsOn"): (
        *(GONE, "IN_BED", ["IN_BED", "IN_BED"], ["IN_BED", "in_bed"], ["IN_BED\n"], ["\nIN_BED"], ["IN_BED?x=1"]),
        *(["IN_BED/.."], ["IN_BED#"], ["IN_BED%0a"], ["IN BED"], ["1N_BED"], ["_IN_BED"], ["IN-BED"], ["\u0406N_BED"]),
        *(["A" * 65], ["IN_BED", *(f"A{n}" for n in range(16))], [f"A{'B' * 60}{n}" for n in range(10)], [["IN_BED"]]),
    ),
    ("resources", "pastEvents", "depends_on"): (["IN_BED"],),
    ("resources", "pastEvents", "events"): (["IN_BED"],),
    ("resources", "pastEvents", "expressions"): (GONE, {"pass": "True"}, {"PENDING": "True"}, {"ERROR": "True"}),
    ("resources", "pastEvents", "expressions", "PASS"): ("exists('OUT_OF_BED')", "__import__('os')", "1", "x" * 1_001),
    ("resources", "pastEvents", "expressions", "Pass"): ("True",),
    ("tests",): ([GOOD["tests"]] * 2, [{}] * 101, ["x"], {"0": {}}),
    ("tests", 0, "name"): (GONE, "x" * 501, "a\nb", "a\u2028b"),
    ("tests", 0, "start"): (
        GONE,
        "24:00",
        "8:00",
        "08:60",
        "08:00:00",
        "08:00\n",
        " 08:00",
        "-8:00",
        "\u0660\u0668:00",
        "now",
    ),
    ("tests", 0, "evaluate"): (
        *(
            GONE,
            "End",
            "-20m",
            "20m",
            "+20",
            "+020m",
            "+1.5h",
            "+20m\n",
            "+1w",
            "+9999999d",
            "+367d",
            "++1m",
            "+-1m",
            "+",
        ),
    ),
    ("tests", 0, "events"): (
        *(["IN_BED"], ["-5m"], ["-5m  IN_BED"], ["-5m IN_BED "], [" -5m IN_BED"], ["5m IN_BED"], ["-5m in_bed"]),
        *(
            ["-5m IN_BED x"],
            ["-5m IN_BED -1"],
            ["-5m IN_BED 1000"],
            ["-5m IN_BED 1 2"],
            ["-5m\tIN_BED"],
            ["-5m IN_BED\n"],
        ),
        *(["-9999999d IN_BED"], ["+367d IN_BED"], ["-05m IN_BED"], ["-5.5m IN_BED"], ["-5m FALL"], ["-\u0665m IN_BED"]),
        *(["-5m IN_BED"] * 101, [{"-5m": "IN_BED"}], [["-5m IN_BED"]], "-5m IN_BED"),
    ),
    ("tests", 0, "expect"): (GONE, "pass", "FAILED", "PASS ", "ERROR"),
    ("tests", 0, "expected"): ("PASS",),
    ("tests", 0, "__proto__"): ({},),
    ("content_hash",): ("x",),
    ("contentHash",): ("x",),
    ("is_active",): (True,),
    ("model_config",): ({},),
    ("__dict__",): ({},),
    ("<<",): (GOOD,),
    ("",): (1,),
    ("x" * 10_000,): (1,),
}


def changed(place: Place, value: object) -> object:
    """Give a good template with another value at one place."""
    content = copy.deepcopy(GOOD)
    inner: object = content
    for part in place[:-1]:
        inner = inner[part]  # type: ignore[index]  # the places are those of GOOD
    if value is GONE:
        del inner[place[-1]]  # type: ignore[attr-defined]  # as above
    else:
        inner[place[-1]] = value  # type: ignore[index]  # as above
    return content


def same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


MISTAKES = [
    *(
        (place, value)
        for place, right in FIELDS.items()
        for value in WRONG_TYPES
        if not any(same(value, one) for one in right)
    ),
    *((place, value) for place, values in WRONG_VALUES.items() for value in values),
]


def shown(value: object) -> str:
    return "without it" if value is GONE else ascii(value)[:40] if not isinstance(value, int) else str(value)[:20]


def a_huge_number(value: object) -> bool:
    return isinstance(value, int) and value > 2**64


@pytest.mark.parametrize(
    ("place", "value"),
    MISTAKES,
    ids=[
        f"{'.'.join(map(str, place))[:40]}-{'huge' if a_huge_number(value) else shown(value)}"
        for place, value in MISTAKES
    ],
)
def test_a_template_with_one_wrong_value_is_refused_in_words_that_can_be_shown(place: Place, value: object) -> None:
    """Every type at every place, and values that are almost right: one error, which shows nothing of the value."""
    with pytest.raises(TemplateError) as refused:
        read_template(changed(place, value))

    assert refused.value.problems
    for problem in refused.value.problems:
        assert problem.message.isprintable()
        assert problem.hint.isprintable()
        assert len(problem.message) + len(problem.hint) < 600


def test_the_template_that_the_mistakes_are_made_in_is_right() -> None:
    """So that each is refused for its one mistake."""
    template = read_template(copy.deepcopy(GOOD))

    assert template.name == "IN_BED_NOW"
    assert misses(template) == []
    assert len(MISTAKES) > 450


@pytest.mark.parametrize(
    "content",
    [None, [], "", "x", 1, True, b"", [GOOD], {"a": GOOD}, {1: 2}, {None: None}],
    ids=lambda one: ascii(one)[:20],
)
def test_what_is_no_mapping_of_the_right_fields_is_no_template(content: object) -> None:
    """Whatever a file may hold at its top."""
    with pytest.raises(TemplateError):
        read_template(content)


def deep(levels: int, wrap: Callable[[object], object]) -> object:
    """Wrap something very often."""
    value: object = "x"
    for _ in range(levels):
        value = wrap(value)
    return value


@pytest.mark.parametrize(
    "place", [("tests",), ("poller",), ("resources", "pastEvents", "dependsOn"), ("name",), ("x",)]
)
def test_a_value_of_a_hundred_thousand_levels_is_refused(place: Place) -> None:
    """Templates may come out of a database one day, past the reader that bounds depth."""
    content = copy.deepcopy(GOOD)
    inner: object = content
    for part in place[:-1]:
        inner = inner[part]  # type: ignore[index]  # the places are those of GOOD
    inner[place[-1]] = deep(100_000, lambda value: [value])  # type: ignore[index]  # as above

    with pytest.raises(TemplateError):
        read_template(content)


def written(expressions: dict[str, str], cases: int, events: int, filling: str = "") -> str:
    """Write a template as YAML, with this many examples of this many events each."""
    lines = [
        "name: X\nversion: 1\ndescription: d\npollUntilEnd: true",
        "poller: {pastInterval: 0, futureInterval: 20000, onTimeout: FAIL}\nresources:\n  futureEvents:",
        "    dependsOn: [A, B]\n    expressions:",
        *(f'      {verdict}: "{text}"' for verdict, text in expressions.items()),
        "tests:",
    ]
    coming = ", ".join(f"'+{n}s {'AB'[n % 2]}'" for n in range(1, events + 1))
    one = f"- {{name: a, start: '00:00', evaluate: end, expect: FAIL, events: [{coming}]}}"
    return "\n".join([*lines, *[one] * cases, filling])


def triple(make: Callable[[int], str]) -> dict[str, str]:
    return {name: " or ".join(make(n) for n in range(1, 17)) for name in ("PASS", "FAIL", "UNKNOWN")}


HEAVY = {
    "nights": triple(lambda n: f"count_between('A','22:{n:02d}','06:00')<0"),
    "sequences": triple(lambda n: f"sequence('B','B',within='{n}s') and 1<0"),
    "hours": triple(lambda _: "last('A').hour<0"),
    "extremes": triple(lambda _: "min(1,1,1,1,1,1,1,1)<0"),
    "light": {"PASS": "exists('A') and 1 < 0"},
}


def seconds(text: str) -> tuple[float, Template | None]:
    """Give the least CPU time of three readings with all examples played, and the template if there is one."""
    times, template = [], None
    for _ in range(3):
        started = time.thread_time()
        try:
            template = read_template(read_strict(text)[0])
            misses(template)
        except (StrictYamlError, TemplateError):
            template = None
        times.append(time.thread_time() - started)
    return min(times), template


@pytest.mark.parametrize("name", HEAVY)
def test_the_heaviest_legal_file_is_read_and_played_within_half_a_second(name: str) -> None:
    """The most examples that the file may have with these expressions, filled up to the largest size with a comment."""
    accepted = 0
    for cases, events in ((18, 100), (2, 100), (4, 40), (100, 0), (50, 2), (9, 9), (1, 90)):
        text = written(HEAVY[name], cases, events)
        spent, template = seconds(text + "#" * (MAX_BYTES - len(text)))
        accepted += template is not None
        assert spent < 0.5

    assert accepted


def test_examples_that_would_take_too_long_are_refused_before_they_are_played() -> None:
    """What they would cost is known from the number of their events and the size of the expressions."""
    with pytest.raises(TemplateError, match="the examples take too long: 1836 times") as refused:
        read_template(read_strict(written(HEAVY["nights"], 18, 100))[0])
    assert refused.value.problems[0].path == ("tests",)

    light = read_template(read_strict(written(HEAVY["light"], 18, 100))[0])
    assert len(light.cases) == 18
    assert light.future is not None
    assert 1_836 * sum(one.cost for one in light.future.expressions.values()) <= MAX_REHEARSAL


LOADS = {
    "folded expression": ("PASS: >-\n        exists('A')\n        or exists('B')", "exists('A') or exists('B')"),
    "folded with a line end": ("PASS: >\n        exists('A')\n        or exists('B')\n", "exists('A') or exists('B')"),
    "literal of one line": ("PASS: |\n        exists('A')\n", "exists('A')"),
    "literal with indent and strip": ("PASS: |2-\n          exists('A')", "exists('A')"),
    "plain over two lines": ("PASS: exists('A')\n        or exists('B')", "exists('A') or exists('B')"),
    "plain that begins with a bracket": ("PASS: (exists('A') or exists('B'))", "(exists('A') or exists('B'))"),
    "double quotes": ("PASS: \"exists('A')\"", "exists('A')"),
    "single quotes": ("PASS: 'exists(''A'')'", "exists('A')"),
    "escapes": ("PASS: \"\\x65xists('A')\"", "exists('A')"),
    "with a comment": ("PASS: exists('A') # yes", "exists('A')"),
    "an explicit key": ("? PASS\n      : exists('A')", "exists('A')"),
}


@pytest.mark.parametrize("name", LOADS)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_an_expression_is_the_same_however_yaml_writes_it(name: str, ends: str) -> None:
    """Block scalars, folded lines and quotes give one text; so do the line ends of Windows."""
    line, expected = LOADS[name]
    text = (
        "name: X\nversion: 1\ndescription: d\nresources:\n  pastEvents:\n    dependsOn: [A, B]\n"
        f"    expressions:\n      {line}\n"
    )

    template = read_template(read_strict(text.replace("\n", ends))[0])

    assert template.past is not None
    assert [one.text for one in template.past.expressions.values()] == [expected]
