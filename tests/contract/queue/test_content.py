"""What is sent is what is received: bodies, attributes, checksums."""

import hashlib
import time
from typing import Any

import pytest

from tests.contract.queue.sqs import Sqs, refusal

TEXT = {"DataType": "String", "StringValue": "robot 7"}
NUMBER = {"DataType": "Number", "StringValue": "12.5"}
large_bodies = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # the client's advice
BINARY = {"DataType": "Binary", "BinaryValue": b"\x00\xff\x10"}


def md5_of_attributes(attributes: dict[str, tuple[str, bytes]]) -> str:
    """AWS's checksum, written from its description and apart from the server's."""
    text = b""
    for name, (data_type, value) in sorted(attributes.items()):
        for part in (name.encode(), data_type.encode()):
            text += len(part).to_bytes(4, "big") + part
        text += (b"\x02" if data_type.startswith("Binary") else b"\x01") + len(value).to_bytes(4, "big") + value
    return hashlib.md5(text, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    "body",
    ["x", '{"a": "\\u00e9"}', "h\u00e9llo \u20ac \U0001f600", "tab\there\nline\r\n", "<&>\"'", "x" * 300_000],
    ids=["one", "json", "unicode", "whitespace", "markup", "long"],
)
async def test_a_body_arrives_as_it_was_sent(sqs: Sqs, body: str) -> None:
    """Whatever characters are allowed come out as they went in."""
    url = await sqs.queue()
    await sqs.send(url, body)
    assert (await sqs.receive_one(url))["Body"] == body


async def test_sender_and_receiver_get_the_md5_of_the_body(sqs: Sqs) -> None:
    """Both checksums are of the body's UTF-8 bytes."""
    url = await sqs.queue()
    sent = await sqs.send(url, "caf\u00e9")
    expected = hashlib.md5("caf\u00e9".encode(), usedforsecurity=False).hexdigest()
    assert (sent["MD5OfMessageBody"], (await sqs.receive_one(url))["MD5OfBody"]) == (expected, expected)


async def test_the_receiver_gets_the_message_id_that_the_sender_got(sqs: Sqs) -> None:
    """One id names the message on both sides."""
    url = await sqs.queue()
    sent = await sqs.send(url)
    assert (await sqs.receive_one(url))["MessageId"] == sent["MessageId"]


async def test_message_attributes_arrive_with_their_types(sqs: Sqs) -> None:
    """Text, number and bytes keep type and value."""
    url = await sqs.queue()
    await sqs.send(url, MessageAttributes={"t": TEXT, "n": NUMBER, "b": BINARY})
    message = await sqs.receive_one(url, MessageAttributeNames=["All"])
    assert message["MessageAttributes"] == {"t": TEXT, "n": NUMBER, "b": BINARY}


async def test_the_md5_of_attributes_is_the_documented_one(sqs: Sqs) -> None:
    """Sender and receiver get the checksum over the attributes in the order of their names."""
    url = await sqs.queue()
    sent = await sqs.send(url, MessageAttributes={"t": TEXT, "n": NUMBER, "b": BINARY})
    expected = md5_of_attributes(
        {"t": ("String", b"robot 7"), "n": ("Number", b"12.5"), "b": ("Binary", b"\x00\xff\x10")}
    )
    received = await sqs.receive_one(url, MessageAttributeNames=["All"])
    assert (sent["MD5OfMessageAttributes"], received["MD5OfMessageAttributes"]) == (expected, expected)


async def test_the_md5_of_chosen_attributes_covers_these_alone(sqs: Sqs) -> None:
    """A receiver that asked for some attributes can check what it got."""
    url = await sqs.queue()
    await sqs.send(url, MessageAttributes={"t": TEXT, "n": NUMBER})
    received = await sqs.receive_one(url, MessageAttributeNames=["t"])
    assert received["MD5OfMessageAttributes"] == md5_of_attributes({"t": ("String", b"robot 7")})


async def test_attributes_come_only_when_asked_for(sqs: Sqs) -> None:
    """A plain receive brings neither kind of attributes."""
    url = await sqs.queue()
    await sqs.send(url, MessageAttributes={"t": TEXT})
    assert set(await sqs.receive_one(url)) == {"MessageId", "ReceiptHandle", "MD5OfBody", "Body"}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (["robot.id"], {"robot.id"}),
        (["robot.*"], {"robot.id", "robot.name"}),
        ([".*"], {"robot.id", "robot.name", "other"}),
        (["All"], {"robot.id", "robot.name", "other"}),
        (["nothing"], set()),
    ],
    ids=["name", "prefix", "dot-star", "all", "unknown"],
)
async def test_message_attributes_are_chosen_by_name_or_prefix(sqs: Sqs, asked: list[str], expected: set[str]) -> None:
    """A name, `prefix.*`, `.*` and `All` each bring what they say."""
    url = await sqs.queue()
    await sqs.send(url, MessageAttributes={"robot.id": TEXT, "robot.name": TEXT, "other": TEXT})
    message = await sqs.receive_one(url, MessageAttributeNames=asked)
    assert set(message.get("MessageAttributes", {})) == expected


@pytest.mark.parametrize("parameter", ["AttributeNames", "MessageSystemAttributeNames"])
async def test_system_attributes_are_all_there(sqs: Sqs, parameter: str) -> None:
    """Both spellings of the parameter bring the four attributes that every delivery has."""
    url = await sqs.queue()
    await sqs.send(url)
    extra: dict[str, Any] = {parameter: ["All"]}
    attributes = (await sqs.receive_one(url, **extra))["Attributes"]
    assert {"SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp"} <= set(
        attributes
    )


async def test_system_attributes_are_chosen_by_name(sqs: Sqs) -> None:
    """Only the named ones come."""
    url = await sqs.queue()
    await sqs.send(url)
    names = ["ApproximateReceiveCount", "SentTimestamp"]
    assert set((await sqs.receive_one(url, MessageSystemAttributeNames=names))["Attributes"]) == set(names)


async def test_timestamps_are_milliseconds_of_now(sqs: Sqs) -> None:
    """Sent and first received lie between the moments around them, in this order."""
    url = await sqs.queue()
    before_ms = int(time.time() * 1000)
    await sqs.send(url)
    attributes = (await sqs.receive_one(url, AttributeNames=["All"]))["Attributes"]
    sent_ms, received_ms = int(attributes["SentTimestamp"]), int(attributes["ApproximateFirstReceiveTimestamp"])
    assert before_ms <= sent_ms <= received_ms <= int(time.time() * 1000) + 1


async def test_a_group_id_travels_on_a_standard_queue(sqs: Sqs) -> None:
    """Fair queues: MessageGroupId is accepted without FIFO and delivered as an attribute."""
    url = await sqs.queue()
    await sqs.send(url, MessageGroupId="robot-7")
    attributes = (await sqs.receive_one(url, AttributeNames=["All"]))["Attributes"]
    assert attributes["MessageGroupId"] == "robot-7"


async def test_a_trace_header_travels_as_a_system_attribute(sqs: Sqs) -> None:
    """What goes in as AWSTraceHeader comes out among the system attributes."""
    url = await sqs.queue()
    trace = {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}
    await sqs.send(url, MessageSystemAttributes={"AWSTraceHeader": trace})
    attributes = (await sqs.receive_one(url, AttributeNames=["All"]))["Attributes"]
    assert attributes["AWSTraceHeader"] == trace["StringValue"]


async def test_a_batch_of_ten_is_sent_and_received_at_once(sqs: Sqs) -> None:
    """Ten entries go, each answered by its id, and one receive brings ten."""
    url = await sqs.queue()
    entries = [{"Id": str(index), "MessageBody": f"body {index}"} for index in range(10)]
    answer = await sqs.client.send_message_batch(QueueUrl=url, Entries=entries)
    assert [entry["Id"] for entry in answer["Successful"]] == [str(index) for index in range(10)]
    assert {message["Body"] for message in await sqs.receive(url)} == {f"body {index}" for index in range(10)}


async def test_a_receive_brings_one_message_unless_told_otherwise(sqs: Sqs) -> None:
    """The default of MaxNumberOfMessages is 1."""
    url = await sqs.queue()
    await sqs.send(url)
    await sqs.send(url)
    assert len((await sqs.client.receive_message(QueueUrl=url))["Messages"]) == 1


@pytest.mark.parametrize("bad", ["\x00", "\x0b", "\x1f", "\ufffe", "\uffff"], ids=ascii)
async def test_forbidden_characters_are_refused(sqs: Sqs, bad: str) -> None:
    """Characters outside AWS's set never get into a queue."""
    url = await sqs.queue()
    assert await refusal(sqs.send(url, f"before{bad}after")) == "InvalidMessageContents"


async def test_a_forbidden_character_fails_its_entry_of_a_batch_alone(sqs: Sqs) -> None:
    """The good entry is sent, the bad one is named with the sender's fault."""
    url = await sqs.queue()
    entries = [{"Id": "good", "MessageBody": "fine"}, {"Id": "bad", "MessageBody": "\x00"}]
    answer = await sqs.client.send_message_batch(QueueUrl=url, Entries=entries)
    assert [entry["Id"] for entry in answer["Successful"]] == ["good"]
    assert [(entry["Id"], entry["Code"], entry["SenderFault"]) for entry in answer["Failed"]] == [
        ("bad", "InvalidMessageContents", True)
    ]


async def test_an_empty_body_is_refused(sqs: Sqs) -> None:
    """A message has at least one character."""
    url = await sqs.queue()
    assert await refusal(sqs.send(url, "")) == "MissingParameter"


@large_bodies
async def test_a_body_of_one_mebibyte_is_accepted_and_one_byte_more_is_not(sqs: Sqs) -> None:
    """The limit is exact."""
    url = await sqs.queue()
    await sqs.send(url, "x" * 1_048_576)
    assert await refusal(sqs.send(url, "x" * 1_048_577)) == "InvalidParameterValue"


@large_bodies
async def test_attributes_count_towards_the_limit(sqs: Sqs) -> None:
    """Name, type and value are added to the size of the body."""
    url = await sqs.queue()
    body = "x" * (1_048_576 - len("t" + "String" + "robot 7"))
    await sqs.send(url, body, MessageAttributes={"t": TEXT})
    assert await refusal(sqs.send(url, body + "x", MessageAttributes={"t": TEXT})) == "InvalidParameterValue"


@large_bodies
async def test_the_limit_is_of_a_batch_as_a_whole(sqs: Sqs) -> None:
    """Two bodies that are fine alone are too long together."""
    url = await sqs.queue()
    entries = [{"Id": str(index), "MessageBody": "x" * 600_000} for index in range(2)]
    call = sqs.client.send_message_batch(QueueUrl=url, Entries=entries)
    assert await refusal(call) == "AWS.SimpleQueueService.BatchRequestTooLong"


async def test_an_eleventh_message_attribute_is_refused(sqs: Sqs) -> None:
    """Ten are the most."""
    url = await sqs.queue()
    eleven = {f"a{index}": TEXT for index in range(11)}
    assert await refusal(sqs.send(url, MessageAttributes=eleven)) == "InvalidParameterValue"


async def test_a_number_attribute_must_be_a_number(sqs: Sqs) -> None:
    """Text that is no number is refused under the type Number."""
    url = await sqs.queue()
    wrong = {"n": {"DataType": "Number", "StringValue": "seven"}}
    assert await refusal(sqs.send(url, MessageAttributes=wrong)) == "InvalidParameterValue"
