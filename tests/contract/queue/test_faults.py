"""The faults that our server plays: each does what it says, when it says, and nothing else."""

import asyncio
from collections import Counter

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

from localstack.sqs import Faults, SqsServer
from tests.contract.queue.sqs import Connect, Sqs, refusal


async def batch(sqs: Sqs, url: str, size: int = 10) -> dict[str, list[dict[str, str]]]:
    """Send a batch of bodies "0", "1", ..."""
    entries = [{"Id": str(index), "MessageBody": str(index)} for index in range(size)]
    answer: dict[str, list[dict[str, str]]] = await sqs.client.send_message_batch(QueueUrl=url, Entries=entries)
    return answer


async def test_a_duplicate_is_delivered_while_the_first_is_in_flight(ours: Sqs, server: SqsServer) -> None:
    """The same message comes twice, and deleting one delivery does not take the other away."""
    url = await ours.queue("q")
    sent = await ours.send(url)
    server.faults.duplicate = 1.0
    first = await ours.receive_one(url)
    server.faults.duplicate = 0.0
    await ours.delete(url, first)
    second = await ours.receive_one(url, AttributeNames=["All"])
    assert (first["MessageId"], second["MessageId"]) == (sent["MessageId"], sent["MessageId"])
    assert second["Attributes"]["ApproximateReceiveCount"] == "2"
    assert len(server.ledger.of("duplicated")) == 1


async def test_about_as_many_are_duplicated_as_asked(ours: Sqs, server: SqsServer) -> None:
    """A probability of 0.2 doubles some deliveries and not most."""
    url = await ours.queue("q")
    for _ in range(10):
        await batch(ours, url)
    server.faults.duplicate = 0.2
    received: Counter[str] = Counter()
    while messages := await ours.receive(url):
        received.update(message["MessageId"] for message in messages)
    assert len(received) == 100
    assert 105 < received.total() < 150


async def test_messages_are_reordered_within_the_window(ours: Sqs, server: SqsServer) -> None:
    """The order changes, nothing is lost, and nothing overtakes by more than the window."""
    url = await ours.queue("q")
    for start in range(0, 30, 10):
        for index in range(10):
            server.send("q", str(start + index))
    server.faults.reorder_window = 5
    order = [int(message["Body"]) for _ in range(3) for message in await ours.receive(url)]
    assert sorted(order) == list(range(30))
    assert order != list(range(30))
    assert all(body - place < 5 for place, body in enumerate(order))


async def test_a_lost_reply_to_a_send_has_sent(ours: Sqs, server: SqsServer) -> None:
    """The client sees a cut connection, the message is in the queue."""
    url = await ours.queue("q")
    server.faults.lose_reply = 1.0
    with pytest.raises(ConnectionClosedError):
        await ours.send(url, "sent all the same")
    assert server.bodies("q") == ["sent all the same"]


async def test_a_lost_reply_to_a_receive_has_received(ours: Sqs, server: SqsServer) -> None:
    """The message is in flight for a client that never saw it."""
    url = await ours.queue("q")
    server.send("q", "hello")
    server.faults.lose_reply = 1.0
    with pytest.raises(ConnectionClosedError):
        await ours.receive(url)
    assert server.counts("q").in_flight == 1


async def test_a_lost_reply_to_a_delete_has_deleted(ours: Sqs, server: SqsServer) -> None:
    """The message is gone although the client cannot know."""
    url = await ours.queue("q")
    await ours.send(url)
    held = await ours.receive_one(url)
    server.faults.lose_reply = 1.0
    with pytest.raises(ConnectionClosedError):
        await ours.delete(url, held)
    assert server.counts("q").total == 0


async def test_a_reset_does_nothing_first(ours: Sqs, server: SqsServer) -> None:
    """The connection is cut before the request is applied."""
    url = await ours.queue("q")
    server.faults.reset = 1.0
    with pytest.raises(ConnectionClosedError):
        await ours.send(url)
    assert server.counts("q").total == 0


async def test_an_error_is_a_500_and_does_nothing(ours: Sqs, server: SqsServer) -> None:
    """An internal error of the server, not applied."""
    url = await ours.queue("q")
    server.faults.error = 1.0
    with pytest.raises(ClientError) as caught:
        await ours.send(url)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert server.counts("q").total == 0


async def test_a_throttled_request_is_a_403_and_does_nothing(ours: Sqs, server: SqsServer) -> None:
    """RequestThrottled, as its modelled exception."""
    url = await ours.queue("q")
    server.faults.throttle = 1.0
    with pytest.raises(ours.client.exceptions.RequestThrottled) as caught:
        await ours.send(url)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert server.counts("q").total == 0


async def test_part_of_a_batch_fails_and_is_not_applied(ours: Sqs, server: SqsServer) -> None:
    """HTTP 200 with Failed[]: the server's fault, and exactly the successful entries are in the queue."""
    url = await ours.queue("q")
    server.faults.partial_failure = 0.5
    answer = await batch(ours, url)
    assert 0 < len(answer["Failed"]) < 10
    assert not any(entry["SenderFault"] for entry in answer["Failed"])
    assert server.bodies("q") == [entry["Id"] for entry in answer["Successful"]]


@pytest.mark.parametrize("operation", ["delete", "change"])
async def test_part_of_a_delete_or_change_fails_and_is_not_applied(
    ours: Sqs, server: SqsServer, operation: str
) -> None:
    """What is in Failed[] stays in flight."""
    url = await ours.queue("q")
    await batch(ours, url)
    handles = [message["ReceiptHandle"] for message in await ours.receive(url)]
    entries = [{"Id": str(index), "ReceiptHandle": handle} for index, handle in enumerate(handles)]
    server.faults.partial_failure = 0.5
    if operation == "delete":
        answer = await ours.client.delete_message_batch(QueueUrl=url, Entries=entries)
    else:
        hidden = [{**entry, "VisibilityTimeout": 0} for entry in entries]
        answer = await ours.client.change_message_visibility_batch(QueueUrl=url, Entries=hidden)
    assert 0 < len(answer["Failed"]) < 10
    assert server.counts("q").in_flight == len(answer["Failed"])


async def test_a_delay_holds_an_answer_back(ours: Sqs, server: SqsServer) -> None:
    """The answer comes after the delay, by the event loop's own clock."""
    url = await ours.queue("q")
    server.faults.delay_s = 0.2
    loop = asyncio.get_running_loop()
    began = loop.time()
    await ours.send(url)
    assert loop.time() - began >= 0.2


async def test_a_slow_request_is_applied_after_its_client_gave_up(connect: Connect, server: SqsServer) -> None:
    """A read timeout says nothing about what happened."""
    server.create_queue("q")
    server.faults.delay_s = 1.5
    async with connect(server.url, read_timeout_s=1) as impatient:
        with pytest.raises(ReadTimeoutError):
            await impatient.send(f"{server.url}/000000000000/q")
    await server.wait_until(lambda: server.counts("q").visible == 1)


async def test_a_receive_may_come_back_empty_although_there_are_messages(ours: Sqs, server: SqsServer) -> None:
    """The backlog stays for the next receive."""
    url = await ours.queue("q")
    await ours.send(url)
    server.faults.empty_receive = 1.0
    assert await ours.receive(url, 5) == []
    server.faults.empty_receive = 0.0
    assert len(await ours.receive(url)) == 1


async def test_receive_counts_jump(ours: Sqs, server: SqsServer) -> None:
    """The count that a delivery carries runs ahead of the deliveries."""
    url = await ours.queue("q")
    await ours.send(url)
    server.faults.receive_count_jump = 1.0
    message = await ours.receive_one(url, AttributeNames=["All"])
    assert 2 <= int(message["Attributes"]["ApproximateReceiveCount"]) <= 4


@pytest.mark.parametrize(("mode", "left"), [("ignored", 1), ("deletes", 0)])
async def test_an_outdated_handle_deletes_or_not_as_it_is_set(connect: Connect, mode: str, left: int) -> None:
    """Both are successes for the client."""
    faults = Faults()
    faults.update({"stale_handle": mode})
    async with SqsServer(faults=faults) as server, connect(server.url) as sqs:
        url = await sqs.queue("q")
        await sqs.send(url)
        outdated = await sqs.receive_one(url, VisibilityTimeout=0)
        await sqs.receive_one(url)
        await sqs.delete(url, outdated)
        assert server.counts("q").total == left


async def test_an_outdated_handle_may_be_refused(ours: Sqs, server: SqsServer) -> None:
    """The strict reading: ReceiptHandleIsInvalid, and the message stays."""
    url = await ours.queue("q")
    await ours.send(url)
    outdated = await ours.receive_one(url, VisibilityTimeout=0)
    await ours.receive_one(url)
    server.faults.stale_handle = "refused"
    assert await refusal(ours.delete(url, outdated)) == "ReceiptHandleIsInvalid"
    assert server.counts("q").total == 1


async def test_faults_may_be_kept_to_some_operations(ours: Sqs, server: SqsServer) -> None:
    """With `only`, everything else goes on as if nothing were wrong."""
    url = await ours.queue("q")
    server.faults.error = 1.0
    server.faults.only = frozenset({"ReceiveMessage"})
    await ours.send(url)
    assert await refusal(ours.receive(url)) == "InternalError"


async def test_a_missing_queue_is_missing_for_as_long_as_it_is_named(ours: Sqs, server: SqsServer) -> None:
    """Other queues are untouched, and its messages are there when it is back."""
    url, other = await ours.queue("robot-7"), await ours.queue("robot-8")
    await ours.send(url)
    server.missing_queues.add("robot-7")
    assert await refusal(ours.send(url)) == "AWS.SimpleQueueService.NonExistentQueue"
    await ours.send(other)
    server.missing_queues.clear()
    assert len(await ours.receive(url)) == 1


async def test_a_hanging_operation_never_answers_nor_happens(connect: Connect, server: SqsServer) -> None:
    """Clients run into their own timeout; once it is no longer named, the operation works again."""
    server.create_queue("q")
    url = f"{server.url}/000000000000/q"
    server.hang.add("SendMessage")
    async with connect(server.url, read_timeout_s=0.3) as sqs:
        with pytest.raises(ReadTimeoutError):
            await sqs.send(url, "lost")
        server.hang.clear()
        await sqs.send(url, "found")
    assert server.bodies("q") == ["found"]


async def test_a_refusing_server_keeps_its_queues(ours: Sqs, server: SqsServer) -> None:
    """Connections are refused, and afterwards the same address has the same messages."""
    url = await ours.queue("q")
    await ours.send(url, "kept")
    await server.refuse()
    with pytest.raises((EndpointConnectionError, ConnectionClosedError)):
        await ours.receive(url)
    await server.listen()
    assert (await ours.receive_one(url))["Body"] == "kept"


async def script_of(seed: int, connect: Connect) -> list[list[str]]:
    """Which entries of ten batches fail under a seed."""
    async with SqsServer(faults=Faults(seed=seed, partial_failure=0.3)) as server, connect(server.url) as sqs:
        url = await sqs.queue("q")
        return [[entry["Id"] for entry in (await batch(sqs, url)).get("Failed", [])] for _ in range(10)]


async def test_the_same_seed_plays_the_same_faults(connect: Connect) -> None:
    """A failing run can be run again, and another seed is another run."""
    assert await script_of(7, connect) == await script_of(7, connect)
    assert await script_of(7, connect) != await script_of(8, connect)


def test_one_kind_of_fault_does_not_change_the_rolls_of_another() -> None:
    """Each kind has a sequence of its own."""
    alone, together = Faults(seed=3), Faults(seed=3)
    alone_rolls = [alone.rolls("error", 0.5, "SendMessage") for _ in range(50)]
    together_rolls = []
    for _ in range(50):
        together.rolls("throttle", 0.5, "SendMessage")
        together_rolls.append(together.rolls("error", 0.5, "SendMessage"))
    assert alone_rolls == together_rolls


def test_settings_of_faults_are_checked() -> None:
    """An unknown name or a wrong type changes nothing at all."""
    faults = Faults()
    for wrong in ({"duplicates": 0.1}, {"error": "often"}, {"error": 0.5, "only": "SendMessage"}):
        with pytest.raises(ValueError, match="is not a setting"):
            faults.update(dict(wrong))
    assert faults == Faults()
