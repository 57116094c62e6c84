import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.contracts import baseline
from daemon.contracts.baseline import broken_promises, released
from daemon.contracts.catalogue import VERSION, contract
from daemon.contracts.command import release_contracts
from daemon.contracts.compatibility import Direction, Released, breaking
from domain.errors import ConfigError

Node = dict[str, Any]
Change = Callable[[Node], object]
BEFORE: Node = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id"],
    "properties": {
        "id": {"type": "integer", "minimum": 1, "maximum": 9},
        "word": {"type": ["string", "null"], "pattern": "^a", "minLength": 1, "maxLength": 5},
        "kind": {"enum": ["A", "B"], "type": "string"},
        "only": {"const": "X", "type": "string"},
        "at": {"type": "string", "format": "date-time"},
        "rows": {
            "type": "array",
            "minItems": 1,
            "maxItems": 3,
            "items": {"type": "object", "properties": {"x": {"type": "integer"}}},
        },
        "to": {
            "anyOf": [{"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}, {"type": "null"}]
        },
        "free": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}


def field(name: str, **keys: object) -> Change:
    return lambda schema: schema["properties"][name].update(keys)


def without(name: str, *keys: str) -> Change:
    return lambda schema: [schema["properties"][name].pop(key) for key in keys]


def row(**keys: object) -> Change:
    return lambda schema: schema["properties"]["rows"]["items"].update(keys)


def new_field(**keys: object) -> Change:
    return lambda schema: schema["properties"].update({"extra": {"type": "string", **keys}})


def required(*names: str) -> Change:
    return lambda schema: schema.update({"required": list(names)})


def both(*changes: Change) -> Change:
    return lambda schema: [change(schema) for change in changes]


def option(*schemas: Node) -> Change:
    return lambda schema: schema["properties"]["to"].update({"anyOf": list(schemas)})


A, NULL = BEFORE["properties"]["to"]["anyOf"]
# A change; whether it breaks those who send it to us, and those who get it from us.
CHANGES: dict[str, tuple[Change, bool, bool]] = {
    "nothing": (lambda _: None, False, False),
    "other words": (field("id", description="new", title="new"), False, False),
    "a new optional field": (new_field(), False, False),
    "a new required field": (both(new_field(), required("id", "extra")), True, False),
    "a field is gone": (lambda schema: schema["properties"].pop("word"), True, True),
    "a field within a row is gone": (row(properties={}), True, True),
    "a field is renamed": (
        lambda schema: schema["properties"].update(words=schema["properties"].pop("word")),
        True,
        True,
    ),
    "a field is required now": (required("id", "kind"), True, False),
    "a field is optional now": (required(), False, True),
    "a field within a row is required now": (row(required=["x"]), True, False),
    "another type": (field("id", type="string"), True, True),
    "a number instead of a whole one": (field("id", type="number"), False, True),
    "null is taken": (field("id", type=["integer", "null"]), False, True),
    "null is not taken any more": (field("word", type="string"), True, False),
    "any type": (without("word", "type"), False, True),
    "a value more": (field("kind", enum=["A", "B", "C"]), False, True),
    "a value less": (field("kind", enum=["A"]), True, False),
    "any value": (without("kind", "enum"), False, True),
    "another constant": (field("only", const="Y"), True, True),
    "a constant and more": (both(without("only", "const"), field("only", enum=["X", "Y"])), False, True),
    "a lower minimum": (field("id", minimum=0), False, True),
    "a higher minimum": (field("id", minimum=2), True, False),
    "no minimum": (without("id", "minimum"), False, True),
    "a lower maximum": (field("id", maximum=8), True, False),
    "a higher maximum": (field("id", maximum=10), False, True),
    "a shorter text": (field("word", maxLength=4), True, False),
    "a longer text": (field("word", maxLength=6), False, True),
    "an empty text": (field("word", minLength=0), False, True),
    "fewer rows": (field("rows", maxItems=2), True, False),
    "more rows": (field("rows", maxItems=4), False, True),
    "no rows at all": (field("rows", minItems=0), False, True),
    "another pattern": (field("word", pattern="^b"), True, True),
    "no pattern": (without("word", "pattern"), False, True),
    "a pattern where none was": (field("kind", pattern="^A"), True, False),
    "no format": (without("at", "format"), False, True),
    "a format where none was": (field("word", format="date"), True, False),
    "open": (lambda schema: schema.pop("additionalProperties"), False, True),
    "rows are closed": (row(additionalProperties=False), True, False),
    "a form more": (option(A, NULL, {"type": "integer"}), False, True),
    "a form less": (option(A), True, False),
    "a form with a new need": (option({**A, "required": ["a", "b"]}, NULL), True, False),
    "forms in another order": (option(NULL, A), False, False),
    "a rule over several fields": (lambda schema: schema.update({"not": {"required": ["word", "kind"]}}), True, False),
    "free keys of another type": (field("free", additionalProperties={"type": "integer"}), True, True),
    "free keys of any type": (field("free", additionalProperties=True), False, True),
    "no free keys": (field("free", additionalProperties=False), True, False),
}


def told(change: Change, direction: Direction) -> list[str]:
    """What the check says of one change to a message that goes into this direction."""
    before = copy.deepcopy(BEFORE)
    after = copy.deepcopy(BEFORE)
    if direction == "sent":
        before["additionalProperties"] = after["additionalProperties"] = True
    change(after)
    return breaking({"m": Released(direction, before)}, {"m": Released(direction, after)})


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_what_we_read(name: str) -> None:
    """It breaks where something that was right before is refused, or loses its meaning."""
    change, is_breaking, _ = CHANGES[name]
    assert bool(told(change, "read")) == is_breaking, told(change, "read")


@pytest.mark.parametrize("name", [name for name in CHANGES if name != "open"])
def test_a_change_of_what_we_send(name: str) -> None:
    """It breaks where something comes that was never told of, or something does not come that was."""
    change, _, is_breaking = CHANGES[name]
    assert bool(told(change, "sent")) == is_breaking, told(change, "sent")


def test_what_breaks_is_named_with_its_path() -> None:
    """Message, path, and what it is."""
    assert told(field("id", minimum=2), "read") == ["m: id: minimum 1 against 2"]
    assert told(row(properties={}), "sent") == ["m: rows[].x: the field is gone"]
    assert told(field("kind", enum=["A", "B", "C"]), "sent") == ['m: kind: "C" is new to readers']
    assert told(required("id", "kind"), "read") == ["m: kind: left out, it is not taken any more"]


def test_messages_may_come_but_not_go_or_turn() -> None:
    """A new type breaks nobody; one that is gone, or is sent instead of read, does."""
    read, sent = Released("read", BEFORE), Released("sent", BEFORE)
    assert breaking({}, {"m": read}) == []
    assert breaking({"m": read}, {}) == ["m: the type is gone"]
    assert breaking({"m": read}, {"m": sent}) == ["m: was read and is sent"]


def test_a_keyword_that_the_check_does_not_know_is_no_silent_yes() -> None:
    """Schemas that can't be compared are an error."""
    with pytest.raises(ValueError, match="contains"):
        told(field("rows", contains={"type": "null"}), "read")


@pytest.mark.parametrize("name", tuple(contract()))
def test_each_message_of_ours_is_comparable(name: str) -> None:
    """Compared with itself a real message breaks nothing; each key that is taken away from it is found."""
    today = contract()
    schema = copy.deepcopy(dict(today[name].schema))
    assert breaking({name: today[name]}, {name: today[name]}) == []
    inner = schema["properties"].get("data") or schema["properties"]["payload"]
    for key in tuple(inner.get("properties", {})):
        changed = copy.deepcopy(schema)
        part = changed["properties"].get("data") or changed["properties"]["payload"]
        del part["properties"][key]
        assert breaking({name: today[name]}, {name: Released(today[name].direction, changed)}), key


def promises(folder: Path, version: int, change: Callable[[Node], object] = lambda _: None) -> Path:
    """A baseline of that version, with today's contract in it, changed."""
    content = json.loads(released(version))
    change(content["messages"])
    file = folder / "baseline.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def test_a_new_version_may_break(tmp_path: Path) -> None:
    """What breaks under the old version passes under a higher one; a lower one is never right."""

    def once_there(messages: Node) -> None:
        messages["campaign.forget"] = messages["campaign.run"]

    assert broken_promises(promises(tmp_path, VERSION, once_there)) == ["campaign.forget: the type is gone"]
    assert broken_promises(promises(tmp_path, VERSION - 1, once_there)) == []
    assert broken_promises(promises(tmp_path, VERSION + 1)) == [f"the version was {VERSION + 1} and is {VERSION}"]


def test_a_release_does_not_hide_what_breaks(tmp_path: Path) -> None:
    """The first is written; one over a promise that is broken is refused, and the promise stays as it was."""
    assert release_contracts(tmp_path) == 0
    file = tmp_path / baseline.FILE
    assert file.read_text(encoding="utf-8") == released()
    promised = promises(tmp_path, VERSION, lambda messages: messages.update(forgotten=messages["error"])).read_text()
    assert release_contracts(tmp_path) == 1
    assert file.read_text(encoding="utf-8") == promised


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"version": 1, "messages": {"m": 1}}', '{"version": "x", "messages": {}}']
)
def test_an_unusable_baseline_is_an_error(tmp_path: Path, text: str) -> None:
    """Never a pass."""
    file = tmp_path / baseline.FILE
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="no baseline"):
        broken_promises(file)
    with pytest.raises(ConfigError, match="No such file"):
        broken_promises(tmp_path / "missing.json")
