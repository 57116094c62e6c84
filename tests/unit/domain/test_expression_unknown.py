import ast
import math
from types import MappingProxyType

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from domain.expression import evaluate
from domain.expression_functions import Facts, Moment, symbols
from domain.expression_syntax import MAX_CALLS, parse_expression
from domain.expression_words import SIGNATURES
from domain.status_check import Event, Verdict
from domain.template import Resource, judge

NAMES = ("IN_BED", "OUT_OF_BED")
NOON = 1_764_072_000_000
NOTHING = Moment([], NOON, NOON, None, None)
LEVELS = Moment([Event(1, "IN_BED", NOON, 7), Event(2, "OUT_OF_BED", NOON, None)], NOON, NOON, None, None)
UNKNOWN_NUMBERS = (
    "level('IN_BED')",
    "first('IN_BED').level",
    "last('IN_BED').hour",
    "abs(level('IN_BED'))",
    "min(level('IN_BED'), 1)",
    "max(1, level('IN_BED'))",
    "level('IN_BED') + 1",
    "1 - level('IN_BED')",
    "count('IN_BED') + level('IN_BED')",
    "age('IN_BED') - age('OUT_OF_BED')",
    "abs(age('IN_BED') - age('IN_BED'))",
    "(1 - age('IN_BED')) + age('OUT_OF_BED')",
    "min(5, age('IN_BED') - last('IN_BED').age_minutes)",
)
COMPARISONS = (
    *("{0} < 5", "{0} <= 5", "{0} > 5", "{0} >= 5", "{0} == 5", "{0} != 5", "{0} == {0}", "{0} != {0}"),
    *("5 != {0}", "1 < {0} < 9", "1 != 2 != {0}", "{0} != 1 != 2", "0 < 1 != {0}", "{0} == 1 < 2"),
)


def ask(text: str, at: Moment) -> bool:
    return evaluate(parse_expression(text, NAMES), Facts(at))


@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize("number", UNKNOWN_NUMBERS)
def test_a_comparison_with_a_number_that_nobody_reported_is_never_true(number: str, comparison: str) -> None:
    """Neither as it stands, nor below one `not` or two, nor inside brackets with `and` and `or`."""
    condition = comparison.format(number)

    for text in (condition, f"not {condition}", f"not not ({condition})", f"not not not ({condition})"):
        assert not ask(text, NOTHING)
        assert not ask(f"window_ended or ({text})", NOTHING)
        assert not ask(f"not (not window_ended and {condition})", NOTHING)
        assert not ask(f"not (window_ended or {condition})", NOTHING)


@pytest.mark.parametrize("text", ["not level('IN_BED') > 5", "level('IN_BED') != 5", "last('IN_BED').hour != 3"])
def test_a_sensor_that_never_spoke_passes_and_fails_nobody(text: str) -> None:
    """The check stays open and its end decides; a sensor that spoke decides."""
    for verdict in (Verdict.PASS, Verdict.FAIL):
        resource = Resource(NAMES, MappingProxyType({verdict: parse_expression(text, NAMES)}))
        spoken = Moment([Event(1, "IN_BED", NOON, 4)], NOON, NOON, None, None)

        assert judge(resource, NOTHING).verdict is Verdict.PENDING
        assert judge(resource, spoken).verdict is verdict


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("level('IN_BED') != 5", True),
        ("level('IN_BED') != 7", False),
        ("not level('IN_BED') == 7", False),
        ("not level('IN_BED') != 7", True),
        ("not level('IN_BED') < 7", True),
        ("not level('IN_BED') <= 7", False),
        ("not level('IN_BED') > 7", True),
        ("not level('IN_BED') >= 7", False),
        ("not 1 < level('IN_BED') < 5", True),
        ("not 1 < level('IN_BED') < 9", False),
        ("not (level('IN_BED') > 5 and exists('IN_BED'))", False),
        ("not (level('IN_BED') > 9 or window_ended)", True),
        ("3 != level('IN_BED') != 5", True),
        ("3 != level('IN_BED') != 7", False),
        ("not 3 != level('IN_BED') != 7", True),
        ("not level('OUT_OF_BED') > 5 or level('IN_BED') == 7", True),
        ("level('OUT_OF_BED') != 5 and level('IN_BED') == 7", False),
        ("not age('IN_BED') > 5", True),
        ("not not exists('IN_BED')", True),
        ("not (window_ended or not exists('IN_BED'))", True),
    ],
)
def test_with_known_numbers_not_and_unequal_mean_what_they_say(text: str, *, expected: bool) -> None:
    """IN_BED has level 7, OUT_OF_BED came without one."""
    assert ask(text, LEVELS) is expected


def test_the_order_of_ages_stays_total_under_not() -> None:
    """An age that is infinite is a number, so its comparisons can be turned round."""
    assert ask("not age('IN_BED') < 5", NOTHING)
    assert ask("age('IN_BED') != 5", NOTHING)
    assert ask("age('IN_BED') == age('OUT_OF_BED')", NOTHING)
    assert not ask("age('IN_BED') != age('OUT_OF_BED')", NOTHING)


def test_a_condition_without_missing_numbers_keeps_its_tree() -> None:
    """Nothing is rewritten that needs no care."""
    text = "count('IN_BED') != 3 and not count('IN_BED') + elapsed_minutes > 5 and exists('IN_BED')"
    fresh = ast.parse(text, mode="eval").body

    assert ast.dump(parse_expression(text, NAMES).tree) == ast.dump(fresh)


unknown = st.sampled_from(UNKNOWN_NUMBERS)
known = st.sampled_from(["count('IN_BED')", "3", "elapsed_minutes", "age('OUT_OF_BED')", "max(2, count('IN_BED'))"])
operators = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
numbers = unknown | known
leaves = st.one_of(
    st.builds("{} {} {}".format, numbers, operators, numbers),
    st.builds("{} {} {} {} {}".format, numbers, operators, numbers, operators, numbers),
    st.sampled_from(["True", "False", "window_ended", "exists('IN_BED')"]),
)
conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map("not ({})".format),
        st.builds("({}) {} ({})".format, inner, st.sampled_from(["and", "or"]), inner),
    ),
    max_leaves=5,
)


def truth(node: ast.AST, table: dict[str, object]) -> bool | None:
    """Work a condition out in three values: a comparison with not-a-number is None, and None spreads as doubt does."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = truth(node.operand, table)
        return None if inner is None else not inner
    if isinstance(node, ast.BoolOp):
        deciding = isinstance(node.op, ast.Or)
        values = [truth(value, table) for value in node.values]
        return deciding if deciding in values else None if None in values else not deciding
    if isinstance(node, ast.Compare):
        left, pairs = node.left, []
        for operator, right in zip(node.ops, node.comparators, strict=True):
            doubtful = any(math.isnan(float(str(run(one, table)))) for one in (left, right))
            pairs.append(None if doubtful else bool(run(ast.Compare(left, [operator], [right]), table)))
            left = right
        return False if False in pairs else None if None in pairs else True
    return bool(run(node, table))


def run(node: ast.AST, table: dict[str, object]) -> object:
    """Let Python work out a part of a tree."""
    tree = ast.fix_missing_locations(ast.Expression(node))  # type: ignore[arg-type]  # an expression of our own
    return eval(compile(tree, "<part>", "eval"), {"__builtins__": {}, **table})  # noqa: S307  our own texts


@settings(max_examples=300, deadline=None)
@given(conditions, st.sampled_from([NOTHING, LEVELS]))
def test_a_condition_is_true_exactly_if_it_is_true_beyond_doubt(text: str, at: Moment) -> None:
    """Compared with a logic of three values over the tree as it was written."""
    assume(sum(text.count(f"{word}(") for word in SIGNATURES) <= MAX_CALLS)
    expression = parse_expression(text, NAMES)
    table = symbols(expression.names, Facts(at))

    assert evaluate(expression, Facts(at)) is (truth(ast.parse(text, mode="eval").body, table) is True)
