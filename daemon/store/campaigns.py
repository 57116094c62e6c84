"""Campaigns, their recipients and the pace of numbers in the database. Every change names the version that was read."""

import json
from collections.abc import Callable, Sequence
from typing import Any  # rows carry what the columns hold; the dataclasses below give it types

from daemon.store.database import Database, Row, Write
from daemon.store.ids import Ids
from domain.campaign import Campaign, CampaignStatus, Recipient, RecipientState
from domain.campaign_ports import PaceRow
from domain.sending import PauseReason

_CAMPAIGN = (
    "id, owner, name, session, contact_list_id, text_content, default_name_value, media_file, scheduled_at_ms, "
    "expires_after_s, status, pause_reason, pause_detail, paused_at_ms, total_contacts, last_processed_contact_index, "
    "created_at_ms, started_at_ms, completed_at_ms, robot_id, call_ref, notices, version"
)
_RECIPIENT = (
    "campaign_id, position, contact_id, chat_id, first_name, fields, state, attempt, message_id, waha_id, error_code, "
    "error_detail, sending_at_ms, ended_at_ms"
)
_ONE = f"SELECT {_CAMPAIGN} FROM campaign WHERE id = ?"  # noqa: S608  column names of ours, no input
_INSERT = (
    f"INSERT INTO campaign ({_CAMPAIGN}) "  # noqa: S608  column names of ours, no input
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_UPDATE = (
    "UPDATE campaign SET scheduled_at_ms = ?, status = ?, pause_reason = ?, pause_detail = ?, paused_at_ms = ?, "
    "total_contacts = ?, last_processed_contact_index = ?, started_at_ms = ?, completed_at_ms = ?, notices = ?, "
    "version = version + 1 WHERE id = ? AND version = ?"
)
# One statement for any number of contacts: nothing of the list passes through this process.
_FREEZE = (
    "INSERT INTO campaign_recipient (campaign_id, position, contact_id, chat_id, first_name, fields, state, attempt) "
    "SELECT ?, ROW_NUMBER() OVER (ORDER BY id) - 1, id, chat_id, first_name, fields, 'PENDING', 0 "
    "FROM contact WHERE contact_list_id = ?"
)
_NEXT = (
    f"SELECT {_RECIPIENT} FROM campaign_recipient "  # noqa: S608  column names of ours, no input
    "WHERE campaign_id = ? AND state = ? ORDER BY position LIMIT ?"
)
_INTEND = (
    "UPDATE campaign_recipient SET state = 'SENDING', attempt = ?, message_id = ?, sending_at_ms = ?, "
    "error_code = NULL, error_detail = NULL "
    "WHERE campaign_id = ? AND position = ? AND state = 'PENDING' AND attempt = ?"
)
_SETTLE = (
    "UPDATE campaign_recipient SET state = ?, waha_id = ?, error_code = ?, error_detail = ?, ended_at_ms = ? "
    "WHERE campaign_id = ? AND position = ? AND attempt = ? AND state IN ('PENDING', 'SENDING')"
)
_AGAIN = "UPDATE campaign_recipient SET state = 'PENDING', ended_at_ms = NULL WHERE campaign_id = ? AND state = ?"

_UPDATE_PACE = "UPDATE number_pace SET pace = ?, breaker = ?, version = version + 1 WHERE session = ? AND version = ?"


class SqlCampaigns:
    """The port `Campaigns` for one unit of work: reads at once, hands its writes to `collect`."""

    def __init__(self, database: Database, ids: Ids, collect: Callable[[Write], None]) -> None:
        self._database = database
        self._ids = ids
        self._collect = collect

    async def new_id(self) -> int:
        """The next id of the block that this process holds."""
        return await self._ids.next("campaign")

    async def get(self, campaign_id: int) -> Campaign | None:
        """By id."""
        rows = await self._database.fetch(_ONE, (campaign_id,))
        return _campaign_of(rows[0]) if rows else None

    async def counts(self, campaign_id: int) -> dict[RecipientState, int]:
        """How many recipients are in each state."""
        sql = "SELECT state, COUNT(*) FROM campaign_recipient WHERE campaign_id = ? GROUP BY state"
        rows: Sequence[tuple[Any, ...]] = await self._database.fetch(sql, (campaign_id,))
        return {RecipientState(state): int(count) for state, count in rows}

    async def contacts_of(self, list_id: int) -> int:
        """How many contacts a list has now."""
        rows = await self._database.fetch("SELECT COUNT(*) FROM contact WHERE contact_list_id = ?", (list_id,))
        return int(rows[0][0] or 0)

    async def in_state(self, campaign_id: int, state: RecipientState, limit: int) -> list[Recipient]:
        """The first recipients in this state, by position."""
        return [_recipient_of(row) for row in await self._database.fetch(_NEXT, (campaign_id, state.value, limit))]

    def add(self, campaign: Campaign) -> None:
        """A new row."""
        self._collect(Write(_INSERT, _values_of(campaign), rows=1))

    def save(self, campaign: Campaign) -> None:
        """A change of what was read; a Conflict if another writer was first."""
        args = (
            campaign.scheduled_at_ms,
            campaign.status.value,
            None if campaign.pause_reason is None else campaign.pause_reason.value,
            campaign.pause_detail,
            campaign.paused_at_ms,
            campaign.total_contacts,
            campaign.last_processed_contact_index,
            campaign.started_at_ms,
            campaign.completed_at_ms,
            campaign.notices,
            campaign.id,
            campaign.version,
        )
        self._collect(Write(_UPDATE, args, rows=1))

    def freeze(self, campaign: Campaign, contacts: int) -> None:
        """Copy the list into the ledger, by the contacts' ids. A Conflict if it changed since it was counted."""
        self._collect(Write(_FREEZE, (campaign.id, campaign.contact_list_id), rows=contacts))

    def intend(self, recipient: Recipient) -> None:
        """The intent to send; a Conflict unless the recipient is PENDING still, so that one of two writers wins."""
        key = (recipient.campaign_id, recipient.position)
        args = (recipient.attempt, recipient.message_id, recipient.sending_at_ms, *key, recipient.attempt - 1)
        self._collect(Write(_INTEND, args, rows=1))

    def settle(self, recipient: Recipient) -> None:
        """What became of a recipient; a Conflict if another attempt was begun meanwhile."""
        args = (
            recipient.state.value,
            recipient.waha_id,
            recipient.error_code,
            recipient.error_detail,
            recipient.ended_at_ms,
            recipient.campaign_id,
            recipient.position,
            recipient.attempt,
        )
        self._collect(Write(_SETTLE, args, rows=1))

    def again(self, campaign_id: int, state: RecipientState) -> None:
        """Every recipient in this state becomes PENDING."""
        self._collect(Write(_AGAIN, (campaign_id, state.value)))

    async def pace(self, session: str) -> PaceRow | None:
        """Pace and breaker of a number as they were written, or None for a new one."""
        sql = "SELECT pace, breaker, version FROM number_pace WHERE session = ?"
        rows: Sequence[tuple[Any, ...]] = await self._database.fetch(sql, (session,))
        return PaceRow(json.loads(rows[0][0]), json.loads(rows[0][1]), int(rows[0][2])) if rows else None

    def save_pace(self, session: str, row: PaceRow) -> None:
        """Write both; `row.version` is what was read, 0 for a new one. A Conflict if another campaign was first."""
        pace, breaker = json.dumps(row.pace), json.dumps(row.breaker)
        if row.version == 0:
            sql = "INSERT INTO number_pace (session, pace, breaker, version) VALUES (?, ?, ?, 1)"
            self._collect(Write(sql, (session, pace, breaker), rows=1))
        else:
            self._collect(Write(_UPDATE_PACE, (pace, breaker, session, row.version), rows=1))


def _values_of(campaign: Campaign) -> tuple[str | int | None, ...]:
    return (
        campaign.id,
        campaign.owner,
        campaign.name,
        campaign.session,
        campaign.contact_list_id,
        campaign.text,
        campaign.default_name,
        campaign.media_file,
        campaign.scheduled_at_ms,
        campaign.expires_after_s,
        campaign.status.value,
        None if campaign.pause_reason is None else campaign.pause_reason.value,
        campaign.pause_detail,
        campaign.paused_at_ms,
        campaign.total_contacts,
        campaign.last_processed_contact_index,
        campaign.created_at_ms,
        campaign.started_at_ms,
        campaign.completed_at_ms,
        campaign.robot_id,
        campaign.call_ref,
        campaign.notices,
        campaign.version,
    )


def _campaign_of(row: Row) -> Campaign:
    values: dict[str, Any] = dict(zip(_CAMPAIGN.split(", "), row, strict=True))
    reason = values["pause_reason"]
    return Campaign(
        id=values["id"],
        owner=values["owner"],
        name=values["name"],
        session=values["session"],
        contact_list_id=values["contact_list_id"],
        text=values["text_content"],
        default_name=values["default_name_value"],
        scheduled_at_ms=values["scheduled_at_ms"],
        created_at_ms=values["created_at_ms"],
        media_file=values["media_file"],
        expires_after_s=values["expires_after_s"],
        status=CampaignStatus(values["status"]),
        pause_reason=None if reason is None else PauseReason(reason),
        pause_detail=values["pause_detail"],
        paused_at_ms=values["paused_at_ms"],
        total_contacts=values["total_contacts"],
        last_processed_contact_index=values["last_processed_contact_index"],
        started_at_ms=values["started_at_ms"],
        completed_at_ms=values["completed_at_ms"],
        robot_id=values["robot_id"],
        call_ref=values["call_ref"],
        notices=values["notices"],
        version=values["version"],
    )


def _recipient_of(row: Row) -> Recipient:
    values: dict[str, Any] = dict(zip(_RECIPIENT.split(", "), row, strict=True))
    values["fields"] = json.loads(values["fields"]) if values["fields"] else None
    values["state"] = RecipientState(values["state"])
    return Recipient(**values)
