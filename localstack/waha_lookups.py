"""Which messages of a chat a list call gets: WAHA's filters, order and pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from localstack.waha_records import ACK_NAMES, AcceptedMessage

_ACKS = {name: ack for ack, name in ACK_NAMES.items()}


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the caller wants. Times are seconds since 1970, both ends included."""

    limit: int
    offset: int = 0
    from_s: int | None = None
    to_s: int | None = None
    from_me: bool | None = None
    ack: int | None = None
    oldest_first: bool = False

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Self:
        """Read the query. Raises ValueError with what is wrong."""
        if "limit" not in query:
            raise ValueError("limit must be a number")
        ack, from_me = query.get("filter.ack"), query.get("filter.fromMe")
        if ack is not None and ack not in _ACKS:
            raise ValueError(f"filter.ack must be one of {', '.join(_ACKS)}")
        return cls(
            limit=int(query["limit"]),
            offset=int(query.get("offset", "0")),
            from_s=_number(query.get("filter.timestamp.gte")),
            to_s=_number(query.get("filter.timestamp.lte")),
            from_me=None if from_me is None else from_me == "true",
            ack=None if ack is None else _ACKS[ack],
            oldest_first=query.get("sortOrder", "desc") == "asc",
        )


def choose(messages: Sequence[AcceptedMessage], acks: Mapping[str, int], chosen: Chosen) -> list[AcceptedMessage]:
    """The page that the caller gets. All messages of the record are the session's own."""
    fitting = [message for message in messages if _fits(message, acks[message.id], chosen)]
    in_order = fitting if chosen.oldest_first else fitting[::-1]
    return in_order[chosen.offset : chosen.offset + chosen.limit]


def _fits(message: AcceptedMessage, ack: int, chosen: Chosen) -> bool:
    at_s = message.at_ms // 1000
    if chosen.from_me is False or (chosen.ack is not None and chosen.ack != ack):
        return False
    return (chosen.from_s is None or at_s >= chosen.from_s) and (chosen.to_s is None or at_s <= chosen.to_s)


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
