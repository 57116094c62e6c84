"""What `robotd monitors` prints: text for people, JSON for programs."""

import json
import sys
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path

from daemon.monitors import ReadMonitors, read_monitors
from daemon.settings import load_settings
from daemon.template_files import FileProblem
from domain.errors import ConfigError, MessageError
from domain.monitor import MonitorSession, Rule, advance
from domain.monitor_days import zone_of
from domain.wire import JsonObject


def show_problems(file: Path | None, config: Path | None, *, as_json: bool) -> int:
    """Print all that is wrong with a file; 1 if there is something."""
    read = _read(file, config)
    if as_json:
        _say([json.dumps(_file(read))])
    else:
        _say([*(_line(problem) for problem in read.problems), _closing(read)])
    return int(read.rules is None)


def show_days(file: Path | None, config: Path | None, on: str | None, *, as_json: bool) -> int:
    """Print each rule's day, and when its windows end if nothing happens; 1 if the file is not ok."""
    read = _read(file, config)
    if read.rules is None:
        return show_problems(file, config, as_json=as_json)
    days = [_silent_day(rule, on) for rule in read.rules.rules]
    if as_json:
        _say([json.dumps({**_file(read), "days": days})])
    else:
        _say([*(_day_line(day) for day in days), _closing(read)])
    return 0


def _read(file: Path | None, config: Path | None) -> ReadMonitors:
    path = file or load_settings(config).settings.monitors.file
    if path is None:
        raise ConfigError("monitors.file: is not set, so there are no monitors; name a file")
    return read_monitors(path)


def _silent_day(rule: Rule, on: str | None) -> JsonObject:
    zone = zone_of(rule.daily.zone)
    wanted = datetime.now(zone).date() if on is None else _date(on)
    day = rule.daily.day(wanted)
    shown: JsonObject = {"robotId": rule.robot_id, "ruleId": rule.rule_id, "date": wanted.isoformat()}
    if day is None:
        return {**shown, "starts": None, "ends": None, "windows": []}
    ended = advance(MonitorSession(rule, day, 1, day.starts_ms), (), day.ends_ms).ended

    def local(at_ms: int) -> str:
        return datetime.fromtimestamp(at_ms // 1000, zone).isoformat()

    windows = [{"ends": local(window.end_ms), "how": window.how.value} for window in ended]
    return {**shown, "starts": local(day.starts_ms), "ends": local(day.ends_ms), "windows": windows}


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise MessageError("--date: expected a date such as 2026-03-29") from None


def _day_line(day: JsonObject) -> str:
    who = f"robot {day['robotId']}, {day['ruleId']}, {day['date']}"
    if day["starts"] is None:
        return f"{who}: no day, the clocks are changed over it"
    windows = " ".join(f"{window['ends'][11:16]} {window['how']}" for window in day["windows"])
    return f"{who}: {day['starts'][11:]} to {day['ends'][11:]}; silent windows end at {windows}"


def _file(read: ReadMonitors) -> JsonObject:
    problems = [
        {
            "line": one.line,
            "column": one.column,
            "field": one.field,
            "message": one.message,
            "hint": one.hint,
            "severity": one.severity,
        }
        for one in read.problems
    ]
    return {"file": _utf8(str(read.path)), "ok": read.rules is not None, "problems": problems}


def _line(one: FileProblem) -> str:
    named = f"{one.field}: " if one.field else ""
    hint = f" ({one.hint})" if one.hint else ""
    return f"{one.file}:{one.line}:{one.column}: {one.severity}: {named}{one.message}{hint}"


def _closing(read: ReadMonitors) -> str:
    if read.rules is None:
        return f"not ok: {len(read.problems)} problem{'' if len(read.problems) == 1 else 's'}"
    return f"ok: {len(read.rules.rules)} enabled, {read.rules.disabled} disabled"


def _utf8(text: str) -> str:
    """Names of files are bytes: what is no text in them is written out, because JSON has no way to carry it."""
    return text.encode("utf-8", "backslashreplace").decode()


def _say(lines: Iterable[str]) -> None:
    """What a terminal would obey is written out: the name of a file may hold anything."""
    encoding = sys.stdout.encoding or "utf-8"
    for line in lines:
        plain = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in line)
        sys.stdout.write(plain.encode(encoding, "backslashreplace").decode(encoding) + "\n")
