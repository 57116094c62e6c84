"""Every test of this folder runs against our server and against moto's, through the same client."""

import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from moto.server import ThreadedMotoServer

from localstack.sqs import SqsServer
from tests.contract.queue.sqs import Connect, Sqs, in_real_time

OURS, MOTO = "ours", "moto"

# Where moto is known to be kinder than, or different from, AWS. The day it is not, the test says so: strict.
# A test by its name, or one case of it with its parameters.
MOTO_DEVIATIONS: dict[str, str] = {
    "test_forbidden_characters_are_refused": "takes any character",
    "test_a_forbidden_character_fails_its_entry_of_a_batch_alone": "takes any character",
    "test_an_empty_body_is_refused": "takes an empty body",
    "test_attributes_count_towards_the_limit": "measures the body alone",
    "test_an_eleventh_message_attribute_is_refused": "takes any number of attributes",
    "test_a_number_attribute_must_be_a_number": "takes any text as a number",
    "test_attributes_out_of_range_are_refused": "takes any number in SetQueueAttributes",
    "test_a_dead_letter_names_the_queue_that_it_came_from": "has no DeadLetterQueueSourceArn",
    "test_repeated_ids_fail_the_whole_batch[change]": "takes repeated ids in ChangeMessageVisibilityBatch",
    "test_a_message_that_came_back_can_no_longer_be_extended": "extends a message that is visible again",
    "test_a_message_that_another_received_can_no_longer_be_extended": "extends by an outdated receipt handle",
    "test_a_deleted_message_cannot_be_extended": "answers ReceiptHandleIsInvalid for a deleted message",
    "test_a_delete_by_an_outdated_handle_succeeds_and_keeps_the_message": "deletes by an outdated receipt handle",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is, and how its time passes."""

    url: str
    elapse: Callable[[int], int]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not isinstance(item, pytest.Function) or f"[{MOTO}" not in item.name:
            continue
        case = item.name.replace(f"[{MOTO}-", "[")
        reason = MOTO_DEVIATIONS.get(case) or MOTO_DEVIATIONS.get(item.originalname)
        if reason is not None:
            item.add_marker(pytest.mark.xfail(strict=True, reason=f"moto {reason}"))


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """One moto for the whole session; each test makes queues of its own in it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture(scope="session")
def session() -> AioSession:
    """One session, so that the service model is read from disk once."""
    return get_session()


@pytest.fixture
async def server() -> AsyncIterator[SqsServer]:
    """Our server, for the tests that are about it alone."""
    async with SqsServer() as server:
        yield server


@pytest.fixture
def connect(session: AioSession) -> Connect:
    """Make clients: one attempt for each call, so that the server's answer is what is seen."""

    @asynccontextmanager
    async def open_client(
        url: str, read_timeout_s: float = 25.0, elapse: Callable[[int], int] = in_real_time
    ) -> AsyncIterator[Sqs]:
        config = AioConfig(
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=3,
            read_timeout=read_timeout_s,
            max_pool_connections=50,
        )
        async with session.create_client(
            "sqs",
            region_name="us-east-1",
            endpoint_url=url,
            aws_access_key_id=secrets.token_hex(8),
            aws_secret_access_key=secrets.token_hex(16),
            config=config,
        ) as client:
            yield Sqs(client, elapse)

    return open_client


@pytest.fixture(params=[OURS, MOTO])
async def endpoint(request: pytest.FixtureRequest) -> AsyncIterator[Endpoint]:
    """A server: ours, fresh for the test and with a clock to turn, and moto's."""
    if request.param == MOTO:
        yield Endpoint(request.getfixturevalue("moto_url"), in_real_time)
        return
    ahead_s = 0
    async with SqsServer(clock=lambda: time.time() + ahead_s) as fresh:

        def elapse(seconds: int) -> int:
            nonlocal ahead_s
            ahead_s += seconds
            fresh.tick()
            return 0

        yield Endpoint(fresh.url, elapse)


@pytest.fixture
async def sqs(connect: Connect, endpoint: Endpoint) -> AsyncIterator[Sqs]:
    """A client of either server."""
    async with connect(endpoint.url, elapse=endpoint.elapse) as sqs:
        yield sqs


@pytest.fixture
async def ours(connect: Connect, server: SqsServer) -> AsyncIterator[Sqs]:
    """A client of our server."""
    async with connect(server.url) as sqs:
        yield sqs
