"""The use cases of tests of delivery servers, wired to MailWizz and to mail: all of it is built here."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from daemon.clients.mailwizz import SqlMailWizz
from daemon.clients.mailwizz_campaigns import SqlTrialCampaigns, TrialOptions
from daemon.clients.mailwizz_database import MailWizzDatabase, MailWizzNames
from daemon.clients.mailwizz_looks import SqlMailWizzLooks
from daemon.clients.mailwizz_password import MailWizzPasswords, PasswordUnreadable
from daemon.mail_extra import mail_is_installed
from daemon.probe import Probe, unobserved
from daemon.server_view import ServerLooks
from daemon.settings import Settings
from daemon.settings_servers import (
    MailWizzSettings,
    ServerTestSettings,
    campaign_way,
    consequences,
    outage_rules,
    probe_addresses,
    run_rules,
)
from daemon.settings_values import SqliteFile, read_database_url
from daemon.store.mysql import MysqlAddress, MysqlDatabase
from daemon.store.sqlite import SqliteDatabase
from domain.delivery_server import DeliveryServer
from domain.server_run import Way
from handlers.server_cycles import ServerCycleHandlers
from handlers.server_parts import ServerParts
from handlers.server_tests import ServerTestHandlers


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
            from daemon.servers_mail import with_mail  # noqa: PLC0415  its libraries are an extra

            parts = await with_mail(parts, settings.mail, stack)
        yield parts


def server_handlers(settings: Settings, parts: ServerParts) -> tuple[ServerTestHandlers, ServerCycleHandlers]:
    """The handlers of single tests and of cycles."""
    own = settings.server_tests
    cycles = ServerCycleHandlers(parts, every_ms=round(own.every_s * 1000), max_age_s=own.max_age_s)
    return ServerTestHandlers(parts), cycles


@asynccontextmanager
async def open_server_looks(settings: Settings) -> AsyncIterator[ServerLooks]:
    """MailWizz, to be read alone. Raises ConfigError, RuleViolation where there is none, Unavailable."""
    async with open_server_tests(settings) as parts:
        _ = parts.at_mailwizz

        def way_of(server: DeliveryServer) -> tuple[Way | None, str]:
            return parts.way_of(server, Way.AUTO, dry_run=False)

        async with open_mailwizz(settings.mailwizz) as database:
            yield ServerLooks(SqlMailWizzLooks(database, names_of(settings.mailwizz)), way_of)


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
