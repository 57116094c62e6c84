"""How patient tests of delivery servers are, what they ask for, and what may follow from them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.server_ports import TrialAddresses
from domain.server_test import StepId

_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class RunRules:
    """Waits and limits of one test, in milliseconds, and the steps that it must pass.

    `patience_ms`: for how long a step that can't be done, by no fault of its server, is tried again.
    `advised`: T9 to T14 are made without being asked for. `advisory_fails`: which of them fail a server.
    `bounces`: a direct test asks for a bounce too.
    """

    patience_ms: int = 10 * _MINUTE_MS
    backoff_first_ms: int = 5_000
    backoff_cap_ms: int = 30_000
    look_first_ms: int = 5_000
    look_cap_ms: int = _MINUTE_MS
    log_ms: int = 10 * _MINUTE_MS
    arrival_ms: int = 20 * _MINUTE_MS
    interactions_ms: int = 4 * _MINUTE_MS
    bounce_ms: int = 20 * _MINUTE_MS
    advised: bool = False
    advisory_fails: frozenset[StepId] = frozenset()
    bounces: bool = False
    needs_sender: bool = False


class Switch(StrEnum):
    """Whether a server that fails is switched off; DRY says only what would be."""

    ON = "on"
    OFF = "off"
    DRY = "dry"


@dataclass(frozen=True, slots=True)
class Consequences:
    """What a verdict does at MailWizz."""

    deactivate: Switch = Switch.ON
    failures_before: int = 1
    keep_last_active: bool = False
    promote_to: int | None = None
    reset_quota: bool = False


@dataclass(frozen=True, slots=True)
class OutageRules:
    """When servers that fail together are not at fault: so many, and such a share of those judged, at one step.

    `in_row`: so many one after the other say it as well, whatever the share is; 0: they don't. `window_ms`: how far a
    single test looks back.
    """

    servers: int = 3
    share: float = 0.5
    in_row: int = 5
    window_ms: int = 60 * _MINUTE_MS


@dataclass(frozen=True, slots=True)
class Judged:
    """A server that was judged at `at_ms`; `step` is where it failed, empty where it did not."""

    run_id: str
    server_id: int
    step: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Outage:
    """Many servers failed at one step."""

    step: str
    failed: int
    judged: int

    @property
    def reason(self) -> str:
        """In a sentence."""
        return f"{self.failed} of {self.judged} servers failed at {self.step}: that is no fault of single servers"


def outage_of(judged: Iterable[Judged], rules: OutageRules) -> Outage | None:
    """The step at which too many failed, or None. Of a server that was judged more than once the last time counts."""
    last = {one.server_id: one for one in sorted(judged, key=_in_time)}
    in_time = sorted(last.values(), key=_in_time)
    failed = Counter(one.step for one in in_time if one.step)
    for step, count in failed.most_common(1):
        if count >= rules.servers and count >= rules.share * len(in_time):
            return Outage(step, count, len(in_time))
    step, length = _longest_row(in_time)
    if rules.in_row and length >= rules.in_row:
        return Outage(step, failed[step], len(in_time))
    return None


def _in_time(judged: Judged) -> tuple[int, str]:
    return judged.at_ms, judged.run_id


def _longest_row(in_time: Sequence[Judged]) -> tuple[str, int]:
    best, step, length = ("", 0), "", 0
    for one in in_time:
        length = length + 1 if one.step == step else 1
        step = one.step
        if step and length > best[1]:
            best = (step, length)
    return best


@dataclass(frozen=True, slots=True)
class ProbeAddresses:
    """Where the mails of direct tests go, and whom their bounces come back to.

    `is_tagged`: the token is put behind a plus sign into the recipient. `refusing`: an address that takes no mail.
    """

    probe: str
    envelope_from: str
    is_tagged: bool = True
    refusing: str | None = None

    def recipient(self, token: str) -> str:
        """Where the mail with this token goes."""
        if not self.is_tagged:
            return self.probe
        name, _, domain = self.probe.rpartition("@")
        return f"{name}+{token}@{domain}"


@dataclass(frozen=True, slots=True)
class CampaignWay:
    """How tests by campaign go: whom they are sent to; `by_table`: arrival is read from a table, not a mailbox."""

    addresses: TrialAddresses
    by_table: bool = True
