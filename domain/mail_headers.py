"""What the headers of a mail say: whom it is from (T8), who handed it over, how one unsubscribes.

Nothing here raises, whatever a mail holds.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.headerregistry import Address, AddressHeader
from email.policy import default as mail_policy
from ipaddress import ip_address

from domain.delivery_server import DeliveryServer
from domain.server_test import Finding, StepId, StepOutcome

Headers = Sequence[tuple[str, str]]
"""Names and values in the order of the mail, each value on one line."""

_END = re.compile(rb"\r?\n\r?\n|\A\r?\n")
_FIELD = re.compile(r"([\x21-\x39\x3b-\x7e]+)[ \t]*:(.*)", re.DOTALL)
_FOLD = re.compile(r"\r?\n(?=[ \t])")
_COMMENT = re.compile(r"\([^()]*\)")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_BY = re.compile(r"(?:^|\s)by\s+([^\s;()]+)", re.IGNORECASE)
_FROM = re.compile(r"\s*from\s+([^\s;()]+)", re.IGNORECASE)
_BRACKETED = re.compile(r"(?<!helo=)\[(?:IPv6:)?([0-9a-f.:]{2,45})\]", re.IGNORECASE)
_HELO = re.compile(r"\bhelo=([^\s;()]+)", re.IGNORECASE)
_URI = re.compile(r"<([^<>]*)>")
_LONGEST_VALUE = 4_000  # characters; a longer one is no honest address, and slow to read
_DEEPEST_COMMENT = 5
_ONE_CLICK = "list-unsubscribe=one-click"


def headers_of(raw: bytes) -> tuple[tuple[str, str], ...]:
    """The header section of a mail, top first; what is no header is left out."""
    end = _END.search(raw)
    text = _FOLD.sub("", (raw if end is None else raw[: end.start()]).decode("utf-8", "replace"))
    fields = (_FIELD.fullmatch(line.rstrip("\r")) for line in text.split("\n"))
    return tuple((field[1], field[2].strip()) for field in fields if field is not None)


def values_of(headers: Headers, name: str) -> list[str]:
    """Every value under this name, top first."""
    return [value for known, value in headers if known.lower() == name.lower()]


def subject_has(mail: bytes | Headers, token: str) -> bool:
    """Whether the token stands in a subject, encoded or not."""
    return any(token in value or token in _decoded(value) for value in values_of(_headers(mail), "Subject"))


def reply_to_of(server: DeliveryServer) -> str:
    """What a probe through this server shall have as Reply-To: its own address for that where it is forced."""
    own = server.reply_to_email.strip()
    return own if own and _is_always(server.force_reply_to) else server.from_email


def check_headers(mail: bytes | Headers, server: DeliveryServer, *, sender_required: bool) -> Finding:
    """T8: From and Reply-To are the server's sender, and are called by its domain or that's first label.

    A test sends as `from_email`, so whatever `force_from` says From is that; `from_name` is a right name too unless
    nothing forces it. Reply-To is `reply_to_email` where the server forces that always, and may be it where MailWizz
    forces it for want of a signing domain. Sender has to be there, and right, only if it is required: else one that
    is another's is a WARN.
    """
    headers = _headers(mail)
    wanted = {"From": {server.from_email}, "Reply-To": _reply_tos(server)}
    if sender_required:
        wanted["Sender"] = {server.from_email}
    names = _names(server)
    faults = [fault for name, addresses in wanted.items() if (fault := _fault(headers, name, addresses, names))]
    if faults:
        return _differs(StepOutcome.FAIL, faults)
    odd = None
    if not sender_required and values_of(headers, "Sender"):
        odd = _fault(headers, "Sender", {server.from_email}, names)
    if odd is not None:
        return _differs(StepOutcome.WARN, [odd])
    return Finding(StepId.HEADERS, StepOutcome.PASS, detail=f"{', '.join(wanted)} as expected")


def author_domain(headers: Headers) -> str | None:
    """The domain of the one author, lower case; None where From can't be read, or names not exactly one."""
    values = values_of(headers, "From")
    mailbox = _mailbox(values[0]) if len(values) == 1 else None
    return mailbox.domain.lower().rstrip(".") or None if mailbox is not None else None


@dataclass(frozen=True, slots=True)
class Received:
    """One server's note of who handed it the mail. `address` is as that server saw it, `helo` as the client claimed."""

    by: str
    address: str | None
    helo: str | None
    position: int


def topmost_received(mail: bytes | Headers, own_mx: Collection[str]) -> Received | None:
    """The topmost Received header that one of our own servers wrote; those below may be anybody's invention.

    `own_mx`: host names, in any case, as they stand behind `by`.
    """
    own = {name.lower().rstrip(".") for name in own_mx}
    for position, (name, value) in enumerate(_headers(mail)):
        if name.lower() == "received" and (received := _received(value, position)) is not None and received.by in own:
            return received
    return None


def return_path_of(mail: bytes | Headers) -> str:
    """The sender on the envelope, as whoever put the mail into the mailbox has noted it; empty where nobody has.

    A note below the topmost Received header came with the mail, and is anybody's.
    """
    for name, value in _headers(mail):
        if name.lower() == "return-path":
            return value.strip().removeprefix("<").removesuffix(">").strip()
        if name.lower() == "received":
            break
    return ""


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """How the headers say one unsubscribes. `uri` is of https where there is one, else of http."""

    uri: str | None
    is_one_click: bool
    is_repeated: bool

    @property
    def is_https(self) -> bool:
        """Whether the address is of https, as RFC 8058 demands."""
        return self.uri is not None and self.uri.lower().startswith("https://")


def unsubscribe_of(headers: Headers) -> Unsubscribe:
    """List-Unsubscribe (RFC 2369) and List-Unsubscribe-Post (RFC 8058). `is_repeated`: one stands there twice."""
    lists, posts = values_of(headers, "List-Unsubscribe"), values_of(headers, "List-Unsubscribe-Post")
    uris = ["".join(found.split()) for value in lists for found in _URI.findall(value)]
    https, http = (
        next((uri for uri in uris if uri.lower().startswith(start)), None) for start in ("https://", "http://")
    )
    is_one_click = any(value.strip().lower() == _ONE_CLICK for value in posts)
    return Unsubscribe(https or http, is_one_click, is_repeated=len(lists) > 1 or len(posts) > 1)


def without_comments(value: str) -> str:
    """A header's value with its comments blanked out, every other character where it was."""
    for _ in range(_DEEPEST_COMMENT):
        blanked = _COMMENT.sub(lambda comment: " " * len(comment[0]), value)
        if blanked == value:
            break
        value = blanked
    return value


def without_quoted(value: str) -> str:
    """A header's value without its quoted strings, whose `;` separate nothing."""
    return _QUOTED.sub("", value)


def _headers(mail: bytes | Headers) -> Headers:
    return headers_of(mail) if isinstance(mail, bytes) else mail


def _decoded(value: str) -> str:
    if len(value) > _LONGEST_VALUE:
        return value
    try:
        return str(make_header(decode_header(value)))
    except (HeaderParseError, LookupError, ValueError):  # no base64, no such charset, not of that charset
        return value


def _is_always(forced: str) -> bool:
    return forced.strip().lower() == "always"


def _is_never(forced: str) -> bool:
    return forced.strip().lower() == "never"


def _names(server: DeliveryServer) -> set[str]:
    forced = "" if _is_never(server.force_from) else server.from_name.strip()
    return {server.from_domain, server.from_domain.partition(".")[0], forced} - {""}


def _reply_tos(server: DeliveryServer) -> set[str]:
    if not server.reply_to_email.strip() or _is_never(server.force_reply_to):
        return {server.from_email}
    if _is_always(server.force_reply_to):
        return {server.reply_to_email}
    return {server.from_email, server.reply_to_email}


def _differs(outcome: StepOutcome, faults: Sequence[tuple[str, str]]) -> Finding:
    return Finding(StepId.HEADERS, outcome, faults[0][0], "; ".join(detail for _, detail in faults))


def _fault(headers: Headers, name: str, addresses: Collection[str], names: Collection[str]) -> tuple[str, str] | None:
    """A word and a sentence for what is wrong with one header."""
    values = values_of(headers, name)
    if len(values) != 1:
        word = "repeated" if values else "missing"
        return word, f"{name} is {word}" + (f": {len(values)} headers" if values else "")
    mailbox = _mailbox(values[0])
    if mailbox is None:
        return "unreadable", f"{name} is not one address: {_quote(values[0])}"
    if not _is_among(mailbox.addr_spec, addresses):
        return "wrong-address", f"{name} is {_quote(mailbox.addr_spec)}, expected {_choices(addresses)}"
    called = _called(values[0], mailbox)
    if called and not _is_among(called, names):
        return "wrong-name", f"{name} is called {_quote(called)}, expected {_choices(names)}"
    return None


def _called(value: str, mailbox: Address) -> str:
    """The mailbox's name. Python's reader of addresses parts a name where it continues in a second encoded word."""
    phrase = value.rpartition("<")[0].strip()
    return (_decoded(phrase.strip('"')) if "=?" in phrase else mailbox.display_name).strip()


def _mailbox(value: str) -> Address | None:
    """The one mailbox that a header names, its name decoded; None where it names none, several, or a group."""
    if len(value) > _LONGEST_VALUE:
        return None
    try:
        header = mail_policy.header_factory("From", value)
        addresses = header.addresses if isinstance(header, AddressHeader) else ()
        is_plain = len(addresses) == 1 and header.groups[0].display_name is None
        return addresses[0] if is_plain and addresses[0].domain else None
    except Exception:  # noqa: BLE001  Python's reader has raised half a dozen kinds; each says: no address
        return None


def _received(value: str, position: int) -> Received | None:
    bare = without_comments(value)
    by = _BY.search(bare)
    if by is None:
        return None
    claimed = value[: by.start()]
    helo = _HELO.search(claimed) or _FROM.match(bare[: by.start()])
    return Received(by[1].lower().rstrip("."), _address(claimed, bare[: by.start()]), helo and helo[1], position)


def _address(claimed: str, bare: str) -> str | None:
    """The address within the comment is the server's own word; the one outside may be what the client called itself.

    Only a server that comments on nothing but the client's name has its own word outside.
    """
    seen = [found for found in _BRACKETED.finditer(claimed) if bare[found.start()] == " "]
    outside = list(_BRACKETED.finditer(bare)) if "helo=" in claimed.lower() else []
    found = seen[-1] if seen else next(iter(outside), None)
    try:
        return str(ip_address(found[1])) if found is not None else None
    except ValueError:
        return None


def _is_among(said: str, expected: Iterable[str]) -> bool:
    return said.strip().casefold() in {each.strip().casefold() for each in expected}


def _choices(expected: Collection[str]) -> str:
    return " or ".join(_quote(each) for each in sorted(expected))


def _quote(said: str) -> str:
    return f'"{said if len(said) <= 100 else said[:100] + "…"}"'  # noqa: PLR2004  enough to recognise it by
