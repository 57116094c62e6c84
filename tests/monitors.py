"""What tests of rolling monitors share: rules in a file, local times of their day, and what a day came to."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from localstack.megazord_records import IncomingEvent
from tests.world import World

ROBOT, OTHER_ROBOT = 61001, 61002
EVENT, ALARM_EVENT = "TOILET_ACTIVITY", "NO_TOILET_ACTIVITY_ALARM"
HOME_ZONE = "Europe/Amsterdam"
DATE = "2025-11-25"
SESSION = f"{ROBOT}-toilet-2h-{DATE}"
ALARM_ACTION = {"type": "ALARM", "config": {"eventName": ALARM_EVENT}}


def rule(**changed: object) -> dict[str, Any]:
    """A rule that watches from 08:00 to 20:00 for two hours of silence."""
    plain: dict[str, Any] = {
        "ruleId": "toilet-2h",
        "eventName": EVENT,
        "windowDurationMinutes": 120,
        "dailyWindow": {"startTime": "08:00", "endTime": "20:00"},
        "actions": [ALARM_ACTION, {"type": "MESSAGE"}],
    }
    return {**plain, **changed}


def robot(*rules: Mapping[str, Any], **changed: object) -> dict[str, Any]:
    """A robot in Amsterdam with these rules, or the plain one."""
    return {
        "robotId": ROBOT,
        "timezone": HOME_ZONE,
        "enabled": True,
        "monitoringRules": list(rules or [rule()]),
        **changed,
    }


def write_rules(file: Path, *robots: Mapping[str, Any]) -> Path:
    """JSON is YAML, too."""
    file.write_text(json.dumps({"robots": list(robots)}, indent=1))
    return file


def at(local: str, date: str = DATE, zone: str = HOME_ZONE, fold: int = 0) -> int:
    """A local time such as 08:00 or 08:00:01 as UTC milliseconds."""
    return round(datetime.fromisoformat(f"{date}T{local}").replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()) * 1000


def local(at_ms: int, zone: str = HOME_ZONE) -> str:
    """The reverse: `09:30`, or `09:30:01` where the second is not the full minute."""
    moment = datetime.fromtimestamp(at_ms // 1000, ZoneInfo(zone))
    return f"{moment:%H:%M:%S}".removesuffix(":00")


async def until(home: World, sql: str, is_so: Callable[[int], bool], timeout_s: float = 10.0) -> None:
    """Return as soon as the count that `sql` yields is as wanted."""
    async with asyncio.timeout(timeout_s):
        while not is_so(int((await home.database.fetch(sql))[0][0] or 0)):
            await home._a_moment()


async def planned(home: World, rules: int = 1) -> None:
    """Return once each of so many rules has its next opening."""
    sql = "SELECT COUNT(*) FROM timer WHERE type = 'monitor.open'"
    await until(home, sql, lambda count: count == rules)
    await home.quiet()


async def windows(home: World, session: str = SESSION) -> list[tuple[str, str, str]]:
    """The audit of a session: start, end and how it ended, local times."""
    sql = "SELECT start_ms, end_ms, ended_by FROM monitor_window WHERE session_id = ? ORDER BY window_number"
    rows: Sequence[tuple[Any, ...]] = await home.database.fetch(sql, (session,))
    return [(local(start_ms), local(end_ms), how) for start_ms, end_ms, how in rows]


async def session_row(home: World, columns: str, session: str = SESSION) -> tuple[Any, ...]:
    """Some columns of a session."""
    rows = await home.database.fetch(f"SELECT {columns} FROM monitor_session WHERE id = ?", (session,))  # noqa: S608  column names of ours
    return rows[0]


def posted(home: World, robot_id: int = ROBOT, name: str = ALARM_EVENT) -> list[IncomingEvent]:
    """The alarms that lie at Megazord."""
    return [event for event in home.megazord.incoming if (event.robot_id, event.event_name) == (robot_id, name)]


def alarms(home: World, robot_id: int = ROBOT, name: str = ALARM_EVENT) -> list[tuple[str, str]]:
    """When each alarm was posted, local time, and its window's number."""
    return [
        (local(event.created_at_ms), str(event.reference_id).rpartition("-")[2])
        for event in posted(home, robot_id, name)
    ]


async def visit(home: World, when: str, **more: Any) -> None:
    """Let time pass until somebody uses the toilet at this local time."""
    await home.pass_time(at(when))
    await home.quiet()
    await home.megazord.post_event(ROBOT, EVENT, **more)
    await home.quiet()


async def pass_to(home: World, when: str, date: str = DATE) -> None:
    """Let time pass, and everything happen that it brings."""
    await home.pass_time(at(when, date))
    await home.quiet()


async def leftovers(home: World) -> dict[str, object]:
    """As `World.leftovers`, but the next openings have to be there."""
    left = await home.leftovers()
    openings = await home.database.fetch("SELECT COUNT(*) FROM timer WHERE type = 'monitor.open'")
    if left.get("timer") == openings[0][0]:
        del left["timer"]
    return left
