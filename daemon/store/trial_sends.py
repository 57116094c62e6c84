"""Test sends in the database: an intent before each, so that a command that comes twice sends once."""

from collections.abc import Callable
from typing import Any  # rows carry what the columns hold; the dataclass gives it types

from daemon.store.database import Database, Write
from domain.campaign import RecipientState
from domain.campaign_ports import TrialSent

_COLUMNS = "id, campaign_id, chat_id, state, at_ms, message_id, waha_id, error_code, error_detail"
_ONE = f"SELECT {_COLUMNS} FROM campaign_trial_send WHERE id = ?"  # noqa: S608  column names of ours, no input
_INSERT = (
    f"INSERT INTO campaign_trial_send ({_COLUMNS}) "  # noqa: S608  as above
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_SETTLE = (
    "UPDATE campaign_trial_send SET state = ?, waha_id = ?, error_code = ?, error_detail = ? "
    "WHERE id = ? AND state = 'SENDING'"
)


class SqlTrialSends:
    """The port `TrialSends` for one unit of work: reads at once, hands its writes to `collect`."""

    def __init__(self, database: Database, collect: Callable[[Write], None]) -> None:
        self._database = database
        self._collect = collect

    async def get(self, send_id: str) -> TrialSent | None:
        """By the command's id."""
        rows = await self._database.fetch(_ONE, (send_id,))
        if not rows:
            return None
        values: dict[str, Any] = dict(zip(_COLUMNS.split(", "), rows[0], strict=True))
        values["state"] = RecipientState(values["state"])
        return TrialSent(**values)

    def add(self, sent: TrialSent) -> None:
        """A duplicate key, so a Conflict, where the same command was here before."""
        place = (sent.id, sent.campaign_id, sent.chat_id, sent.state.value, sent.at_ms)
        self._collect(Write(_INSERT, (*place, sent.message_id, sent.waha_id, sent.error_code, sent.error_detail), 1))

    def settle(self, sent: TrialSent) -> None:
        """What became of it; the first word stays."""
        args = (sent.state.value, sent.waha_id, sent.error_code, sent.error_detail, sent.id)
        self._collect(Write(_SETTLE, args))
