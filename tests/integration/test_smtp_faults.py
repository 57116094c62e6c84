"""What delivery servers do wrong that a real Postfix can't be brought to do: scripted lines and a scripted DNS."""

import asyncio
import dataclasses
import socket
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from daemon.clients.smtp_probe import AioSmtpProbe
from domain.delivery_server import DeliveryServer
from tests.delivery_servers import OPTIONS, delivery_server, probe_mail
from tests.fake_dns import SERVFAIL, SILENT, fake_dns
from tests.scripted_line import CUT, heard_commands, scripted_smtp
from tests.scripted_line import SILENT as QUIET

PASSWORD = "correct-horse"  # noqa: S105  of nobody
FAST = dataclasses.replace(OPTIONS, shortest_s=0.3, auth_timeout_s=0.3)
Told = tuple[str, str, str, bool]


def told(findings: Any) -> list[Told]:
    """The last finding, and whether it may pass later."""
    last = findings[-1]
    return [(last.step.value, last.outcome.value, last.kind, last.may_pass_later)]


def row(port: int, **changes: Any) -> DeliveryServer:
    return delivery_server(**{"port": port, "username": "me", "timeout_s": 0, **changes})


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"BANNER": QUIET}, ("T3", "FAIL", "timeout", True)),
        ({"BANNER": CUT}, ("T3", "FAIL", "cut", True)),
        ({"BANNER": "554 go away"}, ("T3", "FAIL", "banner-554", True)),
        ({"BANNER": "421 too many"}, ("T3", "FAIL", "banner-421", True)),
        ({"BANNER": "SSH-2.0-OpenSSH"}, ("T3", "FAIL", "banner-malformed", True)),
        ({"EHLO": CUT}, ("T4", "FAIL", "cut", True)),
        ({"EHLO": QUIET}, ("T4", "FAIL", "timeout", True)),
        ({"EHLO": "550 no", "HELO": "550 no"}, ("T4", "FAIL", "ehlo-refused", False)),
        ({"EHLO": "421 later"}, ("T4", "FAIL", "ehlo-refused", True)),
        ({"EHLO": "250-mx\r\n250 STARTTLS", "STARTTLS": "454 not now"}, ("T4", "FAIL", "tls-not-available", True)),
        ({"EHLO": "250-mx\r\n250 STARTTLS", "STARTTLS": "501 no"}, ("T4", "FAIL", "tls-refused", False)),
        ({"EHLO": "250-mx\r\n250 STARTTLS", "STARTTLS": "220 go\r\nno tls"}, ("T4", "FAIL", "tls-handshake", False)),
        ({"EHLO": "250-mx\r\n250 STARTTLS", "STARTTLS": CUT}, ("T4", "FAIL", "cut", True)),
        ({"EHLO": "250 mx.lab.test"}, ("T5", "FAIL", "auth-not-offered", False)),
        ({"EHLO": "250-mx\r\n250 AUTH GSSAPI"}, ("T5", "FAIL", "auth-mechanism", False)),
        ({"AUTH": "535 5.7.8 no"}, ("T5", "FAIL", "auth-rejected", False)),
        ({"AUTH": "534 5.7.9 too weak"}, ("T5", "FAIL", "auth-mechanism", False)),
        ({"AUTH": "538 5.7.11 encrypt"}, ("T5", "FAIL", "auth-needs-tls", False)),
        ({"AUTH": "454 4.7.0 later"}, ("T5", "ERROR", "auth-deferred", True)),
        ({"AUTH": "421 4.7.0 later"}, ("T5", "FAIL", "busy", True)),
        ({"AUTH": CUT}, ("T5", "FAIL", "cut", True)),
        ({"AUTH": QUIET}, ("T5", "FAIL", "timeout", True)),
        ({"MAIL": "550 5.7.1 not you"}, ("T6", "FAIL", "sender-refused", False)),
        ({"MAIL": "530 5.7.0 log in"}, ("T6", "FAIL", "auth-required", False)),
        ({"MAIL": "451 4.7.1 later"}, ("T6", "FAIL", "deferred", True)),
        ({"MAIL": CUT}, ("T6", "FAIL", "cut", True)),
        ({"RCPT": "450 4.7.1 greylisted"}, ("T6", "FAIL", "deferred", True)),
        ({"RCPT": "550 5.1.1 no such user here"}, ("T6", "ERROR", "our-mailbox", False)),
        ({"RCPT": "550 mailbox unavailable"}, ("T6", "ERROR", "our-mailbox", False)),
        ({"RCPT": "452 4.2.2 over quota"}, ("T6", "ERROR", "our-mailbox", True)),
        ({"RCPT": "550 5.7.1 user unknown to our policy"}, ("T6", "FAIL", "recipient-refused", False)),
        ({"RCPT": "554 5.7.1 Relay access denied"}, ("T6", "FAIL", "relay-denied", False)),
        ({"RCPT": CUT}, ("T6", "FAIL", "cut", True)),
        ({"DATA": "554 no valid recipients"}, ("T6", "FAIL", "content-refused", False)),
        ({".": "550 5.7.1 spam"}, ("T6", "FAIL", "content-refused", False)),
        ({".": "451 4.3.0 later"}, ("T6", "FAIL", "deferred", True)),
        ({".": "421 4.3.0 later"}, ("T6", "FAIL", "deferred", True)),
        ({".": CUT}, ("T6", "FAIL", "cut", True)),
        ({".": QUIET}, ("T6", "FAIL", "timeout", True)),
    ],
)
async def test_fault_is_classified_at_its_step(answers: dict[str, str | list[str]], expected: Told) -> None:
    """Each fault is told at the step where it happens, as the server's or ours, and whether it may pass later."""
    async with scripted_smtp(answers) as (_, port):
        findings = await AioSmtpProbe(FAST).deliver(row(port), PASSWORD, probe_mail())
    assert told(findings) == [expected]


async def test_mail_as_it_is_sent() -> None:
    """The probe has sender, name, answer address, token and a Message-ID that is the same each time."""
    mail = probe_mail(from_name="Müller")
    async with scripted_smtp() as (script, port):
        for _ in range(2):
            await AioSmtpProbe(FAST).deliver(row(port), PASSWORD, mail)
    first, second = ({line for line in text.split("\r\n") if not line.startswith("Date:")} for text in script.mails)
    assert first == second
    assert {
        "From: =?utf-8?q?M=C3=BCller?= <news@shop.test>",
        "Reply-To: news@shop.test",
        f"To: {mail.to}",
        f"Subject: {mail.subject}",
        f"Message-ID: <{mail.token}@shop.test>",
        "Auto-Submitted: auto-generated",
        f"X-Robotd-Test: {mail.token}",
    } <= first
    assert f"MAIL FROM:<{mail.envelope_from}>" in script.heard
    assert f"RCPT TO:<{mail.to}>" in script.heard


async def test_deferred_mail_passes_when_it_is_tried_again() -> None:
    """A greylisting server defers the first attempt and takes the second: what a caller is told to wait for."""
    async with scripted_smtp({"RCPT": ["451 4.7.1 greylisted", "250 ok"]}) as (script, port):
        probe, mail = AioSmtpProbe(FAST), probe_mail()
        first = await probe.deliver(row(port), PASSWORD, mail)
        second = await probe.deliver(row(port), PASSWORD, mail)
    assert told(first) == [("T6", "FAIL", "deferred", True)]
    assert told(second) == [("T6", "PASS", "", False)]
    assert len(script.mails) == 1


async def test_password_is_refused_once() -> None:
    """A password that one method refused is not tried with the next: servers lock accounts out for that."""
    async with scripted_smtp({"AUTH": "535 no"}) as (script, port):
        await AioSmtpProbe(FAST).deliver(row(port), PASSWORD, probe_mail())
    assert heard_commands(script) == ["EHLO", "AUTH"]


async def test_next_method_is_tried_where_one_is_only_pretended() -> None:
    """A method that is offered and then unknown leads to the next one."""
    async with scripted_smtp({"AUTH": ["504 unknown", "334 UGFzc3dvcmQ6"], "Y29YCMVJDC1OB3JZZQ==": "235 ok"}) as (
        script,
        port,
    ):
        findings = await AioSmtpProbe(FAST).deliver(row(port), PASSWORD, probe_mail())
    assert told(findings) == [("T6", "PASS", "", False)]
    assert [line.split(" ")[1] for line in script.heard if line.startswith("AUTH")] == ["PLAIN", "LOGIN"]


async def test_password_that_a_server_sends_back_is_masked() -> None:
    """A server that quotes the AUTH line, in base64 or not, puts no password into a finding."""
    quoted = "535 me:correct-horse AG1lAGNvcnJlY3QtaG9yc2U= Y29ycmVjdC1ob3JzZQ=="
    async with scripted_smtp({"AUTH": quoted}) as (_, port):
        findings = await AioSmtpProbe(FAST).deliver(row(port), PASSWORD, probe_mail())
    assert findings[-1].detail == "535 me:*** *** ***"


async def test_answer_that_is_no_text_is_told_as_text() -> None:
    """Bytes that are no UTF-8 and control characters become something that any database stores."""
    async with scripted_smtp({"RCPT": "550 \x1b[31mno\x00\udcff".encode("utf-8", "replace").decode()}) as (_, port):
        findings = await AioSmtpProbe(FAST).deliver(row(port), PASSWORD, probe_mail())
    assert findings[-1].detail == "550 [31mno ?"
    assert findings[-1].detail.encode()


async def test_no_password_is_sent_where_demanded_tls_is_not_offered() -> None:
    """Where TLS is demanded and not offered, the server hears EHLO and nothing more in the clear."""
    async with scripted_smtp() as (script, port):
        findings = await AioSmtpProbe(FAST).deliver(row(port, protocol="tls"), PASSWORD, probe_mail())
    assert told(findings) == [("T4", "FAIL", "tls-not-offered", False)]
    assert heard_commands(script)[0] == "EHLO"
    assert "AUTH" not in heard_commands(script)


async def test_plain_server_fails_implicit_tls() -> None:
    """A server that talks plain SMTP, without STARTTLS, where implicit TLS is set, fails T4 after T3 passed."""
    async with scripted_smtp() as (_, port):
        findings = await AioSmtpProbe(FAST).deliver(row(port, protocol="ssl"), PASSWORD, probe_mail())
    assert [(finding.step.value, finding.kind) for finding in findings] == [("T3", ""), ("T4", "tls-handshake")]


@pytest.mark.parametrize(
    ("banner", "expected"),
    [(QUIET, ("T3", "FAIL", "timeout", True)), (CUT, ("T3", "FAIL", "cut", True))],
)
async def test_banner_behind_tls_is_a_matter_of_the_connection(banner: str, expected: Told, tmp_path: Path) -> None:
    """A server that agrees on TLS and then says nothing fails T3, not T4."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with scripted_smtp({"BANNER": banner}, context=context) as (_, port):
        findings = await AioSmtpProbe(FAST).deliver(row(port, protocol="ssl"), PASSWORD, probe_mail())
    assert told(findings) == [expected]


@pytest.mark.parametrize(
    "bad",
    [{"from_name": "a\r\nBcc: x@y.test"}, {"subject": "a\nb"}, {"from_email": ""}, {"from_email": "a@bücher.test"}],
)
async def test_sender_that_can_stand_in_no_mail_fails(bad: dict[str, str]) -> None:
    """A row with a sender that no mail can have fails T6, and adds no header or recipient of its own."""
    async with scripted_smtp() as (script, port):
        findings = await AioSmtpProbe(FAST).deliver(row(port), PASSWORD, probe_mail(**bad))
    assert told(findings) == [("T6", "FAIL", "malformed-sender", False)]
    assert not script.mails


@pytest.mark.parametrize("bad", ["x@y.test\r\nRCPT TO:<z@y.test>", "nonsense", "ü@bücher.test"])
async def test_envelope_that_can_not_be_sent_is_no_crash(bad: str) -> None:
    """An envelope address that is none is told as a finding; nothing is added to the envelope by it."""
    async with scripted_smtp() as (script, port):
        findings = await AioSmtpProbe(FAST).deliver(row(port), PASSWORD, probe_mail(envelope_from=bad))
    assert findings[-1].step.value == "T6"
    assert sum(line.startswith("RCPT") for line in script.heard) <= 1
    assert not any("z@y.test" in line for line in script.heard if line.startswith("RCPT"))


@pytest.mark.parametrize(("slow", "step"), [("EHLO", "T3"), ("AUTH", "T5"), ("RCPT", "T6")])
async def test_whole_attempt_is_bounded(slow: str, step: str) -> None:
    """However long each answer may take, an attempt ends at its own limit, and no connection is left behind."""
    options = dataclasses.replace(FAST, shortest_s=30.0, auth_timeout_s=30.0, limit_s=0.5)
    async with scripted_smtp({slow: QUIET}) as (script, port), asyncio.timeout(5):
        findings = await AioSmtpProbe(options).deliver(row(port), PASSWORD, probe_mail())
    assert told(findings) == [(step, "FAIL", "timeout", True)]
    assert script.connections == 1


async def test_attempt_that_is_cancelled_leaves_no_connection() -> None:
    """A test that is cancelled in the middle closes its connection: the server sees it end."""
    async with scripted_smtp({"RCPT": QUIET}) as (script, port):
        attempt = asyncio.create_task(AioSmtpProbe(OPTIONS).deliver(row(port), PASSWORD, probe_mail()))
        async with asyncio.timeout(5):
            await script.silenced.wait()
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
    assert heard_commands(script)[-1] == "RCPT"


def self_signed(*, begins_in_days: int) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx.lab.test")])
    begins = datetime.now(UTC) + timedelta(days=begins_in_days)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=90))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("*.lab.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate.public_bytes(serialization.Encoding.PEM))
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        file.write(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
        file.flush()
        context.load_cert_chain(file.name)
    return context


@pytest.mark.parametrize(
    ("hostname", "begins_in_days", "kind"),
    [
        ("mx.lab.test", -1, "certificate-self-signed"),
        ("mx.lab.test", 1, "certificate-not-yet-valid"),
        ("a.mx.lab.test", -1, "certificate-hostname"),
        ("lab.test", -1, "certificate-hostname"),
        ("127.0.0.1", -1, "certificate-hostname"),
    ],
)
async def test_certificate_that_is_wrong_is_a_warning(hostname: str, begins_in_days: int, kind: str) -> None:
    """A certificate of one's own making, from tomorrow, or for other names: a wildcard stands for one label."""
    records: dict[tuple[str, str], list[str] | str] = {(hostname, "A"): ["127.0.0.1"]}
    context = self_signed(begins_in_days=begins_in_days)
    async with scripted_smtp(context=context) as (_, port), fake_dns(records) as dns:
        options = dataclasses.replace(OPTIONS, nameservers=("127.0.0.1",), dns_port=dns.port)
        server = row(port, hostname=hostname, protocol="ssl")
        findings = await AioSmtpProbe(options).deliver(server, PASSWORD, probe_mail())
    assert told(findings) == [("T6", "PASS", "", False)]
    assert (findings[1].outcome.value, findings[1].kind) == ("WARN", kind)


async def test_closed_port_is_refused() -> None:
    """A port where nobody listens is refused, at T3, and that may pass."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        findings = await AioSmtpProbe(FAST).deliver(row(held.getsockname()[1]), PASSWORD, probe_mail())
    assert told(findings) == [("T3", "FAIL", "refused", True)]


@pytest.mark.parametrize("port", [0, -1, 70_000])
async def test_port_that_is_none_is_no_crash(port: int) -> None:
    """A row may hold any number as its port: T3 fails."""
    findings = await AioSmtpProbe(FAST).deliver(row(port), PASSWORD, probe_mail())
    assert [(finding.step.value, finding.outcome.value) for finding in findings] == [("T3", "FAIL")]


async def test_next_address_is_tried() -> None:
    """A host is only unreachable when each of its addresses is."""
    records: dict[tuple[str, str], list[str] | str] = {("mx.lab.test", "A"): ["127.0.0.2", "127.0.0.1"]}
    async with scripted_smtp() as (script, port), fake_dns(records) as dns:
        options = dataclasses.replace(FAST, nameservers=("127.0.0.1",), dns_port=dns.port)
        findings = await AioSmtpProbe(options).deliver(row(port, hostname="mx.lab.test"), PASSWORD, probe_mail())
    assert told(findings) == [("T6", "PASS", "", False)]
    assert findings[0].detail == f"127.0.0.1 port {port}"
    assert script.connections == 1


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ({("mx.lab.test", "A"): ["127.0.0.1"]}, ("T2", "PASS", "", False)),
        ({("mx.lab.test", "AAAA"): ["::1"]}, ("T2", "PASS", "", False)),
        ({("mx.lab.test", "A"): ["127.0.0.1"], ("mx.lab.test", "AAAA"): SERVFAIL}, ("T2", "PASS", "", False)),
        ({("mx.lab.test", "TXT"): ["x"]}, ("T2", "FAIL", "no-address", True)),
        ({}, ("T2", "FAIL", "nxdomain", True)),
        ({("mx.lab.test", "A"): SERVFAIL, ("mx.lab.test", "AAAA"): SERVFAIL}, ("T2", "ERROR", "resolver", True)),
        ({("mx.lab.test", "A"): SILENT, ("mx.lab.test", "AAAA"): SILENT}, ("T2", "ERROR", "resolver", True)),
    ],
)
async def test_name_is_resolved(records: dict[tuple[str, str], list[str] | str], expected: Told) -> None:
    """A name that does not exist is the server's fault, a resolver that does not answer is not."""
    async with fake_dns(records) as dns:
        options = dataclasses.replace(FAST, nameservers=("127.0.0.1",), dns_port=dns.port, dns_timeout_s=0.5)
        probe = AioSmtpProbe(options)
        finding = await probe.resolve(row(1, hostname="mx.lab.test."))
        delivered = await probe.deliver(row(1, hostname="mx.lab.test."), PASSWORD, probe_mail())
    assert told([finding]) == [expected]
    assert delivered[0].step.value == ("T3" if expected[1] == "PASS" else "T2")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "localhost", "LOCALHOST."])
async def test_addresses_and_localhost_need_no_dns(host: str) -> None:
    """What stands as an address, and localhost, passes T2 without a nameserver."""
    options = dataclasses.replace(FAST, nameservers=("127.0.0.1",), dns_port=1, dns_timeout_s=0.5)
    assert told([await AioSmtpProbe(options).resolve(row(1, hostname=host))]) == [("T2", "PASS", "", False)]


@pytest.mark.parametrize("host", ["", "a..b", "x" * 64 + ".test", "under_score .test"])
async def test_malformed_name_is_no_crash(host: str) -> None:
    """Whatever stands in the row, T2 says something of it."""
    async with fake_dns({}) as dns:
        options = dataclasses.replace(FAST, nameservers=("127.0.0.1",), dns_port=dns.port)
        finding = await AioSmtpProbe(options).resolve(row(1, hostname=host))
    assert finding.outcome.value == "FAIL"


async def test_name_of_the_hosts_file_is_found_without_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the system's own nameservers the hosts file counts too, as it does for MailWizz."""
    name = socket.gethostname()
    finding = await AioSmtpProbe(FAST).resolve(row(1, hostname=name))
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        pytest.skip("this machine does not know its own name")
    assert finding.outcome.value == "PASS"
