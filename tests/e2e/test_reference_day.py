"""One status check from the robot's question to its last word, and every other way in which the same day can go."""

from pathlib import Path

import pytest

from daemon.store.mysql import MysqlAddress
from tests.e2e.reference_day import (
    FAIL_STEP,
    PASS_STEP,
    PENDING,
    ROBOT,
    START_MS,
    STEP,
    UNTIL_MS,
    Line,
    ask,
    asked_history,
    at,
    check_row,
    deletes,
    ended,
    happens,
    lines,
    morning,
    nothing_stays,
    told,
)
from tests.world import World

Place = Path | MysqlAddress
SUBSCRIPTION = "/internal/v1/events/robots/61001/subscriptions/44120"


def resend(home: World, event_name: str) -> int:
    """Put what Megazord sent of an event on the queue once more; returns how many messages that were."""
    events = home.settings.queues.events
    bodies = [entry.body for entry in home.sqs.ledger.of("sent", events) if f'"{event_name}"' in entry.body]
    for body in bodies:
        home.sqs.send(events, body)
    return len(bodies)


async def test_a_visit_within_the_window_passes_the_check_and_leaves_nothing(place: Place) -> None:
    """Asked at 08:40:00, undecided by two hours of history, passed by the event of 09:05:41, then all is cleaned up."""
    async with morning(place) as home:
        async with home.running():
            await ask(home)
            assert set(asked_history(home)) == {"1764052800"}  # 06:40:00Z
            (subscription,) = home.megazord.subscriptions
            assert (subscription.id, subscription.queue, subscription.asked_until) == (
                44120,
                home.settings.megazord.queue_suffix,
                "2025-11-25T09:10:00.000Z",
            )
            assert {"TOILET_ACTIVITY", "IN_TOILET"} <= set(subscription.event_names)
            row = await check_row(home)
            assert (row["phase"], row["result"], row["subscription_id"]) == ("FUTURE", "PENDING", 44120)
            assert (row["since_ms"], row["until_ms"]) == (at("06:40:00"), UNTIL_MS)
            assert told(home) == [PENDING]

            incoming_id = await happens(home, "TOILET_ACTIVITY", "09:05:41")
            (outgoing,) = [each for each in home.megazord.outgoing if each.source.id == incoming_id]
            row = await check_row(home)
            assert (row["phase"], row["result"], row["next_step_id"]) == ("COMPLETED", "PASS", PASS_STEP)
            assert await lines(home) == [Line(1, "TOILET_ACTIVITY", incoming_id, outgoing.id, "FUTURE", "PASS")]
            assert told(home) == [PENDING, ended("09:05:41", "PASS", PASS_STEP)]
            assert deletes(home) == [(SUBSCRIPTION, 204)]
            await nothing_stays(home, at("09:05:41"))
        assert told(home) == [PENDING, ended("09:05:41", "PASS", PASS_STEP)]


async def test_the_last_word_says_all_about_the_check(place: Place) -> None:
    """Sender, robot, link, the check under the keys of the system before this one, and its history line by line."""
    async with morning(place) as home:
        async with home.running():
            await ask(home)
            await happens(home, "TOILET_ACTIVITY", "09:05:41")
            (line,) = await lines(home)
            check_id = (await check_row(home))["id"]
        last = home.results(ROBOT)[-1]
    assert (last["from"]["serviceName"], last["to"]) == ("robotd", {"robotId": "61001"})
    assert last["link"]["link"] == f"/v1/status-check/check/{check_id}"
    expected = {
        "id": check_id,
        "robotId": ROBOT,
        "statusCheck": "TOILET_VISIT",
        "stepId": STEP,
        "scriptVersionId": 5310,
        "scheduledId": 77001,
        "plannedAt": "2025-11-25T08:40:00.000Z",
        "phase": "COMPLETED",
        "result": "PASS",
        "nextStepId": PASS_STEP,
        "createdAt": "2025-11-25T08:40:00.000Z",
        "updatedAt": "2025-11-25T09:05:41.000Z",
        "history": [
            {
                "order": 1,
                "eventName": "TOILET_ACTIVITY",
                "incomingEventId": line.incoming_id,
                "outgoingEventId": line.outgoing_id,
                "phase": "FUTURE",
                "result": "PASS",
                "createdAt": "2025-11-25T09:05:41.000Z",
            }
        ],
    }
    assert {key: last["payload"].get(key) for key in expected} == expected


async def test_a_visit_that_is_delivered_again_is_neither_recorded_nor_told_again(place: Place) -> None:
    """The same message of Megazord three more times: one line of history, one last word, and the queue is empty."""
    async with morning(place) as home:
        async with home.running():
            await ask(home)
            await happens(home, "TOILET_ACTIVITY", "09:05:41")
            before, row = await lines(home), await check_row(home)
            for _ in range(3):
                assert resend(home, "TOILET_ACTIVITY") >= 1
                await home.quiet()
            assert (await lines(home), await check_row(home)) == (before, row)
            await nothing_stays(home, at("09:05:41"))
        assert len(before) == 1
        assert told(home) == [PENDING, ended("09:05:41", "PASS", PASS_STEP)]
        assert [status for _, status in deletes(home)] == [204]


async def test_a_repeated_event_of_a_check_that_goes_on_is_recorded_once(place: Place) -> None:
    """While the check still listens, a redelivery changes neither the history nor what the robot is told."""
    async with morning(place, "OUT_OF_BED_MORNING", past_s=-1) as home:
        async with home.running():
            await ask(home)
            await happens(home, "OUT_OF_BED", "08:50:00")
            assert resend(home, "OUT_OF_BED") == 1
            await home.quiet()
            assert [line.order for line in await lines(home)] == [1]
            await happens(home, "IN_BED", "08:55:00")
            assert resend(home, "OUT_OF_BED") == 2  # the repetition is there by now, too
            await home.quiet()
            await nothing_stays(home, UNTIL_MS)
            assert [line.event_name for line in await lines(home)] == ["OUT_OF_BED", "IN_BED"]
        assert [word.result for word in told(home)] == ["PENDING", "PASS", "PENDING", "FAIL"]


async def test_a_visit_after_the_window_is_skipped_though_it_comes_before_the_end_is_told(place: Place) -> None:
    """Megazord's clock may be ahead: an event of 09:10:01 that is here at 09:09:59 never counts."""
    async with morning(place) as home:
        async with home.running():
            await ask(home)
            await happens(home, "TOILET_ACTIVITY", "09:10:01", known_at="09:09:59")
            assert await lines(home) == []
            assert told(home) == [PENDING]
            await nothing_stays(home, UNTIL_MS)
            assert await lines(home) == []
        assert told(home) == [PENDING, ended("09:10:00", "FAIL", FAIL_STEP)]


async def test_a_visit_after_the_end_is_skipped(place: Place) -> None:
    """The subscription may be there still, and Megazord sends on: the message is taken from the queue, and no more."""
    async with morning(place) as home:
        home.megazord.faults.fail("subscriptions.delete", times=3)
        async with home.running():
            await ask(home)
            await happens(home, "TOILET_ACTIVITY", "09:10:01")
            assert await lines(home) == []
            await nothing_stays(home, UNTIL_MS)
        assert len([each for each in home.megazord.outgoing if each.source.event_name == "TOILET_ACTIVITY"]) == 1
        assert told(home) == [PENDING, ended("09:10:00", "FAIL", FAIL_STEP)]


async def test_silence_fails_the_check_at_the_end_of_the_window_and_not_a_millisecond_before(place: Place) -> None:
    """No event at all: at 09:09:59.999 the robot has heard nothing new, at 09:10:00.000 it goes the way of `fail`."""
    async with morning(place) as home:
        async with home.running():
            await ask(home)
            await home.pass_time(at("09:09:59.999"))
            await home.quiet()
            assert told(home) == [PENDING]
            home.clock.advance(1)
            await home.quiet()
            assert told(home) == [PENDING, ended("09:10:00", "FAIL", FAIL_STEP)]
            row = await check_row(home)
            assert (row["phase"], row["result"], row["next_step_id"]) == ("COMPLETED", "FAIL", FAIL_STEP)
            await nothing_stays(home, UNTIL_MS)
        assert deletes(home) == [(SUBSCRIPTION, 204)]


async def test_a_visit_in_the_last_second_counts(place: Place) -> None:
    """The window includes its end: Megazord stamps whole seconds, so 09:10:00 is as late as a visit may be."""
    async with morning(place) as home:
        async with home.running():
            await ask(home)
            await happens(home, "TOILET_ACTIVITY", "09:10:00", known_at="09:09:59.999")
            await nothing_stays(home, UNTIL_MS)
        assert told(home) == [PENDING, ended("09:09:59.999", "PASS", PASS_STEP)]


async def test_a_visit_before_the_question_decides_at_once(place: Place) -> None:
    """The first word is the last, the history says PAST, and no subscription is open once it is said."""
    async with morning(place) as home:
        visit = await home.megazord.post_event(ROBOT, "TOILET_ACTIVITY", created_at_ms=at("08:00:12"))
        async with home.running():
            await ask(home)
            assert told(home) == [ended("08:40:00", "PASS", PASS_STEP)]
            assert home.megazord.active_subscriptions() == []
            assert await lines(home) == [Line(1, "TOILET_ACTIVITY", visit, None, "PAST", "PASS")]
            await nothing_stays(home, START_MS)
            assert len(await lines(home)) == 1
        assert told(home) == [ended("08:40:00", "PASS", PASS_STEP)]


async def test_a_visit_that_megazord_never_sent_is_found_at_the_end(place: Place) -> None:
    """Megazord stored the event and lost its message: the history is read again before silence is believed."""
    async with morning(place) as home:
        async with home.running():
            await ask(home)
            home.megazord.faults.drop_fan_out(times=1)
            visit = await happens(home, "TOILET_ACTIVITY", "09:05:41")
            assert await lines(home) == []
            await nothing_stays(home, UNTIL_MS)
            assert await lines(home) == [Line(1, "TOILET_ACTIVITY", visit, None, "FUTURE", "PASS")]
        assert told(home) == [PENDING, ended("09:10:00", "PASS", PASS_STEP)]


async def test_a_script_that_ends_with_pass_is_told_so(place: Place) -> None:
    """No next step is a legal answer, and not the same as a branch that is missing."""
    async with morning(place, next={"pass": None, "fail": FAIL_STEP}) as home:
        async with home.running():
            await ask(home)
            await happens(home, "TOILET_ACTIVITY", "09:05:41")
            await nothing_stays(home, at("09:05:41"))
        assert told(home) == [PENDING, ended("09:05:41", "PASS", None)]


@pytest.mark.parametrize(("branches", "next_step_id"), [({}, FAIL_STEP), ({"unknown": 88129}, 88129)])
async def test_an_unknown_result_takes_its_own_branch_or_else_that_of_fail(
    place: Place, branches: dict[str, int], next_step_id: int
) -> None:
    """The resident leaves the house: without a branch for UNKNOWN the robot goes the way of `fail`, and is told so."""
    async with morning(place, next={"pass": PASS_STEP, "fail": FAIL_STEP, **branches}) as home:
        async with home.running():
            await ask(home)
            await happens(home, "OUTSIDE_HOME", "08:52:00")
            await nothing_stays(home, at("08:52:00"))
        assert told(home) == [PENDING, ended("08:52:00", "UNKNOWN", next_step_id, is_resolved=bool(branches))]


@pytest.mark.parametrize(
    ("first", "second", "result", "step"),
    [("OUT_OF_BED", "IN_BED", "FAIL", FAIL_STEP), ("IN_BED", "OUT_OF_BED", "PASS", PASS_STEP)],
)
async def test_a_check_that_listens_until_the_end_believes_the_last_event(
    place: Place, first: str, second: str, result: str, step: int
) -> None:
    """Two events that contradict each other: nothing is final before the window ends, and the later one decides."""
    async with morning(place, "OUT_OF_BED_MORNING", past_s=-1) as home:
        async with home.running():
            await ask(home)
            await happens(home, first, "08:50:00")
            await happens(home, second, "08:59:00")
            assert (await check_row(home))["phase"] == "FUTURE"
            await nothing_stays(home, UNTIL_MS)
            assert [line.event_name for line in await lines(home)] == [first, second]
        words = told(home)
        assert words[-1] == ended("09:10:00", result, step)
        assert {word.phase for word in words[:-1]} == {"FUTURE"}
