"""A bounded set of connections for `daemon.store.mysql`.

Ours instead of aiomysql's, whose pool holds one lock while it connects: a single handshake that hangs there blocks
everybody, free connections or not. Here whoever needs a new connection waits for it alone.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from daemon.store.mysql_connection import Connection
from domain.errors import Unavailable

IDLE_S = 1800.0


class Pool:
    """Up to `size` connections, opened when needed, the most recently used one first."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        *,
        size: int,
        acquire_timeout_s: float,
        idle_s: float = IDLE_S,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._size = size
        self._slots = asyncio.Semaphore(size)
        self._acquire_timeout_s = acquire_timeout_s
        self._idle_s = idle_s
        self._monotonic_s = monotonic_s
        self._idle: deque[tuple[Connection, float]] = deque()
        self._used: set[Connection] = set()
        self._is_closed = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection. What comes back inside a transaction or out of step is dropped, not lent again."""
        await self._take_slot()
        try:
            connection = self._idle_one() or await self._connect()
            self._used.add(connection)
            try:
                yield connection
            finally:
                self._give_back(connection)
        finally:
            self._slots.release()

    async def close(self) -> None:
        """Lend no more, wait for what is lent (bounded), close everything."""
        if self._is_closed:
            return
        self._is_closed = True
        with suppress(TimeoutError):  # what is still lent then is closed under its user
            async with asyncio.timeout(self._acquire_timeout_s):
                for _ in range(self._size):
                    await self._slots.acquire()
        for connection in self._used:
            connection.close()
        while self._idle:
            await self._idle.pop()[0].quit()

    async def _take_slot(self) -> None:
        self._refuse_if_closed()
        try:
            async with asyncio.timeout(self._acquire_timeout_s):
                await self._slots.acquire()
        except TimeoutError as error:
            raise Unavailable("database", f"all {self._size} connections stayed busy") from error
        try:
            self._refuse_if_closed()
        except Unavailable:
            self._slots.release()
            raise

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise Unavailable("database", "closed")

    def _idle_one(self) -> Connection | None:
        while self._idle and self._is_old(self._idle[0][1]):
            self._idle.popleft()[0].close()
        while self._idle:
            connection, _ = self._idle.pop()
            if connection.is_reusable:
                return connection
            connection.close()
        return None

    def _is_old(self, since_s: float) -> bool:
        return self._monotonic_s() - since_s > self._idle_s

    def _give_back(self, connection: Connection) -> None:
        self._used.discard(connection)
        if connection.is_reusable and not self._is_closed:
            self._idle.append((connection, self._monotonic_s()))
        else:
            connection.close()
