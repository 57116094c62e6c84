"""How a mailbox is reached over IMAP."""

from dataclasses import dataclass, field
from typing import Literal

Security = Literal["tls", "starttls", "none"]


@dataclass(frozen=True, slots=True)
class MailboxOptions:
    """`folder` is where probes arrive, `junk_folder` where they must not; empty means that none is looked at.

    `certificate_file`: an authority that is trusted beside the system's; `verifies` False trusts anybody. A connection
    is kept for `linger_s` after it was last needed. `poll_s`: how often is looked even if the server announces nothing.
    `keep_days`: what tests have sent and found is deleted when it is older; 0 keeps it.
    """

    host: str
    username: str
    password: str = field(repr=False)
    port: int = 993
    security: Security = "tls"
    verifies: bool = True
    certificate_file: str | None = None
    folder: str = "INBOX"
    junk_folder: str = ""
    connect_timeout_s: float = 10.0
    command_timeout_s: float = 20.0
    poll_s: float = 10.0
    linger_s: float = 60.0
    keep_days: int = 7
