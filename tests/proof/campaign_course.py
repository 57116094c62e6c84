"""The course of a campaign that nobody disturbs, as a tracer wrote it down: what there is to strike, and where.

The points and their hits are taken from a run, never typed: they follow the code.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.proof.campaign_home import Mailroom

SEND = "/api/send"


@dataclass(frozen=True, slots=True)
class Step:
    """The `hit`-th time that a daemon reached `point`, with the message that it had in hand."""

    point: str
    hit: int
    message_id: str | None

    def __str__(self) -> str:
        return f"{self.point}-{self.hit}"


@dataclass(frozen=True, slots=True)
class Course:
    """The steps from the command on, and which of them are the sends: each about to be made."""

    steps: Sequence[Step]
    sends: Sequence[int]

    def around(self, number: int) -> Sequence[Step]:
        """Three steps: the intent of the `number`-th send is committed, it is about to be made, it is answered."""
        at = self.sends[number]
        return self.steps[at - 1 : at + 2]

    def about(self, number: int) -> Sequence[Step]:
        """Every step from the one that makes the `number`-th send to the one that makes the next."""
        return self.steps[self.sends[number] : self.sends[number + 1]]


async def undisturbed(room: Mailroom, people: tuple[int, ...]) -> Course:
    """Let one daemon send a whole campaign, and tell how it went. Every request of its is one of WAHA's."""
    child = await room.start_again()
    letter = room.new_letter(people)
    asked, before = len(room.waha.requests), len(room.home.trace())
    room.create(letter)
    await room.settle(letter)
    lines = room.home.trace()
    hits = Counter(line["point"] for line in lines[:before] if line["pid"] == child.pid)
    sends = [request.path.startswith(SEND) for request in room.waha.requests[asked:]]
    steps: list[Step] = []
    made: list[int] = []
    for line in lines[before:]:
        if line["pid"] != child.pid:
            continue
        hits[line["point"]] += 1
        if line["point"] == "before_upstream" and sends.pop(0):
            made.append(len(steps))
        steps.append(Step(line["point"], hits[line["point"]], line["id"]))
    assert len(made) == len(people), f"{len(made)} sends for {len(people)} people"
    await room.kill(child)
    return Course(steps, made)
