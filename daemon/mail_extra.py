"""Whether the packages of the extra `[mail]` are there; nothing is imported to find out."""

from importlib.util import find_spec

_NEEDED = ("aioimaplib", "aiosmtplib", "cryptography", "dns")


def mail_is_installed() -> bool:
    """Whether `daemon.clients.smtp_probe`, `.mailbox` and `.canary` can be imported."""
    return all(find_spec(name) is not None for name in _NEEDED)
