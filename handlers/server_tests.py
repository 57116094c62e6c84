"""Tests of delivery servers: asked for, taken step by step, judged, recorded.

A run is a row and a timer, never a task in memory. What it finds is committed before the next step begins; a verdict
is committed before it is recorded at MailWizz, and recording it again changes nothing there: so a crash at any point
makes neither two lines of history nor none.
"""

from dataclasses import dataclass, replace

from domain.alerts import raise_alert
from domain.delivery_server import DeliveryServer
from domain.errors import RuleViolation, Unavailable
from domain.messages import reply_id, result_to
from domain.outcome import Done, Outcome
from domain.ports import Timer, UnitOfWork
from domain.server_messages import LookAtServerCycle, RequestServerTest, StepServerRun
from domain.server_ports import Consequence, MailWizz, Recorded
from domain.server_rules import Judged, Switch, outage_of
from domain.server_run import Phase, ServerRun, Way, Wish
from domain.server_store import server_claim
from domain.server_test import StepId, Verdict
from domain.server_words import outage_alert, run_alert, run_payload
from handlers.server_parts import ServerParts
from handlers.server_steps import ServerSteps

STEP, LOOK = "server-test.step", "server-cycle.look"
AGAIN_S = 20.0
"""How soon MailWizz is asked again that could not be asked: within half a minute after it is back, all goes on."""


@dataclass(frozen=True, slots=True)
class ServerTestHandlers:
    """The use cases of single runs; those of cycles are `ServerCycleHandlers`."""

    parts: ServerParts

    async def request(self, command: RequestServerTest, uow: UnitOfWork) -> Outcome:
        """Begin a test. Refused for a server that MailWizz doesn't know, and while it is under test."""
        mailwizz = self.parts.at_mailwizz
        run_id = reply_id(uow.source, uow.id)
        known = await uow.server_tests.get(run_id)
        if known is not None:
            return _told_again(known, uow)
        if await mailwizz.server(command.server_id) is None:
            raise RuleViolation(f"MailWizz has no delivery server {command.server_id}", kind="no-such-server")
        holder = await uow.server_tests.holder(server_claim(command.server_id))
        if holder is not None:
            raise RuleViolation(f"server {command.server_id} is under test already: run {holder}", kind="busy")
        wish = Wish(
            server_id=command.server_id,
            way=Way(command.path),
            checks=tuple(StepId(check) for check in command.checks),
            dry_run=command.dry_run,
            robot_id=command.robot_id,
            reply_to=command.reply_to,
            call_ref=uow.call_ref,
        )
        run = ServerRun.begun(run_id, wish, uow.now_ms)
        uow.server_tests.add([run])
        uow.schedule(step_timer(run))
        return Done(f"test of server {command.server_id} begins: run {run_id}")

    async def step(self, timer: StepServerRun, uow: UnitOfWork) -> Outcome:
        """Take the next stage of a run, or record its verdict."""
        run = await uow.server_tests.get(timer.run_id)
        if run is None or run.phase in (Phase.HELD, Phase.ENDED):
            return Done("nothing to do")
        if run.phase is Phase.JUDGED:
            return await self._record(run, uow)
        moved = await ServerSteps(self.parts).take(run, uow)
        if moved.phase is Phase.RUNNING:
            uow.server_tests.save(moved)
            uow.schedule(step_timer(moved))
            return Done(_progress(run, moved))
        return await self._judged(moved, uow)

    async def gave_up(self, timer: StepServerRun, reason: str, uow: UnitOfWork) -> None:
        """Its timer is given up: it ends without a verdict, or with one that may not be recorded."""
        run = await uow.server_tests.get(timer.run_id)
        if run is None or run.phase is Phase.ENDED:
            return
        if run.phase is Phase.JUDGED:
            await finish(replace(run, kept="not-recorded"), uow)
            return
        await finish(replace(run, verdict=Verdict.ERROR, failed_step=None, reason=f"given up: {reason}"), uow)

    async def _judged(self, run: ServerRun, uow: UnitOfWork) -> Outcome:
        uow.server_tests.free_lists(run.id)
        if run.verdict is Verdict.ERROR:
            return await finish(run, uow)
        if run.verdict is Verdict.FAILED and run.wish.cycle_id is not None:
            uow.server_tests.save(run)
            uow.schedule(look_timer(run.wish.cycle_id, uow.present_ms))
            return Done(f"server {run.server_id} failed: {run.reason}; held until its cycle is judged")
        if run.verdict is Verdict.FAILED:
            return await self._weighed(run, uow)
        return stands(run, uow)

    async def _weighed(self, run: ServerRun, uow: UnitOfWork) -> Outcome:
        """A test that was asked for alone is judged against all that was judged lately."""
        rules, now_ms = self.parts.outages, uow.present_ms
        step = "" if run.failed_step is None else run.failed_step.value
        others = [one for one in await uow.server_tests.judged(now_ms - rules.window_ms) if one.run_id != run.id]
        outage = outage_of([*others, Judged(run.id, run.server_id, step, now_ms)], rules)
        if outage is None or outage.step != step:
            return stands(run, uow)
        await raise_alert(outage_alert(outage.step, outage.reason), uow)
        return await finish(run.blamed_on(outage.reason), uow)

    async def _record(self, run: ServerRun, uow: UnitOfWork) -> Outcome:
        """T17. MailWizz is waited for as long as it takes: whether an earlier try was committed only it can tell."""
        if run.wish.dry_run:
            return await finish(replace(run, kept="dry-run" if run.verdict is Verdict.FAILED else ""), uow)
        try:
            return await self._carry_out(run, self.parts.at_mailwizz, uow)
        except Unavailable as gone:
            gone.after_s = AGAIN_S
            raise

    async def _carry_out(self, run: ServerRun, mailwizz: MailWizz, uow: UnitOfWork) -> Outcome:
        is_failed = run.verdict is Verdict.FAILED
        now = await mailwizz.server(run.server_id)
        if now is None or run.loaded is None:
            gone = "it was deleted at MailWizz while it was tested"
            return await finish(replace(run, verdict=Verdict.ERROR, failed_step=None, reason=gone), uow)
        why_not = await self._why_not(run, run.loaded, now, mailwizz) if is_failed else "not-asked"
        same = now.fingerprint == run.fingerprint
        what = Consequence(
            loaded=replace(run.loaded, password=now.password if same else None),
            started=run.started,
            verdict=run.verdict or Verdict.ERROR,
            error=run.reason if is_failed else None,
            deactivate=not why_not,
            keep_last_active=self.parts.consequences.keep_last_active,
            promote_to=None if is_failed else self.parts.consequences.promote_to,
        )
        recorded = await mailwizz.record(what)
        return await finish(_recorded(run, recorded, why_not), uow)

    async def _why_not(self, run: ServerRun, loaded: DeliveryServer, now: DeliveryServer, mailwizz: MailWizz) -> str:
        """Why a server that failed is not to be switched off; empty: it is."""
        rules = self.parts.consequences
        if rules.deactivate is not Switch.ON:
            return "dry" if rules.deactivate is Switch.DRY else "off"
        if not loaded.is_sending:
            return "not-sending"
        if now.fingerprint != run.fingerprint:
            return "changed"
        if await mailwizz.failures_in_a_row(run.server_id) + 1 < rules.failures_before:
            return "too-few-failures"
        return ""


def _recorded(run: ServerRun, recorded: Recorded, why_not: str) -> ServerRun:
    """Of a repeat MailWizz tells what the first try has done."""
    is_kept = run.verdict is Verdict.FAILED and not recorded.deactivated
    kept = (why_not or recorded.kept) if is_kept else ""
    return replace(run, deactivated=recorded.deactivated, kept=kept, promotion_error=recorded.promotion_error)


def stands(run: ServerRun, uow: UnitOfWork) -> Outcome:
    """Collect a verdict, with the timer that records it."""
    due = run.stands(uow.present_ms)
    uow.server_tests.save(due)
    uow.schedule(step_timer(due))
    return Done(f"server {run.server_id} is judged: {run.verdict}")


async def finish(run: ServerRun, uow: UnitOfWork) -> Outcome:
    """Collect the end of a run and all that is told of it."""
    over = close(run, uow)
    if over.wish.cycle_id is not None:
        uow.schedule(look_timer(over.wish.cycle_id, uow.present_ms))
    else:
        _tell(over, uow)
        alert = run_alert(over)
        if alert is not None:
            await raise_alert(alert, uow)
    return Done(_end_of(over))


def close(run: ServerRun, uow: UnitOfWork) -> ServerRun:
    """Collect the end of a run, with its claims free."""
    over = replace(run, phase=Phase.ENDED, ended_at_ms=uow.present_ms)
    uow.server_tests.save(over)
    uow.server_tests.free(over.id)
    return over


def step_timer(run: ServerRun) -> Timer:
    """The timer that takes the next stage of a run."""
    return Timer(STEP, run.id, run.due_at_ms, StepServerRun(runId=run.id), run.wish.call_ref)


def look_timer(cycle_id: str, at_ms: int) -> Timer:
    """The timer that looks whether a cycle may go on."""
    return Timer(LOOK, cycle_id, at_ms, LookAtServerCycle(cycleId=cycle_id))


def _told_again(run: ServerRun, uow: UnitOfWork) -> Outcome:
    if run.phase is not Phase.ENDED:
        return Done(f"run {run.id} is {run.phase}")
    _tell(run, uow)
    return Done(f"run {run.id} is over already: {run.verdict}")


def _tell(run: ServerRun, uow: UnitOfWork) -> None:
    payload, identity = run_payload(run), f"server-test-{run.id}"
    result = result_to(run.wish, identity, "server.tested", payload, run.wish.call_ref or uow.call_ref)
    if result is not None:
        uow.publish(result)


def _progress(before: ServerRun, run: ServerRun) -> str:
    if run.stage is before.stage:
        return f"server {run.server_id}: {run.stage} again in {(run.due_at_ms - before.due_at_ms) / 1000:g} s"
    return f"server {run.server_id}: {before.stage} is done"


def _end_of(run: ServerRun) -> str:
    what = "; switched off" if run.deactivated else f"; not switched off: {run.kept}" if run.kept else ""
    return f"server {run.server_id}: {run.verdict}{f', {run.reason}' if run.reason else ''}{what}"
