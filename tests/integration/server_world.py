"""A world with MailWizz and mail in memory in it: what the tests of delivery servers share.

`MemoryMailWizz` keeps the history, as MailWizz does; the database and the robot's queue say what robotd made of it.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.store.mysql import MysqlAddress
from localstack.clock import ManualClock
from tests.memory_servers import MemoryServers
from tests.world import MORNING_MS, World, command, world

ROBOT = 61001
SECOND_MS, MINUTE_MS, HOUR_MS = 1_000, 60_000, 3_600_000
DEAD_LETTERS = "robotd-commands-dlq"
Place = Path | MysqlAddress
PROBE = "probe@mailbox.test"
CAMPAIGN = {
    "campaign_list_id": 12,
    "campaign_recipient": "reader@mailbox.test",
    "campaign_bounce_recipient": "nobody@mailbox.test",
    "campaign_template_id": 3,
}


@dataclass(frozen=True, slots=True)
class AskedWorld:
    """A world that is asked for tests of servers."""

    home: World

    async def tell(self, command_type: str, data: Mapping[str, object], **envelope: object) -> None:
        """Put a command on the queue, and wait until nothing is left to do at this moment."""
        self.home.sqs.send(self.home.settings.queues.commands, command(command_type, data, **envelope))
        await self.home.quiet()

    async def ask(self, server_id: int = 7, **data: object) -> None:
        """Ask for one test."""
        await self.tell("server.test", {"serverId": server_id, "robotId": ROBOT, **data})

    async def cycle(self, **data: object) -> None:
        """Ask for a cycle."""
        await self.tell("server.test-cycle", {"robotId": ROBOT, **data})

    async def later(self, by_ms: int) -> None:
        """Let so much time pass, with all that is due on the way."""
        await self.home.pass_time(self.home.clock.now_ms() + by_ms)

    def told(self, kind: str = "server.tested") -> list[dict[str, Any]]:
        """What the robot was told in results of this type."""
        return [one["payload"] for one in self.home.results(ROBOT) if one["type"] == kind]

    def last(self, kind: str = "server.tested") -> dict[str, Any]:
        """The last of them."""
        return self.told(kind)[-1]

    def steps(self) -> dict[str, str]:
        """The outcome of each step of the test that was told of last."""
        return {step["id"]: step["outcome"] for step in self.last()["steps"]}

    async def rows(self, sql: str) -> list[tuple[object, ...]]:
        """Rows of the daemon's own database."""
        return [tuple(row) for row in await self.home.database.fetch(sql)]

    async def claims(self) -> list[str]:
        """Who holds what."""
        return [str(row[0]) for row in await self.rows("SELECT name FROM server_test_claim ORDER BY name")]


@dataclass(frozen=True, slots=True)
class ServerWorld(AskedWorld):
    """A world, and the memory that stands in it for MailWizz and mail."""

    servers: MemoryServers


@asynccontextmanager
async def server_world(
    place: Place, *, settings: Mapping[str, Any] | None = None, mail: Mapping[str, Any] | None = None, **sections: Any
) -> AsyncIterator[ServerWorld]:
    """A world with a MailWizz in memory, and no daemon yet; cycles begin by command alone unless told otherwise."""
    clock = ManualClock(MORNING_MS)
    servers = MemoryServers.on(clock)
    own = {"every_s": 0, **(settings or {})}
    letters = {"probe_address": PROBE, **(mail or {})}
    async with world(place, clock=clock, server_tests=own, mail=letters, **sections) as home:
        home.open_servers = servers.open
        yield ServerWorld(home, servers)
