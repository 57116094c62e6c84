"""The contract as it was last released, kept in one file, and the check of today's against it."""

import json
from pathlib import Path

from daemon.contracts.catalogue import VERSION, contract
from daemon.contracts.compatibility import Released, breaking
from domain.errors import ConfigError, MessageError
from domain.wire import JsonObject, read_json

FILE = "baseline.json"


def released(version: int = VERSION) -> str:
    """Today's contract as the text of a baseline."""
    messages = {name: {"direction": one.direction, "schema": one.schema} for name, one in contract().items()}
    return f"{json.dumps({'version': version, 'messages': messages}, indent=1)}\n"


def broken_promises(file: Path) -> list[str]:
    """What breaks somebody without a new version; empty where nothing does. Raises ConfigError for an unusable file."""
    version, before = _read(file)
    if version > VERSION:
        return [f"the version was {version} and is {VERSION}"]
    return [] if version < VERSION else breaking(before, contract())


def _read(file: Path) -> tuple[int, dict[str, Released]]:
    try:
        content: JsonObject = read_json(file.read_text(encoding="utf-8"))
        messages = {name: Released(one["direction"], one["schema"]) for name, one in content["messages"].items()}
        return int(content["version"]), messages
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    except (MessageError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{file} is no baseline of a contract: {type(error).__name__}: {error}") from None
