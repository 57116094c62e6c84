import ast
from contextlib import suppress
from types import MappingProxyType

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.expression import ExpressionFailed, evaluate
from domain.expression_functions import Facts, Moment, symbols
from domain.expression_syntax import Expression, parse_expression
from domain.expression_words import ExpressionError
from domain.status_check import Event, Verdict
from domain.template import Resource, judge

NAMES = ("TOILET_ACTIVITY", "IN_BED", "OUT_OF_BED")
NOON = 1_764_072_000_000
DAY = 86_400_000
WORDS = tuple(
    "exists count new_count first last age absent_for between count_between sequence level abs min max "  # noqa: SIM905  a list of 60 lines says less
    "elapsed_minutes remaining_minutes window_ended and or not in is if else lambda True False None "
    "'IN_BED' 'TOILET_ACTIVITY' '4h' '22:00' '06:00' within= .level .hour .age_minutes .__class__ "
    "( ) [ ] { } , . : = == != < <= > >= + - * ** / % 0 1 2.5 1e9 1e999 __import__ x".split()
)

names = st.sampled_from(NAMES).map(repr)
spans = st.sampled_from(["'1s'", "'30m'", "'4h'", "'300d'"])
options = st.one_of(st.just(""), spans.map(", within={}".format))
times = st.sampled_from([("'22:00'", "'06:00'"), ("'06:00'", "'12:00'"), ("'11:59'", "'12:01'")]).map(", ".join)
leaf_numbers = st.one_of(
    st.integers(-1_000, 1_000).map(str),
    st.floats(0, 1e6, allow_nan=False).map(str),
    st.sampled_from(["elapsed_minutes", "remaining_minutes"]),
    st.builds("count({}{})".format, names, options),
    st.builds("{}({})".format, st.sampled_from(["new_count", "age", "level"]), names),
    st.builds("count_between({}, {}{})".format, names, times, options),
    st.builds(
        "{}({}).{}".format,
        st.sampled_from(["first", "last"]),
        names,
        st.sampled_from(["age_seconds", "age_minutes", "age_hours", "hour", "level"]),
    ),
)
numbers = st.recursive(
    leaf_numbers,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from("+-"), inner),
        st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), inner, inner),
        inner.map("abs({})".format),
    ),
    max_leaves=4,
)
operators = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
leaf_conditions = st.one_of(
    st.sampled_from(["True", "False", "window_ended"]),
    st.builds("exists({}{})".format, names, options),
    st.builds("absent_for({}, {})".format, names, spans),
    times.map("between({})".format),
    st.builds("sequence({}, {}{})".format, names, names, options),
    st.builds("{} {} {}".format, numbers, operators, numbers),
    st.builds("{} {} {} {} {}".format, leaf_numbers, operators, leaf_numbers, operators, leaf_numbers),
)
conditions = st.recursive(
    leaf_conditions,
    lambda inner: st.one_of(
        inner.map("not ({})".format),
        st.builds("({}) {} ({})".format, inner, st.sampled_from(["and", "or"]), inner),
    ),
    max_leaves=5,
)
stamps = st.one_of(st.integers(-2 * DAY, DAY).map(lambda offset: (NOON + offset) // 1_000 * 1_000))
wild_stamps = st.one_of(stamps, st.integers(-(2**70), 2**70))


def events_of(at: st.SearchStrategy[int]) -> st.SearchStrategy[list[Event]]:
    made = st.lists(st.builds(Event, st.integers(1, 99), st.sampled_from(NAMES), at, st.none() | st.integers(0, 255)))
    return made.map(lambda events: sorted(events, key=lambda event: (event.created_at_ms, event.id)))


moments = st.builds(
    Moment, events_of(stamps), stamps, stamps, st.none() | stamps, st.none() | stamps, st.booleans(), st.just("UTC")
)
wild_moments = st.builds(
    Moment,
    events_of(wild_stamps),
    wild_stamps,
    wild_stamps,
    st.none() | wild_stamps,
    st.none() | wild_stamps,
    st.booleans(),
    st.sampled_from(["UTC", "Europe/Amsterdam", "Nowhere/Land", "", "\x00"]),
)


def oracle(expression: Expression, moment: Moment) -> object:
    """Give what Python itself says of the same tree and the same words."""
    code = compile(ast.Expression(expression.tree), "<expression>", "eval")
    table = symbols(expression.names, Facts(moment))
    return eval(code, {"__builtins__": {}, **table})  # noqa: S307  the tree passed the whitelist; this is the oracle


@settings(max_examples=400, deadline=None)
@given(conditions, moments)
def test_asteval_and_python_agree_on_every_legal_expression(text: str, moment: Moment) -> None:
    """Same tree, same moment, same answer."""
    try:
        expression = parse_expression(text, NAMES)
    except ExpressionError as error:
        assert "too big" in str(error) or "characters" in str(error) or "calls" in str(error)  # noqa: PT017
        return

    assert evaluate(expression, Facts(moment)) is oracle(expression, moment)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["PASS", "FAIL", "UNKNOWN"]), conditions, min_size=1), wild_moments)
def test_a_judgement_never_raises_and_never_passes_on_an_error(texts: dict[str, str], moment: Moment) -> None:
    """Whatever the data, the verdict is that of the first true expression; an error is noted and never true."""
    try:
        expressions = {verdict: parse_expression(texts[verdict], NAMES) for verdict in Verdict if verdict in texts}
    except ExpressionError:
        return

    judgement = judge(Resource(NAMES, MappingProxyType(expressions)), moment)

    expected, failures = Verdict.PENDING, 0
    for verdict, expression in expressions.items():
        try:
            if oracle(expression, moment):
                expected = verdict
                break
        except Exception:  # noqa: BLE001  the oracle fails in Python's own ways
            failures += 1
    if expected is Verdict.PENDING and failures:
        expected = Verdict.UNKNOWN
    assert judgement.verdict is expected
    assert len(judgement.problems) == failures
    assert all(problem.isprintable() and len(problem) < 300 for problem in judgement.problems)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join), st.text(max_size=60), st.binary()))
def test_any_text_at_all_is_either_a_harmless_condition_or_refused(text: object) -> None:
    """No other exception leaves the whitelist, and what passes answers true or false or fails by name."""
    try:
        expression = parse_expression(text, NAMES)
    except ExpressionError:
        return

    with suppress(ExpressionFailed):
        assert evaluate(expression, Facts(Moment([], NOON, NOON, None, None))) in (True, False)
