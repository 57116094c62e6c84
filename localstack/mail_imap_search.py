"""SEARCH: what a client asks for becomes a condition on each mail."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from localstack.mail_box import StoredMail
from localstack.mail_imap_wire import BadCommand, Cursor, Refused

_DEEPEST = 20
_CHARSETS = ("US-ASCII", "UTF-8")


@dataclass(frozen=True, slots=True)
class Listed:
    """A mail as one session sees it: its number from 1, among `count` of which the newest has `largest_uid`."""

    number: int
    mail: StoredMail
    count: int
    largest_uid: int


Condition = Callable[[Listed], bool]


def parse_search(cursor: Cursor) -> Condition:
    """All arguments of SEARCH. Raises BadCommand; Refused for an unknown character set."""
    if cursor.skip(b"CHARSET ") or cursor.skip(b"charset "):
        charset = cursor.astring().decode("ascii", "replace").upper()
        if charset not in _CHARSETS:
            raise Refused("[BADCHARSET (US-ASCII UTF-8)] Unknown charset")
        cursor.space()
    condition = _all(cursor, 0)
    cursor.end()
    return condition


def _all(cursor: Cursor, depth: int) -> Condition:
    conditions = [_one(cursor, depth)]
    while not cursor.is_at_end and not cursor.sees(b")"):
        cursor.space()
        conditions.append(_one(cursor, depth))
    return lambda listed: all(condition(listed) for condition in conditions)


def _one(cursor: Cursor, depth: int) -> Condition:
    if depth > _DEEPEST:
        raise BadCommand("Search too deep")
    if cursor.skip(b"("):
        inner = _all(cursor, depth + 1)
        cursor.need(b")")
        return inner
    if cursor.sees_sequence_set():
        return _numbered(cursor)
    key = cursor.atom()
    if key in _PLAIN:
        return _PLAIN[key]
    cursor.space()
    if key == "NOT":
        inner = _one(cursor, depth + 1)
        return lambda listed: not inner(listed)
    if key == "OR":
        return _either(cursor, depth + 1)
    if key not in _WITH_ARGUMENT:
        raise BadCommand(f"Unknown search key {key}")
    return _WITH_ARGUMENT[key](cursor)


def _either(cursor: Cursor, depth: int) -> Condition:
    first = _one(cursor, depth)
    cursor.space()
    second = _one(cursor, depth)
    return lambda listed: first(listed) or second(listed)


def _numbered(cursor: Cursor) -> Condition:
    numbers = cursor.sequence_set()
    return lambda listed: numbers.has(listed.number, listed.count)


def _uid(cursor: Cursor) -> Condition:
    uids = cursor.sequence_set()
    return lambda listed: uids.has(listed.mail.uid, listed.largest_uid)


def _words(cursor: Cursor) -> str:
    try:
        return cursor.astring().decode("utf-8").lower()
    except UnicodeDecodeError:
        raise BadCommand("Not UTF-8") from None


def _in_header(name: str) -> Callable[[Cursor], Condition]:
    def parse(cursor: Cursor) -> Condition:
        words = _words(cursor)
        return lambda listed: _header_has(listed.mail, name, words)

    return parse


def _any_header(cursor: Cursor) -> Condition:
    name = _words(cursor)
    cursor.space()
    words = _words(cursor)
    return lambda listed: _header_has(listed.mail, name, words)


def _header_has(mail: StoredMail, name: str, words: str) -> bool:
    return any(known == name and words in value for known, value in mail.words.headers)


def _body(cursor: Cursor) -> Condition:
    words = _words(cursor)
    return lambda listed: words in listed.mail.words.body


def _text(cursor: Cursor) -> Condition:
    words = _words(cursor)
    return lambda listed: words in listed.mail.words.everything


def _flagged(flag: str, *, is_set: bool) -> Condition:
    return lambda listed: (flag in listed.mail.flags) is is_set


def _keyword(*, is_set: bool) -> Callable[[Cursor], Condition]:
    return lambda cursor: _flagged(cursor.flag(), is_set=is_set)


def _arrived(compare: Callable[[datetime, datetime], bool]) -> Callable[[Cursor], Condition]:
    def parse(cursor: Cursor) -> Condition:
        day = cursor.date()
        return lambda listed: compare(_day(datetime.fromtimestamp(listed.mail.at_ms / 1000, UTC)), day)

    return parse


def _sent(compare: Callable[[datetime, datetime], bool]) -> Callable[[Cursor], Condition]:
    def parse(cursor: Cursor) -> Condition:
        day = cursor.date()

        def condition(listed: Listed) -> bool:
            sent = _sent_on(listed.mail)
            return sent is not None and compare(sent, day)

        return condition

    return parse


def _sent_on(mail: StoredMail) -> datetime | None:
    for name, value in mail.words.headers:
        if name == "date":
            try:
                return _day(parsedate_to_datetime(value))
            except ValueError:
                return None
    return None


def _day(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC)


def _size(compare: Callable[[int, int], bool]) -> Callable[[Cursor], Condition]:
    def parse(cursor: Cursor) -> Condition:
        octets = cursor.number()
        return lambda listed: compare(len(listed.mail.raw), octets)

    return parse


def _before(moment: datetime, day: datetime) -> bool:
    return moment < day


def _on(moment: datetime, day: datetime) -> bool:
    return moment == day


def _since(moment: datetime, day: datetime) -> bool:
    return moment >= day


_PLAIN: dict[str, Condition] = {
    "ALL": lambda _: True,
    "NEW": lambda _: False,  # nothing is ever \Recent here
    "OLD": lambda _: True,
    "RECENT": lambda _: False,
    **{
        name.upper(): _flagged(f"\\{name}", is_set=True) for name in ("Seen", "Answered", "Flagged", "Deleted", "Draft")
    },
    **{
        f"UN{name.upper()}": _flagged(f"\\{name}", is_set=False)
        for name in ("Seen", "Answered", "Flagged", "Deleted", "Draft")
    },
}
_WITH_ARGUMENT: dict[str, Callable[[Cursor], Condition]] = {
    **{name.upper(): _in_header(name) for name in ("subject", "from", "to", "cc", "bcc")},
    "HEADER": _any_header,
    "BODY": _body,
    "TEXT": _text,
    "UID": _uid,
    "KEYWORD": _keyword(is_set=True),
    "UNKEYWORD": _keyword(is_set=False),
    "BEFORE": _arrived(_before),
    "ON": _arrived(_on),
    "SINCE": _arrived(_since),
    "SENTBEFORE": _sent(_before),
    "SENTON": _sent(_on),
    "SENTSINCE": _sent(_since),
    "LARGER": _size(lambda have, asked: have > asked),
    "SMALLER": _size(lambda have, asked: have < asked),
}
