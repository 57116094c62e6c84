"""Signs mails with DKIM, relaxed/relaxed with rsa-sha256 as MailWizz does."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import dkim

SIGNED = ("from", "to", "subject", "date", "message-id", "reply-to", "mime-version", "content-type")


@dataclass(frozen=True, slots=True)
class Signer:
    """`key_pem`: an RSA private key. `headers` are signed where the mail has them."""

    domain: str
    selector: str
    key_pem: bytes = field(repr=False)
    headers: Sequence[str] = SIGNED

    async def sign(self, raw: bytes) -> bytes:
        """The mail with a signature in front. The arithmetic runs in a thread: it takes milliseconds."""
        return await asyncio.to_thread(self._signature, raw) + raw

    def _signature(self, raw: bytes) -> bytes:
        made: bytes = dkim.sign(
            raw,
            self.selector.encode(),
            self.domain.encode(),
            self.key_pem,
            canonicalize=(b"relaxed", b"relaxed"),
            include_headers=[name.encode() for name in self.headers],
        )
        return made
