"""The tests of the demo's delivery servers: read from robotd's database, and shown as sentences, tables and JSON."""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.markup import escape
from rich.table import Table

from daemon.store.database import Database
from domain.server_test import StepId, StepOutcome
from domain.wire import JsonObject
from localstack.demo_ledger import plain_table
from localstack.demo_servers import SENDERS, Tested, TestRun, When

_STYLES = {"PASS": "green", "SUCCESSFUL": "bold green", "WARN": "yellow", "FAIL": "bold red", "FAILED": "bold red"}
_STATUSES = {"active": "green", "inactive": "red"}
_OTHER = "bold magenta"


async def read_runs(database: Database) -> list[TestRun]:
    """Every test there is, in the order in which they began."""
    rows = await database.fetch("SELECT body FROM server_test_run ORDER BY began_at_ms, id")
    return [_run(json.loads(str(row[0]))) for row in rows]


def _run(body: Mapping[str, Any]) -> TestRun:
    return TestRun(
        id=body["id"],
        server_id=body["wish"]["server_id"],
        name=body["loaded"]["name"] if body["loaded"] else "",
        cycle_id=body["wish"]["cycle_id"] or "",
        verdict=body["verdict"] or "",
        steps=[(found["step"], found["outcome"], found["kind"]) for found in body["findings"]],
    )


def news(before: Sequence[TestRun], now: Sequence[TestRun]) -> list[str]:
    """One line of the story for each test that has come further: `north: T0 to T8 PASS`."""
    known = {run.id: set(run.steps) for run in before}
    told = []
    for run in now:
        fresh = [step for step in run.steps if step not in known.get(run.id, set())]
        if fresh:
            told.append(f"{run.name}: {', '.join(_ranges(fresh))}")
    return told


def _ranges(steps: Sequence[tuple[str, str, str]]) -> list[str]:
    ranges = []
    for (outcome, kind), group in groupby(steps, key=lambda step: step[1:]):
        ids = [step[0] for step in group]
        span = ids[0] if len(ids) == 1 else f"{ids[0]} to {ids[-1]}"
        ranges.append(f"{span} {_styled(outcome)}{f' {kind}' if kind else ''}")
    return ranges


def sentences(result: Mapping[str, Any]) -> list[str]:
    """Lines of the story for the result of a cycle."""
    told = result["payload"]
    counts = f"{told['successful']} good, {told['failed']} failed, {told['errors']} not judged"
    lines = [f"tells the office: {told['tested']} servers tested - {counts}, {told['deactivated']} switched off"]
    for reason, group in groupby(told["unjudged"], key=lambda one: one["reason"]):
        lines.append(f"leaves {', '.join(one['name'] for one in group)} as they are: {escape(reason)}")
    for failure in told["failures"]:
        what = "switches off" if failure["deactivated"] else f"leaves on ({failure['kept']})"
        lines.append(f"{what} {failure['name']}: {escape(failure['reason'])}")
    return lines


def steps_table(tested: Tested) -> Table:
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
    table.add_row("verdict", *(_styled(run.verdict) for run in runs))
    for when in When:
        statuses = tested.statuses[when]
        cells = [statuses.get(run.server_id, "") for run in runs]
        table.add_row(f"MailWizz: {when}", *(f"[{_STATUSES.get(cell, _OTHER)}]{cell}[/]" for cell in cells))
    return table


def history_table(tested: Tested) -> Table:
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


def tested_json(tested: Tested) -> JsonObject:
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


def _last_cycle(tested: Tested) -> list[TestRun]:
    return [run for run in tested.runs if run.cycle_id == tested.runs[-1].cycle_id] if tested.runs else []


def _named(step: StepId) -> str:
    word = "TLS" if step is StepId.TLS else step.name.lower().replace("_", " ")
    return f"{step} {word}"


def _cell(run: TestRun, wanted: StepId) -> str:
    for step, outcome, kind in run.steps:
        if step == wanted:
            return _styled(outcome) + (f" {kind}" if kind and outcome != StepOutcome.PASS else "")
    return "[dim]-[/]"


def _styled(word: str) -> str:
    return f"[{_STYLES.get(word, _OTHER)}]{word}[/]"
