"""The queues that `robotd queues ensure` leaves behind, on our server and on moto."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from daemon import topology
from daemon.opening import open_sqs
from daemon.settings import Settings
from daemon.settings_campaigns import WahaSettings
from daemon.sqs import QueueMissing, Sqs
from localstack.sqs import SqsServer
from tests.world import settings_for


@pytest.fixture(params=["ours", "moto"])
async def settings(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Settings]:
    nobody = "http://127.0.0.1:9"
    if request.param == "ours":
        async with SqsServer() as server:
            yield settings_for(server.url, nobody, nobody, tmp_path / "robotd.db")
        return
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    await asyncio.to_thread(moto.start)
    host, port = moto.get_host_and_port()
    yield settings_for(f"http://{host}:{port}", nobody, nobody, tmp_path / "robotd.db")
    await asyncio.to_thread(moto.stop)


@pytest.fixture
async def sqs(settings: Settings) -> AsyncIterator[Sqs]:
    async with open_sqs(settings) as opened:
        yield opened
        for spec in topology.topology(settings):  # moto keeps its queues for the whole process
            try:
                await opened._calls.delete_queue(QueueUrl=await opened.url(spec.name))
            except QueueMissing:
                continue


async def test_ensure_creates_every_queue_once(settings: Settings, sqs: Sqs) -> None:
    """The first run creates five, dead-letter queues first; the second has nothing to do."""
    specs = topology.topology(settings)
    assert [spec.name for spec in specs] == [
        "robotd-commands-dlq",
        "status-queue-robotd-dlq",
        "robotd-timers-dlq",
        "robotd-commands",
        "status-queue-robotd",
    ]
    assert await topology.ensure(sqs, specs) == [f"created {spec.name}" for spec in specs]
    assert await topology.ensure(sqs, specs) == []


async def test_the_queue_of_webhooks_is_one_more_where_it_is_named(settings: Settings) -> None:
    """With its own dead-letter queue, ahead of it."""
    waha = WahaSettings(base_url="http://waha", events_queue="waha-events", webhook_key=SecretStr("k"))
    specs = topology.topology(settings.model_copy(update={"waha": waha}))
    found = {spec.name: spec.dead_letters for spec in specs}
    assert (found["waha-events-dlq"], found["waha-events"]) == (None, "waha-events-dlq")
    assert list(found).index("waha-events-dlq") < list(found).index("waha-events")
    assert len(specs) == 7


async def test_the_queues_are_as_the_topology_says(settings: Settings, sqs: Sqs) -> None:
    """Visibility, retention of fourteen days, and the redrive policy to the dead-letter queue of the same name."""
    specs = topology.topology(settings)
    await topology.ensure(sqs, specs)
    for spec in specs:
        found = await sqs.attributes(spec.name)
        assert (found["VisibilityTimeout"], found["MessageRetentionPeriod"]) == ("30", "1209600")
        if spec.dead_letters is None:
            assert "RedrivePolicy" not in found
            continue
        policy = json.loads(found["RedrivePolicy"])
        assert policy["deadLetterTargetArn"] == (await sqs.attributes(spec.dead_letters))["QueueArn"]
        assert int(policy["maxReceiveCount"]) == 1000


async def test_ensure_corrects_what_differs_and_only_that(settings: Settings, sqs: Sqs) -> None:
    """A queue made by hand keeps its messages and gets the attributes that it should have."""
    specs = topology.topology(settings)
    await sqs.create("robotd-commands", {"VisibilityTimeout": "7", "MessageRetentionPeriod": "1209600"})
    done = await topology.ensure(sqs, specs)
    assert "changed RedrivePolicy, VisibilityTimeout of robotd-commands" in done
    assert await topology.ensure(sqs, specs) == []
    assert (await sqs.attributes("robotd-commands"))["VisibilityTimeout"] == "30"


async def test_states_tell_missing_queues_from_empty_ones(settings: Settings, sqs: Sqs) -> None:
    """Before `ensure` there are no numbers, afterwards zeros."""
    specs = topology.topology(settings)
    assert {state.ready for state in await topology.states(sqs, specs)} == {None}
    await topology.ensure(sqs, specs)
    counts = [(state.ready, state.in_flight, state.delayed) for state in await topology.states(sqs, specs)]
    assert counts == [(0, 0, 0)] * 5
