"""Our ledger of subscriptions at Megazord, which never tells which ones are open."""

from collections.abc import Callable

from daemon.store.database import Database, Write


class SqlSubscriptions:
    """The port `Subscriptions` for one unit of work."""

    def __init__(self, database: Database, collect: Callable[[Write], None]) -> None:
        self._database = database
        self._collect = collect

    async def is_known(self, subscription_id: int) -> bool:
        """Whether the ledger has it."""
        sql = "SELECT 1 FROM subscription WHERE subscription_id = ?"
        return bool(await self._database.fetch(sql, (subscription_id,)))

    async def is_released(self, subscription_id: int) -> bool:
        """Whether the ledger says that it is deleted."""
        sql = "SELECT released_at_ms FROM subscription WHERE subscription_id = ?"
        rows = await self._database.fetch(sql, (subscription_id,))
        return bool(rows) and rows[0][0] is not None

    def hold(self, subscription_id: int, robot_id: int) -> None:
        """Enter an open subscription. Entering it again replaces the line: the delete makes that portable."""
        self._collect(Write("DELETE FROM subscription WHERE subscription_id = ?", (subscription_id,)))
        self._collect(
            Write(
                "INSERT INTO subscription (subscription_id, robot_id, held_at_ms) VALUES (?, ?, {now_ms})",
                (subscription_id, robot_id),
            )
        )

    def release(self, subscription_id: int) -> None:
        """Mark it deleted."""
        sql = "UPDATE subscription SET released_at_ms = {now_ms} WHERE subscription_id = ?"
        self._collect(Write(sql, (subscription_id,)))
