"""MailWizz's delivery servers and their history as people look at them. Only SELECTs."""

from daemon.clients.mailwizz import SqlMailWizz
from daemon.clients.mailwizz_database import MailWizzDatabase, MailWizzNames, Row
from daemon.clients.mailwizz_servers import JUDGED, selected, server_of
from daemon.server_view import HistoryLine
from domain.delivery_server import DeliveryServer
from domain.server_ports import Candidate
from domain.server_test import Verdict

_LINE = "h.delivery_server_id, h.status, h.test_insert_date, h.error_message"


class SqlMailWizzLooks:
    """The port `MailWizzLooks`."""

    def __init__(self, database: MailWizzDatabase, names: MailWizzNames) -> None:
        self._database = database
        self._mailwizz = SqlMailWizz(database, names)
        self._servers = names.table("delivery_server")
        self._history = names.history

    async def server(self, server_id: int) -> DeliveryServer | None:
        """As tests read it."""
        return await self._mailwizz.server(server_id)

    async def servers(self) -> list[DeliveryServer]:
        """By id."""
        there = await self._database.columns(self._servers)
        sql = f"SELECT {selected(there)} FROM {self._servers} s ORDER BY s.server_id"  # noqa: S608  checked names, no input
        return [server_of(row) for row in await self._database.fetch(sql)]

    async def candidates(self, max_age_s: int) -> list[Candidate]:
        """As cycles read them."""
        return await self._mailwizz.candidates(max_age_s)

    async def last_lines(self) -> dict[int, HistoryLine]:
        """Of two lines with one start the one that says FAILED."""
        rows = await self._database.fetch(
            f"SELECT {_LINE} FROM {self._history} h JOIN (SELECT delivery_server_id, MAX(test_insert_date) AS newest"  # noqa: S608  as above
            f" FROM {self._history} WHERE status {JUDGED} GROUP BY delivery_server_id) t"
            " ON t.delivery_server_id = h.delivery_server_id AND t.newest = h.test_insert_date"
            f" WHERE h.status {JUDGED} ORDER BY CASE WHEN h.status = '{Verdict.FAILED}' THEN 1 ELSE 0 END"
        )
        return {line.server_id: line for line in map(_line_of, rows)}

    async def history(self, server_id: int, limit: int) -> list[HistoryLine]:
        """The newest first; what an earlier tester called PENDING is no test."""
        rows = await self._database.fetch(
            f"SELECT {_LINE} FROM {self._history} h WHERE h.delivery_server_id = ? AND h.status {JUDGED}"  # noqa: S608  as above
            " ORDER BY h.test_insert_date DESC LIMIT ?",
            (server_id, limit),
        )
        return [_line_of(row) for row in rows]


def _line_of(row: Row) -> HistoryLine:
    server_id, status, started, error = row
    return HistoryLine(int(server_id or 0), Verdict(str(status)), str(started), None if error is None else str(error))
