"""What the command line reads of campaigns. Only SELECTs: each sees what is committed at its own moment."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any  # rows carry what the columns hold; the dataclasses give it types

from daemon.campaign_view import Addressee, Audience, LedgerLine, Listed, Look, Reason
from daemon.journal_view import JournalEntry
from daemon.store.campaigns import SqlCampaigns
from daemon.store.contacts import SqlContacts
from daemon.store.database import Database, Value, Write
from daemon.store.ids import Ids
from daemon.store.journal_reads import journal_entries
from domain.campaign import Campaign, CampaignStatus, Recipient, RecipientState
from domain.campaign_ports import PaceRow

PAGE = 1_000
SHOWN = 20
_EXAMPLES = 3
_HOUR_MS = 3_600_000
_TIMERS = ("campaign.start", "campaign.step", "campaign.heal")

_SENT_SINCE = "SELECT COUNT(*) FROM campaign_recipient WHERE campaign_id = ? AND state = 'SENT' AND ended_at_ms >= ?"
_REASONS = (
    "SELECT state, error_code, COUNT(*), MIN(error_detail) FROM campaign_recipient "
    "WHERE campaign_id = ? AND state IN ('FAILED', 'SKIPPED', 'UNKNOWN') "
    "GROUP BY state, error_code ORDER BY COUNT(*) DESC, state, error_code"
)
_DUE = "SELECT type, due_at_ms FROM timer WHERE id IN (?, ?, ?)"
_RIVALS = "SELECT COUNT(*) FROM campaign WHERE status = 'Running' AND session = ? AND id <> ?"
_LISTED = (
    "id, owner, name, session, status, pause_reason, scheduled_at_ms, started_at_ms, completed_at_ms, total_contacts"
)
_COUNTS = "SELECT campaign_id, state, COUNT(*) FROM campaign_recipient WHERE campaign_id IN ({}) "
_RECIPIENT = (
    "campaign_id, position, contact_id, chat_id, first_name, state, attempt, message_id, waha_id, error_code, "
    "error_detail, sending_at_ms, ended_at_ms"
)
_LEDGER = (
    f"SELECT {_RECIPIENT} FROM campaign_recipient "  # noqa: S608  column names of ours, no input
    "WHERE campaign_id = ? AND position > ? ORDER BY position LIMIT ?"
)
_ACKS = (
    "SELECT position, MAX(ack) FROM campaign_message "
    "WHERE campaign_id = ? AND position >= ? AND position <= ? GROUP BY position"
)
# Of whom a campaign that has not begun would make recipients, and who of its recipients is still to come.
_ON_LIST = ("contact", "w.contact_list_id = ?", "w.id")
_TO_COME = ("campaign_recipient", "w.campaign_id = ? AND w.state = 'PENDING'", "w.position")


class SqlCampaignReads:
    """The port `CampaignReads`."""

    def __init__(self, database: Database) -> None:
        never_written: list[Write] = []
        ids = Ids(database)
        self._database = database
        self._campaigns = SqlCampaigns(database, ids, never_written.append)
        self._contacts = SqlContacts(database, ids, never_written.append)

    async def campaign(self, campaign_id: int) -> Campaign | None:
        """By id."""
        return await self._campaigns.get(campaign_id)

    async def look(self, campaign: Campaign, now_ms: int) -> Look:
        """The counts first: what is read later may be a little newer."""
        counts = await self._campaigns.counts(campaign.id)
        timers = tuple(f"{kind}:{campaign.id}" for kind in _TIMERS)
        due = await self._rows(_DUE, timers)
        has_begun = campaign.started_at_ms is not None
        return Look(
            campaign=campaign,
            counts=counts,
            pace=await self.pace(campaign.session),
            due_ms={str(kind): int(at_ms) for kind, at_ms in due},
            sent_in_hour=await self._number(_SENT_SINCE, (campaign.id, now_ms - _HOUR_MS)),
            contacts=0 if has_begun else await self._campaigns.contacts_of(campaign.contact_list_id),
            rivals=await self._number(_RIVALS, (campaign.session, campaign.id)),
            reasons=await self._reasons(campaign.id),
            unknown=await self._campaigns.in_state(campaign.id, RecipientState.UNKNOWN, SHOWN),
        )

    async def _reasons(self, campaign_id: int) -> list[Reason]:
        rows = await self._rows(_REASONS, (campaign_id,))
        return [
            Reason(RecipientState(state), code or "", int(count), example or "") for state, code, count, example in rows
        ]

    async def listed(self, owner: str | None, limit: int) -> list[Listed]:
        """By id, the newest first."""
        where, args = ("WHERE owner = ? ", (owner,)) if owner is not None else ("", ())
        sql = f"SELECT {_LISTED} FROM campaign {where}ORDER BY id DESC LIMIT ?"  # noqa: S608  column names of ours
        rows = [_named(_LISTED, row) for row in await self._rows(sql, (*args, limit))]
        counts = await self._counts([row["id"] for row in rows])
        return [Listed(**row, counts=counts.get(row["id"], {})) for row in rows]

    async def _counts(self, ids: Sequence[int]) -> Mapping[int, Mapping[RecipientState, int]]:
        found: dict[int, dict[RecipientState, int]] = {}
        if ids:
            sql = f"{_COUNTS.format(', '.join('?' * len(ids)))}GROUP BY campaign_id, state"
            for campaign_id, state, count in await self._rows(sql, ids):
                found.setdefault(int(campaign_id), {})[RecipientState(state)] = int(count)
        return found

    async def audience(self, campaign: Campaign) -> Audience:
        """From its list until it starts, from its ledger afterwards."""
        is_frozen = campaign.status is not CampaignStatus.SCHEDULED
        (table, where, order), key = (_TO_COME, campaign.id) if is_frozen else (_ON_LIST, campaign.contact_list_id)
        out = f"{table} w JOIN opt_out o ON o.chat_id = w.chat_id WHERE {where}"
        first = await self._rows(
            f"SELECT w.chat_id, w.first_name, w.fields FROM {table} w WHERE {where} ORDER BY {order} LIMIT ?",  # noqa: S608  names of ours, no input
            (key, _EXAMPLES),
        )
        opted_out = await self._rows(
            f"SELECT w.chat_id, w.first_name, o.reason FROM {out} ORDER BY {order} LIMIT ?",  # noqa: S608  as above
            (key, SHOWN),
        )
        return Audience(
            contacts=await self._number(f"SELECT COUNT(*) FROM {table} w WHERE {where}", (key,)),  # noqa: S608  as above
            opt_outs=await self._number(f"SELECT COUNT(*) FROM {out}", (key,)),  # noqa: S608  as above
            first=[Addressee(chat, name, json.loads(fields) if fields else None) for chat, name, fields in first],
            opted_out=[Addressee(chat, name, reason=reason) for chat, name, reason in opted_out],
            field_names=await self._contacts.field_names(campaign.contact_list_id),
        )

    async def pace(self, session: str) -> PaceRow | None:
        """By the number's session."""
        return await self._campaigns.pace(session)

    async def ledger(self, campaign_id: int) -> AsyncIterator[list[LedgerLine]]:
        """A page and its acknowledgements are two reads; what a row says is as new as its page."""
        last = -1
        while rows := await self._rows(_LEDGER, (campaign_id, last, PAGE)):
            found = [_recipient_of(row) for row in rows]
            last = found[-1].position
            heard = await self._rows(_ACKS, (campaign_id, found[0].position, last))
            acks = {int(position): int(ack) for position, ack in heard if ack is not None}
            yield [LedgerLine(one, acks.get(one.position)) for one in found]

    async def list_id(self, owner: str, id_or_name: str) -> int | None:
        """Of this owner alone."""
        found = None
        if id_or_name.isascii() and id_or_name.isdigit() and int(id_or_name) < 2**63:
            found = await self._contacts.list_of(int(id_or_name), owner)
        found = found or await self._contacts.list_named(owner, id_or_name)
        return None if found is None else found.id

    async def entries(self, source: str, message_id: str) -> list[JournalEntry]:
        """In the order in which they were written."""
        return await journal_entries(self._database, source, message_id)

    async def _rows(self, sql: str, args: Sequence[Value]) -> Sequence[tuple[Any, ...]]:
        return await self._database.fetch(sql, args)

    async def _number(self, sql: str, args: Sequence[Value]) -> int:
        return int((await self._rows(sql, args))[0][0] or 0)


def _recipient_of(row: tuple[Any, ...]) -> Recipient:
    values = _named(_RECIPIENT, row)
    return Recipient(**{**values, "state": RecipientState(values["state"])})


def _named(columns: str, row: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(columns.split(", "), row, strict=True))
