"""A simulator of MailWizz, the mailing product, as far as tests of delivery servers meet it. Not MailWizz.

Its tables are our own (`localstack.mailwizz_tables`); a cron sends pending campaigns by real SMTP, its tracking links
are answered over real HTTP, and a reader of the bounce box tells it what came back. It is unkind in the way of the
real one: it sends by another server when the chosen one is off, and counts nothing of a subscriber who has left.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from daemon.clients.mailwizz_database import AnyDatabase, MailWizzNames
from daemon.clients.mailwizz_password import MailWizzPasswords
from daemon.clock import SystemClock
from daemon.store.sqlite import SqliteDatabase
from domain.delivery_server import DeliveryServer
from domain.errors import RobotdError
from domain.ports import Clock
from localstack.faults import FaultPlan
from localstack.mailwizz_records import Bounce, Campaign, LogLine, MailWizzRecords, Subscriber
from localstack.mailwizz_sender import DESTINATION, composed, sent
from localstack.mailwizz_tables import create_tables
from localstack.mailwizz_tracking import MailWizzTracking
from localstack.server import SeenRequest, SimulatorServer, options, serve_until_signalled

__all__ = ["Bounce", "MailWizzSimulator", "MailWizzTroubles"]


@dataclass(slots=True)
class MailWizzTroubles:
    """What goes wrong, until it is set otherwise. `sends_by`: the server that sends, whichever was chosen."""

    cron_is_stopped: bool = False
    sends_by: int | None = None
    log_is_late: bool = False


class MailWizzSimulator:
    """MailWizz on a database whose tables are there, and on a local port. The properties are for judges.

    Every `cron_s` of the clock campaigns are sent; None: only by `run_cron`. `faults` disturbs the tracking links by
    their names: `track-opening`, `track-url`, `unsubscribe`, `unsubscribe-direct`, `unsubscribe-post`.
    """

    def __init__(
        self,
        clock: Clock,
        database: AnyDatabase,
        names: MailWizzNames | None = None,
        *,
        listen_on: tuple[str, int] = ("127.0.0.1", 0),
        passwords: MailWizzPasswords | None = None,
        cron_s: int | None = None,
        faults: FaultPlan | None = None,
    ) -> None:
        self.faults = faults or FaultPlan()
        self.troubles = MailWizzTroubles()
        self.records = MailWizzRecords(database, names or MailWizzNames())
        self.sent: list[LogLine] = []
        self.cron_errors: list[RobotdError] = []
        self._late: list[LogLine] = []
        self._clock = clock
        self._passwords = passwords or MailWizzPasswords()
        self._cron_s = cron_s
        self._cron: asyncio.Task[None] | None = None
        self._server = SimulatorServer(MailWizzTracking(self.records).routes(), clock, self.faults, *listen_on)

    async def __aenter__(self) -> Self:
        await self._server.start()
        if self._cron_s is not None:
            self._cron = asyncio.create_task(self._run_for_ever(self._cron_s * 1000))
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._cron is not None:
            self._cron.cancel()
            with suppress(asyncio.CancelledError):
                await self._cron
        await self._server.stop()

    @property
    def url(self) -> str:
        """The tracking host."""
        return self._server.url

    @property
    def requests(self) -> Sequence[SeenRequest]:
        """Every HTTP request in the order in which they ended."""
        return self._server.requests

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as `condition` holds; it is looked at again after every request and every mail."""
        await self._server.bell.until(condition)

    async def run_cron(self) -> None:
        """Send what is due, once. A campaign without any server stays pending."""
        if self.troubles.cron_is_stopped:
            return
        for campaign in await self.records.pending():
            server = await self._sender(campaign)
            if server is not None and await self.records.claim(campaign.id):
                for subscriber in await self.records.subscribers(campaign):
                    await self._send(campaign, server, subscriber)
                await self.records.finish(campaign.id)

    async def catch_up_log(self) -> None:
        """Write the lines that were late."""
        late, self._late = self._late, []
        await self.records.log(late)

    async def read_bounces(self, bounces: Sequence[Bounce]) -> int:
        """Take in what a reader of the bounce box has found; how many of them count."""
        return sum([await self.records.bounced(bounce) for bounce in bounces])

    async def _run_for_ever(self, cron_ms: int) -> None:
        while True:
            await self._clock.wait_until(self._clock.now_ms() + cron_ms)
            try:
                await self.run_cron()
            except RobotdError as error:  # a database that is away: cron comes again
                self.cron_errors.append(error)

    async def _sender(self, campaign: Campaign) -> DeliveryServer | None:
        if self.troubles.sends_by is not None:
            return await self.records.server(self.troubles.sends_by)
        return await self.records.chosen_server(campaign)

    async def _send(self, campaign: Campaign, server: DeliveryServer, subscriber: Subscriber) -> None:
        if subscriber.is_blacklisted:
            await self._log(LogLine(campaign.id, subscriber.id, server.id, "blacklisted", "the address is blacklisted"))
            return
        key = await self.records.link(campaign, DESTINATION)
        mail = composed(campaign, server, subscriber, self.url, key)
        envelope_from = await self.records.bounce_address(server)
        ended = await sent(server, self._passwords.credential(server), envelope_from, mail)
        message_id = str(mail["Message-ID"])
        await self._log(LogLine(campaign.id, subscriber.id, server.id, ended.status, ended.message, message_id))

    async def _log(self, line: LogLine) -> None:
        self.sent.append(line)
        if self.troubles.log_is_late:
            self._late.append(line)
        else:
            await self.records.log([line])
        self._server.bell.ring()


async def _main(arguments: Sequence[str]) -> None:
    parser = options("mailwizz")
    parser.add_argument("--database", type=Path, required=True, help="SQLite file; a new one gets the tables")
    parser.add_argument("--cron-s", type=int, default=60, help="how often campaigns are sent")
    asked = parser.parse_args(arguments)
    is_new = not await asyncio.to_thread(asked.database.exists)
    database = await SqliteDatabase.open(asked.database)
    try:
        if is_new:
            await create_tables(database, MailWizzNames())
        faults = FaultPlan(asked.seed)
        simulator = MailWizzSimulator(
            SystemClock(), database, listen_on=(asked.host, asked.port), cron_s=asked.cron_s, faults=faults
        )
        await serve_until_signalled("mailwizz", simulator)
    finally:
        await database.close()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
