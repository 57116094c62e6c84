"""HTTP/1.1 by hand on an asyncio.Protocol: keep-alive, pipelining, Content-Length or chunked bodies, 100-continue."""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

MAX_HEAD = 65_536
MAX_BODY = 64 * 1_048_576

_HEADER = re.compile(
    rb"\r\n(x-amz-target|content-length|transfer-encoding|expect|connection):[ \t]*([^\r\n]*)", re.IGNORECASE
)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES = {int(each): f"HTTP/1.1 {int(each)} {each.phrase}\r\n" for each in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Head:
    """The first lines of a request, as far as they matter here. `length` is None for a chunked body."""

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    length: int | None

    @property
    def target(self) -> str:
        """The operation that is asked for, with its service."""
        return self.headers.get(b"x-amz-target", b"").decode("latin-1")

    @property
    def closes(self) -> bool:
        """Whether the client wants the connection closed after this."""
        return self.headers.get(b"connection", b"").lower() == b"close"


class Connection(asyncio.Protocol):
    """One client. A request is handed to `handle`, and the next one is looked at once this one is answered."""

    def __init__(
        self,
        number: int,
        handle: Callable[["Connection", Head, bytes], None],
        lost: Callable[["Connection"], None],
    ) -> None:
        self.number = number
        self._handle = handle
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._head: Head | None = None
        self._is_busy = False
        self._is_reading = False

    @property
    def is_gone(self) -> bool:
        """Whether the client has hung up."""
        return self._transport is None or self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        del exc
        self._transport = None
        self._lost(self)

    def data_received(self, data: bytes) -> None:
        """Bytes have come: enough for a request, or not."""
        self._buffer += data
        if not self._is_busy:
            self._read()

    def answer(self, status: int, headers: Mapping[str, str], body: bytes, content_type: str | None = None) -> None:
        """Answer the request that is being handled."""
        if self._transport is not None and not self._transport.is_closing():
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            kind = content_type or "application/x-amz-json-1.0"
            head = f"{_STATUS_LINES[status]}Content-Type: {kind}\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
            self._transport.write(head.encode("latin-1") + body)
            if self._head is not None and self._head.closes:
                self._transport.close()
        self._head = None
        self._is_busy = False
        if self._buffer and not self._is_reading:
            self._read()

    def drop(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _read(self) -> None:
        self._is_reading = True
        try:
            while not self._is_busy and not self.is_gone and (request := self._next()) is not None:
                self._is_busy = True
                self._handle(self, *request)
        except ValueError as error:
            self._is_busy = True
            self.answer(400, {"Connection": "close"}, str(error).encode(), "text/plain")
            if self._transport is not None:
                self._transport.close()
        finally:
            self._is_reading = False

    def _next(self) -> tuple[Head, bytes] | None:
        if self._head is None:
            self._head = self._next_head()
            if self._head is None:
                return None
        body = self._next_chunked() if self._head.length is None else self._next_counted(self._head.length)
        return None if body is None else (self._head, body)

    def _next_head(self) -> Head | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise ValueError("the head of the request is too long")
            return None
        raw = bytes(self._buffer[: end + 2])
        del self._buffer[: end + 4]
        head = _parse_head(raw)
        if head.headers.get(b"expect", b"").lower() == b"100-continue" and self._transport is not None:
            self._transport.write(_CONTINUE)
        return head

    def _next_counted(self, length: int) -> bytes | None:
        if len(self._buffer) < length:
            return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    def _next_chunked(self) -> bytes | None:
        parts: list[bytes] = []
        at = 0
        while True:
            line_end = self._buffer.find(b"\r\n", at)
            if line_end < 0:
                return None
            size = int(bytes(self._buffer[at:line_end]).partition(b";")[0], 16)
            start = line_end + 2
            if not 0 <= size <= MAX_BODY:
                raise ValueError("a chunk of the request is too long")
            if len(self._buffer) < start + size + 2:
                return None
            parts.append(bytes(self._buffer[start : start + size]))
            at = start + size + 2
            if size == 0:
                del self._buffer[:at]
                return b"".join(parts)


def _parse_head(raw: bytes) -> Head:
    words = raw[: raw.find(b"\r\n")].decode("latin-1").split(" ")
    if len(words) != 3:  # noqa: PLR2004  method, path, version
        raise ValueError("the request line is malformed")
    headers = {name.lower(): value.strip() for name, value in _HEADER.findall(raw)}
    is_chunked = headers.get(b"transfer-encoding", b"").lower() == b"chunked"
    length = int(headers.get(b"content-length", b"0"))
    if not 0 <= length <= MAX_BODY:
        raise ValueError("the body of the request is too long")
    return Head(words[0], words[1], headers, None if is_chunked else length)
