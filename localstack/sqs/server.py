"""The SQS server as an async context manager, with what a test in the same process asks it directly."""

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from localstack.sqs import content
from localstack.sqs.broker import ACCOUNT, ARN_PREFIX, Broker
from localstack.sqs.control import PREFIX, Control
from localstack.sqs.faults import Faults
from localstack.sqs.ledger import Ledger
from localstack.sqs.queues import Counts, Queue
from localstack.sqs.service import Service
from localstack.sqs.settings import Settings
from localstack.sqs.views import StoredMessage, stored
from localstack.sqs.watch import Watch
from localstack.sqs.wire import Connection, Head

LEDGER_SIZE = 100_000


class SqsServer:
    """An SQS of standard queues on one address, for the time of an `async with`.

    A long poll whose client has hung up still takes a message, as in AWS, unless `swallow` is False. `clock` gives the
    time of messages (call `tick` after turning it by hand); how long a receive waits is real time.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: Faults | None = None,
        clock: Callable[[], float] = time.time,
        *,
        ledger_size: int = LEDGER_SIZE,
        swallow: bool = True,
    ) -> None:
        self.faults = Faults() if faults is None else faults
        self.ledger = Ledger(ledger_size)
        self._host = host
        self._port = port
        self._watch = Watch()
        self._broker = Broker(self.faults, clock, self.ledger, self._watch.changed, swallow=swallow)
        self._service = Service(self._broker, lambda: f"{self.url}/{ACCOUNT}/")
        self._control = Control(self._broker, self._service)
        self._numbers = itertools.count(1)
        self._connections: set[Connection] = set()
        self._listener: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()
        self._broker.close()

    async def listen(self) -> None:
        """Start, or after `refuse` go on, on the same port with the same queues."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._connection, self._host, self._port, backlog=1024)
        self._port = self._listener.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Cut every connection and refuse new ones, keeping the queues."""
        if self._listener is not None:
            self._listener.close()
            for connection in list(self._connections):
                connection.drop()
            await self._listener.wait_closed()
            self._listener = None

    @property
    def url(self) -> str:
        """The endpoint for clients."""
        return f"http://{self._host}:{self._port}"

    @property
    def missing_queues(self) -> set[str]:
        """Names that answer QueueDoesNotExist, whatever is there."""
        return self._broker.missing

    @property
    def hang(self) -> set[str]:
        """Operations that are accepted, not applied and never answered, as long as they are named here."""
        return self._service.hang

    def create_queue(self, name: str, attributes: Mapping[str, str] | None = None) -> str:
        """Create a queue that does not exist yet and return its URL."""
        if self._broker.by_arn(ARN_PREFIX + name) is None:
            self._broker.create(name, Settings().changed(attributes or {}))
        return f"{self.url}/{ACCOUNT}/{name}"

    def arn(self, queue: str) -> str:
        """The ARN of a queue, as a redrive policy names it."""
        return ARN_PREFIX + queue

    def send(self, queue: str, body: str, delay_s: float = 0) -> str:
        """Put a message into a queue without HTTP and return its id."""
        found = self._queue(queue)
        message = self._broker.send(found, content.read({"MessageBody": body}), delay_s, {}, 0)
        self._broker.settle(found)
        return message.message_id

    def queues(self) -> list[str]:
        """The names of all queues, sorted."""
        return self._broker.names()

    def counts(self, queue: str) -> Counts:
        """How many messages a queue holds now, exactly."""
        found = self._queue(queue)
        self._broker.refresh(found)
        return found.counts

    def messages(self, queue: str) -> list[StoredMessage]:
        """The messages of a queue in the order in which they came, whatever their state, without receiving them."""
        found = self._queue(queue)
        self._broker.refresh(found)
        return [stored(message) for message in found]

    def bodies(self, queue: str) -> list[str]:
        """The bodies of `messages`."""
        return [message.content.body for message in self._queue(queue)]

    def waiting(self, queue: str) -> int:
        """How many long polls wait at a queue, whether their client is still there or not."""
        return len(self._broker.waiting(queue))

    def abandoned(self, queue: str) -> int:
        """How many long polls wait at a queue for a client that has hung up."""
        return sum(1 for poll in self._broker.waiting(queue) if poll.caller.is_gone)

    def tick(self) -> None:
        """Look at the clock again, after it was turned by hand."""
        self._broker.tick()

    def end_polls(self) -> None:
        """Answer every long poll that waits, with nothing: a test need not wait for the end of the last one."""
        self._broker.end_polls()

    async def wait_until(self, predicate: Callable[[], bool], timeout_s: float = 5.0) -> None:
        """Return once the predicate holds; it is asked again at every change in the server.

        Raises TimeoutError naming what the queues hold. The predicate may look at anything, but only the server's
        changes make it be asked.
        """
        try:
            await self._watch.until(predicate, timeout_s)
        except TimeoutError as error:
            held = {name: self._queue(name).counts for name in self._broker.names()}
            raise TimeoutError(f"still not so after {timeout_s} s; queues: {held}") from error

    def _queue(self, name: str) -> Queue:
        queue = self._broker.by_arn(ARN_PREFIX + name)
        if queue is None:
            raise LookupError(f"there is no queue {name!r}")
        return queue

    def _connection(self) -> Connection:
        connection = Connection(next(self._numbers), self._handle, self._lost)
        self._connections.add(connection)
        return connection

    def _lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._watch.changed()

    def _handle(self, connection: Connection, head: Head, body: bytes) -> None:
        if head.path.startswith(PREFIX):
            status, answer = self._control.answer(head.method, head.path, body)
            connection.answer(status, {}, answer, "application/json")
        elif head.method == "POST" and head.target:
            self._service.begin(head.target, body, connection)
        else:
            connection.answer(404, {}, b"this is an SQS server for AWS JSON 1.0", "text/plain")
