"""What is told of tests of delivery servers: results for robots and reply queues, alerts for operators."""

from collections import Counter
from collections.abc import Sequence

from domain.alerts import Alert, Severity
from domain.server_cycle import RunLine, ServerCycle
from domain.server_run import ServerRun
from domain.server_test import Verdict
from domain.wire import JsonObject, iso

_MOST_TOLD = 100
_MOST_NAMED = 15
_TROUBLE_QUIET_S = 3_600
SKIPPED = ("changed", "last-active")
"""Why a server that was to be switched off was not."""


def run_payload(run: ServerRun) -> JsonObject:
    """A test that is over, with the outcome of each step."""
    return {
        "runId": run.id,
        "serverId": run.server_id,
        "name": run.loaded.name if run.loaded else "",
        "path": run.way.value,
        "verdict": None if run.verdict is None else run.verdict.value,
        "reason": run.reason,
        "dryRun": run.wish.dry_run,
        "deactivated": run.deactivated,
        "kept": run.kept,
        "deactivationSkipped": run.kept in SKIPPED,
        "promotionError": run.promotion_error,
        "fingerprint": run.fingerprint,
        "started": run.started,
        "endedAt": None if run.ended_at_ms is None else iso(run.ended_at_ms),
        "steps": [
            {
                "id": finding.step.value,
                "outcome": finding.outcome.value,
                "kind": finding.kind,
                "ms": finding.ms,
                "detail": finding.detail,
            }
            for finding in run.findings
        ],
    }


def cycle_payload(cycle: ServerCycle, lines: Sequence[RunLine]) -> JsonObject:
    """A cycle that is over: counts, and the first hundred that failed and that could not be judged."""
    verdicts = Counter(line.verdict for line in lines)
    return {
        "cycleId": cycle.id,
        "force": cycle.force,
        "dryRun": cycle.dry_run,
        "servers": cycle.looked_at,
        "tested": len(lines),
        "leftOut": cycle.left_out,
        "busy": cycle.busy,
        "successful": verdicts[Verdict.SUCCESSFUL],
        "failed": verdicts[Verdict.FAILED],
        "errors": verdicts[Verdict.ERROR],
        "deactivated": sum(line.deactivated for line in lines),
        "outage": cycle.outage,
        "beganAt": iso(cycle.began_at_ms),
        "endedAt": None if cycle.ended_at_ms is None else iso(cycle.ended_at_ms),
        "failures": [_told(line) for line in lines if line.verdict is Verdict.FAILED][:_MOST_TOLD],
        "unjudged": [_told(line) for line in lines if line.verdict is Verdict.ERROR][:_MOST_TOLD],
    }


def _told(line: RunLine) -> JsonObject:
    return {
        "runId": line.run_id,
        "serverId": line.server_id,
        "name": line.name,
        "reason": line.reason[:200],
        "deactivated": line.deactivated,
        "kept": line.kept,
    }


def run_alert(run: ServerRun) -> Alert | None:
    """What to tell of a single test: one that failed. Of one without a verdict whoever asked for it is told."""
    if run.verdict is not Verdict.FAILED or run.wish.dry_run:
        return None
    name = run.loaded.name if run.loaded else ""
    what = "is switched off" if run.deactivated else f"has failed and was not switched off: {run.kept}"
    return Alert(
        key=f"server-tested {run.id}",
        title=f"Delivery server {run.server_id} {what}",
        text=run.reason,
        severity=Severity.WARNING if run.deactivated else Severity.ERROR,
        fields=(("server", run.server_id), ("name", name)),
    )


def outage_alert(step: str, reason: str) -> Alert:
    """What to tell of servers that fail together in tests that were asked for one by one: once in an hour."""
    return Alert(
        key=f"server-outage {step}",
        title="Delivery servers fail together: none is switched off",
        text=reason,
        severity=Severity.ERROR,
        quiet_s=_TROUBLE_QUIET_S,
    )


def cycle_alert(cycle: ServerCycle, lines: Sequence[RunLine]) -> Alert | None:
    """What to tell of a cycle, in one alert: who failed, or that nobody could be judged; nothing of a good one."""
    failed = [line for line in lines if line.verdict is Verdict.FAILED]
    errors = [line for line in lines if line.verdict is Verdict.ERROR]
    if cycle.dry_run or not (failed or errors):
        return None
    if cycle.outage:
        title, severity = "Delivery servers fail together: none is switched off", Severity.ERROR
    elif failed:
        off = sum(line.deactivated for line in failed)
        title, severity = f"{len(failed)} delivery servers failed, {off} are switched off", Severity.WARNING
    else:
        title, severity = f"{len(errors)} delivery servers could not be tested", Severity.WARNING
    named = [_named(line) for line in (failed or errors)[:_MOST_NAMED]]
    more = len(failed or errors) - len(named)
    text = "\n".join([*([cycle.outage] if cycle.outage else []), *named, *([f"and {more} more"] if more else [])])
    is_trouble = not failed and not cycle.outage
    return Alert(
        key="server-cycle-trouble" if is_trouble else f"server-cycle {cycle.id}",
        title=title,
        text=text,
        severity=severity,
        fields=(("tested", len(lines)), ("failed", len(failed)), ("unjudged", len(errors))),
        quiet_s=_TROUBLE_QUIET_S if is_trouble else 0,
    )


def _named(line: RunLine) -> str:
    what = "off" if line.deactivated else line.kept
    return f"{line.server_id} {line.name}{f' ({what})' if what else ''}: {line.reason[:200]}"
