"""When the next message of a number may go out. Pure arithmetic: times are UTC milliseconds, chance comes from outside.

WhatsApp judges numbers, not campaigns: all campaigns of a number share one `NumberPace`, and none has a gap of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

from domain.monitor_days import zone_of
from domain.sending_window import NEVER_MS, Opens, hour_ms, local_date, next_date_ms

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
ADVISED_GAP_MS = 30_000  # WAHA advises 30 to 60 s at random
LATEST_MS = NEVER_MS  # the year 3000: nothing is later, because dates end with the year 9999


class Because(StrEnum):
    """What makes a message wait. Where several do, the first of this list is told: it is the longer story."""

    LOCK = "LOCK"
    WARM_UP = "WARM_UP"
    DAILY_CAP = "DAILY_CAP"
    WINDOW = "WINDOW"
    HOURLY_CAP = "HOURLY_CAP"
    REST = "REST"
    GAP = "GAP"


@dataclass(frozen=True, slots=True)
class WarmUpStep:
    """From this age of the number on, so many messages a day."""

    age_days: int
    daily_cap: int


@dataclass(frozen=True, slots=True)
class PaceRules:
    """How fast a number may send. Caps count calendar hours and days of `zone`; None means without.

    The last step of `warm_up` stays in force. A number that is silent for `rewarm_after_ms` begins it anew. Raises
    ValueError for rules by which a number could never send.
    """

    gap_min_ms: int = 6_000
    gap_max_ms: int = 12_000
    zone: str = "UTC"
    hourly_cap: int | None = None
    daily_cap: int | None = None
    rest_after: int | None = None
    rest_ms: int = HOUR_MS
    warm_up: tuple[WarmUpStep, ...] = ()
    rewarm_after_ms: int | None = 3 * DAY_MS

    def __post_init__(self) -> None:
        zone_of(self.zone)
        if min(self.gap_min_ms, self.gap_max_ms, self.rest_ms) < 0:
            raise ValueError("a gap or a rest can't be negative")
        if self.rewarm_after_ms is not None and self.rewarm_after_ms < DAY_MS:
            raise ValueError("a number does not get cold within a day: let rewarm_after_ms be a day or more")
        caps = (self.hourly_cap, self.daily_cap, self.rest_after, *(step.daily_cap for step in self.warm_up))
        if any(cap is not None and cap < 1 for cap in caps):
            raise ValueError("with a cap below 1 nothing is ever sent: leave it out, or pause the campaign")
        if self.warm_up and not _grows(self.warm_up):
            raise ValueError("a warm-up starts at age 0, each step later than the one before and with no smaller cap")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What an operator should know about these rules, in sentences."""
        found = []
        if self.gap_min_ms > self.gap_max_ms:
            found.append(
                f"the smallest gap ({_seconds(self.gap_min_ms)}) is longer than the largest "
                f"({_seconds(self.gap_max_ms)}): the smallest is used for every message"
            )
        if self.gap_min_ms < ADVISED_GAP_MS:
            found.append(
                f"the smallest gap is {_seconds(self.gap_min_ms)}; WAHA advises 30 to 60 s, "
                "and numbers that send faster are blocked more often"
            )
        return tuple(found)

    def gap_ms(self, slow_factor: float, chance: float) -> int:
        """The pause after a message. `chance` 0 gives the smallest, 1 the largest; raises ValueError outside."""
        if not 0 <= chance <= 1:
            raise ValueError(f"chance must be between 0 and 1, not {chance}")
        spread_ms = max(0, self.gap_max_ms - self.gap_min_ms)
        return round((self.gap_min_ms + chance * spread_ms) * max(1.0, slow_factor))

    def warm_up_cap(self, age_ms: int) -> int | None:
        """Messages a day at this age of the number, or None without a warm-up."""
        caps = [step.daily_cap for step in self.warm_up if step.age_days * DAY_MS <= age_ms]
        return caps[-1] if caps else None


def _grows(steps: tuple[WarmUpStep, ...]) -> bool:
    return steps[0].age_days == 0 and all(
        step.age_days < later.age_days and step.daily_cap <= later.daily_cap for step, later in pairwise(steps)
    )


def _seconds(span_ms: int) -> str:
    return f"{span_ms / 1000:g} s"


@dataclass(frozen=True, slots=True)
class NumberPace:
    """What a number has sent so far, as one flat row. `hour_ms` and `day` say which hour and date the counts are of.

    `first_used_at_ms` is where its age counts from: the first message, or the first after a long silence. An operator
    may set it for a number that has been in use elsewhere.
    """

    last_sent_at_ms: int | None = None
    hour_ms: int = 0
    sent_in_hour: int = 0
    day: str = ""
    sent_in_day: int = 0
    sent_since_rest: int = 0
    first_used_at_ms: int | None = None
    slow_factor: float = 1.0
    locked_until_ms: int | None = None

    def after_send(self, rules: PaceRules, now_ms: int) -> "NumberPace":
        """The same number after one more message, whatever became of it. Commit it together with the intent to send."""
        hour, day = hour_ms(rules.zone, now_ms), local_date(rules.zone, now_ms).isoformat()
        rested = self.last_sent_at_ms is None or now_ms - self.last_sent_at_ms >= rules.rest_ms
        first_used_at_ms = self.first_used_at_ms
        return replace(
            self,
            last_sent_at_ms=max(now_ms, self.last_sent_at_ms or now_ms),
            hour_ms=max(hour, self.hour_ms),
            sent_in_hour=self.count_in_hour(hour) + 1,
            day=max(day, self.day),
            sent_in_day=self.count_in_day(day) + 1,
            sent_since_rest=1 if rested else self.sent_since_rest + 1,
            first_used_at_ms=now_ms if first_used_at_ms is None or self._is_cold(rules, now_ms) else first_used_at_ms,
        )

    def slowed(self, factor: float) -> "NumberPace":
        """The same number with all gaps so many times as long; 1 is its own pace, and never less."""
        return replace(self, slow_factor=max(1.0, factor))

    def locked(self, until_ms: int | None) -> "NumberPace":
        """The same number, silent until then; None lifts a lock."""
        return replace(self, locked_until_ms=None if until_ms is None else min(until_ms, LATEST_MS))

    def count_in_hour(self, hour: int) -> int:
        """Messages in this hour. For one before the last known (a replica whose clock lags), those of the last."""
        return self.sent_in_hour if hour <= self.hour_ms else 0

    def count_in_day(self, day: str) -> int:
        """Messages on this date. For one before the last known, those of the last."""
        return self.sent_in_day if day <= self.day else 0

    def age_ms(self, rules: PaceRules, at_ms: int) -> int:
        """How long the number has been in use without a long silence."""
        if self.first_used_at_ms is None or self._is_cold(rules, at_ms):
            return 0
        return max(0, at_ms - self.first_used_at_ms)

    def _is_cold(self, rules: PaceRules, at_ms: int) -> bool:
        if self.last_sent_at_ms is None or rules.rewarm_after_ms is None:
            return False
        return at_ms - self.last_sent_at_ms >= rules.rewarm_after_ms


@dataclass(frozen=True, slots=True)
class NextSend:
    """When the next message may go out, and what it waits for; `because` is None where it waits for nothing."""

    at_ms: int
    because: Because | None


def next_send_ms(rules: PaceRules, pace: NumberPace, window: Opens, now_ms: int, chance: float) -> NextSend:
    """The first instant from `now_ms` on that every limit allows.

    Asked again for the same wait, use the same `chance`: a new one each time makes gaps longer than they should be.
    """
    limits: dict[Because, Callable[[int], int]] = {
        Because.WINDOW: window.next_open_ms,
        Because.LOCK: lambda at_ms: max(at_ms, pace.locked_until_ms or 0),
        Because.DAILY_CAP: lambda at_ms: _below_daily_cap_ms(rules, pace, at_ms),
        Because.WARM_UP: lambda at_ms: _warm_enough_ms(rules, pace, at_ms),
        Because.HOURLY_CAP: lambda at_ms: _below_hourly_cap_ms(rules, pace, at_ms),
        Because.REST: lambda at_ms: max(at_ms, _rested_ms(rules, pace)),
        Because.GAP: lambda at_ms: max(at_ms, _gap_over_ms(rules, pace, chance)),
    }
    at_ms, reasons, settled = now_ms, set[Because](), False
    while not settled and at_ms < LATEST_MS:
        settled = True
        for because, allowed_ms in limits.items():
            later_ms = allowed_ms(at_ms)
            if later_ms > at_ms:
                at_ms, settled = later_ms, False
                reasons.add(because)
    return NextSend(at_ms, next((because for because in Because if because in reasons), None))


def _gap_over_ms(rules: PaceRules, pace: NumberPace, chance: float) -> int:
    gap_ms = rules.gap_ms(pace.slow_factor, chance)
    return 0 if pace.last_sent_at_ms is None else pace.last_sent_at_ms + gap_ms


def _rested_ms(rules: PaceRules, pace: NumberPace) -> int:
    if rules.rest_after is None or pace.last_sent_at_ms is None or pace.sent_since_rest < rules.rest_after:
        return 0
    return pace.last_sent_at_ms + rules.rest_ms


def _below_hourly_cap_ms(rules: PaceRules, pace: NumberPace, at_ms: int) -> int:
    hour = hour_ms(rules.zone, at_ms)
    if rules.hourly_cap is None or pace.count_in_hour(hour) < rules.hourly_cap:
        return at_ms
    return hour + HOUR_MS


def _below_daily_cap_ms(rules: PaceRules, pace: NumberPace, at_ms: int) -> int:
    if rules.daily_cap is None or _sent_on(rules, pace, at_ms) < rules.daily_cap:
        return at_ms
    return next_date_ms(rules.zone, at_ms)


def _warm_enough_ms(rules: PaceRules, pace: NumberPace, at_ms: int) -> int:
    cap = rules.warm_up_cap(pace.age_ms(rules, at_ms))
    if cap is None or _sent_on(rules, pace, at_ms) < cap:
        return at_ms
    first_ms = at_ms if pace.first_used_at_ms is None else pace.first_used_at_ms
    steps = (first_ms + step.age_days * DAY_MS for step in rules.warm_up)
    return min([next_date_ms(rules.zone, at_ms), *(at for at in steps if at > at_ms)])


def _sent_on(rules: PaceRules, pace: NumberPace, at_ms: int) -> int:
    return pace.count_in_day(local_date(rules.zone, at_ms).isoformat())


def is_expired(scheduled_at_ms: int, expires_after_s: float | None, now_ms: int) -> bool:
    """Whether a campaign may no longer start because it is too late; None: it may start however late it is."""
    return expires_after_s is not None and now_ms > scheduled_at_ms + expires_after_s * 1000
