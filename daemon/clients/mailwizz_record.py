"""A verdict in MailWizz's database: the line of the history and the change of status, one transaction.

What to do is decided by reading, and every write repeats what it was decided by. So a rival makes the transaction a
Conflict that wrote nothing, and it is decided anew. Rows of servers are locked in the order of their ids.
"""

from collections.abc import Collection
from dataclasses import dataclass

from daemon.clients.mailwizz_database import MailWizzDatabase, MailWizzNames, Value, Write, same
from daemon.clients.mailwizz_servers import SENDS
from domain.delivery_server import DeliveryServer
from domain.errors import Conflict
from domain.server_ports import Consequence, Recorded
from domain.server_test import Verdict

LONGEST_ERROR = 1000
_CHANGED, _LAST_ACTIVE, _NOT_ASKED = "changed", "last-active", "not-asked"
# They end the error of a failed test, so that a repeat can tell what was done then.
_BECAME = {
    "": " (switched off)",
    _CHANGED: " (kept: changed meanwhile)",
    _LAST_ACTIVE: " (kept: the last one that sends)",
    _NOT_ASKED: " (kept: not asked to switch off)",
}


@dataclass(frozen=True, slots=True)
class _Decision:
    """`kept` as in Recorded. `peers` go on sending when the server is switched off: one of each group that it is in."""

    is_off: bool
    kept: str
    peers: frozenset[int] = frozenset()


class Verdicts:
    """Writes verdicts. `servers` reads one server anew."""

    def __init__(self, database: MailWizzDatabase, names: MailWizzNames) -> None:
        self._database = database
        self._history = names.history
        self._servers = names.table("delivery_server")
        self._groups = names.table("delivery_server_to_customer_group")

    async def earlier(self, what: Consequence) -> Recorded | None:
        """What a line with the same server and start says was done; None where there is none."""
        lines = await self._database.fetch(
            f"SELECT status, error_message FROM {self._history}"  # noqa: S608  checked names, no input
            " WHERE delivery_server_id = ? AND test_insert_date = ?",
            (what.loaded.id, what.started),
        )
        if not lines:
            return None
        status, error = lines[0]
        if status != Verdict.FAILED:
            return Recorded(deactivated=False, kept="", is_repeat=True)
        became = next((kept for kept, words in _BECAME.items() if str(error).endswith(words)), _NOT_ASKED)
        return Recorded(deactivated=not became, kept=became, is_repeat=True)

    async def record(self, what: Consequence, fresh: DeliveryServer) -> Recorded | None:
        """Decide by the server as it was read just now, and write. None: a rival was first, read again."""
        decision = await self._decide(what, fresh)
        there = await self._database.columns(self._servers)
        try:
            await self._database.apply([*self._statuses(what, decision, there), self._line(what, decision)])
        except Conflict:
            return None
        return Recorded(deactivated=decision.is_off, kept=decision.kept, is_repeat=False)

    async def promote(self, server_id: int, group_id: int) -> None:
        """Add a server to a customer group, which may have it already. Raises Conflict where there is no such group."""
        is_in = f"SELECT 1 FROM {self._groups} WHERE server_id = ? AND group_id = ?"  # noqa: S608  as above
        try:
            await self._database.apply(
                [
                    Write(
                        f"INSERT INTO {self._groups} (server_id, group_id) SELECT server_id, ? FROM {self._servers}"  # noqa: S608  as above
                        f" WHERE server_id = ? AND NOT EXISTS ({is_in})",
                        (group_id, server_id, server_id, group_id),
                    )
                ]
            )
        except Conflict:
            if not await self._database.fetch(is_in, (server_id, group_id)):
                raise

    async def _decide(self, what: Consequence, fresh: DeliveryServer) -> _Decision:
        if what.verdict is Verdict.SUCCESSFUL:
            return _Decision(is_off=False, kept="")
        if not what.deactivate:
            return _Decision(is_off=False, kept=_NOT_ASKED)
        loaded = what.loaded
        is_as_tested = fresh.last_updated == loaded.last_updated and fresh.fingerprint == loaded.fingerprint
        if not (is_as_tested and fresh.is_sending):
            return _Decision(is_off=False, kept=_CHANGED)
        if not what.keep_last_active:
            return _Decision(is_off=True, kept="")
        peers = [await self._peer_of_owner(fresh), *await self._peers_of_groups(fresh.id)]
        if None in peers:
            return _Decision(is_off=False, kept=_LAST_ACTIVE)
        return _Decision(is_off=True, kept="", peers=frozenset(peer for peer in peers if peer is not None))

    async def _peer_of_owner(self, server: DeliveryServer) -> int | None:
        """Another that sends for the same customer, or for the system as a whole."""
        is_owner, owner = same("customer_id", server.customer_id)
        ((peer,),) = await self._database.fetch(
            f"SELECT MIN(server_id) FROM {self._servers} WHERE status {SENDS} AND server_id <> ? AND {is_owner}",  # noqa: S608  as above
            (server.id, *owner),
        )
        return _id(peer)

    async def _peers_of_groups(self, server_id: int) -> list[int | None]:
        """Another that sends, for each customer group that the server is in."""
        rows = await self._database.fetch(
            f"SELECT g.group_id, MIN(s.server_id) FROM {self._groups} g"  # noqa: S608  as above
            f" LEFT JOIN {self._groups} o ON o.group_id = g.group_id AND o.server_id <> g.server_id"
            f" LEFT JOIN {self._servers} s ON s.server_id = o.server_id AND s.status {SENDS}"
            " WHERE g.server_id = ? GROUP BY g.group_id",
            (server_id,),
        )
        return [_id(peer) for _, peer in rows]

    def _statuses(self, what: Consequence, decision: _Decision, there: Collection[str]) -> list[Write]:
        own = self._switched_off(what.loaded, there) if decision.is_off else self._locked(what.loaded.id)
        return [
            own if server_id == what.loaded.id else self._still_sends(server_id)
            for server_id in sorted({what.loaded.id, *decision.peers})
        ]

    def _locked(self, server_id: int) -> Write:
        """Changes nothing; whoever writes of the same server waits here, and then sees our line."""
        return Write(f"UPDATE {self._servers} SET status = status WHERE server_id = ?", (server_id,), 1)  # noqa: S608  as above

    def _still_sends(self, server_id: int) -> Write:
        """Changes nothing, and lets nobody switch it off before we are through."""
        sql = f"UPDATE {self._servers} SET status = status WHERE server_id = ? AND status {SENDS}"  # noqa: S608  as above
        return Write(sql, (server_id,), 1)

    def _switched_off(self, loaded: DeliveryServer, there: Collection[str]) -> Write:
        texts = {name: getattr(loaded, name) for name in ("type", "hostname", "username", "protocol", "from_email")}
        conditions: list[tuple[str, tuple[Value, ...]]] = [
            (f"COALESCE({name}, '') = ?", (text,)) for name, text in texts.items()
        ]
        values = ("password", "port", "bounce_server_id", "tracking_domain_id")
        conditions += [same(name, getattr(loaded, name)) for name in values if name in there]
        conditions.append(same("last_updated", loaded.last_updated or None))
        args: list[Value] = [value for _, found in conditions for value in found]
        wanted = " AND ".join(condition for condition, _ in conditions)
        return Write(
            f"UPDATE {self._servers} SET status = 'inactive', last_updated = {self._database.now}"  # noqa: S608  as above
            f" WHERE server_id = ? AND status {SENDS} AND {wanted}",
            (loaded.id, *args),
            1,
        )

    def _line(self, what: Consequence, decision: _Decision) -> Write:
        error = None
        if what.verdict is Verdict.FAILED:
            became = _BECAME[decision.kept]
            error = (what.error or "")[: LONGEST_ERROR - len(became)] + became
        return Write(
            f"INSERT INTO {self._history} (delivery_server_id, status, error_message, test_insert_date)"  # noqa: S608  as above
            f" SELECT server_id, ?, ?, ? FROM {self._servers} WHERE server_id = ? AND NOT EXISTS (SELECT 1"
            f" FROM {self._history} WHERE delivery_server_id = ? AND test_insert_date = ?)",
            (what.verdict.value, error, what.started, what.loaded.id, what.loaded.id, what.started),
            1,
        )


def _id(value: Value) -> int | None:
    return None if value is None else int(value)
