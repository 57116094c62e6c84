import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from daemon.store.mysql import MysqlAddress
from localstack.megazord_records import OutgoingEvent
from tests.e2e.conftest import Places
from tests.world import MORNING_MS, World, create_command, world

ROBOTS, ROUNDS = 30, 14
FIRST_ROBOT = 61001
ROUND_MS = 240_000
STEPS = {100: "TOILET_VISIT", 200: "DINNER_EATEN", 300: "OUT_OF_BED_MORNING"}
BED = ("IN_BED", "OUT_OF_BED", "EARLY_OUT_OF_BED")
NAMES = (*BED, "IN_BED", "IN_KITCHEN", "EATING_ACTIVITY", "TOILET_ACTIVITY", "INSIDE_HOME", "OUTSIDE_HOME")
PATIENT = {"timeout_s": 60}  # the neighbours live in this very process and have no processor of their own
OLD_ONES = 50
Row = tuple[Any, ...]
Key = tuple[int, int]  # robot and step: names a check whatever its id is


@dataclass(frozen=True, slots=True)
class Trouble:
    """How the messages come. `copies` of each are sent, and each delivery of each may be repeated once more."""

    copies: int = 1
    duplicate: float = 0.0
    window: int = 0
    echoes: int = 0  # so many bodies of earlier rounds come again in each round


NONE = Trouble()
MUCH = Trouble(copies=2, duplicate=0.5, window=50, echoes=OLD_ONES)


@dataclass(frozen=True, slots=True)
class Aftermath:
    """All that is left of one run, with checks and events named by what they are about instead of by their ids."""

    checks: list[Row]
    records: list[Row]
    results: dict[str, Any]
    heard: dict[Key, list[Any]]
    inbox: int


def _events(seed: int) -> list[list[str]]:
    dice = random.Random(seed)
    return [[dice.choice(NAMES) for _ in range(ROBOTS)] for _ in range(ROUNDS)]


def _commands() -> list[str]:
    return [
        create_command(FIRST_ROBOT + number, step, 7000 + step + number, MORNING_MS, id=f"create-{number}-{step}")
        for number in range(ROBOTS)
        for step in STEPS
    ]


async def _live(home: World, trouble: Trouble) -> None:
    dice, commands = random.Random(11), home.settings.queues.commands
    for number in range(ROBOTS):
        for step, template in STEPS.items():
            home.managers.add_step(FIRST_ROBOT + number, step, template)
    # What was before the question decides some of the checks at once.
    for number in range(0, ROBOTS, 3):
        await home.megazord.post_event(
            FIRST_ROBOT + number, NAMES[number % len(NAMES)], created_at_ms=MORNING_MS - 60_000
        )
    for body in _commands():
        for _ in range(trouble.copies):
            home.sqs.send(commands, body)
    await home.quiet(60)
    for number, names in enumerate(_events(5), start=1):
        await home.pass_time(MORNING_MS + number * ROUND_MS)
        _echo(home, trouble.echoes, dice)
        await asyncio.gather(*(home.megazord.post_event(FIRST_ROBOT + place, name) for place, name in enumerate(names)))
        await home.quiet(60)
    await home.pass_time(MORNING_MS + 3 * 3_600_000)


def _echo(home: World, count: int, dice: random.Random) -> None:
    """Send bodies again that were sent before, whatever has become of them."""
    queues = (home.settings.queues.commands, home.settings.queues.events)
    earlier = sorted({(entry.queue, entry.body) for queue in queues for entry in home.sqs.ledger.of("sent", queue)})
    for queue, body in dice.sample(earlier, min(count, len(earlier))):
        home.sqs.send(queue, body)


async def _aftermath(home: World) -> Aftermath:
    checks = await home.database.fetch(
        "SELECT id, robot_id, step_id, scheduled_id, template_name, template_version, started_at_ms, looks_back, "
        "since_ms, until_ms, branches, phase, result, next_step_id, next_step_resolved, updated_at_ms, notices, "
        "version, subscription_id FROM status_check"
    )
    records = await home.database.fetch(
        "SELECT status_check_id, ordinal, incoming_event_id, event_name, level, phase, result, created_at_ms, "
        "outgoing_event_id FROM status_check_record"
    )
    inbox = await home.database.fetch("SELECT COUNT(*) FROM inbox")
    key_of = {row[0]: (row[1], row[2]) for row in checks}
    owner_of = {row[-1]: row[0] for row in checks if row[-1] is not None}
    event_of: dict[Any, OutgoingEvent] = {outgoing.id: outgoing for outgoing in home.megazord.outgoing}
    for check_id, incoming_id, outgoing_id in ((row[0], row[2], row[-1]) for row in records):
        if outgoing_id is not None:  # its own subscription's message about this very event
            assert event_of[outgoing_id].source.id == incoming_id
            assert owner_of[event_of[outgoing_id].subscription_id] == check_id
    results, heard = _heard(home, key_of)
    return Aftermath(
        checks=sorted(row[1:-1] for row in checks),
        records=sorted((*key_of[row[0]], *row[1:-1], row[-1] is None) for row in records),
        results=results,
        heard=heard,
        inbox=int(inbox[0][0] or 0),
    )


def _heard(home: World, key_of: Mapping[Any, Any]) -> tuple[dict[str, Any], dict[Key, list[Any]]]:
    """What robots make of their queues when they drop what they have heard: by id, and in order for each check."""
    results: dict[str, Any] = {}
    heard: dict[Key, list[Any]] = {key: [] for key in key_of.values()}
    for number in range(ROBOTS):
        for result in home.results(FIRST_ROBOT + number):
            payload = result["payload"]
            key = key_of[payload.pop("id")]
            history = [{**line, "outgoingEventId": None} for line in payload.pop("history")]
            prefix, _, count = result["id"].split("-")
            name, told = f"{prefix}-{key}-{count}", (result["type"], result["time"], payload, history)
            if name in results:
                assert results[name] == told, "one id, two contents"
                continue
            results[name] = told
            heard[key].append((count, told))
    return results, heard


async def _run(place: Path | MysqlAddress, trouble: Trouble) -> Aftermath:
    async with world(place, copies=trouble.copies, megazord=PATIENT, micro_managers=PATIENT) as home:
        home.sqs.faults.duplicate = trouble.duplicate
        home.sqs.faults.reorder_window = trouble.window
        async with home.running():
            await _live(home, trouble)
            aftermath = await _aftermath(home)
            if trouble.copies > 1:
                _echo(home, 1_000_000, random.Random(1))  # the whole input once more
                await home.quiet(60)
                assert await _aftermath(home) == aftermath
        assert await home.leftovers() == {}
        assert len(home.megazord.incoming) == ROBOTS * ROUNDS + ROBOTS // 3
    return aftermath


async def test_messages_twice_and_out_of_order_leave_what_single_ones_in_order_leave(places: Places) -> None:
    """Every message at least twice, within a window of 50 in any order, and old ones again: same rows, same results."""
    calm = await _run(places(), NONE)
    rough = await _run(places(), MUCH)
    assert rough.checks == calm.checks
    assert rough.records == calm.records
    assert rough.results == calm.results
    assert rough.heard == calm.heard
    assert rough.inbox == calm.inbox
    assert {row[10] for row in calm.checks} == {"COMPLETED"}
    assert {row[11] for row in calm.checks} == {"PASS", "FAIL", "UNKNOWN"}


async def test_a_handled_message_that_comes_again_and_again_is_never_a_dead_letter(places: Places) -> None:
    """Sixteen deliveries of one create command: the first has its effect, the others have none."""
    async with world(places(), megazord=PATIENT, micro_managers=PATIENT) as home:
        home.managers.add_step(FIRST_ROBOT, 100, "TOILET_AFTER_RISING")
        commands = home.settings.queues.commands
        async with home.running():
            home.sqs.faults.duplicate = 1.0
            home.sqs.send(commands, create_command(FIRST_ROBOT, 100, 7001, MORNING_MS))
            await home.sqs.wait_until(lambda: len(home.sqs.ledger.of("received", commands)) >= 16, timeout_s=30)
            home.sqs.faults.duplicate = 0.0
            await home.quiet()
            assert [result["type"] for result in home.results(FIRST_ROBOT)] == ["status-check.changed"]
            await home.pass_time(MORNING_MS + 3 * 3_600_000)
        assert await home.leftovers() == {}
        assert [result["payload"]["phase"] for result in home.results(FIRST_ROBOT)] == ["FUTURE", "COMPLETED"]


async def _burst(place: Path | MysqlAddress, trouble: Trouble) -> dict[int, tuple[str, list[Row]]]:
    """Five robots, fifty events each, all on the queue before one is received: verdicts and what was recorded."""
    robots = range(FIRST_ROBOT, FIRST_ROBOT + 5)
    dice = random.Random(3)
    async with world(place, copies=trouble.copies, megazord=PATIENT, micro_managers=PATIENT) as home:
        for robot_id in robots:
            home.managers.add_step(robot_id, 300, STEPS[300])
            home.sqs.send(home.settings.queues.commands, create_command(robot_id, 300, robot_id, MORNING_MS))
        async with home.running():
            await home.quiet()
        home.sqs.faults.duplicate, home.sqs.faults.reorder_window = trouble.duplicate, trouble.window
        home.clock.set(MORNING_MS + 50_000)
        for second in range(50):
            for robot_id in robots:
                await home.megazord.post_event(robot_id, dice.choice(BED), created_at_ms=MORNING_MS + second * 1000)
        async with home.running():
            await home.pass_time(MORNING_MS + 2 * 3_600_000)
        assert await home.leftovers() == {}
        columns = "robot_id, incoming_event_id, event_name, created_at_ms"
        rows = await home.database.fetch(
            f"SELECT {columns} FROM status_check_record JOIN status_check ON status_check_id = id"  # noqa: S608  see above
        )
        by_arrival = "SELECT created_at_ms FROM status_check_record ORDER BY status_check_id, ordinal"
        arrived = [row[0] for row in await home.database.fetch(by_arrival)]
        assert (len(_descents(arrived)) > len(robots)) is (trouble.window > 1)  # the disorder did reach the handlers
        verdicts = {robot_id: str(home.results(robot_id)[-1]["payload"]["result"]) for robot_id in robots}
        told = {event.robot_id: event.event_name for event in home.megazord.incoming}
        assert verdicts == {robot: "FAIL" if last == "IN_BED" else "PASS" for robot, last in told.items()}
    return {robot: (verdicts[robot], sorted(row[1:] for row in rows if row[0] == robot)) for robot in robots}


def _descents(numbers: Sequence[Any]) -> list[Any]:
    return [later for earlier, later in pairwise(numbers) if later < earlier]


async def test_events_of_one_check_in_any_order_lead_to_the_same_verdict_and_the_same_history(places: Places) -> None:
    """Order of arrival decides nothing: what Megazord stamped orders the history, and each event is in it once."""
    calm = await _burst(places(), NONE)
    rough = await _burst(places(), MUCH)
    assert rough == calm
    assert {len(rows) for _, rows in calm.values()} == {50}
