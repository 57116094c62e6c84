"""Row ids and fences of this process: unique over all replicas without asking the database."""

import itertools
import secrets
import time


class RowIds:
    """`boot` is random for each start: a restarted pod with its old name must not look like the holder of old work."""

    def __init__(self) -> None:
        self.boot = f"{time.time_ns() // 1_000_000:013d}-{secrets.token_hex(4)}"
        self._counter = itertools.count()

    def next(self) -> str:
        """An id that sorts by the order in which this process made it."""
        return f"{self.boot}-{next(self._counter):09d}"

    def fence(self) -> int:
        """The fence of a new row: far from what claims, which count up, can make of any other row's under the same id.

        A mere counter is not: the next one would be what the first claim of the row before makes of its fence.
        """
        return secrets.randbits(47) << 16
