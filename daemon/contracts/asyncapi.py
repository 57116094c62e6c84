"""The AsyncAPI 3.0 document: queues as channels, what robotd does with them as operations, every message.

Queue names are those of the settings as they are without any: an installation may name its own.
"""

from typing import Any

from daemon.contracts.catalogue import VERSION, direction_of, names
from daemon.contracts.examples import example_message
from daemon.contracts.said import COMMANDS_SAID, EVENTS_SAID, RESULTS_SAID
from daemon.contracts.schemas import EVENTS, NAMES_OF_RESULTS, Node, schema_of
from daemon.settings_sections import QueueSettings
from domain.messages import COMMANDS

SQS_BINDING = "0.2.0"
_ATTRIBUTES: Node = {
    "type": "object",
    "description": "SQS message attributes, all of the type String.",
    "properties": {
        "type": {"type": "string", "description": "The type, for filters; what counts is the one in the body."},
        "callRef": {"type": "string", "description": "The reference, where there is one."},
    },
}


def asyncapi() -> Node:
    """The whole document."""
    queues = QueueSettings()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "robotd",
            "version": f"{VERSION}.0.0",
            "description": "Commands, events and results of robotd. README.md beside this file says what each does.",
        },
        "defaultContentType": "application/json",
        "channels": _channels(queues),
        "operations": _operations(),
        "components": {"messages": {_key(name): _message(name) for name in names()}},
    }


def _channels(queues: QueueSettings) -> Node:
    dead = queues.dead_letter_suffix
    return {
        "commands": {
            "address": queues.commands,
            "description": "Where upstream services send commands.",
            "messages": _references(COMMANDS),
            "bindings": _queue(queues.commands, dead),
        },
        "megazordEvents": {
            "address": queues.events,
            "description": "Where Megazord sends its events.",
            "messages": _references(["megazord.event"]),
            "bindings": _queue(queues.events, dead),
        },
        "whatsappEvents": {
            "address": None,
            "description": "Where a relay puts WAHA's webhooks: the queue of `waha.events_queue`, where that is set.",
            "messages": _references(["waha.event"]),
        },
        "robot": {
            "address": f"{queues.robot_prefix}{{robotId}}",
            "description": "A robot's own queue.",
            "parameters": {"robotId": {"description": "The robot, in decimal digits."}},
            "messages": _references(NAMES_OF_RESULTS),
        },
        "reply": {
            "address": None,
            "description": "The queue that a command names in `replyTo`, one of `queues.reply_queues`.",
            "messages": _references(NAMES_OF_RESULTS),
        },
    }


def _queue(name: str, dead_letter_suffix: str) -> Node:
    queue: Node = {
        "name": name,
        "fifoQueue": False,
        "redrivePolicy": {"deadLetterQueue": {"name": f"{name}{dead_letter_suffix}"}},
    }
    return {"sqs": {"queue": queue, "bindingVersion": SQS_BINDING}}


def _references(types: Any) -> Node:
    return {_key(name): {"$ref": f"#/components/messages/{_key(name)}"} for name in types}


def _operations() -> Node:
    def operation(action: str, channel: str, types: Any, summary: str) -> Node:
        messages = [{"$ref": f"#/channels/{channel}/messages/{_key(name)}"} for name in types]
        return {
            "action": action,
            "channel": {"$ref": f"#/channels/{channel}"},
            "summary": summary,
            "messages": messages,
        }

    asked = operation("receive", "commands", COMMANDS, "Carries out a command, once for each (`source`, `id`).")
    asked["reply"] = {
        "address": {"location": "$message.payload#/data/replyTo", "description": "Or the queue of `data.robotId`."},
        "channel": {"$ref": "#/channels/reply"},
    }
    return {
        "receiveCommands": asked,
        "receiveMegazordEvents": operation(
            "receive", "megazordEvents", ["megazord.event"], "Takes an event into account."
        ),
        "receiveWhatsappEvents": operation("receive", "whatsappEvents", ["waha.event"], "Hears what WhatsApp tells."),
        "tellRobot": operation("send", "robot", NAMES_OF_RESULTS, "Tells a robot, at least once."),
        "reply": operation("send", "reply", NAMES_OF_RESULTS, "Tells a service, at least once."),
    }


def _message(name: str) -> Node:
    payload = {key: value for key, value in schema_of(name).items() if key not in ("$schema", "title")}
    attributes = {**_ATTRIBUTES, "properties": dict(_ATTRIBUTES["properties"])}
    if direction_of(name) == "sent":
        attributes["properties"]["time"] = {"type": "string", "description": "As in the body."}
        attributes["required"] = ["type", "time"]
    return {
        "name": NAMES_OF_RESULTS.get(name, name),
        "title": name,
        "summary": summary_of(name),
        "contentType": "application/json",
        "headers": attributes,
        "payload": payload,
        "examples": [{"name": name, "payload": example_message(name)}],
    }


def summary_of(name: str) -> str:
    """What a message does, in a sentence or two."""
    if name in NAMES_OF_RESULTS:
        return RESULTS_SAID[NAMES_OF_RESULTS[name]]
    return (EVENTS_SAID if name in EVENTS else COMMANDS_SAID)[name].does


def _key(message_type: str) -> str:
    """A name that AsyncAPI takes as a key: letters, digits, and no dots."""
    return message_type.replace(".", "_").replace("-", "_")
