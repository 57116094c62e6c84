"""What operators see over HTTP: `/metrics`, `/livez`, `/readyz`, `/healthz`. Off unless `ops.port` is set.

It listens before anything else runs and until all else has ended: a daemon that drains says so. More pages, such as
`/api/v1`, come in as `more` routes; all but the two probes ask for the viewer's token where there is one.
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import structlog
from aiohttp import web
from prometheus_client.exposition import choose_encoder

from daemon.gauges import LiveGauges, SampledGauges
from daemon.health import Health
from daemon.http.answers import json_answer
from daemon.http.seen import library_log
from daemon.log import LogEvent
from daemon.metrics import Metrics
from domain.errors import ConfigError

_OPEN = frozenset({"/livez", "/readyz"})  # for those who start and stop containers, and tell nothing but yes or no
_CLOSE_S = 0.5
_ANSWER_S = 10.0
_log = structlog.get_logger()
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class OpsPlace:
    """Where it listens, and what a viewer has to know; None: whoever reaches it may look."""

    host: str
    port: int
    viewer_token: str | None = field(default=None, repr=False)


class Ops:
    """Listens between `start` and `close`."""

    def __init__(
        self,
        place: OpsPlace,
        metrics: Metrics,
        health: Health,
        sampled: SampledGauges,
        more: Sequence[web.AbstractRouteDef] = (),
    ) -> None:
        self._place = place
        self._metrics = metrics
        self.health = health
        self._live = LiveGauges(health)
        self._sampled = sampled
        self._more = more
        self._runner: web.AppRunner | None = None
        self._listens = asyncio.Event()
        metrics.add(self._live)
        metrics.add(sampled)

    async def start(self) -> None:
        """Listen. Raises ConfigError where that is not possible."""
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/healthz", self._healthz),
                web.get("/metrics", self._scrape),
                *self._more,
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, logger=library_log(), shutdown_timeout=_CLOSE_S)
        await self._runner.setup()
        host, port = self._place.host, self._place.port
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self.close()
            raise ConfigError(f"ops.port: can't listen on {host}:{port}: {error.strerror}") from None
        _log.info(LogEvent.HTTP_LISTENING, host=host, port=self._runner.addresses[0][1])
        self._listens.set()

    async def listening(self) -> str:
        """Wait until it listens. Returns the address, without a slash at the end."""
        await self._listens.wait()
        host, port = self._runner.addresses[0][:2] if self._runner is not None else ("", 0)
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def close(self) -> None:
        """Listen no more. Takes a second at most."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in _OPEN and not self._may_look(request):
            refusal = json_answer(HTTPStatus.UNAUTHORIZED, {"error": "a token is needed"})
            refusal.headers["WWW-Authenticate"] = "Bearer"
            return refusal
        try:
            async with asyncio.timeout(_ANSWER_S):
                answer = await handler(request)
        except web.HTTPException as error:  # an unknown path, most often
            return json_answer(HTTPStatus(error.status), {"error": HTTPStatus(error.status).phrase})
        except Exception as error:  # noqa: BLE001  who looks must not be able to end what he looks at
            _log.error(LogEvent.HTTP_FAILED, exc_info=error)
            return json_answer(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "robotd failed; its log says why"})
        answer.headers["Cache-Control"] = "no-store"
        return answer

    def _may_look(self, request: web.Request) -> bool:
        token = self._place.viewer_token
        if token is None:
            return True
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(_bytes(given.strip()), _bytes(token))

    async def _livez(self, _request: web.Request) -> web.Response:
        is_alive = self.health.pulse.is_alive
        return _yes_or_no("alive" if is_alive else "stuck", is_yes=is_alive)

    async def _readyz(self, _request: web.Request) -> web.Response:
        unready = await self.health.unready()
        return _yes_or_no(", ".join(unready) or "ready", is_yes=not unready)

    async def _healthz(self, _request: web.Request) -> web.Response:
        return json_answer(HTTPStatus.OK, await self.health.report())

    async def _scrape(self, request: web.Request) -> web.Response:
        await self._sampled.refresh()
        self._live.is_ready = not await self.health.unready()
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._metrics.registry), headers={"Content-Type": content_type})


def _yes_or_no(text: str, *, is_yes: bool) -> web.Response:
    return web.Response(status=HTTPStatus.OK if is_yes else HTTPStatus.SERVICE_UNAVAILABLE, text=f"{text}\n")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
