"""Campaigns, their recipients and the pace of numbers in the database. Every change names the version that was read."""

import json
from collections.abc import Callable, Sequence
from typing import Any  # rows carry what the columns hold; the dataclasses below give it types

from daemon.metric_names import CAMPAIGN_MESSAGES
from daemon.store.database import Database, Row, Value, Write
from daemon.store.ids import Ids
from daemon.store.tally import Tally, untallied
from domain.campaign import Campaign, CampaignStatus, Recipient, RecipientState
from domain.campaign_messages import Window
from domain.campaign_ports import PaceRow, ToDo
from domain.sending import PauseReason, bare_id
from domain.wire import JsonObject, whole_second

_CAMPAIGN = (
    "id, owner, name, session, contact_list_id, text_content, default_name_value, media_file, scheduled_at_ms, "
    "expires_after_s, status, pause_reason, pause_detail, paused_at_ms, total_contacts, last_processed_contact_index, "
    "created_at_ms, started_at_ms, completed_at_ms, robot_id, call_ref, notices, version"
)
_RECIPIENT = (
    "campaign_id, position, contact_id, chat_id, first_name, fields, state, attempt, message_id, waha_id, error_code, "
    "error_detail, sending_at_ms, ended_at_ms"
)
_NAMES, _RECIPIENT_NAMES = tuple(_CAMPAIGN.split(", ")), tuple(_RECIPIENT.split(", "))
_FROM = "FROM campaign LEFT JOIN campaign_terms ON campaign_terms.campaign_id = campaign.id "
_READ = f"SELECT {_CAMPAIGN}, terms {_FROM}"
_PACED = (
    "SELECT " + ", ".join(f"campaign.{name}" for name in _CAMPAIGN.split(", ")) + ", terms, "
    "number_pace.pace, number_pace.breaker, number_pace.version "
    f"{_FROM}LEFT JOIN number_pace ON number_pace.session = campaign.session WHERE campaign.id = ?"
)
_INSERT = (
    f"INSERT INTO campaign ({_CAMPAIGN}) "  # noqa: S608  column names of ours, no input
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_TERMS = "INSERT INTO campaign_terms (campaign_id, terms) VALUES (?, ?)"
_UPDATE = (
    "UPDATE campaign SET session = ?, scheduled_at_ms = ?, status = ?, pause_reason = ?, pause_detail = ?, "
    "paused_at_ms = ?, total_contacts = ?, last_processed_contact_index = ?, started_at_ms = ?, completed_at_ms = ?, "
    "notices = ?, version = version + 1 WHERE id = ? AND version = ?"
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
_MOST_DOUBTFUL = 5
_TO_DO = (
    f"SELECT * FROM (SELECT {_RECIPIENT}, 0 AS opted_out FROM campaign_recipient "  # noqa: S608  as above
    f"WHERE campaign_id = ? AND state = 'SENDING' ORDER BY position LIMIT {_MOST_DOUBTFUL}) AS doubtful "
    f"UNION ALL SELECT * FROM (SELECT {_RECIPIENT}, "
    "(SELECT COUNT(*) FROM opt_out WHERE opt_out.chat_id = campaign_recipient.chat_id) AS opted_out "
    "FROM campaign_recipient WHERE campaign_id = ? AND state = 'PENDING' ORDER BY position LIMIT 2) AS pending"
)
_INTEND = (
    "UPDATE campaign_recipient SET state = 'SENDING', attempt = ?, message_id = ?, sending_at_ms = ?, "
    "error_code = NULL, error_detail = NULL "
    "WHERE campaign_id = ? AND position = ? AND state = 'PENDING' AND attempt = ?"
)
_SETTLE = (
    "UPDATE campaign_recipient SET state = ?, waha_id = ?, error_code = ?, error_detail = ?, ended_at_ms = ? "
    "WHERE campaign_id = ? AND position = ? AND attempt = ? AND state IN "
)
# An answer is kept although others have given the intent up meanwhile; "surely not sent" only while nobody has.
_BY_ANSWER, _WHILE_SENDING = "('PENDING', 'SENDING', 'UNKNOWN')", "('SENDING')"
_DOUBT = (
    "UPDATE campaign_recipient SET state = 'UNKNOWN', error_code = 'unanswered', error_detail = ?, ended_at_ms = ? "
    "WHERE campaign_id = ? AND state = 'SENDING'"
)
_AGAIN = "UPDATE campaign_recipient SET state = 'PENDING', ended_at_ms = NULL WHERE campaign_id = ? AND state = ?"
_MESSAGE = "INSERT INTO campaign_message (session, message_id, campaign_id, position, attempt, at_ms) "
_NEW_MESSAGE = (
    "SELECT ?, ?, ?, ?, ?, ? FROM (SELECT 1 AS one) AS once WHERE NOT EXISTS "
    "(SELECT 1 FROM campaign_message WHERE session = ? AND message_id = ?)"
)
_UPDATE_PACE = "UPDATE number_pace SET pace = ?, breaker = ?, version = version + 1 WHERE session = ? AND version = ?"
_TIMERS = ("campaign.start", "campaign.step", "campaign.heal")


class SqlCampaigns:
    """The port `Campaigns` for one unit of work: reads at once, hands its writes to `collect`."""

    def __init__(
        self, database: Database, ids: Ids, collect: Callable[[Write], None], tally: Tally = untallied
    ) -> None:
        self._tally = tally
        self._database = database
        self._ids = ids
        self._collect = collect

    async def new_id(self) -> int:
        """The next id of the block that this process holds."""
        return await self._ids.next("campaign")

    async def get(self, campaign_id: int) -> Campaign | None:
        """By id."""
        rows = await self._database.fetch(f"{_READ}WHERE id = ?", (campaign_id,))
        return campaign_of(rows[0]) if rows else None

    async def with_pace(self, campaign_id: int) -> tuple[Campaign, PaceRow | None] | None:
        """Both in one statement: a step asks for them before each send."""
        rows = await self._database.fetch(_PACED, (campaign_id,))
        if not rows:
            return None
        *campaign, pace, breaker, version = rows[0]
        return campaign_of(tuple(campaign)), None if version is None else _pace_of((pace, breaker, version))

    async def running(self, session: str) -> list[Campaign]:
        """By id."""
        rows = await self._database.fetch(f"{_READ}WHERE status = 'Running' AND session = ? ORDER BY id", (session,))
        return [campaign_of(row) for row in rows]

    async def strays(self) -> list[Campaign]:
        """The campaigns are read first: whatever changes afterwards brings its timer along."""
        waiting = "status IN ('Scheduled', 'Running', 'Paused')"
        campaigns = [campaign_of(row) for row in await self._database.fetch(f"{_READ}WHERE {waiting} ORDER BY id")]
        rows = await self._database.fetch("SELECT id, due_at_ms, claims FROM timer WHERE type IN (?, ?, ?)", _TIMERS)
        # One that was claimed before is being tried again: its due time is no longer the campaign's.
        timers = {str(timer_id): None if claims else int(due_at_ms or 0) for timer_id, due_at_ms, claims in rows}
        return [campaign for campaign in campaigns if _is_stray(campaign, timers)]

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

    async def to_do(self, campaign_id: int) -> ToDo:
        """All of it in one statement."""
        rows = await self._database.fetch(_TO_DO, (campaign_id, campaign_id))
        found = sorted(((_recipient_of(row[:-1]), bool(row[-1])) for row in rows), key=lambda each: each[0].position)
        pending = [each for each in found if each[0].state is RecipientState.PENDING]
        return ToDo(
            doubtful=[recipient for recipient, _ in found if recipient.state is RecipientState.SENDING],
            next=pending[0][0] if pending else None,
            is_opted_out=bool(pending) and pending[0][1],
            is_last=len(pending) < 2,  # noqa: PLR2004  the next one, and another
        )

    def add(self, campaign: Campaign) -> None:
        """A new row, and a second one for what only some campaigns have."""
        self._collect(Write(_INSERT, _values_of(campaign), rows=1))
        terms = _terms_of(campaign)
        if terms:
            self._collect(Write(_INSERT_TERMS, (campaign.id, json.dumps(terms)), rows=1))

    def save(self, campaign: Campaign) -> None:
        """A change of what was read; a Conflict if another writer was first."""
        args = (
            campaign.session,
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

    def intend(self, recipient: Recipient, session: str) -> None:
        """The intent to send; a Conflict unless the recipient is PENDING still, so that one of two writers wins."""
        key = (recipient.campaign_id, recipient.position)
        args = (recipient.attempt, recipient.message_id, recipient.sending_at_ms, *key, recipient.attempt - 1)
        self._collect(Write(_INTEND, args, rows=1))
        if recipient.message_id is not None:  # an id that was handed out twice would be a Conflict, and is asked anew
            message = _message_of(recipient, session, recipient.message_id)
            self._collect(Write(f"{_MESSAGE}VALUES (?, ?, ?, ?, ?, ?)", message, rows=1))

    def settle(self, recipient: Recipient, session: str) -> None:
        """What became of a recipient; a Conflict if another attempt was begun meanwhile."""
        is_open = recipient.state in (RecipientState.PENDING, RecipientState.SENDING)
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
        self._tally(CAMPAIGN_MESSAGES, recipient.state.value)
        self._collect(Write(_SETTLE + (_WHILE_SENDING if is_open else _BY_ANSWER), args, rows=1))
        if recipient.waha_id is not None and bare_id(recipient.waha_id) != recipient.message_id:
            message = _message_of(recipient, session, bare_id(recipient.waha_id))
            self._collect(Write(_MESSAGE + _NEW_MESSAGE, (*message, *message[:2])))

    def doubt(self, campaign_id: int, detail: str, at_ms: int) -> None:
        """Every intent without an answer becomes UNKNOWN."""
        self._collect(Write(_DOUBT, (detail, at_ms, campaign_id)))

    def again(self, campaign_id: int, state: RecipientState) -> None:
        """Every recipient in this state becomes PENDING."""
        self._collect(Write(_AGAIN, (campaign_id, state.value)))

    async def pace(self, session: str) -> PaceRow | None:
        """Pace and breaker of a number as they were written, or None for a new one."""
        sql = "SELECT pace, breaker, version FROM number_pace WHERE session = ?"
        rows = await self._database.fetch(sql, (session,))
        return _pace_of(rows[0]) if rows else None

    def save_pace(self, session: str, row: PaceRow) -> None:
        """Write both; `row.version` is what was read, 0 for a new one. A Conflict if another campaign was first."""
        pace, breaker = json.dumps(row.pace), json.dumps(row.breaker)
        if row.version == 0:
            sql = "INSERT INTO number_pace (session, pace, breaker, version) VALUES (?, ?, ?, 1)"
            self._collect(Write(sql, (session, pace, breaker), rows=1))
        else:
            self._collect(Write(_UPDATE_PACE, (pace, breaker, session, row.version), rows=1))


def _is_stray(campaign: Campaign, timers: dict[str, int | None]) -> bool:
    match campaign.status:
        case CampaignStatus.SCHEDULED:
            return timers.get(f"campaign.start:{campaign.id}", -1) not in (None, whole_second(campaign.scheduled_at_ms))
        case CampaignStatus.RUNNING:
            return f"campaign.step:{campaign.id}" not in timers
        case _:
            heals = campaign.pause_reason is not None and campaign.pause_reason.heals_by_itself
            return heals and f"campaign.heal:{campaign.id}" not in timers


def _message_of(recipient: Recipient, session: str, message_id: str) -> tuple[Value, ...]:
    place = (recipient.campaign_id, recipient.position, recipient.attempt)
    return (session, message_id, *place, recipient.sending_at_ms)


def _pace_of(row: Row) -> PaceRow:
    return PaceRow(json.loads(str(row[0])), json.loads(str(row[1])), int(row[2] or 0))


def _terms_of(campaign: Campaign) -> JsonObject:
    terms: JsonObject = {}
    if campaign.window is not None:
        terms["window"] = Window.of(campaign.window).model_dump(mode="json", by_alias=True)
    if campaign.reply_to is not None:
        terms["replyTo"] = campaign.reply_to
    return terms


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


def campaign_of(row: Row) -> Campaign:
    """A row as `_READ` yields it."""
    values: dict[str, Any] = dict(zip((*_NAMES, "terms"), row, strict=True))
    reason = values["pause_reason"]
    terms: JsonObject = json.loads(values["terms"]) if values["terms"] else {}
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
        reply_to=terms.get("replyTo"),
        call_ref=values["call_ref"],
        window=Window.model_validate(terms["window"]).window() if "window" in terms else None,
        notices=values["notices"],
        version=values["version"],
    )


def _recipient_of(row: Row) -> Recipient:
    values: dict[str, Any] = dict(zip(_RECIPIENT_NAMES, row, strict=True))
    values["fields"] = json.loads(values["fields"]) if values["fields"] else None
    values["state"] = RecipientState(values["state"])
    return Recipient(**values)
