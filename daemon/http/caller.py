"""Who asks: the headers that Kong sets after it has checked the caller, and the caller's own reference.

Nothing here proves anything: the headers are true because only Kong can reach the edge.
"""

import re
from collections.abc import Callable
from http import HTTPStatus
from uuid import uuid4

from aiohttp import web

from daemon.http.answers import CALL_REF, Refusal

CONSUMER_ID, CONSUMER, SCOPE, USER_ID = (
    "x-consumer-id",
    "x-consumer-username",
    "x-authenticated-scope",
    "x-authenticated-userid",
)
ROBOTS, ROBOT_SCOPE = "tinybots-robots", "robot"
_MOST_ROBOT_ID = 2**32 - 1
_UUID = re.compile("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_WORD = re.compile("[!-~]{1,64}")
_ID = re.compile("[1-9][0-9]{0,9}")
_REFERENCE = re.compile("[!-~](?:[ -~]{0,126}[!-~])?")


def _is_uuid(value: str) -> bool:
    return _UUID.fullmatch(value) is not None


def _is_word(value: str) -> bool:
    return _WORD.fullmatch(value) is not None


def _is_robot_id(value: str) -> bool:
    return _ID.fullmatch(value) is not None and int(value) <= _MOST_ROBOT_ID


_EXPECTED: tuple[tuple[str, Callable[[str], bool], str], ...] = (
    (CONSUMER_ID, _is_uuid, "expected a UUID"),
    (CONSUMER, _is_word, "expected one word"),
    (SCOPE, _is_word, "expected one word"),
    (USER_ID, _is_robot_id, f"expected a whole number from 1 to {_MOST_ROBOT_ID}"),
)


def problems_of_headers(request: web.Request) -> list[str]:
    """What is wrong with Kong's headers, in a fixed order, never with a value in it.

    Raises Refusal when nothing is, and the caller is not a robot.
    """
    problems = [problem for expected in _EXPECTED if (problem := _problem(request, *expected)) is not None]
    if not problems and (request.headers[CONSUMER], request.headers[SCOPE]) != (ROBOTS, ROBOT_SCOPE):
        raise Refusal(HTTPStatus.FORBIDDEN, "only a robot may ask for status checks")
    return problems


def _problem(request: web.Request, name: str, is_good: Callable[[str], bool], expected: str) -> str | None:
    values = request.headers.getall(name, [])
    if not values:
        return f"{name}: missing"
    if len(values) > 1:  # one of them is not Kong's
        return f"{name}: given more than once"
    return None if is_good(values[0]) else f"{name}: {expected}"


def robot_of(request: web.Request) -> int:
    """The robot that asks; only for headers without problems."""
    return int(request.headers[USER_ID])


def reference_of(request: web.Request) -> str:
    """The caller's reference, or a fresh one where there is none that can be kept and passed on."""
    given = request.headers.get(CALL_REF, "").strip(" \t")
    return given if _REFERENCE.fullmatch(given) else str(uuid4())
