"""What the HTTP edge answers: JSON with the caller's reference, and for every error the same form."""

import math
from http import HTTPStatus

from aiohttp import web

from domain.wire import JsonObject, write_json

CALL_REF, SERVICE_REF = "Call-Ref", "Svc-Ref"
_MESSAGE_CHARACTERS = 1000


class Refusal(Exception):  # noqa: N818  an answer, not a fault
    """The request ends here, with an error of this status. `after_s`: when it is worth asking again."""

    def __init__(self, status: HTTPStatus, message: str, *, after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.after_s = after_s
        self.allow: str | None = None


def later(message: str, after_s: float = 1.0) -> Refusal:
    """Not now: the same request may succeed after `after_s`."""
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, message, after_s=after_s)


def of_library(error: web.HTTPException) -> Refusal:
    """What the library refuses by itself, such as an unknown path, in our words."""
    status = HTTPStatus(error.status)
    match status:
        case HTTPStatus.NOT_FOUND:
            refusal = Refusal(status, "no such path")
        case HTTPStatus.METHOD_NOT_ALLOWED:
            refusal = Refusal(status, f"no such method here; use {error.headers.get('Allow', 'another')}")
        case _:
            refusal = Refusal(status, error.reason)
    refusal.allow = error.headers.get("Allow")
    return refusal


def json_answer(status: HTTPStatus, content: JsonObject) -> web.Response:
    """An answer with a JSON body."""
    return web.Response(status=status, text=write_json(content), content_type="application/json")


def error_answer(refusal: Refusal, call_ref: str) -> web.Response:
    """An error in the one form that all errors have."""
    status = refusal.status
    content = {
        "statusCode": status.value,
        "error": status.phrase,
        "message": str(refusal)[:_MESSAGE_CHARACTERS],
        "callRef": call_ref,
    }
    answer = json_answer(status, content)
    if refusal.after_s is not None:
        answer.headers["Retry-After"] = str(max(1, math.ceil(refusal.after_s)))
    if refusal.allow is not None:
        answer.headers["Allow"] = refusal.allow
    return answer
