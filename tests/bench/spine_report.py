"""What the bench found, as a table for the terminal, as JSON, and as a page of the documentation."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from statistics import median


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one scenario."""

    messages: int
    wall_s: float
    cpu_s: float
    rss_mb: float
    peak_rss_mb: float
    published: int
    idle_percent: float | None = None
    troubles: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """Medians over the runs of one scenario. `cpu_ratio` is to the bare loop of the same run of the bench."""

    what: str
    messages: int
    messages_per_s: float
    cpu_ms: float
    rate_ratio: float
    cpu_ratio: float
    cpu_ms_spread: tuple[float, float]
    rss_mb: float
    peak_rss_mb: float
    published_per_message: float
    idle_percent: float | None


def lines(runs: Mapping[str, Sequence[Run]]) -> list[Line]:
    """One line each; the first scenario is the one that the others are compared with."""
    first = next(iter(runs.values()))
    return [_line(what, of_one, first) for what, of_one in runs.items()]


def _line(what: str, runs: Sequence[Run], bare: Sequence[Run]) -> Line:
    costs = [_cpu_ms(run) for run in runs]
    idle = [run.idle_percent for run in runs if run.idle_percent is not None]
    return Line(
        what=what,
        messages=runs[0].messages,
        messages_per_s=median(map(_rate, runs)),
        cpu_ms=median(costs),
        rate_ratio=median(map(_rate, runs)) / median(map(_rate, bare)),
        cpu_ratio=median(costs) / median(map(_cpu_ms, bare)),
        cpu_ms_spread=(min(costs), max(costs)),
        rss_mb=median(run.rss_mb for run in runs),
        peak_rss_mb=median(run.peak_rss_mb for run in runs),
        published_per_message=median(run.published / run.messages for run in runs),
        idle_percent=idle[0] if idle else None,
    )


def _rate(run: Run) -> float:
    return run.messages / run.wall_s


def _cpu_ms(run: Run) -> float:
    return run.cpu_s / run.messages * 1000


def machine() -> str:
    """What matters of the machine, without its name."""
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"


HEAD = ("", "messages", "messages/s", "x bare", "CPU ms/message", "(min to max)", "x bare", "results", "peak MB")


def cells(line: Line) -> tuple[str, ...]:
    low, high = line.cpu_ms_spread
    return (
        line.what,
        f"{line.messages:,}",
        f"{line.messages_per_s:,.0f}",
        f"{line.rate_ratio:.2f}",
        f"{line.cpu_ms:.3f}",
        f"{low:.3f} to {high:.3f}",
        f"{line.cpu_ratio:.2f}",
        f"{line.published_per_message:.2f}",
        f"{line.peak_rss_mb:.0f}",
    )


def table(found: Sequence[Line]) -> str:
    """For the terminal."""
    rows = [HEAD, *map(cells, found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    )


def idle(found: Sequence[Line]) -> str:
    """Of the whole daemon, after its run."""
    return "; ".join(
        f"idle after {line.what}: {line.idle_percent:.2f} % of a core, {line.rss_mb:.0f} MB"
        for line in found
        if line.idle_percent is not None
    )


def as_json(found: Sequence[Line], runs: Mapping[str, Sequence[Run]]) -> dict[str, object]:
    """Everything, with the single runs."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "medians": [asdict(line) for line in found],
        "runs": {what: [asdict(run) for run in of_one] for what, of_one in runs.items()},
    }


PAGE = """# Benchmarks

This page is written by the benches themselves: `.venv/bin/python -m tests.bench.spine --markdown docs/benchmarks.md`,
its second part by `tests.bench.campaigns` and its third by `tests.bench.server_tests`. `make bench` prints the same
tables (and the cost of single transactions and expressions); `--quick` does it with few messages, `--json FILE` keeps
every single run, `--profile FOLDER` writes a cProfile file for each scenario.

## What is measured

One queue server (`python -m localstack.sqs`, without its ledger) in a process of its own. For each run a queue is
filled, then one consumer starts in a process of its own, connects, makes its first calls on another queue, and
begins. It is done when the server holds no message of the queue any more and the consumer has nothing left to do.
CPU is user and system time of the consumer's process between those two moments, all its threads; its start, the queue
server and MariaDB are not in it. The scenarios take turns, and every figure is the median of {repeats} run(s).

| | what it does for each message |
| --- | --- |
{explained}

`x bare` compares with the bare loop of the same run of the bench: single figures depend on the machine and on what
else it does, ratios much less. `results` is what was published for each message; every consumer
has the same imports, so `peak MB` of the bare loop says little. SQLite's file lies in a folder for
temporary files and each commit is synced there; MariaDB's lies in shared memory where there is any, so the
rates of the two must not be compared with each other, their CPU may be.

## The last run

{at}, {machine}, load average of the machine {load} before the run.

{table}

{idle}{left_out}
"""


def page(found: Sequence[Line], explained: Mapping[str, str], *, repeats: int, load: float, left_out: str) -> str:
    """The documentation page."""
    head = "| " + " | ".join(HEAD) + " |\n|" + " --- |" * len(HEAD)
    body = "\n".join("| " + " | ".join(cells(line)) + " |" for line in found)
    said = idle(found)
    return PAGE.format(
        repeats=repeats,
        explained="\n".join(f"| {what} | {text} |" for what, text in explained.items()),
        at=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=machine(),
        load=f"{load:.1f}",
        table=f"{head}\n{body}",
        idle=f"{said[:1].upper()}{said[1:]} (two queues long-polled, timers and outbox looked at)." if said else "",
        left_out=f"\n\n{left_out}" if left_out else "",
    )
