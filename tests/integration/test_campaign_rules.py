"""What campaigns promise about their start, their states, their numbers and their times, each over a whole run.

As everywhere: the final state and the whole history, on both engines, with WAHA's own record beside them.
"""

from itertools import pairwise
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from domain.wire import iso
from tests.integration.sending import (
    DAY_MS,
    DEAD_LETTERS,
    HOUR_MS,
    MINUTE_MS,
    ROBOT,
    SECOND_MS,
    SESSION,
    USER,
    Opens,
    Place,
    Sending,
    chat,
    chats,
    people,
    phone,
    prepared,
)
from tests.world import MORNING_MS, command


def refusals(sending: Sending) -> list[str]:
    """The kinds of what lies in the dead-letter queue of commands, in order."""
    return [letter.attributes["errorKind"] for letter in sending.home.sqs.messages(DEAD_LETTERS)]


async def test_a_new_campaign_is_scheduled_with_its_list_s_count(opens: Opens) -> None:
    """All that the seeds write at creation: status, total, counters of zero, no index, no times but its own."""
    async with opens(3, scheduledAt=iso(MORNING_MS + HOUR_MS)) as sending:
        told = sending.last("campaign.current")
        expected = {
            "campaignId": 1,
            "name": "Spring letter",
            "status": "Scheduled",
            "pauseReason": None,
            "totalContacts": 3,
            "sentCount": 0,
            "failedCount": 0,
            "skippedCount": 0,
            "unknownCount": 0,
            "lastProcessedContactIndex": None,
            "scheduledAt": iso(MORNING_MS + HOUR_MS),
            "startedAt": None,
            "completedAt": None,
        }
        assert {name: told[name] for name in expected} == expected
        assert list(sending.waha.requests) == []


NONSENSE: dict[str, tuple[dict[str, object], str]] = {
    "a name of nothing": ({"name": ""}, "invalid-data"),
    "no default for names": ({"defaultNameValue": ""}, "invalid-data"),
    "no text": ({"text": ""}, "invalid-data"),
    "no list": ({"contactListId": None}, "invalid-data"),
    "a list that is not there": ({"contactListId": 77}, "not-found"),
    "no time": ({"scheduledAt": None}, "invalid-data"),
    "a time without a zone": ({"scheduledAt": "2025-11-25T10:00:00"}, "invalid-data"),
    "a time that nobody can mean": ({"scheduledAt": "2099-01-01T00:00:00Z"}, "far-future"),
    "a word that nobody knows": ({"delayMs": 5}, "invalid-data"),
}


@pytest.mark.parametrize("case", NONSENSE)
async def test_a_campaign_that_can_t_be_is_refused(opens: Opens, case: str) -> None:
    """The robot hears why, the command lies in the dead-letter queue, and there is no campaign."""
    fields, kind = NONSENSE[case]
    async with opens(2, **fields) as sending:
        assert refusals(sending) == [kind]
        (told,) = sending.home.results(ROBOT)
        assert (told["type"], told["payload"]["kind"]) == ("error", kind)
        assert await sending.home.database.fetch("SELECT COUNT(*) FROM campaign") == [(0,)]


@pytest.mark.parametrize("written", ["2025-11-25T11:00:00Z", "2025-11-25T12:00:00+01:00", "2025-11-25T03:00:00-08:00"])
async def test_a_campaign_starts_at_its_instant_whatever_zone_it_was_written_in(opens: Opens, written: str) -> None:
    """Seed 002: created for later, it runs then, in UTC: not a second earlier, and no second later."""
    due_ms = MORNING_MS + 140 * MINUTE_MS
    async with opens(2, scheduledAt=written) as sending:
        await sending.home.pass_time(due_ms - 1)
        assert (await sending.campaign(), sending.accepted()) == (("Scheduled", None), [])
        await sending.later(HOUR_MS)
        row = await sending.row()
        assert (row["scheduled_at_ms"], row["started_at_ms"]) == (due_ms, due_ms)
        assert sending.waha.accepted[0].at_ms == due_ms
        assert sending.accepted() == chats(range(2))


@pytest.mark.parametrize("moved_by_ms", [-30 * MINUTE_MS, 5 * HOUR_MS])
async def test_a_campaign_that_is_moved_starts_at_its_new_time_alone(opens: Opens, moved_by_ms: int) -> None:
    """Seed 002: rescheduling ends the old job first, so it starts once, earlier or later."""
    due_ms = MORNING_MS + HOUR_MS
    async with opens(2, scheduledAt=iso(due_ms)) as sending:
        await sending.ask("schedule", scheduledAt=iso(due_ms + moved_by_ms))
        assert sending.last("campaign.current")["scheduledAt"] == iso(due_ms + moved_by_ms)
        await sending.home.pass_time(due_ms + moved_by_ms - 1)
        assert (await sending.campaign(), sending.accepted()) == (("Scheduled", None), [])
        await sending.later(DAY_MS)
        assert (await sending.row())["started_at_ms"] == due_ms + moved_by_ms
        assert sending.accepted() == chats(range(2))
        assert sending.changes() == ["campaign.started", "campaign.completed"]
        assert await sending.home.leftovers() == {}


async def test_a_campaign_that_is_moved_into_the_past_starts_now(opens: Opens) -> None:
    """What is due is due, however it came to be."""
    async with opens(2, scheduledAt=iso(MORNING_MS + DAY_MS)) as sending:
        await sending.ask("schedule", scheduledAt=iso(MORNING_MS - DAY_MS))
        await sending.later(HOUR_MS)
        assert (await sending.row())["started_at_ms"] == MORNING_MS
        assert sending.accepted() == chats(range(2))


async def test_a_campaign_that_is_cancelled_before_its_time_never_runs(opens: Opens) -> None:
    """Seed 002, test case 3; again, and of one that nobody knows, it is harmless."""
    async with opens(2, scheduledAt=iso(MORNING_MS + HOUR_MS)) as sending:
        await sending.ask("cancel")
        assert await sending.home.leftovers() == {}
        await sending.ask("cancel")
        await sending.ask("cancel", campaignId=99)
        await sending.later(DAY_MS)
        row = await sending.row()
        assert (row["status"], row["started_at_ms"], row["completed_at_ms"]) == ("Cancelled", None, MORNING_MS)
        assert (sending.accepted(), await sending.ledger()) == ([], [])
        assert sending.changes() == ["campaign.cancelled"]
        assert sending.told()[-1] == "campaign.current"
        assert refusals(sending) == ["not-found"]


async def test_starts_that_were_missed_happen_as_soon_as_somebody_is_there(
    database_place: Place, media_folder: Path
) -> None:
    """Seed 002: three are scheduled, nobody is there for a day, two of them are due: those run, the third one waits."""
    async with prepared(database_place, media_folder) as sending:
        async with sending.home.running():
            await sending.add_people(people(1))
            for hours in (1, 2, 48):
                await sending.create(scheduledAt=iso(MORNING_MS + hours * HOUR_MS))
        sending.home.clock.advance(DAY_MS)
        async with sending.home.running():
            await sending.later(HOUR_MS)
            statuses = await sending.home.database.fetch("SELECT status FROM campaign ORDER BY id")
            assert statuses == [("Completed",), ("Completed",), ("Scheduled",)]
            started = [(await sending.row(number))["started_at_ms"] for number in (1, 2)]
            assert started == [MORNING_MS + DAY_MS] * 2
            await sending.later(2 * DAY_MS)
        assert (await sending.row(3))["started_at_ms"] == MORNING_MS + 48 * HOUR_MS
        assert sending.accepted() == [chat(0)] * 3


@pytest.mark.parametrize("verb", ["run", "pause", "resume", "schedule"])
@pytest.mark.parametrize("ended_by", ["cancel", "itself"])
async def test_nothing_moves_a_campaign_that_is_over(opens: Opens, verb: str, ended_by: str) -> None:
    """Seed 001: what is not Scheduled is not run; each is refused with the state, and nothing is sent or told twice."""
    async with opens(2) as sending:
        if ended_by == "cancel":
            await sending.ask("cancel")
        await sending.later(HOUR_MS)
        before = (await sending.row(), await sending.ledger(), sending.accepted(), sending.changes())
        more = {"scheduledAt": iso(MORNING_MS)} if verb == "schedule" else {}
        await sending.ask(verb, **more)
        await sending.later(HOUR_MS)
        assert refusals(sending) == ["wrong-state"]
        assert (await sending.row(), await sending.ledger(), sending.accepted(), sending.changes()) == before


async def test_nobody_on_the_list_is_a_campaign_that_is_complete(opens: Opens) -> None:
    """Seed 001: Completed with both times and no index, a word why, and WAHA is not asked for a send."""
    async with opens(0, scheduledAt=iso(MORNING_MS + MINUTE_MS)) as sending:
        await sending.later(HOUR_MS)
        row, due_ms = await sending.row(), MORNING_MS + MINUTE_MS
        assert (row["status"], row["started_at_ms"], row["completed_at_ms"]) == ("Completed", due_ms, due_ms)
        assert (row["last_processed_contact_index"], row["total_contacts"]) == (None, 0)
        assert sending.changes() == ["campaign.completed"]
        assert sending.last("campaign.completed")["detail"] == "no contacts"
        assert (sending.accepted(), await sending.ledger(), sending.asked("/api/sendText")) == ([], [], 0)
        assert await sending.home.leftovers() == {}


async def test_the_session_is_looked_at_before_each_send(opens: Opens) -> None:
    """Seed 004: in the moment of the send, and before it, for every contact."""
    async with opens(4) as sending:
        await sending.later(HOUR_MS)
        looked, sent = -1, 0
        for request in sending.waha.requests:
            if request.path == f"/api/sessions/{SESSION}":
                looked = request.at_ms
            elif request.path == "/api/sendText":
                assert looked == request.at_ms
                looked, sent = -1, sent + 1
        assert sent == 4


@pytest.mark.parametrize("status", ["STARTING", "SCAN_QR_CODE", "PASSKEY_REQUIRED", "STOPPED", "FAILED", "NEVER_HEARD"])
async def test_no_status_but_working_lets_anything_out(opens: Opens, status: str) -> None:
    """Seed 004: Paused at the first contact, with the status in words; at WORKING again, a resume begins there."""
    async with opens(2, scheduledAt=iso(MORNING_MS + MINUTE_MS)) as sending:
        sending.waha.set_status(SESSION, status)
        await sending.later(5 * MINUTE_MS)
        assert await sending.campaign() == ("Paused", "SESSION_NOT_WORKING")
        paused = sending.last("campaign.paused")
        assert (paused["lastProcessedContactIndex"], paused["completedAt"]) == (0, None)
        assert status in paused["detail"]
        assert (sending.accepted(), await sending.states()) == ([], ["PENDING"] * 2)
        sending.waha.set_status(SESSION, "WORKING")
        await sending.ask("resume")
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(2))


async def test_gaps_are_random_between_their_bounds(opens: Opens) -> None:
    """Seeds' 6 to 12 s by default: each gap between two messages lies there, and they are not all alike."""
    async with opens(8) as sending:
        await sending.later(HOUR_MS)
        gaps = [later.at_ms - one.at_ms for one, later in pairwise(sending.waha.accepted)]
        assert len(gaps) == 7
        assert all(6_000 <= gap <= 12_000 for gap in gaps)
        assert len(set(gaps)) > 1


async def test_a_smallest_gap_above_the_largest_counts(opens: Opens) -> None:
    """MIN above MAX: the smaller setting is not used, so each gap is MIN."""
    async with opens(4, settings={"gap_min_s": 20, "gap_max_s": 5}) as sending:
        await sending.later(HOUR_MS)
        gaps = [later.at_ms - one.at_ms for one, later in pairwise(sending.waha.accepted)]
        assert gaps == [20_000] * 3


async def test_two_campaigns_of_a_number_share_its_gap(opens: Opens) -> None:
    """WhatsApp judges numbers: whoever sends, two messages of one number are a gap apart, and both campaigns end."""
    async with opens(5) as sending:
        await sending.create(name="Second letter", text="And hello again, {name}.")
        await sending.later(HOUR_MS)
        gaps = [later.at_ms - one.at_ms for one, later in pairwise(sending.waha.accepted)]
        assert len(gaps) == 9
        assert min(gaps) >= 6_000
        statuses = await sending.home.database.fetch("SELECT status FROM campaign ORDER BY id")
        assert statuses == [("Completed",), ("Completed",)]
        texts = sending.texts()
        assert len(texts) == len(set(texts)) == 10
        assert [await sending.states(number) for number in (1, 2)] == [["SENT"] * 5] * 2


async def test_recipients_come_in_the_order_of_the_list(opens: Opens) -> None:
    """By when they came into the list, not by number or name; a later import stands behind an earlier one."""
    order = [7, 3, 9, 1]
    rows = [{"phoneNumber": phone(number), "firstName": f"N{number}"} for number in order]
    async with opens(0, rows=rows, scheduledAt=iso(MORNING_MS + MINUTE_MS)) as sending:
        await sending.add_people([{"phoneNumber": phone(0)}, {"phoneNumber": phone(8)}])
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats([*order, 0, 8])


async def test_who_opts_out_in_the_middle_is_skipped_with_a_reason(opens: Opens) -> None:
    """Asked right before each send: before, during and after a pause; the others get theirs."""
    async with opens(5) as sending:
        await sending.until_accepted(1)
        await sending.tell(("opt-out.add", {"phoneNumber": f"+{phone(2)}", "reason": "asked by phone"}))
        await sending.ask("pause")
        await sending.tell(("opt-out.add", {"chatId": chat(4)}))
        await sending.ask("resume")
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats([0, 1, 3])
        assert await sending.states() == ["SENT", "SENT", "SKIPPED", "SENT", "SKIPPED"]
        assert [code for code in await sending.codes() if code] == ["opt-out", "opt-out"]
        end = sending.last("campaign.completed")
        assert (end["sentCount"], end["skippedCount"], end["failedCount"]) == (3, 2, 0)


async def test_the_log_tells_a_run_without_a_word_or_a_number_of_anybody(opens: Opens) -> None:
    """The seeds' console lines as events: start, each contact, pause, resume, end; no text, name or number in them."""
    with capture_logs() as logs:
        async with opens(3, "A secret word for {name}") as sending:
            await sending.until_accepted(1)
            await sending.ask("pause")
            await sending.ask("resume")
            await sending.later(HOUR_MS)
    notes = [str(line["note"]) for line in logs if line["event"] == "message.handled"]
    assert [note for note in notes if "started with 3 contacts" in note] != []
    for position in range(3):
        assert f"campaign 1 handled contact {position}" in notes
    for word in ("scheduled", "paused: OPERATOR", "resumed", "Completed"):
        assert f"campaign 1 {word}" in notes
    told = " ".join(str(line) for line in logs)
    assert "secret word" not in told
    assert phone(0)[:8] not in told


async def test_the_same_command_twice_is_one_command(opens: Opens) -> None:
    """SQS may deliver twice: a create with one id makes one campaign, and its people get one message each."""
    async with opens(2) as sending:
        data = {"userId": USER, "name": "Twice", "session": SESSION, "contactListId": 1, "text": "Hi {name}"}
        more = {"defaultNameValue": "friend", "scheduledAt": iso(MORNING_MS), "robotId": ROBOT}
        body = command("campaign.create", {**data, **more}, id="create-twice")
        for _ in range(2):
            sending.home.sqs.send(sending.home.settings.queues.commands, body)
        await sending.later(HOUR_MS)
        sending.home.sqs.send(sending.home.settings.queues.commands, body)
        await sending.later(HOUR_MS)
        assert await sending.home.database.fetch("SELECT COUNT(*) FROM campaign") == [(2,)]
        assert sorted(sending.accepted()) == sorted([*chats(range(2)), *chats(range(2))])


async def test_a_pause_of_a_day_costs_nobody_and_nothing(opens: Opens) -> None:
    """A campaign that waits is a row: over a day of pause nothing fires, nothing is asked, nothing is left behind."""
    async with opens(3) as sending:
        await sending.until_accepted(1)
        await sending.ask("pause")
        asked = len(sending.waha.requests)
        await sending.later(DAY_MS)
        assert len(sending.waha.requests) == asked
        assert await sending.home.leftovers() == {}
        assert sending.last("campaign.paused")["lastProcessedContactIndex"] == 1
        await sending.ask("pause")
        assert sending.changes() == ["campaign.started", "campaign.paused"]
        await sending.ask("resume")
        await sending.later(10 * SECOND_MS)
        assert sending.accepted() == chats(range(2))
