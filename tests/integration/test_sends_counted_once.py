"""What is sent to SQS is sent once for each time that it is tried, and each try is counted once."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from daemon.opening import open_sqs
from daemon.sqs import Outgoing
from daemon.store.mysql import MysqlAddress
from domain.errors import Unavailable
from tests.mariadb import MariaDb
from tests.world import MORNING_MS, World, create_command, world

ROBOT, STEP = 61001, 88120
Place = Path | MysqlAddress


@pytest.fixture(params=["sqlite", "mariadb"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A fresh database on each engine."""
    if request.param == "sqlite":
        return tmp_path / "robotd.db"
    server: MariaDb = request.getfixturevalue("mariadb")
    return server.new_database()


@dataclass(slots=True)
class Counted:
    """Counts the requests that reach a queue server, by operation; after `trouble_ends_after` sends the fault ends."""

    home: World
    trouble_ends_after: int | None = None
    seen: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> Self:
        service = self.home.sqs._service
        begin: Callable[..., None] = service.begin

        def counted(target: str, body: bytes, line: object) -> None:
            operation = target.rpartition(".")[2]
            if operation == "SendMessageBatch" and self.seen[operation] == self.trouble_ends_after:
                self.home.sqs.faults.error = self.home.sqs.faults.reset = self.home.sqs.faults.throttle = 0.0
            self.seen[operation] += 1
            begin(target, body, line)

        service.begin = counted  # type: ignore[method-assign]  # what a client sends is known to the server alone
        return self

    def __exit__(self, *error: object) -> None:
        del self.home.sqs._service.begin


@pytest.mark.parametrize("fault", ["error", "reset", "throttle"])
async def test_one_send_is_one_request_however_it_fails(tmp_path: Path, fault: str) -> None:
    """The library repeated what its caller repeated too, so half of the attempts went uncounted: it sends once."""
    async with world(tmp_path / "robotd.db") as home:
        home.sqs.create_queue("somewhere")
        setattr(home.sqs.faults, fault, 1.0)
        home.sqs.faults.only = frozenset({"SendMessageBatch"})
        async with open_sqs(home.settings) as sqs:
            with Counted(home) as requests:
                for _ in range(3):
                    with pytest.raises(Unavailable):
                        await sqs.send("somewhere", [Outgoing("text", {})])
        assert requests.seen["SendMessageBatch"] == 3
        assert home.sqs.bodies("somewhere") == []


@pytest.mark.parametrize("fault", ["error", "reset", "throttle"])
async def test_each_try_to_tell_a_robot_is_counted_once(place: Place, fault: str) -> None:
    """Three tries fail, the fourth arrives: four requests, counted 0, 1, 2, 3 before them, and one word is told."""
    pace = {"sweep_every_s": 0.1, "missing_queue_backoff_first_s": 0.1}
    counts: list[int] = []
    async with world(place, relay=pace) as home:

        async def before_each_try(point: str) -> None:
            if point == "relay_before_send":
                ((attempts,),) = await home.database.fetch("SELECT attempts FROM outbox")
                counts.append(int(attempts or 0))

        home.managers.add_step(ROBOT, STEP, "CLIENT_AT_HOME")
        home.sqs.create_queue(f"{home.settings.queues.robot_prefix}{ROBOT}")
        setattr(home.sqs.faults, fault, 1.0)
        home.sqs.faults.only = frozenset({"SendMessageBatch"})
        with Counted(home, trouble_ends_after=3) as requests:
            async with home.running(before_each_try):
                home.sqs.send(home.settings.queues.commands, create_command(ROBOT, STEP, 77001, MORNING_MS))
                await home.quiet(40)
        assert requests.seen["SendMessageBatch"] == 4
        assert counts == [0, 1, 2, 3]
        assert [result["payload"]["phase"] for result in home.results(ROBOT)] == ["COMPLETED"]
        assert await home.leftovers() == {}
