"""The routing table's shape: which model a type is read into, and which method handles it.

The table itself is built in one place, `routes()`, read from top to bottom; nothing registers itself.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from domain.alerts import EndOfQuiet, PostAlert
from domain.campaign_messages import HealCampaign, ProgressOfCampaign, StartCampaign, StepCampaign
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
from domain.server_messages import LookAtServerCycle, StartServerCycle, StepServerRun
from domain.whatsapp_events import WatchNumber, WhatsAppEvent
from handlers.alerts import AlertHandlers
from handlers.campaign_sending import CampaignSending
from handlers.campaigns import CampaignHandlers
from handlers.contacts import ContactHandlers
from handlers.monitors import MonitorHandlers
from handlers.server_cycles import ServerCycleHandlers
from handlers.server_parts import ServerParts
from handlers.server_tests import ServerTestHandlers
from handlers.status_checks import StatusCheckHandlers
from handlers.subscriptions import SubscriptionHandlers
from handlers.whatsapp_events import WhatsAppEventHandlers


class Origin(StrEnum):
    """Where a type may come from: a timer's type is refused as a command."""

    COMMAND = "command"
    EVENT = "event"
    TIMER = "timer"


POST_TIMEOUT_S = 60.0  # beyond what a post may take, or a try that only waited would count
SEND_TIMEOUT_S = 300.0  # a file may take two minutes, and the questions before it their own time
SERVER_TIMEOUT_S = 600.0  # a server may be slow at each step of one connection
Handle = Callable[[Any, UnitOfWork], Awaitable[Outcome]]  # Any: the model's instance, as `routes` pairs them
GaveUp = Callable[[Any, str, UnitOfWork], Awaitable[None]]  # as above, with the reason


@dataclass(frozen=True, slots=True)
class Route:
    """One type: its model, its method, and the name under which people find the method.

    `timeout_s` is how long it may be handled, where that is not what the settings say for all. `gave_up` is asked when
    a message goes to the dead-letter queue. A timer that `is_patient` waits for neighbours that may be slow, and never
    takes a slot of those that must not be late; `is_of_server_tests`: one that waits in slots of its own. One that is
    not `is_journaled` leaves its trace in rows of its own.
    """

    origin: Origin
    model: type[BaseModel]
    handle: Handle
    timeout_s: float | None = None
    gave_up: GaveUp | None = None
    is_patient: bool = False
    is_journaled: bool = True
    is_of_server_tests: bool = False

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
    sending: CampaignSending
    contacts: ContactHandlers = field(default_factory=ContactHandlers)  # asks nobody but the database
    alerts: AlertHandlers = field(default_factory=AlertHandlers)
    whatsapp: WhatsAppEventHandlers = field(default_factory=WhatsAppEventHandlers)
    servers: ServerTestHandlers = field(default_factory=lambda: ServerTestHandlers(ServerParts()))
    cycles: ServerCycleHandlers = field(default_factory=lambda: ServerCycleHandlers(ServerParts()))


def routes(families: Families) -> Mapping[str, Route]:
    """Every type that robotd handles."""
    checks, subscriptions, monitors = families.checks, families.subscriptions, families.monitors
    contacts, alerts, whatsapp = families.contacts, families.alerts, families.whatsapp
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
        **_of_campaigns(families.campaigns, families.sending),
        **_of_servers(families.servers, families.cycles),
        "contacts.import": _command("contacts.import", contacts.import_rows),
        "opt-out.add": _command("opt-out.add", contacts.opt_out),
        "alert.post": Route(Origin.TIMER, PostAlert, alerts.post, POST_TIMEOUT_S, is_patient=True),
        "alert.quiet": Route(Origin.TIMER, EndOfQuiet, alerts.quiet),
        "megazord.event": Route(Origin.EVENT, MegazordEvent, subscriptions.event),
        "waha.event": Route(Origin.EVENT, WhatsAppEvent, whatsapp.event, SEND_TIMEOUT_S),
        "number.acks": Route(Origin.TIMER, WatchNumber, whatsapp.watch, SEND_TIMEOUT_S, is_patient=True),
    }


def _of_campaigns(campaigns: CampaignHandlers, sending: CampaignSending) -> Mapping[str, Route]:
    return {
        "campaign.create": _command("campaign.create", campaigns.create),
        "campaign.schedule": _command("campaign.schedule", campaigns.schedule),
        "campaign.run": _command("campaign.run", campaigns.run),
        "campaign.pause": _command("campaign.pause", campaigns.pause),
        "campaign.resume": _command("campaign.resume", campaigns.resume),
        "campaign.cancel": _command("campaign.cancel", campaigns.cancel),
        "campaign.status": _command("campaign.status", campaigns.status),
        "campaign.preview": _command("campaign.preview", campaigns.preview),
        "campaign.retry": _command("campaign.retry", campaigns.retry),
        "campaign.test-send": _command("campaign.test-send", sending.test_send, SEND_TIMEOUT_S),
        "campaign.start": Route(
            Origin.TIMER, StartCampaign, campaigns.start, gave_up=campaigns.gave_up, is_patient=True
        ),
        "campaign.step": Route(
            Origin.TIMER,
            StepCampaign,
            sending.step,
            SEND_TIMEOUT_S,
            gave_up=campaigns.gave_up,
            is_patient=True,
            is_journaled=False,
        ),
        "campaign.heal": Route(Origin.TIMER, HealCampaign, campaigns.heal, gave_up=campaigns.gave_up, is_patient=True),
        "campaign.progress": Route(Origin.TIMER, ProgressOfCampaign, campaigns.progress),
    }


def _of_servers(servers: ServerTestHandlers, cycles: ServerCycleHandlers) -> Mapping[str, Route]:
    return {
        "server.test": _command("server.test", servers.request),
        "server.test-cycle": _command("server.test-cycle", cycles.request),
        "server-test.step": Route(
            Origin.TIMER,
            StepServerRun,
            servers.step,
            SERVER_TIMEOUT_S,
            gave_up=servers.gave_up,
            is_of_server_tests=True,
        ),
        "server-test.cycle": Route(Origin.TIMER, StartServerCycle, cycles.start, is_of_server_tests=True),
        "server-cycle.look": Route(Origin.TIMER, LookAtServerCycle, cycles.look, is_of_server_tests=True),
    }


def patient_timers(table: Mapping[str, Route]) -> tuple[str, ...]:
    """The types of timers that may wait long for a neighbour."""
    return tuple(sorted(name for name, route in table.items() if route.is_patient))


def server_timers(table: Mapping[str, Route]) -> tuple[str, ...]:
    """The types of timers of tests of delivery servers."""
    return tuple(sorted(name for name, route in table.items() if route.is_of_server_tests))


def _command(message_type: str, handle: Handle, timeout_s: float | None = None) -> Route:
    return Route(Origin.COMMAND, COMMANDS[message_type], handle, timeout_s)
