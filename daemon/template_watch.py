"""Looks at the folder of templates again and again, and brings in what has changed.

What comes into the database stays there, and the beginning of a file can be a template in itself. So a running daemon
takes a file only when two looks in a row have found it the same.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path

from daemon.gate import Gate
from daemon.template_files import SUFFIXES, ReadFile, read_file, read_files
from daemon.template_library import TemplateLibrary
from domain.errors import ConfigError, Unavailable

_Stamp = tuple[int, ...]
_Stamps = dict[Path, _Stamp]


class TemplateWatch:
    """A file that is caught half written is one problem in the log at most, and counts once it is whole."""

    def __init__(self, folder: Path, library: TemplateLibrary, gate: Gate, *, every_s: float) -> None:
        self._folder = folder
        self._library = library
        self._gate = gate
        self._every_s = every_s
        self._last: _Stamps = {}
        self._done: _Stamps = {}

    async def begin(self) -> None:
        """The first look, at start: all files count as they are.

        Raises Unavailable, and ConfigError where there is no usable template at all.
        """
        self._last = await asyncio.to_thread(_look_at, self._folder)
        files = await self.look()
        if any(read.ok for read in files) or await self._library.has_any():
            return
        raise ConfigError(f"templates.folder: no usable template in {self._folder}, and none in the database")

    @property
    def keepers(self) -> tuple[Callable[[], Coroutine[None, None, None]], ...]:
        """What runs beside the daemon's other parts: nothing, if the folder is looked at only at start."""
        return (self.run,) if self._every_s else ()

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(self._every_s)
            await self._gate.wait()
            try:
                await self.look()
            except Unavailable as error:
                self._gate.lost(error.dependency, str(error))

    async def look(self) -> list[ReadFile]:
        """Bring in the files at rest, if one of them is new or one is gone; returns what was read.

        Raises Unavailable; then the next look tries it again.
        """
        now = await asyncio.to_thread(_look_at, self._folder)
        at_rest = {file: stamp for file, stamp in now.items() if self._last.get(file) == stamp}
        self._last = now
        if at_rest.items() <= self._done.items() and now.keys() >= self._done.keys():
            return []
        files = await asyncio.to_thread(_read, at_rest, self._folder)
        await self._library.sync(files)
        moving = {file: stamp for file, stamp in self._done.items() if file in now and file not in at_rest}
        self._done = {**moving, **at_rest}
        return files


def _read(at_rest: _Stamps, folder: Path) -> list[ReadFile]:
    """Those that nobody has touched while they were read."""
    inner = [file for file in sorted(at_rest) if file != folder and file.is_dir()]  # what is in them is none of ours
    files = [*read_files(file for file in sorted(at_rest) if file not in inner), *map(read_file, inner)]
    after = _look_at(folder)
    return [read for read in files if read.path in at_rest and after.get(read.path) == at_rest[read.path]]


def _look_at(folder: Path) -> _Stamps:
    """Size, inode and times of each file; in place of a folder without files the folder itself, to be complained of."""
    try:
        # As text, because this is done all day long; a Path is made of what counts only.
        names = [name for name in os.listdir(folder) if name.endswith(SUFFIXES)]  # noqa: PTH208  see above
    except OSError as error:
        return {folder: (error.errno or 0,)}
    return {folder / name: _stamp(folder / name) for name in names} or {folder: ()}


def _stamp(file: Path) -> _Stamp:
    try:
        found = file.stat()
    except OSError as error:
        return (error.errno or 0,)
    # The time of the inode's last change also shows a permission that was given.
    return (found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
