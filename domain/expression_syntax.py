"""The whitelist: which texts are expressions at all, checked once, when a template is loaded.

This is the boundary of safety; the engine that runs the tree is not. Types are checked too, which stops the slips that
Python calls true: a function without its brackets, a condition in quotes. Literals of time become numbers in the tree,
so running never parses.

Nothing can interrupt an expression that runs, so what it may cost is bounded here, before it ever runs: there are no
loops and no names of its own, at most MAX_NODES nodes of which MAX_CALLS are calls, and each node runs at most four
times (`domain.expression_unknown`). A call costs at most one walk over the newest 2,000 events, mostly remembered from
the call before (`domain.expression_functions`). So a check of three expressions ends within about 10 ms of CPU time;
a test holds the worst that we know of to 30 ms.
"""

import ast
import difflib
import re
import threading
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType

from domain.expression_unknown import true_only_when_known
from domain.expression_words import (
    ATTRIBUTES,
    SIGNATURES,
    VARIABLES,
    ExpressionError,
    Kind,
    Signature,
    minute_of_day,
    span_ms,
)

MAX_TEXT, MAX_NODES, MAX_DEPTH, MAX_CALLS, MAX_NUMBER = 1_000, 200, 16, 16, 1e9
_COST_OF_CALL = 4  # more than another node
_MAX_CANDIDATES, _MAX_NAME = 32, 64
_FORBIDDEN = re.compile(r"[^ -~]|[\\#;`?$]")
_NUMBER = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
# Python's filters of warnings are one list for all threads: two who set and restore them at once leave a wrong one.
_ONE_PARSER = threading.Lock()
_SLIPS = (
    ("&&", "use 'and', not '&&'"),
    ("||", "use 'or', not '||'"),
    ("===", "use '==', not '==='"),
    ("!==", "use '!=', not '!=='"),
)


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition that passed the whitelist. `names` are the functions and variables that it uses.

    `cost` counts the nodes of the text, a call as five: what one evaluation does at most four times.
    """

    text: str
    tree: ast.expr
    names: frozenset[str]
    events: frozenset[str]
    cost: int = 0


def parse_expression(text: object, event_names: Collection[str]) -> Expression:
    """Check a text against the whitelist. `event_names` are those that it may ask for. Raises ExpressionError."""
    stripped = _readable(text)
    tree = _parsed(stripped)
    checker = _Checker(stripped, event_names)
    kind = checker.kind_of(tree, 1)
    if kind is not Kind.BOOL:
        raise ExpressionError(f"expected a condition, found {kind}", "compare it, such as count('X') >= 1")
    names, events = frozenset(checker.names), frozenset(checker.events)
    return Expression(stripped, true_only_when_known(tree), names, events, checker.cost)


def _readable(text: object) -> str:
    if not isinstance(text, str):
        raise ExpressionError("expected an expression as text", "put it in quotes")
    stripped = text.strip(" \n")
    if not 1 <= len(stripped) <= MAX_TEXT:
        raise ExpressionError(f"an expression has 1 to {MAX_TEXT} characters, this has {len(stripped)}")
    for slip, hint in _SLIPS:
        if slip in stripped:
            raise ExpressionError(f"{slip} is not an operator", hint, stripped.index(slip) + 1)
    if found := _FORBIDDEN.search(stripped):
        raise ExpressionError(f"the character {found[0]!a} is not allowed", "", found.start() + 1)
    _check_brackets(stripped)
    return stripped


def _check_brackets(text: str) -> None:
    # Before parsing, because CPython's parser is what deep brackets attack.
    depth = 0
    for column, character in enumerate(text, 1):
        depth += (character in "([{") - (character in ")]}")
        if not 0 <= depth <= MAX_DEPTH:
            raise ExpressionError("the brackets don't match or nest too deeply", "", column)
    if depth:
        raise ExpressionError("a bracket is not closed", "", len(text))


def _parsed(text: str) -> ast.expr:
    try:
        with _ONE_PARSER, warnings.catch_warnings():
            warnings.simplefilter("error")
            return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        hint = "use 'not', not '!'" if re.search(r"!(?!=)", text) else ""
        hint = hint or ("use '==' to compare" if re.search(r"[^=<>!]=[^=]", text) else "")
        raise ExpressionError("not an expression", hint, error.offset or len(text)) from None  # none: it ends too early
    except (ValueError, RecursionError, MemoryError, Warning):
        raise ExpressionError("not an expression") from None


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    # Few and short, because comparing takes time: the names come from a file that may be bad in other ways too.
    candidates = [one for one in islice(known, _MAX_CANDIDATES) if len(one) <= _MAX_NAME and one.isidentifier()]
    near = difflib.get_close_matches(word, candidates, n=1) if len(word) <= _MAX_NAME else []
    return f"did you mean {near[0]}?" if near else ""


class _Checker:
    """One walk over one tree: every node is on the list and of the right type, or ExpressionError."""

    __slots__ = ("_allowed", "_calls", "_nodes", "_text", "events", "names")

    def __init__(self, text: str, event_names: Collection[str]) -> None:
        self._text = text
        self._allowed = event_names
        self._nodes = 0
        self._calls = 0
        self.names: set[str] = set()
        self.events: set[str] = set()

    @property
    def cost(self) -> int:
        return self._nodes + _COST_OF_CALL * self._calls

    def kind_of(self, node: ast.expr, depth: int) -> Kind:
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise _at(node, "the expression is too big", "split it over PASS, FAIL and UNKNOWN")
        rule = _RULES.get(type(node))
        if rule is None:
            raise _at(node, f"{type(node).__name__} is not part of expressions")
        return rule(self, node, depth)

    def need(self, kind: Kind, node: ast.expr, depth: int) -> None:
        found = self.kind_of(node, depth + 1)
        if found is not kind:
            hint = "take a field of it, such as .age_minutes" if found is Kind.EVENT else ""
            raise _at(node, f"expected {kind}, found {found}", hint)

    def call(self, node: ast.Call, depth: int) -> Kind:
        self._calls += 1
        if self._calls > MAX_CALLS:
            raise _at(node, f"more than {MAX_CALLS} calls")
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        signature = SIGNATURES.get(name)
        if signature is None:
            known = ", ".join(SIGNATURES)
            raise _at(node, "not a function that we know", _did_you_mean(name, SIGNATURES) or f"there are {known}")
        if not signature.fits(len(node.args)):
            raise _at(node, f"{name}() takes {', '.join(signature.args)}")
        for kind, argument in zip(_padded(signature, len(node.args)), node.args, strict=True):
            self._argument(kind, argument, depth)
        self._options(name, signature, node, depth)
        self.names.add(name)
        return signature.result

    def _options(self, name: str, signature: Signature, node: ast.Call, depth: int) -> None:
        for keyword in node.keywords:
            if not signature.within or keyword.arg != "within":
                hint = "the only option is within=" if signature.within else f"{name}() has no options"
                raise _at(keyword.value, f"unknown option of {name}()", hint)
            self._argument(Kind.SPAN, keyword.value, depth)
        if len(node.keywords) > 1:
            raise _at(node, "within= stands twice")
        if name == "between" and _same(node.args):
            raise _at(node, "the two times are equal")
        if name == "count_between" and _same(node.args[1:]):
            raise _at(node, "the two times are equal")

    def _argument(self, kind: Kind, node: ast.expr, depth: int) -> None:
        reader = _LITERALS.get(kind)
        if reader is None:
            self.need(kind, node, depth)
            return
        self._nodes += 1
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            raise _at(node, f"expected {kind}", "put it in quotes")
        if self._written(node)[1:-1] != node.value:
            raise _at(node, f"expected {kind}", "write it as one text between two quotes, and nothing before them")
        try:
            node.value = reader(self, node.value)
        except ExpressionError as error:
            raise _at(node, str(error), error.hint) from None

    def event_name(self, text: str) -> str:
        if text not in self._allowed:
            hint = _did_you_mean(text, self._allowed) or "add it to dependsOn"
            raise ExpressionError(f"{text[:64]!a} is not in this resource's dependsOn", hint)
        self.events.add(text)
        return text

    def attribute(self, node: ast.Attribute, depth: int) -> Kind:
        if not isinstance(node.value, ast.Call) or self.kind_of(node.value, depth + 1) is not Kind.EVENT:
            raise _at(node, "only first() and last() have fields")
        if node.attr not in ATTRIBUTES:
            hint = _did_you_mean(node.attr, ATTRIBUTES) or f"there are {', '.join(ATTRIBUTES)}"
            column = (node.end_col_offset or 0) - len(node.attr) + 1
            raise ExpressionError("an event has no such field", hint, column)
        return Kind.NUMBER

    def name(self, node: ast.Name, _depth: int) -> Kind:
        if node.id in VARIABLES:
            self.names.add(node.id)
            return VARIABLES[node.id]
        if node.id in SIGNATURES:
            raise _at(node, f"{node.id} is a function", "it needs its brackets and arguments")
        if node.id in self._allowed:
            raise _at(node, "an event name belongs in quotes, inside a function", f"write exists('{node.id}')")
        if node.id.lower() in ("true", "false"):
            raise _at(node, "not a name that we know", f"write {node.id.capitalize()}")
        raise _at(node, "not a name that we know", _did_you_mean(node.id, [*VARIABLES, *SIGNATURES]))

    def constant(self, node: ast.Constant, _depth: int) -> Kind:
        if isinstance(node.value, bool):
            return Kind.BOOL
        if isinstance(node.value, str):
            raise _at(node, "a text stands only as an argument", "a condition needs no quotes of its own")
        if not isinstance(node.value, int | float):
            raise _at(node, f"{type(node.value).__name__} is not part of expressions")
        if not node.value <= MAX_NUMBER:
            raise _at(node, "the number is too big")
        if not _NUMBER.fullmatch(self._written(node)):
            raise _at(node, "a number is written in plain digits", "such as 12 or 0.5")
        return Kind.NUMBER

    def _written(self, node: ast.expr) -> str:
        # The text is ASCII, so that Python's offsets, which count bytes, are those of its characters.
        return self._text[node.col_offset : node.end_col_offset]

    def unary(self, node: ast.UnaryOp, depth: int) -> Kind:
        if isinstance(node.op, ast.Not):
            self.need(Kind.BOOL, node.operand, depth)
            return Kind.BOOL
        if not isinstance(node.op, ast.USub) or not isinstance(node.operand, ast.Constant):
            raise _at(node, "only 'not' and a minus before a number stand alone")
        self.need(Kind.NUMBER, node.operand, depth)
        return Kind.NUMBER

    def boolean(self, node: ast.BoolOp, depth: int) -> Kind:
        for value in node.values:
            self.need(Kind.BOOL, value, depth)
        return Kind.BOOL

    def binary(self, node: ast.BinOp, depth: int) -> Kind:
        if not isinstance(node.op, ast.Add | ast.Sub):
            raise _at(node, "numbers are only added and subtracted")
        self.need(Kind.NUMBER, node.left, depth)
        self.need(Kind.NUMBER, node.right, depth)
        return Kind.NUMBER

    def compare(self, node: ast.Compare, depth: int) -> Kind:
        if len(node.ops) > 2 or not all(isinstance(op, _COMPARISONS) for op in node.ops):  # noqa: PLR2004  a < b < c
            raise _at(node, "numbers are compared with < <= > >= == !=, at most two in a row")
        for value in (node.left, *node.comparators):
            self.need(Kind.NUMBER, value, depth)
        return Kind.BOOL


_COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
_LITERALS: Mapping[Kind, Callable[[_Checker, str], str | int]] = MappingProxyType(
    {
        Kind.NAME: _Checker.event_name,
        Kind.SPAN: lambda _checker, text: span_ms(text),
        Kind.TIME: lambda _checker, text: minute_of_day(text),
    }
)
# Each rule sees only the type of node that it is listed under.
_RULES: Mapping[type[ast.expr], Callable[..., Kind]] = MappingProxyType(
    {
        ast.BoolOp: _Checker.boolean,
        ast.UnaryOp: _Checker.unary,
        ast.BinOp: _Checker.binary,
        ast.Compare: _Checker.compare,
        ast.Constant: _Checker.constant,
        ast.Name: _Checker.name,
        ast.Attribute: _Checker.attribute,
        ast.Call: _Checker.call,
    }
)


def _padded(signature: Signature, count: int) -> tuple[Kind, ...]:
    return signature.args + (signature.args[-1],) * (count - len(signature.args))


def _same(times: list[ast.expr]) -> bool:
    values = [time.value for time in times if isinstance(time, ast.Constant)]
    return len(set(values)) < len(values)


def _at(node: ast.expr, message: str, hint: str = "") -> ExpressionError:
    return ExpressionError(message, hint, node.col_offset + 1)
