"""Numbers that nobody reported: no comparison with one is ever true, not below `not` and not with `!=` either.

Python finds not-a-number different from everything and `not (nan > 5)` true, so a sensor that never spoke could make a
PASS. Once, at load, `not` moves down to the comparisons and turns them round, and `!=` becomes `<` or `>`, wherever a
number may be missing. Of the tree that is left nothing is true for want of a number, whoever runs it.
"""

import ast
from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType

_OPPOSITES: Mapping[type[ast.cmpop], type[ast.cmpop]] = MappingProxyType(
    {
        ast.Lt: ast.GtE,
        ast.LtE: ast.Gt,
        ast.Gt: ast.LtE,
        ast.GtE: ast.Lt,
        ast.Eq: ast.NotEq,
        ast.NotEq: ast.Eq,
    }
)
_ALWAYS_KNOWN = frozenset({"count", "new_count", "count_between"})
_AS_KNOWN_AS_THEIR_ARGUMENTS = frozenset({"abs", "min", "max"})


def true_only_when_known(node: ast.expr) -> ast.expr:
    """A condition that is true where this one is, but never for want of a number. Takes a tree of the whitelist."""
    return _rewritten(node, negated=False)


def _rewritten(node: ast.expr, *, negated: bool) -> ast.expr:
    if isinstance(node, ast.UnaryOp):
        return _rewritten(node.operand, negated=not negated)
    if isinstance(node, ast.BoolOp):
        values = [_rewritten(value, negated=negated) for value in node.values]
        return _joined(ast.And if isinstance(node.op, ast.And) is not negated else ast.Or, values, node)
    if isinstance(node, ast.Compare) and _may_be_missing(node):
        return _comparison(node, negated=negated)
    return ast.copy_location(ast.UnaryOp(ast.Not(), node), node) if negated else node


def _comparison(node: ast.Compare, *, negated: bool) -> ast.expr:
    if not negated and not any(isinstance(operator, ast.NotEq) for operator in node.ops):
        return node
    parts = []
    for (left, right), operator in zip(pairwise([node.left, *node.comparators]), node.ops, strict=True):
        kind = _OPPOSITES[type(operator)] if negated else type(operator)
        kinds = (ast.Lt, ast.Gt) if kind is ast.NotEq else (kind,)
        compared = [ast.copy_location(ast.Compare(left, [one()], [right]), node) for one in kinds]
        parts.append(_joined(ast.Or, compared, node))
    return _joined(ast.Or if negated else ast.And, parts, node)


def _joined(by: type[ast.boolop], values: Sequence[ast.expr], node: ast.expr) -> ast.expr:
    return values[0] if len(values) == 1 else ast.copy_location(ast.BoolOp(by(), list(values)), node)


def _may_be_missing(node: ast.expr) -> bool:
    """Whether a number in it can be not-a-number. An age alone is not, but the difference of two endless ones is."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        known = node.func.id in _ALWAYS_KNOWN
        return not known and (
            node.func.id not in _AS_KNOWN_AS_THEIR_ARGUMENTS or any(_may_be_missing(one) for one in node.args)
        )
    if isinstance(node, ast.Compare):
        return any(_may_be_missing(one) for one in (node.left, *node.comparators))
    if isinstance(node, ast.BinOp):
        return _may_be_missing(node.left) or _may_be_missing(node.right)
    return isinstance(node, ast.Attribute)
