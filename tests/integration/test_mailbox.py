"""The mailbox of the probes: a real Dovecot behind a real Postfix, and scripted lines for what they never do."""

import asyncio
import dataclasses
import imaplib
import logging
import secrets
import smtplib
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from daemon.clients.canary import CanaryOptions, SmtpCanary
from daemon.clients.imap_line import ImapLine
from daemon.clients.mail_reading import WantedBounce
from daemon.clients.mailbox import ImapMailbox
from daemon.clients.mailbox_options import MailboxOptions
from daemon.clients.smtp_mail import probe_bytes
from daemon.clients.smtp_probe import AioSmtpProbe
from domain.errors import RuleViolation, Unavailable
from domain.server_ports import ProbeMail
from domain.server_test import StepOutcome
from tests.delivery_servers import OPTIONS, delivery_server, probe_mail
from tests.mail_host import Account, MailHost
from tests.scripted_imap import CUT, SILENT, scripted_imap

PATIENCE_S = 20.0


def options(host: MailHost, account: Account | None = None, **changes: Any) -> MailboxOptions:
    account = account or host.probe
    values: dict[str, Any] = {
        "host": "localhost",
        "port": host.ports.imaps,
        "username": account.name,
        "password": account.password,
        "certificate_file": str(host.authority),
        "junk_folder": "Junk",
        **changes,
    }
    return MailboxOptions(**values)


@pytest.fixture
async def mailbox(mail_host: MailHost) -> AsyncIterator[ImapMailbox]:
    """The mailbox of the probes, its junk folder included."""
    opened = ImapMailbox(options(mail_host))
    yield opened
    await opened.close()


@pytest.fixture
async def bounces(mail_host: MailHost) -> AsyncIterator[ImapMailbox]:
    """The mailbox to which bounces go."""
    opened = ImapMailbox(options(mail_host, mail_host.bounce))
    yield opened
    await opened.close()


async def send(host: MailHost, mail: ProbeMail) -> None:
    server = delivery_server(port=host.ports.starttls, username=host.sender.name, protocol="tls")
    findings = await AioSmtpProbe(OPTIONS).deliver(server, host.sender.password, mail)
    assert findings[-1].outcome is StepOutcome.PASS


@contextmanager
def by_hand(host: MailHost, account: Account, folder: str = "INBOX") -> Iterator[imaplib.IMAP4]:
    """Another client that looks into the same mailbox."""
    client = imaplib.IMAP4("127.0.0.1", host.ports.imap)
    client.login(account.name, account.password)
    client.select(folder)
    try:
        yield client
    finally:
        client.logout()


@pytest.mark.parametrize(("security", "port"), [("tls", "imaps"), ("starttls", "imap"), ("none", "imap")])
async def test_probe_that_was_sent_is_found(mail_host: MailHost, security: Any, port: str) -> None:
    """What a probe sends is found by its token, with all its bytes, however the connection is encrypted."""
    mailbox = ImapMailbox(options(mail_host, security=security, port=getattr(mail_host.ports, port)))
    mail = probe_mail()
    await send(mail_host, mail)
    found = await mailbox.find(mail.token, wait_s=PATIENCE_S)
    await mailbox.close()
    assert found is not None
    assert (found.folder, found.is_junk) == ("INBOX", False)
    assert f"Message-ID: <{mail.token}@shop.test>".encode() in found.raw
    assert found.raw.startswith(b"Return-Path: <bounce@lab.test>")


async def test_mail_that_arrives_while_somebody_waits_is_found(
    mail_host: MailHost, mailbox: ImapMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mail that arrives after the quick looks is found by what the server announces, long before the next look."""
    idle, idling = ImapLine.idle, asyncio.Event()

    async def heard(line: ImapLine, wake: asyncio.Event, limit_s: float) -> None:
        if limit_s > 3:
            idling.set()
        await idle(line, wake, limit_s)

    monkeypatch.setattr(ImapLine, "idle", heard)
    late = probe_mail()
    waiting = asyncio.create_task(mailbox.find(late.token, wait_s=PATIENCE_S))
    async with asyncio.timeout(PATIENCE_S):
        await idling.wait()
    sent_s = time.monotonic()
    await send(mail_host, late)
    assert await waiting is not None
    assert time.monotonic() - sent_s < 3, "the next look was more than three seconds away"


async def test_junk_is_told_as_junk(mail_host: MailHost, mailbox: ImapMailbox) -> None:
    """A mail in the junk folder has arrived, and is told to be junk."""
    mail = probe_mail("junk@lab.test")
    await send(mail_host, mail)
    found = await mailbox.find(mail.token, wait_s=PATIENCE_S)
    assert found is not None
    assert (found.folder, found.is_junk) == ("Junk", True)


async def test_mail_that_does_not_come_is_nothing(mail_host: MailHost, mailbox: ImapMailbox) -> None:
    """A mail that was taken and never delivered is None at the limit, not earlier; without a limit one look is made."""
    mail = probe_mail("lost@lab.test")
    await send(mail_host, mail)
    began_s = time.monotonic()
    assert await mailbox.find(mail.token, wait_s=1.0) is None
    assert time.monotonic() - began_s >= 1.0
    assert await mailbox.find(mail.token, wait_s=0) is None


async def test_bounce_is_found_and_is_no_arrival(mail_host: MailHost, bounces: ImapMailbox) -> None:
    """A mail that was taken and then refused comes back: found as a bounce, never as the mail itself."""
    mail = probe_mail("refused@lab.test")
    await send(mail_host, mail)
    found = await bounces.find_bounce(mail.token, wait_s=PATIENCE_S)
    assert found is not None
    assert b"Action: failed" in found.raw
    assert await bounces.find(mail.token, wait_s=0) is None


async def test_bounce_that_came_before_is_found(mail_host: MailHost, bounces: ImapMailbox) -> None:
    """A bounce that was there before anybody waited is found again, as after a restart."""
    mail = probe_mail("refused@lab.test")
    await send(mail_host, mail)
    await bounces.find_bounce(mail.token, wait_s=PATIENCE_S)
    again = ImapMailbox(options(mail_host, mail_host.bounce))
    found = await again.find_bounce(mail.token, wait_s=0)
    await again.close()
    assert found is not None


async def test_bounce_is_found_where_the_server_searches_no_attachments(
    mail_host: MailHost, bounces: ImapMailbox
) -> None:
    """Where the server's own search does not look into what a bounce returns, the newest mails are walked through."""
    mail = probe_mail("refused@lab.test")
    await send(mail_host, mail)
    assert await bounces.find_bounce(mail.token, wait_s=PATIENCE_S)
    assert await bounces._wait(WantedBounce(mail.token, search_key="SUBJECT", walks=False), 0) is None
    assert await bounces._wait(WantedBounce(mail.token, search_key="SUBJECT"), 0)


async def test_many_wait_at_once_over_one_connection(mail_host: MailHost, mailbox: ImapMailbox) -> None:
    """Forty mails are waited for at once, each found by who waits for it, over one connection for each folder."""
    mails = [probe_mail() for _ in range(40)]
    waiting = [asyncio.create_task(mailbox.find(mail.token, wait_s=PATIENCE_S)) for mail in mails]
    logins = mail_host.log.count(f"Login: user=<{mail_host.probe.name}>")
    for start in range(0, 40, 10):
        await asyncio.gather(*(send(mail_host, mail) for mail in mails[start : start + 10]))
    found = await asyncio.gather(*waiting)
    assert [mail.token.encode() in (each.raw if each else b"") for mail, each in zip(mails, found, strict=True)] == [
        True
    ] * 40
    assert mail_host.log.count(f"Login: user=<{mail_host.probe.name}>") - logins <= 2


async def test_others_mail_is_left_alone(mail_host: MailHost, mailbox: ImapMailbox) -> None:
    """Neither others' mail nor ours is marked as read by looking; old ones of others are not deleted."""
    subject = f"Hello {secrets.token_hex(8)}"
    with by_hand(mail_host, mail_host.probe) as client:
        client.append("INBOX", "", '"01-Jan-2020 00:00:00 +0000"', f"Subject: {subject}\r\n\r\nx\r\n".encode())
    mail = probe_mail()
    await send(mail_host, mail)
    await mailbox.find(mail.token, wait_s=PATIENCE_S)
    with by_hand(mail_host, mail_host.probe) as client:
        for words in (subject, mail.token):
            _, (found,) = client.search(None, "UNSEEN", "UNDELETED", "SUBJECT", f'"{words}"')
            assert len(found.split()) == 1


async def test_old_probes_are_deleted(mail_host: MailHost) -> None:
    """What tests have sent or found is deleted when it is a week old; the same from yesterday stays."""
    old, new, kept = probe_mail(), probe_mail(), probe_mail()
    with by_hand(mail_host, mail_host.bounce) as client:
        yesterday = imaplib.Time2Internaldate(time.time() - 86_400)
        for mail, day in ((old, '"01-Jan-2020 00:00:00 +0000"'), (new, yesterday)):
            client.append("INBOX", "", day, probe_bytes(mail))
    keeper = ImapMailbox(options(mail_host, mail_host.bounce, keep_days=0))
    assert await keeper.find(old.token, wait_s=0)
    await keeper.close()
    tidier = ImapMailbox(options(mail_host, mail_host.bounce))
    assert await tidier.find(kept.token, wait_s=1.0) is None
    assert await tidier.find(old.token, wait_s=0) is None
    assert await tidier.find(new.token, wait_s=0)
    await tidier.close()


async def test_connection_that_idles_is_used_again_or_anew(mail_host: MailHost) -> None:
    """A connection that lingers serves the next test; after it ended, the next test gets another one."""
    mailbox = ImapMailbox(options(mail_host, junk_folder="", linger_s=0.1))
    mail = probe_mail()
    await send(mail_host, mail)
    for _ in range(3):
        assert await mailbox.find(mail.token, wait_s=PATIENCE_S)
    watch: Any = mailbox._watches[0]
    await asyncio.wait([watch._task], timeout=PATIENCE_S)
    assert watch._task.done()
    assert await mailbox.find(mail.token, wait_s=PATIENCE_S)
    await mailbox.close()


async def test_mailbox_that_went_away_is_unavailable_and_comes_back(mail_host: MailHost, mailbox: ImapMailbox) -> None:
    """While the server is gone the mailbox is unavailable, to those who wait and those who come; then it is back."""
    mail = probe_mail()
    await send(mail_host, mail)
    assert await mailbox.find(mail.token, wait_s=PATIENCE_S)
    waiting = asyncio.create_task(mailbox.find(probe_mail().token, wait_s=PATIENCE_S))
    await asyncio.sleep(0)
    await asyncio.to_thread(mail_host.stop_dovecot)
    try:
        with pytest.raises(Unavailable, match="mailbox"):
            await waiting
        with pytest.raises(Unavailable, match="no connection"):
            await mailbox.find(mail.token, wait_s=PATIENCE_S)
    finally:
        await asyncio.to_thread(mail_host.start_dovecot)
    assert await mailbox.find(mail.token, wait_s=PATIENCE_S)


async def test_mailbox_that_another_client_empties_is_still_read(mail_host: MailHost) -> None:
    """Two thousand mails that disappear at once, each announced on a line of its own, stop nobody."""
    box = dataclasses.replace(options(mail_host, mail_host.sender), junk_folder="")
    mailbox = ImapMailbox(box)
    assert await mailbox.find(probe_mail().token, wait_s=0) is None
    mail = probe_mail()
    with by_hand(mail_host, mail_host.sender) as client:
        for _ in range(2000):
            client.append("INBOX", "", "", b"Subject: bulk\r\n\r\nx\r\n")
        assert await mailbox.find(probe_mail().token, wait_s=0) is None
        client.noop()
        client.store("1:*", "+FLAGS.SILENT", r"(\Deleted)")
        client.expunge()
        client.append("INBOX", "", "", probe_bytes(mail))
    assert await mailbox.find(mail.token, wait_s=PATIENCE_S) is not None
    await mailbox.close()


async def test_wrong_password_is_told_without_it(mail_host: MailHost, caplog: pytest.LogCaptureFixture) -> None:
    """A login that fails is unavailable; the password stands neither there nor in any log, quotes in it or not."""
    caplog.set_level(logging.DEBUG)
    for password in ("not-the-password", 'with"quote-and\\slash'):
        mailbox = ImapMailbox(options(mail_host, password=password))
        with pytest.raises(Unavailable, match="the login failed") as told:
            await mailbox.find(probe_mail().token, wait_s=PATIENCE_S)
        await mailbox.close()
        assert password not in f"{told.value}{caplog.text}{options(mail_host, password=password)}"
        assert password.replace("\\", "\\\\").replace('"', '\\"') not in caplog.text


async def test_certificate_of_a_stranger_is_unavailable_unless_told_otherwise(mail_host: MailHost) -> None:
    """Our own mailbox is only believed with a certificate that is trusted, unless that is switched off."""
    mail = probe_mail()
    await send(mail_host, mail)
    strict = ImapMailbox(options(mail_host, certificate_file=None))
    with pytest.raises(Unavailable, match="certificate"):
        await strict.find(mail.token, wait_s=PATIENCE_S)
    await strict.close()
    easy = ImapMailbox(options(mail_host, certificate_file=None, verifies=False))
    assert await easy.find(mail.token, wait_s=PATIENCE_S)
    await easy.close()


async def test_folder_that_is_missing_is_unavailable(mail_host: MailHost) -> None:
    """A folder that does not exist is told, not taken for an empty one."""
    mailbox = ImapMailbox(options(mail_host, junk_folder="Spam"))
    with pytest.raises(Unavailable, match="Spam"):
        await mailbox.find(probe_mail().token, wait_s=PATIENCE_S)
    await mailbox.close()


@pytest.mark.parametrize("token", ["", "short", "a b c d e f g", 'x" OR ALL', "ü" * 10, "x" * 65])
async def test_token_that_could_search_for_more_is_refused(token: str) -> None:
    """What is no token is refused before it is searched for."""
    mailbox = ImapMailbox(MailboxOptions("127.0.0.1", "a", "b"))
    with pytest.raises(RuleViolation, match="token"):
        await mailbox.find(token, wait_s=1)
    with pytest.raises(RuleViolation, match="token"):
        await mailbox.find_bounce(token, wait_s=1)


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ({"GREETING": "* BYE too many connections"}, "too many connections"),
        ({"GREETING": CUT}, "hung up"),
        ({"GREETING": SILENT}, "no greeting in"),
        ({"CAPABILITY": CUT}, "hung up"),
        ({"LOGIN": "NO not you"}, "not you"),
        ({"LOGIN": CUT}, "connection was lost"),
        ({"LOGIN": SILENT}, "no answer in"),
        ({"SELECT": "NO no such folder"}, "no such folder"),
        ({"SELECT": CUT}, "connection was lost"),
        ({"NOOP": CUT}, "connection was lost"),
        ({"NOOP": SILENT}, "no answer in"),
        ({"UID": CUT}, "connection was lost"),
        ({"UID": "NO server busy"}, "server busy"),
        ({"UID": SILENT}, "no answer in"),
        ({"IDLE": CUT}, "connection was lost"),
        ({"IDLE": "NO not now"}, "not now"),
    ],
)
async def test_mailbox_that_fails_is_unavailable_in_bounded_time(answers: dict[str, str | list[str]], why: str) -> None:
    """Whatever an IMAP server does wrong, who waits is told that the mailbox is unavailable, and why, in time."""
    async with scripted_imap(answers) as (script, port):
        mailbox = ImapMailbox(
            MailboxOptions(
                "127.0.0.1", "me", "pass-word", port=port, security="none", connect_timeout_s=0.3, command_timeout_s=0.3
            )
        )
        async with asyncio.timeout(10):
            with pytest.raises(Unavailable, match=why):
                await mailbox.find(probe_mail().token, wait_s=PATIENCE_S)
        await mailbox.close()
    assert script.connections <= 2


async def test_one_cut_connection_is_made_good() -> None:
    """A connection that is cut once is made anew, and who waits does not notice."""
    async with scripted_imap({"NOOP": [CUT, ""]}) as (script, port):
        mailbox = ImapMailbox(MailboxOptions("127.0.0.1", "me", "pass-word", port=port, security="none"))
        assert await mailbox.find(probe_mail().token, wait_s=0.1) is None
        await mailbox.close()
    assert script.connections == 2


async def test_server_without_idle_is_asked() -> None:
    """A server that can't announce anything is asked again and again, and is never told to idle."""
    answers: dict[str, str | list[str]] = {
        "GREETING": "* OK ready",
        "CAPABILITY": "* CAPABILITY IMAP4rev1",
    }
    async with scripted_imap(answers) as (script, port):
        mailbox = ImapMailbox(MailboxOptions("127.0.0.1", "me", "pass-word", port=port, security="none", poll_s=1.0))
        assert await mailbox.find(probe_mail().token, wait_s=3.0) is None
        await mailbox.close()
    words = [line.split(" ")[1] for line in script.heard]
    assert words.count("NOOP") >= 5
    assert "IDLE" not in words


async def test_who_waits_when_the_mailbox_is_closed_is_told(mail_host: MailHost) -> None:
    """Closing ends every wait at once."""
    mailbox = ImapMailbox(options(mail_host))
    waiting = asyncio.create_task(mailbox.find(probe_mail().token, wait_s=PATIENCE_S))
    await asyncio.sleep(0)
    await mailbox.close()
    with pytest.raises(Unavailable, match="closed"):
        await waiting


async def test_canary_arrives(mail_host: MailHost, mailbox: ImapMailbox) -> None:
    """A canary through the known-good server is found in the mailbox like a probe."""
    canary = SmtpCanary(
        CanaryOptions(
            host="127.0.0.1",
            port=mail_host.ports.starttls,
            from_email="canary@lab.test",
            to="probe@lab.test",
            username=mail_host.sender.name,
            password=mail_host.sender.password,
        ),
        OPTIONS,
    )
    token = probe_mail().token
    assert await canary.send(token) is None
    assert await mailbox.find(token, wait_s=PATIENCE_S)


async def test_canary_that_can_not_fly_says_why(mail_host: MailHost) -> None:
    """A canary says at which step it failed; its recipient is held to the same list as that of probes."""
    good = CanaryOptions("127.0.0.1", "canary@lab.test", "probe@lab.test", port=mail_host.ports.starttls)
    refused = dataclasses.replace(good, username=mail_host.sender.name, password="not-it")  # noqa: S106  of nobody
    told = await SmtpCanary(refused, OPTIONS).send(probe_mail().token)
    assert str(told).startswith("T5 auth-rejected: 535")
    with pytest.raises(RuleViolation):
        await SmtpCanary(dataclasses.replace(good, to="a@b.test"), OPTIONS).send(probe_mail().token)


def test_lab_refuses_strangers_certificates(mail_host: MailHost) -> None:
    """The certificates of the lab are real: a client that trusts the system alone refuses them."""
    with smtplib.SMTP("localhost", mail_host.ports.starttls) as client, pytest.raises(ssl.SSLError):
        client.starttls(context=ssl.create_default_context())
