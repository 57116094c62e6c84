"""The links of a mail that lead to the tracking host: the open pixel, the first link to click, the way to unsubscribe.

Nothing here raises, whatever a mail holds.
"""

import html
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32

_URL = re.compile(r"(https?)://([^/?#@\\\s]+)((?:[/?#]\S*)?)", re.IGNORECASE)
_TAG = re.compile(r"<(a|img)\s([^>]{1,8000})", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""(?:^|[\s"'])(href|src)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_LARGEST = 2_000_000  # characters of HTML
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True)
class TrackingLinks:
    """Where a reader of the mail would go; None where the mail has no such link on the tracking host."""

    open_pixel: str | None
    click: str | None
    unsubscribe: str | None


def is_on(url: str, hosts: Collection[str]) -> bool:
    """Whether an address is one of http or https on one of these hosts, without a login in it.

    A host may name its port (`track.example.com:8443`); without one only the scheme's own port will do.
    """
    match = _URL.fullmatch(url)
    if match is None:
        return False
    scheme, host = match[1].lower(), match[2].lower().rstrip(".")
    return host.removesuffix(_DEFAULT_PORTS[scheme]) in {each.lower() for each in hosts}


def tracking_links(text: str, hosts: Collection[str]) -> TrackingLinks:
    """The links of an HTML text that lead to one of the hosts.

    The pixel is the picture of `/track-opening/`, else the first with `track` in its path. The click is the first of
    `/track-url/`, else the first that doesn't unsubscribe. The direct way to unsubscribe goes before the one by a form.
    """
    found = [(tag, url) for tag, url in _links(text) if is_on(url, hosts)]
    pictures = [url for tag, url in found if tag == "img"]
    links = [url for tag, url in found if tag == "a"]
    leaving = [url for url in links if "unsubscribe" in _path(url)]
    others = [url for url in links if url not in leaving]
    return TrackingLinks(
        _first(pictures, "/track-opening/") or _first(pictures, "track"),
        _first(others, "/track-url/") or _first(others, ""),
        _first(leaving, "/unsubscribe-direct") or _first(leaving, ""),
    )


def html_of(raw: bytes) -> str:
    """The first HTML part of a mail, decoded; empty where there is none that can be read."""
    try:
        parts = (part for part in BytesParser(policy=compat32).parsebytes(raw).walk())
        return next((_text(part) for part in parts if part.get_content_type() == "text/html"), "")
    except Exception:  # noqa: BLE001  nesting beyond measure and worse: such a mail has no part to show
        return ""


def _text(part: Message) -> str:
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return ""
    try:
        return content.decode(str(part.get_content_charset() or "utf-8"), "replace")
    except LookupError:
        return content.decode("utf-8", "replace")


def _links(text: str) -> Iterator[tuple[str, str]]:
    for tag in _TAG.finditer(_without_comments(text[:_LARGEST])):
        name, wanted = tag[1].lower(), "href" if tag[1].lower() == "a" else "src"
        for attribute in _ATTRIBUTE.finditer(tag[2]):
            if attribute[1].lower() == wanted:
                value = next(group for group in attribute.groups()[1:] if group is not None)
                yield name, html.unescape(value).strip()
                break


def _without_comments(text: str) -> str:
    first, *others = text.split("<!--")
    return first + "".join(other.partition("-->")[2] for other in others)


def _path(url: str) -> str:
    match = _URL.fullmatch(url)
    return match[3].lower() if match is not None else ""


def _first(urls: list[str], part: str) -> str | None:
    return next((url for url in urls if part in _path(url)), None)
