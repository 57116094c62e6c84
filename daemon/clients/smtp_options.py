"""What is set for the direct way to delivery servers, and to whom its mails may go at all."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from domain.errors import RuleViolation

_ADDRESS = re.compile(r"[^\s@<>,;:\"\\()\[\]]+@[^\s@<>,;:\"\\()\[\]]+")


@dataclass(frozen=True, slots=True)
class SmtpOptions:
    """`recipients`: the addresses (with whatever behind a plus) and whole domains that probes may be sent to.

    No `nameservers` means those of the system, its hosts file included. `helo_name` empty means this machine's name.
    A row's own timeout, for each answer, is held between `shortest_s` and `longest_s`; a whole attempt has `limit_s`.
    `certificate_days`: fewer left are worth a warning. `bad_certificate_fails`: what is wrong with a certificate, or a
    TLS older than 1.2, is the server's failure. No `control_host` means that there is nothing to compare with.
    """

    recipients: frozenset[str]
    nameservers: tuple[str, ...] = ()
    dns_port: int = 53
    dns_timeout_s: float = 5.0
    shortest_s: float = 5.0
    longest_s: float = 120.0
    limit_s: float = 300.0
    auth_timeout_s: float = 20.0
    helo_name: str = ""
    certificate_days: int = 14
    bad_certificate_fails: bool = False
    control_host: str = ""
    control_port: int = 25
    control_timeout_s: float = 10.0


def refuse_strangers(address: str, allowed: Collection[str]) -> None:
    """Raise RuleViolation unless the address, or the domain it is in, is allowed."""
    if not _ADDRESS.fullmatch(address) or not address.isascii():
        raise RuleViolation("the recipient of a probe is no address", kind="probe-recipient")
    local, _, domain = address.lower().rpartition("@")
    known = {entry.strip().lower().lstrip("@") for entry in allowed}
    if not known & {f"{local}@{domain}", f"{local.partition('+')[0]}@{domain}", domain}:
        raise RuleViolation(f"probes may not be sent to {address}", kind="probe-recipient")
