"""Headers of a mail that arrived: whom it is from, who handed it over, how one unsubscribes; and all of it broken."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.mail_headers import (
    Unsubscribe,
    author_domain,
    check_headers,
    headers_of,
    reply_to_of,
    return_path_of,
    subject_has,
    topmost_received,
    unsubscribe_of,
    values_of,
)
from domain.server_test import StepId, StepOutcome
from tests.mails import OWN_MX, SENDER, server

OTHER = "answers@help.test"


def mail(from_: str = SENDER, reply_to: str = SENDER, *more: str) -> bytes:
    return "\r\n".join([f"From: {from_}", f"Reply-To: {reply_to}", *more, "", "text"]).encode()


@pytest.mark.parametrize(
    "from_",
    [
        SENDER,
        f"<{SENDER}>",
        SENDER.upper(),
        f"shop.test <{SENDER}>",
        f"SHOP.TEST <{SENDER}>",
        f"shop <{SENDER}>",
        f'"shop.test" <{SENDER}>',
        f"The Shop <{SENDER}>",
        f'"The Shop" <{SENDER}>',
        f"=?utf-8?Q?The_Shop?= <{SENDER}>",
        f"=?utf-8?B?VGhlIFNob3A=?= <{SENDER}>",
        f"=?iso-8859-1?Q?The?= =?utf-8?Q?_Shop?=\r\n\t<{SENDER}>",
        f"=?utf-8?Q?The_S?=\r\n =?utf-8?Q?hop?= <{SENDER}>",
        f'"=?utf-8?Q?The_Shop?=" <{SENDER}>',
        f"=?utf-8?B?!!!?= <{SENDER}>",
        f"\r\n {SENDER}",
        f"{SENDER} (a comment)",
        f'"" <{SENDER}>',
    ],
)
def test_a_mail_from_the_servers_sender_passes(from_: str) -> None:
    """The address in any case and form, without a name or called by the domain, its first label or a forced name."""
    finding = check_headers(mail(from_, from_), server(force_from="always"), sender_required=False)
    assert (finding.step, finding.outcome, finding.detail) == (
        StepId.HEADERS,
        StepOutcome.PASS,
        "From, Reply-To as expected",
    )


@pytest.mark.parametrize(
    ("from_", "kind", "detail"),
    [
        ("else@shop.test", "wrong-address", 'From is "else@shop.test", expected "news@shop.test"'),
        (f"{SENDER}.evil.test", "wrong-address", 'From is "news@shop.test.evil.test", expected "news@shop.test"'),
        (f"Bob <{SENDER}>", "wrong-name", 'From is called "Bob", expected "shop" or "shop.test"'),
        (f"The Shop <{SENDER}>", "wrong-name", 'From is called "The Shop", expected "shop" or "shop.test"'),
        (f"news <{SENDER}>", "wrong-name", 'From is called "news", expected "shop" or "shop.test"'),
        (f"=?utf-8?Q?B=C3=B8b?= <{SENDER}>", "wrong-name", 'From is called "Bøb", expected'),
        (f'"{SENDER}" <x@evil.test>', "wrong-address", 'From is "x@evil.test"'),
        (f"{SENDER}, x@evil.test", "unreadable", "From is not one address"),
        (f"{SENDER}, {SENDER}", "unreadable", "From is not one address"),
        (f"shop: {SENDER};", "unreadable", "From is not one address"),
        ("undisclosed-recipients:;", "unreadable", "From is not one address"),
        ("", "unreadable", 'From is not one address: ""'),
        ("nobody", "unreadable", 'From is not one address: "nobody"'),
        ("<>", "unreadable", "From is not one address"),
        ("@", "unreadable", "From is not one address"),
        ('"', "unreadable", "From is not one address"),
        ("(" * 3_000, "unreadable", "From is not one address"),
        ("a" * 5_000 + "@shop.test", "unreadable", "From is not one address"),
        (f"=?utf-8?B?a?= <{SENDER}>", "wrong-name", "From is called"),
        (f"=?no-such-charset?Q?x?= <{SENDER}>", "wrong-name", "From is called"),
    ],
)
def test_a_rewritten_or_broken_from_fails_and_says_how(from_: str, kind: str, detail: str) -> None:
    """Whoever else From names, or if it names nobody: FAIL, with what is there and what was expected."""
    finding = check_headers(mail(from_), server(), sender_required=False)
    assert (finding.outcome, finding.kind) == (StepOutcome.FAIL, kind)
    assert finding.detail.startswith(detail)


@pytest.mark.parametrize(
    ("raw", "kind", "detail"),
    [
        (b"Reply-To: news@shop.test\r\n\r\n", "missing", "From is missing"),
        (b"From: news@shop.test\r\n\r\n", "missing", "Reply-To is missing"),
        (b"", "missing", "From is missing; Reply-To is missing"),
        (b"\r\n\r\nFrom: news@shop.test", "missing", "From is missing; Reply-To is missing"),
        (mail(SENDER, SENDER, f"from: {SENDER}"), "repeated", "From is repeated: 2 headers"),
        (mail(SENDER, SENDER, "REPLY-TO: x@evil.test"), "repeated", "Reply-To is repeated: 2 headers"),
        (mail("x@a.test", "y@b.test"), "wrong-address", 'From is "x@a.test", expected "news@shop.test"; Reply-To is'),
    ],
)
def test_missing_and_repeated_headers_fail(raw: bytes, kind: str, detail: str) -> None:
    """Both headers have to be there, each once; everything that is wrong is told."""
    finding = check_headers(raw, server(), sender_required=False)
    assert (finding.outcome, finding.kind) == (StepOutcome.FAIL, kind)
    assert finding.detail.startswith(detail)


@pytest.mark.parametrize("force_from", ["always", "never", "when no valid signing domain", ""])
def test_from_is_the_sender_however_it_is_forced(force_from: str) -> None:
    """A test sends as from_email, so forcing From to it changes nothing, and not forcing it neither."""
    forced = server(force_from=force_from, reply_to_email=OTHER)
    assert check_headers(mail(), forced, sender_required=False).outcome is StepOutcome.PASS
    assert check_headers(mail(OTHER), forced, sender_required=False).outcome is StepOutcome.FAIL


@pytest.mark.parametrize(
    ("force_reply_to", "reply_to_email", "accepted"),
    [
        ("always", OTHER, {OTHER}),
        (" Always ", OTHER, {OTHER}),
        ("always", "", {SENDER}),
        ("NEVER", OTHER, {SENDER}),
        ("never", OTHER, {SENDER}),
        ("when no valid signing domain", OTHER, {SENDER, OTHER}),
        ("when no valid signing domain", "", {SENDER}),
        ("", OTHER, {SENDER, OTHER}),
    ],
)
def test_reply_to_follows_how_it_is_forced(force_reply_to: str, reply_to_email: str, accepted: set[str]) -> None:
    """Always: the server's own; never: the sender; for want of a signing domain: either. And nothing else."""
    forced = server(force_reply_to=force_reply_to, reply_to_email=reply_to_email)
    passing = {
        reply_to
        for reply_to in (SENDER, OTHER, "x@evil.test")
        if check_headers(mail(SENDER, reply_to), forced, sender_required=False).outcome is StepOutcome.PASS
    }
    assert passing == accepted
    assert reply_to_of(forced) in accepted


@pytest.mark.parametrize(
    ("sender", "is_required", "outcome"),
    [
        ((), False, StepOutcome.PASS),
        ((f"Sender: {SENDER}",), False, StepOutcome.PASS),
        (("Sender: x@relay.test",), False, StepOutcome.WARN),
        ((f"Sender: {SENDER}", "Sender: x@relay.test"), False, StepOutcome.WARN),
        ((), True, StepOutcome.FAIL),
        (("Sender: x@relay.test",), True, StepOutcome.FAIL),
        ((f"Sender: {SENDER}",), True, StepOutcome.PASS),
    ],
)
def test_sender_fails_only_if_it_is_required(sender: tuple[str, ...], is_required: bool, outcome: StepOutcome) -> None:  # noqa: FBT001  a column of the table
    """Bug 19: MailWizz sets no Sender, so by default it may be missing; another's is a warning."""
    assert check_headers(mail(SENDER, SENDER, *sender), server(), sender_required=is_required).outcome is outcome


@pytest.mark.parametrize(
    ("force_from", "outcome"),
    [("always", StepOutcome.PASS), ("when no valid signing domain", StepOutcome.PASS), ("Never", StepOutcome.FAIL)],
)
def test_a_name_of_the_row_is_right_where_mailwizz_may_force_it(force_from: str, outcome: StepOutcome) -> None:
    """A test calls itself by the domain; the row's own name can only come from a server that forces it."""
    row = server(force_from=force_from)
    assert check_headers(mail(f"The Shop <{SENDER}>"), row, sender_required=False).outcome is outcome


def test_pairs_of_headers_are_judged_as_a_mail_is() -> None:
    """A table that keeps headers alone gives pairs: they are judged by the same rules."""
    pairs = (("From", f"shop <{SENDER}>"), ("Reply-To", SENDER))
    assert check_headers(pairs, server(), sender_required=False).outcome is StepOutcome.PASS
    assert check_headers(pairs[:1], server(), sender_required=False).kind == "missing"


def test_a_server_without_a_domain_can_be_judged() -> None:
    """A sender that is no address fails everything, and raises nothing."""
    assert check_headers(mail(), server(from_email="nobody"), sender_required=True).outcome is StepOutcome.FAIL


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"Return-Path: <back@shop.test>\r\nReceived: by a\r\n\r\n", "back@shop.test"),
        (b"Delivered-To: x\r\nreturn-path: back@shop.test\r\n\r\n", "back@shop.test"),
        (b"Return-Path: <>\r\n\r\n", ""),
        (b"Received: by a\r\nReturn-Path: <back@evil.test>\r\n\r\n", ""),
        (b"", ""),
    ],
)
def test_the_envelope_s_sender_is_what_our_own_side_has_noted(raw: bytes, expected: str) -> None:
    """A Return-Path that came with the mail is anybody's."""
    assert return_path_of(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"A: 1\r\nB: 2\r\n\r\nC: 3", (("A", "1"), ("B", "2"))),
        (b"A: 1\nB: 2\n\nC: 3", (("A", "1"), ("B", "2"))),
        (b"A: 1\r\n\t2\r\n 3\r\nB:\r\n", (("A", "1\t2 3"), ("B", ""))),
        (b"From x@a.test Mon\nA:1\nno header\nB : 2", (("A", "1"), ("B", "2"))),
        (b" lost\r\nA: 1", (("A", "1"),)),
        (b"\r\nA: 1", ()),
        ("A: Bøb".encode(), (("A", "Bøb"),)),
        (b"A: B\xf8b", (("A", "B\ufffdb"),)),
        (b": x\r\nA: a:b", (("A", "a:b"),)),
    ],
)
def test_headers_are_read_in_order_and_unfolded(raw: bytes, expected: tuple[tuple[str, str], ...]) -> None:
    """Both line ends, folded lines, foreign bytes; what is no header is left out, and the body is not looked at."""
    assert headers_of(raw) == expected


@pytest.mark.parametrize(
    ("subject", "has"),
    [
        ("Test Email from shop.test [abc-1]", True),
        ("=?utf-8?Q?Test_=5Babc-1=5D?=", True),
        ("=?utf-8?B?VGVzdCBbYWJjLTFd?=", True),
        ("Test\r\n [abc-1]", True),
        ("=?utf-8?B?!?= [abc-1]", True),
        ("Test [abc-2]", False),
        ("", False),
        ("=?no-such?Q?x?=", False),
        ("=?utf-8?B?/w==?=", False),
    ],
)
def test_the_token_is_found_in_any_form_of_subject(subject: str, *, has: bool) -> None:
    """Plain, encoded, folded; and not where it isn't."""
    assert subject_has(f"Subject: {subject}\r\n\r\n[abc-1]".encode(), "[abc-1]") is has


@pytest.mark.parametrize(
    ("from_", "domain"),
    [(f"x <a@Shop.Test>, {SENDER}", None), ("a@Shop.TEST", "shop.test"), ("x", None), ("a@sub.shop.test.", None)],
)
def test_the_author_is_one_domain_or_none(from_: str, domain: str | None) -> None:
    """Lower case; several authors, or none that can be read, are none."""
    assert author_domain((("From", from_),)) == domain
    assert author_domain((("From", from_), ("From", from_))) is None


RECEIVED = {
    "postfix": (
        f"from out.shop.test (unknown [192.0.2.1])\n (using TLSv1.3) by {OWN_MX} (Postfix) with ESMTPS; Mon",
        "192.0.2.1",
    ),
    "postfix-v6": (f"from o.test (o.test [IPv6:2001:DB8::1]) by {OWN_MX} (Postfix)", "2001:db8::1"),
    "literal-helo": (f"from [198.51.100.9] (o.test [192.0.2.1]) by {OWN_MX} with SMTP", "192.0.2.1"),
    "helo-like-a-comment": (f"from x([198.51.100.9]) (o.test [192.0.2.1]) by {OWN_MX}", "192.0.2.1"),
    "helo-with-a-parenthesis": (f"from x(y (o.test [192.0.2.1]) by {OWN_MX}", "192.0.2.1"),
    "exim": (f"from o.test ([192.0.2.1] helo=[198.51.100.9]) by {OWN_MX} with esmtps", "192.0.2.1"),
    "exim-no-name": (f"from [192.0.2.1] (helo=out.shop.test) by {OWN_MX} with esmtp", "192.0.2.1"),
    "exim-port": (f"from o.test ([192.0.2.1]:2525 helo=o.test) by {OWN_MX}", "192.0.2.1"),
    "gmail": (f"from o.test (o.test. [192.0.2.1])\n by {OWN_MX} with ESMTPS id x", "192.0.2.1"),
    "upper": (f"FROM o.test (o.test [192.0.2.1]) BY {OWN_MX.upper()}.", "192.0.2.1"),
    "local": (f"by {OWN_MX} (Postfix, from userid 0)", None),
    "no-number": (f"from o.test (o.test [999.1.1.1]) by {OWN_MX}", None),
    "only-claimed": (f"from [198.51.100.9] by {OWN_MX}", None),
}


@pytest.mark.parametrize("form", RECEIVED)
def test_the_connecting_address_is_the_servers_word_not_the_clients(form: str) -> None:
    """In every mail server's form it is the address that the server saw, never the one in the client's greeting."""
    value, address = RECEIVED[form]
    found = topmost_received((("Subject", "x"), ("Received", value)), [OWN_MX])
    assert found is not None
    assert (found.by, found.address, found.position) == (OWN_MX, address, 1)


def test_only_the_topmost_note_of_our_own_server_counts() -> None:
    """Notes of others are passed over, and one that pretends to be ours further down is not looked at."""
    headers = (
        ("Received", "from mx.own.test by store.own.test with LMTP"),
        ("Received", f"from o.test (o.test [192.0.2.1]) by {OWN_MX}"),
        ("Received", f"from o.test (o.test [198.51.100.9]) by {OWN_MX}"),
    )
    found = topmost_received(headers, [OWN_MX])
    assert found is not None
    assert (found.address, found.helo) == ("192.0.2.1", "o.test")
    assert topmost_received(headers, []) is None
    assert topmost_received(headers, ["mx.other.test"]) is None
    assert topmost_received((("Received", "nonsense"), ("Received", "")), [OWN_MX]) is None


def test_the_greeting_is_told_in_either_form() -> None:
    """SPF of a mail without a sender goes by the client's greeting: after `from`, or as `helo=`."""
    plain = topmost_received((("Received", f"from hi.test (x [192.0.2.1]) by {OWN_MX}"),), [OWN_MX])
    exim = topmost_received((("Received", f"from x ([192.0.2.1] helo=hi.test) by {OWN_MX}"),), [OWN_MX])
    assert plain is not None
    assert exim is not None
    assert (plain.helo, exim.helo) == ("hi.test", "hi.test")


POST = ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((), Unsubscribe(None, is_one_click=False, is_repeated=False)),
        ((("List-Unsubscribe", "<mailto:a@b.test>"),), Unsubscribe(None, is_one_click=False, is_repeated=False)),
        (
            (("List-Unsubscribe", "<mailto:a@b.test>, <https://a.test/u>"), POST),
            Unsubscribe("https://a.test/u", is_one_click=True, is_repeated=False),
        ),
        (
            (("list-unsubscribe", "<http://a.test/u>,<HTTPS://a.test/v>"),),
            Unsubscribe("HTTPS://a.test/v", is_one_click=False, is_repeated=False),
        ),
        (
            (("List-Unsubscribe", "<https://a.test/\tu/ 1>"), (POST[0], " list-unsubscribe=ONE-CLICK ")),
            Unsubscribe("https://a.test/u/1", is_one_click=True, is_repeated=False),
        ),
        (
            (("List-Unsubscribe", "https://a.test/u"), (POST[0], "List-Unsubscribe=Two-Click")),
            Unsubscribe(None, is_one_click=False, is_repeated=False),
        ),
        (
            (("List-Unsubscribe", "<https://a.test/u>"), ("List-Unsubscribe", "<https://b.test/u>"), POST),
            Unsubscribe("https://a.test/u", is_one_click=True, is_repeated=True),
        ),
    ],
)
def test_unsubscribe_headers_are_read(headers: tuple[tuple[str, str], ...], expected: Unsubscribe) -> None:
    """The first https address, else http; one click only by the exact words; two headers of a kind are told."""
    assert unsubscribe_of(headers) == expected
    assert expected.is_https is (expected.uri or "").lower().startswith("https:")


names = st.sampled_from(["From", "Reply-To", "Sender", "Subject", "Received", "List-Unsubscribe", "X"])
scraps = st.sampled_from(
    [
        "=?utf-8?B?",
        "?=",
        "=?x?Q?",
        *'<>()"\\@,:;[]\t\x00\ud7ffé=\r\n',
        "\r\n ",
        "..",
        "by mx.own.test",
        "from ",
        "helo=",
        "[IPv6:::1]",
        "news@shop.test",
    ]
)
values = st.lists(st.one_of(scraps, st.text(max_size=5)), max_size=12).map("".join)
mails = st.lists(st.tuples(names, values).map(lambda each: f"{each[0]}: {each[1]}\r\n"), max_size=6).map(
    lambda lines: "".join(lines).encode("utf-8", "replace")
)


@given(st.one_of(st.binary(max_size=300), mails))
@settings(max_examples=400, deadline=None)
@example(b'From: "\r\n\r\n')
@example(b"From: <@>\r\nReply-To: =?=\r\nSender: a@[\r\n")
def test_no_bytes_break_the_readers(raw: bytes) -> None:
    """Whatever arrives, each reader gives an answer: a finding that passes or fails, and never an exception."""
    headers = headers_of(raw)
    finding = check_headers(raw, server(), sender_required=True)
    assert finding.outcome in (StepOutcome.PASS, StepOutcome.FAIL)
    assert (finding.outcome is StepOutcome.PASS) == (finding.kind == "")
    assert isinstance(subject_has(raw, "[x]"), bool)
    assert author_domain(headers) is None or len(values_of(headers, "From")) == 1
    received = topmost_received(raw, [OWN_MX])
    assert received is None or received.by == OWN_MX
    assert unsubscribe_of(headers).uri is None or values_of(headers, "List-Unsubscribe")
