"""How a simulator puts messages on queues: a narrow seam, and SQS behind it.

Credentials are LocalStack's: this never talks to AWS.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError

from daemon.sqs import session

BATCH = 10  # SQS takes no more in one call
_MISSING = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")


class SendFailed(Exception):  # noqa: N818  what happened, as elsewhere in the project
    """The queue can't be reached or refuses the message."""


class SendsMessages(Protocol):
    """What a simulator needs of SQS."""

    async def send(self, queue_name: str, body: str, attributes: Mapping[str, str]) -> bool:
        """Put one message on a queue. False: there is no such queue. Raises SendFailed."""
        ...


@dataclass(slots=True, eq=False)
class _Letter:
    body: str
    attributes: Mapping[str, str]
    outcome: bool | SendFailed | None = None


@dataclass(slots=True)
class _Lane:
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    letters: deque[_Letter] = field(default_factory=deque)


class SqsSender:
    """Sends over aiobotocore; callers that wait for the same queue share batches of up to ten."""

    def __init__(self, endpoint_url: str) -> None:
        self._endpoint_url = endpoint_url
        self._open = AsyncExitStack()
        self._client: Any = None  # aiobotocore builds its clients at run time
        self._queue_urls: dict[str, str] = {}
        self._lanes: dict[str, _Lane] = {}

    async def __aenter__(self) -> Self:
        client = session().create_client(
            "sqs",
            region_name="us-east-1",
            endpoint_url=self._endpoint_url,
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106  LocalStack's own word, not a secret
            config=AioConfig(connect_timeout=3, read_timeout=10, retries={"max_attempts": 1}),
        )
        self._client = await self._open.enter_async_context(client)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._open.aclose()

    async def send(self, queue_name: str, body: str, attributes: Mapping[str, str]) -> bool:
        """Put one message on a queue. False: there is no such queue. Raises SendFailed."""
        letter = _Letter(body, attributes)
        lane = self._lanes.setdefault(queue_name, _Lane())
        lane.letters.append(letter)
        try:
            async with lane.turn:
                if letter.outcome is None:  # else somebody before took it along
                    await self._flush(queue_name, lane)
        except asyncio.CancelledError:
            if letter in lane.letters:
                lane.letters.remove(letter)
            raise
        if isinstance(letter.outcome, SendFailed):
            raise letter.outcome
        return bool(letter.outcome)

    async def _flush(self, queue_name: str, lane: _Lane) -> None:
        batch = [lane.letters.popleft() for _ in range(min(BATCH, len(lane.letters)))]
        try:
            await self._send_batch(queue_name, batch)
        except (BotoCoreError, ClientError, OSError) as error:
            for letter in batch:
                letter.outcome = SendFailed(f"{queue_name}: {error}")
        except asyncio.CancelledError:
            lane.letters.extendleft(reversed(batch))  # perhaps sent: a standard queue may deliver twice anyway
            raise

    async def _send_batch(self, queue_name: str, batch: list[_Letter]) -> None:
        try:
            url = await self._url(queue_name)
            answer = await self._client.send_message_batch(QueueUrl=url, Entries=_entries(batch))
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in _MISSING:
                raise
            for letter in batch:
                letter.outcome = False
            return
        for letter in batch:
            letter.outcome = True
        for failed in answer.get("Failed", ()):
            batch[int(failed["Id"])].outcome = SendFailed(f"{queue_name}: {failed.get('Code')}")

    async def _url(self, queue_name: str) -> str:
        if queue_name not in self._queue_urls:
            answer = await self._client.get_queue_url(QueueName=queue_name)
            self._queue_urls[queue_name] = answer["QueueUrl"]
        return self._queue_urls[queue_name]


def _entries(batch: list[_Letter]) -> list[dict[str, object]]:
    return [
        {
            "Id": str(position),
            "MessageBody": letter.body,
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": value} for name, value in letter.attributes.items()
            },
        }
        for position, letter in enumerate(batch)
    ]
