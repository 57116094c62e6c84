"""What the mail host saw and did, line by line, for judges: who came, who logged in, which mail, what became of it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.ports import Clock
from localstack.bell import Bell

_TOKEN = re.compile(r"\[([^\[\]\s]{1,128})\]\s*$")
LONGEST_ABOUT = 256


class Seen(StrEnum):
    """What a line tells of."""

    CONNECTED = "connected"
    TLS_FAILED = "tls-failed"
    STARTTLS = "starttls"
    AUTHENTICATED = "authenticated"  # about: the user; a password is never on record
    AUTH_REFUSED = "auth-refused"
    MAIL = "mail"  # about: the envelope's sender
    RCPT = "rcpt"  # about: the recipient
    TAKEN = "taken"  # about: the token of the subject, as in all that follow
    DELIVERED = "delivered"
    LOST = "lost"
    RETURNED = "returned"  # a delivery status notification lies in the mailbox
    FAULT = "fault"  # about: where it struck
    SELECTED = "selected"  # about: the folder
    BROKEN = "broken"  # the connection; about: how
    DISCONNECTED = "disconnected"


@dataclass(frozen=True, slots=True)
class SeenLine:
    """One line. `server`: the delivery server's name, or `imap`; `talk`: which connection to it, from 1."""

    at_ms: int
    server: str
    talk: int
    what: Seen
    about: str = ""
    answer: str = ""


class MailRecord:
    """The lines in order."""

    def __init__(self, clock: Clock) -> None:
        self.lines: list[SeenLine] = []
        self._clock = clock
        self._bell = Bell()

    def add(self, server: str, talk: int, what: Seen, about: str = "", answer: str = "") -> None:
        """Write a line, at the clock's time."""
        line = SeenLine(self._clock.now_ms(), server, talk, what, about[:LONGEST_ABOUT], answer[:LONGEST_ABOUT])
        self.lines.append(line)
        self._bell.ring()

    def of(self, what: Seen, server: str | None = None) -> Sequence[SeenLine]:
        """The lines of one kind, of one server or of all."""
        return [line for line in self.lines if line.what is what and server in (None, line.server)]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as `condition` holds; it is looked at again after each line."""
        await self._bell.until(condition)


def token_in(subject: str) -> str:
    """What stands in brackets at the end of a subject, or nothing."""
    found = _TOKEN.search(subject)
    return found[1] if found else ""
