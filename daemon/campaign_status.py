"""`robotd campaign status`, `list` and `preview`: read from the database, printed for people or for programs."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.live import Live
from rich.text import Text

from daemon.campaign_preview import preview_report
from daemon.campaign_report import listed_report, status_report
from daemon.campaign_text import list_table, preview_text, status_line, status_text
from daemon.campaign_view import CampaignReads
from daemon.cli_past import console, local, plain, say_json, zone_of
from daemon.clock import SystemClock
from daemon.opening import open_campaigns
from daemon.settings import Settings
from daemon.settings_campaigns import number_rules
from domain.campaign import Campaign, CampaignStatus
from domain.errors import RobotdError, Unavailable
from domain.number import NumberRules
from domain.wire import JsonObject
from handlers.campaign_changes import number_of

FINAL = {CampaignStatus.COMPLETED, CampaignStatus.FAILED, CampaignStatus.CANCELLED}
_EVERY_S = 1.0
_SHARE = 10  # a look that takes long is taken less often: the database has better things to do


@dataclass(frozen=True, slots=True)
class Which:
    """A campaign as it is named on the command line; with an owner, only if it is that user's."""

    campaign_id: int
    owner: str | None


async def found(reads: CampaignReads, which: Which) -> Campaign:
    """The campaign. Raises RobotdError where there is none, or it is somebody else's."""
    campaign = await reads.campaign(which.campaign_id)
    if campaign is None or which.owner not in (None, campaign.owner):
        whose = "the database" if which.owner is None else f"user {which.owner}"
        raise RobotdError(f"{whose} has no campaign {which.campaign_id}")
    return campaign


async def show_status(settings: Settings, which: Which, *, as_json: bool) -> int:
    """Print how a campaign stands."""
    async with open_campaigns(settings) as reads:
        report = await _look(reads, which, settings)
    if as_json:
        say_json(report)
    else:
        console().print(status_text(report, _zone(settings), SystemClock().now_ms()))
    return 0


async def watch_status(settings: Settings, which: Which, *, as_json: bool) -> int:
    """Show it anew each second until it is over: in place on a terminal, one line for each change elsewhere."""
    out = console()
    is_live = out.is_terminal and not out.is_dumb_terminal and not as_json
    async with open_campaigns(settings) as reads:
        watcher = _in_place(out, settings) if is_live else _by_line(settings, as_json=as_json)
        async with watcher as show:
            async for report in _looks(reads, which, settings):
                show(report)
    return 0


async def show_list(settings: Settings, owner: str | None, limit: int, *, as_json: bool) -> int:
    """Print the newest campaigns."""
    async with open_campaigns(settings) as reads:
        lines = [listed_report(line) for line in await reads.listed(owner, limit + 1)]
    if as_json:
        sys.stdout.write(json.dumps(lines[:limit]) + "\n")
        return 0
    out = console()
    if lines:
        out.print(list_table(lines[:limit], _zone(settings)))
    else:
        out.print("there is no campaign")
    if len(lines) > limit:
        out.print(f"and older ones: --limit shows more than {limit}")
    return 0


async def show_preview(settings: Settings, which: Which, *, as_json: bool) -> int:
    """Print what a campaign would do."""
    async with open_campaigns(settings) as reads:
        campaign = await found(reads, which)
        audience = await reads.audience(campaign)
        number = number_of(rules_of(settings), await reads.pace(campaign.session))
    report = preview_report(campaign, audience, number, SystemClock().now_ms())
    if as_json:
        say_json(report)
    else:
        console().print(preview_text(report, _zone(settings)))
    return 0


def rules_of(settings: Settings) -> NumberRules:
    """What holds for every number, as the daemon has it."""
    return number_rules(settings.campaigns)


async def _look(reads: CampaignReads, which: Which, settings: Settings) -> JsonObject:
    now_ms = SystemClock().now_ms()
    look = await reads.look(await found(reads, which), now_ms)
    return status_report(look, rules_of(settings), now_ms)


async def _looks(reads: CampaignReads, which: Which, settings: Settings) -> AsyncIterator[JsonObject]:
    """One look after the other until it is over. A database that is away is waited for, once it was there."""
    loop, report = asyncio.get_running_loop(), None
    while report is None or not _is_over(report):
        began_s = loop.time()
        try:
            report = await _look(reads, which, settings)
        except Unavailable as error:
            if report is None:
                raise
            report = {**report, "notes": [f"{error}; trying again"]}
        yield report
        if not _is_over(report):
            await asyncio.sleep(max(_EVERY_S, _SHARE * (loop.time() - began_s)))


def _is_over(report: JsonObject) -> bool:
    return report["status"] in FINAL


@asynccontextmanager
async def _in_place(out: Console, settings: Settings) -> AsyncIterator[Callable[[JsonObject], None]]:
    zone = _zone(settings)
    with Live(Text(), console=out, auto_refresh=False, vertical_overflow="ellipsis") as live:
        yield lambda report: live.update(status_text(report, zone, SystemClock().now_ms()), refresh=True)


@asynccontextmanager
async def _by_line(settings: Settings, *, as_json: bool) -> AsyncIterator[Callable[[JsonObject], None]]:
    """What changes with the clock alone is no change."""
    zone, last = _zone(settings), ""

    def show(report: JsonObject) -> None:
        nonlocal last
        line = "; ".join([status_line(report), *(plain(note) for note in report["notes"])])
        if line == last:
            return
        last = line
        said = json.dumps(report) if as_json else f"{local(SystemClock().now_ms(), zone)}  {line}"
        sys.stdout.write(f"{said}\n")
        sys.stdout.flush()

    yield show


def _zone(settings: Settings) -> ZoneInfo:
    return zone_of(settings.campaigns.time_zone)
