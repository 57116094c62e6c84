"""Megazord Events over HTTP, as the domain's `Megazord`.

Its answers are not ours: unknown fields are ignored, only what we use is demanded.
"""

import asyncio
from collections.abc import Callable, Sequence

import httpx
import structlog
from pydantic import BaseModel, ConfigDict, TypeAdapter

from daemon.clients.http import Request, Upstream, broken_contract, call, read_answer, unheard
from daemon.log import LogEvent
from daemon.probe import Probe, unobserved
from domain.errors import RuleViolation
from domain.messages import SourceEvent
from domain.status_check import Event
from domain.wire import JsonObject, RowId, iso, milliseconds

NEWEST_PER_NAME = 500  # an unlimited look-back has no paging: what is kept of it must have an end

_log = structlog.get_logger(__name__)


class _Subscription(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    id: RowId


_SUBSCRIPTION = TypeAdapter(_Subscription)
_EVENTS = TypeAdapter(list[SourceEvent])


class HttpMegazord:
    """`queue_suffix` names our own queue behind Megazord's status queue; None means the shared one."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        base_url: str,
        queue_suffix: str | None,
        *,
        timeout_s: float = 5.0,
        probe: Probe = unobserved,
        heard: Callable[[str], None] = unheard,
    ) -> None:
        self._upstream = Upstream("megazord", http, base_url, timeout_s, probe=probe, heard=heard)
        self._queue_suffix = queue_suffix

    async def subscribe(self, robot_id: int, event_names: Sequence[str], until_ms: int, call_ref: str | None) -> int:
        """Create a subscription and return its id. Asked exactly once: Megazord never merges two."""
        body: JsonObject = {"eventNames": list(dict.fromkeys(event_names)), "until": iso(until_ms)}
        if self._queue_suffix is not None:
            body["queue"] = self._queue_suffix
        wanted = f"subscribe robot {robot_id} to {', '.join(body['eventNames'])}"
        request = Request("POST", f"{_robot(robot_id)}/subscriptions", wanted, call_ref, body=body)
        answer = await call(self._upstream, request)
        return read_answer(self._upstream, request, answer, _SUBSCRIPTION).id

    async def unsubscribe(self, robot_id: int, subscription_id: int, call_ref: str | None) -> None:
        """Delete a subscription; one that is unknown or already deleted is a success."""
        path = f"{_robot(robot_id)}/subscriptions/{subscription_id}"
        wanted = f"delete subscription {subscription_id} of robot {robot_id}"
        try:
            await call(self._upstream, Request("DELETE", path, wanted, call_ref))
        except RuleViolation as refusal:
            if refusal.kind != "upstream-not-found":
                raise

    async def history(
        self, robot_id: int, event_names: Sequence[str], since_ms: int | None, call_ref: str | None
    ) -> list[Event]:
        """All events with these names since `since_ms` (None: ever), sorted by (created_at_ms, id), each once.

        Of each name the newest 500 are kept. One failing query fails all.
        """
        try:
            async with asyncio.TaskGroup() as queries:
                tasks = [
                    queries.create_task(self._events(robot_id, name, since_ms, call_ref))
                    for name in dict.fromkeys(event_names)
                ]
        except BaseExceptionGroup as failures:
            raise _first(failures) from None
        found = {event.id: event for task in tasks for event in task.result()}
        return sorted(found.values(), key=_time_order)

    async def _events(self, robot_id: int, name: str, since_ms: int | None, call_ref: str | None) -> list[Event]:
        query: dict[str, str | int] = {"event_name": name}
        if since_ms is not None:
            query["created_since"] = since_ms // 1000  # down: Megazord's own times are cut to the second
        wanted = f"list the {name} events of robot {robot_id}"
        request = Request("GET", f"{_robot(robot_id)}/incomings", wanted, call_ref, query=query)
        answers = read_answer(self._upstream, request, await call(self._upstream, request), _EVENTS)
        if any(answer.robot_id != robot_id for answer in answers):
            raise broken_contract(self._upstream, request, "the answer holds another robot's event")
        events = sorted((_event(answer) for answer in answers if answer.event_name == name), key=_time_order)
        if len(events) > NEWEST_PER_NAME:
            _log.warning(LogEvent.HISTORY_TRUNCATED, robot_id=robot_id, event_name=name, found=len(events))
        return events[-NEWEST_PER_NAME:]


def _robot(robot_id: int) -> str:
    return f"/internal/v1/events/robots/{robot_id}"


def _event(answer: SourceEvent) -> Event:
    return Event(answer.id, answer.event_name, milliseconds(answer.created_at), answer.level)


def _time_order(event: Event) -> tuple[int, int]:
    return event.created_at_ms, event.id


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    failure = failures.exceptions[0]
    return _first(failure) if isinstance(failure, BaseExceptionGroup) else failure
