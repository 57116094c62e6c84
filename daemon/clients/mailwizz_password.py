"""The password of a delivery server: as the row has it, decrypted with the operator's key, or as the operator gave it.

MailWizz stores base64 of AES-128-CBC with a zero IV and PKCS7, under a key that is built into the product. We ship no
key. Nothing here is logged, and no error or repr holds a password or the key.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

from domain.delivery_server import DeliveryServer
from domain.errors import ConfigError, RobotdError

_BLOCK = 16
_ZERO_IV = bytes(_BLOCK)


class PasswordUnreadable(RobotdError):  # noqa: N818  a state of the row and our key, not a fault of the server
    """The stored password can't be decrypted. `kind`: `wrong-key` or `no-cryptography`."""

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class MailWizzPasswords:
    """Finds passwords. `key` decrypts those that are stored encrypted; `known`, by server id, goes before the row."""

    key: str | None = field(default=None, repr=False)
    known: Mapping[int, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Refuse a key that is too short for the cipher."""
        if self.key is not None and len(self.key.encode()) < _BLOCK:
            raise ConfigError(f"the key of MailWizz's passwords has at least {_BLOCK} bytes")

    def credential(self, server: DeliveryServer) -> str | None:
        """The password, or None where the row has none or there is no key for it. Raises PasswordUnreadable."""
        if server.id in self.known:
            return self.known[server.id]
        if not server.password:
            return None
        encrypted = _encrypted(server.password)
        if encrypted is None:
            return server.password
        return None if self.key is None else _decrypted(encrypted, self.key, server.id)


def _encrypted(stored: str) -> bytes | None:
    """What base64 holds, if it is whole blocks of the cipher; anything else is a password in plain text."""
    try:
        found = base64.b64decode(stored, validate=True)
    except (binascii.Error, ValueError):
        return None
    is_clean = base64.b64encode(found).decode() == stored
    return found if found and is_clean and len(found) % _BLOCK == 0 else None


def _decrypted(encrypted: bytes, key: str, server_id: int) -> str:
    try:
        from cryptography.hazmat.primitives.ciphers import (  # noqa: PLC0415  of the extra, which may be absent
            Cipher,
            algorithms,
            modes,
        )
        from cryptography.hazmat.primitives.padding import PKCS7  # noqa: PLC0415  as above
    except ImportError as error:
        raise PasswordUnreadable(
            "encrypted passwords need the package cryptography: install robotd[mail]", kind="no-cryptography"
        ) from error
    decryptor = Cipher(algorithms.AES128(key.encode()[:_BLOCK]), modes.CBC(_ZERO_IV)).decryptor()
    unpadder = PKCS7(8 * _BLOCK).unpadder()
    padded = decryptor.update(encrypted) + decryptor.finalize()
    try:
        return (unpadder.update(padded) + unpadder.finalize()).decode()
    except ValueError:  # of the padding, or of UTF-8; the cause would quote the bytes
        raise PasswordUnreadable(
            f"the password of delivery server {server_id} is not encrypted with the configured key", kind="wrong-key"
        ) from None
