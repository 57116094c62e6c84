"""FETCH: what a client asks of a mail, and the answer. Parts by number, ENVELOPE and BODYSTRUCTURE are refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from localstack.mail_box import SEEN, StoredMail
from localstack.mail_headers import name_of, split_mail
from localstack.mail_imap_wire import BadCommand, Cursor

_FAST = ("FLAGS", "INTERNALDATE", "RFC822.SIZE")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_OLD_NAMES = {
    "RFC822": ("RFC822", "", False),
    "RFC822.HEADER": ("RFC822.HEADER", "HEADER", True),
    "RFC822.TEXT": ("RFC822.TEXT", "TEXT", False),
}
_SECTIONS = ("HEADER", "TEXT")
_FIELD_SECTIONS = ("HEADER.FIELDS", "HEADER.FIELDS.NOT")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to fetch. `section` None: no part of the text. `label`: what the answer calls it."""

    label: str
    section: str | None = None
    fields: tuple[str, ...] = ()
    part: tuple[int, int] | None = None
    peeks: bool = True


def parse_items(cursor: Cursor) -> Sequence[Item]:
    """The second argument of FETCH, to the end of the command."""
    if cursor.sees(b"("):
        items = _list(cursor)
    else:
        items = [Item(name) for name in _FAST] if cursor.skip(b"FAST") or cursor.skip(b"fast") else [_item(cursor)]
    cursor.end()
    return items


def _list(cursor: Cursor) -> list[Item]:
    cursor.need(b"(")
    items = [_item(cursor)]
    while not cursor.skip(b")"):
        cursor.space()
        items.append(_item(cursor))
    return items


def _item(cursor: Cursor) -> Item:
    name = cursor.word()
    if name in ("FLAGS", "UID", "INTERNALDATE", "RFC822.SIZE"):
        return Item(name)
    if name in _OLD_NAMES:
        label, section, peeks = _OLD_NAMES[name]
        return Item(label, section, peeks=peeks)
    if name in ("BODY", "BODY.PEEK") and cursor.skip(b"["):
        return _body(cursor, peeks=name == "BODY.PEEK")
    raise BadCommand(f"{name} can't be fetched here")


def _body(cursor: Cursor, *, peeks: bool) -> Item:
    section = "" if cursor.sees(b"]") else cursor.word()
    fields: tuple[str, ...] = ()
    label = section
    if section in _FIELD_SECTIONS:
        cursor.space()
        fields = tuple(cursor.items(lambda: cursor.astring().decode("ascii", "replace")))
        if not fields:
            raise BadCommand("No header named")
        label += f" ({' '.join(field.upper() for field in fields)})"
    elif section and section not in _SECTIONS:
        raise BadCommand(f"BODY[{section}] can't be fetched here")
    cursor.need(b"]")
    part = _part(cursor) if cursor.skip(b"<") else None
    origin = "" if part is None else f"<{part[0]}>"
    return Item(f"BODY[{label}]{origin}", section, tuple(field.lower() for field in fields), part, peeks)


def _part(cursor: Cursor) -> tuple[int, int]:
    begin = cursor.number()
    cursor.need(b".")
    length = cursor.number()
    cursor.need(b">")
    if length == 0:
        raise BadCommand("Nothing to fetch")
    return begin, length


def answer(number: int, mail: StoredMail, items: Sequence[Item], *, with_uid: bool, with_flags: bool) -> bytes:
    """The untagged line for one mail, without `* ` and line end. `with_*`: also where it was not asked for."""
    wanted = [item for item in items if item.label not in ("UID", "FLAGS")]
    parts: list[bytes] = []
    if with_uid or any(item.label == "UID" for item in items):
        parts.append(f"UID {mail.uid}".encode())
    if with_flags or any(item.label == "FLAGS" for item in items):
        parts.append(flags_of(mail))
    parts += [_told(mail, item) for item in wanted]
    return f"{number} FETCH (".encode() + b" ".join(parts) + b")"


def flags_of(mail: StoredMail) -> bytes:
    """FLAGS and their list."""
    return f"FLAGS ({' '.join(sorted(mail.flags))})".encode()


def reads(items: Sequence[Item]) -> bool:
    """Whether fetching them marks a mail as seen."""
    return any(not item.peeks for item in items)


def mark_seen(mail: StoredMail) -> bool:
    """Mark it; whether it was not marked yet."""
    was_unseen = SEEN not in mail.flags
    mail.flags.add(SEEN)
    return was_unseen


def _told(mail: StoredMail, item: Item) -> bytes:
    match item.label:
        case "RFC822.SIZE":
            return f"RFC822.SIZE {len(mail.raw)}".encode()
        case "INTERNALDATE":
            return f'INTERNALDATE "{_internal_date(mail.at_ms)}"'.encode()
    text = _section(mail.raw, item)
    if item.part is not None:
        begin, length = item.part
        text = text[begin : begin + length]
    return f"{item.label} {{{len(text)}}}\r\n".encode() + text


def _section(raw: bytes, item: Item) -> bytes:
    if not item.section:
        return raw
    fields, rest = split_mail(raw)
    if item.section == "TEXT":
        return rest.partition(b"\n")[2]
    if item.section in _FIELD_SECTIONS:
        is_wanted = item.section == "HEADER.FIELDS"
        fields = [field for field in fields if (name_of(field) in item.fields) is is_wanted]
    return b"".join(fields) + b"\r\n"


def _internal_date(at_ms: int) -> str:
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return f"{moment.day:02d}-{_MONTHS[moment.month - 1]}-{moment:%Y %H:%M:%S} +0000"
