"""What a mail is, from its bytes alone."""

from email.message import EmailMessage

import pytest

from daemon.clients.mail_reading import WantedBounce, WantedProbe, header, is_of_a_test
from daemon.clients.smtp_mail import probe_bytes
from tests.delivery_servers import probe_mail

TOKEN = "5f1c6f0e-6f5d-4c52-9d3b-0a8c7e7f0b11"  # noqa: S105  of a mail


def mail(**headers: str) -> bytes:
    return "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()).encode() + b"\r\nx\r\n"


def report(action: str, returned: str, *, kind: str = "message/rfc822", encoding: str = "7bit") -> bytes:
    return (
        "From: Mail Delivery System <MAILER-DAEMON@mx.test>\r\nSubject: Undelivered Mail\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n"
        f"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.test\r\n\r\nAction: {action}\r\n"
        f"Final-Recipient: rfc822; refused@lab.test\r\nStatus: 5.1.1\r\n\r\n"
        f"--b\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{returned}\r\n--b--\r\n"
    ).encode()


ORIGINAL = f"Subject: Test Email from shop.test [{TOKEN}]\r\nFrom: a@b.test\r\n\r\nhello\r\n"


@pytest.mark.parametrize(
    "subject",
    [
        f"Test Email from shop.test [{TOKEN}]",
        f"Test Email from a-rather-long-domain-that-folds-the-subject.test\r\n [{TOKEN}]",
        f"=?utf-8?q?Test_Email_from_b=C3=BCcher=2Etest?= [{TOKEN}]",
        f"=?utf-8?q?Test_Email_from_b=C3=BCcher=2Etest_=5B{TOKEN}=5D?=",
    ],
)
def test_probe_is_known_by_its_subject(subject: str) -> None:
    """A probe is found whatever a server did to its subject: folded, or encoded."""
    assert WantedProbe(TOKEN).is_it(mail(Subject=subject))
    assert not WantedProbe(TOKEN).is_it(mail(Subject=subject.replace("5f1c", "5f1d")))


def test_bounces_and_answers_are_no_probe() -> None:
    """A bounce or an absence note that quotes the subject proves no arrival."""
    subject = f"Undeliverable: Test Email from shop.test [{TOKEN}]"
    assert not WantedProbe(TOKEN).is_it(mail(Subject=subject, Content_Type='multipart/report; boundary="b"'))
    assert not WantedProbe(TOKEN).is_it(mail(Subject=subject, Auto_Submitted="auto-replied"))
    assert WantedProbe(TOKEN).is_it(mail(Subject=subject, Auto_Submitted="auto-generated"))


@pytest.mark.parametrize(
    ("kind", "returned", "encoding"),
    [
        ("message/rfc822", ORIGINAL, "7bit"),
        ("text/rfc822-headers", ORIGINAL, "7bit"),
        ("text/rfc822-headers", ORIGINAL.replace("-4c52", "-4=\r\nc52"), "quoted-printable"),
    ],
)
def test_bounce_is_known_by_what_it_returns(kind: str, returned: str, encoding: str) -> None:
    """A bounce is found by the token in the returned mail, or in its headers alone, encoded or not."""
    assert WantedBounce(TOKEN).is_it(report("failed", returned, kind=kind, encoding=encoding))
    assert not WantedBounce(TOKEN[::-1]).is_it(report("failed", returned, kind=kind, encoding=encoding))


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded"])
def test_other_notifications_are_no_bounce(action: str) -> None:
    """That a mail is delayed, or was delivered, is a notification too, and no bounce."""
    assert not WantedBounce(TOKEN).is_it(report(action, ORIGINAL))


def test_bounce_of_an_old_mailer_is_known() -> None:
    """A mailer that writes its bounces as plain text is believed by its name."""
    text = (
        f"From: MAILER-DAEMON@old.test\r\nSubject: failure notice\r\n\r\n--- Below is a copy\r\n\r\n{ORIGINAL}".encode()
    )
    assert WantedBounce(TOKEN).is_it(text)
    assert not WantedBounce(TOKEN).is_it(text.replace(b"MAILER-DAEMON", b"someone"))


def test_probe_itself_is_no_bounce() -> None:
    """A probe that arrives in the bounce mailbox is not taken for its bounce."""
    probe = probe_mail()
    assert not WantedBounce(probe.token).is_it(probe_bytes(probe))
    assert WantedProbe(probe.token).is_it(probe_bytes(probe))


def test_tests_know_their_own_mails() -> None:
    """What tests may delete is known by our header or by the whole subject; a person's mail about it is not."""
    assert is_of_a_test(probe_bytes(probe_mail(subject="Canary")))
    assert is_of_a_test(mail(Subject=f"Test Email from shop.test [{TOKEN}]"))
    assert not is_of_a_test(mail(Subject=f"Re: Test Email from shop.test [{TOKEN}]"))
    assert not is_of_a_test(mail(Subject="Test Email from me to you"))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\xff\xfe",
        b"Subject: =?utf-8?b?!!!?=\r\n\r\n",
        b"Subject: =?nonsense?q?x?=\r\n\r\n",
        b"Content-Type: multipart/report\r\nFrom: \xff\r\n\r\n--",
        b"From: mailer-daemon\r\n"
        + b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (i, i) for i in range(3000)),
    ],
    ids=["empty", "bytes", "base64", "charset", "boundary", "deep"],
)
def test_no_mail_makes_it_raise(raw: bytes) -> None:
    """Anybody can send a mail here: none may stop those who wait for others."""
    for wanted in (WantedProbe(TOKEN), WantedBounce(TOKEN)):
        assert not wanted.is_it(raw)
        wanted.may_be(raw)
    is_of_a_test(raw)


def test_header_is_one_line_of_text() -> None:
    """A header is decoded and put on one line; one that is missing is empty."""
    message = EmailMessage()
    message["Subject"] = "Bücher"
    assert header(message, "Subject") == "Bücher"
    assert not header(message, "To")
