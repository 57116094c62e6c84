"""`robotd demo`: a day in one home, told in the terminal. Everything is real but the sensors and the clock.

The SQS server, Megazord, Micro Managers and WAHA run here and speak HTTP, the mail host SMTP and IMAP; the daemon among
them is the one of `robotd run`, on SQLite. The clock is turned by hand from event to event and timer to timer, so a
day takes seconds.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from localstack.demo_campaign import SESSION, Played
from localstack.demo_campaign import wrong as wrong_campaign
from localstack.demo_day import DAY, Asks, Commands, Happens, Mail, Moment, Phone, Trouble
from localstack.demo_home import ROBOT, Home
from localstack.demo_ledger import campaign_json, ledger_table, plain_table, tally
from localstack.demo_servers import FleetPlayed
from localstack.demo_servers import wrong as wrong_servers
from localstack.demo_verdicts import history_table, mail_tally, steps_table, tested_json
from localstack.waha_records import WORKING


async def demo(*, as_json: bool, keep: bool, day: Sequence[Moment] = DAY) -> int:
    """Tell the day. Returns 0 when checks, campaign and tests of servers ended as they must; nothing is left over."""
    console = Console(file=sys.stderr if as_json else sys.stdout, highlight=False)
    async with AsyncExitStack() as stack:
        folder = _folder(stack, keep=keep)
        home = await stack.enter_async_context(Home.open(folder, console, day[0].at_ms - 60_000))
        _introduce(console)
        await _play(home, day)
        questions = [moment.what for moment in day if isinstance(moment.what, Asks)]
        played = await home.played()
        tested = await home.tested()
        wrong = [*await home.wrong(questions), *wrong_campaign(played), *wrong_servers(tested)]
        console.print(f"\n[bold]What robot {ROBOT} asked, and what it was told[/]", _checks_table(home, questions))
        console.print("\n[bold]What became of each contact of the campaign[/]", ledger_table(played))
        _show_tests(console, tested)
        _conclude(home, played, tested, wrong)
        if keep:
            console.print(f"The database is in {folder}", soft_wrap=True)
    if as_json:
        told = {"story": home.story, "campaign": campaign_json(played), "servers": tested_json(tested), "wrong": wrong}
        sys.stdout.write(json.dumps(told) + "\n")
    return int(bool(wrong))


def _folder(stack: AsyncExitStack, *, keep: bool) -> Path:
    if keep:
        return Path(tempfile.mkdtemp(prefix="robotd-demo-"))
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="robotd-demo-")))


def _introduce(console: Console) -> None:
    console.print(
        "\n[bold]A day with one care robot.[/] Its questions and what its sensors see arrive on\n"
        "SQS, a template decides, and the answer goes to the robot's own queue. Meanwhile\n"
        "a letter goes to families on WhatsApp, and the servers that MailWizz sends mail\n"
        "through are tested. Times are those of the home.\n",
        soft_wrap=True,
    )


async def _play(home: Home, day: Sequence[Moment]) -> None:
    await home.start()
    for moment in day:
        await home.turn_clock(moment.at_ms)
        await _happen(home, moment)
        await home.quiet()
    await home.turn_clock(day[-1].at_ms + 3_600_000)
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
        case Commands(who, command, meaning):
            home.say(who, "magenta", f"{meaning} [dim]({command})[/]")
            home.command(who, command)
        case Mail(who, kind, meaning):
            home.say(who, "red" if who == "trouble" else "green", meaning)
            await home.fleet.happen(kind)
        case Phone(status, meaning):
            who, style = ("phone", "green") if status == WORKING else ("trouble", "red")
            home.say(who, style, f"{meaning} [dim]({status})[/]")
            home.waha.set_status(SESSION, status)


def _checks_table(home: Home, questions: Sequence[Asks]) -> Table:
    table = plain_table()
    for title in ("question", "told", "decided by", "next step"):
        table.add_column(title)
    for question, payload in zip(questions, home.endings(), strict=False):
        decided_by = ", ".join(line["eventName"] for line in payload["history"] if line["result"] != "PENDING")
        style = "green" if payload["result"] == "PASS" else "yellow"
        verdict = f"[{style}]{payload['result']}[/]"
        table.add_row(question.question, verdict, decided_by or "the end of its time", str(payload["nextStepId"]))
    return table


def _show_tests(console: Console, tested: FleetPlayed) -> None:
    console.print("\n[bold]What the second test of each delivery server found[/]", steps_table(tested))
    console.print("\n[bold]MailWizz's own history of tests[/]", history_table(tested), "")


def _conclude(home: Home, played: Played, tested: FleetPlayed, wrong: Sequence[str]) -> None:
    for line in (*tally(played), mail_tally(tested), home.figures):
        home.console.print(line, soft_wrap=True)
    for line in wrong:
        home.console.print(f"[bold red]wrong:[/] {escape(line)}", soft_wrap=True)
    if not wrong:
        said = "Answers, campaign and servers are as they must be; nothing is left over."
        home.console.print(f"[bold green]{said}[/]", soft_wrap=True)
