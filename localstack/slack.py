"""A simulator of Slack's incoming webhooks: one secret path, Slack's documented answers, and a record of posts."""

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from aiohttp import web

from daemon.clock import SystemClock
from domain.ports import Clock
from localstack.faults import FaultPlan
from localstack.server import SeenRequest, SimulatorServer, options, serve_until_signalled

POST = "post"
_LONGEST = 40_000


@dataclass(frozen=True, slots=True)
class Posted:
    """One message in the channel."""

    text: str
    at_ms: int


class SlackSimulator:
    """Slack on a local port with one webhook; `token` is the secret part of its address."""

    def __init__(
        self, clock: Clock, host: str = "127.0.0.1", port: int = 0, *, token: str, faults: FaultPlan | None = None
    ) -> None:
        self.faults = faults or FaultPlan()
        self.posted: list[Posted] = []
        self.answer = "ok"
        self._clock = clock
        self._token = token
        routes = [web.post("/services/{team}/{hook}/{token}", self._post, name=POST)]
        self._server = SimulatorServer(routes, clock, self.faults, host, port)

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._server.stop()

    @property
    def url(self) -> str:
        """The webhook."""
        return f"{self._server.url}/services/T0/B0/{self._token}"

    @property
    def requests(self) -> Sequence[SeenRequest]:
        """Every HTTP request in the order in which they ended."""
        return self._server.requests

    @property
    def texts(self) -> list[str]:
        """What people read, oldest first."""
        return [message.text for message in self.posted]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as `condition` holds; it is looked at again after every request."""
        await self._server.bell.until(condition)

    async def _post(self, request: web.Request) -> web.Response:
        if request.match_info["token"] != self._token:
            return web.Response(text="no_service", status=404)
        try:
            body = json.loads(await request.read())
        except ValueError:
            return web.Response(text="invalid_payload", status=400)
        text = body.get("text") if isinstance(body, dict) else None
        if not isinstance(text, str) or not text:
            return web.Response(text="no_text", status=400)
        self.posted.append(Posted(text[:_LONGEST], self._clock.now_ms()))
        return web.Response(text=self.answer)


async def _main(arguments: Sequence[str]) -> None:
    parser = options("slack")
    parser.add_argument("--token", required=True, help="the last part of the webhook's path")
    asked = parser.parse_args(arguments)
    faults = FaultPlan(asked.seed)
    await serve_until_signalled(
        "slack", SlackSimulator(SystemClock(), asked.host, asked.port, token=asked.token, faults=faults)
    )


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
