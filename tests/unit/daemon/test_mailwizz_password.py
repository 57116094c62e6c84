import base64
import secrets
import sys

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from daemon.clients.mailwizz_password import MailWizzPasswords, PasswordUnreadable
from domain.delivery_server import DeliveryServer
from domain.errors import ConfigError

KEY = secrets.token_hex(16)


def encrypted(password: str, key: str = KEY) -> str:
    """As the product does it, padded by hand."""
    text = password.encode()
    missing = 16 - len(text) % 16
    encryptor = Cipher(algorithms.AES128(key.encode()[:16]), modes.CBC(bytes(16))).encryptor()
    return base64.b64encode(encryptor.update(text + bytes([missing]) * missing) + encryptor.finalize()).decode()


def server(password: str | None, server_id: int = 1) -> DeliveryServer:
    return DeliveryServer(
        id=server_id,
        type="smtp",
        name="",
        hostname="mx.sender.test",
        username="mailer",
        password=password,
        port=587,
        protocol="tls",
        timeout_s=30,
        from_email="news@sender.test",
        from_name="",
        reply_to_email="",
        force_from="never",
        force_reply_to="never",
        bounce_server_id=None,
        tracking_domain_id=None,
        customer_id=None,
        status="active",
        last_updated="2026-01-01 00:00:00",
    )


@given(st.text(min_size=1, max_size=80))
def test_an_encrypted_password_is_read_with_the_key(password: str) -> None:
    """Whatever was encrypted comes back, block by block and letter by letter."""
    assert MailWizzPasswords(KEY).credential(server(encrypted(password))) == password


def test_of_a_long_key_the_first_16_bytes_count() -> None:
    """The product's key is longer than the cipher's; the rest of it changes nothing."""
    stored = encrypted("s" * 20)
    assert MailWizzPasswords(KEY[:16] + "another end").credential(server(stored)) == "s" * 20


@pytest.mark.parametrize("plain", ["secret12", "not base64!", "AAAA", "Zm9v\n", "pässwörd", "A" * 23, "=" * 24])
def test_what_is_not_clean_base64_of_whole_blocks_is_plain(plain: str) -> None:
    """A password in plain text is taken as it stands, with a key and without one."""
    for passwords in (MailWizzPasswords(KEY), MailWizzPasswords()):
        assert passwords.credential(server(plain)) == plain


def test_a_wrong_key_is_told_and_nothing_is_quoted() -> None:
    """The error names the server and the trouble, and holds neither password, nor key, nor what was stored."""
    stored = encrypted("correct horse battery staple")
    for _ in range(600):  # one wrong key in 256 finds a padding by chance, and then no text
        other = secrets.token_hex(16)
        with pytest.raises(PasswordUnreadable, match="delivery server 7") as caught:
            MailWizzPasswords(other).credential(server(stored, 7))
        assert caught.value.kind == "wrong-key"
        assert not any(secret in str(caught.value) for secret in (stored, other, "correct"))
        assert caught.value.__cause__ is None


def test_without_a_key_there_is_no_credential_for_an_encrypted_password() -> None:
    """What can't be decrypted is no password to log in with; a row without one has none either."""
    assert MailWizzPasswords().credential(server(encrypted("secret"))) is None
    assert MailWizzPasswords(KEY).credential(server(None)) is None
    assert MailWizzPasswords(KEY).credential(server("")) is None


def test_what_the_operator_gave_goes_before_the_row() -> None:
    """A password by server id needs no key, and is for this server alone."""
    passwords = MailWizzPasswords(known={7: "given"})
    assert passwords.credential(server(encrypted("secret"), 7)) == "given"
    assert passwords.credential(server("plain", 8)) == "plain"


def test_without_the_package_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """An encrypted password says which extra is missing; a plain one needs none."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers", None)
    with pytest.raises(PasswordUnreadable, match=r"robotd\[mail\]") as caught:
        MailWizzPasswords(KEY).credential(server(encrypted("secret")))
    assert caught.value.kind == "no-cryptography"
    assert MailWizzPasswords(KEY).credential(server("plain")) == "plain"


def test_a_key_that_is_too_short_is_an_error_of_the_configuration() -> None:
    """Sixteen bytes are needed, and the message doesn't repeat those that were given."""
    with pytest.raises(ConfigError) as caught:
        MailWizzPasswords("too short a key")
    assert "too short" not in str(caught.value)


def test_secrets_stand_in_no_repr() -> None:
    """A finder of passwords and a server can be printed."""
    shown = repr(MailWizzPasswords(KEY, {1: "given"})) + repr(server("plain"))
    assert not any(secret in shown for secret in (KEY, "given", "plain"))
