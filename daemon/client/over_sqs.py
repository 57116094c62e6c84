"""The queue of the commands, on SQS. Needs aiobotocore."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from daemon.client.sending import Entry, Failure
from domain.errors import RobotdError, Unavailable

_NEVER = frozenset({"InvalidMessageContents", "AWS.SimpleQueueService.InvalidMessageContents", "InvalidParameterValue"})
_THROTTLED = frozenset({"RequestThrottled", "Throttling", "ThrottlingException", "OverLimit"})
_CALL_S = 10.0


class SqsQueue:
    """A queue by its URL, over an SQS client of aiobotocore: one of your own, or the one of `open_queue`."""

    def __init__(self, client: Any, url: str, *, call_timeout_s: float = _CALL_S) -> None:
        self._client = client
        self._url = url
        self._call_timeout_s = call_timeout_s

    async def send(self, entries: Sequence[Entry]) -> Sequence[Failure | None]:
        """One request; a failure or None for each. Raises Unavailable, and RobotdError where SQS refuses all."""
        wanted = [
            {
                "Id": str(place),
                "MessageBody": entry.body,
                "MessageAttributes": {
                    name: {"DataType": "String", "StringValue": text} for name, text in entry.attributes.items()
                },
            }
            for place, entry in enumerate(entries)
        ]
        async with _translated(self._call_timeout_s):
            answer = await self._client.send_message_batch(QueueUrl=self._url, Entries=wanted)
        return _failures(answer, len(wanted))


@asynccontextmanager
async def open_queue(queue: str, *, region: str, call_timeout_s: float = _CALL_S) -> AsyncIterator[SqsQueue]:
    """A queue by name or URL, with a client of its own; credentials and endpoint as AWS's own tools find them.

    Raises Unavailable, and RobotdError where the queue is not there.
    """
    config = AioConfig(connect_timeout=3, read_timeout=call_timeout_s, retries={"total_max_attempts": 1})
    async with get_session().create_client("sqs", region_name=region, config=config) as client:
        url = queue
        if "://" not in queue:
            async with _translated(call_timeout_s):
                url = (await client.get_queue_url(QueueName=queue))["QueueUrl"]
        yield SqsQueue(client, url, call_timeout_s=call_timeout_s)


@asynccontextmanager
async def _translated(timeout_s: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except ClientError as error:
        said, status = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
        text = f"{said.get('Code', '')}: {said.get('Message', '')}"[:300]
        is_theirs = status.get("HTTPStatusCode", 0) >= HTTPStatus.INTERNAL_SERVER_ERROR
        if is_theirs or said.get("Code") in _THROTTLED:
            raise Unavailable("sqs", text) from error
        raise RobotdError(f"SQS refuses: {text}") from error
    except (BotoCoreError, HTTPClientError, TimeoutError, OSError) as error:
        raise Unavailable("sqs", f"{type(error).__name__}: {error}"[:300]) from error


def _failures(answer: Mapping[str, Any], count: int) -> list[Failure | None]:
    """What the answer doesn't name was not sent."""
    failures: list[Failure | None] = [Failure("SQS's answer doesn't name the entry") for _ in range(count)]
    for done in answer.get("Successful", []):
        failures[int(done["Id"])] = None
    for failed in answer.get("Failed", []):
        code = str(failed.get("Code", ""))
        failures[int(failed["Id"])] = Failure(f"{code}: {failed.get('Message', '')}"[:300], is_final=code in _NEVER)
    return failures
