"""`robotd healthcheck`: asks a running daemon's `/readyz` over a bare socket, for the HEALTHCHECK of an image.

It loads nothing but a socket, because it runs every few seconds beside the daemon, and all of robotd would cost many
times as much. So it knows the two settings that it needs by their variables alone.
"""

import os
import socket
import sys
import time
from collections.abc import Mapping

HOST, PORT = "ROBOTD_OPS__HOST", "ROBOTD_OPS__PORT"
_OK, _FAILED, _USAGE = 0, 1, 2
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  what others listen on is asked by loopback
_ENOUGH = 4096


def main() -> int:
    """What an image runs: the variables say all."""
    return check(os.environ)


def check(environ: Mapping[str, str], host: str | None = None, port: int | None = None, timeout_s: float = 5.0) -> int:
    """Exit code 0 where the daemon is ready, or where no port says that anything listens; else 1. Prints why."""
    host = host or environ.get(HOST) or "127.0.0.1"
    text = str(port) if port is not None else environ.get(PORT, "")
    if not text:
        return _told(_OK, f"not checked: neither --port nor {PORT} is set")
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65_536):  # noqa: PLR2004  the ports that there are
        return _told(_USAGE, "the port is none")
    try:
        answer = _asked(_ANYWHERE.get(host, host), int(text), time.monotonic() + timeout_s)
    except OSError as error:
        return _told(_FAILED, f"no answer: {error}")
    head, _, body = answer.partition("\r\n\r\n")
    is_ready = head.split(" ")[1:2] == ["200"]
    return _told(_OK if is_ready else _FAILED, body.strip() or "no answer in time")


def _asked(host: str, port: int, until_s: float) -> str:
    answer = b""
    with socket.create_connection((host, port), max(0.01, until_s - time.monotonic())) as line:
        line.sendall(b"GET /readyz HTTP/1.1\r\nHost: robotd\r\nConnection: close\r\n\r\n")
        while len(answer) < _ENOUGH:
            line.settimeout(max(0.01, until_s - time.monotonic()))
            some = line.recv(_ENOUGH)
            if not some:
                break
            answer += some
    return answer.decode("latin-1")


def _told(code: int, text: str) -> int:
    print(text)  # noqa: T201  it is a command, and Docker keeps what it says
    return code


if __name__ == "__main__":
    sys.exit(main())
