"""A MailWizz's database and a mail host beside the neighbours: what `robotd servers` needs as a process."""

import asyncio
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from daemon.clients.mailwizz_database import MailWizzNames
from daemon.store.sqlite import SqliteDatabase
from localstack.mailwizz_tables import create_tables
from tests.e2e.processes import Neighbours, line_with, neighbours, process

_MAILBOX = re.compile(r"mailbox \S+:(\d+) user (\S+) password (\S+)")
_SERVER = re.compile(r"smtp://127.0.0.1:(\d+) \S+ user (\S+) password (\S+)")


@dataclass(frozen=True, slots=True)
class Login:
    """One delivery server of the mail host."""

    port: int
    user: str
    password: str


@dataclass(frozen=True, slots=True)
class ServerNeighbours:
    """The neighbours, the mail host's delivery servers by name, and MailWizz's database."""

    around: Neighbours
    logins: dict[str, Login]

    @property
    def mailwizz(self) -> Path:
        """Its file."""
        return self.around.folder / "mailwizz.db"

    def write(self, sql: str, *args: object) -> None:
        """As its administrator would."""
        with closing(sqlite3.connect(self.mailwizz)) as database, database:
            database.execute(sql, args)

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """What it holds."""
        with closing(sqlite3.connect(self.mailwizz)) as database:
            return list(database.execute(sql))

    def add(self, server_id: int, login: Login, **columns: object) -> None:
        """A delivery server that MailWizz sends through."""
        given = {
            "server_id": server_id,
            "name": f"smtp-{server_id}",
            "type": "smtp",
            "hostname": "127.0.0.1",
            "username": login.user,
            "password": login.password,
            "port": login.port,
            "protocol": "",
            "from_email": "news@sender.test",
            "status": "active",
            "last_updated": "2025-11-20 08:00:00",
            **columns,
        }
        marks = ", ".join("?" * len(given))
        into = f"INSERT INTO mw_delivery_server ({', '.join(given)}) VALUES ({marks})"  # noqa: S608  names of columns
        self.write(into, *given.values())


@contextmanager
def server_neighbours(folder: Path, names: Sequence[str] = ("good",), **more: str) -> Iterator[ServerNeighbours]:
    """Databases and queues are there; a daemon is not. `names` are those of the mail host's delivery servers."""
    wanted = [part for name in names for part in ("--server", f"{name}=none")]
    with process("localstack.mail_host", "--plain", *wanted, folder=folder) as host:
        mailbox = _MAILBOX.search(line_with(host, "mailbox "))
        found = [_SERVER.search(line_with(host, "delivery server ")) for _ in names]
        line_with(host, " on ")
        assert mailbox is not None
        logins = {
            name: Login(int(one[1]), one[2], one[3]) for name, one in zip(names, found, strict=True) if one is not None
        }
        asyncio.run(_mailwizz(folder / "mailwizz.db"))
        variables = {
            "ROBOTD_MAILWIZZ__DATABASE_URL": f"sqlite:///{folder / 'mailwizz.db'}",
            "ROBOTD_SERVER_TESTS__EVERY_S": "0",
            "ROBOTD_MAIL__IMAP_HOST": "127.0.0.1",
            "ROBOTD_MAIL__IMAP_PORT": mailbox[1],
            "ROBOTD_MAIL__IMAP_TLS": "none",
            "ROBOTD_MAIL__IMAP_USER": mailbox[2],
            "ROBOTD_MAIL__IMAP_PASSWORD": mailbox[3],
            "ROBOTD_MAIL__PROBE_ADDRESS": "probe@probe.test",
            "ROBOTD_MAIL__NAMESERVERS": "127.0.0.1",
            **more,
        }
        with neighbours(folder, **variables) as around:
            for call in (("migrate",), ("queues", "ensure")):
                done = around.robotd(*call)
                assert done.returncode == 0, done.stderr
            yield ServerNeighbours(around, logins)


async def _mailwizz(path: Path) -> None:
    database = await SqliteDatabase.open(path)
    await create_tables(database, MailWizzNames())
    await database.close()
