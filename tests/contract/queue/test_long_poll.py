"""Waiting receives: how long they wait, what wakes them, and what becomes of one whose client has gone."""

import asyncio
import time

import pytest

from localstack.sqs import SqsServer
from tests.contract.queue.sqs import Connect, Sqs, refusal


async def test_an_empty_poll_waits_its_whole_time(sqs: Sqs) -> None:
    """A poll of one second returns with nothing after one second."""
    url = await sqs.queue()
    began = time.monotonic()
    assert await sqs.receive(url, 1) == []
    assert 0.95 < time.monotonic() - began < 3


async def test_the_queues_own_wait_is_used_when_none_is_given(sqs: Sqs) -> None:
    """ReceiveMessageWaitTimeSeconds makes a plain receive wait."""
    url = await sqs.queue(ReceiveMessageWaitTimeSeconds=1)
    began = time.monotonic()
    assert "Messages" not in await sqs.client.receive_message(QueueUrl=url)
    assert time.monotonic() - began > 0.95


async def test_a_wait_of_zero_overrides_the_queues(sqs: Sqs) -> None:
    """The number given with the receive counts, even when it is none."""
    url = await sqs.queue(ReceiveMessageWaitTimeSeconds=20)
    async with asyncio.timeout(5):
        assert await sqs.receive(url, 0) == []


async def test_a_send_wakes_a_waiting_poll(sqs: Sqs) -> None:
    """The message arrives long before the poll would have ended."""
    url = await sqs.queue()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        poll = tasks.create_task(sqs.receive(url, 20))
        await sqs.send(url, "wake up")
    assert [message["Body"] for message in poll.result()] == ["wake up"]


async def test_one_message_wakes_one_of_many_polls(sqs: Sqs) -> None:
    """No two polls get the same message, and the others go on waiting to their end."""
    url = await sqs.queue()
    async with asyncio.TaskGroup() as tasks:
        polls = [tasks.create_task(sqs.receive(url, 1)) for _ in range(8)]
        await sqs.send(url)
    assert sorted(len(poll.result()) for poll in polls) == [0] * 7 + [1]


async def test_waiting_polls_do_not_hold_up_other_calls(sqs: Sqs) -> None:
    """A send and a receive on another queue go through while 20 polls wait."""
    url, other = await sqs.queue(), await sqs.queue()
    async with asyncio.TaskGroup() as tasks:
        polls = [tasks.create_task(sqs.receive(url, 2)) for _ in range(20)]
        await sqs.send(other)
        assert len(await sqs.receive(other)) == 1
        assert not any(poll.done() for poll in polls)
    assert not any(poll.result() for poll in polls)


async def test_a_handed_back_message_wakes_a_waiting_poll(sqs: Sqs) -> None:
    """Visibility 0 gives it to whoever waits."""
    url = await sqs.queue()
    await sqs.send(url)
    held = await sqs.receive_one(url)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        poll = tasks.create_task(sqs.receive(url, 20))
        await sqs.hide(url, held, 0)
    assert [message["MessageId"] for message in poll.result()] == [held["MessageId"]]


async def abandoned_poll(sqs: Sqs, url: str, server: SqsServer) -> None:
    """Start a long poll, and cancel it once the server has it."""
    arrived = len(server.ledger)
    poll = asyncio.create_task(sqs.receive(url, 20))
    await server.wait_until(lambda: server.waiting(url.rpartition("/")[2]) > 0)
    poll.cancel()
    with pytest.raises(asyncio.CancelledError):
        await poll
    assert len(server.ledger) == arrived
    await server.wait_until(lambda: server.abandoned(url.rpartition("/")[2]) > 0)


async def test_a_cancelled_poll_swallows_the_next_message(ours: Sqs, server: SqsServer) -> None:
    """As in AWS: the message goes to a client that is gone, and is in flight for nobody."""
    url = await ours.queue("swallowing")
    await abandoned_poll(ours, url, server)
    await ours.send(url)
    assert (server.counts("swallowing").visible, server.counts("swallowing").in_flight) == (0, 1)
    assert [entry.action for entry in server.ledger] == ["sent", "received", "swallowed"]


async def test_a_cancelled_poll_swallows_nothing_where_that_is_switched_off(connect: Connect) -> None:
    """The message waits for a living receiver."""
    async with SqsServer(swallow=False) as server, connect(server.url) as sqs:
        url = await sqs.queue("keeping")
        await abandoned_poll(sqs, url, server)
        await sqs.send(url)
        assert len(await sqs.receive(url)) == 1


async def test_deleting_a_queue_ends_the_polls_on_it(ours: Sqs, server: SqsServer) -> None:
    """Who waits at a queue that goes is told that it is gone."""
    url = await ours.queue("going")
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        poll = tasks.create_task(refusal(ours.receive(url, 20)))
        await server.wait_until(lambda: server.waiting("going") == 1)
        await ours.client.delete_queue(QueueUrl=url)
    assert poll.result() == "AWS.SimpleQueueService.NonExistentQueue"
