"""The dispatcher's books: inbox, attempts and journal, and the units of work that are committed together with them."""

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.books import Attempts, Entry
from daemon.delivery import Delivery, Identity, Message
from daemon.store.database import Database, Write
from daemon.store.uow import SqlUnitOfWork, Surroundings
from domain.errors import Conflict
from domain.ports import Clock

_INBOX = "INSERT INTO inbox (source, message_id, handled_at_ms) VALUES (?, ?, {now_ms})"
_FIRED = "DELETE FROM timer WHERE id = ? AND fence = ?"
_JOURNAL = (
    "INSERT INTO journal (id, at_ms, queue, delivery_id, source, message_id, type, robot_id, call_ref, outcome, "
    "reason, attempt) VALUES (?, {now_ms}, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_READ_ATTEMPTS = "SELECT attempts, deferrals, first_at_ms, {now_ms} FROM attempt WHERE queue = ? AND delivery_id = ?"
_FORGET_ATTEMPTS = "DELETE FROM attempt WHERE queue = ? AND delivery_id = ?"
_WRITE_ATTEMPTS = (
    "INSERT INTO attempt (queue, delivery_id, attempts, deferrals, first_at_ms, last_at_ms) "
    "VALUES (?, ?, ?, ?, ?, {now_ms})"
)
_REASON_CHARS = 2000


@dataclass(frozen=True, slots=True)
class SqlBooks:
    """The port `daemon.books.Books` on the database seam."""

    around: Surroundings
    clock: Clock

    @property
    def _database(self) -> Database:
        return self.around.database

    async def seen(self, delivery: Delivery, message: Message) -> bool:
        """Whether the inbox has this message; for a timer, whether its row is no longer the one that was claimed."""
        if delivery.fence is not None:
            sql = "SELECT 1 FROM timer WHERE id = ? AND fence = ?"
            return not await self._database.fetch(sql, (delivery.id, delivery.fence))
        sql = "SELECT 1 FROM inbox WHERE source = ? AND message_id = ?"
        return bool(await self._database.fetch(sql, (message.source, message.id)))

    def begin(self, delivery: Delivery, identity: Identity) -> SqlUnitOfWork:
        """A unit of work for one handling of one message."""
        claim = None if delivery.fence is None else (delivery.id, delivery.fence)
        return SqlUnitOfWork(
            self.around,
            identity.source,
            identity.id,
            identity.call_ref,
            now_ms=self.clock.now_ms(),
            age_ms=delivery.age_ms,
            claim=claim,
        )

    async def commit(self, delivery: Delivery, message: Message, work: SqlUnitOfWork, entry: Entry | None) -> None:
        """One transaction: proof that this delivery is the first, the work, the journal.

        The proof comes first, so a second delivery of the same message, and a timer that was claimed by another
        meanwhile, fail before they touch anything. Raises Conflict for both.
        """
        if delivery.fence is None:
            proof = Write(_INBOX, (message.source, message.id), rows=1)
        else:
            proof = Write(_FIRED, (delivery.id, delivery.fence), rows=1)
        try:
            await work.commit([proof, *self._closing(delivery, entry)])
        except Conflict:
            await work.salvaged()
            raise

    async def finish(self, work: SqlUnitOfWork) -> None:
        """What was collected, and nothing of ours."""
        await work.commit([])

    async def note_rejected(self, delivery: Delivery, work: SqlUnitOfWork, entry: Entry) -> None:
        """Commit what the robot is told about a refused message, and the journal; not the inbox: it may be redriven."""
        await work.commit([self._journal(delivery, entry)])

    async def note(self, delivery: Delivery, entry: Entry) -> None:
        """Write the journal alone."""
        await self._database.apply([self._journal(delivery, entry)])

    async def forget(self, delivery: Delivery) -> None:
        """Drop the count of tries."""
        await self._database.apply([Write(_FORGET_ATTEMPTS, (delivery.queue, delivery.id))])

    def _closing(self, delivery: Delivery, entry: Entry | None) -> Sequence[Write]:
        writes = [] if entry is None else [self._journal(delivery, entry)]
        if delivery.receive_count > 1:
            writes.append(Write(_FORGET_ATTEMPTS, (delivery.queue, delivery.id)))
        return writes

    def _journal(self, delivery: Delivery, entry: Entry) -> Write:
        who = entry.identity
        args = (
            self.around.rows.next(),
            delivery.queue,
            delivery.id,
            who.source,
            who.id,
            who.type,
            who.robot_id,
            who.call_ref,
            entry.outcome,
            entry.reason[:_REASON_CHARS],
            entry.attempt,
        )
        return Write(_JOURNAL, args)

    async def attempts(self, delivery: Delivery) -> Attempts:
        """What is known of earlier tries of this delivery; `now_ms` is the database's clock."""
        rows = await self._database.fetch(_READ_ATTEMPTS, (delivery.queue, delivery.id))
        if not rows:
            now = await self._database.fetch("SELECT {now_ms}")
            now_ms = int(now[0][0] or 0)
            return Attempts(0, 0, now_ms, now_ms)
        attempts, deferrals, first_at_ms, now_ms = (int(value or 0) for value in rows[0])
        return Attempts(attempts, deferrals, first_at_ms, now_ms)

    async def note_retry(self, delivery: Delivery, attempts: Attempts, entry: Entry) -> None:
        """Count this try and journal it."""
        key = (delivery.queue, delivery.id)
        counts = (attempts.attempts, attempts.deferrals, attempts.first_at_ms)
        await self._database.apply(
            [
                Write(_FORGET_ATTEMPTS, key),
                Write(_WRITE_ATTEMPTS, (*key, *counts)),
                self._journal(delivery, entry),
            ]
        )
