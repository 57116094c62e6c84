"""Commands of status checks end to end: get, cancel, duplicate create, and everything that is refused by a rule."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from domain.messages import reply_id
from localstack.faults import Fault, FaultKind
from tests.world import MORNING_MS, World, command, create_command, world

ROBOT, STEP = 61001, 88120


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path / "robotd.db") as opened:
        opened.managers.add_step(ROBOT, STEP, "TOILET_VISIT", past_interval_s=7200, future_interval_s=1800)
        yield opened


async def ask(home: World, *bodies: str) -> list[dict[str, Any]]:
    """Send the commands, wait until all is quiet, and return what the robot has been told so far."""
    for body in bodies:
        home.sqs.send(home.settings.queues.commands, body)
        await home.quiet()
    return home.results(ROBOT)


def about(kind: str, check_id: int, robot_id: int = ROBOT, **envelope: object) -> str:
    return command(f"status-check.{kind}", {"robotId": robot_id, "statusCheckId": check_id}, **envelope)


async def test_get_tells_the_current_state_to_the_robot(home: World) -> None:
    """The answer has the id of the question, its call reference and the state of the check as it is."""
    async with home.running():
        first, answer = await ask(
            home, create_command(ROBOT, STEP, 1, MORNING_MS), about("get", 1, id="q-1", callref="why")
        )
    assert (answer["type"], answer["id"], answer["callRef"]) == ("status-check.current", reply_id("test", "q-1"), "why")
    assert answer["payload"] == first["payload"]
    assert answer["to"] == {"robotId": str(ROBOT)}


async def test_cancel_ends_the_check_tells_the_robot_and_releases_the_subscription(home: World) -> None:
    """FAILED is told once; a second cancel only reports; no timer and no subscription stays."""
    async with home.running():
        told = await ask(home, create_command(ROBOT, STEP, 1, MORNING_MS), about("cancel", 1), about("cancel", 1))
    assert [(each["type"], each["payload"]["phase"]) for each in told] == [
        ("status-check.changed", "FUTURE"),
        ("status-check.changed", "FAILED"),
        ("status-check.current", "FAILED"),
    ]
    assert await home.leftovers() == {}


async def test_an_event_after_the_cancel_changes_nothing(home: World) -> None:
    """Events that were on their way are acked as stale, and the robot hears no more."""
    async with home.running():
        await ask(home, create_command(ROBOT, STEP, 1, MORNING_MS))
        await home.megazord.post_event(ROBOT, "TOILET_ACTIVITY")
        await home.quiet()
        (before,) = [json.loads(each.body) for each in home.sqs.ledger.of("sent", home.settings.queues.events)]
        before["payload"]["id"], before["payload"]["sourceEvent"]["id"] = 999, 999
        home.sqs.send(home.settings.queues.events, json.dumps(before))
        await home.quiet()
    assert [each["payload"]["phase"] for each in home.results(ROBOT)] == ["FUTURE", "COMPLETED"]
    assert await home.leftovers() == {}


async def test_an_equal_create_returns_the_first_check(home: World) -> None:
    """Same robot, step, schedule and moment under a new id: no second check, no second subscription."""
    async with home.running():
        create = [create_command(ROBOT, STEP, 1, MORNING_MS) for _ in range(3)]
        told = await ask(home, *create, create[0])
    assert [each["payload"]["id"] for each in told] == [1, 1, 1]
    assert [each["type"] for each in told] == ["status-check.changed", *["status-check.current"] * 2]
    assert len(home.megazord.subscriptions) == 1


async def test_a_different_schedule_is_a_different_check(home: World) -> None:
    """Two checks of the same step may run side by side, each with a subscription of its own."""
    async with home.running():
        told = await ask(home, create_command(ROBOT, STEP, 1, MORNING_MS), create_command(ROBOT, STEP, 2, MORNING_MS))
    assert [each["payload"]["id"] for each in told] == [1, 2]
    assert len(home.megazord.active_subscriptions(ROBOT)) == 2


REFUSED: dict[str, tuple[dict[str, Any], int, str, str]] = {
    "a step that is not there": ({}, 404, "upstream-not-found", "404"),
    "a template that nobody wrote": (
        {"template": "NO_SUCH"},
        STEP,
        "no-template",
        "template is named 'NO_SUCH'",
    ),
    "no fail branch": ({"next": {"pass": 1}}, STEP, "", "fail"),
    "no pass branch": ({"next": {"fail": 1}}, STEP, "", "pass"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_a_rule_refuses_is_told_to_the_robot_and_dead_lettered(home: World, case: str) -> None:
    """The robot gets an error that names the reason, the message lies in the dead-letter queue with the same reason."""
    step, step_id, kind, says = REFUSED[case]
    home.managers.add_step(ROBOT, STEP, **{"template": "TOILET_VISIT", **step})
    async with home.running():
        (told,) = await ask(home, create_command(ROBOT, step_id, 1, MORNING_MS))
    dead = f"{home.settings.queues.commands}-dlq"
    (letter,) = home.sqs.messages(dead)
    assert told["type"] == "error"
    assert says in told["payload"]["error"]
    assert told["payload"]["error"] == letter.attributes["errorMessage"]
    assert letter.attributes["errorKind"].startswith(kind)
    assert letter.attributes["handler"] == "StatusCheckHandlers.create"
    assert await home.leftovers() == {dead: (1, 0, 0)}
    assert home.megazord.subscriptions == []


async def test_a_redriven_command_is_answered_once_its_cause_is_gone(home: World) -> None:
    """A refused command leaves no trace in the inbox: sent again, with the step now there, it starts the check."""
    body = create_command(ROBOT, STEP + 50, 1, MORNING_MS)
    async with home.running():
        await ask(home, body)
        home.managers.add_step(ROBOT, STEP + 50, "TOILET_VISIT", future_interval_s=1800)
        told = await ask(home, body)
    assert [each["type"] for each in told] == ["error", "status-check.changed"]


async def test_a_neighbour_that_is_down_delays_the_check(home: World) -> None:
    """Micro Managers refuses twice for now: no dead letter, and the check starts when it answers."""
    home.managers.faults.add(Fault(FaultKind.STATUS, "steps.read", times=2, retry_after_s=1))
    async with home.running():
        (told,) = await ask(home, create_command(ROBOT, STEP, 1, MORNING_MS))
    assert told["payload"]["phase"] == "FUTURE"
    assert home.sqs.bodies(f"{home.settings.queues.commands}-dlq") == []
