"""The templates in force: those of the database, which all replicas share, and into which each brings its files.

Answers are kept for a while, so that a check costs no query; a change reaches every replica within that time.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from daemon.recent import Recent
from daemon.template_files import ReadFile
from daemon.template_reader import RowReader
from daemon.template_rows import TemplateStore
from daemon.template_sync import TemplateSync
from domain.errors import RuleViolation
from domain.template import Template

_MAX_NAME = 256  # the column's width
_MAX_VERSION = 2**31 - 1
_MAX_REASON = 600
_ACTIVE = 0  # the key of "the newest active version", which is no version's own number

_Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class _Answer:
    template: Template | None
    refusal: str | None = None


class TemplateLibrary:
    """The port `Templates`. `keep_s` is how long an answer counts, `size` how many of each kind are kept."""

    def __init__(
        self, store: TemplateStore, *, size: int, keep_s: float, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._reader = RowReader(size)
        self._sync = TemplateSync(store, self._reader)
        self._found: Recent[_Key, _Answer] = Recent(size, keep_s, now_s)
        self._missed: Recent[_Key, _Answer] = Recent(size, keep_s, now_s)  # apart: a flood must not push out the good
        self._reading: dict[_Key, asyncio.Task[_Answer]] = {}

    async def active(self, name: str) -> Template | None:
        """The newest usable active version, or None where no row has the name.

        Raises RuleViolation where there are active rows and none is usable, and Unavailable.
        """
        if not _can_be_asked(name):
            return None
        answer = await self._answer((name, _ACTIVE))
        if answer.refusal is not None:
            raise RuleViolation(answer.refusal, kind="bad-template")
        return answer.template

    async def version(self, name: str, version: int) -> Template | None:
        """One version, active or not; None if it never existed or is not usable any more. Raises Unavailable."""
        if not _can_be_asked(name) or not 1 <= version <= _MAX_VERSION:
            return None
        return (await self._answer((name, version))).template

    async def names(self) -> list[str]:
        """The names that have an active version, usable or not, sorted, at most 1,000. Raises Unavailable."""
        return await self._store.names()

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with files, and with the rows that were asked for last."""
        return (*self._sync.problems, *self._reader.problems)

    async def sync(self, files: Sequence[ReadFile]) -> None:
        """Bring files into the database; a file that can't be used changes nothing. Raises Unavailable."""
        try:
            await self._sync.run(files)
        finally:
            self._forget({read.template.name for read in files if read.template is not None})

    async def has_any(self) -> bool:
        """Whether at least one active version is usable. Raises Unavailable."""
        for name in await self._store.names():
            if _can_be_asked(name) and (await self._answer((name, _ACTIVE))).template is not None:
                return True
        return False

    def _forget(self, names: set[str]) -> None:
        for kept in (self._found, self._missed):
            kept.drop(lambda key: key[0] in names)
        # Whoever reads just now may have read too early: nobody else shall join it, and its answer is not kept.
        for key in [key for key in self._reading if key[0] in names]:
            del self._reading[key]

    async def _answer(self, key: _Key) -> _Answer:
        kept = self._found.get(key) or self._missed.get(key)
        if kept is not None:
            return kept
        task = self._reading.get(key)
        if task is None:
            task = asyncio.create_task(self._read(key))
            self._reading[key] = task
            task.add_done_callback(partial(self._has_read, key))
        return await asyncio.shield(task)  # one that stops waiting must not stop the others

    def _has_read(self, key: _Key, task: asyncio.Task[_Answer]) -> None:
        is_current = self._reading.get(key) is task
        if is_current:
            del self._reading[key]
        if task.cancelled() or task.exception() is not None or not is_current:
            return
        answer = task.result()
        (self._missed if answer.template is None else self._found).put(key, answer)

    async def _read(self, key: _Key) -> _Answer:
        name, version = key
        try:
            return await (self._read_active(name) if version == _ACTIVE else self._read_version(name, version))
        except RuleViolation as unreadable:
            return _Answer(None, f"template {name[:80]}: {unreadable}")

    async def _read_active(self, name: str) -> _Answer:
        self._reader.forget(name)
        reasons = []
        for version in await self._store.active_versions(name):
            row = await self._store.version(name, version)
            if row is None:
                continue
            # Not active any more? It was when the list was read, and what has replaced it is not in that list.
            template = self._reader.template_of(name, row)
            if template is not None:
                return _Answer(template)
            reasons.append(self._reader.reason_of(name, version))
        return _Answer(None, "; ".join(reasons)[:_MAX_REASON] or None)

    async def _read_version(self, name: str, version: int) -> _Answer:
        row = await self._store.version(name, version)
        return _Answer(None if row is None else self._reader.template_of(name, row))


def _can_be_asked(name: str) -> bool:
    """Names come from other services; what no row could have is not worth a query."""
    return len(name) <= _MAX_NAME and name.isprintable()
