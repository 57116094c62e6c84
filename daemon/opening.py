"""Opening what the settings name: the database, SQS, the templates; and the little that the command line reads of them.

With `daemon.app` the only place that knows which class stands behind a port.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from daemon.campaign_view import CampaignReads
from daemon.metrics import Metrics
from daemon.probe import Probe, unobserved
from daemon.server_view import ServerReads
from daemon.settings import Settings
from daemon.settings_values import SqliteFile
from daemon.sqs import Sqs, SqsAccess, connect
from daemon.store.campaign_reads import SqlCampaignReads
from daemon.store.contacts import SqlContacts
from daemon.store.database import Write
from daemon.store.ids import Ids
from daemon.store.migrate import migrate, pending
from daemon.store.mysql import MysqlAddress, MysqlDatabase
from daemon.store.server_reads import SqlServerReads
from daemon.store.sqlite import SqliteDatabase
from daemon.store.status_checks import SqlStatusChecks
from daemon.store.templates import SqlTemplates
from daemon.stored_check import StoredCheck
from daemon.template_library import TemplateLibrary
from domain.contact_ports import Contacts
from domain.errors import Conflict, RobotdError, Unavailable

AnyDatabase = SqliteDatabase | MysqlDatabase
T = TypeVar("T")
_TRIES = 20
_PAUSE_S = 0.05  # on average half of it after a conflict, then more: those who collided must not do so again


def template_library(settings: Settings, database: AnyDatabase) -> TemplateLibrary:
    """The templates of a database. Nothing is read before it is asked for."""
    store = SqlTemplates(database, Ids(database))
    return TemplateLibrary(store, size=settings.templates.cache_size, keep_s=settings.templates.cache_s)


@asynccontextmanager
async def open_database(settings: Settings, probe: Probe = unobserved) -> AsyncIterator[AnyDatabase]:
    """The engine that the settings name."""
    database = await _open_database(settings, probe)
    try:
        yield database
    finally:
        await database.close()


async def _open_database(settings: Settings, probe: Probe) -> AnyDatabase:
    target = settings.database.target
    if isinstance(target, SqliteFile):
        return await SqliteDatabase.open(target.path, probe=probe)
    password = settings.database.password
    address = MysqlAddress(
        host=target.host,
        port=target.port,
        unix_socket=target.unix_socket,
        user=target.user,
        password=password.get_secret_value() if password else "",
        database=target.name,
    )
    return await MysqlDatabase.open(
        address,
        pool_size=settings.database.pool_size,
        connect_timeout_s=settings.database.connect_timeout_s,
        statement_timeout_s=settings.database.statement_timeout_s,
        probe=probe,
    )


@asynccontextmanager
async def open_sqs(
    settings: Settings, *, poll_wait_s: int | None = None, metrics: Metrics | None = None
) -> AsyncIterator[Sqs]:
    """SQS as the settings say; `poll_wait_s` overrides how long a long poll waits."""
    aws = settings.aws
    access = SqsAccess(
        region=aws.region,
        endpoint_url=aws.endpoint_url,
        access_key_id=aws.access_key_id.get_secret_value() if aws.access_key_id else None,
        secret_access_key=aws.secret_access_key.get_secret_value() if aws.secret_access_key else None,
        connect_timeout_s=aws.connect_timeout_s,
        poll_wait_s=settings.consumer.wait_s if poll_wait_s is None else poll_wait_s,
    )
    async with connect(access, metrics) as sqs:
        yield sqs


async def apply_migrations(settings: Settings) -> list[str]:
    """Bring the database up to date. Returns the names of what was applied."""
    async with open_database(settings) as database:
        return await migrate(database)


async def pending_migrations(settings: Settings) -> list[str]:
    """What `apply_migrations` would do."""
    async with open_database(settings) as database:
        return await pending(database)


def checks_to_read(database: AnyDatabase) -> SqlStatusChecks:
    """The status checks, for those who only read: what they collected would go nowhere."""
    never_written: list[Write] = []
    return SqlStatusChecks(database, Ids(database), never_written.append)


async def stored_check(settings: Settings, check_id: int) -> StoredCheck | None:
    """One check, or None. Changes nothing. Raises Unavailable, and RobotdError where migrations are pending."""
    async with _database_in_use(settings) as database:
        checks = checks_to_read(database)
        check = await checks.get(check_id)
        if check is None:
            return None
        template = await template_library(settings, database).version(check.template_name, check.template_version)
        return StoredCheck(check, await checks.decisions(check_id), template)


class Transaction(Protocol):
    """Runs `work` as one transaction, again as a whole where another writer was first."""

    async def __call__(self, work: Callable[[Contacts], Awaitable[T]]) -> T:
        """What `work` returned when its writes were committed. Raises Unavailable, Conflict."""
        ...


@asynccontextmanager
async def open_contacts(settings: Settings) -> AsyncIterator[Transaction]:
    """The contact lists. Raises Unavailable, and RobotdError where migrations are pending."""
    async with _database_in_use(settings) as database:
        ids = Ids(database)

        async def once(work: Callable[[Contacts], Awaitable[T]]) -> T:
            writes: list[Write] = []
            answer = await work(SqlContacts(database, ids, writes.append))
            if writes:
                await database.apply(writes)
            return answer

        async def transaction(work: Callable[[Contacts], Awaitable[T]]) -> T:
            for earlier in range(_TRIES - 1):
                try:
                    return await once(work)
                except Conflict:
                    await asyncio.sleep(_PAUSE_S * (1 + earlier) * random.random())  # noqa: S311  jitter
            return await once(work)

        yield transaction


@asynccontextmanager
async def open_campaigns(settings: Settings) -> AsyncIterator[CampaignReads]:
    """The campaigns, to be read alone. Raises Unavailable, and RobotdError where migrations are pending."""
    async with _database_in_use(settings) as database:
        yield SqlCampaignReads(database)


@asynccontextmanager
async def open_server_reads(settings: Settings) -> AsyncIterator[ServerReads]:
    """Tests of delivery servers, to be read alone. Raises Unavailable, and RobotdError where migrations are pending."""
    async with _database_in_use(settings) as database:
        yield SqlServerReads(database)


@asynccontextmanager
async def _database_in_use(settings: Settings) -> AsyncIterator[AnyDatabase]:
    """A database that is there and up to date: to read it must neither make nor change it."""
    target = settings.database.target
    if isinstance(target, SqliteFile) and not target.path.is_file():  # to open it would make it
        raise Unavailable("database", f"{target.path} is not there; `robotd migrate` makes it")
    async with open_database(settings) as database:
        if await pending(database):
            raise RobotdError("the database is not up to date: `robotd migrate` says more with --check")
        yield database
