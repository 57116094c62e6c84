"""Reading and writing JSON text as the wire needs it: strict on the way in, plain ASCII on the way out."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer

from domain.errors import MessageError

MAX_MESSAGE_BYTES = 1_048_576  # SQS: body and attributes together, since August 2025
_SURROGATE = re.compile("[\ud800-\udfff]")
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)

JsonObject = dict[str, Any]  # what json.loads gives: the one place where Any is honest


def _without_duplicates(pairs: list[tuple[str, Any]]) -> JsonObject:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise MessageError(f"the key {_first_repeated(pairs)[:80]!r} stands twice in one object", kind="duplicate-key")
    return read


def _first_repeated(pairs: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()  # a list would take minutes for the keys that fit into a message
    for name, _ in pairs:
        if name in seen:
            return name
        seen.add(name)
    return ""


def _no_constant(text: str) -> None:
    raise MessageError(f"{text} is not a JSON number", kind="not-json")


def read_json(text: str) -> JsonObject:
    """Parse one JSON object. Raises MessageError for anything that two readers could understand differently."""
    try:
        read = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
        is_text = "\\u" not in text or not _SURROGATE.search(json.dumps(read, ensure_ascii=False))
    except RecursionError:
        raise MessageError("nested too deeply to be read", kind="not-json") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise MessageError(f"not JSON: {error.msg} at {where}", kind="not-json") from None
    except ValueError:
        raise MessageError("a number has too many digits to be read", kind="not-json") from None
    if not isinstance(read, dict):
        raise MessageError(f"expected a JSON object, found {type(read).__name__}", kind="not-an-object")
    if not is_text:
        raise MessageError("holds half of a surrogate pair, which is not text", kind="not-text")
    return read


def write_json(content: JsonObject) -> str:
    """Compact JSON with ASCII escapes: SQS refuses some characters raw, none escaped."""
    return json.dumps(content, ensure_ascii=True, separators=(",", ":"))


def iso(at_ms: int) -> str:
    """Milliseconds since 1970 as `2025-11-25T08:40:00.000Z`, the form of the neighbours."""
    at = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{at.isoformat()[:19]}.{at_ms % 1000:03d}Z"


def milliseconds(at: datetime) -> int:
    """Milliseconds since 1970 of an aware datetime, what is finer cut off: rounding could reach the next second."""
    return (at - _EPOCH) // _MILLISECOND


def whole_second(at_ms: int) -> int:
    """Cut to the second, as the neighbours' columns do (rounding would differ between MySQL and MariaDB)."""
    return at_ms - at_ms % 1000


def _read_time(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise ValueError("expected an ISO 8601 time as text, such as 2025-11-25T08:40:00Z")  # noqa: TRY004  pydantic wants ValueError
    try:
        at = datetime.fromisoformat(value if value.isprintable() else "")  # Python skips a NUL within
    except ValueError:
        raise ValueError("expected an ISO 8601 time, such as 2025-11-25T08:40:00Z") from None
    if at.tzinfo is None:
        raise ValueError("a time needs its zone, such as the Z in 2025-11-25T08:40:00Z")
    if not _EARLIEST <= at < _LATEST:
        raise ValueError("expected a time between the years 2000 and 2100")
    return at.astimezone(UTC)


WireTime = Annotated[
    datetime,
    BeforeValidator(_read_time),
    PlainSerializer(lambda at: iso(milliseconds(at)), return_type=str, when_used="json"),
]
RobotId = Annotated[int, Field(strict=True, ge=1, le=2**32 - 1)]  # INT UNSIGNED at the neighbours
RowId = Annotated[int, Field(strict=True, ge=1, le=2**63 - 1)]  # BIGINT at the neighbours
