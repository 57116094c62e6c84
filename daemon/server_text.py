"""Lists of delivery servers, histories and cycles as a person reads them: from the JSON that programs get, alone."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import tzinfo

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from daemon.campaign_text import span
from daemon.cli_past import local, plain
from daemon.server_step_text import (
    QUIET,
    STAGE_WORDS,
    STYLES,
    at_ms,
    facts_table,
    outcome_text,
    short_became,
    steps_table,
)
from domain.wire import JsonObject

_DUE = {
    "never-tested": "due: never tested",
    "updated": "due: saved since",
    "changed": "due: changed since",
    "too-old": "due: too old",
    "failed": "due: failed, was left on",
}
_STATUSES = {"active": "green", "in-use": "green", "inactive": "red", "disabled": "red"}
_REASON_CHARS = 160  # in a list; a history has all of it
_MOST_UNDER_WAY = 8


def list_table(lines: Sequence[JsonObject], now_ms: int) -> Table:
    """Many servers, two lines each where the terminal is wide enough; why a test failed is in `list_reasons`."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("id", justify="right", no_wrap=True)
    table.add_column("server", overflow="fold", ratio=5)
    table.add_column("status", no_wrap=True)
    table.add_column("last test", overflow="fold", ratio=4)
    table.add_column("next test", overflow="fold", ratio=3)
    for line in lines:
        where = f"{line['hostname']}:{line['port']}" if line["speaksSmtp"] else line["type"]
        table.add_row(
            str(line["serverId"]),
            Text.assemble(plain(line["name"] or "-"), "\n", (plain(where), QUIET)),
            Text(plain(line["status"]), _STATUSES.get(line["status"], "yellow")),
            _last(line["lastTest"], now_ms),
            _next(line),
        )
    return table


def list_summary(lines: Sequence[JsonObject], schedule: JsonObject, now_ms: int) -> str:
    """How many are due, and what happens next."""
    sending = sum(line["isSending"] for line in lines)
    due = sum(bool(line["due"]) and not _is_stuck(line) for line in lines)
    under_test, stuck = sum(bool(line["underTest"]) for line in lines), sum(_is_stuck(line) for line in lines)
    parts = [f"{sending} {_plural('server', sending)} {'sends' if sending == 1 else 'send'}", f"{due} due"]
    parts += [f"{under_test} under test"] if under_test else []
    parts += [f"{stuck} can't be tested"] if stuck else []
    return f"{', '.join(parts)}; {_schedule(schedule, now_ms)}"


def list_reasons(lines: Sequence[JsonObject]) -> Table | None:
    """Why the last tests of some were not good; None where all were."""
    bad = [line for line in lines if line["lastTest"] and line["lastTest"]["reason"] and not _is_stuck(line)]
    if not bad:
        return None
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, justify="right", min_width=2)
    grid.add_column(overflow="fold")
    for line in bad:
        grid.add_row(str(line["serverId"]), Text(_cut(plain(line["lastTest"]["reason"])), QUIET))
    return grid


def list_notes(lines: Sequence[JsonObject]) -> list[str]:
    """Why some can't be tested, each reason once."""
    stuck: dict[str, list[int]] = {}
    for line in lines:
        if _is_stuck(line):
            stuck.setdefault(line["missing"], []).append(line["serverId"])
    return [f"note: {_some(ids)} can't be tested: {plain(missing)}" for missing, ids in stuck.items()]


def _some(ids: Sequence[int]) -> str:
    more = f" and {len(ids) - _MOST_UNDER_WAY} more" if len(ids) > _MOST_UNDER_WAY else ""
    return f"{', '.join(str(one) for one in ids[:_MOST_UNDER_WAY])}{more}"


def _schedule(schedule: JsonObject, now_ms: int) -> str:
    if schedule["runningCycle"]:
        return f"cycle {schedule['runningCycle']} is under way"
    if schedule["nextCycleAt"] is None:
        return "no cycle is planned: robotd servers cycle begins one"
    left_s = (at_ms(schedule["nextCycleAt"]) - now_ms) // 1_000
    return f"the next cycle begins in {span(left_s)}" if left_s > 0 else f"the next cycle was due {span(-left_s)} ago"


def _last(test: JsonObject | None, now_ms: int) -> Text:
    if test is None:
        return Text("never", QUIET)
    verdict = test["verdict"] or "no verdict"
    ago = "" if test["at"] is None else f" {span(max(0, now_ms - at_ms(test['at'])) // 1_000)} ago"
    dry = " (dry run)" if test.get("dryRun") else ""
    what = short_became(test) if test["by"] == "robotd" and not test["dryRun"] else ""
    return Text.assemble((verdict, STYLES.get(verdict, QUIET)), f"{ago}{dry}", (f"\n{what}" if what else "", QUIET))


def _next(line: JsonObject) -> Text:
    if line["underTest"]:
        return Text("under test now", "yellow")
    if _is_stuck(line):
        return Text("can't be tested", "red")
    if line["due"]:
        return Text(_DUE.get(line["due"], str(line["due"])), "yellow")
    return Text("not due" if line["isSending"] else "does not send", QUIET)


def _is_stuck(line: JsonObject) -> bool:
    return bool(line["isSending"] and line["path"] is None)


def _cut(text: str) -> str:
    return text if len(text) <= _REASON_CHARS else f"{text[: _REASON_CHARS - 1]}…"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def history_text(report: JsonObject, zone: tzinfo) -> RenderableType:
    """One server: what MailWizz's history says, and our own runs with their steps."""
    parts: list[RenderableType] = [_server_head(report)]
    parts += [Text(f"note: {plain(note)}", "yellow") for note in report["notes"]]
    parts += [Text(), Text("MailWizz's history, by its own clock", "bold"), _history(report["history"])]
    parts += [Text(), Text("robotd's own runs", "bold")]
    if not report["runs"]:
        parts.append(Text("none", QUIET))
    for run in report["runs"]:
        parts += [*_run(run, zone), Text()]
    return Group(*parts[:-1]) if report["runs"] else Group(*parts)


def _server_head(report: JsonObject) -> RenderableType:
    server = report["server"]
    if server is None:
        return Text(f"server {report['serverId']}", "bold")
    head = Text.assemble(
        (f"server {server['serverId']}, {plain(server['name'] or '-')}: ", "bold"),
        (plain(server["status"]), _STATUSES.get(server["status"], "yellow")),
    )
    encrypted = f", {server['protocol']}" if server["protocol"] else ""
    where = f"{server['type']} at {server['hostname']}:{server['port']}{encrypted}, from {server['fromEmail']}"
    return Group(head, Text(plain(f"{where}; saved {server['lastUpdated']}"), QUIET))


def _history(lines: Sequence[JsonObject]) -> RenderableType:
    if not lines:
        return Text("none", QUIET)
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for line in lines:
        verdict = line["verdict"]
        grid.add_row(line["started"], Text(verdict, STYLES.get(verdict, "")), Text(plain(line["error"] or ""), QUIET))
    return grid


def _run(run: JsonObject, zone: tzinfo) -> list[RenderableType]:
    stage = STAGE_WORDS.get(run["stage"], run["stage"])
    now = [Text(f"under way: it {stage}", "yellow")] if run["phase"] == "RUNNING" else []
    when = Text(f"{local(at_ms(run['beganAt']), zone)}  ")
    return [when.append_text(outcome_text(run)), *now, facts_table(run, run=True), steps_table(run["steps"])]


def cycle_live(report: JsonObject, under_way: Sequence[JsonObject], lines: Sequence[JsonObject]) -> RenderableType:
    """A cycle while it goes on."""
    parts: list[RenderableType] = [_cycle_head(report), _bar(report)]
    if under_way:
        grid = _grid()
        for run in under_way[:_MOST_UNDER_WAY]:
            doing = STAGE_WORDS.get(run["stage"], run["stage"])
            again = f" ({run['tries'] + 1}. try)" if run["tries"] else ""
            trouble = f" (tried again: {_trouble(run)})" if run["troubles"] else ""
            grid.add_row(
                str(run["serverId"]), plain(run["name"] or "-"), Text(plain(f"{doing}{again}{trouble}"), QUIET)
            )
        parts += [Text(), grid]
        more = report["running"] - min(len(under_way), _MOST_UNDER_WAY)
        parts += [Text(f"and {more} more", QUIET)] if more > 0 else []
    bad = [line for line in lines if line["verdict"] in ("FAILED", "ERROR")]
    return Group(*parts, Text(), _bad(bad[-_MOST_UNDER_WAY:], len(bad))) if bad else Group(*parts)


def _trouble(run: JsonObject) -> str:
    return next((step["detail"] for step in reversed(run["steps"]) if step["outcome"] == "ERROR"), "")


def cycle_text(report: JsonObject) -> RenderableType:
    """A cycle that is over."""
    parts: list[RenderableType] = [_cycle_head(report)]
    if report["outage"]:
        parts.append(Text(f"outage: {plain(report['outage'])}; none is switched off", "bold red"))
    for title, name, count in (("failed", "failures", "failed"), ("not judged", "unjudged", "errors")):
        if report[name]:
            lines = [{**one, "verdict": "", "reason": _own_reason(one, report)} for one in report[name]]
            parts += [Text(), Text(title, "bold"), _bad(lines, report[count])]
    return Group(*parts, *_notes(report))


def _own_reason(line: JsonObject, report: JsonObject) -> str:
    """The outage is told once."""
    return "" if line["reason"] and line["reason"] == report["outage"] else str(line["reason"])


def _notes(report: JsonObject) -> Iterator[RenderableType]:
    left_out, busy = report["leftOut"], report["busy"]
    if left_out or busy:
        yield Text()
    if left_out:
        yield Text(f"note: {left_out} can't be tested by any way that is configured: robotd servers list says why")
    if busy:
        yield Text(f"note: {busy} {'was' if busy == 1 else 'were'} under test already")


def cycle_line(report: JsonObject) -> str:
    """The same on one line."""
    outage = f"; outage: {report['outage']}" if report["outage"] else ""
    return plain(f"{_cycle_head(report).plain}{outage}")


def cycle_line_text(line: JsonObject) -> str:
    """A run of a cycle that has come further, on one line."""
    held = "held until all are judged" if line["phase"] == "HELD" else short_became(line)
    said = ": ".join(part for part in (held, line["reason"]) if part)
    return plain(f"{line['serverId']} {line['name']} {line['verdict']}{f', {said}' if said else ''}")


def _cycle_head(report: JsonObject) -> Text:
    state = "over" if report["isOver"] else "under way"
    counts = Counter(
        {name: report[name] for name in ("running", "held", "successful", "failed", "errors", "deactivated")}
    )
    words = {
        "running": ("under way", "yellow"),
        "successful": ("good", "green"),
        "failed": ("failed", "red"),
        "held": ("held", "yellow"),
        "errors": ("not judged", "magenta"),
        "deactivated": ("switched off", "red"),
    }
    servers, tested = report["servers"], report["tested"]
    head = Text().append(f"cycle {state}, {tested} of {servers} sending {_plural('server', servers)}", "bold")
    between = ": "
    for name, (word, style) in words.items():
        if counts[name]:
            head.append(between).append(f"{counts[name]} {word}", style)
            between = ", "
    return head.append(", dry run") if report["dryRun"] else head


def _bar(report: JsonObject) -> ProgressBar:
    total = max(1, report["tested"])
    return ProgressBar(total=total, completed=total - report["running"], complete_style="green", finished_style="green")


def _bad(lines: Sequence[JsonObject], count: int) -> RenderableType:
    grid = _grid()
    for line in lines:
        held = "held" if line.get("phase") == "HELD" else ""
        what = ", ".join(part for part in (line["verdict"] or "", held, short_became(line)) if part)
        style = STYLES.get(line["verdict"], "red" if line["deactivated"] else "yellow")
        said = Text().append(what, style).append(": " if what and line["reason"] else "")
        grid.add_row(str(line["serverId"]), plain(line["name"] or "-"), said.append(plain(line["reason"]), QUIET))
    if count > len(lines):
        grid.add_row("", "", Text(f"and {count - len(lines)} more: --json and robotd servers history have them", QUIET))
    return grid


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, justify="right")
    grid.add_column(overflow="fold", max_width=24)
    grid.add_column(overflow="fold")
    return grid
