"""Queues themselves: create, find, list, configure, purge, tag, delete."""

import pytest

from tests.contract.queue.sqs import Sqs, refusal, unique

MISSING = "AWS.SimpleQueueService.NonExistentQueue"


async def test_a_queue_is_found_by_its_name(sqs: Sqs) -> None:
    """GetQueueUrl answers what CreateQueue answered."""
    name = unique("named")
    url = await sqs.queue(name)
    assert (await sqs.client.get_queue_url(QueueName=name))["QueueUrl"] == url


async def test_creating_a_queue_again_is_a_success(sqs: Sqs) -> None:
    """The same name with the same attributes gives the same queue."""
    name = unique("twice")
    assert await sqs.queue(name, VisibilityTimeout=5) == await sqs.queue(name, VisibilityTimeout=5)


async def test_creating_a_queue_with_other_attributes_is_refused(sqs: Sqs) -> None:
    """A queue is not reconfigured by creating it."""
    name = unique("other")
    await sqs.queue(name, VisibilityTimeout=5)
    with pytest.raises(sqs.client.exceptions.QueueNameExists):
        await sqs.queue(name, VisibilityTimeout=6)


async def test_queues_are_listed_by_prefix(sqs: Sqs) -> None:
    """Only those that begin with it."""
    prefix = unique("listed")
    urls = [await sqs.queue(f"{prefix}-{index}") for index in range(3)]
    await sqs.queue()
    answer = await sqs.client.list_queues(QueueNamePrefix=prefix)
    assert sorted(answer["QueueUrls"]) == urls


async def test_an_unknown_prefix_lists_nothing(sqs: Sqs) -> None:
    """The list is empty or not there."""
    assert not (await sqs.client.list_queues(QueueNamePrefix=unique("none"))).get("QueueUrls")


async def test_lists_come_in_pages(sqs: Sqs) -> None:
    """Following the tokens brings every queue once."""
    prefix = unique("paged")
    urls = [await sqs.queue(f"{prefix}-{index}") for index in range(5)]
    pages = sqs.client.get_paginator("list_queues").paginate(QueueNamePrefix=prefix, PaginationConfig={"PageSize": 2})
    listed = [page.get("QueueUrls", []) async for page in pages]
    assert [len(page) for page in listed] == [2, 2, 1]
    assert sorted(url for page in listed for url in page) == urls


async def test_a_new_queue_has_the_documented_defaults(sqs: Sqs) -> None:
    """Visibility 30 s, retention 4 days, 1 MiB, no delay, no wait."""
    attributes = await sqs.attributes(await sqs.queue())
    assert {name: attributes[name] for name in DEFAULTS} == DEFAULTS


DEFAULTS = {
    "VisibilityTimeout": "30",
    "MessageRetentionPeriod": "345600",
    "MaximumMessageSize": "1048576",
    "DelaySeconds": "0",
    "ReceiveMessageWaitTimeSeconds": "0",
}


async def test_the_arn_ends_in_the_name(sqs: Sqs) -> None:
    """A redrive policy can be written from it."""
    name = unique("arn")
    arn = await sqs.arn(await sqs.queue(name))
    assert arn.startswith("arn:aws:sqs:us-east-1:")
    assert arn.endswith(f":{name}")


async def test_only_the_named_attributes_are_reported(sqs: Sqs) -> None:
    """Asking for one brings one."""
    url = await sqs.queue(VisibilityTimeout=7)
    answer = await sqs.client.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])
    assert answer["Attributes"] == {"VisibilityTimeout": "7"}


async def test_attributes_can_be_changed(sqs: Sqs) -> None:
    """What is set is reported, and what is not set stays."""
    url = await sqs.queue(DelaySeconds=3)
    await sqs.client.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "77"})
    attributes = await sqs.attributes(url)
    assert (attributes["VisibilityTimeout"], attributes["DelaySeconds"]) == ("77", "3")


@pytest.mark.parametrize(
    ("name", "value"),
    [("VisibilityTimeout", "43201"), ("DelaySeconds", "901"), ("MessageRetentionPeriod", "59")],
)
async def test_attributes_out_of_range_are_refused(sqs: Sqs, name: str, value: str) -> None:
    """The limits of AWS hold."""
    url = await sqs.queue()
    call = sqs.client.set_queue_attributes(QueueUrl=url, Attributes={name: value})
    assert await refusal(call) == "InvalidAttributeValue"


async def test_an_unknown_attribute_is_refused(sqs: Sqs) -> None:
    """A typing error in a name is told."""
    url = await sqs.queue()
    call = sqs.client.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeOut"])
    assert await refusal(call) == "InvalidAttributeName"


async def test_a_purge_empties_a_queue(sqs: Sqs) -> None:
    """Visible, in flight and delayed messages all go."""
    url = await sqs.queue()
    for delay in (0, 0, 600):
        await sqs.send(url, DelaySeconds=delay)
    await sqs.receive(url, limit=1)
    await sqs.client.purge_queue(QueueUrl=url)
    assert await sqs.counts(url) == (0, 0, 0)


async def test_a_second_purge_within_a_minute_is_refused(sqs: Sqs) -> None:
    """One purge in 60 seconds."""
    url = await sqs.queue()
    await sqs.client.purge_queue(QueueUrl=url)
    with pytest.raises(sqs.client.exceptions.PurgeQueueInProgress):
        await sqs.client.purge_queue(QueueUrl=url)


async def test_tags_can_be_set_and_read(sqs: Sqs) -> None:
    """Tags come back, and an untagged key goes."""
    url = await sqs.queue()
    await sqs.client.tag_queue(QueueUrl=url, Tags={"team": "care", "stage": "test"})
    await sqs.client.untag_queue(QueueUrl=url, TagKeys=["stage"])
    assert (await sqs.client.list_queue_tags(QueueUrl=url))["Tags"] == {"team": "care"}


async def test_a_deleted_queue_is_gone(sqs: Sqs) -> None:
    """Sending to it and finding it are both refused."""
    name = unique("deleted")
    url = await sqs.queue(name)
    await sqs.client.delete_queue(QueueUrl=url)
    assert await refusal(sqs.send(url)) == MISSING
    assert await refusal(sqs.client.get_queue_url(QueueName=name)) == MISSING


async def test_a_deleted_queue_takes_its_messages_along(ours: Sqs) -> None:
    """A queue of the same name starts empty."""
    name = unique("again")
    url = await ours.queue(name)
    await ours.send(url)
    await ours.client.delete_queue(QueueUrl=url)
    assert await ours.counts(await ours.queue(name)) == (0, 0, 0)


async def test_fifo_queues_are_refused_with_a_clear_word(ours: Sqs) -> None:
    """Out of this server's scope, said at once and by name."""
    with pytest.raises(ours.client.exceptions.UnsupportedOperation, match="FIFO queues are out of scope"):
        await ours.queue("orders.fifo", FifoQueue="true")
