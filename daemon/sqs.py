"""SQS as the daemon uses it: narrow, batched, every `Failed[]` read, every error of the library translated here.

Two clients: a long poll holds a connection, so polling must never share a pool with deletes and sends. Retries are
ours, so botocore sends each request once; every call has its own bound, because the library's covers single reads.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from daemon.metrics import Metrics, now_s
from domain.errors import RobotdError, Unavailable
from domain.wire import MAX_MESSAGE_BYTES

BATCH = 10
_MISSING = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}
_STALE = {
    "ReceiptHandleIsInvalid",
    "MessageNotInflight",
    "InvalidParameterValue",
    "AWS.SimpleQueueService.MessageNotInflight",
}


class QueueMissing(RobotdError):  # noqa: N818  a state of the queue, not a fault of ours
    """The queue does not exist."""


class StaleHandle(RobotdError):  # noqa: N818  SQS's own word for a receipt that another receive has replaced
    """The receipt is no longer ours."""


@dataclass(frozen=True, slots=True)
class SqsAccess:
    """Where SQS is and who we are there. Without keys the usual AWS chain decides."""

    region: str
    endpoint_url: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None
    connect_timeout_s: float = 3.0
    call_timeout_s: float = 10.0
    poll_wait_s: int = 10


@dataclass(frozen=True, slots=True)
class Received:
    """One message as SQS handed it out."""

    id: str
    handle: str
    body: str
    attributes: Mapping[str, str]
    receive_count: int
    sent_at_ms: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to be sent."""

    body: str
    attributes: Mapping[str, str]

    @property
    def size(self) -> int:
        """Bytes as SQS counts them: body, and each attribute's name, type and value."""
        of_attributes = sum(len(name) + 6 + len(text.encode()) for name, text in self.attributes.items())
        return len(self.body.encode()) + of_attributes


class Sqs:
    """The six calls that robotd lives on, and the few that set queues up."""

    def __init__(
        self, access: SqsAccess, stack: AsyncExitStack, polls: Any, calls: Any, metrics: Metrics | None = None
    ) -> None:
        self._access = access
        self._metrics = metrics or Metrics()
        self._stack = stack
        self._polls = polls
        self._calls = calls
        self._urls: dict[str, str] = {}

    async def url(self, queue: str) -> str:
        """URL of a queue by name; a URL is returned as it is. Only successes are remembered."""
        if "://" in queue:
            return queue
        if queue not in self._urls:
            reply = await self._call("get_queue_url", QueueName=queue)
            self._urls[queue] = _queue_url(reply)
        return self._urls[queue]

    async def receive(self, queue: str, *, limit: int, visibility_timeout_s: int) -> list[Received]:
        """One long poll. Never cancel it: SQS would hand the next message to nobody."""
        bound_s = self._access.poll_wait_s + self._access.call_timeout_s
        reply = await self._bounded(
            self._polls.receive_message(
                QueueUrl=await self.url(queue),
                MaxNumberOfMessages=limit,
                WaitTimeSeconds=self._access.poll_wait_s,
                VisibilityTimeout=visibility_timeout_s,
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
                MessageAttributeNames=["All"],
            ),
            bound_s,
            "receive_message",
        )
        return [_received(message) for message in reply.get("Messages", [])]

    async def delete(self, queue: str, handles: Sequence[str]) -> list[Exception | None]:
        """Delete up to ten; one error or None each."""
        entries = [{"Id": str(place), "ReceiptHandle": handle} for place, handle in enumerate(handles)]
        reply = await self._call("delete_message_batch", QueueUrl=await self.url(queue), Entries=entries)
        return _errors(reply, len(entries))

    async def change_visibility(self, queue: str, changes: Sequence[tuple[str, int]]) -> list[Exception | None]:
        """Set the visibility timeout, seconds from now, of up to ten (handle, seconds); one error or None each."""
        entries = [
            {"Id": str(place), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
            for place, (handle, seconds) in enumerate(changes)
        ]
        reply = await self._call("change_message_visibility_batch", QueueUrl=await self.url(queue), Entries=entries)
        return _errors(reply, len(entries))

    async def send(self, queue: str, messages: Sequence[Outgoing]) -> list[Exception | None]:
        """Send up to ten messages that fit into one request; one error or None each. Raises QueueMissing."""
        entries = [
            {"Id": str(place), "MessageBody": message.body, "MessageAttributes": _attributes(message.attributes)}
            for place, message in enumerate(messages)
        ]
        try:
            reply = await self._call("send_message_batch", QueueUrl=await self.url(queue), Entries=entries)
        except QueueMissing:
            self._urls.pop(queue, None)
            raise
        return _errors(reply, len(entries))

    async def create(self, queue: str, attributes: Mapping[str, str]) -> str:
        """Create a queue, or find the equal one that exists. Raises RobotdError when it exists otherwise."""
        reply = await self._call("create_queue", QueueName=queue, Attributes=dict(attributes))
        self._urls[queue] = _queue_url(reply)
        return self._urls[queue]

    async def attributes(self, queue: str) -> dict[str, str]:
        """All attributes of a queue, among them the three approximate counts. Raises QueueMissing."""
        reply = await self._call("get_queue_attributes", QueueUrl=await self.url(queue), AttributeNames=["All"])
        found: dict[str, str] = reply.get("Attributes", {})
        return found

    async def set_attributes(self, queue: str, attributes: Mapping[str, str]) -> None:
        """Change attributes of a queue."""
        await self._call("set_queue_attributes", QueueUrl=await self.url(queue), Attributes=dict(attributes))

    async def renew_polling(self) -> None:
        """A new client for polling, for the watchdog: whatever held the old one is left behind."""
        self._polls = await self._stack.enter_async_context(_client(self._access, pool=20, read_timeout_s=self._read_s))

    @property
    def _read_s(self) -> float:
        return self._access.poll_wait_s + 5.0

    async def _call(self, operation: str, **arguments: Any) -> Any:
        call = getattr(self._calls, operation)(**arguments)
        return await self._bounded(call, self._access.call_timeout_s, operation)

    async def _bounded(self, call: Any, bound_s: float, operation: str) -> Any:
        began_s, outcome = now_s(), "error"
        try:
            async with asyncio.timeout(bound_s):
                answer = await call
            outcome = "ok"
            return answer  # noqa: TRY300  an else would have to repeat what finally does
        except ClientError as error:
            raise _translated(error) from error
        except (BotoCoreError, HTTPClientError, TimeoutError, OSError, AttributeError) as error:
            # AttributeError: over an answer that is JSON, but not an object, the library itself stumbles.
            raise Unavailable("sqs", f"{type(error).__name__}: {error}"[:300]) from error
        finally:
            self._metrics.called_sqs(operation, outcome, now_s() - began_s)


@asynccontextmanager
async def connect(access: SqsAccess, metrics: Metrics | None = None) -> AsyncIterator[Sqs]:
    """Open both clients, and close them at the end."""
    async with AsyncExitStack() as stack:
        polls = await stack.enter_async_context(_client(access, pool=20, read_timeout_s=access.poll_wait_s + 5.0))
        calls = await stack.enter_async_context(_client(access, pool=50, read_timeout_s=access.call_timeout_s))
        yield Sqs(access, stack, polls, calls, metrics)


@cache
def session() -> AioSession:
    """One for the process: each session reads the description of all of SQS anew, which costs more than a client."""
    return get_session()


def _client(access: SqsAccess, *, pool: int, read_timeout_s: float) -> Any:
    config = AioConfig(
        max_pool_connections=pool,
        connect_timeout=access.connect_timeout_s,
        read_timeout=read_timeout_s,
        retries={"total_max_attempts": 1, "mode": "standard"},
        user_agent="robotd",  # built anew for every call otherwise: a sixth of the CPU of a receive
        parameter_validation=False,
    )
    return session().create_client(
        "sqs",
        region_name=access.region,
        endpoint_url=access.endpoint_url,
        aws_access_key_id=access.access_key_id,
        aws_secret_access_key=access.secret_access_key,
        config=config,
    )


def chunks(messages: Sequence[Outgoing]) -> list[list[Outgoing]]:
    """Cut messages into requests of at most ten and at most 1 MiB, in order."""
    requests: list[list[Outgoing]] = []
    room = 0
    for message in messages:
        if not requests or len(requests[-1]) == BATCH or message.size > room:
            requests.append([])
            room = MAX_MESSAGE_BYTES
        requests[-1].append(message)
        room -= message.size
    return requests


def _received(message: Mapping[str, Any]) -> Received:
    system = message.get("Attributes", {})
    attributes = {
        name: value["StringValue"]
        for name, value in message.get("MessageAttributes", {}).items()
        if "StringValue" in value
    }
    return Received(
        id=message["MessageId"],
        handle=message["ReceiptHandle"],
        body=message["Body"],
        attributes=attributes,
        receive_count=int(system.get("ApproximateReceiveCount", 1)),
        sent_at_ms=int(system.get("SentTimestamp", 0)),
    )


def _attributes(attributes: Mapping[str, str]) -> dict[str, dict[str, str]]:
    return {name: {"DataType": "String", "StringValue": text} for name, text in attributes.items() if text}


def _queue_url(reply: Mapping[str, Any]) -> str:
    url = reply.get("QueueUrl")
    if not isinstance(url, str):
        raise Unavailable("sqs", "its answer names no queue url: something else answers in its place")
    return url


def _errors(reply: Mapping[str, Any], count: int) -> list[Exception | None]:
    """One error or None each. What the answer doesn't name did not happen: a proxy's page may come with status 200."""
    errors: list[Exception | None] = [Unavailable("sqs", "its answer doesn't name the entry") for _ in range(count)]
    for done in reply.get("Successful", []):
        errors[int(done["Id"])] = None
    for failed in reply.get("Failed", []):
        errors[int(failed["Id"])] = _error_of(failed.get("Code", ""), failed.get("Message", ""))
    return errors


def _translated(error: ClientError) -> Exception:
    answer = error.response.get("Error", {})
    return _error_of(answer.get("Code", ""), answer.get("Message", str(error)))


def _error_of(code: str, message: str) -> Exception:
    if code in _MISSING:
        return QueueMissing(message or code)
    if code in _STALE:
        return StaleHandle(f"{code}: {message}"[:300])
    return Unavailable("sqs", f"{code}: {message}"[:300])
