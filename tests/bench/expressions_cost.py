"""What a check costs: CPU microseconds for three expressions, over 10 and 1,000 events. Run it as a script.

`asteval` is what production runs. `compile()` runs the same trees over the same words in Python itself, which is the
oracle of the tests and the lower bound; the index by event name is in both. All three expressions are asked, because
neither of the first two is true.
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

from daemon.strict_yaml import read_strict
from domain.expression_functions import Facts, Moment, symbols
from domain.expression_syntax import parse_expression
from domain.status_check import Event, Verdict
from domain.template import Resource, judge, read_template

ROOT = Path(__file__).parents[2]
NAMES = ("TOILET_ACTIVITY", "IN_BED", "OUT_OF_BED", "INSIDE_HOME", "OUTSIDE_HOME")
PLAIN = (
    "exists('TOILET_ACTIVITY', within='1s') or count('OUT_OF_BED', within='2h') > 1000",
    "window_ended and age('IN_BED') < age('OUT_OF_BED')",
    "new_count('OUTSIDE_HOME') >= 1 and age('OUTSIDE_HOME') < 1000000",
)
HEAVIER = (
    "sequence('OUT_OF_BED', 'TOILET_ACTIVITY', within='1s') and count_between('IN_BED', '22:00', '06:00') > 0",
    "count_between('OUT_OF_BED', '23:00', '06:00', within='2d') > 5000 or absent_for('INSIDE_HOME', '300d')",
    "level('IN_BED') != 7 and last('IN_BED').hour >= 0 and between('00:00', '23:59') and not window_ended",
)
WORST = " or ".join(
    f"count_between('IN_BED', '22:00', '06:00', within='{n}d') < 0 or sequence('IN_BED', 'OUT_OF_BED', within='{n}s')"
    for n in range(1, 9)
)
NOON = 1_764_072_000_000
ROUNDS, SECONDS_PER_ROUND = 7, 0.1


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


def resources() -> dict[str, Resource]:
    """Give what is measured: texts of our own, and a template of ours as it is."""
    verdicts = (Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN)
    made = {}
    for name, texts in (("plain", PLAIN), ("heavier", HEAVIER)):
        expressions = {verdict: parse_expression(text, NAMES) for verdict, text in zip(verdicts, texts, strict=True)}
        made[name] = Resource(NAMES, expressions)
    ours = read_template(read_strict((ROOT / "templates" / "back_in_bed.yaml").read_bytes())[0]).future
    assert ours is not None
    assert len(ours.expressions) == len(verdicts)
    return {**made, "back_in_bed.yaml": ours}


def main() -> None:
    """Print the table."""
    worst = Resource(NAMES, {Verdict.PASS: parse_expression(WORST, NAMES)})
    print("CPU microseconds per check of three expressions, median")  # noqa: T201  a script prints
    print(f"{'':>16} {'events':>8} {'asteval':>9} {'compile()':>10} {'index alone':>12}")  # noqa: T201  as above
    for name, resource in resources().items():
        for count in (10, 1_000):
            at, codes = moment(count, resource.depends_on, "Europe/Amsterdam"), compiled(resource)
            assert judge(resource, at).verdict is judge_compiled(codes, at)
            runs = (partial(judge, resource, at), partial(judge_compiled, codes, at), partial(index, at))
            costs = [microseconds(run) for run in runs]
            print(f"{name:>16} {count:>8} {costs[0]:>9.1f} {costs[1]:>10.1f} {costs[2]:>12.1f}")  # noqa: T201  as above
    at = moment(2_000, ("IN_BED", "OUT_OF_BED"), "Europe/Amsterdam")
    print(f"worst legal expression, 2,000 events: {microseconds(lambda: judge(worst, at)) / 1_000:.1f} ms")  # noqa: T201  as above


if __name__ == "__main__":
    main()
