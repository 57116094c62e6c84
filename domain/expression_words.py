"""The words of expressions: which functions, variables and fields there are, what they take and what they give."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from domain.errors import RobotdError

MAX_SPAN_S = 366 * 86_400
_SPAN = re.compile(r"([1-9][0-9]{0,7})([smhd])")
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_SECONDS = MappingProxyType({"s": 1, "m": 60, "h": 3_600, "d": 86_400})


class ExpressionError(RobotdError):
    """The text is not an expression that we run."""

    def __init__(self, message: str, hint: str = "", column: int = 1) -> None:
        super().__init__(message)
        self.hint = hint
        self.column = column


class Unanswerable(RobotdError):  # noqa: N818  the expression's own word; its text is safe to show
    """The expression asks for something that this moment can't tell."""


class Kind(StrEnum):
    """The types of expressions. The last three are literals in quotes, legal as arguments only."""

    BOOL = "a condition"
    NUMBER = "a number"
    EVENT = "an event"
    NAME = "an event name in quotes"
    SPAN = "a time span such as '30m'"
    TIME = "a time of day such as '22:00'"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes and gives. `up_to` is for functions that repeat their last argument."""

    args: tuple[Kind, ...]
    result: Kind
    within: bool = False
    up_to: int = 0

    def fits(self, count: int) -> bool:
        """Whether this many arguments are right."""
        return len(self.args) <= count <= max(self.up_to, len(self.args))


_NAME, _NUMBER, _TIMES = Kind.NAME, Kind.NUMBER, (Kind.TIME, Kind.TIME)
SIGNATURES: Mapping[str, Signature] = MappingProxyType(
    {
        "count": Signature((_NAME,), _NUMBER, within=True),
        "exists": Signature((_NAME,), Kind.BOOL, within=True),
        "new_count": Signature((_NAME,), _NUMBER),
        "first": Signature((_NAME,), Kind.EVENT),
        "last": Signature((_NAME,), Kind.EVENT),
        "age": Signature((_NAME,), _NUMBER),
        "absent_for": Signature((_NAME, Kind.SPAN), Kind.BOOL),
        "between": Signature(_TIMES, Kind.BOOL),
        "count_between": Signature((_NAME, *_TIMES), _NUMBER, within=True),
        "sequence": Signature((_NAME, _NAME), Kind.BOOL, within=True),
        "level": Signature((_NAME,), _NUMBER),
        "abs": Signature((_NUMBER,), _NUMBER),
        "min": Signature((_NUMBER, _NUMBER), _NUMBER, up_to=8),
        "max": Signature((_NUMBER, _NUMBER), _NUMBER, up_to=8),
    }
)
VARIABLES: Mapping[str, Kind] = MappingProxyType(
    {"elapsed_minutes": _NUMBER, "remaining_minutes": _NUMBER, "window_ended": Kind.BOOL}
)
ATTRIBUTES = ("age_seconds", "age_minutes", "age_hours", "hour", "level")


def span_ms(text: str) -> int:
    """Milliseconds of a span such as '90s', '30m', '4h' or '2d'. Raises ExpressionError."""
    match = _SPAN.fullmatch(text)
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not 0 < seconds <= MAX_SPAN_S:
        raise ExpressionError("not a time span", "write '90s', '30m', '4h' or '2d', at most '366d'")
    return seconds * 1_000


def minute_of_day(text: str) -> int:
    """Minutes after midnight of a time such as '06:00'. Raises ExpressionError."""
    match = _TIME.fullmatch(text)
    if not match:
        raise ExpressionError("not a time of day", "write '06:00' or '22:30', 24 hours")
    return int(match[1]) * 60 + int(match[2])
