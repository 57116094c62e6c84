"""Campaigns end to end on both engines, against a WAHA that keeps its own record of what it took."""

from itertools import pairwise, product

import pytest

from domain.wire import iso
from tests.integration.sending import HOUR_MS, ROBOT, SESSION, USER, FailsOnce, Opens, chat
from tests.world import MORNING_MS, command


async def test_everybody_on_the_list_gets_one_text_with_their_name(opens: Opens) -> None:
    """In the list's order, at the number's pace; counts come from the rows, and the index is gone at the end."""
    async with opens(5) as sending:
        await sending.home.pass_time(MORNING_MS + HOUR_MS)
        assert sending.texts() == [(chat(number), f"Dear N{number}, hello.") for number in range(5)]
        assert await sending.states() == ["SENT"] * 5
        assert await sending.campaign() == ("Completed", None)
        last = sending.home.results(ROBOT)[-1]["payload"]
        counts = (last["totalContacts"], last["sentCount"], last["failedCount"], last["lastProcessedContactIndex"])
        assert counts == (5, 5, 0, None)
        assert sending.told() == ["campaign.current", "campaign.started", "campaign.completed"]
        gaps = [later.at_ms - one.at_ms for one, later in pairwise(sending.waha.accepted)]
        assert all(6_000 <= gap <= 13_000 for gap in gaps)
        assert await sending.home.leftovers() == {}


async def test_a_session_that_stops_pauses_at_the_next_contact_and_the_resume_goes_on_there(opens: Opens) -> None:
    """Nobody is burnt and nobody gets it twice: Running, Paused with the reason, Running, Completed."""
    async with opens(4) as sending:
        while len(sending.waha.accepted) < 2:
            await sending.home.pass_time(sending.home.clock.now_ms() + 3_000)
        sending.waha.set_status(SESSION, "STOPPED")
        await sending.home.pass_time(sending.home.clock.now_ms() + 20_000)
        assert await sending.campaign() == ("Paused", "SESSION_NOT_WORKING")
        assert await sending.states() == ["SENT", "SENT", "PENDING", "PENDING"]
        assert sending.home.results(ROBOT)[-1]["payload"]["lastProcessedContactIndex"] == 2
        sending.waha.set_status(SESSION, "WORKING")
        await sending.ask("resume")
        await sending.home.pass_time(sending.home.clock.now_ms() + HOUR_MS)
        assert [chat_id for chat_id, _ in sending.texts()] == [chat(number) for number in range(4)]
        assert await sending.campaign() == ("Completed", None)
        assert sending.told() == [
            "campaign.current",
            "campaign.started",
            "campaign.paused",
            "campaign.resumed",
            "campaign.completed",
        ]


async def test_a_pause_that_heals_goes_on_by_itself(opens: Opens) -> None:
    """The session works again for a minute: the campaign follows, without anybody's word."""
    async with opens(2) as sending:
        sending.waha.set_status(SESSION, "STOPPED")
        await sending.home.pass_time(sending.home.clock.now_ms() + 30_000)
        assert await sending.campaign() == ("Paused", "SESSION_NOT_WORKING")
        sending.waha.set_status(SESSION, "WORKING")
        await sending.home.pass_time(sending.home.clock.now_ms() + HOUR_MS)
        assert await sending.campaign() == ("Completed", None)
        assert await sending.states() == ["SENT", "SENT"]


async def test_its_user_pauses_resumes_and_cancels_it_in_a_wait(opens: Opens) -> None:
    """Each takes effect before the next send, and another user's word counts for nothing."""
    async with opens(9) as sending:
        await sending.ask("pause", userId="somebody-else")
        assert (await sending.campaign())[0] == "Running"
        await sending.ask("pause")
        sent = len(sending.waha.accepted)
        await sending.home.pass_time(sending.home.clock.now_ms() + HOUR_MS)
        assert (await sending.campaign(), len(sending.waha.accepted)) == (("Paused", "OPERATOR"), sent)
        await sending.ask("resume")
        await sending.home.pass_time(sending.home.clock.now_ms() + 60_000)
        assert len(sending.waha.accepted) > sent
        await sending.ask("cancel")
        sent = len(sending.waha.accepted)
        await sending.home.pass_time(sending.home.clock.now_ms() + HOUR_MS)
        assert (await sending.campaign(), len(sending.waha.accepted)) == (("Cancelled", None), sent)
        assert len({chat_id for chat_id, _ in sending.texts()}) == sent
        assert await sending.home.leftovers() == {"robotd-commands-dlq": (1, 0, 0)}


async def test_who_asked_to_be_left_alone_is_skipped(opens: Opens) -> None:
    """Looked at right before the send, so it counts for a campaign that runs."""
    async with opens(3) as sending:
        opted = command("opt-out.add", {"phoneNumber": chat(2)[:-5]})
        sending.home.sqs.send(sending.home.settings.queues.commands, opted)
        await sending.home.pass_time(MORNING_MS + HOUR_MS)
        assert await sending.states() == ["SENT", "SENT", "SKIPPED"]
        assert await sending.campaign() == ("Completed", None)


async def test_a_start_that_comes_twice_starts_once(opens: Opens) -> None:
    """The timer and two commands at once: one freeze, one text for each."""
    async with opens(3, scheduledAt=iso(MORNING_MS + 60_000)) as sending:
        sending.home.clock.set(MORNING_MS + 60_000)
        for _ in range(2):
            run = command("campaign.run", {"userId": USER, "campaignId": 1})
            sending.home.sqs.send(sending.home.settings.queues.commands, run)
        await sending.home.pass_time(MORNING_MS + HOUR_MS)
        assert [chat_id for chat_id, _ in sending.texts()] == [chat(number) for number in range(3)]
        assert await sending.campaign() == ("Completed", None)


async def test_an_empty_list_completes_at_once(opens: Opens) -> None:
    """As the seeds have it: a warning in its detail, no send."""
    async with opens(0) as sending:
        await sending.home.pass_time(MORNING_MS + 10_000)
        assert await sending.campaign() == ("Completed", None)
        assert sending.texts() == []


# A contact is asked three times about (session, id, send), and has one commit ahead of its message.
STEPS = [
    *product(("before_upstream", "after_upstream", "before_commit"), (1, 2, 3, 4, 5, 6)),
    *product(("after_commit_now",), (1, 2, 3, 4)),
]


@pytest.mark.parametrize(("point", "at"), STEPS)
async def test_a_failure_at_any_step_never_sends_twice_and_hides_nobody(opens: Opens, point: str, at: int) -> None:
    """WAHA's own record has each contact at most once; who is not on it is shown as UNKNOWN, FAILED or SKIPPED."""
    probe = FailsOnce(point, at)
    async with opens(4, probe=probe, scheduledAt=iso(MORNING_MS + 60_000)) as sending:
        probe.is_armed = True
        await sending.home.pass_time(MORNING_MS + HOUR_MS)
        if (await sending.campaign())[0] == "Paused":
            await sending.ask("resume")
            await sending.home.pass_time(sending.home.clock.now_ms() + HOUR_MS)
        accepted = [chat_id for chat_id, _ in sending.texts()]
        assert len(accepted) == len(set(accepted))
        assert await sending.campaign() == ("Completed", None)
        shown = dict(zip([chat(number) for number in range(4)], await sending.states(), strict=True))
        assert {chat_id for chat_id, state in shown.items() if state == "SENT"} <= set(accepted)
        assert set(shown.values()) <= {"SENT", "UNKNOWN"}
        assert list(shown.values()).count("UNKNOWN") <= 1
    assert probe.has_failed
