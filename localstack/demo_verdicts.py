"""The tests of the demo's delivery servers: read from robotd's database, and shown as sentences, tables and JSON."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.markup import escape
from rich.table import Table

from daemon.store.database import Database
from domain.server_test import StepId, StepOutcome
from domain.wire import JsonObject
from localstack.demo_ledger import plain_table
from localstack.demo_servers import CANARY, SENDERS, FleetPlayed, RunSeen, When
from localstack.mail_record import Seen

_STYLES = {"PASS": "green", "SUCCESSFUL": "bold green", "WARN": "yellow", "FAIL": "bold red", "FAILED": "bold red"}
_STATUSES = {"active": "green", "inactive": "red"}
_OTHER = "bold magenta"
_WHEN = {When.BEFORE: "status before", When.OUTAGE: "mailbox down", When.AFTER: "status after"}


async def read_runs(database: Database) -> list[RunSeen]:
    """Every test there is, in the order in which they began."""
    rows = await database.fetch("SELECT body FROM server_test_run ORDER BY began_at_ms, id")
    return [_run(json.loads(str(row[0]))) for row in rows]


def _run(body: Mapping[str, Any]) -> RunSeen:
    return RunSeen(
        id=body["id"],
        server_id=body["wish"]["server_id"],
        name=body["loaded"]["name"] if body["loaded"] else f"server {body['wish']['server_id']}",
        cycle_id=body["wish"]["cycle_id"] or "",
        verdict=body["verdict"] or "",
        steps=[(found["step"], found["outcome"], found["kind"]) for found in body["findings"]],
    )


def news(before: Sequence[RunSeen], now: Sequence[RunSeen]) -> list[str]:
    """Lines of the story for tests that have come further, alike ones together: `north, east: T0 to T6 PASS`."""
    known = {run.id: set(run.steps) for run in before}
    alike: dict[str, list[str]] = {}
    for run in now:
        fresh = [step for step in run.steps if step not in known.get(run.id, set())]
        if fresh:
            alike.setdefault(", ".join(_ranges(fresh)), []).append(run.name)
    return [f"{', '.join(names)}: {came}" for came, names in alike.items()]


def _ranges(steps: Sequence[tuple[str, str, str]]) -> list[str]:
    ranges = []
    for outcome, group in groupby(steps, key=lambda step: step[1]):
        ids = [StepId(step) for step, _, _ in group]
        span = _named(ids[0]) if len(ids) == 1 else f"{ids[0]} to {ids[-1]}"
        ranges.append(f"{span} {_styled(outcome)}")
    return ranges


def sentences(result: Mapping[str, Any]) -> list[str]:
    """Lines of the story for the result of a cycle."""
    told = result["payload"]
    counts = {"good": told["successful"], "failed": told["failed"], "not judged": told["errors"]}
    said = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    lines = [f"tells the office: {said or 'none tested'}, {told['deactivated']} switched off"]
    for reason, group in groupby(told["unjudged"], key=lambda one: one["reason"]):
        names = ", ".join(one["name"] for one in group)
        lines.append(f"leaves {names} on: {escape(reason.partition(': [Errno')[0])}")
    for failure in told["failures"]:
        what = "switches off" if failure["deactivated"] else "leaves on"
        lines.append(f"{what} {failure['name']}: {escape(failure['reason'])}")
    return lines


def steps_table(tested: FleetPlayed) -> Table:
    """Each step of the last cycle, a column for each server, with its verdict and what MailWizz says of it."""
    runs = _last_cycle(tested)
    table = plain_table()
    table.add_column("step")
    for run in runs:
        table.add_column(run.name)
    reached = {step for run in runs for step, _, _ in run.steps}
    for step in StepId:
        if step in reached:
            table.add_row(_named(step), *(_cell(run, step) for run in runs))
    table.add_row()
    table.add_row("verdict", *(_styled(run.verdict) for run in runs))
    for when in When:
        statuses = tested.statuses[when]
        cells = [statuses.get(run.server_id, "") for run in runs]
        table.add_row(_WHEN[when], *(f"[{_STATUSES.get(cell, _OTHER)}]{cell}[/]" for cell in cells))
    return table


def history_table(tested: FleetPlayed) -> Table:
    """MailWizz's own lines, those from before the day included."""
    table = plain_table()
    for title in ("server", "test", "status", "error message"):
        table.add_column(title)
    for sender in SENDERS:
        rows = [row for row in tested.history if row.server_id == sender.id]
        for place, row in enumerate(rows):
            when = "now" if place else "a day ago"
            table.add_row(sender.name, when, _styled(row.verdict), escape(row.error))
    return table


def mail_tally(tested: FleetPlayed) -> str:
    """What the mail host itself has on record."""
    kinds = Counter(line.what for line in tested.seen if line.server != CANARY)
    mails = f"{kinds[Seen.TAKEN]} mails, {kinds[Seen.DELIVERED]} delivered, {kinds[Seen.LOST]} lost"
    return f"The mail host's own record: {mails}; logins refused: {kinds[Seen.AUTH_REFUSED]}."


def tested_json(tested: FleetPlayed) -> JsonObject:
    """The same for programs."""
    names = {sender.id: sender.name for sender in SENDERS}
    return {
        "statuses": {
            when.value: {names[server_id]: status for server_id, status in statuses.items()}
            for when, statuses in tested.statuses.items()
        },
        "history": [
            {"server": names.get(row.server_id), "status": row.verdict, "error": row.error} for row in tested.history
        ],
        "tests": [
            {"server": run.name, "verdict": run.verdict, "steps": {step: outcome for step, outcome, _ in run.steps}}
            for run in tested.runs
        ],
    }


def _last_cycle(tested: FleetPlayed) -> list[RunSeen]:
    return [run for run in tested.runs if run.cycle_id == tested.runs[-1].cycle_id] if tested.runs else []


def _named(step: StepId) -> str:
    word = "TLS" if step is StepId.TLS else step.name.lower().replace("_", " ")
    return f"{step} {word}"


def _cell(run: RunSeen, wanted: StepId) -> str:
    for step, outcome, kind in run.steps:
        if step == wanted:
            return _styled(outcome) + (f" {kind}" if kind and outcome != StepOutcome.PASS else "")
    return "[dim]-[/]"


def _styled(word: str) -> str:
    return f"[{_STYLES.get(word, _OTHER)}]{word}[/]"
