"""What may go wrong with a send at WAHA: for which chats, from which moment, how often, before or after accepting.

Trouble of the connection itself (no answer, resets, slowness) is a fault of localstack/faults.py.
"""

from dataclasses import dataclass
from enum import StrEnum

from localstack.faults import When


class TroubleKind(StrEnum):
    """What the caller is told."""

    REACHOUT_LOCK = "reachout-lock"  # 500, "server returned error 463"
    RATE_OVERLIMIT = "rate-overlimit"  # 500, "rate-overlimit"
    TOO_MANY_REQUESTS = "too-many-requests"  # 429
    ENGINE_ERROR = "engine-error"  # 500, `text` or a timeout
    BAD_REQUEST = "bad-request"  # 400
    UNAUTHORIZED = "unauthorized"  # 401
    FORBIDDEN = "forbidden"  # 403: the key lacks the scope
    FILE_NOT_FOUND = "file-not-found"  # 404
    TOO_LARGE = "too-large"  # 413
    UNPROCESSABLE = "unprocessable"  # 422, `text` or that the feature is missing
    BAD_GATEWAY = "bad-gateway"  # 502 with HTML, from a proxy
    EMPTY = "empty"  # 201 without a body
    ODD_JSON = "odd-json"  # 201 with `text`, or with an id of no known shape


ACCEPTING = frozenset({TroubleKind.EMPTY, TroubleKind.ODD_JSON})


@dataclass(frozen=True, slots=True)
class Trouble:
    """One rule. Times are milliseconds on the clock; `chats` None means all; the first `skip` sends are spared.

    Those with 201 accept the message always; the others only with `when=When.AFTER`: an engine may fail after it sent.
    """

    kind: TroubleKind
    chats: frozenset[str] | None = None
    session: str | None = None
    from_ms: int | None = None
    until_ms: int | None = None
    times: int | None = None
    skip: int = 0
    when: When = When.BEFORE
    text: str | None = None
    retry_after_s: int | None = None

    @property
    def is_accepted(self) -> bool:
        """Whether the message goes out in spite of the answer."""
        return self.kind in ACCEPTING or self.when is When.AFTER

    def covers(self, session: str, chat_id: str, now_ms: int) -> bool:
        """Whether it is about this send, spared or not."""
        if self.session not in (None, session) or (self.chats is not None and chat_id not in self.chats):
            return False
        starts_ms = now_ms if self.from_ms is None else self.from_ms
        return starts_ms <= now_ms and (self.until_ms is None or now_ms < self.until_ms)


@dataclass(slots=True)
class _Rule:
    trouble: Trouble
    skip: int
    left: int | None


class TroubleScript:
    """The rules of one WAHA; the first that strikes decides. `struck` tells judges what did so: (chat, trouble)."""

    def __init__(self) -> None:
        self.struck: list[tuple[str, Trouble]] = []
        self._rules: list[_Rule] = []

    def add(self, trouble: Trouble) -> None:
        """Add a rule behind those that are there."""
        self._rules.append(_Rule(trouble, trouble.skip, trouble.times))

    def clear(self) -> None:
        """Remove all rules."""
        self._rules.clear()

    def draw(self, session: str, chat_id: str, now_ms: int) -> Trouble | None:
        """Decide about one send."""
        for rule in self._rules:
            if rule.left == 0 or not rule.trouble.covers(session, chat_id, now_ms):
                continue
            if rule.skip > 0:
                rule.skip -= 1
                continue
            if rule.left is not None:
                rule.left -= 1
            self.struck.append((chat_id, rule.trouble))
            return rule.trouble
        return None
