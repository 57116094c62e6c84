"""Why a check says what it says: what was known, every expression with its value, every call in it, and what decided.

Made when the answer changes and when somebody asks, never for each event: it asks every expression, and each of its
parts once more.
"""

import ast
import math
from collections.abc import Iterator

from domain.check_course import Asked, Step
from domain.expression import ExpressionFailed, evaluate, value_of
from domain.expression_functions import Facts
from domain.expression_syntax import Expression
from domain.template import Template
from domain.wire import JsonObject, iso

MAX_EVENTS_NAMED = 100  # the newest; a trace has to fit into a row and a page
_DIGITS = 7  # a millisecond, in hours: rounded further, 14.9999 minutes would be shown as the 15 that they are below


def trace_of(step: Step, template: Template | None, at_ms: int) -> JsonObject:
    """The trace of one step, as it is stored and shown. Without a template where none was asked."""
    return {
        "at": iso(at_ms),
        "phase": step.check.phase.value,
        "result": step.check.verdict.value,
        "decidedBy": step.decided_by,
        "template": _template(step, template),
        **({} if step.asked is None else _asked(step.asked)),
    }


def _template(step: Step, template: Template | None) -> JsonObject:
    content_hash = None if template is None else template.content_hash
    return {"name": step.check.template_name, "version": step.check.template_version, "contentHash": content_hash}


def _asked(asked: Asked) -> JsonObject:
    moment = asked.moment
    newest = moment.events[-MAX_EVENTS_NAMED:]
    return {
        "resource": asked.resource_name,
        "now": iso(moment.now_ms),
        "windowEnded": moment.window_ended,
        "timeZone": moment.time_zone,
        "events": len(moment.events),
        "eventsLeftOut": asked.judgement.left_out,
        "eventIds": [event.id for event in newest],
        "expressions": list(_expressions(asked)),
    }


def _expressions(asked: Asked) -> Iterator[JsonObject]:
    facts = Facts(asked.moment)
    for verdict, expression in asked.resource.expressions.items():
        value, problem = _value(expression, facts)
        yield {
            "outcome": verdict.value,
            "text": expression.text,
            "value": value,
            "problem": problem,
            "decides": asked.judgement.decided_by is not None and verdict is asked.judgement.verdict,
            "parts": list(_parts(expression, facts)),
        }


def _value(expression: Expression, facts: Facts) -> tuple[bool | None, str]:
    try:
        return evaluate(expression, facts), ""
    except ExpressionFailed as error:
        return None, str(error)


def _parts(expression: Expression, facts: Facts) -> Iterator[JsonObject]:
    """The calls and variables of an expression in reading order, each once, with what they came to.

    Also those that the expression never reached, because `and` and `or` stop early. One that has no answer has the
    value None and a `problem`.
    """
    seen: set[str] = set()
    nodes = (node for node in _outermost(expression.tree) if isinstance(node, ast.expr))
    for node in sorted(nodes, key=lambda node: node.col_offset):
        text = expression.text[node.col_offset : node.end_col_offset]
        if text not in seen:
            seen.add(text)
            try:
                yield {"text": text, "value": _shown(value_of(expression, node, facts))}
            except ExpressionFailed as error:
                yield {"text": text, "value": None, "problem": str(error)}


def _outermost(node: ast.AST) -> Iterator[ast.AST]:
    """Calls, fields of calls and variables; not what stands inside them, but the numbers inside abs, min and max."""
    if isinstance(node, ast.Attribute | ast.Name):
        yield node
        return
    if isinstance(node, ast.Call):
        yield node
        for argument in node.args:
            yield from _outermost(argument)
        return
    for child in ast.iter_child_nodes(node):
        yield from _outermost(child)


def _shown(value: object) -> object:
    """A value as JSON can hold it. JSON has no word for numbers that are endless or not known: they become text."""
    if isinstance(value, float):
        if math.isnan(value):
            return "not known"
        if math.isinf(value):
            return "endless" if value > 0 else "minus endless"
        return round(value, _DIGITS)
    return value if isinstance(value, bool | int) else str(value)
