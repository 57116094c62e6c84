"""One webhook call, in the forms in which a relay puts it onto a queue, and whether its signature holds.

The signature is over the body to the byte: so the text is kept as it came, and read only after it was checked. Nothing
here raises: what is no call at all has no signature either.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass

from domain.wire import JsonObject

_SIGNATURE, _ALGORITHM = "x-webhook-hmac", "x-webhook-hmac-algorithm"
_SHA512 = "sha512"
_BURIED = "originalAttributes"  # where a dead letter keeps the attributes for which it had no room


@dataclass(frozen=True, slots=True)
class WebhookCall:
    """The body to the byte, and the headers by their names in lower case."""

    body: bytes
    headers: Mapping[str, str]

    def is_signed_with(self, key: str) -> bool:
        """Whether the SHA-512 HMAC over the body is there and right, compared in constant time."""
        if self.headers.get(_ALGORITHM, _SHA512).strip().lower() != _SHA512:
            return False
        given = self.headers.get(_SIGNATURE, "").strip().lower().encode("utf-8", "replace")
        right = hmac.new(key.encode("utf-8", "surrogateescape"), self.body, hashlib.sha512).hexdigest()
        return hmac.compare_digest(given, right.encode("ascii"))


def read_call(body: str, attributes: Mapping[str, str]) -> WebhookCall:
    """The call in a message: its body with the headers as attributes, both in one JSON, or SNS around either."""
    read = json_object(body)
    if read.get("Type") == "Notification" and isinstance(read.get("Message"), str):
        body, attributes = read["Message"], _sns_attributes(read.get("MessageAttributes"))
        read = json_object(body)
    headers, text = read.get("headers"), read.get("body")
    if isinstance(headers, dict) and isinstance(text, str):
        return WebhookCall(_decoded(text, is_base64=read.get("isBase64Encoded") is True), _lower(headers))
    return WebhookCall(_bytes(body), _lower({**json_object(attributes.get(_BURIED, "")), **attributes}))


def json_object(text: str | bytes) -> JsonObject:
    """The text as a JSON object; an empty one for whatever else it is.

    More lenient than our own wire: a foreign text may hold half a sign, and must be read all the same.
    """
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _sns_attributes(attributes: object) -> Mapping[str, str]:
    given = attributes if isinstance(attributes, dict) else {}
    values = {name: said.get("Value") for name, said in given.items() if isinstance(said, dict)}
    return {name: value for name, value in values.items() if isinstance(value, str)}


def _lower(headers: Mapping[str, object]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items() if isinstance(value, str)}


def _decoded(text: str, *, is_base64: bool) -> bytes:
    try:
        return base64.b64decode(text, validate=True) if is_base64 else _bytes(text)
    except ValueError:
        return _bytes(text)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
