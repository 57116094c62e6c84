"""How the handling of a delivery ends. Handlers return one of these; the dispatcher settles the delivery by it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Done:
    """Handled for good: what the unit of work collected is committed and the delivery is deleted."""

    note: str = "handled"


@dataclass(frozen=True, slots=True)
class Retry:
    """Nothing is committed; the delivery comes back after `after_s` seconds, None: as the backoff says.

    `counts` says whether this try is one of the limited attempts: waiting for a dependency is not.
    """

    after_s: float | None
    reason: str
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Reject:
    """Can never succeed: the delivery goes to the dead-letter queue with `reason`, then is deleted."""

    reason: str
    kind: str


Outcome = Done | Retry | Reject
