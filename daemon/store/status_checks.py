"""Status checks and their records in the database. Every change carries the version that was read."""

import json
from collections.abc import Callable, Sequence
from typing import Any  # rows carry what the columns hold; the dataclasses below give it types

from daemon.store.database import Database, Row, Write
from daemon.store.ids import Ids
from domain.status_check import Branch, Event, Phase, Record, StatusCheck, Verdict, Window
from domain.wire import JsonObject, read_json, write_json

_COLUMNS = (
    "id, robot_id, step_id, scheduled_id, script_version_id, planned_at_ms, template_name, template_version, "
    "started_at_ms, looks_back, since_ms, until_ms, branches, phase, result, next_step_id, next_step_resolved, "
    "subscription_id, call_ref, updated_at_ms, notices, version"
)
_NAMES = tuple(_COLUMNS.split(", "))
_BY_ID = f"SELECT {_COLUMNS} FROM status_check WHERE id = ?"  # noqa: S608  column names of ours, no input
_BY_REQUEST = (
    f"SELECT {_COLUMNS} FROM status_check "  # noqa: S608  column names of ours, no input
    "WHERE robot_id = ? AND step_id = ? AND scheduled_id = ? AND planned_at_ms = ?"
)
_BY_SUBSCRIPTION = f"SELECT {_COLUMNS} FROM status_check WHERE robot_id = ? AND subscription_id = ?"  # noqa: S608  as above
_RECORDS = (
    "SELECT ordinal, incoming_event_id, outgoing_event_id, event_name, level, phase, result, created_at_ms "
    "FROM status_check_record WHERE status_check_id = ? ORDER BY ordinal"
)
_INSERT = (
    f"INSERT INTO status_check ({_COLUMNS}) "  # noqa: S608  column names of ours, no input
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_RECORD = (
    "INSERT INTO status_check_record (status_check_id, ordinal, incoming_event_id, outgoing_event_id, event_name, "
    "level, phase, result, created_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_DECISION = (
    "INSERT INTO status_check_decision (status_check_id, ordinal, decided_at_ms, trace) VALUES (?, ?, ?, ?)"
)
_DECISIONS = "SELECT trace FROM status_check_decision WHERE status_check_id = ? ORDER BY ordinal"
_UPDATE = (
    "UPDATE status_check SET phase = ?, result = ?, next_step_id = ?, next_step_resolved = ?, updated_at_ms = ?, "
    "notices = ?, version = version + 1 WHERE id = ? AND version = ?"
)


class SqlStatusChecks:
    """The port `StatusChecks` for one unit of work: reads at once, hands its writes to `collect`."""

    def __init__(self, database: Database, ids: Ids, collect: Callable[[Write], None]) -> None:
        self._database = database
        self._ids = ids
        self._collect = collect

    async def new_id(self) -> int:
        """The next id of the block that this process holds."""
        return await self._ids.next("status_check")

    async def get(self, check_id: int) -> StatusCheck | None:
        """By id."""
        return await self._one(_BY_ID, check_id)

    async def by_request(
        self, robot_id: int, step_id: int, scheduled_id: int, planned_at_ms: int
    ) -> StatusCheck | None:
        """By what makes two create commands equal."""
        return await self._one(_BY_REQUEST, robot_id, step_id, scheduled_id, planned_at_ms)

    async def by_subscription(self, robot_id: int, subscription_id: int) -> StatusCheck | None:
        """By the subscription whose events it waits for."""
        return await self._one(_BY_SUBSCRIPTION, robot_id, subscription_id)

    async def _one(self, sql: str, *args: int) -> StatusCheck | None:
        rows = await self._database.fetch(sql, args)
        if not rows:
            return None
        records = await self._database.fetch(_RECORDS, (rows[0][0],))
        return _check_of(rows[0], records)

    def add(self, check: StatusCheck) -> None:
        """A new row; a second one for the same request is a Conflict."""
        self._collect(Write(_INSERT, _values_of(check), rows=1))
        self._add_records(check.id, check.records)

    def save(self, check: StatusCheck, new_records: Sequence[Record]) -> None:
        """The parent row first: its lock orders concurrent writers before any of them touches the records."""
        args = (
            check.phase.value,
            check.verdict.value,
            check.next_step_id,
            int(check.next_step_resolved),
            check.updated_at_ms,
            check.notices,
            check.id,
            check.version,
        )
        self._collect(Write(_UPDATE, args, rows=1))
        self._add_records(check.id, new_records)

    def explain(self, check: StatusCheck, trace: JsonObject, at_ms: int) -> None:
        """A row beside the notice to the robot that it explains."""
        args = (check.id, check.notices, at_ms, write_json(trace))
        self._collect(Write(_INSERT_DECISION, args, rows=1))

    async def decisions(self, check_id: int) -> list[JsonObject]:
        """The traces of a check, oldest first."""
        rows = await self._database.fetch(_DECISIONS, (check_id,))
        return [read_json(str(row[0])) for row in rows]

    def _add_records(self, check_id: int, records: Sequence[Record]) -> None:
        for record in records:
            args = (
                check_id,
                record.order,
                record.event.id,
                record.outgoing_event_id,
                record.event.name,
                record.event.level,
                record.phase.value,
                record.result.value,
                record.event.created_at_ms,
            )
            self._collect(Write(_INSERT_RECORD, args, rows=1))


def _values_of(check: StatusCheck) -> tuple[str | int | None, ...]:
    return (
        check.id,
        check.robot_id,
        check.step_id,
        check.scheduled_id,
        check.script_version_id,
        check.planned_at_ms,
        check.template_name,
        check.template_version,
        check.started_at_ms,
        int(check.window.looks_back),
        check.window.since_ms,
        check.window.until_ms,
        json.dumps({verdict.value: branch.next_step_id for verdict, branch in check.branches.items()}),
        check.phase.value,
        check.verdict.value,
        check.next_step_id,
        int(check.next_step_resolved),
        check.subscription_id,
        check.call_ref,
        check.updated_at_ms,
        check.notices,
        check.version,
    )


def _check_of(row: Row, records: Sequence[Row]) -> StatusCheck:
    values: dict[str, Any] = dict(zip(_NAMES, row, strict=True))
    branches = json.loads(values["branches"])
    return StatusCheck(
        id=values["id"],
        robot_id=values["robot_id"],
        step_id=values["step_id"],
        scheduled_id=values["scheduled_id"],
        script_version_id=values["script_version_id"],
        planned_at_ms=values["planned_at_ms"],
        template_name=values["template_name"],
        template_version=values["template_version"],
        started_at_ms=values["started_at_ms"],
        window=Window(bool(values["looks_back"]), values["since_ms"], values["until_ms"]),
        branches={Verdict(name): Branch(next_step_id) for name, next_step_id in branches.items()},
        phase=Phase(values["phase"]),
        verdict=Verdict(values["result"]),
        next_step_id=values["next_step_id"],
        next_step_resolved=bool(values["next_step_resolved"]),
        subscription_id=values["subscription_id"],
        call_ref=values["call_ref"],
        records=tuple(_record_of(record) for record in records),
        updated_at_ms=values["updated_at_ms"],
        notices=values["notices"],
        version=values["version"],
    )


def _record_of(row: Row) -> Record:
    columns: tuple[Any, ...] = row
    ordinal, incoming_id, outgoing_id, name, level, phase, result, created_at_ms = columns
    event = Event(incoming_id, name, created_at_ms, level)
    return Record(ordinal, event, Phase(phase), Verdict(result), outgoing_id)
