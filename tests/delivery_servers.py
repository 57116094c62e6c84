"""Delivery servers and probes as the tests of the direct way need them."""

import uuid
from typing import Any

from daemon.clients.smtp_options import SmtpOptions
from domain.delivery_server import DeliveryServer
from domain.server_ports import ProbeMail

FROM = "news@shop.test"
RECIPIENTS = frozenset({"lab.test"})
OPTIONS = SmtpOptions(RECIPIENTS, helo_name="robotd.test", dns_timeout_s=2.0)


def delivery_server(**changes: Any) -> DeliveryServer:
    values: dict[str, Any] = {
        "id": 7,
        "type": "smtp",
        "name": "seven",
        "hostname": "127.0.0.1",
        "username": "",
        "password": None,
        "port": 25,
        "protocol": "",
        "timeout_s": 30,
        "from_email": FROM,
        "from_name": "Shop",
        "reply_to_email": "",
        "force_from": "never",
        "force_reply_to": "never",
        "bounce_server_id": None,
        "tracking_domain_id": None,
        "customer_id": None,
        "status": "active",
        "last_updated": "2026-01-01 00:00:00",
    }
    return DeliveryServer(**{**values, **changes})


def probe_mail(to: str = "probe@lab.test", **changes: Any) -> ProbeMail:
    token = str(uuid.uuid4())
    local, _, domain = to.partition("@")
    values: dict[str, Any] = {
        "token": token,
        "subject": f"Test Email from shop.test [{token}]",
        "to": f"{local}+{token}@{domain}",
        "from_email": FROM,
        "from_name": "shop.test",
        "reply_to": FROM,
        "envelope_from": "bounce@lab.test",
    }
    return ProbeMail(**{**values, **changes})
