"""Writing the contract into a folder, and saying what of a folder is stale."""

import json
from pathlib import Path

from daemon.contracts.asyncapi import asyncapi
from daemon.contracts.baseline import FILE, released
from daemon.contracts.catalogue import names
from daemon.contracts.examples import example_message
from daemon.contracts.page import page
from daemon.contracts.schemas import Node, schema_of


def files() -> dict[str, str]:
    """Every generated file by its path within the folder. The baseline is none: a release writes it."""
    made = {"README.md": page(), "asyncapi.json": _text(asyncapi())}
    for name in names():
        made[f"{name}.schema.json"] = _text(schema_of(name))
        made[f"examples/{name}.json"] = _text(example_message(name))
    return made


def export(folder: Path) -> list[str]:
    """Write what differs. Returns the paths that were written. Raises OSError."""
    written = stale(folder)
    made = files()
    for name in written:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(made[name], encoding="utf-8")
    return written


def stale(folder: Path) -> list[str]:
    """The generated files that are missing or say something else."""
    return [name for name, text in files().items() if _read(folder / name) != text]


def release(folder: Path) -> None:
    """Make today's contract the one that the next ones are compared with. Raises OSError."""
    (folder / FILE).write_text(released(), encoding="utf-8")


def _read(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.is_file() else None


def _text(content: Node) -> str:
    return f"{json.dumps(content, indent=2)}\n"
