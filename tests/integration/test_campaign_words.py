"""Words about campaigns and to those who wait for them: test sends, windows, answers to a queue, progress, alerts.

On both engines, against WAHA's own record.
"""

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from domain.wire import iso
from localstack.clock import ManualClock
from localstack.faults import Fault, FaultKind, When
from localstack.slack import SlackSimulator
from localstack.waha import Trouble, TroubleKind, WahaSimulator
from tests.integration.sending import (
    DEAD_LETTERS,
    HOUR_MS,
    MINUTE_MS,
    SECOND_MS,
    SESSION,
    FailsOnce,
    Opens,
    Place,
    Sending,
    chat,
    chats,
    people,
    phone,
)
from tests.world import MORNING_MS, command, world

LATER = iso(MORNING_MS + 24 * HOUR_MS)
REPLIES = "office-replies"


def reasons(sending: Sending) -> list[str]:
    """Why commands were refused, by kind."""
    return [letter.attributes["errorKind"] for letter in sending.home.sqs.messages(DEAD_LETTERS)]


async def trials(sending: Sending) -> list[tuple[object, ...]]:
    """Chat and state of each test send."""
    rows = await sending.home.database.fetch("SELECT chat_id, state FROM campaign_trial_send ORDER BY at_ms, id")
    return [tuple(row) for row in rows]


async def test_a_test_send_reaches_one_person_and_no_ledger(opens: Opens) -> None:
    """The text as they would get it, before the campaign starts; its robot hears of it, nobody else gets anything."""
    async with opens(3, scheduledAt=LATER) as sending:
        await sending.ask("test-send", phoneNumber=phone(900), firstName="Zoe")
        assert sending.texts() == [(chat(900), "Dear Zoe, hello.")]
        assert await trials(sending) == [(chat(900), "SENT")]
        assert sending.last("campaign.test-sent") == {"campaignId": 1, "state": "SENT", "error": None}
        assert (await sending.row())["status"] == "Scheduled"
        await sending.later(25 * HOUR_MS)
        assert sending.accepted() == chats([900, 0, 1, 2])
        assert await sending.states() == ["SENT"] * 3


async def test_a_test_send_that_comes_twice_sends_once(opens: Opens) -> None:
    """The same command under the same id: one message, one answer."""
    async with opens(1, scheduledAt=LATER) as sending:
        data = {"userId": "user-1", "campaignId": 1, "phoneNumber": phone(900)}
        for _ in range(2):
            body = command("campaign.test-send", data, id="try-1")
            sending.home.sqs.send(sending.home.settings.queues.commands, body)
            await sending.home.quiet()
        assert sending.accepted() == [chat(900)]
        assert sending.told().count("campaign.test-sent") == 1


@pytest.mark.parametrize("point", ["after_upstream", "after_commit_now", "before_commit"])
@pytest.mark.parametrize("at", [1, 2, 3])
async def test_a_test_send_that_is_cut_off_is_not_repeated(opens: Opens, point: str, at: int) -> None:
    """Whatever fails on the way, WAHA takes it at most once; who can't be told of is UNKNOWN."""
    probe = FailsOnce(point, at)
    async with opens(1, probe=probe, scheduledAt=LATER) as sending:
        probe.is_armed = True
        await sending.ask("test-send", phoneNumber=phone(900))
        await sending.later(HOUR_MS)
        assert len(sending.accepted()) <= 1
        ((_, state),) = await trials(sending)
        assert state in {"SENT", "UNKNOWN"}
        assert (state == "SENT") <= (sending.accepted() == [chat(900)])
        assert sending.last("campaign.test-sent")["state"] == state


async def test_a_test_send_keeps_the_number_s_pace(opens: Opens) -> None:
    """Right after another one it waits for the gap like any message."""
    async with opens(1, scheduledAt=LATER) as sending:
        await sending.ask("test-send", phoneNumber=phone(900))
        data = {"userId": "user-1", "campaignId": 1, "chatId": chat(901)}
        sending.home.sqs.send(sending.home.settings.queues.commands, command("campaign.test-send", data))
        await sending.home.sqs.wait_until(
            lambda: (
                sending.home.sqs.counts(sending.home.settings.queues.commands).delayed > 0
                or sending.home.sqs.counts(sending.home.settings.queues.commands).in_flight > 0
            ),
            10,
        )
        assert sending.accepted() == [chat(900)]
        sending.home.clock.set(MORNING_MS + MINUTE_MS)
        await sending.home.quiet(30)
        assert sending.accepted() == chats([900, 901])


async def test_a_test_send_that_can_t_be_is_refused_with_its_reason(opens: Opens) -> None:
    """Somebody who opted out, no number at all, a number that is stopped, a user without a session."""
    async with opens(1, scheduledAt=LATER, session=None) as sending:
        await sending.ask("test-send", phoneNumber=phone(900))
        sending.waha.add_session("of-user-1", "STOPPED", owner="user-1")
        await sending.ask("test-send", phoneNumber=phone(900))
        await sending.tell(("opt-out.add", {"phoneNumber": phone(900)}))
        await sending.ask("test-send", phoneNumber=phone(900))
        await sending.ask("test-send", phoneNumber="0612345")
        await sending.ask("test-send", phoneNumber=phone(900), chatId=chat(900))
        assert reasons(sending) == ["no-session", "number-stopped", "opted-out", "invalid-phone", "invalid-data"]
        assert sending.accepted() == []
        sending.waha.set_status("of-user-1", "WORKING")
        await sending.ask("test-send", phoneNumber=phone(901))
        assert [(message.session, message.chat_id) for message in sending.waha.accepted] == [("of-user-1", chat(901))]


async def test_a_test_send_that_waha_refuses_is_told_as_failed(opens: Opens) -> None:
    """With WAHA's reason, and not a second time."""
    async with opens(1, scheduledAt=LATER) as sending:
        sending.waha.script.add(Trouble(TroubleKind.BAD_REQUEST, times=1))
        await sending.ask("test-send", phoneNumber=phone(900))
        told = sending.last("campaign.test-sent")
        assert (told["state"], "400" in told["error"]) == ("FAILED", True)
        assert sending.accepted() == []


async def test_a_campaign_with_a_window_of_its_own_sends_in_it_alone(opens: Opens) -> None:
    """Its window is 09:00 to 09:01 in Amsterdam on workdays, 08:00 UTC; the rest goes out on the next day."""
    window = {"timeZone": "Europe/Amsterdam", "days": ["tue", "wed", "thu"], "start": "10:00", "end": "10:01"}
    async with opens(12, window=window, settings={"gap_min_s": 10, "gap_max_s": 10}) as sending:
        await sending.later(60 * HOUR_MS)
        assert await sending.states() == ["SENT"] * 12
        at = [iso(message.at_ms)[5:19] for message in sending.waha.accepted]
        assert at == [
            *(f"11-25T09:00:{second:02d}" for second in (0, 10, 20, 30, 40, 50)),
            *(f"11-26T09:00:{second:02d}" for second in (0, 10, 20, 30, 40, 50)),
        ]


async def test_a_window_that_never_meets_the_number_s_is_refused_at_once(opens: Opens) -> None:
    """Nobody should wait for a campaign that can't send."""
    async with opens(1, window={"days": ["mon"]}, settings={"window_days": "tue,wed"}) as sending:
        assert reasons(sending) == ["never-open"]
        assert await sending.home.database.fetch("SELECT id FROM campaign") == []


@pytest.mark.parametrize(
    "window", [{"days": []}, {"timeZone": "Mars/Base"}, {"start": "24:00"}, {"end": "9:00"}, {"hours": "9-17"}]
)
async def test_a_window_that_is_none_is_refused(opens: Opens, window: dict[str, Any]) -> None:
    """With the path of what is wrong."""
    async with opens(1, window=window) as sending:
        (letter,) = sending.home.sqs.messages(DEAD_LETTERS)
        assert letter.attributes["errorMessage"].startswith("data: window")


async def test_progress_is_told_while_it_runs_and_no_longer(opens: Opens) -> None:
    """Every five minutes, with counts of the rows and an estimate of the end that comes true."""
    pace = {"gap_min_s": 60, "gap_max_s": 60, "progress_every_s": 300}
    async with opens(12, settings=pace) as sending:
        await sending.later(2 * HOUR_MS)
        told = [result["payload"] for result in sending.home.results(61001) if result["type"] == "campaign.progress"]
        counts = [(one["sentCount"], one["pendingCount"], one["sendingCount"]) for one in told]
        assert counts in ([(5, 7, 0), (10, 2, 0)], [(6, 6, 0), (11, 1, 0)])  # a message is due at that instant
        assert {one["estimatedEnd"] for one in told} == {iso(MORNING_MS + 11 * MINUTE_MS)}
        assert sending.changes() == ["campaign.started", "campaign.completed"]
        assert await sending.home.leftovers() == {}


async def test_a_command_that_names_a_queue_is_answered_there(database_place: Place, media_folder: Path) -> None:
    """The campaign's own changes go to its queue, an answer to whoever asked; nobody else is told anything."""
    async with with_replies(database_place, media_folder) as sending:
        await sending.add_people(people(2))
        await sending.create(robotId=None, replyTo=REPLIES)
        await sending.later(5 * SECOND_MS)
        await sending.ask("pause", replyTo="other-replies")
        await sending.ask("status", replyTo="other-replies")
        await sending.ask("resume")
        await sending.later(HOUR_MS)
        own = [json.loads(body) for body in sending.home.sqs.bodies(REPLIES)]
        other = [json.loads(body) for body in sending.home.sqs.bodies("other-replies")]
        assert [one["type"].removeprefix("campaign.") for one in own] == [
            *("current", "started", "paused", "resumed", "completed"),
        ]
        assert {json.dumps(one["to"]) for one in own} == {json.dumps({"queue": REPLIES})}
        assert [(one["type"], one["payload"]["status"]) for one in other] == [("campaign.current", "Paused")] * 2
        assert not [queue for queue in sending.home.sqs.queues() if queue.startswith("robot-queue-")]


@asynccontextmanager
async def with_replies(place: Place, folder: Path) -> AsyncIterator[Sending]:
    """A world in which two queues may be named for answers, with a daemon."""
    clock, key = ManualClock(MORNING_MS), secrets.token_hex(8)
    async with (
        WahaSimulator(clock, api_key=key) as gateway,
        world(
            place,
            clock=clock,
            waha={"base_url": gateway.url, "api_key": key},
            queues={"create_robot_queues": True, "reply_queues": f"{REPLIES},other-replies"},
        ) as home,
    ):
        gateway.add_session(SESSION)
        async with home.running():
            yield Sending(home, gateway, folder)


@asynccontextmanager
async def with_slack(place: Place, folder: Path) -> AsyncIterator[tuple[Sending, SlackSimulator]]:
    """A world whose operators are on Slack, with a daemon."""
    clock, key = ManualClock(MORNING_MS), secrets.token_hex(8)
    async with (
        WahaSimulator(clock, api_key=key) as gateway,
        SlackSimulator(clock, token=secrets.token_hex(8)) as slack,
        world(
            place,
            clock=clock,
            waha={"base_url": gateway.url, "api_key": key},
            slack={"webhook_url": slack.url},
        ) as home,
    ):
        gateway.add_session(SESSION)
        async with home.running():
            yield Sending(home, gateway, folder), slack


async def test_operators_hear_of_a_pause_once_for_all_campaigns_of_a_number(
    database_place: Place, media_folder: Path
) -> None:
    """Two campaigns of one number stop together: one word with the reason; a user's own pause is none."""
    async with with_slack(database_place, media_folder) as (sending, slack):
        await sending.add_people(people(4))
        await sending.create()
        await sending.create(name="Second letter")
        await sending.ask("pause")
        await sending.ask("resume")
        assert slack.posted == []
        sending.waha.set_status(SESSION, "STOPPED")
        await sending.later(5 * MINUTE_MS)
        (posted,) = slack.posted
        assert "SESSION_NOT_WORKING" in posted.text
        assert not [number for number in range(4) if phone(number) in posted.text]
        rows = await sending.home.database.fetch("SELECT status FROM campaign")
        assert [row[0] for row in rows] == ["Paused", "Paused"]


async def test_operators_hear_of_a_campaign_that_failed(database_place: Place, media_folder: Path) -> None:
    """With the reason."""
    async with with_slack(database_place, media_folder) as (sending, slack):
        await sending.add_people(people(1))
        await sending.create(session=None)
        (posted,) = slack.posted
        assert "user user-1 has no WhatsApp session" in posted.text
        assert (await sending.row())["status"] == "Failed"


async def test_a_send_without_an_answer_is_looked_up_at_once_and_once_more(opens: Opens) -> None:
    """WAHA took it, but tells it late: the first look finds nothing, the last one, after the grace, does."""
    async with opens(3, settings={"doubt_grace_s": 90}) as sending:
        sending.waha.records.lookup_lag_ms = 60_000
        sending.waha.faults.add(Fault(FaultKind.RESET, "sendText", When.AFTER, times=1))
        await sending.later(50 * SECOND_MS)
        assert sorted(await sending.states()) == ["SENDING", "SENT", "SENT"]
        assert "in-doubt" in await sending.codes()
        await sending.later(HOUR_MS)
        assert await sending.states() == ["SENT"] * 3
        assert sorted(sending.accepted()) == chats(range(3))
        assert await sending.campaign() == ("Completed", None)


async def test_a_send_that_surely_never_left_is_made_after_its_grace(opens: Opens) -> None:
    """The chat reaches back and holds nothing of ours since: only then it is sent again, with another id."""
    probe = FailsOnce("after_commit_now")
    async with opens(1, probe=probe, scheduledAt=iso(MORNING_MS + MINUTE_MS)) as sending:
        sending.waha.remember(SESSION, chat(0), "a letter of last year", MORNING_MS - 300 * 24 * HOUR_MS)
        probe.is_armed = True
        await sending.later(2 * MINUTE_MS)
        assert await sending.states() == ["SENDING"]
        await sending.later(HOUR_MS)
        assert await sending.ledger() == [(chat(0), "SENT", 2)]
        assert sending.accepted() == [chat(0)]
        assert probe.has_failed


async def test_a_campaign_that_is_cancelled_leaves_no_intent_behind(opens: Opens) -> None:
    """Who is in doubt at that moment is UNKNOWN, and counted as that where it is told."""
    async with opens(2, scheduledAt=iso(MORNING_MS + MINUTE_MS)) as sending:
        sending.waha.records.lookup_lag_ms = 10 * HOUR_MS
        sending.waha.faults.add(Fault(FaultKind.RESET, "sendText", When.AFTER, times=1))
        await sending.later(MINUTE_MS + 3 * SECOND_MS)
        assert await sending.states() == ["SENDING", "PENDING"]
        await sending.ask("cancel")
        assert await sending.states() == ["UNKNOWN", "PENDING"]
        told = sending.last("campaign.cancelled")
        assert (told["unknownCount"], told["sendingCount"], told["pendingCount"]) == (1, 0, 1)


async def test_one_contact_at_a_time_tries_a_suspected_number(opens: Opens) -> None:
    """WhatsApp refused one contact with 463: after the pause a single message tries, whatever campaign it is of."""
    async with opens(3, settings={"suspicion_wait_s": 120, "gap_min_s": 1, "gap_max_s": 1}) as sending:
        sending.waha.script.add(Trouble(TroubleKind.REACHOUT_LOCK, times=1))
        await sending.create(name="Second letter")
        await sending.later(60 * SECOND_MS)
        before = [message.at_ms for message in sending.waha.accepted]
        assert len(before) <= 1
        sending.waha.faults.hang("sendText", times=1, when=When.BEFORE)
        sending.home.clock.set(MORNING_MS + 125 * SECOND_MS)
        await sending.waha.faults.until(lambda: sending.waha.faults.hanging == 1)
        sending.home.clock.set(MORNING_MS + 150 * SECOND_MS)
        assert len(sending.waha.accepted) == len(before)
        sending.waha.faults.release()
        await sending.later(HOUR_MS)
        rows = await sending.home.database.fetch("SELECT status FROM campaign ORDER BY id")
        assert [row[0] for row in rows] == ["Completed", "Completed"]
        states = [*await sending.states(1), *await sending.states(2)]
        assert sorted(states) == ["FAILED", *["SENT"] * 5]
