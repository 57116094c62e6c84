"""The attributes of a queue: what may be set, within which limits, and how they are reported."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from localstack.sqs.content import MAX_SIZE
from localstack.sqs.errors import SqsError

_LIMITS = {
    "DelaySeconds": (0, 900),
    "MaximumMessageSize": (1024, MAX_SIZE),
    "MessageRetentionPeriod": (60, 1_209_600),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "VisibilityTimeout": (0, 43_200),
}
# Kept and reported, without any effect here.
_REMEMBERED = frozenset(
    {"Policy", "RedriveAllowPolicy", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled"}
)
REPORTED = frozenset(
    {
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesDelayed",
        "ApproximateNumberOfMessagesNotVisible",
        "CreatedTimestamp",
        "LastModifiedTimestamp",
        "QueueArn",
    }
)
KNOWN = REPORTED | _REMEMBERED | _LIMITS.keys() | {"All", "RedrivePolicy"}


@dataclass(frozen=True, slots=True)
class Redrive:
    """Where a message goes that was received `max_receives` times without being deleted."""

    target_arn: str
    max_receives: int


@dataclass(frozen=True, slots=True)
class Settings:
    """The attributes of a queue that may be set, with AWS's defaults."""

    delay_s: int = 0
    maximum_size: int = MAX_SIZE
    retention_s: int = 345_600
    wait_s: int = 0
    visibility_s: int = 30
    redrive: Redrive | None = None
    remembered: tuple[tuple[str, str], ...] = ()

    def changed(self, attributes: Mapping[str, object]) -> "Settings":
        """These settings with `attributes` applied. Raises SqsError for an unknown name or a value out of range."""
        settings = self
        for name, value in attributes.items():
            settings = settings._with(name, str(value))
        return settings

    def _with(self, name: str, value: str) -> "Settings":
        if name in _LIMITS:
            return _SETTERS[name](self, _whole(name, value))
        if name == "RedrivePolicy":
            return replace(self, redrive=_redrive(value) if value else None)
        if name in _REMEMBERED:
            return replace(self, remembered=tuple({**dict(self.remembered), name: value}.items()))
        if name == "FifoQueue" and value.lower() == "true":
            raise SqsError(
                "UnsupportedOperation", "FIFO queues are out of scope here: this server has standard queues."
            )
        raise SqsError("InvalidAttributeName", f"Unknown Attribute {name}.")

    def as_attributes(self) -> dict[str, str]:
        """The attributes as GetQueueAttributes reports them."""
        values = {
            "DelaySeconds": str(self.delay_s),
            "MaximumMessageSize": str(self.maximum_size),
            "MessageRetentionPeriod": str(self.retention_s),
            "ReceiveMessageWaitTimeSeconds": str(self.wait_s),
            "VisibilityTimeout": str(self.visibility_s),
            **dict(self.remembered),
        }
        if self.redrive is not None:
            policy = {"deadLetterTargetArn": self.redrive.target_arn, "maxReceiveCount": self.redrive.max_receives}
            values["RedrivePolicy"] = json.dumps(policy)
        return values


_SETTERS: dict[str, Callable[[Settings, int], Settings]] = {
    "DelaySeconds": lambda settings, value: replace(settings, delay_s=value),
    "MaximumMessageSize": lambda settings, value: replace(settings, maximum_size=value),
    "MessageRetentionPeriod": lambda settings, value: replace(settings, retention_s=value),
    "ReceiveMessageWaitTimeSeconds": lambda settings, value: replace(settings, wait_s=value),
    "VisibilityTimeout": lambda settings, value: replace(settings, visibility_s=value),
}


def _whole(name: str, value: str) -> int:
    low, high = _LIMITS[name]
    if not value.isascii() or not value.isdigit() or not low <= int(value) <= high:
        raise SqsError("InvalidAttributeValue", f"Invalid value for the parameter {name}.")
    return int(value)


def _redrive(value: str) -> Redrive:
    try:
        policy = json.loads(value)
        redrive = Redrive(str(policy["deadLetterTargetArn"]), int(policy["maxReceiveCount"]))
    except (ValueError, KeyError, TypeError) as error:
        raise SqsError(
            "InvalidParameterValue", f"Value {value} for parameter RedrivePolicy is invalid. Reason: {error!r}."
        ) from error
    if not 1 <= redrive.max_receives <= 1000:  # noqa: PLR2004  AWS's own bound
        raise SqsError(
            "InvalidParameterValue",
            f"Value {value} for parameter RedrivePolicy is invalid. "
            "Reason: Invalid value for maxReceiveCount: must be between 1 and 1000.",
        )
    return redrive
