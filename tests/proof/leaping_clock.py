"""A clock that several processes share and that a test lets leap: waits that nobody needs cost no time."""

import asyncio
import mmap
import struct
import time
from pathlib import Path

_AHEAD = struct.Struct("<q")
_LOOK_S = 0.05


class LeapingClock:
    """The system's clock, ahead by as much as the file says. Whoever has the file open sees a leap at once."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            file.write_bytes(_AHEAD.pack(0))
        with file.open("r+b") as opened:
            self._ahead = mmap.mmap(opened.fileno(), _AHEAD.size)

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        ahead_ms: int = _AHEAD.unpack_from(self._ahead)[0]
        return time.time_ns() // 1_000_000 + ahead_ms

    def leap(self, by_ms: int) -> None:
        """For all at once; never backwards."""
        _AHEAD.pack_into(self._ahead, 0, _AHEAD.unpack_from(self._ahead)[0] + max(0, by_ms))

    async def wait_until(self, at_ms: int) -> None:
        """Return when it shows `at_ms`."""
        while (left_ms := at_ms - self.now_ms()) > 0:  # noqa: ASYNC110  a leap in another process rings no bell
            await asyncio.sleep(min(left_ms / 1000, _LOOK_S))
