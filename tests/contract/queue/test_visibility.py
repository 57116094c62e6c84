"""Who sees a message when: delays, visibility, receipt handles, deletes."""

from typing import Any

import pytest

from tests.contract.queue.sqs import Sqs, refusal


async def test_a_received_message_is_hidden_and_comes_back(sqs: Sqs) -> None:
    """Within its visibility timeout nobody else gets it; afterwards it is delivered again, counted."""
    url = await sqs.queue(VisibilityTimeout=1)
    await sqs.send(url)
    first = await sqs.receive_one(url, AttributeNames=["All"])
    assert await sqs.receive(url) == []
    second = await sqs.receive_one(url, sqs.elapse(2), AttributeNames=["All"])
    counts = [message["Attributes"]["ApproximateReceiveCount"] for message in (first, second)]
    starts = [message["Attributes"]["ApproximateFirstReceiveTimestamp"] for message in (first, second)]
    assert counts == ["1", "2"]
    assert starts[0] == starts[1]
    assert first["ReceiptHandle"] != second["ReceiptHandle"]


async def test_the_visibility_of_a_receive_overrides_the_queues(sqs: Sqs) -> None:
    """The number given with the receive counts."""
    url = await sqs.queue(VisibilityTimeout=600)
    await sqs.send(url)
    await sqs.receive_one(url, VisibilityTimeout=1)
    assert len(await sqs.receive(url, sqs.elapse(2))) == 1


async def test_a_receive_with_visibility_zero_hides_nothing(sqs: Sqs) -> None:
    """The message is there for the next receive at once."""
    url = await sqs.queue()
    await sqs.send(url)
    await sqs.receive_one(url, VisibilityTimeout=0)
    assert len(await sqs.receive(url)) == 1


async def test_visibility_zero_gives_a_message_back_at_once(sqs: Sqs) -> None:
    """Handing back does not wait for the timeout."""
    url = await sqs.queue()
    await sqs.send(url)
    await sqs.hide(url, await sqs.receive_one(url), 0)
    assert len(await sqs.receive(url, 1)) == 1


async def test_extending_keeps_a_message_hidden_past_its_timeout(sqs: Sqs) -> None:
    """After an extension the old moment passes without a delivery."""
    url = await sqs.queue(VisibilityTimeout=1)
    await sqs.send(url)
    await sqs.hide(url, await sqs.receive_one(url), 30)
    assert await sqs.receive(url, sqs.elapse(2)) == []
    assert await sqs.counts(url) == (0, 1, 0)


async def test_shortening_brings_a_message_back_earlier(sqs: Sqs) -> None:
    """The new timeout counts from the change."""
    url = await sqs.queue(VisibilityTimeout=600)
    await sqs.send(url)
    await sqs.hide(url, await sqs.receive_one(url), 1)
    assert len(await sqs.receive(url, sqs.elapse(2))) == 1


async def test_a_batch_of_changes_names_the_entry_that_failed(sqs: Sqs) -> None:
    """Good handles are changed although a bad one is among them."""
    url = await sqs.queue()
    for _ in range(2):
        await sqs.send(url)
    handles = [message["ReceiptHandle"] for message in await sqs.receive(url)]
    answer = await sqs.client.change_message_visibility_batch(
        QueueUrl=url,
        Entries=[
            {"Id": str(index), "ReceiptHandle": handle, "VisibilityTimeout": 0}
            for index, handle in enumerate([*handles, "nonsense"])
        ],
    )
    assert [entry["Id"] for entry in answer["Successful"]] == ["0", "1"]
    assert [(entry["Id"], entry["Code"]) for entry in answer["Failed"]] == [("2", "ReceiptHandleIsInvalid")]
    assert await sqs.counts(url) == (2, 0, 0)


async def test_a_message_that_came_back_can_no_longer_be_extended(sqs: Sqs) -> None:
    """Its holder has lost it and is told so."""
    url = await sqs.queue()
    await sqs.send(url)
    held = await sqs.receive_one(url)
    await sqs.hide(url, held, 0)
    assert await refusal(sqs.hide(url, held, 30)) == "AWS.SimpleQueueService.MessageNotInflight"


async def test_a_message_that_another_received_can_no_longer_be_extended(sqs: Sqs) -> None:
    """The old holder must not change the new one's visibility."""
    url = await sqs.queue()
    await sqs.send(url)
    held = await sqs.receive_one(url, VisibilityTimeout=0)
    await sqs.receive_one(url)
    assert await refusal(sqs.hide(url, held, 0)) == "AWS.SimpleQueueService.MessageNotInflight"


async def test_a_deleted_message_cannot_be_extended(sqs: Sqs) -> None:
    """There is nothing left to hide."""
    url = await sqs.queue()
    await sqs.send(url)
    held = await sqs.receive_one(url)
    await sqs.delete(url, held)
    assert await refusal(sqs.hide(url, held, 30)) == "InvalidParameterValue"


async def test_visibility_cannot_reach_beyond_twelve_hours_from_the_receive(sqs: Sqs) -> None:
    """43200 s are allowed in total, not one second more."""
    url = await sqs.queue()
    await sqs.send(url)
    held = await sqs.receive_one(url)
    assert await refusal(sqs.hide(url, held, 43_201)) == "InvalidParameterValue"


async def test_a_deleted_message_is_gone(sqs: Sqs) -> None:
    """Neither visible nor in flight."""
    url = await sqs.queue()
    await sqs.send(url)
    await sqs.delete(url, await sqs.receive_one(url))
    assert await sqs.counts(url) == (0, 0, 0)


async def test_deleting_twice_is_a_success(sqs: Sqs) -> None:
    """A delete may be repeated."""
    url = await sqs.queue()
    await sqs.send(url)
    held = await sqs.receive_one(url)
    await sqs.delete(url, held)
    await sqs.delete(url, held)
    assert await sqs.counts(url) == (0, 0, 0)


async def test_a_delete_works_after_the_visibility_timeout(sqs: Sqs) -> None:
    """As long as nobody else received the message, its last handle deletes it."""
    url = await sqs.queue()
    await sqs.send(url)
    held = await sqs.receive_one(url, VisibilityTimeout=0)
    await sqs.delete(url, held)
    assert await sqs.receive(url) == []


async def test_a_delete_by_an_outdated_handle_succeeds_and_keeps_the_message(sqs: Sqs) -> None:
    """Who lost a message cannot take it away from its new holder."""
    url = await sqs.queue()
    await sqs.send(url)
    outdated = await sqs.receive_one(url, VisibilityTimeout=0)
    await sqs.receive_one(url)
    await sqs.delete(url, outdated)
    assert await sqs.counts(url) == (0, 1, 0)


async def test_a_batch_of_deletes_names_the_entry_that_failed(sqs: Sqs) -> None:
    """The good handle deletes, the bad one is named."""
    url = await sqs.queue()
    await sqs.send(url)
    held = await sqs.receive_one(url)
    answer = await sqs.client.delete_message_batch(
        QueueUrl=url,
        Entries=[
            {"Id": "good", "ReceiptHandle": held["ReceiptHandle"]},
            {"Id": "bad", "ReceiptHandle": "nonsense"},
        ],
    )
    assert [entry["Id"] for entry in answer["Successful"]] == ["good"]
    assert [(entry["Id"], entry["Code"], entry["SenderFault"]) for entry in answer["Failed"]] == [
        ("bad", "ReceiptHandleIsInvalid", True)
    ]


async def test_nonsense_is_no_receipt_handle(sqs: Sqs) -> None:
    """Deleting and extending by nonsense are refused."""
    url = await sqs.queue()
    nonsense = {"ReceiptHandle": "nonsense"}
    assert await refusal(sqs.delete(url, nonsense)) == "ReceiptHandleIsInvalid"
    assert await refusal(sqs.hide(url, nonsense, 5)) == "ReceiptHandleIsInvalid"


async def test_a_handle_of_another_queue_is_refused(sqs: Sqs) -> None:
    """A receipt handle belongs to its queue."""
    url, other = await sqs.queue(), await sqs.queue()
    await sqs.send(url)
    assert await refusal(sqs.delete(other, await sqs.receive_one(url))) == "ReceiptHandleIsInvalid"


@pytest.mark.parametrize("by", ["message", "queue"])
async def test_a_delayed_message_comes_after_its_delay(sqs: Sqs, by: str) -> None:
    """A delay of the message or of the queue hides it first, and a poll gets it when it is due."""
    url = await sqs.queue(DelaySeconds=1 if by == "queue" else 0)
    extra: dict[str, Any] = {"DelaySeconds": 1} if by == "message" else {}
    await sqs.send(url, **extra)
    assert await sqs.counts(url) == (0, 0, 1)
    assert await sqs.receive(url) == []
    assert len(await sqs.receive(url, sqs.elapse(2))) == 1


async def test_a_delay_of_zero_overrides_the_queues(sqs: Sqs) -> None:
    """The message's own delay counts, even when it is none."""
    url = await sqs.queue(DelaySeconds=600)
    await sqs.send(url, DelaySeconds=0)
    assert len(await sqs.receive(url)) == 1


async def test_the_three_counts_add_up(sqs: Sqs) -> None:
    """Visible, in flight and delayed are counted apart."""
    url = await sqs.queue()
    for delay in (0, 0, 0, 600):
        await sqs.send(url, DelaySeconds=delay)
    await sqs.receive(url, limit=1)
    assert await sqs.counts(url) == (2, 1, 1)


async def test_twenty_messages_are_each_delivered_once(sqs: Sqs) -> None:
    """Receives share out what is there, without loss or repetition."""
    url = await sqs.queue()
    for start in (0, 10):
        entries = [{"Id": str(index), "MessageBody": str(start + index)} for index in range(10)]
        await sqs.client.send_message_batch(QueueUrl=url, Entries=entries)
    bodies: list[str] = []
    while messages := await sqs.receive(url, limit=7):
        bodies += [message["Body"] for message in messages]
    assert sorted(bodies, key=int) == [str(index) for index in range(20)]
