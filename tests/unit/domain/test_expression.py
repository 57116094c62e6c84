import ast
import gc
import sys
import threading
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from asteval.asteval import ALL_NODES

from domain.expression import ALLOWED_NODES, ExpressionFailed, _engine, evaluate
from domain.expression_functions import MAX_EVENTS, Facts, Moment, symbols
from domain.expression_syntax import Expression, parse_expression
from domain.expression_words import SIGNATURES, VARIABLES, ExpressionError, Unanswerable
from domain.status_check import Event

NAMES = ("TOILET_ACTIVITY", "IN_BED", "OUT_OF_BED")
MINUTE = 60_000
NOON = 1_764_072_000_000  # 2025-11-25 12:00 UTC


def moment(*events: tuple[str, float], now_ms: int = NOON, zone: str = "UTC", since_ms: int | None = None) -> Moment:
    """Build a moment from (name, minutes before now) pairs, in a window of an hour that is half over."""
    made = [Event(number, name, int(now_ms - ago * MINUTE), 10) for number, (name, ago) in enumerate(events, 1)]
    made.sort(key=lambda event: (event.created_at_ms, event.id))
    return Moment(made, now_ms, now_ms - 30 * MINUTE, since_ms, now_ms + 30 * MINUTE, time_zone=zone)


def ask(text: str, at: Moment) -> bool:
    return evaluate(parse_expression(text, NAMES), Facts(at))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("count('IN_BED') == 3", True),
        ("count('IN_BED', within='30m') == 1", True),
        ("count('IN_BED', within='60m') == 2", True),
        ("count('OUT_OF_BED') == 0", True),
        ("exists('IN_BED')", True),
        ("exists('OUT_OF_BED')", False),
        ("exists('IN_BED', within='5m')", False),
        ("exists('IN_BED', within='10m')", True),
        ("new_count('IN_BED') == 1", True),
        ("first('IN_BED').age_hours == 5", True),
        ("last('IN_BED').age_minutes == 10", True),
        ("last('IN_BED').age_seconds == 600", True),
        ("last('IN_BED').hour == 11", True),
        ("first('IN_BED').hour == 7", True),
        ("last('IN_BED').level == 10", True),
        ("level('IN_BED') == 10", True),
        ("age('IN_BED') == 10", True),
        ("absent_for('IN_BED', '10m')", True),
        ("absent_for('IN_BED', '11m')", False),
        ("absent_for('OUT_OF_BED', '1h')", True),
        ("absent_for('OUT_OF_BED', '3h')", False),
        ("between('11:59', '12:01')", True),
        ("between('12:00', '12:01')", True),
        ("between('11:00', '12:00')", False),
        ("between('22:00', '06:00')", False),
        ("between('06:00', '00:00')", True),
        ("count_between('IN_BED', '11:00', '12:00') == 2", True),
        ("count_between('IN_BED', '11:00', '12:00', within='30m') == 1", True),
        ("count_between('IN_BED', '23:00', '07:01') == 1", True),
        ("sequence('TOILET_ACTIVITY', 'IN_BED')", True),
        ("sequence('TOILET_ACTIVITY', 'IN_BED', within='10m')", True),
        ("sequence('TOILET_ACTIVITY', 'IN_BED', within='9m')", False),
        ("sequence('IN_BED', 'IN_BED', within='1h')", True),
        ("sequence('IN_BED', 'IN_BED', within='40m')", False),
        ("sequence('IN_BED', 'OUT_OF_BED')", False),
        ("abs(-3) == 3", True),
        ("min(3, 1, 2) == 1", True),
        ("max(3, 1, 2) == 3", True),
        ("elapsed_minutes == 30", True),
        ("remaining_minutes == 30", True),
        ("window_ended", False),
        ("not window_ended and 1 < 2 <= 2", True),
        ("1 < 3 <= 2", False),
        ("age('IN_BED') + 5 - 1 == 14", True),
    ],
)
def test_every_word_means_what_the_reference_says(text: str, *, expected: bool) -> None:
    """Three times in bed (5 h, 1 h and 10 min ago), once on the toilet (20 min ago), a window that began 2 h ago."""
    now = moment(("IN_BED", 300), ("IN_BED", 60), ("TOILET_ACTIVITY", 20), ("IN_BED", 10), since_ms=NOON - 120 * MINUTE)

    assert ask(text, now) is expected


def test_the_age_of_an_event_that_never_came_is_infinite_and_its_other_fields_are_no_numbers() -> None:
    """So the order of ages is total, and nothing else compares true."""
    nothing = moment()

    assert ask("age('IN_BED') > 1000000000", nothing)
    assert not ask("not age('IN_BED') > 1000000000", nothing)
    assert not ask("age('IN_BED') < age('OUT_OF_BED')", nothing)
    assert ask("first('IN_BED').age_hours > 1000000000", nothing)
    for field in ("last('IN_BED').hour", "last('IN_BED').level", "level('IN_BED')"):
        assert not ask(f"{field} < 5 or {field} >= 5", nothing)


def test_min_and_max_of_something_that_is_no_number_are_no_number_in_any_order() -> None:
    """Python's own answer would depend on the order of the arguments."""
    for text in ("min(level('IN_BED'), 1)", "min(1, level('IN_BED'))", "max(1, level('IN_BED'), 2)"):
        assert not ask(f"{text} < 9 or {text} >= 0", moment())


def test_an_event_without_a_level_has_none_to_compare() -> None:
    """The level is optional on the wire."""
    at = Moment([Event(1, "IN_BED", NOON, None)], NOON, NOON, None, None)

    assert not ask("level('IN_BED') <= 255", at)


def test_a_time_stamp_ahead_of_the_clock_counts_as_now() -> None:
    """Two clocks differ by seconds; an age is never negative."""
    ahead = moment(("IN_BED", -2))

    assert ask("age('IN_BED') == 0 and exists('IN_BED', within='1s') and not absent_for('IN_BED', '1s')", ahead)


def test_an_event_that_was_never_seen_is_absent_since_the_window_began() -> None:
    """With all the past in the window it was absent for any span."""
    assert ask("absent_for('IN_BED', '300d')", moment())
    assert not ask("absent_for('IN_BED', '3h')", moment(since_ms=NOON - 179 * MINUTE))
    assert ask("absent_for('IN_BED', '3h')", moment(since_ms=NOON - 180 * MINUTE))


def test_an_event_of_the_second_in_which_the_check_started_is_new() -> None:
    """Stamps have whole seconds, the start of a check may have milliseconds."""
    start = NOON + 700
    at = Moment([Event(1, "IN_BED", NOON - 1_000), Event(2, "IN_BED", NOON)], NOON + 5_000, start, None, None)

    assert ask("new_count('IN_BED') == 1", at)


def test_a_sequence_within_one_second_goes_by_the_ids() -> None:
    """The time alone can't tell which of two events of one second came first."""
    both = [Event(1, "OUT_OF_BED", NOON), Event(2, "IN_BED", NOON)]
    at = Moment(both, NOON, NOON, None, None)

    assert ask("sequence('OUT_OF_BED', 'IN_BED', within='1s')", at)
    assert not ask("sequence('IN_BED', 'OUT_OF_BED', within='1s')", at)
    assert not ask("sequence('IN_BED', 'IN_BED')", at)


def test_a_check_without_a_future_has_nothing_remaining() -> None:
    """Zero, and never negative after the end."""
    assert ask("remaining_minutes == 0", Moment([], NOON, NOON, None, None))
    assert ask("remaining_minutes == 0 and window_ended", Moment([], NOON, NOON, None, NOON - 1, window_ended=True))
    assert ask("elapsed_minutes == 0", Moment([], NOON, NOON + 500, None, None))


def local(text: str) -> int:
    """Milliseconds of a local time in Amsterdam; a trailing * means the second time that the clock shows it."""
    at = datetime.fromisoformat(text.rstrip("*")).replace(tzinfo=ZoneInfo("Europe/Amsterdam"), fold=int("*" in text))
    return int(at.timestamp() * 1_000)


@pytest.mark.parametrize(
    ("now", "text", "expected"),
    [
        ("2025-10-26T01:59", "between('02:00', '03:00')", False),
        ("2025-10-26T02:30", "between('02:00', '03:00')", True),
        ("2025-10-26T02:30*", "between('02:00', '03:00')", True),
        ("2025-10-26T03:00", "between('02:00', '03:00')", False),
        ("2026-03-29T01:59", "between('02:00', '03:00')", False),
        ("2026-03-29T03:00", "between('02:00', '03:00')", False),
        ("2026-03-29T03:00", "between('22:00', '06:00')", True),
        ("2026-03-29T05:59", "between('22:00', '06:00')", True),
        ("2026-03-29T06:00", "between('22:00', '06:00')", False),
        ("2025-10-26T05:59", "between('22:00', '06:00')", True),
        ("2025-10-26T06:00", "between('22:00', '06:00')", False),
        ("2025-07-01T22:00", "between('22:00', '06:00')", True),
        ("2025-12-31T23:59", "between('22:00', '06:00')", True),
    ],
)
def test_local_time_follows_the_clock_on_the_wall_through_the_year(now: str, text: str, *, expected: bool) -> None:
    """The hour that comes twice is inside both times, the hour that is skipped never comes."""
    assert ask(text, moment(now_ms=local(now), zone="Europe/Amsterdam")) is expected


@pytest.mark.parametrize(
    ("evening", "morning", "hours"),
    [
        ("2025-10-25T22:00", "2025-10-26T06:00", 9),
        ("2026-03-28T22:00", "2026-03-29T06:00", 7),
        ("2025-11-25T22:00", "2025-11-26T06:00", 8),
    ],
)
def test_ages_count_real_hours_while_nights_count_hours_on_the_wall(evening: str, morning: str, hours: int) -> None:
    """A night from ten to six lasts nine hours in October, seven in March; an event in each hour lies in the night."""
    start, end = local(evening), local(morning)
    events = [Event(number, "OUT_OF_BED", start + number * 60 * MINUTE) for number in range(hours + 1)]
    at = Moment(events, end, start, start, None, time_zone="Europe/Amsterdam")

    assert ask(f"first('OUT_OF_BED').age_hours == {hours}", at)
    assert ask(f"count_between('OUT_OF_BED', '22:00', '06:00') == {hours}", at)
    assert ask("first('OUT_OF_BED').hour == 22 and last('OUT_OF_BED').hour == 6", at)


@pytest.mark.parametrize("zone", ["Nowhere/Land", "", "../../etc/passwd", "Europe", "x" * 300, "UTC\x00"])
def test_a_wrong_time_zone_fails_only_what_needs_the_local_time(zone: str) -> None:
    """The message says so and shows nothing of the data."""
    at = moment(("IN_BED", 10), zone=zone)

    assert ask("age('IN_BED') == 10", at)
    with pytest.raises(ExpressionFailed, match="local time is not known") as failed:
        ask("between('22:00', '06:00')", at)
    assert not zone or zone not in str(failed.value)


def test_only_the_newest_events_are_looked_at_and_the_rest_is_counted() -> None:
    """The oldest of too many are left out."""
    events = [Event(number, "IN_BED", NOON - number) for number in range(MAX_EVENTS + 50, 0, -1)]
    facts = Facts(Moment(events, NOON, NOON, None, None))

    assert facts.left_out == 50
    assert evaluate(
        parse_expression(f"count('IN_BED') == {MAX_EVENTS} and first('IN_BED').age_seconds == 2", NAMES), facts
    )


EVERY_WORD = "exists('IN_BED') and last('IN_BED').hour + min(level('IN_BED'), abs(age('IN_BED'))) > 0"


def test_the_symbol_table_holds_plain_functions_and_plain_values_only() -> None:
    """No coroutine function, bound method, partial, class, module or generator is within an expression's reach."""
    facts = Facts(moment(("IN_BED", 1)))

    table = symbols([*SIGNATURES, *VARIABLES], facts)

    assert set(table) == {*SIGNATURES, *VARIABLES}
    for name, value in table.items():
        if name in VARIABLES:
            assert type(value) in (bool, float, int)
        else:
            assert type(value) is types.FunctionType
            assert not value.__code__.co_flags & (0x20 | 0x80 | 0x100 | 0x200)  # generators and coroutines


def test_the_engine_knows_nothing_but_the_words_that_the_expression_uses() -> None:
    """What is not in the text is not in the table; asteval's own print and builtins are gone."""
    assert set(symbols(parse_expression(EVERY_WORD, NAMES).names, Facts(moment()))) == {
        "exists",
        "last",
        "min",
        "level",
        "abs",
        "age",
    }
    smuggled = Expression("print(1)", ast.parse("print(1)", mode="eval").body, frozenset(), frozenset())
    with pytest.raises(ExpressionFailed):
        evaluate(smuggled, Facts(moment()))


SECOND_LAYER = {
    "[1][0]": "list",
    "(1,)": "tuple",
    "{1}": "set",
    "{1: 1}": "dict",
    "[x for x in (1,)]": "listcomp",
    "{x for x in (1,)}": "setcomp",
    "{x: x for x in (1,)}": "dictcomp",
    "lambda: True": "lambda",
    "True if True else False": "ifexp",
    "f'{1}'": "joinedstr",
    "'a'[0]": "subscript",
    "(x := True)": "namedexpr",
    "().__class__": "attribute",
}


@pytest.mark.parametrize("text", SECOND_LAYER)
def test_the_second_layer_refuses_what_the_whitelist_would_have_refused(text: str) -> None:
    """A tree that never passed the whitelist gets no answer from the engine either."""
    smuggled = Expression(text, ast.parse(text, mode="eval").body, frozenset(), frozenset())

    with pytest.raises(ExpressionFailed):
        evaluate(smuggled, Facts(moment()))


def test_every_node_of_asteval_that_we_do_not_use_is_switched_off() -> None:
    """Only eight kinds of nodes have a handler; a new one in a later asteval would show here."""
    engine = _engine(0)
    handlers: dict[str, Callable[[object], object]] = engine.node_handlers  # type: ignore[attr-defined]  # asteval's own
    live = {name for name, handler in handlers.items() if handler.__name__ != "unimplemented"}

    assert live == ALLOWED_NODES
    assert set(ALL_NODES) >= ALLOWED_NODES


def test_an_error_leaves_nothing_behind_for_the_next_expression() -> None:
    """After a failure asteval alone would answer None for ever."""
    broken = moment(("IN_BED", 1), zone="Nowhere/Land")
    for _ in range(3):
        with pytest.raises(ExpressionFailed):
            ask("between('22:00', '06:00') or exists('IN_BED')", broken)
        assert ask("exists('IN_BED')", broken)


def test_the_engine_keeps_no_events_and_no_texts_between_runs() -> None:
    """Neither success nor failure leaves the data of a resident in memory."""
    engine = _engine(threading.get_ident())
    before = len(engine.code_text)  # type: ignore[attr-defined]  # asteval's own
    for zone in ("UTC", "Nowhere/Land"):
        facts = Facts(moment(("IN_BED", 1), zone=zone))
        expression = parse_expression("between('22:00', '06:00') and exists('IN_BED')", NAMES)
        with suppress(ExpressionFailed):
            evaluate(expression, facts)
        gc.collect()
        holders = [one for one in gc.get_referrers(facts) if not isinstance(one, types.FrameType)]
        assert holders == []
    assert len(engine.code_text) == before  # type: ignore[attr-defined]  # asteval's own


def test_the_message_of_a_failure_names_no_data() -> None:
    """Asteval's own messages hold the repr of all arguments."""
    tree = ast.parse("exists('SECRET_NAME', 'x', 'y')", mode="eval").body
    smuggled = Expression("exists(...)", tree, frozenset({"exists"}), frozenset())

    with pytest.raises(ExpressionFailed) as failed:
        evaluate(smuggled, Facts(moment()))

    assert str(failed.value) == "TypeError in exists(...)"


def test_what_an_expression_says_must_be_exactly_true_or_false() -> None:
    """A number or None, should one ever come out, is a failure and not a falsehood."""
    for text in ("1", "None", "'x'"):
        smuggled = Expression(text, ast.parse(text, mode="eval").body, frozenset(), frozenset())
        with pytest.raises(ExpressionFailed, match="no condition came out"):
            evaluate(smuggled, Facts(moment()))


def test_threads_do_not_share_an_engine() -> None:
    """Four threads ask at once, each gets the answers of its own moment."""
    # Parsed ahead: CPython 3.11 counts the depth of all threads' parsers in one place, and trips over it.
    texts = [f"count('IN_BED') == {number} and not exists('OUT_OF_BED')" for number in range(9)]
    parsed = [parse_expression(text, NAMES) for text in texts]

    def asks(number: int) -> bool:
        facts = Facts(moment(*[("IN_BED", 1.0)] * number))
        return all(evaluate(parsed[number], facts) for _ in range(50))

    patience = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(asks, range(1, 9)))
    finally:
        sys.setswitchinterval(patience)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("exists('TOILET_ACTIVTY')", "did you mean TOILET_ACTIVITY?"),
        ("exists('OUTSIDE_HOME')", "add it to dependsOn"),
        ("exist('IN_BED')", "did you mean exists?"),
        ("exists('IN_BED') && window_ended", "use 'and', not '&&'"),
        ("exists('IN_BED') || window_ended", "use 'or', not '||'"),
        ("!exists('IN_BED')", "use 'not', not '!'"),
        ("count('IN_BED') = 1", "use '==' to compare"),
        ("IN_BED", "write exists('IN_BED')"),
        ("exists(IN_BED)", "put it in quotes"),
        ("exists", "it needs its brackets and arguments"),
        ("true", "write True"),
        ("'exists(x)'", "a condition needs no quotes of its own"),
        ("count('IN_BED')", "compare it, such as count('X') >= 1"),
        ("elapsed_minute > 1", "did you mean elapsed_minutes?"),
        ("last('IN_BED').age_minute > 1", "did you mean age_minutes?"),
        ("last('IN_BED') > 1", "take a field of it, such as .age_minutes"),
        ("exists('IN_BED', inside='4h')", "the only option is within="),
        ("exists('IN_BED', within='4 hours')", "write '90s', '30m', '4h' or '2d', at most '366d'"),
        ("between('22', '6')", "write '06:00' or '22:30', 24 hours"),
    ],
)
def test_a_mistake_comes_with_a_hint(text: str, hint: str) -> None:
    """The commonest slips are answered with what to write instead."""
    with pytest.raises(ExpressionError) as refused:
        parse_expression(text, NAMES)

    assert refused.value.hint == hint


def test_the_column_points_at_the_mistake() -> None:
    """Counted from 1 within the text."""
    with pytest.raises(ExpressionError) as refused:
        parse_expression("exists('IN_BED') or exists('OUTSIDE_HOME')", NAMES)

    assert refused.value.column == 28


def test_an_expression_knows_the_events_that_it_asks_for() -> None:
    """A linter can tell which names of dependsOn are never used."""
    parsed = parse_expression("  exists('IN_BED') or age('OUT_OF_BED') < 3  ", NAMES)

    assert parsed.events == {"IN_BED", "OUT_OF_BED"}
    assert parsed.names == {"exists", "age"}
    assert parsed.text == "exists('IN_BED') or age('OUT_OF_BED') < 3"


def test_an_unanswerable_question_is_said_in_our_own_words() -> None:
    """The facts name what is not known, not what was asked with."""
    with pytest.raises(Unanswerable):
        Facts(moment()).clock.minute_of_day(10**18)
