"""The rights that operations.md asks for at MailWizz's database: they suffice for everything, and each is needed."""

import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from daemon.clients.mailwizz import SqlMailWizz
from daemon.clients.mailwizz_campaigns import SqlTrialCampaigns, TrialOptions
from daemon.clients.mailwizz_database import MailWizzDatabase, MailWizzNames, Write
from daemon.clients.mailwizz_looks import SqlMailWizzLooks
from daemon.store.mysql import MysqlAddress, MysqlDatabase
from domain.errors import Unavailable
from domain.server_ports import Consequence, TrialAddresses
from domain.server_test import Verdict
from localstack.mailwizz_tables import MAILBOX, PROCEDURE, create_tables
from tests.mariadb import MariaDb

NAMES = MailWizzNames()
TO = TrialAddresses(5, "probe@robotd.test", "bounce@robotd.test")
DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "operations.md"
QUOTAS = "hourly_quota, daily_quota, monthly_quota"
SERVERS = ((7, 1), (8, 1))


@dataclass(frozen=True, slots=True)
class Right:
    """What one row of the table grants: `rights` on `target`, as GRANT spells them."""

    rights: str
    target: str

    def __str__(self) -> str:
        """For the test's id."""
        return f"{self.rights} on {self.target}"


def rights() -> Iterator[Right]:
    """Each single right of the document's table."""
    table = DOCUMENT.read_text(encoding="utf-8").split("### Rights in MySQL\n", 1)[1].split("\n\n|", 1)[1]
    for line in table.split("\n\n", 1)[0].splitlines()[2:]:
        _, _, where, said, _ = (cell.strip() for cell in line.split("|"))
        targets = re.findall(r"`(mw_\w+)`", where)
        targets += [NAMES.history] if "the history" in where else []
        targets += [f"PROCEDURE {PROCEDURE}"] if "procedure" in where else []
        targets += [MAILBOX] if "mails_table" in where else []
        spelt = said.replace("UPDATE on the quota columns that there are", f"UPDATE ({QUOTAS})")
        yield from (Right(one, target) for target in targets for one in re.findall(r"[A-Z]+(?: \([^)]*\))?", spelt))


async def everything(database: MysqlDatabase) -> None:
    """All that robotd ever does there, with every setting on. Raises what the first refusal raised."""
    own = MailWizzDatabase(database)
    mailwizz, looks = SqlMailWizz(own, NAMES), SqlMailWizzLooks(own, NAMES)
    campaigns = SqlTrialCampaigns(own, NAMES, TrialOptions(template_id=3, customer_id=1))
    server = await mailwizz.server(7)
    assert server is not None
    assert len(await mailwizz.candidates(60)) == len(SERVERS)
    await mailwizz.reset_quota(7)
    failed = Consequence(
        server, "2025-11-25 08:40:00", Verdict.FAILED, "no", deactivate=True, keep_last_active=True, promote_to=None
    )
    recorded = await mailwizz.record(failed)
    assert (recorded.deactivated, recorded.promotion_error) == (True, None)
    good = replace(failed, started="2025-11-25 08:41:00", verdict=Verdict.SUCCESSFUL, error=None, promote_to=2)
    if (problem := (await mailwizz.record(good)).promotion_error) is not None:
        raise Unavailable("mailwizz", problem)
    assert await mailwizz.failures_in_a_row(7) == 0
    assert [len(await looks.servers()), len(await looks.history(7, 9)), len(await looks.last_lines())] == [2, 2, 1]
    await campaigns.prepare(TO)
    campaign_id = await campaigns.create(server, TO, "Test Email [t-1]", "t-1")
    assert (await campaigns.progress(campaign_id, TO)).delivery is None
    assert await campaigns.mail("t-1", "2025-11-25 08:40:00") is None
    assert (await campaigns.interactions(campaign_id)).opens == 0


@pytest.fixture
async def as_tester(mariadb: MariaDb) -> AsyncIterator[Callable[[list[Right]], Awaitable[None]]]:
    """Does everything as a user of its own, who has these rights and no others."""
    address = mariadb.new_database()
    admin = await MysqlDatabase.open(address)
    await create_tables(admin, NAMES)
    for server_id, customer_id in SERVERS:
        columns = "server_id, customer_id, type, name, hostname, username, from_email, status, last_updated"
        values = (
            server_id,
            customer_id,
            "smtp",
            "s",
            "mx.test",
            "",
            "news@sender.test",
            "active",
            "2025-11-20 08:00:00",
        )
        into = f"INSERT INTO mw_delivery_server ({columns}) VALUES ({', '.join('?' * 9)})"  # noqa: S608  names of ours
        await admin.apply([Write(into, values)])
    for email in (TO.recipient, TO.bounce):
        into = "INSERT INTO mw_list_subscriber (subscriber_uid, list_id, email) VALUES (?, ?, ?)"
        await admin.apply([Write(into, (secrets.token_hex(6), TO.list_id, email))])
    await admin.apply([Write("INSERT INTO mw_customer_group (group_id, name) VALUES (2, 'g')")])

    async def do(granted: list[Right]) -> None:
        async with _user(mariadb, address, granted) as database:
            await everything(database)

    yield do
    await admin.close()
    mariadb.drop(address)


@asynccontextmanager
async def _user(mariadb: MariaDb, address: MysqlAddress, granted: list[Right]) -> AsyncIterator[MysqlDatabase]:
    user, password = f"tester_{secrets.token_hex(4)}", secrets.token_hex(16)
    mariadb.execute(f"CREATE USER {user}@localhost IDENTIFIED BY '{password}'")
    try:
        for right in granted:
            kind, _, name = right.target.rpartition(" ")
            mariadb.execute(f"GRANT {right.rights} ON {kind} `{address.database}`.{name} TO {user}@localhost")
        database = await MysqlDatabase.open(replace(address, user=user, password=password))
        try:
            yield database
        finally:
            await database.close()
    finally:
        mariadb.execute(f"DROP USER {user}@localhost")


async def test_the_rights_of_the_document_suffice(as_tester: Callable[[list[Right]], Awaitable[None]]) -> None:
    """Reading, recording, switching off, promoting, quotas, campaigns and the command line's looks."""
    await as_tester(list(rights()))


@pytest.mark.parametrize("missing", list(rights()), ids=str)
async def test_each_right_of_the_document_is_needed(
    missing: Right, as_tester: Callable[[list[Right]], Awaitable[None]]
) -> None:
    """Without it something is refused: an outage of MailWizz, with MySQL's own word in it, and no crash."""
    others = [right for right in rights() if right != missing]
    with pytest.raises(Unavailable, match=r"denied|there is no table|may not see"):
        await as_tester(others)
