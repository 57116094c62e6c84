"""What a mail is, from its bytes alone: a probe, a bounce, or none of ours. Pure; no mail makes it raise."""

import re
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Protocol

_MAILER = re.compile(r"\b(?:mailer-daemon|postmaster)\b", re.IGNORECASE)
_TEST_SUBJECT = re.compile(r"^Test Email from \S* ?\[[0-9a-f-]{16,36}\]$")


class Wanted(Protocol):
    """What somebody waits for."""

    @property
    def token(self) -> str:
        """By which it is known."""
        ...

    @property
    def search_key(self) -> str:
        """The IMAP search key by which a server may find it."""
        ...

    @property
    def walks(self) -> bool:
        """Whether the newest mails are looked through where that search finds nothing."""
        ...

    def may_be(self, headers: bytes) -> bool:
        """Whether it is worth fetching."""
        ...

    def is_it(self, raw: bytes) -> bool:
        """Whether it is that."""
        ...


@dataclass(frozen=True, slots=True)
class WantedProbe:
    """A mail with the token in its subject, as it was sent: no bounce of it, and no answer to it."""

    token: str
    search_key: str = "SUBJECT"
    walks: bool = False

    def may_be(self, headers: bytes) -> bool:
        """Headers are enough to know."""
        return self.is_it(headers)

    def is_it(self, raw: bytes) -> bool:
        """By its headers."""
        mail = _headers(raw)
        return self.token in header(mail, "Subject") and not _is_answer(mail)


@dataclass(frozen=True, slots=True)
class WantedBounce:
    """A notification that a mail with the token could not be delivered; that it was delayed or delivered is none."""

    token: str
    search_key: str = "TEXT"
    walks: bool = True

    def may_be(self, headers: bytes) -> bool:
        """Whether it looks like a notification."""
        mail = _headers(headers)
        return mail.get_content_type() == "multipart/report" or bool(_MAILER.search(header(mail, "From")))

    def is_it(self, raw: bytes) -> bool:
        """Whether it says failed, and has the token in whatever it returns of the mail."""
        try:
            return self.may_be(raw) and _is_failure(message_from_bytes(raw), self.token)
        except RecursionError:  # a mail may be nested as deep as somebody likes
            return False


def is_of_a_test(headers: bytes) -> bool:
    """Whether a test has sent it: by our header, or by the subject of a test campaign."""
    mail = _headers(headers)
    return mail.get("X-Robotd-Test") is not None or bool(_TEST_SUBJECT.match(header(mail, "Subject")))


def header(mail: "Message[str, str]", name: str) -> str:
    """A header as one line of text; empty where there is none."""
    value = str(mail.get(name, ""))
    with suppress(HeaderParseError, LookupError, ValueError):
        value = str(make_header(decode_header(value)))
    return " ".join(value.split())


def _headers(raw: bytes) -> "Message[str, str]":
    return BytesHeaderParser().parsebytes(raw)


def _is_answer(mail: "Message[str, str]") -> bool:
    is_report = mail.get_content_type() == "multipart/report"
    return is_report or header(mail, "Auto-Submitted").lower().startswith("auto-replied")


def _is_failure(mail: "Message[str, str]", token: str) -> bool:
    actions = [header(part, "Action").lower() for part in mail.walk() if part.get("Action")]
    return (not actions or "failed" in actions) and any(_has(part, token) for part in mail.walk())


def _has(part: "Message[str, str]", token: str) -> bool:
    if any(token in header(part, name) for name in set(part.keys())):
        return True
    payload = part.get_payload(decode=True)
    return isinstance(payload, bytes) and token.encode() in payload
