"""Templates in the database: the versions that all replicas share, each a row with its conditions beside it.

Reading is bounded, because anybody may have written the rows: texts are cut just above what is allowed, so that one
too long is refused as such. All that one template needs is written in one transaction, and the row of its description
goes first: its lock lets one replica after the other write the versions of a name.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from daemon.store.database import Database, Row, Value, Write
from daemon.store.ids import Ids
from daemon.template_rows import Condition, RawValue, Standing, TemplateRow
from domain.errors import Conflict, RobotdError, RuleViolation

_MAX_VERSIONS = 20
_MAX_TAKEN_IDS = 1_000
_JOINED = "FROM status_check_description d JOIN status_check_template t ON t.template_description_id = d.id "
_VERSION = (
    "SELECT SUBSTR(d.name, 1, 257), t.version, SUBSTR(d.description, 1, 1025), t.is_active, t.poll_until_end, "
    "SUBSTR(t.past_event_dependencies, 1, 513), SUBSTR(t.future_event_dependencies, 1, 513), t.past_interval_s, "
    "t.future_interval_s, SUBSTR(t.on_timeout, 1, 17), SUBSTR(t.content_hash, 1, 65), "
    "SUBSTR(e.phase, 1, 65), SUBSTR(e.output, 1, 17), SUBSTR(e.raw_expression, 1, 1025) "
    f"{_JOINED}LEFT JOIN status_check_template_detail e ON e.template_id = t.id "
    "WHERE d.name = ? AND t.version = ? ORDER BY e.phase, e.output LIMIT 7"
)
_ACTIVE = (
    f"SELECT t.version {_JOINED}WHERE d.name = ? AND t.is_active <> 0 ORDER BY t.version DESC LIMIT {_MAX_VERSIONS}"
)
_ABOVE = f"SELECT t.version {_JOINED}WHERE d.name = ? AND t.version > ? ORDER BY t.version DESC LIMIT {_MAX_VERSIONS}"
_NAMES = f"SELECT DISTINCT SUBSTR(d.name, 1, 257) AS name {_JOINED}WHERE t.is_active <> 0 ORDER BY name LIMIT 1000"
_DESCRIPTION = "SELECT id, SUBSTR(description, 1, 1025) FROM status_check_description WHERE name = ?"
_AROUND = (
    "SELECT COUNT(CASE WHEN version > ? THEN 1 END), COUNT(CASE WHEN version < ? AND is_active <> 0 THEN 1 END) "
    "FROM status_check_template WHERE template_description_id = ?"
)
_INSERT_DESCRIPTION = (
    "INSERT INTO status_check_description (id, name, description, created_at_ms) VALUES (?, ?, ?, {now_ms})"
)
_LOCK_DESCRIPTION = "UPDATE status_check_description SET description = COALESCE(?, description) WHERE id = ?"
_SAME_ABOVE = "UPDATE status_check_template SET is_active = is_active WHERE template_description_id = ? AND version > ?"
_INSERT = (
    "INSERT INTO status_check_template (id, template_description_id, past_event_dependencies, "
    "future_event_dependencies, version, is_active, poll_until_end, created_at_ms, past_interval_s, future_interval_s, "
    "on_timeout, content_hash) VALUES (?, ?, ?, ?, ?, ?, ?, {now_ms}, ?, ?, ?, ?)"
)
_INSERT_DETAIL = (
    "INSERT INTO status_check_template_detail (template_id, phase, raw_expression, output) VALUES (?, ?, ?, ?)"
)
_UPDATE = (
    "UPDATE status_check_template SET is_active = ?, content_hash = ? WHERE template_description_id = ? AND version = ?"
)
_END_OLDER = (
    "UPDATE status_check_template SET is_active = 0 "
    "WHERE template_description_id = ? AND version < ? AND is_active <> 0"
)


class SqlTemplates:
    """The port `TemplateStore`."""

    def __init__(self, database: Database, ids: Ids) -> None:
        self._database = database
        self._ids = ids

    async def version(self, name: str, version: RawValue) -> TemplateRow | None:
        """One statement, so that header and conditions are of one moment."""
        rows = await self._fetch(_VERSION, (name, version))
        return _row_of(rows) if rows else None

    async def active_versions(self, name: str) -> list[RawValue]:
        """Newest first; whoever has more bad ones on top than that is not served."""
        return [row[0] for row in await self._fetch(_ACTIVE, (name,))]

    async def versions_above(self, name: str, version: int) -> list[RawValue]:
        """Newest first."""
        return [row[0] for row in await self._fetch(_ABOVE, (name, version))]

    async def names(self) -> list[str]:
        """In the order of their bytes."""
        return [str(row[0]) for row in await self._fetch(_NAMES, ())]

    async def standing(self, name: str, version: int) -> Standing:
        """Two reads; `add` and `change` find out if something came between."""
        found = await self._fetch(_DESCRIPTION, (name,))
        if not found:
            return Standing(None, "", 0, 0)
        columns: Sequence[Any] = found[0]
        counts: Sequence[Any] = (await self._fetch(_AROUND, (version, version, columns[0])))[0]
        return Standing(columns[0], str(columns[1]), counts[0], counts[1])

    async def add(self, row: TemplateRow, standing: Standing, *, describes: bool) -> None:
        """Description, version and conditions."""
        template_id = await self._free_id("status_check_template")
        description_id, first = await self._parent(row, standing, describes=describes)
        args = (
            template_id,
            description_id,
            row.past_names,
            row.future_names,
            row.version,
            row.is_active,
            row.poll_until_end,
            row.past_interval_s,
            row.future_interval_s,
            row.on_timeout,
            row.content_hash,
        )
        conditions = [
            Write(_INSERT_DETAIL, (template_id, one.phase, one.text, one.output), rows=1) for one in row.conditions
        ]
        last = _last(row, description_id)
        await self._database.apply([*first, Write(_INSERT, args, rows=1), *conditions, *last])

    async def change(self, row: TemplateRow, standing: Standing, *, describes: bool) -> None:
        """Never what decides: a version keeps its conditions."""
        description_id, first = await self._parent(row, standing, describes=describes)
        args = (row.is_active, row.content_hash, description_id, row.version)
        await self._database.apply([*first, Write(_UPDATE, args, rows=1), *_last(row, description_id)])

    async def _parent(self, row: TemplateRow, standing: Standing, *, describes: bool) -> tuple[int, list[Write]]:
        """The writes that go first: the lock, and the proof that nobody has gone beyond this version meanwhile."""
        if standing.description_id is None:
            new_id = await self._free_id("status_check_description")
            return new_id, [Write(_INSERT_DESCRIPTION, (new_id, row.name, row.description), rows=1)]
        description_id = standing.description_id
        lock = Write(_LOCK_DESCRIPTION, (row.description if describes else None, description_id), rows=1)
        return description_id, [lock, Write(_SAME_ABOVE, (description_id, row.version), rows=standing.newer)]

    async def _free_id(self, table: str) -> int:
        """An id that no row written by hand has taken."""
        for _ in range(_MAX_TAKEN_IDS):
            found = await self._ids.next(table)
            if not await self._database.fetch(f"SELECT 1 FROM {table} WHERE id = ?", (found,)):  # noqa: S608  as above
                return found
        raise Conflict(f"{_MAX_TAKEN_IDS} ids of {table} in a row are taken")

    async def _fetch(self, sql: str, args: Sequence[Value]) -> list[Row]:
        try:
            return await self._database.fetch(sql, args)
        except RobotdError:
            raise
        except Exception as error:  # SQLite: text that is not UTF-8 is an error of the whole statement
            raise RuleViolation(f"the rows can't be read: {error}"[:200], kind="bad-template") from error


def _last(row: TemplateRow, description_id: int) -> list[Write]:
    return [Write(_END_OLDER, (description_id, row.version))] if row.is_active else []


def _row_of(rows: Sequence[Row]) -> TemplateRow:
    *header, _, _, _ = rows[0]
    conditions = tuple(Condition(*row[-3:]) for row in rows if any(value is not None for value in row[-3:]))
    columns: Sequence[Any] = header
    return replace(TemplateRow(*columns), conditions=conditions)
