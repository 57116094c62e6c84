"""Status checks: a robot asks, the past is read, the future is listened to, a template decides, the robot is told.

Order within `create`: subscribe first, then read the history, so that no event falls between the two; what arrives
twice is dropped by its incoming event id. The end of the window is a timer, which reads the history once more,
because Megazord may lose an event on its way to us.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from domain.errors import RuleViolation
from domain.messages import (
    CancelStatusCheck,
    CreateStatusCheck,
    EndOfCheck,
    GetStatusCheck,
    MegazordEvent,
    ReleaseSubscription,
    Result,
    reply_id,
)
from domain.outcome import Done, Outcome, Retry
from domain.ports import Megazord, MicroManagers, Templates, Timer, UnitOfWork
from domain.status_check import Event, Phase, Record, ScriptStep, StatusCheck, Verdict, payload_of, window_of
from domain.template import Judgement, Moment, Resource, Template, judge
from domain.wire import milliseconds, whole_second

END, RELEASE = "status-check.end", "subscription.release"
DAY_MS = 86_400_000
Problems = tuple[str, ...]  # of a template's expressions, in their authors' words
UNKNOWN_EVENT_PATIENCE_MS = 30_000  # a check's commit may still be on its way when its first event comes
UNKNOWN_EVENT_RETRY_S = 5.0
UNUSED_SUBSCRIPTION_MS = 60_000  # a subscription whose check was never committed is released after this long


@dataclass(frozen=True, slots=True)
class StatusCheckHandlers:
    """The use cases of status checks. `time_zone` is the zone of the robots' homes, for hours in expressions."""

    megazord: Megazord
    micro_managers: MicroManagers
    templates: Templates
    time_zone: str = "UTC"

    async def create(self, command: CreateStatusCheck, uow: UnitOfWork) -> Outcome:
        """Start a check, or answer with the one that an equal command started before."""
        planned_at_ms = whole_second(milliseconds(command.planned_at))
        earlier = await uow.checks.by_request(command.robot_id, command.step_id, command.scheduled_id, planned_at_ms)
        if earlier is not None:
            uow.publish(_reply(earlier, uow))
            return Done("already-started")
        if planned_at_ms > uow.now_ms + 366 * DAY_MS:
            raise RuleViolation("plannedAt lies more than a year ahead", kind="far-future")
        step = await self.micro_managers.script_step(command.robot_id, command.step_id, uow.call_ref)
        template = await self.templates.active(step.template_name)
        if template is None:
            raise RuleViolation(f"no active template is named {step.template_name[:80]!r}", kind="no-template")
        check = await _new_check(command, step, template, uow)
        return await self._begin(check, template, uow)

    async def _begin(self, check: StatusCheck, template: Template, uow: UnitOfWork) -> Outcome:
        check = await self._listen(check, template, uow)
        events = await self._past(check, template, uow)
        check, records = _with_events(check, events, Phase.PAST)
        check, problems = self._judge_past(check, template, uow.now_ms)
        if check.is_over:
            _release_soon(check, uow)
        elif check.window.until_ms is not None:
            uow.schedule(_end_timer(check))
        check = replace(check, records=_judged(records, check))
        uow.checks.add(check)
        uow.publish(_told(check))
        return Done(_note(check, problems))

    async def _listen(self, check: StatusCheck, template: Template, uow: UnitOfWork) -> StatusCheck:
        """Subscribe, and commit the subscription's id at once: nothing else could ever find it again."""
        if template.future is None or check.window.until_ms is None:
            return replace(check, phase=Phase.PAST)
        names = template.future.depends_on
        subscription_id = await self.megazord.subscribe(check.robot_id, names, check.window.until_ms, uow.call_ref)
        uow.subscriptions.hold(subscription_id, check.robot_id)
        uow.schedule(_release_timer(check.robot_id, subscription_id, uow.now_ms + UNUSED_SUBSCRIPTION_MS, uow.call_ref))
        await uow.commit_now()
        return replace(check, phase=Phase.FUTURE, subscription_id=subscription_id)

    async def _past(self, check: StatusCheck, template: Template, uow: UnitOfWork) -> list[Event]:
        if not check.window.looks_back:
            return []
        return await self.megazord.history(check.robot_id, template.event_names, check.window.since_ms, uow.call_ref)

    def _judge_past(self, check: StatusCheck, template: Template, now_ms: int) -> tuple[StatusCheck, Problems]:
        problems: Problems = ()
        if template.past is not None and check.window.looks_back:
            judgement = self._ask(template.past, check, now_ms)
            check, problems = check.with_verdict(judgement.verdict), judgement.problems
        keeps_listening = check.phase is Phase.FUTURE and (template.poll_until_end or check.verdict is Verdict.PENDING)
        if not keeps_listening:
            check = _ended(check, template)
        return check, problems

    async def get(self, command: GetStatusCheck, uow: UnitOfWork) -> Outcome:
        """Send the check's current state to its robot."""
        check = await _own_check(command.robot_id, command.status_check_id, uow)
        uow.publish(_reply(check, uow))
        return Done()

    async def cancel(self, command: CancelStatusCheck, uow: UnitOfWork) -> Outcome:
        """End a running check as FAILED; one that is over already is only reported."""
        check = await _own_check(command.robot_id, command.status_check_id, uow)
        if check.is_over:
            uow.publish(_reply(check, uow))
            return Done("already-over")
        self._save(check, replace(check, phase=Phase.FAILED), (), uow)
        return Done("cancelled")

    async def event(self, event: MegazordEvent, uow: UnitOfWork) -> Outcome:
        """Add one event to the check that waits for it, and judge the whole history again."""
        created_at_ms = whole_second(milliseconds(event.source_event.created_at))
        if created_at_ms > uow.now_ms + DAY_MS:
            raise RuleViolation("the event's createdAt lies more than a day ahead", kind="far-future")
        check = await uow.checks.by_subscription(event.robot_id, event.subscription_id)
        if check is None:
            return await self._without_check(event, uow)
        source = event.source_event
        incoming = Event(source.id, source.event_name, created_at_ms, source.level)
        if check.is_over or check.is_stale(incoming):
            return Done("stale")
        if not check.unknown_to_history([incoming]):
            return Done("known-event")
        return await self._judge_future(check, incoming, event.id, uow)

    async def _judge_future(
        self, check: StatusCheck, incoming: Event, outgoing_id: int | None, uow: UnitOfWork
    ) -> Outcome:
        template = await self._template_of(check)
        seen, records = _with_events(check, [incoming], Phase.FUTURE, outgoing_id)
        judged, problems = seen, Problems()
        if template.future is not None:
            judgement = self._ask(template.future, seen, uow.now_ms)
            judged, problems = seen.with_verdict(judgement.verdict), judgement.problems
        if judged.verdict is not Verdict.PENDING and not template.poll_until_end:
            judged = replace(judged, phase=Phase.COMPLETED)
        self._save(check, judged, records, uow)
        return Done(_note(judged, problems))

    async def _without_check(self, event: MegazordEvent, uow: UnitOfWork) -> Outcome:
        if await uow.subscriptions.is_released(event.subscription_id):
            return Done("stale")
        if uow.age_ms < UNKNOWN_EVENT_PATIENCE_MS:
            return Retry(UNKNOWN_EVENT_RETRY_S, f"subscription {event.subscription_id} has no check yet", counts=False)
        # It came to our own queue, so it is ours: what a crash between Megazord's answer and our commit leaves behind.
        uow.subscriptions.hold(event.subscription_id, event.robot_id)
        uow.schedule(_release_timer(event.robot_id, event.subscription_id, uow.now_ms, uow.call_ref))
        return Done("unknown-subscription")

    async def end(self, timer: EndOfCheck, uow: UnitOfWork) -> Outcome:
        """Close the window: read the history once more, decide by the table, tell the robot."""
        check = await uow.checks.get(timer.status_check_id)
        if check is None or check.is_over:
            return Done("already-over")
        template = await self.templates.version(check.template_name, check.template_version)
        if template is None:  # without it nothing can be decided, but the robot must not wait for ever
            self._save(check, replace(check.with_verdict(Verdict.UNKNOWN), phase=Phase.FAILED), (), uow)
            return Done("template-gone")
        missed = await self._missed(check, template)
        seen, records = _with_events(check, missed, Phase.FUTURE)
        judged, problems = self._final(seen, template, uow.now_ms)
        self._save(check, judged, records, uow)
        return Done(_note(judged, problems))

    async def _missed(self, check: StatusCheck, template: Template) -> list[Event]:
        if template.future is None:
            return []
        events = await self.megazord.history(
            check.robot_id, template.future.depends_on, check.started_at_ms, check.call_ref
        )
        return check.unknown_to_history([event for event in events if not check.is_stale(event)])

    def _final(self, check: StatusCheck, template: Template, now_ms: int) -> tuple[StatusCheck, Problems]:
        problems: Problems = ()
        if template.future is not None:
            judgement = self._ask(template.future, check, now_ms, window_ended=True)
            problems = judgement.problems
            if judgement.verdict is not Verdict.PENDING:
                check = check.with_verdict(judgement.verdict)
        return _ended(check, template), problems

    async def release(self, timer: ReleaseSubscription, uow: UnitOfWork) -> Outcome:
        """Delete a subscription at Megazord, unless a running check still needs it."""
        check = await uow.checks.by_subscription(timer.robot_id, timer.subscription_id)
        if check is not None and not check.is_over:
            return Done("in-use")
        await self.megazord.unsubscribe(timer.robot_id, timer.subscription_id, uow.call_ref)
        uow.subscriptions.release(timer.subscription_id)
        return Done("released")

    def _save(self, before: StatusCheck, after: StatusCheck, records: Sequence[Record], uow: UnitOfWork) -> None:
        """Collect a change, and all that follows from it: the robot told, the timer gone, the subscription released."""
        new_records = _judged(records, after)
        kept = after.records[: len(after.records) - len(new_records)]
        after = replace(after, records=(*kept, *new_records), updated_at_ms=whole_second(uow.now_ms))
        if after.told_differently(before):
            after = replace(after, notices=before.notices + 1)
            uow.publish(_told(after))
        if after.is_over:
            uow.cancel_timer(END, str(after.id))
            _release_soon(after, uow)
        uow.checks.save(after, new_records)

    async def _template_of(self, check: StatusCheck) -> Template:
        template = await self.templates.version(check.template_name, check.template_version)
        if template is None:
            raise RuleViolation(
                f"template {check.template_name} version {check.template_version} is gone", kind="no-template"
            )
        return template

    def _ask(self, resource: Resource, check: StatusCheck, now_ms: int, *, window_ended: bool = False) -> Judgement:
        moment = Moment(
            events=check.events,
            now_ms=now_ms,
            started_at_ms=check.started_at_ms,
            since_ms=check.window.since_ms if check.window.looks_back else check.started_at_ms,
            until_ms=check.window.until_ms,
            window_ended=window_ended,
            time_zone=self.time_zone,
        )
        return judge(resource, moment)


async def _new_check(command: CreateStatusCheck, step: ScriptStep, template: Template, uow: UnitOfWork) -> StatusCheck:
    started_at_ms = whole_second(uow.now_ms)
    return StatusCheck(
        id=await uow.checks.new_id(),
        robot_id=command.robot_id,
        step_id=command.step_id,
        scheduled_id=command.scheduled_id,
        script_version_id=command.script_version_id,
        planned_at_ms=whole_second(milliseconds(command.planned_at)),
        template_name=template.name,
        template_version=template.version,
        started_at_ms=started_at_ms,
        window=window_of(step, template.past_interval_s, template.future_interval_s, started_at_ms),
        branches=step.branches,
        call_ref=uow.call_ref,
        updated_at_ms=started_at_ms,
        notices=1,
    )


async def _own_check(robot_id: int, check_id: int, uow: UnitOfWork) -> StatusCheck:
    check = await uow.checks.get(check_id)
    if check is None or check.robot_id != robot_id:
        raise RuleViolation(f"robot {robot_id} has no status check {check_id}", kind="no-such-check")
    return check


def _with_events(
    check: StatusCheck, events: Sequence[Event], phase: Phase, outgoing_id: int | None = None
) -> tuple[StatusCheck, tuple[Record, ...]]:
    first = len(check.records) + 1
    records = tuple(
        Record(first + index, event, phase, Verdict.PENDING, outgoing_id) for index, event in enumerate(events)
    )
    return replace(check, records=(*check.records, *records)), records


def _judged(records: Sequence[Record], check: StatusCheck) -> tuple[Record, ...]:
    """The new records with the verdict that they led to: what the check said once they were known."""
    return tuple(replace(record, result=check.verdict) for record in records)


def _note(check: StatusCheck, problems: Problems) -> str:
    """What journal and log say: what became of the check, and which expression failed."""
    return "; ".join([f"check {check.id} {check.phase} {check.verdict}", *problems])


def _ended(check: StatusCheck, template: Template) -> StatusCheck:
    """Undecided at the end: the template's own answer to silence, else FAILED as in the system that we replace."""
    if check.verdict is not Verdict.PENDING:
        return replace(check, phase=Phase.COMPLETED)
    if template.on_timeout is not None:
        return replace(check.with_verdict(template.on_timeout), phase=Phase.COMPLETED)
    return replace(check.with_verdict(Verdict.FAIL), phase=Phase.FAILED)


def _end_timer(check: StatusCheck) -> Timer:
    assert check.window.until_ms is not None  # noqa: S101  for the type checker: asked only of checks with a future
    data = EndOfCheck(robotId=check.robot_id, statusCheckId=check.id)
    return Timer(END, str(check.id), check.window.until_ms, data, check.call_ref)


def _release_timer(robot_id: int, subscription_id: int, due_at_ms: int, call_ref: str | None) -> Timer:
    data = ReleaseSubscription(robotId=robot_id, subscriptionId=subscription_id)
    return Timer(RELEASE, str(subscription_id), due_at_ms, data, call_ref)


def _release_soon(check: StatusCheck, uow: UnitOfWork) -> None:
    if check.subscription_id is not None:
        uow.schedule(_release_timer(check.robot_id, check.subscription_id, uow.now_ms, check.call_ref))


def _link(check: StatusCheck) -> str:
    return f"/v1/status-check/check/{check.id}"


def _told(check: StatusCheck) -> Result:
    """What the robot hears of a change; the id counts the changes that it was told."""
    identity = f"sc-{check.id}-{check.notices}"
    return Result(check.robot_id, identity, "status-check.changed", _link(check), payload_of(check), check.call_ref)


def _reply(check: StatusCheck, uow: UnitOfWork) -> Result:
    """What the robot hears because it asked; the id belongs to the command, so a repeated command repeats it."""
    identity = reply_id(uow.source, uow.id)
    return Result(check.robot_id, identity, "status-check.current", _link(check), payload_of(check), uow.call_ref)
