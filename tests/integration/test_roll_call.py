"""Subscriptions that were lost between Megazord's answer and our commit: found by a roll call, on both engines.

Nothing happens in any home here: what is found is found by robotd itself.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import structlog

from daemon.app import Outside, build
from daemon.clients.megazord import ASK_AGAIN_S, HttpMegazord, Own
from domain.errors import RuleViolation
from localstack.clock import ManualClock
from localstack.faults import When
from localstack.megazord import MegazordSimulator
from tests.mariadb import MariaDb
from tests.world import MORNING_MS, World, create_command, world

ROBOT, STEP, ROLL_CALL = 61001, 88120, "SUBSCRIPTION_ROLL_CALL"
STEP_MS = 5_000
MINUTE_MS = 60_000


@pytest.fixture(params=["sqlite", "mariadb"])
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "sqlite":
        async with world(tmp_path / "robotd.db") as opened:
            yield opened
        return
    server: MariaDb = request.getfixturevalue("mariadb")
    address = server.new_database()
    async with world(address) as opened:
        yield opened
    server.drop(address)


class Death:
    """A probe that fails whoever comes to `point` for the `hit`-th time, and everybody who comes anywhere after it."""

    def __init__(self, point: str, hit: int) -> None:
        self.struck = asyncio.Event()
        self._point = point
        self._hits_left = hit

    async def __call__(self, point: str) -> None:
        self._hits_left -= point == self._point
        if self._hits_left <= 0:
            self.struck.set()
            raise ConnectionAbortedError(point)


def ask(home: World, scheduled_id: int = 1) -> None:
    home.managers.add_step(ROBOT, STEP, "TOILET_VISIT", past_interval_s=7200, future_interval_s=1800)
    home.sqs.send(home.settings.queues.commands, create_command(ROBOT, STEP, scheduled_id, MORNING_MS))


def pass_time(home: World, by_ms: int) -> None:
    """Turn the clock, and make the messages on the queues as much older, which have the server's own time."""
    home.clock.advance(by_ms)
    for name in home.sqs.queues():
        queue = home.sqs._queue(name)
        for message in queue:
            message.sent_s -= by_ms / 1000
            message.due_s -= by_ms / 1000
        queue._heap = [(due_s - by_ms / 1000, ticket, message) for due_s, ticket, message in queue._heap]
    home.sqs.tick()


async def at_peace(home: World) -> None:
    """Return when nothing is to be done before time passes: what waits in a queue waits for a moment to come."""
    assert home.daemon is not None
    calm = 0
    while calm < 5:
        busy = any(
            home.sqs.counts(name).visible for name in (home.settings.queues.commands, home.settings.queues.events)
        )
        due = await home.database.fetch("SELECT COUNT(*) FROM timer WHERE due_at_ms <= ?", (home.clock.now_ms(),))
        calm = 0 if busy or due[0][0] or home.daemon.in_flight else calm + 1
        await home._a_moment()


async def a_minute_until(home: World, wanted: set[int]) -> None:
    """Let at most a minute pass, in small steps, until `wanted` alone are open at Megazord."""
    for _ in range(0, MINUTE_MS, STEP_MS):
        await at_peace(home)
        if open_now(home) == wanted:
            return
        pass_time(home, STEP_MS)
    await at_peace(home)
    assert open_now(home) == wanted


def open_now(home: World) -> set[int]:
    return {subscription.id for subscription in home.megazord.active_subscriptions()}


async def held(home: World) -> set[int]:
    rows = await home.database.fetch("SELECT subscription_id FROM status_check WHERE phase = 'FUTURE'")
    return {int(row[0] or 0) for row in rows}


async def lose(home: World) -> set[int]:
    """Let a daemon die with the answer to a subscribe in its hand; what it leaves is open for nobody."""
    death = Death("after_upstream", 2)  # the step was the first answer
    async with build(home.settings, Outside(home.clock, death)) as daemon:
        run = asyncio.create_task(daemon.run())
        ask(home)
        await death.struck.wait()
        daemon.stop()
        with suppress(ConnectionAbortedError):
            await run
    pass_time(home, 31_000)
    return open_now(home)


async def test_what_a_crash_lost_is_gone_within_a_minute_of_the_restart(home: World) -> None:
    """The daemon dies between Megazord's answer and our commit; the next one opens another and finds the first."""
    orphans = await lose(home)
    assert len(orphans) == 1
    async with home.running():
        await at_peace(home)
        await a_minute_until(home, await held(home))
        assert len(await held(home)) == 1
    assert not orphans & open_now(home)


async def test_several_lost_ones_of_one_robot_are_all_found(home: World) -> None:
    """Two checks of one robot lost the answers to their subscribes; what they hold in the end stays."""
    home.megazord.faults.reset("subscriptions.create", times=2, when=When.AFTER)
    async with home.running():
        ask(home, 1)
        ask(home, 2)
        await home.megazord.until(lambda: len(home.megazord.subscriptions) == 4)
        await at_peace(home)
        assert len(await held(home)) == 2
        assert len(open_now(home)) == 4
        await a_minute_until(home, await held(home))


async def test_what_a_lost_answer_left_is_gone_within_a_minute(home: World) -> None:
    """Megazord made the subscription and its answer never came; the second try succeeds beside it."""
    home.megazord.faults.reset("subscriptions.create", times=1, when=When.AFTER)
    async with home.running():
        ask(home)
        await home.megazord.until(lambda: len(home.megazord.subscriptions) == 2)
        await at_peace(home)
        orphan = {subscription.id for subscription in home.megazord.subscriptions} - await held(home)
        assert len(orphan) == 1
        await a_minute_until(home, await held(home))
    assert not orphan & open_now(home)


async def test_a_subscription_of_another_service_stays_untouched(home: World) -> None:
    """Theirs has another queue and not our event: no roll call reaches it, and nothing of ours deletes it."""
    async with httpx.AsyncClient() as http:
        theirs = await HttpMegazord(http, home.megazord.url, Own("alarms")).subscribe(ROBOT, ["IN_TOILET"], 0, None)
    orphans = await lose(home) - {theirs}
    async with home.running():
        await at_peace(home)
        await a_minute_until(home, {theirs} | await held(home))
    assert theirs in open_now(home)
    assert not orphans & open_now(home)
    deleted = [seen for seen in home.megazord.requests if seen.method == "DELETE"]
    assert {int(seen.path.rsplit("/", 1)[1]) for seen in deleted} == orphans


async def test_without_trouble_nobody_calls_a_roll(home: World) -> None:
    """The intent goes with the commit that keeps the id: one check, no event of ours, no timer left over."""
    async with home.running():
        ask(home)
        await at_peace(home)
        pass_time(home, MINUTE_MS)
        await at_peace(home)
    assert [event.event_name for event in home.megazord.incoming] == []
    rows = await home.database.fetch("SELECT type FROM timer")
    assert [row[0] for row in rows] == ["status-check.end"]


class NoQueues:
    """What is sent is not looked at here."""

    async def send(self, *_message: object) -> bool:
        return True


@pytest.fixture
async def untaught() -> AsyncIterator[MegazordSimulator]:
    """A Megazord whose schemas lack our event."""
    async with MegazordSimulator(NoQueues(), ManualClock(MORNING_MS), unknown_names=[ROLL_CALL]) as simulator:
        yield simulator


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


def client(http: httpx.AsyncClient, megazord: MegazordSimulator) -> HttpMegazord:
    return HttpMegazord(http, megazord.url, Own("azi-4", roll_call_event=ROLL_CALL))


async def test_a_megazord_without_the_event_is_subscribed_at_without_it_and_warned_of_once(
    http: httpx.AsyncClient, untaught: MegazordSimulator
) -> None:
    """The first answer is 404, the second try goes without; the next doesn't even ask, and nobody is warned twice."""
    ours = client(http, untaught)
    with structlog.testing.capture_logs() as logged:
        for _ in range(2):
            await ours.subscribe(ROBOT, ["IN_BED", "IN_BED"], MORNING_MS, None)
        assert not await ours.roll_call(ROBOT, None)
    assert [subscription.event_names for subscription in untaught.subscriptions] == [("IN_BED",), ("IN_BED",)]
    assert [seen.status for seen in untaught.requests] == [404, 201, 201]
    assert [(line["event"], line["log_level"]) for line in logged] == [("subscription.roll_call_unknown", "warning")]


async def test_a_megazord_that_forgot_the_event_is_noticed_by_a_roll_call_too(
    http: httpx.AsyncClient, untaught: MegazordSimulator
) -> None:
    """The timer of an earlier run may come first."""
    ours = client(http, untaught)
    assert not await ours.roll_call(ROBOT, None)
    await ours.subscribe(ROBOT, ["IN_BED"], MORNING_MS, None)
    assert [seen.status for seen in untaught.requests] == [404, 201]


async def test_an_unknown_event_of_the_template_is_not_blamed_on_ours(
    http: httpx.AsyncClient, untaught: MegazordSimulator
) -> None:
    """Both tries are refused: the reason is passed on, and the next subscribe asks with our event again."""
    ours = client(http, untaught)
    with structlog.testing.capture_logs() as logged, pytest.raises(RuleViolation, match="NOT_THERE"):
        await ours.subscribe(ROBOT, ["NOT_THERE"], MORNING_MS, None)
    assert logged == []
    await ours.subscribe(ROBOT, ["IN_BED"], MORNING_MS, None)
    assert [seen.status for seen in untaught.requests] == [404, 404, 404, 201]


async def test_a_megazord_that_was_taught_the_event_is_asked_again(
    http: httpx.AsyncClient, untaught: MegazordSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten minutes after the refusal, not before."""
    ours = client(http, untaught)
    await ours.subscribe(ROBOT, ["IN_BED"], MORNING_MS, None)
    untaught._records._names.add(ROLL_CALL)
    await ours.subscribe(ROBOT, ["IN_BED"], MORNING_MS, None)
    ours._no_roll_call_until_s -= ASK_AGAIN_S
    await ours.subscribe(ROBOT, ["IN_BED"], MORNING_MS, None)
    assert [len(subscription.event_names) for subscription in untaught.subscriptions] == [1, 1, 2]


async def test_a_known_event_goes_into_every_subscription_and_makes_each_answer(http: httpx.AsyncClient) -> None:
    """One request each; a roll call is one event, sent once for each subscription that is open."""
    async with MegazordSimulator(NoQueues(), ManualClock(MORNING_MS)) as megazord:
        ours = client(http, megazord)
        numbers = [await ours.subscribe(ROBOT, [name], MORNING_MS, None) for name in ("IN_BED", "OUT_OF_BED")]
        await ours.subscribe(ROBOT + 1, ["IN_BED"], MORNING_MS, None)
        assert await ours.roll_call(ROBOT, None)
        assert [one.subscription_id for one in megazord.outgoing] == numbers
        assert [event.event_name for event in megazord.incoming] == [ROLL_CALL]
