"""The use cases of every family, wired to their neighbours: of the composition root what is not the process."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import structlog

from daemon.clients.megazord import HttpMegazord, Own
from daemon.clients.micro_managers import HttpMicroManagers
from daemon.clients.slack import HttpSlack
from daemon.clients.transports import AiohttpTransport, OneShotTransport
from daemon.clients.waha import HttpWhatsApp
from daemon.clients.waha_http import Patience
from daemon.log import LogEvent
from daemon.media import MediaFolder
from daemon.monitors import FileMonitors
from daemon.probe import Probe
from daemon.servers import open_server_tests, server_handlers
from daemon.settings import Settings
from daemon.settings_campaigns import number_rules
from daemon.template_library import TemplateLibrary
from daemon.whatsapp_events import whatsapp_events
from handlers.alerts import AlertHandlers
from handlers.campaign_sending import CampaignSending
from handlers.campaigns import CampaignHandlers
from handlers.monitors import MonitorHandlers
from handlers.routes import Families
from handlers.server_parts import ServerParts
from handlers.status_checks import StatusCheckHandlers
from handlers.subscriptions import SubscriptionHandlers

_log = structlog.get_logger()
_CONNECTIONS, _KEEP_S = 20, 4  # of each neighbour; Node closes what is idle after 5 s


OpensServers = Callable[[Settings], AbstractAsyncContextManager[ServerParts]]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Whom to ask, and who hears of every answer. `open_servers` puts others in place of MailWizz and mail."""

    settings: Settings
    heard: Callable[[str], None]
    probe: Probe
    open_servers: OpensServers | None = None


@asynccontextmanager
async def open_families(around: Neighbours, templates: TemplateLibrary, rules: FileMonitors) -> AsyncIterator[Families]:
    """All handlers, each with a client of its own: a neighbour that hangs must not hold the connections of another."""
    settings = around.settings
    async with AsyncExitStack() as stack:
        for_megazord, for_managers, for_slack = [await stack.enter_async_context(_http()) for _ in range(3)]
        questions, sends = _waha_transports(settings)
        await stack.enter_async_context(questions)
        await stack.enter_async_context(sends)
        megazord = _megazord(around, for_megazord)
        checks = StatusCheckHandlers(
            megazord, _micro_managers(around, for_managers), templates, settings.templates.time_zone
        )
        monitors = MonitorHandlers(megazord, rules)
        listeners = (checks, monitors)
        subscriptions = SubscriptionHandlers(megazord, listeners, settings.megazord.roll_call_event)
        whatsapp = _whatsapp(around, questions, sends)
        campaigns, sending = _campaigns(settings, whatsapp)
        parts = await stack.enter_async_context((around.open_servers or open_server_tests)(settings))
        servers, cycles = server_handlers(settings, parts)
        yield Families(
            checks,
            subscriptions,
            monitors,
            campaigns,
            sending,
            alerts=AlertHandlers(_slack(around, for_slack)),
            whatsapp=whatsapp_events(settings, whatsapp, campaigns.rules),
            servers=servers,
            cycles=cycles,
        )


def _http() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=AiohttpTransport(_CONNECTIONS, _KEEP_S), trust_env=False)


def _waha_transports(settings: Settings) -> tuple[AiohttpTransport, OneShotTransport]:
    """For questions, two at a time before each send, and for sends, which never use a connection again."""
    return AiohttpTransport(2 * settings.campaigns.max_in_flight, _KEEP_S), OneShotTransport()


def _megazord(around: Neighbours, http: httpx.AsyncClient) -> HttpMegazord:
    own = around.settings.megazord
    names = Own(own.queue_suffix, own.provider_name, own.roll_call_event)
    return HttpMegazord(http, own.base_url, names, timeout_s=own.timeout_s, probe=around.probe, heard=around.heard)


def _micro_managers(around: Neighbours, http: httpx.AsyncClient) -> HttpMicroManagers:
    own = around.settings.micro_managers
    return HttpMicroManagers(http, own.base_url, timeout_s=own.timeout_s, probe=around.probe, heard=around.heard)


def _slack(around: Neighbours, http: httpx.AsyncClient) -> HttpSlack | None:
    slack = around.settings.slack
    if slack.webhook_url is None:
        return None
    url = slack.webhook_url.get_secret_value()
    return HttpSlack(http, url, timeout_s=slack.timeout_s, probe=around.probe, heard=around.heard)


def _campaigns(settings: Settings, whatsapp: HttpWhatsApp | None) -> tuple[CampaignHandlers, CampaignSending]:
    own, media = settings.campaigns, MediaFolder(settings.campaigns.media_folder)
    rules = number_rules(own)
    if whatsapp is not None:
        for warning in rules.pace.warnings:
            _log.warning(LogEvent.CAMPAIGN_PACE, warning=warning)
    progress_ms, acks_ms = round(own.progress_every_s * 1000), round(own.ack_poll_s * 1000)
    campaigns = CampaignHandlers(whatsapp, media, rules, own.expires_after_s, progress_ms, acks_ms)
    return campaigns, CampaignSending(whatsapp, media, rules, random.random, round(own.doubt_grace_s * 1000))


def _whatsapp(
    around: Neighbours, questions: httpx.AsyncBaseTransport, sends: httpx.AsyncBaseTransport
) -> HttpWhatsApp | None:
    waha = around.settings.waha
    if waha.base_url is None:
        return None
    key = waha.api_key.get_secret_value() if waha.api_key else None
    patience = Patience(waha.connect_timeout_s, waha.send_timeout_s, waha.media_timeout_s, waha.timeout_s)
    return HttpWhatsApp(
        questions, waha.base_url, key, sends=sends, patience=patience, probe=around.probe, heard=around.heard
    )
