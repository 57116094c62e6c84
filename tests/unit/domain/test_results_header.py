"""Authentication-Results: our own mail server's word, and nobody's who pretends to be it."""

import pytest

from domain.results_header import Results, own_results

OURS = ("Received", "from o.test (o.test [192.0.2.1]) by mx.own.test")
THEIRS = ("Received", "from x.test by o.test")
FORGED = ("Authentication-Results", "own.test; dkim=pass; spf=pass")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("own.test; dkim=pass header.d=a.test; spf=fail smtp.mailfrom=x@a.test", (("dkim", "pass"), ("spf", "fail"))),
        ("OWN.TEST 1; DKIM=Pass", (("dkim", "pass"),)),
        ("(c; dkim=fail) own.test (x(y)); dkim (c) = pass (good; key)", (("dkim", "pass"),)),
        ('own.test; dkim=fail reason="bad; dkim=pass"', (("dkim", "fail"),)),
        ("own.test; dkim/1=pass; arc=none", (("dkim", "pass"), ("arc", "none"))),
        ("own.test; none", ()),
        ("own.test", ()),
        ("", None),
        (";;=;", None),
        ("other.test; dkim=pass", None),
        ("own.test.evil.test; dkim=pass", None),
    ],
)
def test_results_are_read_from_a_header_of_ours(value: str, expected: Results | None) -> None:
    """Methods and results in order, comments and quoted words apart; a header of another server's id is none."""
    assert own_results((("Authentication-Results", value), OURS), "own.test", ["mx.own.test"]) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((("Authentication-Results", "own.test; dkim=fail"), OURS, FORGED), (("dkim", "fail"),)),
        ((OURS, ("Authentication-Results", "own.test; dkim=fail"), FORGED, THEIRS), (("dkim", "fail"),)),
        ((OURS, THEIRS, FORGED), None),
        ((("Received", "by store.own.test"), OURS, THEIRS, FORGED), None),
        ((("Authentication-Results", "else.test; dkim=pass"), OURS), None),
        ((OURS,), None),
        ((), None),
    ],
)
def test_what_a_mail_brought_along_is_not_believed(
    headers: tuple[tuple[str, str], ...], expected: Results | None
) -> None:
    """The topmost header of ours counts alone; below the note of whoever had the mail before us none does."""
    assert own_results(headers, "own.test", ["mx.own.test"]) == expected
