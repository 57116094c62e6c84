"""What robotd expects of a mailbox over IMAP, the trap of SEARCH included: the same of ours and of a real Dovecot."""

import asyncio
import base64
import imaplib
import re
from datetime import UTC, datetime, timedelta

import aioimaplib
import pytest

from tests.imap_wire import Place, bare_imap, opened, put

PROBE = "0b5f6a5e-7c0e-4c2c-9d39-0a4f6f3f2b11"


def mail(subject: str = f"Test Email from sender.test [{PROBE}]", body: str = "Hello", more: str = "") -> bytes:
    text = f"From: A <a@sender.test>\nTo: probe@box.test\nSubject: {subject}\nMessage-ID: <x@y.test>\n{more}\n{body}\n"
    return text.replace("\n", "\r\n").encode()


def returned() -> bytes:
    """A mail that has another one in it, with the token in the inner subject alone."""
    head = 'MIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary="b"\n'
    parts = (
        "--b\nContent-Type: text/plain\n\nIt came back.\n"
        "--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.test\n"
        "\nFinal-Recipient: rfc822; x@y.test\n"
        f"--b\nContent-Type: message/rfc822\n\nSubject: probe [{PROBE}]\nFrom: a@sender.test\n\nInner text\n--b--\n"
    )
    return mail("Undelivered Mail Returned to Sender", parts, head)


async def test_wrong_password_is_refused_and_the_right_one_is_taken(place: Place) -> None:
    """NO with its code, and the same connection can try again; before that no folder is to be had."""
    async with bare_imap(place) as client:
        assert (await client.ask(b"SELECT INBOX")).status == "BAD"
        wrong = await client.ask(f'LOGIN "{place.user}" "no-{place.password}"'.encode())
        assert (wrong.status, wrong.text.split("]")[0]) == ("NO", "[AUTHENTICATIONFAILED")
        assert (await client.ask(f'LOGIN "{place.user}" "{place.password}"'.encode())).status == "OK"
        assert (await client.ask(b"SELECT INBOX")).status == "OK"


async def test_login_may_come_as_literals(place: Place) -> None:
    """User and password as literals, each asked for before it is sent."""
    user, password = place.user.encode(), place.password.encode()
    async with bare_imap(place) as client:
        head = b"LOGIN {%d}" % len(user)
        reply = await client.ask(head, user + b" {%d}\r\n" % len(password), password + b"\r\n")
        assert reply.status == "OK"


async def test_login_may_come_by_authenticate(place: Place) -> None:
    """AUTHENTICATE PLAIN, answered after it was asked for."""
    said = base64.b64encode(f"\0{place.user}\0{place.password}".encode()) + b"\r\n"
    async with bare_imap(place) as client:
        assert (await client.ask(b"AUTHENTICATE PLAIN", said)).status == "OK"


async def test_nonsense_is_bad_and_the_connection_goes_on(place: Place) -> None:
    """Unknown commands and broken arguments are BAD, one by one, and what follows is served."""
    async with opened(place) as client:
        for nonsense in (b"FROBNICATE", b"FETCH 1", b"UID FETCH x FLAGS", b"SEARCH OR ALL", b"SEARCH ((ALL)", b"STORE"):
            assert (await client.ask(nonsense)).status == "BAD", nonsense
        assert (await client.ask(b"NOOP")).status == "OK"


async def test_a_folder_that_is_not_there_is_refused(place: Place) -> None:
    """NO to SELECT, STATUS and COPY; then no folder is selected."""
    await put(place, mail())
    async with opened(place) as client:
        assert (await client.ask(b"STATUS Nowhere (MESSAGES)")).status == "NO"
        copied = await client.ask(b"COPY 1 Nowhere")
        assert (copied.status, copied.text.split()[0]) == ("NO", "[TRYCREATE]")
        assert (await client.ask(b"SELECT Nowhere")).status == "NO"
        assert (await client.ask(b"SEARCH ALL")).status == "BAD"


async def test_search_does_not_see_what_arrived_after_select(place: Place) -> None:
    """The SEARCH right after its arrival misses a mail; NOOP, at the latest, tells of it, and then it is found."""
    async with opened(place) as client:
        await put(place, mail())
        blind = await client.ask(b"UID SEARCH ALL")
        assert blind.numbers() == []
        told = await client.ask(b"NOOP")
        assert blind.named(b"EXISTS") + told.named(b"EXISTS") == [b"1 EXISTS"]
        assert len((await client.ask(b"UID SEARCH ALL")).numbers()) == 1


async def test_idle_tells_of_a_mail_at_once(place: Place) -> None:
    """EXISTS comes while IDLE lasts; after DONE the mail can be found."""
    async with opened(place) as client:
        client.send(b"X IDLE\r\n")
        assert (await client.line()).startswith(b"+")
        await put(place, mail())
        lines = [await client.line()]
        while not lines[-1].endswith(b"EXISTS"):
            lines.append(await client.line())
        client.send(b"DONE\r\n")
        while not lines[-1].startswith(b"X OK"):
            lines.append(await client.line())
        assert b"* 1 EXISTS" in lines
        assert len((await client.ask(b"UID SEARCH ALL")).numbers()) == 1


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (f'SUBJECT "[{PROBE}]"', {1, 3}),
        (f"SUBJECT {PROBE}", {1, 3}),
        (f"TEXT {PROBE}", {1, 2, 3}),
        (f"BODY {PROBE}", set()),
        ('BODY "inner text"', {2}),
        (f"HEADER Subject {PROBE}", {1, 3}),
        ('HEADER X-Kind ""', {3}),
        ("HEADER Message-ID <x@y.test>", {1, 2, 3}),
        ("FROM a@sender.test UNSEEN", {1, 2, 3}),
        ("TO nobody@box.test", set()),
        ("ALL", {1, 2, 3}),
        ("NOT (SEEN)", {1, 2, 3}),
        ('OR SUBJECT undelivered SUBJECT "größe"', {2, 3}),
        ("2:3", {2, 3}),
        ("2:*", {2, 3}),
        ("SMALLER 10", set()),
        ("LARGER 10", {1, 2, 3}),
    ],
)
async def test_search_finds_by_words_and_numbers(place: Place, asked: str, found: set[int]) -> None:
    """Words are looked for in decoded headers, in the text, or in both, as the key says; numbers name mails."""
    await put(place, mail())
    await put(place, returned())
    await put(place, mail(f"=?utf-8?q?Gr=C3=B6=C3=9Fe?= [{PROBE}]", more="X-Kind: third\n"))
    async with opened(place) as client:
        reply = await client.ask(b"SEARCH CHARSET UTF-8 " + asked.encode())
        assert (reply.status, set(reply.numbers())) == ("OK", found)


async def test_search_knows_days_uids_and_refuses_other_charsets(place: Place) -> None:
    """SINCE and BEFORE look at the day of arrival; UID ranges may have no end; an unknown charset is NO."""
    today = datetime.now(UTC)
    days = [(today + timedelta(days=shift)).strftime("%d-%b-%Y") for shift in (-2, 2)]
    await put(place, mail())
    await put(place, mail())
    async with opened(place) as client:
        first, second = (await client.ask(b"UID SEARCH ALL")).numbers()
        assert (await client.ask(f"UID SEARCH SINCE {days[0]}".encode())).numbers() == [first, second]
        assert (await client.ask(f"UID SEARCH SINCE {days[1]}".encode())).numbers() == []
        assert (await client.ask(f"UID SEARCH BEFORE {days[0]}".encode())).numbers() == []
        assert (await client.ask(f"UID SEARCH UID {second}:*".encode())).numbers() == [second]
        assert (await client.ask(f"UID SEARCH UID {second + 1}:*".encode())).numbers() == [second]
        assert (await client.ask(b"UID SEARCH CHARSET KLINGON ALL")).status == "NO"


async def test_fetch_hands_out_the_bytes_as_they_came(place: Place) -> None:
    """BODY.PEEK[] and its parts are the bytes that were stored, and leave the mail unseen; BODY[] marks it as seen."""
    raw = mail(body="Zeile 1\n.\n{5}\n* 1 FETCH (\n")
    await put(place, raw)
    async with opened(place) as client:
        whole = (await client.ask(b"FETCH 1 (UID BODY.PEEK[])")).named(b"FETCH")[0]
        assert b"BODY[] {%d}\r\n" % len(raw) + raw in whole
        head = (await client.ask(b"FETCH 1 BODY.PEEK[HEADER]")).named(b"FETCH")[0]
        assert head.split(b"}\r\n", 1)[1].removesuffix(b")") == raw.split(b"\r\n\r\n")[0] + b"\r\n\r\n"
        part = (await client.ask(b"FETCH 1 BODY.PEEK[]<6.9>")).named(b"FETCH")[0]
        assert part.endswith(b"BODY[]<6> {9}\r\n" + raw[6:15] + b")")
        size = (await client.ask(b"FETCH 1 (RFC822.SIZE FLAGS)")).named(b"FETCH")[0]
        assert b"RFC822.SIZE %d" % len(raw) in size
        assert b"Seen" not in size
        named = (await client.ask(b"FETCH 1 BODY[HEADER.FIELDS (subject x-none)]")).named(b"FETCH")[0]
        assert f"\r\nSubject: Test Email from sender.test [{PROBE}]\r\n\r\n".encode() in named
        flags = (await client.ask(b"FETCH 1 FLAGS")).named(b"FETCH")[0]
        assert b"\\Seen" in flags


async def test_fetch_by_uid_passes_over_what_is_not_there(place: Place) -> None:
    """By UID nothing comes back and all is well; by number it is BAD."""
    await put(place, mail())
    async with opened(place) as client:
        uid = (await client.ask(b"UID SEARCH ALL")).numbers()[0]
        none = await client.ask(f"UID FETCH {uid + 5}:{uid + 9} (FLAGS)".encode())
        assert (none.status, none.named(b"FETCH")) == ("OK", [])
        one = await client.ask(f"UID FETCH {uid} FLAGS".encode())
        assert re.search(rb"UID %d\b" % uid, one.named(b"FETCH")[0])
        assert (await client.ask(b"FETCH 7 FLAGS")).status == "BAD"


async def test_flags_are_stored_and_seen_by_others(place: Place) -> None:
    """+FLAGS, -FLAGS and FLAGS answer with the result, .SILENT does not; another session is told at its NOOP."""
    await put(place, mail())
    async with opened(place) as one, opened(place) as other:
        assert b"\\Flagged" in (await one.ask(b"STORE 1 +FLAGS (\\Flagged \\Seen)")).named(b"FETCH")[0]
        assert b"\\Seen" not in (await one.ask(b"STORE 1 -FLAGS \\Seen")).named(b"FETCH")[0]
        assert (await one.ask(b"STORE 1 FLAGS.SILENT (\\Answered)")).named(b"FETCH") == []
        told = (await other.ask(b"NOOP")).named(b"FETCH")
        assert len(told) == 1
        assert b"\\Answered" in told[0]
        assert b"\\Flagged" not in told[0]


async def test_expunge_removes_and_tells_everybody(place: Place) -> None:
    """Mails flagged as deleted go at EXPUNGE; the others' numbers move up; another session is told at NOOP."""
    for _ in range(3):
        await put(place, mail())
    async with opened(place) as one, opened(place) as other:
        uids = (await one.ask(b"UID SEARCH ALL")).numbers()
        await one.ask(b"STORE 1:2 +FLAGS.SILENT (\\Deleted)")
        only = await one.ask(f"UID EXPUNGE {uids[1]}".encode())
        assert only.named(b"EXPUNGE") == [b"2 EXPUNGE"]
        assert (await one.ask(b"EXPUNGE")).named(b"EXPUNGE") == [b"1 EXPUNGE"]
        assert (await one.ask(b"UID SEARCH 1")).numbers() == [uids[2]]
        known = list(uids)
        for line in (await other.ask(b"NOOP")).named(b"EXPUNGE"):
            del known[int(line.split()[0]) - 1]
        assert known == [uids[2]]
        assert (await other.ask(b"UID SEARCH ALL")).numbers() == [uids[2]]


async def test_move_and_copy_go_to_another_folder(place: Place) -> None:
    """COPY leaves the mail, MOVE takes it away; both arrive with their bytes and flags, and STATUS counts them."""
    raw = mail()
    await put(place, raw)
    async with opened(place) as client:
        await client.ask(b"STORE 1 +FLAGS (\\Flagged)")
        copied = await client.ask(b"COPY 1 Junk")
        assert (copied.status, copied.text.split()[0]) == ("OK", "[COPYUID")
        moved = await client.ask(b"UID MOVE 1:* Junk")
        assert (moved.status, moved.named(b"EXPUNGE")) == ("OK", [b"1 EXPUNGE"])
        status = (await client.ask(b"STATUS Junk (MESSAGES UNSEEN)")).named(b"STATUS")[0]
        assert status.endswith(b"(MESSAGES 2 UNSEEN 2)")
    async with opened(place, b"Junk") as client:
        fetched = (await client.ask(b"FETCH 1:2 (FLAGS BODY.PEEK[])")).named(b"FETCH")
        assert [raw in line and b"\\Flagged" in line for line in fetched] == [True, True]


async def test_examine_changes_nothing(place: Place) -> None:
    """In a folder that was opened read-only neither BODY[] nor STORE marks a mail as seen."""
    await put(place, mail())
    async with opened(place) as client:
        assert "[READ-ONLY]" in (await client.ask(b"EXAMINE INBOX")).text
        await client.ask(b"FETCH 1 BODY[]")
        await client.ask(b"STORE 1 +FLAGS (\\Seen)")
        assert b"Seen" not in (await client.ask(b"FETCH 1 FLAGS")).named(b"FETCH")[0]


async def test_close_removes_and_unselect_does_not(place: Place) -> None:
    """UNSELECT leaves what is flagged as deleted where it is, CLOSE removes it without a word."""
    await put(place, mail())
    async with opened(place) as client:
        await client.ask(b"STORE 1 +FLAGS.SILENT (\\Deleted)")
        assert (await client.ask(b"UNSELECT")).status == "OK"
        assert (await client.ask(b"SELECT INBOX")).named(b"EXISTS") == [b"1 EXISTS"]
        closed = await client.ask(b"CLOSE")
        assert (closed.status, closed.named(b"EXPUNGE")) == ("OK", [])
        assert (await client.ask(b"SELECT INBOX")).named(b"EXISTS") == [b"0 EXISTS"]


async def test_junk_is_listed_as_such(place: Place) -> None:
    """LIST tells the folders and which of them is for junk."""
    async with opened(place) as client:
        listed = (await client.ask(b'LIST "" "*"')).named(b"LIST")
        assert any(rb"\Junk" in line and line.rstrip(b'"').endswith(b"Junk") for line in listed)
        assert any(line.rstrip(b'"').endswith(b"INBOX") for line in listed)
        assert len((await client.ask(b'LIST "" "J%"')).named(b"LIST")) == 1


async def test_logout_says_goodbye(place: Place) -> None:
    """BYE, OK, and the end of the connection."""
    async with opened(place) as client:
        left = await client.ask(b"LOGOUT")
        assert (left.status, len(left.named(b"BYE"))) == ("OK", 1)
        assert await client.line() == b""


async def test_a_line_without_end_ends_the_connection(place: Place) -> None:
    """Who sends without ever ending the line is sent away within a megabyte."""
    async with bare_imap(place) as client:
        client.send(b"A LOGIN " + b"x" * 2**20 + b"\r\n")
        said = b"begun"
        try:
            while said:
                said = await client.line()
        except ConnectionError:
            said = b""
        assert said == b""


async def test_aioimaplib_waits_finds_and_fetches(place: Place) -> None:
    """The client that robotd uses: IDLE is told of the mail, SEARCH finds it, FETCH brings it whole, MOVE tidies up."""
    raw = mail()
    ended = asyncio.Event()
    client = aioimaplib.IMAP4(host="127.0.0.1", port=place.port, timeout=10, conn_lost_cb=lambda _: ended.set())
    await client.wait_hello_from_server()
    assert (await client.login(place.user, place.password)).result == "OK"
    assert (await client.select("INBOX")).result == "OK"
    idle = await client.idle_start(timeout=10)
    await put(place, raw)
    assert any(b"EXISTS" in line for line in await client.wait_server_push())
    client.idle_done()
    await asyncio.wait_for(idle, 10)
    found = await client.uid_search("SUBJECT", f'"{PROBE}"')
    uid = found.lines[0].decode().split()[-1]
    fetched = await client.uid("fetch", uid, "(BODY.PEEK[])")
    assert fetched.result == "OK"
    assert raw in [bytes(line) for line in fetched.lines]
    assert (await client.uid("move", uid, "Junk")).result == "OK"
    assert (await client.uid_search("ALL")).lines[0].strip() in (b"", b"SEARCH")
    await client.logout()
    await asyncio.wait_for(ended.wait(), 10)


async def test_imaplib_appends_finds_and_deletes(place: Place) -> None:
    """The standard library's client: APPEND with flags and a date, SEARCH with a literal, FETCH, STORE, EXPUNGE."""
    raw = mail("Größe".encode().decode("latin-1"), more="X: 1\n")
    await asyncio.to_thread(_by_imaplib, place, raw)


def _by_imaplib(place: Place, raw: bytes) -> None:
    with imaplib.IMAP4("127.0.0.1", place.port, timeout=10) as client:
        client.login(place.user, place.password)
        stamp = imaplib.Time2Internaldate(datetime(2025, 11, 25, 8, 40, 13, tzinfo=UTC))
        assert client.append("INBOX", "(\\Seen)", stamp, raw)[0] == "OK"
        client.select("INBOX")
        assert client.search(None, "SINCE", "25-Nov-2025", "BEFORE", "26-Nov-2025", "SEEN") == ("OK", [b"1"])
        client.literal = b"A <a@sender.test>"  # type: ignore[assignment]  # typeshed says str; bytes are what it sends
        assert client.uid("SEARCH", "CHARSET", "UTF-8", "FROM")[0] == "OK"
        kind, data = client.fetch("1", "(INTERNALDATE RFC822)")
        assert kind == "OK"
        assert isinstance(data[0], tuple)
        assert data[0][1] == raw
        assert b'INTERNALDATE "25-Nov-2025 08:40:13 +0000"' in data[0][0] + b"".join(
            p for p in data if isinstance(p, bytes)
        )
        client.store("1", "+FLAGS", "\\Deleted")
        assert client.expunge() == ("OK", [b"1"])
