"""The queue server of the bench in a process of its own, and the messages that are put into it."""

import asyncio
import http.client
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from domain.wire import iso

_LOOK_EVERY_S, _LOOK_CLOSELY_EVERY_S, _NEARLY_EMPTY = 0.1, 0.01, 500


class QueueServer:
    """What the bench asks of the server, over one connection and without a client library."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"))

    def create(self, queue: str) -> None:
        self._call("CreateQueue", {"QueueName": queue})

    def fill(self, queue: str, bodies: list[str]) -> None:
        for start in range(0, len(bodies), 10):
            batch = bodies[start : start + 10]
            entries = [{"Id": str(place), "MessageBody": body} for place, body in enumerate(batch)]
            self._call("SendMessageBatch", {"QueueUrl": self._url(queue), "Entries": entries})

    def left(self, queue: str) -> int:
        """How many messages are not deleted yet, in flight or not."""
        wanted = {"QueueUrl": self._url(queue), "AttributeNames": ["All"]}
        found: Mapping[str, str] = self._call("GetQueueAttributes", wanted)["Attributes"]
        return sum(int(found[f"ApproximateNumberOfMessages{which}"]) for which in ("", "NotVisible", "Delayed"))

    async def emptied(self, queue: str, check: Callable[[], object]) -> None:
        """Return once all is deleted; `check` raises when there is no use in waiting."""
        while (left := self.left(queue)) > 0:
            check()
            await asyncio.sleep(_LOOK_EVERY_S if left > _NEARLY_EMPTY else _LOOK_CLOSELY_EVERY_S)

    def _url(self, queue: str) -> str:
        return f"{self.url}/000000000000/{queue}"

    def _call(self, operation: str, request: Mapping[str, object]) -> dict[str, Any]:
        headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"AmazonSQS.{operation}"}
        self._connection.request("POST", "/", json.dumps(request), headers)
        answer = self._connection.getresponse()
        read: dict[str, Any] = json.loads(answer.read())
        if answer.status != http.HTTPStatus.OK or read.get("Failed"):
            raise RuntimeError(f"{operation}: {answer.status} {read}")
        return read


@asynccontextmanager
async def queue_server() -> AsyncIterator[QueueServer]:
    """A server that keeps no history and lets an abandoned poll take nothing."""
    command = [sys.executable, "-m", "localstack.sqs", "--ledger-size", "0", "--no-swallow"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield QueueServer((await process.stdout.readline()).decode().split()[-1])
    finally:
        process.terminate()
        await process.wait()


def commands(count: int, robots: int) -> Iterator[str]:
    """Commands for the handler that does nothing, the robots in turn."""
    now = iso(time.time_ns() // 1_000_000)
    for number in range(count):
        data = {
            "robotId": number % robots + 1,
            "stepId": 20_000 + number,
            "scheduledId": 30_000 + number,
            "scriptVersionId": 5310,
            "plannedAt": now,
        }
        envelope = {"specversion": "1.0", "id": f"command-{number}", "source": "bench", "type": "status-check.create"}
        yield json.dumps({**envelope, "time": now, "data": data})


def events(count: int, robots: int) -> Iterator[str]:
    """Megazord's events for the robots in turn. Each robot's alternate, so that each changes what its check says."""
    first_ms = time.time_ns() // 1_000_000 - 1_800_000
    for number in range(count):
        robot_id, turn = number % robots + 1, number // robots
        event = {
            "id": 500_000 + number,
            "robotId": robot_id,
            "eventName": "IN_BED" if turn % 2 else "OUT_OF_BED",
            "createdAt": iso(first_ms + turn * 1000),
        }
        payload = {"id": 900_000 + number, "subscriptionId": robot_id, "sourceEvent": event}
        yield json.dumps(
            {
                "from": {"serviceName": "megazord-events", "hostname": "bench"},
                "to": {"robotId": str(robot_id)},
                "link": {"link": f"/v1/events/outgoing/{900_000 + number}", "rel": ""},
                "payload": payload,
            }
        )
