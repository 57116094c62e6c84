"""A home that sends campaigns: a WAHA stands among its neighbours, and its user speaks by commands.

Each campaign of a test has a number, which is in its text and its robot's: so WAHA's own record, the robot's queue and
the tables are told apart by what the test wrote, not by ids of the product.
"""

import asyncio
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from daemon.clock import SystemClock
from daemon.store.mysql import MysqlAddress
from domain.wire import iso
from localstack.waha import WahaSimulator
from tests.proof.child import Armed
from tests.proof.home import Home, home
from tests.proof.nursery import BOUND_S, Child, Nursery, within
from tests.world import command

USER, LIST = "user-1", "Spring"
LATE_S = 2.0  # nothing that WAHA is asked for happens later than that, so what it denies after GRACE_S is denied
GRACE_S = 4.0
NO_GRACE_S = 0.3  # where WAHA is never late
OVER = ("Completed", "Failed", "Cancelled")
TIMERS = "timer WHERE type <> 'number.acks'"  # that one looks for acknowledgements, long after a campaign is over
PICTURE = "picture.png"
_LOOK_S, _STILL_S = 0.05, 0.3
_SEASON_MS = 90 * 86_400_000
_PACE: Mapping[str, object] = {
    "gap_min_s": 0,
    "gap_max_s": 0.02,
    "unreachable_wait_s": 0.05,
    "suspicion_wait_s": 0.1,
    "rate_limited_wait_s": 0.1,
    "working_hold_s": 0,
    "ramp_sends": 3,
    "ramp_factor": 2,
}


def chat(number: int) -> str:
    """The chat of one person."""
    return f"99900{number:07d}@c.us"


def person(number: int) -> dict[str, str]:
    """A row of the list. Every third has no name."""
    row = {"phoneNumber": chat(number).removesuffix("@c.us")}
    return row if number % 3 == 0 else {**row, "firstName": f"N{number}"}


@dataclass(frozen=True, slots=True)
class Letter:
    """One campaign as the test asked for it, and who was on the list when it could start."""

    number: int
    people: tuple[int, ...]
    session: str
    has_picture: bool = False

    @property
    def robot_id(self) -> int:
        """The robot that is told of it."""
        return 62000 + self.number

    @property
    def ending(self) -> str:
        """With what all its texts end, and no others."""
        return f"this is letter {self.number}."

    @property
    def texts(self) -> dict[str, str]:
        """By chat, the one text that each has to get."""
        names = {number: person(number).get("firstName", "friend") for number in self.people}
        return {chat(number): f"Dear {name}, {self.ending}" for number, name in names.items()}

    def create_command(self, list_id: int, after_s: float, **envelope: object) -> str:
        """The body of `campaign.create`, due in so many seconds."""
        data = {
            "userId": USER,
            "name": f"letter {self.number}",
            "session": self.session,
            "contactListId": list_id,
            "text": f"Dear {{Name}}, {self.ending}",
            "defaultNameValue": "friend",
            "scheduledAt": iso(round((time.time() + after_s) * 1000)),
            "robotId": self.robot_id,
            **({"mediaFile": PICTURE} if self.has_picture else {}),
        }
        return command("campaign.create", data, **envelope)


@dataclass(slots=True)
class Mailroom:
    """One user's campaigns in one home.

    `doubted` is to whom a killed daemon was about to send: session and chat.
    """

    home: Home
    waha: WahaSimulator
    letters: list[Letter] = field(default_factory=list)
    doubted: set[tuple[str, str]] = field(default_factory=set)
    kills: int = 0

    @property
    def list_id(self) -> int:
        """The id of the user's only list."""
        return int(self.home.tables.rows("SELECT id FROM contact_list")[0][0])

    async def until(self, is_so: Callable[[], bool], what: str, bound_s: float = BOUND_S) -> None:
        """Return when something is so, which is looked at twenty times a second. AssertionError if it never is.

        While nothing moves the messages grow older: a dead daemon's poll may have taken one.
        """
        until_s = time.monotonic() + bound_s
        moved_s, mark = time.monotonic(), self.home._mark()
        while not is_so():
            now_s = time.monotonic()
            assert now_s < until_s, f"not in {bound_s} s: {what}; {self.leftovers()}"
            if self.home._mark() != mark:
                moved_s, mark = now_s, self.home._mark()
            elif now_s > moved_s + _STILL_S:
                self.home.age_messages()
                moved_s = now_s
            await self.pause_for(_LOOK_S)

    async def pause_for(self, seconds: float) -> None:
        """Let real time pass: the others work meanwhile."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.Event().wait()

    def send(self, body: str) -> None:
        """Send a command to those who live: what the polls of the dead swallow is shown again at once."""
        swallowed = self.home.sqs.abandoned(self.home.commands)
        self.home.sqs.send(self.home.commands, body)
        for _ in range(swallowed):
            self.home.age_messages()

    def say(self, verb: str, letter: Letter, **envelope: object) -> str:
        """Send a command about a campaign that is stored already; returns its body."""
        more = {"scope": "pending"} if verb == "retry" else {}
        data = {"userId": USER, "campaignId": self.campaign(letter)["id"], **more}
        body = command(f"campaign.{verb}", data, **envelope)
        self.send(body)
        return body

    def tell(self, kind: str, data: Mapping[str, object]) -> None:
        """Send any other command."""
        self.send(command(kind, data))

    def import_people(self, *numbers: int) -> None:
        """Send the command that adds people to the list."""
        self.tell("contacts.import", {"userId": USER, "listName": LIST, "rows": [person(number) for number in numbers]})

    async def with_people(self, count: int) -> tuple[int, ...]:
        """A daemon makes the list with so many people, and runs on."""
        await self.home.start()
        people = tuple(range(1, count + 1))
        self.import_people(*people)
        await self.until(lambda: self.is_quiet() and self.home.tables.count("contact") == count, "the list is there")
        return people

    def new_letter(self, people: tuple[int, ...], *, has_picture: bool = False) -> Letter:
        """A campaign to be asked for, with a session of its own that works."""
        number = len(self.letters) + 1
        letter = Letter(number, people, f"number-{number}", has_picture)
        self.waha.add_session(letter.session)
        self.letters.append(letter)
        return letter

    def twin_of(self, letter: Letter) -> Letter:
        """The same asked for once more: another campaign for the same people by the same WhatsApp number."""
        twin = replace(letter, number=len(self.letters) + 1)
        self.letters.append(twin)
        return twin

    def remember_older_texts(self, letter: Letter, *numbers: int) -> None:
        """Let these chats reach back: only of such a one can WAHA deny that it has a message."""
        for number in numbers:
            at_ms = round(time.time() * 1000) - _SEASON_MS
            self.waha.remember(letter.session, chat(number), "an older text", at_ms)

    def create(self, letter: Letter, *, after_s: float = 0, copies: int = 1) -> None:
        """Ask for a campaign, `copies` times by one id."""
        body = letter.create_command(self.list_id, after_s, id=f"create-{letter.number}")
        for _ in range(copies):
            self.send(body)

    def campaign(self, letter: Letter) -> dict[str, Any]:
        """Its row."""
        (row,) = self.home.tables.dicts(f"campaign WHERE robot_id = {letter.robot_id}")
        return row

    def ledger(self, letter: Letter) -> list[dict[str, Any]]:
        """The rows of its recipients, in order."""
        where = f"campaign_id = {self.campaign(letter)['id']}"
        return self.home.tables.dicts(f"campaign_recipient WHERE {where} ORDER BY position")

    def is_so(self, letter: Letter, what: str) -> bool:
        """Whether its row is there and so."""
        return self.home.tables.count(f"campaign WHERE robot_id = {letter.robot_id} AND {what}") == 1

    def is_started(self, letter: Letter) -> bool:
        """Whether it has its recipients."""
        return self.is_so(letter, "started_at_ms IS NOT NULL")

    def is_over(self, letter: Letter) -> bool:
        """Whether it has ended."""
        return self.is_so(letter, f"status IN {OVER}")

    def is_done(self, letter: Letter) -> bool:
        """Whether it has ended, and nothing is left of it."""
        return self.is_over(letter) and self.is_quiet()

    def is_quiet(self) -> bool:
        """Whether no message, no result and no timer is left."""
        if any(self.home.sqs.counts(queue).total for queue in self.home.consumed):
            return False
        return self.home.tables.count("outbox") + self.home.tables.count(TIMERS) == 0

    async def kill(self, child: Child) -> None:
        """SIGKILL, and note who was about to be sent to."""
        child.signal(signal.SIGKILL)
        await self.buried(child)

    async def buried(self, child: Child) -> None:
        """A daemon has been killed: wait until it is gone, and note who was about to be sent to."""
        await within(BOUND_S, child.ended)
        assert child.code == -signal.SIGKILL, f"ended by itself: {child.code}; {self.leftovers()}"
        self.kills += 1
        if all(each.ended.is_set() for each in self.home.children):
            await self.until(self.home.tables.are_let_go, "the database has noticed")
        self.doubted |= set(self.intents())

    def intents(self) -> list[tuple[str, str]]:
        """To whom somebody is about to send, or was when he died."""
        rows = self.home.tables.rows(
            "SELECT session, chat_id FROM campaign_recipient JOIN campaign ON campaign_id = id WHERE state = 'SENDING'"
        )
        return [(session, chat_id) for session, chat_id in rows]

    async def frozen(self, child: Child) -> None:
        """A daemon stops by itself, without an end: note to whom it was about to send."""
        await within(BOUND_S, child.hit)
        self.doubted |= set(self.intents())

    async def start_again(self, armed: Armed | None = None) -> Child:
        """A daemon after one that was killed, when all claims of the dead one are over."""
        self.home.pass_time()
        return await self.home.start(armed)

    async def settle(self, letter: Letter, bound_s: float = BOUND_S) -> None:
        """Return when a campaign is over and nothing of it is left."""
        await self.until(lambda: self.is_done(letter), f"{letter} is over", bound_s)

    def leftovers(self) -> str:
        """What is still there, for the message of a failure."""
        return str(self.home.leftovers())


def _sections(waha: WahaSimulator, api_key: str, folder: Path, grace_s: float) -> dict[str, dict[str, Any]]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PICTURE).write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    campaigns = {**_PACE, "media_folder": folder, "doubt_grace_s": grace_s}
    patience = {"connect_timeout_s": 2, "timeout_s": 2, "send_timeout_s": 10, "media_timeout_s": 10}
    return {"waha": {"base_url": waha.url, "api_key": api_key, **patience}, "campaigns": campaigns}


@asynccontextmanager
async def mailroom(
    place: Path | MysqlAddress, folder: Path, nursery: Nursery, *, engine: str = "NOWEB", grace_s: float = GRACE_S
) -> AsyncIterator[Mailroom]:
    """A world with a WAHA of this engine; no daemon runs in it yet."""
    api_key = secrets.token_hex(8)
    async with WahaSimulator(SystemClock(), api_key=api_key, engine=engine) as waha:
        sections = _sections(waha, api_key, folder / "media", grace_s)
        async with home(place, folder, nursery, waha=waha, sections=sections) as opened:
            yield Mailroom(opened, waha)
