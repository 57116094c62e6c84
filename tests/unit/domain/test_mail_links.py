"""Links of a mail's HTML: those on the tracking host, which of them is which, and no text that breaks the search."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.mail_links import TrackingLinks, html_of, is_on, tracking_links

HOST = "track.shop.test"
BASE = f"https://{HOST}"
FULL = (
    f'<img src="{BASE}/logo.png"><img src="{BASE}/campaigns/c/track-opening/s">'
    f'<a href="https://shop.test/">x</a><a href="{BASE}/lists/l/unsubscribe/s/c">x</a>'
    f'<a href="{BASE}/campaigns/c/track-url/s/h?a=1&amp;b=2">x</a>'
    f'<a href="{BASE}/campaigns/c/track-url/s/i">x</a>'
)
SHOUTED = (
    f"<A class='x' HREF='{BASE}/lists/l/unsubscribe/s/c'>x</A>"
    f"<a\nhref={BASE}/lists/l/unsubscribe/s/c/unsubscribe-direct>x</a>"
    f'<IMG width="1" SRC = "{BASE}/track/open/1" />'
)
ALTERNATIVES = (
    b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nx\r\n"
    b"--b\r\nContent-Type: text/html\r\n\r\n<p>y\r\n--b--\r\n"
)


@pytest.mark.parametrize(
    ("url", "hosts", "expected"),
    [
        (f"{BASE}/x", [HOST], True),
        (f"HTTPS://{HOST.upper()}/x", [HOST], True),
        (f"http://{HOST}", ["TRACK.shop.test"], True),
        (f"{BASE}:443/x", [HOST], True),
        (f"{BASE}./x", [HOST], True),
        (f"{BASE}:8443/x", [HOST], False),
        (f"{BASE}:8443/x", [f"{HOST}:8443"], True),
        (f"{BASE}/x", [f"{HOST}:8443"], False),
        (f"http://{HOST}:443/x", [HOST], False),
        (f"ftp://{HOST}/x", [HOST], False),
        (f"https://{HOST}@evil.test/x", [HOST], False),
        (f"https://evil.test\\@{HOST}/x", [HOST], False),
        (f"https://{HOST}.evil.test/x", [HOST], False),
        (f"https://evil.test/{HOST}", [HOST], False),
        (f"https://evil.test?{BASE}", [HOST], False),
        (f"//{HOST}/x", [HOST], False),
        ("javascript:1", [HOST], False),
        ("", [HOST], False),
        (f"{BASE}/x", [], False),
    ],
)
def test_an_address_is_on_a_host_by_its_host_and_port_alone(url: str, hosts: list[str], *, expected: bool) -> None:
    """Whatever looks like the host elsewhere in an address counts for nothing, and a login in it is refused."""
    assert is_on(url, hosts) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", TrackingLinks(None, None, None)),
        (
            FULL,
            TrackingLinks(
                f"{BASE}/campaigns/c/track-opening/s",
                f"{BASE}/campaigns/c/track-url/s/h?a=1&b=2",
                f"{BASE}/lists/l/unsubscribe/s/c",
            ),
        ),
        (
            SHOUTED,
            TrackingLinks(f"{BASE}/track/open/1", None, f"{BASE}/lists/l/unsubscribe/s/c/unsubscribe-direct"),
        ),
        (
            f'<a href="{BASE}/read">x</a><img src="{BASE}/logo.png">',
            TrackingLinks(None, f"{BASE}/read", None),
        ),
        (
            f'<!-- <a href="{BASE}/hidden">x</a> --><a data-href="{BASE}/no">x</a><abbr href="{BASE}/no">x</abbr>',
            TrackingLinks(None, None, None),
        ),
        (
            f'<img src="https://evil.test/track-opening/"><a href="https://evil.test/track-url/{BASE}">x</a>',
            TrackingLinks(None, None, None),
        ),
    ],
)
def test_the_links_of_a_mail_are_told_apart(text: str, expected: TrackingLinks) -> None:
    """The pixel, the first tracked link, the direct way out before the form; only on the host, never in a comment."""
    assert tracking_links(text, [HOST]) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"Content-Type: text/html\r\n\r\n<p>x", "<p>x"),
        (b"Content-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=E9", "é"),
        (b"Content-Type: text/html; charset=nonsense\r\n\r\n\xc3\xa9", "é"),
        (b"Content-Type: text/plain\r\n\r\n<p>x", ""),
        (b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\nPHA+eA==", "<p>x"),
        (
            ALTERNATIVES,
            "<p>y",
        ),
        (b"", ""),
    ],
)
def test_the_html_part_is_found_and_decoded(raw: bytes, expected: str) -> None:
    """By itself or among alternatives, in any transfer encoding; an unknown charset is read as UTF-8."""
    assert html_of(raw) == expected


def test_a_mail_nested_beyond_measure_has_no_html() -> None:
    """Two thousand multiparts within each other end in nothing, not in an exception."""
    raw = b"".join(b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(2_000))
    assert html_of(raw) == ""


scraps = st.sampled_from(
    ["<a ", "<img ", "href=", "src=", '"', "'", ">", BASE, "/track-url/", "<!--", "-->", "&amp;", "\n"]
)


@given(st.one_of(st.text(max_size=200), st.lists(scraps, max_size=30).map("".join)), st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_no_text_breaks_the_search(text: str, raw: bytes) -> None:
    """Whatever the HTML or the mail, the links that are found are on the host."""
    links = tracking_links(text, [HOST])
    assert all(url is None or is_on(url, [HOST]) for url in (links.open_pixel, links.click, links.unsubscribe))
    assert isinstance(html_of(b"Content-Type: text/html\r\n" + raw), str)
