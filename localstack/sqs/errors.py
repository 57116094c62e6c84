"""What SQS refuses, as one exception that knows its three names: the modelled shape, the old query code, the status."""

QUERY_PREFIX = "AWS.SimpleQueueService."
# The codes of the query protocol that differ from the shape's name; clients still see these first.
QUERY_CODES = {
    "QueueDoesNotExist": QUERY_PREFIX + "NonExistentQueue",
    "QueueNameExists": "QueueAlreadyExists",
} | {
    name: QUERY_PREFIX + name
    for name in (
        "BatchEntryIdsNotDistinct",
        "BatchRequestTooLong",
        "EmptyBatchRequest",
        "InvalidBatchEntryId",
        "MessageNotInflight",
        "PurgeQueueInProgress",
        "TooManyEntriesInBatchRequest",
        "UnsupportedOperation",
    )
}


class SqsError(Exception):
    """An answer that is a refusal."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status

    @property
    def query_code(self) -> str:
        """The code that botocore shows as `Error.Code`."""
        return QUERY_CODES.get(self.code, self.code)

    @property
    def is_senders(self) -> bool:
        """Whether the caller is to blame."""
        return self.status < 500  # noqa: PLR2004  where HTTP draws the line


def missing_queue() -> SqsError:
    """The refusal for a queue that is not there."""
    return SqsError("QueueDoesNotExist", "The specified queue does not exist.")


def bad_value(value: object, name: str, reason: str) -> SqsError:
    """The refusal for a parameter out of its range."""
    return SqsError("InvalidParameterValue", f"Value {value} for parameter {name} is invalid. Reason: {reason}")
