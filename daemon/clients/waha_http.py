"""One exchange with WAHA: what it answered, or why nothing was heard and whether it may have been asked.

Apart from `http.py` because a send must never be made twice: it is not repeated once a byte may have been written.
"""

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any  # what httpx takes as extensions

import httpx

from daemon.clients.http import Request, unheard
from daemon.probe import Probe, unobserved
from domain.errors import ConfigError

UNREACHABLE, NO_ADDRESS, TOO_LATE = "unreachable", "no-address", "too-late"  # silences in which nothing was asked
_NEVER_ASKED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_NO_ADDRESS = (httpx.UnsupportedProtocol, httpx.InvalidURL)
_NOT_WAHA = (502, 503, 504)  # said by what stands before it
_ATTEMPTS = 3
_FIRST_PAUSE_S = 0.2
_BODY_S = 10.0  # the status line has decided already: what follows it is worth no long wait
_BODY_BYTES = 4 * 1_048_576  # a hundred messages with their thumbnails
_ECHO = 2  # an error may hold our own body once more, its quotes escaped
_LONGEST_RETRY_AFTER_S = 3600
_dice = random.SystemRandom()  # replicas must not draw the same delays


@dataclass(frozen=True, slots=True)
class Patience:
    """How long WAHA is waited for, in seconds. `check_s` is for all that only reads.

    WAHA itself waits up to 5 s for its session before it refuses: anything shorter would not hear why.
    """

    connect_s: float = 5.0
    text_s: float = 30.0
    media_s: float = 120.0
    check_s: float = 8.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `body` may be cut: it is read for a bounded time and up to a bounded size."""

    status: int
    body: bytes
    retry_after_s: float | None = None

    @property
    def is_success(self) -> bool:
        """Whether WAHA did it."""
        return httpx.codes.is_success(self.status)

    @property
    def json(self) -> object:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer. `was_asked` False is certain: no byte of the request was written."""

    code: str
    detail: str
    was_asked: bool


Heard = Answer | Silence


def was_never_asked(heard: Heard) -> bool:
    """What may be said again even if it is a send."""
    return isinstance(heard, Silence) and heard.code == UNREACHABLE


def may_pass(heard: Heard) -> bool:
    """Trouble that is often over at the next try: for requests that only read."""
    if isinstance(heard, Silence):
        return heard.code != NO_ADDRESS
    is_trouble = httpx.codes.is_server_error(heard.status) and heard.status != httpx.codes.NOT_IMPLEMENTED
    is_page = heard.is_success and heard.body.strip() not in (b"", b"null") and heard.json is None  # or it was cut
    return is_trouble or is_page or heard.status in (408, 425, 429)


class _TooLate(Exception):  # noqa: N818  what was found, not a fault
    """So much time has passed since the intent to send that others may have decided about it."""


@dataclass(frozen=True, slots=True)
class _Own:
    """What a send and a question don't have in common."""

    http: httpx.AsyncBaseTransport
    headers: Mapping[str, str] = field(default_factory=dict)
    extensions: Mapping[str, Any] = field(default_factory=dict)


class Gateway:
    """WAHA at one address, under one key.

    It goes by httpx's transports, not by its client: no cookies, redirects or logins.
    A send has a connection of its own: one that WAHA closes in the moment in which it is used again would leave a
    message of which nobody knows whether it was sent, and Node closes idle ones after 5 s. Questions may share theirs
    if sends go by a client of their own, `sends`: an idle connection of a question is never used for a send.
    """

    def __init__(
        self,
        http: httpx.AsyncBaseTransport,
        base_url: str,
        api_key: str | None,
        *,
        connect_s: float,
        sends: httpx.AsyncBaseTransport | None = None,
        probe: Probe = unobserved,
        heard: Callable[[str], None] = unheard,
    ) -> None:
        if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
            raise ConfigError("the API key of WAHA has characters that no HTTP header can carry")
        self._http = http
        self._sends = sends or http
        self._base_url = base_url.rstrip("/")
        self._own_headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "robotd"}
        if sends is None:
            self._own_headers["Connection"] = "close"
        if api_key:
            self._own_headers["X-Api-Key"] = api_key
        self._connect_s = connect_s
        self._probe = probe
        self._heard = heard

    async def send(self, request: Request, read_s: float, may_begin: Callable[[], bool]) -> Heard:
        """Ask for something that must not happen twice: asked again only while it was certainly never asked.

        `may_begin` is asked when the connection stands and no byte is written yet.
        """

        async def before_the_first_byte(step: str, _details: object) -> None:
            if step.endswith(".send_request_headers.started") and not may_begin():
                raise _TooLate

        own = _Own(self._sends, {"Connection": "close"}, {"trace": before_the_first_byte})
        return await self._ask(request, read_s, self._connect_s, was_never_asked, own)

    async def read(self, request: Request, read_s: float) -> Heard:
        """Ask for something that changes nothing: asked up to three times, for as long as it may pass."""
        return await self._ask(request, read_s, _ATTEMPTS * (self._connect_s + read_s), may_pass, _Own(self._http))

    async def _ask(
        self,
        request: Request,
        read_s: float,
        within_s: float,
        again: Callable[[Heard], bool],
        own: _Own,
    ) -> Heard:
        last_start_s = asyncio.get_running_loop().time() + within_s
        for attempt in range(1, _ATTEMPTS + 1):
            await self._probe("before_upstream")
            asked = self._request(request, read_s, own)
            if asked is None:
                return Silence(NO_ADDRESS, "the address of WAHA is none", was_asked=False)
            heard = await self._once(own.http, asked, read_s)
            pause_s = _dice.uniform(0.5, 1) * _FIRST_PAUSE_S * 2 ** (attempt - 1)
            is_too_late = asyncio.get_running_loop().time() + pause_s >= last_start_s
            if attempt == _ATTEMPTS or is_too_late or not again(heard):
                return heard
            await asyncio.sleep(pause_s)
        raise AssertionError("unreachable: the last attempt returns")

    async def _once(self, http: httpx.AsyncBaseTransport, asked: httpx.Request, read_s: float) -> Heard:
        try:
            # Waiting for a connection, connecting and TLS have a limit each; this one is for answers that drip.
            async with asyncio.timeout(3 * self._connect_s + read_s):
                response = await http.handle_async_request(asked)
        except _TooLate:
            return Silence(TOO_LATE, "it came to sending too late: others may have taken it over", was_asked=False)
        except _NEVER_ASKED as error:
            return Silence(UNREACHABLE, f"WAHA can't be reached: {type(error).__name__}", was_asked=False)
        except _NO_ADDRESS as error:
            return Silence(NO_ADDRESS, f"the address of WAHA is none: {type(error).__name__}", was_asked=False)
        except (TimeoutError, httpx.TimeoutException):
            return Silence("read-timeout", "WAHA gave no answer in time", was_asked=True)
        except httpx.HTTPError as error:
            detail = f"the connection to WAHA was lost before its answer: {type(error).__name__}"
            return Silence("connection-lost", detail, was_asked=True)
        body = await _body(response, _BODY_BYTES + _ECHO * len(asked.content))
        if response.status_code not in _NOT_WAHA:
            self._heard("waha")
        await self._probe("after_upstream")
        return Answer(response.status_code, body, _retry_after_s(response))

    def _request(self, request: Request, read_s: float, own: _Own) -> httpx.Request | None:
        headers = {**self._own_headers, **request.headers, **own.headers}
        content = None
        if request.body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(request.body).encode("ascii")  # escaped: half a surrogate pair must not raise
        limits = {"connect": self._connect_s, "read": read_s, "write": read_s, "pool": self._connect_s}
        try:
            url = _url(self._base_url + request.path, tuple((request.query or {}).items()))
        except _NO_ADDRESS:
            return None
        extensions = {"timeout": limits, **own.extensions}
        return httpx.Request(request.method, url, headers=headers, content=content, extensions=extensions)


@lru_cache(maxsize=4096)
def _url(address: str, query: tuple[tuple[str, str | int], ...]) -> httpx.URL:
    """Taken apart once: a session is asked for before each contact. Raises httpx.InvalidURL."""
    return httpx.URL(address, params=dict(query)) if query else httpx.URL(address)


async def _body(response: httpx.Response, most: int) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > most:
                    break
    except (TimeoutError, httpx.HTTPError):
        pass  # the status is known, and what is missing here is told by what can't be read
    finally:
        await response.aclose()
    return bytes(body[:most])


def _retry_after_s(response: httpx.Response) -> float | None:
    seconds = response.headers.get("Retry-After", "")
    if not (seconds.isascii() and seconds.isdigit()):
        return None  # absent, or a date
    return float(min(int(seconds[:9]), _LONGEST_RETRY_AFTER_S))
