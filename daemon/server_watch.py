"""Following a test or a cycle in the database until it is over: in place on a terminal, line by line elsewhere."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from rich.console import Console
from rich.live import Live
from rich.text import Text

from daemon.cli_past import console, plain, warn
from daemon.server_report import cycle_line_report, cycle_report, is_well, run_report
from daemon.server_step_text import STAGE_WORDS, step_line, steps_table, verdict_line, verdict_text
from daemon.server_text import cycle_line, cycle_line_text, cycle_live, cycle_text
from daemon.server_view import ServerReads
from domain.errors import RobotdError, Unavailable
from domain.server_run import Phase
from domain.wire import JsonObject

_EVERY_S = 0.3
_SHARE = 10  # a look that takes long is taken less often: the database has better things to do
_UNDER_WAY = 20
T = TypeVar("T")


class Steps:
    """Which steps of a run are news: a step that only took another time is none, one that is tried again is."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[object, ...]] = {}
        self._reloads = 0

    def new(self, report: JsonObject) -> list[JsonObject]:
        """Those that have not been shown as they are now."""
        if report["reloads"] != self._reloads:
            self._shown, self._reloads = {}, report["reloads"]
        news = []
        for step in report["steps"]:
            is_bad = step["outcome"] in ("FAIL", "ERROR")
            again = (report["tries"], report["troubles"]) if is_bad and report["phase"] == "RUNNING" else ()
            said = (step["outcome"], step["kind"], step["detail"])
            known = self._shown.get(step["id"], ())
            if known[: len(said)] != said or (again and known[len(said) :] != again):
                news.append(step)
            self._shown[step["id"]] = (*said, *again)
        return news


async def watch_run(reads: ServerReads, run_id: str, *, as_json: bool) -> int:
    """Print a line for each step as it comes, then the verdict and what became of the server. The exit code."""
    out, steps = console(), Steps()
    report: JsonObject = {}
    with _waiting(out, as_json=as_json) as live:
        async for report in _looks(lambda: _run(reads, run_id), _is_ended):
            news = steps.new(report)
            if news:
                _say_steps(out, report, news, as_json=as_json)
            if live is not None:
                live.update(_doing(report), refresh=True)
    if as_json:
        _say(report)
    elif out.is_terminal:
        out.print(verdict_text(report))
    else:
        sys.stdout.write(f"{verdict_line(report)}\n")
    return 0 if is_well(report) else 1


async def watch_cycle(reads: ServerReads, cycle_id: str, *, as_json: bool) -> int:
    """Show how a cycle goes on, then its counts, who failed and why, who was switched off. The exit code."""
    out, told = console(), dict[str, tuple[object, ...]]()
    report: JsonObject = {}
    with _waiting(out, as_json=as_json) as live:
        async for report, under_way, lines in _looks(lambda: _cycle(reads, cycle_id), lambda look: look[0]["isOver"]):
            if live is not None:
                live.update(Text() if report["isOver"] else cycle_live(report, under_way, lines), refresh=True)
            else:
                _say_lines(lines, told, as_json=as_json)
    if as_json:
        _say(report)
    elif out.is_terminal:
        out.print(cycle_text(report))
    else:
        sys.stdout.write(f"{cycle_line(report)}\n")
    return 0 if is_well(report) else 1


def _waiting(out: Console, *, as_json: bool) -> AbstractContextManager[Live | None]:
    """The part of a terminal that is written anew; None where there is no terminal."""
    if not out.is_terminal or out.is_dumb_terminal or as_json:
        return nullcontext()
    return Live(Text(), console=out, auto_refresh=False, transient=True, vertical_overflow="ellipsis")


async def _looks(look: Callable[[], Awaitable[T]], is_over: Callable[[T], bool]) -> AsyncIterator[T]:
    """One look after the other until it is over. A database that is away is told of once, and waited for."""
    loop, seen, is_away = asyncio.get_running_loop(), False, False
    while True:
        began_s = loop.time()
        try:
            found = await look()
        except Unavailable as error:
            if not seen:
                raise
            if not is_away:
                warn(f"{error}; trying again, the test goes on without us")
            is_away = True
        else:
            seen, is_away = True, False
            yield found
            if is_over(found):
                return
        await asyncio.sleep(max(_EVERY_S, _SHARE * (loop.time() - began_s)))


async def _run(reads: ServerReads, run_id: str) -> JsonObject:
    run = await reads.run(run_id)
    if run is None:
        raise RobotdError(f"the database has no run {run_id} any more")
    return run_report(run)


async def _cycle(reads: ServerReads, cycle_id: str) -> tuple[JsonObject, list[JsonObject], list[JsonObject]]:
    lines, cycle = await reads.lines(cycle_id), await reads.cycle(cycle_id)
    if cycle is None:
        raise RobotdError(f"the database has no cycle {cycle_id} any more")
    under_way = [run_report(run) for run in await reads.under_way(cycle_id, _UNDER_WAY)]
    return cycle_report(cycle, lines), under_way, [cycle_line_report(line) for line in lines]


def _is_ended(report: JsonObject) -> bool:
    return str(report["phase"]) == Phase.ENDED


def _say_steps(out: Console, report: JsonObject, news: Sequence[JsonObject], *, as_json: bool) -> None:
    if as_json:
        for step in news:
            _say({"runId": report["runId"], "serverId": report["serverId"], "step": step})
    elif out.is_terminal:
        out.print(steps_table(news))
    else:
        sys.stdout.write("".join(f"{step_line(step)}\n" for step in news))
        sys.stdout.flush()


def _say_lines(lines: Sequence[JsonObject], told: dict[str, tuple[object, ...]], *, as_json: bool) -> None:
    """Each run when it is judged, and again when something has become of its server."""
    for line in lines:
        state = (line["verdict"], line["phase"] == "HELD", line["deactivated"], line["kept"])
        if line["verdict"] is None or line["phase"] == "JUDGED" or told.get(line["runId"]) == state:
            continue
        told[line["runId"]] = state
        if as_json:
            _say(line)
        else:
            sys.stdout.write(f"{cycle_line_text(line)}\n")
            sys.stdout.flush()


def _doing(report: JsonObject) -> Text:
    """What a run is at, or nothing once it is over."""
    if _is_ended(report):
        return Text()
    if report["phase"] != "RUNNING":
        return Text("its verdict is recorded at MailWizz", "dim")
    return Text(plain(f"it {STAGE_WORDS.get(report['stage'], report['stage'])} …"), "dim")


def _say(content: JsonObject) -> None:
    sys.stdout.write(f"{json.dumps(content)}\n")
    sys.stdout.flush()
