"""The relay against SQS over HTTP: batches and order per destination, missing queues, outages, leftovers."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from daemon import topology
from daemon.outbox import OutboxRow
from daemon.relay import Relay
from daemon.store.database import Write
from domain.errors import Unavailable
from domain.messages import Result
from domain.outcome import Done, Outcome
from domain.ports import UnitOfWork
from tests.parts import QUEUE, Parts, Wish, consuming, parts, wish, wishes

INSERT = (
    "INSERT INTO outbox (id, destination, body, attributes, created_at_ms, due_at_ms, claimed_by, claimed_until_ms, "
    "attempts) VALUES (?, ?, ?, '{}', {now_ms}, {now_ms}, ?, {now_ms} + ?, 0)"
)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Parts]:
    async with parts(tmp_path) as opened:
        yield opened


@asynccontextmanager
async def relaying(relay: Relay) -> AsyncIterator[Relay]:
    running = asyncio.create_task(relay.run())
    try:
        yield relay
        assert not running.done(), "the relay died"
    finally:
        running.cancel()
        await asyncio.wait([running])


async def committed(
    home: Parts, destination: str, bodies: list[str], *, by: str = "", ms: int = 30_000
) -> list[OutboxRow]:
    """Rows as a unit of work leaves them: in the database, claimed for `ms` by the process that made them."""
    rows = [OutboxRow(home.rows.next(), destination, body, {}) for body in bodies]
    await home.database.apply(
        [Write(INSERT, (row.id, row.destination, row.body, by or home.rows.boot, ms)) for row in rows]
    )
    return rows


async def is_sent(home: Parts, queue: str, count: int) -> None:
    await home.server.wait_until(
        lambda: queue in home.server.queues() and len(home.server.messages(queue)) >= count, timeout_s=30
    )


async def test_rows_go_out_in_order_per_destination_in_full_batches(home: Parts) -> None:
    """Twenty-five rows for each of three robots: each robot's in order, three requests each, none left."""
    robots = [f"robot-queue-{number}" for number in (1, 2, 3)]
    rows = []
    for robot in robots:
        home.server.create_queue(robot)
        rows += await committed(home, robot, [str(number) for number in range(25)])
    mixed = [rows[place * 25 + number] for number in range(25) for place in range(3)]
    calls: list[str] = []

    async def probe(point: str) -> None:
        calls.append(point)

    relay = home.relay(probe=probe)
    relay.offer(mixed)
    async with relaying(relay):
        await relay.drained()
    for robot in robots:
        assert home.server.bodies(robot) == [str(number) for number in range(25)]
    assert (calls.count("relay_before_send"), await home.count("outbox")) == (9, 0)


async def test_a_missing_robot_queue_parks_only_the_rows_of_that_robot_with_growing_delay(home: Parts) -> None:
    """The others are served at once; the parked rows keep their order, also against rows that come later."""
    home.server.create_queue("robot-queue-1")
    relay = home.relay()
    async with relaying(relay):
        relay.offer(await committed(home, "robot-queue-2", ["first", "second"]))
        relay.offer(await committed(home, "robot-queue-1", ["other"]))
        await is_sent(home, "robot-queue-1", 1)
        await tried(home, "robot-queue-2", 2)
        home.server.create_queue("robot-queue-2")
        relay.offer(await committed(home, "robot-queue-2", ["third"]))
        await is_sent(home, "robot-queue-2", 3)
        await relay.drained()
    assert home.server.bodies("robot-queue-2") == ["first", "second", "third"]
    assert await home.count("outbox") == 0


async def tried(home: Parts, destination: str, attempts: int) -> None:
    """Return once the oldest row of a destination was tried so often; its delay then has grown."""
    sql = "SELECT attempts FROM outbox WHERE destination = ? ORDER BY id LIMIT 1"
    async with asyncio.timeout(10):
        while (await home.database.fetch(sql, (destination,)))[0][0] != attempts:
            await asyncio.to_thread(int)


async def test_the_delay_of_a_parked_row_doubles_up_to_the_cap(home: Parts) -> None:
    """What the outbox says of a row that was never deliverable: attempts, and a due time further away each time."""
    home.gate.end()
    relay = home.relay()
    waits = []
    for attempts in range(5):
        (row,) = await committed(home, "robot-queue-9", ["x"])
        relay._waiting["robot-queue-9"] = deque()
        await relay._park("robot-queue-9", [OutboxRow(row.id, row.destination, "x", {}, attempts)], "missing")
        ((due_ms,),) = await home.database.fetch("SELECT due_at_ms - {now_ms} FROM outbox WHERE id = ?", (row.id,))
        assert isinstance(due_ms, int)
        waits.append(due_ms / 1000)
    assert all(wait <= 2.0 for wait in waits)
    assert waits[-1] >= 0.9


async def test_a_missing_robot_queue_is_created_where_that_is_allowed(home: Parts) -> None:
    """With the switch of the demo the queue is there after the first result."""
    relay = home.relay(create_queue=partial(topology.create_robot_queue, home.sqs))
    async with relaying(relay):
        relay.offer(await committed(home, "robot-queue-5", ["hello"]))
        await is_sent(home, "robot-queue-5", 1)
        await relay.drained()
    assert await home.count("outbox") == 0


async def test_what_a_dead_process_left_is_swept_and_what_a_living_one_holds_is_not(home: Parts) -> None:
    """A claim that ran out frees its rows, in the order in which they were committed."""
    home.server.create_queue("robot-queue-1")
    await committed(home, "robot-queue-1", ["a", "b"], by="dead", ms=-1)
    await committed(home, "robot-queue-1", ["held"], by="living")
    async with relaying(home.relay()) as relay:
        await is_sent(home, "robot-queue-1", 2)
        await relay.drained()
    assert home.server.bodies("robot-queue-1") == ["a", "b"]
    assert await home.database.fetch("SELECT body FROM outbox") == [("held",)]


async def test_a_failed_entry_is_parked_and_sent_later(home: Parts) -> None:
    """SQS takes some entries of a batch and refuses others: each is sent exactly once in the end, none is lost."""
    home.server.create_queue("robot-queue-1")
    home.server.faults.partial_failure = 0.3
    home.server.faults.only = frozenset({"SendMessageBatch"})
    bodies = [str(number) for number in range(12)]
    async with relaying(home.relay()) as relay:
        relay.offer(await committed(home, "robot-queue-1", bodies))
        await is_sent(home, "robot-queue-1", 12)
        await gone(home)
        await relay.drained()
    assert sorted(home.server.bodies("robot-queue-1"), key=int) == bodies


async def gone(home: Parts) -> None:
    async with asyncio.timeout(10):
        while await home.count("outbox"):
            await asyncio.to_thread(int)


@pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
async def test_large_results_are_cut_into_requests_that_sqs_takes(home: Parts) -> None:
    """Five bodies of 300 KB fit three to a request: all arrive, in order, and nothing was refused."""
    home.server.create_queue("robot-queue-1")
    bodies = [str(number) * 300_000 for number in range(5)]
    calls: list[str] = []

    async def probe(point: str) -> None:
        calls.append(point)

    async with relaying(home.relay(probe=probe)) as relay:
        relay.offer(await committed(home, "robot-queue-1", bodies))
        await relay.drained()
    assert home.server.bodies("robot-queue-1") == bodies
    assert calls.count("relay_before_send") == 2


async def test_an_outage_of_sqs_parks_rows_and_every_one_arrives_afterwards(home: Parts) -> None:
    """A failed publish is never the message's failure: the rows wait in the outbox."""
    home.server.create_queue("robot-queue-1")
    await home.server.refuse()
    async with relaying(home.relay()) as relay:
        relay.offer(await committed(home, "robot-queue-1", ["a", "b"]))
        await relay.drained()
        assert await home.count("outbox") == 2
        assert home.gate.missing == {"sqs"}
        await home.server.listen()
        await is_sent(home, "robot-queue-1", 2)
        await relay.drained()
    assert home.server.bodies("robot-queue-1") == ["a", "b"]
    assert home.gate.missing == frozenset()


async def test_a_database_that_goes_between_send_and_delete_does_not_end_the_relay(
    home: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows were sent but can't be forgotten: the gate closes, the relay lives, later rows go out."""
    home.server.create_queue("robot-queue-1")
    relay = home.relay()
    forget = relay._outbox.sent

    async def down(_rows: object) -> None:
        raise Unavailable("database", "gone")

    monkeypatch.setattr(relay._outbox, "sent", down)
    async with relaying(relay):
        relay.offer(await committed(home, "robot-queue-1", ["sent"]))
        await relay.drained()
        assert home.gate.missing == {"database"}
        monkeypatch.setattr(relay._outbox, "sent", forget)
        home.gate.restored("database")
        relay.offer(await committed(home, "robot-queue-1", ["next"]))
        await relay.drained()
    assert home.server.bodies("robot-queue-1") == ["sent", "next"]
    assert await home.database.fetch("SELECT body FROM outbox") == [("sent",)]


async def test_a_result_is_published_because_it_was_committed_and_only_then(home: Parts) -> None:
    """A handler that publishes and fails leaves nothing; its second try is published once, with its own id."""
    home.server.create_queue("robot-queue-7")
    tries: list[int] = []

    async def tells(asked: Wish, work: UnitOfWork) -> Outcome:
        work.publish(Result(7, f"answer-{asked.text}", "wish.granted", "", {}, work.call_ref))
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("not yet")
        return Done()

    relay = home.relay()
    home.handed_on = lambda freed: relay.offer(freed.outbox)
    async with relaying(relay), consuming(home.consumer(home.dispatcher(wishes(tells)))):
        home.server.send(QUEUE, wish("1", callref="ref"))
        await is_sent(home, "robot-queue-7", 1)
        await home.until_empty()
        await relay.drained()
    (body,) = home.server.bodies("robot-queue-7")
    assert (json.loads(body)["id"], json.loads(body)["callRef"], len(tries)) == ("answer-1", "ref", 2)
    assert await home.count("outbox") == 0
