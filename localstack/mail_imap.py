"""The IMAP side of the mail host: one mailbox, one login, over TLS or plain, with outages that end."""

import asyncio
import socket
import ssl
from typing import Self

from domain.ports import Clock
from localstack.listening import Listener, streams_over
from localstack.mail_box import Mailbox
from localstack.mail_imap_session import ImapSession, MailLogin
from localstack.mail_imap_wire import Limits
from localstack.mail_record import MailRecord, Seen

NAME = "imap"


class ImapServer:
    """Listens from start to end. `refuse`, `hang` and `cut` are outages; `recover` ends them, and no mail is lost."""

    def __init__(
        self,
        mailbox: Mailbox,
        login: MailLogin,
        record: MailRecord,
        clock: Clock,
        *,
        context: ssl.SSLContext | None,
        limits: Limits | None = None,
        port: int = 0,
    ) -> None:
        self.mailbox = mailbox
        self.login = login
        self.limits = limits or Limits()
        self._record = record
        self._clock = clock
        self._context = context
        self._listener = Listener(self._talk, port=port)
        self._sessions: set[ImapSession] = set()
        self._talks = 0
        self._awake = asyncio.Event()
        self._awake.set()

    async def __aenter__(self) -> Self:
        await self._listener.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._listener.__aexit__(*error)

    @property
    def port(self) -> int:
        """The same from start to end, also in an outage."""
        return self._listener.port

    @property
    def connections(self) -> int:
        """How many are open now."""
        return self._listener.connections

    @property
    def is_hanging(self) -> bool:
        """Whether nothing may be said now."""
        return not self._awake.is_set()

    def refuse(self) -> None:
        """Refuse new connections; those that stand go on."""
        self._listener.refuse()

    def hang(self) -> None:
        """Accept connections and answer nothing, on those that stand neither."""
        self._awake.clear()

    def cut(self) -> None:
        """Reset every connection that stands; new ones are accepted."""
        for session in tuple(self._sessions):
            session.cut()

    def recover(self) -> None:
        """Accept and answer again; commands that hung are answered now."""
        self._listener.listen()
        self._awake.set()
        for session in self._sessions:
            session.wake()

    async def awake(self) -> None:
        """Return as soon as it does not hang."""
        await self._awake.wait()

    def note(self, talk: int, what: Seen, about: str = "") -> None:
        """Write a line of the record."""
        self._record.add(NAME, talk, what, about)

    def now_ms(self) -> int:
        """The clock's time."""
        return self._clock.now_ms()

    async def _talk(self, connection: socket.socket) -> None:
        self._talks += 1
        number = self._talks
        self.note(number, Seen.CONNECTED)
        try:
            await self.awake()
            await self._session(connection, number)
        except (ssl.SSLError, ConnectionError) as error:
            self.note(number, Seen.TLS_FAILED if isinstance(error, ssl.SSLError) else Seen.BROKEN, type(error).__name__)
        finally:
            self.note(number, Seen.DISCONNECTED)

    async def _session(self, connection: socket.socket, number: int) -> None:
        reader, writer = await streams_over(connection, self.limits.line_bytes, self._context)
        session = ImapSession(self, number, reader, writer)
        self._sessions.add(session)
        try:
            await session.run()
        finally:
            self._sessions.discard(session)
