"""What a check costs: CPU microseconds for three expressions, over 10 and 1,000 events. Run it as a script.

`asteval` is what production runs. `compile()` runs the same trees over the same words in Python itself, which is the
oracle of the tests and the lower bound; the index by event name is in both.
"""

import ast
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import CodeType

sys.path.insert(0, str(Path(__file__).parents[2]))

from domain.expression_functions import Facts, Moment, symbols
from domain.expression_syntax import parse_expression
from domain.status_check import Event, Verdict
from domain.template import Resource, judge

NAMES = ("TOILET_ACTIVITY", "IN_BED", "OUT_OF_BED", "INSIDE_HOME", "OUTSIDE_HOME")
TEXTS = {
    Verdict.PASS: "exists('TOILET_ACTIVITY', within='1s') or count('OUT_OF_BED', within='2h') > 1000",
    Verdict.FAIL: "window_ended and age('IN_BED') < age('OUT_OF_BED')",
    Verdict.UNKNOWN: "new_count('OUTSIDE_HOME') >= 1 and age('OUTSIDE_HOME') < 1000000",
}
WORST = " or ".join(
    f"count_between('IN_BED', '22:00', '06:00', within='{n}d') < 0 or sequence('IN_BED', 'OUT_OF_BED', within='{n}s')"
    for n in range(1, 9)
)
NOON = 1_764_072_000_000
ROUNDS, SECONDS_PER_ROUND = 7, 0.2


def moment(count: int, names: Sequence[str] = NAMES, zone: str = "UTC") -> Moment:
    """Make a moment with this many events, the newest a minute old."""
    events = [Event(n, names[n % len(names)], NOON - (count - n + 1) * 60_000, 10) for n in range(count)]
    return Moment(events, NOON, NOON - count * 60_000 - 60_000, None, NOON + 60_000, time_zone=zone)


def microseconds(run: Callable[[], object]) -> float:
    """Give the median over some rounds of the CPU time of one run."""
    costs = []
    for _ in range(ROUNDS):
        times, started = 0, time.process_time()
        while (spent := time.process_time() - started) < SECONDS_PER_ROUND:
            for _ in range(20):
                run()
            times += 20
        costs.append(spent / times * 1e6)
    return statistics.median(costs)


def compiled(resource: Resource) -> list[tuple[Verdict, CodeType, frozenset[str]]]:
    """Compile the same trees with Python itself."""
    return [
        (verdict, compile(ast.Expression(one.tree), "<expression>", "eval"), one.names)
        for verdict, one in resource.expressions.items()
    ]


def judge_compiled(codes: list[tuple[Verdict, CodeType, frozenset[str]]], at: Moment) -> Verdict:
    """Ask in the same order, with Python's own eval."""
    facts = Facts(at)
    for verdict, code, names in codes:
        if eval(code, {"__builtins__": {}, **symbols(names, facts)}):  # noqa: S307  our own texts, for comparison
            return verdict
    return Verdict.PENDING


def index(at: Moment) -> object:
    """Build the index by event name and nothing else."""
    return Facts(at).named("IN_BED")


def main() -> None:
    """Print the table."""
    resource = Resource(NAMES, {verdict: parse_expression(text, NAMES) for verdict, text in TEXTS.items()})
    worst = Resource(NAMES, {Verdict.PASS: parse_expression(WORST, NAMES)})
    print("CPU microseconds per check, median")  # noqa: T201  a script prints
    print(f"{'events':>8} {'asteval':>9} {'compile()':>10} {'index alone':>12}")  # noqa: T201  as above
    for count in (10, 1_000):
        at, codes = moment(count), compiled(resource)
        assert judge(resource, at).verdict is judge_compiled(codes, at) is Verdict.UNKNOWN
        runs = (partial(judge, resource, at), partial(judge_compiled, codes, at), partial(index, at))
        costs = [microseconds(run) for run in runs]
        print(f"{count:>8} {costs[0]:>9.1f} {costs[1]:>10.1f} {costs[2]:>12.1f}")  # noqa: T201  as above
    at = moment(2_000, ("IN_BED", "OUT_OF_BED"), "Europe/Amsterdam")
    print(f"worst legal expression, 2,000 events: {microseconds(lambda: judge(worst, at)) / 1_000:.1f} ms")  # noqa: T201  as above


if __name__ == "__main__":
    main()
