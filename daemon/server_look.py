"""`robotd servers list` and `history`: read from MailWizz and from the database, printed for people or for programs."""

from daemon.cli_past import console, say_json
from daemon.clock import SystemClock
from daemon.opening import open_server_reads
from daemon.server_report import line_report, listed, listed_report, offset_of, run_report, server_report
from daemon.server_text import history_text, list_notes, list_reasons, list_summary, list_table
from daemon.server_view import HistoryLine, ServerReads
from daemon.servers import open_server_looks
from daemon.settings import Settings
from domain.delivery_server import DeliveryServer
from domain.errors import RobotdError, RuleViolation, Unavailable
from domain.wire import JsonObject, iso


async def show_list(settings: Settings, *, everyone: bool, as_json: bool) -> int:
    """Print the servers that MailWizz sends through, or all of them."""
    zone = offset_of(settings.mailwizz.time_zone)
    async with open_server_looks(settings) as looks, open_server_reads(settings) as reads:
        found = await listed(looks, reads, max_age_s=settings.server_tests.max_age_s, everyone=everyone)
        schedule = await _schedule(reads)
    lines = [listed_report(one, zone) for one in found]
    if as_json:
        say_json({"servers": lines, **schedule})
        return 0
    out, now_ms = console(), SystemClock().now_ms()
    if lines:
        out.print(list_table(lines, now_ms))
        reasons = list_reasons(lines)
        for part in ("", *(("why their last tests were not good", reasons, "") if reasons else ())):
            out.print(part)
    else:
        hint = "" if everyone else "; --all shows those through which it does not send"
        out.print(f"MailWizz sends through no delivery server{hint}")
    for note in (*list_notes(lines), list_summary(lines, schedule, now_ms)):
        out.print(note)
    return 0


async def _schedule(reads: ServerReads) -> JsonObject:
    due_ms = await reads.next_cycle_ms()
    return {"runningCycle": await reads.running_cycle(), "nextCycleAt": None if due_ms is None else iso(due_ms)}


async def show_history(settings: Settings, server_id: int, limit: int, *, as_json: bool) -> int:
    """Print what MailWizz's history says of a server, and its last runs. MailWizz may be away, then that is noted."""
    notes: list[str] = []
    server, lines = None, list[HistoryLine]()
    async with open_server_reads(settings) as reads:
        runs = await reads.runs(server_id, limit)
    try:
        server, lines = await _at_mailwizz(settings, server_id, limit)
    except (Unavailable, RuleViolation) as error:
        if not runs:
            raise
        notes.append(f"MailWizz's history is not to be had: {error}")
    else:
        if server is None and not (runs or lines):
            raise RobotdError(f"MailWizz has no delivery server {server_id}, and nobody has tested one")
        notes += [] if server else [f"MailWizz has no delivery server {server_id} any more"]
    report: JsonObject = {
        "serverId": server_id,
        "server": None if server is None else server_report(server),
        "history": [line_report(line) for line in lines],
        "runs": [run_report(run) for run in runs],
        "notes": notes,
    }
    if as_json:
        say_json(report)
    else:
        console().print(history_text(report, offset_of(settings.mailwizz.time_zone)))
    return 0


async def _at_mailwizz(
    settings: Settings, server_id: int, limit: int
) -> tuple[DeliveryServer | None, list[HistoryLine]]:
    async with open_server_looks(settings) as looks:
        return await looks.mailwizz.server(server_id), await looks.mailwizz.history(server_id, limit)
