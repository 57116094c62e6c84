"""httpx by cheaper wires than its own: its requests, answers and errors, at a quarter and half of the CPU (ADR 15).

Questions go by aiohttp, over connections that are kept. What must not be asked twice goes by a connection of its own:
one that the peer closes in the moment in which it is used again would leave nobody knowing whether it was asked.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Self  # what httpcore passes on as it is

import aiohttp
import httpcore
import httpx
from yarl import URL

_OURS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")  # what aiohttp would add by itself
_RECKONED = ("host", "content-length")  # by aiohttp, from the request
# In this order: each is looked for before those that it is a kind of.
_AS_HTTPX: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ClientConnectorCertificateError, httpx.ConnectError),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (aiohttp.ClientError, httpx.ReadError),
    (OSError, httpx.ReadError),
)


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Up to `most` connections at once; those at rest are kept for `keep_s`. Built inside the running loop.

    No proxies, cookies, redirects, logins or repetitions: whoever asks decides about those. An answer whose body is
    broken has no status here.
    """

    def __init__(self, most: int, keep_s: float) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=most, ssl=_trusted(), keepalive_timeout=keep_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_OURS,
            auto_decompress=False,  # httpx does it, by the same headers
            middlewares=(_once,),
        )

    async def __aenter__(self) -> Self:
        """Nothing to begin."""
        return self

    async def aclose(self) -> None:
        """Let go of every connection."""
        await self._session.close()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One exchange. Raises the errors of httpx's own transport: ConnectError and ConnectTimeout wrote nothing."""
        _must_have_an_address(request)
        with _aiohttp_told_as_httpx(request):
            answer = await self._session.request(
                request.method,
                _address(str(request.url)),
                headers=[(name, value) for name, value in request.headers.multi_items() if name not in _RECKONED],
                data=await request.aread() or None,
                allow_redirects=False,
                timeout=_limits(request.extensions.get("timeout", {})),
            )
        return httpx.Response(
            answer.status, headers=answer.raw_headers, stream=_Answer(answer, request), request=request
        )


class _Answer(httpx.AsyncByteStream):
    def __init__(self, answer: aiohttp.ClientResponse, request: httpx.Request) -> None:
        self._answer = answer
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _aiohttp_told_as_httpx(self._request):
            async for chunk in self._answer.content.iter_any():
                yield chunk

    async def aclose(self) -> None:
        """Whatever is left unread closes the connection; else it was given back at the end of the body."""
        self._answer.close()


class _LostError(Exception):
    """A connection that broke: aiohttp knows no such error, so it does not ask a second time by itself."""


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _LostError from error


@contextmanager
def _aiohttp_told_as_httpx(request: httpx.Request) -> Iterator[None]:
    try:
        yield
    except _LostError as lost:
        error = lost.__cause__ or lost
    except (aiohttp.ClientError, OSError) as broken:
        error = broken
    else:
        return
    kind = next(theirs for ours, theirs in _AS_HTTPX if isinstance(error, ours))
    raise kind(str(error) or type(error).__name__, request=request) from error


def _limits(seconds: Mapping[str, float | None]) -> aiohttp.ClientTimeout:
    connect_s, pool_s = seconds.get("connect"), seconds.get("pool")
    both_s = None if connect_s is None or pool_s is None else connect_s + pool_s
    return aiohttp.ClientTimeout(total=None, connect=both_s, sock_connect=connect_s, sock_read=seconds.get("read"))


@lru_cache(maxsize=4096)
def _address(url: str) -> URL:
    """As it stands: httpx has quoted it already."""
    return URL(url, encoded=True)


class OneShotTransport(httpx.AsyncBaseTransport):
    """A connection for each request, closed with its answer. The extensions `timeout` and `trace` are httpcore's.

    Raises the errors of httpx's own transport: ConnectError and ConnectTimeout wrote nothing. As many connections at
    once as there are requests.
    """

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One exchange."""
        _must_have_an_address(request)
        url = request.url
        asked = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        context = _trusted() if url.scheme == "https" else None
        connection = httpcore.AsyncHTTPConnection(asked.url.origin, context, network_backend=_Streams())
        with _httpcore_told_as_httpx(request):
            try:
                answer = await connection.handle_async_request(asked)
            except BaseException:
                await connection.aclose()
                raise
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_OneShotAnswer(answer, connection, request), request=request
        )


class _OneShotAnswer(httpx.AsyncByteStream):
    def __init__(
        self, answer: httpcore.Response, connection: httpcore.AsyncHTTPConnection, request: httpx.Request
    ) -> None:
        self._answer = answer
        self._connection = connection
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpcore_told_as_httpx(self._request):
            async for chunk in self._answer.aiter_stream():
                yield chunk

    async def aclose(self) -> None:
        """Whether or not it was read to its end."""
        await self._answer.aclose()
        await self._connection.aclose()


class _Streams(httpcore.AsyncNetworkBackend):
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's own signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        del local_address, socket_options  # never set by us
        with _told_as_httpcore(httpcore.ConnectTimeout, httpcore.ConnectError):
            async with asyncio.timeout(timeout):
                return _Stream(*await asyncio.open_connection(host, port))


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  as above
        with _told_as_httpcore(httpcore.ReadTimeout, httpcore.ReadError):
            async with asyncio.timeout(timeout):
                return await self._reader.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  as above
        with _told_as_httpcore(httpcore.WriteTimeout, httpcore.WriteError):
            self._writer.write(buffer)
            async with asyncio.timeout(timeout):
                await self._writer.drain()

    async def aclose(self) -> None:
        self._writer.close()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  as above
    ) -> httpcore.AsyncNetworkStream:
        with _told_as_httpcore(httpcore.ConnectTimeout, httpcore.ConnectError):
            async with asyncio.timeout(timeout):
                await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        return self

    def get_extra_info(self, info: str) -> Any:
        return self._writer.get_extra_info("ssl_object") if info == "ssl_object" else None


@contextmanager
def _told_as_httpcore(late: type[Exception], broken: type[Exception]) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise late(str(error)) from error
    except OSError as error:  # TLS's errors are some
        raise broken(str(error)) from error


@contextmanager
def _httpcore_told_as_httpx(request: httpx.Request) -> Iterator[None]:
    """The two libraries name their errors alike."""
    try:
        yield
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
        kind: type[httpx.TransportError] = getattr(httpx, type(error).__name__)
        raise kind(str(error), request=request) from error


@lru_cache(maxsize=1)
def _trusted() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


def _must_have_an_address(request: httpx.Request) -> None:
    if request.url.scheme not in ("http", "https") or not request.url.host:
        raise httpx.UnsupportedProtocol("an address begins with http:// or https:// and a host", request=request)
