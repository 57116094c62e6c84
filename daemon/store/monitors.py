"""Monitoring sessions and the audit of their windows in the database. Every change carries the version that it read."""

import json
from collections.abc import Callable
from datetime import date
from typing import Any  # rows carry what the columns hold; the dataclasses below give it types

from daemon.store.database import Database, Row, Value, Write
from domain.monitor import EndedWindow, MonitorPhase, MonitorSession, WindowEnd, rule_as_json, rule_from_json
from domain.monitor_days import Day
from domain.monitor_plan import PlannedOpening
from domain.wire import write_json

_COLUMNS = (
    "id, robot_id, rule_id, local_date, rule_text, starts_ms, ends_ms, phase, window_number, window_start_ms, "
    "window_end_ms, alarms_in_row, last_event_id, last_event_ms, subscription_id, version"
)
_NAMES = tuple(_COLUMNS.split(", "))
_SELECT = f"SELECT {_COLUMNS} FROM monitor_session "  # noqa: S608  column names of ours, no input
_BY_ID = _SELECT + "WHERE id = ?"
_BY_SUBSCRIPTION = _SELECT + "WHERE robot_id = ? AND subscription_id = ?"
_BY_PHASE = _SELECT + "WHERE phase = ? ORDER BY id"
_AWAITED = "SELECT id FROM timer WHERE id >= 'monitor.window:' AND id < 'monitor.window;'"
_OPENINGS = "SELECT data FROM timer WHERE id >= 'monitor.open:' AND id < 'monitor.open;'"
_INSERT = (
    f"INSERT INTO monitor_session ({_COLUMNS}) "  # noqa: S608  column names of ours, no input
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_UPDATE = (
    "UPDATE monitor_session SET rule_text = ?, starts_ms = ?, ends_ms = ?, phase = ?, window_number = ?, "
    "window_start_ms = ?, window_end_ms = ?, alarms_in_row = ?, last_event_id = ?, last_event_ms = ?, "
    "subscription_id = ?, version = version + 1 WHERE id = ? AND version = ?"
)
_WINDOW = (
    "SELECT window_number, start_ms, end_ms, ended_by, event_id, alarms_in_row FROM monitor_window "
    "WHERE session_id = ? AND window_number = ?"
)
_INSERT_WINDOW = (
    "INSERT INTO monitor_window (session_id, window_number, start_ms, end_ms, ended_by, alarms_in_row, event_id, "
    "reference_id, posted_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)"
)
_UPDATE_WINDOW = "UPDATE monitor_window SET ended_by = ?, posted_at_ms = ? WHERE session_id = ? AND window_number = ?"


class SqlMonitors:
    """The port `Monitors` for one unit of work: reads at once, hands its writes to `collect`."""

    def __init__(self, database: Database, collect: Callable[[Write], None]) -> None:
        self._database = database
        self._collect = collect

    async def get(self, session_id: str) -> MonitorSession | None:
        """By id."""
        return await self._one(_BY_ID, session_id)

    async def by_subscription(self, robot_id: int, subscription_id: int) -> MonitorSession | None:
        """By the subscription whose events it waits for."""
        return await self._one(_BY_SUBSCRIPTION, robot_id, subscription_id)

    async def _one(self, sql: str, *args: Value) -> MonitorSession | None:
        rows = await self._database.fetch(sql, args)
        return _session_of(rows[0]) if rows else None

    async def running(self) -> list[MonitorSession]:
        """By id."""
        return [_session_of(row) for row in await self._database.fetch(_BY_PHASE, (MonitorPhase.RUNNING.value,))]

    async def awaited(self) -> frozenset[str]:
        """From the timers."""
        return frozenset(str(row[0]).partition(":")[2] for row in await self._database.fetch(_AWAITED))

    async def openings(self) -> list[PlannedOpening]:
        """From the timers, where a handled one is gone."""
        return [_opening_of(row) for row in await self._database.fetch(_OPENINGS)]

    async def window(self, session_id: str, number: int) -> EndedWindow | None:
        """By its number within the session."""
        rows: list[tuple[Any, ...]] = list(await self._database.fetch(_WINDOW, (session_id, number)))
        if not rows:
            return None
        found, start_ms, end_ms, ended_by, event_id, in_row = rows[0]
        return EndedWindow(found, start_ms, end_ms, WindowEnd(ended_by), event_id, in_row)

    def add(self, session: MonitorSession) -> None:
        """A new row; a second one for the same rule and date is a Conflict."""
        key = (session.id, session.rule.robot_id, session.rule.rule_id, session.day.date.isoformat())
        self._collect(Write(_INSERT, (*key, *_changing(session), session.version), rows=1))

    def save(self, session: MonitorSession) -> None:
        """All that may change, rule and day included."""
        self._collect(Write(_UPDATE, (*_changing(session), session.id, session.version), rows=1))

    def add_window(self, session_id: str, window: EndedWindow, reference_id: str | None) -> None:
        """A number that stands there already is a Conflict."""
        args = (
            session_id,
            window.number,
            window.start_ms,
            window.end_ms,
            window.how.value,
            window.in_row,
            window.event_id,
            reference_id,
        )
        self._collect(Write(_INSERT_WINDOW, args, rows=1))

    def end_window_as(self, session_id: str, number: int, how: WindowEnd, posted_at_ms: int | None) -> None:
        """Change the line that `add_window` wrote."""
        self._collect(Write(_UPDATE_WINDOW, (how.value, posted_at_ms, session_id, number)))


def _changing(session: MonitorSession) -> tuple[Value, ...]:
    return (
        write_json(rule_as_json(session.rule)),
        session.day.starts_ms,
        session.day.ends_ms,
        session.phase.value,
        session.number,
        session.window_start_ms,
        session.window_end_ms,
        session.alarms_in_row,
        session.last_event_id,
        session.last_event_ms,
        session.subscription_id,
    )


def _session_of(row: Row) -> MonitorSession:
    values: dict[str, Any] = dict(zip(_NAMES, row, strict=True))
    return MonitorSession(
        rule=rule_from_json(json.loads(values["rule_text"])),
        day=Day(date.fromisoformat(values["local_date"]), values["starts_ms"], values["ends_ms"]),
        number=values["window_number"],
        window_start_ms=values["window_start_ms"],
        phase=MonitorPhase(values["phase"]),
        alarms_in_row=values["alarms_in_row"],
        last_event_id=values["last_event_id"],
        last_event_ms=values["last_event_ms"],
        subscription_id=values["subscription_id"],
        version=values["version"],
    )


def _opening_of(row: Row) -> PlannedOpening:
    columns: tuple[Any, ...] = row
    read = json.loads(columns[0])
    return PlannedOpening(read["robotId"], read["ruleId"], read["plannedBy"])
