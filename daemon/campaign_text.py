"""Campaigns as a person reads them in a terminal: from the JSON that programs get, and from nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from math import ceil
from zoneinfo import ZoneInfo

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from daemon.cli_past import local, plain
from domain.wire import JsonObject, milliseconds

_STYLES = {"Running": "green", "Paused": "yellow", "Failed": "red", "Cancelled": "red", "Completed": "bold"}
_COUNT_STYLES = {"sent": "green", "failed": "red", "unknown": "yellow", "inDoubt": "yellow"}
_WAITS = {
    "LOCK": "WhatsApp's lock of this number",
    "WARM_UP": "the daily cap of a number that is new",
    "DAILY_CAP": "the daily cap",
    "WINDOW": "the sending window",
    "HOURLY_CAP": "the hourly cap",
    "REST": "the rest after so many messages",
    "GAP": "the gap between two messages",
    "DOUBT": "a look at what is in doubt",
    "BREAKER": "what was refused a moment ago",
}
_MOST_LINES = 5  # of reasons, and of those of whom nobody knows; --json has more
_BY_THE_SECOND = 120  # seconds: shorter spans are told in them
_AN_HOUR, _A_DAY = 60, 1_440  # minutes
_BY_THE_MINUTE = 120  # an hour: what is faster is told per minute


def status_text(report: JsonObject, zone: ZoneInfo, now_ms: int) -> RenderableType:
    """A whole campaign. Times are those of `zone`."""
    parts: list[RenderableType] = [_head(report)]
    if report["startedAt"] is not None:
        parts += [_progress(report), _counts(report["counts"]), Text()]
    facts = _grid(2)
    for label, words in _facts(report, zone, now_ms):
        facts.add_row(Text(label, "dim"), _text(words))
    parts.append(facts)
    if report["reasons"]:
        parts += [Text(), _reasons(report["reasons"])]
    if report["unknown"]:
        parts += [Text(), _unknown(report["unknown"], report["counts"]["unknown"])]
    if report["notes"]:
        parts.append(Text())
        parts += [_text(f"note: {note}") for note in report["notes"]]
    return Group(*parts)


def status_line(report: JsonObject) -> str:
    """The same on one line, for a log."""
    counts = ", ".join(f"{number} {_word(name)}" for name, number in report["counts"].items() if number)
    why = f" ({report['pauseReason']}: {report['detail']})" if report["pauseReason"] else ""
    about = f": {counts}" if counts else ""
    status = f"{report['status']}{why}, {report['handled']} of {report['totalContacts']}"
    return plain(f"campaign {report['campaignId']} {status}{about}")


def list_table(lines: Sequence[JsonObject], zone: ZoneInfo) -> Table:
    """Many campaigns, one line each where the names are short enough."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("id", justify="right", no_wrap=True)
    table.add_column("campaign", overflow="fold", ratio=2)
    table.add_column("user", overflow="fold", ratio=1)
    table.add_column("status", no_wrap=True)
    for title in ("done", "failed", "unknown"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("start", no_wrap=True)
    for line in lines:
        counts = line["counts"]
        done = sum(counts[name] for name in ("sent", "failed", "skipped", "unknown"))
        table.add_row(
            str(line["campaignId"]),
            _text(line["name"]),
            _text(line["userId"]),
            Text(line["status"], _STYLES.get(line["status"], "")),
            f"{done}/{line['totalContacts']}",
            *(Text(str(counts[name] or ""), _COUNT_STYLES[name]) for name in ("failed", "unknown")),
            _local(line["startedAt"] or line["scheduledAt"], zone)[:16],
        )
    return table


def preview_text(report: JsonObject, zone: ZoneInfo) -> RenderableType:
    """What a campaign would do."""
    facts = _grid(2)
    for label, words in _plans(report, zone):
        facts.add_row(Text(label, "dim"), _text(words))
    raw = report["unknownPlaceholders"]
    said = _text(", ".join(raw), "yellow") if raw else Text("nothing: every placeholder is known")
    facts.add_row(Text("goes out raw", "dim"), said)
    parts: list[RenderableType] = [_head(report), facts]
    if report["leftOut"]:
        parts += [Text(), Text("left out", "bold"), _left_out(report)]
    if report["examples"]:
        parts += [Text(), Text("texts", "bold"), _examples(report["examples"])]
    if report["warnings"]:
        parts.append(Text())
        parts += [_text(f"warning: {warning}", "yellow") for warning in report["warnings"]]
    return Group(*parts)


def span(seconds: int) -> str:
    """A time for people, two units at most: `95 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    if seconds < _BY_THE_SECOND:
        return f"{max(0, seconds)} s"
    minutes = round(seconds / 60)
    if minutes < _AN_HOUR:
        return f"{minutes} min"
    if minutes < _A_DAY:
        return _two(minutes, 60, "h", "min")
    return _two(round(minutes / 60), 24, "d", "h")


def _two(number: int, each: int, large: str, small: str) -> str:
    whole, rest = divmod(number, each)
    return f"{whole} {large} {rest} {small}" if rest else f"{whole} {large}"


def _head(report: JsonObject) -> Text:
    status = report["status"]
    name = _text(f"campaign {report['campaignId']}, {report['name']}: ", "bold")
    return Text.assemble(name, (status, _STYLES.get(status, "")))


def _progress(report: JsonObject) -> RenderableType:
    handled, total = report["handled"], report["totalContacts"]
    share = 100 * handled // total if total else 0
    row = Table.grid(padding=(0, 2, 0, 0), expand=True)
    row.add_column(ratio=1)
    row.add_column(no_wrap=True)
    style = "yellow" if report["status"] == "Paused" else "green"
    bar = ProgressBar(total=max(1, total), completed=handled, complete_style=style, finished_style=style)
    row.add_row(bar, f"{share:>3} %  {handled} of {total}")
    return row


def _counts(counts: Mapping[str, int]) -> Text:
    return Text("  ").join(
        Text(f"{_word(name)} {number}", _COUNT_STYLES.get(name, "") if number else "dim")
        for name, number in counts.items()
    )


def _word(name: str) -> str:
    return "in doubt" if name == "inDoubt" else name


def _facts(report: JsonObject, zone: ZoneInfo, now_ms: int) -> Iterator[tuple[str, str]]:
    yield "user", _whose(report)
    if report["pauseReason"]:
        yield "paused", f"{report['pauseReason']}: {report['detail'] or 'no detail'}"
        yield "what to do", report["advice"]
    elif report["detail"]:
        yield "detail", report["detail"]
    yield from _times(report, zone, now_ms)
    rate = report["rate"]
    if rate["perHour"] is not None:
        yield "rate", f"{rate['lastHour']} in the last hour, {_rate(rate['perHour'])} since the start"
    if report["status"] == "Running":
        yield "next send", _next(report, now_ms)
    yield from _end(report, zone)


def _end(report: JsonObject, zone: ZoneInfo) -> Iterator[tuple[str, str]]:
    """At the number's own pace."""
    if report["secondsLeft"] is None:
        return
    left, about = span(report["secondsLeft"]), f"about {_local(report['estimatedEnd'], zone)}"
    if report["status"] == "Scheduled":
        yield "contacts", f"{report['totalContacts']} on the list now"
        yield "ends", f"{about}, in {left}"
    elif report["status"] == "Paused":
        yield "time left", f"{left} once it goes on"
    else:
        yield "time left", f"{left}, until {about}"


def _whose(report: JsonObject) -> str:
    number = f"number {report['session']}" if report["session"] else "the first number of its user"
    return f"{report['userId']}, {number}, list {report['contactListId']}"


def _times(report: JsonObject, zone: ZoneInfo, now_ms: int) -> Iterator[tuple[str, str]]:
    moments = {
        "scheduled": None if report["startedAt"] else report["scheduledAt"],
        "started": report["startedAt"],
        "paused at": report["pausedAt"],
        "ended": report["completedAt"],
    }
    for label, at in moments.items():
        if at is not None:
            yield label, f"{_local(at, zone)}, {_ago((now_ms - _ms(at)) // 1_000)}"


def _next(report: JsonObject, now_ms: int) -> str:
    if report["nextSendAt"] is None:
        return "none is planned"
    in_s = ceil((_ms(report["nextSendAt"]) - now_ms) / 1_000)
    if in_s < -1:
        return f"was due {span(-in_s)} ago"
    when = f"in {span(in_s)}" if in_s > 0 else "now"
    waits = report["waitsFor"]
    return f"{when}, after {_WAITS.get(waits, waits)}" if waits else when


def _rate(per_hour: float) -> str:
    return f"{per_hour / 60:.1f} a minute" if per_hour > _BY_THE_MINUTE else f"{per_hour:.1f} an hour"


def _ago(seconds: int) -> str:
    return f"{span(seconds)} ago" if seconds >= 0 else f"in {span(-seconds)}"


def _reasons(reasons: Sequence[JsonObject]) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("state", no_wrap=True)
    table.add_column("code", overflow="fold")
    table.add_column("how many", justify="right", no_wrap=True)
    table.add_column("for example", overflow="fold")
    for one in reasons[:_MOST_LINES]:
        table.add_row(one["state"], _text(one["code"]), str(one["count"]), _text(one["example"]))
    if len(reasons) > _MOST_LINES:
        table.add_row("", "", "", f"and {len(reasons) - _MOST_LINES} more reasons: --json has them")
    return table


def _unknown(unknown: Sequence[JsonObject], count: int) -> Text:
    shown = ", ".join(one["phone"] for one in unknown[:_MOST_LINES])
    more = f" and {count - _MOST_LINES} more" if count > _MOST_LINES else ""
    return Text.assemble(("unknown  ", "bold"), _text(f"{shown}{more}"))


def _plans(report: JsonObject, zone: ZoneInfo) -> Iterator[tuple[str, str]]:
    yield "user", _whose(report)
    left_out = f", {report['optedOut']} of them left out" if report["optedOut"] else ""
    has_begun = report["audience"] == "ledger"
    yield "still to come" if has_begun else "contacts", f"{report['contacts']}{left_out}"
    yield "goes on" if has_begun else "starts", _local(report["startsAt"], zone)
    own = f", and the campaign's own: {report['ownWindow']}" if report["ownWindow"] else ""
    yield "window", f"{report['window']}{own}"
    yield "ends", f"about {_local(report['estimatedEnd'], zone)}, {span(report['seconds'])} later"
    if report["mediaFile"]:
        yield "file", report["mediaFile"]


def _left_out(report: JsonObject) -> Table:
    grid = _grid(2)
    for one in report["leftOut"][:_MOST_LINES]:
        grid.add_row(one["phone"], _text(f"opted out: {one['reason']}" if one["reason"] else "opted out"))
    if report["optedOut"] > _MOST_LINES:
        grid.add_row("", f"and {report['optedOut'] - _MOST_LINES} more")
    return grid


def _examples(examples: Sequence[JsonObject]) -> Table:
    grid = _grid(2)
    for one in examples:
        grid.add_row(one["phone"] or Text("no name", "dim"), _text(one["text"]))
    return grid


def _grid(columns: int) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for number in range(columns):
        grid.add_column(no_wrap=number < columns - 1, overflow="fold")
    return grid


def _ms(text: str) -> int:
    return milliseconds(datetime.fromisoformat(text))


def _local(text: str, zone: ZoneInfo) -> str:
    return local(_ms(text), zone)


def _text(words: str, style: str = "") -> Text:
    return Text("\n".join(plain(line) for line in words.split("\n")), style)
