"""The words of a mail, decoded, as a search looks at them. A mail that can't be parsed is searched as it stands."""

from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.policy import compat32
from functools import cached_property


class MailWords:
    """Taken apart when first asked for. All in lower case."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    @cached_property
    def headers(self) -> list[tuple[str, str]]:
        """Names and values of the mail's own headers."""
        return _headers(self._parts[0]) if self._parts else []

    @cached_property
    def body(self) -> str:
        """The texts in it, without headers of any part: also a mail in the mail has a body."""
        if not self._parts:
            return self._raw.decode("utf-8", "replace").lower()
        return "\n".join(_text(part) for part in self._parts if _is_text(part)).lower()

    @cached_property
    def everything(self) -> str:
        """Headers of every part, and the texts."""
        headers = (f"{name}: {value}" for part in self._parts for name, value in _headers(part))
        return "\n".join([*headers, self.body])

    @cached_property
    def _parts(self) -> "list[Message[str, str]]":
        try:
            return list(message_from_bytes(self._raw, policy=compat32).walk())
        except RecursionError:  # mails within mails, hundreds deep
            return []


def _headers(message: "Message[str, str]") -> list[tuple[str, str]]:
    return [(name.lower(), _decoded(str(value)).lower()) for name, value in message.items()]


def _decoded(value: str) -> str:
    try:
        return str(make_header(decode_header(value)))
    except (ValueError, LookupError, MessageError):
        return value


def _is_text(part: "Message[str, str]") -> bool:
    return part.get_content_maintype() == "text" and not part.is_multipart()


def _text(part: "Message[str, str]") -> str:
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return str(part.get_payload())
    try:
        return content.decode(part.get_content_charset("utf-8"), "replace")
    except (LookupError, ValueError):
        return content.decode("utf-8", "replace")
