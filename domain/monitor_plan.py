"""What has to be done so that every rule's next day is opened, and nothing runs that has no rule any more.

Planning again changes nothing: what is planned by the same rule is left alone, due or not, so that an opening that was
missed keeps the moment from which it judges.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date

from domain.monitor import MonitorSession, Rule
from domain.monitor_days import Day


@dataclass(frozen=True, slots=True)
class PlannedOpening:
    """An opening that was planned and has not happened yet. `planned_by` is the rule's fingerprint as it was then."""

    robot_id: int
    rule_id: str
    planned_by: str

    @property
    def key(self) -> str:
        """As a rule's."""
        return f"{self.robot_id}:{self.rule_id}"


@dataclass(frozen=True, slots=True)
class Opening:
    """Open this day of a rule at `due_ms`, and judge from `since_ms` on."""

    rule: Rule
    date: date
    due_ms: int
    since_ms: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done: openings to schedule and to cancel (by key), sessions to close and to wake again."""

    openings: tuple[Opening, ...] = ()
    cancelled: tuple[str, ...] = ()
    closed: tuple[MonitorSession, ...] = ()
    woken: tuple[MonitorSession, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """What the database says: planned openings, running sessions, and the ids of those that a timer will wake."""

    planned: Sequence[PlannedOpening] = ()
    running: Sequence[MonitorSession] = ()
    awaited: Collection[str] = ()


def plan(rules: Sequence[Rule], standing: Standing, now_ms: int) -> Plan:
    """Compare the rules with what stands."""
    by_key = {rule.key: rule for rule in rules}
    planned = {opening.key: opening.planned_by for opening in standing.planned}
    running = {session.rule.key: session for session in standing.running}
    wanted = [rule for rule in rules if planned.get(rule.key) != rule.fingerprint]
    closed = [session for session in standing.running if not _goes_on(session, by_key.get(session.rule.key), now_ms)]
    return Plan(
        openings=tuple(_opening(rule, running.get(rule.key), now_ms) for rule in wanted),
        cancelled=tuple(sorted(planned.keys() - by_key.keys())),
        closed=tuple(closed),
        woken=tuple(
            session for session in standing.running if session not in closed and session.id not in standing.awaited
        ),
    )


def following(rule: Rule, after: date, now_ms: int) -> Opening:
    """The opening after the day of `after`: one whose start was missed is due at once, and judges from its start."""
    day = rule.daily.day_at(now_ms)
    if day is None or day.date <= after:
        handled = rule.daily.day(after)
        day = rule.daily.next_day(now_ms if handled is None else max(now_ms, handled.ends_ms))
    return _at_its_start(rule, day)


def _at_its_start(rule: Rule, day: Day) -> Opening:
    return Opening(rule, day.date, day.starts_ms, day.starts_ms)


def _opening(rule: Rule, session: MonitorSession | None, now_ms: int) -> Opening:
    """For a rule that is new, changed or forgotten: nobody watched until now, so nothing is judged before now."""
    if session is not None and session.rule == rule:
        return following(rule, session.day.date, now_ms)
    day = rule.daily.day_at(now_ms)
    if day is None:
        return _at_its_start(rule, rule.daily.next_day(now_ms))
    return Opening(rule, day.date, now_ms, now_ms)


def _goes_on(session: MonitorSession, rule: Rule | None, now_ms: int) -> bool:
    """A changed rule takes over a session only on the same day."""
    if rule is None or rule == session.rule:
        return rule is not None
    day = rule.daily.day_at(now_ms)
    return day is not None and day.date == session.day.date
