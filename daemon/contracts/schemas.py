"""JSON Schemas of whole messages, made from the models that read and write them.

Written without `$ref` and without titles made of names, so that other tools and people can read each alone. Commands
are closed: an unknown key is refused. Events and results are open: whoever reads one ignores what it doesn't know.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from daemon.contracts.meanings import MEANINGS
from domain.command_data import Answered
from domain.messages import COMMANDS, Envelope, MegazordEvent
from domain.result_models import RESULTS, ResultEnvelope
from domain.whatsapp_events import WhatsAppEvent

Node = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
EVENTS: Mapping[str, type[BaseModel]] = {"megazord.event": MegazordEvent, "waha.event": WhatsAppEvent}
NAMES_OF_RESULTS: Mapping[str, str] = {f"{name}.result" if name in COMMANDS else name: name for name in RESULTS}
"""The type of each result by its name in the contract, which no command has."""
TIME = r"^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$"
_ONE_OF_TWO = {
    "campaign.test-send": ("phoneNumber", "chatId"),
    "contacts.import": ("listId", "listName"),
    "opt-out.add": ("phoneNumber", "chatId"),
}
"""Of these keys exactly one is named; the models say so in a rule that no schema is made of."""


def schema_of(name: str) -> Node:
    """The schema of a whole message. Raises KeyError for a name that nobody knows."""
    if name in COMMANDS:
        return _command(name)
    return _event(name) if name in EVENTS else _result(NAMES_OF_RESULTS[name])


def described(model: type[BaseModel]) -> Node:
    """The schema of one model: references resolved, each field with its meaning."""
    made = model.model_json_schema(by_alias=True)
    return _resolved_part(model.__name__, made, made.get("$defs", {}))


def _command(message_type: str) -> Node:
    model = COMMANDS[message_type]
    envelope, data = described(Envelope), described(model)
    if issubclass(model, Answered):
        data["not"] = {"required": ["robotId", "replyTo"], "properties": _both_given("robotId", "replyTo")}
    if message_type in _ONE_OF_TWO:
        data["oneOf"] = [{"required": [name], "properties": _both_given(name)} for name in _ONE_OF_TWO[message_type]]
    envelope["properties"] |= {"type": {**envelope["properties"]["type"], "const": message_type}, "data": data}
    del envelope["properties"]["type"]["pattern"]
    description, data["description"] = data["description"], MEANINGS["Envelope"]["data"]
    return {"$schema": DIALECT, "title": message_type, **envelope, "description": description}


def _both_given(*names: str) -> Node:
    """Null is as good as absent, so a key is given only where it is something else."""
    return {name: {"not": {"type": "null"}} for name in names}


def _event(message_type: str) -> Node:
    event = _opened(described(EVENTS[message_type]))
    if message_type == "waha.event":
        event["required"].remove("id")  # one that has none is given one before it is read
        return {"$schema": DIALECT, "title": message_type, **event}
    return {
        "$schema": DIALECT,
        "title": message_type,
        "description": event["description"],
        "type": "object",
        "properties": {"payload": event, "to": _TO},
        "required": ["payload"],
    }


_TO: Node = {
    "description": "Whom Megazord addresses; a robot that is not the event's is refused.",
    "type": "object",
    "properties": {"robotId": {"description": "The robot, as text or number.", "type": ["string", "integer"]}},
}


def _result(message_type: str) -> Node:
    envelope, payload = described(ResultEnvelope), described(RESULTS[message_type])
    envelope["properties"] |= {
        "payload": payload,
        "type": {**envelope["properties"]["type"], "const": message_type},
    }
    return {"$schema": DIALECT, "title": message_type, **_opened(envelope), "description": payload["description"]}


def _opened(node: Any) -> Any:
    """What we send may get more keys, and what others send may have any."""
    if isinstance(node, list):
        return [_opened(one) for one in node]
    if not isinstance(node, dict):
        return node
    return {name: _opened(below) for name, below in node.items() if (name, below) != ("additionalProperties", False)}


def _resolved_part(name: str, part: Node, parts: Node) -> Node:
    """Fields of commands and events have their meaning in `meanings`, those of results in their models."""
    node: Node = _resolved(part, parts)
    for field, below in node.get("properties", {}).items():
        if meaning := MEANINGS.get(name, {}).get(field):
            below["description"] = meaning
    return node


def _resolved(node: Any, parts: Node) -> Any:
    if isinstance(node, list):
        return [_resolved(one, parts) for one in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        return {**_resolved_part(name, parts[name], parts), **{key: node[key] for key in node if key != "$ref"}}
    clean = {
        key: {name: _resolved(one, parts) for name, one in below.items()}  # names of fields, whatever they are
        if key == "properties"
        else _resolved(below, parts)
        for key, below in node.items()
        if key not in ("title", "$defs") and (key, below) != ("default", None)
    }
    if clean.get("format") == "date-time":
        clean.setdefault("pattern", TIME)
    return _without_choice(clean)


def _without_choice(node: Node) -> Node:
    """`anyOf` of one thing and null, as one thing whose type may be null."""
    choices = node.get("anyOf", [])
    others = [choice for choice in choices if choice != {"type": "null"}]
    if len(others) != 1 or len(choices) == 1 or not isinstance(others[0].get("type"), str):
        return node
    one = {**others[0], **{name: value for name, value in node.items() if name != "anyOf"}}
    one["type"] = [others[0]["type"], "null"]
    if "enum" in one:
        one["enum"] = [*one["enum"], None]
    return one
