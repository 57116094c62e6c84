"""What the system that we replace did wrong while a campaign ran: pauses, resumes, starts, crashes, cancels.

Each test asserts the final state and the whole history: what the robot was told in its order, WAHA's own record of
what it accepted, and the ledger's rows. The numbers are those of docs/from-campaign-runner.md.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest

from daemon.app import Outside, build
from daemon.lifecycle import Daemon, Ending
from daemon.store.database import Write
from domain.wire import iso
from localstack.faults import Fault, FaultKind, When
from localstack.waha import Trouble, TroubleKind
from tests.integration.sending import (
    CHANGES,
    DAY_MS,
    DEAD_LETTERS,
    HOUR_MS,
    MINUTE_MS,
    ROBOT,
    SECOND_MS,
    SESSION,
    USER,
    AllAtOnce,
    FailsOnce,
    Opens,
    Place,
    Sending,
    chat,
    chats,
    people,
    prepared,
)
from tests.world import MORNING_MS, World, command

REFUSES_SENT = {
    "sqlite": "CREATE TRIGGER refuses BEFORE UPDATE ON campaign_recipient WHEN NEW.state = 'SENT' "
    "BEGIN SELECT RAISE(ABORT, 'refused'); END",
    "mysql": "CREATE TRIGGER refuses BEFORE UPDATE ON campaign_recipient FOR EACH ROW "
    "IF NEW.state = 'SENT' THEN SIGNAL SQLSTATE '45000'; END IF",
}


@asynccontextmanager
async def replica_of(home: World) -> AsyncIterator[Daemon]:
    """One more daemon on the same queues and database, drained at the end."""
    async with build(home.settings, Outside(home.clock)) as daemon:
        run = asyncio.create_task(daemon.run())
        try:
            yield daemon
        finally:
            daemon.stop()
            ending = await run
        assert ending is Ending.CLEAN


def indices(sending: Sending) -> list[tuple[str, int | None]]:
    """Status and index of each change that the robot was told."""
    changes = [told for told in sending.home.results(ROBOT) if told["type"] in CHANGES]
    return [(told["payload"]["status"], told["payload"]["lastProcessedContactIndex"]) for told in changes]


async def test_a_pause_is_never_overwritten_by_the_end(opens: Opens) -> None:
    """Bug 1: the session stops after two of five; hours later it is Paused still, at the contact that is next."""
    async with opens(5) as sending:
        sending.waha.plan_status(SESSION, "STOPPED", after_accepted=2)
        seen = await sending.seen(MINUTE_MS)
        await sending.later(6 * HOUR_MS)
        row = await sending.row()
        assert seen == [("Running", 0), ("Running", 1), ("Paused", 2)]
        assert (row["status"], row["pause_reason"]) == ("Paused", "SESSION_NOT_WORKING")
        assert (row["last_processed_contact_index"], row["completed_at_ms"]) == (2, None)
        assert sending.accepted() == chats(range(2))
        assert await sending.ledger() == [
            *((chat(number), "SENT", 1) for number in range(2)),
            *((chat(number), "PENDING", 0) for number in range(2, 5)),
        ]
        assert indices(sending) == [("Running", None), ("Paused", 2)]


async def test_a_resume_begins_with_the_contact_that_is_next(opens: Opens) -> None:
    """Bug 2: the first message after it goes to the third contact; five of five are sent, not six."""
    async with opens(5) as sending:
        await sending.until_accepted(2)
        await sending.ask("pause")
        assert (await sending.row())["last_processed_contact_index"] == 2
        await sending.ask("resume")
        await sending.until_accepted(3)
        assert sending.accepted() == chats(range(3))
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(5))
        end = sending.last("campaign.completed")
        assert (end["sentCount"], end["failedCount"], end["totalContacts"]) == (5, 0, 5)
        assert await sending.ledger() == [(chat(number), "SENT", 1) for number in range(5)]
        assert sending.changes() == ["campaign.started", "campaign.paused", "campaign.resumed", "campaign.completed"]


async def test_the_index_is_written_as_the_seeds_have_it_and_decides_nothing(opens: Opens) -> None:
    """Both promises of the seeds: i after contact i, i where it pauses at i, none at the end; the ledger resumes."""
    async with opens(4) as sending:
        assert await sending.seen(5 * SECOND_MS) == [("Running", 0)]
        sending.waha.set_status(SESSION, "FAILED")
        assert await sending.seen(MINUTE_MS) == [("Running", 0), ("Paused", 1)]
        sending.waha.set_status(SESSION, "WORKING")
        wrong = Write("UPDATE campaign SET last_processed_contact_index = 0 WHERE id = 1", (), rows=1)
        await sending.home.database.apply([wrong])
        await sending.ask("resume")
        seen = await sending.seen(5 * MINUTE_MS)
        assert seen[:2] == [("Running", 1), ("Running", 2)]
        assert seen[-1] == ("Completed", None)
        assert sending.accepted() == chats(range(4))


@pytest.mark.parametrize("point", ["after_upstream", "after_handle"])
async def test_a_fault_of_ours_after_a_good_send_is_no_failed_send(opens: Opens, point: str) -> None:
    """Bug 3: delivered three, sent three, failed none; the message whose answer was lost is found by its id."""
    probe = FailsOnce(point)
    async with opens(3, probe=probe, scheduledAt=iso(MORNING_MS + MINUTE_MS)) as sending:
        probe.when = lambda: len(sending.waha.accepted) == 2
        probe.is_armed = True
        await sending.later(HOUR_MS)
        assert probe.has_failed
        assert sending.accepted() == chats(range(3))
        assert await sending.states() == ["SENT"] * 3
        end = sending.last("campaign.completed")
        assert (end["sentCount"], end["failedCount"], end["unknownCount"]) == (3, 0, 0)
        assert sending.changes() == ["campaign.started", "campaign.completed"]


async def test_a_write_that_the_database_refuses_after_the_send_costs_nobody(opens: Opens) -> None:
    """Bug 3 by the database's own refusal: for a while no SENT can be written; nothing is sent again, all are SENT."""
    async with opens(3) as sending:
        await sending.until_accepted(1)
        is_file = sending.home.settings.database.url.startswith("sqlite")
        await sending.home.database.apply([Write(REFUSES_SENT["sqlite" if is_file else "mysql"])])
        await sending.later(15 * SECOND_MS)
        assert sending.accepted() == chats(range(2))
        assert await sending.states() == ["SENT", "SENDING", "PENDING"]
        await sending.home.database.apply([Write("DROP TRIGGER refuses")])
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(3))
        assert await sending.ledger() == [(chat(number), "SENT", 1) for number in range(3)]
        assert sending.changes() == ["campaign.started", "campaign.completed"]


async def test_two_replicas_and_every_start_at_once_send_everything_once(opens: Opens) -> None:
    """Bug 6: the timer, a double click and a resume at the same moment, two daemons: five messages for five people."""
    async with opens(5, scheduledAt=iso(MORNING_MS + MINUTE_MS)) as sending, replica_of(sending.home):
        sending.home.clock.set(MORNING_MS + MINUTE_MS)
        about = {"userId": USER, "campaignId": 1}
        await sending.tell(*[("campaign.run", about)] * 4, *[("campaign.resume", about)] * 2)
        await sending.later(HOUR_MS)
        assert sorted(sending.accepted()) == chats(range(5))
        assert sending.accepted() == chats(range(5))
        assert await sending.ledger() == [(chat(number), "SENT", 1) for number in range(5)]
        assert sending.changes() == ["campaign.started", "campaign.completed"]
        assert (await sending.row())["status"] == "Completed"


async def test_starts_that_all_found_it_scheduled_start_it_once(opens: Opens) -> None:
    """Bug 6 at its worst: five commands and the timer have read Scheduled before one of them commits."""
    probe = AllAtOnce("after_handle", 6)
    async with opens(3, probe=probe, scheduledAt=iso(MORNING_MS + MINUTE_MS)) as sending:
        probe.is_armed = True
        sending.home.clock.set(MORNING_MS + MINUTE_MS)
        await sending.tell(*[("campaign.run", {"userId": USER, "campaignId": 1})] * 5)
        assert probe.arrived >= 6
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(3))
        assert await sending.ledger() == [(chat(number), "SENT", 1) for number in range(3)]
        assert sending.changes() == ["campaign.started", "campaign.completed"]


async def test_a_campaign_that_was_running_when_the_process_ended_goes_on(
    database_place: Place, media_folder: Path
) -> None:
    """Bug 10: another process takes it up where the first one left it; nobody is left out, nobody gets it twice."""
    async with prepared(database_place, media_folder) as sending:
        async with sending.home.running():
            await sending.add_people(people(4))
            await sending.create()
            await sending.until_accepted(2)
        assert (await sending.row())["status"] == "Running"
        sending.home.clock.advance(DAY_MS)
        async with sending.home.running():
            await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(4))
        assert await sending.ledger() == [(chat(number), "SENT", 1) for number in range(4)]
        assert sending.changes() == ["campaign.started", "campaign.completed"]
        assert await sending.home.leftovers() == {}


async def test_a_list_that_is_edited_between_pause_and_resume_moves_nobody(opens: Opens) -> None:
    """Bug 12: five are removed and five come in; those of the start get one message each, in its order, nobody else."""
    async with opens(10) as sending:
        await sending.until_accepted(4)
        await sending.ask("pause")
        gone = [Write("DELETE FROM contact WHERE chat_id = ?", (chat(number),), rows=1) for number in (0, 2, 5, 7, 9)]
        await sending.home.database.apply(gone)
        await sending.add_people([{"phoneNumber": chat(number)[:-5]} for number in range(100, 105)])
        await sending.ask("resume")
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(10))
        assert sending.last("campaign.completed")["totalContacts"] == 10
        assert await sending.states() == ["SENT"] * 10


@pytest.mark.parametrize(
    "fault",
    [Fault(FaultKind.STATUS, "session.read", times=1, status=500), Fault(FaultKind.RESET, "session.read", times=2)],
)
async def test_one_bad_status_check_pauses_nothing(opens: Opens, fault: Fault) -> None:
    """Bug 18: it is asked again at once, and the campaign goes on as if nothing had been."""
    async with opens(3) as sending:
        await sending.until_accepted(1)
        sending.waha.faults.add(fault)
        await sending.later(HOUR_MS)
        assert len(sending.waha.faults.struck) == fault.times
        assert sending.accepted() == chats(range(3))
        assert sending.changes() == ["campaign.started", "campaign.completed"]


async def test_a_status_check_that_goes_on_failing_pauses_at_the_contact(opens: Opens) -> None:
    """Bug 18, the other half: it is a pause that heals, without a contact burnt and without an endless wait."""
    async with opens(3) as sending:
        await sending.until_accepted(1)
        sending.waha.faults.add(Fault(FaultKind.STATUS, "session.read", status=500))
        await sending.later(3 * MINUTE_MS)
        assert await sending.campaign() == ("Paused", "WAHA_UNREACHABLE")
        assert await sending.states() == ["SENT", "PENDING", "PENDING"]
        assert (await sending.row())["last_processed_contact_index"] == 1
        sending.waha.faults.clear()
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(3))
        assert sending.changes() == ["campaign.started", "campaign.paused", "campaign.resumed", "campaign.completed"]


@pytest.mark.parametrize(
    ("status", "reason"),
    [(None, "SESSION_NOT_FOUND"), ("SCAN_QR_CODE", "SESSION_NOT_WORKING"), ("FAILED", "SESSION_NOT_WORKING")],
)
async def test_what_the_session_is_is_told_as_it_is(opens: Opens, status: str | None, reason: str) -> None:
    """Bug 19: a missing session is not a stopped one, and a clear status needs no further request to be believed."""
    async with opens(3) as sending:
        await sending.until_accepted(1)
        if status is None:
            sending.waha.remove_session(SESSION)
        else:
            sending.waha.set_status(SESSION, status)
        await sending.later(20 * SECOND_MS)
        assert await sending.campaign() == ("Paused", reason)
        assert (status or "") in sending.last("campaign.paused")["detail"]
        assert await sending.states() == ["SENT", "PENDING", "PENDING"]
        known = (f"/api/sessions/{SESSION}", f"/api/{SESSION}/new-message-id", "/api/sendText")
        assert {request.path for request in sending.waha.requests} == set(known)


async def under_way(sending: Sending, route: str = "sendText") -> None:
    """Bring the next step to where WAHA has done what it asked and the answer hangs; `faults.release()` lets it go."""
    sending.waha.faults.hang(route, times=1, when=When.AFTER)
    ((due_ms,),) = await sending.home.database.fetch("SELECT due_at_ms FROM timer WHERE id = 'campaign.step:1'")
    sending.home.clock.set(int(str(due_ms)))
    await sending.waha.faults.until(lambda: sending.waha.faults.hanging == 1)


async def said(sending: Sending, verb: str, status: str) -> None:
    """Send a command while something is under way, and wait until its effect is in the database."""
    about = {"userId": USER, "campaignId": 1}
    sending.home.sqs.send(sending.home.settings.queues.commands, command(f"campaign.{verb}", about))
    async with asyncio.timeout(20):
        while (await sending.row())["status"] != status:
            await sending.home._a_moment()


@pytest.mark.parametrize(("verb", "status"), [("cancel", "Cancelled"), ("pause", "Paused")])
async def test_a_word_that_comes_while_a_message_is_under_way_counts(opens: Opens, verb: str, status: str) -> None:
    """Bugs 20 and 21: its answer is kept, not one more goes out, and the word is not overwritten."""
    async with opens(4) as sending:
        await sending.until_accepted(1)
        await under_way(sending)
        await said(sending, verb, status)
        sending.waha.faults.release()
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(2))
        assert await sending.states() == ["SENT", "SENT", "PENDING", "PENDING"]
        assert (await sending.row())["status"] == status
        assert sending.changes() == ["campaign.started", f"campaign.{status.lower()}"]
        assert await sending.home.leftovers() == {}


@pytest.mark.parametrize(("verb", "status"), [("cancel", "Cancelled"), ("pause", "Paused")])
async def test_a_word_that_comes_while_the_session_is_looked_at_stops_the_send(
    opens: Opens, verb: str, status: str
) -> None:
    """Bugs 20 and 21: the step has begun and has not sent yet; it ends without a message."""
    async with opens(4) as sending:
        await sending.until_accepted(1)
        await under_way(sending, "session.read")
        await said(sending, verb, status)
        sending.waha.faults.release()
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(1))
        assert await sending.ledger() == [(chat(0), "SENT", 1), *((chat(number), "PENDING", 0) for number in (1, 2, 3))]
        assert (await sending.row())["status"] == status
        assert sending.changes() == ["campaign.started", f"campaign.{status.lower()}"]
        assert await sending.home.leftovers() == {}


@pytest.mark.parametrize("route", ["session.read", "sendText"])
async def test_a_pause_and_a_resume_within_one_step_double_nothing(opens: Opens, route: str) -> None:
    """The old step is still under way when the new one begins: each of four gets one message, and none is lost."""
    async with opens(4) as sending:
        await sending.until_accepted(1)
        await under_way(sending, route)
        await said(sending, "pause", "Paused")
        await said(sending, "resume", "Running")
        sending.waha.faults.release()
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(4))
        assert await sending.states() == ["SENT"] * 4
        assert sending.changes() == ["campaign.started", "campaign.paused", "campaign.resumed", "campaign.completed"]
        assert await sending.home.leftovers() == {}


async def test_a_campaign_whose_rows_are_deleted_ends_in_silence(opens: Opens) -> None:
    """Bug 20 by hand in the database, in a wait: nothing more goes out, nothing fails, nothing is left."""
    async with opens(4) as sending:
        await sending.until_accepted(1)
        tables = {"campaign_recipient": "campaign_id", "campaign": "id"}
        gone = [Write(f"DELETE FROM {table} WHERE {key} = 1") for table, key in tables.items()]  # noqa: S608  ours
        await sending.home.database.apply(gone)
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(1))
        assert sending.changes() == ["campaign.started"]
        assert await sending.home.leftovers() == {}


async def test_a_failed_campaign_can_be_taken_up_again(opens: Opens) -> None:
    """Bug 22: it goes on with those that are left; its first start is its start, and its end its last one."""
    async with opens(4) as sending:
        await sending.until_accepted(2)
        failed = "UPDATE campaign SET status = 'Failed', completed_at_ms = ?, version = version + 1 WHERE id = 1"
        no_timer = Write("DELETE FROM timer WHERE id = 'campaign.step:1'", rows=1)
        await sending.home.database.apply([Write(failed, (sending.home.clock.now_ms(),), rows=1), no_timer])
        await sending.later(DAY_MS)
        await sending.ask("retry", scope="pending")
        resumed = await sending.row()
        await sending.later(HOUR_MS)
        ended = await sending.row()
        assert [row["started_at_ms"] for row in (resumed, ended)] == [MORNING_MS] * 2
        assert (resumed["status"], resumed["completed_at_ms"]) == ("Running", None)
        assert (ended["status"], ended["completed_at_ms"] > MORNING_MS + DAY_MS) == ("Completed", True)
        assert sending.accepted() == chats(range(4))
        assert sending.changes() == ["campaign.started", "campaign.resumed", "campaign.completed"]


async def test_the_first_start_stays_the_start_over_a_pause(opens: Opens) -> None:
    """Bug 22: a resume overwrites neither when it began nor how many it was begun for."""
    async with opens(3) as sending:
        await sending.until_accepted(1)
        await sending.ask("pause")
        await sending.later(DAY_MS)
        await sending.ask("resume")
        await sending.later(HOUR_MS)
        end = sending.last("campaign.completed")
        assert (end["startedAt"], end["totalContacts"], end["sentCount"]) == (iso(MORNING_MS), 3, 3)
        assert (await sending.row())["completed_at_ms"] > MORNING_MS + DAY_MS


async def test_the_total_is_counted_at_the_start(opens: Opens) -> None:
    """Bug 22: a list that grew and shrank between creation and start; the total is what the ledger has."""
    async with opens(3, scheduledAt=iso(MORNING_MS + HOUR_MS)) as sending:
        assert sending.last("campaign.current")["totalContacts"] == 3
        await sending.add_people([{"phoneNumber": chat(number)[:-5]} for number in range(50, 54)])
        await sending.home.database.apply([Write("DELETE FROM contact WHERE chat_id = ?", (chat(1),), rows=1)])
        await sending.later(2 * HOUR_MS)
        assert sending.accepted() == chats([0, 2, *range(50, 54)])
        end = sending.last("campaign.completed")
        assert (end["totalContacts"], end["sentCount"]) == (6, 6)


async def test_a_retry_goes_to_those_who_failed_alone(opens: Opens) -> None:
    """Bug 22: the one that WAHA refused gets it the second time, and nobody else gets anything."""
    async with opens(4) as sending:
        refused = Trouble(TroubleKind.BAD_REQUEST, chats=frozenset({chat(2)}), times=1)
        sending.waha.script.add(refused)
        await sending.later(HOUR_MS)
        assert await sending.states() == ["SENT", "SENT", "FAILED", "SENT"]
        assert sending.last("campaign.completed")["failedCount"] == 1
        await sending.ask("retry", scope="failed")
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats([0, 1, 3, 2])
        assert [attempt for _, _, attempt in await sending.ledger()] == [1, 1, 2, 1]
        assert sending.last("campaign.completed")["sentCount"] == 4


async def test_a_stop_does_not_wait_for_the_gap(database_place: Place, media_folder: Path) -> None:
    """Bug 24: a daemon that is told to end in the middle of a gap of an hour ends at once, and another one goes on."""
    slow = {"gap_min_s": 3_600, "gap_max_s": 3_600}
    async with prepared(database_place, media_folder, campaigns=slow) as sending:
        async with sending.home.running():
            await sending.add_people(people(2))
            await sending.create()
            assert sending.accepted() == chats(range(1))
            began_s = monotonic()
        assert monotonic() - began_s < 10
        async with sending.home.running():
            await sending.later(3 * HOUR_MS)
        assert sending.accepted() == chats(range(2))
        assert sending.changes() == ["campaign.started", "campaign.completed"]


async def test_two_resumes_at_once_resume_once(opens: Opens) -> None:
    """Bug 25: six have all read the pause before one commits: one change is told, the others hear that it runs."""
    probe = AllAtOnce("after_handle", 6)
    async with opens(4, probe=probe) as sending:
        await sending.until_accepted(2)
        await sending.ask("pause")
        before = len(sending.told())
        probe.is_armed = True
        await sending.tell(*[("campaign.resume", {"userId": USER, "campaignId": 1})] * 6)
        assert probe.arrived >= 6
        assert sorted(sending.told()[before:]) == ["campaign.current"] * 5 + ["campaign.resumed"]
        await sending.later(HOUR_MS)
        assert sending.accepted() == chats(range(4))
        assert sending.changes() == ["campaign.started", "campaign.paused", "campaign.resumed", "campaign.completed"]


async def test_a_resume_is_for_a_pause_and_for_its_owner(opens: Opens) -> None:
    """Bug 25 and the seeds' ownership rule: others are refused with a reason, and nothing moves."""
    async with opens(2, scheduledAt=iso(MORNING_MS + HOUR_MS)) as sending:
        await sending.ask("resume")
        await sending.ask("resume", userId="somebody-else")
        await sending.ask("resume", campaignId=99)
        refusals = [letter.attributes["errorKind"] for letter in sending.home.sqs.messages(DEAD_LETTERS)]
        assert refusals == ["wrong-state", "not-found", "not-found"]
        assert await sending.campaign() == ("Scheduled", None)
        assert sending.accepted() == []
