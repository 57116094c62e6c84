"""The JSON Schema of template files, for editors. The loader knows more: expressions, examples, plain YAML."""

from collections.abc import Mapping
from typing import Any

from domain.event_names import EVENT_NAMES
from domain.expression_syntax import MAX_TEXT
from domain.template_schema import TemplateContent

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TITLE = "Status-check template of robotd"
_Node = dict[str, Any]


def json_schema() -> dict[str, object]:
    """The schema, draft 2020-12, made from the model that reads the files."""
    made = _without_titles_and_nulls(TemplateContent.model_json_schema(by_alias=True))
    del made["properties"]["poller"]["default"]
    parts: _Node = made["$defs"]
    _allow_one_or_more(parts)
    _offer_event_names(parts["ResourceContent"]["properties"]["dependsOn"])
    return {"$schema": DIALECT, "title": TITLE, **made}


def _allow_one_or_more(parts: _Node) -> None:
    conditions = parts["Conditions"]
    conditions["minProperties"] = 1
    for condition in conditions["properties"].values():
        del condition["default"]
        condition |= {"minLength": 1, "maxLength": MAX_TEXT}
    parts["ResourcesContent"]["minProperties"] = 1


def _offer_event_names(depends_on: _Node) -> None:
    """Editors complete the known names; others that are well-formed stay legal."""
    depends_on["uniqueItems"] = True
    depends_on["items"] = {"anyOf": [{"enum": list(EVENT_NAMES)}, depends_on["items"]]}


def _without_titles_and_nulls(node: Any) -> Any:
    """Leave out what says nothing to an author: titles made of names, and null for what may be missing."""
    if isinstance(node, list):
        return [_without_titles_and_nulls(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    clean = {key: _without_titles_and_nulls(value) for key, value in node.items() if not _is_noise(key, value)}
    choices = [choice for choice in clean.pop("anyOf", []) if choice != {"type": "null"}]
    if len(choices) == 1:
        return {**choices[0], **clean}
    return {"anyOf": choices, **clean} if choices else clean


def _is_noise(key: str, value: object) -> bool:
    return (key == "title" and isinstance(value, str)) or (key == "default" and value is None)
