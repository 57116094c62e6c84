"""A delivery server as MailWizz keeps it, and what of it makes a test necessary."""

import hashlib
import json
from dataclasses import dataclass, field
from enum import StrEnum

SENDING = ("active", "in-use")
"""The states in which MailWizz sends through a server; `in-use` is how older versions mark one that is sending."""

_IMPLICIT_TLS_PORT = 465
_ALWAYS_STARTTLS = ("tls", "starttls")


class TlsMode(StrEnum):
    """How a connection is encrypted."""

    IMPLICIT = "implicit TLS"
    STARTTLS = "STARTTLS"
    OPPORTUNISTIC = "STARTTLS where offered"


@dataclass(frozen=True, slots=True)
class DeliveryServer:
    """One row of MailWizz's delivery servers, the core columns alone.

    `last_updated` is as the database spells it, `password` as the row has it: perhaps encrypted.
    """

    id: int
    type: str
    name: str
    hostname: str
    username: str
    password: str | None = field(repr=False)
    port: int
    protocol: str
    timeout_s: int
    from_email: str
    from_name: str
    reply_to_email: str
    force_from: str
    force_reply_to: str
    bounce_server_id: int | None
    tracking_domain_id: int | None
    customer_id: int | None
    status: str
    last_updated: str

    @property
    def is_sending(self) -> bool:
        """Whether MailWizz sends through it."""
        return self.status in SENDING

    @property
    def speaks_smtp(self) -> bool:
        """Whether a probe can be handed to it directly: `smtp` and `smtp-*`; the others are services' own APIs."""
        return self.type == "smtp" or self.type.startswith("smtp-")

    @property
    def from_domain(self) -> str:
        """What stands behind the @ of its sender, lower case; empty where there is none."""
        return self.from_email.rpartition("@")[2].strip().lower() if "@" in self.from_email else ""

    @property
    def tls_mode(self) -> TlsMode:
        """MailWizz's mailers disagree on what `tls` means, so the port decides."""
        protocol = self.protocol.strip().lower()
        if protocol == "ssl" or self.port == _IMPLICIT_TLS_PORT:
            return TlsMode.IMPLICIT
        return TlsMode.STARTTLS if protocol in _ALWAYS_STARTTLS else TlsMode.OPPORTUNISTIC

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the configuration: `last_updated` moves without a change of it, and not with every one."""
        parts = (
            self.type,
            self.hostname,
            self.username,
            self.password,
            self.port,
            self.protocol,
            self.from_email,
            self.bounce_server_id,
            self.tracking_domain_id,
        )
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
