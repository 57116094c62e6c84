"""The state machine of status checks: what the world does, what the replicas do, and how all of it comes to an end."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from daemon.delivery import COMMANDS
from daemon.timers import TimerRow
from domain.wire import iso
from tests.proof.check_judge import MEANINGS, Judge, Row, Tables, contents
from tests.proof.check_neighbours import START_MS, Copies, HandClock, Letter, Megazord, MicroManagers, Post, Trouble
from tests.proof.check_processes import Place, Process, Stop, World, templates_of

STEPS = {100 * number: name for number, name in enumerate(MEANINGS, start=1)}
EVENTS_OF = {"VISIT": ("TOILET_ACTIVITY", "OUTSIDE_HOME"), "BED": ("IN_BED", "OUT_OF_BED"), "HOME": ("INSIDE_HOME",)}
NAMES = sorted({name for names in EVENTS_OF.values() for name in names})
POINTS = (
    *("before_commit", "before_commit", "before_commit", "after_commit", "after_upstream", "after_upstream"),
    *("after_commit_now", "after_handle", "before_upstream", "before_settle"),
)
SELDOM = ("after_read", "after_seen", "after_settle", "before_dead_letter", "after_dead_letter")
ROBOTS = (1, 2)
HELD_AT_MOST_MS = 15_000  # a handler that is held for longer is ended by its time limit, and by the lost receipt
MINUTE_MS = 61_000
RIVALS = ("event", "end", "cancel", "release")
AGES_MS = (0, 0, 0, 1_000, 5_000, 40_000, 700_000)
TEMPLATES = templates_of(list(contents()))

robots = st.sampled_from(ROBOTS)
steps = st.sampled_from(sorted(STEPS))
which = st.integers(0, 30)
replica = st.sampled_from((0, 1))
places = {"point": st.sampled_from((*POINTS, *POINTS, *SELDOM)), "hit": st.sampled_from((1, 1, 2, 3, 4))}
pauses = st.builds(Stop, **places, is_pause=st.just(True))
stops = st.one_of(st.none(), st.builds(Stop, **places, is_pause=st.just(False)), pauses)


class Course(RuleBasedStateMachine):
    """One course of events. `place_of` gives each a fresh database."""

    place_of: ClassVar[Callable[[], Place]]

    def __init__(self) -> None:
        super().__init__()
        loop = asyncio.new_event_loop()
        clock = HandClock()
        post = Post(clock)
        managers = MicroManagers(
            {number: (name, MEANINGS[name].past_s, MEANINGS[name].future_s) for number, name in STEPS.items()}
        )
        place = type(self).place_of()
        self.world = World(loop, place, TEMPLATES, clock, post, Megazord(clock, post), managers)
        self.replicas = [Process(self.world), Process(self.world)]
        self.kinds = ["", ""]
        self.tables = Tables(place)
        self.judge = Judge(self.world, self.tables)
        self.claims: list[TimerRow] = []
        self.requests: dict[int, tuple[int, int, int]] = {}
        self.numbers = 0

    # What the world does.

    @rule(robot=robots, step=steps, scheduled=st.sampled_from((1, 1, 1, 2)), number=replica, stop=stops)
    def ask(self, robot: int, step: int, scheduled: int, number: int, stop: Stop | None) -> None:
        """A create arrives; equal ones have a new id each."""
        data: dict[str, object] = {
            "robotId": robot,
            "stepId": step,
            "scheduledId": scheduled,
            "scriptVersionId": 1,
            "plannedAt": iso(START_MS),
        }
        self.requests[len(self.world.post.letters)] = (robot, step, scheduled)
        self._command("status-check.create", data)
        self._deliver(self.world.post.letters[-1], number, stop)

    @rule(robot=robots, step=steps, name=which, stop=pauses)
    def happen_during_ask(self, robot: int, step: int, name: int, stop: Stop) -> None:
        """While a create is on its way, the home reports what it is about, and the other replica is first to hear."""
        self.ask(robot, step, 1, 0, stop)
        names = MEANINGS[STEPS[step]].future or NAMES
        self.happen(robot, names[name % len(names)], 0, Copies.ONE)
        self._deliver(self.world.post.letters[-1], 1, None)
        self._go_on(0)

    @precondition(lambda self: self.judge.known())
    @rule(robot=st.sampled_from((*ROBOTS, None)), at=which, verb=st.sampled_from(("get", "cancel")))
    def ask_about(self, robot: int | None, at: int, verb: str) -> None:
        """A get or a cancel of a check, mostly by its own robot."""
        known = self.judge.known()
        check_id, own = known[-1 - at % len(known)]
        self._command(f"status-check.{verb}", {"robotId": robot or own, "statusCheckId": check_id})

    @rule(robot=robots, name=st.sampled_from(NAMES), age_ms=st.sampled_from(AGES_MS), copies=st.sampled_from(Copies))
    def happen(self, robot: int, name: str, age_ms: int, copies: Copies) -> None:
        """Something in a home: now or, by a clock that is wrong, a while ago; its message once, twice or never."""
        before, self.world.megazord.copies = self.world.megazord.copies, copies
        self.world.megazord.take(robot, name, self.world.clock.at_ms - age_ms)
        self.world.megazord.copies = before

    @precondition(lambda self: self.world.megazord.open)
    @rule(at=which, name=which, copies=st.sampled_from(Copies))
    def happen_awaited(self, at: int, name: int, copies: Copies) -> None:
        """Something that somebody has subscribed to."""
        one = self.world.megazord.open[-1 - at % len(self.world.megazord.open)]
        self.happen(one.robot_id, one.names[name % (len(one.names) - 1)], 0, copies)

    @rule(trouble=st.sampled_from(Trouble), copies=st.sampled_from(Copies), is_down=st.booleans())
    def weather(self, trouble: Trouble, copies: Copies, is_down: bool) -> None:  # noqa: FBT001  hypothesis names it
        """How Megazord answers from now on, how often its messages come, and whether scripts can be read."""
        self.world.megazord.trouble, self.world.megazord.copies = trouble, copies
        self.world.managers.is_down = is_down

    @rule(by_s=st.sampled_from((1, 2, 5, 10, 21, 31, 61)))
    def pass_time(self, by_s: int) -> None:
        """Nothing is held for so long that its handler would have been ended."""
        self._turn(self.world.clock.at_ms + by_s * 1000)

    # What the replicas do.

    @precondition(lambda self: self.world.post.letters)
    @rule(at=which, number=replica, stop=stops)
    def deliver(self, at: int, number: int, stop: Stop | None) -> None:
        """Any letter, again and again, the newest ones first."""
        letters = self.world.post.letters
        self._deliver(letters[-1 - at % len(letters)], number, stop)

    @precondition(lambda self: self.world.post.waiting())
    @rule(at=which, number=replica, stop=stops)
    def deliver_waiting(self, at: int, number: int, stop: Stop | None) -> None:
        """A letter that nobody has settled, due or not."""
        letters = self.world.post.waiting()
        self._deliver(letters[at % len(letters)], number, stop)

    @precondition(lambda self: self.world.post.waiting())
    @rule(number=replica)
    def deliver_oldest(self, number: int) -> None:
        """What has waited longest, undisturbed: else too few courses would come far."""
        self._deliver(self.world.post.waiting()[0], number, None)

    @precondition(lambda self: self._due())
    @rule(at=which, number=replica, stop=stops)
    def fire_due(self, at: int, number: int, stop: Stop | None) -> None:
        """Claim what is due, also from the other, and fire one of it."""
        self._claim_and_fire(at, "", number, stop)

    @precondition(lambda self: self.claims)
    @rule(at=which, number=replica, stop=stops)
    def fire_again(self, at: int, number: int, stop: Stop | None) -> None:
        """Any claim that was ever made, the newest first: most are too old by now."""
        self._fire(self.claims[-1 - at % len(self.claims)], number, stop)

    @precondition(lambda self: self._held())
    @rule(at=which)
    def go_on(self, at: int) -> None:
        """What is held goes to its end."""
        held = self._held()
        self._go_on(held[at % len(held)])

    @precondition(lambda self: self._held())
    @rule(at=which)
    def crash(self, at: int) -> None:
        """A replica dies with what it holds."""
        held = self._held()
        self.replicas[held[at % len(held)]].crash()

    @precondition(lambda self: len(self._to_do()) > 1)
    @rule(at=which, other=which, stop=pauses)
    def race(self, at: int, other: int, stop: Stop) -> None:
        """Two things that wait are done at once: one replica is held on its way while the other overtakes it."""
        to_do = self._to_do()
        to_do[at % len(to_do)](0, stop)
        to_do[other % len(to_do)](1, None)
        self._go_on(0)

    @precondition(lambda self: self.judge.running())
    @rule(at=which, one=st.sampled_from(RIVALS), other=st.sampled_from(RIVALS), stop=pauses)
    def contend(self, at: int, one: str, other: str, stop: Stop) -> None:
        """An event, the end of the window, a cancel and the release timer, any two of them, meet at one check."""
        running = self.judge.running()
        first = self._rival(one, running[at % len(running)])
        second = self._rival(other, running[at % len(running)])
        first(0, stop)
        second(1, None)
        self._go_on(0)

    @rule(number=replica, forgets=st.booleans())
    def relay(self, number: int, forgets: bool) -> None:  # noqa: FBT001  hypothesis names it
        """Robots are told, and perhaps will be again."""
        self.replicas[number].relay(forgets=forgets)

    @rule()
    def a_minute_of_calm(self) -> None:
        """Everything works for a minute: then nothing is open at Megazord but what a running check holds."""
        self._heal()
        self._live_until(self.world.clock.at_ms + MINUTE_MS)
        open_ones = [one for one in self.world.megazord.open if not one.missed_roll_call]
        lost = [one for one in open_ones if one.id not in {check["subscription_id"] for check in self.judge.running()}]
        assert lost == [], f"open for nobody: {lost}"

    def teardown(self) -> None:
        """Everything heals and comes to its end; then all of it is judged."""
        try:
            self._end()
        finally:
            for process in self.replicas:
                process.close()
            self.tables.close()
            self.world.loop.run_until_complete(self.world.loop.shutdown_default_executor())
            self.world.loop.close()

    def _end(self) -> None:
        self._heal()
        longest_ms = max(meaning.future_s for meaning in MEANINGS.values()) * 1000
        self._live_until(self.world.clock.at_ms + longest_ms + 120_000)
        for one in self.world.megazord.open:  # whose roll call was lost on its way: only an event of the home can help
            assert one.missed_roll_call, f"still open: {one}"
            self.world.megazord.take(one.robot_id, one.names[0], self.world.clock.at_ms)
        self._live_until(self.world.clock.at_ms + MINUTE_MS)
        assert self.world.megazord.open == []
        letters = self.world.post.letters
        asked = {request for at, request in self.requests.items() if not letters[at].rejections}
        self.judge.ended(asked)
        self.judge.told()

    def _command(self, command_type: str, data: dict[str, object]) -> None:
        self.numbers += 1
        self.world.post.command(self.numbers, command_type, data)

    def _to_do(self) -> list[Callable[[int, Stop | None], None]]:
        letters = [partial(self._deliver, letter) for letter in self.world.post.waiting()]
        return [*letters, *(partial(self._claim_and_fire, at, "") for at in range(self._due()))]

    def _rival(self, kind: str, check: Row) -> Callable[[int, Stop | None], None]:
        robot, names = check["robot_id"], MEANINGS[check["template_name"]].future
        timers = {
            "end": f"status-check.end:{check['id']}",
            "release": f"subscription.release:{check['subscription_id']}",
        }
        if kind in timers:
            due = [row["due_at_ms"] for row in self.tables.rows("timer") if row["id"] == timers[kind]]
            self._turn(max([self.world.clock.at_ms, *due]))
            return partial(self._claim_and_fire, 0, timers[kind])
        if kind == "cancel":
            self._command("status-check.cancel", {"robotId": robot, "statusCheckId": check["id"]})
        else:
            self.happen(robot, names[self.numbers % len(names)], 0, Copies.ONE)
        return partial(self._deliver, self.world.post.letters[-1])

    def _claim_and_fire(self, at: int, name: str, number: int, stop: Stop | None) -> None:
        claimed = self.replicas[number].claim()
        self.claims += claimed
        if claimed := [row for row in claimed if row.id.startswith(name)]:
            self._fire(claimed[at % len(claimed)], number, stop)

    def _heal(self) -> None:
        self.world.megazord.trouble, self.world.megazord.copies = Trouble.NONE, Copies.ONE
        self.world.managers.is_down = False
        for number in self._held():
            self._go_on(number)

    def _held(self) -> list[int]:
        return [number for number, process in enumerate(self.replicas) if process.held is not None]

    def _go_on(self, number: int) -> None:
        self.replicas[number].go_on()
        self._look(number)

    def _due(self) -> int:
        return len(self.tables.rows(f"timer WHERE due_at_ms <= {self.world.clock.at_ms}"))

    def _live_until(self, to_ms: int) -> None:
        """A healthy system until this moment: whatever is due is done at once."""
        clock = self.world.clock
        while True:
            while self._work():
                pass
            due = [letter.due_ms for letter in self.world.post.waiting()]
            due += [row["due_at_ms"] for row in self.tables.rows("timer")]
            clock.at_ms = min([to_ms, *due])
            if clock.at_ms == to_ms:
                while self._work():
                    pass
                return

    def _work(self) -> bool:
        letters = [letter for letter in self.world.post.waiting() if letter.due_ms <= self.world.clock.at_ms]
        for letter in letters:
            self._deliver(letter, letter.number % 2, None)
        claims = self.replicas[0].claim()
        for claim in claims:
            self._fire(claim, 0, None)
        return bool(letters or claims) | bool(self.replicas[1].relay(forgets=False))

    def _turn(self, to_ms: int) -> None:
        for number in self._held():
            if to_ms - self.replicas[number].held_since_ms > HELD_AT_MOST_MS:
                self._go_on(number)
        self.world.clock.at_ms = to_ms

    def _deliver(self, letter: Letter, number: int, stop: Stop | None) -> None:
        kind = letter.body.split('"type":"')[-1].split('"')[0] if letter.reads == COMMANDS else "event"
        self._run(number, kind, partial(self.replicas[number].deliver, self.world.post.receive(letter)), stop)

    def _fire(self, claim: TimerRow, number: int, stop: Stop | None) -> None:
        self._run(number, claim.type, partial(self.replicas[number].deliver, self.replicas[number].timer(claim)), stop)

    def _run(self, number: int, kind: str, start: Callable[[Stop | None], None], stop: Stop | None) -> None:
        if self.replicas[number].held is not None:
            self._go_on(number)
        self.kinds[number] = kind
        start(stop)
        self._look(number)

    def _look(self, number: int) -> None:
        self.judge.look(self.kinds[number], self.replicas[number].look)
