"""Single tests of delivery servers in words: a line for each step, the verdict, what became of the server."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from daemon.campaign_text import span
from daemon.cli_past import plain
from domain.server_test import StepId
from domain.wire import JsonObject, milliseconds

STYLES = {"PASS": "green", "SUCCESSFUL": "green", "FAIL": "red", "FAILED": "red", "WARN": "yellow", "ERROR": "magenta"}
QUIET = "dim"
_LOUD = ("FAIL", "WARN", "ERROR")
STEP_NAMES = {
    StepId.LOAD: "read the row",
    StepId.STATIC: "check the row",
    StepId.RESOLVE: "find the host",
    StepId.CONNECT: "connect",
    StepId.TLS: "encrypt",
    StepId.AUTH: "sign in",
    StepId.SEND: "send",
    StepId.CAMPAIGN: "campaign",
    StepId.DELIVERY_LOG: "delivery log",
    StepId.ARRIVAL: "arrival",
    StepId.HEADERS: "sender",
    StepId.DKIM: "DKIM",
    StepId.SPF: "SPF",
    StepId.DMARC: "DMARC",
    StepId.RESULTS_HEADER: "results header",
    StepId.ADDRESS: "address",
    StepId.UNSUBSCRIBE: "unsubscribe",
    StepId.INTERACTIONS: "interactions",
    StepId.BOUNCE: "bounce",
    StepId.RECORD: "record",
}
STAGE_WORDS = {
    "load": "reads its row, or waits for its turn",
    "resolve": "looks for its host",
    "deliver": "talks to it",
    "create": "creates a campaign",
    "log": "waits until MailWizz has sent",
    "arrival": "waits for the mail",
    "interact": "waits until MailWizz has counted",
    "bounce": "waits for the bounce",
}
_KEPT = {
    "changed": "it was changed while it was tested: test it again",
    "last-active": "it is the last one of its customers (server_tests.keep_last_active): mend it now",
    "not-asked": "nobody asked for that",
    "off": "server_tests.deactivate is off",
    "dry": "server_tests.deactivate is dry, else it would be",
    "not-sending": "MailWizz does not send through it anyway",
    "too-few-failures": "fewer tests in a row have failed than server_tests.failures_before_deactivate says",
    "not-recorded": "MailWizz could not be told for too long; see the dead letters of the timers",
}
_OFF = "switched off: its status in MailWizz is inactive. Mend it, then validate it there, which makes it active"
_DRY = "a dry run: nothing is written to MailWizz"
_A_SECOND = 1_000


def took(ms: int) -> str:
    """How long a step took; nothing where nobody measured it."""
    if ms <= 0:
        return ""
    if ms < _A_SECOND:
        return f"{ms} ms"
    seconds = ms / _A_SECOND
    return f"{seconds:.1f} s" if seconds < 100 else span(round(seconds))  # noqa: PLR2004  then a tenth says nothing


def step_line(step: JsonObject) -> str:
    """A step on exactly one line, however long."""
    name = STEP_NAMES.get(step["id"], "")
    return f"{step['id']:<4}{step['outcome']:<6}{took(step['ms']):>8}  {name:<15}{_said(step)}".rstrip()


def steps_table(steps: Sequence[JsonObject]) -> Table:
    """The same for a terminal, of any width: what does not fit goes on below itself."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=3, no_wrap=True)
    grid.add_column(width=5, no_wrap=True)
    grid.add_column(width=7, no_wrap=True, justify="right", style=QUIET)
    grid.add_column(overflow="fold")
    for step in steps:
        outcome, said = step["outcome"], _said(step)
        what = Text(STEP_NAMES.get(step["id"], str(step["id"]))).append(": " if said else "")
        what.append(said, "" if outcome in _LOUD else QUIET)
        grid.add_row(step["id"], Text(outcome, STYLES.get(outcome, QUIET)), took(step["ms"]), what)
    return grid


def _said(step: JsonObject) -> str:
    return plain(": ".join(part for part in (step["kind"], step["detail"]) if part))


def verdict_text(report: JsonObject) -> RenderableType:
    """A test that is over."""
    return Group(_head(report), facts_table(report))


def facts_table(report: JsonObject, *, run: bool = False) -> Table:
    """Why its verdict is so, what became of its server, and with `run` its id."""
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(no_wrap=True, style=QUIET)
    facts.add_column(overflow="fold")
    for label, words in (*facts_of(report), *((("run", report["runId"]),) if run else ())):
        facts.add_row(label, Text(plain(words)))
    return facts


def outcome_text(report: JsonObject) -> Text:
    """Its verdict, the way and how long it took."""
    verdict = report["verdict"] or report["phase"]
    words = [_WAYS[report["path"]]] if report["path"] in _WAYS else []
    words += [took(_lasted_ms(report))] if report["endedAt"] else []
    words += ["dry run"] if report["dryRun"] else []
    return Text(verdict, f"bold {STYLES.get(verdict, '')}").append(f"  {', '.join(words)}", "not bold default")


def _head(report: JsonObject) -> Text:
    name = f" {plain(report['name'])}" if report["name"] else ""
    return Text(f"server {report['serverId']}{name}: ", "bold").append_text(outcome_text(report))


def verdict_line(report: JsonObject) -> str:
    """The whole of it on one line, for a log."""
    facts = "; ".join(words for _, words in facts_of(report))
    return plain(f"{_head(report).plain}{f'; {facts}' if facts else ''}")


_WAYS = {"direct": "directly by SMTP", "campaign": "by a campaign"}


def facts_of(report: JsonObject) -> Iterator[tuple[str, str]]:
    """Why it is so, and what became of the server."""
    if report["reason"]:
        yield "why", report["reason"]
    if report["endedAt"] is None:
        return
    yield "server", became(report)
    if report["promotionError"]:
        yield "group", f"it was not added to the customer group: {report['promotionError']}"


def became(report: JsonObject) -> str:
    """What became of the server, in a sentence."""
    kept = report["kept"]
    if report["deactivated"]:
        return _OFF
    if kept == "outage":
        return "left as it was: too many failed alike for it to be this one's fault"
    if report["verdict"] == "ERROR":
        return "left as it was: nobody can say whether it is good; MailWizz's history has no line of it"
    if report["dryRun"]:
        return f"left as it was: {_DRY}"
    if report["verdict"] == "FAILED":
        return f"failed, and not switched off: {_KEPT.get(kept, kept)}"
    return "good; MailWizz's history says so"


def short_became(report: JsonObject) -> str:
    """The same for a table."""
    if report["deactivated"]:
        return "switched off"
    return f"kept: {report['kept']}" if report["kept"] else ""


def _lasted_ms(report: JsonObject) -> int:
    return at_ms(report["endedAt"]) - at_ms(report["beganAt"])


def at_ms(text: str) -> int:
    """A time as reports have it."""
    return milliseconds(datetime.fromisoformat(text))
