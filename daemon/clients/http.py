"""One way to ask a neighbour over HTTP: bounded in time, repeated only where that is harmless, errors in our words.

Built by the composition root alone, which owns the httpx client.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from daemon.probe import Probe, unobserved
from daemon.traces import TRACEPARENT, current_traceparent
from domain.errors import RuleViolation, Unavailable
from domain.messages import problems_of
from domain.wire import JsonObject

T = TypeVar("T")

_REPEATABLE = ("GET", "DELETE")  # a repeated POST would do it twice
_TRY_LATER = (408, 425, 429)
_MAX_REPLY_CHARACTERS = 200
_MAX_CALL_REF = 128
_LONGEST_RETRY_AFTER_S = 3600
_dice = random.SystemRandom()  # replicas must not draw the same delays


def unheard(_name: str) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """A neighbour. `timeout_s` bounds a whole call, its repetitions included."""

    name: str
    http: httpx.AsyncClient
    base_url: str
    timeout_s: float = 5.0
    attempts: int = 3
    first_pause_s: float = 0.1
    probe: Probe = unobserved
    heard: Callable[[str], None] = unheard  # told the name at every answer, so that a loss can be seen to end


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a neighbour. `wanted` says it in words, for errors."""

    method: str
    path: str
    wanted: str
    call_ref: str | None = None
    query: Mapping[str, str | int] | None = None
    body: JsonObject | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The trace, and Call-Ref as HTTP can carry it: a reference from a message may hold anything."""
        printable = "".join(character for character in self.call_ref or "" if " " <= character <= "~")
        call_ref = printable.strip()[:_MAX_CALL_REF].strip()
        traceparent = current_traceparent()
        return {
            **({"Call-Ref": call_ref} if call_ref else {}),
            **({TRACEPARENT: traceparent} if traceparent is not None else {}),
        }


async def call(upstream: Upstream, request: Request) -> httpx.Response:
    """Ask, and return a 2xx answer.

    Raises Unavailable when there is no answer in time or one that says "later", RuleViolation when the neighbour
    refuses. A POST that ended in Unavailable may have been executed.
    """
    deadline = asyncio.get_running_loop().time() + upstream.timeout_s
    attempts = upstream.attempts if request.method in _REPEATABLE else 1
    for attempt in range(1, attempts + 1):
        try:
            response = await _exchange(upstream, request, deadline)
        except Unavailable as error:
            pause_s = _dice.uniform(0, upstream.first_pause_s * 2 ** (attempt - 1))
            is_too_late = asyncio.get_running_loop().time() + pause_s >= deadline
            if attempt == attempts or error.after_s is not None or is_too_late:
                raise
            await asyncio.sleep(pause_s)
        else:
            upstream.heard(upstream.name)
            return response
    raise AssertionError("unreachable: the last attempt returns or raises")


def read_answer(upstream: Upstream, request: Request, response: httpx.Response, shape: TypeAdapter[T]) -> T:
    """The answer's JSON as `shape`. Raises RuleViolation that names every bad field, Unavailable for what is no JSON.

    A neighbour under maintenance serves pages with status 200: those must not refuse messages for good.
    """
    try:
        return shape.validate_json(response.content)
    except ValidationError as error:
        if error.errors(include_input=False)[0]["type"] == "json_invalid":
            raise Unavailable(upstream.name, f"its answer is no JSON, when asked to {request.wanted}") from None
        raise broken_contract(upstream, request, problems_of(error)) from None


def broken_contract(upstream: Upstream, request: Request, problem: str) -> RuleViolation:
    """The error for an answer that says yes, but not in the agreed form."""
    return RuleViolation(
        f"{upstream.name} broke the contract when asked to {request.wanted}: {problem}", kind="upstream-contract"
    )


async def _exchange(upstream: Upstream, request: Request, deadline: float) -> httpx.Response:
    await upstream.probe("before_upstream")
    try:
        async with asyncio.timeout_at(deadline):
            response = await upstream.http.request(
                request.method,
                upstream.base_url.rstrip("/") + request.path,
                params=request.query,
                json=request.body,
                headers=request.headers,
            )
    except (TimeoutError, httpx.TimeoutException):
        raise Unavailable(upstream.name, f"no answer in {upstream.timeout_s:g} s to {request.wanted}") from None
    except httpx.RequestError as error:
        problem = str(error) or type(error).__name__
        raise Unavailable(upstream.name, f"{problem}, when asked to {request.wanted}") from error
    await upstream.probe("after_upstream")
    return _accept(upstream, request, response)


def _accept(upstream: Upstream, request: Request, response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    reply = " ".join(response.text.split())[:_MAX_REPLY_CHARACTERS]
    told = f"{response.status_code} when asked to {request.wanted}: {reply}"
    if response.is_client_error and response.status_code not in _TRY_LATER:
        kind = "upstream-not-found" if response.status_code == httpx.codes.NOT_FOUND else "upstream-refused"
        raise RuleViolation(f"{upstream.name} answered {told}", kind=kind)
    raise Unavailable(upstream.name, f"answered {told}", after_s=_retry_after_s(response))


def _retry_after_s(response: httpx.Response) -> float | None:
    seconds = response.headers.get("Retry-After", "")
    if not (seconds.isascii() and seconds.isdigit()):
        return None  # absent, or a date: our own backoff does
    return float(min(int(seconds[:9]), _LONGEST_RETRY_AFTER_S))
