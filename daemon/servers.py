"""The use cases of tests of delivery servers, wired to MailWizz and to mail: all of it is built in one function."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from daemon.settings import Settings
from daemon.settings_servers import campaign_way, consequences, outage_rules, probe_addresses, run_rules
from handlers.server_cycles import ServerCycleHandlers
from handlers.server_parts import ServerParts
from handlers.server_tests import ServerTestHandlers


@asynccontextmanager
async def open_server_tests(settings: Settings) -> AsyncIterator[ServerParts]:
    """Whom tests of servers ask, as far as the settings name them; closed in reverse."""
    own = settings.server_tests
    yield ServerParts(
        addresses=probe_addresses(settings.mail),
        campaign_way=campaign_way(own),
        rules=run_rules(own),
        consequences=consequences(own),
        outages=outage_rules(own),
    )


def server_handlers(settings: Settings, parts: ServerParts) -> tuple[ServerTestHandlers, ServerCycleHandlers]:
    """The handlers of single tests and of cycles."""
    own = settings.server_tests
    cycles = ServerCycleHandlers(parts, every_ms=round(own.every_s * 1000), max_age_s=own.max_age_s)
    return ServerTestHandlers(parts), cycles
