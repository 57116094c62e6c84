"""IMAP's wire format in the mail host: strict, bounded, and never surprised."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from localstack.bell import Bell
from localstack.mail_box import Folder, StoredMail
from localstack.mail_imap_append import parse_append
from localstack.mail_imap_fetch import answer, parse_items
from localstack.mail_imap_search import Listed, parse_search
from localstack.mail_imap_wire import (
    BadCommand,
    Cursor,
    Limits,
    LiteralTooLong,
    Refused,
    SequenceSet,
    Unreadable,
    read_command,
)

SMALL = Limits(line_bytes=64, command_bytes=128, mail_bytes=512)
WORDS = st.sampled_from(
    [
        *(
            b"OR ",
            b"NOT ",
            b"ALL",
            b"(",
            b")",
            b" ",
            b"SUBJECT ",
            b'"a"',
            b'"a\\"b"',
            b"{3}\r\nabc",
            b"{4}\r\nab",
            b"1:*,3",
        ),
        *(
            b"UID ",
            b"SINCE 1-Jan-2025",
            b"SINCE 31-Feb-2025",
            b"HEADER X ",
            b"CHARSET UTF-8 ",
            b"KEYWORD ",
            b"LARGER 9",
        ),
        *(b"BODY[", b"]", b"BODY.PEEK[HEADER.FIELDS (a b)]", b"<0.5>", b"FLAGS", b"RFC822", b"\\Seen", b"\xff", b"\0"),
        *(b"99999999999", b"0", b"*", b"INBOX ", b'"01-Jan-2025 00:00:00 +0000" ', b"NIL", b"FAST"),
    ]
)
SAID = st.one_of(st.binary(max_size=60), st.lists(WORDS, max_size=12).map(b"".join))
MAIL = StoredMail(7, b"Subject: =?utf-8?b?w7w=?= x\r\nDate: nonsense\r\n\r\nbody\r\n", 1764060013_000)


def read(sent: bytes, mail_bytes: int = 0) -> tuple[bytes, int, bytes]:
    """The command, how often a literal was asked for, and what is left unread."""

    async def reading() -> tuple[bytes, int, bytes]:
        reader = asyncio.StreamReader(limit=SMALL.line_bytes)
        reader.feed_data(sent)
        reader.feed_eof()
        asked: list[None] = []
        said = await read_command(reader, lambda: asked.append(None), SMALL, mail_bytes)
        return said, len(asked), await reader.read()

    return asyncio.run(reading())


def test_a_command_is_a_line_with_its_literals() -> None:
    """Each literal is asked for unless it says `+`; what comes behind the line end belongs to the next command."""
    assert read(b"a NOOP\r\nb NOOP\r\n") == (b"a NOOP", 0, b"b NOOP\r\n")
    assert read(b"a LOGIN {3}\r\nx\r\n {2+}\r\nyy\r\nrest") == (b"a LOGIN {3}\r\nx\r\n {2+}\r\nyy", 1, b"rest")


def test_braces_within_quotes_are_no_literal() -> None:
    """A quoted string may end in what looks like one; the next line is the next command."""
    assert read(b'a LOGIN "x{5}\r\nb NOOP\r\n') == (b'a LOGIN "x{5}', 0, b"b NOOP\r\n")


@pytest.mark.parametrize(
    "sent",
    [
        b"a" * 1000 + b"\r\n",
        b"a NOOP\n",
        b"a LOGIN {200+}\r\n" + b"x" * 300,
        b"a X {40+}\r\n" + b"x" * 40 + b" {40+}\r\n" + b"x" * 40 + b" {40+}\r\n" + b"x" * 40 + b"\r\n",
    ],
)
def test_what_is_too_long_ends_the_connection(sent: bytes) -> None:
    """Lines without end, bare line feeds, literals that can't be declined, too many of them: nothing more is read."""
    with pytest.raises(Unreadable):
        read(sent)


def test_a_literal_that_is_too_long_is_declined() -> None:
    """One that has to be asked for is not asked for; only a mail of somebody who is logged in may be longer."""
    with pytest.raises(LiteralTooLong) as declined:
        read(b"tag LOGIN {200}\r\n")
    assert declined.value.said.startswith(b"tag ")
    whole = b"a APPEND INBOX {200}\r\n" + b"x" * 200
    assert read(whole + b"\r\n", mail_bytes=400) == (whole, 1, b"")
    with pytest.raises(LiteralTooLong):
        read(whole + b"\r\n", mail_bytes=0)


def test_nul_is_in_no_string() -> None:
    """Neither a literal nor a quoted string may have it in them; a literal may have everything else."""
    with pytest.raises(BadCommand):
        Cursor(b"{3}\r\na\0b").string()
    assert Cursor(b'"a\0b"').string() is None
    assert Cursor(b"{4}\r\n\xff\r\n)").string() == b"\xff\r\n)"


def test_a_client_that_leaves_is_no_error() -> None:
    """The end in the middle of a line or of a literal is told as such."""
    for sent in (b"", b"a NO", b"a LOGIN {5}\r\nab"):
        with pytest.raises(EOFError):
            read(sent)


@settings(deadline=None)
@given(SAID)
def test_reading_holds_no_more_than_its_bound(sent: bytes) -> None:
    """Whatever comes: a command within the bound, or one of the known ends."""
    try:
        said, _, _ = read(sent + b"\r\n" + sent)
    except (BadCommand, Unreadable, EOFError):
        return
    assert len(said) <= SMALL.command_bytes


PARSERS: dict[str, Callable[[Cursor], object]] = {
    "search": lambda cursor: parse_search(cursor)(Listed(1, MAIL, 1, 7)),
    "fetch": lambda cursor: answer(1, MAIL, parse_items(cursor), with_uid=True, with_flags=True),
    "append": lambda cursor: parse_append(cursor, 0),
    "flags": lambda cursor: cursor.items(cursor.flag),
}


@pytest.mark.parametrize("parser", PARSERS)
@settings(deadline=None)
@given(said=SAID)
@example(said=b"NOT " * 2000 + b"ALL")
@example(said=b"(" * 2000)
@example(said=b"OR " * 2000)
def test_parsers_say_bad_or_no_and_nothing_else(parser: str, said: bytes) -> None:
    """Any argument is understood, or BadCommand or Refused; never another exception, also not of depth."""
    with suppress(BadCommand, Refused):
        PARSERS[parser](Cursor(said))


NUMBERS = st.one_of(st.integers(1, 9).map(str), st.just("*"))
PARTS = st.lists(st.one_of(NUMBERS, st.tuples(NUMBERS, NUMBERS).map(":".join)), min_size=1, max_size=4)


@settings(deadline=None)
@given(PARTS, st.integers(1, 9))
def test_sets_name_the_numbers_they_spell(parts: list[str], largest: int) -> None:
    """`has` agrees with the set written out, in whichever order the ends of a range come."""
    named: set[int] = set()
    for part in parts:
        ends = [largest if end == "*" else int(end) for end in part.split(":")]
        named |= set(range(min(ends), max(ends) + 1))
    numbers = SequenceSet(",".join(parts).encode())
    assert {number for number in range(1, 10) if numbers.has(number, largest)} == named & set(range(1, 10))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_mail_can_be_searched(raw: bytes) -> None:
    """However a mail is broken, looking for words in it ends."""
    folder = Folder("INBOX", 1, Bell())
    mail = folder.add(raw, 0)
    assert isinstance(mail.words.everything + mail.words.body + str(mail.words.headers), str)


def test_mails_hundreds_deep_are_searched_as_they_stand() -> None:
    """A mail within a mail within a mail and so on, deeper than the parser goes: its words are found all the same."""
    raw = b"Content-Type: message/rfc822\r\n\r\n" * 3000 + b"Subject: deep\r\n\r\nneedle\r\n"
    mail = Folder("INBOX", 1, Bell()).add(raw, 0)
    assert "needle" in mail.words.everything
