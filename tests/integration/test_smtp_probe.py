"""The direct way to a delivery server, against a real Postfix."""

import dataclasses
import logging
import smtplib
from typing import Any

import pytest

from daemon.clients.smtp_options import SmtpOptions
from daemon.clients.smtp_probe import AioSmtpProbe
from domain.delivery_server import DeliveryServer
from domain.errors import RuleViolation
from domain.server_test import Finding, StepId, StepOutcome
from tests.delivery_servers import OPTIONS, delivery_server, probe_mail
from tests.fake_dns import fake_dns
from tests.mail_host import NAME, MailHost

PASS, FAIL, WARN, SKIP, ERROR = StepOutcome


def brief(findings: Any) -> list[tuple[str, str, str]]:
    return [(finding.step.value, finding.outcome.value, finding.kind) for finding in findings]


def server_at(host: MailHost, port: str, **changes: Any) -> DeliveryServer:
    changes = {"protocol": "tls", "username": host.sender.name, **changes}
    return delivery_server(port=getattr(host.ports, port), **changes)


def last(findings: Any) -> Finding:
    finding: Finding = findings[-1]
    return finding


GOOD = [("T3", "PASS", ""), ("T4", "PASS", ""), ("T5", "PASS", ""), ("T6", "PASS", "")]


@pytest.mark.parametrize(("port", "protocol"), [("starttls", "tls"), ("starttls", ""), ("implicit", "ssl")])
async def test_good_server_passes_every_step(mail_host: MailHost, port: str, protocol: str) -> None:
    """A good server passes T3 to T6 by STARTTLS, opportunistic or demanded, and by implicit TLS."""
    server = server_at(mail_host, port, protocol=protocol)
    findings = await AioSmtpProbe(OPTIONS).deliver(server, mail_host.sender.password, probe_mail())
    assert brief(findings) == GOOD
    assert [finding.detail.split(" ")[0] for finding in findings] == ["127.0.0.1", "TLSv1.3", "as", "250"]
    assert not any(finding.may_pass_later for finding in findings)


async def test_login_is_needed_where_the_server_demands_it(mail_host: MailHost) -> None:
    """Where only those who logged in may send, the login that was made counts."""
    server = server_at(mail_host, "auth_required")
    findings = await AioSmtpProbe(OPTIONS).deliver(server, mail_host.sender.password, probe_mail())
    assert brief(findings) == GOOD


@pytest.mark.parametrize(
    ("port", "hostname", "kind"),
    [
        ("expired", "127.0.0.1", "certificate-expired"),
        ("soon", "127.0.0.1", "certificate-ends-soon"),
        ("starttls", "other.test", "certificate-hostname"),
        ("old_tls", "127.0.0.1", "tls-old"),
    ],
)
async def test_bad_certificate_is_a_warning_unless_it_is_set_to_fail(
    mail_host: MailHost, port: str, hostname: str, kind: str
) -> None:
    """MailWizz sends on with a bad certificate or an old TLS: a warning, or by setting a failure, which ends it."""
    async with fake_dns({("other.test", "A"): ["127.0.0.1"]}) as dns:
        options = dataclasses.replace(OPTIONS, nameservers=("127.0.0.1",), dns_port=dns.port)
        server = server_at(mail_host, port, hostname=hostname)
        password = mail_host.sender.password
        warned = await AioSmtpProbe(options).deliver(server, password, probe_mail())
        strict = dataclasses.replace(options, bad_certificate_fails=True)
        failed = await AioSmtpProbe(strict).deliver(server, password, probe_mail())
    assert brief(warned) == [GOOD[0], ("T4", "WARN", kind), *GOOD[2:]]
    assert brief(failed) == [GOOD[0], ("T4", "FAIL", kind)]


async def test_certificate_is_compared_with_the_name_that_is_set(mail_host: MailHost) -> None:
    """A host that is found by DNS and shows a certificate for its name is without a warning."""
    async with fake_dns({(NAME, "A"): ["127.0.0.1"]}) as dns:
        options = dataclasses.replace(OPTIONS, nameservers=("127.0.0.1",), dns_port=dns.port)
        server = server_at(mail_host, "starttls", hostname=NAME)
        findings = await AioSmtpProbe(options).deliver(server, mail_host.sender.password, probe_mail())
    assert brief(findings) == GOOD


@pytest.mark.parametrize(("port", "protocol"), [("starttls", "ssl"), ("implicit", "tls")])
async def test_wrong_way_to_encrypt_is_a_warning_where_the_other_works(
    mail_host: MailHost, port: str, protocol: str
) -> None:
    """MailWizz's mailers disagree on what is meant, so the other way is tried once and its success is told."""
    server = server_at(mail_host, port, protocol=protocol, timeout_s=1)
    options = dataclasses.replace(OPTIONS, shortest_s=1.0)
    findings = await AioSmtpProbe(options).deliver(server, mail_host.sender.password, probe_mail())
    assert brief(findings) == [GOOD[0], ("T4", "WARN", "other-mode"), *GOOD[2:]]


async def test_tls_that_is_demanded_and_not_offered_fails(mail_host: MailHost) -> None:
    """Where TLS is demanded and the server offers none in either way, T4 fails and no password is sent."""
    server = server_at(mail_host, "plain")
    findings = await AioSmtpProbe(OPTIONS).deliver(server, mail_host.sender.password, probe_mail())
    assert brief(findings) == [GOOD[0], ("T4", "FAIL", "tls-not-offered")]


async def test_unencrypted_server_is_a_warning_where_none_is_demanded(mail_host: MailHost) -> None:
    """Without a protocol MailWizz would send in the clear too, so the test does and says so."""
    server = server_at(mail_host, "plain", protocol="")
    findings = await AioSmtpProbe(OPTIONS).deliver(server, mail_host.sender.password, probe_mail())
    assert brief(findings) == [GOOD[0], ("T4", "WARN", "unencrypted"), *GOOD[2:]]


async def test_wrong_password_fails_and_stands_nowhere(mail_host: MailHost, caplog: pytest.LogCaptureFixture) -> None:
    """A 535 fails the server for good; the password is neither in a finding nor in any log."""
    caplog.set_level(logging.DEBUG)
    server = server_at(mail_host, "starttls")
    findings = await AioSmtpProbe(OPTIONS).deliver(server, "not-the-password", probe_mail())
    assert brief(findings) == [*GOOD[:2], ("T5", "FAIL", "auth-rejected")]
    assert last(findings).detail.startswith("535")
    assert not last(findings).may_pass_later
    assert "not-the-password" not in f"{findings}{caplog.text}"


async def test_right_password_stands_nowhere(mail_host: MailHost, caplog: pytest.LogCaptureFixture) -> None:
    """A login that works leaves no trace of its password in findings or logs, debug lines included."""
    caplog.set_level(logging.DEBUG)
    server = server_at(mail_host, "starttls", password=mail_host.sender.password)
    findings = await AioSmtpProbe(OPTIONS).deliver(server, mail_host.sender.password, probe_mail())
    assert brief(findings) == GOOD
    assert mail_host.sender.password not in f"{findings}{caplog.text}{server}"


async def test_server_without_a_login_is_tested_without(mail_host: MailHost) -> None:
    """A row without a username skips T5 and still sends."""
    server = server_at(mail_host, "starttls", username="")
    findings = await AioSmtpProbe(OPTIONS).deliver(server, None, probe_mail())
    assert brief(findings) == [*GOOD[:2], ("T5", "SKIP", "no-username"), GOOD[3]]


async def test_refusal_without_the_password_is_not_the_servers_fault(mail_host: MailHost) -> None:
    """Where we don't know the password, a server that refuses those who did not log in is not judged."""
    server = server_at(mail_host, "auth_required")
    findings = await AioSmtpProbe(OPTIONS).deliver(server, None, probe_mail())
    assert [finding.outcome for finding in findings] == [PASS, PASS, SKIP, ERROR]


async def test_denied_relay_fails(mail_host: MailHost) -> None:
    """A 554 for a foreign recipient is the server's fault."""
    options = dataclasses.replace(OPTIONS, recipients=frozenset({"@elsewhere.test"}))
    server = server_at(mail_host, "starttls")
    findings = await AioSmtpProbe(options).deliver(server, mail_host.sender.password, probe_mail("a@elsewhere.test"))
    assert brief(findings) == [*GOOD[:3], ("T6", "FAIL", "relay-denied")]
    assert last(findings).detail.startswith("554 5.7.1")


async def test_unknown_mailbox_is_our_fault(mail_host: MailHost) -> None:
    """A 550 that says that our own mailbox is unknown judges no server."""
    server = server_at(mail_host, "starttls")
    findings = await AioSmtpProbe(OPTIONS).deliver(server, mail_host.sender.password, probe_mail("gone@lab.test"))
    assert brief(findings) == [*GOOD[:3], ("T6", "ERROR", "our-mailbox")]
    assert last(findings).detail.startswith("550 5.1.1")


async def test_recipient_that_is_not_allowed_is_refused_before_anything_is_sent(mail_host: MailHost) -> None:
    """Whatever a command or a setting says, nothing is sent to a stranger: no connection is made."""
    server = server_at(mail_host, "starttls")
    probe = AioSmtpProbe(SmtpOptions(frozenset({"probe@lab.test"})))
    for stranger in ("someone@lab.test", "probe@lab.test.evil.test", "probe@lab.test, b@c.test", "a@b.test"):
        mail = probe_mail(to="probe@lab.test")
        with pytest.raises(RuleViolation, match="probe"):
            await probe.deliver(server, mail_host.sender.password, dataclasses.replace(mail, to=stranger))
        assert mail.token not in mail_host.log
    findings = await probe.deliver(server, mail_host.sender.password, probe_mail())
    assert brief(findings) == GOOD


async def test_control_connects_to_the_host_that_is_known_to_be_good(mail_host: MailHost) -> None:
    """The control says nothing while the known-good host can be reached, and what is wrong when it can't."""
    good = dataclasses.replace(OPTIONS, control_host="127.0.0.1", control_port=mail_host.ports.starttls)
    bad = dataclasses.replace(OPTIONS, control_host="127.0.0.1", control_port=1, control_timeout_s=5.0)
    assert await AioSmtpProbe(good).control() is None
    assert "127.0.0.1" in str(await AioSmtpProbe(bad).control())
    assert await AioSmtpProbe(OPTIONS).control() is None


def test_host_of_these_tests_speaks_smtp(mail_host: MailHost) -> None:
    """The real Postfix answers another client too: what is proven here is proven of SMTP."""
    with smtplib.SMTP("127.0.0.1", mail_host.ports.starttls) as client:
        assert client.ehlo()[0] == 250
        assert client.has_extn("starttls")
    assert StepId.SEND.value == "T6"
