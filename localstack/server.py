"""The HTTP side that the simulators share: one aiohttp server, its record of requests, its faults, its control API.

Under /_robotd/ the simulators are scripted from outside; those requests are neither recorded nor disturbed.
"""

import argparse
import asyncio
import signal
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Protocol, assert_never

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from domain.ports import Clock
from localstack.bell import Bell
from localstack.faults import Fault, FaultKind, FaultPlan, When

CONTROL = "/_robotd"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_FAULT: TypeAdapter[Fault] = TypeAdapter(Fault)
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request as it ended. `status` None: the caller got no answer."""

    method: str
    path: str
    call_ref: str | None
    status: int | None
    at_ms: int


def refusal(status: int, message: str) -> web.Response:
    """An error in the neighbours' form."""
    return web.json_response({"statusCode": status, "message": message}, status=status)


class SimulatorServer:
    """Serves `routes`, each with a name that faults refer to."""

    def __init__(
        self, routes: Sequence[web.RouteDef], clock: Clock, faults: FaultPlan, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.requests: list[SeenRequest] = []
        self.faults = faults
        self.bell = Bell()
        self._clock = clock
        self._listen_on = (host, port)
        self._app = web.Application(middlewares=[self._observe], client_max_size=0)  # who has a limit has his own
        self._app.add_routes([*routes, *self._control_routes()])
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        if self._runner is None or not self._runner.addresses:
            raise RuntimeError("the simulator is not running")
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def start(self) -> None:
        """Listen."""
        self._runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, *self._listen_on).start()

    async def stop(self) -> None:
        """End; requests that hang are reset."""
        self.faults.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _observe(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(CONTROL):
            return await handler(request)
        status: int | None = None
        try:
            response = await self._answer(request, handler)
            if response is None:
                return _reset(request)
            status = response.status
        except web.HTTPException as error:
            status = error.status
            raise
        else:
            return response
        finally:
            self._record(request, status)

    def _record(self, request: web.Request, status: int | None) -> None:
        call_ref = request.headers.get("Call-Ref")
        self.requests.append(SeenRequest(request.method, request.path_qs, call_ref, status, self._clock.now_ms()))
        self.bell.ring()

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse | None:
        fault = self.faults.draw(request.match_info.route.name or "unrouted")
        if fault is None:
            return await handler(request)
        if fault.when is When.BEFORE and fault.kind is not FaultKind.MALFORMED:
            await request.read()  # while the caller is there: what it asked for may be carried out when it is gone
            return await self._suffer(fault, lambda: handler(request))
        response = await handler(request)
        return await self._suffer(fault, lambda: _ready(response))

    async def _suffer(
        self, fault: Fault, proceed: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse | None:
        match fault.kind:
            case FaultKind.STATUS:
                return _scripted(fault)
            case FaultKind.HANG:
                return await proceed() if await self.faults.hold() else None
            case FaultKind.SLOW:
                await self._delay(fault)
                return await proceed()
            case FaultKind.RESET | FaultKind.DROP:
                return None
            case FaultKind.MALFORMED:
                status = (await proceed()).status
                return web.Response(text='{"id": 44120, "robotId": 6', content_type="application/json", status=status)
            case never:
                assert_never(never)

    async def _delay(self, fault: Fault) -> None:
        if fault.by_clock:
            await self._clock.wait_until(self._clock.now_ms() + fault.delay_ms)
        else:
            await asyncio.sleep(fault.delay_ms / 1000)

    def _control_routes(self) -> list[web.RouteDef]:
        return [
            web.post(f"{CONTROL}/faults", self._add_fault),
            web.get(f"{CONTROL}/faults", self._list_struck),
            web.delete(f"{CONTROL}/faults", self._clear_faults),
            web.post(f"{CONTROL}/faults/release", self._release),
            web.get(f"{CONTROL}/requests", self._list_requests),
        ]

    async def _add_fault(self, request: web.Request) -> web.Response:
        try:
            self.faults.add(_FAULT.validate_json(await request.read()))
        except ValidationError as error:
            return refusal(400, str(error))
        return web.Response(status=204)

    async def _list_struck(self, _request: web.Request) -> web.Response:
        return web.json_response([{"struckOn": route, **asdict(fault)} for route, fault in self.faults.struck])

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self.faults.clear(request.query.get("route"))
        return web.Response(status=204)

    async def _release(self, _request: web.Request) -> web.Response:
        self.faults.release()
        return web.Response(status=204)

    async def _list_requests(self, _request: web.Request) -> web.Response:
        return web.json_response([asdict(seen) for seen in self.requests])


async def _ready(response: web.StreamResponse) -> web.StreamResponse:
    return response


def _scripted(fault: Fault) -> web.Response:
    answer = refusal(fault.status, "scripted fault")
    if fault.retry_after_s is not None:
        answer.headers["Retry-After"] = str(fault.retry_after_s)
    return answer


def _reset(request: web.Request) -> web.Response:
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        transport.abort()
    return web.Response(status=500)  # reaches nobody


class Startable(Protocol):
    """A simulator as a process of its own."""

    @property
    def url(self) -> str:
        """Where it listens."""
        ...

    async def __aenter__(self) -> object: ...
    async def __aexit__(self, *error: object) -> None: ...


async def serve_until_signalled(name: str, simulator: Startable) -> None:
    """Run a simulator until SIGTERM or SIGINT; one line on stdout says when it is ready."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with simulator:
        sys.stdout.write(f"{name} simulator on {simulator.url}\n")
        with suppress(BrokenPipeError):
            sys.stdout.flush()
        await ended.wait()


def options(name: str) -> argparse.ArgumentParser:
    """The options that every simulator has."""
    parser = argparse.ArgumentParser(prog=f"python -m localstack.{name}")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--seed", type=int, default=0, help="of faults with a probability")
    return parser
