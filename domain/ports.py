"""What handlers need from the world, as Protocols. The daemon implements each once, over HTTP or SQL.

Reads happen at once; writes, results and timers are collected by the unit of work and committed by the dispatcher
in one transaction, never open across HTTP.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.campaign_ports import Campaigns, TrialSends
from domain.contact_ports import Contacts
from domain.messages import CommandData, Result
from domain.monitor import EndedWindow, MonitorSession, Rule, WindowEnd
from domain.monitor_plan import PlannedOpening
from domain.server_store import ServerTests
from domain.status_check import Event, Record, ScriptStep, StatusCheck
from domain.template import Template
from domain.whatsapp_ports import WhatsAppLedger
from domain.wire import JsonObject


class Clock(Protocol):
    """Business time. Production reads the system's clock; tests and the demo turn it by hand."""

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        ...

    async def wait_until(self, at_ms: int) -> None:
        """Return as soon as `now_ms()` has reached `at_ms`, not before."""
        ...


@dataclass(frozen=True, slots=True)
class Timer:
    """A durable "at T do X". (`type`, `key`) is unique: scheduling it again moves it."""

    type: str
    key: str
    due_at_ms: int
    data: CommandData
    call_ref: str | None = None


class Megazord(Protocol):
    """Megazord Events. Every method raises Unavailable when it can't answer, RuleViolation when it refuses."""

    async def subscribe(self, robot_id: int, event_names: Sequence[str], until_ms: int, call_ref: str | None) -> int:
        """Create a subscription and return its id. Not repeatable: Megazord never merges two of them."""
        ...

    async def unsubscribe(self, robot_id: int, subscription_id: int, call_ref: str | None) -> None:
        """Delete a subscription; one that is unknown or already deleted is a success."""
        ...

    async def history(
        self, robot_id: int, event_names: Sequence[str], since_ms: int | None, call_ref: str | None
    ) -> list[Event]:
        """All events with these names since `since_ms` (None: ever), sorted by (created_at_ms, id), each once."""
        ...

    async def roll_call(self, robot_id: int, call_ref: str | None) -> bool:
        """Make every open subscription of ours for this robot send one event, which tells its id. Repeatable.

        False where Megazord doesn't know the event that this needs.
        """
        ...

    async def post_event(self, robot_id: int, event_name: str, reference_id: str, call_ref: str | None) -> None:
        """Report an event of ours. Not repeatable: Megazord keeps every post; `was_posted` tells after a crash."""
        ...

    async def was_posted(
        self, robot_id: int, event_name: str, reference_id: str, since_ms: int, call_ref: str | None
    ) -> bool:
        """Whether Megazord has an event with this name and reference, stored at `since_ms` or later."""
        ...


class MicroManagers(Protocol):
    """Micro Managers, the owner of scripts."""

    async def script_step(self, robot_id: int, step_id: int, call_ref: str | None) -> ScriptStep:
        """The step as a status check needs it. RuleViolation if it is not this robot's or not a status check."""
        ...


class Templates(Protocol):
    """The status-check templates in force."""

    async def active(self, name: str) -> Template | None:
        """The newest active version of a template, or None."""
        ...

    async def version(self, name: str, version: int) -> Template | None:
        """One version, active or not: a running check keeps the one that it started with."""
        ...


class StatusChecks(Protocol):
    """The status checks in the database."""

    async def new_id(self) -> int:
        """An id that no other check has or will have, on any replica."""
        ...

    async def get(self, check_id: int) -> StatusCheck | None:
        """One check with its records in order, or None."""
        ...

    async def by_request(
        self, robot_id: int, step_id: int, scheduled_id: int, planned_at_ms: int
    ) -> StatusCheck | None:
        """The check that an equal create command started before, or None."""
        ...

    async def by_subscription(self, robot_id: int, subscription_id: int) -> StatusCheck | None:
        """The check that holds this subscription, or None."""
        ...

    def add(self, check: StatusCheck) -> None:
        """Collect a new check with its records."""
        ...

    def save(self, check: StatusCheck, new_records: Sequence[Record]) -> None:
        """Collect a change; the commit raises Conflict if another writer saved this check since it was read."""
        ...

    def explain(self, check: StatusCheck, trace: JsonObject, at_ms: int) -> None:
        """Collect why the check says what it says; one trace for each time that its robot is told (`notices`)."""
        ...


class Subscriptions(Protocol):
    """Our own ledger of subscriptions at Megazord, which offers no list."""

    async def is_known(self, subscription_id: int) -> bool:
        """Whether this subscription was ever entered, open or released."""
        ...

    async def is_released(self, subscription_id: int) -> bool:
        """Whether this subscription was ours and is deleted."""
        ...

    def hold(self, subscription_id: int, robot_id: int) -> None:
        """Collect: this subscription is ours and open."""
        ...

    def release(self, subscription_id: int) -> None:
        """Collect: this subscription is deleted at Megazord."""
        ...


class MonitorRules(Protocol):
    """The monitoring rules in force."""

    def current(self) -> Sequence[Rule] | None:
        """Every enabled rule; None while no usable file has been read."""
        ...


class Monitors(Protocol):
    """Monitoring sessions and the audit of their windows."""

    async def get(self, session_id: str) -> MonitorSession | None:
        """One session, or None."""
        ...

    async def by_subscription(self, robot_id: int, subscription_id: int) -> MonitorSession | None:
        """The session that holds this subscription, or None."""
        ...

    async def running(self) -> list[MonitorSession]:
        """All sessions that watch a home."""
        ...

    async def awaited(self) -> frozenset[str]:
        """The ids of all sessions that a timer will wake at the end of their window."""
        ...

    async def openings(self) -> list[PlannedOpening]:
        """All openings that are planned."""
        ...

    async def window(self, session_id: str, number: int) -> EndedWindow | None:
        """One ended window, or None."""
        ...

    def add(self, session: MonitorSession) -> None:
        """Collect a new session; the commit raises Conflict if its rule has one on that date already."""
        ...

    def save(self, session: MonitorSession) -> None:
        """Collect a change; the commit raises Conflict if another writer saved this session since it was read."""
        ...

    def add_window(self, session_id: str, window: EndedWindow, reference_id: str | None) -> None:
        """Collect a line of the audit; `reference_id` is what its alarm is found by at Megazord."""
        ...

    def end_window_as(self, session_id: str, number: int, how: WindowEnd, posted_at_ms: int | None) -> None:
        """Collect what became of an alarm: when it was posted, or that it was not."""
        ...


class UnitOfWork(Protocol):
    """All that one delivery reads and writes."""

    @property
    def now_ms(self) -> int:
        """When the handling began, business time."""
        ...

    @property
    def present_ms(self) -> int:
        """Business time at this moment: a handling may take as long as a neighbour does."""
        ...

    @property
    def source(self) -> str:
        """Who sent the message that is being handled; `id` is unique within it."""
        ...

    @property
    def id(self) -> str:
        """Identity of the message that is being handled."""
        ...

    @property
    def call_ref(self) -> str | None:
        """The caller's reference, to be passed on to every neighbour and result."""
        ...

    @property
    def age_ms(self) -> int:
        """How long ago the message was sent."""
        ...

    @property
    def checks(self) -> StatusChecks:
        """Status checks."""
        ...

    @property
    def subscriptions(self) -> Subscriptions:
        """The subscription ledger."""
        ...

    @property
    def monitors(self) -> Monitors:
        """Monitoring sessions."""
        ...

    @property
    def campaigns(self) -> Campaigns:
        """Campaigns and their recipients."""
        ...

    @property
    def trial_sends(self) -> TrialSends:
        """Test sends of campaigns."""
        ...

    @property
    def server_tests(self) -> ServerTests:
        """Tests of delivery servers."""
        ...

    @property
    def contacts(self) -> Contacts:
        """Contact lists and opt-outs."""
        ...

    @property
    def whatsapp(self) -> WhatsAppLedger:
        """Messages of campaigns by WhatsApp's ids."""
        ...

    def publish(self, result: Result) -> None:
        """Collect a result for its robot's queue."""
        ...

    def schedule(self, timer: Timer) -> None:
        """Collect a timer; one with the same type and key is moved."""
        ...

    def schedule_new(self, timer: Timer) -> None:
        """Collect a timer; the commit raises Conflict if there is one with the same type and key."""
        ...

    def cancel_timer(self, timer_type: str, key: str) -> None:
        """Collect the removal of a timer, whether or not it is there."""
        ...

    async def is_scheduled(self, timer_type: str, key: str) -> bool:
        """Whether a timer of this type and key was committed and has not fired yet."""
        ...

    async def still_ours(self) -> None:
        """Right before what can't be repeated: raises Conflict if another process has taken the timer over."""
        ...

    def hold(self) -> None:
        """Collect: the claimed timer stays claimed; the commit raises Conflict if another process has taken it over."""
        ...

    def is_surely_ours(self) -> bool:
        """Whether nobody can have taken the timer over since `hold`, told by this machine's own clock."""
        ...

    def salvage(self, keep: Callable[[], Awaitable[None]]) -> None:
        """If the commit of this handling conflicts, `keep` saves what can't be learnt again; then all is done anew."""
        ...

    async def commit_now(self) -> None:
        """Commit what was collected so far, ahead of the message: the trace of a side effect that can't be repeated."""
        ...
