"""What the owners of the system before this one complained of or asked for: each wish is played, and comes true."""

import asyncio
import io
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import structlog

from daemon.app import Outside, build
from daemon.lifecycle import Ending
from daemon.log import configure
from daemon.store.mysql import MysqlAddress
from localstack.faults import Fault, FaultKind, When
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
    at,
    deletes,
    ended,
    happens,
    lines,
    morning,
    nothing_stays,
    outlived,
    told,
)
from tests.world import MORNING_MS, World, create_command, world

Place = Path | MysqlAddress
PATIENT = {"timeout_s": 60}  # the neighbours live in this very process and have no processor of their own


@asynccontextmanager
async def replicas(home: World, count: int) -> AsyncIterator[None]:
    """So many daemons on the same queues and tables, each with lanes, timers and connections of its own."""
    async with AsyncExitStack() as stack:
        daemons = [await stack.enter_async_context(build(home.settings, Outside(home.clock))) for _ in range(count)]
        runs = [asyncio.create_task(daemon.run()) for daemon in daemons]
        try:
            yield
        finally:
            for daemon in daemons:
                daemon.stop()
            endings = await asyncio.gather(*runs)
        assert endings == [Ending.CLEAN] * count


async def test_another_services_messages_about_the_same_events_are_left_to_it(place: Place) -> None:
    """Two services on one queue took each other's messages away: ours has a queue of its own and touches no other."""
    async with morning(place) as home:
        home.sqs.create_queue("status-queue")
        async with httpx.AsyncClient(base_url=home.megazord.url, trust_env=False) as other_service:
            path = f"/internal/v1/events/robots/{ROBOT}/subscriptions"
            made = await other_service.post(path, json={"eventNames": ["TOILET_ACTIVITY"]})
            assert made.status_code == httpx.codes.CREATED
        async with home.running():
            await ask(home)
            await happens(home, "TOILET_ACTIVITY", "09:05:41")
            await home.pass_time(UNTIL_MS + 180_000)
        (theirs,) = home.sqs.messages("status-queue")
        assert theirs.receive_count == 0
        assert json.loads(theirs.body)["payload"]["subscriptionId"] == made.json()["id"]
        assert told(home) == [PENDING, ended("09:05:41", "PASS", PASS_STEP)]
        assert [each.id for each in home.megazord.active_subscriptions()] == [made.json()["id"]]


async def test_an_event_that_comes_before_its_check_is_committed_is_not_lost(place: Place) -> None:
    """An event whose subscription nobody knew yet was dropped: it waits, though another replica has received it."""
    robots = range(ROBOT, ROBOT + 16)
    async with world(place, megazord=PATIENT, micro_managers=PATIENT) as home:
        home.megazord.faults.hang("incomings.list", when=When.AFTER)  # the past is read before the events happen
        async with replicas(home, 2):
            for robot_id in robots:
                home.managers.add_step(robot_id, STEP, "TOILET_AFTER_RISING", past_interval_s=60)
                command = create_command(robot_id, STEP, 77001, MORNING_MS)
                home.sqs.send(home.settings.queues.commands, command)
            await home.megazord.faults.until(lambda: home.megazord.faults.hanging == len(robots))
            home.clock.advance(1000)
            for robot_id in robots:
                await home.megazord.post_event(robot_id, "TOILET_ACTIVITY")
            await home.sqs.wait_until(lambda: _put_back(home) > 0, timeout_s=20)
            home.megazord.faults.clear()
            home.megazord.faults.release()
            await home.quiet(40)
            await home.pass_time(home.clock.now_ms() + 180_000)
        for robot_id in robots:
            last = home.results(robot_id)[-1]["payload"]
            assert (last["phase"], last["result"], len(last["history"])) == ("COMPLETED", "PASS", 1)
        assert await home.leftovers() == {}


def _put_back(home: World) -> int:
    return len(home.sqs.ledger.of("visibility_changed", home.settings.queues.events))


async def test_an_event_between_the_subscription_and_the_look_back_counts_once(place: Place) -> None:
    """Between reading the past and subscribing events got lost: now both see it, and it is one line of the history."""
    async with morning(place) as home:
        home.megazord.faults.hang("incomings.list")
        async with home.running():
            asking = asyncio.create_task(ask(home))
            await home.megazord.until(lambda: bool(home.megazord.active_subscriptions()))
            visit = await home.megazord.post_event(ROBOT, "TOILET_ACTIVITY")
            home.megazord.faults.clear()
            home.megazord.faults.release()
            await asking
            assert await lines(home) == [Line(1, "TOILET_ACTIVITY", visit, None, "PAST", "PASS")]
            await nothing_stays(home, START_MS)
            assert len(await lines(home)) == 1
        assert len(home.megazord.outgoing) >= 1
        assert told(home) == [ended("08:40:00", "PASS", PASS_STEP)]


async def test_an_event_that_the_look_back_has_seen_is_judged_as_soon_as_it_is_told(place: Place) -> None:
    """The resident leaves between subscription and look back: the answer does not wait for the window's end."""
    async with morning(place) as home:
        home.megazord.faults.hang("incomings.list")
        async with home.running():
            asking = asyncio.create_task(ask(home))
            await home.megazord.until(lambda: bool(home.megazord.active_subscriptions()))
            home.clock.advance(1000)
            await home.megazord.post_event(ROBOT, "OUTSIDE_HOME")
            home.megazord.faults.clear()
            home.megazord.faults.release()
            await asking
            assert told(home)[-1].result == "UNKNOWN"
            assert [line.event_name for line in await lines(home)] == ["OUTSIDE_HOME"]
            await nothing_stays(home, at("08:40:01"))


async def test_many_windows_that_end_at_once_are_each_told_once_by_many_replicas(place: Place) -> None:
    """Timers in memory forbade a second instance: four, started anew, share a hundred ends, and none is doubled."""
    robots = range(ROBOT, ROBOT + 100)
    async with world(place, megazord=PATIENT, micro_managers=PATIENT) as home:
        async with home.running():
            for robot_id in robots:
                home.managers.add_step(robot_id, STEP, "TOILET_AFTER_RISING", future_interval_s=1800)
                command = create_command(robot_id, STEP, 77001, MORNING_MS)
                home.sqs.send(home.settings.queues.commands, command)
            await home.quiet(60)
        home.clock.set(UNTIL_MS)
        async with replicas(home, 4):
            await home.quiet(60)
            await home.pass_time(UNTIL_MS + 180_000)
        for robot_id in robots:
            words = [(result["payload"]["phase"], result["payload"]["result"]) for result in home.results(robot_id)]
            assert words == [("FUTURE", "PENDING"), ("COMPLETED", "FAIL")]
        assert Counter(status for _, status in deletes(home)) == {204: len(robots)}
        assert await home.leftovers() == {}


@dataclass(frozen=True, slots=True)
class Trouble:
    """What Megazord does to requests on a route, and how often."""

    route: str
    kind: FaultKind
    when: When
    times: int

    def __str__(self) -> str:
        return f"{self.route}-{self.kind}-{self.when}-{self.times}"


def _patience(kind: FaultKind) -> dict[str, int]:
    """Only who is kept waiting gives up soon: the neighbours live in this very process."""
    return {"timeout_s": 1} if kind is FaultKind.HANG else PATIENT


TROUBLES = [
    Trouble("subscriptions.delete", FaultKind.STATUS, When.BEFORE, 7),
    Trouble("subscriptions.delete", FaultKind.STATUS, When.AFTER, 4),
    Trouble("subscriptions.delete", FaultKind.RESET, When.BEFORE, 7),
    Trouble("subscriptions.delete", FaultKind.RESET, When.AFTER, 4),
    Trouble("subscriptions.delete", FaultKind.HANG, When.BEFORE, 2),
    Trouble("subscriptions.delete", FaultKind.HANG, When.AFTER, 2),
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
async def test_no_subscription_outlives_its_check_by_more_than_a_minute(place: Place, trouble: Trouble) -> None:
    """Subscriptions leaked when their delete failed once: it is repeated until Megazord has none open any more."""
    async with world(place, megazord=_patience(trouble.kind)) as home:
        home.managers.add_step(ROBOT, STEP, "TOILET_VISIT", 7200, 1800)
        async with home.running():
            await ask(home)
            home.megazord.faults.add(Fault(trouble.kind, trouble.route, trouble.when, trouble.times, status=500))
            await happens(home, "TOILET_ACTIVITY", "09:05:41")
            await nothing_stays(home, at("09:05:41"))
        struck = [route for route, _ in home.megazord.faults.struck]
        assert len(struck) == trouble.times
        assert deletes(home)[-1][1] == 204
        assert told(home) == [PENDING, ended("09:05:41", "PASS", PASS_STEP)]
        home.megazord.faults.release()


@pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.MALFORMED, FaultKind.HANG])
async def test_a_subscription_whose_answer_was_lost_is_closed_within_a_minute(place: Place, kind: FaultKind) -> None:
    """Megazord lists no subscriptions: one whose id never reached us is found all the same, and the check goes on."""
    async with world(place, megazord=_patience(kind)) as home:
        home.managers.add_step(ROBOT, STEP, "TOILET_VISIT", 7200, 1800)
        home.megazord.faults.add(Fault(kind, "subscriptions.create", When.AFTER, times=1))
        async with home.running():
            home.sqs.send(home.settings.queues.commands, create_command(ROBOT, STEP, 77001, MORNING_MS))
            await home.sqs.wait_until(lambda: bool(home.results(ROBOT)), timeout_s=30)
            home.megazord.faults.release()
            await home.quiet()
            home.clock.set(START_MS + 20_000)
            await home.sqs.wait_until(lambda: _put_back(home) > 0, timeout_s=30)
            _grow_older(home, 31)
            await home.pass_time(START_MS + 60_001)
            await home.quiet()
            *lost, kept = home.megazord.subscriptions
            assert len(lost) >= 1
            assert outlived(lost, START_MS) == []
            assert [each.id for each in home.megazord.active_subscriptions()] == [kept.id]
            await home.pass_time(UNTIL_MS + 1)
            await nothing_stays(home, UNTIL_MS)
        assert [word.result for word in told(home)] == ["PENDING", "FAIL"]
        assert told(home)[-1].next_step_id == FAIL_STEP


def _grow_older(home: World, by_s: float) -> None:
    """Every message has been on its queue for so much longer: SQS's time is not that of the clock turned by hand."""
    for name in home.sqs.queues():
        queue = home.sqs._queue(name)
        for message in queue:
            message.sent_s -= by_s
            message.due_s -= by_s
        queue._heap = [(due_s - by_s, ticket, message) for due_s, ticket, message in queue._heap]
    home.sqs.tick()


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the daemon logs, as JSON; afterwards logging is as before."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out = io.StringIO()
    configure("json", "info", out, is_strict=True)
    yield out
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


async def test_each_message_has_its_own_reference_in_log_neighbours_and_answer(place: Place, log: io.StringIO) -> None:
    """One reference for a whole process told nobody anything: each is found again wherever its message led, alone."""
    robots = range(ROBOT, ROBOT + 5)
    async with world(place, megazord=PATIENT, micro_managers=PATIENT) as home:
        async with home.running():
            for robot_id in robots:
                home.managers.add_step(robot_id, STEP, "TOILET_VISIT", 7200, 1800)
                command = create_command(robot_id, STEP, 77001, MORNING_MS, callref=f"ref-{robot_id}")
                home.sqs.send(home.settings.queues.commands, command)
            await home.quiet()
            await home.pass_time(UNTIL_MS + 180_000)
        for robot_id in robots:
            assert {result["callRef"] for result in home.results(robot_id)} == {f"ref-{robot_id}"}
            asked = [
                each for each in (*home.managers.requests, *home.megazord.requests) if f"/{robot_id}/" in each.path
            ]
            assert {each.call_ref for each in asked} == {f"ref-{robot_id}"}
            assert {each.method for each in asked} >= {"GET", "POST", "DELETE"}
    written = [json.loads(line) for line in log.getvalue().splitlines()]
    handled = [line for line in written if line["event"] == "message.handled"]
    assert {line["call_ref"] for line in handled} == {f"ref-{robot_id}" for robot_id in robots}
    assert all(line["call_ref"] == f"ref-{line['robot_id']}" for line in handled)


async def test_a_message_that_fails_for_good_is_one_warning_with_all_that_an_operator_searches_by(
    place: Place, log: io.StringIO
) -> None:
    """Several lines for one failure each had half of the story: now it is one, with robot, reference and reason."""
    async with world(place) as home, home.running():
        command = create_command(ROBOT, 99999, 77001, MORNING_MS, id="hopeless", callref="ref-hopeless")
        home.sqs.send(home.settings.queues.commands, command)
        await home.quiet()
    written = [json.loads(line) for line in log.getvalue().splitlines()]
    (bad,) = [line for line in written if line["level"] in {"warning", "error", "critical"}]
    assert (bad["event"], bad["message_id"], bad["robot_id"]) == ("message.rejected", "hopeless", ROBOT)
    assert bad["call_ref"] == "ref-hopeless"
    assert "99999" in bad["reason"]
