"""A unit of work in memory, for tests of handlers: reads are given, writes are written down in order."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from domain.campaign_ports import Campaigns, TrialSends
from domain.contact_ports import Contacts
from domain.messages import Result
from domain.ports import Monitors, StatusChecks, Subscriptions, Timer
from domain.server_store import ServerTests
from domain.status_check import Record, StatusCheck
from domain.whatsapp_ports import WhatsAppLedger
from domain.wire import JsonObject
from tests.world import MORNING_MS


@dataclass(slots=True)
class Kept:
    """Checks and subscriptions in memory: one check at most, under any id."""

    check: StatusCheck | None = None
    added: list[StatusCheck] = field(default_factory=list)
    saved: list[StatusCheck] = field(default_factory=list)
    traces: list[JsonObject] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    released: list[int] = field(default_factory=list)

    async def new_id(self) -> int:
        return 30451

    async def get(self, _check_id: int) -> StatusCheck | None:
        return self.check

    async def by_request(self, *_key: int) -> StatusCheck | None:
        return self.check

    async def by_subscription(self, robot_id: int, _subscription_id: int) -> StatusCheck | None:
        return self.check if self.check is not None and self.check.robot_id == robot_id else None

    def add(self, check: StatusCheck) -> None:
        self.added.append(check)

    def save(self, check: StatusCheck, _new: Sequence[Record]) -> None:
        self.saved.append(check)

    def explain(self, _check: StatusCheck, trace: JsonObject, _at_ms: int) -> None:
        self.traces.append(trace)

    async def is_known(self, subscription_id: int) -> bool:
        return subscription_id in (*self.held, *self.released)

    async def is_released(self, subscription_id: int) -> bool:
        return subscription_id in self.released

    def hold(self, subscription_id: int, _robot_id: int) -> None:
        self.held.append(subscription_id)

    def release(self, subscription_id: int) -> None:
        self.released.append(subscription_id)


class Elsewhere:
    """What belongs to campaigns, and no other family asks for."""

    @property
    def campaigns(self) -> Campaigns:
        raise AssertionError("nobody but a campaign asks for a campaign")

    @property
    def trial_sends(self) -> TrialSends:
        raise AssertionError("nobody but a campaign asks for a test send")

    @property
    def server_tests(self) -> ServerTests:
        raise AssertionError("nobody but tests of servers asks for their runs")

    @property
    def contacts(self) -> Contacts:
        raise AssertionError("nobody but a campaign asks for a contact")

    @property
    def whatsapp(self) -> WhatsAppLedger:
        raise AssertionError("nobody but a campaign asks for a message of WhatsApp")

    @property
    def present_ms(self) -> int:
        raise AssertionError("nobody but a campaign asks how late it is")

    def hold(self) -> None:
        raise AssertionError("nobody but a campaign holds its timer")

    def is_surely_ours(self) -> bool:
        raise AssertionError("nobody but a campaign holds its timer")

    def salvage(self, keep: Callable[[], Awaitable[None]]) -> None:
        raise AssertionError(f"nobody but a campaign has something to salvage: {keep}")


@dataclass(slots=True)
class Collected(Elsewhere):
    """A unit of work. `told` is all that happened, in order; `standing` are the timers that were committed before."""

    kept: Kept = field(default_factory=Kept)
    age_ms: int = 0
    now_ms: int = MORNING_MS
    source: str = "test"
    id: str = "m-1"
    call_ref: str | None = None
    standing: set[tuple[str, str]] = field(default_factory=set)
    results: list[Result] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)
    cancelled: list[tuple[str, str]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    @property
    def checks(self) -> StatusChecks:
        return self.kept

    @property
    def subscriptions(self) -> Subscriptions:
        return self.kept

    @property
    def monitors(self) -> Monitors:
        raise AssertionError("no check or subscription asks for a monitor")

    def publish(self, result: Result) -> None:
        self.results.append(result)

    def schedule(self, timer: Timer) -> None:
        self.timers.append(timer)
        self.told.append(f"schedule {timer.type}")

    def schedule_new(self, timer: Timer) -> None:
        self.schedule(timer)

    def cancel_timer(self, timer_type: str, key: str) -> None:
        self.cancelled.append((timer_type, key))
        self.told.append(f"cancel {timer_type}")

    async def is_scheduled(self, timer_type: str, key: str) -> bool:
        return (timer_type, key) in self.standing

    async def still_ours(self) -> None:
        self.told.append("still ours")

    async def commit_now(self) -> None:
        self.told.append("commit")
