"""T1: what a row must have to be tested; and the mail of a direct test, which passes its own T8."""

import pytest

from domain.mail_headers import check_headers
from domain.server_checks import probe_mail, static_check
from domain.server_test import StepOutcome
from tests.memory_servers import raw_mail, server


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


@pytest.mark.parametrize("force_reply_to", ["always", " Always", "never", "when no valid signing domain", ""])
def test_a_probe_passes_its_own_check(force_reply_to: str) -> None:
    """What a direct test sends is what it expects to find."""
    row = server(from_email="News@Sender.test", reply_to_email="desk@sender.test", force_reply_to=force_reply_to)
    mail = probe_mail(row, "t-1", "probe@mailbox.test", "back@mailbox.test")
    assert mail.subject == "Test Email from sender.test [t-1]"
    assert check_headers(raw_mail(mail), row, sender_required=False).outcome is StepOutcome.PASS
