"""A small memory of answers: the ones used last, each for a while."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from math import inf
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """At most `size` values; each is forgotten `keep_s` seconds after it was put in, or as the one used longest ago."""

    def __init__(self, size: int, keep_s: float = inf, now_s: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._keep_s = keep_s
        self._now_s = now_s
        self._kept: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: K) -> V | None:
        """The value, or None if it is not there or too old."""
        found = self._kept.get(key)
        if found is None:
            return None
        put_at_s, value = found
        if self._now_s() - put_at_s >= self._keep_s:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Remember, and forget what no longer fits."""
        self._kept[key] = (self._now_s(), value)
        self._kept.move_to_end(key)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)

    def drop(self, is_meant: Callable[[K], bool]) -> None:
        """Forget the values of some keys."""
        for key in [key for key in self._kept if is_meant(key)]:
            del self._kept[key]

    def values(self) -> list[V]:
        """All that is remembered, the one used last at the end."""
        return [value for _, value in self._kept.values()]
