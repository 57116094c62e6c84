"""A world in which tests of delivery servers meet real parts: what the fault matrix and the bugs share.

The daemon builds its own clients from settings: MailWizz's tables in a real database, SMTP and IMAP over real
connections, names from a real name server. Only the business clock is turned by hand; MailWizz has its database's.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from daemon.clients.mail_reader import HttpReader, ReaderOptions
from daemon.clients.mailwizz_database import MailWizzDatabase, MailWizzNames, Value, Write
from daemon.store.mysql import MysqlAddress, MysqlDatabase
from daemon.store.sqlite import SqliteDatabase
from domain.server_ports import FoundMail
from domain.server_test import StepOutcome
from localstack.clock import ManualClock
from localstack.dns import DnsServer
from localstack.mail_host import MailHost, MailLogin, SmtpAccount
from localstack.mail_smtp import SmtpServer
from localstack.mailwizz import Bounce, MailWizzSimulator
from localstack.mailwizz_tables import MAILBOX, PROCEDURE, create_tables
from tests import mails
from tests.conftest import AnyDatabase
from tests.integration.server_world import MINUTE_MS, SECOND_MS, AskedWorld
from tests.mail_host import NAME
from tests.mail_host import MailHost as Postfix
from tests.mail_host_files import DOMAIN
from tests.world import world

HOST = f"smtp.{mails.DOMAIN}"
LOCAL = "127.0.0.1"  # for MailWizz, which asks the system for names
PROBE, READER, NOBODY = "probe@box.test", "reader@box.test", "nobody@box.test"
BOUNCE = f"bounce@{mails.DOMAIN}"
CYCLE = "server.cycle-tested"
LIST, CUSTOMER, GROUP = 12, 1, 2
CAMPAIGN = {
    "campaign_list_id": LIST,
    "campaign_recipient": READER,
    "campaign_bounce_recipient": NOBODY,
    "campaign_template_id": 3,
    "campaign_customer_id": CUSTOMER,
    "campaign_arrival": "mailbox",
}
Place = Path | MysqlAddress
OpensMatrix = Callable[..., AbstractAsyncContextManager["MatrixWorld"]]


@dataclass(frozen=True, slots=True)
class MatrixWorld(AskedWorld):
    """`host`: delivery servers and the mailbox; `wizz`: MailWizz, whose tables are in `tables`."""

    wizz: MailWizzSimulator
    tables: AnyDatabase
    host: MailHost
    dns: DnsServer
    account: SmtpAccount
    smtp: SmtpServer

    async def add_server(self, server_id: int = 7, **columns: Value) -> None:
        """A row of MailWizz's, by default for the delivery server that is there; it was changed an hour ago."""
        given: dict[str, Value] = {
            "server_id": server_id,
            "name": f"smtp-{server_id}",
            "hostname": HOST,
            "port": self.smtp.port,
            "protocol": "tls",
            "username": self.account.username,
            "password": self.account.password,
            "from_email": mails.SENDER,
            "bounce_server_id": 5,
            "last_updated": await self.ago(3600),
        }
        await self.wizz.records.add_server(**{**given, **columns})

    async def add_postfix(self, postfix: Postfix, port: str, **columns: Value) -> None:
        """Server 7 at one of the real mail host's ports, by its name there."""
        login: dict[str, Value] = {"username": postfix.sender.name, "password": postfix.sender.password}
        at: dict[str, Value] = {"hostname": LOCAL, "port": getattr(postfix.ports, port)}
        await self.add_server(7, **{**login, **at, **columns})

    async def ago(self, seconds: int) -> str:
        """That moment, as MailWizz's database spells it."""
        asks = MailWizzDatabase(self.tables, time_zone=self.home.settings.mailwizz.time_zone)
        ((moment,),) = await asks.fetch(f"SELECT {asks.before(asks.now)}", (seconds,))
        return str(moment)

    async def fetch(self, sql: str, *args: Value) -> list[tuple[Value, ...]]:
        """Rows of MailWizz's database."""
        return [tuple(row) for row in await self.tables.fetch(sql, args)]

    async def write(self, sql: str, *args: Value) -> None:
        """As an administrator of MailWizz would by hand."""
        await self.tables.apply([Write(sql, args)])

    async def history(self, server_id: int = 7) -> list[str]:
        """The verdicts in MailWizz's history, oldest first."""
        rows = await self.fetch(
            "SELECT status FROM mw_delivery_servers_tests WHERE delivery_server_id = ?"
            " ORDER BY mailwizz_delivery_servers_test_id",
            server_id,
        )
        return [str(row[0]) for row in rows]

    async def status(self, server_id: int = 7) -> str:
        """A server's status at MailWizz."""
        ((status,),) = await self.fetch("SELECT status FROM mw_delivery_server WHERE server_id = ?", server_id)
        return str(status)

    def step(self, step: str) -> tuple[str, str]:
        """Outcome and kind of one step of the test that was told of last."""
        (found,) = [one for one in self.last()["steps"] if one["id"] == step]
        return found["outcome"], found["kind"]

    async def ends(
        self,
        verdict: str,
        step: str,
        outcome: str,
        kind: str,
        *,
        is_off: bool | None = None,
        left: Mapping[str, object] | None = None,
    ) -> None:
        """The last test of server 7: what was told, what MailWizz has, what robotd's own row says; nothing is left.

        `is_off`: whether it is switched off, by default if it failed. `left`: what may be left, by default nothing.
        """
        told = self.last()
        assert (told["verdict"], self.step(step)) == (verdict, (outcome, kind)), told
        is_off = verdict == "FAILED" if is_off is None else is_off
        assert told["deactivated"] is is_off
        assert await self.status() == ("inactive" if is_off else "active")
        lines = await self.fetch(
            "SELECT status, error_message, test_insert_date FROM mw_delivery_servers_tests WHERE delivery_server_id = 7"
        )
        if verdict == "ERROR":
            assert lines == []
        else:
            (line,) = lines
            assert (str(line[0]), str(line[2])) == (verdict, told["started"])
            assert (line[1] is None) == (verdict == "SUCCESSFUL")
            assert line[1] is None or str(line[1]).startswith(f"{step} {kind}: ")
        await self.has_run(verdict, step if verdict == "FAILED" else "", is_off=is_off)
        await self.is_tidy(left)

    async def has_run(self, verdict: str, step: str, *, is_off: bool) -> None:
        """Robotd's own row of the only run of server 7."""
        rows = await self.rows("SELECT phase, verdict, step, deactivated FROM server_test_run WHERE server_id = 7")
        assert rows == [("ENDED", verdict, step, int(is_off))]

    async def is_tidy(self, left: Mapping[str, object] | None = None) -> None:
        """No claim, no timer, no message is left, and no password of a server stands in robotd's rows."""
        assert await self.claims() == []
        assert await self.home.leftovers() == (left or {})
        bodies = await self.rows("SELECT body FROM server_test_run")
        assert not any(self.account.password in str(row[0]) for row in bodies)

    async def by_campaign(self) -> None:
        """Ask for a test by campaign, let MailWizz's cron send, its reader of bounces read, and the time pass."""
        await self.ask(path="campaign")
        await self.cron()
        await self.later(MINUTE_MS)

    async def run_cycle(self) -> list[int]:
        """Ask for a cycle, and return once it is told: how many servers were tested, and how many have failed.

        A test that would begin in the second of the last one waits for MailWizz's clock, which is the system's.
        """
        before = len(self.told(CYCLE))
        await self.cycle()
        async with asyncio.timeout(20):
            while len(self.told(CYCLE)) == before:
                await self.later(SECOND_MS)
        told = self.last(CYCLE)
        return [told["tested"], told["failed"]]

    def mails_to(self, address: str) -> list[bytes]:
        """What lies in the mailbox for this address."""
        return [one.raw for one in self.host.mailbox.mails() if f"To: {address}".encode() in one.raw]

    async def cron(self) -> None:
        """Send what is pending; what came back to the bounce box is taken in."""
        await self.wizz.run_cron()
        await self.wizz.read_bounces([Bounce(token, NOBODY) for token in self.returned()])

    async def read(self, raw: bytes) -> None:
        """What an external reader of the mailbox does with a mail: opens, clicks, unsubscribes."""
        host = self.wizz.url.partition("://")[2]
        found = FoundMail("INBOX", is_junk=False, raw=raw)
        async with httpx.AsyncHTTPTransport() as transport:
            done = await HttpReader(transport, ReaderOptions((host,))).interact(found)
        assert done.outcome is StepOutcome.PASS

    def returned(self) -> Sequence[str]:
        """The tokens of the mails that came back."""
        return [line.about for line in self.host.record.lines if line.what == "returned"]


@asynccontextmanager
async def matrix_world(  # noqa: PLR0913  each overrides one section of the settings
    own: Place,
    tables: Place,
    folder: Path,
    *,
    settings: Mapping[str, Any] | None = None,
    mail: Mapping[str, Any] | None = None,
    mailwizz: Mapping[str, Any] | None = None,
    account: Mapping[str, Any] | None = None,
    postfix: Postfix | None = None,
    **sections: Any,
) -> AsyncIterator[MatrixWorld]:
    """All of it but the daemon. With `postfix` mail goes to and comes from the real mail host."""
    clock = ManualClock(time.time_ns() // 1_000_000)  # the system's: certificates and IMAP's dates go by it
    async with AsyncExitStack() as stack:
        database = await _opened(tables, (mailwizz or {}).get("time_zone", "+00:00"), stack)
        await create_tables(database, MailWizzNames())
        login = MailLogin("probe", secrets.token_hex(12))
        host = await stack.enter_async_context(MailHost(clock, login=login, hostname=mails.OWN_MX, refusing=(NOBODY,)))
        dns = await stack.enter_async_context(DnsServer({**mails.zone(), (HOST, "A"): [LOCAL]}))
        password = secrets.token_hex(12)
        given = {"address": mails.ADDRESS, "hostname": HOST, **(account or {})}
        tested = SmtpAccount("tested", "user-tested", password, **given)
        smtp = await host.add_server(tested)
        canary = await host.add_server(SmtpAccount("canary", "user-canary", secrets.token_hex(12)))
        wizz = await stack.enter_async_context(MailWizzSimulator(clock, database))
        await _people(wizz)
        ours = _direct_mail(host, login, dns, canary) if postfix is None else _postfix_mail(postfix)
        if postfix is None:
            authority = folder / "authority.pem"
            authority.write_bytes(host.certificates.trusted_pem)
            ours["imap_authority"] = str(authority)
        ours["tracking_hosts"] = wizz.url.partition("://")[2]
        home = await stack.enter_async_context(
            world(
                own,
                clock=clock,
                server_tests={"every_s": 0, **(settings or {})},
                mail={**ours, **(mail or {})},
                mailwizz={**_mailwizz(tables), **(mailwizz or {})},
                **sections,
            )
        )
        yield MatrixWorld(home, wizz, database, host, dns, tested, smtp)


async def _opened(place: Place, time_zone: str, stack: AsyncExitStack) -> AnyDatabase:
    """As MailWizz itself has it: a session of the zone that it writes in."""
    database: AnyDatabase = (
        await SqliteDatabase.open(place)
        if isinstance(place, Path)
        else await MysqlDatabase.open(replace(place, time_zone=time_zone))
    )
    stack.push_async_callback(database.close)
    return database


async def _people(wizz: MailWizzSimulator) -> None:
    await wizz.records.insert("customer_group", group_id=GROUP, name="shops")
    await wizz.records.insert("customer", customer_id=CUSTOMER, group_id=GROUP)
    await wizz.records.insert("list", list_id=LIST, list_uid="list12")
    for number, email in enumerate((READER, NOBODY)):
        await wizz.records.insert("list_subscriber", subscriber_uid=f"sub{number}", list_id=LIST, email=email)
    await wizz.records.insert("bounce_server", server_id=5, email=BOUNCE)


def _mailwizz(tables: Place) -> dict[str, Any]:
    given = {"procedure": PROCEDURE, "mails_table": MAILBOX}
    if isinstance(tables, Path):
        return {**given, "database_url": f"sqlite:///{tables}"}
    url = f"mysql://{tables.user}@localhost/{tables.database}?unix_socket={tables.unix_socket}"
    return {**given, "database_url": url, "database_password": tables.password}


def _direct_mail(host: MailHost, login: MailLogin, dns: DnsServer, canary: SmtpServer) -> dict[str, Any]:
    return {
        "probe_address": PROBE,
        "envelope_from": BOUNCE,
        "refusing_address": NOBODY,
        "imap_host": LOCAL,
        "imap_port": host.imap.port,
        "imap_user": login.user,
        "imap_password": login.password,
        "canary_host": LOCAL,
        "canary_port": canary.port,
        "canary_user": canary.account.username,
        "canary_password": canary.account.password,
        "control_host": LOCAL,
        "control_port": canary.port,
        "nameservers": dns.host,
        "nameserver_port": dns.port,
        "own_mx": mails.OWN_MX,
        "authserv_id": mails.AUTHSERV_ID,
        "hard_blocklists": mails.HARD,
        "blocklists": mails.SOFT,
    }


def _postfix_mail(postfix: Postfix) -> dict[str, Any]:
    return {
        "probe_address": postfix.probe.name,
        "refusing_address": f"refused@{DOMAIN}",
        "imap_host": LOCAL,
        "imap_port": postfix.ports.imaps,
        "imap_user": postfix.probe.name,
        "imap_password": postfix.probe.password,
        "imap_authority": str(postfix.authority),
        "canary_host": LOCAL,
        "canary_port": postfix.ports.starttls,
        "canary_user": postfix.sender.name,
        "canary_password": postfix.sender.password,
        "control_host": LOCAL,
        "control_port": postfix.ports.starttls,
        "own_mx": NAME,
    }
