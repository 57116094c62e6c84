"""T1 and T8: what a row must have to be tested, and by whom a mail must say that it is sent."""

import pytest

from domain.server_checks import headers_of, probe_mail, sender_check, static_check
from domain.server_test import StepOutcome
from tests.memory_servers import raw_mail, server

OWN = (("From", "sender.test <news@sender.test>"), ("Reply-To", "news@sender.test"))


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "PASS"),
        ({"from_email": "nobody"}, "FAIL"),
        ({"from_email": ""}, "FAIL"),
        ({"from_email": "a b@sender.test"}, "FAIL"),
        ({"from_email": "news@sender.test\r\nBcc: all@else.test"}, "FAIL"),
        ({"hostname": "smtp 7"}, "FAIL"),
        ({"hostname": ""}, "FAIL"),
        ({"hostname": "smtp7.sender.test."}, "PASS"),
        ({"hostname": "192.0.2.7"}, "PASS"),
        ({"hostname": "[2001:db8::7]"}, "PASS"),
        ({"port": 0}, "FAIL"),
        ({"port": 70_000}, "FAIL"),
        ({"type": "sendmail", "hostname": "", "port": 0}, "PASS"),
    ],
)
def test_a_row_that_can_t_be_right_fails(changes: dict[str, object], outcome: str) -> None:
    """Sender, and where it speaks SMTP its host and port."""
    assert static_check(server(**changes)).outcome == outcome  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize(
    ("headers", "outcome"),
    [
        (OWN, "PASS"),
        ((("from", "NEWS@SENDER.TEST"), ("reply-to", "News@sender.test")), "PASS"),
        ((("From", "sender <news@sender.test>"), OWN[1]), "PASS"),
        ((("From", '"Sender.Test" <news@sender.test>'), OWN[1]), "PASS"),
        ((("From", "=?utf-8?q?sender.test?= <news@sender.test>"), OWN[1]), "PASS"),
        ((("From", "=?no-such?q?sender.test?= <news@sender.test>"), OWN[1]), "FAIL"),
        ((("From", "Pills <news@sender.test>"), OWN[1]), "FAIL"),
        ((("From", "news@other.test"), OWN[1]), "FAIL"),
        ((("From", "news@sender.test, else@where.test"), OWN[1]), "FAIL"),
        ((("From", "news@sender.test.evil.test"), OWN[1]), "FAIL"),
        ((("From", ""), OWN[1]), "FAIL"),
        ((OWN[0],), "FAIL"),
        ((OWN[1],), "FAIL"),
        ((("From", "news@sender.test"), ("From", "else@where.test"), OWN[1]), "FAIL"),
        ((*OWN, ("Sender", "news@sender.test")), "PASS"),
        ((*OWN, ("Sender", "else@where.test")), "WARN"),
    ],
)
def test_the_sender_is_the_server_s_own(headers: tuple[tuple[str, str], ...], outcome: str) -> None:
    """By address and name, in any case, decoded; Sender is only looked at where it stands."""
    assert sender_check(headers, server(), by_campaign=False, needs_sender=False).outcome == outcome


@pytest.mark.parametrize(
    ("sender", "outcome"), [("news@sender.test", "PASS"), ("else@where.test", "FAIL"), (None, "FAIL")]
)
def test_a_sender_header_is_needed_by_setting(sender: str | None, outcome: str) -> None:
    """Bug 19: only then."""
    headers = OWN if sender is None else (*OWN, ("Sender", sender))
    assert sender_check(headers, server(), by_campaign=False, needs_sender=True).outcome == outcome


@pytest.mark.parametrize(
    ("changes", "headers", "outcome"),
    [
        (
            {"force_reply_to": "always", "reply_to_email": "desk@sender.test"},
            (OWN[0], ("Reply-To", "desk@sender.test")),
            "PASS",
        ),
        ({"force_reply_to": "always", "reply_to_email": "desk@sender.test"}, OWN, "FAIL"),
        ({"force_reply_to": "always", "reply_to_email": ""}, OWN, "PASS"),
        ({"force_from": "always", "from_name": "The Desk"}, (("From", "The Desk <news@sender.test>"), OWN[1]), "PASS"),
        ({"force_from": "never", "from_name": "The Desk"}, (("From", "The Desk <news@sender.test>"), OWN[1]), "FAIL"),
    ],
)
def test_what_mailwizz_forces_is_expected_of_its_campaigns(
    changes: dict[str, object], headers: tuple[tuple[str, str], ...], outcome: str
) -> None:
    """A name or an answer's address that the row forces on every campaign is the right one."""
    row = server(**changes)  # type: ignore[arg-type]  # fields by name
    assert sender_check(headers, row, by_campaign=True, needs_sender=False).outcome == outcome


def test_a_probe_passes_its_own_check() -> None:
    """What a direct test sends is what it expects to find."""
    row = server(from_email="News@Sender.test", reply_to_email="desk@sender.test", force_reply_to="always")
    mail = probe_mail(row, "t-1", "probe@mailbox.test", "back@mailbox.test")
    assert mail.subject == "Test Email from sender.test [t-1]"
    found = sender_check(headers_of(raw_mail(mail)), row, by_campaign=False, needs_sender=False)
    assert found.outcome is StepOutcome.PASS


@pytest.mark.parametrize(
    "raw", [b"", b"\xff\xfe\x00", b"From: \xe9\xe9 <news@sender.test>\r\n\r\n", b"From:\r\n x\r\n\r\n"]
)
def test_bytes_of_a_stranger_raise_nothing(raw: bytes) -> None:
    """They are judged as they stand."""
    assert sender_check(headers_of(raw), server(), by_campaign=False, needs_sender=False).outcome is StepOutcome.FAIL
