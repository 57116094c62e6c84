"""The files that campaigns send: read, checked and encoded once, kept while they don't change."""

import asyncio
import base64
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from domain.errors import RuleViolation
from domain.sending import Media

MAX_BYTES = 10 * 1024 * 1024
_KEPT = 8  # encoded files in memory: at most about 110 MB
# By how the file begins: a name proves nothing.
_BEGINNINGS: tuple[tuple[bytes, int, str], ...] = (
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", 0, "image/png"),
    (b"GIF87a", 0, "image/gif"),
    (b"GIF89a", 0, "image/gif"),
    (b"WEBP", 8, "image/webp"),
    (b"ftyp", 4, "video/mp4"),
    (b"\x1aE\xdf\xa3", 0, "video/webm"),
)
_Stamp = tuple[int, int]


@dataclass(slots=True)
class MediaFolder:
    """The port `MediaFiles` on one folder; None means that there is none."""

    folder: Path | None
    _kept: dict[Path, tuple[_Stamp, Media]] = field(default_factory=dict)

    async def read(self, owner: str, name: str) -> Media:
        """Read, check and encode: from the user's own folder in it, else from itself. Raises RuleViolation.

        A folder of a user is called as they are, quoted as in an address where a name can't be so.
        """
        if self.folder is None:
            raise RuleViolation("campaigns.media_folder is not set, so no file can be sent", kind="no-media")
        return await asyncio.to_thread(self._find, self.folder, owner, Path(name).name)

    def _find(self, folder: Path, owner: str, name: str) -> Media:
        own = folder / _folder_of(owner) / name
        return self._read(own if own.exists() else folder / name)

    def _read(self, file: Path) -> Media:
        try:
            stat = file.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            known = self._kept.get(file)
            if known is not None and known[0] == stamp:
                return known[1]
            media = _media(file, stat.st_size)
        except OSError as error:
            raise RuleViolation(f"{file.name} can't be read: {error.strerror}", kind="no-media") from None
        if len(self._kept) >= _KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[file] = (stamp, media)
        return media


def _folder_of(owner: str) -> str:
    """No user's name leads to another place: a slash is quoted, and so are names of dots alone."""
    return quote(owner, safe="") if owner.strip(".") else owner.replace(".", "%2E")


def _media(file: Path, size: int) -> Media:
    if size > MAX_BYTES:
        raise RuleViolation(f"{file.name} has {size} bytes, more than 10 MB", kind="bad-media")
    content = file.read_bytes()
    for beginning, at, mime_type in _BEGINNINGS:
        if content[at : at + len(beginning)] == beginning:
            return Media(mime_type, file.name, base64.b64encode(content).decode())
    raise RuleViolation(f"{file.name} is no JPEG, PNG, GIF, WebP, MP4 or WebM file", kind="bad-media")
