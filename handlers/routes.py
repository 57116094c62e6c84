"""The routing table's shape: which model a type is read into, and which method handles it.

The table itself is built in one place, `routes()`, read from top to bottom; nothing registers itself.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from domain.messages import COMMANDS, EndOfCheck, MegazordEvent, ReleaseSubscription
from domain.outcome import Outcome
from domain.ports import UnitOfWork
from handlers.status_checks import StatusCheckHandlers


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


def routes(checks: StatusCheckHandlers) -> Mapping[str, Route]:
    """Every type that robotd handles."""
    return {
        "status-check.create": _command("status-check.create", checks.create),
        "status-check.get": _command("status-check.get", checks.get),
        "status-check.cancel": _command("status-check.cancel", checks.cancel),
        "status-check.end": Route(Origin.TIMER, EndOfCheck, checks.end),
        "subscription.release": Route(Origin.TIMER, ReleaseSubscription, checks.release),
        "megazord.event": Route(Origin.EVENT, MegazordEvent, checks.event),
    }


def _command(message_type: str, handle: Handle) -> Route:
    return Route(Origin.COMMAND, COMMANDS[message_type], handle)
