"""One connection to an IMAP server: aioimaplib's protocol, with the traps around it taken out.

By itself aioimaplib waits out its timeout when a connection is lost, knows no STARTTLS, leaves a refused greeting to
nobody, logs a password that has a quote in it, and recurses once for each line of an answer (hence small batches).
"""

import asyncio
import re
import ssl
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from aioimaplib import aioimaplib

from daemon.clients.mailbox_options import MailboxOptions
from domain.errors import Unavailable

BATCH = 50
LARGEST_BYTES = 10_000_000
DEPENDENCY = "mailbox"
HEADERS = "FROM SUBJECT CONTENT-TYPE AUTO-SUBMITTED X-ROBOTD-TEST"
MARK = "$RobotdTest"
"""A keyword on what tests have found, by which it is deleted one day."""

_MESSAGE = re.compile(rb"\d+ FETCH ")
_UID = re.compile(rb"\bUID (\d+)")
_UID_NEXT = re.compile(rb"\[UIDNEXT (\d+)\]")


class Answer(Protocol):
    """aioimaplib's answer to a command; literals among the lines are bytearrays, the last line is the server's word."""

    @property
    def result(self) -> str:
        """OK, NO or BAD."""
        ...

    @property
    def lines(self) -> Sequence[bytes]:
        """Without `* ` and tags."""
        ...


@dataclass(frozen=True, slots=True)
class _Silent:
    """The answer of what answers nothing."""

    result: str = "OK"
    lines: Sequence[bytes] = ()


class ImapLine:
    """A connection that is logged in. Every method raises Unavailable, in bounded time, once it can't go on."""

    def __init__(self, options: MailboxOptions) -> None:
        self._options = options
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._greeting: str | None = None
        self._protocol: Any = aioimaplib.IMAP4ClientProtocol(asyncio.get_running_loop(), self._was_lost)

    @classmethod
    async def open(cls, options: MailboxOptions, folder: str) -> tuple["ImapLine", int]:
        """Connect, log in and select; with the id that the next mail will have."""
        line = cls(options)
        try:
            async with asyncio.timeout(options.connect_timeout_s):
                await line._connect()
            await line._log_in()
            return line, await line._select(folder)
        except TimeoutError:
            line.abort()
            raise Unavailable(DEPENDENCY, f"no greeting in {options.connect_timeout_s:g} s") from None
        except (OSError, ssl.SSLError) as problem:
            line.abort()
            raise Unavailable(DEPENDENCY, f"no connection: {problem}") from problem
        except BaseException:
            line.abort()
            raise

    def abort(self) -> None:
        """End it at once."""
        if self._protocol.transport is not None:
            self._protocol.transport.abort()
        for task in self._protocol.tasks:
            task.cancel()

    async def close(self) -> None:
        """Log out, as far as the server listens, and end it."""
        with suppress(Unavailable):
            await self._run(self._protocol.logout())
        self.abort()
        await asyncio.sleep(0)  # the loop closes the socket

    async def noop(self) -> None:
        """Without it, or IDLE, a search does not see what has arrived since the folder was selected."""
        await self._run(self._protocol.simple_command("NOOP"))

    async def search(self, *criteria: str) -> list[int]:
        """The ids of matching mails, rising."""
        answer = await self._run(self._protocol.search(*criteria, charset=None, by_uid=True))
        found = {int(word) for line in answer.lines[:-1] for word in bytes(line).split() if word.isdigit()}
        return sorted(found)

    async def headers(self, uids: Sequence[int]) -> list[tuple[int, bytes]]:
        """Those headers of mails that tell what they are; mails that are gone are left out. Marks nothing as read."""
        found: list[tuple[int, bytes]] = []
        for some in _batches(uids):
            answer = await self._fetch(some, f"(UID BODY.PEEK[HEADER.FIELDS ({HEADERS})])")
            found.extend(_literals(answer.lines))
        return found

    async def mail(self, uid: int) -> bytes | None:
        """A whole mail, up to ten million bytes of it; None where it is gone. Does not mark it as read."""
        answer = await self._fetch([uid], f"(UID BODY.PEEK[]<0.{LARGEST_BYTES}>)")
        return next((raw for found, raw in _literals(answer.lines) if found == uid), None)

    async def mark(self, uid: int) -> None:
        """Put our keyword on a mail; a server that keeps no keywords leaves it without."""
        with suppress(Unavailable):
            await self._run(self._protocol.store(str(uid), "+FLAGS.SILENT", f"({MARK})", by_uid=True))

    async def delete(self, uids: Sequence[int]) -> None:
        """Delete these and no others; without UIDPLUS they are only marked as deleted."""
        for some in _batches(uids):
            numbers = ",".join(map(str, some))
            await self._run(self._protocol.store(numbers, "+FLAGS.SILENT", r"(\Deleted)", by_uid=True))
            if "UIDPLUS" in self._protocol.capabilities:
                await self._run(self._protocol.expunge(numbers, by_uid=True))

    async def wait(self, wake: asyncio.Event, limit_s: float) -> None:
        """Say nothing until `wake` is set, or for `limit_s`."""
        await self._any_of({asyncio.ensure_future(wake.wait())}, limit_s)

    async def idle(self, wake: asyncio.Event, limit_s: float) -> None:
        """Wait until the server announces something, or `wake` is set, or for `limit_s`."""
        if "IDLE" not in self._protocol.capabilities:
            await self.wait(wake, limit_s)
            return
        idling = asyncio.ensure_future(self._protocol.idle())
        try:
            began = asyncio.ensure_future(self._protocol.wait_for_idle_response())
            await self._any_of({began}, self._options.command_timeout_s, instead=idling)
            if not idling.done():
                announced = asyncio.ensure_future(self._protocol.idle_queue.get())
                await self._any_of({asyncio.ensure_future(wake.wait()), announced}, limit_s)
                self._protocol.idle_done()
            await self._run(idling)
        finally:
            idling.cancel()
        while not self._protocol.idle_queue.empty():
            self._protocol.idle_queue.get_nowait()

    async def _connect(self) -> None:
        options, loop = self._options, asyncio.get_running_loop()
        welcome = self._protocol.welcome
        greeted = loop.create_future()

        async def guarded(greeting: bytes) -> None:
            """A refusal would be raised into a task that nobody waits for."""
            try:
                await welcome(greeting)
            except aioimaplib.AioImapException:
                self._greeting = greeting.decode(errors="replace")
            if not greeted.done():
                greeted.set_result(None)

        self._protocol.welcome = guarded
        context = _context(options)
        await loop.create_connection(
            lambda: self._protocol, options.host, options.port, ssl=context if options.security == "tls" else None
        )
        await asyncio.wait({greeted, self._lost}, return_when=asyncio.FIRST_COMPLETED)
        if self._greeting is not None or not greeted.done():
            raise Unavailable(DEPENDENCY, f"it hung up: {self._greeting or 'without a word'}")
        if options.security == "starttls":
            await self._start_tls(context)

    async def _start_tls(self, context: ssl.SSLContext) -> None:
        protocol = self._protocol
        await self._run(protocol.execute(aioimaplib.Command("STARTTLS", protocol.new_tag())))
        if protocol.incomplete_line:
            raise Unavailable(DEPENDENCY, "it said more than it may before TLS")
        protocol.transport = await asyncio.get_running_loop().start_tls(
            protocol.transport, protocol, context, server_hostname=self._options.host
        )
        await self._run(protocol.capability())

    async def _log_in(self) -> None:
        """The command is built here, since aioimaplib would log a password that it had to quote."""
        protocol, options = self._protocol, self._options
        if protocol.state == aioimaplib.AUTH:
            return
        user, password = aioimaplib.quoted(options.username), aioimaplib.quoted(options.password)
        command = aioimaplib.Command("LOGIN", protocol.new_tag(), user, password)
        try:
            await self._run(protocol.execute(command, scrub=password))
        except Unavailable as refused:
            told = str(refused).replace(password, "***").replace(options.password, "***")
            raise Unavailable(DEPENDENCY, f"the login failed: {told.removeprefix(f'{DEPENDENCY}: ')}") from None
        protocol.state = aioimaplib.AUTH
        await self._run(protocol.capability())

    async def _select(self, folder: str) -> int:
        answer = await self._run(self._protocol.select(aioimaplib.quoted(folder)))
        told = _UID_NEXT.search(b"\n".join(bytes(line) for line in answer.lines))
        if told:
            return int(told[1])
        return max(await self.search("UID", "*"), default=0) + 1

    async def _fetch(self, uids: Sequence[int], parts: str) -> Answer:
        limit_s = self._options.command_timeout_s
        return await self._run(self._protocol.fetch(",".join(map(str, uids)), parts, by_uid=True, timeout=limit_s))

    async def _run(self, command: "Coroutine[Any, Any, Any] | asyncio.Future[Any]") -> Answer:
        """What a command is answered, if it is OK. A command that was given up leaves the line unusable."""
        running = asyncio.ensure_future(command)
        await self._any_of({running}, self._options.command_timeout_s)
        if running.cancelled() or not running.done():
            raise Unavailable(DEPENDENCY, f"no answer in {self._options.command_timeout_s:g} s")
        try:
            answer: Answer | None = running.result()
        except (aioimaplib.AioImapException, ValueError) as problem:
            raise Unavailable(DEPENDENCY, f"{type(problem).__name__}: {problem}") from problem
        if answer is None:
            return _Silent()
        if answer.result != "OK":
            raise Unavailable(DEPENDENCY, _words(answer))
        return answer

    async def _any_of(
        self, waited: "set[asyncio.Future[Any]]", limit_s: float, *, instead: "asyncio.Future[Any] | None" = None
    ) -> None:
        """Until one of them is done, or the time is over. Raises Unavailable where the connection is lost first."""
        others = {self._lost} if instead is None else {self._lost, instead}
        is_done = False
        try:
            done, _ = await asyncio.wait(waited | others, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            is_done = not done or done != {self._lost}
        finally:
            for future in waited:
                future.cancel()
            if not is_done:
                self.abort()
        if not is_done:
            raise Unavailable(DEPENDENCY, "the connection was lost")

    def _was_lost(self, _problem: Exception | None) -> None:
        if not self._lost.done():
            self._lost.set_result(None)


def _context(options: MailboxOptions) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.certificate_file)
    if not options.verifies:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _batches(uids: Sequence[int]) -> Iterable[Sequence[int]]:
    return (uids[start : start + BATCH] for start in range(0, len(uids), BATCH))


def _words(answer: Answer) -> str:
    last = answer.lines[-1] if answer.lines else b""
    return f"{answer.result} {bytes(last).decode(errors='replace')}"


def _literals(lines: Sequence[bytes]) -> list[tuple[int, bytes]]:
    """Id and literal of each message of a FETCH; the id may stand before the literal or behind it."""
    found: list[tuple[int, bytes]] = []
    words, literal = b"", b""
    for line in [*lines, b"0 FETCH ()"]:
        if isinstance(line, bytearray):
            literal = bytes(line)
            continue
        if _MESSAGE.match(line):
            if told := _UID.search(words):
                found.append((int(told[1]), literal))
            words, literal = b"", b""
        words += b" " + line
    return found
