"""The course of a test of a delivery server that nobody disturbs: what there is to strike.

The points and their hits are taken from a run, never typed: they follow the code.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tests.proof.server_home import Lab, Wanted


class Kind(StrEnum):
    """What is asked for."""

    DIRECT = "direct"
    BAD = "bad"
    CAMPAIGN = "campaign"
    CYCLE = "cycle"


@dataclass(frozen=True, slots=True)
class Step:
    """The `hit`-th time that a daemon reached `point`."""

    point: str
    hit: int

    def __str__(self) -> str:
        return f"{self.point}-{self.hit}"


async def begin(lab: Lab, kind: Kind, copies: int = 1) -> tuple[list[Wanted], str | None]:
    """New servers, and the command that has them tested; for a cycle its name too."""
    if kind is Kind.CYCLE:
        fleet = [await lab.add() for _ in range(3)]
        fleet += [await lab.add(is_bad=True), await lab.add(by_campaign=True)]
        name = str(fleet[0].id)
        lab.cycle(name, copies)
        return fleet, name
    server = await lab.add(is_bad=kind is Kind.BAD, by_campaign=kind is Kind.CAMPAIGN)
    lab.ask(server, copies)
    return [server], None


async def undisturbed(lab: Lab, kind: Kind) -> Sequence[Step]:
    """Let one daemon do it all, and tell which points it came by."""
    child = await lab.start_again()
    before = len(lab.home.trace())
    await begin(lab, kind)
    await lab.until(lambda: bool(lab.told("server.tested") or lab.told("server.cycle-tested")), "it has been told")
    await lab.settle()
    lines = [line for line in lab.home.trace() if line["pid"] == child.pid]
    hits: Counter[str] = Counter()
    steps: list[Step] = []
    old = sum(line["pid"] == child.pid for line in lab.home.trace()[:before])
    for number, line in enumerate(lines):
        hits[line["point"]] += 1
        if number >= old:
            steps.append(Step(line["point"], hits[line["point"]]))
    await lab.kill(child)
    return steps
