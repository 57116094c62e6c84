"""The IMAP commands that need a selected folder."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from localstack.mail_box import Folder, StoredMail
from localstack.mail_imap_fetch import answer, flags_of, mark_seen, parse_items, reads
from localstack.mail_imap_search import parse_search
from localstack.mail_imap_view import View
from localstack.mail_imap_wire import BadCommand, Cursor, Refused

Command = Callable[[Cursor], Awaitable[str]]


class Selecting(Protocol):
    """The session, as these commands see it."""

    view: View | None

    def say(self, line: bytes) -> None:
        """An untagged answer."""
        ...

    async def flush(self) -> None:
        """Wait until the client has taken enough."""
        ...

    def catch_up(self) -> None:
        """Tell what has changed in the folder."""
        ...

    def leave(self) -> None:
        """No folder is selected any more."""
        ...

    def folder(self, name: bytes) -> Folder:
        """A folder by its name. Raises Refused."""
        ...


class SelectedCommands:
    """Each takes its arguments and returns the text of its OK; raises BadCommand and Refused."""

    def __init__(self, session: Selecting) -> None:
        self._session = session

    def commands(self) -> dict[str, Command]:
        """By name."""
        both = self._numbered(by_uid=False)
        return {
            **both,
            "UID": self._uid,
            "CHECK": self._check,
            "EXPUNGE": self._expunge,
            "CLOSE": self._close,
            "UNSELECT": self._unselect,
        }

    def _numbered(self, *, by_uid: bool) -> dict[str, Command]:
        return {
            "SEARCH": lambda cursor: self._search(cursor, by_uid=by_uid),
            "FETCH": lambda cursor: self._fetch(cursor, by_uid=by_uid),
            "STORE": lambda cursor: self._store(cursor, by_uid=by_uid),
            "COPY": lambda cursor: self._copy(cursor, by_uid=by_uid),
            "MOVE": lambda cursor: self._move(cursor, by_uid=by_uid),
        }

    @property
    def _view(self) -> View:
        view = self._session.view
        if view is None:
            raise BadCommand("No mailbox selected")
        return view

    def _writable(self) -> View:
        if self._view.is_read_only:
            raise Refused("[READ-ONLY] Mailbox is read-only")
        return self._view

    async def _uid(self, cursor: Cursor) -> str:
        cursor.space()
        name = cursor.atom()
        known = {**self._numbered(by_uid=True), "EXPUNGE": self._uid_expunge}
        if name not in known:
            raise BadCommand("Unknown UID command")
        return await known[name](cursor)

    async def _search(self, cursor: Cursor, *, by_uid: bool) -> str:
        cursor.space()
        condition = parse_search(cursor)
        found = self._view.found(condition)
        numbers = "".join(f" {mail.uid if by_uid else number}" for number, mail in found)
        self._session.say(f"SEARCH{numbers}".encode())
        return "Search completed"

    async def _fetch(self, cursor: Cursor, *, by_uid: bool) -> str:
        view = self._view
        mails = self._mails(cursor, by_uid=by_uid)
        cursor.space()
        items = parse_items(cursor)
        for number, mail in mails:
            is_new = reads(items) and not view.is_read_only and mark_seen(mail)
            self._session.say(answer(number, mail, items, with_uid=by_uid, with_flags=is_new))
            if is_new:
                view.know_flags(mail)
                view.folder.changed()
            await self._session.flush()
        return "Fetch completed"

    async def _store(self, cursor: Cursor, *, by_uid: bool) -> str:
        view = self._writable()
        mails = self._mails(cursor, by_uid=by_uid)
        cursor.space()
        sign = next((sign for sign in (b"+", b"-") if cursor.skip(sign)), b"")
        what = cursor.word()
        if what not in ("FLAGS", "FLAGS.SILENT"):
            raise BadCommand("Only FLAGS can be stored")
        cursor.space()
        flags = set(cursor.items(cursor.flag) if cursor.sees(b"(") else _bare(cursor))
        cursor.end()
        for number, mail in mails:
            _change(mail, sign, flags)
            view.know_flags(mail)
            if what == "FLAGS":
                uid = b"UID %d " % mail.uid if by_uid else b""
                self._session.say(b"%d FETCH (%b%b)" % (number, uid, flags_of(mail)))
        view.folder.changed()
        return "Store completed"

    async def _copy(self, cursor: Cursor, *, by_uid: bool) -> str:
        _, code = self._copied(cursor, by_uid=by_uid)
        self._session.catch_up()
        return f"{code}Copy completed"

    async def _move(self, cursor: Cursor, *, by_uid: bool) -> str:
        view = self._writable()
        mails, code = self._copied(cursor, by_uid=by_uid)
        if mails:
            self._session.say(f"OK {code}Moved".encode())
        view.folder.remove(mails)
        self._session.catch_up()
        return "Move completed"

    def _copied(self, cursor: Cursor, *, by_uid: bool) -> tuple[Sequence[StoredMail], str]:
        chosen = self._mails(cursor, by_uid=by_uid)
        cursor.space()
        name = cursor.astring()
        cursor.end()
        try:
            folder = self._session.folder(name)
        except Refused as error:
            raise Refused(f"[TRYCREATE] {error}") from None
        mails = [mail for _, mail in chosen]
        copies = [folder.copy_of(mail) for mail in mails]
        if not mails:
            return (), ""
        old = ",".join(str(mail.uid) for mail in mails)
        new = ",".join(str(mail.uid) for mail in copies)
        return mails, f"[COPYUID {folder.uid_validity} {old} {new}] "

    async def _check(self, cursor: Cursor) -> str:
        cursor.end()
        self._session.catch_up()
        return "Check completed"

    async def _expunge(self, cursor: Cursor) -> str:
        cursor.end()
        view = self._writable()
        view.folder.remove(view.deleted())
        self._session.catch_up()
        return "Expunge completed"

    async def _uid_expunge(self, cursor: Cursor) -> str:
        view = self._writable()
        chosen = [mail for _, mail in self._mails(cursor, by_uid=True)]
        cursor.end()
        view.folder.remove([mail for mail in view.deleted() if mail in chosen])
        self._session.catch_up()
        return "Expunge completed"

    async def _close(self, cursor: Cursor) -> str:
        cursor.end()
        if not self._view.is_read_only:
            self._view.folder.remove(self._view.deleted())
        self._session.leave()
        return "Close completed"

    async def _unselect(self, cursor: Cursor) -> str:
        cursor.end()
        self._session.leave()
        return "Unselect completed"

    def _mails(self, cursor: Cursor, *, by_uid: bool) -> list[tuple[int, StoredMail]]:
        cursor.space()
        return self._view.chosen(cursor.sequence_set(), by_uid=by_uid)


def _bare(cursor: Cursor) -> list[str]:
    flags = [cursor.flag()]
    while not cursor.is_at_end:
        cursor.space()
        flags.append(cursor.flag())
    return flags


def _change(mail: StoredMail, sign: bytes, flags: set[str]) -> None:
    match sign:
        case b"+":
            mail.flags |= flags
        case b"-":
            mail.flags -= flags
        case _:
            mail.flags = set(flags)
