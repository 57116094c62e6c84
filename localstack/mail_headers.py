"""Headers of a mail as bytes: read, removed, added, without touching what is not asked for."""

from email.errors import MessageError
from email.header import decode_header, make_header
from email.parser import BytesHeaderParser
from email.policy import compat32


def split_mail(raw: bytes) -> tuple[list[bytes], bytes]:
    """The header fields, folded as they came, each with its line end; and the rest from the empty line on."""
    fields: list[bytes] = []
    at = 0
    while at < len(raw):
        end = raw.find(b"\n", at) + 1 or len(raw)
        line = raw[at:end]
        if not line.strip(b"\r\n"):
            break
        if line[:1] in b" \t" and fields:
            fields[-1] += line
        else:
            fields.append(line)
        at = end
    return fields, raw[at:]


def name_of(field: bytes) -> str:
    """The name of a header field, lower case."""
    return field.partition(b":")[0].strip().decode("ascii", "replace").lower()


def without(raw: bytes, name: str) -> bytes:
    """The mail without any header of this name."""
    fields, rest = split_mail(raw)
    return b"".join(field for field in fields if name_of(field) != name.lower()) + rest


def replaced(raw: bytes, name: str, value: str) -> bytes:
    """The mail with one header of this name, where the first one was; at the end where there was none."""
    fields, rest = split_mail(raw)
    names = [name_of(field) for field in fields]
    place = names.index(name.lower()) if name.lower() in names else len(fields)
    kept = [field for field in fields if name_of(field) != name.lower()]
    kept.insert(place, header_line(name, value))
    return b"".join(kept) + rest


def header_line(name: str, value: str) -> bytes:
    """One header field."""
    return f"{name}: {value}\r\n".encode()


def header(raw: bytes, name: str) -> str:
    """The first header of this name, unfolded and decoded; empty where there is none or it can't be read."""
    value = BytesHeaderParser(policy=compat32).parsebytes(raw).get(name, "")
    try:
        text = str(make_header(decode_header(str(value))))
    except (ValueError, LookupError, MessageError):
        text = str(value)
    return " ".join(text.split())
