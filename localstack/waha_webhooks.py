"""What WAHA tells by webhook: envelopes with their signature, as values that a test may put onto a queue."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from localstack.waha_answers import environment, message_info
from localstack.waha_records import ACK_NAMES, AcceptedMessage, StatusPoint

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TOLD_STATUSES = 3


def signature(key: str, body: bytes) -> str:
    """SHA-512 HMAC over the body as it is sent, in hex."""
    return hmac.new(key.encode(), body, hashlib.sha512).hexdigest()


@dataclass(frozen=True, slots=True)
class Webhook:
    """One call. The signature is over `body` to the byte: parse it and write it anew, and it no longer holds."""

    body: str
    headers: Mapping[str, str]


class WahaWebhooks:
    """Makes the calls of one WAHA. Without `key` they aren't signed."""

    def __init__(self, engine: str = "NOWEB", key: str | None = None, me: str = "99900000000@c.us") -> None:
        self._engine = engine
        self._key = key
        self._me = me

    def session_status(self, session: str, history: Sequence[StatusPoint]) -> Webhook:
        """`session.status` for the last point of a session's history; it carries the last three."""
        last = history[-1]
        points = [{"status": point.status, "timestamp": point.at_ms} for point in history[-_TOLD_STATUSES:]]
        payload = {"name": session, "status": last.status, "statuses": points, "data": None}
        return self.call("session.status", session, payload, last.at_ms)

    def ack(self, message: AcceptedMessage, ack: int, at_ms: int, chat_id: str | None = None) -> Webhook:
        """`message.ack`, -1 (error) to 4 (played). `chat_id`: under another name of the same person, such as a LID."""
        chat = chat_id or message.chat_id
        payload = {
            "id": f"true_{chat}_{message.id}",
            "from": self._me,
            "to": chat,
            "participant": None,
            "fromMe": True,
            "ack": ack,
            "ackName": ACK_NAMES[ack],
        }
        return self.call("message.ack", message.session, payload, at_ms)

    def inbound(self, session: str, chat_id: str, text: str, at_ms: int) -> Webhook:
        """`message`: a person writes to the session."""
        written = AcceptedMessage(session, chat_id, text, _message_id(), at_ms)
        payload = {
            **message_info(written, self._me, ack=2),
            "id": f"false_{chat_id}_{written.id}",
            "from": chat_id,
            "to": self._me,
            "fromMe": False,
            "source": "app",
        }
        return self.call("message", session, payload, at_ms)

    def own(self, session: str, chat_id: str, text: str, at_ms: int) -> Webhook:
        """`message.any`: somebody writes to a chat from the session's own phone."""
        written = AcceptedMessage(session, chat_id, text, _message_id(), at_ms)
        return self.call("message.any", session, {**message_info(written, self._me, ack=1), "source": "app"}, at_ms)

    def call(self, event: str, session: str, payload: Mapping[str, object], at_ms: int) -> Webhook:
        """Any event in WAHA's envelope."""
        envelope = {
            "id": f"evt_{_ulid(at_ms)}",
            "timestamp": at_ms,
            "event": event,
            "session": session,
            "metadata": {},
            "me": {"id": self._me, "pushName": session},
            "payload": dict(payload),
            "environment": environment(self._engine),
            "engine": self._engine,
        }
        body = json.dumps(envelope, separators=(",", ":"))
        headers = {"X-Webhook-Request-Id": _ulid(at_ms), "X-Webhook-Timestamp": str(at_ms)}
        if self._key is not None:
            headers["X-Webhook-Hmac"] = signature(self._key, body.encode())
            headers["X-Webhook-Hmac-Algorithm"] = "sha512"
        return Webhook(body, headers)


def _message_id() -> str:
    return secrets.token_hex(10).upper()


def _ulid(at_ms: int) -> str:
    number = at_ms << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
