"""What is legal in a template and yet probably not meant: warnings for its author, each with a way out."""

import ast
from collections.abc import Callable, Iterator
from itertools import combinations

from domain.check_course import ON_TIMEOUT, Asked
from domain.event_names import EVENT_NAMES, nearest_event
from domain.expression import ExpressionFailed, evaluate, value_of
from domain.expression_functions import Facts
from domain.expression_syntax import Expression
from domain.status_check import Verdict
from domain.template import FUTURE, PAST, Moment, Problem, Resource, Template
from domain.template_cases import rehearse_case
from domain.template_schema import Path

# Words whose answer changes while nothing happens but time passing.
_OF_TIME = frozenset(
    ["window_ended", "elapsed_minutes", "remaining_minutes", "absent_for", "age", "first", "last", "between"]
)
_OF_NUMBERS = frozenset(["abs", "min", "max"])
_NOTHING = Facts(Moment((), 0, 0, None, None))


def lint(template: Template) -> list[Problem]:
    """Every warning about a template, in the order of the rules. Rehearses its examples."""
    warnings = [warning for rule in _RULES for warning in rule(template)]
    told = {warning.path for warning in warnings}
    return warnings + [warning for warning in _of_examples(template) if warning.path not in told]


def _intervals(template: Template) -> Iterator[Problem]:
    unless = ", unless the step of a script gives one"
    if template.past is not None and not template.past_interval_s:
        hint = "add pastInterval: 7200, in seconds, or -1 for all the past"
        yield Problem(("poller", "pastInterval"), f"pastEvents are never asked without an interval{unless}", hint)
    if template.future is not None and not template.future_interval_s:
        hint = "add futureInterval: 1800, in seconds"
        yield Problem(("poller", "futureInterval"), f"futureEvents are never asked without an interval{unless}", hint)
    if template.future is None and template.future_interval_s:
        hint = "add futureEvents, or remove it"
        yield Problem(("poller", "futureInterval"), "nobody listens without futureEvents", hint)


def _silence(template: Template) -> Iterator[Problem]:
    if template.future is None or template.on_timeout is not None:
        return
    end = _silent_end(template)
    if not any(_may_answer(expression, end) for expression in template.future.expressions.values()):
        hint = "add onTimeout: FAIL below poller, or an expression with window_ended"
        yield Problem(("poller", "onTimeout"), "when the window ends undecided, the check ends as FAILED", hint)


def _events(template: Template) -> Iterator[Problem]:
    for key, resource in _resources(template):
        used = {name for expression in resource.expressions.values() for name in expression.events}
        for number, name in enumerate(resource.depends_on):
            path: Path = ("resources", key, "dependsOn", number)
            if name not in used:
                hint = "remove it, or ask for it in an expression"
                yield Problem(path, f"no expression of {key} asks for {name}", hint)
            if name not in EVENT_NAMES:
                near = nearest_event(name)
                hint = f"did you mean {near}?" if near else "docs/templates.md lists the known ones"
                yield Problem(path, f"Megazord is not known to have {name}", hint)


def _constants(template: Template) -> Iterator[Problem]:
    for path, expression in _expressions(template):
        # The past is asked once, at the start of the window.
        answer = _truth(expression, expression.tree, window_ended=False if path[1] == PAST else None)
        if answer is not None:
            hint = "onTimeout answers silence" if answer else "remove it; window_ended is for futureEvents"
            yield Problem(path, f"is always {str(answer).lower()}, whatever happens", hint)


def _twins(template: Template) -> Iterator[Problem]:
    for key, resource in _resources(template):
        for (first, one), (second, other) in combinations(resource.expressions.items(), 2):
            if ast.dump(one.tree) == ast.dump(other.tree):
                message = f"is the same condition as {first}, which is asked first: it never decides"
                yield Problem(_path(key, second), message, "remove one of them, or write what makes them differ")


def _spans(template: Template) -> Iterator[Problem]:
    past_s, future_s = template.past_interval_s, template.future_interval_s
    longest_s = {PAST: past_s, FUTURE: past_s + future_s if future_s else 0}
    for path, expression in _expressions(template):
        longest_ms = longest_s[str(path[1])] * 1_000
        if past_s < 0 or longest_ms <= 0:
            continue
        for word, span in _spans_of(expression.tree):
            if isinstance(span.value, int) and span.value > longest_ms:
                text = expression.text[span.col_offset : span.end_col_offset]
                effect = "so it can never be true" if word == "absent_for" else "so it leaves nothing out"
                message = f"{text} of {word}() is longer than the {_span(longest_ms)} that a check knows, {effect}"
                hint = f"write at most '{_span(longest_ms)}', or raise pastInterval below poller"
                yield Problem(path, message, hint, span.col_offset + 1)


def _no_examples(template: Template) -> Iterator[Problem]:
    if not template.cases:
        hint = "add one for each outcome below tests"
        yield Problem(("tests",), "no example shows what this template does", hint)


_Rule = Callable[[Template], Iterator[Problem]]
_RULES: tuple[_Rule, ...] = (_intervals, _silence, _events, _constants, _twins, _spans, _no_examples)


def _of_examples(template: Template) -> Iterator[Problem]:
    """What the examples show, and what none of them shows."""
    reached: set[Path] = set()
    clashes: dict[Path, str] = {}
    for case in template.cases:
        for _, step in rehearse_case(template, case).steps:
            if step.decided_by == ON_TIMEOUT:
                reached.add(("poller", "onTimeout"))
            if step.asked is not None and step.asked.judgement.decided_by is not None:
                reached.add(_path(step.asked.resource_name, step.asked.judgement.verdict))
            if step.asked is not None and _is_pass_and_fail(step.asked):
                clashes.setdefault(_path(step.asked.resource_name, Verdict.FAIL), case.name)
    for path, name in clashes.items():
        message = f"is true together with PASS in the example {name!r}, where PASS wins"
        yield Problem(path, message, "make the two exclude each other")
    if template.cases:
        yield from (_unreached(path) for path in _outcomes(template) if path not in reached)


def _outcomes(template: Template) -> Iterator[Path]:
    """Everything that may decide a check of the template's own window."""
    for path, _ in _expressions(template):
        if template.past_interval_s if path[1] == PAST else template.future_interval_s:
            yield path
    if template.on_timeout is not None:
        yield ("poller", "onTimeout")


def _unreached(path: Path) -> Problem:
    if path[-1] == "onTimeout":
        hint = "add one with evaluate: end in which nothing decides"
        return Problem(path, "no example reaches the answer to silence", hint)
    return Problem(path, "no example reaches this outcome", f"add one to tests that expects {path[-1]} by it")


def _is_pass_and_fail(asked: Asked) -> bool:
    both = [asked.resource.expressions.get(verdict) for verdict in (Verdict.PASS, Verdict.FAIL)]
    facts = Facts(asked.moment)
    return all(expression is not None and _is_true(expression, facts) for expression in both)


def _silent_end(template: Template) -> Facts:
    """The end of a window in which nothing happened."""
    until_ms = max(template.future_interval_s, 1) * 1_000
    since_ms = None if template.past_interval_s < 0 else -template.past_interval_s * 1_000
    return Facts(Moment((), until_ms, 0, since_ms, until_ms, window_ended=True))


def _may_answer(expression: Expression, end: Facts) -> bool:
    """Whether a window's end can make the expression true: by itself, or because time has passed."""
    if expression.names & _OF_TIME or any(_spans_of(expression.tree)):
        return _truth(expression, expression.tree, window_ended=True) is not False
    return _is_true(expression, end)


def _is_true(expression: Expression, facts: Facts) -> bool:
    try:
        return evaluate(expression, facts)
    except ExpressionFailed:
        return False


def _truth(expression: Expression, node: ast.expr, *, window_ended: bool | None) -> bool | None:
    """What a part of an expression says of every moment, if it says the same of all; `window_ended` None: not known."""
    if isinstance(node, ast.Name):
        return window_ended if node.id == "window_ended" else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        answer = _truth(expression, node.operand, window_ended=window_ended)
        return None if answer is None else not answer
    if isinstance(node, ast.BoolOp):
        deciding = isinstance(node.op, ast.Or)
        answers = {_truth(expression, value, window_ended=window_ended) for value in node.values}
        if deciding in answers:
            return deciding
        return None if None in answers else not deciding
    if any(isinstance(part, ast.Name) and part.id not in _OF_NUMBERS for part in ast.walk(node)):
        return None
    value = value_of(expression, node, _NOTHING)
    return value if isinstance(value, bool) else None


def _spans_of(tree: ast.expr) -> Iterator[tuple[str, ast.Constant]]:
    """Each literal span with the function that it belongs to; a parsed tree holds it in milliseconds."""
    # The tree may hold a call twice, where a comparison was taken apart.
    calls = {node.col_offset: node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for _, call in sorted(calls.items()):
        word = call.func.id if isinstance(call.func, ast.Name) else ""
        spans = [keyword.value for keyword in call.keywords] + (call.args[1:] if word == "absent_for" else [])
        yield from ((word, span) for span in spans if isinstance(span, ast.Constant))


def _span(milliseconds: int) -> str:
    seconds = milliseconds // 1_000
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _resources(template: Template) -> Iterator[tuple[str, Resource]]:
    for key, resource in ((PAST, template.past), (FUTURE, template.future)):
        if resource is not None:
            yield key, resource


def _expressions(template: Template) -> Iterator[tuple[Path, Expression]]:
    for key, resource in _resources(template):
        for verdict, expression in resource.expressions.items():
            yield _path(key, verdict), expression


def _path(key: str, verdict: Verdict) -> Path:
    return ("resources", key, "expressions", verdict.value)
