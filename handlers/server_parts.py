"""Whom tests of delivery servers ask, and by which way a server can be tested with what is configured."""

from collections.abc import Callable
from dataclasses import dataclass, field

from domain.delivery_server import DeliveryServer
from domain.errors import RuleViolation
from domain.server_ports import Canary, Mailbox, MailChecks, MailWizz, Reader, SmtpProbe, TrialCampaigns
from domain.server_rules import CampaignWay, Consequences, OutageRules, ProbeAddresses, RunRules
from domain.server_run import Way


def _no_password(_server: DeliveryServer) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class ServerParts:
    """Whom tests of servers ask, each None where it is not configured.

    `password_of` gives a server's password as SMTP wants it, None where it can't be read.
    """

    mailwizz: MailWizz | None = None
    probe: SmtpProbe | None = None
    mailbox: Mailbox | None = None
    canary: Canary | None = None
    checks: MailChecks | None = None
    campaigns: TrialCampaigns | None = None
    reader: Reader | None = None
    addresses: ProbeAddresses | None = None
    campaign_way: CampaignWay | None = None
    password_of: Callable[[DeliveryServer], str | None] = _no_password
    rules: RunRules = field(default_factory=RunRules)
    consequences: Consequences = field(default_factory=Consequences)
    outages: OutageRules = field(default_factory=OutageRules)

    @property
    def at_mailwizz(self) -> MailWizz:
        """MailWizz. Raises RuleViolation where there is none."""
        if self.mailwizz is None:
            raise RuleViolation(
                "there are no tests of servers here: mailwizz.database_url is not set", kind="servers-off"
            )
        return self.mailwizz

    def way_of(self, server: DeliveryServer, wanted: Way, *, dry_run: bool) -> tuple[Way | None, str]:
        """By which way a server can be tested, or None and what is missing."""
        no_direct, no_campaign = self._no_direct(server), self._no_campaign(server, dry_run=dry_run)
        if wanted is not Way.CAMPAIGN and no_direct is None:
            return Way.DIRECT, ""
        if wanted is not Way.DIRECT and no_campaign is None:
            return Way.CAMPAIGN, ""
        reasons = {Way.DIRECT: (no_direct,), Way.CAMPAIGN: (no_campaign,), Way.AUTO: (no_direct, no_campaign)}
        return None, "; ".join(reason for reason in reasons[wanted] if reason is not None)

    def _no_direct(self, server: DeliveryServer) -> str | None:
        if not server.speaks_smtp:
            return f"direct: type {server.type} speaks no SMTP"
        if self.probe is None:
            return "direct: the extra `mail` is not installed"
        if self.mailbox is None or self.addresses is None:
            return "direct: mail.imap_host and mail.probe_address are not set"
        if server.username and server.password and self.password_of(server) is None:
            return "direct: its password can't be read, see mailwizz.password_key"
        return None

    def _no_campaign(self, server: DeliveryServer, *, dry_run: bool) -> str | None:
        if self.campaigns is None or self.campaign_way is None:
            return "campaign: server_tests.campaign_list_id is not set"
        if not self.campaign_way.by_table and self.mailbox is None:
            return "campaign: mail.imap_host is not set"
        if not server.is_sending:
            return f"campaign: MailWizz does not send through a server that is {server.status}"
        return "campaign: a dry run writes nothing to MailWizz" if dry_run else None
