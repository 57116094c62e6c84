"""From a request's bytes to an answer's bytes in AWS JSON 1.0, with the faults of the transport in between."""

import asyncio
import itertools
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from localstack.sqs.broker import Broker, Caller
from localstack.sqs.errors import SqsError
from localstack.sqs.message_operations import MessageOperations, Operation, Reply
from localstack.sqs.parameters import Request
from localstack.sqs.queue_operations import QueueOperations

TARGET_PREFIX = "AmazonSQS."
CONTENT_TYPE = "application/x-amz-json-1.0"
MAY_LOSE_REPLY = frozenset({"SendMessage", "SendMessageBatch", "ReceiveMessage", "DeleteMessage", "DeleteMessageBatch"})

# Made once: json.dumps with separators would make an encoder for each reply.
_encode = json.JSONEncoder(separators=(",", ":")).encode


class Line(Caller, Protocol):
    """A connection with a request that waits for its answer."""

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Answer the request."""
        ...

    def drop(self) -> None:
        """Cut the connection without an answer."""
        ...


class Service:
    """The API of one server. `hang` names operations that are accepted and then never answered nor applied."""

    def __init__(self, broker: Broker, base: Callable[[], str]) -> None:
        self.hang: set[str] = set()
        self._broker = broker
        self._table: dict[str, Operation] = {
            **QueueOperations(broker, base).table,
            **MessageOperations(broker).table,
        }
        self._request_ids = itertools.count(1)

    def begin(self, target: str, body: bytes, line: Line) -> None:
        """Take a request; the line is answered now, later, or (by a fault) never."""
        operation = target.removeprefix(TARGET_PREFIX)
        if operation in self.hang:
            return
        faults = self._broker.faults
        if faults.delay_s > 0 and faults.covers(operation):
            asyncio.get_running_loop().call_later(faults.delay_s, self._run, operation, body, line)
        else:
            self._run(operation, body, line)

    def _run(self, operation: str, body: bytes, line: Line) -> None:
        faults = self._broker.faults
        if faults.rolls("reset", faults.reset, operation):
            line.drop()
            return
        try:
            self._refuse(operation)
            reply = self._operation(operation)(_parsed(body), line, partial(self._finish, operation, line))
        except SqsError as error:
            self._finish(operation, line, error)
            return
        if reply is not None:
            self._finish(operation, line, reply)

    def _refuse(self, operation: str) -> None:
        faults = self._broker.faults
        if faults.rolls("error", faults.error, operation):
            raise SqsError("InternalError", "We encountered an internal error. Please try again.", 500)
        if faults.rolls("throttle", faults.throttle, operation):
            raise SqsError("RequestThrottled", "The request was denied due to request throttling.", 403)

    def _operation(self, name: str) -> Operation:
        if name not in self._table:
            raise SqsError("UnsupportedOperation", f"The operation {name} is not supported here.")
        return self._table[name]

    def _finish(self, operation: str, line: Line, outcome: Reply | SqsError) -> None:
        faults = self._broker.faults
        if operation in MAY_LOSE_REPLY and faults.rolls("lose_reply", faults.lose_reply, operation):
            line.drop()
            return
        headers = {"x-amzn-RequestId": f"00000000-0000-4000-8000-{next(self._request_ids):012x}"}
        if isinstance(outcome, SqsError):
            headers["x-amzn-query-error"] = f"{outcome.query_code};{'Sender' if outcome.is_senders else 'Receiver'}"
            body = {"__type": f"com.amazonaws.sqs#{outcome.code}", "message": outcome.message}
            line.answer(outcome.status, headers, _encode(body).encode())
        else:
            line.answer(200, headers, _encode(outcome).encode())


def _parsed(body: bytes) -> Request:
    try:
        request = json.loads(body.decode())
    except ValueError as error:
        raise SqsError("SerializationException", f"The request is not JSON: {error}.") from error
    if not isinstance(request, dict):
        raise SqsError("SerializationException", "The request is not a JSON object.")
    return request
