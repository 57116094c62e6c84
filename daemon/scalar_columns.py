"""Where a character of a YAML value stands in its line, if that can be told exactly."""

import re

# One character of the value each; what stands in double quotes may be written as an escape.
_DOUBLE = re.compile(r'\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[^xuU])|[^"\\]')
_SINGLE = re.compile(r"''|[^']")


def column_of(line: str, start: int, value: str, character: int) -> int | None:
    """The column of the `character`th of `value`, both from 1, in the scalar that begins at `start` of `line`.

    One more than the length of `value` is what follows it. None for a value that is spread over lines.
    """
    raw = line[start - 1 :]
    if raw[:1] in ("'", '"'):
        begins = _quoted(raw)
    elif raw[:1] not in ("|", ">") and raw.startswith(value):
        begins = list(range(len(value) + 1))
    else:
        return None
    if len(begins) != len(value) + 1 or not 1 <= character <= len(begins):
        return None
    return start + begins[character - 1]


def _quoted(raw: str) -> list[int]:
    """Where each character between the quotes begins, and the closing quote; empty if there is none in this line."""
    one = _SINGLE if raw[0] == "'" else _DOUBLE
    begins = [1]
    while found := one.match(raw, begins[-1]):
        begins.append(found.end())
    return begins if raw[begins[-1] :].startswith(raw[0]) else []
