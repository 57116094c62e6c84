"""Status checks: a robot asks, the past is read, the future is listened to, a template decides, the robot is told.

Order within `create`: subscribe first, then read the history, so that no event falls between the two; what arrives
twice is dropped by its incoming event id. The end of the window is a timer, which reads the history once more,
because Megazord may lose an event on its way to us. What is decided, and when, is in `domain.check_course`.
"""

from dataclasses import dataclass, replace

from domain.check_course import Step, begun_late, closed, heard
from domain.errors import RuleViolation
from domain.messages import (
    CancelStatusCheck,
    CreateStatusCheck,
    EndOfCheck,
    GetStatusCheck,
    MegazordEvent,
    Result,
    reply_id,
)
from domain.outcome import Done, Outcome, Retry
from domain.ports import Megazord, MicroManagers, Templates, Timer, UnitOfWork
from domain.status_check import Event, Phase, ScriptStep, StatusCheck, Verdict, payload_of, window_of
from domain.template import Template
from domain.trace import trace_of
from domain.wire import milliseconds, whole_second
from handlers.subscriptions import DAY_MS, open_subscription, release_soon

END = "status-check.end"
LAST_LOOK_MS = 60_000  # for so long after its end a check waits for a Megazord that refuses its history
LAST_LOOK_AGAIN_S = 10.0


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
        step = begun_late(check, template, await self._past(check, template, uow), uow.now_ms, self.time_zone)
        check = step.check
        if not check.is_over:
            uow.schedule(_end_timer(check))
        elif check.subscription_id is not None:
            release_soon(check.robot_id, check.subscription_id, check.call_ref, uow)
        uow.checks.add(check)
        _explain(step, template, uow)
        uow.publish(_told(check))
        return Done(_note(step))

    async def _listen(self, check: StatusCheck, template: Template, uow: UnitOfWork) -> StatusCheck:
        if template.future is None or check.window.until_ms is None:
            return replace(check, phase=Phase.PAST)
        names = template.future.depends_on
        subscription_id = await open_subscription(self.megazord, check.robot_id, names, check.window.until_ms, uow)
        return replace(check, phase=Phase.FUTURE, subscription_id=subscription_id)

    async def _past(self, check: StatusCheck, template: Template, uow: UnitOfWork) -> list[Event]:
        if not check.window.looks_back:
            return []
        return await self.megazord.history(check.robot_id, template.event_names, check.window.since_ms, uow.call_ref)

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
        _save(check, Step(replace(check, phase=Phase.FAILED), decided_by="cancel"), None, uow)
        return Done("cancelled")

    async def hear(self, event: MegazordEvent, uow: UnitOfWork) -> Outcome | None:
        """Add one event to the check that waits for it, and judge the whole history again."""
        check = await uow.checks.by_subscription(event.robot_id, event.subscription_id)
        if check is None:
            return None
        source = event.source_event
        incoming = Event(source.id, source.event_name, whole_second(milliseconds(source.created_at)), source.level)
        if check.is_over or check.is_stale(incoming):
            return Done("stale")
        if not check.unknown_to_history([incoming]):
            return Done("known-event")
        template = await self.templates.version(check.template_name, check.template_version)
        if template is None:
            raise RuleViolation(
                f"template {check.template_name} version {check.template_version} is gone", kind="no-template"
            )
        step = heard(check, template, incoming, event.id, uow.now_ms, self.time_zone)
        return _save(check, step, template, uow)

    async def holds(self, robot_id: int, subscription_id: int, uow: UnitOfWork) -> bool:
        """Whether a running check waits for the events of this subscription."""
        check = await uow.checks.by_subscription(robot_id, subscription_id)
        return check is not None and not check.is_over

    async def end(self, timer: EndOfCheck, uow: UnitOfWork) -> Outcome:
        """Close the window: read the history once more, decide by the table, tell the robot."""
        check = await uow.checks.get(timer.status_check_id)
        if check is None or check.is_over:
            return Done("already-over")
        template = await self.templates.version(check.template_name, check.template_version)
        if template is None:  # without it nothing can be decided, but the robot must not wait for ever
            gone = replace(check.with_verdict(Verdict.UNKNOWN), phase=Phase.FAILED)
            _save(check, Step(gone, decided_by="template gone"), None, uow)
            return Done("template-gone")
        until_ms = check.window.until_ms or uow.now_ms
        try:
            missed = await self._missed(check, template)
        except RuleViolation as refusal:  # a rejected timer would never come again, and leave the robot waiting
            if uow.now_ms < until_ms + LAST_LOOK_MS:
                return Retry(LAST_LOOK_AGAIN_S, str(refusal), counts=False)
            return _save(check, _without_last_look(check), template, uow)
        at_ms = min(uow.now_ms, until_ms)  # a timer that fires late must not make events look older than they were
        return _save(check, closed(check, template, missed, at_ms, self.time_zone), template, uow)

    async def _missed(self, check: StatusCheck, template: Template) -> list[Event]:
        if template.future is None:
            return []
        events = await self.megazord.history(
            check.robot_id, template.future.depends_on, check.started_at_ms, check.call_ref
        )
        return check.unknown_to_history([event for event in events if not check.is_stale(event)])


def _without_last_look(check: StatusCheck) -> Step:
    """The history can't be had: what was decided by events stands, but silence was not seen."""
    if check.verdict is Verdict.PENDING:
        return Step(replace(check.with_verdict(Verdict.UNKNOWN), phase=Phase.FAILED), decided_by="history refused")
    return Step(replace(check, phase=Phase.COMPLETED), decided_by="history refused")


def _save(before: StatusCheck, step: Step, template: Template | None, uow: UnitOfWork) -> Outcome:
    """Collect a step, and all that follows from it: the robot told, the timer gone, the subscription released."""
    after = replace(step.check, updated_at_ms=whole_second(uow.now_ms))
    if after.told_differently(before):
        after = replace(after, notices=before.notices + 1)
        uow.publish(_told(after))
    if after.is_over:
        uow.cancel_timer(END, str(after.id))
        if after.subscription_id is not None:
            release_soon(after.robot_id, after.subscription_id, after.call_ref, uow)
    uow.checks.save(after, step.new_records)
    step = replace(step, check=after)
    if after.notices > before.notices:
        _explain(step, template, uow)
    return Done(_note(step))


def _explain(step: Step, template: Template | None, uow: UnitOfWork) -> None:
    uow.checks.explain(step.check, trace_of(step, template, uow.now_ms), uow.now_ms)


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


def _note(step: Step) -> str:
    """What journal and log say: what became of the check, and which expression failed."""
    check = step.check
    return "; ".join([f"check {check.id} {check.phase} {check.verdict}", *step.problems])


def _end_timer(check: StatusCheck) -> Timer:
    assert check.window.until_ms is not None  # noqa: S101  for the type checker: asked only of checks with a future
    data = EndOfCheck(robotId=check.robot_id, statusCheckId=check.id)
    return Timer(END, str(check.id), check.window.until_ms, data, check.call_ref)


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
