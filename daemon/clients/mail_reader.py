"""What a person does with a mail (T15): opens it, clicks, unsubscribes; over HTTP, on the tracking hosts alone.

It goes by httpx's transports, not by its client: no cookies, no logins, no redirects but those looked at here.
"""

import asyncio
from dataclasses import dataclass, replace

import httpx

from domain.mail_headers import headers_of, unsubscribe_of
from domain.mail_links import TrackingLinks, html_of, is_on, tracking_links
from domain.server_ports import FoundMail
from domain.server_test import Finding, StepId, StepOutcome

_MOST_BYTES = 262_144  # of a page that nobody reads
_KEEPS_METHOD = (httpx.codes.TEMPORARY_REDIRECT, httpx.codes.PERMANENT_REDIRECT)
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_ONE_CLICK = b"List-Unsubscribe=One-Click"


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """What a reader goes by. `hosts`: where tracking and unsubscribing happen, with the port where it is not the usual.

    `timeout_s` bounds each of the three acts, redirects included. MailWizz counts some programs' visits as nobody's.
    """

    hosts: tuple[str, ...]
    timeout_s: float = 30.0
    most_redirects: int = 5
    user_agent: str = "Mozilla/5.0 (X11; Linux x86_64) robotd"


@dataclass(frozen=True, slots=True)
class _Act:
    """One thing to do. `may_leave`: it is counted before it leads away, so leading away is its success."""

    name: str
    method: str
    url: str
    may_leave: bool = False


@dataclass(frozen=True, slots=True)
class _Trouble:
    outcome: StepOutcome
    kind: str
    detail: str


class HttpReader:
    """Reads mails over one transport, which the composition root owns."""

    def __init__(self, http: httpx.AsyncBaseTransport, options: ReaderOptions) -> None:
        self._http = http
        self._options = options

    async def interact(self, mail: FoundMail) -> Finding:
        """Open, click, unsubscribe, in this order and each once; the first that fails ends it.

        One-click by POST (RFC 8058) where the headers offer it on a tracking host, else the link in the text. A mail
        without such links is an ERROR: the template made it, not the server.
        """
        clock = asyncio.get_running_loop().time
        started_s = clock()
        finding = await self._interact(mail.raw)
        return replace(finding, ms=round((clock() - started_s) * 1000))

    async def _interact(self, raw: bytes) -> Finding:
        acts = await asyncio.to_thread(self._acts, raw)
        if isinstance(acts, _Trouble):
            return Finding(StepId.INTERACTIONS, acts.outcome, acts.kind, acts.detail)
        done = []
        for act in acts:
            status = await self._do(act)
            if isinstance(status, _Trouble):
                detail = f"{act.name}: {status.detail}"
                return Finding(StepId.INTERACTIONS, status.outcome, f"{act.name}-{status.kind}", detail)
            done.append(f"{act.name} {status}")
        return Finding(StepId.INTERACTIONS, StepOutcome.PASS, detail=", ".join(done))

    def _acts(self, raw: bytes) -> list[_Act] | _Trouble:
        hosts = self._options.hosts
        links = tracking_links(html_of(raw), hosts)
        said = unsubscribe_of(headers_of(raw))
        is_one_click = said.is_one_click and said.uri is not None and is_on(said.uri, hosts)
        leave = _Act("unsubscribe", "POST", said.uri or "") if is_one_click else None
        if leave is None and links.unsubscribe is not None:
            leave = _Act("unsubscribe", "GET", links.unsubscribe)
        if links.open_pixel is None or links.click is None or leave is None:
            return _missing(links, hosts)
        open_ = _Act("open", "GET", links.open_pixel)
        return [open_, _Act("click", "GET", links.click, may_leave=True), leave]

    async def _do(self, act: _Act) -> int | _Trouble:
        try:
            async with asyncio.timeout(self._options.timeout_s):
                return await self._follow(act)
        except TimeoutError:
            return _Trouble(StepOutcome.ERROR, "unreachable", f"no answer in {self._options.timeout_s:g} s")
        except httpx.TransportError as error:
            return _Trouble(StepOutcome.ERROR, "unreachable", str(error) or type(error).__name__)
        except httpx.InvalidURL as error:
            return _Trouble(StepOutcome.FAIL, "bad-link", str(error))

    async def _follow(self, act: _Act) -> int | _Trouble:
        method, url = act.method, httpx.URL(act.url)
        for _ in range(self._options.most_redirects + 1):
            status, location = await self._ask(method, url)
            if httpx.codes.is_error(status):
                return _Trouble(StepOutcome.FAIL, "refused", f"{status} from {url.host}")
            if location is None:
                return status
            url = url.join(location)
            if not is_on(str(url), self._options.hosts):
                led_away = _Trouble(StepOutcome.FAIL, "led-away", f"redirected to {url.host}")
                return status if act.may_leave else led_away
            method = method if status in _KEEPS_METHOD else "GET"
        return _Trouble(StepOutcome.FAIL, "redirects", f"more than {self._options.most_redirects} redirects")

    async def _ask(self, method: str, url: httpx.URL) -> tuple[int, str | None]:
        """Status, and where it redirects to."""
        is_post = method == "POST"
        headers = {"User-Agent": self._options.user_agent, "Accept": "*/*"} | (_FORM if is_post else {})
        seconds = dict.fromkeys(("connect", "read", "write", "pool"), self._options.timeout_s)
        content = _ONE_CLICK if is_post else None
        request = httpx.Request(method, url, headers=headers, content=content, extensions={"timeout": seconds})
        response = await self._http.handle_async_request(request)
        try:
            taken = 0
            async for piece in response.aiter_raw():
                taken += len(piece)
                if taken > _MOST_BYTES:
                    break
        finally:
            await response.aclose()
        location = response.headers.get("Location") if httpx.codes.is_redirect(response.status_code) else None
        return response.status_code, location


def _missing(links: TrackingLinks, hosts: tuple[str, ...]) -> _Trouble:
    if links.open_pixel is None:
        lacking = "open pixel"
    else:
        lacking = "link to click" if links.click is None else "way to unsubscribe"
    kind = f"no-{lacking.replace(' ', '-')}"
    return _Trouble(StepOutcome.ERROR, kind, f"the mail has no {lacking} on {', '.join(hosts) or 'any host'}")
