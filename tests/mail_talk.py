"""What tests of the mail host share: an account, a mail, and a client that is not robotd's."""

import secrets
import ssl
from email import message_from_bytes
from email.message import EmailMessage, Message
from email.policy import SMTP

import aiosmtplib

from localstack.mail_host import MailHost, SmtpAccount, SmtpTls
from localstack.mail_smtp import SmtpServer

PROBE = "0b5f6a5e-7c0e-4c2c-9d39-0a4f6f3f2b11"
SUBJECT = f"Test Email from sender.test [{PROBE}]"
SENDER, RECIPIENT, RETURNS = "news@sender.test", "probe+1@box.test", "bounces@sender.test"


def account(name: str = "good", tls: SmtpTls = SmtpTls.STARTTLS, **more: object) -> SmtpAccount:
    """With a password that nobody else has."""
    return SmtpAccount(name, f"user-{name}", secrets.token_hex(12), tls=tls, **more)  # type: ignore[arg-type]  # the test's own keywords


def mail(to: str = RECIPIENT, body: str = "Hello\n") -> EmailMessage:
    """A probe, as a server test sends it."""
    made = EmailMessage(policy=SMTP)
    made["From"] = f"sender.test <{SENDER}>"
    made["To"] = to
    made["Reply-To"] = SENDER
    made["Subject"] = SUBJECT
    made["Message-ID"] = f"<{PROBE}@sender.test>"
    made.set_content(body)
    return made


def client_of(server: SmtpServer, context: ssl.SSLContext | None = None, **more: object) -> aiosmtplib.SMTP:
    """Not connected yet. It checks certificates where it is given a context, and takes any otherwise."""
    if context is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    keywords: dict[str, object] = {"timeout": 10, **more}
    return aiosmtplib.SMTP(
        hostname="127.0.0.1",
        port=server.port,
        use_tls=server.account.tls is SmtpTls.IMPLICIT,
        start_tls=server.account.tls is SmtpTls.STARTTLS,
        tls_context=context,
        **keywords,  # type: ignore[arg-type]  # the test's own keywords
    )


async def send(host: MailHost, server: SmtpServer, to: str = RECIPIENT, body: str = "Hello\n") -> str:
    """Send a probe over a checked connection; the server's last answer. Raises aiosmtplib's errors."""
    async with client_of(server, host.certificates.client()) as client:
        await client.login(server.account.username, server.account.password)
        _, answer = await client.send_message(mail(to, body), sender=RETURNS, recipients=[to])
        return answer


def arrived(host: MailHost, folder: str = "INBOX") -> "list[Message[str, str]]":
    """The mails of a folder, parsed."""
    return [message_from_bytes(stored.raw) for stored in host.mailbox.mails(folder)]
