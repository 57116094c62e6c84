"""A folder as one IMAP session sees it: as it was when it was last told of it."""

from collections.abc import Iterator, Sequence

from localstack.mail_box import DELETED, SEEN, Folder, StoredMail
from localstack.mail_imap_fetch import flags_of
from localstack.mail_imap_search import Condition, Listed
from localstack.mail_imap_wire import BadCommand, SequenceSet

_FLAGS = "\\Answered \\Flagged \\Deleted \\Seen \\Draft"


class View:
    """Mails have numbers from 1 on. Mail that came, went or was flagged since is unknown until `catch_up`.

    SEARCH finds no mail that arrived after SELECT until NOOP, CHECK or IDLE has told of it. That is as strict as the
    protocol allows; Dovecot tells of it right after the SEARCH that missed it.
    """

    def __init__(self, folder: Folder, *, is_read_only: bool) -> None:
        self.folder = folder
        self.is_read_only = is_read_only
        self.mails = list(folder.mails)
        self._told_flags = {mail.uid: frozenset(mail.flags) for mail in self.mails}

    def introduction(self) -> Sequence[str]:
        """What SELECT tells of the folder."""
        first_unseen = next((n for n, mail in enumerate(self.mails, 1) if SEEN not in mail.flags), None)
        permanent = "" if self.is_read_only else f"{_FLAGS} \\*"
        return [
            f"FLAGS ({_FLAGS})",
            f"OK [PERMANENTFLAGS ({permanent})] Flags permitted",
            f"{len(self.mails)} EXISTS",
            "0 RECENT",
            *([f"OK [UNSEEN {first_unseen}] First unseen"] if first_unseen is not None else []),
            f"OK [UIDVALIDITY {self.folder.uid_validity}] UIDs valid",
            f"OK [UIDNEXT {self.folder.uid_next}] Predicted next UID",
        ]

    def catch_up(self) -> Sequence[bytes]:
        """What has changed since, as untagged answers without `* ` and line end."""
        if len(self.mails) == len(self.folder.mails) and not any(map(self._is_news, self.mails)):
            same = all(mine is theirs for mine, theirs in zip(self.mails, self.folder.mails, strict=True))
            if same:
                return ()
        return [*self._gone(), *self._come(), *self._flagged()]

    def know_flags(self, mail: StoredMail) -> None:
        """The session has been told of this mail's flags as they are now."""
        self._told_flags[mail.uid] = frozenset(mail.flags)

    def number_of(self, mail: StoredMail) -> int:
        """The number of a mail that is in view."""
        return self.mails.index(mail) + 1

    def chosen(self, numbers: SequenceSet, *, by_uid: bool) -> list[tuple[int, StoredMail]]:
        """Mails by number, which must be there, or by UID, of which those are passed over that are not."""
        count = len(self.mails)
        if by_uid:
            return [(n, mail) for n, mail in self._numbered() if numbers.has(mail.uid, self._largest_uid)]
        if numbers.goes_beyond(count):
            raise BadCommand("Invalid messageset")
        return [(n, mail) for n, mail in self._numbered() if numbers.has(n, count)]

    def found(self, condition: Condition) -> list[tuple[int, StoredMail]]:
        """Mails that a search is after."""
        count, largest = len(self.mails), self._largest_uid
        return [(n, mail) for n, mail in self._numbered() if condition(Listed(n, mail, count, largest))]

    def deleted(self) -> list[StoredMail]:
        """Mails in view that are flagged as deleted."""
        return [mail for mail in self.mails if DELETED in mail.flags]

    @property
    def _largest_uid(self) -> int:
        return self.mails[-1].uid if self.mails else 0

    def _numbered(self) -> Iterator[tuple[int, StoredMail]]:
        return enumerate(self.mails, 1)

    def _is_news(self, mail: StoredMail) -> bool:
        return self._told_flags.get(mail.uid, frozenset()) ^ mail.flags != frozenset()

    def _gone(self) -> list[bytes]:
        there = {mail.uid for mail in self.folder.mails}
        gone = [number for number, mail in self._numbered() if mail.uid not in there]
        self.mails = [mail for mail in self.mails if mail.uid in there]
        self._told_flags = {uid: flags for uid, flags in self._told_flags.items() if uid in there}
        return [b"%d EXPUNGE" % number for number in reversed(gone)]

    def _come(self) -> list[bytes]:
        known = self._largest_uid
        new = [mail for mail in self.folder.mails if mail.uid > known and mail.uid not in self._told_flags]
        self.mails += new
        for mail in new:
            self.know_flags(mail)
        return [b"%d EXISTS" % len(self.mails), b"0 RECENT"] if new else []

    def _flagged(self) -> list[bytes]:
        lines = []
        for number, mail in self._numbered():
            if self._is_news(mail):
                self.know_flags(mail)
                lines.append(b"%d FETCH (UID %d %b)" % (number, mail.uid, flags_of(mail)))
        return lines
