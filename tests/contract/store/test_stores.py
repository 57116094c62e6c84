"""The stores on both engines: what a commit holds together, who may write, what is forgotten."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from daemon.books import Attempts, Entry
from daemon.delivery import Identity, Message
from daemon.outbox import Addressing
from daemon.probe import unobserved
from daemon.store.bodies import SqlBodies
from daemon.store.books import SqlBooks
from daemon.store.database import Write
from daemon.store.ids import Ids
from daemon.store.leases import Leases
from daemon.store.migrate import migrate
from daemon.store.outbox import SqlOutbox
from daemon.store.retention import Retention
from daemon.store.rows import RowIds
from daemon.store.timers import SqlTimers
from daemon.store.uow import Committed, SqlUnitOfWork, Surroundings
from domain.errors import Conflict, RuleViolation
from domain.messages import Result
from domain.ports import Timer
from domain.status_check import Branch, Event, Phase, Record, StatusCheck, Verdict
from localstack.clock import ManualClock
from tests.builders import PLAIN_CHECK
from tests.conftest import AnyDatabase, Opener
from tests.parts import Delivered, Wish
from tests.world import MORNING_MS

MESSAGE = Message("wish", "test", "m-1", Wish(), 7, "ref")
ENTRY = Entry(MESSAGE.identity, "done", "handled", 1)


@dataclass(slots=True)
class Shelf:
    """The stores of one process on one database."""

    database: AnyDatabase
    rows: RowIds = field(default_factory=RowIds)
    freed: list[Committed] = field(default_factory=list)

    @property
    def books(self) -> SqlBooks:
        around = Surroundings(
            self.database,
            Ids(self.database),
            self.rows,
            Addressing("robot-queue-", "robotd", "host"),
            30_000,
            self.freed.append,
            unobserved,
        )
        return SqlBooks(around, ManualClock(MORNING_MS))

    def work(self, identity: Identity = MESSAGE.identity) -> SqlUnitOfWork:
        return self.books.begin(Delivered(), identity)

    def timers(self, boot: str = "me", lease_ms: int = 30_000) -> SqlTimers:
        return SqlTimers(self.database, boot, lease_ms)

    async def count(self, table: str) -> int:
        rows = await self.database.fetch(f"SELECT COUNT(*) FROM {table}")  # noqa: S608  a table name of ours
        return int(rows[0][0] or 0)


@pytest.fixture
def shelf(database: AnyDatabase) -> Shelf:
    return Shelf(database)


def result(number: int) -> Result:
    return Result(7, f"r-{number}", "wish.granted", "", {"n": number}, "ref")


async def test_a_commit_holds_inbox_state_results_and_timers_together(shelf: Shelf) -> None:
    """All of it is there afterwards, and what was set free is handed on once, in order."""
    work = shelf.work()
    work.publish(result(1))
    work.publish(result(2))
    work.schedule(Timer("wish", "a", MORNING_MS, Wish(text="x"), "ref"))
    work.subscriptions.hold(5, 7)
    await shelf.books.commit(Delivered(), MESSAGE, work, ENTRY)
    counts = [await shelf.count(table) for table in ("inbox", "outbox", "timer", "subscription", "journal")]
    assert counts == [1, 2, 1, 1, 1]
    (freed,) = shelf.freed
    ids = [row.id for row in freed.outbox]
    assert (ids, freed.timers) == (sorted(ids), (("wish", MORNING_MS),))
    assert await shelf.books.seen(Delivered(), MESSAGE)


async def test_the_second_commit_of_one_message_is_a_conflict_and_leaves_nothing(shelf: Shelf) -> None:
    """The inbox decides: no row of the second, nothing handed on."""
    await shelf.books.commit(Delivered(), MESSAGE, shelf.work(), ENTRY)
    again = shelf.work()
    again.publish(result(1))
    with pytest.raises(Conflict):
        await shelf.books.commit(Delivered(), MESSAGE, again, ENTRY)
    assert (await shelf.count("outbox"), await shelf.count("journal"), len(shelf.freed)) == (0, 1, 1)


async def test_ids_that_differ_only_in_case_or_source_are_different_messages(shelf: Shelf) -> None:
    """The inbox compares bytes, not letters, on both engines."""
    for message in (MESSAGE, replace(MESSAGE, id="M-1"), replace(MESSAGE, source="Test")):
        assert not await shelf.books.seen(Delivered(), message)
        await shelf.books.commit(Delivered(), message, shelf.work(), ENTRY)
    assert await shelf.count("inbox") == 3


async def test_what_was_committed_ahead_stays_and_the_rest_comes_with_the_message(shelf: Shelf) -> None:
    """commit_now writes the trace of a side effect at once; the message's own commit does not repeat it."""
    work = shelf.work()
    work.subscriptions.hold(5, 7)
    await work.commit_now()
    assert (await shelf.count("subscription"), await shelf.count("inbox")) == (1, 0)
    work.publish(result(1))
    await shelf.books.commit(Delivered(), MESSAGE, work, ENTRY)
    assert (await shelf.count("subscription"), await shelf.count("outbox")) == (1, 1)


async def test_a_result_larger_than_a_message_is_a_rule_violation(shelf: Shelf) -> None:
    """It is refused where it is made, before anything is written."""
    with pytest.raises(RuleViolation) as refused:
        shelf.work().publish(Result(7, "r", "t", "", {"x": "\u00e9" * 200_000}))
    assert refused.value.kind == "too-large"


async def test_attempts_are_counted_per_delivery_and_forgotten_with_its_end(shelf: Shelf) -> None:
    """Unknown, then two tries and a deferral with the first time kept, then unknown again."""
    delivery, books = Delivered(receive_count=2), shelf.books
    fresh = await books.attempts(delivery)
    assert (fresh.attempts, fresh.deferrals, fresh.first_at_ms) == (0, 0, fresh.now_ms)
    await books.note_retry(delivery, Attempts(1, 0, fresh.first_at_ms, 0), replace(ENTRY, outcome="retried"))
    await books.note_retry(delivery, Attempts(2, 1, fresh.first_at_ms, 0), replace(ENTRY, outcome="retried"))
    known = await books.attempts(delivery)
    assert (known.attempts, known.deferrals, known.first_at_ms) == (2, 1, fresh.first_at_ms)
    assert (await books.attempts(Delivered(id="other"))).attempts == 0
    await books.commit(delivery, MESSAGE, shelf.work(), ENTRY)
    assert await shelf.count("attempt") == 0


async def test_a_refused_message_is_journalled_but_not_in_the_inbox(shelf: Shelf) -> None:
    """So a redriven one is handled; what its robot is told is in the outbox."""
    work = shelf.work()
    work.publish(result(1))
    await shelf.books.note_rejected(Delivered(), work, replace(ENTRY, outcome="rejected", reason="x" * 5000))
    assert not await shelf.books.seen(Delivered(), MESSAGE)
    assert await shelf.count("outbox") == 1
    ((reason, robot_id, call_ref),) = await shelf.database.fetch("SELECT reason, robot_id, call_ref FROM journal")
    assert (reason, robot_id, call_ref) == ("x" * 2000, 7, "ref")


async def test_outbox_rows_belong_to_their_process_until_its_claim_runs_out(shelf: Shelf) -> None:
    """Fresh rows are no leftovers; parked ones are, once due, with their count and in the order of their commit."""
    work = shelf.work()
    for number in range(3):
        work.publish(result(number))
    await work.commit_now()
    outbox, ids = SqlOutbox(shelf.database, "other", 30_000), [row.id for row in shelf.freed[0].outbox]
    assert await outbox.leftovers(10) == []
    await outbox.park(ids, 0)
    await outbox.park(ids[2:], 60_000)
    found = await outbox.leftovers(10)
    assert [(row.id, row.attempts) for row in found] == [(ids[0], 1), (ids[1], 1)]
    assert found[0].attributes["callRef"] == "ref"
    assert await outbox.leftovers(10) == []
    await outbox.sent(ids)
    assert await outbox.backlog() == 0


async def test_two_sweepers_never_get_the_same_row(shelf: Shelf, open_database: Opener) -> None:
    """Forty leftovers, two replicas at once: each row once."""
    work = shelf.work()
    for number in range(40):
        work.publish(result(number))
    await work.commit_now()
    await SqlOutbox(shelf.database, "x", 0).park([row.id for row in shelf.freed[0].outbox], 0)
    replicas = [SqlOutbox(shelf.database, "a", 30_000), SqlOutbox(await open_database(), "b", 30_000)]
    found = await asyncio.gather(*(replicas[turn % 2].leftovers(7) for turn in range(10)))
    ids = [row.id for rows in found for row in rows]
    while rows := await replicas[0].leftovers(7):  # who meets another's locks may come away with nothing
        ids += [row.id for row in rows]
    assert len(ids) == len(set(ids)) == 40


async def test_timers_are_claimed_when_due_soonest_first_and_once(shelf: Shelf) -> None:
    """Not a millisecond early; a claimed one is nobody's until its lease runs out, and then has a higher fence."""
    work = shelf.work()
    for key, after_ms in (("b", 20), ("a", 10), ("c", 30)):
        work.schedule(Timer("wish", key, MORNING_MS + after_ms, Wish(text=key), "ref"))
    await work.commit_now()
    timers = shelf.timers(lease_ms=0)
    assert await timers.claim(MORNING_MS + 9, 10) == []
    assert await timers.next_due_ms(MORNING_MS + 9) == MORNING_MS + 10
    first = await timers.claim(MORNING_MS + 20, 10)
    assert [(row.id, row.call_ref, row.claims) for row in first] == [("wish:a", "ref", 1), ("wish:b", "ref", 1)]
    again = await shelf.timers("other").claim(MORNING_MS + 20, 1)
    assert [(row.id, row.claims, row.fence) for row in again] == [("wish:a", 2, first[0].fence + 1)]
    assert [row.id for row in await shelf.timers("third").claim(MORNING_MS + 30, 10)] == ["wish:b", "wish:c"]
    assert await timers.next_due_ms(MORNING_MS + 30) is None


async def test_a_timer_that_is_scheduled_again_is_not_the_one_that_was_claimed(shelf: Shelf) -> None:
    """The holder of the old row finds its fence gone: its commit is a Conflict, and the new row stays."""
    work = shelf.work()
    work.schedule(Timer("wish", "a", MORNING_MS, Wish()))
    await work.commit_now()
    (old,) = await shelf.timers().claim(MORNING_MS, 1)
    work.schedule(Timer("wish", "a", MORNING_MS + 5, Wish()))
    await work.commit_now()
    delivery = Delivered(id=old.id, queue="timers", fence=old.fence)
    assert await shelf.books.seen(delivery, MESSAGE)
    with pytest.raises(Conflict):
        await shelf.books.commit(delivery, MESSAGE, shelf.work(), ENTRY)
    assert [await write(old) for write in (shelf.timers().renew, shelf.timers().delete)] == [False, False]
    assert await shelf.timers().next_due_ms(MORNING_MS) == MORNING_MS + 5


async def test_a_fired_timer_goes_with_its_commit_and_may_schedule_itself_anew(shelf: Shelf) -> None:
    """The row that was claimed is deleted, the one that the handler asked for is there."""
    work = shelf.work()
    work.schedule(Timer("wish", "a", MORNING_MS, Wish()))
    await work.commit_now()
    (row,) = await shelf.timers().claim(MORNING_MS, 1)
    delivery, next_work = Delivered(id=row.id, queue="timers", fence=row.fence), shelf.work()
    assert not await shelf.books.seen(delivery, MESSAGE)
    next_work.schedule(Timer("wish", "a", MORNING_MS + 9, Wish()))
    await shelf.books.commit(delivery, MESSAGE, next_work, ENTRY)
    (again,) = await shelf.timers().claim(MORNING_MS + 9, 10)
    assert (again.due_at_ms, again.claims, await shelf.count("inbox")) == (MORNING_MS + 9, 1, 0)


async def test_a_lease_has_one_holder_and_a_stale_one_proves_nothing(shelf: Shelf) -> None:
    """Held, renewed with a new fence, taken over after its end; the first holder's proof then fails the transaction."""
    one, two = Leases(shelf.database, "one"), Leases(shelf.database, "two")
    first = await one.take("sweep", 60_000)
    assert first is not None
    assert await two.take("sweep", 60_000) is None
    renewed = await one.take("sweep", -1)
    assert renewed is not None
    assert renewed.fence == first.fence + 1
    taken = await two.take("sweep", 60_000)
    assert taken is not None
    for stale in (first, renewed):
        with pytest.raises(Conflict):
            await shelf.database.apply([stale.proof, Write("DELETE FROM lease")])
    await shelf.database.apply([taken.proof])
    await one.release(renewed)
    assert await one.take("sweep", 60_000) is None
    await two.release(taken)
    assert await one.take("sweep", 60_000) is not None


async def test_of_many_that_want_a_lease_one_gets_it(shelf: Shelf, open_database: Opener) -> None:
    """Also the very first time, when the row is not there yet."""
    other = await open_database()
    wanting = [Leases((shelf.database, other)[n % 2], f"owner-{n}").take("sweep", 60_000) for n in range(8)]
    assert len([lease for lease in await asyncio.gather(*wanting) if lease is not None]) == 1


async def test_ids_are_unique_over_replicas(shelf: Shelf, open_database: Opener) -> None:
    """Two processes with blocks of their own hand out 240 different ids, and each name has its own sequence."""
    replicas = [Ids(shelf.database), Ids(await open_database())]
    ids = await asyncio.gather(*(replicas[turn % 2].next("check") for turn in range(240)))
    assert len(set(ids)) == 240
    assert min(ids) == 1
    assert await replicas[0].next("other") == 1


async def test_the_subscription_ledger_remembers_what_is_released(shelf: Shelf) -> None:
    """Unknown and open are not released; holding again opens again."""
    work = shelf.work()
    ledger = work.subscriptions
    assert not await ledger.is_released(5)
    ledger.hold(5, 7)
    await work.commit_now()
    assert not await ledger.is_released(5)
    ledger.release(5)
    await work.commit_now()
    assert await ledger.is_released(5)
    ledger.hold(5, 7)
    await work.commit_now()
    assert not await ledger.is_released(5)


async def test_retention_forgets_the_old_and_only_the_old(shelf: Shelf) -> None:
    """Rows beyond their age go in bites, younger ones stay; while another replica sweeps, nothing is done."""
    insert = "INSERT INTO inbox (source, message_id, handled_at_ms) VALUES (?, ?, {now_ms} - ?)"
    day_ms = 86_400_000
    ages = [*[16 * day_ms] * 600, 14 * day_ms]
    await shelf.database.apply([Write(insert, ("s", str(n), age)) for n, age in enumerate(ages)])
    mine = Retention(shelf.database, Leases(shelf.database, "me"), 15, 30)
    other = Retention(shelf.database, Leases(shelf.database, "other"), 15, 30)
    assert [await mine.sweep(), await other.sweep(), await mine.sweep(), await mine.sweep()] == [500, 0, 100, 0]
    assert await shelf.database.fetch("SELECT message_id FROM inbox") == [("600",)]


async def test_a_parked_body_is_kept_whole_and_may_be_kept_again(shelf: Shelf) -> None:
    """A mebibyte of three-byte characters, quotes, backslashes and NUL comes back as it went."""
    body = "'\\\x00\u2603" * 170_000
    await SqlBodies(shelf.database).park_body("d-1", "first")
    await SqlBodies(shelf.database).park_body("d-1", body)
    assert await shelf.database.fetch("SELECT id, body FROM parked_body") == [("d-1", body)]


CHECK = replace(
    PLAIN_CHECK,
    branches={Verdict.PASS: Branch(2**40), Verdict.FAIL: Branch(None)},
    phase=Phase.FUTURE,
    subscription_id=5,
    call_ref="ref",
    records=(Record(1, Event(11, "IN_TOILET", MORNING_MS, 3), Phase.PAST, Verdict.PENDING, None),),
    updated_at_ms=MORNING_MS,
    notices=1,
)


async def test_a_check_comes_back_as_it_was_stored_by_every_way_to_find_it(shelf: Shelf) -> None:
    """By id, by the request that made it, by its subscription; another robot's key finds nothing."""
    work = shelf.work()
    work.checks.add(CHECK)
    await work.commit_now()
    assert await work.checks.get(1) == CHECK
    assert await work.checks.by_request(7, 88, 9, MORNING_MS) == CHECK
    assert await work.checks.by_subscription(7, 5) == CHECK
    assert await work.checks.by_subscription(8, 5) is None
    assert await work.checks.by_request(7, 88, 9, MORNING_MS + 1) is None
    assert await work.checks.get(2) is None


@pytest.mark.parametrize(
    "twin",
    [
        lambda: replace(CHECK, id=2, subscription_id=6, records=()),
        lambda: replace(CHECK, id=2, scheduled_id=1, records=()),
        lambda: replace(CHECK, subscription_id=6, scheduled_id=1, records=()),
    ],
    ids=["same request", "same subscription", "same id"],
)
async def test_a_second_check_where_only_one_may_be_is_a_conflict(
    shelf: Shelf, twin: Callable[[], StatusCheck]
) -> None:
    """Two replicas that start the same check at once: one commits."""
    work = shelf.work()
    work.checks.add(CHECK)
    await work.commit_now()
    work.checks.add(twin())
    with pytest.raises(Conflict):
        await work.commit_now()
    assert await shelf.count("status_check") == 1


async def test_of_two_writers_that_read_the_same_version_the_second_is_a_conflict(shelf: Shelf) -> None:
    """The first change stands whole, with its record; the second leaves no record behind."""
    work = shelf.work()
    work.checks.add(CHECK)
    await work.commit_now()
    new = Record(2, Event(12, "IN_TOILET", MORNING_MS, None), Phase.FUTURE, Verdict.PASS, 99)
    changed = replace(CHECK.with_verdict(Verdict.PASS), phase=Phase.COMPLETED, notices=2, records=(*CHECK.records, new))
    work.checks.save(changed, [new])
    await work.commit_now()
    late = shelf.work()
    late.checks.save(changed, [replace(new, order=3, event=replace(new.event, id=13))])
    with pytest.raises(Conflict):
        await late.commit_now()
    assert await work.checks.get(1) == replace(changed, version=1)


async def test_an_event_that_is_recorded_twice_is_a_conflict(shelf: Shelf) -> None:
    """One line of history for each incoming event, whatever order it comes in."""
    work = shelf.work()
    work.checks.add(CHECK)
    await work.commit_now()
    work.checks.save(CHECK, [replace(CHECK.records[0], order=2)])
    with pytest.raises(Conflict):
        await work.commit_now()


async def test_migrating_again_changes_nothing(shelf: Shelf) -> None:
    """The schema is there already: no file is applied a second time."""
    assert await migrate(shelf.database) == []
