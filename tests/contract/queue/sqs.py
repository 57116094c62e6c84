"""What the tests of the queue contract say to a server: botocore's calls, with the words that tests need."""

import json
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import ClientError

Message = dict[str, Any]


def in_real_time(seconds: int) -> int:
    """Nothing can be skipped: what has to pass is left to wait for."""
    return seconds


@dataclass(frozen=True, slots=True)
class Sqs:
    """A client; `client` is the untyped original.

    `elapse` lets seconds of message time pass and returns how many of them a receive still has to wait: none on our
    server, whose clock is turned, all of them on any other.
    """

    client: Any
    elapse: Callable[[int], int] = in_real_time

    async def queue(self, name: str | None = None, **attributes: Any) -> str:
        """Create a queue and return its URL."""
        created = await self.client.create_queue(
            QueueName=name or unique("queue"), Attributes={key: str(value) for key, value in attributes.items()}
        )
        return str(created["QueueUrl"])

    async def arn(self, url: str) -> str:
        """The ARN of a queue."""
        return (await self.attributes(url))["QueueArn"]

    async def attributes(self, url: str) -> dict[str, str]:
        """All attributes of a queue."""
        answer = await self.client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        attributes: dict[str, str] = answer["Attributes"]
        return attributes

    async def counts(self, url: str) -> tuple[int, int, int]:
        """Visible, in flight, delayed."""
        attributes = await self.attributes(url)
        return (
            int(attributes["ApproximateNumberOfMessages"]),
            int(attributes["ApproximateNumberOfMessagesNotVisible"]),
            int(attributes["ApproximateNumberOfMessagesDelayed"]),
        )

    async def redriven(self, dead: str, receives: int, **attributes: Any) -> str:
        """Create a queue that dead-letters to `dead` after so many receives."""
        policy = {"deadLetterTargetArn": await self.arn(dead), "maxReceiveCount": receives}
        return await self.queue(RedrivePolicy=json.dumps(policy), **attributes)

    async def send(self, url: str, body: str = "hello", **extra: Any) -> Message:
        """Send one message."""
        sent: Message = await self.client.send_message(QueueUrl=url, MessageBody=body, **extra)
        return sent

    async def receive(self, url: str, wait: int = 0, limit: int = 10, **extra: Any) -> list[Message]:
        """Receive up to `limit` messages, waiting up to `wait` seconds."""
        answer = await self.client.receive_message(
            QueueUrl=url, MaxNumberOfMessages=limit, WaitTimeSeconds=wait, **extra
        )
        messages: list[Message] = answer.get("Messages", [])
        return messages

    async def receive_one(self, url: str, wait: int = 0, **extra: Any) -> Message:
        """Receive the one message that there must be."""
        (message,) = await self.receive(url, wait, **extra)
        return message

    async def delete(self, url: str, message: Message) -> None:
        """Delete by the receipt handle of this delivery."""
        await self.client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    async def hide(self, url: str, message: Message, seconds: int) -> None:
        """Change the visibility of this delivery."""
        await self.client.change_message_visibility(
            QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=seconds
        )


class Connect(Protocol):
    """Open a client of the server at `url`."""

    def __call__(
        self, url: str, read_timeout_s: float = 25.0, elapse: Callable[[int], int] = in_real_time
    ) -> AbstractAsyncContextManager[Sqs]: ...


def unique(prefix: str) -> str:
    """A name that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


async def refusal(call: Awaitable[object]) -> str:
    """The error code that a call is refused with."""
    try:
        await call
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    raise AssertionError("the call was accepted")
