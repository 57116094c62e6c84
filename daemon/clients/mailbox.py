"""The mailbox where probes and bounces arrive, over IMAP, as the domain's `Mailbox`. Needs the extra `[mail]`."""

import asyncio
import re
from typing import Any

from daemon.clients.mail_reading import Wanted, WantedBounce, WantedProbe
from daemon.clients.mailbox_options import MailboxOptions
from daemon.clients.mailbox_watch import FolderWatch, Waiter
from domain.errors import RuleViolation
from domain.server_ports import FoundMail

_TOKEN = re.compile(r"[A-Za-z0-9-]{8,64}")


class ImapMailbox:
    """Any number may wait at once: each folder has one connection, which is opened when it is needed.

    Others' mail is neither marked nor deleted.
    """

    def __init__(self, options: MailboxOptions) -> None:
        self._folders = [options.folder]
        self._watches = [FolderWatch(options, options.folder, is_junk=False)]
        if options.junk_folder:
            self._folders.append(options.junk_folder)
            self._watches.append(FolderWatch(options, options.junk_folder, is_junk=True))

    async def find(self, token: str, *, wait_s: float) -> FoundMail | None:
        """The mail with this token in its subject, no bounce of it and no answer to it; looks at least once.

        Raises Unavailable where it can't be looked, and where the connection was cut twice meanwhile.
        """
        return await self._wait(WantedProbe(_checked(token)), wait_s)

    async def find_bounce(self, token: str, *, wait_s: float) -> FoundMail | None:
        """The notification that a mail with this token was not delivered; looks at least once. Raises Unavailable."""
        return await self._wait(WantedBounce(_checked(token)), wait_s)

    async def close(self) -> None:
        """Hang up. Who still waits gets nothing."""
        for watch in self._watches:
            await watch.close()

    async def _wait(self, wanted: Wanted, wait_s: float) -> FoundMail | None:
        ends_s = asyncio.get_running_loop().time() + wait_s
        waiter = Waiter(wanted, self._folders)
        for watch in self._watches:
            watch.add(waiter)
        try:
            either: set[asyncio.Future[Any]] = {waiter.found, waiter.looked}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            left_s = ends_s - asyncio.get_running_loop().time()
            if not waiter.found.done() and left_s > 0:
                await asyncio.wait({waiter.found}, timeout=left_s)
            return waiter.found.result() if waiter.found.done() else None
        finally:
            for watch in self._watches:
                watch.remove(waiter)


def _checked(token: str) -> str:
    if not _TOKEN.fullmatch(token):
        raise RuleViolation("a token has 8 to 64 letters, digits and hyphens", kind="probe-token")
    return token
