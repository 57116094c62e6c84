"""The parts of tests of delivery servers that speak SMTP, IMAP and DNS. Needs the extra `[mail]`."""

from contextlib import AsyncExitStack
from dataclasses import replace

from daemon.clients.canary import CanaryOptions, SmtpCanary
from daemon.clients.dns_lookup import NameServers
from daemon.clients.mail_address import Zones
from daemon.clients.mail_checks import DnsMailChecks, MailCheckOptions
from daemon.clients.mail_reader import HttpReader, ReaderOptions
from daemon.clients.mailbox import ImapMailbox
from daemon.clients.mailbox_options import MailboxOptions
from daemon.clients.smtp_options import SmtpOptions
from daemon.clients.smtp_probe import AioSmtpProbe
from daemon.clients.transports import OneShotTransport
from daemon.settings_servers import MailSettings, read_list
from handlers.server_parts import ServerParts

_PROTOCOLS = {"tls": "ssl", "starttls": "tls", "none": ""}  # as MailWizz's rows spell them


async def with_mail(parts: ServerParts, mail: MailSettings, stack: AsyncExitStack) -> ServerParts:
    """The same parts with those of mail that are configured."""
    smtp = _smtp(mail)
    servers = NameServers(smtp.nameservers, mail.nameserver_port)
    zones = Zones(read_list(mail.hard_blocklists), read_list(mail.blocklists))
    options = MailCheckOptions(servers, read_list(mail.own_mx), mail.authserv_id, zones)
    hosts = read_list(mail.tracking_hosts)
    reader = None
    if hosts:
        transport = await stack.enter_async_context(OneShotTransport())
        reader = HttpReader(transport, ReaderOptions(hosts))
    return replace(
        parts,
        probe=AioSmtpProbe(smtp),
        mailbox=_mailbox(mail, stack),
        canary=_canary(mail, smtp),
        checks=DnsMailChecks(options),
        reader=reader,
    )


def _smtp(mail: MailSettings) -> SmtpOptions:
    own = {address for address in (mail.probe_address, mail.refusing_address) if address is not None}
    return SmtpOptions(
        recipients=frozenset(read_list(mail.allowed_recipients) or own),
        nameservers=read_list(mail.nameservers),
        dns_port=mail.nameserver_port,
        helo_name=mail.helo_name,
        bad_certificate_fails=mail.bad_certificate == "fail",
        control_host=mail.control_host or mail.imap_host or "",
        control_port=mail.control_port if mail.control_host else mail.imap_port,
    )


def _mailbox(mail: MailSettings, stack: AsyncExitStack) -> ImapMailbox | None:
    if mail.imap_host is None:
        return None
    mailbox = ImapMailbox(
        MailboxOptions(
            host=mail.imap_host,
            username=mail.imap_user or "",
            password=mail.imap_password.get_secret_value() if mail.imap_password else "",
            port=mail.imap_port,
            security=mail.imap_tls,
            verifies=mail.imap_verifies,
            certificate_file=None if mail.imap_authority is None else str(mail.imap_authority),
            folder=mail.imap_folder,
            junk_folder=mail.junk_folder or "",
            keep_days=mail.imap_keep_days,
        )
    )
    stack.push_async_callback(mailbox.close)
    return mailbox


def _canary(mail: MailSettings, smtp: SmtpOptions) -> SmtpCanary | None:
    if mail.canary_host is None or mail.probe_address is None:
        return None
    options = CanaryOptions(
        host=mail.canary_host,
        from_email=mail.canary_from or mail.probe_address,
        to=mail.probe_address,
        port=mail.canary_port,
        protocol=_PROTOCOLS[mail.canary_tls],
        username=mail.canary_user or "",
        password=mail.canary_password.get_secret_value() if mail.canary_password else "",
    )
    return SmtpCanary(options, smtp)
