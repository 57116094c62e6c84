"""Trial campaigns behind the domain's `TrialCampaigns` port: the way through MailWizz itself, by its database alone.

A stored procedure of the operator's makes the campaign, MailWizz's own cron sends it, and what came of it is read from
MailWizz's tables and from the table that an external reader of the mailbox fills.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from daemon.clients.mailwizz_database import DEPENDENCY, MailWizzDatabase, MailWizzNames, Value, Write, checked
from domain.delivery_server import DeliveryServer
from domain.errors import Conflict, Unavailable
from domain.server_ports import CampaignProgress, Delivery, Interactions, TableMail, TrialAddresses


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialOptions:
    """How trial campaigns are made and found. `procedure` and `mailbox` may name a schema; ConfigError for no name.

    `mailbox_slack_s`: how much earlier than asked for a mail of ours may be dated, since its date may be of another
    clock and zone. It bounds the search and tells nothing: the token does.
    """

    template_id: int
    customer_id: int = 1
    procedure: str = "campaign_create_new"
    mailbox: str = "mailbox_emails_links_clicker_emails"
    preheader: str = "Test"
    mailbox_slack_s: int = 86400

    def __post_init__(self) -> None:
        """Refuse what could be more than a name."""
        checked("procedure", self.procedure)
        checked("mailbox", self.mailbox)


class SqlTrialCampaigns:
    """See the port."""

    def __init__(self, database: MailWizzDatabase, names: MailWizzNames, options: TrialOptions) -> None:
        self._database = database
        self._table = names.table
        self._options = options

    async def prepare(self, addresses: TrialAddresses) -> None:
        """Confirm both subscribers, free the bounce address. Unavailable where one of them is not on the list."""
        emails = (addresses.recipient, addresses.bounce)
        unlisted = Write(f"DELETE FROM {self._table('email_blacklist')} WHERE email = ?", (addresses.bounce,))  # noqa: S608  checked names, no input
        confirmed = [
            Write(
                f"UPDATE {self._table('list_subscriber')} SET status = 'confirmed' WHERE email = ? AND list_id = ?",  # noqa: S608  as above
                (email, addresses.list_id),
                1,
            )
            for email in emails
        ]
        try:
            await self._database.apply([unlisted, *confirmed])
        except Conflict as error:
            raise Unavailable(
                DEPENDENCY, f"list {addresses.list_id} lacks one of the subscribers {' and '.join(emails)}"
            ) from error

    async def create(self, server: DeliveryServer, addresses: TrialAddresses, subject: str, token: str) -> int:
        """The campaign with this token. Unavailable where the procedure fails or makes none with it."""
        if (found := await self._campaign(addresses, token)) is not None:
            return found
        domain = server.from_domain
        values: tuple[Value, ...] = (
            addresses.list_id,
            self._options.customer_id,
            f"Test Campaign - Tester - {domain} - {await self._now()}",
            self._options.template_id,
            None,  # send_at: at once
            domain,
            server.from_email,
            server.id,
            subject,
            self._options.preheader,
            None,  # status: the procedure's own
        )
        try:
            await self._database.call(self._options.procedure, values)
        except Conflict as error:
            raise Unavailable(DEPENDENCY, f"{self._options.procedure}: {error}") from error
        made = await self._campaign(addresses, token)
        if made is None:
            raise Unavailable(DEPENDENCY, f"{self._options.procedure} made no campaign with {token} in its subject")
        return made

    async def _campaign(self, addresses: TrialAddresses, token: str) -> int | None:
        ((found,),) = await self._database.fetch(
            f"SELECT MIN(campaign_id) FROM {self._table('campaign')}"  # noqa: S608  as above
            " WHERE customer_id = ? AND list_id = ? AND INSTR(subject, ?) > 0",
            (self._options.customer_id, addresses.list_id, token),
        )
        return None if found is None else int(found)

    async def _now(self) -> str:
        ((now,),) = await self._database.fetch(f"SELECT {self._database.now}")
        return str(now)

    async def progress(self, campaign_id: int, addresses: TrialAddresses) -> CampaignProgress:
        """Status, empty where the campaign is gone, and the newest line of the log for the recipient."""
        statuses = await self._database.fetch(
            f"SELECT status FROM {self._table('campaign')} WHERE campaign_id = ?",  # noqa: S608  as above
            (campaign_id,),
        )
        lines = await self._database.fetch(
            f"SELECT l.server_id, l.status, l.message FROM {self._table('campaign_delivery_log')} l"  # noqa: S608  as above
            f" JOIN {self._table('list_subscriber')} s ON s.subscriber_id = l.subscriber_id"
            " WHERE l.campaign_id = ? AND s.email = ? ORDER BY l.log_id DESC LIMIT 1",
            (campaign_id, addresses.recipient),
        )
        delivery = None
        if lines:
            server_id, status, message = lines[0]
            delivery = Delivery(None if server_id is None else int(server_id), str(status), str(message or ""))
        return CampaignProgress(str(statuses[0][0]) if statuses else "", delivery)

    async def mail(self, token: str, since: str) -> TableMail | None:
        """The mail with this token. The date is what bounds the search: a table of years has no index on subjects."""
        earliest = self._database.before("?")
        rows = await self._database.fetch(
            f"SELECT email_headers FROM {self._options.mailbox}"  # noqa: S608  as above
            f" WHERE email_date >= {earliest} AND INSTR(email_subject, ?) > 0 ORDER BY email_date LIMIT 1",
            (since, self._options.mailbox_slack_s, token),
        )
        return TableMail(_headers(str(rows[0][0]), self._options.mailbox)) if rows else None

    async def interactions(self, campaign_id: int) -> Interactions:
        """Opens, clicks, unsubscribes and bounces that MailWizz has counted."""
        counts = [
            f"SELECT COUNT(*) FROM {self._table(table)} WHERE campaign_id = ?"  # noqa: S608  as above
            for table in ("campaign_track_open", "campaign_track_unsubscribe", "campaign_bounce_log")
        ]
        clicks = (
            f"SELECT COUNT(*) FROM {self._table('campaign_track_url')} c"  # noqa: S608  as above
            f" JOIN {self._table('campaign_url')} u ON u.url_id = c.url_id WHERE u.campaign_id = ?"
        )
        selected = ", ".join(f"({sql})" for sql in (*counts, clicks))
        ((opened, unsubscribed, bounced, clicked),) = await self._database.fetch(
            f"SELECT {selected}", (campaign_id,) * 4
        )
        return Interactions(int(opened or 0), int(clicked or 0), int(unsubscribed or 0), int(bounced or 0))


def _headers(text: str, table: str) -> tuple[tuple[str, str], ...]:
    """An object of names to a text, a list of texts, or an object with a `text`; or a list of pairs."""
    try:
        read = json.loads(text)
        pairs = read.items() if isinstance(read, dict) else [(name, value) for name, value in read]
        return tuple((str(name), line) for name, value in pairs for line in _lines(value))
    except (TypeError, ValueError) as error:
        raise Unavailable(DEPENDENCY, f"{table} has headers that can't be read: {error}") from error


def _lines(value: object) -> Iterator[str]:
    match value:
        case list():
            for part in value:
                yield from _lines(part)
        case {"text": str() as text}:
            yield text
        case str():
            yield value
        case _:
            yield json.dumps(value)
