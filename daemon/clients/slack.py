"""Slack over an incoming webhook, as the domain's `Slack`. The address is the secret: whoever has it can post."""

from collections.abc import Callable

import httpx

from daemon.clients.http import Request, Upstream, broken_contract, call, unheard
from daemon.log_mask import Mask
from daemon.probe import Probe, unobserved
from domain.alerts import Alert, Severity

_SIGNS = {
    Severity.INFO: ":information_source:",
    Severity.WARNING: ":warning:",
    Severity.ERROR: ":rotating_light:",
}
_MOST_FIELDS, _LINE, _TEXT = 10, 200, 2_000  # characters; Slack itself cuts a message at 40,000
_mask = Mask()


class HttpSlack:
    """Posts one alert at a time: Slack takes about one a second for each webhook."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        webhook_url: str,
        *,
        timeout_s: float = 5.0,
        probe: Probe = unobserved,
        heard: Callable[[str], None] = unheard,
    ) -> None:
        self._upstream = Upstream("slack", http, webhook_url, timeout_s, probe=probe, heard=heard)
        self._is_posting = False

    @property
    def is_busy(self) -> bool:
        """Whether one is being posted."""
        return self._is_posting

    async def post(self, alert: Alert) -> None:
        """Post once; what is no 2xx with `ok` was not posted, as far as anybody can tell."""
        request = Request("POST", "", "post an alert", body={"text": slack_text(alert)})
        self._is_posting = True
        try:
            answer = await call(self._upstream, request)
        finally:
            self._is_posting = False
        if answer.text.strip() != "ok":  # a page of a proxy: to post again and again could be a flood
            raise broken_contract(self._upstream, request, "its answer is not ok")


def slack_text(alert: Alert) -> str:
    """An alert in Slack's own markup, with what looks like a phone number masked."""
    lines = [f"{_SIGNS[alert.severity]} *{_line(alert.title)}*"]
    if alert.text.strip():
        lines.append(_escaped(_mask.text(alert.text.strip()), _TEXT))
    lines += [f"{_line(name)}: {_line(value)}" for name, value in alert.fields[:_MOST_FIELDS]]
    return "\n".join(lines)


def _line(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)  # an id or a count: masked it would say nothing
    return _escaped(_mask.text(" ".join(value.split())), _LINE)


def _escaped(text: str, limit: int) -> str:
    """The three signs that Slack reads as its own; others must stay. Cut before, so that no `&amp;` is cut in two."""
    short = text if len(text) <= limit else f"{text[:limit]}…"
    return short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
