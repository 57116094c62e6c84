"""The handlers of what WhatsApp tells, as the settings want them."""

import structlog

from daemon.log import LogEvent
from daemon.settings import Settings
from daemon.settings_campaigns import read_keywords
from domain.number import NumberRules
from domain.whatsapp_ports import WhatsAppLooks
from handlers.whatsapp_events import WatchRules, WhatsAppEventHandlers

_log = structlog.get_logger()


def whatsapp_events(settings: Settings, whatsapp: WhatsAppLooks | None, rules: NumberRules) -> WhatsAppEventHandlers:
    """WAHA is asked for acknowledgements where no relay brings them."""
    campaigns = settings.campaigns
    watch = WatchRules(round(campaigns.ack_poll_s * 1000), asks=settings.waha.events_queue is None)
    return WhatsAppEventHandlers(whatsapp, rules, watch, read_keywords(campaigns.opt_out_keywords), _warn_of_silence)


def webhook_key(settings: Settings) -> str | None:
    """What WAHA signs with."""
    key = settings.waha.webhook_key
    return None if key is None else key.get_secret_value()


def _warn_of_silence(session: str, detail: str) -> None:
    _log.warning(LogEvent.CAMPAIGN_SILENT, session=session, detail=detail)
