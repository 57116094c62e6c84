"""A mail host: delivery servers that speak SMTP, and the mailbox behind them that speaks IMAP. All in memory, no root.

It stands in for what a server test meets on its direct way: the server that is tested, with all the ways in which it
may fail, the mail exchanger of the probes, and their mailbox. What it saw and did is on record for judges.
"""

import argparse
import asyncio
import logging
import secrets
import sys
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from daemon.clock import SystemClock
from domain.ports import Clock
from localstack.mail_box import Mailbox
from localstack.mail_faults import SmtpFault, SmtpFaultKind, Stage, Treatment
from localstack.mail_imap import ImapServer
from localstack.mail_imap_session import MailLogin
from localstack.mail_record import MailRecord, Seen
from localstack.mail_route import MailRoute
from localstack.mail_smtp import SmtpServer
from localstack.mail_smtp_talk import SmtpAccount, SmtpTls
from localstack.mail_tls import Certificate, Certificates
from localstack.server import serve_until_signalled

__all__ = [
    "Certificate",
    "MailHost",
    "MailLogin",
    "Seen",
    "SmtpAccount",
    "SmtpFault",
    "SmtpFaultKind",
    "SmtpTls",
    "Stage",
    "Treatment",
]

_AIOSMTPD_LOG = logging.getLogger("mail.log")
LOCAL_NAMES = ("localhost", "127.0.0.1")
_VALIDITY = 1


class MailHost:
    """One mailbox, its IMAP side, and as many delivery servers as are added, all on 127.0.0.1.

    Mails to an address in `refusing` are accepted and come back as delivery status notifications.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        login: MailLogin,
        hostname: str = "mx.probe.test",
        refusing: Collection[str] = (),
        imap_tls: bool = True,
        imap_port: int = 0,
    ) -> None:
        self.hostname = hostname
        self.certificates = Certificates()
        self.record = MailRecord(clock)
        self.mailbox = Mailbox(_VALIDITY)
        self.servers: dict[str, SmtpServer] = {}
        context = self.certificates.server(Certificate.GOOD, hostname, *LOCAL_NAMES) if imap_tls else None
        self.imap = ImapServer(self.mailbox, login, self.record, clock, context=context, port=imap_port)
        self._clock = clock
        self._route = MailRoute(self.mailbox, self.record, clock, hostname, frozenset(refusing))
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._running.callback(_AIOSMTPD_LOG.setLevel, _AIOSMTPD_LOG.level)
        _AIOSMTPD_LOG.setLevel(logging.CRITICAL)  # what matters of it is on record, and it would go to stderr
        await self._running.enter_async_context(self.imap)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._running.aclose()

    @property
    def url(self) -> str:
        """Where the mailbox is."""
        return f"imap://127.0.0.1:{self.imap.port}"

    async def add_server(self, account: SmtpAccount) -> SmtpServer:
        """Start one more delivery server; it ends with the host."""
        context = self.certificates.server(account.certificate, account.hostname, *LOCAL_NAMES)
        server = SmtpServer(account, context, self._route.deliver, self.record, self._clock)
        self.servers[account.name] = await self._running.enter_async_context(server)
        return server


class _Shown:
    """A mail host as a process: what it prints is all that anybody learns of its logins."""

    def __init__(self, host: MailHost, login: MailLogin, wanted: Sequence[str]) -> None:
        self._host = host
        self._login = login
        self._wanted = wanted

    @property
    def url(self) -> str:
        return self._host.url

    async def __aenter__(self) -> None:
        await self._host.__aenter__()
        sys.stdout.write(f"mailbox {self.url} user {self._login.user} password {self._login.password}\n")
        for wanted in self._wanted:
            name, _, tls = wanted.partition("=")
            account = SmtpAccount(name, name, secrets.token_hex(16), tls=SmtpTls(tls or SmtpTls.STARTTLS))
            server = await self._host.add_server(account)
            where = f"smtp://127.0.0.1:{server.port} {account.tls}"
            sys.stdout.write(f"delivery server {where} user {account.username} password {account.password}\n")

    async def __aexit__(self, *error: object) -> None:
        await self._host.__aexit__(*error)


async def _main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m localstack.mail_host")
    parser.add_argument("--user", default="probe", help="of the mailbox; its password is generated")
    parser.add_argument("--imap-port", type=int, default=0, help="0: any free port")
    parser.add_argument("--plain", action="store_true", help="IMAP without TLS")
    parser.add_argument("--refusing", action="append", default=[], help="an address whose mails come back")
    parser.add_argument("--authority", help="write the certificate that clients may trust to this file")
    parser.add_argument(
        "--server", action="append", default=[], help="NAME or NAME=implicit|starttls|none; may be repeated"
    )
    asked = parser.parse_args(arguments)
    login = MailLogin(asked.user, secrets.token_hex(16))
    host = MailHost(
        SystemClock(), login=login, refusing=asked.refusing, imap_tls=not asked.plain, imap_port=asked.imap_port
    )
    if asked.authority:
        await asyncio.to_thread(Path(asked.authority).write_bytes, host.certificates.trusted_pem)
    await serve_until_signalled("mail_host", _Shown(host, login, asked.server))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
