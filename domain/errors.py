"""Surprises, as one tree; the dispatcher maps each to an outcome in one place.

RobotdError
├── MessageError     -> Reject     unreadable envelope, unknown type, invalid fields
├── RuleViolation    -> Reject     the domain says no (foreign robot, step without a fail branch)
├── Unavailable      -> Retry      a dependency is down; names it, does not count as an attempt
├── Conflict         -> Retry      another writer was first: a stale version, a duplicate key, a lost lease
└── ConfigError      -> exit 3     at start, with the path of every bad key
"""


class RobotdError(Exception):
    """Something went wrong in robotd."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").split("\n", 1)[0])


class MessageError(RobotdError):
    """The message can't be read."""

    def __init__(self, message: str | None = None, *, kind: str = "invalid-message") -> None:
        super().__init__(message)
        self.kind = kind


class RuleViolation(RobotdError):  # noqa: N818  the domain's own word; an error only to Python
    """The request breaks a rule of the domain."""

    def __init__(self, message: str | None = None, *, kind: str = "rule-violation") -> None:
        super().__init__(message)
        self.kind = kind


class Unavailable(RobotdError):  # noqa: N818  a state of a neighbour, not a fault of ours
    """A dependency can't be reached or can't answer now."""

    def __init__(self, dependency: str, message: str, *, after_s: float | None = None) -> None:
        super().__init__(f"{dependency}: {message}")
        self.dependency = dependency
        self.after_s = after_s


class Conflict(RobotdError):  # noqa: N818  the field's word for a lost optimistic lock
    """Another writer was first."""


class ConfigError(RobotdError):
    """The configuration is not usable."""
