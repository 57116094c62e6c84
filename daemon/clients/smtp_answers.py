"""What an SMTP server's answer, or its silence, says of it: pure functions from replies and errors to outcomes."""

import base64
import errno
import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass

import aiosmtplib

from domain.server_test import Finding, StepId, StepOutcome

_MAILBOX_CODES = re.compile(r"\b[45]\.(?:1\.[136]|1\.10|2\.[0-4])\b")
_POLICY_CODES = re.compile(r"\b[45]\.7\.\d+\b")
_MAILBOX_WORDS = re.compile(
    r"user unknown|unknown (?:user|recipient|mailbox)|no such (?:user|recipient|mailbox|person)|over ?quota"
    r"|quota exceed|mailbox (?:is )?(?:full|unavailable|not found|disabled)|user doesn't exist"
    r"|recipient (?:not found|does not exist)",
    re.IGNORECASE,
)
_RELAY_WORDS = re.compile(r"relay", re.IGNORECASE)
_NEEDS_AUTH = 530
_BUSY = 421
_SPOKEN = 3  # digits of a reply's code


@dataclass(frozen=True, slots=True)
class Told:
    """One step's outcome, before it is known how long it took."""

    outcome: StepOutcome
    kind: str = ""
    detail: str = ""
    may_pass_later: bool = False

    def finding(self, step: StepId, ms: int, secrets: Iterable[str] = ()) -> Finding:
        """For the history; no secret stands in it, even if a server has sent it back."""
        return Finding(step, self.outcome, self.kind, without(self.detail, secrets), ms, self.may_pass_later)


def fail(kind: str, detail: str, *, may_pass_later: bool = False) -> Told:
    """The server's fault."""
    return Told(StepOutcome.FAIL, kind, detail, may_pass_later)


def error(kind: str, detail: str, *, may_pass_later: bool = False) -> Told:
    """Not the server's fault."""
    return Told(StepOutcome.ERROR, kind, detail, may_pass_later)


def without(text: str, secrets: Iterable[str]) -> str:
    """Text that any database and terminal takes, and none of the secrets in it, plain or in base64."""
    clean = text.encode("utf-8", "replace").decode()
    clean = "".join(sign if sign.isprintable() else " " for sign in clean)
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        clean = clean.replace(secret, "***")
    return clean


def spellings(user: str, password: str | None) -> tuple[str, ...]:
    """How a password may be quoted by a server that repeats what it was sent."""
    if not password:
        return ()
    plain = f"\0{user}\0{password}"
    return (password, *(base64.b64encode(text.encode("utf-8", "replace")).decode() for text in (password, plain)))


def broken(problem: Exception) -> Told:
    """What is said of a line that was cut, or of a server that stopped talking or talks something else."""
    if isinstance(problem, aiosmtplib.SMTPResponseException):
        return fail("protocol", reply(problem), may_pass_later=True)
    if isinstance(problem, TimeoutError):
        return fail("timeout", "no answer in time", may_pass_later=True)
    if isinstance(problem, ssl.SSLError):
        return fail("tls-handshake", f"TLS failed: {problem.reason or problem}")
    if isinstance(problem, aiosmtplib.SMTPServerDisconnected | ConnectionError):
        return fail("cut", "the connection was lost", may_pass_later=True)
    return fail("protocol", f"{type(problem).__name__}: {problem}", may_pass_later=True)


def unconnected(problem: Exception, address: str) -> Told:
    """What is said of an address to which no connection came about."""
    number = problem.errno if isinstance(problem, OSError) else None
    if isinstance(problem, TimeoutError) or number == errno.ETIMEDOUT:
        return fail("timeout", f"{address}: no connection in time", may_pass_later=True)
    kind = "refused" if number in (errno.ECONNREFUSED, errno.ECONNRESET) else "unreachable"
    return fail(kind, f"{address}: {problem}", may_pass_later=True)


def unwelcome(code: int, message: str) -> Told:
    """A banner that is no 220."""
    return fail(
        f"banner-{code}" if code >= 10 ** (_SPOKEN - 1) else "banner-malformed",
        said(code, message),
        may_pass_later=True,
    )


def unauthenticated(code: int, message: str) -> Told:
    """An AUTH that is no 235."""
    told = said(code, message)
    if code == _BUSY:
        return fail("busy", told, may_pass_later=True)
    if _is_later(code):
        return error("auth-deferred", told, may_pass_later=True)
    if code in (_NEEDS_AUTH, 538):
        return fail("auth-needs-tls", told)
    return fail("auth-mechanism" if is_about_the_mechanism(code) else "auth-rejected", told)


def is_about_the_mechanism(code: int) -> bool:
    """Whether another way to log in may still work."""
    return code in (500, 501, 502, 503, 504, 534)


def refused_sender(code: int, message: str) -> Told:
    """A MAIL FROM that is no 250."""
    if _is_later(code):
        return _deferred(code, message)
    return fail("auth-required" if code == _NEEDS_AUTH else "sender-refused", said(code, message))


def refused_recipient(code: int, message: str) -> Told:
    """A RCPT TO that is no 250: our own mailbox may be what is wrong."""
    if _is_about_mailbox(message):
        return error("our-mailbox", said(code, message), may_pass_later=_is_later(code))
    if _is_later(code):
        return _deferred(code, message)
    if code == _NEEDS_AUTH:
        return fail("auth-required", said(code, message))
    return fail("relay-denied" if _RELAY_WORDS.search(message) else "recipient-refused", said(code, message))


def refused_content(code: int, message: str, recipient: str) -> Told:
    """A mail that is not taken after its text was sent."""
    if _is_about_mailbox(message) and recipient.lower() in message.lower():
        return error("our-mailbox", said(code, message), may_pass_later=_is_later(code))
    return _deferred(code, message) if _is_later(code) else fail("content-refused", said(code, message))


def said(code: int, message: str) -> str:
    """A reply as a person would read it."""
    return f"{code} {message}" if code >= 0 else message


def reply(problem: aiosmtplib.SMTPResponseException) -> str:
    """The same of an error that holds one."""
    return said(problem.code, problem.message)


def _deferred(code: int, message: str) -> Told:
    return fail("deferred", said(code, message), may_pass_later=True)


def _is_later(code: int) -> bool:
    return 400 <= code < 500  # noqa: PLR2004  the class of transient replies


def _is_about_mailbox(message: str) -> bool:
    if _POLICY_CODES.search(message):
        return False
    return bool(_MAILBOX_CODES.search(message) or _MAILBOX_WORDS.search(message))
