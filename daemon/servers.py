"""The use cases of tests of delivery servers, wired to MailWizz and to mail: all of it is built in one function.

What belongs to mail is imported only where the extra `[mail]` is installed and the settings ask for it.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from daemon.clients.mailwizz import SqlMailWizz
from daemon.clients.mailwizz_campaigns import SqlTrialCampaigns, TrialOptions
from daemon.clients.mailwizz_database import MailWizzDatabase, MailWizzNames
from daemon.clients.mailwizz_password import MailWizzPasswords, PasswordUnreadable
from daemon.mail_extra import mail_is_installed
from daemon.probe import Probe, unobserved
from daemon.settings import Settings
from daemon.settings_servers import (
    MailSettings,
    MailWizzSettings,
    ServerTestSettings,
    campaign_way,
    consequences,
    outage_rules,
    probe_addresses,
    read_list,
    run_rules,
)
from daemon.settings_values import SqliteFile, read_database_url
from daemon.store.mysql import MysqlAddress, MysqlDatabase
from daemon.store.sqlite import SqliteDatabase
from domain.delivery_server import DeliveryServer
from handlers.server_cycles import ServerCycleHandlers
from handlers.server_parts import ServerParts
from handlers.server_tests import ServerTestHandlers

if TYPE_CHECKING:
    from daemon.clients.smtp_options import SmtpOptions


@asynccontextmanager
async def open_server_tests(settings: Settings, probe: Probe = unobserved) -> AsyncIterator[ServerParts]:
    """Whom tests of servers ask, as far as the settings name them; closed in reverse. Raises ConfigError.

    `probe` sees the commits in MailWizz's database.
    """
    own = settings.server_tests
    async with AsyncExitStack() as stack:
        parts = ServerParts(
            addresses=probe_addresses(settings.mail),
            campaign_way=campaign_way(own),
            rules=run_rules(own),
            consequences=consequences(own),
            outages=outage_rules(own),
        )
        if settings.mailwizz.database_url is not None:
            database = await stack.enter_async_context(open_mailwizz(settings.mailwizz, probe))
            parts = _with_mailwizz(parts, database, settings)
        if mail_is_installed():
            parts = await _with_mail(parts, settings.mail, stack)
        yield parts


def server_handlers(settings: Settings, parts: ServerParts) -> tuple[ServerTestHandlers, ServerCycleHandlers]:
    """The handlers of single tests and of cycles."""
    own = settings.server_tests
    cycles = ServerCycleHandlers(parts, every_ms=round(own.every_s * 1000), max_age_s=own.max_age_s)
    return ServerTestHandlers(parts), cycles


@asynccontextmanager
async def open_mailwizz(settings: MailWizzSettings, probe: Probe = unobserved) -> AsyncIterator[MailWizzDatabase]:
    """MailWizz's database, which is never migrated. `settings.database_url` is set."""
    target, password = read_database_url(settings.database_url or ""), settings.database_password
    database: SqliteDatabase | MysqlDatabase
    if isinstance(target, SqliteFile):
        database = await SqliteDatabase.open(target.path, probe=probe)
    else:
        address = MysqlAddress(
            host=target.host,
            port=target.port,
            unix_socket=target.unix_socket,
            user=target.user,
            password=password.get_secret_value() if password else "",
            database=target.name,
            time_zone=settings.time_zone,
        )
        database = await MysqlDatabase.open(
            address,
            pool_size=settings.pool_size,
            connect_timeout_s=settings.connect_timeout_s,
            statement_timeout_s=settings.statement_timeout_s,
            probe=probe,
        )
    try:
        yield MailWizzDatabase(database, time_zone=settings.time_zone)
    finally:
        await database.close()


def names_of(settings: MailWizzSettings) -> MailWizzNames:
    """What MailWizz's tables are called here."""
    return MailWizzNames(schema=settings.table_schema, prefix=settings.table_prefix, history=settings.history_table)


def _with_mailwizz(parts: ServerParts, database: MailWizzDatabase, settings: Settings) -> ServerParts:
    own, names = settings.mailwizz, names_of(settings.mailwizz)
    key = own.password_key.get_secret_value() if own.password_key else None
    parts = replace(
        parts, mailwizz=SqlMailWizz(database, names), password_of=_readable(MailWizzPasswords(key).credential)
    )
    options = _trial_options(settings.server_tests, own)
    return parts if options is None else replace(parts, campaigns=SqlTrialCampaigns(database, names, options))


def _readable(credential: Callable[[DeliveryServer], str | None]) -> Callable[[DeliveryServer], str | None]:
    def password_of(server: DeliveryServer) -> str | None:
        try:
            return credential(server)
        except PasswordUnreadable:  # told as what it is for the test: no way to sign in
            return None

    return password_of


def _trial_options(own: ServerTestSettings, mailwizz: MailWizzSettings) -> TrialOptions | None:
    if own.campaign_list_id is None or own.campaign_template_id is None:
        return None
    return TrialOptions(
        template_id=own.campaign_template_id,
        customer_id=own.campaign_customer_id,
        procedure=mailwizz.procedure,
        mailbox=mailwizz.mails_table,
    )


async def _with_mail(parts: ServerParts, mail: MailSettings, stack: AsyncExitStack) -> ServerParts:
    if mail.probe_address is None:
        return parts
    from daemon.clients.smtp_probe import AioSmtpProbe  # noqa: PLC0415  of the extra, which may be absent

    options = _smtp_options(mail)
    parts = _with_reader(replace(parts, probe=AioSmtpProbe(options)), mail, stack)
    parts = _with_canary(_with_checks(parts, mail), mail, options)
    return await _with_mailbox(parts, mail, stack)


def _smtp_options(mail: MailSettings) -> "SmtpOptions":
    from daemon.clients.smtp_options import SmtpOptions  # noqa: PLC0415  as above

    named = read_list(mail.allowed_recipients) or (mail.probe_address, mail.refusing_address)
    return SmtpOptions(
        recipients=frozenset(name.removeprefix("@") for name in named if name),
        nameservers=read_list(mail.nameservers),
        dns_port=mail.nameserver_port,
        helo_name=mail.helo_name,
        bad_certificate_fails=mail.bad_certificate == "fail",
        control_host=mail.control_host or "",
        control_port=mail.control_port,
    )


async def _with_mailbox(parts: ServerParts, mail: MailSettings, stack: AsyncExitStack) -> ServerParts:
    if mail.imap_host is None:
        return parts
    from daemon.clients.mailbox import ImapMailbox  # noqa: PLC0415  as above
    from daemon.clients.mailbox_options import MailboxOptions  # noqa: PLC0415  as above

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
    return replace(parts, mailbox=mailbox)


def _with_canary(parts: ServerParts, mail: MailSettings, smtp: "SmtpOptions") -> ServerParts:
    if mail.canary_host is None or mail.probe_address is None:
        return parts
    from daemon.clients.canary import CanaryOptions, SmtpCanary  # noqa: PLC0415  as above

    options = CanaryOptions(
        host=mail.canary_host,
        from_email=mail.canary_from or mail.probe_address,
        to=mail.probe_address,
        port=mail.canary_port,
        protocol={"tls": "ssl", "starttls": "starttls", "none": ""}[mail.canary_tls],
        username=mail.canary_user or "",
        password=mail.canary_password.get_secret_value() if mail.canary_password else "",
    )
    return replace(parts, canary=SmtpCanary(options, smtp))


def _with_checks(parts: ServerParts, mail: MailSettings) -> ServerParts:
    from daemon.clients.dns_lookup import NameServers  # noqa: PLC0415  as above
    from daemon.clients.mail_address import Zones  # noqa: PLC0415  as above
    from daemon.clients.mail_checks import DnsMailChecks, MailCheckOptions  # noqa: PLC0415  as above

    options = MailCheckOptions(
        name_servers=NameServers(read_list(mail.nameservers), mail.nameserver_port),
        own_mx=read_list(mail.own_mx),
        authserv_id=mail.authserv_id,
        zones=Zones(hard=read_list(mail.hard_blocklists), soft=read_list(mail.blocklists)),
    )
    return replace(parts, checks=DnsMailChecks(options))


def _with_reader(parts: ServerParts, mail: MailSettings, stack: AsyncExitStack) -> ServerParts:
    hosts = read_list(mail.tracking_hosts)
    if not hosts:
        return parts
    from daemon.clients.mail_reader import HttpReader, ReaderOptions  # noqa: PLC0415  as above
    from daemon.clients.transports import OneShotTransport  # noqa: PLC0415  as above

    transport = OneShotTransport()
    stack.push_async_callback(transport.aclose)
    return replace(parts, reader=HttpReader(transport, ReaderOptions(hosts)))
