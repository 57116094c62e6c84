"""What may not be read in a log: phone numbers, secrets, the bodies of messages.

A value is masked by its key, by its type, or, in the few keys that hold free text, by what it looks like. Ids and times
elsewhere stay as they are: a log that hides the message id answers no question.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from pathlib import PurePath
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, SecretBytes, SecretStr
from structlog.typing import EventDict, WrappedLogger

HIDDEN = "***"
_DEEPEST = 8
_LONGEST = 4096
_SMALLEST_PHONE = 1_000_000
_SHORTEST_SECRET = 6  # shorter ones would tear words apart

_PHONE_WORDS = ("phone", "chatid", "msisdn", "jid")
_SECRET_WORDS = (
    "apikey",
    "authorization",
    "cookie",
    "credential",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "receipthandle",
    "secret",
    "token",
)
_SECRET_KEYS = frozenset({"to", "body", "payload", "text", "recipient", "accesskeyid"})
_PLAIN_KEYS = frozenset({"fencingtoken"})  # a counter
_TEXT_KEYS = frozenset(
    {"reason", "error", "message", "note", "detail", "hint", "problem", "problems", "exception", "stack"}
)

# With a plus, or as a chat id, a number can be nothing else: hidden under every key.
_SURE = re.compile(r"\+\d(?:[ ().\-/]{0,2}\d){6,14}|\d{6,20}(?=@(?:c\.us|s\.whatsapp\.net|lid|g\.us))")
# In free text whatever looks like one, except times, addresses and UUIDs, which are matched first to be kept.
# Repeats are bounded: the text is not ours, and a log call must not take seconds.
_LIKELY = re.compile(
    r"(?P<kept>\b(?:19|20)\d\d-[01]\d-[0-3]\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?(?!\d)"
    r"|\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"
    r"|(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!\d{4})|(?![\d.]))){4}(?::\d{1,5}(?!\d))?)"
    r"|(?P<login>(?<=://)[^\s/@:]{0,256}:[^\s@]{0,256}(?=@))"
    r"|(?P<named>(?i:(?:password|passwd|secret|token|api[_-]?key|authorization)[\w-]{0,20}[\"']?\s{0,3}[:=]\s{0,3})"
    r"(?:(?i:bearer|basic)\s+)?[\"']?[^\s\"',;]+)"
    r"|(?P<phone>\+?\(?\d(?:[ ().\-/]{0,2}\d){6,18})"
)

_AS_IS = frozenset({int, bool, type(None)})
_KEPT = frozenset({"event", "level", "exc_info", "stack_info"})  # ours, or rendered and then masked as text

_Way = Literal["plain", "text", "phone", "hidden", "kept"]


@lru_cache(maxsize=1024)
def _way_of(key: str) -> _Way:
    plain = key.lower().replace("_", "").replace("-", "").replace(".", "")
    if key in _KEPT or plain in _PLAIN_KEYS:
        return "kept" if key in _KEPT else "plain"
    if plain in _SECRET_KEYS or any(word in plain for word in _SECRET_WORDS):
        return "hidden"
    if any(word in plain for word in _PHONE_WORDS):
        return "phone"
    return "text" if plain in _TEXT_KEYS else "plain"


def masked_phone(number: str) -> str:
    """`+49…78`: enough to recognise one number among a few, too little to call it."""
    digits = [sign for sign in number if sign.isdigit()]
    if len(digits) < 7:  # noqa: PLR2004  no phone number is that short, and the two last digits would say much of it
        return HIDDEN
    return f"{'+' + ''.join(digits[:2]) if number.startswith('+') else ''}…{''.join(digits[-2:])}"


class Mask:
    """A structlog processor. Leaves plain JSON types, so that no renderer meets a surprise."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = tuple(sorted((it for it in secrets if len(it) >= _SHORTEST_SECRET), key=len, reverse=True))

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Mask everything but the event's own name and what renders an exception later."""
        for key, value in event.items():
            way = _way_of(key)
            if way != "kept" and not (way == "plain" and _is_harmless(value)):
                event[key] = self._value(way, value, 0)
        return event

    def text(self, text: str) -> str:
        """Free text without what looks like a phone number or a secret."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        return _LIKELY.sub(_hide, text)

    def _value(self, way: _Way, value: object, depth: int) -> object:
        if value is None or isinstance(value, bool):
            return value
        if way == "hidden" or isinstance(value, SecretStr | SecretBytes):
            return HIDDEN
        if isinstance(value, str):
            return self._string(way, value)
        if isinstance(value, int | float):
            return self._number(way, value)
        return self._compound(way, value, depth)

    def _number(self, way: _Way, value: float) -> object:
        if way == "phone":
            return HIDDEN
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)  # JSON has no word for it
        return self.text(str(value)) if way == "text" and abs(value) >= _SMALLEST_PHONE else value

    def _string(self, way: _Way, value: str) -> str:
        if way == "phone":
            return masked_phone(value)
        short = value if len(value) <= _LONGEST else f"{value[:_LONGEST]}…"
        if way == "text":
            return self.text(short)
        return _SURE.sub(_hide_sure, short) if "+" in short or "@" in short else str(short)

    def _compound(self, way: _Way, value: object, depth: int) -> object:
        if depth >= _DEEPEST:
            return "…"
        if isinstance(value, BaseModel):
            value = dict(value)
        elif is_dataclass(value) and not isinstance(value, type):
            value = {field.name: getattr(value, field.name) for field in fields(value)}
        if isinstance(value, Mapping):
            return {self._key(key): self._value(self._inner(way, key), item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._value(way, item, depth + 1) for item in value]
        if isinstance(value, date | Decimal | UUID | PurePath):
            return value.isoformat() if isinstance(value, date) else str(value)
        if isinstance(value, BaseException):
            return f"{type(value).__name__}: {self.text(_said(value))}"
        return f"<{type(value).__name__}>"  # its repr could say anything

    def _key(self, key: object) -> str:
        return self.text(str(key)) if isinstance(key, str | int | float) else f"<{type(key).__name__}>"

    @staticmethod
    def _inner(way: _Way, key: object) -> _Way:
        own = _way_of(key) if isinstance(key, str) else "plain"
        return way if own in {"plain", "kept"} else own


def _is_harmless(value: object) -> bool:
    """Whether `_value` would leave it as it is under a plain key: nearly every value of nearly every line."""
    if type(value) is str:
        return len(value) <= _LONGEST and "+" not in value and "@" not in value
    return type(value) in _AS_IS


def _hide(match: re.Match[str]) -> str:
    if match["kept"] is not None:
        return match["kept"]
    if match["phone"] is not None:
        return masked_phone(match["phone"])
    if match["login"] is not None:
        return HIDDEN
    name, sign, _ = re.split(r"([:=])", match["named"], maxsplit=1)
    return f"{name}{sign}{HIDDEN}"


def _hide_sure(match: re.Match[str]) -> str:
    return masked_phone(match[0])


def _said(error: BaseException) -> str:
    try:
        return str(error)[:_LONGEST]
    except Exception:  # noqa: BLE001  a foreign __str__ may fail in any way, and a log line must not
        return HIDDEN
