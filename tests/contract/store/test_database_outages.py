"""MariaDB at its worst: deadlocks, killed connections, lost commits, frozen and dead servers, hanging handshakes."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from pymysql.err import OperationalError

from daemon.probe import Probe
from daemon.store.database import Claim, Write
from daemon.store.mysql import MysqlAddress, MysqlDatabase
from daemon.store.mysql_connection import Connection, connect
from domain.errors import Conflict, Unavailable
from tests.mariadb import MariaDb

THING = "CREATE TABLE thing (k VARCHAR(64) NOT NULL PRIMARY KEY, n BIGINT) {table_options}"
ADD = "INSERT INTO thing (k, n) VALUES (?, ?)"
SET = "UPDATE thing SET n = ? WHERE k = ?"
MOVE = "UPDATE thing SET n = n + ? WHERE k = ?"
KEYS = "SELECT k FROM thing ORDER BY k"
STATUS = "SELECT variable_value FROM information_schema.global_status WHERE variable_name = '{}'"
SLEEPERS = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'robotd' AND info LIKE '%SLEEP%'"


@pytest.fixture
async def things(opened: Callable[..., Any]) -> MysqlDatabase:
    """A database with rows a, b and c, all 0."""
    database: MysqlDatabase = await opened()
    await database.apply([Write(THING), *(Write(ADD, (key, 0)) for key in "abc")])
    return database


@asynccontextmanager
async def rival(address: MysqlAddress) -> AsyncIterator[Connection]:
    """A connection of another replica, driven statement by statement."""
    connection = await connect(address, connect_timeout_s=3, statement_timeout_s=10)
    try:
        yield connection
    finally:
        await connection.quit()


async def until(server: MariaDb, sql: str, value: int) -> None:
    """Return when the query gives the number; the caller sets the bound."""
    while await asyncio.to_thread(number, server, sql) != value:
        pass


def number(server: MariaDb, sql: str) -> int:
    return int(server.execute(sql)[0][0])


async def one_waits_for_a_lock(server: MariaDb) -> None:
    await until(server, STATUS.format("innodb_row_lock_current_waits"), 1)


def at(moment: str, act: Callable[[], None]) -> Probe:
    async def probe(reached: str) -> None:
        if reached == moment:
            await asyncio.to_thread(act)

    return probe


async def test_every_connection_has_the_session_we_need(things: MysqlDatabase) -> None:
    """Isolation, lock waits, time zone, character set and bounds are ours, whatever the server's defaults are."""
    names = "tx_isolation autocommit innodb_lock_wait_timeout lock_wait_timeout time_zone character_set_connection"
    columns = ", ".join(f"@@{name}" for name in [*names.split(), "max_statement_time", "sql_mode"])
    async with asyncio.timeout(10):
        (row,) = await things.fetch(f"SELECT {columns}")
    assert row[:7] == ("READ-COMMITTED", 1, 3, 3, "+00:00", "utf8mb4", 10.0)
    assert "STRICT_TRANS_TABLES" in str(row[7])


async def test_a_deadlock_is_run_again_as_a_whole(
    mariadb: MariaDb, address: MysqlAddress, things: MysqlDatabase
) -> None:
    """Two transactions lock two rows in opposite order; the victim repeats all of itself and both effects stand."""
    deadlocks = STATUS.format("innodb_deadlocks")
    before = number(mariadb, deadlocks)
    async with asyncio.timeout(20), rival(address) as other, asyncio.TaskGroup() as tasks:
        # The server's victim is whoever changed less, so the rival changes a lot.
        heavy = ["INSERT INTO thing (k, n) VALUES (UUID(), 1)"] * 50
        await other.begin([*heavy, "UPDATE thing SET n = n + 10 WHERE k = 'b'"])
        moves = [Write(MOVE, (1, key), rows=1) for key in "ab"]
        ours = tasks.create_task(things.apply([Write(ADD, ("ours", 1)), *moves]))
        await one_waits_for_a_lock(mariadb)
        await other.run("UPDATE thing SET n = n + 10 WHERE k = 'a'")
        await other.commit()
        await ours
    assert await things.fetch("SELECT k, n FROM thing WHERE k IN ('a', 'b', 'ours') ORDER BY k") == [
        ("a", 11),
        ("b", 11),
        ("ours", 1),
    ]
    assert number(mariadb, deadlocks) == before + 1


async def test_a_lock_wait_is_given_up_and_run_again(
    mariadb: MariaDb, address: MysqlAddress, things: MysqlDatabase
) -> None:
    """A row held longer than the lock wait is waited for again, by the whole transaction."""
    waits = STATUS.format("innodb_row_lock_waits")
    before = number(mariadb, waits)
    async with asyncio.timeout(20), rival(address) as other, asyncio.TaskGroup() as tasks:
        await other.begin(["UPDATE thing SET n = 5 WHERE k = 'a'"])
        ours = tasks.create_task(things.apply([Write(MOVE, (1, "b")), Write(MOVE, (1, "a"), rows=1)]))
        await until(mariadb, waits, before + 2)
        await other.commit()
        await ours
        assert await things.fetch("SELECT k, n FROM thing ORDER BY k") == [("a", 6), ("b", 1), ("c", 0)]


async def test_who_gives_way_five_times_gets_a_conflict(things: MysqlDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rerunning is bounded, and the connection is well afterwards."""
    signal = "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'deadlock'"
    monkeypatch.setattr("daemon.store.mysql.PAUSE_S", (0.0, 0.001))
    async with asyncio.timeout(10):
        with pytest.raises(Conflict, match="gave way 5 times"):
            await things.apply([Write(MOVE, (1, "a")), Write(signal)])
        assert await things.fetch("SELECT SUM(n), (SELECT @@in_transaction) FROM thing") == [(0, 0)]


async def test_a_claim_skips_what_is_locked_without_waiting(address: MysqlAddress, things: MysqlDatabase) -> None:
    """A row that another replica holds locked is left to it, at once."""
    claim = Claim(
        "SELECT k FROM thing ORDER BY k LIMIT 3",
        (),
        "UPDATE thing SET n = 1 WHERE k IN ({ids})",
        (),
        "SELECT k FROM thing WHERE k IN ({ids}) ORDER BY k",
    )
    async with asyncio.timeout(10), rival(address) as other:
        await other.begin(["UPDATE thing SET n = 5 WHERE k = 'b'"])
        began = time.monotonic()
        assert await things.claim(claim) == [("a",), ("c",)]
        assert time.monotonic() - began < 1
        await other.rollback()


async def test_a_connection_killed_before_the_commit_is_unavailable_and_nothing_is_written(
    mariadb: MariaDb, address: MysqlAddress, things: MysqlDatabase, opened: Callable[..., Any]
) -> None:
    """The caller can't know; reading tells that it did not happen, and the next try works."""
    lives = ["the first"]

    def kill_once() -> None:
        if lives:
            lives.pop()
            mariadb.kill_clients(address)

    dying = await opened(probe=at("before_commit", kill_once))
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable):
            await dying.apply([Write(ADD, ("d", 1))])
        assert await dying.fetch(KEYS) == [("a",), ("b",), ("c",)]
        await dying.apply([Write(ADD, ("d", 1))])
        assert await things.fetch("SELECT n FROM thing WHERE k = 'd'") == [(1,)]


async def test_a_connection_killed_while_it_waits_is_unavailable(
    mariadb: MariaDb, address: MysqlAddress, things: MysqlDatabase
) -> None:
    """Killed in the middle of a statement, a transaction leaves nothing behind."""
    async with asyncio.timeout(10), rival(replace(address, database="information_schema")) as other:
        await other.begin(["UPDATE @.thing SET n = 5 WHERE k = 'a'".replace("@", address.database)])
        ours = asyncio.create_task(things.apply([Write(MOVE, (1, "b")), Write(MOVE, (1, "a"))]))
        await one_waits_for_a_lock(mariadb)
        await asyncio.to_thread(mariadb.kill_clients, address)
        with pytest.raises(Unavailable):
            await ours
        await other.rollback()
        assert await things.fetch("SELECT SUM(n) FROM thing") == [(0,)]


async def test_a_server_that_dies_before_the_commit_is_unavailable_until_it_is_back(
    mariadb: MariaDb, things: MysqlDatabase, opened: Callable[..., Any]
) -> None:
    """Killed under an open transaction it is Unavailable; restarted, the same object works and nothing was written."""
    dying = await opened(probe=at("before_commit", mariadb.kill))
    async with asyncio.timeout(30):
        with pytest.raises(Unavailable):
            await dying.apply([Write(ADD, ("d", 1))])
        with pytest.raises(Unavailable):
            await things.fetch(KEYS)
        with pytest.raises(Unavailable):
            await things.apply([Write(ADD, ("e", 1))])
        await asyncio.to_thread(mariadb.restart)
        assert await things.fetch(KEYS) == await dying.fetch(KEYS) == [("a",), ("b",), ("c",)]
        await things.apply([Write(ADD, ("d", 1))])


async def test_a_server_that_dies_after_the_commit_has_kept_it(
    mariadb: MariaDb, things: MysqlDatabase, opened: Callable[..., Any]
) -> None:
    """A commit that was answered is there after kill -9 and restart."""
    dying = await opened(probe=at("after_commit", mariadb.kill))
    async with asyncio.timeout(30):
        await dying.apply([Write(ADD, ("d", 1))])
        await asyncio.to_thread(mariadb.restart)
        assert await things.fetch(KEYS) == [("a",), ("b",), ("c",), ("d",)]


class Load:
    """Writers of pairs of rows, which rest while the server is known to be down."""

    def __init__(self, database: MysqlDatabase) -> None:
        self.database = database
        self.tried: set[str] = set()
        self.acked: asyncio.Queue[str] = asyncio.Queue()
        self.is_up = asyncio.Event()
        self.is_done = False

    async def write(self) -> None:
        while not self.is_done:
            await self.is_up.wait()
            key = f"pair-{len(self.tried)}"
            self.tried.add(key)
            with suppress(Unavailable):
                await self.database.apply([Write(ADD, (f"{key}-one", 1)), Write(ADD, (f"{key}-two", 1))])
                self.acked.put_nowait(key)


async def test_no_answered_commit_is_lost_when_the_server_dies_under_load(
    mariadb: MariaDb, things: MysqlDatabase
) -> None:
    """Eight writers through three kills: successes are there, failures are Unavailable, nothing is there by half."""
    load = Load(things)
    acked: set[str] = set()
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(load.write())
        for _ in range(3):
            load.is_up.set()
            acked |= {await load.acked.get() for _ in range(50)}
            load.is_up.clear()
            await asyncio.to_thread(mariadb.kill)
            await asyncio.to_thread(mariadb.restart)
        load.is_done = True
        load.is_up.set()
    acked |= {load.acked.get_nowait() for _ in range(load.acked.qsize())}
    found = {str(key) for (key,) in await things.fetch("SELECT k FROM thing WHERE k LIKE ?", ("pair-%",))}
    assert acked <= {key.removesuffix("-one") for key in found if key.endswith("-one")} <= load.tried
    assert found == {key[:-3] + end for key in found for end in ("one", "two")}


async def test_a_commit_whose_answer_is_lost_is_unavailable_although_it_happened(
    address: MysqlAddress, things: MysqlDatabase, opened: Callable[..., Any], line: Any
) -> None:
    """The server committed, the answer got lost: Unavailable, the truth is found by reading, a repeat is a Conflict."""
    database = await opened(replace(address, unix_socket=None, host="127.0.0.1", port=line.port))
    async with asyncio.timeout(10):
        await database.fetch("SELECT 1")
        line.is_losing_commit_answers = True
        with pytest.raises(Unavailable):
            await database.apply([Write(ADD, ("d", 1))])
        line.is_losing_commit_answers = False
        assert await database.fetch("SELECT n FROM thing WHERE k = 'd'") == [(1,)]
        with pytest.raises(Conflict):
            await database.apply([Write(ADD, ("d", 1))])


class RefusedCommit:
    """Stands for aiomysql where the server answers a COMMIT with an error, as a cluster does."""

    closed = False
    rowcount = 0

    def __init__(self, code: int) -> None:
        self.code = code

    def get_server_info(self) -> str:
        return "8.0.40"

    async def execute(self, _text: bytes) -> None:
        raise OperationalError(self.code, "refused")

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("code", [1062, 1180, 1205, 1213, 3100])
async def test_a_commit_that_the_server_refuses_is_unavailable_and_never_run_again(code: int) -> None:
    """Whatever the error says, a failed commit is in doubt: no Conflict, no second run, no reuse."""
    raw = RefusedCommit(code)
    connection = Connection(raw, raw, 1.0)
    with pytest.raises(Unavailable):
        await connection.commit()
    assert connection.is_closed


async def test_a_statement_that_takes_too_long_undoes_its_transaction(
    things: MysqlDatabase, opened: Callable[..., Any]
) -> None:
    """Given up in the middle, a transaction leaves nothing."""
    slow = await opened(statement_timeout_s=0.2)
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable):
            await slow.apply([Write(ADD, ("d", 1)), Write("SELECT SLEEP(5) FROM thing")])
        assert await things.fetch(KEYS) == [("a",), ("b",), ("c",)]


async def test_a_frozen_server_is_given_up_in_time_and_taken_back(
    mariadb: MariaDb, things: MysqlDatabase, opened: Callable[..., Any]
) -> None:
    """SIGSTOP: open connections and new ones fail within their bounds; SIGCONT: the same object works."""
    database = await opened(statement_timeout_s=0.3, connect_timeout_s=1)
    async with asyncio.timeout(20):
        await database.fetch(KEYS)
        mariadb.pause()
        began = time.monotonic()
        for _ in range(2):
            with pytest.raises(Unavailable):
                await database.fetch(KEYS)
        assert time.monotonic() - began < 6
        mariadb.resume()
        while True:
            with suppress(Unavailable):
                assert await database.fetch(KEYS) == [("a",), ("b",), ("c",)]
                break


async def test_a_holder_that_freezes_inside_a_transaction_is_thrown_out(
    things: MysqlDatabase, opened: Callable[..., Any]
) -> None:
    """Its locks don't outlive the bound: the others go on, and it finds its connection gone instead of committing."""
    frozen = await opened(statement_timeout_s=0.5)
    change = Write("UPDATE thing SET n = ? WHERE k = ?", (7, "a"), rows=1)
    async with asyncio.timeout(10):
        async with frozen._pool.connection() as held:
            await held.begin(["UPDATE thing SET n = 5 WHERE k = 'a'"])
            await things.apply([change])
            with pytest.raises(Unavailable):
                await held.commit()
        assert await things.fetch("SELECT n FROM thing WHERE k = 'a'") == [(7,)]


async def test_a_slow_statement_is_ended_by_the_server_too(
    mariadb: MariaDb, address: MysqlAddress, things: MysqlDatabase, opened: Callable[..., Any]
) -> None:
    """What we gave up on doesn't go on holding locks at the server."""
    database = await opened(statement_timeout_s=0.2)
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable):
            await database.fetch("SELECT k, SLEEP(5) FROM thing FOR UPDATE")
        await until(mariadb, SLEEPERS, 0)
        assert await database.fetch("SELECT 1") == [(1,)]


async def test_a_server_turned_read_only_is_unavailable_on_a_new_connection_each_time(
    mariadb: MariaDb, things: MysqlDatabase
) -> None:
    """After a failover the old writer refuses writes: its connection is dropped, and the name looked up again."""
    async with asyncio.timeout(10):
        await asyncio.to_thread(mariadb.execute, "SET GLOBAL read_only = 1")
        before = await things.fetch("SELECT CONNECTION_ID()")
        with pytest.raises(Unavailable):
            await things.apply([Write(ADD, ("d", 1))])
        assert await things.fetch("SELECT CONNECTION_ID()") != before
        await asyncio.to_thread(mariadb.execute, "SET GLOBAL read_only = 0")
        await things.apply([Write(ADD, ("d", 1))])


async def test_a_transaction_cancelled_before_its_commit_lets_go_of_its_locks(
    things: MysqlDatabase, opened: Callable[..., Any]
) -> None:
    """The connection is dropped with the transaction, and its rows are free at once."""
    at_commit = asyncio.Event()

    async def hold(moment: str) -> None:
        if moment == "before_commit":
            at_commit.set()
            await asyncio.Event().wait()

    database = await opened(probe=hold, pool_size=1)
    async with asyncio.timeout(10):
        task = asyncio.create_task(database.apply([Write(SET, (9, "a"), rows=1)]))
        await at_commit.wait()
        task.cancel()
        await asyncio.wait([task])
        began = time.monotonic()
        await things.apply([Write(MOVE, (1, "a"), rows=1)])
        assert time.monotonic() - began < 1
        assert await database.fetch("SELECT n FROM thing WHERE k = 'a'") == [(1,)]


async def test_random_kills_of_connections_never_mix_answers(
    mariadb: MariaDb, address: MysqlAddress, things: MysqlDatabase
) -> None:
    """While connections are killed at random, each answer is the right one or Unavailable."""
    chance = random.Random(11)
    outcomes: list[bool] = []
    done = asyncio.Event()

    async def ask() -> None:
        while not done.is_set():
            n = chance.randrange(10**9)
            try:
                assert await things.fetch("SELECT ?", (n,)) == [(n,)]
                outcomes.append(True)
            except Unavailable:
                outcomes.append(False)

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(ask())
        for _ in range(5):
            await asyncio.to_thread(mariadb.kill_clients, address)
        done.set()
    assert outcomes.count(True) > 50
