"""A cycle over many delivery servers in the daemon of `robotd run`, for the bench of server tests.

The daemon and the queue server have a process each. MailWizz's tables and robotd's own lie in MariaDB where there is
one, else in SQLite.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.clients.mailwizz_database import AnyDatabase, MailWizzNames
from daemon.clock import SystemClock
from daemon.store.mysql import MysqlAddress, MysqlDatabase
from daemon.store.sqlite import SqliteDatabase
from domain.wire import iso
from localstack.mailwizz_records import MailWizzRecords
from localstack.mailwizz_tables import create_tables
from tests.bench.campaigns_child import DAEMON, Order
from tests.bench.campaigns_world import Sender, sender
from tests.bench.spine import troubles_in
from tests.bench.spine_queue import QueueServer, queue_server
from tests.mail_host import MailHost
from tests.mail_host_files import DOMAIN
from tests.mariadb import MariaDb

COMMANDS, SUFFIX = "bench-commands", "bench"
EVENTS = f"bench-events-{SUFFIX}"
QUEUES = (COMMANDS, EVENTS, f"{COMMANDS}-dlq", f"{EVENTS}-dlq", "robotd-timers-dlq")
LOOK_EVERY_S, END_S = 0.05, 600.0
_ENDS = "SELECT COUNT(*), SUM(CASE WHEN status = 'SUCCESSFUL' THEN 1 ELSE 0 END) FROM mw_delivery_servers_tests"


@dataclass(frozen=True, slots=True)
class Cycle:
    """What one cycle took, and what the daemon used for it."""

    servers: int
    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where both databases are. `folder` is fresh."""

    folder: Path
    mariadb: MariaDb | None

    def new(self, name: str) -> Path | MysqlAddress:
        """A database that nobody has used."""
        return self.folder / f"{name}.db" if self.mariadb is None else self.mariadb.new_database()


async def cycle(host: MailHost, place: Place, servers: int) -> Cycle:
    """Test so many delivery servers, all good, each once. Raises RuntimeError where one of them is not."""
    own, theirs = place.new("robotd"), place.new("mailwizz")
    async with _opened(theirs) as database, queue_server() as queues, sender() as child:
        await _fill(database, host, servers)
        for queue in QUEUES:
            queues.create(queue)
        settings = _settings(host, queues, own, theirs)
        log = str(place.folder / "daemon.log")
        await child.begin(Order(DAEMON, settings, waha="", api_key="", session="", contacts=0, log=log))
        await child.look("go")
        began, began_s = await child.look(), time.perf_counter()
        queues.fill(COMMANDS, [_command()])
        await _ended(database, child, servers, Path(log))
        wall_s = time.perf_counter() - began_s
        return Cycle(servers, wall_s, (await child.look()).cpu_s - began.cpu_s)


@asynccontextmanager
async def _opened(place: Path | MysqlAddress) -> AsyncIterator[AnyDatabase]:
    opened: AnyDatabase = (
        await SqliteDatabase.open(place) if isinstance(place, Path) else await MysqlDatabase.open(place)
    )
    try:
        yield opened
    finally:
        await opened.close()


async def _fill(database: AnyDatabase, host: MailHost, servers: int) -> None:
    names = MailWizzNames()
    await create_tables(database, names)
    records = MailWizzRecords(database, names)
    for number in range(1, servers + 1):
        await records.add_server(
            server_id=number,
            name=f"server {number}",
            hostname="127.0.0.1",
            port=host.ports.starttls,
            protocol="tls",
            username=host.sender.name,
            password=host.sender.password,
            from_email=f"news@s{number}.test",
            last_updated="2026-01-05 08:00:00",
        )


def _database(place: Path | MysqlAddress) -> tuple[str, str | None]:
    if isinstance(place, Path):
        return f"sqlite:///{place}", None
    return f"mysql://{place.user}@localhost/{place.database}?unix_socket={place.unix_socket}", place.password


def _settings(
    host: MailHost, queues: QueueServer, own: Path | MysqlAddress, theirs: Path | MysqlAddress
) -> dict[str, Any]:
    """Production's defaults but for the addresses."""
    (url, password), (their_url, their_password) = _database(own), _database(theirs)
    return {
        "aws": {"endpoint_url": queues.url, "access_key_id": "bench", "secret_access_key": "bench"},
        "queues": {"commands": COMMANDS, "events": EVENTS},
        "megazord": {"queue_suffix": SUFFIX},
        "database": {"url": url, "password": password},
        "mailwizz": {"database_url": their_url, "database_password": their_password},
        "server_tests": {"every_s": 0},
        "mail": {
            "probe_address": host.probe.name,
            "envelope_from": f"bounce@{DOMAIN}",
            "imap_host": "localhost",
            "imap_port": host.ports.imaps,
            "imap_user": host.probe.name,
            "imap_password": host.probe.password,
            "imap_authority": str(host.authority),
            "helo_name": "robotd.test",
        },
    }


def _command() -> str:
    fields = {"specversion": "1.0", "id": "bench-cycle", "source": "bench", "type": "server.test-cycle"}
    return json.dumps({**fields, "time": iso(SystemClock().now_ms()), "data": {}})


async def _ended(database: AnyDatabase, child: Sender, servers: int, log: Path) -> None:
    ends_s = time.monotonic() + END_S
    while True:
        ((counted, counted_good),) = await database.fetch(_ENDS)
        lines, good = int(counted or 0), int(counted_good or 0)
        if lines == servers:
            break
        child.check()
        if time.monotonic() > ends_s:
            raise RuntimeError(f"{lines} of {servers} tests in {END_S:g} s: {troubles_in(log)}")
        await asyncio.sleep(LOOK_EVERY_S)
    if good != servers:
        raise RuntimeError(f"only {good} of {servers} were SUCCESSFUL: {troubles_in(log)}")
