"""The checks of a test that need nobody: the row itself (T1), and who a mail says that it is from (T8)."""

import re
from collections.abc import Sequence
from email import message_from_bytes
from email.header import decode_header, make_header
from email.utils import getaddresses

from domain.delivery_server import DeliveryServer
from domain.server_ports import ProbeMail
from domain.server_test import Finding, StepId, StepOutcome

_ADDRESS = re.compile(r"[^@\s<>\",;:]+@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?|\[?[0-9A-Fa-f:.]+\]?")
_HIGHEST_PORT = 65_535
Headers = Sequence[tuple[str, str]]


def static_check(server: DeliveryServer) -> Finding:
    """T1: whether its row can be right at all."""
    problems = []
    if not _ADDRESS.fullmatch(server.from_email.strip()):
        problems.append(f"its sender {server.from_email[:80]!r} is no mail address")
    if server.speaks_smtp and not _HOST.fullmatch(server.hostname.strip()):
        problems.append(f"its host {server.hostname[:80]!r} is no host name")
    if server.speaks_smtp and not 1 <= server.port <= _HIGHEST_PORT:
        problems.append(f"there is no port {server.port}")
    if problems:
        return Finding(StepId.STATIC, StepOutcome.FAIL, "malformed", "; ".join(problems))
    return Finding(StepId.STATIC, StepOutcome.PASS)


def subject_of(server: DeliveryServer, token: str) -> str:
    """As the testers before have written it, so that mail filters and people know it."""
    return f"Test Email from {server.from_domain} [{token}]"


def probe_mail(server: DeliveryServer, token: str, to: str, envelope_from: str) -> ProbeMail:
    """The mail of a direct test; its sender is the server's, the name is its domain."""
    return ProbeMail(
        token=token,
        subject=subject_of(server, token),
        to=to,
        from_email=server.from_email,
        from_name=server.from_domain,
        reply_to=server.from_email,
        envelope_from=envelope_from,
    )


def headers_of(raw: bytes) -> Headers:
    """The headers of a mail as it came, in order."""
    return [(name, str(value)) for name, value in message_from_bytes(raw).items()]


def sender_check(headers: Headers, server: DeliveryServer, *, by_campaign: bool, needs_sender: bool) -> Finding:
    """T8: From and Reply-To, and with `needs_sender` Sender, are the server's own; so is the name that stands there."""
    by_name: dict[str, list[str]] = {}
    for name, value in headers:
        by_name.setdefault(name.lower(), []).append(value)
    wanted = {"From": (server.from_email, True), "Reply-To": (_reply_to(server, by_campaign=by_campaign), True)}
    if needs_sender:
        wanted["Sender"] = (server.from_email, True)
    elif "sender" in by_name:
        wanted["Sender"] = (server.from_email, False)
    names = _names(server)
    problems: list[tuple[bool, str]] = []
    for header, (address, is_needed) in wanted.items():
        problem = _problem(by_name.get(header.lower(), []), address, names)
        if problem:
            problems.append((is_needed, f"{header} {problem}"))
    if not problems:
        return Finding(StepId.HEADERS, StepOutcome.PASS)
    outcome = StepOutcome.FAIL if any(is_needed for is_needed, _ in problems) else StepOutcome.WARN
    return Finding(StepId.HEADERS, outcome, "differs", "; ".join(text for _, text in problems))


def _reply_to(server: DeliveryServer, *, by_campaign: bool) -> str:
    forced = by_campaign and server.force_reply_to.strip().lower() == "always"
    return server.reply_to_email if forced and server.reply_to_email else server.from_email


def _names(server: DeliveryServer) -> frozenset[str]:
    domain = server.from_domain
    forced = server.from_name if server.force_from.strip().lower() == "always" else ""
    return frozenset(name.strip().lower() for name in ("", domain, domain.partition(".")[0], forced))


def _problem(values: Sequence[str], address: str, names: frozenset[str]) -> str:
    if len(values) != 1:
        return "stands there more than once" if values else "is missing"
    found = getaddresses([values[0].replace("\r", " ").replace("\n", " ")])
    if len(found) != 1:
        return f"names {len(found)} addresses, not one"
    name, found_address = found[0]
    if found_address.strip().lower() != address.strip().lower():
        return f"is {found_address[:120]!r}, not {address[:120]!r}"
    shown = _decoded(name)
    return "" if shown.strip().lower() in names else f"is called {shown[:80]!r}, not by its domain"


def _decoded(name: str) -> str:
    try:
        return str(make_header(decode_header(name)))
    except (LookupError, ValueError):  # a charset that nobody knows: it is judged as it stands
        return name
