"""The dispatcher on a real database: every end has one action on the queue, and every surprise becomes an outcome."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.delivery import Rejection
from daemon.dispatcher import Policy
from daemon.store.books import SqlBooks
from daemon.store.database import Write
from domain.errors import Conflict, MessageError, RobotdError, RuleViolation, Unavailable
from domain.messages import Result
from domain.outcome import Done, Outcome, Reject, Retry
from domain.ports import UnitOfWork
from tests.parts import DEAD, QUEUE, Delivered, Parts, Valve, Wish, consuming, done, parts, wish, wishes


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Parts]:
    async with parts(tmp_path) as opened:
        yield opened


async def settled(home: Parts, end: Outcome | Exception, delivery: Delivered | None = None) -> Delivered:
    """Process one delivery whose handler publishes a result and then ends so."""

    async def ends(_asked: Wish, work: UnitOfWork) -> Outcome:
        work.publish(Result(7, "r-1", "wish.granted", "", {}))
        if isinstance(end, Exception):
            raise end
        return end

    delivery = delivery or Delivered()
    await home.dispatcher(wishes(ends), Policy(max_attempts=3, first_s=2.0)).process(delivery)
    return delivery


@pytest.mark.parametrize(
    ("end", "action", "journal"),
    [
        (Done(), "ack", "done"),
        (Retry(30.0, "later"), "retry", "retried"),
        (Retry(None, "later"), "retry", "retried"),
        (Reject("never", "no-way"), "reject", "rejected"),
        (MessageError("unclear"), "reject", "rejected"),
        (RuleViolation("not allowed", kind="rule"), "reject", "rejected"),
        (Unavailable("megazord", "no answer"), "retry", "retried"),
        (Conflict("lost"), "retry", "retried"),
        (TimeoutError(), "retry", "retried"),
        (ValueError("surprise"), "retry", "retried"),
        (RecursionError("deep"), "retry", "retried"),
        (ExceptionGroup("several", [ValueError("one")]), "retry", "retried"),
        (RobotdError("of no kind"), "retry", "retried"),
    ],
    ids=repr,
)
async def test_every_end_of_a_handler_is_exactly_one_action_on_the_queue(
    home: Parts, end: Outcome | Exception, action: str, journal: str
) -> None:
    """One action and one line in the journal; a result is committed only with Done."""
    delivery = await settled(home, end)
    assert [name for name, _ in delivery.actions] == [action]
    assert await home.outcomes() == [journal]
    published = [row.id for freed in home.offered for row in freed.outbox]
    assert len(published) == await home.count("outbox") == (1 if end == Done() else 0)
    assert await home.count("inbox") == (1 if action == "ack" else 0)


async def test_the_waits_are_those_that_were_asked_for_and_never_nothing(home: Parts) -> None:
    """A handler's own wait, a neighbour's Retry-After, and at least a second where it says zero or nothing."""
    asked: list[Outcome | Exception] = [
        Retry(30.0, "x"),
        Unavailable("megazord", "x", after_s=120),
        Unavailable("megazord", "x", after_s=0),
    ]
    waits = [(await settled(home, end)).actions[0][1] for end in asked]
    assert waits == [30.0, 120, 1.0]
    assert (await settled(home, Unavailable("megazord", "x"))).actions[0][1] in {2, 3, 4}  # its third deferral
    assert home.lost == ["megazord"] * 3


async def test_attempts_are_ours_and_deferrals_are_none_of_them(home: Parts) -> None:
    """Two failures, five waits for a neighbour, and the third failure ends it, whatever SQS's receive count says."""
    ends: list[Exception] = [ValueError("1"), *[Unavailable("megazord", "down")] * 5, ValueError("2"), ValueError("3")]
    actions = [(await settled(home, end, Delivered(receive_count=9))).actions[0] for end in ends]
    assert [name for name, _ in actions] == ["retry"] * 7 + ["reject"]
    rejection = actions[-1][1]
    assert isinstance(rejection, Rejection)
    assert (rejection.kind, rejection.reason) == (
        "attempts-exhausted",
        "gave up after 3 attempts; the last one: ValueError: 3",
    )
    assert rejection.attempts == 3
    assert await home.count("attempt") == 0


async def test_a_neighbour_that_is_down_for_long_fills_no_dead_letter_queue(home: Parts) -> None:
    """A hundred deferrals later the message is still waiting, and succeeds as soon as the neighbour is back."""
    for receive in range(1, 101):
        delivery = await settled(home, Unavailable("megazord", "down"), Delivered(receive_count=receive))
        assert [name for name, _ in delivery.actions] == ["retry"]
    assert (await settled(home, Done(), Delivered(receive_count=101))).actions == [("ack", None)]
    assert await home.count("attempt") == 0


async def test_a_message_that_kills_the_process_is_found_by_its_receive_count(home: Parts) -> None:
    """Received eleven times without an outcome of ours: dead-lettered without another try; ten times: tried."""
    tried = await settled(home, Done(), Delivered(wish(), "calm", 10))
    assert tried.actions == [("ack", None)]
    killer = await settled(home, Done(), Delivered(wish(), "killer", 11))
    ((action, rejection),) = killer.actions
    assert action == "reject"
    assert isinstance(rejection, Rejection)
    assert rejection.kind == "crash-loop"
    assert await home.count("outbox") == 1


async def test_a_lost_race_is_run_again_within_the_same_delivery(home: Parts) -> None:
    """The first run meets a Conflict; the second reads anew and commits: one effect, acked, nothing counted."""
    runs: list[int] = []

    async def contested(_asked: Wish, work: UnitOfWork) -> Outcome:
        runs.append(1)
        if len(runs) == 1:
            raise Conflict("version 3 instead of 2")
        return Done()

    delivery = Delivered()
    await home.dispatcher(wishes(contested)).process(delivery)
    assert (delivery.actions, len(runs), await home.outcomes()) == ([("ack", None)], 2, ["done"])


async def test_a_duplicate_in_parallel_has_one_effect(home: Parts) -> None:
    """The same command twice at once, as two messages: both are acked, one result is published."""

    async def grants(_asked: Wish, work: UnitOfWork) -> Outcome:
        work.publish(Result(7, "r-1", "wish.granted", "", {}))
        return Done()

    body = wish(id="same")
    twins = [Delivered(body, "d-1"), Delivered(body, "d-2")]
    dispatcher = home.dispatcher(wishes(grants))
    await asyncio.gather(*(dispatcher.process(twin) for twin in twins))
    assert [twin.actions for twin in twins] == [[("ack", None)]] * 2
    assert await home.count("outbox") == 1


async def test_messages_of_one_robot_are_handled_one_after_the_other_in_order(home: Parts) -> None:
    """While one robot's first message takes its time, its second waits and another robot's goes ahead."""
    valve = Valve()
    dispatcher = home.dispatcher(wishes(valve))
    bodies = [("a1", 1), ("a2", 1), ("b1", 2)]
    tasks = [asyncio.create_task(dispatcher.process(Delivered(wish(text, robot), text))) for text, robot in bodies]
    await valve.until(lambda: len(valve.came) == 2)
    assert valve.came == ["a1", "b1"]
    valve.opened.set()
    await asyncio.gather(*tasks)
    assert valve.came == ["a1", "b1", "a2"]


async def test_a_handler_that_takes_too_long_is_cut_off_and_counted(home: Parts) -> None:
    """The time of one handling is bounded; the reason says so."""
    valve, delivery = Valve(), Delivered()
    await home.dispatcher(wishes(valve), Policy(handler_timeout_s=0.05)).process(delivery)
    assert [name for name, _ in delivery.actions] == ["retry"]
    ((reason,),) = await home.database.fetch("SELECT reason FROM journal")
    assert reason == "the handler took longer than 0.05 s"


async def test_a_cancelled_handling_settles_nothing_and_commits_nothing(home: Parts) -> None:
    """Ownership was lost: no action on a message that belongs to somebody else."""
    valve, delivery = Valve(), Delivered()
    task = asyncio.create_task(home.dispatcher(wishes(valve)).process(delivery))
    await valve.until(lambda: valve.inside == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (delivery.actions, await home.outcomes(), await home.count("inbox")) == ([], [], 0)


@pytest.mark.parametrize("method", ["seen", "commit", "note_retry", "attempts"])
async def test_a_lost_database_at_any_step_brings_the_message_back(
    home: Parts, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Wherever it goes: the message is neither acked nor dead-lettered, and the loss is reported."""

    async def gone(*_args: object) -> object:
        raise Unavailable("database", "gone")

    monkeypatch.setattr(SqlBooks, method, gone)
    if method in ("seen", "commit"):
        monkeypatch.setattr(SqlBooks, "note_retry", gone)
    end: Outcome = Done() if method in ("seen", "commit") else Retry(1.0, "x")
    delivery = await settled(home, end)
    assert delivery.actions == [("retry", 10.0)]
    assert set(home.lost) == {"database"}


async def test_an_outcome_that_sqs_can_not_be_told_is_raised_and_the_inbox_knows_it(home: Parts) -> None:
    """The commit stands, the delete failed: the redelivery is acked as a duplicate without another effect."""
    body = wish(id="told-late")
    first = Delivered(body, fails=Unavailable("sqs", "gone"))
    with pytest.raises(Unavailable):
        await settled(home, Done(), first)
    second = await settled(home, Done(), Delivered(body, receive_count=2))
    assert second.actions == [("ack", None)]
    assert await home.count("outbox") == 1


@pytest.mark.parametrize("error", [RecursionError("deep"), MemoryError(), KeyError("surprise")], ids=repr)
async def test_what_no_reader_foresaw_is_an_outcome_too(
    home: Parts, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A reader that fails unexpectedly is tried a few times and then dead-lettered."""

    def fails(*_args: object) -> object:
        raise error

    monkeypatch.setattr("daemon.dispatcher.read", fails)
    dispatcher = home.dispatcher(wishes(done), Policy(max_attempts=2))
    names = []
    for receive in (1, 2):
        delivery = Delivered(receive_count=receive)
        await dispatcher.process(delivery)
        names += [name for name, _ in delivery.actions]
    assert names == ["retry", "reject"]


async def test_the_gate_closes_with_the_database_and_opens_again_with_it(home: Parts) -> None:
    """While it is lost nothing is received; when it answers, what waited in the queue is handled."""
    answering = asyncio.Event()

    async def ping() -> None:
        if not answering.is_set():
            raise Unavailable("database", "gone")

    probing = asyncio.create_task(home.gate.probe_database(ping))
    home.gate.lost("database", "gone")
    async with consuming(home.consumer(home.dispatcher(wishes(done)))):
        home.server.send(QUEUE, wish())
        assert home.server.ledger.of("received") == []
        answering.set()
        await home.until_empty()
    probing.cancel()
    await asyncio.wait([probing])
    assert home.gate.missing == frozenset()
    assert (await home.outcomes(), home.is_empty(DEAD)) == (["done"], True)


async def test_the_writes_of_a_handler_that_is_too_late_are_dropped_with_its_commit(home: Parts) -> None:
    """Somebody else handled the message between our look and our commit: ours changes nothing."""

    async def overtaken(_asked: Wish, work: UnitOfWork) -> Outcome:
        insert = "INSERT INTO inbox (source, message_id, handled_at_ms) VALUES (?, ?, {now_ms})"
        await home.database.apply([Write(insert, (work.source, work.id))])
        work.publish(Result(7, "r-1", "wish.granted", "", {}))
        return Done()

    delivery = Delivered()
    await home.dispatcher(wishes(overtaken)).process(delivery)
    assert (delivery.actions, await home.count("outbox")) == ([("ack", None)], 0)
