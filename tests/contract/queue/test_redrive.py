"""Dead-lettering by the queue itself: after `maxReceiveCount` deliveries, at the next receive."""

import asyncio
import json

from localstack.sqs import SqsServer
from tests.contract.queue.sqs import Message, Sqs, refusal, unique


async def spent(sqs: Sqs, url: str, times: int) -> None:
    """Receive the one message so often, each time giving it back."""
    for _ in range(times):
        await sqs.receive_one(url, VisibilityTimeout=0)


async def dead(sqs: Sqs, url: str) -> Message:
    """The one message in the dead-letter queue, with everything that it has."""
    return await sqs.receive_one(url, AttributeNames=["All"], MessageAttributeNames=["All"])


async def test_a_message_moves_after_its_last_allowed_delivery(sqs: Sqs) -> None:
    """It is delivered maxReceiveCount times, and at the next receive it is in the dead-letter queue."""
    target = await sqs.queue()
    url = await sqs.redriven(target, 2)
    await sqs.send(url, "poison")
    await spent(sqs, url, 2)
    assert await sqs.counts(url) == (1, 0, 0)
    assert await sqs.receive(url) == []
    assert await sqs.counts(url) == (0, 0, 0)
    assert (await dead(sqs, target))["Body"] == "poison"


async def test_a_dead_letter_keeps_id_body_and_attributes(sqs: Sqs) -> None:
    """What is needed to look into it, or to send it again, is all there."""
    target = await sqs.queue()
    url = await sqs.redriven(target, 1)
    kind = {"kind": {"DataType": "String", "StringValue": "command"}}
    sent = await sqs.send(url, "poison", MessageAttributes=kind, MessageGroupId="robot-7")
    await spent(sqs, url, 1)
    assert await sqs.receive(url) == []
    message = await dead(sqs, target)
    assert (message["MessageId"], message["Body"], message["MessageAttributes"]) == (sent["MessageId"], "poison", kind)
    assert message["Attributes"]["MessageGroupId"] == "robot-7"


async def test_a_dead_letter_names_the_queue_that_it_came_from(sqs: Sqs) -> None:
    """DeadLetterQueueSourceArn is the ARN of the source."""
    target = await sqs.queue()
    url = await sqs.redriven(target, 1)
    await sqs.send(url)
    await spent(sqs, url, 1)
    assert await sqs.receive(url) == []
    assert (await dead(sqs, target))["Attributes"]["DeadLetterQueueSourceArn"] == await sqs.arn(url)


async def test_an_expired_delivery_moves_while_a_poll_waits(sqs: Sqs) -> None:
    """The poll that waits when the visibility ends moves the message instead of getting it."""
    target = await sqs.queue()
    url = await sqs.redriven(target, 1, VisibilityTimeout=1)
    await sqs.send(url)
    await sqs.receive_one(url)
    assert await sqs.receive(url, 2) == []
    assert await sqs.counts(target) == (1, 0, 0)


async def test_a_deleted_message_never_moves(sqs: Sqs) -> None:
    """Only what was not deleted is dead-lettered."""
    target = await sqs.queue()
    url = await sqs.redriven(target, 1)
    await sqs.send(url)
    await sqs.delete(url, await sqs.receive_one(url, VisibilityTimeout=0))
    assert await sqs.receive(url) == []
    assert await sqs.counts(target) == (0, 0, 0)


async def test_good_messages_pass_the_ones_that_move(sqs: Sqs) -> None:
    """A receive that moves a spent message still delivers those behind it."""
    target = await sqs.queue()
    url = await sqs.redriven(target, 1)
    await sqs.send(url, "poison")
    await spent(sqs, url, 1)
    await sqs.send(url, "good")
    assert [message["Body"] for message in await sqs.receive(url, 1)] == ["good"]


async def test_a_move_wakes_a_poll_on_the_dead_letter_queue(ours: Sqs, server: SqsServer) -> None:
    """Whoever already waits for dead letters gets it at once."""
    target = await ours.queue("dead")
    url = await ours.redriven(target, 1)
    await ours.send(url)
    await spent(ours, url, 1)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        poll = tasks.create_task(ours.receive(target, 20))
        await server.wait_until(lambda: server.waiting("dead") == 1)
        assert await ours.receive(url) == []
    assert len(poll.result()) == 1


async def test_the_sources_of_a_dead_letter_queue_are_listed(sqs: Sqs) -> None:
    """Both queues that name it, and no other."""
    target = await sqs.queue()
    sources = [await sqs.redriven(target, 3) for _ in range(2)]
    await sqs.queue()
    answer = await sqs.client.list_dead_letter_source_queues(QueueUrl=target)
    assert sorted(answer["queueUrls"]) == sorted(sources)


async def test_a_policy_reads_back_as_it_was_set(sqs: Sqs) -> None:
    """Target and count come back in the queue's attributes."""
    target = await sqs.queue()
    url = await sqs.redriven(target, 7)
    policy = json.loads((await sqs.attributes(url))["RedrivePolicy"])
    assert (policy["deadLetterTargetArn"], int(policy["maxReceiveCount"])) == (await sqs.arn(target), 7)


async def test_an_empty_policy_ends_the_redrive(sqs: Sqs) -> None:
    """After it is taken away, messages are delivered without end."""
    target = await sqs.queue()
    url = await sqs.redriven(target, 1)
    await sqs.client.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": ""})
    await sqs.send(url)
    await spent(sqs, url, 3)
    assert await sqs.counts(target) == (0, 0, 0)


async def test_a_dead_letter_queue_must_exist(sqs: Sqs) -> None:
    """A policy with an unknown target is refused."""
    policy = {"deadLetterTargetArn": f"{await sqs.arn(await sqs.queue())}-nowhere", "maxReceiveCount": 3}
    create = sqs.client.create_queue(QueueName=unique("source"), Attributes={"RedrivePolicy": json.dumps(policy)})
    assert await refusal(create) in {"InvalidParameterValue", "AWS.SimpleQueueService.NonExistentQueue"}
