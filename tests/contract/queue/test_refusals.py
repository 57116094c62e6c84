"""Errors as botocore raises them: the modelled classes, and the codes that tools compare with."""

from collections.abc import Awaitable, Callable

import pytest

from tests.contract.queue.sqs import Sqs, refusal, unique

Call = Callable[[Sqs, str], Awaitable[object]]
PREFIX = "AWS.SimpleQueueService."


def entries(*ids: str) -> list[dict[str, str]]:
    return [{"Id": entry_id, "MessageBody": "x"} for entry_id in ids]


ON_A_MISSING_QUEUE: dict[str, Call] = {
    "send": lambda sqs, url: sqs.send(url),
    "send batch": lambda sqs, url: sqs.client.send_message_batch(QueueUrl=url, Entries=entries("a")),
    "receive": lambda sqs, url: sqs.receive(url),
    "delete": lambda sqs, url: sqs.delete(url, {"ReceiptHandle": "any"}),
    "change visibility": lambda sqs, url: sqs.hide(url, {"ReceiptHandle": "any"}, 5),
    "attributes": lambda sqs, url: sqs.attributes(url),
    "purge": lambda sqs, url: sqs.client.purge_queue(QueueUrl=url),
    "find": lambda sqs, url: sqs.client.get_queue_url(QueueName=url.rpartition("/")[2]),
}


@pytest.mark.parametrize("operation", ON_A_MISSING_QUEUE)
async def test_a_missing_queue_is_told_by_every_operation(sqs: Sqs, operation: str) -> None:
    """The modelled exception is raised, with the code of the old protocol."""
    url = (await sqs.queue()).rpartition("/")[0] + "/" + unique("missing")
    with pytest.raises(sqs.client.exceptions.QueueDoesNotExist) as caught:
        await ON_A_MISSING_QUEUE[operation](sqs, url)
    assert caught.value.response["Error"]["Code"] == f"{PREFIX}NonExistentQueue"


BAD_REQUESTS: dict[str, tuple[Call, str]] = {
    "no entries": (
        lambda sqs, url: sqs.client.send_message_batch(QueueUrl=url, Entries=[]),
        f"{PREFIX}EmptyBatchRequest",
    ),
    "eleven entries": (
        lambda sqs, url: sqs.client.send_message_batch(QueueUrl=url, Entries=entries(*"abcdefghijk")),
        f"{PREFIX}TooManyEntriesInBatchRequest",
    ),
    "an id of 81 characters": (
        lambda sqs, url: sqs.client.send_message_batch(QueueUrl=url, Entries=entries("a" * 81)),
        f"{PREFIX}InvalidBatchEntryId",
    ),
    "an id with a space": (
        lambda sqs, url: sqs.client.send_message_batch(QueueUrl=url, Entries=entries("a b")),
        f"{PREFIX}InvalidBatchEntryId",
    ),
    "receive eleven": (lambda sqs, url: sqs.receive(url, limit=11), "InvalidParameterValue"),
    "receive none": (lambda sqs, url: sqs.receive(url, limit=0), "InvalidParameterValue"),
    "wait 21 s": (lambda sqs, url: sqs.receive(url, wait=21), "InvalidParameterValue"),
    "hide 43201 s": (lambda sqs, url: sqs.receive(url, VisibilityTimeout=43_201), "InvalidParameterValue"),
    "delay 901 s": (lambda sqs, url: sqs.send(url, DelaySeconds=901), "InvalidParameterValue"),
}


@pytest.mark.parametrize("request_name", BAD_REQUESTS)
async def test_a_bad_request_is_refused_with_its_code(sqs: Sqs, request_name: str) -> None:
    """Limits of batches and parameters, each with AWS's own code."""
    call, code = BAD_REQUESTS[request_name]
    assert await refusal(call(sqs, await sqs.queue())) == code


@pytest.mark.parametrize("operation", ["send", "delete", "change"])
async def test_repeated_ids_fail_the_whole_batch(sqs: Sqs, operation: str) -> None:
    """Two entries of one id are refused before anything is done, in each kind of batch."""
    url = await sqs.queue()
    await sqs.send(url)
    handle = (await sqs.receive_one(url))["ReceiptHandle"]
    twice = [{"Id": "same", "ReceiptHandle": handle}] * 2
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "send": lambda: sqs.client.send_message_batch(QueueUrl=url, Entries=entries("same", "same")),
        "delete": lambda: sqs.client.delete_message_batch(QueueUrl=url, Entries=twice),
        "change": lambda: sqs.client.change_message_visibility_batch(
            QueueUrl=url, Entries=[{**entry, "VisibilityTimeout": 5} for entry in twice]
        ),
    }
    with pytest.raises(sqs.client.exceptions.BatchEntryIdsNotDistinct):
        await calls[operation]()
    assert await sqs.counts(url) == (0, 1, 0)


async def test_an_unsupported_operation_is_told(ours: Sqs) -> None:
    """What this server cannot do is refused by name."""
    arn = await ours.arn(await ours.queue())
    with pytest.raises(ours.client.exceptions.UnsupportedOperation, match="StartMessageMoveTask"):
        await ours.client.start_message_move_task(SourceArn=arn)
