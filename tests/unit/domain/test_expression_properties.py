import ast
from contextlib import suppress
from datetime import UTC, datetime
from itertools import product
from types import MappingProxyType
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.expression import ExpressionFailed, evaluate
from domain.expression_clock import LocalClock
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
YEAR_1, YEAR_9999 = -62_135_596_800_000, 253_402_300_799_000
edges = st.sampled_from([0, -1, YEAR_1, YEAR_1 - 1, YEAR_9999, YEAR_9999 + 1_000, 2**63, -(2**63), 10**400])
wild_stamps = st.one_of(stamps, edges, st.integers(-(2**70), 2**70))


levels = st.none() | st.integers(0, 255)
wild_levels = levels | st.sampled_from([-1, 10**400])


def any_events(at: st.SearchStrategy[int], level: st.SearchStrategy[int | None]) -> st.SearchStrategy[list[Event]]:
    """Build events in any order, equal ids and copies among them."""
    event = st.builds(Event, st.integers(-1, 9), st.sampled_from(NAMES), at, level)
    return st.lists(st.one_of(event, st.just(Event(1, "IN_BED", NOON, 255))), max_size=12)


def events_of(at: st.SearchStrategy[int]) -> st.SearchStrategy[list[Event]]:
    return any_events(at, levels).map(lambda events: sorted(events, key=lambda event: (event.created_at_ms, event.id)))


moments = st.builds(
    Moment, events_of(stamps), stamps, stamps, st.none() | stamps, st.none() | stamps, st.booleans(), st.just("UTC")
)
wild_moments = st.builds(
    Moment,
    any_events(wild_stamps, wild_levels),
    wild_stamps,
    wild_stamps,
    st.none() | wild_stamps,
    st.none() | wild_stamps,
    st.booleans(),
    st.sampled_from(["UTC", "Europe/Amsterdam", "Asia/Kathmandu", "Nowhere/Land", "", "\x00", "../x", "posixrules"]),
)


def oracle(expression: Expression, moment: Moment) -> object:
    """Give what Python itself says of the same tree and the same words."""
    code = compile(ast.Expression(expression.tree), "<expression>", "eval")
    table = symbols(expression.names, Facts(moment))
    return eval(code, {"__builtins__": {}, **table})  # noqa: S307  the tree passed the whitelist; this is the oracle


@settings(max_examples=1_000, deadline=None)
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


@settings(max_examples=300, deadline=None)
@given(st.data(), moments)
def test_the_quick_counts_are_those_of_a_plain_walk(data: st.DataObject, moment: Moment) -> None:
    """Sequences and counts between two times, asked many times of one moment, over an independent reading."""
    facts = Facts(moment)
    for _ in range(6):
        first, then = data.draw(st.sampled_from(NAMES)), data.draw(st.sampled_from(NAMES))
        within = data.draw(st.none() | st.sampled_from([1_000, 60_000, 3_600_000, DAY]))
        start, end = data.draw(st.sampled_from([(0, 1_439), (1_320, 360), (360, 1_320), (719, 720), (720, 719)]))
        gaps = [
            after.created_at_ms - before.created_at_ms
            for before, after in product(moment.events, repeat=2)
            if (before.name, after.name) == (first, then)
            if (before.created_at_ms, before.id) < (after.created_at_ms, after.id)
        ]
        minutes = [
            event.created_at_ms // 60_000 % 1_440
            for event in moment.events
            if event.name == first and (within is None or event.created_at_ms >= moment.now_ms - within)
        ]
        wrapped = [minute for minute in minutes if (minute - start) % 1_440 < (end - start) % 1_440]

        assert facts.shortest_gap(first, then) == min(gaps, default=None)
        assert facts.count_between(first, start, end, within) == len(wrapped)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(
        ["UTC", "Europe/Amsterdam", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Cairo"]
    ),
    st.lists(st.datetimes(datetime(1971, 1, 1), datetime(2060, 1, 1)), max_size=5),  # noqa: DTZ001  made aware below
    st.integers(1, 200_000),
)
def test_the_minutes_of_many_stamps_are_those_of_each(zone: str, begins: list[datetime], step_s: int) -> None:
    """Sorted or not, over changes of the clocks and days that a zone left out."""
    clock = LocalClock(zone)
    stamps = [int(one.replace(tzinfo=UTC).timestamp() + n * step_s) * 1_000 for one in begins for n in range(30)]

    assert clock.minutes_of_day(stamps) == [clock.minute_of_day(stamp) for stamp in stamps]


def test_the_clock_is_right_in_every_minute_around_its_changes() -> None:
    """Three days around each change of two years."""
    clock = LocalClock("Europe/Amsterdam")
    for change in ("2025-03-30T01:00Z", "2025-10-26T01:00Z", "2026-03-29T01:00Z"):
        middle_s = int(datetime.fromisoformat(change).timestamp())
        stamps = [(middle_s + minute * 60 + 59) * 1_000 + 999 for minute in range(-2_160, 2_160)]
        expected = [datetime.fromtimestamp(stamp // 1_000, ZoneInfo("Europe/Amsterdam")) for stamp in stamps]

        assert clock.minutes_of_day(stamps) == [at.hour * 60 + at.minute for at in expected]


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
