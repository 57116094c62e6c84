"""Answers to a queue instead of a robot, end to end on both engines: who gets one, who never, and what waits."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from domain.messages import reply_id
from tests.mariadb import MariaDb
from tests.world import World, command, world

ROBOT = 61001
ANSWERS, OTHERS = "answers", "answers-of-others"
PERSON = {"phoneNumber": "999000000001"}
ROWS = {"userId": "user-1", "listName": "Spring", "rows": [PERSON]}
Opens = Callable[..., AbstractAsyncContextManager[World]]


@pytest.fixture(params=["sqlite", "mariadb"])
async def opens(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opens]:
    """Opens a world on each engine, in which answers may go to two queues; both are there unless told otherwise."""
    server: MariaDb | None = None if request.param == "sqlite" else request.getfixturevalue("mariadb")
    address = None if server is None else server.new_database()
    place = tmp_path / "robotd.db" if address is None else address

    @asynccontextmanager
    async def opened(*missing: str) -> AsyncIterator[World]:
        queues = {"reply_queues": f"{ANSWERS}, {OTHERS}", "create_robot_queues": False}
        quick = {"missing_queue_backoff_first_s": 0.1, "missing_queue_backoff_cap_s": 1, "sweep_every_s": 0.1}
        async with world(place, queues=queues, relay=quick) as home:
            for queue in {ANSWERS, OTHERS, f"robot-queue-{ROBOT}"} - set(missing):
                home.sqs.create_queue(queue)
            yield home

    yield opened
    if server is not None and address is not None:
        server.drop(address)


async def send(home: World, *bodies: str) -> None:
    for body in bodies:
        home.sqs.send(home.settings.queues.commands, body)
    await home.quiet()


def told(home: World, queue: str) -> list[dict[str, Any]]:
    return [json.loads(body) for body in home.sqs.bodies(queue)]


def letters(home: World) -> list[tuple[str, str]]:
    dead = home.sqs.messages(f"{home.settings.queues.commands}-dlq")
    return [(letter.attributes["errorKind"], letter.attributes["errorMessage"]) for letter in dead]


async def rows(home: World, table: str) -> int:
    found = await home.database.fetch(f"SELECT COUNT(*) FROM {table}")  # noqa: S608  a table name of ours
    return int(found[0][0] or 0)


async def test_the_answer_lies_in_the_queue_that_the_command_names(opens: Opens) -> None:
    """In the envelope that robots get, addressed to the queue; no other queue hears of it."""
    async with opens() as home, home.running():
        await send(home, command("contacts.import", {**ROWS, "replyTo": ANSWERS}, id="i-1", callref="why"))
        await send(home, command("opt-out.add", {**PERSON, "replyTo": OTHERS}, id="o-1"))
        await send(home, command("opt-out.add", {**PERSON, "robotId": ROBOT}), command("opt-out.add", PERSON))
        ((imported,), (opted_out,), (robots,)) = (told(home, ANSWERS), told(home, OTHERS), home.results(ROBOT))
        assert (imported["type"], imported["id"]) == ("contacts.imported", reply_id("test", "i-1"))
        assert (imported["to"], imported["callRef"], imported["payload"]["imported"]) == ({"queue": ANSWERS}, "why", 1)
        (message,) = home.sqs.messages(ANSWERS)
        assert (message.attributes["type"], message.attributes["callRef"]) == ("contacts.imported", "why")
        assert (opted_out["to"], opted_out["id"]) == ({"queue": OTHERS}, reply_id("test", "o-1"))
        assert robots["to"] == {"robotId": str(ROBOT)}
        assert letters(home) == []


async def test_a_queue_that_is_not_allowed_is_refused_with_its_reason_and_hears_nothing(opens: Opens) -> None:
    """Also robotd's own queues: one dead letter for each command, nothing done, no message anywhere, so no loop."""
    async with opens() as home:
        forbidden = ("secret-queue", home.settings.queues.commands, f"robot-queue-{ROBOT}")
        home.sqs.create_queue("secret-queue")
        async with home.running():
            for queue in forbidden:
                await send(home, command("opt-out.add", {**PERSON, "replyTo": queue}))
            await send(home, command("opt-out.add", {"replyTo": "secret-queue"}))  # invalid, too
        reasons = [("reply-queue", f"{queue} is none of queues.reply_queues") for queue in forbidden]
        assert letters(home)[:-1] == reasons
        assert letters(home)[-1][0] == "invalid-data"
        for queue in (*forbidden, ANSWERS, OTHERS):
            assert told(home, queue) == []
        assert (await rows(home, "opt_out"), await rows(home, "inbox")) == (0, 0)
        assert set(await home.leftovers()) == {f"{home.settings.queues.commands}-dlq"}


async def test_who_names_a_queue_is_told_of_a_refusal_there(opens: Opens) -> None:
    """What can't be read, and what the domain refuses, each with its kind; a robot that is named as well goes first."""
    bad = {**ROWS, "listName": None, "listId": 77, "replyTo": ANSWERS}
    async with opens() as home, home.running():
        await send(home, command("opt-out.add", {"replyTo": ANSWERS}, id="o-1", callref="why"))
        await send(home, command("contacts.import", bad, id="i-1"))
        await send(home, command("no-such.type", {"replyTo": OTHERS}))
        await send(home, command("opt-out.add", {**PERSON, "robotId": ROBOT, "replyTo": OTHERS}))
        invalid, refused = told(home, ANSWERS)
        assert (invalid["type"], invalid["to"], invalid["callRef"]) == ("error", {"queue": ANSWERS}, "why")
        assert (invalid["id"], invalid["payload"]["kind"]) == (reply_id("test", "o-1"), "invalid-data")
        assert (refused["id"], refused["payload"]["kind"]) == (reply_id("test", "i-1"), "no-such-list")
        assert [each["payload"]["kind"] for each in told(home, OTHERS)] == ["unknown-type"]
        (both,) = home.results(ROBOT)
        assert "an answer goes to one place: name either robotId or replyTo" in both["payload"]["error"]
        assert [kind for kind, _ in letters(home)] == ["invalid-data", "no-such-list", "unknown-type", "invalid-data"]
        assert await rows(home, "opt_out") == 0


async def test_a_missing_queue_holds_back_its_own_answers_alone(opens: Opens) -> None:
    """They are parked, the commands are done, others are told meanwhile; with the queue they follow."""
    async with opens(ANSWERS) as home, home.running():
        for number in range(3):
            data = {**PERSON, "reason": str(number), "replyTo": ANSWERS}
            home.sqs.send(home.settings.queues.commands, command("opt-out.add", data))
        home.sqs.send(home.settings.queues.commands, command("opt-out.add", {**PERSON, "replyTo": OTHERS}))
        async with asyncio.timeout(20):
            while await rows(home, "outbox WHERE attempts > 1") < 3 or not told(home, OTHERS):
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await asyncio.Event().wait()
        assert await rows(home, "outbox") == 3
        home.sqs.create_queue(ANSWERS)
        await home.quiet()
        assert [each["type"] for each in told(home, ANSWERS)] == ["opt-out.added"] * 3
        assert await home.leftovers() == {"answers": (3, 0, 0), "answers-of-others": (1, 0, 0)}


async def test_a_repeat_of_what_was_answered_is_a_duplicate_though_its_queue_is_allowed_no_more(opens: Opens) -> None:
    """The list counts when a command comes, not for one that is done; a new one is refused."""
    body = command("opt-out.add", {**PERSON, "replyTo": ANSWERS}, id="o-1")
    async with opens() as home:
        async with home.running():
            await send(home, body)
        queues = home.settings.queues.model_copy(update={"reply_queues": ""})
        home.settings = home.settings.model_copy(update={"queues": queues})
        async with home.running():
            await send(home, body)
            assert letters(home) == []
            await send(home, command("opt-out.add", {**PERSON, "replyTo": ANSWERS}, id="o-2"))
        assert [kind for kind, _ in letters(home)] == ["reply-queue"]
        assert [each["id"] for each in told(home, ANSWERS)] == [reply_id("test", "o-1")]
