"""APPEND: a mail that a client puts into a folder."""

import re
from dataclasses import dataclass
from datetime import datetime

from localstack.mail_imap_wire import BadCommand, Cursor, Refused

_MOMENT = re.compile(rb'"([ \d]\d-[A-Za-z]{3}-\d{4} \d\d:\d\d:\d\d [+-]\d{4})"')


@dataclass(frozen=True, slots=True)
class Appended:
    """What is asked for."""

    folder: bytes
    flags: tuple[str, ...]
    at_ms: int
    raw: bytes


def parse_append(cursor: Cursor, now_ms: int) -> Appended:
    """The arguments, to the end of the command. `now_ms` is the mail's time where none is given."""
    cursor.space()
    folder = cursor.astring()
    cursor.space()
    flags: tuple[str, ...] = ()
    if cursor.sees(b"("):
        flags = tuple(cursor.items(cursor.flag))
        cursor.space()
    moment = cursor.take(_MOMENT)
    if moment is not None:
        cursor.space()
        now_ms = _ms(moment[1])
    if not cursor.sees(b"{"):
        raise BadCommand("Expected a literal")
    raw = cursor.string()
    cursor.end()
    if not raw:
        raise Refused("An empty mail is no mail")
    return Appended(folder, flags, now_ms, raw)


def _ms(moment: bytes) -> int:
    try:
        return int(datetime.strptime(moment.decode().strip(), "%d-%b-%Y %H:%M:%S %z").timestamp() * 1000)
    except (ValueError, OverflowError):
        raise BadCommand("No such moment") from None
