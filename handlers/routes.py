"""The routing table's shape: which model a type is read into, and which method handles it.

The table itself is built in one place, `routes()`, read from top to bottom; nothing registers itself.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from domain.campaign_messages import HealCampaign, StartCampaign, StepCampaign
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
from domain.whatsapp_events import WatchNumber, WhatsAppEvent
from handlers.campaigns import CampaignHandlers
from handlers.contacts import ContactHandlers
from handlers.monitors import MonitorHandlers
from handlers.status_checks import StatusCheckHandlers
from handlers.subscriptions import SubscriptionHandlers
from handlers.whatsapp_events import WhatsAppEventHandlers


class Origin(StrEnum):
    """Where a type may come from: a timer's type is refused as a command."""

    COMMAND = "command"
    EVENT = "event"
    TIMER = "timer"


SEND_TIMEOUT_S = 300.0  # a file may take two minutes, and the questions before it their own time
Handle = Callable[[Any, UnitOfWork], Awaitable[Outcome]]  # Any: the model's instance, as `routes` pairs them


@dataclass(frozen=True, slots=True)
class Route:
    """One type: its model, its method, and the name under which people find the method.

    `timeout_s` is how long it may be handled, where that is not what the settings say for all.
    """

    origin: Origin
    model: type[BaseModel]
    handle: Handle
    timeout_s: float | None = None

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
    campaigns: CampaignHandlers
    contacts: ContactHandlers = field(default_factory=ContactHandlers)  # asks nobody but the database
    whatsapp: WhatsAppEventHandlers = field(default_factory=WhatsAppEventHandlers)


def routes(families: Families) -> Mapping[str, Route]:
    """Every type that robotd handles."""
    checks, subscriptions, monitors = families.checks, families.subscriptions, families.monitors
    campaigns, contacts, whatsapp = families.campaigns, families.contacts, families.whatsapp
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
        "campaign.create": _command("campaign.create", campaigns.create),
        "campaign.schedule": _command("campaign.schedule", campaigns.schedule),
        "campaign.run": _command("campaign.run", campaigns.run),
        "campaign.pause": _command("campaign.pause", campaigns.pause),
        "campaign.resume": _command("campaign.resume", campaigns.resume),
        "campaign.cancel": _command("campaign.cancel", campaigns.cancel),
        "campaign.status": _command("campaign.status", campaigns.status),
        "campaign.preview": _command("campaign.preview", campaigns.preview),
        "campaign.retry": _command("campaign.retry", campaigns.retry),
        "campaign.start": Route(Origin.TIMER, StartCampaign, campaigns.start),
        "campaign.step": Route(Origin.TIMER, StepCampaign, campaigns.step, SEND_TIMEOUT_S),
        "campaign.heal": Route(Origin.TIMER, HealCampaign, campaigns.heal),
        "contacts.import": _command("contacts.import", contacts.import_rows),
        "opt-out.add": _command("opt-out.add", contacts.opt_out),
        "megazord.event": Route(Origin.EVENT, MegazordEvent, subscriptions.event),
        "waha.event": Route(Origin.EVENT, WhatsAppEvent, whatsapp.event, SEND_TIMEOUT_S),
        "number.acks": Route(Origin.TIMER, WatchNumber, whatsapp.watch, SEND_TIMEOUT_S),
    }


def _command(message_type: str, handle: Handle) -> Route:
    return Route(Origin.COMMAND, COMMANDS[message_type], handle)
