"""Whether the packages of the extra `[mail]` are there."""

import subprocess
import sys

import pytest

from daemon import mail_extra

LOOK = """
import sys
from daemon.mail_extra import mail_is_installed
print(mail_is_installed(), sorted({"aiosmtplib", "aioimaplib", "dns", "cryptography"} & set(sys.modules)))
"""


def test_looking_imports_nothing() -> None:
    """To find out costs no import: a daemon without mail does not pay for it."""
    ran = subprocess.run([sys.executable, "-c", LOOK], check=True, capture_output=True, text=True)  # noqa: S603  our own words
    assert ran.stdout.strip() == "True []"


@pytest.mark.parametrize("name", ["aiosmtplib", "aioimaplib", "dns", "cryptography"])
def test_one_missing_package_is_enough(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any one of them the extra is not there."""
    monkeypatch.setattr(mail_extra, "find_spec", lambda asked: None if asked == name else object())
    assert not mail_extra.mail_is_installed()
