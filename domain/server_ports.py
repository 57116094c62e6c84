"""What tests of delivery servers need from the world, as Protocols: MailWizz, an SMTP probe, a mailbox, checks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.delivery_server import DeliveryServer
from domain.server_test import Finding, Verdict


@dataclass(frozen=True, slots=True)
class LastTest:
    """The newest line of MailWizz's history of tests for one server; times as the database spells them."""

    server_id: int
    verdict: Verdict
    started: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A server that MailWizz sends through, and why a test is due: `reason` is empty where none is.

    Reasons, first that holds: `never-tested`, `updated` (test start <= last_updated), `too-old`, `failed` (and
    was left on). Whether the configuration changed is for the caller to see, who has the fingerprints.
    """

    server: DeliveryServer
    last: LastTest | None
    reason: str


@dataclass(frozen=True, slots=True)
class Consequence:
    """What a verdict shall do. `started`: the database's clock when the test began, which is what the history shows.

    `loaded`: the server as it was tested; it is switched off only while it is still that. `promote_to`: the customer
    group that a good server is added to.
    """

    loaded: DeliveryServer
    started: str
    verdict: Verdict
    error: str | None
    deactivate: bool
    keep_last_active: bool
    promote_to: int | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was done. `kept`: why a failed server was not switched off: `changed`, `last-active`, `not-asked`, or ''."""

    deactivated: bool
    kept: str
    is_repeat: bool
    promotion_error: str | None = None


class MailWizz(Protocol):
    """MailWizz's database. Every method raises Unavailable where it can't be asked."""

    async def now(self) -> str:
        """The database's clock, `YYYY-MM-DD HH:MM:SS`, in the zone that MailWizz writes its times in."""
        ...

    async def server(self, server_id: int) -> DeliveryServer | None:
        """One server, whatever its status."""
        ...

    async def candidates(self, max_age_s: int) -> list[Candidate]:
        """Every server that MailWizz sends through, each once, longest untested first; all times compared there."""
        ...

    async def last_test(self, server_id: int) -> LastTest | None:
        """The newest line of the history."""
        ...

    async def failures_in_a_row(self, server_id: int) -> int:
        """How many of the newest lines say FAILED."""
        ...

    async def record(self, what: Consequence) -> Recorded:
        """The history's line and the change of status, one transaction; the same (server, start) again changes nothing.

        A promotion that fails is told and changes nothing else.
        """
        ...

    async def reset_quota(self, server_id: int) -> None:
        """Set the server's quotas to 0, which means none; columns that this version lacks are left out."""
        ...


@dataclass(frozen=True, slots=True)
class ProbeMail:
    """A mail that a test sends. `token` stands in its subject and its Message-ID, and finds it again."""

    token: str
    subject: str
    to: str
    from_email: str
    from_name: str
    reply_to: str
    envelope_from: str


class SmtpProbe(Protocol):
    """The direct way to a delivery server, one attempt at a time. Never raises for what a server does."""

    async def resolve(self, server: DeliveryServer) -> Finding:
        """T2."""
        ...

    async def deliver(self, server: DeliveryServer, password: str | None, mail: ProbeMail) -> Sequence[Finding]:
        """T3 to T6 over one connection, as far as it came; what was not reached is left out."""
        ...

    async def control(self) -> str | None:
        """Whether a host that is known to be good can be resolved and connected to: None, or what is wrong."""
        ...


@dataclass(frozen=True, slots=True)
class FoundMail:
    """A mail in the mailbox. `raw`: its bytes as they came."""

    folder: str
    is_junk: bool
    raw: bytes


class Mailbox(Protocol):
    """Where probes arrive. Raises Unavailable where it can't be read."""

    async def find(self, token: str, *, wait_s: float) -> FoundMail | None:
        """The mail with this token in its subject; waits for it up to `wait_s`."""
        ...

    async def find_bounce(self, token: str, *, wait_s: float) -> FoundMail | None:
        """The delivery status notification that returns a mail with this token."""
        ...


class Canary(Protocol):
    """A mail through a server that is known to be good, which tells a lost mail from a broken mailbox."""

    async def send(self, token: str) -> str | None:
        """Send it to the mailbox of the probes: None, or why that failed."""
        ...


@dataclass(frozen=True, slots=True)
class Arrived:
    """What the advisory checks judge: a mail, the server that sent it, and by which way."""

    mail: FoundMail
    server: DeliveryServer
    envelope_from: str
    by_campaign: bool


class MailChecks(Protocol):
    """T9 to T14. Never raises: a resolver that fails is an ERROR of its step."""

    async def check(self, arrived: Arrived) -> Sequence[Finding]:
        """One finding for each step, in order."""
        ...


@dataclass(frozen=True, slots=True)
class TrialAddresses:
    """The subscribers that a test campaign goes to, on the list `list_id`: one that arrives, one that bounces."""

    list_id: int
    recipient: str
    bounce: str


@dataclass(frozen=True, slots=True)
class CampaignProgress:
    """How far MailWizz is. `delivery` is None while its log has no line for the recipient of the test."""

    status: str
    delivery: "Delivery | None"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A line of MailWizz's delivery log."""

    server_id: int | None
    status: str
    message: str


@dataclass(frozen=True, slots=True)
class Interactions:
    """How many rows the tracking tables have of a campaign."""

    opens: int
    clicks: int
    unsubscribes: int
    bounces: int


@dataclass(frozen=True, slots=True)
class TableMail:
    """A mail in the table that an external reader of the mailbox fills: its headers alone."""

    headers: tuple[tuple[str, str], ...]


class TrialCampaigns(Protocol):
    """The way through MailWizz itself. Every method raises Unavailable where it can't be asked."""

    async def prepare(self, addresses: TrialAddresses) -> None:
        """Confirm both subscribers again, and take the bounce address off the blacklist. Repeatable."""
        ...

    async def create(self, server: DeliveryServer, addresses: TrialAddresses, subject: str, token: str) -> int:
        """The id of the campaign with this token in its subject; made where there is none yet."""
        ...

    async def progress(self, campaign_id: int, addresses: TrialAddresses) -> CampaignProgress:
        """Status, and the delivery log's line for the recipient."""
        ...

    async def mail(self, token: str, since: str) -> TableMail | None:
        """The mail with this token, stored at `since` (the database's clock) or later."""
        ...

    async def interactions(self, campaign_id: int) -> Interactions:
        """Opens, clicks, unsubscribes and bounces that MailWizz has counted."""
        ...


class Reader(Protocol):
    """What a person would do with a mail: open it, click, unsubscribe. T15; never raises for what a server does."""

    async def interact(self, mail: FoundMail) -> Finding:
        """Open, then click, then unsubscribe at once, on the tracking host alone and without cookies."""
        ...
