"""Each way in which a delivery server of the mail host can fail, once, as an independent client meets it."""

import asyncio
import secrets
import smtplib
import ssl
from collections.abc import AsyncIterator

import aiosmtplib
import pytest

from localstack.clock import ManualClock
from localstack.faults import When
from localstack.mail_faults import SmtpFault
from localstack.mail_host import MailHost, MailLogin, Seen, SmtpFaultKind, SmtpTls, Stage
from localstack.mail_smtp import SmtpServer
from tests.mail_talk import PROBE, RECIPIENT, RETURNS, account, arrived, client_of, mail, send

START_MS = 1764060013_000  # 2025-11-25T08:40:13Z
ENCRYPTED = (SmtpTls.IMPLICIT, SmtpTls.STARTTLS)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_MS)


@pytest.fixture
async def host(clock: ManualClock) -> AsyncIterator[MailHost]:
    async with MailHost(clock, login=MailLogin("probe", secrets.token_hex(8))) as host:
        yield host


@pytest.fixture(params=SmtpTls)
async def server(request: pytest.FixtureRequest, host: MailHost) -> SmtpServer:
    return await host.add_server(account(tls=request.param))


async def connected(server: SmtpServer, timeout_s: float = 10) -> None:
    async with client_of(server, timeout=timeout_s):
        pass


async def logged_in(server: SmtpServer, client: aiosmtplib.SMTP) -> None:
    await client.login(server.account.username, server.account.password)


async def works(host: MailHost, server: SmtpServer) -> bool:
    """Whether the next mail arrives."""
    before = len(host.mailbox.mails())
    await send(host, server)
    return len(host.mailbox.mails()) == before + 1


async def test_closed_port_refuses_and_keeps_its_number(host: MailHost, server: SmtpServer) -> None:
    """Refused while closed, also a second time; open again it is the same port."""
    port = server.port
    for _ in range(2):
        server.close_port()
        with pytest.raises(aiosmtplib.SMTPConnectError):
            await connected(server)
    server.open_port()
    assert server.port == port
    assert await works(host, server)


async def test_silent_banner_says_nothing_until_the_client_gives_up(host: MailHost, server: SmtpServer) -> None:
    """The connection is accepted, the client's time runs out, nothing else happens; the next talk is good."""
    server.faults.silent(Stage.CONNECT, times=1)
    with pytest.raises((aiosmtplib.SMTPTimeoutError, TimeoutError)):
        await connected(server, timeout_s=0.2)
    assert await works(host, server)


@pytest.mark.parametrize("banner", ["421 4.3.2 Try again later", "554 5.3.2 No service here"])
async def test_banner_that_turns_away(host: MailHost, server: SmtpServer, banner: str) -> None:
    """The client is told the code, and the connection ends."""
    server.faults.answer(Stage.CONNECT, banner, times=1)
    with pytest.raises(aiosmtplib.SMTPConnectError) as refused:
        await connected(server)
    assert banner[:3] in repr(refused.value)
    assert await works(host, server)


async def test_starttls_that_was_expected_is_not_offered(host: MailHost) -> None:
    """A client that demands it leaves; the password was never asked for."""
    server = await host.add_server(account())
    server.faults.hide(SmtpFaultKind.HIDE_STARTTLS, times=1)
    with pytest.raises(aiosmtplib.SMTPException, match="STARTTLS"):
        await connected(server)
    assert host.record.of(Seen.AUTHENTICATED) == []
    assert await works(host, server)


async def test_auth_is_not_offered(host: MailHost, server: SmtpServer) -> None:
    """The list of EHLO lacks AUTH, and AUTH all the same is 502."""
    server.faults.hide(SmtpFaultKind.HIDE_AUTH, times=1)
    async with client_of(server) as client:
        await client.ehlo()
        assert not client.supports_extension("auth")
        code, _ = await client.execute_command(b"AUTH", b"PLAIN", b"AAAA")
        assert code == 502
    assert await works(host, server)


@pytest.mark.parametrize("tls", ENCRYPTED)
async def test_handshake_meets_garbage(host: MailHost, tls: SmtpTls) -> None:
    """Where a handshake is due comes something that is no TLS: an error of TLS, at once."""
    server = await host.add_server(account(tls=tls))
    server.faults.garbage(Stage.CONNECT if tls is SmtpTls.IMPLICIT else Stage.STARTTLS, times=1)
    with pytest.raises((aiosmtplib.SMTPException, ssl.SSLError)) as failed:
        await connected(server)
    assert "SSL" in repr(failed.value) + repr(failed.value.__cause__)
    assert await works(host, server)


@pytest.mark.parametrize("tls", [SmtpTls.STARTTLS, SmtpTls.NONE])
async def test_tls_to_a_plain_port_fails(host: MailHost, tls: SmtpTls) -> None:
    """Implicit TLS where the server speaks first in the clear: WRONG_VERSION_NUMBER."""
    server = await host.add_server(account(tls=tls))
    with pytest.raises(aiosmtplib.SMTPConnectError) as failed:
        await connected_implicitly(server)
    assert "WRONG_VERSION_NUMBER" in repr(failed.value) + repr(failed.value.__cause__)
    assert await works(host, server)


async def connected_implicitly(server: SmtpServer) -> None:
    context = ssl.create_default_context()
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=server.port, use_tls=True, tls_context=context, timeout=10):
        pass


async def test_plain_talk_to_a_tls_port_is_on_record(host: MailHost) -> None:
    """The wrong way round: the handshake fails here, and the record says so."""
    server = await host.add_server(account(tls=SmtpTls.IMPLICIT))
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"EHLO probe.test\r\n")
    try:
        await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()
    await asyncio.wait_for(host.record.until(lambda: len(host.record.of(Seen.TLS_FAILED)) == 1), 10)
    assert await works(host, server)


async def test_login_is_rejected_after_a_delay(host: MailHost, server: SmtpServer, clock: ManualClock) -> None:
    """535, as a Postfix gives it, eight seconds later by the clock: not before."""
    server.faults.answer(Stage.AUTH, "535 5.7.8 Error: authentication failed", times=1, delay_ms=8_000)
    async with client_of(server) as client:
        login = asyncio.create_task(client.auth_plain(server.account.username, server.account.password))
        await asyncio.wait_for(clock.until(lambda: clock.waiting() == 1), 10)
        clock.advance(7_999)
        assert not login.done()
        clock.advance(1)
        with pytest.raises(aiosmtplib.SMTPAuthenticationError) as refused:
            await login
    assert refused.value.code == 535
    assert host.record.of(Seen.AUTHENTICATED) == []


@pytest.mark.parametrize(
    ("stage", "answer"),
    [
        (Stage.AUTH, "454 4.7.0 Temporary authentication failure"),
        (Stage.MAIL, "553 5.7.1 Sender address rejected: not owned by user"),
        (Stage.RCPT, "554 5.7.1 Relay access denied"),
        (Stage.RCPT, "550 5.1.1 User unknown"),
        (Stage.DATA, "451 4.3.0 Queue is full"),
        (Stage.CONTENT, "554 5.7.1 Looks like spam"),
    ],
)
async def test_refusals_have_their_code(host: MailHost, server: SmtpServer, stage: Stage, answer: str) -> None:
    """The scripted answer comes where it was asked for, the fault is on record, nothing was delivered."""
    server.faults.answer(stage, answer)
    code, text = await asyncio.to_thread(told_to_smtplib, host, server)
    assert f"{code} {text}" == answer
    assert host.mailbox.mails() == []
    assert {(line.about, line.answer) for line in host.record.of(Seen.FAULT)} == {(stage, answer)}


def told_to_smtplib(host: MailHost, server: SmtpServer) -> tuple[int, str]:
    """What the first refusal said."""
    try:
        with smtplib_of(host, server) as client:
            client.ehlo_or_helo_if_needed()
            client.login(server.account.username, server.account.password)
            client.send_message(mail(), RETURNS, [RECIPIENT])
    except smtplib.SMTPRecipientsRefused as refused:
        code, text = refused.recipients[RECIPIENT]
    except smtplib.SMTPResponseException as refused:
        return refused.smtp_code, told(refused.smtp_error)
    return code, told(text)


def told(text: bytes | str) -> str:
    return text.decode() if isinstance(text, bytes) else text


def smtplib_of(host: MailHost, server: SmtpServer) -> smtplib.SMTP:
    context = host.certificates.client()
    if server.account.tls is SmtpTls.IMPLICIT:
        return smtplib.SMTP_SSL("127.0.0.1", server.port, timeout=10, context=context)
    client = smtplib.SMTP("127.0.0.1", server.port, timeout=10)
    if server.account.tls is SmtpTls.STARTTLS:
        client.starttls(context=context)
    return client


async def test_greylisting_ends(host: MailHost, server: SmtpServer) -> None:
    """451 twice, then 250, and the mail arrives once."""
    server.faults.answer(Stage.RCPT, "451 4.7.1 Greylisted, try again later", times=2)
    for _ in range(2):
        with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
            await send(host, server)
        assert refused.value.recipients[0].code == 451
    await send(host, server)
    assert len(arrived(host)) == 1
    assert [line.answer[:3] for line in host.record.of(Seen.RCPT)] == ["451", "451", "250"]


async def test_only_one_recipient_is_unknown(host: MailHost, server: SmtpServer) -> None:
    """The others get their copy."""
    server.faults.answer(Stage.RCPT, "550 5.1.1 User unknown", of="nobody@box.test")
    async with client_of(server) as client:
        await logged_in(server, client)
        refused, _ = await client.send_message(mail(), sender=RETURNS, recipients=[RECIPIENT, "nobody@box.test"])
    assert {address: response.code for address, response in refused.items()} == {"nobody@box.test": 550}
    assert [message["Delivered-To"] for message in arrived(host)] == [RECIPIENT]


async def test_ehlo_is_refused(host: MailHost) -> None:
    """The scripted answer to the first word of a talk."""
    server = await host.add_server(account(tls=SmtpTls.NONE))
    server.faults.answer(Stage.EHLO, "554 5.7.1 Not you", times=1)
    async with client_of(server) as client:
        with pytest.raises(aiosmtplib.SMTPHeloError) as refused:
            await client.ehlo()
    assert (refused.value.code, refused.value.message) == (554, "5.7.1 Not you")
    assert await works(host, server)


CUTS = [stage for stage in Stage if stage not in (Stage.STARTTLS, Stage.QUIT)]


@pytest.mark.parametrize("stage", CUTS)
async def test_cut_at_a_command(host: MailHost, server: SmtpServer, stage: Stage) -> None:
    """The connection breaks right there; a mail that was not complete never arrives, and the next talk is good."""
    server.faults.cut(stage, times=1)
    with pytest.raises((aiosmtplib.SMTPException, OSError)):
        await every_command(server)
    assert host.mailbox.mails() == []
    assert await works(host, server)


async def test_cut_at_quit(host: MailHost, server: SmtpServer) -> None:
    """No goodbye, and the mail that was taken before is there."""
    server.faults.cut(Stage.QUIT, times=1)

    def quit_by_smtplib() -> None:
        client = smtplib_of(host, server)
        try:
            client.login(server.account.username, server.account.password)
            client.send_message(mail(), RETURNS, [RECIPIENT])
            client.docmd("QUIT")
        finally:
            client.close()

    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
        await asyncio.to_thread(quit_by_smtplib)
    assert len(host.mailbox.mails()) == 1


async def test_cut_at_starttls(host: MailHost) -> None:
    """The same at the command that only one kind of server has."""
    server = await host.add_server(account())
    server.faults.cut(Stage.STARTTLS, times=1)
    with pytest.raises((aiosmtplib.SMTPException, OSError)):
        await every_command(server)
    assert await works(host, server)


async def every_command(server: SmtpServer, timeout_s: float = 10) -> None:
    client = client_of(server, timeout=timeout_s)
    try:
        await client.connect()
        await client.ehlo()
        await logged_in(server, client)
        await client.send_message(mail(), sender=RETURNS)
        await client.execute_command(b"QUIT")
    finally:
        client.close()


async def test_silence_in_the_middle(host: MailHost, server: SmtpServer) -> None:
    """The talk hangs at DATA until the client gives up; the server is free for others meanwhile."""
    server.faults.silent(Stage.DATA, times=1)
    with pytest.raises(aiosmtplib.SMTPTimeoutError):
        await every_command(server, timeout_s=0.3)
    assert await works(host, server)


async def test_the_answer_is_lost_and_the_mail_is_not(host: MailHost, server: SmtpServer) -> None:
    """Cut after the content was taken: its sender can't know, and the mail is there."""
    server.faults.cut(Stage.CONTENT, times=1, when=When.AFTER)
    with pytest.raises((aiosmtplib.SMTPException, OSError)):
        await every_command(server)
    assert [line.about for line in host.record.of(Seen.DELIVERED)] == [PROBE]


async def test_421_ends_the_talk(host: MailHost, server: SmtpServer) -> None:
    """The answer comes, then the end of the connection."""
    server.faults.answer(Stage.MAIL, "421 4.3.2 Shutting down", times=1)
    client = client_of(server)
    await client.connect()
    await logged_in(server, client)
    with pytest.raises(aiosmtplib.SMTPException) as refused:
        await client.mail(RETURNS)
    assert "421" in repr(refused.value)
    await asyncio.wait_for(host.record.until(lambda: len(host.record.of(Seen.DISCONNECTED)) == 1), 10)
    client.close()
    assert await works(host, server)


async def test_rules_are_spared_counted_and_cleared(host: MailHost, server: SmtpServer) -> None:
    """`skip` spares the first, `times` ends it, `struck` tells which, `clear` removes the rest."""
    rule = SmtpFault(SmtpFaultKind.ANSWER, Stage.MAIL, "451 4.0.0 Later", times=1, skip=1)
    server.faults.add(rule)
    assert await works(host, server)
    with pytest.raises(aiosmtplib.SMTPSenderRefused):
        await send(host, server)
    assert await works(host, server)
    assert server.faults.struck == [rule]
    server.faults.answer(Stage.MAIL, "550 5.0.0 Never")
    server.faults.clear()
    assert await works(host, server)
