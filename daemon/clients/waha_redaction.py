"""A neighbour's words without ours: WAHA quotes the request in its errors, and a text or a number must not be kept."""

import re
from collections.abc import Sequence

_LONGEST_DETAIL = 200
_SHORTEST_PART = 3
_PIECE = 5  # characters in a row that two texts seldom share by chance
_ENCODED = re.compile(r"\\|%[0-9A-Fa-f]{2}|&#?\w+;|.{41}")  # it could be anything, also what we sent


def without(ours: Sequence[str], said: str) -> str:
    """WAHA's words less those that we sent, whole or in part, less numbers, and less what is encoded."""
    words = " ".join(said[: 10 * _LONGEST_DETAIL].split()).split(" ")
    sent = _Sent("\n".join(ours).casefold())
    kept = " ".join("…" if _ENCODED.search(word) or sent.has(word) else word for word in words)
    masked = re.sub(r"\d{6,}", "…", kept)
    return re.sub(r"…(\W*…)+", "…", masked)[:_LONGEST_DETAIL]


class _Sent:
    """What we sent, to be recognised in a quotation that may be cut anywhere."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._words = frozenset(re.split(r"\W+", text))
        self._pieces = frozenset(text[at : at + _PIECE] for at in range(len(text) - _PIECE + 1))

    def has(self, word: str) -> bool:
        """Whether a word holds a word of ours, lies within what we sent, or shares a piece with it."""
        folded = word.casefold()
        return self._shares_piece(folded) or any(self._has(part) for part in re.split(r"\W+", folded) if part)

    def _has(self, part: str) -> bool:
        is_within = (len(part) >= _SHORTEST_PART or not part.isascii()) and part in self._text
        return part in self._words or is_within

    def _shares_piece(self, word: str) -> bool:
        return not self._pieces.isdisjoint(word[at : at + _PIECE] for at in range(len(word) - _PIECE + 1))
