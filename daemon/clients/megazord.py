"""Megazord Events over HTTP, as the domain's `Megazord`.

Its answers are not ours: unknown fields are ignored, only what we use is demanded.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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

ASK_AGAIN_S = 600.0  # a Megazord that lacked the roll-call event may have got it meanwhile
NEWEST_PER_NAME = 500  # an unlimited look-back has no paging: what is kept of it must have an end

_log = structlog.get_logger(__name__)


class _Subscription(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    id: RowId


_SUBSCRIPTION = TypeAdapter(_Subscription)
_EVENTS = TypeAdapter(list[SourceEvent])


@dataclass(frozen=True, slots=True)
class Own:
    """What of Megazord is ours. `queue_suffix` names our queue behind its status queue; None means the shared one.

    `provider` signs the events that we post. `roll_call_event` is an event name of our own, which every subscription
    of ours includes; None, or a Megazord that doesn't know it, means that subscriptions are made without it.
    """

    queue_suffix: str | None = None
    provider: str = "azi-3-status-jobs"
    roll_call_event: str | None = None


class HttpMegazord:
    """Megazord at one address."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        base_url: str,
        own: Own,
        *,
        timeout_s: float = 5.0,
        probe: Probe = unobserved,
        heard: Callable[[str], None] = unheard,
    ) -> None:
        self._upstream = Upstream("megazord", http, base_url, timeout_s, probe=probe, heard=heard)
        self._own = own
        self._no_roll_call_until_s = 0.0

    async def subscribe(self, robot_id: int, event_names: Sequence[str], until_ms: int, call_ref: str | None) -> int:
        """Create a subscription and return its id. Made at most once: Megazord never merges two.

        A Megazord that doesn't know the roll-call event refuses the whole; then it is asked once more without it.
        """
        names = list(dict.fromkeys(event_names))
        if not self._calls_rolls:
            return await self._subscribe(robot_id, names, until_ms, call_ref)
        try:
            return await self._subscribe(robot_id, [*names, str(self._own.roll_call_event)], until_ms, call_ref)
        except RuleViolation as refusal:
            if refusal.kind != "upstream-not-found":
                raise
        subscription_id = await self._subscribe(robot_id, names, until_ms, call_ref)
        self._roll_call_is_unknown()  # not before the other names were taken: the fault might have been theirs
        return subscription_id

    @property
    def _calls_rolls(self) -> bool:
        is_known = asyncio.get_running_loop().time() >= self._no_roll_call_until_s
        return self._own.roll_call_event is not None and is_known

    def _roll_call_is_unknown(self) -> None:
        _log.warning(LogEvent.ROLL_CALL_UNKNOWN, event_name=self._own.roll_call_event, again_after_s=ASK_AGAIN_S)
        self._no_roll_call_until_s = asyncio.get_running_loop().time() + ASK_AGAIN_S

    async def _subscribe(self, robot_id: int, names: Sequence[str], until_ms: int, call_ref: str | None) -> int:
        body: JsonObject = {"eventNames": list(names), "until": iso(until_ms)}
        if self._own.queue_suffix is not None:
            body["queue"] = self._own.queue_suffix
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

    async def roll_call(self, robot_id: int, call_ref: str | None) -> bool:
        """Post the event that every subscription of ours includes. False where Megazord doesn't know it."""
        if not self._calls_rolls:
            return False
        try:
            await self.post_event(robot_id, str(self._own.roll_call_event), f"roll-call-{robot_id}", call_ref)
        except RuleViolation as refusal:
            if refusal.kind != "upstream-not-found":
                raise
            self._roll_call_is_unknown()
            return False
        return True

    async def post_event(self, robot_id: int, event_name: str, reference_id: str, call_ref: str | None) -> None:
        """Report an event under our provider's name. Asked exactly once: Megazord keeps every post."""
        body: JsonObject = {
            "providerName": self._own.provider,
            "eventName": event_name,
            "referenceId": reference_id,
        }
        wanted = f"report {event_name} of robot {robot_id}"
        request = Request("POST", f"{_robot(robot_id)}/incomings", wanted, call_ref, body=body)
        await call(self._upstream, request)

    async def was_posted(
        self, robot_id: int, event_name: str, reference_id: str, since_ms: int, call_ref: str | None
    ) -> bool:
        """Whether the history since `since_ms` has this event with this reference."""
        answers = await self._answers(robot_id, event_name, since_ms, call_ref)
        return any(answer.reference_id == reference_id for answer in answers)

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
        answers = await self._answers(robot_id, name, since_ms, call_ref)
        events = sorted((_event(answer) for answer in answers), key=_time_order)
        if len(events) > NEWEST_PER_NAME:
            _log.warning(LogEvent.HISTORY_TRUNCATED, robot_id=robot_id, event_name=name, found=len(events))
        return events[-NEWEST_PER_NAME:]

    async def _answers(self, robot_id: int, name: str, since_ms: int | None, call_ref: str | None) -> list[SourceEvent]:
        query: dict[str, str | int] = {"event_name": name}
        if since_ms is not None:
            query["created_since"] = since_ms // 1000  # down: Megazord's own times are cut to the second
        wanted = f"list the {name} events of robot {robot_id}"
        request = Request("GET", f"{_robot(robot_id)}/incomings", wanted, call_ref, query=query)
        answers = read_answer(self._upstream, request, await call(self._upstream, request), _EVENTS)
        if any(answer.robot_id != robot_id for answer in answers):
            raise broken_contract(self._upstream, request, "the answer holds another robot's event")
        return [answer for answer in answers if answer.event_name == name]


def _robot(robot_id: int) -> str:
    return f"/internal/v1/events/robots/{robot_id}"


def _event(answer: SourceEvent) -> Event:
    return Event(answer.id, answer.event_name, milliseconds(answer.created_at), answer.level)


def _time_order(event: Event) -> tuple[int, int]:
    return event.created_at_ms, event.id


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    failure = failures.exceptions[0]
    return _first(failure) if isinstance(failure, BaseExceptionGroup) else failure
