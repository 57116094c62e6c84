"""The routing table: every type has one model, one method and one place where it may come from."""

from typing import Any, cast

import pytest

from domain.alerts import POST, QUIET
from domain.number import NumberRules
from handlers.campaign_changes import HEAL, START, STEP
from handlers.campaign_sending import CampaignSending
from handlers.campaigns import CampaignHandlers
from handlers.monitors import ALARM, CLOSE, OPEN, WINDOW, MonitorHandlers
from handlers.number_watch import ACKS
from handlers.routes import Families, Origin, routes
from handlers.server_cycles import START as SERVER_CYCLE
from handlers.server_tests import LOOK as SERVER_LOOK
from handlers.server_tests import STEP as SERVER_STEP
from handlers.status_checks import END, StatusCheckHandlers
from handlers.subscriptions import RELEASE, ROLL_CALL, SubscriptionHandlers

NOBODY = cast("Any", None)
FAMILIES = Families(
    StatusCheckHandlers(NOBODY, NOBODY, NOBODY),
    SubscriptionHandlers(NOBODY, ()),
    MonitorHandlers(NOBODY, NOBODY),
    CampaignHandlers(NOBODY, NOBODY, NumberRules()),
    CampaignSending(NOBODY, NOBODY, NumberRules(), NOBODY),
)
TABLE = routes(FAMILIES)


def test_every_type_names_its_handler_as_people_find_it() -> None:
    """Family and method, as dead letters and logs show them."""
    assert {name: route.handler_name for name, route in TABLE.items()} == {
        "status-check.create": "StatusCheckHandlers.create",
        "status-check.get": "StatusCheckHandlers.get",
        "status-check.cancel": "StatusCheckHandlers.cancel",
        "status-check.end": "StatusCheckHandlers.end",
        "subscription.release": "SubscriptionHandlers.release",
        "subscription.roll-call": "SubscriptionHandlers.roll_call",
        "monitor.open": "MonitorHandlers.open",
        "monitor.window": "MonitorHandlers.window",
        "monitor.alarm": "MonitorHandlers.alarm",
        "monitor.close": "MonitorHandlers.close",
        "campaign.create": "CampaignHandlers.create",
        "campaign.schedule": "CampaignHandlers.schedule",
        "campaign.run": "CampaignHandlers.run",
        "campaign.pause": "CampaignHandlers.pause",
        "campaign.resume": "CampaignHandlers.resume",
        "campaign.cancel": "CampaignHandlers.cancel",
        "campaign.status": "CampaignHandlers.status",
        "campaign.preview": "CampaignHandlers.preview",
        "campaign.retry": "CampaignHandlers.retry",
        "campaign.start": "CampaignHandlers.start",
        "campaign.test-send": "CampaignSending.test_send",
        "campaign.step": "CampaignSending.step",
        "campaign.heal": "CampaignHandlers.heal",
        "campaign.progress": "CampaignHandlers.progress",
        "contacts.import": "ContactHandlers.import_rows",
        "opt-out.add": "ContactHandlers.opt_out",
        "server.test": "ServerTestHandlers.request",
        "server.test-cycle": "ServerCycleHandlers.request",
        "server-test.step": "ServerTestHandlers.step",
        "server-test.cycle": "ServerCycleHandlers.start",
        "server-cycle.look": "ServerCycleHandlers.look",
        "alert.post": "AlertHandlers.post",
        "alert.quiet": "AlertHandlers.quiet",
        "megazord.event": "SubscriptionHandlers.event",
        "waha.event": "WhatsAppEventHandlers.event",
        "number.acks": "WhatsAppEventHandlers.watch",
    }


SERVERS = (SERVER_STEP, SERVER_CYCLE, SERVER_LOOK)
TIMERS = (END, RELEASE, ROLL_CALL, OPEN, WINDOW, ALARM, CLOSE, START, STEP, HEAL, POST, QUIET, ACKS, *SERVERS)


@pytest.mark.parametrize("timer_type", TIMERS)
def test_the_timers_that_handlers_schedule_have_a_route(timer_type: str) -> None:
    """And nobody can send one of them as a command."""
    assert TABLE[timer_type].origin is Origin.TIMER
