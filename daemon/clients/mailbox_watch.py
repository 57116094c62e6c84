"""One folder of a mailbox, watched over one connection for all who wait for a mail in it.

A new mail's headers are fetched once and compared with everybody's wish, so that two hundred waiting tests cost what
one does. What was there before is searched once for each.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from daemon.clients.imap_line import DEPENDENCY, MARK, ImapLine
from daemon.clients.mail_reading import Wanted, is_of_a_test
from daemon.clients.mailbox_options import MailboxOptions
from domain.errors import Unavailable
from domain.server_ports import FoundMail

MOST_WALKED = 200  # mails that are looked through where the server's own search finds nothing
MOST_TIDIED = 200  # at once
FIRST_PAUSE_S, IDLE_FROM_S = 0.05, 1.0
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
TIDY_EVERY_S = 6 * 3600.0


class Waiter:
    """Somebody who waits in some folders at once. `looked` is done when what is there already was searched in all."""

    def __init__(self, wanted: Wanted, folders: Iterable[str]) -> None:
        loop = asyncio.get_running_loop()
        self.wanted = wanted
        self.found: asyncio.Future[FoundMail] = loop.create_future()
        self.looked: asyncio.Future[None] = loop.create_future()
        self.was_cut = False
        self._unlooked = set(folders)

    def has_looked(self, folder: str) -> None:
        """In one folder more, or in one again after the connection was cut."""
        self._unlooked.discard(folder)
        if not self._unlooked and not self.looked.done():
            self.looked.set_result(None)

    def fail(self, problem: Exception) -> None:
        """Nobody will find it."""
        if not self.found.done():
            self.found.set_exception(problem)
            self.found.exception()  # it may be waited for no more


class FolderWatch:
    """Connects when somebody waits, and stays connected a while after the last."""

    def __init__(self, options: MailboxOptions, folder: str, *, is_junk: bool) -> None:
        self._options = options
        self._folder = folder
        self._is_junk = is_junk
        self._new: list[Waiter] = []
        self._known: list[Waiter] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._next_uid = 0
        self._pause_s = FIRST_PAUSE_S
        self._tidy_at_s = 0.0

    def add(self, waiter: Waiter) -> None:
        """Look for it from now on."""
        self._new.append(waiter)
        self._pause_s = FIRST_PAUSE_S
        self._wake.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())

    def remove(self, waiter: Waiter) -> None:
        """Look no longer."""
        for waiters in (self._new, self._known):
            with suppress(ValueError):
                waiters.remove(waiter)

    async def close(self) -> None:
        """Stop, whoever waits."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._tell(Unavailable(DEPENDENCY, "it is closed"))

    async def _watch(self) -> None:
        """Connect again where a connection was cut; who meets that twice is told. Ends when nobody waits any more."""
        try:
            while await self._watch_once():
                pass
        except Exception as problem:
            self._tell(problem)
            if not isinstance(problem, Unavailable):
                raise

    async def _watch_once(self) -> bool:
        """Over one connection; whether another one is needed."""
        line, self._next_uid = await ImapLine.open(self._options, self._folder)
        try:
            while await self._is_wanted(line):
                self._wake.clear()
                await self._look(line)
                if self._known and not self._wake.is_set():
                    await self._rest(line)
            await line.close()
        except Unavailable as problem:
            self._cut(problem)
        finally:
            line.abort()
        return bool(self._new or self._known)

    async def _rest(self, line: ImapLine) -> None:
        """Look again soon at first, since servers announce late what arrives at once; then leave it to them."""
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, self._options.poll_s)
        if pause_s < IDLE_FROM_S:
            await line.wait(self._wake, pause_s)
        else:
            await line.idle(self._wake, pause_s)

    async def _is_wanted(self, line: ImapLine) -> bool:
        """Whether anybody waits, now or while the connection lingers."""
        if not self._new and not self._known:
            await line.wait(self._wake, self._options.linger_s)
        return bool(self._new or self._known)

    async def _look(self, line: ImapLine) -> None:
        new = list(self._new)
        await line.noop()
        await self._look_at_arrivals(line)
        for waiter in new:
            if not waiter.found.done():
                await self._look_back(line, waiter)
            waiter.has_looked(self._folder)
            if waiter in self._new:
                self._new.remove(waiter)
                self._known.append(waiter)
        self._known = [waiter for waiter in self._known if not waiter.found.done()]
        await self._tidy(line)

    async def _look_at_arrivals(self, line: ImapLine) -> None:
        found = await line.search("UID", f"{self._next_uid}:*")
        arrived = [uid for uid in found if uid >= self._next_uid]  # `*` is the last one, however old
        for uid, headers in await line.headers(arrived):
            wanting = [waiter for waiter in self._known if waiter.wanted.may_be(headers)]
            if wanting:
                await self._give(line, uid, wanting)
        self._next_uid = max([self._next_uid, *(uid + 1 for uid in arrived)])

    async def _look_back(self, line: ImapLine, waiter: Waiter) -> None:
        """What had arrived before somebody waited for it: the server's search, and our own where that says nothing."""
        wanted = waiter.wanted
        candidates = await line.search(wanted.search_key, f'"{wanted.token}"')
        if await self._give_first(line, candidates, waiter) or not wanted.walks:
            return
        since = datetime.now(UTC) - timedelta(days=1)
        recent = (await line.search("SINCE", _day(since)))[-MOST_WALKED:]
        notices = [uid for uid, headers in await line.headers(recent) if wanted.may_be(headers)]
        await self._give_first(line, [uid for uid in notices if uid not in candidates], waiter)

    async def _give_first(self, line: ImapLine, uids: Sequence[int], waiter: Waiter) -> bool:
        for uid in reversed(uids):
            if await self._give(line, uid, [waiter]):
                return True
        return False

    async def _give(self, line: ImapLine, uid: int, waiters: Sequence[Waiter]) -> bool:
        """Fetch a mail and give it to whoever waits for it."""
        raw = await line.mail(uid)
        if raw is None:
            return False
        takers = [waiter for waiter in waiters if waiter.wanted.is_it(raw)]
        for waiter in takers:
            if not waiter.found.done():
                waiter.found.set_result(FoundMail(self._folder, self._is_junk, raw))
        if takers and self._options.keep_days:
            await line.mark(uid)
        return bool(takers)

    async def _tidy(self, line: ImapLine) -> None:
        """Delete what tests have sent here, or found, so many days ago."""
        now_s = asyncio.get_running_loop().time()
        if not self._options.keep_days or now_s < self._tidy_at_s:
            return
        self._tidy_at_s = now_s + TIDY_EVERY_S
        before = ("BEFORE", _day(datetime.now(UTC) - timedelta(days=self._options.keep_days)))
        sent = await line.search(*before, "OR", "HEADER", "X-Robotd-Test", '""', "SUBJECT", '"Test Email from"')
        ours = [uid for uid, headers in await line.headers(sent[:MOST_TIDIED]) if is_of_a_test(headers)]
        found = await line.search(*before, "KEYWORD", MARK)
        await line.delete(sorted({*ours, *found[:MOST_TIDIED]}))

    def _cut(self, problem: Unavailable) -> None:
        for waiter in [*self._new, *self._known]:
            if waiter.was_cut:
                waiter.fail(problem)
            waiter.was_cut = True
        self._new = [waiter for waiter in [*self._new, *self._known] if not waiter.found.done()]
        self._known = []

    def _tell(self, problem: Exception) -> None:
        for waiter in [*self._new, *self._known]:
            waiter.fail(problem)
        self._new, self._known = [], []


def _day(when: datetime) -> str:
    """As IMAP writes it, in English whatever the locale."""
    return f"{when.day}-{MONTHS[when.month - 1]}-{when.year}"
