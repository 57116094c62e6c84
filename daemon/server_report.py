"""Delivery servers and their tests as JSON objects: what `--json` prints, and what the texts are made of."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone

from daemon.server_view import HistoryLine, ListedServer, ServerLooks, ServerReads
from domain.delivery_server import DeliveryServer
from domain.server_cycle import RunLine, ServerCycle, due_for
from domain.server_run import Phase, ServerRun
from domain.server_test import Verdict
from domain.server_words import cycle_payload, run_payload
from domain.wire import JsonObject, iso, milliseconds

_CHANGED = "changed"


def offset_of(time_zone: str) -> timezone:
    """The zone of an offset such as `+01:00`."""
    hours, minutes = time_zone[1:].split(":")
    away = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-away if time_zone.startswith("-") else away)


async def listed(looks: ServerLooks, reads: ServerReads, *, max_age_s: int, everyone: bool) -> list[ListedServer]:
    """The servers that MailWizz sends through, or with `everyone` all of them, by id. Raises Unavailable."""
    candidates = {one.server.id: one for one in await looks.mailwizz.candidates(max_age_s)}
    due = {one.server.id: one for one in due_for(list(candidates.values()), await reads.fingerprints(), force=False)}
    lines, runs, under_test = await looks.mailwizz.last_lines(), await reads.newest(), await reads.under_test()
    servers = await looks.mailwizz.servers() if everyone else [one.server for one in candidates.values()]
    return [
        ListedServer(
            server=server,
            due="" if server.id not in due else due[server.id].reason or _CHANGED,
            line=lines.get(server.id),
            run=runs.get(server.id),
            run_id=under_test.get(server.id),
            way=way,
            missing=missing,
        )
        for server in sorted(servers, key=lambda server: server.id)
        for way, missing in [looks.way_of(server)]
    ]


def listed_report(one: ListedServer, zone: timezone) -> JsonObject:
    """One server with its last test; `zone` is the one in which MailWizz writes its times."""
    return {
        **server_report(one.server),
        "due": one.due or None,
        "underTest": one.run_id,
        "path": None if one.way is None else one.way.value,
        "missing": one.missing,
        "lastTest": _last(one.line, one.run, zone),
    }


def server_report(server: DeliveryServer) -> JsonObject:
    """A server without its password."""
    return {
        "serverId": server.id,
        "name": server.name,
        "type": server.type,
        "hostname": server.hostname,
        "port": server.port,
        "protocol": server.protocol,
        "fromEmail": server.from_email,
        "status": server.status,
        "isSending": server.is_sending,
        "speaksSmtp": server.speaks_smtp,
        "lastUpdated": server.last_updated,
    }


def _last(line: HistoryLine | None, run: RunLine | None, zone: timezone) -> JsonObject | None:
    """MailWizz's line, unless a run of ours ended later: that knows more of it, and may be one that left no line."""
    began_ms = None if line is None else _started_ms(line.started, zone)
    if run is not None and run.ended_at_ms is not None and (began_ms is None or run.ended_at_ms >= began_ms):
        return {
            "by": "robotd",
            "verdict": None if run.verdict is None else run.verdict.value,
            "at": iso(run.began_at_ms),
            "reason": run.reason,
            "runId": run.run_id,
            "dryRun": run.dry_run,
            "deactivated": run.deactivated,
            "kept": run.kept,
        }
    if line is None:
        return None
    at = None if began_ms is None else iso(began_ms)
    return {"by": "history", "verdict": line.verdict.value, "at": at, "reason": line.error or ""}


def _started_ms(text: str, zone: timezone) -> int | None:
    try:
        read = datetime.fromisoformat(text)
    except ValueError:  # a time such as 0000-00-00, which MySQL keeps for those who ask for it
        return None
    return milliseconds(read.replace(tzinfo=zone).astimezone(UTC))


def line_report(line: HistoryLine) -> JsonObject:
    """A line of MailWizz's history."""
    return {"started": line.started, "verdict": line.verdict.value, "error": line.error}


def run_report(run: ServerRun) -> JsonObject:
    """A run as its robot is told of it, and how far it is."""
    return {
        **run_payload(run),
        "phase": run.phase.value,
        "stage": run.stage.value,
        "beganAt": iso(run.began_at_ms),
        "stageSince": iso(run.stage_since_ms),
        "dueAt": iso(run.due_at_ms),
        "cycleId": run.wish.cycle_id,
        "campaignId": run.campaign_id,
        "looks": run.looks,
        "tries": run.tries,
        "troubles": run.troubles,
        "reloads": run.reloads,
    }


def cycle_report(cycle: ServerCycle, lines: Sequence[RunLine]) -> JsonObject:
    """A cycle as its asker is told of it, and how many of its runs are how far."""
    running = [line for line in lines if line.phase == Phase.RUNNING]
    held = [line for line in lines if line.phase == Phase.HELD]
    return {
        **cycle_payload(cycle, lines),
        "isOver": cycle.ended_at_ms is not None,
        "running": len(running),
        "held": len(held),
        "toRecord": sum(line.phase == Phase.JUDGED for line in lines),
    }


def cycle_line_report(line: RunLine) -> JsonObject:
    """One run of a cycle."""
    return {
        "runId": line.run_id,
        "serverId": line.server_id,
        "name": line.name,
        "phase": line.phase,
        "path": line.way,
        "verdict": None if line.verdict is None else line.verdict.value,
        "reason": line.reason,
        "deactivated": line.deactivated,
        "kept": line.kept,
        "dryRun": line.dry_run,
    }


def is_well(report: JsonObject | Mapping[str, object]) -> bool:
    """Whether a test found its server good, or a cycle all of its servers."""
    if "verdict" in report:
        return report["verdict"] == Verdict.SUCCESSFUL
    return not (report["failed"] or report["errors"] or report["outage"])
