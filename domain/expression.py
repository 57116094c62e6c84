"""Running an expression: asteval over a tree that the whitelist already found harmless, with everything else off.

asteval is the second layer, never the boundary. It has silent traps, each met here: it answers None for ever after an
error, keeps what it ran, and puts the arguments of failed calls into its messages.
"""

import ast
import threading
from functools import lru_cache
from typing import Protocol

from asteval import Interpreter
from asteval.asteval import ALL_NODES

from domain.errors import RobotdError
from domain.expression_functions import Facts, symbols
from domain.expression_syntax import Expression
from domain.expression_words import Unanswerable

ALLOWED_NODES = frozenset({"attribute", "binop", "boolop", "call", "compare", "constant", "name", "unaryop"})
_SHOWN = 80


class ExpressionFailed(RobotdError):  # noqa: N818  an answer of its own, not a fault of the caller
    """The expression gave no answer."""


class _Failure(Protocol):
    exc_info: tuple[type[BaseException] | None, BaseException | None, object]


class _Engine(Protocol):
    """The little that we use of asteval's Interpreter."""

    symtable: dict[str, object]
    error: list[_Failure]
    error_msg: str | None
    retval: object
    _interrupt: object
    expr: str | None

    def run(self, node: object) -> object: ...


def evaluate(expression: Expression, facts: Facts) -> bool:
    """Whether the expression is true of these facts. Raises ExpressionFailed, with a text that names no data."""
    answer = value_of(expression, expression.tree, facts)
    if not isinstance(answer, bool):
        raise ExpressionFailed(f"no condition came out of {_cut(expression.text)}")
    return answer


def value_of(expression: Expression, part: ast.expr, facts: Facts) -> object:
    """What one part of the expression's tree comes to. Raises ExpressionFailed."""
    engine = _engine(threading.get_ident())
    try:
        engine.symtable = symbols(expression.names, facts)
        engine.expr = expression.text
        return engine.run(part)
    except Exception as error:  # noqa: BLE001  whatever broke, the answer is "no answer", and the caller records it
        reason = _reason(engine, error, expression.text)
    finally:
        _reset(engine)
    # Raised out here, so that it carries no traceback of asteval's: that one holds the events.
    raise ExpressionFailed(reason)


@lru_cache(maxsize=8)
def _engine(_thread: int) -> _Engine:
    # One per thread: an Interpreter is not thread-safe, and building one costs more than running an expression.
    switched_off = {node: False for node in ALL_NODES if node not in ALLOWED_NODES}
    engine: _Engine = Interpreter(symtable={}, config=switched_off, minimal=True, use_numpy=False)
    return engine


def _reset(engine: _Engine) -> None:
    engine.symtable = {}
    engine.error = []
    engine.error_msg = None
    engine.retval = None
    engine._interrupt = None  # noqa: SLF001  asteval offers no public way back from an error
    engine.expr = None


def _reason(engine: _Engine, error: Exception, text: str) -> str:
    first = engine.error[0].exc_info[1] if engine.error else error
    if isinstance(first, Unanswerable):
        return f"{first} in {_cut(text)}"
    return f"{type(first or error).__name__} in {_cut(text)}"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
