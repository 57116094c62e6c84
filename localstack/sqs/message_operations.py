"""The operations on messages: send, receive, delete, change visibility, each alone and in batches."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from localstack.sqs import content
from localstack.sqs.broker import Broker, Caller, Poll
from localstack.sqs.content import Content
from localstack.sqs.errors import SqsError, bad_value
from localstack.sqs.parameters import Request, entries, number, optional_text, queue_name_of, text, texts
from localstack.sqs.queues import Message, Queue, State

Reply = Mapping[str, object]
Answer = Callable[[Reply | SqsError], None]
Operation = Callable[[Request, Caller, Answer], Reply | None]

MAX_HIDDEN_S = 43_200
HANDLE_PREFIX = "AQEB"
_HANDLE_HEAD = len(HANDLE_PREFIX) + 20
_HEX = re.compile(r"[0-9a-f]{20}")
_GROUP = re.compile(r"[!-~]{1,128}")
SENDER_ID = "AIDAIT2UOQQY3AUEKVGXU"
SYSTEM_NAMES = frozenset(
    {
        "All",
        "ApproximateFirstReceiveTimestamp",
        "ApproximateReceiveCount",
        "AWSTraceHeader",
        "DeadLetterQueueSourceArn",
        "MessageDeduplicationId",
        "MessageGroupId",
        "SenderId",
        "SentTimestamp",
        "SequenceNumber",
    }
)


class MessageOperations:
    """The message half of the API over one broker."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.table: dict[str, Operation] = {
            "SendMessage": self._send,
            "SendMessageBatch": self._send_batch,
            "ReceiveMessage": self._receive,
            "DeleteMessage": self._delete,
            "DeleteMessageBatch": partial(self._each, "DeleteMessageBatch", self._delete_one),
            "ChangeMessageVisibility": self._change,
            "ChangeMessageVisibilityBatch": partial(self._each, "ChangeMessageVisibilityBatch", self._change_one),
        }

    def _send(self, request: Request, caller: Caller, _: Answer) -> Reply:
        queue = self._queue(request)
        sent = self._send_one(queue, request, content.read(request), caller)
        self._broker.settle(queue)
        return sent

    def _send_one(self, queue: Queue, request: Request, what: Content, caller: Caller) -> Reply:
        if what.size > queue.settings.maximum_size:
            raise SqsError(
                "InvalidParameterValue",
                "One or more parameters are invalid. "
                f"Reason: Message must be shorter than {queue.settings.maximum_size} bytes.",
            )
        delay_s = number(request, "DelaySeconds", 0, 900)
        system = {**what.system, **_group(request)}
        chosen_s = queue.settings.delay_s if delay_s is None else delay_s
        message = self._broker.send(queue, what, chosen_s, system, caller.number)
        sums = {"MD5OfMessageAttributes": what.attributes_md5, "MD5OfMessageSystemAttributes": what.system_md5}
        reply = {"MessageId": message.message_id, "MD5OfMessageBody": what.md5}
        return {**reply, **{name: value for name, value in sums.items() if value is not None}}

    def _send_batch(self, request: Request, caller: Caller, _: Answer) -> Reply:
        queue = self._queue(request)
        batch = entries(request)
        contents = [(entry_id, entry, _content_or_error(entry)) for entry_id, entry in batch]
        if sum(each.size for _, _, each in contents if isinstance(each, Content)) > content.MAX_SIZE:
            raise SqsError("BatchRequestTooLong", f"Batch requests cannot be longer than {content.MAX_SIZE} bytes.")
        outcome = _Outcome(self._broker, "SendMessageBatch")
        for entry_id, entry, what in contents:
            outcome.add(entry_id, partial(self._send_or_raise, queue, entry, what, caller))
        self._broker.settle(queue)
        return outcome.reply()

    def _send_or_raise(self, queue: Queue, entry: Request, what: Content | SqsError, caller: Caller) -> Reply:
        if isinstance(what, SqsError):
            raise what
        return self._send_one(queue, entry, what, caller)

    def _receive(self, request: Request, caller: Caller, answer: Answer) -> None:
        queue = self._queue(request)
        system_names = (*texts(request, "AttributeNames"), *texts(request, "MessageSystemAttributeNames"))
        for name in system_names:
            if name not in SYSTEM_NAMES:
                raise SqsError("InvalidAttributeName", f"Unknown Attribute {name}.")
        names = texts(request, "MessageAttributeNames")
        limit = number(request, "MaxNumberOfMessages", 1, 10)
        visibility_s = number(request, "VisibilityTimeout", 0, MAX_HIDDEN_S)
        wait_s = number(request, "WaitTimeSeconds", 0, 20)

        def deliver(messages: list[Message] | SqsError) -> None:
            if isinstance(messages, SqsError):
                answer(messages)
            else:
                found = [_delivery(message, queue, system_names, names) for message in messages]
                answer({"Messages": found} if found else {})

        hidden_s = queue.settings.visibility_s if visibility_s is None else visibility_s
        poll = Poll(queue, caller, 1 if limit is None else limit, hidden_s, deliver)
        self._broker.receive(poll, queue.settings.wait_s if wait_s is None else wait_s)

    def _delete(self, request: Request, caller: Caller, _: Answer) -> Reply:
        queue = self._queue(request)
        self._delete_one(queue, request, caller)
        self._broker.settle(queue)
        return {}

    def _delete_one(self, queue: Queue, entry: Request, caller: Caller) -> Reply:
        key, delivery = _read_handle(queue, text(entry, "ReceiptHandle"))
        message = queue.find(key)
        if message is None:
            return {}
        stale = self._broker.faults.stale_handle
        if message.delivery == delivery or stale == "deletes":
            self._broker.delete(queue, message, caller.number)
        elif stale == "refused":
            raise _bad_handle(text(entry, "ReceiptHandle"))
        return {}

    def _change(self, request: Request, caller: Caller, _: Answer) -> Reply:
        queue = self._queue(request)
        self._change_one(queue, request, caller)
        self._broker.settle(queue)
        return {}

    def _change_one(self, queue: Queue, entry: Request, caller: Caller) -> Reply:
        handle = text(entry, "ReceiptHandle")
        for_s = number(entry, "VisibilityTimeout", 0, MAX_HIDDEN_S)
        if for_s is None:
            raise SqsError("MissingParameter", "The request must contain the parameter VisibilityTimeout.")
        key, delivery = _read_handle(queue, handle)
        message = queue.find(key)
        if message is None:
            reason = "Message does not exist or is not available for visibility timeout change."
            raise bad_value(handle, "ReceiptHandle", reason)
        if message.state is not State.IN_FLIGHT or message.delivery != delivery:
            raise SqsError("MessageNotInflight", "The message referred to isn't in flight.")
        if self._broker.clock() + for_s > message.received_s + MAX_HIDDEN_S:
            reason = f"Total VisibilityTimeout for the message is beyond the limit [{MAX_HIDDEN_S} seconds]."
            raise bad_value(for_s, "VisibilityTimeout", reason)
        self._broker.hide(queue, message, for_s, caller.number)
        return {}

    def _each(
        self,
        operation: str,
        one: Callable[[Queue, Request, Caller], Reply],
        request: Request,
        caller: Caller,
        _: Answer,
    ) -> Reply:
        queue = self._queue(request)
        outcome = _Outcome(self._broker, operation)
        for entry_id, entry in entries(request):
            outcome.add(entry_id, partial(one, queue, entry, caller))
        self._broker.settle(queue)
        return outcome.reply()

    def _queue(self, request: Request) -> Queue:
        return self._broker.queue(queue_name_of(request))


class _Outcome:
    """The two lists that a batch answers with."""

    def __init__(self, broker: Broker, operation: str) -> None:
        self._faults = broker.faults
        self._operation = operation
        self._successful: list[Reply] = []
        self._failed: list[Reply] = []

    def add(self, entry_id: str, work: Callable[[], Reply]) -> None:
        """Do the work of one entry; a refusal, or the fault, is that entry's alone."""
        if self._faults.rolls("partial_failure", self._faults.partial_failure, self._operation):
            self._fail(entry_id, SqsError("InternalError", "The entry was not processed.", 500))
            return
        try:
            self._successful.append({"Id": entry_id, **work()})
        except SqsError as error:
            self._fail(entry_id, error)

    def _fail(self, entry_id: str, error: SqsError) -> None:
        self._failed.append(
            {
                "Id": entry_id,
                "SenderFault": error.is_senders,
                "Code": error.query_code,
                "Message": error.message,
            }
        )

    def reply(self) -> Reply:
        """Both lists; Failed only when there is something in it."""
        reply: dict[str, object] = {"Successful": self._successful}
        if self._failed:
            reply["Failed"] = self._failed
        return reply


def _delivery(message: Message, queue: Queue, system_names: Sequence[str], names: Sequence[str]) -> Reply:
    what = message.content
    reply: dict[str, object] = {
        "MessageId": message.message_id,
        "ReceiptHandle": f"{HANDLE_PREFIX}{message.key:012x}{message.delivery:08x}{queue.seal}",
        "MD5OfBody": what.md5,
        "Body": what.body,
    }
    if system_names:
        known = _system(message)
        everything = "All" in system_names
        reply["Attributes"] = known if everything else {name: known[name] for name in system_names if name in known}
    if chosen := content.select(what.attributes, names):
        whole = len(chosen) == len(what.attributes)
        reply["MD5OfMessageAttributes"] = what.attributes_md5 if whole else content.attributes_md5(chosen)
        reply["MessageAttributes"] = {name: each.wire for name, each in chosen.items()}
    return reply


def _system(message: Message) -> dict[str, str]:
    first_s = message.first_received_s or 0.0
    return {
        "SenderId": SENDER_ID,
        "SentTimestamp": str(int(message.sent_s * 1000)),
        "ApproximateReceiveCount": str(message.receive_count),
        "ApproximateFirstReceiveTimestamp": str(int(first_s * 1000)),
        **message.system,
    }


def _content_or_error(entry: Request) -> Content | SqsError:
    try:
        return content.read(entry)
    except SqsError as error:
        return error


def _group(request: Request) -> dict[str, str]:
    if request.get("MessageDeduplicationId") is not None:
        raise SqsError(
            "InvalidParameterValue",
            f"Value {request['MessageDeduplicationId']} for parameter MessageDeduplicationId is invalid. "
            "Reason: The request include parameter that is not valid for this queue type.",
        )
    group = optional_text(request, "MessageGroupId")
    if group is None:
        return {}
    if not _GROUP.fullmatch(group):
        reason = "MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in length."
        raise bad_value(group, "MessageGroupId", reason)
    return {"MessageGroupId": group}


def _read_handle(queue: Queue, handle: str) -> tuple[int, int]:
    numbers = handle[len(HANDLE_PREFIX) : _HANDLE_HEAD]
    if handle[_HANDLE_HEAD:] != queue.seal or not _HEX.fullmatch(numbers):
        raise _bad_handle(handle)
    return int(numbers[:12], 16), int(numbers[12:], 16)


def _bad_handle(handle: str) -> SqsError:
    return SqsError("ReceiptHandleIsInvalid", f'The input receipt handle "{handle}" is not a valid receipt handle.')
