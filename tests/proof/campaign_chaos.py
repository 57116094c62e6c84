"""A campaign among everything that may happen to it: kills at random instants, wishes of its user, weather at WAHA.

Each of those who act has chance of his own from the one seed, so that what one does changes nothing for the others.
"""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.proof.campaign_home import Letter, Mailroom, chat
from tests.proof.campaign_judge import Judge
from tests.proof.campaign_weather import Weather
from tests.proof.nursery import Child

NEWCOMERS = 5_000
LEASE_S = 5.0
START_S, FINISH_S, REACH_S = 30.0, 90.0, 15.0
_RESUME_EVERY_LOOKS = 10


@dataclass(slots=True)
class Wishes:
    """What the user does meanwhile; `opted_out` is who asked to be left alone."""

    room: Mailroom
    chance: random.Random
    opted_out: set[str] = field(default_factory=set)
    newcomers: int = NEWCOMERS

    async def go_on(self) -> None:
        """For ever: one wish after the other."""
        wishes = (self.talk, self.talk, self.talk, self.add_people, self.remove_people, self.opt_out, self.heal)
        while True:
            await self.room.pause_for(self.chance.uniform(0.02, 0.3))
            self.chance.choice(wishes)()

    def talk(self) -> None:
        """A command, perhaps twice: by one id, or by two."""
        letter = self.chance.choice(self.room.letters)
        verb = self.chance.choice(("pause", "resume", "resume", "resume", "run", "status"))
        body = self.room.say(verb, letter)
        if self.chance.random() < 0.3:
            self.room.send(body)
        if self.chance.random() < 0.3:
            self.room.say(verb, letter)

    def add_people(self) -> None:
        """The list grows; nobody who was not on it at the start may get anything."""
        count = self.chance.randint(1, 3)
        self.room.import_people(*range(self.newcomers, self.newcomers + count))
        self.newcomers += count

    def remove_people(self) -> None:
        """Contacts are deleted; they were on the list at the start, so they get it all the same."""
        chats = self._some_chats()
        marks = ", ".join(f"'{chat_id}'" for chat_id in chats)
        self.room.home.tables.rows(f"DELETE FROM contact WHERE chat_id IN ({marks})")  # noqa: S608  chats of ours

    def opt_out(self) -> None:
        """Somebody wants no messages; whoever has his already keeps it."""
        chat_id = self._some_chats()[0]
        self.opted_out.add(chat_id)
        self.room.tell("opt-out.add", {"chatId": chat_id})

    def heal(self) -> None:
        """The time comes to look whether a pause has healed."""
        self.room.home.tables.rows("UPDATE timer SET due_at_ms = 1 WHERE type = 'campaign.heal'")

    def _some_chats(self) -> Sequence[str]:
        return [chat(number) for number in self.chance.sample(self.room.letters[0].people, 3)]


@dataclass(slots=True)
class Killer:
    """Keeps so many daemons running, and kills them at instants that chance chooses."""

    room: Mailroom
    weather: Weather
    chance: random.Random
    replicas: int
    may_freeze: bool = False
    alive: list[Child] = field(default_factory=list)
    freezes: int = 0

    async def begin(self) -> None:
        """Let as many run as there have to be. `pass_time` only when all are dead: the living keep their claims."""
        if not self.alive:
            self.room.home.pass_time()
        while len(self.alive) < self.replicas:
            self.alive.append(await self.room.home.start())

    async def strike(self, instants: int) -> None:
        """Kill so many times while the letters go out."""
        total = sum(len(letter.people) for letter in self.room.letters)
        for accepted in sorted(self.chance.randrange(total) for _ in range(instants)):
            await self._reach(accepted)
            if self.may_freeze and self.replicas > 1 and self.chance.random() < 0.25:
                await self._freeze()
            await self.chance.choice((self._at_once, self._a_moment_later, self._while_it_hangs))()
            await self._kill()
            if self.chance.random() < 0.3:
                await self.room.pause_for(self.chance.uniform(0, 0.3))  # nobody is there for a while
            await self.begin()

    async def _reach(self, accepted: int) -> None:
        with suppress(TimeoutError):  # it may be paused for good: then it is killed in a pause
            async with asyncio.timeout(REACH_S):
                await self.room.waha.until(lambda: len(self.room.waha.accepted) >= accepted)

    async def _at_once(self) -> None:
        """The moment in which WAHA has taken it, and nobody knows yet."""

    async def _a_moment_later(self) -> None:
        await self.room.pause_for(self.chance.uniform(0, 0.1))

    async def _while_it_hangs(self) -> None:
        faults = self.room.waha.faults
        self.weather.hang_the_next_send(self.chance.choice(self.room.letters))
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await faults.until(lambda: faults.hanging > 0)

    async def _freeze(self) -> None:
        """One of them stops without an end, wherever it is, and wakes up when its lease is over."""
        sleeper = self.chance.choice(self.alive)
        sleeper.signal(signal.SIGSTOP)
        await self.room.pause_for(LEASE_S + self.chance.uniform(0, 2))
        sleeper.signal(signal.SIGCONT)
        self.freezes += 1

    async def _kill(self) -> None:
        doomed = [self.chance.choice(self.alive)]
        if self.chance.random() < 0.25:
            doomed = list(self.alive)
        for child in doomed:
            self.alive.remove(child)
            await self.room.kill(child)


@dataclass(slots=True)
class Chaos:
    """All of it, from the list to the judge."""

    room: Mailroom
    dice: Callable[[str], random.Random]
    replicas: int
    may_freeze: bool = False

    async def violations(self, contacts: int, instants: int) -> list[str]:
        """Play it, let everything come to its end, and say what does not hold."""
        chance = self.dice("beginning")
        weather = Weather(self.room, self.dice("weather"))
        killer = Killer(self.room, weather, self.dice("killer"), self.replicas, self.may_freeze)
        wishes = Wishes(self.room, self.dice("wishes"))
        people = await self.room.with_people(contacts)
        await self.room.kill(self.room.home.child)
        letter = self.room.new_letter(people, has_picture=chance.random() < 0.2)
        weather.gather(letter)
        await killer.begin()
        async with _meanwhile(weather.let_go(), weather.mend_sessions()):
            await self._begin(letter, chance)
            async with _meanwhile(wishes.go_on()):
                await killer.strike(instants)
            weather.clear()
            await self._finish()
        slack = (self.room.kills + killer.freezes) * len(self.room.letters) if self.replicas > 1 else 0
        return Judge(self.room, wishes.opted_out, slack=slack).violations(*self.room.letters)

    async def _begin(self, letter: Letter, chance: random.Random) -> None:
        """Asked for and started, each more often than once; the list is left alone until the starts are over."""
        room = self.room
        room.create(letter, after_s=chance.choice((0, 1)), copies=chance.choice((1, 2, 3)))
        if chance.random() < 0.3:
            room.create(room.twin_of(letter), after_s=chance.choice((0, 1)))
        for each in room.letters:
            await room.until(lambda each=each: room.is_so(each, "1 = 1"), f"{each} is stored", START_S)  # type: ignore[misc]
            body = room.say("run", each)
            room.send(body)
            room.say("run", each)
        for each in room.letters:
            await room.until(lambda each=each: room.is_started(each), f"{each} is started", START_S)  # type: ignore[misc]

    async def _finish(self) -> None:
        """Nothing is wrong any more, and whatever stands still is told to go on."""
        looks = 0

        def is_done() -> bool:
            nonlocal looks
            looks += 1
            if looks % _RESUME_EVERY_LOOKS == 0:
                self._push()
            return all(self.room.is_done(letter) for letter in self.room.letters)

        await self.room.until(is_done, "all letters are over", FINISH_S)

    def _push(self) -> None:
        for letter in self.room.letters:
            if self.room.is_so(letter, "status = 'Paused'"):
                self.room.say("resume", letter)
            elif self.room.is_over(letter) and self._has_pending(letter):
                self.room.say("retry", letter)

    def _has_pending(self, letter: Letter) -> bool:
        found = f"campaign_recipient WHERE state = 'PENDING' AND campaign_id = {self.room.campaign(letter)['id']}"
        return self.room.home.tables.count(found) > 0


@asynccontextmanager
async def _meanwhile(*acts: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Others act as long as this lasts; what goes wrong with them is raised."""
    tasks = [asyncio.create_task(act) for act in acts]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end


def describe(room: Mailroom) -> str:
    """What the weather did, for the message of a failure."""
    script = [(chat_id, trouble.kind, trouble.when) for chat_id, trouble in room.waha.script.struck]
    faults = [(route, fault.kind, fault.when) for route, fault in room.waha.faults.struck]
    return f"engine {room.waha.engine}, {len(room.letters)} letters, kills {room.kills}; {script}; {faults}"
