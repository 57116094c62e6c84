"""What tests of templates share: files, rows written by hand, and a library over a database."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from daemon.store.database import Database, Value, Write
from daemon.store.ids import Ids
from daemon.store.templates import SqlTemplates
from daemon.template_files import read_files
from daemon.template_library import TemplateLibrary
from domain.template import Template

NAME = "ROSE"
IN_BED = "exists('IN_BED')"
TEXT = """\
name: {name}
version: {version}
description: {description}
isActive: {active}
poller: {{pastInterval: -1, futureInterval: {future_s}, onTimeout: {on_timeout}}}
resources:
  pastEvents:
    dependsOn: [IN_BED]
    expressions:
      PASS: {expression}
  futureEvents:
    dependsOn: [OUT_OF_BED]
    expressions:
      PASS: exists('OUT_OF_BED')
"""


def text_of(version: int = 1, name: str = NAME, *, active: bool = True, **changed: object) -> str:
    """The text of a file; `changed`: description, expression, future_s, on_timeout."""
    usual = {"description": "An example.", "expression": IN_BED, "future_s": 1800, "on_timeout": "FAIL"}
    return TEXT.format(**{**usual, **changed}, name=name, version=version, active=str(active).lower())


def write_file(folder: Path, version: int = 1, name: str = NAME, *, active: bool = True, **changed: object) -> Path:
    """A file of its own for each version."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{name.lower()}-{version}.yaml"
    file.write_text(text_of(version, name, active=active, **changed))
    return file


class Row:
    """A template as somebody writes it by hand: the columns of the system before us, nothing else."""

    def __init__(self, template_id: int, version: Value = 1, name: Value = NAME, description_id: int = 900_001) -> None:
        self.id = template_id
        self.description: dict[str, Value] = {"id": description_id, "name": name, "description": "By hand."}
        self.header: dict[str, Value] = {
            "id": template_id,
            "template_description_id": description_id,
            "past_event_dependencies": '["IN_BED"]',
            "future_event_dependencies": "[]",
            "version": version,
            "is_active": 1,
            "poll_until_end": 0,
        }
        self.details: list[tuple[Value, Value, Value]] = [("PAST", IN_BED, "PASS")]

    async def write(self, database: Database, *, is_first: bool = True, **header: Value) -> None:
        """With `is_first` also the row of the description."""
        writes = [_insert("status_check_description", self.description)] if is_first else []
        writes.append(_insert("status_check_template", {**self.header, **header}))
        names = ("template_id", "phase", "raw_expression", "output")
        details = [dict(zip(names, (self.id, *detail), strict=True)) for detail in self.details]
        await database.apply([*writes, *(_insert("status_check_template_detail", detail) for detail in details)])


def _insert(table: str, values: Mapping[str, Value]) -> Write:
    marks = ", ".join("?" * len(values))
    return Write(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))  # noqa: S608  names of ours


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Counting:
    """A store that counts what it is asked."""

    def __init__(self, database: Database) -> None:
        self.store = SqlTemplates(database, Ids(database))
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def ask(*args: Any, **named: Any) -> Any:
            self.asked.append(name)
            return await getattr(self.store, name)(*args, **named)

        return ask


def library_of(
    database: Database, *, size: int = 256, keep_s: float = 30.0, clock: Clock | None = None
) -> TemplateLibrary:
    """A replica's library."""
    return TemplateLibrary(SqlTemplates(database, Ids(database)), size=size, keep_s=keep_s, now_s=clock or Clock())


async def sync(library: TemplateLibrary, folder: Path) -> None:
    """Bring in a folder."""
    await library.sync(read_files([folder]))


async def states(database: Database, name: str = NAME) -> dict[Value, Value]:
    """Each version of a name in the database, and whether it is active."""
    rows = await database.fetch(
        "SELECT t.version, t.is_active FROM status_check_template t JOIN status_check_description d "
        "ON d.id = t.template_description_id WHERE d.name = ? ORDER BY t.version",
        (name,),
    )
    return {row[0]: row[1] for row in rows}


async def until(is_so: Callable[[], Awaitable[bool]], timeout_s: float = 10.0) -> None:
    """Return as soon as it is so."""
    async with asyncio.timeout(timeout_s):
        while not await is_so():
            pass


class FixedTemplates:
    """The port `Templates` over templates in memory."""

    def __init__(self, templates: Iterable[Template]) -> None:
        self._versions = {(one.name, one.version): one for one in templates}

    async def active(self, name: str) -> Template | None:
        """The newest active one."""
        active = [one for one in self._versions.values() if one.name == name and one.is_active]
        return max(active, key=lambda one: one.version, default=None)

    async def version(self, name: str, version: int) -> Template | None:
        """One version."""
        return self._versions.get((name, version))
