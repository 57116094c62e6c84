"""What the command line reads of tests of delivery servers. Only SELECTs: each sees what is committed at its moment."""

from daemon.journal_view import JournalEntry
from daemon.store.database import Database
from daemon.store.journal_reads import journal_entries
from daemon.store.server_tests import LINE, SqlServerTests, line_of, run_of
from domain.server_cycle import RunLine, ServerCycle
from domain.server_run import Phase, ServerRun
from domain.server_store import CYCLE

# The newest begin is found in an index alone; of two runs that began together the one with the higher id is read last.
_NEWEST = (
    f"SELECT {', '.join(f'run.{name}' for name in LINE.split(', '))} FROM server_test_run AS run JOIN ("  # noqa: S608  column names of ours
    "SELECT server_id, MAX(began_at_ms) AS at_ms FROM server_test_run GROUP BY server_id) AS newest "
    "ON newest.server_id = run.server_id AND newest.at_ms = run.began_at_ms ORDER BY run.id"
)
_RUNS = "SELECT body, version FROM server_test_run WHERE "


class SqlServerReads:
    """The port `ServerReads`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tests = SqlServerTests(database, lambda _write: None)  # what it collected would go nowhere

    async def run(self, run_id: str) -> ServerRun | None:
        """By id."""
        return await self._tests.get(run_id)

    async def runs(self, server_id: int, limit: int) -> list[ServerRun]:
        """By their beginning, backwards."""
        rows = await self._database.fetch(
            f"{_RUNS}server_id = ? ORDER BY began_at_ms DESC, id DESC LIMIT ?", (server_id, limit)
        )
        return [run_of(row) for row in rows]

    async def newest(self) -> dict[int, RunLine]:
        """By server."""
        return {line.server_id: line for line in map(line_of, await self._database.fetch(_NEWEST))}

    async def under_test(self) -> dict[int, str]:
        """By the names of claims."""
        sql = "SELECT name, run_id FROM server_test_claim WHERE name >= 'server:' AND name < 'server;'"
        return {int(str(name).partition(":")[2]): str(run_id) for name, run_id in await self._database.fetch(sql)}

    async def fingerprints(self) -> dict[int, str]:
        """As cycles have them."""
        return await self._tests.fingerprints()

    async def running_cycle(self) -> str | None:
        """By its claim."""
        return await self._tests.holder(CYCLE)

    async def next_cycle_ms(self) -> int | None:
        """By its timer."""
        return await self._tests.schedule_due_ms()

    async def cycle(self, cycle_id: str) -> ServerCycle | None:
        """By id."""
        return await self._tests.cycle(cycle_id)

    async def lines(self, cycle_id: str) -> list[RunLine]:
        """By server."""
        return await self._tests.lines(cycle_id)

    async def under_way(self, cycle_id: str, limit: int) -> list[ServerRun]:
        """In the order in which they were given to the cycle."""
        rows = await self._database.fetch(
            f"{_RUNS}cycle_id = ? AND phase = ? ORDER BY id LIMIT ?", (cycle_id, Phase.RUNNING.value, limit)
        )
        return [run_of(row) for row in rows]

    async def entries(self, source: str, message_id: str) -> list[JournalEntry]:
        """In the order in which they were written."""
        return await journal_entries(self._database, source, message_id)
