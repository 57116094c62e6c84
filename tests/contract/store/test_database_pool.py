"""How connections to MariaDB are made, shared, bounded and let go."""

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from daemon.store.database import Write
from daemon.store.mysql import MysqlAddress, MysqlDatabase
from daemon.store.mysql_connection import Connection, connect
from daemon.store.mysql_pool import Pool
from domain.errors import Unavailable
from tests.mariadb import MariaDb

THING = "CREATE TABLE thing (k VARCHAR(64) NOT NULL PRIMARY KEY, n BIGINT) {table_options}"
ADD = "INSERT INTO thing (k, n) VALUES (?, ?)"
KEYS = "SELECT k FROM thing ORDER BY k"


@pytest.fixture
async def things(opened: Callable[..., Any]) -> MysqlDatabase:
    """A database with rows a, b and c, all 0."""
    database: MysqlDatabase = await opened()
    await database.apply([Write(THING), *(Write(ADD, (key, 0)) for key in "abc")])
    return database


async def test_idle_connections_that_the_server_closed_are_not_used(
    mariadb: MariaDb, address: MysqlAddress, things: MysqlDatabase
) -> None:
    """After the server dropped every idle connection, no caller notices."""
    async with asyncio.timeout(10):
        await asyncio.gather(*(things.fetch("SELECT SLEEP(0.01)") for _ in range(5)))
        await asyncio.to_thread(mariadb.kill_clients, address)
        while await asyncio.to_thread(mariadb.clients, address):
            pass
        answers = await asyncio.gather(*(things.fetch("SELECT ?", (n,)) for n in range(5)))
    assert answers == [[(n,)] for n in range(5)]


async def test_a_hanging_handshake_is_bounded(address: MysqlAddress, opened: Callable[..., Any], line: Any) -> None:
    """A server that accepts and says nothing costs each caller the connect bound, not more."""
    line.is_silent = True
    silent = replace(address, unix_socket=None, host="127.0.0.1", port=line.port)
    database = await opened(silent, connect_timeout_s=0.3, pool_size=3)
    async with asyncio.timeout(10):
        began = time.monotonic()
        results = await asyncio.gather(*(database.fetch("SELECT 1") for _ in range(6)), return_exceptions=True)
        assert all(isinstance(result, Unavailable) for result in results)
        assert 0.3 <= time.monotonic() - began < 5
    assert line.accepted == 6


async def test_a_hanging_handshake_blocks_nobody_else(
    address: MysqlAddress, things: MysqlDatabase, opened: Callable[..., Any], line: Any
) -> None:
    """While one caller hangs in a handshake, another gets a free connection at once and leaves it again."""
    at_commit, go_on = asyncio.Event(), asyncio.Event()

    async def hold(moment: str) -> None:
        if moment == "before_commit":
            at_commit.set()
            await go_on.wait()

    through = replace(address, unix_socket=None, host="127.0.0.1", port=line.port)
    database = await opened(through, connect_timeout_s=2, pool_size=2, probe=hold)
    async with asyncio.timeout(10):
        busy = asyncio.create_task(database.apply([Write(ADD, ("d", 1))]))
        await at_commit.wait()
        line.is_silent = True
        hanging = asyncio.create_task(database.fetch("SELECT 1"))
        await line.has_silenced.wait()
        go_on.set()
        await busy
        for _ in range(20):
            assert await database.fetch("SELECT 2") == [(2,)]
        assert not hanging.done()
        with pytest.raises(Unavailable):
            await hanging


async def test_nobody_listening_is_unavailable_at_once(
    address: MysqlAddress, opened: Callable[..., Any], dead_port: Callable[[], int]
) -> None:
    """A refused connection and a missing socket are Unavailable, and the words say nothing secret."""
    refused = await opened(replace(address, unix_socket=None, host="127.0.0.1", port=dead_port()))
    missing = await opened(replace(address, unix_socket="/nonexistent/socket"))
    denied = await opened(replace(address, password="wrong-" + address.password))
    async with asyncio.timeout(5):
        for database in (refused, missing, denied):
            with pytest.raises(Unavailable) as caught:
                await database.fetch("SELECT 1")
            assert address.password not in str(caught.value)
    assert address.password not in repr(address)


async def test_a_server_that_speaks_something_else_is_unavailable(
    address: MysqlAddress, opened: Callable[..., Any]
) -> None:
    """A wrong port, with a web server or a mail server behind it, is told as an outage."""
    for greeting in (b"HTTP/1.1 400 Bad Request\r\n\r\n" * 50, b"220 mail ESMTP\r\n", b"\x01\x00\x00\x00\x0a", b""):

        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytes = greeting) -> None:
            writer.write(said)
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        database = await opened(replace(address, unix_socket=None, host="127.0.0.1", port=port), connect_timeout_s=1)
        async with asyncio.timeout(5):
            with pytest.raises(Unavailable):
                await database.fetch("SELECT 1")
        server.close()


async def test_demanded_tls_is_never_given_up(
    address: MysqlAddress, things: MysqlDatabase, opened: Callable[..., Any]
) -> None:
    """With a server that offers no TLS there is no connection rather than one in clear text."""
    database = await opened(replace(address, tls=ssl.create_default_context()))
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable, match="offers no TLS"):
            await database.apply([Write(ADD, ("d", 1))])
        assert await things.fetch(KEYS) == [("a",), ("b",), ("c",)]


async def test_a_full_server_is_unavailable(mariadb: MariaDb, opened: Callable[..., Any]) -> None:
    """One connection too many is an outage that passes."""
    limit = mariadb.execute("SELECT @@max_connections")[0][0]
    database = await opened(pool_size=40, connect_timeout_s=2)
    async with asyncio.timeout(10):
        await asyncio.to_thread(mariadb.execute, "SET GLOBAL max_connections = 10")
        try:
            calls = (database.fetch("SELECT SLEEP(0.2)") for _ in range(40))
            results = await asyncio.gather(*calls, return_exceptions=True)
        finally:
            await asyncio.to_thread(mariadb.execute, f"SET GLOBAL max_connections = {limit}")
        kinds = {type(result) for result in results}
        assert kinds == {list, Unavailable}
        assert await database.fetch("SELECT 1") == [(1,)]


async def test_the_pool_never_grows_beyond_its_size(
    mariadb: MariaDb, address: MysqlAddress, opened: Callable[..., Any]
) -> None:
    """Fifty callers share three connections, and all are served."""
    database = await opened(pool_size=3)
    async with asyncio.timeout(10):
        rows = await asyncio.gather(*(database.fetch("SELECT CONNECTION_ID()") for _ in range(50)))
        assert len({row[0] for row in rows}) <= 3
        assert len(mariadb.clients(address)) <= 3


async def test_waiting_for_a_connection_is_bounded(things: MysqlDatabase, opened: Callable[..., Any]) -> None:
    """With every connection busy a caller is told so in time, and served again when one is free."""
    at_commit, go_on = asyncio.Event(), asyncio.Event()

    async def hold(moment: str) -> None:
        if moment == "before_commit":
            at_commit.set()
            await go_on.wait()

    database = await opened(pool_size=1, acquire_timeout_s=0.1, probe=hold)
    async with asyncio.timeout(10):
        busy = asyncio.create_task(database.apply([Write(ADD, ("d", 1))]))
        await at_commit.wait()
        with pytest.raises(Unavailable, match="all 1 connections stayed busy"):
            await database.fetch(KEYS)
        go_on.set()
        await busy
        assert len(await database.fetch(KEYS)) == 4


async def test_a_connection_idle_for_too_long_is_replaced(address: MysqlAddress) -> None:
    """Firewalls forget idle connections; so the pool does it first."""
    now_s = [0.0]
    dial = partial(connect, address, connect_timeout_s=3, statement_timeout_s=3)
    pool = Pool(dial, size=2, acquire_timeout_s=1, monotonic_s=lambda: now_s[0])
    used: list[Connection] = []
    async with asyncio.timeout(10):
        for at_s in (0, 1000, 2000, 3801):
            now_s[0] = at_s
            async with pool.connection() as connection:
                used.append(connection)
        await pool.close()
    assert used[0] is used[1] is used[2]
    assert used[3] is not used[2]
