import asyncio
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from daemon.store.mysql import MysqlAddress
from domain.wire import iso
from localstack.megazord_records import Fate
from tests.world import MORNING_MS, World, create_command, world

ROBOTS, ROUNDS = 200, 50
FIRST_ROBOT, STEP = 61001, 88120
ROUND_MS = 60_000
LOST_SHARE = 0.02
PATIENT = {"timeout_s": 60}  # the neighbours live in this very process and have no processor of their own
Names = list[str]
Rule = Callable[[Names], str | None]


def _rule_of_bed(names: Names) -> str | None:
    return "PASS" if names and names[-1] != "IN_BED" else None


def _rule_of_night(names: Names) -> str | None:
    if "NOT_RETURNED_TO_BED" in names or sum("OUT_OF_BED" in name for name in names) >= 3:
        return "FAIL"
    return None


def _rule_of_dinner(names: Names) -> str | None:
    return "PASS" if "EATING_ACTIVITY" in names else None


def _rule_of_visit(names: Names) -> str | None:
    if {"TOILET_ACTIVITY", "IN_TOILET"} & set(names):
        return "PASS"
    return "UNKNOWN" if names and names[-1] == "OUTSIDE_HOME" else None


def _rule_of_door(names: Names) -> str | None:
    return "FAIL" if names else None


@dataclass(frozen=True, slots=True)
class Kind:
    """A template in plain Python. `common` decide nothing (or not for good), `rare` may; `at_the_end` is asked last."""

    template: str
    common: tuple[str, ...]
    rare: tuple[str, ...]
    rule: Rule
    at_the_end: Rule
    silence: str
    is_polled_until_end: bool = False


KINDS = (
    Kind(
        "OUT_OF_BED_MORNING",
        ("IN_BED", "OUT_OF_BED", "EARLY_OUT_OF_BED"),
        ("IN_BED",),
        _rule_of_bed,
        lambda names: _rule_of_bed(names) or ("FAIL" if names else None),
        "UNKNOWN",
        is_polled_until_end=True,
    ),
    Kind(
        "CALM_NIGHT",
        ("IN_BED",),
        ("OUT_OF_BED", "EARLY_OUT_OF_BED", "NOT_RETURNED_TO_BED"),
        _rule_of_night,
        lambda names: "PASS" if "IN_BED" in names else _rule_of_night(names),
        "UNKNOWN",
    ),
    Kind(
        "DINNER_EATEN",
        ("IN_KITCHEN", "IN_DINING_ROOM"),
        ("EATING_ACTIVITY",),
        _rule_of_dinner,
        lambda names: _rule_of_dinner(names) or ("UNKNOWN" if names else None),
        "FAIL",
    ),
    Kind(
        "TOILET_VISIT",
        ("INSIDE_HOME",),
        ("TOILET_ACTIVITY", "IN_TOILET", "OUTSIDE_HOME"),
        _rule_of_visit,
        _rule_of_visit,
        "FAIL",
    ),
    Kind("DOOR_CLOSED", (), ("DOOR_OPEN_TOO_LONG",), _rule_of_door, _rule_of_door, "PASS"),
)
NOISE = "IN_GARAGE"  # no template asks for it


@dataclass(slots=True)
class Home:
    """One robot with one check. `seen[round]` is what its home reported then, `lost` the rounds that never came."""

    robot_id: int
    kind: Kind
    window_s: int
    seen: Names
    lost: set[int] = field(default_factory=set)

    @property
    def rounds_in_window(self) -> int:
        return min(ROUNDS, self.window_s * 1000 // ROUND_MS)  # an event at the very end of the window still counts


def _home(number: int, dice: random.Random) -> Home:
    kind = KINDS[number % 10] if number % 10 < len(KINDS) else KINDS[number % 4]  # few doors: their checks end early
    rare = dice.choice((0.0, 0.02, 0.05))
    seen = [_event(kind, rare, dice) for _ in range(ROUNDS)]
    window_s = dice.choice((20, 35, 50, 50, 51)) * ROUND_MS // 1000
    return Home(FIRST_ROBOT + number, kind, window_s, seen)


def _event(kind: Kind, rare: float, dice: random.Random) -> str:
    if kind.rare and dice.random() < rare:
        return dice.choice(kind.rare)
    return dice.choice(kind.common or (NOISE,))


def expected(home: Home) -> tuple[int, str]:
    """When the robot must hear the last word (after how many rounds), and which."""
    names: Names = []
    for number in range(home.rounds_in_window):
        if number in home.lost:
            continue
        names.append(home.seen[number])
        if not home.kind.is_polled_until_end and (decided := _decided(home.kind.rule, home.kind, names)):
            return number + 1, decided
    everything = home.seen[: home.rounds_in_window]  # what was lost on its way is read from the history
    last = _decided(home.kind.at_the_end, home.kind, everything)
    return home.window_s * 1000 // ROUND_MS, last or home.kind.silence


def _decided(rule: Rule, kind: Kind, names: Names) -> str | None:
    return rule([name for name in names if name in kind.common + kind.rare])


async def _ask(place: World, homes: Sequence[Home]) -> None:
    for home in homes:
        place.managers.add_step(home.robot_id, STEP, home.kind.template, 0, home.window_s)
        body = create_command(home.robot_id, STEP, home.robot_id, MORNING_MS)
        place.sqs.send(place.settings.queues.commands, body)
    await place.quiet(60)


async def _live(place: World, homes: Sequence[Home]) -> None:
    """Round by round one event in each home, all at once. Megazord's clock is ahead by a millisecond.

    So an event at the very end of a window is there before the window ends, every time.
    """
    for number in range(ROUNDS):
        at_ms = MORNING_MS + (number + 1) * ROUND_MS
        await place.pass_time(at_ms - 1)
        posts = [place.megazord.post_event(home.robot_id, home.seen[number], created_at_ms=at_ms) for home in homes]
        await asyncio.gather(*posts)
        await place.quiet(60)
    await place.pass_time(MORNING_MS + (ROUNDS + 2) * ROUND_MS)


def _note_lost(place: World, homes: Sequence[Home]) -> None:
    by_robot = {home.robot_id: home for home in homes}
    for outgoing in place.megazord.outgoing:
        if outgoing.fate is Fate.DROPPED:
            source = outgoing.source
            by_robot[source.robot_id].lost.add((source.created_at_ms - MORNING_MS) // ROUND_MS - 1)


def _judge(place: World, home: Home) -> str:
    results = place.results(home.robot_id)
    phases = [result["payload"]["phase"] for result in results]
    assert phases == ["FUTURE"] * (len(phases) - 1) + ["COMPLETED"], home
    rounds, verdict = expected(home)
    last = results[-1]
    at_ms = MORNING_MS + rounds * ROUND_MS
    is_timed_out = rounds * ROUND_MS == home.window_s * 1000 and last["time"] == iso(at_ms)
    assert last["payload"]["result"] == verdict, home
    assert is_timed_out or last["time"] == iso(at_ms - 1), (home, rounds, last["time"])
    return f"{home.kind.template} {verdict}"


async def test_ten_thousand_events_of_two_hundred_robots_end_every_check_rightly_and_leave_nothing(
    place: Path | MysqlAddress,
) -> None:
    """Each of 200 checks ends as its own events say, once, and no message, row or subscription stays behind."""
    dice = random.Random(7)
    homes = [_home(number, dice) for number in range(ROBOTS)]
    async with world(place, megazord=PATIENT, micro_managers=PATIENT) as small:
        async with small.running():
            await _ask(small, homes)
            small.megazord.faults.drop_fan_out(probability=LOST_SHARE)
            began_s = time.monotonic()
            await _live(small, homes)
            took_s = time.monotonic() - began_s
        _note_lost(small, homes)
        verdicts = [_judge(small, home) for home in homes]
        fates = [outgoing.fate for outgoing in small.megazord.outgoing]
        inbox = await small.database.fetch("SELECT COUNT(*) FROM inbox")
        assert inbox[0][0] == ROBOTS + fates.count(Fate.SENT)
        assert len(small.megazord.incoming) == ROBOTS * ROUNDS
        assert await small.leftovers() == {}
    sent, dropped = fates.count(Fate.SENT), fates.count(Fate.DROPPED)
    counts = "\n".join(f"  {verdicts.count(verdict):>4} {verdict}" for verdict in sorted(set(verdicts)))
    rate = f"{sent} messages in {took_s:.1f} s, {sent / took_s:.0f} a second, {dropped} lost by Megazord"
    sys.stdout.write(f"\n{counts}\n{rate}\n")
