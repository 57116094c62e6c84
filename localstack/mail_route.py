"""What becomes of a mail that a delivery server took: what the server does to it, then our own mail exchanger.

The exchanger's header `Received` is truthful and topmost of its kind: it names the address of the delivery server.
"""

from dataclasses import dataclass
from email.utils import formatdate
from uuid import uuid4

from domain.ports import Clock
from localstack.mail_box import INBOX, JUNK, Mailbox
from localstack.mail_dkim import Signer
from localstack.mail_dsn import notification
from localstack.mail_faults import Treatment
from localstack.mail_headers import header, header_line, replaced, without
from localstack.mail_record import MailRecord, Seen, token_in


@dataclass(frozen=True, slots=True)
class Taken:
    """A mail with its envelope. `by`: the name in the record; `host` and `address`: who hands it to the exchanger."""

    by: str
    talk: int
    host: str
    address: str
    helo: str
    is_encrypted: bool
    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    treatment: Treatment
    signer: Signer | None = None


class MailRoute:
    """The way into the mailbox. Mails to an address in `refusing` come back as delivery status notifications."""

    def __init__(
        self, mailbox: Mailbox, record: MailRecord, clock: Clock, hostname: str, refusing: frozenset[str]
    ) -> None:
        self._mailbox = mailbox
        self._record = record
        self._clock = clock
        self._hostname = hostname
        self._refusing = frozenset(address.lower() for address in refusing)

    async def deliver(self, taken: Taken) -> None:
        """Carry out the treatment; returns when the mail lies where it goes, which may be late."""
        token = token_in(header(taken.raw, "Subject"))
        if taken.treatment.is_lost:
            self._record.add(taken.by, taken.talk, Seen.LOST, token)
            return
        raw = await self._handled(taken)
        if taken.treatment.late_ms:
            await self._clock.wait_until(self._clock.now_ms() + taken.treatment.late_ms)
        for recipient in taken.recipients:
            if recipient.lower() in self._refusing:
                self._return(taken, raw, recipient, token)
            else:
                self._put(taken, raw, recipient, token)

    async def _handled(self, taken: Taken) -> bytes:
        raw, treatment = taken.raw, taken.treatment
        if treatment.from_header is not None:
            raw = replaced(raw, "From", treatment.from_header)
        if treatment.drops_reply_to:
            raw = without(raw, "Reply-To")
        if treatment.sender_header is not None:
            raw = replaced(raw, "Sender", treatment.sender_header)
        if treatment.forged_results is not None:
            raw = header_line("Authentication-Results", treatment.forged_results) + raw
        if taken.signer is not None:
            raw = await taken.signer.sign(raw)
        if treatment.breaks_signature:
            raw += b"-- \r\nSent through a server that knows better\r\n"
        return self._received(f"{taken.helo} ([127.0.0.1])", taken.host, taken.is_encrypted) + raw

    def _put(self, taken: Taken, raw: bytes, recipient: str, token: str) -> None:
        treatment = taken.treatment
        top = header_line("Return-Path", f"<{taken.sender}>") + header_line("Delivered-To", recipient)
        if treatment.results is not None:
            top += header_line("Authentication-Results", treatment.results)
        top += self._received(f"{taken.host} ({taken.host} [{taken.address}])", self._hostname, is_encrypted=False)
        folder = JUNK if treatment.to_junk else INBOX
        self._mailbox.deliver(folder, top + raw, self._clock.now_ms())
        self._record.add(taken.by, taken.talk, Seen.DELIVERED, token, folder)

    def _return(self, taken: Taken, raw: bytes, recipient: str, token: str) -> None:
        if taken.treatment.sends_no_dsn or taken.sender.lower() in self._refusing:  # a bounce never bounces
            self._record.add(taken.by, taken.talk, Seen.LOST, token)
            return
        now_ms = self._clock.now_ms()
        made = notification(raw, host=taken.host, sender=taken.sender, recipient=recipient, at_ms=now_ms)
        top = header_line("Return-Path", "<>") + header_line("Delivered-To", taken.sender)
        top += self._received(f"{taken.host} ({taken.host} [{taken.address}])", self._hostname, is_encrypted=False)
        self._mailbox.deliver(INBOX, top + made, now_ms)
        self._record.add(taken.by, taken.talk, Seen.RETURNED, token, recipient)

    def _received(self, of: str, by: str, is_encrypted: bool) -> bytes:  # noqa: FBT001  the protocol's name in one word
        protocol = "ESMTPSA" if is_encrypted else "ESMTP"
        date = formatdate(self._clock.now_ms() / 1000)
        return header_line("Received", f"from {of}\r\n\tby {by} with {protocol} id {uuid4().hex[:12]};\r\n\t{date}")
