"""What the command line reads of campaigns, on both engines: rows as any writer may have left them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from daemon.campaign_view import Addressee, Reason
from daemon.journal_view import JournalEntry
from daemon.store.campaign_reads import PAGE, SHOWN, SqlCampaignReads
from daemon.store.database import Value, Write
from domain.campaign import CampaignStatus, RecipientState
from domain.campaign_ports import PaceRow
from tests.conftest import AnyDatabase

NOW_MS = 1_764_060_000_000
HOUR_MS = 3_600_000


def chat(number: int) -> str:
    return f"99900{number:07d}@c.us"


async def put(database: AnyDatabase, table: str, *rows: Mapping[str, Any]) -> None:
    """Rows that have the same columns."""
    columns = ", ".join(rows[0])
    marks = ", ".join("?" * len(rows[0]))
    sql = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608  names of ours, no input
    await database.apply([Write(sql, tuple(row.values())) for row in rows])


def campaign(number: int, **values: Value) -> dict[str, Value]:
    plain: dict[str, Value] = {
        "id": number,
        "owner": "user-1",
        "name": f"Letter {number}",
        "session": "default",
        "contact_list_id": 1,
        "text_content": "Dear {Name}",
        "default_name_value": "friend",
        "scheduled_at_ms": NOW_MS - HOUR_MS,
        "status": "Running",
        "pause_reason": None,
        "total_contacts": 3,
        "created_at_ms": NOW_MS - HOUR_MS,
        "started_at_ms": NOW_MS - HOUR_MS,
        "notices": 0,
        "version": 1,
    }
    return {**plain, **values}


def recipient(position: int, state: str, campaign_id: int = 1, **values: Value) -> dict[str, Value]:
    plain: dict[str, Value] = {
        "campaign_id": campaign_id,
        "position": position,
        "contact_id": 1_000 + position,
        "chat_id": chat(position),
        "first_name": f"N{position}",
        "fields": None,
        "state": state,
        "attempt": 1,
        "error_code": None,
        "error_detail": None,
        "ended_at_ms": None,
    }
    return {**plain, **values}


def contact(number: int, list_id: int = 1, fields: str | None = None) -> dict[str, Value]:
    return {
        "id": number,
        "contact_list_id": list_id,
        "phone_number": chat(number)[:-5],
        "chat_id": chat(number),
        "first_name": f"N{number}",
        "fields": fields,
        "created_at_ms": 1,
    }


def opt_out(number: int, reason: str = "STOP") -> dict[str, Value]:
    return {"chat_id": chat(number), "phone_number": chat(number)[:-5], "reason": reason, "at_ms": 1}


@pytest.fixture
def reads(database: AnyDatabase) -> SqlCampaignReads:
    """The reads of one process."""
    return SqlCampaignReads(database)


async def test_a_look_tells_all_that_is_known(database: AnyDatabase, reads: SqlCampaignReads) -> None:
    """Counts by state, what went out within the hour, timers, rivals of the number, reasons by how many have them."""
    await put(
        database,
        "campaign",
        campaign(1),
        campaign(2, owner="user-2"),
        campaign(3, session="other"),
        campaign(4, status="Paused"),
    )
    await put(
        database,
        "campaign_recipient",
        recipient(0, "SENT", ended_at_ms=NOW_MS - HOUR_MS - 1),
        recipient(1, "SENT", ended_at_ms=NOW_MS - HOUR_MS),
        recipient(2, "SENT", ended_at_ms=NOW_MS),
        recipient(3, "FAILED", error_code="http-400", error_detail="b"),
        recipient(4, "SKIPPED", error_code="opt-out", error_detail="asked"),
        recipient(5, "SENDING"),
        recipient(6, "PENDING", error_code="http-422", error_detail="not yet"),
        recipient(7, "UNKNOWN", error_code="crashed", error_detail="x"),
        recipient(8, "UNKNOWN", error_code="crashed", error_detail="a"),
        recipient(0, "UNKNOWN", campaign_id=2, error_code="crashed"),
    )
    timer: dict[str, Value] = {"data": "{}", "lease_owner": "", "lease_until_ms": 0, "fence": 1, "claims": 0}
    await put(
        database,
        "timer",
        {"id": "campaign.step:1", "type": "campaign.step", "due_at_ms": NOW_MS + 5, **timer},
        {"id": "campaign.step:11", "type": "campaign.step", "due_at_ms": NOW_MS + 7, **timer},
    )
    await put(database, "number_pace", {"session": "default", "pace": '{"a": 1}', "breaker": "{}", "version": 4})

    found = await reads.campaign(1)
    assert found is not None
    look = await reads.look(found, NOW_MS)

    assert dict(look.counts) == {
        RecipientState.SENT: 3,
        RecipientState.FAILED: 1,
        RecipientState.SKIPPED: 1,
        RecipientState.SENDING: 1,
        RecipientState.PENDING: 1,
        RecipientState.UNKNOWN: 2,
    }
    assert look.count(RecipientState.SENT, RecipientState.UNKNOWN) == 5
    assert (look.sent_in_hour, look.rivals, look.contacts) == (2, 1, 0)
    assert dict(look.due_ms or {}) == {"campaign.step": NOW_MS + 5}
    assert look.pace == PaceRow({"a": 1}, {}, 4)
    assert list(look.reasons) == [
        Reason(RecipientState.UNKNOWN, "crashed", 2, "a"),
        Reason(RecipientState.FAILED, "http-400", 1, "b"),
        Reason(RecipientState.SKIPPED, "opt-out", 1, "asked"),
    ]
    assert [one.chat_id for one in look.unknown] == [chat(7), chat(8)]


async def test_one_that_has_not_begun_is_looked_at_by_its_list(database: AnyDatabase, reads: SqlCampaignReads) -> None:
    """No ledger yet: its contacts are counted where they are; a number that never sent has no pace."""
    await put(database, "campaign", campaign(1, status="Scheduled", started_at_ms=None))
    await put(database, "contact", contact(1), contact(2), contact(3, list_id=2))
    found = await reads.campaign(1)
    assert found is not None
    look = await reads.look(found, NOW_MS)
    assert (found.status, look.contacts, dict(look.counts)) == (CampaignStatus.SCHEDULED, 2, {})
    assert (look.pace, look.sent_in_hour, list(look.reasons), list(look.unknown)) == (None, 0, [], [])
    assert await reads.campaign(2) is None


async def test_campaigns_are_listed_newest_first(database: AnyDatabase, reads: SqlCampaignReads) -> None:
    """Of everybody or of one user, as many as are asked for, each with its own counts."""
    assert await reads.listed(None, 10) == []
    await put(database, "campaign", campaign(1), campaign(2, owner="user-2", status="Paused"), campaign(3))
    await put(
        database,
        "campaign_recipient",
        recipient(0, "SENT"),
        recipient(1, "SENT"),
        recipient(0, "PENDING", campaign_id=2),
    )
    everybody = await reads.listed(None, 10)
    assert [(line.id, line.owner, line.status) for line in everybody] == [
        (3, "user-1", "Running"),
        (2, "user-2", "Paused"),
        (1, "user-1", "Running"),
    ]
    assert [dict(line.counts) for line in everybody] == [
        {},
        {RecipientState.PENDING: 1},
        {RecipientState.SENT: 2},
    ]
    assert [line.id for line in await reads.listed("user-1", 10)] == [3, 1]
    assert [line.id for line in await reads.listed(None, 2)] == [3, 2]


async def test_the_audience_is_the_list_and_later_who_is_to_come(
    database: AnyDatabase, reads: SqlCampaignReads
) -> None:
    """Until it starts those on its list, then those who are PENDING; who opted out is named with the reason."""
    await put(database, "campaign", campaign(1, status="Scheduled", started_at_ms=None), campaign(2))
    await put(database, "contact", *(contact(number, fields='{"city": "Utrecht"}') for number in range(1, 31)))
    await put(database, "opt_out", *(opt_out(number) for number in (*range(2, 26), 900)))
    await put(
        database,
        "campaign_recipient",
        recipient(1, "SENT", campaign_id=2),
        recipient(2, "PENDING", campaign_id=2),
        recipient(28, "PENDING", campaign_id=2),
    )
    scheduled, running = await reads.campaign(1), await reads.campaign(2)
    assert scheduled is not None
    assert running is not None

    before = await reads.audience(scheduled)
    assert (before.contacts, before.opt_outs, before.field_names) == (30, 24, frozenset({"city"}))
    assert list(before.first) == [Addressee(chat(n), f"N{n}", {"city": "Utrecht"}) for n in (1, 2, 3)]
    assert list(before.opted_out) == [Addressee(chat(n), f"N{n}", reason="STOP") for n in range(2, 2 + SHOWN)]

    after = await reads.audience(running)
    assert (after.contacts, after.opt_outs) == (2, 1)
    assert [one.chat_id for one in after.first] == [chat(2), chat(28)]
    assert [one.chat_id for one in after.opted_out] == [chat(2)]


@pytest.mark.parametrize("count", [0, 1, PAGE, 2 * PAGE + 350])
async def test_a_ledger_comes_in_pages_and_whole(database: AnyDatabase, reads: SqlCampaignReads, count: int) -> None:
    """Each recipient once, by position, never more than a page at a time; another campaign's are not among them."""
    rows: Sequence[dict[str, Value]] = [recipient(position, "SENT") for position in range(count)]
    await put(database, "campaign_recipient", recipient(0, "SENT", campaign_id=2), *rows)
    pages = [page async for page in reads.ledger(1)]
    assert [line.recipient.position for page in pages for line in page] == list(range(count))
    assert {line.recipient.campaign_id for page in pages for line in page} == ({1} if count else set())
    assert [len(page) for page in pages] == [PAGE] * (count // PAGE) + ([count % PAGE] if count % PAGE else [])


async def test_a_line_of_the_ledger_has_the_highest_acknowledgement(
    database: AnyDatabase, reads: SqlCampaignReads
) -> None:
    """Of all messages to this contact; nothing heard is None, a failure after the send is -1; odd texts come whole."""
    odd = 'a\n"b",\\ \U0001f337 = {x} ?'
    detailed = recipient(
        0,
        "FAILED",
        first_name=odd,
        message_id="3EB0",
        waha_id="true_1",
        sending_at_ms=5,
        error_code="e",
        error_detail=odd,
    )
    await put(database, "campaign_recipient", {**detailed, "ended_at_ms": 7})
    await put(database, "campaign_recipient", *(recipient(position, "SENT") for position in range(1, 4)))
    heard = [(0, "m0", -1), (1, "m1", 1), (1, "m2", 3), (2, "m3", None)]
    await put(
        database,
        "campaign_message",
        *(
            {
                "session": "default",
                "message_id": key,
                "campaign_id": number,
                "position": position,
                "attempt": 1,
                "at_ms": 1,
                "ack": ack,
            }
            for number, position, key, ack in [(1, *each) for each in heard] + [(2, 3, "foreign", 4)]
        ),
    )
    (page,) = [page async for page in reads.ledger(1)]
    assert [line.ack for line in page] == [-1, 3, None, None]
    first = page[0].recipient
    assert (first.state, first.first_name, first.error_detail) == (RecipientState.FAILED, odd, odd)
    assert (first.message_id, first.waha_id, first.error_code) == ("3EB0", "true_1", "e")
    assert (first.contact_id, first.chat_id, first.attempt) == (1_000, chat(0), 1)
    assert (first.sending_at_ms, first.ended_at_ms) == (5, 7)


async def test_what_became_of_a_command_is_found_by_source_and_id(
    database: AnyDatabase, reads: SqlCampaignReads
) -> None:
    """In the order of the tries; the same id of another source is another command."""
    entry: dict[str, Value] = {
        "queue": "q",
        "delivery_id": "d",
        "source": "cli",
        "message_id": "c-1",
        "type": "campaign.run",
    }
    await put(
        database,
        "journal",
        {"id": "2", "at_ms": 20, **entry, "outcome": "done", "reason": "campaign 7 started", "attempt": 2},
        {"id": "1", "at_ms": 10, **entry, "outcome": "retried", "reason": "busy", "attempt": 1},
        {"id": "3", "at_ms": 1, **entry, "source": "other", "outcome": "done", "reason": "no", "attempt": 1},
    )
    assert await reads.entries("cli", "c-1") == [
        JournalEntry("1", "retried", "busy", 1),
        JournalEntry("2", "done", "campaign 7 started", 2),
    ]
    assert await reads.entries("cli", "c-2") == []


async def test_a_list_is_found_by_id_or_name_of_its_owner(database: AnyDatabase, reads: SqlCampaignReads) -> None:
    """An id goes before a name of digits; what is no id may be a name; nobody else's list is found."""
    rows = [(1, "user-1", "Spring"), (2, "user-1", "1"), (3, "user-1", "2026"), (4, "user-2", "Autumn")]
    await put(
        database,
        "contact_list",
        *(
            {"id": key, "owner": owner, "name": name, "contact_count": 0, "created_at_ms": 1}
            for key, owner, name in rows
        ),
    )
    found = [await reads.list_id("user-1", text) for text in ("Spring", "1", "2", "2026", "4", "Autumn", "", "9" * 30)]
    assert found == [1, 1, 2, 3, None, None, None, None]
