"""`robotd demo`: a day in one home, told in the terminal. Everything is real but the sensors and the clock.

The SQS server, Megazord and Micro Managers run here and speak HTTP; the daemon among them is the one that `robotd run`
runs, on SQLite. The clock is turned by hand from event to event and from timer to timer, so a day takes seconds.
"""

import json
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from localstack.demo_day import DAY, Asks, Happens, Moment, Trouble
from localstack.demo_home import ROBOT, Home


async def demo(*, as_json: bool, keep: bool) -> int:
    """Tell the day. Returns 0 when every check ended as the day says it must and nothing is left over."""
    console = Console(file=sys.stderr if as_json else sys.stdout, highlight=False)
    async with AsyncExitStack() as stack:
        folder = _folder(stack, keep=keep)
        home = await stack.enter_async_context(Home.open(folder, console, DAY[0].at_ms - 60_000))
        _introduce(console)
        await _play(home)
        wrong = await home.wrong(_questions())
        _conclude(home, wrong, folder if keep else None)
    if as_json:
        sys.stdout.write(json.dumps({"story": home.story, "wrong": wrong}) + "\n")
    return int(bool(wrong))


def _folder(stack: AsyncExitStack, *, keep: bool) -> Path:
    if keep:
        return Path(tempfile.mkdtemp(prefix="robotd-demo-"))
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="robotd-demo-")))


def _questions() -> list[Asks]:
    return [moment.what for moment in DAY if isinstance(moment.what, Asks)]


def _introduce(console: Console) -> None:
    console.print(
        "\n[bold]A day with one care robot.[/] Its questions arrive on SQS, what its sensors see arrives on SQS,\n"
        "a template decides, and the answer goes to the robot's own queue. Times are those of the home.\n",
        soft_wrap=True,
    )


async def _play(home: Home) -> None:
    await home.start()
    for moment in DAY:
        await home.turn_clock(moment.at_ms)
        await _happen(home, moment)
        await home.quiet()
    await home.turn_clock(DAY[-1].at_ms + 3_600_000)
    await home.stop()


async def _happen(home: Home, moment: Moment) -> None:
    match moment.what:
        case Happens(event, meaning):
            home.say("resident", "green", f"{meaning} [dim]({event})[/]")
            await home.report(event)
        case Asks() as question:
            home.say("robot", "cyan", f"asks: {question.question} [dim]({question.template})[/]")
            home.ask(question)
        case Trouble(kind, meaning):
            home.say("trouble", "red", meaning)
            await home.suffer(kind)


def _conclude(home: Home, wrong: list[str], folder: Path | None) -> None:
    table = Table(title=f"\nWhat robot {ROBOT} asked, and what it was told", title_justify="left", title_style="bold")
    for title in ("question", "told", "decided by", "next step"):
        table.add_column(title)
    for question, payload in zip(_questions(), home.endings(), strict=False):
        decided_by = ", ".join(line["eventName"] for line in payload["history"] if line["result"] != "PENDING")
        style = "green" if payload["result"] == "PASS" else "yellow"
        verdict = f"[{style}]{payload['result']}[/]"
        table.add_row(question.question, verdict, decided_by or "the end of its time", str(payload["nextStepId"]))
    home.console.print(table)
    home.console.print(f"\n{home.figures}", soft_wrap=True)
    for line in wrong:
        home.console.print(f"[bold red]wrong:[/] {line}", soft_wrap=True)
    if not wrong:
        home.console.print(
            "[bold green]Every answer is as the day demands; no message, timer or row is left behind.[/]"
        )
    if folder is not None:
        home.console.print(f"The database is in {folder}")
