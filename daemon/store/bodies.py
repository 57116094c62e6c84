"""Bodies of dead letters that did not fit into one message."""

from dataclasses import dataclass

from daemon.store.database import Database, Write


@dataclass(frozen=True, slots=True)
class SqlBodies:
    """The port `KeepsBodies`."""

    database: Database

    async def park_body(self, delivery_id: str, body: str) -> None:
        """Keep a body under its delivery's id."""
        await self.database.apply(
            [
                Write("DELETE FROM parked_body WHERE id = ?", (delivery_id,)),
                Write("INSERT INTO parked_body (id, body, parked_at_ms) VALUES (?, ?, {now_ms})", (delivery_id, body)),
            ]
        )
