"""What a mail proves of its server: real signatures, a real name server, and every way in which they can be wrong."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.clients.dns_lookup import NameServers
from daemon.clients.mail_address import Zones
from daemon.clients.mail_checks import DnsMailChecks, MailCheckOptions
from domain.server_ports import MailChecks
from domain.server_test import Finding, StepId, StepOutcome
from localstack.dns import DnsFault, DnsServer, Zone
from tests.mails import (
    ADDRESS,
    AUTHSERV_ID,
    DOMAIN,
    HARD,
    SELECTOR,
    SENDER,
    SOFT,
    UNSUBSCRIBE,
    Mail,
    arrived,
    key_record,
    options,
    zone,
)

PASS, FAIL, WARN, SKIP, ERROR = StepOutcome
KEY = f"{SELECTOR}._domainkey.{DOMAIN}"
OTHER = "relay.example"


def results(text: str) -> tuple[tuple[str, str], ...]:
    return (("Authentication-Results", f"{AUTHSERV_ID}; {text}"),)


@pytest.fixture
async def dns() -> AsyncIterator[DnsServer]:
    """A name server with all that a good sender has."""
    async with DnsServer(zone()) as server:
        yield server


async def judged(dns: DnsServer, mail: Mail | bytes, step: StepId, *, by_campaign: bool = True) -> Finding:
    """One step's finding about a mail; a name server that keeps silent is given up after half a second."""
    checks: MailChecks = DnsMailChecks(options(dns, timeout_s=0.5))
    findings = await checks.check(arrived(mail, by_campaign=by_campaign))
    return next(finding for finding in findings if finding.step is step)


async def test_a_good_mail_passes_every_step(dns: DnsServer) -> None:
    """Signed, sent from the right address, aligned, named, on no list, one click: six times PASS, in order."""
    mail = Mail(headers=UNSUBSCRIBE, above=results("dkim=pass; spf=pass; dmarc=pass"))
    findings = await DnsMailChecks(options(dns)).check(arrived(mail))
    assert [(each.step.value, each.outcome) for each in findings] == [
        (step, PASS) for step in ("T9", "T10", "T11", "T12", "T13", "T14")
    ]


@pytest.mark.parametrize(
    ("mail", "by_campaign", "outcome", "kind", "detail"),
    [
        (Mail(), True, PASS, "", "signed by shop.test"),
        (Mail(changes=((b"Hello", b"Hallo"),)), True, FAIL, "broken-signature", "body hash mismatch"),
        (Mail(changes=((b"Test [token]", b"Rest [token]"),)), True, FAIL, "broken-signature", "does not match"),
        (Mail(changes=((b" b=", b" b=QUJD"),)), True, FAIL, "broken-signature", "shop.test"),
        (Mail(changes=((b"d=shop.test", b"x=shop.test"),)), True, FAIL, "broken-signature", ""),
        (Mail(changes=((b"a=rsa-sha256", b"a=rsa-sha1"),)), True, FAIL, "broken-signature", "RFC 8301"),
        (Mail(changes=((b"a=rsa-", b"a=ed25519-"),)), True, FAIL, "broken-signature", "shop.test"),
        (Mail(signed_by=()), True, FAIL, "unsigned", "no signature"),
        (Mail(signed_by=()), False, WARN, "unsigned", "no signature"),
        (Mail(signed_by=(OTHER,)), True, FAIL, "not-aligned", "signed by relay.example alone, but from shop.test"),
        (Mail(signed_by=(OTHER,)), False, WARN, "not-aligned", "signed by relay.example alone, but from shop.test"),
        (Mail(signed_by=(DOMAIN, OTHER)), True, PASS, "", "signed by shop.test"),
        (Mail(signed_by=("nokey.test",)), False, FAIL, "broken-signature", "no key at mailer._domainkey.nokey.test"),
        (Mail(signed_by=("nokey.test", DOMAIN)), True, PASS, "", "signed by shop.test"),
        (Mail(sender=f"x@sub.{DOMAIN}"), True, PASS, "", "signed by shop.test"),
        (Mail(changes=((b"From: ", b"From: x@shop.test\r\nFrom: "),)), True, FAIL, "broken-signature", "not match"),
    ],
)  # fmt: skip
async def test_dkim(
    dns: DnsServer, mail: Mail, by_campaign: bool, outcome: StepOutcome, kind: str, detail: str  # noqa: FBT001  a column
) -> None:  # fmt: skip
    """One valid signature of the author's own organization passes; broken fails, and want of one by MailWizz's ways."""
    dns.set({(f"{SELECTOR}._domainkey.{OTHER}", "TXT"): [key_record()]})
    finding = await judged(dns, mail, StepId.DKIM, by_campaign=by_campaign)
    assert (finding.outcome, finding.kind) == (outcome, kind)
    assert detail in finding.detail


@pytest.mark.parametrize(
    ("record", "detail"),
    [
        ('"v=DKIM1; p="', "could not parse RSA public key"),
        ('"v=DKIM1; p=nonsense!"', "shop.test"),
        ('"v=DKIM2; p=x"', "bad version"),
        ('"hello"', "shop.test"),
        ('"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="', "no ed25519 key serves rsa-sha256"),
        ('"v=DKIM1; k=dsa; p=x"', "unknown algorithm"),
    ],
)
async def test_a_key_that_is_none_breaks_the_signature(dns: DnsServer, record: str, detail: str) -> None:
    """Withdrawn, spoilt or of a kind that does not fit: nothing is proven, and nothing raised."""
    dns.set({(KEY, "TXT"): [record]})
    finding = await judged(dns, Mail(), StepId.DKIM)
    assert finding.outcome is FAIL
    assert detail in finding.detail


@pytest.mark.parametrize("fault", [DnsFault.SERVFAIL, DnsFault.REFUSED, DnsFault.TIMEOUT])
async def test_a_key_that_cannot_be_asked_for_is_nobodys_fault(dns: DnsServer, fault: DnsFault) -> None:
    """A name server without an answer is an ERROR of DKIM, and of what rests on it; other steps go on."""
    dns.fail(KEY, fault)
    findings = await DnsMailChecks(options(dns, timeout_s=0.3)).check(arrived(Mail(headers=UNSUBSCRIBE)))
    outcomes = {finding.step: finding.outcome for finding in findings}
    assert (outcomes[StepId.DKIM], outcomes[StepId.UNSUBSCRIBE]) == (ERROR, ERROR)
    assert (outcomes[StepId.SPF], outcomes[StepId.DMARC], outcomes[StepId.ADDRESS]) == (PASS, PASS, PASS)


@pytest.mark.parametrize("fault", [DnsFault.SLOW, DnsFault.TRUNCATED])
async def test_slow_and_cut_answers_are_answers(dns: DnsServer, fault: DnsFault) -> None:
    """A late answer is waited for, and one that does not fit is asked for again over TCP."""
    dns.fail(DOMAIN, fault)
    checks = DnsMailChecks(options(dns, timeout_s=5))
    outcomes = {finding.step: finding.outcome for finding in await checks.check(arrived(Mail()))}
    assert (outcomes[StepId.DKIM], outcomes[StepId.SPF], outcomes[StepId.DMARC]) == (PASS, PASS, PASS)
    assert {asked.over for asked in dns.asked if asked.name == KEY} == {"udp"} | (
        {"tcp"} if fault is DnsFault.TRUNCATED else set()
    )


SPF_CASES: dict[str, tuple[Zone, StepOutcome, str]] = {
    "ip": ({}, PASS, "pass"),
    "fail": ({(DOMAIN, "TXT"): ['"v=spf1 ip4:198.51.100.1 -all"']}, FAIL, "fail"),
    "softfail": ({(DOMAIN, "TXT"): ['"v=spf1 ~all"']}, WARN, "softfail"),
    "neutral": ({(DOMAIN, "TXT"): ['"v=spf1 ?all"']}, WARN, "neutral"),
    "none": ({(DOMAIN, "TXT"): ['"something else"']}, WARN, "none"),
    "no-domain": ({(DOMAIN, "TXT"): []}, WARN, "none"),
    "permerror": ({(DOMAIN, "TXT"): ['"v=spf1 nonsense -all"']}, FAIL, "permerror"),
    "two-records": ({(DOMAIN, "TXT"): ['"v=spf1 +all"', '"v=spf1 -all"']}, FAIL, "permerror"),
    "loop": ({(DOMAIN, "TXT"): [f'"v=spf1 include:{DOMAIN} -all"']}, FAIL, "permerror"),
    "pieces": ({(DOMAIN, "TXT"): [f'"v=spf1 ip4:" "{ADDRESS} -all"']}, PASS, "pass"),
    "include": (
        {(DOMAIN, "TXT"): ['"v=spf1 include:inc.test -all"'], ("inc.test", "TXT"): [f'"v=spf1 ip4:{ADDRESS} -all"']},
        PASS,
        "pass",
    ),
    "include-of-nothing": ({(DOMAIN, "TXT"): ['"v=spf1 include:nothing.test -all"']}, FAIL, "permerror"),
    "redirect": (
        {(DOMAIN, "TXT"): ['"v=spf1 redirect=inc.test"'], ("inc.test", "TXT"): ['"v=spf1 ~all"']},
        WARN,
        "softfail",
    ),
    "a": ({(DOMAIN, "TXT"): ['"v=spf1 a:out.shop.test -all"']}, PASS, "pass"),
    "mx": (
        {(DOMAIN, "TXT"): ['"v=spf1 mx -all"'], (DOMAIN, "MX"): ["20 x.test.", "10 out.shop.test."]},
        PASS,
        "pass",
    ),
    "alias": (
        {(DOMAIN, "TXT"): ['"v=spf1 a:alias.test -all"'], ("alias.test", "CNAME"): ["out.shop.test."]},
        PASS,
        "pass",
    ),
    "ptr": ({(DOMAIN, "TXT"): ['"v=spf1 ptr -all"']}, PASS, "pass"),
    "exists": (
        {(DOMAIN, "TXT"): ['"v=spf1 exists:%{ir}.ok.test -all"'], ("10.2.0.192.ok.test", "A"): ["127.0.0.1"]},
        PASS,
        "pass",
    ),
    "explained": (
        {(DOMAIN, "TXT"): ['"v=spf1 -all exp=why.test"'], ("why.test", "TXT"): ['"because"']},
        FAIL,
        "fail",
    ),
    "too-many": (
        {(DOMAIN, "TXT"): [f'"v=spf1 {" ".join(f"a:h{n}.test" for n in range(11))} -all"']}
        | {(f"h{n}.test", "A"): ["198.51.100.1"] for n in range(11)},
        FAIL,
        "permerror",
    ),
    "void": ({(DOMAIN, "TXT"): ['"v=spf1 a:v1.test a:v2.test a:v3.test a:out.shop.test -all"']}, FAIL, "permerror"),
}


@pytest.mark.parametrize("case", SPF_CASES)
async def test_spf(dns: DnsServer, case: str) -> None:
    """Each of SPF's results for the address that our own server noted, through every kind of mechanism."""
    changes, outcome, word = SPF_CASES[case]
    dns.set(changes)
    finding = await judged(dns, Mail(), StepId.SPF)
    assert (finding.outcome, finding.kind) == (outcome, word)
    assert f"{word} for {ADDRESS} of {DOMAIN}" in finding.detail


@pytest.mark.parametrize("name", [DOMAIN, "inc.test"])
@pytest.mark.parametrize("fault", [DnsFault.SERVFAIL, DnsFault.TIMEOUT])
async def test_spf_that_cannot_be_asked_for_is_nobodys_fault(dns: DnsServer, name: str, fault: DnsFault) -> None:
    """A name server without an answer, at the first question or a later one, is temperror: an ERROR."""
    dns.set({(DOMAIN, "TXT"): ['"v=spf1 include:inc.test -all"'], ("inc.test", "TXT"): ['"v=spf1 -all"']})
    dns.fail(name, fault)
    finding = await judged(dns, Mail(), StepId.SPF)
    assert (finding.outcome, finding.kind) == (ERROR, "temperror")


async def test_spf_of_ipv6_and_of_a_mail_without_sender(dns: DnsServer) -> None:
    """The other protocol's addresses count too; where the envelope has no sender it is the client's greeting."""
    dns.set({(DOMAIN, "TXT"): ['"v=spf1 ip6:2001:db8::/32 -all"'], (f"out.{DOMAIN}", "TXT"): ['"v=spf1 a -all"']})
    assert (await judged(dns, Mail(address="IPv6:2001:db8::5"), StepId.SPF)).outcome is PASS
    findings = await DnsMailChecks(options(dns)).check(arrived(Mail(), envelope_from=""))
    assert (findings[1].outcome, findings[1].detail.partition(":")[0]) == (PASS, f"pass for {ADDRESS} of out.{DOMAIN}")


async def test_spf_leaves_the_librarys_own_lookup_alone(dns: DnsServer) -> None:
    """Nothing in pyspf is replaced for others, and many mails at once don't mix."""
    dns.set({("bad.test", "TXT"): ['"v=spf1 -all"']})
    checks = DnsMailChecks(options(dns))
    senders = [f"x@{DOMAIN}", "x@bad.test"] * 10
    found = await asyncio.gather(*(checks.check(arrived(Mail(), envelope_from=sender)) for sender in senders))
    assert [each[1].outcome for each in found] == [PASS, FAIL] * 10
    library = sys.modules["spf"]
    assert library.DNSLookup is library.DNSLookup_dnspython


DMARC_CASES: dict[str, tuple[Zone, Mail, StepOutcome, str]] = {
    "by-dkim": ({(DOMAIN, "TXT"): ['"v=spf1 -all"']}, Mail(), PASS, "aligned by DKIM; p=reject at shop.test"),
    "by-spf": ({}, Mail(signed_by=()), PASS, "aligned by SPF; p=reject at shop.test"),
    "neither": ({(DOMAIN, "TXT"): ['"v=spf1 -all"']}, Mail(signed_by=()), FAIL, "neither DKIM nor SPF passes"),
    "foreign": ({(DOMAIN, "TXT"): ['"v=spf1 -all"']}, Mail(signed_by=(OTHER,)), FAIL, "neither"),
    "no-record": ({(f"_dmarc.{DOMAIN}", "TXT"): []}, Mail(), WARN, "shop.test has no DMARC record"),
    "two-records": ({(f"_dmarc.{DOMAIN}", "TXT"): ['"v=DMARC1"', '"v=DMARC1;"']}, Mail(), WARN, "no DMARC record"),
    "other-text": ({(f"_dmarc.{DOMAIN}", "TXT"): ['"v=spf1 -all"']}, Mail(), WARN, "no DMARC record"),
    "subdomain": ({}, Mail(sender=f"x@sub.{DOMAIN}"), PASS, "aligned by DKIM; p=reject at shop.test"),
    "sp": (
        {(f"_dmarc.{DOMAIN}", "TXT"): ['"v=DMARC1; p=reject; sp=none"']},
        Mail(sender=f"x@sub.{DOMAIN}"),
        PASS,
        "p=none at shop.test",
    ),
    "strict": (
        {(f"_dmarc.{DOMAIN}", "TXT"): ['"v=DMARC1; adkim=s; aspf=s"']},
        Mail(sender=f"x@sub.{DOMAIN}"),
        FAIL,
        "neither",
    ),
    "strict-spf-alone": (
        {(f"_dmarc.{DOMAIN}", "TXT"): ['"v=DMARC1; aspf=s"']},
        Mail(sender=f"x@sub.{DOMAIN}", signed_by=()),
        FAIL,
        "neither",
    ),
    "public-suffix": (
        {("_dmarc.test", "TXT"): ['"v=DMARC1; psd=y"']},
        Mail(sender="x@else.test"),
        FAIL,
        "p=none at test",
    ),
    "own-top": (
        {(f"_dmarc.sub.{DOMAIN}", "TXT"): ['"v=DMARC1; psd=n"']},
        Mail(sender=f"x@sub.{DOMAIN}"),
        FAIL,
        "neither DKIM nor SPF passes for sub.shop.test",
    ),
    "authors": ({}, Mail(sender=f"{SENDER}, x@evil.test", signed_by=(OTHER,)), PASS, "aligned by SPF"),
}  # fmt: skip


@pytest.mark.parametrize("case", DMARC_CASES)
async def test_dmarc(dns: DnsServer, case: str) -> None:
    """RFC 9989: the record by the tree walk, and one of DKIM and SPF of the author's own organization."""
    changes, mail, outcome, detail = DMARC_CASES[case]
    dns.set({(f"{SELECTOR}._domainkey.{OTHER}", "TXT"): [key_record()], **changes})
    finding = await judged(dns, mail, StepId.DMARC)
    assert finding.outcome is outcome
    assert detail in finding.detail


@pytest.mark.parametrize(
    ("failing", "mail", "outcome"),
    [
        (f"_dmarc.{DOMAIN}", Mail(), ERROR),
        (KEY, Mail(), PASS),
        (f"out.{DOMAIN}", Mail(signed_by=()), ERROR),
        (f"out.{DOMAIN}", Mail(), PASS),
    ],
)
async def test_dmarc_is_told_as_far_as_it_is_known(
    dns: DnsServer, failing: str, mail: Mail, outcome: StepOutcome
) -> None:
    """A record, or the last hope of alignment, that can't be asked for is an ERROR; one that passes needs no more."""
    spf_record = '"v=spf1 a:out.shop.test -all"' if failing.startswith("out.") else f'"v=spf1 ip4:{ADDRESS} -all"'
    dns.set({(DOMAIN, "TXT"): [spf_record]})
    dns.fail(failing, DnsFault.SERVFAIL)
    assert (await judged(dns, mail, StepId.DMARC)).outcome is outcome


AR_PASS = results("dkim=pass; spf=pass; dmarc=pass")


@pytest.mark.parametrize(
    ("mail", "outcome", "kind"),
    [
        (Mail(above=AR_PASS), PASS, ""),
        (Mail(below=AR_PASS), PASS, ""),
        (Mail(above=results("dkim=pass header.d=shop.test")), PASS, ""),
        (Mail(above=results("dkim=fail header.d=x.test; dkim=pass header.d=shop.test")), PASS, ""),
        (Mail(), WARN, "missing"),
        (Mail(above=(("Authentication-Results", "evil.test; dkim=pass"),)), WARN, "missing"),
        (Mail(below=(("Received", "from x by evil.test"), *AR_PASS)), WARN, "missing"),
        (Mail(above=results("none")), WARN, "nothing-to-compare"),
        (Mail(above=results("iprev=pass")), WARN, "nothing-to-compare"),
        (Mail(above=results("dkim=fail")), WARN, "differs"),
        (Mail(above=results("spf=softfail")), WARN, "differs"),
        (Mail(above=results("dkim=fail"), below=AR_PASS), WARN, "differs"),
        (Mail(signed_by=(), below=AR_PASS), WARN, "differs"),
        (Mail(signed_by=(), above=results("dkim=none; spf=pass; dmarc=pass")), PASS, ""),
    ],
)
async def test_what_our_own_mail_server_says(dns: DnsServer, mail: Mail, outcome: StepOutcome, kind: str) -> None:
    """Its topmost header agrees or it doesn't; headers that others wrote or forged count as none."""
    finding = await judged(dns, mail, StepId.RESULTS_HEADER)
    assert (finding.outcome, finding.kind) == (outcome, kind)


PTR = "10.2.0.192.in-addr.arpa"
ADDRESS_CASES: dict[str, tuple[Zone, StepOutcome, str, str]] = {
    "match": ({}, PASS, "", f"{ADDRESS} has its name and is on no list"),
    "second-name": ({(PTR, "PTR"): ["x.test.", f"out.{DOMAIN}."]}, PASS, "", ""),
    "no-name": ({(PTR, "PTR"): []}, WARN, "no-ptr", f"{ADDRESS} has no name"),
    "mismatch": ({(f"out.{DOMAIN}", "A"): ["198.51.100.1"]}, WARN, "ptr-mismatch", "which do not lead back"),
    "hard": ({(f"10.2.0.192.{HARD}", "A"): ["127.0.0.4"]}, FAIL, "listed", f"{HARD} lists {ADDRESS}: 127.0.0.4"),
    "soft": ({(f"10.2.0.192.{SOFT}", "A"): ["127.0.0.4"]}, WARN, "listed", f"{SOFT} lists {ADDRESS}"),
    "both": (
        {(f"10.2.0.192.{zone_}", "A"): ["127.0.0.2", "127.0.0.3"] for zone_ in (HARD, SOFT)},
        FAIL,
        "listed",
        f"{HARD} lists {ADDRESS}: 127.0.0.2, 127.0.0.3; {SOFT} lists",
    ),
    "refused-by-hard": (
        {(f"10.2.0.192.{HARD}", "A"): ["127.255.255.254"]},
        ERROR,
        "zone-error",
        f"{HARD} refuses to tell: 127.255.255.254",
    ),
    "refused-at-the-test-point": (
        {(f"2.0.0.127.{HARD}", "A"): ["127.255.255.252"]},
        ERROR,
        "zone-error",
        f"{HARD} refuses to tell",
    ),
    "dead": ({(f"2.0.0.127.{HARD}", "A"): []}, ERROR, "zone-error", f"{HARD} does not list 127.0.0.2"),
    "dead-yet-listing": (
        {(f"2.0.0.127.{HARD}", "A"): [], (f"10.2.0.192.{HARD}", "A"): ["127.0.0.2"]},
        ERROR,
        "zone-error",
        f"{HARD} does not list 127.0.0.2",
    ),
    "lists-everybody": ({(f"*.{HARD}", "A"): ["127.0.0.2"]}, ERROR, "zone-error", f"{HARD} lists 127.0.0.1"),
    "sold": ({(f"*.{SOFT}", "A"): ["198.51.100.7"]}, ERROR, "zone-error", f"{SOFT} refuses to tell: 198.51.100.7"),
    "hard-listing-and-dead-soft": (
        {(f"10.2.0.192.{HARD}", "A"): ["127.0.0.4"], (f"2.0.0.127.{SOFT}", "A"): []},
        FAIL,
        "listed",
        f"{SOFT} does not list 127.0.0.2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ADDRESS_CASES)
async def test_the_address_has_its_name_and_is_on_no_list(dns: DnsServer, case: str) -> None:
    """A name that leads back; a listing counts only where the list is alive, selective and willing to tell."""
    changes, outcome, kind, detail = ADDRESS_CASES[case]
    dns.set(changes)
    finding = await judged(dns, Mail(), StepId.ADDRESS)
    assert (finding.outcome, finding.kind) == (outcome, kind)
    assert detail in finding.detail


@pytest.mark.parametrize(
    ("name", "kind"),
    [(PTR, "dns"), (f"out.{DOMAIN}", "dns"), (HARD, "zone-error"), (f"2.0.0.127.{SOFT}", "zone-error")],
)
@pytest.mark.parametrize("fault", [DnsFault.SERVFAIL, DnsFault.TIMEOUT])
async def test_an_address_that_cannot_be_asked_for_is_nobodys_fault(
    dns: DnsServer, name: str, kind: str, fault: DnsFault
) -> None:
    """Names and lists behind a broken name server are an ERROR."""
    dns.fail(name, fault)
    finding = await judged(dns, Mail(), StepId.ADDRESS)
    assert (finding.outcome, finding.kind) == (ERROR, kind)


async def test_an_ipv6_address_is_judged_too(dns: DnsServer) -> None:
    """Its name by ip6.arpa and AAAA, and the lists by its nibbles."""
    nibbles = "5.0.0.0." + "0.0.0.0." * 5 + "8.b.d.0.1.0.0.2"
    dns.set({(f"{nibbles}.ip6.arpa", "PTR"): [f"six.{DOMAIN}."], (f"six.{DOMAIN}", "AAAA"): ["2001:db8::5"]})
    mail = Mail(address="IPv6:2001:DB8::5")
    assert (await judged(dns, mail, StepId.ADDRESS)).outcome is PASS
    dns.set({(f"{nibbles}.{HARD}", "A"): ["127.0.0.3"]})
    assert (await judged(dns, mail, StepId.ADDRESS)).outcome is FAIL


LIST, POST = UNSUBSCRIBE


@pytest.mark.parametrize(
    ("mail", "by_campaign", "outcome", "kind"),
    [
        (Mail(headers=UNSUBSCRIBE), True, PASS, ""),
        (Mail(headers=UNSUBSCRIBE), False, SKIP, "direct"),
        (Mail(), True, WARN, "no-https"),
        (Mail(), False, SKIP, "direct"),
        (Mail(headers=(("List-Unsubscribe", "<mailto:a@shop.test>"), POST)), True, WARN, "no-https"),
        (Mail(headers=(("List-Unsubscribe", "<http://shop.test/u>"), POST)), True, WARN, "no-https"),
        (Mail(headers=(LIST,)), True, WARN, "no-one-click"),
        (Mail(headers=(LIST, (POST[0], "yes"))), True, WARN, "no-one-click"),
        (Mail(headers=(*UNSUBSCRIBE, LIST)), True, WARN, "repeated"),
        (Mail(headers=UNSUBSCRIBE, signs=("from", "list-unsubscribe")), True, WARN, "not-signed"),
        (Mail(headers=UNSUBSCRIBE, signed_by=()), True, WARN, "not-signed"),
        (Mail(headers=UNSUBSCRIBE, changes=((b"Hello", b"Hallo"),)), True, WARN, "not-signed"),
    ],
)
async def test_one_click_is_offered_and_signed(
    dns: DnsServer, mail: Mail, by_campaign: bool, outcome: StepOutcome, kind: str  # noqa: FBT001  a column of the table
) -> None:  # fmt: skip
    """Both headers, https, and a valid signature over both: of campaigns alone, for a probe is on no list."""
    finding = await judged(dns, mail, StepId.UNSUBSCRIBE, by_campaign=by_campaign)
    assert (finding.outcome, finding.kind) == (outcome, kind)


async def test_what_is_not_set_is_skipped(dns: DnsServer) -> None:
    """Without the names of our own mail server nobody's word is taken for the address, nor for the results."""
    known = options(dns)
    checks = DnsMailChecks(MailCheckOptions(name_servers=known.name_servers, zones=known.zones))
    outcomes = [finding.outcome for finding in await checks.check(arrived(Mail(above=AR_PASS)))]
    assert outcomes == [PASS, SKIP, PASS, SKIP, SKIP, WARN]
    unsigned = await checks.check(arrived(Mail(signed_by=()), by_campaign=False))
    assert [finding.outcome for finding in unsigned] == [WARN, SKIP, SKIP, SKIP, SKIP, SKIP]


async def test_a_mail_that_our_server_has_not_noted_is_nobodys_fault(dns: DnsServer) -> None:
    """No Received header of our own, or one without an address: what needs it is an ERROR that says so."""
    raw = Mail().raw
    for broken in (raw.replace(b"by mx.own.test", b"by mx.else.test"), raw.replace(f"[{ADDRESS}]".encode(), b"")):
        for step in (StepId.SPF, StepId.ADDRESS):
            finding = await judged(dns, broken, step)
            assert (finding.outcome, finding.kind) == (ERROR, "no-address")


async def test_without_any_name_server_every_lookup_is_an_error() -> None:
    """A port on which nobody listens: ERROR for all that needs an answer, within the bound."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    servers = NameServers(("127.0.0.1",), port, timeout_s=0.3)
    own = MailCheckOptions(servers, own_mx=("mx.own.test",), authserv_id=AUTHSERV_ID, zones=Zones((HARD,), (SOFT,)))
    outcomes = [each.outcome for each in await DnsMailChecks(own).check(arrived(Mail(headers=UNSUBSCRIBE)))]
    assert outcomes == [ERROR, ERROR, ERROR, WARN, ERROR, ERROR]


async def test_a_step_is_bounded_as_a_whole(dns: DnsServer) -> None:
    """Many slow answers in a row end at the step's own limit, as an ERROR."""
    dns.slow_s = 0.4
    dns.set({(DOMAIN, "TXT"): ['"v=spf1 include:i.test -all"'], ("i.test", "TXT"): ['"v=spf1 -all"']})
    dns.fail("test", DnsFault.SLOW)
    bounded = replace(options(dns), step_s=0.6)
    finding = (await DnsMailChecks(bounded).check(arrived(Mail())))[1]
    assert (finding.outcome, finding.kind) == (ERROR, "too-slow")
    assert 600 <= finding.ms < 2_000


lines = st.sampled_from(
    [
        f"Received: from x (x [{ADDRESS}]) by mx.own.test",
        "Received: from [::] (x [1.2.3.999]) by mx.own.test",
        f"From: {SENDER}",
        "From: @",
        "DKIM-Signature: v=1; a=rsa-sha256; d=shop.test; s=mailer; h=from; bh=x; b=x",
        "DKIM-Signature: d=..; s=\xff; a=ed25519-sha256; h=:; b==",
        "DKIM-Signature: ;;",
        "DKIM-Signature: d=" + "a" * 70 + "; s=s",
        "Authentication-Results: own.test; dkim",
        "List-Unsubscribe: <https://x>",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        "garbage",
        " folded",
        "",
    ]
)
mails = st.one_of(
    st.binary(max_size=300), st.lists(lines, max_size=8).map(lambda each: "\r\n".join(each).encode("latin-1"))
)
senders = st.one_of(st.text(max_size=20), st.sampled_from(["", "@", "a@", "x@..", f"x@{DOMAIN}", "x@ÿ.test"]))


@given(raw=mails, sender=senders)
@settings(max_examples=60, deadline=None)
def test_no_bytes_break_the_checks(raw: bytes, sender: str) -> None:
    """Whatever arrives from whomever: six findings in order, and no exception, nor one that was caught on its way."""

    async def check() -> list[Finding]:
        async with DnsServer(zone()) as dns:
            return list(await DnsMailChecks(options(dns)).check(arrived(raw, envelope_from=sender)))

    findings = asyncio.run(check())
    assert [each.step.value for each in findings] == ["T9", "T10", "T11", "T12", "T13", "T14"]
    assert [each for each in findings if each.kind == "broken-check"] == []


async def test_an_ed25519_signature_is_not_judged_without_its_library(dns: DnsServer) -> None:
    """What dkimpy verifies ed25519 by is not installed: an ERROR, not the server's fault."""
    dns.set({(KEY, "TXT"): ['"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="']})
    finding = await judged(dns, Mail(changes=((b"a=rsa-", b"a=ed25519-"),)), StepId.DKIM)
    assert (finding.outcome, finding.kind) == (ERROR, "not-known")
