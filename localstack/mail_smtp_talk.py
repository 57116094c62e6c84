"""One connection to a delivery server: aiosmtpd's protocol with our login, our record and our faults."""

import asyncio
import hmac
import ssl
from asyncio.trsock import TransportSocket
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session, TLSSetupException

from localstack.faults import When
from localstack.listening import reset, socket_of
from localstack.mail_dkim import Signer
from localstack.mail_faults import SmtpFault, SmtpFaultKind, SmtpFaults, Stage, Treatment
from localstack.mail_headers import header
from localstack.mail_record import MailRecord, Seen, token_in
from localstack.mail_route import Taken
from localstack.mail_tls import Certificate

GARBAGE = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
_COMMAND_LIMIT = 512
_NEEDS_LOGIN = "530 5.7.0 Authentication required"


class SmtpTls(StrEnum):
    """How a delivery server encrypts; with STARTTLS it takes neither login nor mail before."""

    IMPLICIT = "implicit"
    STARTTLS = "starttls"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class SmtpAccount:
    """What a delivery server is. `address`: where its mails come from, as the exchanger's header tells it."""

    name: str
    username: str
    password: str = field(repr=False)
    tls: SmtpTls = SmtpTls.STARTTLS
    certificate: Certificate = Certificate.GOOD
    hostname: str = "localhost"
    address: str = "127.0.0.1"
    signer: Signer | None = None


class TalkedTo(Protocol):
    """The delivery server, as its connections see it."""

    account: SmtpAccount
    faults: SmtpFaults
    treatment: Treatment
    record: MailRecord
    context: ssl.SSLContext

    async def take(self, taken: Taken) -> None:
        """Deliver a mail."""
        ...

    async def suffer(self, fault: SmtpFault, talk: int) -> None:
        """Write a fault down and let its delay pass."""
        ...


class _QuietSession(Session):
    """aiosmtpd warns at each login of an attribute that it sets by itself."""

    @property
    def login_data(self) -> object:
        return None

    @login_data.setter
    def login_data(self, value: object) -> None:
        """Kept nowhere: it holds the password."""


class SmtpTalk(SMTP):
    """The protocol. `hidden`: what this talk does not offer though the account has it."""

    def __init__(self, server: TalkedTo, number: int, hidden: SmtpFaultKind | None) -> None:
        self.server = server
        self.account = server.account
        self.number = number
        self.hides_auth = hidden is SmtpFaultKind.HIDE_AUTH
        self._is_over = asyncio.Event()
        self._below: TransportSocket | None = None
        self.command_size_limits = defaultdict(lambda: _COMMAND_LIMIT)  # aiosmtpd's is shared by all connections
        offers_tls = self.account.tls is SmtpTls.STARTTLS and hidden is not SmtpFaultKind.HIDE_STARTTLS
        super().__init__(
            _Hooks(self),
            hostname=self.account.hostname,
            ident="ESMTP",
            tls_context=server.context if offers_tls else None,
            require_starttls=offers_tls,
            auth_require_tls=offers_tls,
            authenticator=self._check,
            loop=asyncio.get_running_loop(),
        )

    async def ended(self) -> None:
        """Return when the connection has ended; ends it when cancelled."""
        try:
            await self._is_over.wait()
        finally:
            if not self._is_over.is_set():
                self._cut()
                await self._is_over.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called again when STARTTLS is done."""
        self._below = self._below or socket_of(transport)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell who waits for the end."""
        super().connection_lost(error)
        self._is_over.set()

    def note(self, what: Seen, about: str = "", answer: str = "") -> None:
        """Write a line of the record."""
        self.server.record.add(self.account.name, self.number, what, about, answer)

    async def answer_of_fault(self, stage: Stage, of: str | None = None, when: When = When.BEFORE) -> str | None:
        """What a fault answers here instead of what is due, or None. Does not return where it ends the talk."""
        fault = self.server.faults.draw(stage, of, when)
        if fault is None:
            return None
        await self.server.suffer(fault, self.number)
        if fault.kind is SmtpFaultKind.ANSWER and not fault.answer.startswith("421"):
            return fault.answer
        await self._end(fault)
        return None

    async def _end(self, fault: SmtpFault) -> None:
        if fault.kind is SmtpFaultKind.ANSWER:
            await self.push(fault.answer)
        if fault.kind is SmtpFaultKind.GARBAGE:
            await self.push("220 Ready to start TLS")
            await self._reader.read(1)  # the client begins the handshake: what came before would be read as an answer
            self._writer.write(GARBAGE)
        if fault.kind is SmtpFaultKind.CUT:
            self._cut()
        elif fault.kind is not SmtpFaultKind.SILENT:
            self._writer.close()
        await self._is_over.wait()  # the end of the connection cancels this

    def _cut(self) -> None:
        transport = self._original_transport or self.transport  # the one below STARTTLS
        if transport is not None and self._below is not None:
            reset(transport, self._below)

    def _create_session(self) -> Session:
        return _QuietSession(self.loop)

    def _check(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, login: LoginPassword
    ) -> AuthResult:
        wanted = (self.account.username.encode(), self.account.password.encode())
        is_right = hmac.compare_digest(login.login, wanted[0]) & hmac.compare_digest(login.password, wanted[1])
        self.note(Seen.AUTHENTICATED if is_right else Seen.AUTH_REFUSED, login.login.decode("utf-8", "replace"))
        return AuthResult(success=is_right, handled=False)

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802  aiosmtpd finds commands by these names
        """EHLO, as far as no fault strikes; so with all that follow."""
        answer = await self.answer_of_fault(Stage.EHLO)
        await (super().smtp_EHLO(hostname) if answer is None else self.push(answer))

    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: N802  as smtp_EHLO
        """STARTTLS."""
        answer = await self.answer_of_fault(Stage.STARTTLS)
        await (super().smtp_STARTTLS(arg) if answer is None else self.push(answer))
        if self.session is not None and self.session.ssl is not None:
            self.note(Seen.STARTTLS)

    async def smtp_AUTH(self, arg: str) -> None:  # noqa: N802  as smtp_EHLO
        """AUTH."""
        answer = "502 5.5.1 No authentication here" if self.hides_auth else await self.answer_of_fault(Stage.AUTH)
        await (super().smtp_AUTH(arg) if answer is None else self.push(answer))

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802  as smtp_EHLO
        """DATA, before the mail itself comes."""
        answer = await self.answer_of_fault(Stage.DATA)
        await (super().smtp_DATA(arg) if answer is None else self.push(answer))

    async def smtp_QUIT(self, arg: str) -> None:  # noqa: N802  as smtp_EHLO
        """QUIT."""
        answer = await self.answer_of_fault(Stage.QUIT)
        await (super().smtp_QUIT(arg) if answer is None else self.push(answer))


class _Hooks:
    """What aiosmtpd asks at each command; it sends the status that is returned."""

    def __init__(self, talk: SmtpTalk) -> None:
        self._talk = talk

    async def handle_EHLO(  # noqa: N802  aiosmtpd finds hooks by these names
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> Sequence[str]:
        session.host_name = hostname
        return [line for line in responses if not (self._talk.hides_auth and line[4:].startswith("AUTH"))]

    async def handle_MAIL(  # noqa: N802  as handle_EHLO
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self._talk.note(Seen.MAIL, address)
        if not session.authenticated:
            return _NEEDS_LOGIN
        answer = await self._talk.answer_of_fault(Stage.MAIL, address)
        if answer is not None:
            return answer
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(  # noqa: N802  as handle_EHLO
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = await self._talk.answer_of_fault(Stage.RCPT, address)
        self._talk.note(Seen.RCPT, address, answer or "250")
        if answer is not None:
            return answer
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 Ok"

    async def handle_DATA(  # noqa: N802  as handle_EHLO
        self, _server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        answer = await self._talk.answer_of_fault(Stage.CONTENT)
        if answer is not None:
            return answer
        taken = self._taken(session, envelope)
        self._talk.note(Seen.TAKEN, token_in(header(taken.raw, "Subject")))
        await self._talk.server.take(taken)
        answer = await self._talk.answer_of_fault(Stage.CONTENT, when=When.AFTER)
        return "250 2.0.0 Ok: queued" if answer is None else answer

    async def handle_exception(self, error: Exception) -> str:
        if isinstance(error, TLSSetupException):
            self._talk.note(Seen.TLS_FAILED, type(error.__cause__).__name__)
        else:
            told = {"message": "the mail host broke", "exception": error}
            asyncio.get_running_loop().call_exception_handler(told)
        return "451 4.3.0 Local error"

    def _taken(self, session: Session, envelope: Envelope) -> Taken:
        account = self._talk.account
        return Taken(
            by=account.name,
            talk=self._talk.number,
            host=account.hostname,
            address=account.address,
            helo=session.host_name or "",
            is_encrypted=account.tls is SmtpTls.IMPLICIT or session.ssl is not None,
            sender=envelope.mail_from or "",
            recipients=tuple(envelope.rcpt_tos),
            raw=envelope.original_content or b"",
            treatment=self._talk.server.treatment,
            signer=account.signer,
        )
