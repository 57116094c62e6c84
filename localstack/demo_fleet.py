"""The mail side of the demo: MailWizz's tables in a SQLite file, delivery servers, a mailbox, and a name service.

They keep the machine's time, as they would: MailWizz compares times in its own database, mailboxes search by date.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from daemon.clients.mailwizz_database import MailWizzDatabase, MailWizzNames
from daemon.clock import SystemClock
from daemon.store.sqlite import SqliteDatabase
from localstack.demo_servers import (
    ARRIVAL_LIMIT_S,
    CANARY,
    PATIENCE_S,
    SENDERS,
    HistoryRow,
    Sender,
    When,
)
from localstack.dns import DnsServer
from localstack.mail_faults import Treatment
from localstack.mail_host import MailHost, MailLogin, SmtpAccount
from localstack.mail_record import SeenLine
from localstack.mailwizz_records import MailWizzRecords
from localstack.mailwizz_tables import create_tables

_USER = "probe"
_DOMAIN = "mailbox.test"
_CANARY_HOST = f"smtp.{_DOMAIN}"
_DAY_S, _HOUR_S = 86_400, 3_600


@dataclass(slots=True)
class Fleet:
    """The running parts. `statuses` are MailWizz's, at the moments at which they were looked at."""

    folder: Path
    host: MailHost
    names: DnsServer
    database: MailWizzDatabase
    password: str
    statuses: dict[When, Mapping[int, str]] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path) -> AsyncIterator["Fleet"]:
        """Start them, with a MailWizz that has sent through all of its servers and tested them a day ago."""
        password = _password()
        async with AsyncExitStack() as stack:
            host = MailHost(SystemClock(), login=MailLogin(_USER, password))
            await stack.enter_async_context(host)
            hosts = [_CANARY_HOST, *(sender.hostname for sender in SENDERS)]
            names = await stack.enter_async_context(DnsServer({(name, "A"): ["127.0.0.1"] for name in hosts}))
            tables = await SqliteDatabase.open(folder / "mailwizz.db")
            stack.push_async_callback(tables.close)
            await create_tables(tables, MailWizzNames())
            fleet = cls(folder, host, names, MailWizzDatabase(tables), password)
            records = MailWizzRecords(tables, MailWizzNames())
            for sender in SENDERS:
                await fleet._add(sender, records)
            await host.add_server(SmtpAccount(CANARY, CANARY, _password(), hostname=_CANARY_HOST))
            await asyncio.to_thread(fleet._authority.write_bytes, host.certificates.trusted_pem)
            await fleet.look(When.BEFORE)
            yield fleet

    async def _add(self, sender: Sender, records: MailWizzRecords) -> None:
        account = SmtpAccount(sender.name, "mailer", _password(), hostname=sender.hostname)
        server = await self.host.add_server(account)
        await records.add_server(
            server_id=sender.id,
            name=sender.name,
            hostname=sender.hostname,
            port=server.port,
            protocol="starttls",
            username=account.username,
            password=account.password,
            from_email=f"news@{sender.name}.test",
            last_updated=await self._ago(2 * _DAY_S),
        )
        tested = await self._ago(_DAY_S + _HOUR_S)
        await records.insert("delivery_servers_tests", delivery_server_id=sender.id, test_insert_date=tested)

    async def _ago(self, seconds: int) -> str:
        ((moment,),) = await self.database.fetch(f"SELECT {self.database.before(self.database.now)}", (seconds,))
        return str(moment)

    @property
    def _authority(self) -> Path:
        return self.folder / "authority.pem"

    def sections(self) -> dict[str, Mapping[str, object]]:
        """The sections of the settings with which a daemon tests these servers; cycles begin by command alone."""
        canary = self.host.servers[CANARY]
        return {
            "mailwizz": {"database_url": f"sqlite:///{self.folder / 'mailwizz.db'}"},
            "server_tests": {"every_s": 0, "patience_s": PATIENCE_S, "arrival_limit_s": ARRIVAL_LIMIT_S},
            "mail": {
                "probe_address": f"{_USER}@{_DOMAIN}",
                "imap_host": "localhost",
                "imap_port": self.host.imap.port,
                "imap_user": _USER,
                "imap_password": self.password,
                "imap_authority": str(self._authority),
                "canary_host": _CANARY_HOST,
                "canary_port": canary.port,
                "canary_user": canary.account.username,
                "canary_password": canary.account.password,
                "nameservers": self.names.host,
                "nameserver_port": self.names.port,
                "helo_name": "robotd.test",
            },
        }

    async def happen(self, kind: str) -> None:
        """`mailbox-down`, `mailbox-up`, `password` (east's is another one now) or `loses` (south does)."""
        match kind:
            case "mailbox-down":
                self.host.imap.refuse()
                self.host.imap.cut()
            case "mailbox-up":
                await self.look(When.OUTAGE)
                self.host.imap.recover()
            case "password":
                server = self.host.servers["east"]
                server.account = replace(server.account, password=_password())
            case _:
                self.host.servers["south"].treatment = Treatment(is_lost=True)

    async def look(self, when: When) -> None:
        """Write down how MailWizz's servers stand."""
        rows = await self.database.fetch("SELECT server_id, status FROM mw_delivery_server ORDER BY server_id")
        self.statuses[when] = {int(row[0] or 0): str(row[1]) for row in rows}

    async def history(self) -> list[HistoryRow]:
        """MailWizz's lines, oldest first."""
        sql = (
            "SELECT delivery_server_id, status, error_message FROM mw_delivery_servers_tests "
            "ORDER BY test_insert_date, delivery_server_id"
        )
        return [HistoryRow(int(row[0] or 0), str(row[1]), str(row[2] or "")) for row in await self.database.fetch(sql)]

    @property
    def seen(self) -> Sequence[SeenLine]:
        """The mail host's own record."""
        return self.host.record.lines


def _password() -> str:
    """One that MailWizz stores as it is: whole blocks of base64 would be an encrypted one."""
    return f"demo-{secrets.token_hex(16)}"
