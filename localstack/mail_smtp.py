"""A delivery server of the mail host: SMTP on a port of its own, with a login, TLS and scripted faults."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Self

from domain.ports import Clock
from localstack.listening import Listener, closed, cut_off, streams_over, taken_over
from localstack.mail_faults import SmtpFault, SmtpFaultKind, SmtpFaults, Stage, Treatment
from localstack.mail_record import MailRecord, Seen
from localstack.mail_route import Taken
from localstack.mail_smtp_talk import GARBAGE, SmtpAccount, SmtpTalk, SmtpTls

_LINE_LIMIT = 1001
_HIDING = (SmtpFaultKind.HIDE_STARTTLS, SmtpFaultKind.HIDE_AUTH)


class SmtpServer:
    """Listens from start to end. `faults` disturbs the talks, `treatment` the mails that were taken."""

    def __init__(
        self,
        account: SmtpAccount,
        context: ssl.SSLContext,
        deliver: Callable[[Taken], Awaitable[None]],
        record: MailRecord,
        clock: Clock,
    ) -> None:
        self.account = account
        self.faults = SmtpFaults()
        self.treatment = Treatment()
        self.record = record
        self.context = context
        self._deliver = deliver
        self._clock = clock
        self._listener = Listener(self._talk)
        self._talks = 0

    async def __aenter__(self) -> Self:
        await self._listener.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._listener.__aexit__(*error)

    @property
    def port(self) -> int:
        """The same from start to end, also while it is closed."""
        return self._listener.port

    def close_port(self) -> None:
        """Refuse connections from now on."""
        self._listener.refuse()

    def open_port(self) -> None:
        """Accept them again."""
        self._listener.listen()

    async def take(self, taken: Taken) -> None:
        """Deliver a mail; at once, so that it is there before its sender is told, or behind the sender's back."""
        if taken.treatment.late_ms:
            self._listener.spawn(_waits(self._deliver(taken)))
        else:
            await self._deliver(taken)

    async def suffer(self, fault: SmtpFault, talk: int) -> None:
        """Write a fault down and let its delay pass."""
        self.record.add(self.account.name, talk, Seen.FAULT, fault.stage, fault.answer or fault.kind)
        if fault.delay_ms:
            await self._clock.wait_until(self._clock.now_ms() + fault.delay_ms)

    async def _talk(self, connection: socket.socket) -> None:
        self._talks += 1
        number = self._talks
        self.record.add(self.account.name, number, Seen.CONNECTED)
        try:
            await self._talk_over(connection, number)
        finally:
            self.record.add(self.account.name, number, Seen.DISCONNECTED)

    async def _talk_over(self, connection: socket.socket, number: int) -> None:
        fault = self.faults.draw(Stage.CONNECT)
        context = self.context if self.account.tls is SmtpTls.IMPLICIT else None
        hidden = fault.kind if fault is not None else None
        if fault is not None and hidden not in _HIDING:
            await self.suffer(fault, number)
            await _disappoint(connection, fault, context)
            return
        try:
            _, talk = await asyncio.get_running_loop().connect_accepted_socket(
                lambda: SmtpTalk(self, number, hidden), taken_over(connection), ssl=context
            )
        except (ssl.SSLError, ConnectionError) as error:
            self.record.add(self.account.name, number, Seen.TLS_FAILED, type(error).__name__)
            return
        await talk.ended()


async def _waits(work: Awaitable[None]) -> None:
    await work


async def _disappoint(connection: socket.socket, fault: SmtpFault, context: ssl.SSLContext | None) -> None:
    is_plain = fault.kind is SmtpFaultKind.GARBAGE
    reader, writer = await streams_over(connection, _LINE_LIMIT, None if is_plain else context)
    try:
        match fault.kind:
            case SmtpFaultKind.ANSWER:
                writer.write(f"{fault.answer}\r\n".encode())
                await writer.drain()
            case SmtpFaultKind.GARBAGE:
                writer.write(GARBAGE)
                await writer.drain()
            case SmtpFaultKind.SILENT:
                while await reader.read(_LINE_LIMIT):
                    pass
            case _:
                cut_off(writer)
    finally:
        await closed(writer)
