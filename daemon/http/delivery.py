"""A request as a delivery: it takes the path of every command, and how it is settled is what its caller hears."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Self
from uuid import uuid4

from daemon.delivery import HTTP, Rejection
from daemon.http.answers import Refusal, later
from domain.messages import CreateStatusCheck
from domain.wire import iso, write_json

CREATE = "status-check.create"
_CALLERS_MISTAKES = frozenset({"invalid-data", "invalid-envelope", "far-future"})


@dataclass(slots=True, eq=False)
class HttpDelivery:
    """One request. It never comes back: its caller hears `end`, None for done, and asks again if it likes."""

    command: CreateStatusCheck
    id: str
    body: str
    end: "asyncio.Future[Refusal | None]"
    queue: str = field(default=HTTP, init=False)
    reads: str = field(default=HTTP, init=False)
    attributes: Mapping[str, str] = field(default_factory=dict, init=False)
    receive_count: int = field(default=1, init=False)
    age_ms: int = field(default=0, init=False)
    fence: int | None = field(default=None, init=False)

    @classmethod
    def of(cls, command: CreateStatusCheck, call_ref: str, now_ms: int) -> Self:
        """The command in its envelope, under an id of its own: what makes two requests equal is in their data."""
        request_id = str(uuid4())
        envelope = {
            "specversion": "1.0",
            "id": request_id,
            "source": HTTP,
            "type": CREATE,
            "time": iso(now_ms),
            "data": command.model_dump(mode="json", by_alias=True),
            "callref": call_ref,
        }
        return cls(command, request_id, write_json(envelope), asyncio.get_running_loop().create_future())

    async def ack(self) -> None:
        """Done."""
        self._settle(None)

    async def retry(self, after_s: float) -> None:
        """Not now."""
        self._settle(later("can't be done now; ask again later", after_s))

    async def reject(self, rejection: Rejection) -> None:
        """Never."""
        status, message = status_of(rejection), rejection.reason
        if status is HTTPStatus.NOT_FOUND:  # in the form in which a missing check is told
            message = f"robot {self.command.robot_id} has no step {self.command.step_id}"
        self._settle(Refusal(status, message))

    def give_up(self) -> None:
        """It ended without an outcome, most often because the process stops; after an outcome this changes nothing."""
        self._settle(later("broken off; ask again"))

    def _settle(self, end: Refusal | None) -> None:
        if not self.end.done():
            self.end.set_result(end)


def status_of(rejection: Rejection) -> HTTPStatus:
    """Whose fault a rejection is: the caller's, or that of what we had to ask and read for him."""
    if rejection.kind in _CALLERS_MISTAKES:
        return HTTPStatus.BAD_REQUEST
    # Megazord's 404 is an event name that it doesn't know, so the template's fault; this one is a step of nobody's.
    if rejection.kind == "upstream-not-found" and rejection.reason.startswith("micro-managers "):
        return HTTPStatus.NOT_FOUND
    return HTTPStatus.UNPROCESSABLE_ENTITY
