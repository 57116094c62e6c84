"""Where log lines go: to a file descriptor, a line at a time, and never at the price of the daemon.

A reader that stopped reading (a full pipe, a frozen terminal) would block the event loop, and with it the renewal of
visibility; a broken one would raise from any log call. So a line that can't be written is dropped and counted, and the
count is told in the first line that gets through. Each line reaches the kernel before the call returns: what was logged
before a crash is there after it, which a queue and a thread in between could not promise.
"""

import io
import os
import select
import threading
from collections.abc import Callable
from typing import TextIO

_PATIENCE_MS = 20  # once for each blockage: less than a busy loop's own hiccups, enough for a reader that only lags
_CHUNK = 4096  # what a pipe that reports room takes without blocking


class LogWriter:
    """A file-like sink for structlog and `logging` alike, usable from any thread. Never raises, hardly ever blocks."""

    def __init__(self, stream: TextIO, dropped_line: Callable[[int], str]) -> None:
        self._stream = stream
        self._dropped_line = dropped_line
        self._lock = threading.Lock()
        self._fd = _descriptor(stream)
        self._poll = select.poll()
        if self._fd is not None:
            self._poll.register(self._fd, select.POLLOUT)
        self._is_blocked = False
        self._is_torn = False
        self._untold = 0
        self.dropped = 0

    def write(self, text: str) -> int:
        """Write one line, or drop it."""
        with self._lock:
            if self._untold and self._put(self._dropped_line(self._untold)):
                self._untold = 0
            if self._untold or not self._put(text):
                self.dropped += 1
                self._untold += 1
        return len(text)

    def flush(self) -> None:
        """Nothing is held back here."""

    def _put(self, text: str) -> bool:
        try:
            if self._fd is None:
                self._stream.write(text)
                self._stream.flush()
                return True
            return self._put_bytes(self._fd, text.encode("utf-8", "backslashreplace"))
        except (OSError, ValueError):  # gone, full, or closed; the next line tries again
            return False

    def _put_bytes(self, fd: int, line: bytes) -> bool:
        left = b"\n" + line if self._is_torn else line  # what is left of a torn line ends here
        while left:
            if not self._has_room():
                return False
            left = left[os.write(fd, left[:_CHUNK]) :]
            self._is_torn = bool(left)
        return True

    def _has_room(self) -> bool:
        self._is_blocked = not self._poll.poll(0 if self._is_blocked else _PATIENCE_MS)
        return not self._is_blocked


def _descriptor(stream: TextIO) -> int | None:
    try:
        stream.flush()
        return stream.fileno()
    except (OSError, ValueError, AttributeError, io.UnsupportedOperation):
        return None
