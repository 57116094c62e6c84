"""What a test of a delivery server finds: an outcome for each step, and the verdict that follows from them."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

LONGEST_DETAIL = 1000


class StepOutcome(StrEnum):
    """What a step says: FAIL is the server's fault, ERROR is ours or a neighbour's, and judges no server."""

    PASS = "PASS"  # noqa: S105  no password
    FAIL = "FAIL"
    WARN = "WARN"
    SKIP = "SKIP"
    ERROR = "ERROR"


class Verdict(StrEnum):
    """What a test says of its server; ERROR says nothing of it."""

    SUCCESSFUL = "SUCCESSFUL"
    FAILED = "FAILED"
    ERROR = "ERROR"


class StepId(StrEnum):
    """The steps, in the order in which they are shown."""

    LOAD = "T0"
    STATIC = "T1"
    RESOLVE = "T2"
    CONNECT = "T3"
    TLS = "T4"
    AUTH = "T5"
    SEND = "T6"
    CAMPAIGN = "C1"
    DELIVERY_LOG = "C2"
    ARRIVAL = "T7"
    HEADERS = "T8"
    DKIM = "T9"
    SPF = "T10"
    DMARC = "T11"
    RESULTS_HEADER = "T12"
    ADDRESS = "T13"
    UNSUBSCRIBE = "T14"
    INTERACTIONS = "T15"
    BOUNCE = "T16"
    RECORD = "T17"


ADVISORY = (
    StepId.DKIM,
    StepId.SPF,
    StepId.DMARC,
    StepId.RESULTS_HEADER,
    StepId.ADDRESS,
    StepId.UNSUBSCRIBE,
)
"""These never fail a server unless the settings name them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One step's outcome. `kind` is a short stable word (`refused`, `auth-rejected`); `detail` is for a person.

    `may_pass_later`: it is not believed before it was tried again. `ms` is how long the step took.
    """

    step: StepId
    outcome: StepOutcome
    kind: str = ""
    detail: str = ""
    ms: int = 0
    may_pass_later: bool = False

    def __post_init__(self) -> None:
        """Detail is one line of bounded length, whatever a server has said."""
        line = " ".join(self.detail.split())
        object.__setattr__(self, "detail", line if len(line) <= LONGEST_DETAIL else line[: LONGEST_DETAIL - 1] + "…")


def verdict_of(findings: Iterable[Finding], required: Collection[StepId]) -> Verdict:
    """Any required FAIL fails the server; else any required ERROR leaves it unjudged."""
    outcomes = {finding.outcome for finding in findings if finding.step in required}
    if StepOutcome.FAIL in outcomes:
        return Verdict.FAILED
    return Verdict.ERROR if StepOutcome.ERROR in outcomes else Verdict.SUCCESSFUL
