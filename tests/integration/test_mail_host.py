"""The mail host takes, treats and delivers mails over real SMTP, and keeps its own record."""

import asyncio
import secrets
import signal
import smtplib
import ssl
import sys
from collections.abc import AsyncIterator
from email import message_from_string
from email.message import Message
from pathlib import Path

import aiosmtplib
import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from localstack.clock import ManualClock
from localstack.mail_dkim import Signer
from localstack.mail_host import Certificate, MailHost, MailLogin, Seen, SmtpTls, Treatment
from tests.mail_talk import PROBE, RECIPIENT, RETURNS, SENDER, SUBJECT, account, arrived, client_of, mail, send

START_MS = 1764060013_000  # 2025-11-25T08:40:13Z
ROOT = Path(__file__).parents[2]
GONE = "gone@box.test"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_MS)


@pytest.fixture
async def host(clock: ManualClock) -> AsyncIterator[MailHost]:
    login = MailLogin("probe", secrets.token_hex(8))
    async with MailHost(clock, login=login, refusing=[GONE]) as host:
        yield host


@pytest.mark.parametrize("tls", SmtpTls)
async def test_mail_arrives_by_each_way_of_encryption(host: MailHost, tls: SmtpTls) -> None:
    """Login and mail over implicit TLS, STARTTLS and plain: the mail is in INBOX, byte for byte behind our headers."""
    server = await host.add_server(account(tls=tls))
    assert "queued" in await send(host, server, body="One\n.\n..two\n")

    await asyncio.wait_for(host.record.until(lambda: bool(host.record.of(Seen.DISCONNECTED, "good"))), 10)
    stored = host.mailbox.mails()[0].raw
    assert stored.endswith(b"\r\n\r\nOne\r\n.\r\n..two\r\n")
    message = arrived(host)[0]
    assert (message["Subject"], message["Return-Path"]) == (SUBJECT, f"<{RETURNS}>")
    assert [line.what for line in host.record.lines if line.server == "good"] == [
        Seen.CONNECTED,
        *([Seen.STARTTLS] if tls is SmtpTls.STARTTLS else []),
        Seen.AUTHENTICATED,
        Seen.MAIL,
        Seen.RCPT,
        Seen.TAKEN,
        Seen.DELIVERED,
        Seen.DISCONNECTED,
    ]


async def test_topmost_received_is_truthful(host: MailHost) -> None:
    """The exchanger names the delivery server and its address; the server below names its client and how it came."""
    server = await host.add_server(account(hostname="mail.sender.test", address="192.0.2.10"))
    await send(host, server)
    own, theirs = arrived(host)[0].get_all("Received", [])
    assert "from mail.sender.test (mail.sender.test [192.0.2.10])" in own
    assert "by mx.probe.test" in own
    assert "[127.0.0.1]" in theirs
    assert "by mail.sender.test with ESMTPSA" in " ".join(theirs.split())
    assert own.endswith("Tue, 25 Nov 2025 08:40:13 -0000")


async def test_record_has_users_addresses_and_tokens_but_no_password(host: MailHost) -> None:
    """Who logged in, the envelope, the token of the subject, with times; the password stands nowhere."""
    server = await host.add_server(account())
    await send(host, server)
    record = host.record
    assert [line.about for line in record.of(Seen.AUTHENTICATED)] == ["user-good"]
    assert [line.about for line in record.of(Seen.MAIL)] == [RETURNS]
    assert [(line.about, line.answer) for line in record.of(Seen.RCPT)] == [(RECIPIENT, "250")]
    assert [(line.about, line.answer) for line in record.of(Seen.DELIVERED, "good")] == [(PROBE, "INBOX")]
    assert {line.at_ms for line in record.lines} == {START_MS}
    assert server.account.password not in repr(record.lines) + repr(server.account)


@pytest.mark.parametrize("tls", SmtpTls)
async def test_wrong_password_is_refused(host: MailHost, tls: SmtpTls) -> None:
    """535, and the user, not what he said, is on record."""
    server = await host.add_server(account(tls=tls))
    async with client_of(server) as client:
        with pytest.raises(aiosmtplib.SMTPAuthenticationError) as refused:
            await client.login("somebody", "a guess of the test")
    assert refused.value.code == 535
    assert {line.about for line in host.record.of(Seen.AUTH_REFUSED)} == {"somebody"}
    assert "a guess" not in repr(host.record.lines)


async def test_no_mail_without_login_and_no_login_without_tls(host: MailHost) -> None:
    """530 to MAIL before AUTH; on a STARTTLS port neither AUTH is offered nor MAIL taken in the clear."""
    server = await host.add_server(account())
    async with client_of(server) as client:
        with pytest.raises(aiosmtplib.SMTPResponseException) as refused:
            await client.mail(RETURNS)
        assert refused.value.code == 530
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=server.port, start_tls=False, timeout=10) as client:
        await client.ehlo()
        assert not client.supports_extension("auth")
        with pytest.raises(aiosmtplib.SMTPResponseException, match="STARTTLS") as refused:
            await client.mail(RETURNS)
        assert refused.value.code == 530
    assert host.mailbox.mails() == []


@pytest.mark.parametrize("tls", [SmtpTls.IMPLICIT, SmtpTls.STARTTLS])
@pytest.mark.parametrize(
    ("certificate", "why"),
    [
        (Certificate.EXPIRED, "expired"),
        (Certificate.SELF_SIGNED, "self-signed"),
        (Certificate.OTHER_NAME, "IP address mismatch"),
    ],
)
async def test_bad_certificates_fail_where_they_are_checked(
    host: MailHost, certificate: Certificate, why: str, tls: SmtpTls
) -> None:
    """A client that checks says what is wrong; one that does not sends its mail."""
    server = await host.add_server(account(tls=tls, certificate=certificate))
    with pytest.raises((aiosmtplib.SMTPException, ssl.SSLError)) as failed:
        async with client_of(server, host.certificates.client()):
            pass
    assert why in repr(failed.value) + repr(failed.value.__cause__)
    async with client_of(server) as client:
        await client.login(server.account.username, server.account.password)
        await client.send_message(mail(), sender=RETURNS)
    assert len(arrived(host)) == 1


async def test_certificate_that_ends_soon_is_good_and_says_so(host: MailHost) -> None:
    """EXPIRING passes the check; what it shows ends within a week."""
    server = await host.add_server(account(tls=SmtpTls.IMPLICIT, certificate=Certificate.EXPIRING))
    async with client_of(server, host.certificates.client()) as client:
        shown = client.get_transport_info("peercert")
    left_s = ssl.cert_time_to_seconds(shown["notAfter"]) - ssl.cert_time_to_seconds(shown["notBefore"])
    assert left_s == 67 * 24 * 3600


async def test_lost_mail_was_accepted(host: MailHost) -> None:
    """250 to its sender, nothing in the mailbox, and the record says so."""
    server = await host.add_server(account())
    server.treatment = Treatment(is_lost=True)
    assert "queued" in await send(host, server)
    assert host.mailbox.mails() == []
    assert [line.about for line in host.record.of(Seen.LOST)] == [PROBE]


async def test_late_mail_comes_when_the_clock_says_so(host: MailHost, clock: ManualClock) -> None:
    """Not a millisecond before its time, then at once."""
    server = await host.add_server(account())
    server.treatment = Treatment(late_ms=30_000)
    await send(host, server)
    await clock.until(lambda: clock.waiting() == 1)
    clock.advance(29_999)
    assert clock.waiting() == 1
    assert host.mailbox.mails() == []
    clock.advance(1)
    await asyncio.wait_for(host.mailbox.until(lambda: len(host.mailbox.mails()) == 1), 10)
    assert host.mailbox.mails()[0].at_ms == START_MS + 30_000


async def test_junk_goes_to_its_folder(host: MailHost) -> None:
    """The mail is in Junk, not in INBOX."""
    server = await host.add_server(account())
    server.treatment = Treatment(to_junk=True)
    await send(host, server)
    assert (len(arrived(host)), len(arrived(host, "Junk"))) == (0, 1)


async def test_headers_are_rewritten_dropped_added_and_forged(host: MailHost) -> None:
    """From replaced, Reply-To gone, Sender there; a forged result stands below our own Received, our own above it."""
    server = await host.add_server(account())
    server.treatment = Treatment(
        from_header="Other <other@elsewhere.test>",
        drops_reply_to=True,
        sender_header="relay@elsewhere.test",
        forged_results="mx.probe.test; dkim=pass header.d=sender.test",
        results="mx.probe.test; dkim=none",
    )
    await send(host, server)
    message = arrived(host)[0]
    assert message.get_all("From") == ["Other <other@elsewhere.test>"]
    assert (message["Reply-To"], message["Sender"]) == (None, "relay@elsewhere.test")
    names = [name for name, _ in message.items()]
    results = message.get_all("Authentication-Results", [])
    assert ["dkim=none" in results[0], "dkim=pass" in results[1]] == [True, True]
    own, forged = (place for place, name in enumerate(names) if name == "Authentication-Results")
    assert own < names.index("Received") < forged


@pytest.fixture(scope="module")
def keys() -> tuple[bytes, bytes]:
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private, b"v=DKIM1; k=rsa; p=" + b"".join(public.splitlines()[1:-1])


@pytest.mark.parametrize("is_broken", [False, True])
async def test_signature_holds_unless_it_is_broken(
    host: MailHost, keys: tuple[bytes, bytes], *, is_broken: bool
) -> None:
    """What arrives verifies under the published key; with a broken signature it does not, though it has one."""
    private, published = keys
    server = await host.add_server(account(signer=Signer("sender.test", "mailer", private)))
    server.treatment = Treatment(breaks_signature=is_broken)
    await send(host, server)
    raw = host.mailbox.mails()[0].raw

    def published_at(name: bytes, timeout: int = 5) -> bytes:
        assert name == b"mailer._domainkey.sender.test."
        return published

    assert b"DKIM-Signature:" in raw
    assert dkim.verify(raw, dnsfunc=published_at) is not is_broken


def parts_of(message: "Message[str, str]") -> "list[Message[str, str]]":
    parts = message.get_payload()
    assert isinstance(parts, list)
    return [part for part in parts if isinstance(part, Message)]


async def test_mail_to_a_refusing_address_comes_back(host: MailHost) -> None:
    """Accepted, then returned to the envelope's sender as RFC 3464 wants it, with the headers of the original."""
    server = await host.add_server(account(hostname="mail.sender.test"))
    await send(host, server, to=GONE)
    report = arrived(host)[0]
    text, status, original = parts_of(report)
    assert (report.get_content_type(), report.get_param("report-type")) == ("multipart/report", "delivery-status")
    assert (report["To"], report["Return-Path"]) == (RETURNS, "<>")
    of_message, of_recipient = parts_of(status)
    assert of_message["Reporting-MTA"] == "dns; mail.sender.test"
    assert (of_recipient["Action"], of_recipient["Status"]) == ("failed", "5.1.1")
    assert of_recipient["Final-Recipient"] == f"rfc822; {GONE}"
    assert original.get_content_type() == "text/rfc822-headers"
    headers = message_from_string(str(original.get_payload()))
    assert (headers["Subject"], headers["Message-ID"]) == (SUBJECT, f"<{PROBE}@sender.test>")
    assert GONE in str(text.get_payload())
    assert [line.about for line in host.record.of(Seen.RETURNED)] == [PROBE]


async def test_no_notification_where_none_is_sent(host: MailHost) -> None:
    """`sends_no_dsn`: accepted, and nothing ever comes back."""
    server = await host.add_server(account())
    server.treatment = Treatment(sends_no_dsn=True)
    await send(host, server, to=GONE)
    assert host.mailbox.mails() == []
    assert len(host.record.of(Seen.LOST)) == 1


async def test_the_standard_librarys_client_sends_too(host: MailHost) -> None:
    """smtplib, in a thread: STARTTLS, AUTH, two recipients, two copies."""
    server = await host.add_server(account())

    def send_by_smtplib() -> None:
        with smtplib.SMTP("127.0.0.1", server.port, timeout=10) as client:
            client.starttls(context=host.certificates.client())
            client.login(server.account.username, server.account.password)
            assert client.send_message(mail(), RETURNS, [RECIPIENT, SENDER]) == {}

    await asyncio.to_thread(send_by_smtplib)
    assert [message["Delivered-To"] for message in arrived(host)] == [RECIPIENT, SENDER]


async def test_servers_do_not_disturb_each_other(host: MailHost) -> None:
    """Each has its own login, faults and treatment: the password of one opens no other."""
    one, two = await host.add_server(account("one")), await host.add_server(account("two"))
    one.treatment = Treatment(is_lost=True)
    await send(host, two)
    assert len(arrived(host)) == 1
    async with client_of(one) as client:
        with pytest.raises(aiosmtplib.SMTPAuthenticationError):
            await client.login(two.account.username, two.account.password)


async def test_a_hundred_probes_at_once(host: MailHost) -> None:
    """A hundred connections with TLS and login at the same time, each mail once."""
    server = await host.add_server(account())
    async with asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(send(host, server, body=f"probe {number}\n"))
    bodies = {message.get_payload() for message in arrived(host)}
    assert bodies == {f"probe {number}\r\n" for number in range(100)}


async def test_ends_with_open_connections(clock: ManualClock) -> None:
    """Leaving the host cuts who is still connected; nothing of it runs on."""
    before = asyncio.all_tasks()
    async with MailHost(clock, login=MailLogin("probe", secrets.token_hex(8))) as host:
        server = await host.add_server(account())
        client = client_of(server)
        await client.connect()
        reader, writer = await asyncio.open_connection("127.0.0.1", host.imap.port, ssl=host.certificates.client())
        assert (await reader.readline()).startswith(b"* OK")
    assert [task for task in asyncio.all_tasks() - before if "localstack" in repr(task)] == []
    with pytest.raises((aiosmtplib.SMTPException, ConnectionError)):
        await client.noop()
    assert await reader.read() == b""
    writer.close()


async def test_runs_as_a_process_of_its_own(tmp_path: Path) -> None:
    """`python -m localstack.mail_host` prints where it listens and with which generated logins; SIGTERM ends it."""
    authority = tmp_path / "authority.pem"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "localstack.mail_host", "--server", "a", "--server", "b=none", "--authority", str(authority)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        lines = [(await process.stdout.readline()).decode().split() for _ in range(4)]
    try:
        where, user, password = lines[2][2], lines[2][5], lines[2][7]
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=int(where.rpartition(":")[2]), start_tls=False) as client:
            await client.login(user, password)
        assert lines[3][:3] == ["mail_host", "simulator", "on"]
        assert "BEGIN CERTIFICATE" in authority.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0
