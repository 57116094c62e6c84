"""WAHA's answers, in its own shapes: sessions, messages by engine, and its several forms of an error."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus

from aiohttp import web

from localstack.waha_bodies import UnfitBody
from localstack.waha_records import ACK_NAMES, WORKING, AcceptedMessage, Session
from localstack.waha_script import Trouble, TroubleKind

VERSION = "2026.7.1"
NOT_WORKING = "Session status is not as expected. Try again later or restart the session"


class IdShape(StrEnum):
    """Where the id is in the answer to a send. It has changed between engines and versions."""

    NOWEB = "noweb"  # Baileys' own object: key.id, key.remoteJid, key.fromMe
    WEBJS = "webjs"  # id._serialized
    TEXT = "text"  # id is "true_<chatId>_<ID>"


def environment(engine: str) -> dict[str, object]:
    """What server/version says, and every webhook carries."""
    return {
        "version": VERSION,
        "engine": engine,
        "tier": "CORE",
        "browser": "/usr/bin/chromium" if engine == "WEBJS" else "none",
        "platform": "linux/x64",
        "worker": {"id": None},
    }


def session_info(session: Session, engine: str) -> dict[str, object]:
    """A session as WAHA tells it. `me` is null unless somebody is logged in."""
    is_working = session.status == WORKING
    return {
        "name": session.name,
        "status": session.status,
        "config": {"metadata": dict(session.metadata), "webhooks": []},
        "me": session.account if is_working else None,
        "engine": {"engine": engine},
        "presence": "offline" if is_working else None,
        "timestamps": {"activity": session.history[-1].at_ms if is_working else None},
        "assignedWorker": "",
    }


def message_info(message: AcceptedMessage, me: object, ack: int) -> dict[str, object]:
    """A message as WAHA tells it."""
    return {
        "id": message.full_id,
        "timestamp": message.at_ms // 1000,
        "from": me,
        "fromMe": True,
        "source": "api",
        "to": message.chat_id,
        "participant": None,
        "body": message.text,
        "hasMedia": message.kind != "text",
        "mediaUrl": None,
        "ack": ack,
        "ackName": ACK_NAMES[ack],
        "vCards": [],
        "_data": {},
    }


def sent(message: AcceptedMessage, me: object, shape: IdShape) -> dict[str, object]:
    """The answer to a send."""
    whole = message_info(message, me, ack=0)
    match shape:
        case IdShape.TEXT:
            return whole
        case IdShape.WEBJS:
            key = {"fromMe": True, "remote": message.chat_id, "id": message.id, "_serialized": message.full_id}
            return {**whole, "id": key}
        case IdShape.NOWEB:
            jid = message.chat_id.replace("@c.us", "@s.whatsapp.net")
            return {
                "key": {"remoteJid": jid, "fromMe": True, "id": message.id},
                "message": {"extendedTextMessage": {"text": message.text}},
                "messageTimestamp": str(message.at_ms // 1000),
                "status": "PENDING",
            }


def refusal(status: int, message: str | list[str], error: str | None = None) -> web.Response:
    """An error of the HTTP layer."""
    body: dict[str, object] = {"message": message}
    if error is not None:
        body["error"] = error
    return web.json_response({**body, "statusCode": status}, status=status)


def unauthorized() -> web.Response:
    """No key or a wrong one."""
    return refusal(401, "Unauthorized")


def no_session(name: str) -> web.Response:
    """A send or a lookup through a session that isn't there."""
    start = f"Please start it first by using POST /api/sessions/{name}/start request"
    return refusal(404, f"We didn't find a session with name '{name}'.\n{start}", "Not Found")


def not_working(session: str, status: str | None) -> web.Response:
    """The session doesn't work, also after the wait."""
    body = {"error": NOT_WORKING, "session": session, "status": status, "expected": [WORKING]}
    return web.json_response(body, status=422)


def not_implemented(engine: str, status: int) -> web.Response:
    """The engine has no such method; older versions don't even have the path."""
    if status == HTTPStatus.NOT_FOUND:
        return refusal(status, "Cannot GET this path", "Not Found")
    return refusal(status, f"The method is not implemented by '{engine}' engine.", "Not Implemented")


def engine_error(request: web.Request, raw: bytes, exception: Mapping[str, object], engine: str) -> web.Response:
    """HTTP 500 of WAHA's exception filter. It repeats the request's body: text, number and file."""
    try:
        echo: object = json.loads(raw) if raw else None
    except ValueError:
        echo = None
    body = {
        "statusCode": 500,
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "exception": dict(exception),
        "request": {"path": request.path_qs, "method": request.method, "body": echo, "query": dict(request.query)},
        "version": environment(engine),
    }
    return web.json_response(body, status=500)


def unfit_body(request: web.Request, raw: bytes, unfit: UnfitBody, status: int, engine: str) -> web.Response:
    """A body that WAHA can't use: 400, or 500 where it has no validation and stumbles over what is missing."""
    if status == HTTPStatus.BAD_REQUEST or not unfit.is_json:
        return refusal(400, unfit.problems, "Bad Request")
    exception = {"name": "TypeError", "message": f"Cannot read properties of undefined ({unfit})", "stack": ""}
    return engine_error(request, raw, exception, engine)


def troubled(request: web.Request, raw: bytes, trouble: Trouble, engine: str) -> web.Response:
    """The answer that the script wants."""
    kind = trouble.kind
    if kind in _EXCEPTIONS:
        exception = {**_EXCEPTIONS[kind], **({} if trouble.text is None else {"message": trouble.text})}
        return engine_error(request, raw, exception, engine)
    if kind in _REFUSALS:
        status, message, error = _REFUSALS[kind]
        answer = refusal(status, trouble.text or message, error)
        if trouble.retry_after_s is not None:
            answer.headers["Retry-After"] = str(trouble.retry_after_s)
        return answer
    if kind is TroubleKind.FILE_NOT_FOUND:
        return web.json_response({"error": {"code": 404, "key": "FILE_NOT_FOUND"}}, status=404)
    if kind is TroubleKind.EMPTY:
        return web.Response(status=201)
    if kind is TroubleKind.ODD_JSON:
        return web.Response(status=201, text=trouble.text or '{"id": {"unheard": []}}', content_type="application/json")
    return web.Response(status=502, text="<html><h1>502 Bad Gateway</h1></html>", content_type="text/html")


_SERVER_463 = "server returned error 463"
_EXCEPTIONS: dict[TroubleKind, dict[str, object]] = {
    TroubleKind.REACHOUT_LOCK: {"message": f"2 UNKNOWN: {_SERVER_463}", "code": 2, "details": _SERVER_463},
    TroubleKind.RATE_OVERLIMIT: {"name": "Error", "message": "rate-overlimit", "data": 429},
    TroubleKind.ENGINE_ERROR: {"name": "Error", "message": "Timed Out", "stack": "Error: Timed Out"},
}
_REFUSALS: dict[TroubleKind, tuple[int, str, str | None]] = {
    TroubleKind.TOO_MANY_REQUESTS: (429, "Too Many Requests", None),
    TroubleKind.BAD_REQUEST: (400, "chatId is not a chat", "Bad Request"),
    TroubleKind.UNAUTHORIZED: (401, "Unauthorized", None),
    TroubleKind.FORBIDDEN: (403, "Forbidden resource", "Forbidden"),
    TroubleKind.TOO_LARGE: (413, "request entity too large", None),
    TroubleKind.UNPROCESSABLE: (422, "Sending files is available only in Plus version", "Unprocessable Entity"),
}
