"""The routing table's shape: which model a type is read into, and which method handles it.

The table itself is built in one place, `routes()`, read from top to bottom; nothing registers itself.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from domain.messages import (
    COMMANDS,
    CloseMonitor,
    EndOfCheck,
    EndOfMonitorWindow,
    MegazordEvent,
    OpenMonitor,
    PostAlarm,
    ReleaseSubscription,
    RollCall,
)
from domain.outcome import Outcome
from domain.ports import UnitOfWork
from handlers.monitors import MonitorHandlers
from handlers.status_checks import StatusCheckHandlers
from handlers.subscriptions import SubscriptionHandlers


class Origin(StrEnum):
    """Where a type may come from: a timer's type is refused as a command."""

    COMMAND = "command"
    EVENT = "event"
    TIMER = "timer"


Handle = Callable[[Any, UnitOfWork], Awaitable[Outcome]]  # Any: the model's instance, as `routes` pairs them


@dataclass(frozen=True, slots=True)
class Route:
    """One type: its model, its method, and the name under which people find the method."""

    origin: Origin
    model: type[BaseModel]
    handle: Handle

    @property
    def handler_name(self) -> str:
        """`StatusCheckHandlers.create`, for logs and dead letters."""
        return self.handle.__qualname__


@dataclass(frozen=True, slots=True)
class Families:
    """The use cases of every family."""

    checks: StatusCheckHandlers
    subscriptions: SubscriptionHandlers
    monitors: MonitorHandlers


def routes(families: Families) -> Mapping[str, Route]:
    """Every type that robotd handles."""
    checks, subscriptions, monitors = families.checks, families.subscriptions, families.monitors
    return {
        "status-check.create": _command("status-check.create", checks.create),
        "status-check.get": _command("status-check.get", checks.get),
        "status-check.cancel": _command("status-check.cancel", checks.cancel),
        "status-check.end": Route(Origin.TIMER, EndOfCheck, checks.end),
        "subscription.release": Route(Origin.TIMER, ReleaseSubscription, subscriptions.release),
        "subscription.roll-call": Route(Origin.TIMER, RollCall, subscriptions.roll_call),
        "monitor.open": Route(Origin.TIMER, OpenMonitor, monitors.open),
        "monitor.window": Route(Origin.TIMER, EndOfMonitorWindow, monitors.window),
        "monitor.alarm": Route(Origin.TIMER, PostAlarm, monitors.alarm),
        "monitor.close": Route(Origin.TIMER, CloseMonitor, monitors.close),
        "megazord.event": Route(Origin.EVENT, MegazordEvent, subscriptions.event),
    }


def _command(message_type: str, handle: Handle) -> Route:
    return Route(Origin.COMMAND, COMMANDS[message_type], handle)
