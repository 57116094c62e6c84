"""One IMAP connection: greeting, login, the commands that need no folder, and the way to those that do."""

import asyncio
import binascii
import hmac
from base64 import b64decode
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

from localstack.listening import closed, cut_off
from localstack.mail_box import Folder, Mailbox
from localstack.mail_imap_folders import FolderCommands
from localstack.mail_imap_selected import SelectedCommands
from localstack.mail_imap_view import View
from localstack.mail_imap_wire import BadCommand, Cursor, Limits, LiteralTooLong, Refused, Unreadable, read_command
from localstack.mail_record import Seen

CAPABILITIES = "IMAP4rev1 SASL-IR LITERAL+ ID IDLE NAMESPACE UIDPLUS MOVE UNSELECT SPECIAL-USE AUTH=PLAIN"
_MOST_ERRORS = 20


@dataclass(frozen=True, slots=True)
class MailLogin:
    """Who may open the mailbox."""

    user: str
    password: str = field(repr=False)

    def is_right(self, user: bytes, password: bytes) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(user, self.user.encode()) & hmac.compare_digest(password, self.password.encode())


class Hosting(Protocol):
    """The IMAP server, as its sessions see it."""

    mailbox: Mailbox
    login: MailLogin
    limits: Limits

    @property
    def is_hanging(self) -> bool:
        """Whether nothing may be said now."""
        ...

    async def awake(self) -> None:
        """Return as soon as it does not hang."""
        ...

    def note(self, talk: int, what: Seen, about: str = "") -> None:
        """Write a line of the record."""
        ...

    def now_ms(self) -> int:
        """The clock's time."""
        ...


class ImapSession:
    """Reads a command, answers it, and so on. At most one command is held in memory."""

    def __init__(self, host: Hosting, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.host = host
        self.number = number
        self._reader = reader
        self._writer = writer
        self._user: str | None = None
        self._is_over = False
        self._is_idle = False
        self._errors = 0
        self.view: View | None = None
        self._selected = SelectedCommands(self)
        self._on_folders = FolderCommands(self)

    async def run(self) -> None:
        """Serve until the client leaves, or is sent away. Raises OSError where the connection breaks."""
        try:
            self.say(f"OK [CAPABILITY {CAPABILITIES}] ready".encode())
            while not self._is_over:
                await self.flush()
                await self._one()
            await self.flush()
        except EOFError:
            return
        except Unreadable as error:
            self.say(f"BYE {error}".encode())
            await self.flush()
        finally:
            self.leave()
            await closed(self._writer)

    def cut(self) -> None:
        """Reset the connection."""
        cut_off(self._writer)

    def wake(self) -> None:
        """An outage is over: tell what was kept back."""
        if self._is_idle:
            self._push()

    def say(self, line: bytes) -> None:
        """An untagged answer."""
        self._writer.write(b"* " + line + b"\r\n")

    async def flush(self) -> None:
        """Wait until the client has taken enough of what was said."""
        await self._writer.drain()

    @property
    def folders(self) -> Collection[Folder]:
        """All, in order."""
        return self.host.mailbox.folders

    def now_ms(self) -> int:
        """The clock's time."""
        return self.host.now_ms()

    def folder(self, name: bytes) -> Folder:
        """A folder by its name. Raises Refused."""
        folder = self.host.mailbox.folder(name.decode("ascii", "replace"))
        if folder is None:
            raise Refused("[NONEXISTENT] Mailbox doesn't exist")
        return folder

    async def _one(self) -> None:
        try:
            said = await self._read(self.host.limits.mail_bytes if self._user is not None else 0)
        except LiteralTooLong as error:
            await self.host.awake()
            self._answer(error.said.split(b" ", 1)[0], "BAD", str(error))
            return
        await self.host.awake()
        cursor = Cursor(said)
        tag = cursor.tag()
        if tag is None:
            self._answer(b"*", "BAD", "Invalid tag")
            return
        await self._carry_out(tag, cursor)

    async def _read(self, mail_bytes: int) -> bytes:
        return await read_command(self._reader, self._go_on, self.host.limits, mail_bytes)

    def _go_on(self) -> None:
        self._writer.write(b"+ OK\r\n")

    async def _carry_out(self, tag: bytes, cursor: Cursor) -> None:
        try:
            cursor.space()
            text = await self._command(cursor.atom())(cursor)
        except BadCommand as error:
            self._answer(tag, "BAD", str(error))
        except Refused as error:
            self._errors = 0
            self._answer(tag, "NO", str(error))
        else:
            self._errors = 0
            self._answer(tag, "OK", text)

    def _answer(self, tag: bytes, status: str, text: str) -> None:
        self._writer.write(tag + f" {status} {text}\r\n".encode("ascii", "replace"))
        if status == "BAD":
            self._errors += 1
            if self._errors >= _MOST_ERRORS:
                raise Unreadable("Too many invalid commands")

    def _command(self, name: str) -> Callable[[Cursor], Awaitable[str]]:
        always: dict[str, Callable[[Cursor], Awaitable[str]]] = {
            "CAPABILITY": self._capability,
            "NOOP": self._noop,
            "LOGOUT": self._logout,
            "ID": self._id,
        }
        if name in always:
            return always[name]
        if self._user is None:
            return self._choose(name, {"LOGIN": self._login, "AUTHENTICATE": self._authenticate})
        commands: dict[str, Callable[[Cursor], Awaitable[str]]] = {
            "SELECT": lambda cursor: self._select(cursor, is_read_only=False),
            "EXAMINE": lambda cursor: self._select(cursor, is_read_only=True),
            "IDLE": self._idle,
            **self._on_folders.commands(),
        }
        return self._choose(name, commands if self.view is None else commands | self._selected.commands())

    def _choose(
        self, name: str, known: dict[str, Callable[[Cursor], Awaitable[str]]]
    ) -> Callable[[Cursor], Awaitable[str]]:
        if name not in known:
            raise BadCommand(f"{name[:32]} is unknown here, or not now")
        return known[name]

    async def _capability(self, cursor: Cursor) -> str:
        cursor.end()
        self.say(f"CAPABILITY {CAPABILITIES}".encode())
        return "Capability completed"

    async def _noop(self, cursor: Cursor) -> str:
        cursor.end()
        self.catch_up()
        return "NOOP completed"

    def catch_up(self) -> None:
        """Tell what has changed in the folder."""
        for line in self.view.catch_up() if self.view is not None else ():
            self.say(line)

    async def _logout(self, cursor: Cursor) -> str:
        cursor.end()
        self.say(b"BYE Logging out")
        self._is_over = True
        return "Logout completed"

    async def _id(self, cursor: Cursor) -> str:
        cursor.space()
        if not cursor.skip(b"NIL"):
            cursor.items(lambda: "" if cursor.skip(b"NIL") else cursor.quoted())
        cursor.end()
        self.say(b'ID ("name" "robotd mail host")')
        return "ID completed"

    async def _login(self, cursor: Cursor) -> str:
        cursor.space()
        user = cursor.astring()
        cursor.space()
        password = cursor.astring()
        cursor.end()
        return self._let_in(user, password)

    async def _authenticate(self, cursor: Cursor) -> str:
        cursor.space()
        if cursor.atom() != "PLAIN":
            raise Refused("[CANNOT] Unsupported mechanism")
        if cursor.is_at_end:
            self._writer.write(b"+ \r\n")
            await self.flush()
            said = await self._read(0)
        else:
            cursor.space()
            said = cursor.rest()
        try:
            _, user, password = b64decode(said, validate=True).split(b"\0")
        except (binascii.Error, ValueError):
            raise BadCommand("Invalid response") from None
        return self._let_in(user, password)

    def _let_in(self, user: bytes, password: bytes) -> str:
        name = user.decode("utf-8", "replace")
        if not self.host.login.is_right(user, password):
            self.host.note(self.number, Seen.AUTH_REFUSED, name)
            raise Refused("[AUTHENTICATIONFAILED] Authentication failed")
        self._user = name
        self.host.note(self.number, Seen.AUTHENTICATED, name)
        return f"[CAPABILITY {CAPABILITIES} ] Logged in"

    async def _select(self, cursor: Cursor, *, is_read_only: bool) -> str:
        cursor.space()
        name = cursor.astring()
        cursor.end()
        self.leave()
        folder = self.folder(name)
        self.view = View(folder, is_read_only=is_read_only)
        self.host.note(self.number, Seen.SELECTED, folder.name)
        for line in self.view.introduction():
            self.say(line.encode())
        return "[READ-ONLY] Examine completed" if is_read_only else "[READ-WRITE] Select completed"

    def leave(self) -> None:
        """No folder is selected any more."""
        self.view = None

    async def _idle(self, cursor: Cursor) -> str:
        cursor.end()
        self._writer.write(b"+ idling\r\n")
        watched = self.view.folder.watchers if self.view is not None else set()
        watched.add(self._push)
        self._is_idle = True
        try:
            self._push()
            await self.flush()
            said = await self._read(0)
        finally:
            self._is_idle = False
            watched.discard(self._push)
        if said.upper() != b"DONE":
            raise BadCommand("Expected DONE")
        await self.host.awake()
        self.catch_up()
        return "Idle completed"

    def _push(self) -> None:
        if not self.host.is_hanging and not self._writer.transport.get_write_buffer_size():
            self.catch_up()
