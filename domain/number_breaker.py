"""When a number must stop: what its last sends and its session say about it. Pure; times are UTC milliseconds.

One contact's error never stops the others; the number's error always does. The state is one small row per number, so
that all campaigns of a number stop together; it holds no phone number.
"""

from dataclasses import dataclass, replace
from hashlib import sha256

from domain.sending import PauseReason, SendAnswer, SendVerdict, SessionState

_SENT, _NOT_SENT = ".", "x"
_LONGEST_STOP_MS = 366 * 24 * 3_600_000  # no gateway's end time is believed beyond this


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """The thresholds. Factors are of the gap, shares of 1. Raises ValueError for values without a meaning."""

    failures_in_row: int = 5
    failures_window: int = 20
    failures_share: float = 0.2
    first_warning_factor: float = 2
    second_warning_factor: float = 4
    rate_limited_factor: float = 2
    slowest_factor: float = 16
    rate_limited_wait_ms: int = 60_000
    rate_limits_in_row: int = 5
    heal_after: int = 20
    unreachable_in_row: int = 5
    unreachable_wait_ms: int = 5_000
    suspicion_wait_ms: int = 300_000
    lock_ms: int = 24 * 3_600_000
    silent_after_ms: int = 1_800_000
    silent_share: float = 0.5
    silent_sample: int = 20
    silence_stops: bool = False
    working_hold_ms: int = 60_000
    ramp_sends: int = 10
    ramp_factor: float = 3

    def __post_init__(self) -> None:
        counts = (self.failures_in_row, self.failures_window, self.rate_limits_in_row, self.heal_after)
        if min(*counts, self.unreachable_in_row, self.silent_sample) < 1 or self.ramp_sends < 0:
            raise ValueError("the counts of a breaker are 1 or more")
        if not (0 <= self.failures_share <= 1 and 0 <= self.silent_share <= 1):
            raise ValueError("a share is between 0 and 1")
        factors = (self.first_warning_factor, self.second_warning_factor, self.rate_limited_factor, self.ramp_factor)
        if not all(1 <= factor <= self.slowest_factor for factor in factors):
            raise ValueError("a factor is between 1 and slowest_factor: a number in trouble never gets faster")
        waits = (self.rate_limited_wait_ms, self.unreachable_wait_ms, self.suspicion_wait_ms, self.silent_after_ms)
        if min(*waits, self.lock_ms, self.working_hold_ms) < 0:
            raise ValueError("a wait can't be negative")


@dataclass(frozen=True, slots=True)
class BreakerState:
    """What is remembered of a number, as one flat row. `recent` is one sign per send, the newest last: `.` or `x`.

    `suspect` stands for the contact that was refused last with 463. `stopped` and `stopped_until_ms` are a stop that
    lasts although the session works. `working_since_ms` is when the session was first seen working without a break,
    `looked_at_ms` when it was last looked at.
    """

    recent: str = ""
    suspect: str | None = None
    rate_factor: float = 1.0
    rate_limits_in_row: int = 0
    sent_in_row: int = 0
    unreachable_in_row: int = 0
    warning_factor: float = 1.0
    ramp_left: int = 0
    wait_until_ms: int | None = None
    stopped: PauseReason | None = None
    stopped_until_ms: int | None = None
    working_since_ms: int | None = None
    looked_at_ms: int | None = None

    @property
    def failures_in_row(self) -> int:
        """How many of the newest sends failed one after the other."""
        return len(self.recent) - len(self.recent.rstrip(_NOT_SENT))

    def factor(self, rules: BreakerRules) -> float:
        """By how much the gap grows at present: the worst of what is known."""
        ramp_factor = rules.ramp_factor if self.ramp_left else 1.0
        return min(rules.slowest_factor, max(1.0, self.rate_factor, self.warning_factor, ramp_factor))

    def tried(self, rules: BreakerRules, now_ms: int) -> "BreakerState":
        """With a message under way; of a suspected number it is the only one until it is answered, or for a while."""
        if self.suspect is None:
            return self
        return replace(self, wait_until_ms=max(now_ms + rules.suspicion_wait_ms, self.wait_until_ms or 0))

    def resumed(self, rules: BreakerRules, *, in_spite_of_a_lock: bool = False) -> "BreakerState":
        """The same number when its sending goes on after a stop: failures are forgotten, the first sends are slow.

        A lock stays until it ends by itself, unless an operator knows better.
        """
        fresh = replace(
            self, recent="", rate_limits_in_row=0, unreachable_in_row=0, wait_until_ms=None, ramp_left=rules.ramp_sends
        )
        return replace(fresh, suspect=None, stopped=None, stopped_until_ms=None) if in_spite_of_a_lock else fresh


@dataclass(frozen=True, slots=True)
class Go:
    """Go on at the number's own pace. `warning` is a sentence for the operator, or empty."""

    warning: str = ""


@dataclass(frozen=True, slots=True)
class Slow:
    """Go on with gaps so many times as long, and not before `not_before_ms` where it is set.

    `at_most` 1: with one more contact, and then ask again.
    """

    factor: float
    detail: str = ""
    not_before_ms: int | None = None
    at_most: int | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """Pause all campaigns of the number. `until_ms` is when it may be tried again; None: when somebody says so."""

    reason: PauseReason
    detail: str
    until_ms: int | None = None


Decision = Go | Slow | Stop


@dataclass(frozen=True, slots=True)
class Judged:
    """The state to keep, and what to do."""

    state: BreakerState
    decision: Decision


@dataclass(frozen=True, slots=True)
class Acks:
    """Of the texts sent longer ago than `silent_after_ms`: all, those with any ack, and those with ack 2 or more."""

    texts: int
    heard: int
    delivered: int


def judge_send(rules: BreakerRules, state: BreakerState, answer: SendAnswer, contact: str, now_ms: int) -> Judged:
    """What follows from the answer to one send. `contact` is any text that is the same for the same contact."""
    match answer.pause:
        case PauseReason.REACHOUT_LOCK:
            return _refused(rules, state, answer, contact, now_ms)
        case PauseReason.RATE_LIMITED:
            return _rate_limited(rules, state, answer, now_ms)
        case PauseReason.WAHA_UNREACHABLE | PauseReason.SESSION_NOT_WORKING as reason if _is_brief(reason, answer):
            return _patient(rules, state, reason, answer, now_ms)
        case None:
            after = _counted(rules, state, is_sent=answer.verdict is SendVerdict.SENT)
            return Judged(after, _judged(rules, after, now_ms))
        case reason:
            return Judged(_reached(state), Stop(reason, answer.detail or answer.code, _asked_ms(answer, now_ms)))


def judge_session(rules: BreakerRules, state: BreakerState, session: SessionState, now_ms: int) -> Judged:
    """What follows from a look at the session, before each send and while the number is stopped."""
    reason = _trouble(session, now_ms)
    looked = _looked(rules, state, session, now_ms, is_working=reason is None)
    if reason is not None and _is_brief(reason, session):
        return _patient(rules, looked, reason, session, now_ms)
    looked = _reached(looked)
    if reason is None:
        return Judged(looked, _judged(rules, looked, now_ms))
    until_ms = _lock_ends_ms(rules, session.locked_until_ms, now_ms) if reason is PauseReason.REACHOUT_LOCK else None
    return Judged(looked, Stop(reason, session.detail or f"the session is {session.status}", until_ms))


def judge_acks(rules: BreakerRules, acks: Acks) -> Decision:
    """Whether texts are accepted and then dropped in silence. Where nobody tells acks, nothing is known: go."""
    if (
        acks.texts < rules.silent_sample
        or not acks.heard
        or acks.delivered >= round(rules.silent_share * acks.texts, 6)
    ):
        return Go()
    minutes = rules.silent_after_ms // 60_000
    detail = f"{acks.delivered} of {acks.texts} texts older than {minutes} min have reached a phone"
    return Stop(PauseReason.SILENT_DROPS, detail) if rules.silence_stops else Go(warning=detail)


def may_resume(rules: BreakerRules, reason: PauseReason, state: BreakerState, now_ms: int) -> bool:
    """Whether a stop ends by itself: its reason heals, and the session has been seen working for long enough.

    The last look must not be older than that span: what nobody looks at is not known to work.
    """
    if not reason.heals_by_itself or state.working_since_ms is None or state.looked_at_ms is None:
        return False
    held_ms = state.looked_at_ms - state.working_since_ms
    return held_ms >= rules.working_hold_ms and now_ms - state.looked_at_ms <= rules.working_hold_ms


def _trouble(session: SessionState, now_ms: int) -> PauseReason | None:
    if session.pause is not None:
        return session.pause
    if session.capping == PauseReason.CAPPED:
        return PauseReason.CAPPED
    return PauseReason.REACHOUT_LOCK if (session.locked_until_ms or 0) > now_ms else None


def _looked(
    rules: BreakerRules, state: BreakerState, session: SessionState, now_ms: int, *, is_working: bool
) -> BreakerState:
    since_ms = (now_ms if state.working_since_ms is None else state.working_since_ms) if is_working else None
    return replace(
        state,
        warning_factor=_warning_factor(rules, session.capping) if is_working else state.warning_factor,
        working_since_ms=since_ms,
        looked_at_ms=now_ms,
    )


def _warning_factor(rules: BreakerRules, capping: str | None) -> float:
    if capping == "FIRST_WARNING":
        return rules.first_warning_factor
    return rules.second_warning_factor if capping == "SECOND_WARNING" else 1.0


def _refused(rules: BreakerRules, state: BreakerState, answer: SendAnswer, contact: str, now_ms: int) -> Judged:
    """463: one contact may lack a token; two different ones in a row mean that the number is locked."""
    mark = sha256(contact.encode()).hexdigest()[:16]
    after = replace(_counted(rules, state, is_sent=False), suspect=state.suspect or mark)
    if state.suspect not in {None, mark}:
        until_ms = _lock_ends_ms(rules, _asked_ms(answer, now_ms), now_ms)
        detail = answer.detail or "WhatsApp refused two contacts in a row with 463"
        return _stopped(after, Stop(PauseReason.REACHOUT_LOCK, detail, until_ms))
    after = replace(after, wait_until_ms=max(now_ms + rules.suspicion_wait_ms, state.wait_until_ms or 0))
    return Judged(after, _judged(rules, after, now_ms))


def _rate_limited(rules: BreakerRules, state: BreakerState, answer: SendAnswer, now_ms: int) -> Judged:
    asked_ms = _asked_ms(answer, now_ms)
    until_ms = max(asked_ms or now_ms + rules.rate_limited_wait_ms, state.wait_until_ms or 0)
    after = replace(
        _reached(state),
        rate_factor=min(rules.slowest_factor, state.rate_factor * rules.rate_limited_factor),
        rate_limits_in_row=state.rate_limits_in_row + 1,
        sent_in_row=0,
        wait_until_ms=until_ms,
    )
    detail = answer.detail or "the gateway said that this number sends too fast"
    if after.rate_limits_in_row >= rules.rate_limits_in_row:
        return _stopped(after, Stop(PauseReason.RATE_LIMITED, detail, until_ms))
    return Judged(after, Slow(after.factor(rules), detail, until_ms))


def _stopped(state: BreakerState, stop: Stop) -> Judged:
    """Remembered, so that another campaign of the number does not go on."""
    return Judged(replace(state, stopped=stop.reason, stopped_until_ms=stop.until_ms), stop)


def _is_brief(reason: PauseReason, told: SendAnswer | SessionState) -> bool:
    """Whether it may be over in a moment: an unreachable gateway, or a session that is said to start soon."""
    return reason is PauseReason.WAHA_UNREACHABLE or (
        reason is PauseReason.SESSION_NOT_WORKING and _asked_ms(told, 0) is not None
    )


def _patient(
    rules: BreakerRules, state: BreakerState, reason: PauseReason, told: SendAnswer | SessionState, now_ms: int
) -> Judged:
    asked_ms = _asked_ms(told, now_ms) or now_ms + rules.unreachable_wait_ms
    wait_until_ms = max(asked_ms, state.wait_until_ms or 0)
    after = replace(state, unreachable_in_row=state.unreachable_in_row + 1, wait_until_ms=wait_until_ms)
    detail = told.detail or "the gateway can't be reached"
    if after.unreachable_in_row >= rules.unreachable_in_row:
        return Judged(after, Stop(reason, detail))
    return Judged(after, Slow(after.factor(rules), detail, wait_until_ms))


def _counted(rules: BreakerRules, state: BreakerState, *, is_sent: bool) -> BreakerState:
    recent = (state.recent + (_SENT if is_sent else _NOT_SENT))[-max(rules.failures_window, rules.failures_in_row) :]
    after = replace(_reached(state), recent=recent, rate_limits_in_row=0)
    if not is_sent:
        return replace(after, sent_in_row=0)
    wait_until_ms = state.wait_until_ms if state.suspect is None else None  # it waited for this answer alone
    after = replace(
        after,
        suspect=None,
        wait_until_ms=wait_until_ms,
        ramp_left=max(0, state.ramp_left - 1),
        sent_in_row=state.sent_in_row + 1,
    )
    if after.sent_in_row < rules.heal_after:
        return after
    return replace(after, sent_in_row=0, rate_factor=max(1.0, state.rate_factor / rules.rate_limited_factor))


def _judged(rules: BreakerRules, state: BreakerState, now_ms: int) -> Decision:
    """What the state alone says."""
    if state.stopped is not None and now_ms < (state.stopped_until_ms or 0):
        return Stop(state.stopped, "the number was stopped before, and the time is not over", state.stopped_until_ms)
    too_many = _too_many_failures(rules, state)
    if too_many:
        return Stop(PauseReason.TOO_MANY_FAILURES, too_many)
    factor = state.factor(rules)
    wait_until_ms = state.wait_until_ms if (state.wait_until_ms or 0) > now_ms else None
    if state.suspect is not None:
        detail = "WhatsApp refused a contact with 463: one more contact shows whether the number is locked"
        return Slow(factor, detail, wait_until_ms, at_most=1)
    return Slow(factor, not_before_ms=wait_until_ms) if factor > 1 or wait_until_ms is not None else Go()


def _too_many_failures(rules: BreakerRules, state: BreakerState) -> str:
    """A sentence, or nothing. The share is of the whole window also while fewer were sent: 1 of 2 is no pattern."""
    if state.failures_in_row >= rules.failures_in_row:
        return f"{state.failures_in_row} sends in a row failed"
    failures = state.recent[-rules.failures_window :].count(_NOT_SENT)
    is_many = failures > round(rules.failures_share * rules.failures_window, 6)
    return f"{failures} of the last {rules.failures_window} sends failed" if is_many else ""


def _reached(state: BreakerState) -> BreakerState:
    return replace(state, unreachable_in_row=0)


def _lock_ends_ms(rules: BreakerRules, told_ms: int | None, now_ms: int) -> int:
    """When a lock ends: as told, or after a day where nobody tells or what is told is over."""
    if told_ms is None or told_ms <= now_ms:
        return now_ms + rules.lock_ms
    return min(told_ms, now_ms + _LONGEST_STOP_MS)


def _asked_ms(told: SendAnswer | SessionState, now_ms: int) -> int | None:
    """Until when it asks to wait; odd numbers (a header may say anything) ask for nothing."""
    if told.after_s is None or not told.after_s > 0:
        return None
    return now_ms + round(min(told.after_s * 1000, _LONGEST_STOP_MS))
