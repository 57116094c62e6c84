"""MailWizz behind the domain's `MailWizz` port: its database, since its HTTP API changes no server's status."""

from daemon.clients.mailwizz_database import DEPENDENCY, MailWizzDatabase, MailWizzNames, Write
from daemon.clients.mailwizz_record import Verdicts
from daemon.clients.mailwizz_servers import JUDGED, QUOTAS, candidate_of, candidates_sql, selected, server_of
from domain.delivery_server import DeliveryServer
from domain.errors import RobotdError, Unavailable
from domain.server_ports import Candidate, Consequence, LastTest, Recorded
from domain.server_test import Verdict

_TRIES = 10  # a rival that was first has changed a row for good, so few are ever needed


class SqlMailWizz:
    """See the port. Times are compared by the database, and told as it spells them in MailWizz's time zone."""

    def __init__(self, database: MailWizzDatabase, names: MailWizzNames | None = None) -> None:
        names = names or MailWizzNames()
        self._database = database
        self._servers = names.table("delivery_server")
        self._history = names.history
        self._verdicts = Verdicts(database, names)

    async def now(self) -> str:
        """The database's clock."""
        ((now,),) = await self._database.fetch(f"SELECT {self._database.now}")
        return str(now)

    async def server(self, server_id: int) -> DeliveryServer | None:
        """One server, whatever its status."""
        there = await self._database.columns(self._servers)
        sql = f"SELECT {selected(there)} FROM {self._servers} s WHERE s.server_id = ?"  # noqa: S608  checked names, no input
        rows = await self._database.fetch(sql, (server_id,))
        return server_of(rows[0]) if rows else None

    async def candidates(self, max_age_s: int) -> list[Candidate]:
        """Every sending server once: never tested ones first, then by the start of their newest test."""
        there = await self._database.columns(self._servers)
        oldest = self._database.before(self._database.now)
        rows = await self._database.fetch(candidates_sql(self._servers, self._history, there, oldest), (max_age_s,))
        return [candidate_of(row) for row in rows]

    async def last_test(self, server_id: int) -> LastTest | None:
        """The newest line; of two with one start the one that says FAILED."""
        rows = await self._database.fetch(
            f"SELECT status, test_insert_date FROM {self._history} WHERE delivery_server_id = ? AND status {JUDGED}"  # noqa: S608  as above
            f" ORDER BY test_insert_date DESC, CASE WHEN status = '{Verdict.FAILED}' THEN 0 ELSE 1 END LIMIT 1",
            (server_id,),
        )
        return LastTest(server_id, Verdict(str(rows[0][0])), str(rows[0][1])) if rows else None

    async def failures_in_a_row(self, server_id: int) -> int:
        """How many lines say FAILED since the newest that says SUCCESSFUL."""
        newest = (
            f"SELECT MAX(test_insert_date) FROM {self._history}"  # noqa: S608  as above
            f" WHERE delivery_server_id = ? AND status = '{Verdict.SUCCESSFUL}'"
        )
        ((failures,),) = await self._database.fetch(
            f"SELECT COUNT(*) FROM {self._history} WHERE delivery_server_id = ? AND status = '{Verdict.FAILED}'"  # noqa: S608  as above
            f" AND (test_insert_date >= ({newest}) OR ({newest}) IS NULL)",
            (server_id, server_id, server_id),
        )
        return int(failures or 0)

    async def record(self, what: Consequence) -> Recorded:
        """Line and status in one transaction, then the promotion. A server that is gone meanwhile gets no line."""
        if what.verdict is Verdict.ERROR:
            raise ValueError("a test that judges nothing leaves no line")
        recorded = await self._record(what)
        if what.promote_to is None or what.verdict is not Verdict.SUCCESSFUL:
            return recorded
        try:
            await self._verdicts.promote(what.loaded.id, what.promote_to)
        except RobotdError as error:
            return Recorded(recorded.deactivated, recorded.kept, recorded.is_repeat, str(error))
        return recorded

    async def _record(self, what: Consequence) -> Recorded:
        for _ in range(_TRIES):
            if (earlier := await self._verdicts.earlier(what)) is not None:
                return earlier
            fresh = await self.server(what.loaded.id)
            if fresh is None:
                return Recorded(deactivated=False, kept="changed", is_repeat=False)
            if (recorded := await self._verdicts.record(what, fresh)) is not None:
                return recorded
        raise Unavailable(DEPENDENCY, f"a verdict gave way to other writers {_TRIES} times")

    async def reset_quota(self, server_id: int) -> None:
        """Set the quotas that this version has to 0."""
        there = await self._database.columns(self._servers)
        zeros = ", ".join(f"{name} = 0" for name in QUOTAS if name in there)
        if zeros:
            sql = f"UPDATE {self._servers} SET {zeros} WHERE server_id = ?"  # noqa: S608  as above
            await self._database.apply([Write(sql, (server_id,))])
