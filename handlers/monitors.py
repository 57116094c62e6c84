"""Rolling monitors: a rule's day is opened, its windows end by an event or by silence, and silence is told.

What is decided, and when, is in `domain.monitor`; here is what it takes of the world. A decision and its alarm are
committed before anything is posted; the alarm is then a timer of its own, which looks at Megazord before it posts.
Before a window is called silent, the history is read once more, because Megazord may lose an event on its way to us.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from domain.errors import RuleViolation
from domain.messages import CloseMonitor, EndOfMonitorWindow, MegazordEvent, OpenMonitor, PostAlarm, Result
from domain.monitor import (
    EndedWindow,
    MonitorPhase,
    MonitorSession,
    Progress,
    Rule,
    WindowEnd,
    alarm_payload,
    begun,
    call_ref_of,
    due_actions,
    is_worth_telling,
    reference_id,
    session_id,
    with_missed,
)
from domain.monitor_days import Day
from domain.monitor_plan import Opening, Standing, following, plan
from domain.outcome import Done, Outcome, Retry
from domain.ports import Megazord, MonitorRules, Timer, UnitOfWork
from domain.status_check import Event
from domain.wire import milliseconds, whole_second
from handlers.subscriptions import open_subscription, release_soon

OPEN, WINDOW, ALARM, CLOSE = "monitor.open", "monitor.window", "monitor.alarm", "monitor.close"
_NOTED = 5  # of the ended windows, in the note; the audit has all


@dataclass(frozen=True, slots=True)
class MonitorHandlers:
    """The use cases of rolling monitors."""

    megazord: Megazord
    rules: MonitorRules

    async def plan(self, uow: UnitOfWork) -> None:
        """Collect what the rules of this process ask for and nobody has planned yet; to be committed by the caller."""
        rules = self.rules.current()
        if rules is None:
            return
        planned = await uow.monitors.openings()  # before the sessions: an opening is never missing in both
        awaited = await uow.monitors.awaited()
        running = await uow.monitors.running()
        wanted = plan(rules, Standing(planned, running, awaited), uow.now_ms)
        for key in wanted.cancelled:
            uow.cancel_timer(OPEN, key)
        for opening in wanted.openings:
            uow.schedule(_opening_timer(opening))
        for session in wanted.woken:
            uow.schedule(_window_timer(session))
        for session in wanted.closed:
            data = CloseMonitor(robotId=session.rule.robot_id, sessionId=session.id)
            uow.schedule(Timer(CLOSE, session.id, uow.now_ms, data, session.call_ref))

    async def open(self, timer: OpenMonitor, uow: UnitOfWork) -> Outcome:
        """Open one day of a rule, or let a changed rule take over; what has passed of it is judged from the history."""
        rule = self._rule(timer)
        if rule is None:
            return Retry(None, "this process does not have the rule that planned it", counts=False)
        day = rule.daily.day(timer.local_date)
        before = None if day is None else await uow.monitors.get(session_id(rule, day.date))
        if day is None or _needs_nothing(rule, day, before, uow.now_ms):
            uow.schedule(_opening_timer(following(rule, timer.local_date, uow.now_ms)))
            return Done("already-open")
        progress = begun(rule, day, milliseconds(timer.since), before, uow.now_ms)
        try:
            return await self._begin(progress, before, uow)
        except RuleViolation as refusal:
            if refusal.kind == "upstream-contract":  # nonsense is no refusal: it may pass
                return Retry(None, str(refusal))
            await _refuse(progress.session, before, uow)
            raise

    def _rule(self, timer: OpenMonitor) -> Rule | None:
        rules = self.rules.current() or ()
        return next((rule for rule in rules if rule.fingerprint == timer.planned_by), None)

    async def _begin(self, progress: Progress, before: MonitorSession | None, uow: UnitOfWork) -> Outcome:
        subscription_id = await self._subscription(progress.session, before, uow)
        session = replace(progress.session, subscription_id=subscription_id)
        events = await self._events(session, uow)
        progress = replace(progress, session=session).advanced(events, uow.now_ms)
        if before is None:
            uow.monitors.add(progress.session)
        else:
            uow.monitors.save(progress.session)
            if before.subscription_id not in (None, subscription_id):
                release_soon(session.rule.robot_id, before.subscription_id, session.call_ref, uow)
        uow.schedule(_opening_timer(following(session.rule, session.day.date, uow.now_ms)))
        return _settle(progress, uow)

    async def _subscription(
        self, session: MonitorSession, before: MonitorSession | None, uow: UnitOfWork
    ) -> int | None:
        if before is not None and before.is_running and _listens_alike(session, before):
            return before.subscription_id
        if uow.now_ms >= session.day.ends_ms:
            return None
        names = (session.rule.event_name,)
        return await open_subscription(self.megazord, session.rule.robot_id, names, session.day.ends_ms, uow)

    async def _events(self, session: MonitorSession, uow: UnitOfWork) -> list[Event]:
        names = (session.rule.event_name,)
        return await self.megazord.history(session.rule.robot_id, names, session.window_start_ms, uow.call_ref)

    async def window(self, timer: EndOfMonitorWindow, uow: UnitOfWork) -> Outcome:
        """The window's time is up: read the history once more, and go on as it says."""
        session = await uow.monitors.get(timer.session_id)
        if session is None or not session.is_running:
            return Done("already-over")
        return await self._catch_up(session, uow)

    async def _catch_up(self, session: MonitorSession, uow: UnitOfWork) -> Outcome:
        try:
            events = await self._events(session, uow)
        except RuleViolation as refusal:  # a window must not stay open for ever because of one answer
            return Retry(None, str(refusal))
        progress = Progress(session).advanced(events, uow.now_ms)
        uow.monitors.save(progress.session)
        return _settle(progress, uow)

    async def hear(self, event: MegazordEvent, uow: UnitOfWork) -> Outcome | None:
        """Restart the window of the session that waits for this event."""
        session = await uow.monitors.by_subscription(event.robot_id, event.subscription_id)
        if session is None:
            return None
        source = event.source_event
        incoming = Event(source.id, source.event_name, whole_second(milliseconds(source.created_at)), source.level)
        if not session.is_running or incoming.created_at_ms >= session.day.ends_ms:
            return Done("stale")
        if incoming.created_at_ms < session.window_start_ms or incoming.id == session.last_event_id:
            return Done("known-event")
        if incoming.name != session.rule.event_name:
            return Done("other-event")
        if incoming.created_at_ms >= session.window_end_ms:  # a window lies between that nobody has judged yet
            return await self._catch_up(session, uow)
        progress = Progress(session).advanced([incoming], incoming.created_at_ms)
        uow.monitors.save(progress.session)
        return _settle(progress, uow)

    async def holds(self, robot_id: int, subscription_id: int, uow: UnitOfWork) -> bool:
        """Whether a running session waits for the events of this subscription."""
        session = await uow.monitors.by_subscription(robot_id, subscription_id)
        return session is not None and session.is_running

    async def alarm(self, timer: PostAlarm, uow: UnitOfWork) -> Outcome:
        """Post one alarm, unless an earlier try did, or it came too late to be true any more."""
        session = await uow.monitors.get(timer.session_id)
        window = await uow.monitors.window(timer.session_id, timer.window_number)
        if session is None or window is None:
            return Done("forgotten")
        reference = reference_id(session.id, window.number)
        missing = [name for name in timer.event_names if not await self._was_posted(session, window, name, uow)]
        if missing and not is_worth_telling(session, window, uow.now_ms):
            uow.monitors.end_window_as(session.id, window.number, WindowEnd.MISSED, None)
            return Done(f"alarm {reference} MISSED")
        for name in missing:
            await self.megazord.post_event(session.rule.robot_id, name, reference, uow.call_ref)
        uow.monitors.end_window_as(session.id, window.number, WindowEnd.ALARM, uow.now_ms)
        return Done(f"alarm {reference} {'posted' if missing else 'was posted before'}")

    async def _was_posted(self, session: MonitorSession, window: EndedWindow, name: str, uow: UnitOfWork) -> bool:
        reference = reference_id(session.id, window.number)
        # From the window's start: Megazord's clock may be behind ours.
        return await self.megazord.was_posted(session.rule.robot_id, name, reference, window.start_ms, uow.call_ref)

    async def close(self, timer: CloseMonitor, uow: UnitOfWork) -> Outcome:
        """End a session whose rule is gone."""
        session = await uow.monitors.get(timer.session_id)
        if session is None or not session.is_running:
            return Done("already-over")
        progress = session.ended(uow.now_ms)
        uow.monitors.save(progress.session)
        return _settle(progress, uow)


def _needs_nothing(rule: Rule, day: Day, before: MonitorSession | None, now_ms: int) -> bool:
    """Whether the day runs by this rule already, or was dealt with while it lasted."""
    if before is None:
        return False
    return now_ms >= day.ends_ms or (before.is_running and before.rule == rule)


def _listens_alike(session: MonitorSession, before: MonitorSession) -> bool:
    return before.rule.event_name == session.rule.event_name and before.day.ends_ms == session.day.ends_ms


async def _refuse(session: MonitorSession, before: MonitorSession | None, uow: UnitOfWork) -> None:
    """Megazord does not take the subscription: leave that for people, once a day, and try again on the next."""
    refused = replace(session, phase=MonitorPhase.REFUSED)
    if before is None:
        uow.monitors.add(refused)
    else:
        ended = before.ended(uow.now_ms, MonitorPhase.REFUSED) if before.is_running else Progress(refused)
        uow.monitors.save(replace(ended.session, rule=session.rule))
        _settle(ended, uow)
    uow.schedule(_opening_timer(following(session.rule, session.day.date, uow.now_ms)))
    await uow.commit_now()


def _settle(progress: Progress, uow: UnitOfWork) -> Done:
    """Collect all that follows from ended windows: audit, alarms, and what wakes the session again or releases it."""
    session, progress = progress.session, with_missed(progress, uow.now_ms)
    for window in progress.ended:
        _note_window(session, window, uow)
    if session.is_running:
        uow.schedule(_window_timer(session))
    else:
        uow.cancel_timer(WINDOW, session.id)
        if session.subscription_id is not None:
            release_soon(session.rule.robot_id, session.subscription_id, session.call_ref, uow)
    ends = [f"window {window.number} {window.how}" for window in progress.ended[-_NOTED:]]
    return Done("; ".join([f"monitor {session.id} {session.phase}", *ends]))


def _note_window(session: MonitorSession, window: EndedWindow, uow: UnitOfWork) -> None:
    actions = due_actions(session.rule, window) if window.how is WindowEnd.ALARM else []
    names = tuple(action.event_name for action in actions if action.event_name is not None)
    reference = reference_id(session.id, window.number)
    uow.monitors.add_window(session.id, window, reference if names else None)
    if names:
        data = PostAlarm(
            robotId=session.rule.robot_id, sessionId=session.id, windowNumber=window.number, eventNames=names
        )
        uow.schedule(Timer(ALARM, reference, uow.now_ms, data, session.call_ref))
    if len(names) < len(actions):
        payload, link = alarm_payload(session, window), f"/v1/monitors/{session.id}"
        uow.publish(Result(session.rule.robot_id, f"ma-{reference}", "monitor.alarm", link, payload, session.call_ref))


def _opening_timer(opening: Opening) -> Timer:
    rule = opening.rule
    data = OpenMonitor(
        robotId=rule.robot_id,
        ruleId=rule.rule_id,
        localDate=opening.date,
        since=datetime.fromtimestamp(opening.since_ms // 1000, UTC),
        plannedBy=rule.fingerprint,
    )
    return Timer(OPEN, rule.key, opening.due_ms, data, call_ref_of(session_id(rule, opening.date)))


def _window_timer(session: MonitorSession) -> Timer:
    data = EndOfMonitorWindow(robotId=session.rule.robot_id, sessionId=session.id)
    return Timer(WINDOW, session.id, session.window_end_ms, data, session.call_ref)
