"""A reader of mails against real HTTP servers: what it asks for, in which order, and how far it lets itself be led."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.clients.mail_reader import HttpReader, ReaderOptions
from domain.server_ports import FoundMail, Reader
from domain.server_test import Finding, StepId, StepOutcome

OPEN, CLICK, FORM, DIRECT, ONE_CLICK = (
    "/campaigns/c/track-opening/s",
    "/campaigns/c/track-url/s/h",
    "/lists/l/unsubscribe/s/c",
    "/lists/l/unsubscribe/s/c/unsubscribe-direct",
    "/lists/l/one-click",
)
PASS, FAIL, WARN, SKIP, ERROR = StepOutcome


@dataclass(slots=True)
class Site:
    """A web server on a local port. `answers`: status and Location by path; what is not there is 200."""

    asked: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    cookies: list[str] = field(default_factory=list)
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    host: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.path_qs))
        self.bodies.append(await request.read())
        self.cookies.append(request.headers.get("Cookie", ""))
        if request.path in self.silent:
            await asyncio.Event().wait()
        status, location = self.answers.get(request.path, (200, ""))
        headers = {"Set-Cookie": "who=me"} | ({"Location": location} if location else {})
        return web.Response(status=status, headers=headers, body=b"x" * 1_000_000)


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    found = Site()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.host = f"127.0.0.1:{runner.addresses[0][1]}"
        yield found
    finally:
        await runner.cleanup()


@pytest.fixture
async def tracking() -> AsyncIterator[Site]:
    """The tracking host."""
    async with site() as found:
        yield found


@pytest.fixture
async def elsewhere() -> AsyncIterator[Site]:
    """A host that is none of ours."""
    async with site() as found:
        yield found


def mail(host: str, *, one_click: str | None = None, html: str | None = None) -> FoundMail:
    """A mail with a pixel, a link and both ways to unsubscribe by the text; one-click in the headers if wanted."""
    text = html if html is not None else (
        f'<a href="http://{host}{FORM}">x</a><a href="https://elsewhere.test/">x</a><a href="http://{host}{CLICK}">x</a>'
        f'<a href="http://{host}{DIRECT}">x</a><img src="http://{host}{OPEN}">'
    )  # fmt: skip
    headers = f"List-Unsubscribe: <mailto:x@a.test>, <http://{one_click}{ONE_CLICK}>\r\n" if one_click else ""
    headers += "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" if one_click else ""
    return FoundMail("INBOX", is_junk=False, raw=f"{headers}Content-Type: text/html\r\n\r\n{text}".encode())


async def read(found: FoundMail, *hosts: str, timeout_s: float = 5.0) -> Finding:
    async with httpx.AsyncHTTPTransport() as http:
        reader: Reader = HttpReader(http, ReaderOptions(hosts, timeout_s=timeout_s))
        return await reader.interact(found)


async def test_it_opens_clicks_and_unsubscribes_by_one_click(tracking: Site) -> None:
    """In this order, each once; the POST has the words of RFC 8058 as its body; no cookie is ever sent back."""
    finding = await read(mail(tracking.host, one_click=tracking.host), tracking.host)
    assert (finding.step, finding.outcome) == (StepId.INTERACTIONS, PASS)
    assert finding.detail == "open 200, click 200, unsubscribe 200"
    assert tracking.asked == [("GET", OPEN), ("GET", CLICK), ("POST", ONE_CLICK)]
    assert tracking.bodies == [b"", b"", b"List-Unsubscribe=One-Click"]
    assert tracking.cookies == ["", "", ""]


@pytest.mark.parametrize("one_click", [None, "elsewhere.test"])
async def test_without_one_click_on_the_host_it_takes_the_direct_link(tracking: Site, one_click: str | None) -> None:
    """No such header, or one that leads to another host: the link in the text, which needs no form."""
    finding = await read(mail(tracking.host, one_click=one_click), tracking.host)
    assert finding.outcome is PASS
    assert tracking.asked == [("GET", OPEN), ("GET", CLICK), ("GET", DIRECT)]


async def test_a_click_that_leads_away_is_counted_and_not_followed(tracking: Site, elsewhere: Site) -> None:
    """The tracking host has counted it before it redirects; whatever it leads to is not asked."""
    tracking.answers[CLICK] = (302, f"http://{elsewhere.host}/shop")
    finding = await read(mail(tracking.host), tracking.host)
    assert (finding.outcome, finding.detail) == (PASS, "open 200, click 302, unsubscribe 200")
    assert elsewhere.asked == []


@pytest.mark.parametrize(("path", "act"), [(OPEN, "open"), (DIRECT, "unsubscribe")])
async def test_opening_and_unsubscribing_must_not_lead_away(
    tracking: Site, elsewhere: Site, path: str, act: str
) -> None:
    """A pixel or an unsubscription that is handed to another host fails, and that host is not asked."""
    tracking.answers[path] = (302, f"http://{elsewhere.host}/")
    finding = await read(mail(tracking.host), tracking.host)
    assert (finding.outcome, finding.kind) == (FAIL, f"{act}-led-away")
    assert elsewhere.asked == []


async def test_redirects_on_the_hosts_are_followed(tracking: Site, elsewhere: Site) -> None:
    """Relative or to another of our hosts; a POST goes on as GET, unless the status says that it stays one."""
    tracking.answers = {CLICK: (301, "/a?b=1"), ONE_CLICK: (303, f"http://{elsewhere.host}/done")}
    elsewhere.answers = {"/done": (307, "/really")}
    finding = await read(mail(tracking.host, one_click=tracking.host), tracking.host, elsewhere.host)
    assert finding.outcome is PASS
    assert tracking.asked == [("GET", OPEN), ("GET", CLICK), ("GET", "/a?b=1"), ("POST", ONE_CLICK)]
    assert elsewhere.asked == [("GET", "/done"), ("GET", "/really")]


async def test_a_kept_post_stays_a_post(tracking: Site) -> None:
    """After 308 the same is posted again."""
    tracking.answers[ONE_CLICK] = (308, "/there")
    assert (await read(mail(tracking.host, one_click=tracking.host), tracking.host)).outcome is PASS
    assert tracking.asked[-1] == ("POST", "/there")
    assert tracking.bodies[-1] == b"List-Unsubscribe=One-Click"


async def test_redirects_have_an_end(tracking: Site) -> None:
    """A link that leads to itself fails after the first request and five more."""
    tracking.answers[CLICK] = (302, CLICK)
    finding = await read(mail(tracking.host), tracking.host)
    assert (finding.outcome, finding.kind) == (FAIL, "click-redirects")
    assert tracking.asked == [("GET", OPEN)] + [("GET", CLICK)] * 6


@pytest.mark.parametrize("status", [400, 404, 410, 500, 503])
@pytest.mark.parametrize(("path", "act"), [(OPEN, "open"), (CLICK, "click"), (ONE_CLICK, "unsubscribe")])
async def test_a_refusal_fails_and_ends_the_reading(tracking: Site, path: str, act: str, status: int) -> None:
    """Any 4xx or 5xx is a FAIL that names the act; what would come after it is not done."""
    tracking.answers[path] = (status, "")
    finding = await read(mail(tracking.host, one_click=tracking.host), tracking.host)
    assert (finding.outcome, finding.kind) == (FAIL, f"{act}-refused")
    assert finding.detail.startswith(f"{act}: {status} from 127.0.0.1")
    assert tracking.asked[-1][1] == path


async def test_silence_is_nobodys_fault(tracking: Site) -> None:
    """A host that takes the request and says nothing is an ERROR when the time is over."""
    tracking.silent.add(CLICK)
    finding = await read(mail(tracking.host), tracking.host, timeout_s=0.3)
    assert (finding.outcome, finding.kind) == (ERROR, "click-unreachable")
    assert finding.ms >= 300


async def test_a_closed_port_is_nobodys_fault() -> None:
    """Where nobody listens, the first act is an ERROR."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        finding = await read(mail(host), host)
    assert (finding.outcome, finding.kind) == (ERROR, "open-unreachable")


async def test_an_answer_that_is_no_http_is_nobodys_fault() -> None:
    """Something else listens there: an ERROR, not an exception."""

    async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 smtp.shop.test ESMTP\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finding = await read(mail(host), host)
    assert (finding.outcome, finding.kind) == (ERROR, "open-unreachable")


@pytest.mark.parametrize(
    ("html", "kind"),
    [
        ("", "no-open-pixel"),
        ('<img src="http://{host}/track-opening/1">', "no-link-to-click"),
        ('<img src="http://{host}/track-opening/1"><a href="http://{host}/track-url/1">x</a>', "no-way-to-unsubscribe"),
        ('<img src="http://elsewhere.test/track-opening/1"><a href="http://{host}/track-url/1">x</a>', "no-open-pixel"),
    ],
)  # fmt: skip
async def test_a_mail_without_its_links_is_the_templates_fault(tracking: Site, html: str, kind: str) -> None:
    """A pixel, a link or a way out that is missing on the host is an ERROR, and nothing is asked."""
    finding = await read(mail(tracking.host, html=html.replace("{host}", tracking.host)), tracking.host)
    assert (finding.outcome, finding.kind) == (ERROR, kind)
    assert tracking.asked == []


@pytest.mark.parametrize(
    "location", ["http://[", "http://127.0.0.1:99999999/", "http://xn--\xe9..a/", "//", "ftp://x.test/", "#"]
)
async def test_a_strange_redirect_ends_in_a_finding(tracking: Site, location: str) -> None:
    """Whatever Location says, opening comes to a FAIL or an end, and never to an exception."""
    tracking.answers[OPEN] = (302, location)
    finding = await read(mail(tracking.host), tracking.host)
    assert finding.outcome is FAIL
    assert finding.kind.startswith("open-")


@given(raw=st.one_of(st.binary(max_size=300), st.text(max_size=100).map(lambda text: mail("h.test", html=text).raw)))
@settings(max_examples=100, deadline=None)
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    """A mail of any bytes has no links on the host: a finding that says which, and no exception."""
    finding = asyncio.run(read(FoundMail("INBOX", is_junk=False, raw=raw), "h.test"))
    assert (finding.outcome, finding.kind) == (ERROR, "no-open-pixel")
