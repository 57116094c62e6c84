"""Templates as rows of the database, and what the library asks of the store.

Anybody may write rows, so a row is only raw values here, bounded in size by the store; what they mean is checked by
the same rules as a file.
"""

import json
from dataclasses import dataclass, replace
from typing import Protocol

from domain.template import Problem, Resource, Template
from domain.template_schema import MAX_NAMES_TEXT, read_content

MAX_CONDITIONS = 6  # two phases with three outputs
MAX_DESCRIPTION = 500
_RESOURCES = {"PAST": "pastEvents", "FUTURE": "futureEvents"}

RawValue = str | int | float | bytes | None


@dataclass(frozen=True, slots=True)
class Condition:
    """A row of `status_check_template_detail`."""

    phase: RawValue
    output: RawValue
    text: RawValue


@dataclass(frozen=True, slots=True)
class TemplateRow:
    """One version with its conditions, as it stands in the tables. `past_names`, `future_names`: JSON arrays."""

    name: RawValue
    version: RawValue
    description: RawValue
    is_active: RawValue
    poll_until_end: RawValue
    past_names: RawValue
    future_names: RawValue
    past_interval_s: RawValue
    future_interval_s: RawValue
    on_timeout: RawValue
    content_hash: RawValue
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """What the database has around one version. `newer` counts versions above it, `older_active` active ones below."""

    description_id: int | None
    description: str
    newer: int
    older_active: int


class TemplateStore(Protocol):
    """The templates in the database. All methods raise Unavailable, and RuleViolation where rows can't even be read."""

    async def version(self, name: str, version: RawValue) -> TemplateRow | None:
        """One version, active or not."""
        ...

    async def active_versions(self, name: str) -> list[RawValue]:
        """The versions of a name that are active, newest first, at most 20."""
        ...

    async def versions_above(self, name: str, version: int) -> list[RawValue]:
        """The versions of a name above one, newest first, at most 20."""
        ...

    async def standing(self, name: str, version: int) -> Standing:
        """What stands around one version."""
        ...

    async def add(self, row: TemplateRow, standing: Standing, *, describes: bool) -> None:
        """Write a version; if it is active, older ones are no longer. `describes`: its description counts.

        Raises Conflict, and has written nothing, if the standing is another by now.
        """
        ...

    async def change(self, row: TemplateRow, standing: Standing, *, describes: bool) -> None:
        """Set state, hash and perhaps description of a version that is there; otherwise as `add`."""
        ...

    async def names(self) -> list[str]:
        """The names that have an active version, sorted, at most 1,000."""
        ...


def row_of(template: Template, *, is_active: bool) -> TemplateRow:
    """The row that says what a template says."""
    row = TemplateRow(
        name=template.name,
        version=template.version,
        description=template.description,
        is_active=int(is_active),
        poll_until_end=int(template.poll_until_end),
        past_names=_names_of(template.past),
        future_names=_names_of(template.future),
        past_interval_s=template.past_interval_s,
        future_interval_s=template.future_interval_s,
        on_timeout=None if template.on_timeout is None else template.on_timeout.value,
        content_hash=None,
        conditions=(*_conditions_of("PAST", template.past), *_conditions_of("FUTURE", template.future)),
    )
    return _with_hash(row)


def _with_hash(row: TemplateRow) -> TemplateRow:
    """Hashed as it will be read back: a file may write the same condition with other spaces around it."""
    content, _ = content_of(row)
    read, _ = read_content(content)
    return replace(row, content_hash=None if read is None else read.content_hash())


def _names_of(resource: Resource | None) -> str | None:
    return None if resource is None else json.dumps(resource.depends_on)


def _conditions_of(phase: str, resource: Resource | None) -> list[Condition]:
    if resource is None:
        return []
    return [Condition(phase, verdict.value, expression.text) for verdict, expression in resource.expressions.items()]


def content_of(row: TemplateRow) -> tuple[dict[str, object], list[Problem]]:
    """What a file with the same content would hold, for `read_template`; and what no file could say."""
    problems: list[Problem] = []
    resources: dict[str, object] = {}
    for phase, names in (("PAST", row.past_names), ("FUTURE", row.future_names)):
        conditions = [one for one in row.conditions if one.phase == phase]
        if conditions or names not in (None, "", "[]"):
            resource = {"dependsOn": _read_names(phase, names, problems), "expressions": _texts(conditions, problems)}
            resources[_RESOURCES[phase]] = resource
    problems += _strange_conditions(row)
    poller = {"pastInterval": row.past_interval_s, "futureInterval": row.future_interval_s, "onTimeout": row.on_timeout}
    content: dict[str, object] = {
        "name": row.name,
        "version": row.version,
        "description": _one_line(row),
        "isActive": _truth(row.is_active),
        "pollUntilEnd": _truth(row.poll_until_end),
        "poller": {key: value for key, value in poller.items() if value is not None},
        "resources": resources,
    }
    return content, problems


def _read_names(phase: str, names: RawValue, problems: list[Problem]) -> object:
    if isinstance(names, str) and len(names) <= MAX_NAMES_TEXT:
        try:
            return json.loads(names)
        except (ValueError, RecursionError):
            pass
    problems.append(Problem((f"{phase.lower()}_event_dependencies",), "is not a JSON array of event names"))
    return []


def _texts(conditions: list[Condition], problems: list[Problem]) -> dict[str, object]:
    problems += [Problem(("output",), "expected text") for one in conditions if not isinstance(one.output, str)]
    return {str(one.output): one.text.strip(" \n") if isinstance(one.text, str) else one.text for one in conditions}


def _strange_conditions(row: TemplateRow) -> list[Problem]:
    strange = [
        Problem(("phase",), "is neither PAST nor FUTURE") for one in row.conditions if one.phase not in _RESOURCES
    ]
    if len(row.conditions) > MAX_CONDITIONS:
        strange.append(Problem(("resources",), f"has more than {MAX_CONDITIONS} conditions"))
    return strange[:1]


def _truth(value: RawValue) -> object:
    # What is neither stays as it is, and is refused like any other wrong type.
    return bool(value) if isinstance(value, int) and value in (0, 1) else value


def _one_line(row: TemplateRow) -> object:
    """Descriptions of the system before us may be longer than ours and have line breaks; they decide nothing."""
    if not isinstance(row.description, str):
        return row.description
    words = " ".join(row.description.split())[:MAX_DESCRIPTION].strip()
    return "".join(one if one.isprintable() else "?" for one in words) or row.name
