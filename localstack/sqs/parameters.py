"""Reading a request: every parameter arrives as JSON of unknown type and leaves typed, or as the refusal AWS gives."""

import re
from collections.abc import Mapping, Sequence

from localstack.sqs.errors import SqsError, bad_value

Request = Mapping[str, object]

MAX_ENTRIES = 10
_QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
_ENTRY_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")


def text(request: Request, name: str) -> str:
    """A required string."""
    value = request.get(name)
    if not isinstance(value, str):
        raise SqsError("MissingParameter", f"The request must contain the parameter {name}.")
    return value


def optional_text(request: Request, name: str) -> str | None:
    """A string or None."""
    return None if request.get(name) is None else text(request, name)


def number(request: Request, name: str, low: int, high: int) -> int | None:
    """A whole number in [low, high], or None when it is absent."""
    value = request.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise bad_value(value, name, f"Must be between {low} and {high}, if provided.")
    return value


def texts(request: Request, name: str) -> Sequence[str]:
    """A list of strings, empty when it is absent."""
    value = request.get(name)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise bad_value(value, name, "Must be a list.")
    return [str(each) for each in value]


def mapping(request: Request, name: str) -> Mapping[str, object]:
    """A JSON object, empty when it is absent."""
    value = request.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad_value(value, name, "Must be a map.")
    return value


def queue_name(request: Request) -> str:
    """A name that a new standard queue may have."""
    name = text(request, "QueueName")
    if name.endswith(".fifo"):
        raise SqsError("UnsupportedOperation", "FIFO queues are out of scope here: this server has standard queues.")
    if not _QUEUE_NAME.fullmatch(name):
        raise SqsError(
            "InvalidParameterValue", "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 long."
        )
    return name


def entries(request: Request) -> Sequence[tuple[str, Request]]:
    """The entries of a batch with their ids: 1 to 10, each id well formed and used once."""
    value = request.get("Entries")
    if not isinstance(value, list) or not value:
        raise SqsError("EmptyBatchRequest", "There should be at least one batch entry in the request.")
    if len(value) > MAX_ENTRIES:
        raise SqsError(
            "TooManyEntriesInBatchRequest",
            f"Maximum number of entries per request are {MAX_ENTRIES}. You have sent {len(value)}.",
        )
    batch = [(text(entry, "Id"), entry) for entry in value if isinstance(entry, dict)]
    seen: set[str] = set()
    for entry_id, _ in batch:
        if not _ENTRY_ID.fullmatch(entry_id):
            raise SqsError(
                "InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
                "It can be at most 80 letters long.",
            )
        if entry_id in seen:
            raise SqsError("BatchEntryIdsNotDistinct", f"Id {entry_id} repeated.")
        seen.add(entry_id)
    return batch


def queue_name_of(request: Request) -> str:
    """The name that a queue URL ends in; its host is ignored, so that the server may stand behind any address."""
    return text(request, "QueueUrl").rpartition("/")[2]
