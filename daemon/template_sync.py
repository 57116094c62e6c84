"""Brings the templates of files into the database, each in one transaction, beside other replicas that do the same.

What a version decides never changes once it is there. What is not in the files is left alone.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import structlog

from daemon.log import LogEvent
from daemon.recent import Recent
from daemon.template_files import FileProblem, ReadFile
from daemon.template_reader import RowReader
from daemon.template_rows import RawValue, Standing, TemplateRow, TemplateStore, row_of
from domain.errors import Conflict, RuleViolation
from domain.template import Template

_log = structlog.get_logger()
_TRIES = 10
_MAX_TOLD = 1_024


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    template: Template


class _Refused(Exception):  # noqa: N818  a file's fate, which never leaves this module
    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class TemplateSync:
    """Remembers what it has said: each problem is logged once while it lasts."""

    def __init__(self, store: TemplateStore, reader: RowReader) -> None:
        self._store = store
        self._reader = reader
        self._told: frozenset[str] = frozenset()
        self._overtaken: Recent[tuple[str, int, RawValue], bool] = Recent(_MAX_TOLD)

    @property
    def problems(self) -> tuple[str, ...]:
        """Of the files that were read last: `file:line:column: field: message (hint)`."""
        return tuple(sorted(self._told))

    async def run(self, files: Sequence[ReadFile]) -> None:
        """Bring in all that are ok. Raises Unavailable; then some are in and others not, and a next run goes on."""
        found = {str(problem) for read in files for problem in read.problems if problem.severity == "error"}
        self._tell(found, self._told)
        for usable in _by_name(files):
            mine = {file.template.version: file.template.is_active for file in usable}
            for file in usable:
                try:
                    await self._bring(file, mine)
                except _Refused as refused:
                    found.add(str(FileProblem(file.path, 1, 1, "version", str(refused), refused.hint)))
                    self._tell(found, self._told)
        self._told = frozenset(found)

    def _tell(self, found: Collection[str], told: Collection[str]) -> None:
        for text in sorted(set(found) - set(told)):
            _log.error(LogEvent.TEMPLATE_REFUSED, reason=text)
        self._told = frozenset(found) | frozenset(told)

    async def _bring(self, file: _File, mine: dict[int, bool]) -> None:
        for _ in range(_TRIES):
            try:
                await self._try(file, mine)
            except Conflict:
                continue  # another replica was first with something of this name: look again
            except RuleViolation as unreadable:
                raise _Refused(str(unreadable)) from unreadable
            return
        raise _Refused("others keep writing versions of this template", "it is tried again when a file changes")

    async def _try(self, file: _File, mine: dict[int, bool]) -> None:
        template = file.template
        standing = await self._store.standing(template.name, template.version)
        before = await self._store.version(template.name, template.version)
        self._reader.know(template)
        row = row_of(template, is_active=template.is_active)
        if before is not None:
            self._demand_same(file, before, row)
        newer = await self._newer(template, standing, mine)
        if newer is not None:
            self._say_overtaken(file, newer, mine)
            row = replace(row, is_active=int(template.is_active and before is not None and bool(before.is_active)))
        await self._write(file, before, row, standing, describes=newer is None)

    def _demand_same(self, file: _File, before: TemplateRow, row: TemplateRow) -> None:
        known = self._reader.template_of(file.template.name, before)
        if known is None:
            reason = self._reader.reason_of(file.template.name, before.version)
            raise _Refused(reason, "correct or delete that row, or raise the version")
        if known.content_hash != row.content_hash:
            raise _Refused(
                f"version {file.template.version} is in the database with other content", "raise the version"
            )

    async def _newer(self, template: Template, standing: Standing, mine: dict[int, bool]) -> RawValue:
        """The newest usable version above this one, unless a file of ours says that it is not active."""
        if not standing.newer:
            return None
        for version in await self._store.versions_above(template.name, template.version):
            if isinstance(version, int) and not mine.get(version, True):
                continue
            row = await self._store.version(template.name, version)
            if row is not None and self._reader.template_of(template.name, row) is not None:
                return version
        return None

    def _say_overtaken(self, file: _File, newer: RawValue, mine: dict[int, bool]) -> None:
        key = (file.template.name, file.template.version, newer)
        if not file.template.is_active or newer in mine or self._overtaken.get(key):
            return
        self._overtaken.put(key, value=True)
        name, version = file.template.name, file.template.version
        _log.warning(LogEvent.TEMPLATE_SUPERSEDED, template=name, version=version, file=file.path, newer=newer)

    async def _write(
        self, file: _File, before: TemplateRow | None, row: TemplateRow, standing: Standing, *, describes: bool
    ) -> None:
        if before is None:
            await self._store.add(row, standing, describes=describes)
            what = "added"
        elif _is_written(before, row, standing, describes=describes):
            return
        else:
            await self._store.change(row, standing, describes=describes)
            what = "changed"
        active = bool(row.is_active)
        _log.info(
            LogEvent.TEMPLATE_LOADED, template=row.name, version=row.version, file=file.path, what=what, active=active
        )


def _is_written(before: TemplateRow, row: TemplateRow, standing: Standing, *, describes: bool) -> bool:
    same = (before.is_active, before.content_hash) == (row.is_active, row.content_hash)
    is_alone = not (row.is_active and describes and standing.older_active)
    return same and is_alone and (standing.description == row.description or not describes)


def _by_name(files: Sequence[ReadFile]) -> Iterator[list[_File]]:
    """Of each name the newest active version first: what it replaces must not be in force in between."""
    usable = [_File(str(read.path), read.template) for read in files if read.template is not None]
    usable.sort(key=lambda file: (file.template.name, not file.template.is_active, -file.template.version))
    for _, same in groupby(usable, key=lambda file: file.template.name):
        newest, *others = same
        yield [newest, *sorted(others, key=lambda file: file.template.version)]
