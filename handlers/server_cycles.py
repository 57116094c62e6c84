"""Cycles: every delivery server that needs a test gets one, and none is switched off before all are judged.

A cycle is a row that holds the name `cycle`, so that there is one at a time over all replicas. Its runs tell it by a
timer when they have come further; what it does next follows from how many are in which phase.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from domain.alerts import raise_alert
from domain.errors import RuleViolation, Unavailable
from domain.messages import reply_id, result_to
from domain.outcome import Done, Outcome
from domain.ports import Timer, UnitOfWork
from domain.server_cycle import RunLine, ServerCycle, due_for
from domain.server_messages import LookAtServerCycle, RequestServerCycle, StartServerCycle
from domain.server_ports import Candidate
from domain.server_rules import outage_of
from domain.server_run import Phase, ServerRun, Way
from domain.server_store import CYCLE
from domain.server_words import cycle_alert, cycle_payload
from handlers.server_parts import ServerParts
from handlers.server_tests import AGAIN_S, close, look_timer, stands, step_timer

START = "server-test.cycle"
_SCHEDULE = "schedule"
_NO_WITNESS = "MailWizz has counted no test since: its cron, or who reads its mails, may have stopped"


@dataclass(frozen=True, slots=True)
class ServerCycleHandlers:
    """The use cases of cycles. `every_ms` 0: none begins by itself."""

    parts: ServerParts
    every_ms: int = 0
    max_age_s: int = 86_400

    async def request(self, command: RequestServerCycle, uow: UnitOfWork) -> Outcome:
        """Begin a cycle now. Refused while one is under way."""
        cycle_id = reply_id(uow.source, uow.id)
        known = await uow.server_tests.cycle(cycle_id)
        if known is not None:
            return await _told_again(known, uow)
        running = await uow.server_tests.holder(CYCLE)
        if running is not None:
            raise RuleViolation(f"a cycle is under way already: {running}", kind="busy")
        cycle = ServerCycle(
            id=cycle_id,
            began_at_ms=uow.now_ms,
            force=command.force,
            dry_run=command.dry_run,
            robot_id=command.robot_id,
            reply_to=command.reply_to,
            call_ref=uow.call_ref,
        )
        return await self._begin(cycle, uow)

    async def start(self, _timer: StartServerCycle, uow: UnitOfWork) -> Outcome:
        """Its time has come, or passed while nobody was there: then it is made up for once."""
        if not self._is_on:
            return Done("cycles are off")
        uow.schedule(_schedule(uow.now_ms + self.every_ms))
        if await uow.server_tests.holder(CYCLE) is not None:
            return Done("a cycle is under way already")
        try:
            return await self._begin(ServerCycle(reply_id(uow.source, uow.id), uow.now_ms), uow)
        except Unavailable as gone:
            gone.after_s = AGAIN_S
            raise

    async def look(self, timer: LookAtServerCycle, uow: UnitOfWork) -> Outcome:
        """See how far the runs are: judge those that failed once none is under way, tell of the end at the end."""
        cycle = await uow.server_tests.cycle(timer.cycle_id)
        if cycle is None or cycle.ended_at_ms is not None:
            return Done("nothing to do")
        phases = await uow.server_tests.phases(cycle.id)
        if phases.get(Phase.RUNNING, 0):
            return Done(f"{phases[Phase.RUNNING]} are under way")
        if phases.get(Phase.HELD, 0):
            return await self._judge(cycle, uow)
        if phases.get(Phase.JUDGED, 0):
            return Done(f"{phases[Phase.JUDGED]} are to be recorded")
        return await self._end(cycle, uow)

    async def tend(self, uow: UnitOfWork) -> int:
        """Give the schedule, the runs and the cycles the timers that they need. Returns how many had lost theirs."""
        due_ms = await uow.server_tests.schedule_due_ms()
        if not self._is_on:
            if due_ms is not None:
                uow.cancel_timer(START, _SCHEDULE)
        elif due_ms is None:
            uow.schedule_new(_schedule(uow.now_ms))
        elif due_ms > uow.now_ms + self.every_ms:
            uow.schedule(_schedule(uow.now_ms + self.every_ms))
        runs, cycles = await uow.server_tests.strays(), await uow.server_tests.stray_cycles()
        for run in runs:
            uow.schedule_new(step_timer(run))
        for cycle_id in cycles:  # most have a run that will ring: to look once more costs little
            uow.schedule_new(look_timer(cycle_id, uow.now_ms))
        return len(runs)

    @property
    def _is_on(self) -> bool:
        return self.every_ms > 0 and self.parts.mailwizz is not None

    async def _begin(self, cycle: ServerCycle, uow: UnitOfWork) -> Outcome:
        candidates = await self.parts.at_mailwizz.candidates(self.max_age_s)
        due = due_for(candidates, await uow.server_tests.fingerprints(), force=cycle.force)
        possible = [one for one in due if self._is_possible(one, cycle)]
        under_test = await uow.server_tests.held_servers()
        free = [one.server.id for one in possible if one.server.id not in under_test]
        counted = replace(
            cycle,
            looked_at=len(candidates),
            servers=len(free),
            left_out=len(due) - len(possible),
            busy=len(possible) - len(free),
        )
        if not free:
            return await _nothing(counted, uow)
        runs = [
            ServerRun.begun(f"{cycle.id}-{place:05d}-{server_id}", counted.wish(server_id), uow.now_ms)
            for place, server_id in enumerate(free)
        ]
        uow.server_tests.add_cycle(counted)
        uow.server_tests.add(runs)
        for run in runs:
            uow.schedule_new(step_timer(run))
        return Done(f"cycle {cycle.id} begins: {len(runs)} of {len(candidates)} servers are tested")

    def _is_possible(self, candidate: Candidate, cycle: ServerCycle) -> bool:
        return self.parts.way_of(candidate.server, Way.AUTO, dry_run=cycle.dry_run)[0] is not None

    async def _judge(self, cycle: ServerCycle, uow: UnitOfWork) -> Outcome:
        """All that failed are judged together: an outage says nothing of any of them."""
        held = await uow.server_tests.held(cycle.id)
        outage = outage_of(await uow.server_tests.judged_in(cycle.id), self.parts.outages)
        if outage is None:
            return await _each_for_itself(cycle, held, uow)
        for run in held:
            close(run.blamed_on(outage.reason), uow)
        uow.server_tests.save_cycle(cycle.with_outage(outage.reason))
        uow.schedule(look_timer(cycle.id, uow.now_ms))
        return Done(outage.reason)

    async def _end(self, cycle: ServerCycle, uow: UnitOfWork) -> Outcome:
        over = replace(cycle, ended_at_ms=uow.now_ms)
        uow.server_tests.save_cycle(over)
        uow.server_tests.free(cycle.id)
        return await _tell(over, await uow.server_tests.lines(cycle.id), uow)


async def _each_for_itself(cycle: ServerCycle, held: Sequence[ServerRun], uow: UnitOfWork) -> Outcome:
    """What MailWizz has not counted is the server's fault only if it has counted a later test's."""
    unseen = 0
    for run in held:
        if run.needs_a_witness and not await uow.server_tests.was_counted(run.stage_since_ms):
            close(run.blamed_on(_NO_WITNESS), uow)
            unseen += 1
        else:
            stands(run, uow)
    uow.schedule(look_timer(cycle.id, uow.now_ms))
    return Done(f"{len(held) - unseen} servers failed, each for itself; {unseen} can't be judged")


async def _nothing(cycle: ServerCycle, uow: UnitOfWork) -> Outcome:
    """No server needs a test, or none can be tested: the cycle is over."""
    over = replace(cycle, ended_at_ms=uow.now_ms)
    uow.server_tests.add_cycle(over)
    return await _tell(over, [], uow)


async def _tell(cycle: ServerCycle, lines: Sequence[RunLine], uow: UnitOfWork) -> Outcome:
    payload = cycle_payload(cycle, lines)
    result = result_to(cycle, f"server-cycle-{cycle.id}", "server.cycle-tested", payload, cycle.call_ref)
    if result is not None:
        uow.publish(result)
    alert = cycle_alert(cycle, lines)
    if alert is not None:
        await raise_alert(alert, uow)
    counts = ", ".join(
        f"{payload[name]} {name}" for name in ("tested", "successful", "failed", "errors", "deactivated")
    )
    return Done(f"cycle {cycle.id}: {counts}{f'; {cycle.outage}' if cycle.outage else ''}")


async def _told_again(cycle: ServerCycle, uow: UnitOfWork) -> Outcome:
    if cycle.ended_at_ms is None:
        return Done(f"cycle {cycle.id} is under way")
    return await _tell(cycle, await uow.server_tests.lines(cycle.id), uow)


def _schedule(at_ms: int) -> Timer:
    return Timer(START, _SCHEDULE, at_ms, StartServerCycle())
