"""The consumer against SQS over HTTP: slots, renewal, deletes, outages and the drain."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.dispatcher import Policy
from daemon.sqs import Outgoing, SqsAccess, connect
from domain.errors import Unavailable
from domain.outcome import Done, Outcome, Retry
from domain.ports import UnitOfWork
from tests.parts import DEAD, QUEUE, Parts, Valve, Wish, consuming, done, parts, wish, wishes


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Parts]:
    async with parts(tmp_path) as opened:
        yield opened


async def test_never_more_deliveries_are_in_flight_than_there_are_slots(home: Parts) -> None:
    """Thirty messages, four slots: four handlers at once, and the queue has handed out no fifth message."""
    for number in range(30):
        home.server.send(QUEUE, wish(str(number)))
    valve = Valve()
    async with consuming(home.consumer(home.dispatcher(wishes(valve)), max_in_flight=4)) as consumer:
        await valve.until(lambda: valve.inside == 4)
        assert (consumer.in_flight, home.server.counts(QUEUE).in_flight) == (4, 4)
        valve.opened.set()
        await home.until_empty()
    assert valve.most <= 4
    assert sorted(valve.through, key=int) == [str(number) for number in range(30)]


async def test_a_slow_handler_keeps_its_message_through_renewals_in_batches(home: Parts) -> None:
    """With a visibility timeout of two seconds, messages held for more than that are never handed out twice."""
    ids = [home.server.send(QUEUE, wish(str(number))) for number in range(12)]
    valve = Valve()
    consumer = home.consumer(home.dispatcher(wishes(valve)), max_in_flight=12, visibility_timeout_s=2)
    async with consuming(consumer):
        await valve.until(lambda: valve.inside == 12)
        changed = home.server.ledger.of
        await home.server.wait_until(
            lambda: all(len(changed("visibility_changed", QUEUE, message)) >= 3 for message in ids)
        )
        valve.opened.set()
        await home.until_empty()
    assert len(home.server.ledger.of("received", QUEUE)) == 12
    received_s = {entry.message_id: entry.time_s for entry in home.server.ledger.of("received", QUEUE)}
    first_s = [home.server.ledger.of("visibility_changed", QUEUE, message)[0].time_s for message in ids]
    assert all(0.9 <= at_s - received_s[message] <= 1.9 for message, at_s in zip(ids, first_s, strict=True))


async def test_renewal_ends_before_a_retry_delay_is_set(home: Parts) -> None:
    """The last word on a message that is to come back in an hour is that hour, although renewals were under way."""
    home.server.send(QUEUE, wish())
    valve = Valve()

    async def later(asked: Wish, work: UnitOfWork) -> Outcome:
        await valve(asked, work)
        return Retry(3600, "not yet")

    home.server.faults.delay_s = 0.3
    home.server.faults.only = frozenset({"ChangeMessageVisibilityBatch"})
    async with consuming(home.consumer(home.dispatcher(wishes(later)), visibility_timeout_s=2)) as consumer:
        await home.server.wait_until(lambda: len(home.server.ledger.of("visibility_changed")) >= 2)
        valve.opened.set()
        await valve.until(lambda: not valve.inside)
        await consumer.at_rest()
        told = len(home.server.ledger.of("visibility_changed"))
    assert home.server.counts(QUEUE).in_flight == 1
    assert len(home.server.ledger.of("visibility_changed")) == told
    assert len(home.server.ledger.of("received")) == 1


async def test_a_handler_whose_receipt_is_lost_is_cancelled_and_the_other_receipt_handles(home: Parts) -> None:
    """Another consumer took the message: the first handler is cancelled, the message has one effect in the inbox."""
    message = home.server.send(QUEUE, wish("contested"))
    valve = Valve()
    consumer = home.consumer(home.dispatcher(wishes(valve)), visibility_timeout_s=2, max_in_flight=1)
    async with consuming(consumer):
        await valve.until(lambda: valve.inside == 1)
        home.server.faults.reset = 1.0  # no renewal gets through
        home.server.faults.only = frozenset({"ChangeMessageVisibilityBatch"})
        await valve.until(lambda: valve.cancelled == ["contested"])
        home.server.faults.reset = 0.0
        await valve.until(lambda: len(valve.came) == 2)
        valve.opened.set()
        await home.until_empty()
    assert len(home.server.ledger.of("received", QUEUE, message)) == 2
    assert (valve.through, await home.count("inbox")) == (["contested"], 1)


async def test_a_missing_queue_during_a_renewal_does_not_end_the_consumer(home: Parts) -> None:
    """The queue vanishes and comes back while a handler runs: renewal goes on failing and then works."""
    home.server.send(QUEUE, wish())
    valve = Valve()
    with capture_logs() as logs:
        async with consuming(home.consumer(home.dispatcher(wishes(valve)), visibility_timeout_s=3)) as consumer:
            await valve.until(lambda: valve.inside == 1)
            home.server.missing_queues.add(QUEUE)
            await until_logged(logs, "message.renewal_failed")
            home.server.missing_queues.clear()
            await home.server.wait_until(lambda: bool(home.server.ledger.of("visibility_changed")))
            valve.opened.set()
            await home.until_empty()
            await consumer.at_rest()
    assert valve.cancelled == []


async def until_logged(logs: Sequence[Mapping[str, object]], event: str) -> None:
    """Return as soon as a line with this event was logged."""
    async with asyncio.timeout(10):
        while not any(line["event"] == event for line in logs):
            await asyncio.to_thread(int)  # lets the loop turn


async def test_failed_entries_of_a_delete_batch_are_deleted_by_another_try(home: Parts) -> None:
    """SQS answers 200 with `Failed[]` for a third of the entries: each message is deleted all the same."""
    home.server.faults.partial_failure = 0.3
    home.server.faults.only = frozenset({"DeleteMessageBatch"})
    for number in range(40):
        home.server.send(QUEUE, wish(str(number)))
    async with consuming(home.consumer(home.dispatcher(wishes(done)), visibility_timeout_s=2)):
        await home.until_empty()
    again = len(home.server.ledger.of("received", QUEUE)) - 40  # failed three times in a row: one in forty
    assert again < 8
    assert await home.outcomes() == ["done"] * 40


@pytest.mark.parametrize("policy", ["ignored", "refused"])
async def test_a_stale_receipt_is_no_error_and_the_redelivery_is_dropped(home: Parts, policy: str) -> None:
    """The message was handed out again before its delete: the second delivery is known to the inbox and acked."""
    home.server.faults.stale_handle = "refused" if policy == "refused" else "ignored"
    home.server.send(QUEUE, wish("once"))
    valve = Valve()
    consumer = home.consumer(home.dispatcher(wishes(valve)), visibility_timeout_s=30)
    async with consuming(consumer):
        await valve.until(lambda: valve.inside == 1)
        (held,) = home.server.ledger.of("received", QUEUE)
        handle = next(iter(consumer._ownership._held))
        await home.sqs.change_visibility(QUEUE, [(handle, 0)])
        await valve.until(lambda: len(valve.came) == 2)
        valve.opened.set()
        await home.until_empty()
    assert held.receive_count == 1
    assert await home.count("inbox") == 1
    assert (await home.outcomes()).count("done") == 1


async def test_duplicates_within_one_batch_are_handled_once_and_all_deleted(home: Parts) -> None:
    """Each message is delivered twice by SQS, also within one receive: batch entries are told apart by position."""
    home.server.faults.duplicate = 1.0
    home.server.faults.only = frozenset({"ReceiveMessage"})
    for number in range(10):
        home.server.send(QUEUE, wish(str(number), robot_id=1 + number % 2))
    async with consuming(home.consumer(home.dispatcher(wishes(done)))):
        await home.server.wait_until(lambda: len(home.server.ledger.of("deleted", QUEUE)) >= 10)
        home.server.faults.duplicate = 0.0
        await home.until_empty()
    assert await home.outcomes() == ["done"] * 10
    assert home.is_empty(DEAD)


async def test_an_outage_of_sqs_is_logged_once_and_polling_resumes(home: Parts) -> None:
    """Refused for several polls, then back: one line for the loss, one for the return, and messages flow again."""
    with capture_logs() as logs:
        # Two seconds, because the poll that was cut off still takes a message on the server's side.
        async with consuming(home.consumer(home.dispatcher(wishes(done)), visibility_timeout_s=2)):
            home.server.send(QUEUE, wish("before"))
            await home.until_empty()
            await home.server.refuse()
            await until_logged(logs, "dependency.lost")
            await home.server.listen()
            home.server.send(QUEUE, wish("after"))
            await home.until_empty(30)
            await until_logged(logs, "dependency.restored")
    said = [line["event"] for line in logs if line["event"].startswith("dependency.")]
    assert said == ["dependency.lost", "dependency.restored"]
    assert len(await home.outcomes()) == 2


async def test_a_loss_that_only_a_delete_noticed_ends_with_the_next_poll(home: Parts) -> None:
    """Deletes fail three times and the message comes back; polls work, so the loss is over, and so is the message."""
    home.server.send(QUEUE, wish())
    home.server.faults.error = 1.0
    home.server.faults.only = frozenset({"DeleteMessageBatch"})
    with capture_logs() as logs:
        async with consuming(home.consumer(home.dispatcher(wishes(done)), visibility_timeout_s=2)):
            await until_logged(logs, "dependency.restored")
            home.server.faults.error = 0.0
            await home.until_empty()
    assert home.gate.missing == frozenset()
    assert await home.outcomes() == ["done"]


async def test_a_receive_that_hangs_is_bounded(tmp_path: Path) -> None:
    """SQS takes the request and never answers: the poll ends by itself, and the next one works."""
    async with parts(tmp_path, wait_s=0, call_timeout_s=0.5) as home:
        home.server.hang.add("ReceiveMessage")
        with pytest.raises(Unavailable):
            await home.sqs.receive(QUEUE, limit=10, visibility_timeout_s=30)
        home.server.hang.clear()
        home.server.send(QUEUE, wish())
        assert len(await home.sqs.receive(QUEUE, limit=10, visibility_timeout_s=30)) == 1


async def test_what_the_last_poll_brings_is_handed_back_without_a_handler(home: Parts) -> None:
    """Stop comes while messages are on their way: none is started, all are visible at once, even if SQS fails some."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def probe(point: str) -> None:
        if point == "after_receive":
            arrived.set()
            await go_on.wait()

    valve = Valve()
    home.server.faults.partial_failure = 0.3
    home.server.faults.only = frozenset({"ChangeMessageVisibilityBatch"})
    for number in range(10):
        home.server.send(QUEUE, wish(str(number)))
    async with consuming(home.consumer(home.dispatcher(wishes(valve)), probe=probe)) as consumer:
        await asyncio.wait_for(arrived.wait(), 5)
        consumer.stop()
        go_on.set()
    counts = home.server.counts(QUEUE)
    assert (counts.visible, counts.in_flight, valve.came) == (10, 0, [])


async def test_the_drain_waits_for_what_finishes_and_hands_back_what_does_not(home: Parts) -> None:
    """One handler ends within the bound and is deleted; the others, even one deaf to cancellation, are visible."""
    valve = Valve()
    deaf = asyncio.Event()

    async def mixed(asked: Wish, work: UnitOfWork) -> Outcome:
        if asked.text == "quick":
            return Done()
        try:
            return await valve(asked, work)
        except asyncio.CancelledError:
            if asked.text == "deaf":
                await deaf.wait()
            raise

    for text in ("slow", "deaf", "quick"):
        home.server.send(QUEUE, wish(text))
    consumer = home.consumer(home.dispatcher(wishes(mixed)))
    keeping, polling = asyncio.create_task(consumer.keep()), asyncio.create_task(consumer.run())
    await valve.until(lambda: valve.inside == 2)
    consumer.stop()
    await polling
    late = await consumer.drain(0.2)
    counts = home.server.counts(QUEUE)
    assert (late, counts.visible, counts.in_flight) == (2, 2, 0)
    assert sorted(valve.cancelled) == ["deaf", "slow"]
    deaf.set()
    await consumer.at_rest()
    keeping.cancel()
    await asyncio.wait([keeping])


async def test_stopping_does_not_wait_for_a_database_that_is_gone(home: Parts) -> None:
    """The gate is closed because the database is lost: once the process ends it holds nobody."""
    home.gate.lost("database", "gone")
    consumer = home.consumer(home.dispatcher(wishes(done)))
    polling = asyncio.create_task(consumer.run())
    await asyncio.sleep(0)
    consumer.stop()
    home.gate.end()
    async with asyncio.timeout(2):
        await polling


@pytest.mark.parametrize("page", [b"<html>We are back soon</html>", b"[]", b"{}"])
async def test_an_answer_that_names_no_entry_is_not_a_success(page: bytes) -> None:
    """Something else answers in SQS's place with status 200: nothing counts as sent, so nothing is forgotten."""
    async with impostor(page) as url, connect(SqsAccess("eu-central-1", url, "test", "test")) as sqs:
        with pytest.raises(Unavailable):
            await sqs.url("robots")
        try:
            (error,) = await sqs.send(f"{url}/1/robots", [Outgoing("x", {})])
        except Unavailable as raised:
            error = raised
    assert isinstance(error, Unavailable)


@asynccontextmanager
async def impostor(body: bytes) -> AsyncIterator[str]:
    """Something that answers every request with this body and status 200."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_message_that_outlives_its_tries_is_dead_lettered_and_the_others_flow(home: Parts) -> None:
    """A handler that always fails is tried as often as the policy says, by our own count; a good one passes at once."""

    async def fails(asked: Wish, _work: UnitOfWork) -> Outcome:
        if asked.text == "poison":
            raise ValueError("no such wish")
        return Done()

    dispatcher = home.dispatcher(wishes(fails), Policy(max_attempts=2, first_s=0.01, cap_s=0.01))
    home.server.send(QUEUE, wish("poison", robot_id=7))
    home.server.send(QUEUE, wish("good", robot_id=8))
    async with consuming(home.consumer(dispatcher)):
        await home.until_empty()
    (letter,) = home.server.messages(DEAD)
    assert letter.attributes["errorKind"] == "attempts-exhausted"
    assert letter.attributes["errorMessage"] == "gave up after 2 attempts; the last one: ValueError: no such wish"
    assert letter.attributes["attempts"] == "2"
    assert await home.count("attempt") == 0
