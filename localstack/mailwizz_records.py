"""What the MailWizz simulator keeps, and the rules by which its rows change: sends, tracking, bounces, the mailbox."""

import email
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from email.policy import default as modern

from daemon.clients.mailwizz import SqlMailWizz
from daemon.clients.mailwizz_database import AnyDatabase, MailWizzDatabase, MailWizzNames, Row, Value, Write
from daemon.clients.mailwizz_servers import SENDS
from domain.delivery_server import DeliveryServer
from domain.errors import Conflict
from localstack.mailwizz_tables import MAILBOX

REACHED = "IN ('confirmed', 'moved')"
"""The subscribers whose opens, clicks, unsubscribes and bounces count."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign that waits to be sent."""

    id: int
    uid: str
    customer_id: int
    list_id: int
    list_uid: str
    from_name: str
    from_email: str
    reply_to: str
    subject: str


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Somebody on its list."""

    id: int
    uid: str
    email: str
    is_blacklisted: bool


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of the delivery log."""

    campaign_id: int
    subscriber_id: int
    server_id: int
    status: str
    message: str
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Bounce:
    """What a reader of the bounce box has found: a mail with this token in its subject came back from a recipient."""

    token: str
    recipient: str
    message: str = "550 5.1.1 no such mailbox"


class MailWizzRecords:
    """The simulator's tables. Every method is one statement or one transaction."""

    def __init__(self, database: AnyDatabase, names: MailWizzNames) -> None:
        self._database = MailWizzDatabase(database)
        self._servers = SqlMailWizz(self._database, names)
        self._table = names.table

    async def insert(self, table: str, **columns: Value) -> None:
        """Add a row by hand: `insert("list", list_id=1, list_uid="l1")`."""
        marks = ", ".join("?" * len(columns))
        sql = f"INSERT INTO {self._table(table)} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608  names of columns
        await self._database.apply([Write(sql, tuple(columns.values()))])

    async def add_server(self, **columns: Value) -> None:
        """A delivery server that was updated just now; `columns` may say otherwise."""
        ((now,),) = await self._database.fetch(f"SELECT {self._database.now}")
        await self.insert("delivery_server", **{"type": "smtp", "status": "active", "last_updated": now, **columns})

    async def pending(self) -> list[Campaign]:
        """Campaigns that are due, oldest first."""
        rows = await self._database.fetch(
            "SELECT c.campaign_id, c.campaign_uid, c.customer_id, c.list_id, l.list_uid, c.from_name, c.from_email,"  # noqa: S608  checked names, no input
            f" c.reply_to, c.subject FROM {self._table('campaign')} c JOIN {self._table('list')} l"
            " ON l.list_id = c.list_id WHERE c.status = 'pending-sending'"
            f" AND (c.send_at IS NULL OR c.send_at <= {self._database.now}) ORDER BY c.campaign_id"
        )
        return [Campaign(*row) for row in rows]  # type: ignore[arg-type]  # rows carry what the columns hold

    async def claim(self, campaign_id: int) -> bool:
        """Take a campaign to send it. False where another cron was first."""
        try:
            await self._set_status(campaign_id, "pending-sending", "sending")
        except Conflict:
            return False
        return True

    async def finish(self, campaign_id: int) -> None:
        """All mails of a campaign are out."""
        await self._set_status(campaign_id, "sending", "sent")

    async def _set_status(self, campaign_id: int, before: str, after: str) -> None:
        await self._database.apply(
            [
                Write(
                    f"UPDATE {self._table('campaign')} SET status = ?, last_updated = {self._database.now}"  # noqa: S608  as above
                    " WHERE campaign_id = ? AND status = ?",
                    (after, campaign_id, before),
                    1,
                )
            ]
        )

    async def server(self, server_id: int) -> DeliveryServer | None:
        """A server by its id, whatever its status."""
        return await self._servers.server(server_id)

    async def chosen_server(self, campaign: Campaign) -> DeliveryServer | None:
        """The one that sends: what the campaign chose, if it sends and its customer may choose; else another.

        Others in this order: the customer's own, those of the customer's group, those of the system.
        """
        for sql, args in self._choices(campaign):
            rows = await self._database.fetch(sql, args)
            if rows:
                return await self.server(int(rows[0][0] or 0))
        return None

    def _choices(self, campaign: Campaign) -> list[tuple[str, tuple[Value, ...]]]:
        servers = f"SELECT s.server_id FROM {self._table('delivery_server')} s"  # noqa: S608  as above
        first = f"s.status {SENDS} ORDER BY s.server_id LIMIT 1"
        group_of = f"SELECT c.group_id FROM {self._table('customer')} c WHERE c.customer_id = ?"  # noqa: S608  as above
        may_not = f"SELECT 1 FROM {self._table('customer_group')} WHERE can_select_servers = 'no'"  # noqa: S608  as above
        chosen = f"JOIN {self._table('campaign_to_delivery_server')} t ON t.server_id = s.server_id"
        grouped = f"JOIN {self._table('delivery_server_to_customer_group')} t ON t.server_id = s.server_id"
        customer = campaign.customer_id
        may = f"NOT EXISTS ({may_not} AND group_id IN ({group_of}))"
        return [
            (f"{servers} {chosen} WHERE t.campaign_id = ? AND {may} AND {first}", (campaign.id, customer)),
            (f"{servers} WHERE s.customer_id = ? AND {first}", (customer,)),
            (f"{servers} {grouped} WHERE t.group_id IN ({group_of}) AND {first}", (customer,)),
            (f"{servers} WHERE s.customer_id IS NULL AND {first}", ()),
        ]

    async def bounce_address(self, server: DeliveryServer) -> str:
        """The envelope's sender: the address of the bounce server, else the server's own."""
        rows = await self._database.fetch(
            f"SELECT email FROM {self._table('bounce_server')} WHERE server_id = ?",  # noqa: S608  as above
            (server.bounce_server_id,),
        )
        return str(rows[0][0]) if rows else server.from_email

    async def subscribers(self, campaign: Campaign) -> list[Subscriber]:
        """Those of its list who are confirmed."""
        rows = await self._database.fetch(
            "SELECT s.subscriber_id, s.subscriber_uid, s.email, b.email_id"  # noqa: S608  as above
            f" FROM {self._table('list_subscriber')} s LEFT JOIN {self._table('email_blacklist')} b"
            " ON b.email = s.email WHERE s.list_id = ? AND s.status = 'confirmed' ORDER BY s.subscriber_id",
            (campaign.list_id,),
        )
        return [Subscriber(int(row[0] or 0), str(row[1]), str(row[2]), row[3] is not None) for row in rows]

    async def log(self, lines: Sequence[LogLine]) -> None:
        """Write the delivery log."""
        sql = (
            f"INSERT INTO {self._table('campaign_delivery_log')}"  # noqa: S608  as above
            " (campaign_id, subscriber_id, server_id, status, message, email_message_id, date_added)"
            f" VALUES (?, ?, ?, ?, ?, ?, {self._database.now})"
        )
        args = [
            (line.campaign_id, line.subscriber_id, line.server_id, line.status, line.message, line.message_id)
            for line in lines
        ]
        await self._database.apply([Write(sql, row) for row in args])

    async def link(self, campaign: Campaign, destination: str) -> str:
        """The hash under which a campaign's link is tracked."""
        key = hashlib.sha256(destination.encode()).hexdigest()[:40]
        known = f"SELECT 1 FROM {self._table('campaign_url')} WHERE campaign_id = ? AND hash = ?"  # noqa: S608  as above
        if not await self._database.fetch(known, (campaign.id, key)):
            await self.insert("campaign_url", campaign_id=campaign.id, hash=key, destination=destination)
        return key

    async def destination(self, campaign_uid: str, key: str) -> tuple[int, str] | None:
        """(url_id, where it leads) of a tracked link."""
        rows = await self._database.fetch(
            f"SELECT u.url_id, u.destination FROM {self._table('campaign_url')} u"  # noqa: S608  as above
            f" JOIN {self._table('campaign')} c ON c.campaign_id = u.campaign_id"
            " WHERE c.campaign_uid = ? AND u.hash = ?",
            (campaign_uid, key),
        )
        return (int(rows[0][0] or 0), str(rows[0][1])) if rows else None

    async def opened(self, campaign_uid: str, subscriber_uid: str, *, once: bool = False) -> None:
        """Count an open; `once`: unless there is one already, as a click does."""
        await self._database.apply([self._track("campaign_track_open", campaign_uid, subscriber_uid, once=once)])

    async def clicked(self, url_id: int, campaign_uid: str, subscriber_uid: str) -> None:
        """Count a click, and an open where there was none."""
        click = Write(
            f"INSERT INTO {self._table('campaign_track_url')} (url_id, subscriber_id, date_added)"  # noqa: S608  as above
            f" SELECT ?, s.subscriber_id, {self._database.now} FROM {self._table('list_subscriber')} s"
            f" WHERE s.subscriber_uid = ? AND s.status {REACHED}",
            (url_id, subscriber_uid),
        )
        opening = self._track("campaign_track_open", campaign_uid, subscriber_uid, once=True)
        await self._database.apply([click, opening])

    async def unsubscribed(self, campaign_uid: str, subscriber_uid: str) -> None:
        """Count it, and take the subscriber off the list."""
        left = Write(
            f"UPDATE {self._table('list_subscriber')} SET status = 'unsubscribed'"  # noqa: S608  as above
            f" WHERE subscriber_uid = ? AND status {REACHED}",
            (subscriber_uid,),
        )
        await self._database.apply([self._track("campaign_track_unsubscribe", campaign_uid, subscriber_uid), left])

    def _track(self, table: str, campaign_uid: str, subscriber_uid: str, *, once: bool = False) -> Write:
        mine = f"SELECT 1 FROM {self._table(table)} t WHERE t.campaign_id = c.campaign_id"  # noqa: S608  as above
        unless = f" AND NOT EXISTS ({mine} AND t.subscriber_id = s.subscriber_id)" if once else ""
        return Write(
            f"INSERT INTO {self._table(table)} (campaign_id, subscriber_id, date_added)"  # noqa: S608  as above
            f" SELECT c.campaign_id, s.subscriber_id, {self._database.now} FROM {self._table('campaign')} c"
            f" JOIN {self._table('list_subscriber')} s ON s.list_id = c.list_id"
            f" WHERE c.campaign_uid = ? AND s.subscriber_uid = ? AND s.status {REACHED}{unless}",
            (campaign_uid, subscriber_uid),
        )

    async def is_opt_out_single(self, list_uid: str) -> bool | None:
        """Whether one link is enough to leave a list; None where there is no such list."""
        rows = await self._database.fetch(f"SELECT opt_out FROM {self._table('list')} WHERE list_uid = ?", (list_uid,))  # noqa: S608  as above
        return rows[0][0] == "single" if rows else None

    async def bounced(self, bounce: Bounce) -> bool:
        """Log a hard bounce and blacklist the address. False where it doesn't count: not confirmed, or known."""
        rows = await self._bouncing(bounce)
        for campaign_id, subscriber_id in rows:
            values = (campaign_id, subscriber_id, bounce.message)
            await self._database.apply([*self._bounce(values), *self._blacklist(bounce, subscriber_id)])
        return bool(rows)

    async def _bouncing(self, bounce: Bounce) -> list[Row]:
        return await self._database.fetch(
            f"SELECT c.campaign_id, s.subscriber_id FROM {self._table('campaign')} c"  # noqa: S608  as above
            f" JOIN {self._table('list_subscriber')} s ON s.list_id = c.list_id"
            f" WHERE INSTR(c.subject, ?) > 0 AND s.email = ? AND s.status {REACHED} AND NOT EXISTS (SELECT 1"
            f" FROM {self._table('campaign_bounce_log')} b WHERE b.campaign_id = c.campaign_id"
            " AND b.subscriber_id = s.subscriber_id)",
            (bounce.token, bounce.recipient),
        )

    def _bounce(self, values: tuple[Value, ...]) -> list[Write]:
        sql = (
            f"INSERT INTO {self._table('campaign_bounce_log')} (campaign_id, subscriber_id, message, date_added)"  # noqa: S608  as above
            f" VALUES (?, ?, ?, {self._database.now})"
        )
        return [Write(sql, values)]

    def _blacklist(self, bounce: Bounce, subscriber_id: Value) -> list[Write]:
        blacklist, subscribers = self._table("email_blacklist"), self._table("list_subscriber")
        add = (
            f"INSERT INTO {blacklist} (email, reason) SELECT s.email, ? FROM {subscribers} s WHERE s.subscriber_id = ?"  # noqa: S608  as above
            f" AND NOT EXISTS (SELECT 1 FROM {blacklist} b WHERE b.email = s.email)"
        )
        leave = f"UPDATE {subscribers} SET status = 'blacklisted' WHERE subscriber_id = ?"  # noqa: S608  as above
        return [Write(add, (bounce.message, subscriber_id)), Write(leave, (subscriber_id,))]

    async def store_mail(self, raw: bytes) -> None:
        """What the external reader of the mailbox does with a mail that has arrived: its headers into the table."""
        mail = email.message_from_bytes(raw, policy=modern)
        headers: dict[str, list[str]] = {}
        for name, value in mail.items():
            headers.setdefault(name.lower(), []).append(str(value))
        args = (str(mail["Subject"]), json.dumps(headers), str(mail["From"]), str(mail["To"]), str(mail["Message-ID"]))
        sql = (
            f"INSERT INTO {MAILBOX} (email_date, email_subject, email_headers, email_from, email_to, email_message_id)"  # noqa: S608  as above
            f" VALUES ({self._database.now}, ?, ?, ?, ?, ?)"
        )
        await self._database.apply([Write(sql, args)])
