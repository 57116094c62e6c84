"""MailWizz and mail in memory, for tests of what robotd decides: no SQL, SMTP or IMAP is in them.

`MemoryMailWizz` keeps its rules: a line of history once for each (server, start), a change of status only while the
row is as it was loaded. Each part can be made to fail, and says what was asked of it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from daemon.settings import Settings
from daemon.settings_servers import campaign_way, consequences, outage_rules, probe_addresses, run_rules
from domain.delivery_server import DeliveryServer
from domain.errors import Unavailable
from domain.server_ports import (
    Arrived,
    CampaignProgress,
    Candidate,
    Consequence,
    Delivery,
    FoundMail,
    Interactions,
    LastTest,
    ProbeMail,
    Recorded,
    TableMail,
    TrialAddresses,
)
from domain.server_test import Finding, StepId, StepOutcome, Verdict
from handlers.server_parts import ServerParts
from localstack.clock import ManualClock

GOOD = tuple(Finding(step, StepOutcome.PASS) for step in (StepId.CONNECT, StepId.TLS, StepId.AUTH, StepId.SEND))
PLAIN_SERVER = DeliveryServer(
    id=7,
    type="smtp",
    name="smtp-7",
    hostname="smtp7.sender.test",
    username="",
    password=None,
    port=587,
    protocol="tls",
    timeout_s=30,
    from_email="news@sender.test",
    from_name="Sender",
    reply_to_email="news@sender.test",
    force_from="never",
    force_reply_to="never",
    bounce_server_id=None,
    tracking_domain_id=None,
    customer_id=1,
    status="active",
    last_updated="2025-11-20 08:00:00",
)


def server(server_id: int = 7, **changes: object) -> DeliveryServer:
    plain = replace(PLAIN_SERVER, id=server_id, name=f"smtp-{server_id}", hostname=f"smtp{server_id}.sender.test")
    return replace(plain, **changes)  # type: ignore[arg-type]  # fields by name


def raw_mail(mail: ProbeMail, **headers: str) -> bytes:
    """The mail as it would arrive."""
    sender = f"{mail.from_name} <{mail.from_email}>"
    whole = {"From": sender, "Reply-To": mail.reply_to, "Subject": mail.subject, **headers}
    return "".join(f"{name}: {value}\r\n" for name, value in whole.items()).encode() + b"\r\nhello\r\n"


@dataclass(slots=True)
class MemoryMailWizz:
    """Servers and a history of tests. `down` makes every question Unavailable; `clock` is the database's."""

    clock: ManualClock
    servers: dict[int, DeliveryServer] = field(default_factory=dict)
    history: list[tuple[int, str, Verdict, str | None]] = field(default_factory=list)
    recorded: dict[tuple[int, str], Recorded] = field(default_factory=dict)
    groups: list[tuple[int, int]] = field(default_factory=list)
    resets: list[int] = field(default_factory=list)
    down: bool = False
    promotion_fails: bool = False
    on_record: Callable[[Consequence], None] | None = None
    after_record: Callable[[], None] | None = None

    def add(self, *servers: DeliveryServer) -> None:
        self.servers.update({one.id: one for one in servers})

    def change(self, server_id: int, **changes: object) -> None:
        """As its administrator would: `last_updated` moves."""
        moved = {"last_updated": self._now(), **changes}
        self.servers[server_id] = replace(self.servers[server_id], **moved)  # type: ignore[arg-type]  # fields by name

    def status(self, server_id: int) -> str:
        return self.servers[server_id].status

    def verdicts(self, server_id: int) -> list[str]:
        return [verdict.value for one, _, verdict, _ in self.history if one == server_id]

    def _now(self) -> str:
        return datetime.fromtimestamp(self.clock.now_ms() // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")

    def _ask(self) -> None:
        if self.down:
            raise Unavailable("mailwizz", "it is down")

    async def now(self) -> str:
        self._ask()
        return self._now()

    async def server(self, server_id: int) -> DeliveryServer | None:
        self._ask()
        return self.servers.get(server_id)

    async def candidates(self, max_age_s: int) -> list[Candidate]:
        self._ask()
        found = [Candidate(one, self._last(one.id), self._reason(one, max_age_s)) for one in self.servers.values()]
        return [one for one in found if one.server.is_sending]

    def _last(self, server_id: int) -> LastTest | None:
        own = [LastTest(one, verdict, started) for one, started, verdict, _ in self.history if one == server_id]
        return max(own, key=lambda test: test.started) if own else None

    def _reason(self, one: DeliveryServer, max_age_s: int) -> str:
        last = self._last(one.id)
        if last is None:
            return "never-tested"
        if last.started <= one.last_updated:
            return "updated"
        started = datetime.strptime(last.started, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        if self.clock.now_ms() / 1000 - started.timestamp() > max_age_s:
            return "too-old"
        return "failed" if last.verdict is Verdict.FAILED else ""

    async def last_test(self, server_id: int) -> LastTest | None:
        self._ask()
        return self._last(server_id)

    async def failures_in_a_row(self, server_id: int) -> int:
        self._ask()
        count = 0
        for verdict in reversed(self.verdicts(server_id)):
            if verdict != "FAILED":
                break
            count += 1
        return count

    async def record(self, what: Consequence) -> Recorded:
        self._ask()
        if self.on_record is not None:
            self.on_record(what)
        recorded = self._record(what)
        if self.after_record is not None:
            self.after_record()
        return recorded

    def _record(self, what: Consequence) -> Recorded:
        key = (what.loaded.id, what.started)
        if key in self.recorded:
            return replace(self.recorded[key], is_repeat=True)
        self.history.append((*key, what.verdict, what.error))
        self.recorded[key] = self._carried_out(what)
        return self.recorded[key]

    def _carried_out(self, what: Consequence) -> Recorded:
        if what.verdict is Verdict.SUCCESSFUL:
            return self._promoted(what)
        if not what.deactivate:
            return Recorded(deactivated=False, kept="not-asked", is_repeat=False)
        if self.servers.get(what.loaded.id) != what.loaded:
            return Recorded(deactivated=False, kept="changed", is_repeat=False)
        if what.keep_last_active and sum(one.is_sending for one in self.servers.values()) == 1:
            return Recorded(deactivated=False, kept="last-active", is_repeat=False)
        self.change(what.loaded.id, status="inactive")
        return Recorded(deactivated=True, kept="", is_repeat=False)

    def _promoted(self, what: Consequence) -> Recorded:
        if what.promote_to is None:
            return Recorded(deactivated=False, kept="", is_repeat=False)
        if self.promotion_fails:
            return Recorded(deactivated=False, kept="", is_repeat=False, promotion_error="no such group")
        self.groups.append((what.loaded.id, what.promote_to))
        return Recorded(deactivated=False, kept="", is_repeat=False)

    async def reset_quota(self, server_id: int) -> None:
        self._ask()
        self.resets.append(server_id)


@dataclass(slots=True)
class MemoryMailbox:
    """Mails by token. `down` makes it Unavailable."""

    mails: dict[str, FoundMail] = field(default_factory=dict)
    bounces: dict[str, FoundMail] = field(default_factory=dict)
    down: bool = False

    def put(self, token: str, raw: bytes, *, is_junk: bool = False) -> None:
        self.mails[token] = FoundMail("Junk" if is_junk else "INBOX", is_junk, raw)

    async def find(self, token: str, *, wait_s: float) -> FoundMail | None:
        assert wait_s >= 0
        if self.down:
            raise Unavailable("mailbox", "it is down")
        return self.mails.get(token)

    async def find_bounce(self, token: str, *, wait_s: float) -> FoundMail | None:
        assert wait_s >= 0
        if self.down:
            raise Unavailable("mailbox", "it is down")
        return self.bounces.get(token)


@dataclass(slots=True)
class MemoryProbe:
    """Delivers into `mailbox`, or finds what `found` has for a server: a list for each try, the last one stays."""

    mailbox: MemoryMailbox
    resolved: dict[int, list[Finding]] = field(default_factory=dict)
    found: dict[int, list[Sequence[Finding]]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    delivered: list[int] = field(default_factory=list)
    mails: list[ProbeMail] = field(default_factory=list)
    network: str | None = None
    loses: bool = False
    is_junk: bool = False
    on_deliver: Callable[[DeliveryServer], None] | None = None
    valve: asyncio.Event | None = None

    async def resolve(self, server: DeliveryServer) -> Finding:
        tries = self.resolved.get(server.id, [Finding(StepId.RESOLVE, StepOutcome.PASS)])
        return tries.pop(0) if len(tries) > 1 else tries[0]

    async def deliver(self, server: DeliveryServer, password: str | None, mail: ProbeMail) -> Sequence[Finding]:
        assert password is None or server.username
        self.delivered.append(server.id)
        self.mails.append(mail)
        if self.on_deliver is not None:
            self.on_deliver(server)
        if self.valve is not None:
            await self.valve.wait()
        tries = self.found.get(server.id, [GOOD])
        found = tries.pop(0) if len(tries) > 1 else tries[0]
        if found == GOOD and not self.loses:
            self.mailbox.put(mail.token, raw_mail(mail, **self.headers), is_junk=self.is_junk)
        return found

    async def control(self) -> str | None:
        return self.network


@dataclass(slots=True)
class MemoryCanary:
    """Puts its mail into `mailbox`, unless `problem` says why not, or the mail is lost too."""

    mailbox: MemoryMailbox
    problem: str | None = None
    loses: bool = False
    sent: list[str] = field(default_factory=list)

    async def send(self, token: str) -> str | None:
        self.sent.append(token)
        if self.problem is None and not self.loses:
            self.mailbox.put(token, b"Subject: canary\r\n\r\n")
        return self.problem


@dataclass(slots=True)
class MemoryChecks:
    """Says of T9 to T14 what it was given."""

    findings: Sequence[Finding] = ()

    async def check(self, arrived: Arrived) -> Sequence[Finding]:
        assert arrived.mail.raw
        return self.findings


@dataclass(slots=True)
class MemoryReader:
    """Finds what it is told to, and counts how often it was asked."""

    finding: Finding = field(default_factory=lambda: Finding(StepId.INTERACTIONS, StepOutcome.PASS))
    read: int = 0

    async def interact(self, mail: FoundMail) -> Finding:
        assert mail.raw
        self.read += 1
        return self.finding


@dataclass(slots=True)
class MemoryCampaigns:
    """MailWizz's own way of sending: it goes through `sent_by`, or the server that was chosen."""

    created: dict[str, int] = field(default_factory=dict)
    servers: dict[int, DeliveryServer] = field(default_factory=dict)
    prepared: int = 0
    most_at_once: int = 0
    status: str = "success"
    message: str = ""
    sent_by: int | None = None
    seen: Interactions = field(default_factory=lambda: Interactions(1, 1, 1, 1))
    later: tuple[int, Interactions] | None = None  # of the campaigns after this one
    is_sent: bool = True
    is_stored: bool = True

    async def prepare(self, addresses: TrialAddresses) -> None:
        assert addresses.list_id
        self.prepared += 1

    async def create(self, server: DeliveryServer, addresses: TrialAddresses, subject: str, token: str) -> int:
        assert token in subject
        assert addresses.recipient
        campaign_id = self.created.setdefault(token, len(self.created) + 1)
        self.servers[campaign_id] = server
        return campaign_id

    async def progress(self, campaign_id: int, addresses: TrialAddresses) -> CampaignProgress:
        assert addresses.recipient
        if not self.is_sent:
            return CampaignProgress("pending-sending", None)
        return CampaignProgress(
            "sent", Delivery(self.sent_by or self.servers[campaign_id].id, self.status, self.message)
        )

    async def mail(self, token: str, since: str) -> TableMail | None:
        assert since
        if not self.is_stored:
            return None
        sender = self.servers[self.created[token]]
        return TableMail((("From", f"{sender.from_domain} <{sender.from_email}>"), ("Reply-To", sender.from_email)))

    async def interactions(self, campaign_id: int) -> Interactions:
        assert campaign_id in self.servers
        return self.later[1] if self.later is not None and campaign_id > self.later[0] else self.seen


@dataclass(slots=True)
class MemoryServers:
    """All of them together, as `Outside.open_servers` wants them."""

    clock: ManualClock
    mailwizz: MemoryMailWizz
    mailbox: MemoryMailbox
    probe: MemoryProbe
    canary: MemoryCanary
    campaigns: MemoryCampaigns
    checks: MemoryChecks
    reader: MemoryReader | None = None
    left_out: tuple[str, ...] = ()

    @classmethod
    def on(cls, clock: ManualClock) -> "MemoryServers":
        mailbox = MemoryMailbox()
        return cls(
            clock,
            MemoryMailWizz(clock),
            mailbox,
            MemoryProbe(mailbox),
            MemoryCanary(mailbox),
            MemoryCampaigns(),
            MemoryChecks(),
        )

    @asynccontextmanager
    async def open(self, settings: Settings) -> AsyncIterator[ServerParts]:
        own = settings.server_tests
        parts = ServerParts(
            mailwizz=self.mailwizz,
            probe=self.probe,
            mailbox=self.mailbox,
            canary=self.canary,
            checks=self.checks,
            campaigns=self.campaigns,
            reader=self.reader,
            addresses=probe_addresses(settings.mail),
            campaign_way=campaign_way(own),
            password_of=lambda server: server.password,
            rules=run_rules(own),
            consequences=consequences(own),
            outages=outage_rules(own),
        )
        yield replace(parts, **dict.fromkeys(self.left_out))  # type: ignore[arg-type]  # fields by name
