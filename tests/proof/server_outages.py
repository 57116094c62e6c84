"""What can be out amid a cycle of tests of delivery servers, and how it is brought about."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from localstack.dns import DnsFault
from localstack.tcp_wire import CLEAR
from tests.mariadb import MariaDb
from tests.proof.server_home import CONTROL, GOOD, Lab

_NAMES = (f"{GOOD}.sender.test", f"{CONTROL}.own.test")
Act = Callable[[Lab, MariaDb], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Outage:
    """`at`: the point that the daemon reaches so often before it begins. `is_own`: robotd's database is out itself.

    `campaigns`: how many of the fleet are tested by campaign. `minutes`: how long it lasts; where whoever asks has to
    wait for a time-out, all slots are taken, and the clock has nothing to leap over.
    """

    at: tuple[str, int]
    begin: Act
    end: Act
    is_own: bool = False
    campaigns: int = 0
    minutes: float = 4.0


async def _refuse_imap(lab: Lab, _database: MariaDb) -> None:
    lab.imap.refuse()
    lab.imap.cut()


async def _hang_imap(lab: Lab, _database: MariaDb) -> None:
    lab.imap.hang()


async def _mend_imap(lab: Lab, _database: MariaDb) -> None:
    lab.imap.cut()
    lab.imap.switch(CLEAR)


def _dns(fault: DnsFault) -> Act:
    async def begin(lab: Lab, _database: MariaDb) -> None:
        for name in _NAMES:
            lab.dns.fail(name, fault)

    return begin


async def _mend_dns(lab: Lab, _database: MariaDb) -> None:
    lab.dns.heal()


async def _kill_database(_lab: Lab, database: MariaDb) -> None:
    await asyncio.to_thread(database.kill)


async def _restart_database(_lab: Lab, database: MariaDb) -> None:
    await asyncio.to_thread(database.restart)


async def _stop_cron(lab: Lab, _database: MariaDb) -> None:
    lab.wizz.troubles.cron_is_stopped = True


async def _start_cron(lab: Lab, _database: MariaDb) -> None:
    lab.wizz.troubles.cron_is_stopped = False


async def _close_ports(lab: Lab, _database: MariaDb) -> None:
    for server in lab.host.servers.values():
        server.close_port()


async def _open_ports(lab: Lab, _database: MariaDb) -> None:
    for server in lab.host.servers.values():
        server.open_port()


OUTAGES = {
    "mailbox down": Outage(("after_mailbox.find", 12), _refuse_imap, _mend_imap),
    "mailbox hangs": Outage(("after_mailbox.find", 12), _hang_imap, _mend_imap, minutes=1),
    "dns servfail": Outage(("after_probe.resolve", 12), _dns(DnsFault.SERVFAIL), _mend_dns),
    "dns timeout": Outage(("after_probe.resolve", 12), _dns(DnsFault.TIMEOUT), _mend_dns, minutes=1),
    "mailwizz's database at the loads": Outage(("after_mailwizz.now", 12), _kill_database, _restart_database),
    "mailwizz's database at the records": Outage(("after_mailwizz.record", 12), _kill_database, _restart_database),
    "own database": Outage(("after_probe.deliver", 12), _kill_database, _restart_database, is_own=True),
    "mailwizz's cron": Outage(("after_campaigns.prepare", 2), _stop_cron, _start_cron, campaigns=2),
    "network of all servers": Outage(("after_probe.deliver", 12), _close_ports, _open_ports),
}
