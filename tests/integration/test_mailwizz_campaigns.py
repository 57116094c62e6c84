"""The way through MailWizz: campaigns made by a procedure, sent by the simulator over real SMTP, read by tables."""

import asyncio
import json
import re
import secrets
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as modern
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from daemon.clients.mailwizz import SqlMailWizz
from daemon.clients.mailwizz_campaigns import SqlTrialCampaigns, TrialOptions
from daemon.clients.mailwizz_database import MailWizzDatabase, MailWizzNames, Row, Value, Write
from daemon.clients.mailwizz_password import MailWizzPasswords
from daemon.store.mysql import MysqlDatabase
from daemon.store.sqlite import SqliteDatabase
from domain.delivery_server import DeliveryServer
from domain.errors import ConfigError, Unavailable
from domain.server_ports import CampaignProgress, Delivery, Interactions, TrialAddresses
from localstack.clock import ManualClock
from localstack.mailwizz import Bounce, MailWizzSimulator
from localstack.mailwizz_records import MailWizzRecords
from localstack.mailwizz_sender import DESTINATION
from localstack.mailwizz_tables import create_tables
from tests.conftest import AnyDatabase
from tests.mariadb import MariaDb

ROOT = Path(__file__).parents[2]
LIST, CUSTOMER = 5, 1
TO = TrialAddresses(LIST, "probe@robotd.test", "bounce@robotd.test")
OPTIONS = TrialOptions(template_id=3, customer_id=CUSTOMER)
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@dataclass
class Sink:
    """A delivery server: real SMTP with STARTTLS and AUTH, which keeps what it takes."""

    password: str = field(default_factory=lambda: secrets.token_hex(8))
    taken: list[tuple[str, EmailMessage]] = field(default_factory=list)
    port: int = 0
    refuses: str | None = None

    async def handle_RCPT(  # noqa: N802  the name that aiosmtpd looks for
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Sequence[str]
    ) -> str:
        if address == self.refuses:
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  as above
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=modern)
        assert isinstance(mail, EmailMessage)
        self.taken.append((str(envelope.mail_from), mail))
        return "250 2.0.0 Ok: queued"

    def authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, login: object
    ) -> AuthResult:
        is_right = isinstance(login, LoginPassword) and login.password == self.password.encode()
        return AuthResult(success=is_right, handled=False)


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    """One delivery server on a local port."""
    sink = Sink()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("mx.sender.test").configure_cert(tls)

    def talk() -> SMTP:
        return SMTP(
            sink, hostname="mx.sender.test", tls_context=tls, require_starttls=True, authenticator=sink.authenticate
        )

    server = await asyncio.get_running_loop().create_server(talk, "127.0.0.1", 0)
    sink.port = server.sockets[0].getsockname()[1]
    yield sink
    server.close()
    await server.wait_closed()


@dataclass
class MailWizzPlace:
    """MailWizz with two subscribers on its test list, and our clients of it."""

    database: AnyDatabase
    simulator: MailWizzSimulator
    sink: Sink
    clock: ManualClock

    def __post_init__(self) -> None:
        seam, names = MailWizzDatabase(self.database), MailWizzNames()
        self.mailwizz = SqlMailWizz(seam, names)
        self.campaigns = SqlTrialCampaigns(seam, names, OPTIONS)

    async def fetch(self, sql: str, *args: Value) -> list[Row]:
        return await self.database.fetch(sql, args)

    async def write(self, sql: str, *args: Value) -> None:
        await self.database.apply([Write(sql, args)])

    async def add_server(self, server_id: int, **columns: Value) -> DeliveryServer:
        given = {
            "server_id": server_id,
            "hostname": "127.0.0.1",
            "port": self.sink.port,
            "protocol": "tls",
            "username": "mailer",
            "password": self.sink.password,
            "from_email": f"news@sender{server_id}.test",
            **columns,
        }
        await self.simulator.records.add_server(**given)
        server = await self.mailwizz.server(server_id)
        assert server is not None
        return server

    async def send(self, server: DeliveryServer) -> tuple[int, str]:
        """A trial campaign for this server, and one run of cron: (campaign, token)."""
        token = str(uuid4())
        await self.campaigns.prepare(TO)
        subject = f"Test Email from {server.from_domain} [{token}]"
        campaign_id = await self.campaigns.create(server, TO, subject, token)
        await self.simulator.run_cron()
        return campaign_id, token

    def mail_to(self, address: str) -> EmailMessage:
        (mail,) = [mail for _, mail in self.sink.taken if mail["To"] == address]
        return mail


@pytest.fixture
async def place(empty_database: AnyDatabase, sink: Sink) -> AsyncIterator[MailWizzPlace]:
    """MailWizz on each engine, its tracking host on a local port; cron runs when it is told to."""
    await create_tables(empty_database, MailWizzNames())
    clock = ManualClock(1_800_000_000_000)
    async with MailWizzSimulator(clock, empty_database) as simulator:
        await simulator.records.insert("customer", customer_id=CUSTOMER)
        await simulator.records.insert("list", list_id=LIST, list_uid="list5")
        for number, email in enumerate((TO.recipient, TO.bounce)):
            await simulator.records.insert("list_subscriber", subscriber_uid=f"sub{number}", list_id=LIST, email=email)
        yield MailWizzPlace(empty_database, simulator, sink, clock)


def links(mail: EmailMessage) -> dict[str, str]:
    """The links of a mail by what they do."""
    part = mail.get_body(("html",))
    assert part is not None
    found = re.findall(r'(?:href|src)="([^"]+)"', part.get_content())
    listed = re.match(r"<([^>]+)>", str(mail["List-Unsubscribe"]))
    assert listed is not None
    kinds = {kind: url for url in found for kind in ("track-opening", "track-url", "unsubscribe-direct") if kind in url}
    return {**kinds, "list-unsubscribe": listed[1]}


async def test_a_campaign_goes_out_by_the_server_under_test(place: MailWizzPlace) -> None:
    """It is logged with this server and the server's own words, and the mail has the headers that are judged."""
    async with asyncio.timeout(10):
        server = await place.add_server(1)
        await place.add_server(2)
        campaign_id, token = await place.send(server)
        assert await place.campaigns.progress(campaign_id, TO) == CampaignProgress(
            "sent", Delivery(1, "success", "2.0.0 Ok: queued")
        )
        mail = place.mail_to(TO.recipient)
        assert mail["From"] == '"sender1.test" <news@sender1.test>'
        assert mail["Reply-To"] == "news@sender1.test"
        assert token in mail["Subject"]
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert links(mail)["list-unsubscribe"].startswith(place.simulator.url)
        assert sorted(str(mail["To"]) for _, mail in place.sink.taken) == [TO.bounce, TO.recipient]
        assert {envelope_from for envelope_from, _ in place.sink.taken} == {"news@sender1.test"}


async def test_bounces_go_to_the_bounce_server_and_encrypted_passwords_are_used(
    empty_database: AnyDatabase, place: MailWizzPlace
) -> None:
    """The envelope's sender is the bounce server's address; a password that can't be read is no login."""
    async with asyncio.timeout(10):
        await place.simulator.records.insert("bounce_server", server_id=9, email="returns@sender1.test")
        server = await place.add_server(1, bounce_server_id=9, password=secrets.token_hex(8))
        given = MailWizzPasswords(known={1: place.sink.password})
        campaign_id, _ = await place.send(server)
        progress = await place.campaigns.progress(campaign_id, TO)
        assert progress.delivery is not None
        assert progress.delivery.status == "giveup"
        assert progress.delivery.message.startswith("535")
        async with MailWizzSimulator(place.clock, empty_database, passwords=given) as simulator:
            place.simulator = simulator
            await place.send(server)
        assert {envelope_from for envelope_from, _ in place.sink.taken} == {"returns@sender1.test"}


async def test_a_refused_recipient_is_given_up_with_the_servers_words(place: MailWizzPlace) -> None:
    """The log tells at once what no wait for the mail would."""
    async with asyncio.timeout(10):
        place.sink.refuses = TO.recipient
        campaign_id, _ = await place.send(await place.add_server(1))
        progress = await place.campaigns.progress(campaign_id, TO)
        assert progress.delivery == Delivery(1, "giveup", "550 5.1.1 no such mailbox")


async def test_a_server_that_is_off_is_replaced_by_another(place: MailWizzPlace) -> None:
    """The customer's own goes first, then its group's, then the system's; the log tells which it was."""
    async with asyncio.timeout(20):
        records = place.simulator.records
        await records.insert("customer_group", group_id=2, name="g")
        await place.write("UPDATE mw_customer SET group_id = 2")
        server = await place.add_server(1, status="inactive")
        await place.add_server(2)
        by = []
        for server_id, columns in ((None, {}), (3, {"customer_id": 8}), (4, {"customer_id": CUSTOMER})):
            if server_id is not None:
                await place.add_server(server_id, **columns)
            if server_id == 3:
                await records.insert("delivery_server_to_customer_group", server_id=3, group_id=2)
            campaign_id, _ = await place.send(server)
            progress = await place.campaigns.progress(campaign_id, TO)
            by.append(progress.delivery.server_id if progress.delivery else None)
        assert by == [2, 3, 4]


async def test_a_customer_that_may_not_choose_gets_another_server(place: MailWizzPlace) -> None:
    """The campaign's choice is dropped in silence where the customer's group allows none."""
    async with asyncio.timeout(10):
        await place.simulator.records.insert("customer_group", group_id=2, name="g", can_select_servers="no")
        await place.write("UPDATE mw_customer SET group_id = 2")
        await place.add_server(1)
        campaign_id, _ = await place.send(await place.add_server(2))
        progress = await place.campaigns.progress(campaign_id, TO)
        assert progress.delivery is not None
        assert progress.delivery.server_id == 1


async def test_scripted_troubles_of_the_cron(place: MailWizzPlace) -> None:
    """A stopped cron leaves a campaign pending, a late log leaves it sent without a line, and a wrong sender shows."""
    async with asyncio.timeout(10):
        server = await place.add_server(1)
        await place.add_server(2)
        troubles = place.simulator.troubles
        troubles.cron_is_stopped, troubles.log_is_late, troubles.sends_by = True, True, 2
        campaign_id, _ = await place.send(server)
        seen = [await place.campaigns.progress(campaign_id, TO)]
        troubles.cron_is_stopped = False
        await place.simulator.run_cron()
        seen.append(await place.campaigns.progress(campaign_id, TO))
        await place.simulator.catch_up_log()
        seen.append(await place.campaigns.progress(campaign_id, TO))
        assert seen == [
            CampaignProgress("pending-sending", None),
            CampaignProgress("sent", None),
            CampaignProgress("sent", Delivery(2, "success", "2.0.0 Ok: queued")),
        ]


async def test_cron_runs_by_the_clock_and_survives_an_outage(empty_database: AnyDatabase, place: MailWizzPlace) -> None:
    """Each round of the clock sends what is due; a round without a table is noted, and the next one sends."""
    async with (
        asyncio.timeout(10),
        MailWizzSimulator(place.clock, empty_database, cron_s=60) as simulator,
    ):
        server = await place.add_server(1)
        await place.campaigns.create(server, TO, "[t1]", "t1")
        await place.write("ALTER TABLE mw_list RENAME TO mw_list_away")
        await place.clock.until(lambda: place.clock.waiting() == 1)
        place.clock.advance(60_000)
        await place.clock.until(lambda: len(simulator.cron_errors) == 1 and place.clock.waiting() == 1)
        await place.write("ALTER TABLE mw_list_away RENAME TO mw_list")
        place.clock.advance(60_000)
        await simulator.until(lambda: len(simulator.sent) == 2)
        assert place.mail_to(TO.recipient)["Subject"] == "[t1]"


async def test_the_same_token_again_makes_no_second_campaign(place: MailWizzPlace) -> None:
    """A caller that never heard of its campaign finds it, by the token alone, and nothing is sent twice."""
    async with asyncio.timeout(10):
        server = await place.add_server(1)
        first = await place.campaigns.create(server, TO, "a [t1]", "t1")
        again = await place.campaigns.create(server, TO, "b [t1]", "t1")
        other = await place.campaigns.create(server, TO, "a [t2]", "t2")
        assert first == again != other
        assert await place.fetch("SELECT COUNT(*) FROM mw_campaign") == [(2,)]
        columns = "name, from_name, from_email, status"
        (made,) = await place.fetch(f"SELECT {columns} FROM mw_campaign WHERE campaign_id = ?", first)  # noqa: S608  our own words
        assert str(made[0]).startswith("Test Campaign - Tester - sender1.test - 20")
        assert made[1:] == ("sender1.test", "news@sender1.test", "pending-sending")


async def test_open_click_and_one_click_are_counted_while_the_subscriber_is_confirmed(place: MailWizzPlace) -> None:
    """Each of the three leaves a row; after the unsubscribe nothing counts any more, and the answers are the same."""
    async with asyncio.timeout(10), httpx.AsyncClient() as http:
        campaign_id, _ = await place.send(await place.add_server(1))
        found = links(place.mail_to(TO.recipient))
        counts = [await place.campaigns.interactions(campaign_id)]
        opened = await http.get(found["track-opening"])
        counts.append(await place.campaigns.interactions(campaign_id))
        clicked = await http.get(found["track-url"])
        counts.append(await place.campaigns.interactions(campaign_id))
        left = await http.post(found["list-unsubscribe"], data=ONE_CLICK)
        counts.append(await place.campaigns.interactions(campaign_id))
        again = [await http.get(found["track-opening"]), await http.get(found["track-url"])]
        again.append(await http.post(found["list-unsubscribe"], data=ONE_CLICK))
        assert counts == [
            Interactions(0, 0, 0, 0),
            Interactions(1, 0, 0, 0),
            Interactions(1, 1, 0, 0),
            Interactions(1, 1, 1, 0),
        ]
        assert await place.campaigns.interactions(campaign_id) == counts[-1]
        assert (opened.headers["content-type"], clicked.headers["location"]) == ("image/gif", DESTINATION)
        assert [answer.status_code for answer in again] == [opened.status_code, clicked.status_code, left.status_code]


async def test_a_click_without_an_open_records_both(place: MailWizzPlace) -> None:
    """So whoever looks for an open has to look before the click."""
    async with asyncio.timeout(10), httpx.AsyncClient() as http:
        campaign_id, _ = await place.send(await place.add_server(1))
        await http.get(links(place.mail_to(TO.recipient))["track-url"])
        assert await place.campaigns.interactions(campaign_id) == Interactions(1, 1, 0, 0)


@pytest.mark.parametrize(("opt_out", "unsubscribes"), [("single", 1), ("double", 0)])
async def test_the_direct_link_counts_where_one_word_is_enough(
    place: MailWizzPlace, opt_out: str, unsubscribes: int
) -> None:
    """The ordinary link only shows a form; the direct one leaves a list without a second word, and no other."""
    async with asyncio.timeout(10), httpx.AsyncClient() as http:
        await place.write("UPDATE mw_list SET opt_out = ?", opt_out)
        campaign_id, _ = await place.send(await place.add_server(1))
        found = links(place.mail_to(TO.recipient))
        form = await http.get(found["list-unsubscribe"])
        assert "<form" in form.text
        assert (await place.campaigns.interactions(campaign_id)).unsubscribes == 0
        await http.get(found["unsubscribe-direct"])
        assert (await place.campaigns.interactions(campaign_id)).unsubscribes == unsubscribes


async def test_a_tracking_host_in_trouble_counts_nothing(place: MailWizzPlace) -> None:
    """A scripted 500 comes instead of the row."""
    async with asyncio.timeout(10), httpx.AsyncClient() as http:
        campaign_id, _ = await place.send(await place.add_server(1))
        place.simulator.faults.fail("track-opening", status=500)
        answer = await http.get(links(place.mail_to(TO.recipient))["track-opening"])
        assert answer.status_code == 500
        assert await place.campaigns.interactions(campaign_id) == Interactions(0, 0, 0, 0)


async def test_a_bounce_counts_once_and_preparing_undoes_what_it_did(place: MailWizzPlace) -> None:
    """A bounce blacklists its address, so the next campaign skips it, until both subscribers are prepared again."""
    async with asyncio.timeout(20):
        server = await place.add_server(1)
        campaign_id, token = await place.send(server)
        bounce = Bounce(token, TO.bounce)
        assert await place.simulator.read_bounces([bounce, bounce, Bounce("other", TO.bounce)]) == 1
        assert await place.campaigns.interactions(campaign_id) == Interactions(0, 0, 0, 1)
        statuses = "SELECT status FROM mw_list_subscriber ORDER BY email"
        assert await place.fetch(statuses) == [("blacklisted",), ("confirmed",)]
        for _ in range(2):
            await place.campaigns.prepare(TO)
        assert await place.fetch(statuses) == [("confirmed",), ("confirmed",)]
        assert await place.fetch("SELECT email FROM mw_email_blacklist") == []
        place.sink.taken.clear()
        await place.send(server)
        assert place.mail_to(TO.bounce) is not None


async def test_a_blacklisted_address_gets_no_mail_and_a_line_that_says_so(place: MailWizzPlace) -> None:
    """Without preparing, the blacklist is what a test would run into."""
    async with asyncio.timeout(10):
        server = await place.add_server(1)
        await place.simulator.records.insert("email_blacklist", email=TO.recipient)
        campaign_id = await place.campaigns.create(server, TO, "[t1]", "t1")
        await place.simulator.run_cron()
        progress = await place.campaigns.progress(campaign_id, TO)
        assert progress.delivery is not None
        assert progress.delivery.status == "blacklisted"
        assert [str(mail["To"]) for _, mail in place.sink.taken] == [TO.bounce]


async def test_subscribers_that_are_not_on_the_list_are_told(place: MailWizzPlace) -> None:
    """A campaign to nobody would look like a broken server, so it isn't made; the blacklist stays as it was."""
    async with asyncio.timeout(10):
        await place.simulator.records.insert("email_blacklist", email=TO.bounce)
        await place.write("DELETE FROM mw_list_subscriber WHERE email = ?", TO.recipient)
        with pytest.raises(Unavailable, match="list 5 lacks one of the subscribers") as told:
            await place.campaigns.prepare(TO)
        assert told.value.dependency == "mailwizz"
        assert await place.fetch("SELECT email FROM mw_email_blacklist") == [(TO.bounce,)]


async def test_the_mailbox_table_gives_the_headers_of_the_mail(place: MailWizzPlace) -> None:
    """The mail with the token is found with all its headers, in order; one without it is not."""
    async with asyncio.timeout(10):
        since = await place.mailwizz.now()
        _, token = await place.send(await place.add_server(1))
        assert await place.campaigns.mail(token, since) is None
        for _, mail in place.sink.taken:
            if mail["To"] == TO.recipient:
                await place.simulator.records.store_mail(mail.as_bytes())
        found = await place.campaigns.mail(token, since)
        assert found is not None
        assert dict(found.headers)["from"] == '"sender1.test" <news@sender1.test>'
        assert dict(found.headers)["reply-to"] == "news@sender1.test"
        assert await place.campaigns.mail(str(uuid4()), since) is None


ADD_MAIL = (
    "INSERT INTO mailbox_emails_links_clicker_emails (email_date, email_subject, email_headers, email_from, email_to)"
    " VALUES (?, ?, ?, '', '')"
)


async def test_the_search_for_a_mail_is_bounded_by_its_date(place: MailWizzPlace) -> None:
    """A mail dated a day's clock differences earlier is ours; what is older is never looked at."""
    async with asyncio.timeout(10):
        for date, subject in (("2026-01-01 10:00:01", "[near]"), ("2026-01-01 09:59:59", "[far]")):
            await place.write(ADD_MAIL, date, subject, "{}")
        found = [await place.campaigns.mail(token, "2026-01-02 10:00:00") for token in ("near", "far")]
        assert [mail is not None for mail in found] == [True, False]


@pytest.mark.parametrize(
    ("stored", "headers"),
    [
        ({"from": "a@x.test", "received": ["1", "2"]}, [("from", "a@x.test"), ("received", "1"), ("received", "2")]),
        ({"from": {"text": "A <a@x.test>", "value": []}}, [("from", "A <a@x.test>")]),
        ([["From", "a@x.test"], ["Date", 3]], [("From", "a@x.test"), ("Date", "3")]),
    ],
)
async def test_headers_are_read_in_the_shapes_that_mail_parsers_store(
    place: MailWizzPlace, stored: object, headers: list[tuple[str, str]]
) -> None:
    """An object of texts, lists or parsed addresses, and a list of pairs."""
    async with asyncio.timeout(10):
        await place.write(ADD_MAIL, "2026-01-01 10:00:00", "[t]", json.dumps(stored))
        found = await place.campaigns.mail("t", "2026-01-01 10:00:00")
        assert found is not None
        assert list(found.headers) == headers


@pytest.mark.parametrize("stored", ["", "{", "7", "[1]"])
async def test_headers_that_cannot_be_read_are_no_fault_of_the_server(place: MailWizzPlace, stored: str) -> None:
    """A row of another shape is MailWizz being unusable, and the table is named."""
    async with asyncio.timeout(10):
        await place.write(ADD_MAIL, "2026-01-01 10:00:00", "[t]", stored)
        with pytest.raises(Unavailable, match="mailbox_emails_links_clicker_emails"):
            await place.campaigns.mail("t", "2026-01-01 10:00:00")


async def test_an_index_on_the_date_is_used(mariadb_place: MysqlDatabase) -> None:
    """With an index the search reads a range of it and not the table, whose years of mails would take a second each."""
    async with asyncio.timeout(20):
        await mariadb_place.apply([Write("CREATE INDEX by_date ON mailbox_emails_links_clicker_emails (email_date)")])
        row = "SELECT '2020-01-01 00:00:00', 's', '{}', '', '' FROM information_schema.columns"
        into = ADD_MAIL.partition(" VALUES")[0]
        await mariadb_place.apply([Write(f"{into} {row}")])
        seam = MailWizzDatabase(mariadb_place)
        (plan,) = await seam.fetch(
            "EXPLAIN SELECT email_headers FROM mailbox_emails_links_clicker_emails"  # noqa: S608  our own words
            f" WHERE email_date >= {seam.before('?')} AND INSTR(email_subject, ?) > 0 ORDER BY email_date LIMIT 1",
            ("2026-01-02 10:00:00", 86400, "t"),
        )
        assert "range" in plan
        assert "by_date" in plan


@pytest.fixture
async def mariadb_place(mariadb: MariaDb) -> AsyncIterator[MysqlDatabase]:
    """The tables on MariaDB."""
    address = mariadb.new_database()
    database = await MysqlDatabase.open(address)
    await create_tables(database, MailWizzNames())
    yield database
    await database.close()
    mariadb.drop(address)


async def test_a_procedure_that_is_missing_or_makes_nothing_is_an_outage(place: MailWizzPlace) -> None:
    """Its name is told; a procedure that does nothing, or fails by itself, is no fault of the server either."""
    async with asyncio.timeout(10):
        server = await place.add_server(1)
        seam, names = MailWizzDatabase(place.database), MailWizzNames()
        missing = SqlTrialCampaigns(seam, names, TrialOptions(template_id=3, procedure="no_such_procedure"))
        with pytest.raises(Unavailable, match="no_such_procedure") as told:
            await missing.create(server, TO, "[t1]", "t1")
        assert told.value.dependency == "mailwizz"
        with pytest.raises(Unavailable, match="made no campaign with t2"):
            await place.campaigns.create(server, TO, "without a token", "t2")


async def test_a_procedure_that_fails_by_itself_is_no_fault_of_the_server(mariadb_place: MysqlDatabase) -> None:
    """What a procedure signals, and a duplicate key inside of it, are told with its name or its own words."""
    fails = {
        "signals": "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no such template'",
        "duplicates": "INSERT INTO mw_list (list_id, list_uid) VALUES (1, 'a'), (1, 'b')",
    }
    parameters = ", ".join(f"p{number} VARCHAR(500)" for number in range(11))
    said = []
    async with asyncio.timeout(10):
        row = "(1, 'smtp', 'mx.sender.test', 'u', 'a@sender.test', 'active', '2020-01-01 00:00:00')"
        into = "INSERT INTO mw_delivery_server (server_id, type, hostname, username, from_email, status, last_updated)"
        await mariadb_place.apply([Write(f"{into} VALUES {row}")])
        server = await SqlMailWizz(MailWizzDatabase(mariadb_place)).server(1)
        assert server is not None
        for name, body in fails.items():
            await mariadb_place.apply([Write(f"CREATE PROCEDURE {name} ({parameters}) BEGIN {body}; END")])
            options = TrialOptions(template_id=3, procedure=name)
            campaigns = SqlTrialCampaigns(MailWizzDatabase(mariadb_place), MailWizzNames(), options)
            with pytest.raises(Unavailable) as told:
                await campaigns.create(server, TO, "[t]", "t")
            said.append(str(told.value))
    assert "no such template" in said[0]
    assert "duplicates: " in said[1]


@pytest.mark.parametrize("options", [{"procedure": "a.b.c"}, {"mailbox": "a; b"}, {"procedure": ""}])
def test_names_of_procedure_and_mailbox_are_checked(options: dict[str, str]) -> None:
    """They stand in SQL as they are."""
    with pytest.raises(ConfigError):
        TrialOptions(template_id=1, **options)  # type: ignore[arg-type]  # names alone


async def test_a_campaign_that_is_gone_has_no_status(place: MailWizzPlace) -> None:
    """Somebody may delete it while it is waited for."""
    async with asyncio.timeout(10):
        assert await place.campaigns.progress(404, TO) == CampaignProgress("", None)
        assert await place.campaigns.interactions(404) == Interactions(0, 0, 0, 0)


async def test_alone_it_keeps_its_tables_until_sigterm(tmp_path: Path) -> None:
    """As a process on a new file, twice: tables that robotd reads, tracking that answers, exit code 0."""
    file = tmp_path / "mailwizz.db"
    for servers in ([], [7]):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "localstack.mailwizz", "--database", str(file)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(20):
                url = (await process.stdout.readline()).decode().removeprefix("mailwizz simulator on ").strip()
                async with httpx.AsyncClient(base_url=url) as http:
                    opened = await http.get("/campaigns/c/track-opening/s")
                database = await SqliteDatabase.open(file)
                mailwizz = SqlMailWizz(MailWizzDatabase(database), MailWizzNames())
                known = [candidate.server.id for candidate in await mailwizz.candidates(60)]
                if not known:
                    records = MailWizzRecords(database, MailWizzNames())
                    await records.add_server(server_id=7, hostname="a.test", username="", from_email="a@a.test")
                await database.close()
        finally:
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 20) == 0
        assert (opened.status_code, known) == (200, servers)
