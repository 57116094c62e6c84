"""A world with a WAHA in it, a list of contacts and a campaign for them: what the tests of campaigns share.

WAHA keeps a record of its own of what it took; the database and the robot's queue say what robotd made of it.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.probe import Probe, unobserved
from daemon.store.mysql import MysqlAddress
from domain.wire import iso
from localstack.clock import ManualClock
from localstack.waha import WahaSimulator
from tests.world import MORNING_MS, World, command, world

ROBOT, USER, SESSION = 61001, "user-1", "default"
SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
TEXT = "Dear {name}, hello."
DEAD_LETTERS = "robotd-commands-dlq"
COLUMNS = (
    "status",
    "pause_reason",
    "pause_detail",
    "total_contacts",
    "last_processed_contact_index",
    "session",
    "scheduled_at_ms",
    "started_at_ms",
    "completed_at_ms",
)
WORDS = ("started", "paused", "resumed", "completed", "failed", "cancelled")
CHANGES = frozenset(f"campaign.{word}" for word in WORDS)
Place = Path | MysqlAddress
Seen = tuple[str, int | None]


def phone(number: int) -> str:
    return f"99900{number:07d}"


def chat(number: int) -> str:
    return f"{phone(number)}@c.us"


def chats(numbers: Iterable[int]) -> list[str]:
    return [chat(number) for number in numbers]


def people(count: int) -> list[dict[str, object]]:
    """Rows for `contacts.import`: as many people, each with a first name of their own."""
    return [{"phoneNumber": phone(number), "firstName": f"N{number}"} for number in range(count)]


@dataclass(frozen=True, slots=True)
class Sending:
    """A world with a WAHA, and a folder of files that campaigns may send."""

    home: World
    waha: WahaSimulator
    folder: Path

    async def tell(self, *commands: tuple[str, Mapping[str, object]]) -> None:
        """Put commands on the queue together, and wait until nothing is left to do at this moment."""
        for command_type, data in commands:
            self.home.sqs.send(self.home.settings.queues.commands, command(command_type, data))
        await self.home.quiet()

    async def ask(self, verb: str, **data: object) -> None:
        """One command about the campaign."""
        await self.tell((f"campaign.{verb}", {"userId": USER, "campaignId": 1, **data}))

    async def add_people(self, rows: Iterable[Mapping[str, object]], **data: object) -> None:
        """Import rows into the list."""
        await self.tell(("contacts.import", {"userId": USER, "listName": "Spring", "rows": list(rows), **data}))

    async def create(self, **campaign: object) -> None:
        """A campaign for the list, due at once unless told otherwise; a field that is None is left out."""
        data: dict[str, Any] = {
            "userId": USER,
            "name": "Spring letter",
            "session": SESSION,
            "contactListId": 1,
            "text": TEXT,
            "defaultNameValue": "friend",
            "scheduledAt": iso(MORNING_MS),
            "robotId": ROBOT,
            **campaign,
        }
        await self.tell(("campaign.create", {name: value for name, value in data.items() if value is not None}))

    async def later(self, by_ms: int) -> None:
        """Let so much time pass, with all that is due on the way."""
        await self.home.pass_time(self.home.clock.now_ms() + by_ms)

    async def until_accepted(self, count: int) -> None:
        """Let time pass until WAHA has taken so many messages."""
        while len(self.waha.accepted) < count:
            await self.later(SECOND_MS)

    async def seen(self, for_ms: int) -> list[Seen]:
        """Status and index as an onlooker has them who looks every second: each change once."""
        seen: list[Seen] = []
        for _ in range(for_ms // SECOND_MS):
            row = await self.row()
            now = (str(row["status"]), row["last_processed_contact_index"])
            if seen[-1:] != [now]:
                seen.append(now)
            await self.later(SECOND_MS)
        return seen

    async def row(self, campaign_id: int = 1) -> dict[str, Any]:
        """The campaign's own row."""
        sql = f"SELECT {', '.join(COLUMNS)} FROM campaign WHERE id = ?"  # noqa: S608  column names of ours
        (row,) = await self.home.database.fetch(sql, (campaign_id,))
        return dict(zip(COLUMNS, row, strict=True))

    async def campaign(self) -> tuple[object, ...]:
        """Status and reason of a pause of the only campaign."""
        (row,) = await self.home.database.fetch("SELECT status, pause_reason FROM campaign")
        return tuple(row)

    async def ledger(self, campaign_id: int = 1) -> list[tuple[object, ...]]:
        """Chat, state and number of attempts of each recipient, in order."""
        sql = "SELECT chat_id, state, attempt FROM campaign_recipient WHERE campaign_id = ? ORDER BY position"
        return [tuple(row) for row in await self.home.database.fetch(sql, (campaign_id,))]

    async def states(self, campaign_id: int = 1) -> list[str]:
        """What became of each recipient, in order."""
        return [str(state) for _, state, _ in await self.ledger(campaign_id)]

    async def codes(self) -> list[str | None]:
        """Why each recipient is in its state, in order."""
        rows = await self.home.database.fetch("SELECT error_code FROM campaign_recipient ORDER BY position")
        return [None if row[0] is None else str(row[0]) for row in rows]

    def told(self) -> list[str]:
        """The types of what the robot was told."""
        return [result["type"] for result in self.home.results(ROBOT)]

    def changes(self) -> list[str]:
        """The same without answers to commands and words of progress: what happened to the campaign, in order."""
        return [told for told in self.told() if told in CHANGES]

    def last(self, result_type: str) -> dict[str, Any]:
        """What the robot was told last in results of this type."""
        found: list[dict[str, Any]] = [
            told["payload"] for told in self.home.results(ROBOT) if told["type"] == result_type
        ]
        return found[-1]

    def texts(self) -> list[tuple[str, str]]:
        """Chat and text of each message that WAHA took."""
        return [(message.chat_id, message.text) for message in self.waha.accepted]

    def accepted(self) -> list[str]:
        """The chat of each message that WAHA took."""
        return [message.chat_id for message in self.waha.accepted]

    def asked(self, part: str) -> int:
        """How many requests to WAHA had this in their path."""
        return sum(part in request.path for request in self.waha.requests)


@asynccontextmanager
async def prepared(place: Place, folder: Path, *, campaigns: Mapping[str, Any] | None = None) -> AsyncIterator[Sending]:
    """A world with a WAHA that has one working session, and no daemon yet. Files lie in `folder`.

    Acknowledgements are looked at elsewhere: a number without them would be watched for two days.
    """
    clock, key = ManualClock(MORNING_MS), secrets.token_hex(8)
    async with (
        WahaSimulator(clock, api_key=key) as gateway,
        world(
            place,
            clock=clock,
            waha={"base_url": gateway.url, "api_key": key},
            campaigns={"media_folder": str(folder), "ack_poll_s": 0, **(campaigns or {})},
        ) as home,
    ):
        gateway.add_session(SESSION)
        yield Sending(home, gateway, folder)


Opens = Callable[..., AbstractAsyncContextManager[Sending]]


def opens_at(place: Place, folder: Path) -> Opens:
    """Opens a world whose daemon has imported `contacts` people (or `rows`) and has got one campaign for them.

    `settings` are those of campaigns.
    """

    @asynccontextmanager
    async def opened(
        contacts: int,
        text: str = TEXT,
        probe: Probe = unobserved,
        rows: Iterable[Mapping[str, object]] | None = None,
        settings: Mapping[str, Any] | None = None,
        **campaign: object,
    ) -> AsyncIterator[Sending]:
        async with prepared(place, folder, campaigns=settings) as sending, sending.home.running(probe):
            await sending.add_people(rows or people(contacts) or [{"phoneNumber": "0"}])
            await sending.create(text=text, **campaign)
            yield sending

    return opened


@dataclass(slots=True)
class FailsOnce:
    """A probe that lets one pass of one point fail: the n-th since it was armed, or the first that `when` allows."""

    point: str
    at: int = 1
    is_armed: bool = False
    has_failed: bool = False
    when: Callable[[], bool] | None = None

    async def __call__(self, point: str) -> None:
        if not self.is_armed or point != self.point or self.has_failed or not (self.when is None or self.when()):
            return
        self.at -= 1
        if self.at == 0:
            self.has_failed = True
            raise ConnectionError("as if the process had ended here")


@dataclass(slots=True)
class AllAtOnce:
    """A probe that holds whoever comes to a point until `count` are there, and nobody from then on."""

    point: str
    count: int
    is_armed: bool = False
    arrived: int = 0
    _are_all_there: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, point: str) -> None:
        if self.is_armed and point == self.point:
            self.arrived += 1
            if self.arrived >= self.count:
                self._are_all_there.set()
            await self._are_all_there.wait()
