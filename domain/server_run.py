"""One run of the test of a delivery server: which step comes next, which finding is believed, and when it is over.

Pure: a run is a value, each change makes another. Whoever talks to the world hands in findings and is told by `stage`
and `due_at_ms` what to do next and when. A FAIL that may pass later is not believed before it was tried again; an ERROR
is nobody's verdict: the stage is tried again while there is patience, so that a run goes on when an outage ends.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID, uuid5

from domain.delivery_server import DeliveryServer
from domain.server_rules import RunRules
from domain.server_test import ADVISORY, Finding, StepId, StepOutcome, Verdict, verdict_of

_TOKENS = UUID("0f3f9d0a-5a3b-4c0e-8a55-6a0b6f0c7d21")  # any fixed one: it only has to stay the same
_MOST_RELOADS = 3


class Way(StrEnum):
    """How a server is tested; AUTO until it is known."""

    AUTO = "auto"
    DIRECT = "direct"
    CAMPAIGN = "campaign"


class Phase(StrEnum):
    """RUNNING takes steps; HELD has failed, and waits whether many did; JUDGED has to be recorded; ENDED is told."""

    RUNNING = "RUNNING"
    HELD = "HELD"
    JUDGED = "JUDGED"
    ENDED = "ENDED"


class Stage(StrEnum):
    """What is done in one go; several steps may come of it."""

    LOAD = "load"
    RESOLVE = "resolve"
    DELIVER = "deliver"
    CREATE = "create"
    LOG = "log"
    ARRIVAL = "arrival"
    INTERACT = "interact"
    BOUNCE = "bounce"


STEPS = {
    Stage.LOAD: (StepId.LOAD, StepId.STATIC),
    Stage.RESOLVE: (StepId.RESOLVE,),
    Stage.DELIVER: (StepId.CONNECT, StepId.TLS, StepId.AUTH, StepId.SEND),
    Stage.CREATE: (StepId.CAMPAIGN,),
    Stage.LOG: (StepId.DELIVERY_LOG,),
    Stage.ARRIVAL: (StepId.ARRIVAL, StepId.HEADERS, *ADVISORY),
    Stage.INTERACT: (StepId.INTERACTIONS,),
    Stage.BOUNCE: (StepId.BOUNCE,),
}
_STAGES = {
    Way.AUTO: (Stage.LOAD,),
    Way.DIRECT: (Stage.LOAD, Stage.RESOLVE, Stage.DELIVER, Stage.ARRIVAL),
    Way.CAMPAIGN: (Stage.LOAD, Stage.CREATE, Stage.LOG, Stage.ARRIVAL, Stage.INTERACT, Stage.BOUNCE),
}
_OF_THE_NETWORK = frozenset({StepId.RESOLVE, StepId.CONNECT, StepId.TLS})
_UNHEARD = frozenset({"timeout", "cut"})
_NO_NETWORK = "no-network"
_TRIES_AGAIN_MS = {
    StepId.RESOLVE: (5_000,),
    StepId.CONNECT: (5_000,),
    StepId.TLS: (5_000,),
    StepId.AUTH: (30_000,),
    StepId.SEND: (30_000, 120_000, 300_000),
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for, and who is told."""

    server_id: int
    way: Way = Way.AUTO
    checks: tuple[StepId, ...] = ()
    dry_run: bool = False
    robot_id: int | None = None
    reply_to: str | None = None
    call_ref: str | None = None
    cycle_id: str | None = None


@dataclass(frozen=True, slots=True)
class ServerRun:
    """One test of one server.

    `loaded` is the server as it was read, without its password; `started` MailWizz's clock at that moment. `tries`
    counts the FAILs of `tried` that were not believed, `looks` those that found nothing yet, `troubles` the ERRORs in
    a row. `canary` is empty until one was sent, then `sent`, or why it could not be. `failed_step` stays when an
    outage takes the verdict back. `kept`: why a server that failed was not switched off.
    """

    id: str
    wish: Wish
    began_at_ms: int
    stage_since_ms: int
    due_at_ms: int
    way: Way = Way.AUTO
    phase: Phase = Phase.RUNNING
    stage: Stage = Stage.LOAD
    loaded: DeliveryServer | None = None
    fingerprint: str = ""
    started: str = ""
    findings: tuple[Finding, ...] = ()
    tried: StepId | None = None
    tries: int = 0
    looks: int = 0
    troubled_since_ms: int | None = None
    troubles: int = 0
    reloads: int = 0
    campaign_id: int | None = None
    canary: str = ""
    is_read: bool = False
    is_bounce_sent: bool = False
    verdict: Verdict | None = None
    failed_step: StepId | None = None
    reason: str = ""
    judged_at_ms: int | None = None
    ended_at_ms: int | None = None
    deactivated: bool = False
    kept: str = ""
    promotion_error: str | None = None
    version: int = 0

    @classmethod
    def begun(cls, run_id: str, wish: Wish, now_ms: int) -> "ServerRun":
        """A new one, due at once."""
        return cls(run_id, wish, now_ms, stage_since_ms=now_ms, due_at_ms=now_ms)

    @property
    def token(self) -> str:
        """What the mail is found by."""
        return str(uuid5(_TOKENS, f"{self.id} {self.reloads}"))  # a mail of the old configuration is no other's

    @property
    def canary_token(self) -> str:
        """What its canary is found by."""
        return str(uuid5(_TOKENS, f"canary {self.id}"))

    @property
    def bounce_token(self) -> str:
        """What the returned mail of a direct test is found by."""
        return str(uuid5(_TOKENS, f"bounce {self.id}"))

    @property
    def server_id(self) -> int:
        """Which server."""
        return self.wish.server_id

    def stages(self, rules: RunRules) -> tuple[Stage, ...]:
        """What is done, in order."""
        asks_bounce = self.way is Way.DIRECT and (rules.bounces or StepId.BOUNCE in self.wish.checks)
        return (*_STAGES[self.way], Stage.BOUNCE) if asks_bounce else _STAGES[self.way]

    def required(self, rules: RunRules) -> frozenset[StepId]:
        """The steps that the verdict depends on."""
        steps = {step for stage in self.stages(rules) for step in STEPS[stage]}
        return frozenset(steps - set(ADVISORY)) | rules.advisory_fails

    def advisory(self, rules: RunRules) -> frozenset[StepId]:
        """The steps of T9 to T14 that are made."""
        asked = frozenset(ADVISORY) if rules.advised else frozenset(self.wish.checks) & frozenset(ADVISORY)
        return asked | rules.advisory_fails

    def loading(self, server: DeliveryServer, started: str, way: Way) -> "ServerRun":
        """The server as it is read; its password is left where it was."""
        kept = replace(server, password=None)
        return replace(self, loaded=kept, fingerprint=server.fingerprint, started=started, way=way)

    def reloaded(self, now_ms: int, rules: RunRules) -> "ServerRun":
        """Its configuration was changed while it was tested: all of it begins anew, a few times."""
        if self.reloads >= _MOST_RELOADS:
            found = Finding(StepId.LOAD, StepOutcome.ERROR, "changing", "its configuration changes again and again")
            return self.over([found], now_ms, rules)
        anew = ServerRun.begun(self.id, self.wish, now_ms)
        return replace(anew, began_at_ms=self.began_at_ms, reloads=self.reloads + 1, version=self.version)

    def again_at(self, at_ms: int) -> "ServerRun":
        """The same stage later, for no reason that counts."""
        return replace(self, due_at_ms=at_ms)

    def in_line(self, now_ms: int, rules: RunRules) -> "ServerRun":
        """Another run has what it needs: ask again, less and less often."""
        pause_ms = min(rules.look_cap_ms, rules.look_first_ms * 2 ** min(self.looks, 16))
        return replace(self, looks=self.looks + 1, due_at_ms=now_ms + pause_ms)

    def fails(self, found: Sequence[Finding], rules: RunRules) -> Finding | None:
        """The FAIL among these that counts, whether or not it is tried again; or None."""
        bad = worst(found, self.required(rules))
        return bad if bad is not None and bad.outcome is StepOutcome.FAIL else None

    def after(self, found: Sequence[Finding], now_ms: int, rules: RunRules) -> "ServerRun":
        """What follows from the findings of a stage: the next one, the same again later, or the end."""
        run = _noting(self, found)
        bad = worst(found, run.required(rules))
        if bad is None:
            return _on(run, now_ms, rules)
        if bad.outcome is StepOutcome.ERROR:
            is_final = run.stage is Stage.DELIVER and not bad.may_pass_later  # to send again would change nothing
            return _judged(run, now_ms, rules) if is_final else _troubled(run, now_ms, rules)
        pause_ms = self._next_try_ms(bad)
        if pause_ms is not None:
            tries = self.tries + 1 if self.tried is bad.step else 1
            calm = replace(run, troubled_since_ms=None, troubles=0)
            return replace(calm, tried=bad.step, tries=tries, due_at_ms=now_ms + pause_ms)
        return _judged(run, now_ms, rules)

    def over(self, found: Sequence[Finding], now_ms: int, rules: RunRules) -> "ServerRun":
        """These are the last word: nothing of it is tried again."""
        return _judged(_noting(self, found), now_ms, rules)

    def unable(self, reason: str, now_ms: int) -> "ServerRun":
        """There is no way to test it."""
        skipped = Finding(StepId.STATIC, StepOutcome.SKIP, "no-path", reason)
        run = _noting(self, [skipped])
        return replace(run, phase=Phase.JUDGED, verdict=Verdict.ERROR, reason=f"no-path: {reason}", judged_at_ms=now_ms)

    def waiting(self, now_ms: int, rules: RunRules) -> "ServerRun":
        """Nothing is there yet: look again, less and less often. The time of an outage is given back."""
        since_ms = self.stage_since_ms + self._lost_ms(now_ms)
        pause_ms = min(rules.look_cap_ms, rules.look_first_ms * 2 ** min(self.looks, 16))
        due_at_ms = min(now_ms + pause_ms, since_ms + limit_ms(self.stage, rules))
        return replace(
            self,
            stage_since_ms=since_ms,
            looks=self.looks + 1,
            due_at_ms=due_at_ms,
            troubled_since_ms=None,
            troubles=0,
        )

    def is_late(self, now_ms: int, rules: RunRules) -> bool:
        """Whether the limit of a stage that waits has passed."""
        return now_ms >= self.stage_since_ms + self._lost_ms(now_ms) + limit_ms(self.stage, rules)

    @property
    def needs_a_witness(self) -> bool:
        """Whether what it failed by is for MailWizz's own cron and its reader to do: they may have stopped."""
        return self.way is Way.CAMPAIGN and self.failed_step in (StepId.INTERACTIONS, StepId.BOUNCE)

    def blamed_on(self, reason: str) -> "ServerRun":
        """It failed together with many others: that says nothing of it. Where it failed stays known."""
        return replace(self, phase=Phase.JUDGED, verdict=Verdict.ERROR, reason=reason, kept="outage")

    def stands(self, now_ms: int) -> "ServerRun":
        """The verdict is to be recorded."""
        return replace(self, phase=Phase.JUDGED, due_at_ms=now_ms)

    def _next_try_ms(self, bad: Finding) -> int | None:
        """After how long a FAIL is tried again; None: it is believed."""
        tries = self.tries if self.tried is bad.step else 0
        pauses = _TRIES_AGAIN_MS.get(bad.step, ())
        return pauses[tries] if bad.may_pass_later and tries < len(pauses) else None

    def _lost_ms(self, now_ms: int) -> int:
        return 0 if self.troubled_since_ms is None else now_ms - self.troubled_since_ms


def _noting(run: ServerRun, found: Sequence[Finding]) -> ServerRun:
    """What an earlier try of the stage found is forgotten; a delivery that comes further has found the name too."""
    own = (*STEPS[run.stage], *(finding.step for finding in found))
    earlier = [one for one in run.findings if one.step not in own]
    if run.stage is Stage.DELIVER:
        is_old = {StepId.RESOLVE: Finding(StepId.RESOLVE, StepOutcome.PASS)}
        earlier = [is_old.get(one.step, one) if one.outcome is not StepOutcome.PASS else one for one in earlier]
    return replace(run, findings=(*earlier, *found))


def _on(run: ServerRun, now_ms: int, rules: RunRules) -> ServerRun:
    stages = run.stages(rules)
    following = stages[stages.index(run.stage) + 1 :]
    if not following:
        return _judged(run, now_ms, rules)
    return replace(
        run,
        stage=following[0],
        stage_since_ms=now_ms,
        due_at_ms=now_ms,
        tried=None,
        tries=0,
        looks=0,
        troubled_since_ms=None,
        troubles=0,
    )


def _troubled(run: ServerRun, now_ms: int, rules: RunRules) -> ServerRun:
    since_ms = now_ms if run.troubled_since_ms is None else run.troubled_since_ms
    if now_ms - since_ms >= rules.patience_ms:
        return _judged(run, now_ms, rules)
    pause_ms = min(rules.backoff_cap_ms, rules.backoff_first_ms * 2 ** min(run.troubles, 16))
    return replace(run, troubled_since_ms=since_ms, troubles=run.troubles + 1, due_at_ms=now_ms + pause_ms)


def _judged(run: ServerRun, now_ms: int, rules: RunRules) -> ServerRun:
    verdict = verdict_of(run.findings, run.required(rules))
    bad = worst(run.findings, run.required(rules))
    return replace(
        run,
        phase=Phase.HELD if verdict is Verdict.FAILED else Phase.JUDGED,
        verdict=verdict,
        failed_step=bad.step if bad is not None and verdict is Verdict.FAILED else None,
        reason="" if bad is None else f"{bad.step} {bad.kind}: {bad.detail}",
        judged_at_ms=now_ms,
    )


def worst(found: Sequence[Finding], required: Collection[StepId]) -> Finding | None:
    """The first required FAIL, else the first required ERROR, else None."""
    for outcome in (StepOutcome.FAIL, StepOutcome.ERROR):
        for finding in found:
            if finding.outcome is outcome and finding.step in required:
                return finding
    return None


def limit_ms(stage: Stage, rules: RunRules) -> int:
    """How long a stage that waits may take."""
    limits = {
        Stage.LOG: rules.log_ms,
        Stage.ARRIVAL: rules.arrival_ms,
        Stage.INTERACT: rules.interactions_ms,
        Stage.BOUNCE: rules.bounce_ms,
    }
    return limits.get(stage, 0)


def not_ours(found: Sequence[Finding], why: str) -> list[Finding]:
    """The same findings when a host that is known to be good can't be reached either: no server is at fault."""
    return [_unjudged(one, why) if one.outcome is StepOutcome.FAIL and seems_ours(one) else one for one in found]


def seems_ours(finding: Finding) -> bool:
    """Whether a server seems to fail like this where our own network does."""
    return finding.step in _OF_THE_NETWORK or finding.kind in _UNHEARD


def _unjudged(finding: Finding, why: str) -> Finding:
    detail = f"{why}; {finding.detail}"
    return replace(finding, outcome=StepOutcome.ERROR, kind=_NO_NETWORK, detail=detail, may_pass_later=True)
