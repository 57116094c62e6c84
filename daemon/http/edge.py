"""The HTTP edge of status checks, for robots behind Kong: create one, read one. Off unless a port is set.

A create request takes the path of every command, as a delivery of its own kind, and goes on to its end even when its
caller has left. Nothing of it comes back: the caller hears how it ended, and asks again.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

import structlog
from aiohttp import web

from daemon.delivery import HTTP
from daemon.dispatcher import Dispatcher
from daemon.gate import DATABASE, Gate
from daemon.http.answers import CALL_REF, SERVICE_REF, Refusal, error_answer, json_answer, later, of_library
from daemon.http.body import MAX_BODY_BYTES, bytes_of, read_body, require_json
from daemon.http.caller import problems_of_headers, reference_of, robot_of
from daemon.http.delivery import HttpDelivery
from daemon.http.seen import Seen, library_log, note, see, seen_now
from daemon.in_flight import InFlight
from daemon.log import LogEvent
from daemon.metrics import Metrics
from domain.errors import ConfigError, MessageError, Unavailable
from domain.messages import CreateStatusCheck
from domain.ports import Clock
from domain.status_check import StatusCheck, payload_of
from domain.wire import milliseconds, whole_second

CREATE, READ, HEALTH = "/v1/status-check/check", "/v1/status-check/check/{statusCheckId}", "/healthcheck"
_CHECK_ID = re.compile("[1-9][0-9]{0,18}")
_MOST_ID = 2**63 - 1
_LATER_S = 5.0
_CLOSE_S = 0.5  # twice at most: everything in hand has been answered before
_KEEP_ALIVE_S = 75.0  # longer than Kong's 60, so that it is Kong who closes an idle connection
_LINGER_S = 2.0
_log = structlog.get_logger()
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ReadsChecks(Protocol):
    """The status checks in the database. Every method raises Unavailable."""

    async def get(self, check_id: int) -> StatusCheck | None:
        """By id."""
        ...

    async def by_request(
        self, robot_id: int, step_id: int, scheduled_id: int, planned_at_ms: int
    ) -> StatusCheck | None:
        """By what makes two requests equal."""
        ...


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """Where the edge listens, and how much it takes at one time."""

    host: str
    port: int
    max_requests: int = 100
    request_timeout_s: float = 30.0


class Edge:
    """Listens between `start` and `close`; answers 503 to everything new after `stop`."""

    def __init__(
        self,
        limits: EdgeLimits,
        dispatcher: Dispatcher[Any],
        checks: ReadsChecks,
        *,
        clock: Clock,
        gate: Gate,
        metrics: Metrics | None = None,
    ) -> None:
        self._metrics = metrics or Metrics()
        self._limits = limits
        self._checks = checks
        self._clock = clock
        self._gate = gate
        self._in_flight: InFlight[HttpDelivery] = InFlight(dispatcher, gate, HttpDelivery.give_up)
        self._requests = 0
        self._is_stopping = False
        self._runner: web.AppRunner | None = None
        self._listens = asyncio.Event()

    async def start(self) -> None:
        """Listen. Raises ConfigError where that is not possible."""
        app = web.Application(middlewares=[self._observe], client_max_size=MAX_BODY_BYTES)
        app.add_routes(
            [
                web.post(CREATE, self._create, expect_handler=_continue),
                web.get(READ, self._read, expect_handler=_continue),
                web.get(HEALTH, self._health, expect_handler=_continue),
            ]
        )
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=library_log(),
            shutdown_timeout=_CLOSE_S,
            keepalive_timeout=_KEEP_ALIVE_S,
            lingering_time=_LINGER_S,
            auto_decompress=False,
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._limits.host, self._limits.port).start()
        except OSError as error:
            await self.close()
            raise ConfigError(
                f"edge.port: can't listen on {self._limits.host}:{self._limits.port}: {error.strerror}"
            ) from None
        _log.info(LogEvent.HTTP_LISTENING, host=self._limits.host, port=self._runner.addresses[0][1])
        self._listens.set()

    async def listening(self) -> str:
        """Wait until it listens. Returns the address, without a slash at the end."""
        await self._listens.wait()
        host, port = self._runner.addresses[0][:2] if self._runner is not None else ("", 0)
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def stop(self) -> None:
        """Start nothing more: whatever comes now is answered with 503."""
        self._is_stopping = True

    @property
    def in_flight(self) -> int:
        """Requests that are being handled, those included whose callers have left."""
        return len(self._in_flight)

    @property
    def limit(self) -> int:
        """How many requests may be handled at once."""
        return self._limits.max_requests

    @property
    def is_paused(self) -> bool:
        """Whether every request is turned away, because the database is lost or the process stops."""
        return self._is_stopping or self._gate.is_closed

    async def at_rest(self) -> None:
        """Return when nothing is being handled."""
        await self._in_flight.at_rest()

    async def drain(self, bound_s: float) -> int:
        """Wait for what runs; after `bound_s` cancel it, and tell its callers to ask again. Returns how many."""
        return len(await self._in_flight.drain(bound_s))

    async def close(self) -> None:
        """Let the last answers out, and listen no more. Takes a second at most."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    @web.middleware
    async def _observe(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        seen = see(reference_of(request))
        try:
            answer = await self._bounded(request, handler)
        except Refusal as refusal:
            answer = _refused(refusal, seen)
        except web.HTTPException as error:
            answer = _refused(of_library(error), seen)
        except Unavailable as error:
            self._gate.lost(error.dependency, str(error))
            answer = _refused(later(f"{error.dependency} does not answer now", error.after_s or _LATER_S), seen)
        except Exception as error:  # noqa: BLE001  the edge goes on, whatever one request does to it
            _log.error(LogEvent.HTTP_FAILED, exc_info=error, call_ref=seen.call_ref, service_ref=seen.service_ref)
            answer = _refused(Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "robotd failed; its log says why"), seen)
        answer.headers[CALL_REF], answer.headers[SERVICE_REF] = seen.call_ref, seen.service_ref
        if self._is_stopping:
            answer.force_close()
        note(request, answer.status, is_routine=request.path == HEALTH)
        return answer

    async def _bounded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Within the limits of number and time."""
        if request.path == HEALTH:
            return await handler(request)
        self._refuse_what_is_too_much(self._requests)
        self._requests += 1
        try:
            async with asyncio.timeout(self._limits.request_timeout_s):
                return await handler(request)
        except TimeoutError:
            if seen_now().is_read:
                raise later("takes longer than expected; ask again to hear the end", _LATER_S) from None
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "the body did not come in time") from None
        finally:
            self._requests -= 1

    def _refuse_what_is_too_much(self, in_hand: int) -> None:
        if self._is_stopping:
            raise later("robotd is stopping; ask again")
        if in_hand >= self._limits.max_requests:
            raise later("too many requests at one time; ask again")
        if DATABASE in self._gate.missing:
            raise later("database does not answer now", _LATER_S)

    async def _health(self, _request: web.Request) -> web.Response:
        if self._is_stopping:
            raise later("robotd is stopping")
        return json_answer(HTTPStatus.OK, {"status": "ok"})

    async def _read(self, request: web.Request) -> web.Response:
        problems = problems_of_headers(request)
        check_id = _check_id(request.match_info["statusCheckId"])
        if check_id is None:
            problems.append(f"statusCheckId: expected a whole number from 1 to {_MOST_ID}")
        if problems or check_id is None:
            raise Refusal(HTTPStatus.BAD_REQUEST, "; ".join(problems))
        seen_now().robot_id = robot_id = robot_of(request)
        check = await self._checks.get(check_id)
        if check is None or check.robot_id != robot_id:  # who asks must not learn that it is another's
            raise Refusal(HTTPStatus.NOT_FOUND, f"robot {robot_id} has no status check {check_id}")
        return json_answer(HTTPStatus.OK, payload_of(check))

    async def _create(self, request: web.Request) -> web.Response:
        command = await _command(request)
        self._refuse_what_is_too_much(len(self._in_flight))  # again: the body may have taken its time
        delivery = HttpDelivery.of(command, seen_now().call_ref, self._clock.now_ms())
        self._metrics.received(HTTP, 1, None)
        self._in_flight.start(delivery)
        refusal = await asyncio.shield(delivery.end)  # a caller who leaves, or waits too long, must not undo it
        if refusal is not None:
            raise refusal
        return json_answer(HTTPStatus.CREATED, payload_of(await self._made_by(command)))

    async def _made_by(self, command: CreateStatusCheck) -> StatusCheck:
        planned_at_ms = whole_second(milliseconds(command.planned_at))
        check = await self._checks.by_request(command.robot_id, command.step_id, command.scheduled_id, planned_at_ms)
        if check is None:
            raise later("created, and can't be read yet; ask again")
        return check


async def _command(request: web.Request) -> CreateStatusCheck:
    """What is asked for. Raises Refusal that names every problem of headers and body."""
    problems = problems_of_headers(request)
    require_json(request)
    seen = seen_now()
    seen.is_read = False
    body = await bytes_of(request)
    seen.is_read = True
    try:
        wanted = read_body(body)
    except MessageError as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, "; ".join([*problems, str(error)])) from None
    if problems:
        raise Refusal(HTTPStatus.BAD_REQUEST, "; ".join(problems))
    seen.robot_id = robot_of(request)
    return wanted.command(seen.robot_id)


def _check_id(text: str) -> int | None:
    is_good = _CHECK_ID.fullmatch(text) is not None and int(text) <= _MOST_ID
    return int(text) if is_good else None


def _refused(refusal: Refusal, seen: Seen) -> web.StreamResponse:
    seen.reason = str(refusal)
    answer = error_answer(refusal, seen.call_ref)
    if refusal.status is HTTPStatus.REQUEST_TIMEOUT:
        answer.force_close()
    return answer


async def _continue(request: web.Request) -> None:
    """Ask for the body of a caller who waits to be asked; other expectations may be ignored."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the library takes this for the sign that the answer has begun
