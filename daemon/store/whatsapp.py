"""The messages of campaigns by WhatsApp's ids in the database. Every change names what was read."""

from collections.abc import Callable, Sequence
from typing import Any  # rows carry what the columns hold; the dataclasses below give it types

from daemon.store.database import Database, Row, Value, Write
from domain.campaign import RecipientState
from domain.number_breaker import Acks
from domain.sending import PauseReason
from domain.whatsapp_ports import SentMessage

_FROM = (
    "FROM campaign_message m JOIN campaign_recipient r ON r.campaign_id = m.campaign_id AND r.position = m.position "
    "WHERE m.session = ? "
)
_SELECT = (
    "SELECT m.session, m.message_id, m.campaign_id, m.position, m.attempt, m.at_ms, m.ack, r.chat_id, r.state, "
    f"r.attempt {_FROM}"
)
_ONE = f"{_SELECT}AND m.message_id = ?"
_OF_LAST = "AND m.at_ms >= ? AND m.attempt = r.attempt "
_TO_LOOK_AT = (
    f"{_SELECT}{_OF_LAST}AND r.state IN ('SENT', 'UNKNOWN') AND (m.ack IS NULL OR m.ack IN (0, 1)) "
    "AND (m.looked_at_ms IS NULL OR m.looked_at_ms <= ?) ORDER BY COALESCE(m.looked_at_ms, 0), m.at_ms LIMIT ?"
)
_UNSETTLED = (
    f"{_SELECT}{_OF_LAST}AND ((m.ack >= 1 AND r.state IN ('UNKNOWN', 'FAILED', 'PENDING')) "
    "OR (m.ack = -1 AND r.state = 'SENT')) ORDER BY m.at_ms LIMIT ?"
)
_ACKS = (
    f"SELECT COUNT(*), COUNT(m.ack), COUNT(CASE WHEN m.ack >= 2 THEN 1 END) {_FROM}{_OF_LAST}"
    "AND m.at_ms <= ? AND r.state = 'SENT'"
)
_LOOKED_LATE = " AND (m.ack >= 2 OR m.looked_at_ms >= m.at_ms + ?)"
_RUNS = "SELECT 1 FROM campaign WHERE session = ? AND status = 'Running' LIMIT 1"
_ON_ITS_WAY = (
    "SELECT 1 FROM campaign_message WHERE session = ? AND at_ms >= ? AND (ack IS NULL OR ack IN (0, 1)) LIMIT 1"
)
_SENDING = (
    "SELECT 1 FROM campaign c JOIN campaign_recipient r ON r.campaign_id = c.id "
    "WHERE c.session = ? AND r.state = 'SENDING' LIMIT 1"
)
_NOTE = "UPDATE campaign_message SET ack = ?, ack_at_ms = ? WHERE session = ? AND message_id = ? AND "
_LOOKED = "UPDATE campaign_message SET looked_at_ms = ? WHERE session = ? AND message_id = ?"
_SETTLE = (
    "UPDATE campaign_recipient SET state = ?, error_code = ?, error_detail = ?, ended_at_ms = COALESCE(ended_at_ms, ?) "
    "WHERE campaign_id = ? AND position = ? AND attempt = ? AND state = ?"
)
_HEALS = tuple(reason.value for reason in PauseReason if reason.heals_by_itself)
_HEALING = (
    "SELECT id FROM campaign WHERE session = ? AND status = 'Paused' "  # noqa: S608  question marks alone
    f"AND pause_reason IN ({', '.join('?' * len(_HEALS))}) ORDER BY id"
)


class SqlWhatsApp:
    """The port `WhatsAppLedger` for one unit of work: reads at once, hands its writes to `collect`."""

    def __init__(self, database: Database, collect: Callable[[Write], None], now_ms: int) -> None:
        self._database = database
        self._collect = collect
        self._now_ms = now_ms

    async def message(self, session: str, message_id: str) -> SentMessage | None:
        """By session and bare id."""
        rows = await self._database.fetch(_ONE, (session, message_id))
        return _message_of(rows[0]) if rows else None

    async def is_sending(self, session: str) -> bool:
        """Whether an intent of any campaign has no answer yet."""
        return bool(await self._database.fetch(_SENDING, (session,)))

    async def to_look_at(self, session: str, since_ms: int, before_ms: int, limit: int) -> list[SentMessage]:
        """Never looked at first, then the oldest look."""
        rows = await self._database.fetch(_TO_LOOK_AT, (session, since_ms, before_ms, limit))
        return [_message_of(row) for row in rows]

    async def unsettled(self, session: str, since_ms: int, limit: int) -> list[SentMessage]:
        """Such as an acknowledgement that was heard before the answer to its send."""
        return [_message_of(row) for row in await self._database.fetch(_UNSETTLED, (session, since_ms, limit))]

    async def acks(self, session: str, since_ms: int, until_ms: int, looked_after_ms: int | None) -> Acks:
        """Of those whose last word is SENT."""
        sql = _ACKS if looked_after_ms is None else _ACKS + _LOOKED_LATE
        args: list[Value] = [session, since_ms, until_ms, *([] if looked_after_ms is None else [looked_after_ms])]
        rows: Sequence[tuple[Any, ...]] = await self._database.fetch(sql, args)
        return Acks(*(int(count) for count in rows[0]))

    async def is_awaited(self, session: str, since_ms: int) -> bool:
        """Asked in two questions, each of which one row answers."""
        if await self._database.fetch(_RUNS, (session,)):
            return True
        return bool(await self._database.fetch(_ON_ITS_WAY, (session, since_ms)))

    async def healing(self, session: str) -> list[int]:
        """By id."""
        rows: Sequence[tuple[Any, ...]] = await self._database.fetch(_HEALING, (session, *_HEALS))
        return [int(row[0]) for row in rows]

    def note(self, message: SentMessage, ack: int, at_ms: int) -> None:
        """A Conflict if the acknowledgement is no longer the one that was read."""
        args = (ack, at_ms, message.session, message.message_id)
        if message.ack is None:
            self._collect(Write(f"{_NOTE}ack IS NULL", args, rows=1))
        else:
            self._collect(Write(f"{_NOTE}ack = ?", (*args, message.ack), rows=1))

    def looked(self, message: SentMessage, at_ms: int) -> None:
        """Whoever looked last is remembered."""
        self._collect(Write(_LOOKED, (at_ms, message.session, message.message_id)))

    def settle(self, message: SentMessage, state: RecipientState, code: str | None, detail: str | None) -> None:
        """A Conflict if the recipient has another state or attempt meanwhile."""
        key = (message.campaign_id, message.position, message.attempt, message.state.value)
        self._collect(Write(_SETTLE, (state.value, code, detail, self._now_ms, *key), rows=1))


def _message_of(row: Row) -> SentMessage:
    values: Sequence[Any] = row
    session, message_id, campaign_id, position, attempt, at_ms, ack, chat_id, state, last_attempt = values
    return SentMessage(
        session,
        message_id,
        campaign_id,
        position,
        attempt,
        at_ms,
        ack,
        chat_id,
        state=RecipientState(state),
        recipient_attempt=last_attempt,
    )
