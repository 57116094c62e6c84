"""The gate: closed only for the database, each loss and each return said once."""

import asyncio

from structlog.testing import capture_logs

from daemon.gate import Gate
from domain.errors import Unavailable


async def test_each_loss_and_each_return_is_said_once() -> None:
    """Ten reports of one loss are one line; a return without a loss is none."""
    gate = Gate()
    with capture_logs() as logs:
        gate.restored("sqs")
        for _ in range(10):
            gate.lost("sqs", "refused")
        gate.lost("database", "gone")
        assert gate.missing == {"sqs", "database"}
        for _ in range(3):
            gate.restored("sqs")
            gate.restored("database")
    assert [(line["event"], line["dependency"]) for line in logs] == [
        ("dependency.lost", "sqs"),
        ("dependency.lost", "database"),
        ("dependency.restored", "sqs"),
        ("dependency.restored", "database"),
    ]
    assert gate.missing == frozenset()


async def test_only_the_database_closes_it() -> None:
    """Without a neighbour or SQS other work goes on."""
    gate = Gate()
    gate.lost("megazord", "down")
    gate.lost("sqs", "down")
    async with asyncio.timeout(1):
        await gate.wait()
    gate.lost("database", "down")
    waiting = asyncio.create_task(gate.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    gate.restored("database")
    async with asyncio.timeout(1):
        await waiting


async def test_the_database_is_asked_until_it_answers() -> None:
    """Two refusals, then an answer opens the gate; it is not asked while nothing is lost."""
    gate, answers = Gate(), [Unavailable("database", "1"), Unavailable("database", "2"), None]
    asked: list[int] = []

    async def ping() -> None:
        asked.append(1)
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    probing = asyncio.create_task(gate.probe_database(ping))
    await asyncio.sleep(0)
    assert asked == []
    gate.lost("database", "gone")
    async with asyncio.timeout(5):
        await gate.wait()
    probing.cancel()
    await asyncio.wait([probing])
    assert len(asked) == 3


async def test_a_database_that_answers_but_fails_work_does_not_make_a_hot_loop() -> None:
    """The ping succeeds, the work fails again at once (read-only, disk full): a few rounds, not thousands."""
    gate, rounds = Gate(), 0

    async def ping() -> None:
        return None

    probing = asyncio.create_task(gate.probe_database(ping))
    try:
        async with asyncio.timeout(0.7):
            while True:
                gate.lost("database", "read-only")
                await gate.wait()
                rounds += 1
    except TimeoutError:
        pass
    probing.cancel()
    await asyncio.wait([probing])
    assert rounds <= 2


async def test_the_end_of_the_process_lets_everybody_go() -> None:
    """Also those who come later, and although the database stays lost."""
    gate = Gate()
    gate.lost("database", "gone")
    waiting = asyncio.create_task(gate.wait())
    await asyncio.sleep(0)
    gate.end()
    async with asyncio.timeout(1):
        await waiting
        gate.restored("database")
        gate.lost("database", "gone again")
        await gate.wait()
