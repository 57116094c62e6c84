"""Tests of delivery servers in the database: runs, claims and cycles. Every change names the version that was read."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any  # rows carry what the columns hold; the dataclasses give them types

from pydantic import TypeAdapter

from daemon.metric_names import DEACTIVATED, SERVER_TESTS
from daemon.store.database import Database, Row, Value, Write
from daemon.store.tally import Tally, untallied
from domain.server_cycle import RunLine, ServerCycle
from domain.server_rules import Judged
from domain.server_run import Phase, ServerRun
from domain.server_store import CYCLE, server_claim
from domain.server_test import Verdict

_RUN = TypeAdapter(ServerRun)
_CYCLE = TypeAdapter(ServerCycle)
_COLUMNS = (
    "id, server_id, cycle_id, name, phase, way, verdict, step, reason, deactivated, kept, dry_run, fingerprint, "
    "began_at_ms, judged_at_ms, ended_at_ms, body, version"
)
LINE = "id, server_id, name, phase, way, verdict, step, reason, deactivated, kept, dry_run, began_at_ms, ended_at_ms"
_HOLE = f"({', '.join('?' * len(_COLUMNS.split(', ')))})"
_INSERT = f"INSERT INTO server_test_run ({_COLUMNS}) VALUES "  # noqa: S608  column names of ours, no input
_CHANGING = _COLUMNS.split(", ")[3:-1]
_UPDATE = (
    f"UPDATE server_test_run SET {', '.join(f'{name} = ?' for name in _CHANGING)}, version = version + 1 "  # noqa: S608  as above
    "WHERE id = ? AND version = ?"
)
_READ = "SELECT body, version FROM server_test_run WHERE "
_JUDGED = (
    "SELECT id, server_id, step, judged_at_ms FROM server_test_run "
    "WHERE judged_at_ms IS NOT NULL AND (verdict = 'SUCCESSFUL' OR step <> '') AND "
)
_FINGERPRINTS = (
    "SELECT run.server_id, run.fingerprint FROM server_test_run AS run JOIN ("
    "SELECT server_id, MAX(judged_at_ms) AS at_ms FROM server_test_run "
    "WHERE verdict IN ('SUCCESSFUL', 'FAILED') AND dry_run = 0 GROUP BY server_id) AS newest "
    "ON newest.server_id = run.server_id AND newest.at_ms = run.judged_at_ms "
    "WHERE run.verdict IN ('SUCCESSFUL', 'FAILED') AND run.dry_run = 0"
)
_CLAIM = "INSERT INTO server_test_claim (name, run_id) VALUES "
_INSERT_CYCLE = "INSERT INTO server_test_cycle (id, began_at_ms, ended_at_ms, body, version) VALUES (?, ?, ?, ?, ?)"
_UPDATE_CYCLE = (
    "UPDATE server_test_cycle SET ended_at_ms = ?, body = ?, version = version + 1 WHERE id = ? AND version = ?"
)
_IN_ONE_STATEMENT = 50
_REASON_CHARS, _NAME_CHARS = 1_100, 255


class SqlServerTests:
    """The port `ServerTests` for one unit of work: reads at once, hands its writes to `collect`."""

    def __init__(self, database: Database, collect: Callable[[Write], None], tally: Tally = untallied) -> None:
        self._tally = tally
        self._database = database
        self._collect = collect

    async def get(self, run_id: str) -> ServerRun | None:
        """By id."""
        rows = await self._database.fetch(f"{_READ}id = ?", (run_id,))
        return run_of(rows[0]) if rows else None

    async def holder(self, name: str) -> str | None:
        """By the claim's name."""
        rows = await self._database.fetch("SELECT run_id FROM server_test_claim WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else None

    async def held_servers(self) -> frozenset[int]:
        """By the names of claims."""
        sql = "SELECT name FROM server_test_claim WHERE name >= 'server:' AND name < 'server;'"
        return frozenset(int(str(row[0]).partition(":")[2]) for row in await self._database.fetch(sql))

    async def judged(self, since_ms: int) -> list[Judged]:
        """In the order in which they were judged."""
        sql = f"{_JUDGED}judged_at_ms >= ? ORDER BY judged_at_ms, id"
        return [_judged_of(row) for row in await self._database.fetch(sql, (since_ms,))]

    async def judged_in(self, cycle_id: str) -> list[Judged]:
        """The same, of one cycle."""
        sql = f"{_JUDGED}cycle_id = ? ORDER BY judged_at_ms, id"
        return [_judged_of(row) for row in await self._database.fetch(sql, (cycle_id,))]

    async def was_counted(self, since_ms: int) -> bool:
        """By the time of the verdict."""
        sql = "SELECT 1 FROM server_test_run WHERE judged_at_ms >= ? AND verdict = 'SUCCESSFUL' AND way = 'campaign' "
        return bool(await self._database.fetch(f"{sql}LIMIT 1", (since_ms,)))

    async def fingerprints(self) -> dict[int, str]:
        """By server; dry runs say nothing, they leave no history."""
        return {int(row[0] or 0): str(row[1]) for row in await self._database.fetch(_FINGERPRINTS)}

    async def strays(self) -> list[ServerRun]:
        """The runs are read first: whatever changes afterwards brings its timer along."""
        rows = await self._database.fetch(f"{_READ}phase IN ('RUNNING', 'JUDGED') ORDER BY id")
        timers = await self._timers("server-test.step")
        return [run for run in map(run_of, rows) if run.id not in timers]

    async def stray_cycles(self) -> list[str]:
        """As `strays`: to look once more does no harm."""
        rows = await self._database.fetch("SELECT id FROM server_test_cycle WHERE ended_at_ms IS NULL ORDER BY id")
        timers = await self._timers("server-cycle.look")
        return [str(row[0]) for row in rows if str(row[0]) not in timers]

    async def _timers(self, timer_type: str) -> frozenset[str]:
        rows = await self._database.fetch("SELECT id FROM timer WHERE type = ?", (timer_type,))
        return frozenset(str(row[0]).partition(":")[2] for row in rows)

    async def schedule_due_ms(self) -> int | None:
        """By the timer's row."""
        rows = await self._database.fetch("SELECT MIN(due_at_ms) FROM timer WHERE type = 'server-test.cycle'")
        return None if rows[0][0] is None else int(rows[0][0])

    async def cycle(self, cycle_id: str) -> ServerCycle | None:
        """By id."""
        rows = await self._database.fetch("SELECT body, version FROM server_test_cycle WHERE id = ?", (cycle_id,))
        return _CYCLE.validate_python({**json.loads(str(rows[0][0])), "version": rows[0][1]}) if rows else None

    async def phases(self, cycle_id: str) -> dict[Phase, int]:
        """Counted by the database."""
        sql = "SELECT phase, COUNT(*) FROM server_test_run WHERE cycle_id = ? GROUP BY phase"
        return {Phase(str(row[0])): int(row[1] or 0) for row in await self._database.fetch(sql, (cycle_id,))}

    async def held(self, cycle_id: str) -> list[ServerRun]:
        """In the order in which they were judged."""
        sql = f"{_READ}cycle_id = ? AND phase = 'HELD' ORDER BY judged_at_ms, id"
        return [run_of(row) for row in await self._database.fetch(sql, (cycle_id,))]

    async def lines(self, cycle_id: str) -> list[RunLine]:
        """By server."""
        sql = f"SELECT {LINE} FROM server_test_run WHERE cycle_id = ? ORDER BY server_id, id"  # noqa: S608  as above
        return [line_of(row) for row in await self._database.fetch(sql, (cycle_id,))]

    def add(self, runs: Sequence[ServerRun]) -> None:
        """Many rows in a statement, but never so many that it would grow too large."""
        for some in _parts(runs):
            rows = [value for run in some for value in _values_of(run)]
            self._collect(Write(_INSERT + ", ".join([_HOLE] * len(some)), tuple(rows), rows=len(some)))
            claims = [value for run in some for value in (server_claim(run.server_id), run.id)]
            self._collect(Write(_CLAIM + ", ".join(["(?, ?)"] * len(some)), tuple(claims), rows=len(some)))

    def save(self, run: ServerRun) -> None:
        """`run.version` is what was read. A run ends once."""
        if run.phase is Phase.ENDED:
            self._tally(SERVER_TESTS, "none" if run.verdict is None else run.verdict.value)
            if run.deactivated:
                self._tally(DEACTIVATED, None)
        changing = _values_of(run)[3:-1]
        self._collect(Write(_UPDATE, (*changing, run.id, run.version), rows=1))

    def claim(self, name: str, holder: str) -> None:
        """A duplicate key where somebody has it."""
        self._collect(Write(f"{_CLAIM}(?, ?)", (name, holder), rows=1))

    def free_lists(self, holder: str) -> None:
        """Claims of lists, by their names."""
        sql = "DELETE FROM server_test_claim WHERE run_id = ? AND name >= 'list:' AND name < 'list;'"
        self._collect(Write(sql, (holder,)))

    def free(self, holder: str) -> None:
        """Every claim."""
        self._collect(Write("DELETE FROM server_test_claim WHERE run_id = ?", (holder,)))

    def add_cycle(self, cycle: ServerCycle) -> None:
        """With its claim, unless it is over already."""
        body = _CYCLE.dump_json(cycle).decode()
        self._collect(Write(_INSERT_CYCLE, (cycle.id, cycle.began_at_ms, cycle.ended_at_ms, body, 0), rows=1))
        if cycle.ended_at_ms is None:
            self.claim(CYCLE, cycle.id)

    def save_cycle(self, cycle: ServerCycle) -> None:
        """`cycle.version` is what was read."""
        args = (cycle.ended_at_ms, _CYCLE.dump_json(cycle).decode(), cycle.id, cycle.version)
        self._collect(Write(_UPDATE_CYCLE, args, rows=1))


class ServerTestReads:
    """What people look at: the last runs, one run with its findings, the history of one server."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self, limit: int) -> list[RunLine]:
        """The last run of each server, the newest first."""
        sql = (
            f"SELECT {LINE} FROM server_test_run AS run WHERE NOT EXISTS (SELECT 1 FROM server_test_run AS later "  # noqa: S608  as above
            "WHERE later.server_id = run.server_id AND (later.began_at_ms > run.began_at_ms "
            "OR (later.began_at_ms = run.began_at_ms AND later.id > run.id))) "
            "ORDER BY began_at_ms DESC, id DESC LIMIT ?"
        )
        return [line_of(row) for row in await self._database.fetch(sql, (limit,))]

    async def history(self, server_id: int, limit: int) -> list[RunLine]:
        """The runs of one server, the newest first."""
        sql = (
            f"SELECT {LINE} FROM server_test_run WHERE server_id = ? "  # noqa: S608  as above
            "ORDER BY began_at_ms DESC, id DESC LIMIT ?"
        )
        return [line_of(row) for row in await self._database.fetch(sql, (server_id, limit))]

    async def run(self, run_id: str) -> ServerRun | None:
        """One run with its findings, or None."""
        return await SqlServerTests(self._database, lambda _write: None).get(run_id)

    async def cycles(self, limit: int) -> list[ServerCycle]:
        """The newest cycles first."""
        sql = "SELECT body, version FROM server_test_cycle ORDER BY began_at_ms DESC, id DESC LIMIT ?"
        rows = await self._database.fetch(sql, (limit,))
        return [_CYCLE.validate_python({**json.loads(str(row[0])), "version": row[1]}) for row in rows]


def line_of(row: Row) -> RunLine:
    """A row of a list."""
    values: dict[str, Any] = dict(zip(LINE.split(", "), row, strict=True))
    values["run_id"] = values.pop("id")
    values["verdict"] = None if values["verdict"] is None else Verdict(values["verdict"])
    values["deactivated"], values["dry_run"] = bool(values["deactivated"]), bool(values["dry_run"])
    return RunLine(**values)


def _parts(runs: Sequence[ServerRun]) -> Iterator[Sequence[ServerRun]]:
    for begin in range(0, len(runs), _IN_ONE_STATEMENT):
        yield runs[begin : begin + _IN_ONE_STATEMENT]


def run_of(row: Row) -> ServerRun:
    """A row of `body, version`."""
    return _RUN.validate_python({**json.loads(str(row[0])), "version": row[1]})


def _judged_of(row: Row) -> Judged:
    return Judged(str(row[0]), int(row[1] or 0), str(row[2]), int(row[3] or 0))


def _values_of(run: ServerRun) -> tuple[Value, ...]:
    return (
        run.id,
        run.server_id,
        run.wish.cycle_id,
        (run.loaded.name if run.loaded else "")[:_NAME_CHARS],
        run.phase.value,
        run.way.value,
        None if run.verdict is None else run.verdict.value,
        "" if run.failed_step is None else run.failed_step.value,
        run.reason[:_REASON_CHARS],
        int(run.deactivated),
        run.kept,
        int(run.wish.dry_run),
        run.fingerprint,
        run.began_at_ms,
        run.judged_at_ms,
        run.ended_at_ms,
        _RUN.dump_json(run).decode(),
        run.version,
    )
