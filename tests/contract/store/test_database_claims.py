"""Claims: rows that workers share out among themselves."""

import asyncio
from collections import Counter

import pytest

from daemon.store.database import Claim, Write
from tests.conftest import AnyDatabase, Opener

JOB = "CREATE TABLE job (id VARCHAR(20) NOT NULL PRIMARY KEY, state INTEGER, holder VARCHAR(20)) {table_options}"
READ = "SELECT id, holder FROM job WHERE id IN ({ids}) ORDER BY id"


def claim(holder: str, limit: int) -> Claim:
    select = "SELECT id FROM job WHERE state = ? ORDER BY id LIMIT ?"
    return Claim(select, (0, limit), "UPDATE job SET state = ?, holder = ? WHERE id IN ({ids})", (1, holder), READ)


@pytest.fixture
async def jobs(empty_database: AnyDatabase) -> AnyDatabase:
    """An empty table of jobs."""
    await empty_database.apply([Write(JOB)])
    return empty_database


async def fill(database: AnyDatabase, count: int) -> None:
    insert = "INSERT INTO job (id, state) VALUES (?, ?)"
    await database.apply([Write(insert, (f"job-{n:05}", 0)) for n in range(count)])


async def test_a_claim_takes_updates_and_returns_its_rows_in_order(jobs: AnyDatabase) -> None:
    """The claimer gets the rows as updated; the others stay free."""
    async with asyncio.timeout(10):
        await fill(jobs, 3)
        assert await jobs.claim(claim("me", 2)) == [("job-00000", "me"), ("job-00001", "me")]
        assert await jobs.fetch("SELECT id FROM job WHERE state = 0") == [("job-00002",)]


async def test_a_claim_of_nothing_is_an_empty_list(jobs: AnyDatabase) -> None:
    """With nothing to claim, nothing is updated and no lock stays behind."""
    async with asyncio.timeout(10):
        assert await jobs.claim(claim("me", 5)) == []
        await fill(jobs, 1)
        assert await jobs.claim(claim("me", 5)) == [("job-00000", "me")]
        assert await jobs.claim(claim("me", 5)) == []


async def test_eight_workers_share_two_thousand_rows_each_once(open_database: Opener, jobs: AnyDatabase) -> None:
    """Two replicas with four workers each claim every row exactly once, and the table agrees on whose it is."""
    replicas = [jobs, await open_database()]
    taken: list[tuple[object, ...]] = []

    async def work(number: int) -> None:
        while rows := await replicas[number % 2].claim(claim(f"worker-{number}", 5)):
            taken.extend(rows)

    async with asyncio.timeout(60):
        await fill(jobs, 2000)
        async with asyncio.TaskGroup() as tasks:
            for number in range(8):
                tasks.create_task(work(number))
        table = await jobs.fetch("SELECT id, holder FROM job ORDER BY id")
    assert set(Counter(row[0] for row in taken).values()) == {1}
    assert sorted(taken) == table


async def test_claims_and_writes_of_the_same_rows_end_in_one_truth(open_database: Opener, jobs: AnyDatabase) -> None:
    """Workers that claim while others finish rows lose nothing: every row ends finished, by whom it was claimed."""
    other = await open_database()
    finish = "UPDATE job SET state = 2 WHERE id = ? AND holder = ?"

    async def work(number: int) -> None:
        database, holder = (jobs, other)[number % 2], f"worker-{number}"
        while rows := await database.claim(claim(holder, 3)):
            await database.apply([Write(finish, row, rows=1) for row in rows])

    async with asyncio.timeout(60):
        await fill(jobs, 200)
        async with asyncio.TaskGroup() as tasks:
            for number in range(6):
                tasks.create_task(work(number))
        assert await jobs.fetch("SELECT state, COUNT(*) FROM job GROUP BY state") == [(2, 200)]


async def test_a_cancelled_claim_leaves_every_row_free_or_held(jobs: AnyDatabase) -> None:
    """Cancelled at any moment, a claim is whole or did not happen, and no lock outlives it."""
    async with asyncio.timeout(30):
        await fill(jobs, 60)
        for turns in range(30):
            task = asyncio.create_task(jobs.claim(claim(f"t{turns:02}", 2)))
            for _ in range(turns % 10):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        # A server needs a moment to notice that a client has gone and to free its rows.
        while (await jobs.fetch("SELECT COUNT(*) FROM job WHERE state = 0")) != [(0,)]:
            await jobs.claim(claim("rest", 100))
        shares = await jobs.fetch("SELECT holder, COUNT(*) FROM job WHERE state = 1 GROUP BY holder")
    assert {count for holder, count in shares if holder != "rest"} <= {2}
