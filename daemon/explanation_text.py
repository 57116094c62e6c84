"""An explanation as a person reads it in a terminal: the check, its history, and each decision with its reasons."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any  # explanations are JSON, partly from the database
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table
from rich.text import Text

from daemon.cli_past import STYLES, colored, console, local, plain
from domain.wire import JsonObject, milliseconds

MAX_LINES = 50  # of a history; --json has them all


def print_explanation(content: JsonObject, zone: ZoneInfo) -> None:
    """Print to stdout. Times are those of `zone`."""
    out = console()
    _print_head(out, content, zone)
    _print_history(out, content["history"], zone)
    for number, trace in enumerate(content["decisions"], 1):
        _print_trace(out, f"decision {number}", trace, zone)
    if content["now"] is not None:
        _print_trace(out, "if it were asked now", content["now"], zone)
    for note in content["notes"]:
        out.print(_text(f"\nnote: {note}"))


def _print_head(out: Console, content: JsonObject, zone: ZoneInfo) -> None:
    check, template = content["check"], content["template"]
    name = "a rehearsed check" if check["id"] is None else f"status check {check['id']}"
    out.print(Text.assemble((f"{name}: ", "bold"), colored(_line(check["result"])), f", {_line(check['phase'])}"))
    grid = _grid(2)
    for label, words in _facts(check, template, zone):
        grid.add_row(Text(label, "dim"), _text(words))
    out.print(grid)


def _facts(check: JsonObject, template: JsonObject, zone: ZoneInfo) -> Iterator[tuple[str, str]]:
    yield "template", f"{template['name']} version {template['version']}"
    yield "content hash", str(template["contentHash"] or "not known")
    if check["id"] is not None:
        yield "robot", str(check["robotId"])
        yield "step", f"{check['stepId']}, scheduled {check['scheduledId']}, script version {check['scriptVersionId']}"
        yield "next step", _next_step(check)
        yield "planned at", _local(check["plannedAt"], zone)
    yield "started at", _local(check["startedAt"], zone)
    yield "looks back", _since(check["window"], zone)
    until = check["window"]["until"]
    yield "listens", "not at all" if until is None else f"until {_local(until, zone)}"
    yield "last change", _local(check["updatedAt"], zone)
    yield "times of", zone.key


def _next_step(check: JsonObject) -> str:
    step = "none" if check["nextStepId"] is None else str(check["nextStepId"])
    if check["result"] == "UNKNOWN" and not check["nextStepResolved"]:
        return f"{step}, the way of FAIL: the step has no branch for UNKNOWN"
    return step


def _since(window: JsonObject, zone: ZoneInfo) -> str:
    if not window["looksBack"]:
        return "not at all"
    return "to the beginning" if window["since"] is None else f"to {_local(window['since'], zone)}"


def _print_history(out: Console, history: Sequence[JsonObject], zone: ZoneInfo) -> None:
    if not history:
        out.print(_text("\nno events"))
        return
    out.print()
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for title, justify in (("#", "right"), ("event of", "left"), ("event", "left"), ("level", "right")):
        table.add_column(title, justify="right" if justify == "right" else "left", overflow="fold")
    table.add_column("phase", overflow="fold")
    table.add_column("said", overflow="fold")
    for line in history[-MAX_LINES:]:
        level = "" if line["level"] is None else str(line["level"])
        cells = (str(line["order"]), _local(line["createdAt"], zone), line["eventName"], level, line["phase"])
        table.add_row(*(_text(str(cell)) for cell in cells), colored(_line(line["result"])))
    out.print(table)
    if len(history) > MAX_LINES:
        out.print(_text(f"{len(history) - MAX_LINES} earlier events are not shown: --json has them"))


def _print_trace(out: Console, title: str, trace: JsonObject, zone: ZoneInfo) -> None:
    head = Text.assemble(
        "\n", (f"{title}: ", "bold"), colored(_line(trace["result"])), f" at {_local(trace['at'], zone)}"
    )
    out.print(head)
    if trace.get("decidedBy"):
        out.print(_text(f"by {trace['decidedBy']}{_earlier(trace)}"))
    if "resource" not in trace:
        return
    left_out = f", {trace['eventsLeftOut']} of them too old to look at" if trace["eventsLeftOut"] else ""
    ended = ", the window has ended" if trace["windowEnded"] else ""
    out.print(_text(f"asked {trace['resource']}, {_events(trace['events'])} known{left_out}{ended}"))
    grid = _grid(3)
    for expression in trace["expressions"]:
        _add_expression(grid, expression)
    out.print(grid)


def _earlier(trace: JsonObject) -> str:
    """An expression that decided before, and of which nothing is left to be seen in what was asked last."""
    by_expression = str(trace["decidedBy"]).partition(".")[0] in ("pastEvents", "futureEvents")
    decides = any(one["decides"] for one in trace.get("expressions", ()))
    return ", at an earlier question" if by_expression and "expressions" in trace and not decides else ""


def _add_expression(grid: Table, expression: Mapping[str, Any]) -> None:
    decides, value = expression["decides"], expression["value"]
    outcome = _line(expression["outcome"])
    style = f"bold {STYLES.get(outcome, '')}".strip() if decides else ""
    shown = "no answer" if value is None else _value(value)
    shown = f"{shown}, decides" if decides else shown
    grid.add_row(Text(outcome, style), Text(shown, style), _text(str(expression["text"])))
    if expression["problem"]:
        grid.add_row("", "", Text(_line(expression["problem"]), "red"))
    for part in expression["parts"]:
        said = part.get("problem") or _value(part["value"])
        grid.add_row("", "", _text(f"  {part['text']} = {said}", "dim"))


def _events(number: int) -> str:
    return f"{number} event" if number == 1 else f"{number} events"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.7g}" if isinstance(value, float) else str(value)


def _grid(columns: int) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for number in range(columns):
        grid.add_column(no_wrap=number < columns - 1, overflow="fold")
    return grid


def _local(text: str, zone: ZoneInfo) -> str:
    return local(milliseconds(datetime.fromisoformat(text)), zone)


def _text(words: str, style: str = "") -> Text:
    return Text("\n".join(plain(line) for line in words.split("\n")), style)


def _line(words: object) -> str:
    return plain(str(words))
