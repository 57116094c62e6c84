"""What a test needs nobody for: the check of the row itself (T1), and the mail that it sends."""

import re

from domain.delivery_server import DeliveryServer
from domain.mail_headers import reply_to_of
from domain.server_ports import ProbeMail
from domain.server_test import Finding, StepId, StepOutcome

_ADDRESS = re.compile(r"[^@\s<>\",;:]+@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?|\[?[0-9A-Fa-f:.]+\]?")
_HIGHEST_PORT = 65_535


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
    """The mail of a direct test: from the server's sender, called by its domain, with the Reply-To that T8 expects."""
    return ProbeMail(
        token=token,
        subject=subject_of(server, token),
        to=to,
        from_email=server.from_email,
        from_name=server.from_domain,
        reply_to=reply_to_of(server),
        envelope_from=envelope_from,
    )
