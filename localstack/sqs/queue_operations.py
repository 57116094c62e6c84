"""The operations on queues: create, find, list, configure, tag, purge, delete."""

from collections.abc import Callable, Mapping, Sequence

from localstack.sqs.broker import ARN_PREFIX, Broker, Caller
from localstack.sqs.errors import SqsError
from localstack.sqs.message_operations import Answer, Operation, Reply
from localstack.sqs.parameters import Request, mapping, number, optional_text, queue_name, queue_name_of, text, texts
from localstack.sqs.queues import Queue
from localstack.sqs.settings import KNOWN, Settings

PURGE_EVERY_S = 60
MAX_RESULTS = 1000


class QueueOperations:
    """The queue half of the API over one broker; `base` gives what queue URLs start with."""

    def __init__(self, broker: Broker, base: Callable[[], str]) -> None:
        self._broker = broker
        self._base = base
        self.table: dict[str, Operation] = {
            "CreateQueue": self._create,
            "GetQueueUrl": self._get_url,
            "ListQueues": self._list,
            "DeleteQueue": self._delete,
            "PurgeQueue": self._purge,
            "GetQueueAttributes": self._get_attributes,
            "SetQueueAttributes": self._set_attributes,
            "ListDeadLetterSourceQueues": self._list_sources,
            "TagQueue": self._tag,
            "UntagQueue": self._untag,
            "ListQueueTags": self._list_tags,
        }

    def _create(self, request: Request, _caller: Caller, _answer: Answer) -> Reply:
        name = queue_name(request)
        attributes = mapping(request, "Attributes")
        existing = self._broker.by_arn(ARN_PREFIX + name)
        if existing is None:
            queue = self._broker.create(name, self._settings(Settings(), attributes))
            queue.tags.update(_strings(mapping(request, "tags")))
        elif existing.settings.changed(attributes) != existing.settings:
            raise SqsError("QueueNameExists", "A queue already exists with the same name and a different value.")
        return {"QueueUrl": self._url(name)}

    def _get_url(self, request: Request, _caller: Caller, _answer: Answer) -> Reply:
        return {"QueueUrl": self._url(self._broker.queue(text(request, "QueueName")).name)}

    def _list(self, request: Request, _caller: Caller, _answer: Answer) -> Reply:
        prefix = optional_text(request, "QueueNamePrefix") or ""
        names = [name for name in self._broker.names() if name.startswith(prefix)]
        return self._page(request, names, "QueueUrls")

    def _delete(self, request: Request, _caller: Caller, _answer: Answer) -> Reply:
        self._broker.drop(self._queue(request))
        return {}

    def _purge(self, request: Request, caller: Caller, _answer: Answer) -> Reply:
        queue = self._queue(request)
        if self._broker.clock() < queue.purged_s + PURGE_EVERY_S:
            raise SqsError(
                "PurgeQueueInProgress",
                f"Only one PurgeQueue operation on {queue.name} is allowed every 60 seconds.",
                403,
            )
        self._broker.purge(queue, caller.number)
        self._broker.settle(queue)
        return {}

    def _get_attributes(self, request: Request, _caller: Caller, _answer: Answer) -> Reply:
        queue = self._queue(request)
        names = texts(request, "AttributeNames")
        for name in names:
            if name not in KNOWN:
                raise SqsError("InvalidAttributeName", f"Unknown Attribute {name}.")
        known = _attributes(queue)
        chosen = known if "All" in names else {name: known[name] for name in names if name in known}
        return {"Attributes": chosen} if chosen else {}

    def _set_attributes(self, request: Request, _caller: Caller, _answer: Answer) -> Reply:
        queue = self._queue(request)
        queue.settings = self._settings(queue.settings, mapping(request, "Attributes"))
        queue.modified_s = self._broker.clock()
        self._broker.settle(queue)
        return {}

    def _list_sources(self, request: Request, _caller: Caller, _answer: Answer) -> Reply:
        target = self._queue(request)
        sources = [name for name in self._broker.names() if self._feeds(name, target)]
        return self._page(request, sources, "queueUrls")

    def _tag(self, request: Request, _caller: Caller, _answer: Answer) -> Reply:
        self._queue(request).tags.update(_strings(mapping(request, "Tags")))
        return {}

    def _untag(self, request: Request, _caller: Caller, _answer: Answer) -> Reply:
        tags = self._queue(request).tags
        for key in texts(request, "TagKeys"):
            tags.pop(key, None)
        return {}

    def _list_tags(self, request: Request, _caller: Caller, _answer: Answer) -> Reply:
        return {"Tags": dict(self._queue(request).tags)}

    def _feeds(self, name: str, target: Queue) -> bool:
        queue = self._broker.by_arn(ARN_PREFIX + name)
        return (
            queue is not None and queue.settings.redrive is not None and queue.settings.redrive.target_arn == target.arn
        )

    def _settings(self, settings: Settings, attributes: Mapping[str, object]) -> Settings:
        changed = settings.changed(attributes)
        target = None if changed.redrive is None or changed.redrive == settings.redrive else changed.redrive.target_arn
        if target is not None and self._broker.by_arn(target) is None:
            raise SqsError(
                "InvalidParameterValue",
                f"Value {attributes['RedrivePolicy']} for parameter RedrivePolicy is invalid. "
                "Reason: Dead letter target does not exist.",
            )
        return changed

    def _page(self, request: Request, names: Sequence[str], field: str) -> Reply:
        size = number(request, "MaxResults", 1, MAX_RESULTS)
        after = optional_text(request, "NextToken")
        rest = [name for name in names if after is None or name > after]
        page = rest[: MAX_RESULTS if size is None else size]
        reply: dict[str, object] = {field: [self._url(name) for name in page]}
        # As in AWS: a caller that did not ask for pages gets the first and no token.
        if size is not None and len(page) < len(rest):
            reply["NextToken"] = page[-1]
        return reply

    def _queue(self, request: Request) -> Queue:
        return self._broker.queue(queue_name_of(request))

    def _url(self, name: str) -> str:
        return self._base() + name


def _attributes(queue: Queue) -> dict[str, str]:
    counts = queue.counts
    return {
        **queue.settings.as_attributes(),
        "ApproximateNumberOfMessages": str(counts.visible),
        "ApproximateNumberOfMessagesNotVisible": str(counts.in_flight),
        "ApproximateNumberOfMessagesDelayed": str(counts.delayed),
        "CreatedTimestamp": str(int(queue.created_s)),
        "LastModifiedTimestamp": str(int(queue.modified_s)),
        "QueueArn": queue.arn,
    }


def _strings(values: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}
