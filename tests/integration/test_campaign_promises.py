"""What campaigns promise where something is missing: a timer, a session, an end, a word of the operator.

As everywhere: the final state and the whole history, on both engines, with WAHA's own record beside them.
"""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemon.campaign_keeper import CampaignKeeper
from daemon.store.database import Write
from domain.wire import iso
from localstack.faults import When
from tests.integration.sending import (
    DAY_MS,
    DEAD_LETTERS,
    HOUR_MS,
    MINUTE_MS,
    ROBOT,
    SECOND_MS,
    SESSION,
    USER,
    FailsOnce,
    Opens,
    Place,
    Sending,
    chat,
    chats,
    people,
    prepared,
)
from tests.world import MORNING_MS

JPEG = b"\xff\xd8\xff\xe0" + bytes(64)


async def becomes(sending: Sending, is_so: Callable[[dict[str, Any]], bool]) -> None:
    """Return once the campaign's row is so: nobody rings when a daemon has looked around at its start."""
    async with asyncio.timeout(20):
        while not is_so(await sending.row()):
            await sending.home._a_moment()
    await sending.home.quiet()


async def scheduled(sending: Sending, contacts: int, at_ms: int) -> None:
    """A daemon that has taken the list and the campaign, and has ended."""
    async with sending.home.running():
        await sending.add_people(people(contacts))
        await sending.create(scheduledAt=iso(at_ms))


async def no_timers(sending: Sending) -> None:
    """As after a backup that was restored by half, or a hand that slipped."""
    await sending.home.database.apply([Write("DELETE FROM timer WHERE id LIKE 'campaign.%'")])


async def has_timer(sending: Sending, timer: str) -> None:
    """Return once this timer is there."""
    async with asyncio.timeout(20):
        while not await sending.home.database.fetch("SELECT 1 FROM timer WHERE id = ?", (timer,)):
            await sending.home._a_moment()


async def test_a_running_campaign_without_its_timer_goes_on_at_the_start(
    database_place: Place, media_folder: Path
) -> None:
    """Bug 10: it would stay Running for ever; each of its people gets one message."""
    async with prepared(database_place, media_folder) as sending:
        async with sending.home.running():
            await sending.add_people(people(4))
            await sending.create()
            await sending.until_accepted(2)
        await no_timers(sending)
        sending.home.clock.advance(HOUR_MS)
        async with sending.home.running():
            await becomes(sending, lambda row: row["last_processed_contact_index"] == 2)
            await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(4))
        assert await sending.ledger() == [(chat(number), "SENT", 1) for number in range(4)]
        assert sending.changes() == ["campaign.started", "campaign.completed"]


async def test_a_scheduled_campaign_without_its_timer_is_found_at_the_start(
    database_place: Place, media_folder: Path
) -> None:
    """One that is due in an hour gets its timer and starts then, not before."""
    due_ms = MORNING_MS + 2 * HOUR_MS
    async with prepared(database_place, media_folder) as sending:
        await scheduled(sending, 2, due_ms)
        await no_timers(sending)
        sending.home.clock.advance(HOUR_MS)
        async with sending.home.running():
            await has_timer(sending, "campaign.start:1")
            await sending.home.pass_time(due_ms - SECOND_MS)
            assert await sending.campaign() == ("Scheduled", None)
            await sending.later(HOUR_MS)
        assert (await sending.row())["started_at_ms"] == due_ms
        assert sending.accepted() == chats(range(2))


async def test_a_start_that_was_moved_into_the_past_while_nobody_was_there_runs_at_once(
    database_place: Place, media_folder: Path
) -> None:
    """Seed 002, test case 4: stop, set a past scheduledAt in the database, start: it runs immediately."""
    async with prepared(database_place, media_folder) as sending:
        await scheduled(sending, 2, MORNING_MS + 30 * DAY_MS)
        past = Write("UPDATE campaign SET scheduled_at_ms = ? WHERE id = 1", (MORNING_MS - HOUR_MS,), rows=1)
        await sending.home.database.apply([past])
        async with sending.home.running():
            await becomes(sending, lambda row: row["status"] == "Running")
            await sending.later(HOUR_MS)
        row = await sending.row()
        assert (row["status"], row["started_at_ms"]) == ("Completed", MORNING_MS)
        assert sending.accepted() == chats(range(2))
        assert sending.changes() == ["campaign.started", "campaign.completed"]
        assert await sending.home.leftovers() == {}


async def test_a_start_that_was_moved_by_hand_happens_at_its_new_time(
    database_place: Place, media_folder: Path
) -> None:
    """Also into the future: the old timer starts nothing."""
    later_ms = MORNING_MS + 5 * HOUR_MS
    async with prepared(database_place, media_folder) as sending:
        await scheduled(sending, 2, MORNING_MS + HOUR_MS)
        moved = Write("UPDATE campaign SET scheduled_at_ms = ? WHERE id = 1", (later_ms,), rows=1)
        await sending.home.database.apply([moved])
        due = "SELECT due_at_ms FROM timer WHERE id = 'campaign.start:1'"
        async with sending.home.running():
            async with asyncio.timeout(20):
                while await sending.home.database.fetch(due) != [(later_ms,)]:
                    await sending.home._a_moment()
            await sending.later(4 * HOUR_MS)
            assert (await sending.campaign(), sending.accepted()) == (("Scheduled", None), [])
            await sending.later(2 * HOUR_MS)
        assert (await sending.row())["started_at_ms"] == later_ms
        assert sending.accepted() == chats(range(2))


@pytest.fixture
def is_looked_after_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing timers are looked for a hundred times a second instead of once a minute."""
    defaults = CampaignKeeper.__init__.__kwdefaults__
    assert defaults == {"every_s": 60.0}
    monkeypatch.setitem(defaults, "every_s", 0.01)


async def test_a_start_timer_that_is_too_early_starts_nothing(opens: Opens) -> None:
    """However it came to be due: the campaign starts at its own time."""
    due_ms = MORNING_MS + 5 * HOUR_MS
    async with opens(2, scheduledAt=iso(due_ms)) as sending:
        early = "UPDATE timer SET due_at_ms = ? WHERE id = 'campaign.start:1'"
        await sending.home.database.apply([Write(early, (MORNING_MS + MINUTE_MS,), rows=1)])
        await sending.later(HOUR_MS)
        assert (await sending.campaign(), sending.accepted()) == (("Scheduled", None), [])
        await sending.later(6 * HOUR_MS)
        assert (await sending.row())["started_at_ms"] == due_ms
        assert sending.accepted() == chats(range(2))


@pytest.mark.usefixtures("is_looked_after_all_the_time")
async def test_a_timer_that_vanishes_in_a_run_is_given_back(opens: Opens) -> None:
    """Not only at the start: a running and a scheduled campaign lose theirs while the daemon is at work."""
    due_ms = MORNING_MS + 3 * HOUR_MS
    async with opens(3) as sending:
        await sending.create(scheduledAt=iso(due_ms))
        await sending.until_accepted(1)
        await no_timers(sending)
        for timer in ("campaign.step:1", "campaign.start:2"):
            await has_timer(sending, timer)
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(3))
        assert (await sending.row(2))["status"] == "Scheduled"
        await sending.later(3 * HOUR_MS)
        assert (await sending.row(2))["started_at_ms"] == due_ms
        assert sending.accepted() == chats([*range(3), *range(3)])


@pytest.mark.usefixtures("is_looked_after_all_the_time")
async def test_looking_after_campaigns_disturbs_none(opens: Opens) -> None:
    """A whole run with a pause, watched at every moment: no timer is taken for missing, nobody gets anything twice."""
    with capture_logs() as logs:
        async with opens(12, settings={"gap_min_s": 1, "gap_max_s": 1}) as sending:
            await sending.until_accepted(5)
            await sending.ask("pause")
            await sending.ask("resume")
            await sending.later(HOUR_MS)
            assert sending.accepted() == chats(range(12))
            assert await sending.states() == ["SENT"] * 12
            assert sending.changes() == [
                "campaign.started",
                "campaign.paused",
                "campaign.resumed",
                "campaign.completed",
            ]
    assert [line for line in logs if line["event"] == "campaign.strayed"] == []


async def test_without_a_session_the_first_one_of_the_user_sends(opens: Opens) -> None:
    """Seed 001: the user's first session, whichever that is when it starts; another user's is never taken."""
    async with opens(2, session=None, scheduledAt=iso(MORNING_MS + MINUTE_MS)) as sending:
        for name, owner in (("hers", "user-2"), ("mine", USER), ("mine-too", USER)):
            sending.waha.add_session(name, owner=owner)
        await sending.later(HOUR_MS)
        assert [(message.session, message.chat_id) for message in sending.waha.accepted] == [
            ("mine", chat(0)),
            ("mine", chat(1)),
        ]
        assert (await sending.row())["session"] == "mine"
        assert await sending.campaign() == ("Completed", None)


async def test_a_user_without_a_session_has_a_failed_campaign(opens: Opens) -> None:
    """Seed 001: Failed with completedAt, told, nothing sent, no recipient frozen; another user's session is not his."""
    async with opens(2, session=None, scheduledAt=iso(MORNING_MS + MINUTE_MS)) as sending:
        sending.waha.records.known(SESSION, MORNING_MS).metadata["user.id"] = "user-2"
        await sending.later(HOUR_MS)
        row = await sending.row()
        assert (row["status"], row["completed_at_ms"]) == ("Failed", MORNING_MS + MINUTE_MS)
        assert "session" in row["pause_detail"]
        assert sending.changes() == ["campaign.failed"]
        assert sending.last("campaign.failed")["completedAt"] == iso(MORNING_MS + MINUTE_MS)
        assert (sending.accepted(), await sending.ledger()) == ([], [])
        assert await sending.home.leftovers() == {}


async def test_a_waha_that_is_away_at_the_start_fails_no_campaign(opens: Opens) -> None:
    """Who has which session can't be told then: it stays Scheduled, and starts once WAHA is back."""
    async with opens(2, session=None, scheduledAt=iso(MORNING_MS + MINUTE_MS)) as sending:
        sending.waha.records.known(SESSION, MORNING_MS).metadata["user.id"] = USER
        sending.waha.faults.fail("session.list")
        await sending.later(2 * MINUTE_MS)
        assert await sending.campaign() == ("Scheduled", None)
        sending.waha.faults.clear()
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(2))
        assert sending.changes() == ["campaign.started", "campaign.completed"]
        assert await sending.home.leftovers() == {}


async def test_an_error_that_nobody_expected_ends_it_as_failed_and_a_retry_goes_on(opens: Opens) -> None:
    """Seed 001: Failed, completedAt, index kept, the robot told; scope pending takes up those who are left."""
    async with opens(4) as sending:
        await sending.until_accepted(2)
        broken = "UPDATE campaign_recipient SET fields = '[not JSON' WHERE position = 2"
        await sending.home.database.apply([Write(broken, rows=1)])
        await sending.later(DAY_MS)
        row = await sending.row()
        assert (row["status"], row["last_processed_contact_index"]) == ("Failed", 1)
        assert row["completed_at_ms"] is not None
        assert sending.changes() == ["campaign.started", "campaign.failed"]
        told = sending.last("campaign.failed")
        assert (told["lastProcessedContactIndex"], told["sentCount"], told["pendingCount"]) == (1, 2, 2)
        assert sending.accepted() == chats(range(2))
        await sending.home.database.apply([Write("UPDATE campaign_recipient SET fields = NULL", rows=None)])
        await sending.ask("retry", scope="pending")
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(4))
        assert await sending.states() == ["SENT"] * 4
        assert sending.changes()[2:] == ["campaign.resumed", "campaign.completed"]
        assert sending.home.sqs.counts("robotd-timers-dlq").visible == 1


async def test_a_file_in_the_user_s_own_folder_comes_first(opens: Opens, media_folder: Path) -> None:
    """Of two files of one name the user's own is sent; another user's can't be named."""
    own, other = JPEG + b"own", JPEG + b"common"
    for user, content in ((USER, own), ("user-2", JPEG + b"hers")):
        (media_folder / user).mkdir()
        (media_folder / user / "a.jpeg").write_bytes(content)
    (media_folder / "user-2" / "hers.jpeg").write_bytes(JPEG)
    (media_folder / "a.jpeg").write_bytes(other)
    (media_folder / "b.jpeg").write_bytes(other)
    async with opens(1, mediaFile="a.jpeg") as sending:
        await sending.create(mediaFile="b.jpeg")
        await sending.create(mediaFile="hers.jpeg")
        await sending.later(HOUR_MS)
        hashes = [message.media_sha256 for message in sending.waha.accepted]
        assert hashes == [hashlib.sha256(content).hexdigest() for content in (own, other)]
        refused = [told["payload"]["kind"] for told in sending.home.results(ROBOT) if told["type"] == "error"]
        assert refused == ["no-media"]


LATE = {"expires_after_s": 3_600}


@pytest.mark.parametrize(
    ("own_s", "late_ms", "status"),
    [
        (None, HOUR_MS - MINUTE_MS, "Completed"),
        (None, HOUR_MS + MINUTE_MS, "Failed"),
        (7_200, HOUR_MS + MINUTE_MS, "Completed"),
        (60, 2 * MINUTE_MS, "Failed"),
    ],
)
async def test_a_start_that_comes_too_late_is_none(
    database_place: Place, media_folder: Path, own_s: int | None, late_ms: int, status: str
) -> None:
    """By the campaign's own word, else by the setting; it is told, nothing is sent, and there is nobody to retry."""
    due_ms = MORNING_MS + HOUR_MS
    async with prepared(database_place, media_folder, campaigns=LATE) as sending:
        async with sending.home.running():
            await sending.add_people(people(2))
            await sending.create(scheduledAt=iso(due_ms), expiresAfterS=own_s)
        sending.home.clock.set(due_ms + late_ms)
        async with sending.home.running():
            await sending.home.quiet()
            await sending.later(HOUR_MS)
            await sending.ask("retry", scope="pending")
        row = await sending.row()
        assert row["status"] == status
        letters = sending.home.sqs.messages(DEAD_LETTERS)
        assert [letter.attributes["errorKind"] for letter in letters] == ["wrong-state"]
        is_over = status == "Failed"
        assert sending.changes() == (["campaign.failed"] if is_over else ["campaign.started", "campaign.completed"])
        assert sending.accepted() == ([] if is_over else chats(range(2)))
        if is_over:
            assert row["completed_at_ms"] == due_ms + late_ms
            assert "expired" in sending.last("campaign.failed")["detail"]


async def test_a_text_whose_answer_never_came_is_looked_up_and_sent(opens: Opens) -> None:
    """WAHA took it and the connection broke: found by its reserved id, it is SENT, once, and the others follow."""
    async with opens(3, scheduledAt=iso(MORNING_MS + MINUTE_MS)) as sending:
        sending.waha.faults.reset("sendText", times=1, when=When.AFTER)
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(3))
        assert await sending.states() == ["SENT"] * 3
        assert sending.asked("/messages") >= 1
        end = sending.last("campaign.completed")
        assert (end["sentCount"], end["unknownCount"], end["failedCount"]) == (3, 0, 0)


async def test_a_text_of_which_nobody_can_tell_is_shown_and_not_repeated(opens: Opens) -> None:
    """Neither answer nor lookup: UNKNOWN, told with the counts; only a person's explicit word sends it again."""
    async with opens(3, scheduledAt=iso(MORNING_MS + MINUTE_MS)) as sending:
        sending.waha.faults.reset("sendText", times=1, when=When.AFTER)
        sending.waha.behaviour.has_store = False
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(3))
        assert await sending.states() == ["UNKNOWN", "SENT", "SENT"]
        assert sending.last("campaign.completed")["unknownCount"] == 1
        await sending.ask("retry", scope="unknown")
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats([0, 1, 2, 0])
        assert await sending.states() == ["SENT"] * 3


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, ["WAHA advises 30 to 60 s"]),
        ({"gap_min_s": 40, "gap_max_s": 5}, ["the smallest is used for every message"]),
        ({"gap_min_s": 30, "gap_max_s": 60}, []),
    ],
)
async def test_the_start_warns_of_a_pace_that_is_risky(opens: Opens, settings: dict[str, int], says: list[str]) -> None:
    """MIN above MAX, and gaps below what WAHA advises: told when the campaign starts, and it runs all the same."""
    async with opens(2, settings=settings) as sending:
        await sending.later(HOUR_MS)
        warnings = sending.last("campaign.started")["warnings"]
        assert len(warnings) == len(says)
        assert all(word in warning for word, warning in zip(says, warnings, strict=True))
        assert await sending.campaign() == ("Completed", None)


async def test_the_end_comes_with_the_last_message(opens: Opens) -> None:
    """Bug 24: no gap is waited for after it."""
    async with opens(3) as sending:
        await sending.later(HOUR_MS)
        assert (await sending.row())["completed_at_ms"] == sending.waha.accepted[-1].at_ms
        assert sending.changes() == ["campaign.started", "campaign.completed"]


async def test_a_failure_between_intent_and_send_hides_nobody(opens: Opens) -> None:
    """Right after the intent was committed: that contact is shown as what it is, nobody gets it twice."""
    probe = FailsOnce("after_commit_now")
    async with opens(3, probe=probe, scheduledAt=iso(MORNING_MS + MINUTE_MS)) as sending:
        probe.is_armed = True
        await sending.later(HOUR_MS)
        assert probe.has_failed
        accepted = sending.accepted()
        assert len(accepted) == len(set(accepted))
        states = await sending.states()
        assert [state for number, state in enumerate(states) if chat(number) not in accepted] in ([], ["UNKNOWN"])
        assert states[1:] == ["SENT", "SENT"]
        assert await sending.campaign() == ("Completed", None)
