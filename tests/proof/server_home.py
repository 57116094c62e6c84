"""A home that tests delivery servers: MailWizz, a mail host, a name server and a mailbox stand around its daemons.

MailWizz's rows, the mail host's own record and the robot's queue are told apart by what the test wrote: each delivery
server has a sender of its own. Business time passes by itself: where nothing is under way the clock leaps to the next
timer, so a wait of ten minutes costs none. Leases, which run on the database's clock, are not touched by that.
"""

import asyncio
import re
import secrets
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pymysql

from daemon.clients.mailwizz_database import AnyDatabase, MailWizzNames
from daemon.clock import SystemClock
from daemon.store.mysql import MysqlAddress, MysqlDatabase
from daemon.store.sqlite import SqliteDatabase
from domain.errors import RobotdError
from localstack.dns import DnsServer
from localstack.mail_box import INBOX
from localstack.mail_host import MailHost, MailLogin, Seen, SmtpAccount
from localstack.mail_smtp import SmtpServer
from localstack.mailwizz import Bounce, MailWizzSimulator
from localstack.mailwizz_records import MailWizzRecords
from localstack.mailwizz_tables import MAILBOX, PROCEDURE, create_tables
from localstack.tcp_proxy import TcpProxy
from tests.proof.child import Armed
from tests.proof.home import Home, Tables, home
from tests.proof.leaping_clock import LeapingClock
from tests.proof.nursery import BOUND_S, Child, Nursery, within
from tests.world import command

ROBOT = 63001
LIST, TEMPLATE, CUSTOMER = 5, 3, 1
PROBE, READER, NOBODY = "probe@mailbox.test", "reader@mailbox.test", "nobody@mailbox.test"
HISTORY, SERVERS = "mw_delivery_servers_tests", "mw_delivery_server"
LONG_AGO = "2026-01-05 08:00:00"
GOOD, CONTROL = "smtp", "control"
TIMERS = "timer WHERE type LIKE 'server%'"
Place = Path | MysqlAddress
_LOOK_S, _STILL_S, _SOON_MS, _TOGETHER_MS = 0.03, 0.3, 20, 500
PATIENCE_S = 120.0  # of the machine, when others work on it
_LINKS = re.compile(rb"/campaigns/(\w+)/track-url/(\w+)/(\w+)")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A delivery server of the test, and what has to become of it. `by_campaign`: its type speaks no SMTP."""

    id: int
    is_bad: bool = False
    by_campaign: bool = False
    status: str = "active"

    @property
    def domain(self) -> str:
        """Its own, by which its mails are known."""
        return f"s{self.id}.sender.test"

    @property
    def verdict(self) -> str:
        """What a test has to say of it."""
        return "FAILED" if self.is_bad else "SUCCESSFUL"

    @property
    def status_then(self) -> str:
        """What MailWizz has to show afterwards."""
        return "inactive" if self.is_bad else self.status


@dataclass(slots=True)
class Operators:
    """What others do all the time: MailWizz's cron, a reader who clicks and leaves, a reader of the bounce box.

    `lost` counts what had to wait because MailWizz's database did not answer.
    """

    host: MailHost
    wizz: MailWizzSimulator
    seen: int = 0
    lost: int = 0
    rounds: int = 0

    async def work(self) -> None:
        """For ever."""
        while True:
            try:
                await self._once()
            except RobotdError:
                self.lost += 1
            self.rounds += 1
            await asyncio.sleep(_LOOK_S)

    async def _once(self) -> None:
        await self.wizz.run_cron()
        lines = self.host.record.lines
        while self.seen < len(lines):
            line = lines[self.seen]
            if line.what is Seen.DELIVERED:
                await self._read(line.about)
            elif line.what is Seen.RETURNED:
                await self.wizz.read_bounces([Bounce(line.about, line.answer)])
            self.seen += 1

    async def _read(self, token: str) -> None:
        """Into the table of mails; what a campaign has sent is opened, clicked and left."""
        wanted = f"[{token}]"
        mails = {raw: message_from_bytes(raw) for raw in (mail.raw for mail in self.host.mailbox.mails(INBOX))}
        (raw, *_) = [raw for raw, mail in mails.items() if str(mail["Subject"]).endswith(wanted)]
        records = self.wizz.records
        await records.store_mail(raw)
        links = _LINKS.search(raw)
        if links is None:
            return
        campaign, subscriber, key = (part.decode() for part in links.groups())
        await records.opened(campaign, subscriber)
        destination = await records.destination(campaign, key)
        assert destination is not None
        await records.clicked(destination[0], campaign, subscriber)
        await records.unsubscribed(campaign, subscriber)


@dataclass(slots=True)
class Lab:
    """One world. `kills` counts the daemons that were killed, or stopped for longer than their leases."""

    home: Home
    host: MailHost
    wizz: MailWizzSimulator
    database: AnyDatabase
    tables: Tables
    dns: DnsServer
    imap: TcpProxy
    clock: LeapingClock
    operators: Operators
    servers: list[Wanted] = field(default_factory=list)
    asked: dict[int, str] = field(default_factory=dict)  # by server, the id of the command that asked for it alone
    kills: int = 0
    may_leap: bool = True
    _leapt_in_round: int = -1

    @property
    def smtp(self) -> SmtpServer:
        """The mail server through which all delivery servers send."""
        return self.host.servers[GOOD]

    async def add(self, **about: Any) -> Wanted:
        """One more delivery server at MailWizz."""
        wanted = Wanted(len(self.servers) + 1, **about)
        account = self.smtp.account
        await self.wizz.records.add_server(
            server_id=wanted.id,
            name=f"server {wanted.id}",
            type="pickup-directory" if wanted.by_campaign else "smtp",
            hostname=f"{GOOD}.sender.test" if not wanted.by_campaign else "127.0.0.1",
            port=self.smtp.port,
            protocol="tls",
            username=account.username,
            password=f"!{secrets.token_hex(8)}" if wanted.is_bad else account.password,
            from_email=f"news@{wanted.domain}",
            from_name="The Shop",
            customer_id=CUSTOMER,
            status=wanted.status,
            last_updated=LONG_AGO,
        )
        self.servers.append(wanted)
        return wanted

    def ask(self, wanted: Wanted, copies: int = 1) -> None:
        """Ask for a test of one server, `copies` times by one id."""
        self.asked[wanted.id] = f"test-{wanted.id}"
        data = {"serverId": wanted.id, "robotId": ROBOT}
        self._send(command("server.test", data, id=self.asked[wanted.id]), copies)

    def cycle(self, name: str, copies: int = 1) -> None:
        """Ask for a cycle."""
        self._send(command("server.test-cycle", {"robotId": ROBOT}, id=f"cycle-{name}"), copies)

    def _send(self, body: str, copies: int) -> None:
        """What the polls of the dead swallow is shown again at once."""
        swallowed = self.home.sqs.abandoned(self.home.commands)
        for _ in range(copies):
            self.home.sqs.send(self.home.commands, body)
        for _ in range(swallowed):
            self.home.age_messages()

    def told(self, kind: str) -> list[dict[str, Any]]:
        """The results of this type, in the order of sending."""
        return [one for one in self.home.results(ROBOT) if one["type"] == kind]

    def history(self) -> list[dict[str, Any]]:
        """MailWizz's history of tests."""
        return self.tables.dicts(HISTORY)

    def statuses(self) -> dict[int, str]:
        """By server, what MailWizz shows."""
        return dict(self.tables.rows(f"SELECT server_id, status FROM {SERVERS}"))  # noqa: S608  words of ours

    def mails(self) -> Counter[str]:
        """By sender's domain, how many mails lie in the mailbox."""
        found = (str(message_from_bytes(mail.raw)["From"]) for mail in self.host.mailbox.mails(INBOX))
        return Counter(sender.rpartition("@")[2].rstrip(">") for sender in found)

    def claims(self) -> list[str]:
        """What is held by a run or a cycle."""
        return [str(row[0]) for row in self.home.tables.rows("SELECT name FROM server_test_claim ORDER BY name")]

    def is_quiet(self) -> bool:
        """Whether no message, no timer and no result is left, asked in the order in which one makes the other."""
        if any(self.home.sqs.counts(queue).total for queue in self.home.consumed):
            return False
        return self.home.tables.count(TIMERS) == 0 and self.home.tables.count("outbox") == 0

    async def until(self, is_so: Callable[[], bool], what: str, bound_s: float = BOUND_S) -> None:
        """Return when something is so. AssertionError if it is not within `bound_s` of real time."""
        until_s = time.monotonic() + bound_s
        moved_s, mark = time.monotonic(), self._mark()
        while not is_so():
            now_s = time.monotonic()
            assert now_s < until_s, f"not in {bound_s} s: {what}; {self.leftovers()}"
            if self._mark() != mark:
                moved_s, mark = now_s, self._mark()
            elif now_s > moved_s + _STILL_S:
                self.home.age_messages()
                moved_s = now_s
            if self.may_leap:
                self.leap()
            await pause(_LOOK_S)

    def leap(self, until_ms: int | None = None) -> None:
        """Let business time pass to the next timer, or to `until_ms`, unless something is under way."""
        if self.operators.rounds < self._leapt_in_round + 2:  # they had no chance to do their part
            return
        now_ms, held_until_ms = self.clock.now_ms(), round(time.time() * 1000)
        with suppress(pymysql.Error):  # robotd's own database may be what is out
            rows = self.home.tables.rows(
                "SELECT MIN(due_at_ms), MAX(lease_until_ms) FROM timer WHERE type LIKE 'server%'"
            )
            due_ms, leased_ms = rows[0]
            if due_ms is None and until_ms is not None:  # nothing is left to wait for
                due_ms, leased_ms = until_ms, 0
            is_idle = due_ms is not None and due_ms > now_ms + _SOON_MS and leased_ms <= held_until_ms
            if is_idle and not self.home.sqs.counts(self.home.commands).total:
                at_ms = due_ms + _TOGETHER_MS
                self.clock.leap(min(at_ms, until_ms or at_ms) - now_ms)
                self._leapt_in_round = self.operators.rounds

    async def pass_time(self, minutes: float) -> None:
        """So much business time passes, with all that is due on the way."""
        until_ms = self.clock.now_ms() + round(minutes * 60_000)
        ends_s = time.monotonic() + PATIENCE_S
        while self.clock.now_ms() < until_ms:
            assert time.monotonic() < ends_s, f"time stands still: {self.leftovers()}"
            self.leap(until_ms)
            await pause(_LOOK_S)

    async def kill(self, child: Child) -> None:
        """SIGKILL."""
        child.signal(signal.SIGKILL)
        await self.buried(child)

    async def buried(self, child: Child) -> None:
        """A daemon has been killed: wait until it is gone."""
        await within(BOUND_S, child.ended)
        assert child.code == -signal.SIGKILL, f"ended by itself: {child.code}; {self.leftovers()}"
        self.kills += 1
        if all(each.ended.is_set() for each in self.home.children):
            for tables in (self.home.tables, self.tables):
                await self.until_let_go(tables)

    async def until_let_go(self, tables: Tables) -> None:
        """Nothing that a dead daemon has sent can still be carried out."""
        ends_s = time.monotonic() + BOUND_S
        while _connections(tables) > 1 + (self._own_connections() if tables is self.tables else 0):
            assert time.monotonic() < ends_s, "the database does not notice"
            await pause(_LOOK_S)

    def _own_connections(self) -> int:
        """Of the simulator, whose pool keeps some."""
        pool = self.database._pool if isinstance(self.database, MysqlDatabase) else None
        return 0 if pool is None else len(pool._idle) + len(pool._used)

    async def start_again(self, armed: Armed | None = None) -> Child:
        """A daemon after one that was killed, when all claims of the dead one are over; or the first."""
        if self.home.children:
            self.home.pass_time()
        return await self.home.start(armed)

    async def settle(self, bound_s: float = BOUND_S) -> None:
        """Return when everything that was asked for is over."""
        await self.until(self.is_quiet, "all is over", bound_s)

    def leftovers(self) -> str:
        """What is still there, for the message of a failure."""
        with suppress(pymysql.Error):
            return str(self.home.leftovers())
        return "the database does not answer"

    def _mark(self) -> tuple[int, int]:
        return len(self.home.sqs.ledger), len(self.host.record.lines)


def _connections(tables: Tables) -> int:
    if isinstance(tables.place, Path):
        return 0
    return tables.count("information_schema.processlist WHERE db = DATABASE()")


async def pause(seconds: float) -> None:
    """Let real time pass: the others work meanwhile."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()


@asynccontextmanager
async def _opened(place: Place) -> AsyncIterator[AnyDatabase]:
    opened: AnyDatabase = (
        await SqliteDatabase.open(place) if isinstance(place, Path) else await MysqlDatabase.open(place)
    )
    try:
        yield opened
    finally:
        await opened.close()


async def _fill(records: MailWizzRecords, database: AnyDatabase) -> None:
    await create_tables(database, MailWizzNames())
    await records.insert("customer_group", group_id=1, name="all")
    await records.insert("customer", customer_id=CUSTOMER, group_id=1)
    await records.insert("list", list_id=LIST, list_uid="list5")
    for number, email in enumerate((READER, NOBODY), start=1):
        await records.insert(
            "list_subscriber", subscriber_id=number, subscriber_uid=f"sub{number}", list_id=LIST, email=email
        )


def _mailwizz_section(place: Place) -> dict[str, Any]:
    own = {"procedure": PROCEDURE, "mails_table": MAILBOX}
    if isinstance(place, Path):
        return {"database_url": f"sqlite:///{place}", **own}
    url = f"mysql://{place.user}@localhost/{place.database}?unix_socket={place.unix_socket}"
    return {"database_url": url, "database_password": place.password, **own}


async def _mail_section(host: MailHost, imap: TcpProxy, dns: DnsServer, folder: Path) -> dict[str, Any]:
    authority = folder / "authority.pem"
    authority.write_bytes(host.certificates.trusted_pem)
    control, login = host.servers[CONTROL], host.imap.login
    return {
        "probe_address": PROBE,
        "imap_host": "localhost",
        "imap_port": imap.port,
        "imap_user": login.user,
        "imap_password": login.password,
        "imap_authority": str(authority),
        "canary_host": f"{CONTROL}.own.test",
        "canary_port": control.port,
        "canary_user": control.account.username,
        "canary_password": control.account.password,
        "control_host": f"{CONTROL}.own.test",
        "control_port": control.port,
        "nameservers": dns.host,
        "nameserver_port": dns.port,
        "helo_name": "robotd.test",
    }


async def _neighbours(
    stack: AsyncExitStack, database: AnyDatabase
) -> tuple[MailHost, MailWizzSimulator, DnsServer, TcpProxy]:
    clock = SystemClock()
    login = MailLogin("probe", secrets.token_hex(16))
    host = await stack.enter_async_context(MailHost(clock, login=login, refusing=[NOBODY]))
    for name in (GOOD, CONTROL):
        await host.add_server(SmtpAccount(name, name, f"!{secrets.token_hex(16)}"))
    wizz = await stack.enter_async_context(MailWizzSimulator(clock, database))
    names = (f"{GOOD}.sender.test", f"{CONTROL}.own.test")
    dns = await stack.enter_async_context(DnsServer({(name, "A"): ["127.0.0.1"] for name in names}))
    imap = await stack.enter_async_context(TcpProxy(clock, host.imap.port))
    return host, wizz, dns, imap


def _make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)


@asynccontextmanager
async def lab(
    places: Sequence[Place], folder: Path, nursery: Nursery, *, tests: Mapping[str, object] | None = None
) -> AsyncIterator[Lab]:
    """A world without a daemon in it. `places`: robotd's database and MailWizz's; `tests`: more of `server_tests`."""
    own, theirs = places
    _make(folder)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(_opened(theirs))
        host, wizz, dns, imap = await _neighbours(stack, database)
        await _fill(wizz.records, database)
        sections: dict[str, dict[str, Any]] = {
            "mailwizz": _mailwizz_section(theirs),
            "mail": await _mail_section(host, imap, dns, folder),
            "server_tests": {
                "every_s": 0,
                "campaign_list_id": LIST,
                "campaign_recipient": READER,
                "campaign_bounce_recipient": NOBODY,
                "campaign_template_id": TEMPLATE,
                "campaign_customer_id": CUSTOMER,
                **(tests or {}),
            },
        }
        opened = await stack.enter_async_context(home(own, folder / "home", nursery, sections=sections))
        clock_file = folder / "clock"
        clock = LeapingClock(clock_file)
        opened.of_children["clock"] = str(clock_file)
        operators = Operators(host, wizz)
        work = asyncio.create_task(operators.work())
        try:
            yield Lab(opened, host, wizz, database, Tables(theirs), dns, imap, clock, operators)
        finally:
            work.cancel()
            ends = await asyncio.gather(work, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end
