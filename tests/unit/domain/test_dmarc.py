"""DMARC by RFC 9989: records, the tree walk, and which domain is whose."""

import pytest

from domain.dmarc import Record, ends_walk, names_to_ask, organization_of, policy_for, record_of

PLAIN = Record("none", "none", is_strict_dkim=False, is_strict_spf=False, psd="u")
SUFFIX = Record("none", "none", is_strict_dkim=False, is_strict_spf=False, psd="y")
TOP = Record("none", "none", is_strict_dkim=False, is_strict_spf=False, psd="n")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], None),
        ([b"v=spf1 -all"], None),
        ([b"v=DMARC1"], PLAIN),
        ([b"v=DMARC1;p=none", b"other"], PLAIN),
        ([b"v=DMARC1;p=none", b"v=DMARC1;p=reject"], None),
        ([b" v=DMARC1;p=none"], None),
        ([b"v=DMARC10;p=none"], None),
        ([b"p=none;v=DMARC1"], None),
        ([b"v = DMARC1 ; p = REJECT ; sp=none"], Record("reject", "none", False, False, "u")),
        ([b"v=DMARC1;p=quarantine;adkim=s;aspf=S;psd=y"], Record("quarantine", "quarantine", True, True, "y")),
        ([b"v=DMARC1;p=nonsense;adkim=x;psd=maybe;\xff=;;="], PLAIN),
        ([b"v=DMARC1;psd=n"], TOP),
    ],
)
def test_a_record_is_read_or_is_none(texts: list[bytes], expected: Record | None) -> None:
    """The version first, one record alone; what a tag can't say is as if it said nothing."""
    assert record_of(texts) == expected


def test_the_walk_goes_up_and_leaves_out_the_middle_of_long_names() -> None:
    """Each name above is asked, of a long one the domain itself and the last seven labels: never more than eight."""
    assert names_to_ask("A.Shop.Test.") == ["a.shop.test", "shop.test", "test"]
    assert names_to_ask("test") == ["test"]
    eight = "a.b.c.d.e.f.g.test"
    assert names_to_ask(eight)[:2] == [eight, "b.c.d.e.f.g.test"]
    assert names_to_ask(f"x.y.z.{eight}")[:2] == [f"x.y.z.{eight}", "b.c.d.e.f.g.test"]
    assert len(names_to_ask(eight)) == len(names_to_ask(f"x.y.z.{eight}")) == 8


def test_a_record_that_knows_its_place_ends_the_walk() -> None:
    """`psd=y` and `psd=n` end it, anything else doesn't."""
    assert [ends_walk(each) for each in (None, PLAIN, SUFFIX, TOP)] == [False, False, True, True]


@pytest.mark.parametrize(
    ("domain", "found", "expected"),
    [
        ("a.shop.test", {}, "a.shop.test"),
        ("a.shop.test", {"a.shop.test": PLAIN}, "a.shop.test"),
        ("a.shop.test", {"a.shop.test": PLAIN, "shop.test": PLAIN}, "shop.test"),
        ("a.b.shop.test", {"shop.test": TOP}, "shop.test"),
        ("a.b.shop.test", {"test": SUFFIX}, "shop.test"),
        ("a.shop.co.test", {"a.shop.co.test": PLAIN, "co.test": SUFFIX}, "shop.co.test"),
        ("co.test", {"co.test": SUFFIX}, "co.test"),
        ("shop.test", {"test": SUFFIX}, "shop.test"),
    ],
)
def test_the_organization_is_found_from_the_records(domain: str, found: dict[str, Record], expected: str) -> None:
    """The shortest name with a record; below a public suffix the label next to it; without any record the domain."""
    assert organization_of(domain, found) == expected


@pytest.mark.parametrize(
    ("domain", "found", "expected"),
    [
        ("a.shop.test", {}, None),
        ("a.shop.test", {"a.shop.test": PLAIN, "shop.test": TOP}, "a.shop.test"),
        ("a.b.shop.test", {"b.shop.test": PLAIN, "shop.test": PLAIN}, "shop.test"),
        ("a.shop.test", {"shop.test": PLAIN, "test": SUFFIX}, "shop.test"),
        ("a.shop.test", {"test": SUFFIX}, "test"),
    ],
)
def test_the_policy_is_the_domains_own_or_its_organizations(
    domain: str, found: dict[str, Record], expected: str | None
) -> None:
    """The domain's record, else the one of its organization, else the one of the public suffix."""
    policy = policy_for(domain, found)
    assert (policy and policy[0]) == expected
