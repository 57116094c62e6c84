"""The settings of tests of delivery servers: MailWizz's database, how servers are tested, the mails of tests."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from daemon.settings_values import (
    AnyCase,
    Count,
    CountOrUnset,
    DatabaseUrl,
    ExistingFile,
    Seconds,
    Section,
    disagree,
)
from domain.server_ports import TrialAddresses
from domain.server_rules import CampaignWay, Consequences, OutageRules, ProbeAddresses, RunRules, Switch
from domain.server_test import ADVISORY, StepId

_NAME = r"^[A-Za-z0-9_]{1,64}(\.[A-Za-z0-9_]{1,64})?$"
_ADDRESS = r"^[^@\s<>\",;:]+@[A-Za-z0-9][A-Za-z0-9.-]*$"
_HOST = r"^[A-Za-z0-9][A-Za-z0-9.:_-]*$"
_WEEK_S = 7 * 86_400
_DAY_S = 86_400
Tls = Literal["tls", "starttls", "none"]


def read_steps(text: str) -> frozenset[StepId]:
    """`T9, T11`; empty means none. Raises ValueError."""
    names = read_list(text)
    known = {step.value: step for step in ADVISORY}
    if not set(names) <= set(known):
        raise ValueError(f"expected steps with commas between them, out of {', '.join(known)}")
    return frozenset(known[name] for name in names)


def read_list(text: str | None) -> tuple[str, ...]:
    """What stands between commas; empty or unset means nothing."""
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else ()


def _steps(value: str) -> str:
    read_steps(value)
    return value


Steps = Annotated[str, AfterValidator(_steps)]
TableName = Annotated[str, Field(pattern=_NAME)]
MailAddress = Annotated[str, Field(pattern=_ADDRESS)]
HostName = Annotated[str, Field(pattern=_HOST)]


class MailWizzSettings(Section):
    """MailWizz's database. Its tables are MailWizz's own: robotd makes and changes none of them."""

    database_url: DatabaseUrl | None = Field(
        None,
        description="`mysql://USER@HOST:3306/NAME` of MailWizz, without a password; unset: no tests of servers.",
    )
    database_password: SecretStr | None = Field(None, description="Password of that user.")
    password_key: SecretStr | None = Field(
        None,
        description="Key with which MailWizz encrypts the passwords of servers. Without it a server with an encrypted "
        "password is tested by campaign, or not at all.",
    )
    table_schema: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_]{0,64}$",
        description="Schema of MailWizz's tables; empty means the database of `mailwizz.database_url`.",
    )
    table_prefix: str = Field(
        "mw_", pattern=r"^[A-Za-z0-9_]{0,32}$", description="What the names of MailWizz's tables begin with."
    )
    history_table: TableName = Field(
        "mw_delivery_servers_tests", description="Table of the history of tests, with its schema where that is another."
    )
    mails_table: TableName = Field(
        "marketing_automation.mailbox_emails_links_clicker_emails",
        description="Table that an external reader of the mailbox fills.",
    )
    procedure: TableName = Field(
        "marketing_automation.campaign_create_new", description="Stored procedure that creates a campaign."
    )
    time_zone: str = Field(
        "+00:00",
        pattern=r"^[+-][01]\d:[0-5]\d$",
        description="Time zone in which MailWizz writes its times, an offset: with a wrong one changes go unnoticed.",
    )
    pool_size: Count = Field(4, ge=1, le=50, description="Connections at most.")
    connect_timeout_s: Seconds = Field(3, gt=0, le=60, description="How long a connection may take.")
    statement_timeout_s: Seconds = Field(20, ge=1, le=300, description="How long one statement may take.")


class ServerTestSettings(Section):
    """When delivery servers are tested, how patiently, and what follows from it."""

    every_s: Seconds = Field(
        3600, ge=0, le=_WEEK_S, description="How often a cycle over all servers begins; 0: only by command."
    )
    max_in_flight: Count = Field(4, ge=1, le=200, description="Steps of tests at one time in one process.")
    max_age_s: Count = Field(_DAY_S, ge=60, le=366 * _DAY_S, description="A test that is older is made again.")
    deactivate: Annotated[Literal["on", "off", "dry"], AnyCase] = Field(
        "on",
        description="Whether a server that fails is set `inactive`, in quotes; `dry` only says what would be.",
    )
    failures_before_deactivate: Count = Field(
        1, ge=1, le=100, description="So many tests in a row must fail before a server is switched off."
    )
    keep_last_active: bool = Field(
        False, description="Leave the last server on that a group of customers can send through."
    )
    promote_to_group: CountOrUnset = Field(
        None, ge=1, description="Group of customers that a good server is added to; unset means none."
    )
    reset_quota: bool = Field(False, description="Take all quotas off a server before its test, for good.")
    breaker_servers: Count = Field(
        3, ge=2, le=10_000, description="So many servers that fail at one step may be an outage: none is switched off."
    )
    breaker_share: Seconds = Field(0.5, gt=0, le=1, description="If they are such a share of those judged.")
    breaker_in_row: Count = Field(
        5, ge=0, le=10_000, description="So many one after the other are one, whatever their share; 0: they are not."
    )
    breaker_window_s: Seconds = Field(
        3600, ge=60, le=_DAY_S, description="How far back a test is compared that was asked for alone."
    )
    patience_s: Seconds = Field(
        600, ge=0, le=_DAY_S, description="How long a step is tried again that fails by no fault of its server."
    )
    arrival_limit_s: Seconds = Field(1200, ge=5, le=_DAY_S, description="How long a mail may take to arrive.")
    log_limit_s: Seconds = Field(600, ge=5, le=_DAY_S, description="How long MailWizz may take to send.")
    interactions_limit_s: Seconds = Field(
        240, ge=5, le=_DAY_S, description="How long MailWizz may take to count what a reader did."
    )
    bounce_limit_s: Seconds = Field(1200, ge=5, le=_DAY_S, description="How long a bounce may take.")
    advisory: bool = Field(False, description="Make the checks T9 to T14 in each test, not only where asked for.")
    advisory_fails: Steps = Field(
        "", description="Which of T9 to T14 fail a server, with commas between them; empty means none."
    )
    needs_sender: bool = Field(False, description="A mail without a Sender header fails its server.")
    bounces: bool = Field(False, description="Direct tests ask for a bounce too (`mail.refusing_address`).")
    campaign_list_id: CountOrUnset = Field(
        None, ge=1, description="Id of the list that test campaigns go to; unset: none are sent."
    )
    campaign_recipient: MailAddress | None = Field(None, description="Subscriber of it whose mail arrives.")
    campaign_bounce_recipient: MailAddress | None = Field(None, description="Subscriber of it whose mail bounces.")
    campaign_template_id: CountOrUnset = Field(None, ge=1, description="Id of the template of test campaigns.")
    campaign_customer_id: Count = Field(1, ge=1, description="Id of the customer that they belong to.")
    campaign_arrival: Annotated[Literal["table", "mailbox"], AnyCase] = Field(
        "table", description="Where their arrival is looked for: `mailwizz.mails_table`, or `mail.imap_host`."
    )

    @model_validator(mode="after")
    def _campaigns_are_whole(self) -> Self:
        if self.campaign_list_id is None:
            return self
        for name in ("campaign_recipient", "campaign_bounce_recipient", "campaign_template_id"):
            if getattr(self, name) is None:
                raise disagree(
                    "a test campaign needs both subscribers and a template",
                    f"server_tests.{name}",
                    "server_tests.campaign_list_id",
                )
        return self


class MailSettings(Section):
    """The mails of direct tests: where they go, where they are looked for, what they are compared with."""

    probe_address: MailAddress | None = Field(
        None, description="Where direct tests send to: the mailbox of `mail.imap_host`. Unset: no direct tests."
    )
    probe_is_tagged: bool = Field(True, description="Put a plus sign and the test's token into that address.")
    envelope_from: MailAddress | None = Field(
        None, description="Whom bounces come back to; unset: `mail.probe_address`."
    )
    refusing_address: MailAddress | None = Field(None, description="An address that takes no mail, for bounces.")
    allowed_recipients: str = Field(
        "",
        description="Addresses and domains (`@example.test`), with commas between them, that tests may send to; "
        "empty: the addresses above and no others.",
    )
    imap_host: HostName | None = Field(None, description="Host of the mailbox; unset: no mailbox.")
    imap_port: Count = Field(993, ge=1, le=65_535, description="Its port.")
    imap_tls: Annotated[Tls, AnyCase] = Field(
        "tls", description="How its connection is encrypted: `tls` from the first byte."
    )
    imap_user: str | None = Field(None, max_length=256, description="User of the mailbox.")
    imap_password: SecretStr | None = Field(None, description="Password of that user.")
    imap_verifies: bool = Field(True, description="Trust only certificates that an authority has signed.")
    imap_authority: ExistingFile | None = Field(
        None, description="File of an authority that is trusted beside the system's."
    )
    imap_keep_days: Count = Field(
        7, ge=0, le=366, description="Mails of tests in the mailbox are deleted when they are older; 0: never."
    )
    imap_folder: str = Field("INBOX", max_length=256, description="Folder in which mails arrive.")
    junk_folder: str | None = Field("Junk", max_length=256, description="Folder of junk; unset means none.")
    canary_host: HostName | None = Field(
        None,
        description="A mail server that is known to be good. What it sends tells a lost mail from a broken mailbox; "
        "unset: a mail that does not arrive fails no server.",
    )
    canary_port: Count = Field(587, ge=1, le=65_535, description="Its port.")
    canary_tls: Annotated[Tls, AnyCase] = Field("starttls", description="How its connection is encrypted.")
    canary_user: str | None = Field(None, max_length=256, description="User there; unset: nobody signs in.")
    canary_password: SecretStr | None = Field(None, description="Password of that user.")
    canary_from: MailAddress | None = Field(None, description="Sender of canaries; unset: `mail.probe_address`.")
    control_host: HostName | None = Field(
        None,
        description="A mail host that is always there, unset: that of the mailbox. While it can't be reached either, "
        "no server has failed.",
    )
    control_port: Count = Field(25, ge=1, le=65_535, description="Its port.")
    bad_certificate: Annotated[Literal["warn", "fail"], AnyCase] = Field(
        "warn", description="What a certificate does that nobody should trust. MailWizz itself looks at none."
    )
    nameservers: str = Field(
        "", description="Addresses of name servers to ask, with commas between them; empty: the system's."
    )
    nameserver_port: Count = Field(53, ge=1, le=65_535, description="Their port.")
    helo_name: str = Field(
        "", max_length=255, description="By what name robotd greets servers; empty: that of the machine."
    )
    tracking_hosts: str = Field(
        "",
        description="Hosts on which MailWizz tracks, with commas between them, if robotd shall open, click and "
        "unsubscribe in test campaigns; empty: an external reader does.",
    )
    own_mx: str = Field(
        "", description="Names of your own mail servers that strangers connect to, with commas between them."
    )
    authserv_id: str | None = Field(
        None, max_length=255, description="By what name they sign Authentication-Results; others are not believed."
    )
    blocklists: str = Field("", description="Zones of blocklists, with commas between them; a listing is a warning.")
    hard_blocklists: str = Field("", description="Zones a listing in which is a failure.")

    @model_validator(mode="after")
    def _goes_where_it_may(self) -> Self:
        allowed = [part.lower() for part in read_list(self.allowed_recipients)]
        for name in ("probe_address", "refusing_address"):
            address = getattr(self, name)
            if address is None or not allowed:
                continue
            if address.lower() not in allowed and f"@{address.rpartition('@')[2].lower()}" not in allowed:
                raise disagree("tests may not send there", f"mail.{name}", "mail.allowed_recipients")
        if not all(re.fullmatch(r"[^@\s]*@[A-Za-z0-9.-]+", part) for part in allowed):
            raise disagree("expected addresses and domains such as @example.test", "mail.allowed_recipients")
        return self


def run_rules(settings: ServerTestSettings) -> RunRules:
    """How patient a test is, and what it must pass."""
    return RunRules(
        patience_ms=_ms(settings.patience_s),
        log_ms=_ms(settings.log_limit_s),
        arrival_ms=_ms(settings.arrival_limit_s),
        interactions_ms=_ms(settings.interactions_limit_s),
        bounce_ms=_ms(settings.bounce_limit_s),
        advised=settings.advisory,
        advisory_fails=read_steps(settings.advisory_fails),
        bounces=settings.bounces,
        needs_sender=settings.needs_sender,
    )


def consequences(settings: ServerTestSettings) -> Consequences:
    """What a verdict does."""
    return Consequences(
        deactivate=Switch(settings.deactivate),
        failures_before=settings.failures_before_deactivate,
        keep_last_active=settings.keep_last_active,
        promote_to=settings.promote_to_group,
        reset_quota=settings.reset_quota,
    )


def outage_rules(settings: ServerTestSettings) -> OutageRules:
    """When servers that fail together are not at fault."""
    return OutageRules(
        settings.breaker_servers, settings.breaker_share, settings.breaker_in_row, _ms(settings.breaker_window_s)
    )


def probe_addresses(settings: MailSettings) -> ProbeAddresses | None:
    """Where direct tests send to."""
    if settings.probe_address is None:
        return None
    return ProbeAddresses(
        settings.probe_address,
        settings.envelope_from or settings.probe_address,
        settings.probe_is_tagged,
        settings.refusing_address,
    )


def campaign_way(settings: ServerTestSettings) -> CampaignWay | None:
    """Whom test campaigns go to."""
    recipient, bounce = settings.campaign_recipient, settings.campaign_bounce_recipient
    if settings.campaign_list_id is None or recipient is None or bounce is None:
        return None
    addresses = TrialAddresses(settings.campaign_list_id, recipient, bounce)
    return CampaignWay(addresses, by_table=settings.campaign_arrival == "table")


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
