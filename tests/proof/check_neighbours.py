"""What surrounds the daemon's parts in the proof of status checks: a queue, Megazord, Micro Managers, all in memory.

Written for the proof alone and shares no code with the simulators, so that nothing can be wrong in the same way twice.
Trouble is of the kinds that a network has: nobody there, done but not told, told in a form that nobody can read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from daemon.delivery import COMMANDS, EVENTS, Delivery, Rejection
from daemon.probe import Probe
from domain.errors import RuleViolation, Unavailable
from domain.status_check import Branch, Event, ScriptStep, Verdict
from domain.wire import JsonObject, iso, write_json

ROLL_CALL_EVENT = "THE_ROLL_IS_CALLED"
START_MS = 1_764_060_000_000  # 2025-11-25T08:40:00Z


class Trouble(StrEnum):
    """What happens to requests. REFUSED: nothing is done. LOST, GARBLED: done, but the answer doesn't say so."""

    NONE = "none"
    DOWN = "down"
    REFUSED = "refused"
    LOST = "lost"
    GARBLED = "garbled"


class Copies(StrEnum):
    """How many messages Megazord sends for one event and subscription."""

    NONE = "dropped"
    ONE = "one"
    TWO = "doubled"


class HandClock:
    """Business time that only the proof moves."""

    def __init__(self) -> None:
        self.at_ms = START_MS

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return self.at_ms

    async def wait_until(self, at_ms: int) -> None:
        """Nobody waits here: what is due is looked for."""
        raise AssertionError(f"somebody waits for {at_ms}")


@dataclass(slots=True, eq=False)
class Letter:
    """One message on a queue, which may be handed out any number of times."""

    number: int
    reads: str
    body: str
    sent_ms: int
    due_ms: int
    receives: int = 0
    is_settled: bool = False
    rejections: list[Rejection] = field(default_factory=list)


@dataclass(slots=True)
class Receipt:
    """One handing out of a letter, as a delivery."""

    letter: Letter
    clock: HandClock
    receive_count: int
    age_ms: int
    fence: int | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def queue(self) -> str:
        return self.letter.reads

    @property
    def reads(self) -> str:
        return self.letter.reads

    @property
    def id(self) -> str:
        return f"letter-{self.letter.number}"

    @property
    def body(self) -> str:
        return self.letter.body

    async def ack(self) -> None:
        self.letter.is_settled = True

    async def retry(self, after_s: float) -> None:
        self.letter.due_ms = self.clock.at_ms + round(after_s * 1000)

    async def reject(self, rejection: Rejection) -> None:
        self.letter.rejections.append(rejection)
        self.letter.is_settled = True


class Post:
    """Both queues: every letter stays, so that it can come again."""

    def __init__(self, clock: HandClock) -> None:
        self.letters: list[Letter] = []
        self.buried: list[tuple[str, Rejection]] = []
        self._clock = clock

    def send(self, reads: str, content: JsonObject) -> None:
        """Put one message on a queue."""
        now_ms = self._clock.at_ms
        self.letters.append(Letter(len(self.letters) + 1, reads, write_json(content), now_ms, now_ms))

    def command(self, number: int, command_type: str, data: JsonObject) -> None:
        """Put a command on its queue; its id is `c-{number}`."""
        envelope = {"specversion": "1.0", "id": f"c-{number}", "source": "proof", "type": command_type}
        self.send(COMMANDS, {**envelope, "time": iso(self._clock.at_ms), "data": data})

    def receive(self, letter: Letter) -> Receipt:
        """Hand a letter out, once more."""
        letter.receives += 1
        return Receipt(letter, self._clock, letter.receives, self._clock.at_ms - letter.sent_ms)

    def waiting(self) -> list[Letter]:
        """What nobody has settled."""
        return [letter for letter in self.letters if not letter.is_settled]

    async def bury(self, delivery: Delivery, rejection: Rejection) -> None:
        """The dead letters of timers."""
        self.buried.append((delivery.id, rejection))


@dataclass(frozen=True, slots=True)
class Happened:
    """One event as Megazord stores it."""

    id: int
    robot_id: int
    name: str
    at_ms: int


@dataclass(slots=True)
class Subscribed:
    """One subscription as Megazord stores it. `missed_roll_call`: a message that would have told of it was lost."""

    id: int
    robot_id: int
    names: tuple[str, ...]
    is_open: bool = True
    missed_roll_call: bool = False


class Megazord:
    """The neighbour itself: its tables, and its messages to our queue."""

    def __init__(self, clock: HandClock, post: Post) -> None:
        self.happened: list[Happened] = []
        self.subscribed: list[Subscribed] = []
        self.trouble = Trouble.NONE
        self.copies = Copies.ONE
        self._clock = clock
        self._post = post
        self._messages = 0

    @property
    def open(self) -> list[Subscribed]:
        """What nobody has deleted."""
        return [one for one in self.subscribed if one.is_open]

    def take(self, robot_id: int, name: str, at_ms: int) -> None:
        """Store an event and send it to whoever has subscribed to it."""
        event = Happened(5000 + len(self.happened), robot_id, name, at_ms - at_ms % 1000)
        self.happened.append(event)
        for one in self.open:
            if one.robot_id == robot_id and name in one.names:
                self._fan_out(event, one)

    def _fan_out(self, event: Happened, to: Subscribed) -> None:
        self._messages += 1
        source = {"id": event.id, "robotId": event.robot_id, "eventName": event.name, "createdAt": iso(event.at_ms)}
        payload = {"id": self._messages, "subscriptionId": to.id, "sourceEvent": source}
        if self.copies is Copies.NONE and event.name == ROLL_CALL_EVENT:
            to.missed_roll_call = True
        for _ in range({Copies.NONE: 0, Copies.ONE: 1, Copies.TWO: 2}[self.copies]):
            self._post.send(EVENTS, {"to": {"robotId": str(to.robot_id)}, "payload": payload})

    def subscribe(self, robot_id: int, names: Sequence[str]) -> int:
        """A new subscription, never merged with another."""
        self.subscribed.append(Subscribed(44000 + len(self.subscribed), robot_id, tuple(names)))
        return self.subscribed[-1].id

    def unsubscribe(self, robot_id: int, subscription_id: int) -> None:
        """Close it."""
        for one in self.subscribed:
            if (one.robot_id, one.id) == (robot_id, subscription_id):
                one.is_open = False

    def events(self, robot_id: int, names: Sequence[str], since_ms: int | None) -> list[Happened]:
        """What is stored of one robot."""
        return [
            event
            for event in self.happened
            if event.robot_id == robot_id and event.name in names and (since_ms is None or event.at_ms >= since_ms)
        ]


@dataclass(slots=True)
class Look:
    """A process's last look at a history: how many events Megazord had then, or that it refused."""

    events: int = 0
    was_refused: bool = False


class MegazordClient:
    """Megazord as one process reaches it: the port of the domain, with the probe's points around each request."""

    def __init__(self, megazord: Megazord, clock: HandClock, probe: Probe, look: Look) -> None:
        self._megazord = megazord
        self._clock = clock
        self._probe = probe
        self._look = look

    async def subscribe(self, robot_id: int, event_names: Sequence[str], until_ms: int, call_ref: str | None) -> int:
        """Subscribe to these and to the roll call."""
        del until_ms, call_ref
        await self._ask()
        made = self._megazord.subscribe(robot_id, [*event_names, ROLL_CALL_EVENT])
        await self._answer()
        return made

    async def unsubscribe(self, robot_id: int, subscription_id: int, call_ref: str | None) -> None:
        """Delete one; a refusal of this is not part of the proof, because it needs a person."""
        del call_ref
        await self._ask(refusable=False)
        self._megazord.unsubscribe(robot_id, subscription_id)
        await self._answer(readable=True)

    async def history(
        self, robot_id: int, event_names: Sequence[str], since_ms: int | None, call_ref: str | None
    ) -> list[Event]:
        """Every event, in order."""
        del call_ref
        self._look.was_refused = True
        await self._ask()
        found, stored = self._megazord.events(robot_id, event_names, since_ms), len(self._megazord.happened)
        await self._answer()
        self._look.events, self._look.was_refused = stored, False
        events = [Event(event.id, event.name, event.at_ms, 10) for event in found]
        return sorted(events, key=lambda event: (event.created_at_ms, event.id))

    async def roll_call(self, robot_id: int, call_ref: str | None) -> bool:
        """Post the event that all subscriptions include."""
        await self.post_event(robot_id, ROLL_CALL_EVENT, "", call_ref)
        return True

    async def post_event(self, robot_id: int, event_name: str, reference_id: str, call_ref: str | None) -> None:
        """Report an event."""
        del reference_id, call_ref
        await self._ask(refusable=False)
        self._megazord.take(robot_id, event_name, self._clock.at_ms)
        await self._answer(readable=True)

    async def was_posted(
        self, robot_id: int, event_name: str, reference_id: str, since_ms: int, call_ref: str | None
    ) -> bool:
        """Nothing here asks for it."""
        raise AssertionError((robot_id, event_name, reference_id, since_ms, call_ref))

    async def _ask(self, *, refusable: bool = True) -> None:
        await self._probe("before_upstream")
        trouble = self._megazord.trouble
        if trouble is Trouble.DOWN:
            raise Unavailable("megazord", "nobody answers")
        if trouble is Trouble.REFUSED and refusable:
            raise RuleViolation("megazord says no", kind="upstream-refused")

    async def _answer(self, *, readable: bool = False) -> None:
        trouble = self._megazord.trouble
        if trouble is Trouble.LOST:
            raise Unavailable("megazord", "the answer was lost")
        await self._probe("after_upstream")
        if trouble is Trouble.GARBLED and not readable:
            raise RuleViolation("megazord says nonsense", kind="upstream-contract")


@dataclass(slots=True)
class MicroManagers:
    """Scripts: the step's number says which template and which window it has."""

    steps: Mapping[int, tuple[str, int, int]]
    is_down: bool = False

    async def script_step(self, robot_id: int, step_id: int, call_ref: str | None) -> ScriptStep:
        """PASS goes on at the step's number and 1, FAIL at the number and 2; UNKNOWN has no branch."""
        del robot_id, call_ref
        if self.is_down:
            raise Unavailable("micro-managers", "nobody answers")
        template, past_s, future_s = self.steps[step_id]
        branches = {Verdict.PASS: Branch(step_id + 1), Verdict.FAIL: Branch(step_id + 2)}
        return ScriptStep(step_id, template, past_s, future_s, branches)
