"""The routing table: every type has one model, one method and one place where it may come from."""

from typing import cast

import pytest

from domain.ports import Megazord, MicroManagers, Templates
from handlers.routes import Origin, routes
from handlers.status_checks import END, RELEASE, StatusCheckHandlers

NOBODY = object()
TABLE = routes(StatusCheckHandlers(cast("Megazord", NOBODY), cast("MicroManagers", NOBODY), cast("Templates", NOBODY)))


def test_every_type_names_its_handler_as_people_find_it() -> None:
    """Family and method, as dead letters and logs show them."""
    assert {name: route.handler_name for name, route in TABLE.items()} == {
        "status-check.create": "StatusCheckHandlers.create",
        "status-check.get": "StatusCheckHandlers.get",
        "status-check.cancel": "StatusCheckHandlers.cancel",
        "status-check.end": "StatusCheckHandlers.end",
        "subscription.release": "StatusCheckHandlers.release",
        "megazord.event": "StatusCheckHandlers.event",
    }


@pytest.mark.parametrize("timer_type", [END, RELEASE])
def test_the_timers_that_handlers_schedule_have_a_route(timer_type: str) -> None:
    """And nobody can send one of them as a command."""
    assert TABLE[timer_type].origin is Origin.TIMER
