"""The parts of the HTTP edge that no server is needed for."""

import asyncio
from collections.abc import Callable

import pytest
from aiohttp.test_utils import make_mocked_request

from daemon.delivery import Rejection
from daemon.http.answers import Refusal
from daemon.http.caller import problems_of_headers, reference_of, robot_of
from daemon.http.delivery import HttpDelivery, status_of
from daemon.reading import read
from domain.messages import CreateStatusCheck
from handlers.routes import Origin, Route
from tests.edge import CALLS_IT, ROBOT, kong, wanted
from tests.parts import done
from tests.world import MORNING_MS

COMMAND = CreateStatusCheck.model_validate({"robotId": ROBOT, **wanted()})


def rejection(kind: str, reason: str = "because") -> Rejection:
    return Rejection(kind, reason, "handler", 1, 0, 0)


def delivery() -> HttpDelivery:
    return HttpDelivery.of(COMMAND, CALLS_IT, MORNING_MS)


async def test_a_request_is_read_as_the_command_that_a_queue_would_bring() -> None:
    """The same command, with the caller's reference, under an id that no other request has."""
    routes = {"status-check.create": Route(Origin.COMMAND, CreateStatusCheck, done)}
    messages = [read(delivery(), routes) for _ in range(2)]
    assert [message.command for message in messages] == [COMMAND, COMMAND]
    assert {(message.source, message.robot_id, message.call_ref) for message in messages} == {("http", ROBOT, CALLS_IT)}
    assert len({message.id for message in messages}) == 2


@pytest.mark.parametrize(
    ("kind", "reason", "status"),
    [
        ("invalid-data", "data: stepId: wrong", 400),
        ("invalid-envelope", "time: wrong", 400),
        ("far-future", "plannedAt lies more than a year ahead", 400),
        ("upstream-not-found", "micro-managers answered 404 when asked to read step 1 of robot 2: no", 404),
        ("upstream-not-found", "megazord answered 404 when asked to subscribe robot 2: no", 422),
        ("upstream-refused", "micro-managers answered 403 when asked to read step 1 of robot 2: no", 422),
        ("upstream-contract", "micro-managers broke the contract", 422),
        ("no-template", "no active template", 422),
        ("not-a-status-check", "of type say", 422),
        ("missing-branch", "no branch for fail", 422),
        ("too-large", "too large", 422),
        ("a-kind-to-come", "nobody knows yet", 422),
    ],
)
def test_a_rejection_is_told_by_whose_fault_it_is(kind: str, reason: str, status: int) -> None:
    """The caller's mistakes, a step that is not this robot's, and all that the caller can do nothing about."""
    assert status_of(rejection(kind, reason)) == status


async def test_only_the_first_end_of_a_request_is_told() -> None:
    """What fails after the answer is settled can't change it; a request that nobody settles is broken off."""
    settled, rejected, broken_off = delivery(), delivery(), delivery()
    await settled.ack()
    await settled.retry(5.0)
    settled.give_up()
    await rejected.reject(rejection("no-template", "no such template"))
    await rejected.retry(5.0)
    broken_off.give_up()
    ends = await asyncio.gather(settled.end, rejected.end, broken_off.end)
    assert [(str(end), end.status, end.after_s) for end in ends if end is not None] == [
        ("no such template", 422, None),
        ("broken off; ask again", 503, 1.0),
    ]
    assert ends[0] is None


async def test_who_waits_for_an_end_and_leaves_does_not_take_it_away() -> None:
    """A caller's cancelled wait leaves the delivery to be settled as it comes."""
    asked = delivery()
    waiting = asyncio.create_task(asyncio.wait_for(asyncio.shield(asked.end), 30))
    await asyncio.wait([waiting], timeout=0.01)
    waiting.cancel()
    await asyncio.wait([waiting])
    await asked.retry(7.5)
    end = await asked.end
    assert end is not None
    assert (end.status, end.after_s) == (503, 7.5)


@pytest.mark.parametrize("case", [str.lower, str.upper, str.title])
def test_the_names_of_headers_have_no_case(case: Callable[[str], str]) -> None:
    """Kong may spell its headers as it likes."""
    request = make_mocked_request("GET", "/", headers={case(name): value for name, value in kong().items()})
    assert problems_of_headers(request) == []
    assert (robot_of(request), reference_of(request)) == (ROBOT, CALLS_IT)


def test_a_user_s_headers_are_whole_and_yet_refused() -> None:
    """403 for good headers alone: with a bad one beside it the caller hears of that first."""
    user = {"x_consumer_username": "tinybots-users", "x_authenticated_scope": "user"}
    with pytest.raises(Refusal) as refused:
        problems_of_headers(make_mocked_request("GET", "/", headers=kong(**user)))
    assert refused.value.status == 403
    without_id = make_mocked_request("GET", "/", headers=kong(x_consumer_id=None, **user))
    assert problems_of_headers(without_id) == ["x-consumer-id: missing"]
