"""A table to write to on each engine, and a line to MariaDB that can fall silent or lose an answer."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest

from daemon.store.database import Write
from daemon.store.mysql import MysqlAddress, MysqlDatabase
from tests.conftest import AnyDatabase
from tests.mariadb import MariaDb

THING = "CREATE TABLE thing (k VARCHAR(190) NOT NULL PRIMARY KEY, n BIGINT, body MEDIUMTEXT, data BLOB) {table_options}"
PART = """
CREATE TABLE part (
    k VARCHAR(64) NOT NULL PRIMARY KEY,
    thing VARCHAR(190) NOT NULL,
    FOREIGN KEY (thing) REFERENCES thing (k)
) {table_options}
"""
COMMIT_PACKET = b"\x07\x00\x00\x00\x03COMMIT"


@pytest.fixture
async def things(empty_database: AnyDatabase) -> AnyDatabase:
    """A database with the tables `thing` and `part`."""
    await empty_database.apply([Write(THING), Write(PART)])
    return empty_database


class Line:
    """A TCP way to the server's socket, with the faults of a network."""

    def __init__(self, target: str) -> None:
        self.is_silent = False
        self.is_losing_commit_answers = False
        self.port = 0
        self.accepted = 0
        self.has_silenced = asyncio.Event()
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        try:
            if self.is_silent:
                self.has_silenced.set()
                await reader.read()
            else:
                await self._forward(reader, writer)
        finally:
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self._target)
        answers = asyncio.create_task(_copy(server_reader, writer))
        try:
            while data := await reader.read(65536):
                if self.is_losing_commit_answers and data == COMMIT_PACKET:
                    answers.cancel()
                    await asyncio.wait([answers])
                    server_writer.write(data)
                    await server_reader.read(1)
                    return
                server_writer.write(data)
        finally:
            answers.cancel()
            server_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@pytest.fixture
async def line(mariadb: MariaDb) -> AsyncIterator[Line]:
    """A line to the private MariaDB."""
    line = Line(mariadb.socket_path)
    await line.open()
    yield line
    await line.close()


@pytest.fixture
def dead_port() -> Callable[[], int]:
    """Ports on which nobody listens."""

    def free() -> int:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            return int(listener.getsockname()[1])

    return free


@pytest.fixture
def address(mariadb: MariaDb) -> Iterator[MysqlAddress]:
    """A fresh MariaDB database; the server is made well again whatever a test did to it."""
    address = mariadb.new_database()
    yield address
    mariadb.heal()
    mariadb.drop(address)


@pytest.fixture
async def opened(address: MysqlAddress) -> AsyncIterator[Callable[..., Any]]:
    """Open databases on `address` with the options under test; closes them."""
    async with AsyncExitStack() as stack:

        async def open_one(at: MysqlAddress = address, **options: Any) -> MysqlDatabase:
            database = await MysqlDatabase.open(at, **options)
            stack.push_async_callback(database.close)
            return database

        yield open_one
