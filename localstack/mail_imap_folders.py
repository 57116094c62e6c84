"""The IMAP commands on folders as such: they need a login and no selected folder."""

from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

from localstack.mail_box import JUNK, TRASH, Folder
from localstack.mail_imap_append import parse_append
from localstack.mail_imap_wire import BadCommand, Cursor, Refused

_SPECIAL = {JUNK: " \\Junk", TRASH: " \\Trash"}
_STATUS = ("MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN")
_FIXED = ("CREATE", "DELETE", "RENAME", "SUBSCRIBE", "UNSUBSCRIBE")
Command = Callable[[Cursor], Awaitable[str]]


class Foldering(Protocol):
    """The session, as these commands see it."""

    @property
    def folders(self) -> Collection[Folder]:
        """All, in order."""
        ...

    def folder(self, name: bytes) -> Folder:
        """A folder by its name. Raises Refused."""
        ...

    def say(self, line: bytes) -> None:
        """An untagged answer."""
        ...

    def catch_up(self) -> None:
        """Tell what has changed in the selected folder."""
        ...

    def now_ms(self) -> int:
        """The clock's time."""
        ...


class FolderCommands:
    """Each takes its arguments and returns the text of its OK; raises BadCommand and Refused."""

    def __init__(self, session: Foldering) -> None:
        self._session = session

    def commands(self) -> dict[str, Command]:
        """By name."""
        return {
            "LIST": lambda cursor: self._list(cursor, "LIST"),
            "LSUB": lambda cursor: self._list(cursor, "LSUB"),
            "STATUS": self._status,
            "APPEND": self._append,
            "NAMESPACE": self._namespace,
            **dict.fromkeys(_FIXED, self._cannot),
        }

    async def _list(self, cursor: Cursor, answer: str) -> str:
        cursor.space()
        cursor.astring()
        cursor.space()
        pattern = cursor.pattern().decode("ascii", "replace")
        cursor.end()
        if not pattern:
            self._session.say(f'{answer} (\\Noselect) "/" ""'.encode())
        for folder in self._session.folders:
            if pattern and _fits(folder.name, pattern.replace("%", "*")):
                special = _SPECIAL.get(folder.name, "")
                self._session.say(f'{answer} (\\HasNoChildren{special}) "/" {folder.name}'.encode())
        return f"{answer} completed"

    async def _status(self, cursor: Cursor) -> str:
        cursor.space()
        folder = self._session.folder(cursor.astring())
        cursor.space()
        wanted = cursor.items(cursor.atom)
        cursor.end()
        if not wanted or not set(wanted) <= set(_STATUS):
            raise BadCommand("Unknown status item")
        values = (len(folder.mails), 0, folder.uid_next, folder.uid_validity, folder.unseen)
        known = dict(zip(_STATUS, values, strict=True))
        told = " ".join(f"{name} {known[name]}" for name in wanted)
        self._session.say(f"STATUS {folder.name} ({told})".encode())
        return "Status completed"

    async def _append(self, cursor: Cursor) -> str:
        asked = parse_append(cursor, self._session.now_ms())
        try:
            folder = self._session.folder(asked.folder)
        except Refused as error:
            raise Refused(f"[TRYCREATE] {error}") from None
        mail = folder.add(asked.raw, asked.at_ms, asked.flags)
        self._session.catch_up()
        return f"[APPENDUID {folder.uid_validity} {mail.uid}] Append completed"

    async def _namespace(self, cursor: Cursor) -> str:
        cursor.end()
        self._session.say(b'NAMESPACE (("" "/")) NIL NIL')
        return "Namespace completed"

    async def _cannot(self, _cursor: Cursor) -> str:
        raise Refused("[CANNOT] The folders are fixed here")


def _fits(name: str, pattern: str) -> bool:
    """Whether a name fits a pattern with `*`; no regular expression, which a client could make slow."""
    reached = {0}
    for letter in pattern:
        if letter == "*":
            reached = set(range(min(reached), len(name) + 1))
        else:
            reached = {at + 1 for at in reached if name[at : at + 1] == letter}
        if not reached:
            return False
    return len(name) in reached
