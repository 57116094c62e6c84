"""What the bench of campaigns found, as a table for the terminal, as JSON, and as half a page of the documentation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from statistics import median

from tests.bench.spine_report import machine

__all__ = ["BARE", "Line", "Part", "Run", "as_json", "lines", "machine", "section", "table"]

BARE = "httpx, two calls"


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a run."""

    contacts: int
    wall_s: float
    cpu_s: float
    rss_mb: float
    statements: int
    commits: int


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one scenario. `start_s` is from the command to the first message."""

    contacts: int
    parts: Sequence[Part]
    peak_rss_mb: float
    waha_cpu_ms: float
    start_s: float | None = None
    start_mb: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """Medians over the parts of all runs of one scenario. The ratios are to the bare loop of the same run."""

    what: str
    contacts: int
    sends_per_s: float
    sends_spread: tuple[float, float]
    rate_ratio: float
    cpu_ms: float
    cpu_ratio: float
    statements: float
    commits: float
    peak_rss_mb: float
    grown_mb: float
    waha_cpu_ms: float
    start_s: float | None
    start_mb: float | None


def lines(runs: Mapping[str, Sequence[Run]]) -> list[Line]:
    """One line for each scenario."""
    return [_line(what, of_one, runs[BARE]) for what, of_one in runs.items()]


def _line(what: str, runs: Sequence[Run], bare: Sequence[Run]) -> Line:
    rates = [_rate(part) for run in runs for part in run.parts]
    started = [run for run in runs if run.start_s is not None and run.start_mb is not None]
    return Line(
        what=what,
        contacts=sum(run.contacts for run in runs),
        sends_per_s=median(rates),
        sends_spread=(min(rates), max(rates)),
        rate_ratio=median(rates) / _of(bare, _rate),
        cpu_ms=_of(runs, _cpu_ms),
        cpu_ratio=_of(runs, _cpu_ms) / _of(bare, _cpu_ms),
        statements=_of(runs, lambda part: part.statements / part.contacts),
        commits=_of(runs, lambda part: part.commits / part.contacts),
        peak_rss_mb=median(run.peak_rss_mb for run in runs),
        grown_mb=median(run.parts[-1].rss_mb - run.parts[0].rss_mb for run in runs),
        waha_cpu_ms=median(run.waha_cpu_ms for run in runs),
        start_s=median(run.start_s or 0.0 for run in started) if started else None,
        start_mb=median(run.start_mb or 0.0 for run in started) if started else None,
    )


def _of(runs: Sequence[Run], figure: Callable[[Part], float]) -> float:
    return median(figure(part) for run in runs for part in run.parts)


def _rate(part: Part) -> float:
    return part.contacts / part.wall_s


def _cpu_ms(part: Part) -> float:
    return part.cpu_s / part.contacts * 1000


HEAD = (
    "",
    "sent",
    "sends/s",
    "(min to max)",
    "x bare",
    "CPU ms/contact",
    "x bare",
    "statements",
    "commits",
    "peak MB",
    "grown MB",
)


def cells(line: Line) -> tuple[str, ...]:
    is_daemon = line.start_s is not None
    low, high = line.sends_spread
    return (
        line.what,
        f"{line.contacts:,}",
        f"{line.sends_per_s:,.0f}",
        f"{low:,.0f} to {high:,.0f}",
        f"{line.rate_ratio:.2f}",
        f"{line.cpu_ms:.3f}",
        f"{line.cpu_ratio:.2f}",
        f"{line.statements:.1f}" if is_daemon else "",
        f"{line.commits:.1f}" if is_daemon else "",
        f"{line.peak_rss_mb:.0f}",
        f"{line.grown_mb:.1f}" if is_daemon else "",
    )


def starts(found: Sequence[Line]) -> str:
    """How long the campaigns took to begin."""
    told = [
        f"{line.start_s:.1f} s and {line.start_mb:.0f} MB on {line.what.rpartition(' ')[2]}"
        for line in found
        if line.start_s is not None and line.start_mb is not None
    ]
    return f"From the command to the first message: {', '.join(told)}." if told else ""


def simulator(found: Sequence[Line]) -> str:
    """What the other side used."""
    told = (f"{line.waha_cpu_ms:.2f} ms for {line.what}" for line in found)
    return f"CPU of the simulator for each contact: {', '.join(told)}."


def table(found: Sequence[Line]) -> str:
    """For the terminal."""
    rows = [HEAD, *map(cells, found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    told = [
        "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    return "\n".join([*told, *filter(None, (starts(found), simulator(found)))])


def as_json(found: Sequence[Line], runs: Mapping[str, Sequence[Run]]) -> dict[str, object]:
    """Everything, with the single parts."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "medians": [asdict(line) for line in found],
        "runs": {what: [asdict(run) for run in of_one] for what, of_one in runs.items()},
    }


SECTION = """One campaign for {contacts} contacts whose number has no gap and no cap, in the daemon of `robotd run`
in a process of its own, against the WAHA simulator in another. The list stands in the database; the command
`campaign.create` freezes it into recipients and begins. From the first message on the campaign is watched until
everybody has one, or for a bounded time (`--seconds`), in up to twenty parts; each figure is the median of all parts,
so `(min to max)` also shows whether it gets slower on its way. Before each campaign and after the last, the bare loops
send to {bare} contacts each, one after the other, against a simulator of their own.

| | what it does for each contact |
| --- | --- |
{explained}

`x bare` compares with "{base}", which keeps nothing, looks nothing up, and would not know after a crash
whom it has sent to. robotd makes three calls: the third reserves an id by which a message can be looked up later. CPU
is that of the sending process; `statements` are what the database executes for one contact, claims of timers included,
and `commits` the transactions; `grown MB` is how much more memory the last part ended with than the first. SQLite's
file lies in a folder for temporary files, MariaDB's in shared memory where there is any: as above, their rates must
not be compared with each other.

### The last campaigns

{at}, {machine}, load average of the machine {load} before the run.

{table}

{starts}

{simulator}{left_out}
"""


def section(
    found: Sequence[Line], explained: Mapping[str, str], contacts: tuple[int, int], *, load: float, left_out: str
) -> str:
    """The half of the page. `contacts`: of the campaign, and of each bare loop."""
    head = "| " + " | ".join(HEAD) + " |\n|" + " --- |" * len(HEAD)
    body = "\n".join("| " + " | ".join(cells(line)) + " |" for line in found)
    return SECTION.format(
        contacts=f"{contacts[0]:,}",
        bare=f"{contacts[1]:,}",
        base=BARE,
        explained="\n".join(f"| {what} | {text} |" for what, text in explained.items()),
        at=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=machine(),
        load=f"{load:.1f}",
        table=f"{head}\n{body}",
        starts=starts(found),
        simulator=simulator(found),
        left_out=f"\n\n{left_out}" if left_out else "",
    )
