"""The mailbox of the mail host: folders in memory, numbered and flagged as IMAP wants it. It belongs to one loop."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property

from localstack.bell import Bell
from localstack.mail_text import MailWords

INBOX, JUNK, TRASH = "INBOX", "Junk", "Trash"
SEEN, DELETED = "\\Seen", "\\Deleted"


@dataclass(eq=False)
class StoredMail:
    """A mail in a folder. `uid` never changes and is never given again."""

    uid: int
    raw: bytes
    at_ms: int
    flags: set[str] = field(default_factory=set)

    @cached_property
    def words(self) -> MailWords:
        """What a search looks at."""
        return MailWords(self.raw)


class Folder:
    """Mails in the order of their numbers. Who watches is called after every change."""

    def __init__(self, name: str, uid_validity: int, bell: Bell) -> None:
        self.name = name
        self.uid_validity = uid_validity
        self.uid_next = 1
        self.mails: list[StoredMail] = []
        self.watchers: set[Callable[[], None]] = set()
        self._bell = bell

    def add(self, raw: bytes, at_ms: int, flags: Collection[str] = ()) -> StoredMail:
        """Put a mail at the end."""
        mail = StoredMail(self.uid_next, raw, at_ms, set(flags))
        self.uid_next += 1
        self.mails.append(mail)
        self.changed()
        return mail

    def remove(self, gone: Collection[StoredMail]) -> None:
        """Remove mails for good; those that are gone already are passed over."""
        uids = {mail.uid for mail in gone}
        self.mails = [mail for mail in self.mails if mail.uid not in uids]
        self.changed()

    def copy_of(self, mail: StoredMail) -> StoredMail:
        """A copy of a mail of another folder, with a number of its own."""
        return self.add(mail.raw, mail.at_ms, mail.flags)

    def changed(self) -> None:
        """Tell everybody who watches."""
        for watcher in tuple(self.watchers):
            watcher()
        self._bell.ring()

    @property
    def unseen(self) -> int:
        """How many nobody has read."""
        return sum(SEEN not in mail.flags for mail in self.mails)


class Mailbox:
    """INBOX, Junk and Trash."""

    def __init__(self, uid_validity: int) -> None:
        self._bell = Bell()
        self._folders = {name: Folder(name, uid_validity, self._bell) for name in (INBOX, JUNK, TRASH)}

    @property
    def folders(self) -> Collection[Folder]:
        """All, in order."""
        return self._folders.values()

    def folder(self, name: str) -> Folder | None:
        """The folder of this name; INBOX in any case of letters."""
        return self._folders.get(INBOX if name.upper() == INBOX else name)

    def mails(self, name: str = INBOX) -> list[StoredMail]:
        """What is in a folder. KeyError where there is none."""
        return self._folders[name].mails

    def deliver(self, name: str, raw: bytes, at_ms: int) -> StoredMail:
        """Put a new mail into a folder. KeyError where there is none."""
        return self._folders[name].add(raw, at_ms)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as `condition` holds; it is looked at again after each change."""
        await self._bell.until(condition)
