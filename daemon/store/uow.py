"""The unit of work: collects what one delivery writes, and commits it as one transaction.

Nothing is open between two calls; a rollback is to drop the object. What was committed is handed on from memory:
outbox rows to the relay, due times to the timers, so that the usual path never reads them back.
"""

import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from daemon.metric_names import Metric
from daemon.outbox import Addressing, OutboxRow
from daemon.probe import Probe
from daemon.store.campaigns import SqlCampaigns
from daemon.store.contacts import SqlContacts
from daemon.store.database import Database, Write
from daemon.store.ids import Ids
from daemon.store.monitors import SqlMonitors
from daemon.store.rows import RowIds
from daemon.store.server_tests import SqlServerTests
from daemon.store.status_checks import SqlStatusChecks
from daemon.store.subscriptions import SqlSubscriptions
from daemon.store.trial_sends import SqlTrialSends
from daemon.store.whatsapp import SqlWhatsApp
from domain.errors import Conflict
from domain.messages import Result
from domain.ports import Clock, Timer
from domain.wire import write_json

_INSERT_OUTBOX = (
    "INSERT INTO outbox (id, destination, body, attributes, created_at_ms, due_at_ms, claimed_by, claimed_until_ms, "
    "attempts) VALUES (?, ?, ?, ?, {now_ms}, {now_ms}, ?, {now_ms} + ?, 0)"
)
_DELETE_TIMER = "DELETE FROM timer WHERE id = ?"
_INSERT_TIMER = (
    "INSERT INTO timer (id, type, data, call_ref, due_at_ms, lease_owner, lease_until_ms, fence, claims) "
    "VALUES (?, ?, ?, ?, ?, '', 0, ?, 0)"
)


_HOLD = "UPDATE timer SET lease_until_ms = {now_ms} + ? WHERE id = ? AND fence = ?"


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit set free: rows for the relay, type and due time of timers; and what is counted of it."""

    outbox: Sequence[OutboxRow]
    timers: Sequence[tuple[str, int]]
    tally: Sequence[tuple[Metric, str | None]] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every unit of work of this process shares."""

    database: Database
    ids: Ids
    rows: RowIds
    addressing: Addressing
    claim_ms: int
    handed_on: Callable[[Committed], None]
    probe: Probe
    lease_ms: int = 30_000  # of a claimed timer
    clock: Clock | None = None


@dataclass(slots=True)
class SqlUnitOfWork:
    """The port `UnitOfWork` on the database seam, plus `commit` for the dispatcher."""

    around: Surroundings
    source: str
    id: str
    call_ref: str | None
    now_ms: int
    age_ms: int
    claim: tuple[str, int] | None = None  # id and fencing token of the timer that is handled
    _writes: list[Write] = field(default_factory=list)
    _outbox: list[OutboxRow] = field(default_factory=list)
    _due: list[tuple[str, int]] = field(default_factory=list)
    _tally: list[tuple[Metric, str | None]] = field(default_factory=list)
    _held_s: float | None = None  # when the claim was last made to last, before that was committed
    _salvage: Callable[[], Awaitable[None]] | None = None

    @property
    def present_ms(self) -> int:
        """By the process's clock."""
        return self.now_ms if self.around.clock is None else self.around.clock.now_ms()

    @property
    def checks(self) -> SqlStatusChecks:
        """Status checks."""
        return SqlStatusChecks(self.around.database, self.around.ids, self._writes.append)

    @property
    def subscriptions(self) -> SqlSubscriptions:
        """The subscription ledger."""
        return SqlSubscriptions(self.around.database, self._writes.append)

    @property
    def monitors(self) -> SqlMonitors:
        """Monitoring sessions."""
        return SqlMonitors(self.around.database, self._writes.append)

    @property
    def campaigns(self) -> SqlCampaigns:
        """Campaigns and their recipients."""
        return SqlCampaigns(self.around.database, self.around.ids, self._writes.append, self._count)

    @property
    def trial_sends(self) -> SqlTrialSends:
        """Test sends of campaigns."""
        return SqlTrialSends(self.around.database, self._writes.append)

    @property
    def server_tests(self) -> SqlServerTests:
        """Tests of delivery servers."""
        return SqlServerTests(self.around.database, self._writes.append, self._count)

    @property
    def contacts(self) -> SqlContacts:
        """Contact lists and opt-outs."""
        return SqlContacts(self.around.database, self.around.ids, self._writes.append)

    @property
    def whatsapp(self) -> SqlWhatsApp:
        """Messages of campaigns by WhatsApp's ids."""
        return SqlWhatsApp(self.around.database, self._writes.append, self.now_ms)

    def publish(self, result: Result) -> None:
        """Collect a result. Raises RuleViolation where it would not fit into one message."""
        row = self.around.addressing.row(self.around.rows.next(), result, self.now_ms)
        self._outbox.append(row)
        args = (
            row.id,
            row.destination,
            row.body,
            json.dumps(row.attributes),
            self.around.rows.boot,
            self.around.claim_ms,
        )
        self._writes.append(Write(_INSERT_OUTBOX, args))

    def schedule(self, timer: Timer) -> None:
        """Collect a timer. A fresh fence per row: a claim of the row that it replaces must not fit this one."""
        self.cancel_timer(timer.type, timer.key)
        self.schedule_new(timer)

    def schedule_new(self, timer: Timer) -> None:
        """Collect a timer that must not be there yet: its row is a duplicate key otherwise, which is a Conflict."""
        data = write_json(timer.data.model_dump(mode="json", by_alias=True))
        args = (
            f"{timer.type}:{timer.key}",
            timer.type,
            data,
            timer.call_ref,
            timer.due_at_ms,
            self.around.rows.fence(),
        )
        self._writes.append(Write(_INSERT_TIMER, args))
        self._due.append((timer.type, timer.due_at_ms))

    def cancel_timer(self, timer_type: str, key: str) -> None:
        """Collect the removal of a timer."""
        self._writes.append(Write(_DELETE_TIMER, (f"{timer_type}:{key}",)))

    async def is_scheduled(self, timer_type: str, key: str) -> bool:
        """Whether the timer's row is there; what was only collected doesn't count."""
        return bool(await self.around.database.fetch("SELECT 1 FROM timer WHERE id = ?", (f"{timer_type}:{key}",)))

    async def still_ours(self) -> None:
        """Ask the database whether the timer is still claimed by this handling."""
        if self.claim is None:
            return
        if not await self.around.database.fetch("SELECT 1 FROM timer WHERE id = ? AND fence = ?", self.claim):
            raise Conflict("the timer was claimed by another process meanwhile")

    def hold(self) -> None:
        """Collect: the claim lasts as long again; the commit raises Conflict if another process has taken it over."""
        if self.claim is not None:
            self._writes.append(Write(_HOLD, (self.around.lease_ms, *self.claim), rows=1))
        self._held_s = time.monotonic()

    def is_surely_ours(self) -> bool:
        """Whether so little time has passed since `hold` that nobody can have taken the claim over."""
        if self.claim is None:
            return True
        return self._held_s is not None and (time.monotonic() - self._held_s) * 2_000 < self.around.lease_ms

    def salvage(self, keep: Callable[[], Awaitable[None]]) -> None:
        """If the commit of this handling conflicts, `keep` saves what can't be learnt again."""
        self._salvage = keep

    async def salvaged(self) -> None:
        """Run what was handed to `salvage`, once; nothing where nothing was."""
        keep, self._salvage = self._salvage, None
        if keep is not None:
            await keep()

    async def commit_now(self) -> None:
        """Commit what was collected so far, ahead of the message."""
        await self.commit([])
        await self.around.probe("after_commit_now")

    async def commit(self, first: Sequence[Write]) -> None:
        """Commit `first` and all that was collected in one transaction, then hand on what it set free."""
        writes, outbox, due = [*first, *self._writes], tuple(self._outbox), tuple(self._due)
        tally = tuple(self._tally)
        self._writes.clear()  # also where it fails: a handler that goes on after a Conflict collects anew
        self._outbox.clear()
        self._due.clear()
        self._tally.clear()
        if writes:
            await self.around.database.apply(writes)
        self.around.handed_on(Committed(outbox, due, tally))

    def _count(self, metric: Metric, label: str | None) -> None:
        self._tally.append((metric, label))
