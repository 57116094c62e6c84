"""The page for people: the rules of all messages once, then each message with its fields and its example."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from daemon.contracts.asyncapi import summary_of
from daemon.contracts.catalogue import VERSION
from daemon.contracts.examples import example_message
from daemon.contracts.said import COMMANDS_SAID, EVENTS_SAID, EVERY_COMMAND, Said
from daemon.contracts.schemas import EVENTS, NAMES_OF_RESULTS, Node, schema_of
from daemon.settings_sections import QueueSettings
from domain.messages import COMMANDS

_RULES = Path(__file__).with_name("rules.md")
_BOUNDS = (
    ("minimum", "at least {}"),
    ("maximum", "at most {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} of them"),
    ("maxItems", "at most {} of them"),
)


def page() -> str:
    """The whole page."""
    queues = QueueSettings()
    rules = _RULES.read_text(encoding="utf-8")
    for name, value in (
        ("VERSION", str(VERSION)),
        ("COMMANDS_QUEUE", queues.commands),
        ("ROBOT_PREFIX", queues.robot_prefix),
        ("EVERY_COMMAND", _quoted(EVERY_COMMAND)),
    ):
        rules = rules.replace(f"[[{name}]]", value)
    return "\n".join((rules, *_commands(), *_events(), *_results()))


def _commands() -> Iterator[str]:
    yield "## Commands\n"
    yield "Sent by upstream services. The envelope is the same for all; what differs is `data`.\n"
    envelope = schema_of(next(iter(COMMANDS)))
    yield from _fields({**envelope, "properties": _with_plain_type(envelope)}, stop_at="data")
    for name in COMMANDS:
        yield from _heading(name)
        yield from _answers(COMMANDS_SAID[name])
        yield from _fields(schema_of(name)["properties"]["data"])
        yield from _example(name)


def _events() -> Iterator[str]:
    yield "## Events\n"
    yield "Sent by Megazord and WAHA: their messages, of which robotd reads these keys and ignores all others.\n"
    for name in EVENTS:
        yield from _heading(name)
        yield from _answers(EVENTS_SAID[name])
        yield from _fields(schema_of(name))
        yield from _example(name)


def _results() -> Iterator[str]:
    yield "## Results\n"
    yield "Sent by robotd to robots and reply queues. The envelope is the same for all; what differs is `payload`.\n"
    envelope = schema_of("error")
    yield from _fields({**envelope, "properties": _with_plain_type(envelope)}, stop_at="payload")
    for name, result_type in NAMES_OF_RESULTS.items():
        yield from _heading(name)
        senders = [command for command, said in COMMANDS_SAID.items() if result_type in said.results]
        if senders:
            yield f"Follows from: {_quoted(senders)}.\n"
        yield from _fields(schema_of(name)["properties"]["payload"])
        yield from _example(name)


def _with_plain_type(envelope: Node) -> Node:
    kind = {key: value for key, value in envelope["properties"]["type"].items() if key != "const"}
    return {**envelope["properties"], "type": kind}


def _heading(name: str) -> Iterator[str]:
    yield f"### {name}\n"
    yield f"{summary_of(name)}\n"


def _answers(said: Said) -> Iterator[str]:
    """What may come back. A `campaign.current` and an `error` go to whom the command names."""
    yield f"Results: {_quoted(said.results)}. Refused as: {_quoted(said.errors)}.\n"


def _example(name: str) -> Iterator[str]:
    yield f"[Schema]({name}.schema.json), [example](examples/{name}.json):\n"
    yield f"```json\n{json.dumps(example_message(name), indent=2)}\n```\n"


def _fields(schema: Node, stop_at: str = "") -> Iterator[str]:
    yield "| key | type | bounds | what it means |"
    yield "|---|---|---|---|"
    yield from _rows(schema, "", stop_at)
    yield ""


def _rows(schema: Node, path: str, stop_at: str) -> Iterator[str]:
    for name, node in schema.get("properties", {}).items():
        key = f"{path}{name}"
        mark = "" if name in schema.get("required", []) else "?"
        yield f"| `{key}`{mark} | {_type(node)} | {_bounds(node)} | {_cell(node.get('description', ''))} |"
        if key == stop_at:
            continue
        for part in (node, *node.get("anyOf", [])):
            yield from _rows(part, f"{key}.", stop_at)
        yield from _rows(node.get("items", {}), f"{key}[].", stop_at)


def _type(node: Node) -> str:
    if "anyOf" in node:
        return " or ".join(_type(one) for one in node["anyOf"])
    if "const" in node:
        return f"`{json.dumps(node['const'])}`"
    named = node.get("type", "any")
    types = [named] if isinstance(named, str) else named
    if "enum" in node:
        return "one of " + ", ".join("null" if value is None else f"`{value}`" for value in node["enum"])
    words = {
        "string": "time" if node.get("format") == "date-time" else "text",
        "array": "list",
        "integer": "whole number",
    }
    return " or ".join(words.get(one, one) for one in types)


def _bounds(node: Node) -> str:
    words = [text.format(node[name]) for name, text in _BOUNDS if name in node]
    if "pattern" in node and node.get("format") != "date-time":
        words.append(f"`{_cell(node['pattern'])}`")
    inner = node.get("items", {})
    if inner.get("type") == "string" and "enum" in inner:
        words.append("each " + _type(inner))
    if "default" in node and node["default"] not in ("", [], None):
        words.append(f"default {_cell(json.dumps(node['default']))}")
    return ", ".join(words)


def _cell(text: str) -> str:
    return text.split("\n", maxsplit=1)[0].replace("|", "\\|")


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"
