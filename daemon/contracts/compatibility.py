"""What may change within one version of the contract, and what may not.

For a message that robotd reads, whatever was taken before is still taken. For one that it sends, whatever is sent now
fits what readers were told before. Both are one question: whether a schema allows something that another doesn't.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Node = Mapping[str, Any]
Direction = Literal["read", "sent"]
_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_SAME = ("pattern", "format", "oneOf", "not", "uniqueItems", "multipleOf")
_ALL_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_CHECKED = {
    *(*_LOWER, *_UPPER, *_SAME),
    *("type", "enum", "const", "required", "properties", "additionalProperties", "items", "anyOf"),
}
_SAID = {"$schema", "title", "description", "default", "examples"}


@dataclass(frozen=True, slots=True)
class Released:
    """A message of a released contract."""

    direction: Direction
    schema: Node


def breaking(before: Mapping[str, Released], now: Mapping[str, Released]) -> list[str]:
    """Every change that breaks somebody, one line each: name, path, what it is. Empty: all go on as they are."""
    lines = [f"{name}: the type is gone" for name in before if name not in now]
    for name, old in before.items():
        if name not in now:
            continue
        new = now[name]
        if new.direction != old.direction:
            lines.append(f"{name}: was {old.direction} and is {new.direction}")
            continue
        is_read = old.direction == "read"
        inner, outer = (old.schema, new.schema) if is_read else (new.schema, old.schema)
        wrong = "is not taken any more" if is_read else "is new to readers"
        lines += [f"{name}: {what}" for what in _beyond(inner, outer, "", wrong)]
        gone = [f"{name}: {path}: the field is gone" for path in _gone(old.schema, new.schema, "")]
        lines += [line for line in gone if line not in lines]
    return lines


def _beyond(inner: Node, outer: Node, path: str, wrong: str) -> Iterator[str]:
    """What `inner` allows and `outer` does not."""
    at = path or "message"
    unknown = {*inner, *outer} - _CHECKED - _SAID
    if unknown:
        raise ValueError(f"{at}: can't compare {', '.join(sorted(unknown))}")
    if extra := _types(inner) - _types(outer):
        yield f"{at}: {' or '.join(sorted(extra))} {wrong}"
    yield from (f"{at}: {what} {wrong}" for what in _values(inner, outer))
    yield from (f"{at}: {what}" for what in _bounds(inner, outer))
    yield from _choices(inner, outer, path, wrong)
    yield from _fields(inner, outer, path, wrong)
    if "items" in outer:
        yield from _beyond(inner.get("items", {}), outer["items"], f"{path}[]", wrong)


def _types(node: Node) -> frozenset[str]:
    named = node.get("type")
    if named is None:
        return _ALL_TYPES
    types = {named} if isinstance(named, str) else set(named)
    return frozenset(types | {"integer"} if "number" in types else types)


def _values(inner: Node, outer: Node) -> Iterator[str]:
    allowed = _listed(outer)
    if allowed is None:
        return
    given = _listed(inner)
    if given is None:
        yield "any value"
        return
    yield from (text for text in given if text not in allowed)


def _listed(node: Node) -> list[str] | None:
    if "const" in node:
        return [json.dumps(node["const"])]
    return [json.dumps(value) for value in node["enum"]] if "enum" in node else None


def _bounds(inner: Node, outer: Node) -> Iterator[str]:
    for name in _LOWER:
        if name in outer and inner.get(name, float("-inf")) < outer[name]:
            yield f"{name} {inner.get(name, 'unset')} against {outer[name]}"
    for name in _UPPER:
        if name in outer and inner.get(name, float("inf")) > outer[name]:
            yield f"{name} {inner.get(name, 'unset')} against {outer[name]}"
    for name in _SAME:
        if name in outer and inner.get(name) != outer[name]:
            yield f"{name} is another one"


def _choices(inner: Node, outer: Node, path: str, wrong: str) -> Iterator[str]:
    if "anyOf" not in outer:
        if "anyOf" in inner:
            for one in inner["anyOf"]:
                yield from _beyond(one, outer, path, wrong)
        return
    for one in inner.get("anyOf", [{name: inner[name] for name in inner if name not in _SAID}]):
        if not any(not list(_beyond(one, other, path, wrong)) for other in outer["anyOf"]):
            yield f"{path or 'message'}: one of its forms {wrong}"


def _fields(inner: Node, outer: Node, path: str, wrong: str) -> Iterator[str]:
    """The keys of objects. One that `outer` must have and `inner` need not is as bad as one that it never has."""
    mine, theirs = inner.get("properties", {}), outer.get("properties", {})
    optional = [name for name in outer.get("required", []) if name not in inner.get("required", [])]
    yield from (f"{_below(path, name)}: left out, it {wrong}" for name in optional)
    others = outer.get("additionalProperties", True)
    for name, node in mine.items():
        if name in theirs:
            yield from _beyond(node, theirs[name], _below(path, name), wrong)
        elif others is False:
            yield f"{_below(path, name)}: the field {wrong}"
        elif isinstance(others, Mapping):
            yield from _beyond(node, others, _below(path, name), wrong)
    if others is not True and "object" in _types(inner):
        free = inner.get("additionalProperties", True)
        if isinstance(others, Mapping) and isinstance(free, Mapping):
            yield from _beyond(free, others, _below(path, "*"), wrong)
        elif free is not False:
            yield f"{path or 'message'}: any other field {wrong}"


def _gone(before: Node, now: Node, path: str) -> Iterator[str]:
    """Fields that were named and are not any more: an open schema would still allow them, and mean nothing by it."""
    for name, node in before.get("properties", {}).items():
        if name not in now.get("properties", {}):
            yield _below(path, name)
        else:
            yield from _gone(node, now["properties"][name], _below(path, name))
    if "items" in before and "items" in now:
        yield from _gone(before["items"], now["items"], f"{path}[]")


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
