"""IMAP's wire format: commands read from a stream within bounds, and taken apart strictly (RFC 3501, section 9)."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

LARGEST_NUMBER = 2**32 - 1
_LITERAL_AHEAD = re.compile(rb"\{(\d{1,10})(\+?)\}\r\n\Z")
_QUOTED = re.compile(rb'"((?:[^\x00\r\n"\\]|\\["\\])*)"')
_LITERAL = re.compile(rb"\{(\d{1,10})\+?\}\r\n")
_NUMBER = re.compile(rb"\d{1,10}")
_SET = re.compile(rb"(?:\d{1,10}|\*)(?::(?:\d{1,10}|\*))?(?:,(?:\d{1,10}|\*)(?::(?:\d{1,10}|\*))?)*")
_DATE = re.compile(rb'("?)(\d{1,2})-([A-Za-z]{3})-(\d{4})\1')
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
_TAG = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\+]{1,64}')
_WORD = re.compile(rb"[A-Za-z0-9.]+")
_ASTRING = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]+')
_PATTERN = re.compile(rb'[^\x00-\x20\x7f-\xff(){"\\]+')


class BadCommand(Exception):  # noqa: N818  an answer, not an error of ours
    """The command is wrong: BAD."""


class LiteralTooLong(BadCommand):
    """The client was not asked for it, so that the next command can be read. `said`: what came before it."""

    def __init__(self, said: bytes) -> None:
        super().__init__("Literal too long")
        self.said = said


class Refused(Exception):  # noqa: N818  as BadCommand
    """The command is right and can't be done: NO."""


class Unreadable(Exception):  # noqa: N818  as BadCommand
    """Nothing that follows can be understood any more: BYE, and the connection ends."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may send. A command's literals count as part of it; a mail that is appended does not."""

    line_bytes: int = 8192
    command_bytes: int = 65_536
    mail_bytes: int = 10 * 2**20


async def read_command(
    reader: asyncio.StreamReader, go_on: Callable[[], None], limits: Limits, mail_bytes: int
) -> bytes:
    """One command with its literals in it as they came, without the last line end.

    `go_on` asks the client for a literal. `mail_bytes` is how long the literals of an APPEND may be, 0 before login.
    Raises BadCommand after which the next one can be read, Unreadable, and EOFError when the client has gone.
    """
    said = bytearray()
    while True:
        line = await _line(reader)
        said += line
        room = max(limits.command_bytes, mail_bytes if _is_append(said) else 0) - len(said)
        announced = _LITERAL_AHEAD.search(line)
        if announced is None or _is_within_quotes(line):
            if room < 0:
                raise Unreadable("Command too long")
            return bytes(said[:-2])
        length = int(announced[1])
        if length > room:
            if announced[2]:
                raise Unreadable("Literal too long")
            raise LiteralTooLong(bytes(said))
        if not announced[2]:
            go_on()
        said += await _exactly(reader, length)


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError:
        raise EOFError from None
    except asyncio.LimitOverrunError:
        raise Unreadable("Line too long") from None
    if not line.endswith(b"\r\n"):
        raise Unreadable("Lines end with CR and LF")
    return line


async def _exactly(reader: asyncio.StreamReader, length: int) -> bytes:
    try:
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError:
        raise EOFError from None


def _is_append(said: bytes | bytearray) -> bool:
    return said[:64].split(b" ", 2)[1:2] in ([b"APPEND"], [b"append"])


def _is_within_quotes(line: bytes) -> bool:
    return b'"' in _QUOTED.sub(b"", line)


class SequenceSet:
    """Numbers of mails as a client names them: `1,4:7,9:*`. Never spelled out, however many they are."""

    __slots__ = ("_ranges", "is_open")

    def __init__(self, text: bytes) -> None:
        self._ranges = [_range(part) for part in text.split(b",")]
        self.is_open = b"*" in text

    def has(self, number: int, largest: int) -> bool:
        """Whether it names this number, where `*` is the largest there is."""
        for first, last in self._ranges:
            low, high = first or largest, last or largest
            if min(low, high) <= number <= max(low, high):
                return True
        return False

    def goes_beyond(self, largest: int) -> bool:
        """Whether it names numbers that are not there."""
        return any(
            (first or largest or 1) > largest or (last or largest or 1) > largest for first, last in self._ranges
        )


def _range(part: bytes) -> tuple[int | None, int | None]:
    first, colon, last = part.partition(b":")
    return _bound(first), _bound(last if colon else first)


def _bound(text: bytes) -> int | None:
    if text == b"*":
        return None
    number = int(text)
    if not 0 < number <= LARGEST_NUMBER:
        raise BadCommand("Invalid number")
    return number


class Cursor:
    """Takes a command apart from left to right. Every method raises BadCommand where the text does not fit."""

    def __init__(self, said: bytes) -> None:
        self._said = said
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        """Whether nothing is left."""
        return self._at >= len(self._said)

    def end(self) -> None:
        """Nothing may follow."""
        if not self.is_at_end:
            raise BadCommand("Too many arguments")

    def space(self) -> None:
        """Exactly one space."""
        if not self.skip(b" "):
            raise BadCommand("Missing argument")
        if self.sees(b" "):
            raise BadCommand("Too many spaces")

    def sees(self, text: bytes) -> bool:
        """Whether this comes next."""
        return self._said.startswith(text, self._at)

    def skip(self, text: bytes) -> bool:
        """Pass over it where it comes next."""
        if not self.sees(text):
            return False
        self._at += len(text)
        return True

    def need(self, text: bytes) -> None:
        """Pass over it."""
        if not self.skip(text):
            raise BadCommand(f"Expected {text.decode()}")

    def take(self, form: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """What fits this form, or None."""
        found = form.match(self._said, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def tag(self) -> bytes | None:
        """The tag of the command, or None where there is no right one."""
        found = self.take(_TAG)
        return None if found is None else found[0]

    def rest(self) -> bytes:
        """All that is left."""
        begin, self._at = self._at, len(self._said)
        return self._said[begin:]

    def quoted(self) -> str:
        """A string, whatever it says."""
        value = self.string()
        if value is None:
            raise BadCommand("Expected a string")
        return value.decode("utf-8", "replace")

    def atom(self) -> str:
        """A word, upper case."""
        found = self.take(ATOM)
        if found is None:
            raise BadCommand("Expected a word")
        return found[0].decode("ascii").upper()

    def word(self) -> str:
        """The name of something to fetch, upper case."""
        found = self.take(_WORD)
        if found is None:
            raise BadCommand("Expected a name")
        return found[0].decode("ascii").upper()

    def string(self) -> bytes | None:
        """A quoted string or a literal; None where neither comes next."""
        quoted = self.take(_QUOTED)
        if quoted is not None:
            return re.sub(rb'\\(["\\])', rb"\1", quoted[1])
        announced = self.take(_LITERAL)
        if announced is None:
            return None
        begin, self._at = self._at, self._at + int(announced[1])
        value = self._said[begin : self._at]
        if b"\0" in value or self._at > len(self._said):
            raise BadCommand("NUL in a literal")
        return value

    def astring(self) -> bytes:
        """A string, or a word as it stands."""
        return self._string_or(_ASTRING)

    def pattern(self) -> bytes:
        """As `astring`, and a word may have the wildcards of LIST."""
        return self._string_or(_PATTERN)

    def number(self) -> int:
        """From 0 to 2^32 - 1."""
        found = self.take(_NUMBER)
        if found is None or int(found[0]) > LARGEST_NUMBER:
            raise BadCommand("Expected a number")
        return int(found[0])

    def sequence_set(self) -> SequenceSet:
        """Numbers of mails."""
        found = self.take(_SET)
        if found is None:
            raise BadCommand("Expected numbers of mails")
        return SequenceSet(found[0])

    def sees_sequence_set(self) -> bool:
        """Whether a digit or `*` comes next."""
        return self._said[self._at : self._at + 1] in b"0123456789*" and not self.is_at_end

    def date(self) -> datetime:
        """A day, as its first moment in UTC."""
        found = self.take(_DATE)
        if found is None or found[3].decode().lower() not in _MONTHS:
            raise BadCommand("Expected a date")
        month = _MONTHS.index(found[3].decode().lower()) + 1
        try:
            return datetime(int(found[4]), month, int(found[2]), tzinfo=UTC)
        except ValueError:
            raise BadCommand("No such day") from None

    def items(self, one: Callable[[], str]) -> list[str]:
        """A list in parentheses; it may be empty."""
        self.need(b"(")
        found: list[str] = []
        while not self.skip(b")"):
            if found:
                self.space()
            found.append(one())
        return found

    def flag(self) -> str:
        """A flag or a keyword."""
        is_system = self.skip(b"\\")
        word = self.take(ATOM)
        if word is None:
            raise BadCommand("Expected a flag")
        name = word[0].decode("ascii")
        if not is_system:
            return name
        if name.capitalize() not in _SYSTEM_FLAGS:
            raise BadCommand("No such flag")
        return f"\\{name.capitalize()}"

    def _string_or(self, form: re.Pattern[bytes]) -> bytes:
        value = self.string()
        if value is not None:
            return value
        found = self.take(form)
        if found is None:
            raise BadCommand("Expected a string")
        return found[0]


_SYSTEM_FLAGS = ("Seen", "Answered", "Flagged", "Deleted", "Draft")
