import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from daemon.strict_yaml import read_strict
from domain.event_names import EVENT_NAMES
from domain.template_json_schema import DIALECT, json_schema

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "docs" / "contracts" / "status-check-template.schema.json"
SHIPPED = sorted((ROOT / "templates").glob("*.yaml"))
Node = dict[str, Any]
TYPES: dict[str, type | tuple[type, ...]] = {"object": dict, "array": list, "string": str, "boolean": bool}
UNDERSTOOD = {
    *("$schema", "$defs", "$ref", "title", "description", "default", "type", "properties", "required", "items"),
    *("additionalProperties", "enum", "anyOf", "pattern", "uniqueItems", "minimum", "maximum"),
    *("minLength", "maxLength", "minItems", "maxItems", "minProperties"),
}
LIMITS = (("minLength", "maxLength", str), ("minItems", "maxItems", list), ("minProperties", "maxProperties", dict))


def fits(value: Any, node: Node, root: Node) -> bool:
    """Decide by the part of the dialect that our schema uses."""
    if "$ref" in node:
        return fits(value, root["$defs"][node["$ref"].rpartition("/")[2]], root)
    return (
        _is(value, node.get("type"))
        and value in node.get("enum", [value])
        and ("anyOf" not in node or any(fits(value, one, root) for one in node["anyOf"]))
        and _within(value, node)
        and (not isinstance(value, str) or re.search(node.get("pattern", ""), value) is not None)
        and (not isinstance(value, dict) or _object_fits(value, node, root))
        and (not isinstance(value, list) or all(fits(one, node.get("items", {}), root) for one in value))
    )


def _is(value: Any, name: str | None) -> bool:
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return name is None or isinstance(value, TYPES[name])


def _within(value: Any, node: Node) -> bool:
    if isinstance(value, list) and node.get("uniqueItems") and len(set(map(str, value))) < len(value):
        return False
    for low, high, kind in LIMITS:
        if isinstance(value, kind) and not node.get(low, 0) <= len(value) <= node.get(high, len(value)):
            return False
    number = isinstance(value, int) and not isinstance(value, bool)
    return not number or bool(node.get("minimum", value) <= value <= node.get("maximum", value))


def _object_fits(value: Node, node: Node, root: Node) -> bool:
    known = node.get("properties", {})
    return (
        set(node.get("required", [])) <= set(value)
        and (node.get("additionalProperties", True) or set(value) <= set(known))
        and all(fits(below, known.get(name, {}), root) for name, below in value.items())
    )


def keywords(node: object, *, is_schema: bool = True) -> set[str]:
    if isinstance(node, list):
        return set().union(*(keywords(one) for one in node))
    if not isinstance(node, dict):
        return set()
    names = set(node) if is_schema else set()
    below = (
        keywords(value, is_schema=name not in ("properties", "$defs") or not is_schema)
        for name, value in node.items()
        if not (is_schema and name in ("default", "enum"))
    )
    return names.union(*below)


def test_the_committed_schema_is_the_one_that_the_model_makes() -> None:
    """`make docs` writes it anew."""
    assert COMMITTED.read_text(encoding="utf-8") == json.dumps(json_schema(), indent=2) + "\n"


def test_every_field_tells_an_editor_what_it_is() -> None:
    """The descriptions of the model land in the schema, and pydantic's own titles and nulls don't."""
    schema: Any = json_schema()
    objects = [schema, *schema["$defs"].values()]

    fields = [(name, field) for one in objects for name, field in one["properties"].items()]

    assert len(fields) == 23
    assert [name for name, field in fields if not field.get("description")] == []
    assert [name for name, field in fields if "title" in field] == []
    assert "null" not in json.dumps(schema)
    assert schema["$schema"] == DIALECT


def test_editors_offer_the_known_events() -> None:
    """And leave a new one legal."""
    schema: Any = json_schema()
    known, other = schema["$defs"]["ResourceContent"]["properties"]["dependsOn"]["items"]["anyOf"]

    assert known["enum"] == list(EVENT_NAMES)
    assert fits("NEW_EVENT", other, schema)
    assert not fits("new event", other, schema)


def test_nothing_in_the_schema_is_left_unread_by_these_tests() -> None:
    """Else `fits` would say yes to what an editor refuses."""
    assert keywords(json_schema()) <= UNDERSTOOD


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_templates_fit_the_schema(path: Path) -> None:
    """What the loader takes, an editor takes."""
    content, _ = read_strict(path.read_bytes())

    assert fits(content, json_schema(), json_schema())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "1ST"),
        ("version", 0),
        ("version", True),
        ("isActve", True),
        ("description", ""),
        ("poller.onTimeout", "PENDING"),
        ("poller.onTimeout", None),
        ("poller.pastInterval", -2),
        ("poller.futureInterval", 2_678_401),
        ("resources", {}),
        ("resources.pastEvents.dependsOn", []),
        ("resources.pastEvents.dependsOn", ["IN_BED", "IN_BED"]),
        ("resources.pastEvents.dependsOn", ["in_bed"]),
        ("resources.pastEvents.expressions", {}),
        ("resources.pastEvents.expressions.PASS", ""),
        ("resources.pastEvents.expressions.PENDING", "True"),
        ("tests", {}),
        ("tests", [{"name": "x", "start": "8:00", "evaluate": "end", "expect": "PASS"}]),
        ("tests", [{"name": "x", "start": "08:00", "evaluate": "later", "expect": "PASS"}]),
        ("tests", [{"name": "x", "start": "08:00", "evaluate": "end", "expect": "MAYBE"}]),
        ("tests", [{"name": "x", "start": "08:00", "evaluate": "end", "expect": "PASS", "events": ["IN_BED"]}]),
    ],
)
def test_an_editor_refuses_what_the_loader_refuses(path: str, value: object) -> None:
    """As far as a schema can say it."""
    content, _ = read_strict((ROOT / "templates" / "client_at_home.yaml").read_bytes())
    changed: Any = copy.deepcopy(content)
    *above, last = path.split(".")
    place = changed
    for name in above:
        place = place[name]
    place[last] = value

    assert not fits(changed, json_schema(), json_schema())
