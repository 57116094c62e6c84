"""The text of a probe: the same for the same token, but for its date."""

from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr

from domain.server_ports import ProbeMail

TOKEN_HEADER = "X-Robotd-Test"  # noqa: S105  no password
"""Every mail that a test sends by itself has it; its value is the token."""

_TEXT = (
    "This mail tests whether a delivery server delivers.\n"
    "It was written by a machine, and nobody needs to answer.\n"
    "\n"
    "Test: {token}\n"
)


def probe_bytes(mail: ProbeMail) -> bytes:
    """The mail as it is sent. Raises ValueError where its parts can't stand in a mail."""
    message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    domain = mail.from_email.rpartition("@")[2]
    if not domain.isascii() or not domain:
        raise ValueError(f"{mail.from_email!r} is no sender")
    message["From"] = formataddr((mail.from_name, mail.from_email))
    message["To"] = mail.to
    if mail.reply_to:
        message["Reply-To"] = mail.reply_to
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = f"<{mail.token}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message[TOKEN_HEADER] = mail.token
    message.set_content(_TEXT.format(token=mail.token), cte="7bit")
    return message.as_bytes()
