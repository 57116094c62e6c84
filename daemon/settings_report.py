"""The settings for people: what `robotd check-config` shows, and docs/configuration.md, both made from the model.

`python -m daemon.settings_report docs/configuration.md` writes the page; a test fails when it is stale.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.table import Table
from rich.text import Text

from daemon.settings import LoadedSettings, Settings
from daemon.settings_sources import SettingPath, SettingsError, dotted, is_secret, leaves, variable

_INTRODUCTION = """\
# Configuration

<!-- Written by `python -m daemon.settings_report docs/configuration.md` from daemon/settings.py; don't edit. -->

`robotd check-config` shows every setting, its value, and where the value came from. Where something is wrong, it and
every start tell all problems at once and exit with 3.

A value is taken from the strongest source that has it:

1. The environment: `ROBOTD_` and the path in capitals, two underscores for each dot. An empty variable counts as unset.
2. The folder of secrets, where `ROBOTD_SECRETS_DIR` names one: a file for each setting, called by its path
   (`database.password` or `database__password`), as container platforms mount them. Hidden files are skipped.
3. The YAML file: `--config FILE`, else the one that `ROBOTD_CONFIG` names, else `./robotd.yaml` if there is one.
   `robotd.example.yaml` is one to begin with. It is read strictly: nothing twice, and nothing that two readers could
   take for different things.
4. The default.

Unknown keys, files and variables are errors, so that a misspelt one can't be overlooked; only the variables that a
cluster sets for a service called robotd (`ROBOTD_SERVICE_HOST`, `ROBOTD_PORT` and the like) are passed over.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One setting as it is in effect. A secret is `***`, or None where it is unset."""

    path: str
    value: str | float | bool | None
    source: str
    is_default: bool
    description: str


def rows(loaded: LoadedSettings) -> list[Row]:
    """Every setting, in the order of the tree."""
    found = []
    for path, field in leaves(Settings).items():
        origin = loaded.origins[dotted(path)]
        value = _shown(_value(loaded.settings, path), field)
        found.append(Row(dotted(path), value, origin.where, origin.kind == "default", field.description or ""))
    return found


def as_json(loaded: LoadedSettings) -> str:
    """What `check-config --json` prints for a good configuration."""
    return json.dumps({"ok": True, "settings": [asdict(row) for row in rows(loaded)]}, indent=2)


def problems_as_json(error: SettingsError) -> str:
    """What `check-config --json` prints for a bad one."""
    problems = [
        {
            "paths": [dotted(path) for path in it.paths],
            "source": it.where,
            "problem": it.text,
            "value": it.shown,
            "hint": it.hint,
        }
        for it in error.problems
    ]
    return json.dumps({"ok": False, "problems": problems}, indent=2)


def print_table(loaded: LoadedSettings, console: Console) -> None:
    """What `check-config` prints: what was set stands out, defaults are dim."""
    table = Table("setting", "value", "source", "description", box=None, pad_edge=False, header_style="bold")
    for row in rows(loaded):
        style = "dim" if row.is_default else ""
        table.add_row(*(Text(text) for text in (row.path, _text(row.value), row.source, row.description)), style=style)
    console.print(table)


def configuration_page() -> str:
    """docs/configuration.md."""
    lines = [_INTRODUCTION.rstrip()]
    section: SettingPath | None = None
    for path, field in leaves(Settings).items():
        if path[:-1] != section:
            section = path[:-1]
            lines += _heading(section)
        cells = (
            f"`{dotted(path)}`<br>`{variable(path)}`",
            _kind(field),
            _default(field),
            _bounds(field),
            field.description or "",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _heading(section: SettingPath) -> Iterator[str]:
    if section:
        model = Settings.model_fields[section[0]].annotation
        yield f"\n## {dotted(section)}\n\n{model.__doc__ if model else ''}\n"
    else:
        yield "\n## robotd\n\nThe service as a whole.\n"
    yield "| setting | type | default | bounds | what it does |"
    yield "|---|---|---|---|---|"


def _value(settings: BaseModel, path: SettingPath) -> object:
    value: object = settings
    for name in path:
        value = getattr(value, name)
    return value


def _shown(value: object, field: FieldInfo) -> str | float | bool | None:
    if value is None or (isinstance(value, bool | int | float) and not is_secret(field)):
        return value
    return "***" if is_secret(field) else str(value)


def _text(value: str | float | bool | None) -> str:  # noqa: FBT001  a value to be shown, not a flag
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _kind(field: FieldInfo) -> str:
    if is_secret(field):
        return "secret"
    kinds = [kind for kind in get_args(field.annotation) if kind is not type(None)] or [field.annotation]
    if get_origin(field.annotation) is Literal:
        return "one of " + ", ".join(f"`{choice}`" for choice in kinds)
    names = {bool: "`true` or `false`", int: "whole number", float: "number", Path: "folder"}
    return names.get(kinds[0], "text") if isinstance(kinds[0], type) else "text"


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "shipped"  # its path differs from machine to machine
    return "unset" if field.default is None else f"`{_text(field.default)}`"


def _bounds(field: FieldInfo) -> str:
    words = []
    for rule in field.metadata:
        match rule:
            case Ge():
                words.append(f"at least {rule.ge}")
            case Gt():
                words.append(f"more than {rule.gt}")
            case Le():
                words.append(f"at most {rule.le}")
            case Lt():
                words.append(f"less than {rule.lt}")
            case _ if getattr(rule, "pattern", None):
                words.append(f"`{rule.pattern}`".replace("|", "\\|"))
    return ", ".join(words)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(configuration_page(), encoding="utf-8")
