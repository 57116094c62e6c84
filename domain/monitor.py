"""Rolling monitors: rules, and the windows of one rule's day. Pure arithmetic; all times are UTC milliseconds.

The windows of a day tile it: each begins where the last one ended, be it by an event or by silence, and never at the
moment at which somebody looked. So it makes no difference when a window is judged, only what is known by then.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from hashlib import sha256
from uuid import NAMESPACE_URL, uuid5

from domain.monitor_days import DailyWindow, Day
from domain.status_check import Event
from domain.wire import JsonObject, iso, write_json

FRESH_MS = 60_000  # an alarm that is posted within a minute of its window's end is not late
MINUTE_MS = 60_000


class MonitorPhase(StrEnum):
    """Where a session stands."""

    RUNNING = "RUNNING"
    ENDED = "ENDED"
    REFUSED = "REFUSED"  # Megazord does not take the subscription


class WindowEnd(StrEnum):
    """How a window ended."""

    EVENT = "EVENT"
    ALARM = "ALARM"  # silent, and the rule's actions were taken
    MISSED = "MISSED"  # silent, but found out too late to tell anybody
    PARTIAL = "PARTIAL"  # silent, but cut short by the end of the day
    CLOSED = "CLOSED"  # the rule was removed, disabled or changed


@dataclass(frozen=True, slots=True)
class Action:
    """What an alarm does. `event_name` is posted to Megazord; None: the robot is told. From the `after`-th alarm on."""

    event_name: str | None
    after: int = 1


@dataclass(frozen=True, slots=True)
class Rule:
    """One monitoring rule of one robot."""

    robot_id: int
    rule_id: str
    event_name: str
    duration_ms: int
    daily: DailyWindow
    alarms_on_partial_window: bool
    actions: tuple[Action, ...]

    @property
    def key(self) -> str:
        """Robot and rule: what makes two rules the same, whatever they say."""
        return f"{self.robot_id}:{self.rule_id}"

    @property
    def fingerprint(self) -> str:
        """Changes with whatever the rule says."""
        return sha256(write_json(rule_as_json(self)).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class EndedWindow:
    """One line of the audit. `in_row` counts silent windows without an event between them, this one included."""

    number: int
    start_ms: int
    end_ms: int
    how: WindowEnd
    event_id: int | None = None
    in_row: int = 0


@dataclass(frozen=True, slots=True)
class MonitorSession:
    """One rule's day for one robot, as it stands. `version` counts saved changes."""

    rule: Rule
    day: Day
    number: int
    window_start_ms: int
    phase: MonitorPhase = MonitorPhase.RUNNING
    alarms_in_row: int = 0
    last_event_id: int | None = None
    last_event_ms: int | None = None
    subscription_id: int | None = None
    version: int = 0

    @property
    def id(self) -> str:
        """The same on every replica."""
        return session_id(self.rule, self.day.date)

    @property
    def is_running(self) -> bool:
        """Whether the home is being watched."""
        return self.phase is MonitorPhase.RUNNING

    @property
    def window_end_ms(self) -> int:
        """When the present window has lasted for its whole duration, or the day ends."""
        return min(self.window_start_ms + self.rule.duration_ms, self.day.ends_ms)

    @property
    def call_ref(self) -> str:
        """Under which all that this session does can be found at every neighbour."""
        return call_ref_of(self.id)

    def ended(self, at_ms: int, phase: MonitorPhase = MonitorPhase.ENDED) -> "Progress":
        """The same session, over before its day is."""
        end_ms = max(self.window_start_ms, min(at_ms, self.window_end_ms))
        closed = EndedWindow(self.number, self.window_start_ms, end_ms, WindowEnd.CLOSED)
        after = replace(self, phase=phase, window_start_ms=end_ms)
        return Progress(after, (closed,) if self.window_start_ms < end_ms else ())


@dataclass(frozen=True, slots=True)
class Progress:
    """A session after some windows have ended, in their order."""

    session: MonitorSession
    ended: tuple[EndedWindow, ...] = ()

    def advanced(self, events: Iterable[Event], until_ms: int) -> "Progress":
        """The same, after `advance`."""
        further = advance(self.session, events, until_ms)
        return Progress(further.session, (*self.ended, *further.ended))


def session_id(rule: Rule, on: date) -> str:
    """Robot, rule and local date; also the first part of an alarm's reference."""
    return f"{rule.robot_id}-{rule.rule_id}-{on.isoformat()}"


def call_ref_of(session: str) -> str:
    """A UUID of the session's own, the same on every replica."""
    return str(uuid5(NAMESPACE_URL, f"robotd:monitor:{session}"))


def reference_id(session: str, number: int) -> str:
    """By which an alarm is found at Megazord."""
    return f"{session}-{number}"


def begun(rule: Rule, day: Day, since_ms: int, before: MonitorSession | None, now_ms: int) -> Progress:
    """The session of this day under this rule, running from `since_ms` on, or from where `before` stands.

    A changed rule goes on with the window of a running session, unless it waits for another event.
    """
    since_ms = max(since_ms, day.starts_ms)
    if before is None:
        return Progress(MonitorSession(rule, day, 1, since_ms))
    if before.is_running and before.rule.event_name == rule.event_name:
        start_ms = max(before.window_start_ms, day.starts_ms)
        return Progress(replace(before, rule=rule, day=day, window_start_ms=start_ms))
    closed = before.ended(now_ms) if before.is_running else Progress(before)
    after = MonitorSession(
        rule=rule,
        day=day,
        number=before.number + 1,
        window_start_ms=max(since_ms, closed.session.window_start_ms),
        version=before.version,
    )
    return Progress(after, closed.ended)


def advance(session: MonitorSession, events: Iterable[Event], until_ms: int) -> Progress:
    """Judge everything up to `until_ms`. Events are in any order; those after `until_ms` don't count.

    An event in the very second in which a window begins belongs to it and changes nothing of it; so does one in the
    second in which a window ends: it is in the next one.
    """
    ended: list[EndedWindow] = []
    for event in sorted(events, key=lambda event: (event.created_at_ms, event.id)):
        if event.created_at_ms <= until_ms:
            session = _silent_until(session, event.created_at_ms, ended)
            session = _restarted(session, event, ended)
    session = _silent_until(session, until_ms, ended)
    return Progress(session, tuple(ended))


def _silent_until(session: MonitorSession, until_ms: int, ended: list[EndedWindow]) -> MonitorSession:
    while session.is_running and session.window_end_ms <= until_ms:
        session, window = _after_silence(session)
        ended.append(window)
    return session


def _after_silence(session: MonitorSession) -> tuple[MonitorSession, EndedWindow]:
    start_ms, end_ms = session.window_start_ms, session.window_end_ms
    is_partial = end_ms - start_ms < session.rule.duration_ms
    how = WindowEnd.PARTIAL if is_partial and not session.rule.alarms_on_partial_window else WindowEnd.ALARM
    in_row = session.alarms_in_row + (1 if how is WindowEnd.ALARM else 0)
    window = EndedWindow(session.number, start_ms, end_ms, how, in_row=in_row)
    after = replace(session, window_start_ms=end_ms, alarms_in_row=in_row)
    if end_ms >= session.day.ends_ms:
        return replace(after, phase=MonitorPhase.ENDED), window
    return replace(after, number=session.number + 1), window


def _restarted(session: MonitorSession, event: Event, ended: list[EndedWindow]) -> MonitorSession:
    at_ms = event.created_at_ms
    if not session.is_running or at_ms < session.window_start_ms:
        return session
    number = session.number
    if at_ms > session.window_start_ms:
        ended.append(EndedWindow(number, session.window_start_ms, at_ms, WindowEnd.EVENT, event.id))
        number += 1
    return replace(
        session,
        number=number,
        window_start_ms=at_ms,
        alarms_in_row=0,
        last_event_id=event.id,
        last_event_ms=at_ms,
    )


def is_worth_telling(session: MonitorSession, window: EndedWindow, now_ms: int) -> bool:
    """Whether an alarm about this window helps anybody now: at once it always does, late only while it is still true.

    Still true means: nothing was seen since the window ended, and no whole window has passed since.
    """
    if now_ms - window.end_ms <= FRESH_MS:
        return True
    seen_since = session.last_event_ms is not None and session.last_event_ms >= window.end_ms
    return not seen_since and now_ms < window.end_ms + session.rule.duration_ms


def with_missed(progress: Progress, now_ms: int) -> Progress:
    """The same, where silent windows that nobody needs to hear of any more are MISSED."""
    ended = tuple(_told_or_missed(progress.session, window, now_ms) for window in progress.ended)
    return replace(progress, ended=ended)


def _told_or_missed(session: MonitorSession, window: EndedWindow, now_ms: int) -> EndedWindow:
    if window.how is not WindowEnd.ALARM or is_worth_telling(session, window, now_ms):
        return window
    return replace(window, how=WindowEnd.MISSED)


def due_actions(rule: Rule, window: EndedWindow) -> Sequence[Action]:
    """The actions of an alarm, those left out that wait for more silence in a row."""
    return [action for action in rule.actions if window.in_row >= action.after]


def rule_as_json(rule: Rule) -> JsonObject:
    """All that a rule says, for the row of a session that goes on by it."""
    return {
        "robotId": rule.robot_id,
        "ruleId": rule.rule_id,
        "eventName": rule.event_name,
        "durationMs": rule.duration_ms,
        "zone": rule.daily.zone,
        "startMinute": rule.daily.start_minute,
        "endMinute": rule.daily.end_minute,
        "alarmOnPartialWindow": rule.alarms_on_partial_window,
        "actions": [[action.event_name, action.after] for action in rule.actions],
    }


def rule_from_json(read: JsonObject) -> Rule:
    """The reverse of `rule_as_json`."""
    return Rule(
        robot_id=read["robotId"],
        rule_id=read["ruleId"],
        event_name=read["eventName"],
        duration_ms=read["durationMs"],
        daily=DailyWindow(read["zone"], read["startMinute"], read["endMinute"]),
        alarms_on_partial_window=read["alarmOnPartialWindow"],
        actions=tuple(Action(event_name, after) for event_name, after in read["actions"]),
    )


def alarm_payload(session: MonitorSession, window: EndedWindow) -> JsonObject:
    """What the robot is told of an alarm."""
    return {
        "sessionId": session.id,
        "robotId": session.rule.robot_id,
        "ruleId": session.rule.rule_id,
        "eventName": session.rule.event_name,
        "windowNumber": window.number,
        "windowStart": iso(window.start_ms),
        "windowEnd": iso(window.end_ms),
        "alarmsInRow": window.in_row,
        "lastEventAt": None if session.last_event_ms is None else iso(session.last_event_ms),
    }
