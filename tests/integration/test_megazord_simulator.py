"""The Megazord simulator behaves as Megazord is documented to, over real HTTP and real SQS."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from localstack.clock import ManualClock
from localstack.faults import FAN_OUT, Fault, FaultKind, FaultPlan, When
from localstack.megazord import MegazordSimulator
from localstack.megazord_records import EVENT_TYPE_IDS, LEVELS, Fate
from localstack.sqs import SqsServer
from localstack.sqs_sender import SendFailed, SqsSender

START_MS = 1764060013_750  # 2025-11-25T08:40:13.750Z
ROBOT = 61001
ROBOT_PATH = f"/internal/v1/events/robots/{ROBOT}"
TOILET = {"providerName": "Sensara", "eventName": "TOILET_ACTIVITY"}
ROOT = Path(__file__).parents[2]


@dataclass
class Queues:
    """Queues in memory, to look at what was sent."""

    names: set[str] = field(default_factory=lambda: {"status-queue", "status-queue-azi-4"})
    sent: list[tuple[str, dict[str, Any], Mapping[str, str]]] = field(default_factory=list)
    is_down: bool = False

    async def send(self, queue_name: str, body: str, attributes: Mapping[str, str]) -> bool:
        if self.is_down:
            raise SendFailed(queue_name)
        if queue_name not in self.names:
            return False
        self.sent.append((queue_name, json.loads(body), attributes))
        return True


@pytest.fixture
def queues() -> Queues:
    return Queues()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_MS)


@pytest.fixture
async def megazord(queues: Queues, clock: ManualClock) -> AsyncIterator[MegazordSimulator]:
    async with MegazordSimulator(queues, clock) as simulator:
        yield simulator


@pytest.fixture
async def http(megazord: MegazordSimulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=megazord.url, timeout=5) as client:
        yield client


async def subscribe(http: httpx.AsyncClient, **body: object) -> httpx.Response:
    return await http.post(f"{ROBOT_PATH}/subscriptions", json={"eventNames": ["TOILET_ACTIVITY"]} | body)


async def test_an_event_gets_its_schemas_level_and_a_time_cut_to_the_second(http: httpx.AsyncClient) -> None:
    """Megazord stamps events itself, with a precision of one second, and knows each event's usual level."""
    answer = await http.post(f"{ROBOT_PATH}/incomings", json=TOILET | {"referenceId": "1764060012345-0"})

    assert answer.status_code == 201
    assert answer.json() == {
        "id": 912001,
        "robotId": ROBOT,
        "eventTypeId": EVENT_TYPE_IDS["TOILET_ACTIVITY"],
        "eventName": "TOILET_ACTIVITY",
        "level": 10,
        "providerId": 2,
        "providerName": "Sensara",
        "referenceId": "1764060012345-0",
        "createdAt": "2025-11-25T08:40:13.000Z",
        "updatedAt": "2025-11-25T08:40:13.000Z",
    }


def test_all_forty_schemas_are_known_with_their_levels() -> None:
    """There are 40 events of homes, 22 of them rooms apart from the bed, and the roll call; two are urgent."""
    assert len(LEVELS.keys() - {"SUBSCRIPTION_ROLL_CALL"}) == 40
    assert {name for name, level in LEVELS.items() if level == 5} == {"SHORT_INACTIVITY", "SUSPICIOUS_INACTIVITY"}
    assert set(LEVELS.values()) == {5, 10}
    assert len([name for name in LEVELS if name.startswith("IN_") and name != "IN_BED"]) == 22


@pytest.mark.parametrize("wrong", [{"providerName": "Nobody"}, {"eventName": "FALL_DETECTED"}])
async def test_an_unknown_provider_or_event_is_not_found(
    http: httpx.AsyncClient, megazord: MegazordSimulator, wrong: dict[str, str]
) -> None:
    """Names that are in no table are answered with 404 and store nothing."""
    answer = await http.post(f"{ROBOT_PATH}/incomings", json=TOILET | wrong)

    assert answer.status_code == 404
    assert megazord.incoming == []


@pytest.mark.parametrize(
    "body",
    [
        TOILET | {"level": "WARNING"},
        TOILET | {"level": True},
        TOILET | {"level": 256},
        TOILET | {"payload": {"windowStart": "08:00"}},
        TOILET | {"referenceId": "r" * 257},
        {"providerName": "Sensara"},
        [],
    ],
)
async def test_a_bad_event_is_refused(http: httpx.AsyncClient, megazord: MegazordSimulator, body: object) -> None:
    """A level that is no small number, a payload, a missing name: 400, and nothing is stored."""
    answer = await http.post(f"{ROBOT_PATH}/incomings", json=body)

    assert answer.status_code == 400
    assert megazord.incoming == []


async def test_a_query_includes_the_second_it_starts_at(http: httpx.AsyncClient, megazord: MegazordSimulator) -> None:
    """`created_since` is in Unix seconds and inclusive; events before it, of other names and robots stay out."""
    at_s = START_MS // 1000
    for created_s in (at_s - 1, at_s, at_s + 1):
        await megazord.post_event(ROBOT, "TOILET_ACTIVITY", created_at_ms=created_s * 1000 + 999)
    await megazord.post_event(ROBOT, "IN_TOILET")
    await megazord.post_event(ROBOT + 1, "TOILET_ACTIVITY")

    since: dict[str, str | int] = {"event_name": "TOILET_ACTIVITY", "created_since": at_s}
    named = (await http.get(f"{ROBOT_PATH}/incomings", params=since)).json()
    everything = (await http.get(f"{ROBOT_PATH}/incomings")).json()

    assert {event["id"] for event in named} == {912002, 912003}
    assert {event["id"] for event in everything} == {912001, 912002, 912003, 912004}


async def test_a_query_since_something_else_than_seconds_is_refused(http: httpx.AsyncClient) -> None:
    """An ISO time in `created_since` is a bad request, not an empty answer."""
    answer = await http.get(f"{ROBOT_PATH}/incomings", params={"created_since": "2025-11-25T08:40:00Z"})

    assert answer.status_code == 400


async def test_a_subscription_hides_its_queue_and_stores_no_end(http: httpx.AsyncClient) -> None:
    """The answer to a new subscription is exactly the documented one."""
    answer = await subscribe(http, queue="azi-4", until="2025-11-25T10:40:00.000Z")

    assert answer.status_code == 201
    type_id = EVENT_TYPE_IDS["TOILET_ACTIVITY"]
    assert answer.json() == {
        "id": 44120,
        "robotId": ROBOT,
        "isActive": True,
        "subscriptionType": 0,
        "subscriptionDetails": [{"subscriptionId": 44120, "eventTypeId": type_id, "eventName": "TOILET_ACTIVITY"}],
        "createdAt": "2025-11-25T08:40:13.000Z",
        "updatedAt": "2025-11-25T08:40:13.000Z",
    }


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"queue": "azi_4"}, 400),
        ({"queue": ""}, 400),
        ({"queue": "a" * 129}, 400),
        ({"eventNames": "TOILET_ACTIVITY"}, 400),
        ({"eventNames": ["IN_BED", "IN_BED"]}, 400),
        ({"until": "tomorrow"}, 400),
        ({"eventNames": ["TOILET_ACTIVITY", "LOCATION_CHANGE"]}, 404),
    ],
)
async def test_a_bad_subscription_is_refused(
    http: httpx.AsyncClient, megazord: MegazordSimulator, body: dict[str, object], status: int
) -> None:
    """A queue suffix outside letters, digits and dashes, names twice or unknown: nothing is created."""
    answer = await subscribe(http, **body)

    assert answer.status_code == status
    assert megazord.subscriptions == []


async def test_the_message_is_the_documented_envelope_with_the_call_ref(
    http: httpx.AsyncClient, megazord: MegazordSimulator, queues: Queues, clock: ManualClock
) -> None:
    """The body, the queue and the attribute of an outgoing event, and the link that leads back to it."""
    await subscribe(http, queue="azi-4")
    clock.set(1764061541_020)
    event = TOILET | {"referenceId": "1764061541000-0"}
    await http.post(f"{ROBOT_PATH}/incomings", json=event, headers={"Call-Ref": "call-7"})

    ((queue, body, attributes),) = queues.sent
    at = "2025-11-25T09:05:41.000Z"
    source = megazord.incoming[0].to_wire()
    link = f"{ROBOT_PATH}/subscriptions/44120/outgoings/702233"
    assert queue == "status-queue-azi-4"
    assert attributes == {"callRef": "call-7"}
    assert body["from"]["serviceName"] == "megazord-events"
    assert body["to"] == {"robotId": "61001"}
    assert body["link"] == {"link": link, "rel": ""}
    assert body["payload"] == {
        "id": 702233,
        "sourceEventId": 912001,
        "subscriptionId": 44120,
        "status": "CREATED",
        "createdAt": at,
        "updatedAt": at,
        "sourceEvent": source,
    }
    assert source["createdAt"] == at
    assert (await http.get(link)).json() == body["payload"]
    assert (await http.get(link.replace("44120", "44121"))).status_code == 404


async def test_two_equal_subscriptions_each_get_a_message(http: httpx.AsyncClient, queues: Queues) -> None:
    """Service subscriptions are never merged; those of other robots and events get nothing."""
    await subscribe(http)
    await subscribe(http)
    await http.post(f"/internal/v1/events/robots/{ROBOT + 1}/subscriptions", json={"eventNames": ["TOILET_ACTIVITY"]})
    await subscribe(http, eventNames=["IN_TOILET"])

    await http.post(f"{ROBOT_PATH}/incomings", json=TOILET)

    assert [body["payload"]["subscriptionId"] for _, body, _ in queues.sent] == [44120, 44121]


async def test_a_second_trigger_subscription_is_a_conflict(http: httpx.AsyncClient, queues: Queues) -> None:
    """Only triggers are unique, as long as they are active, and they never go to the status queue."""
    first = await subscribe(http, isTriggerSubscription=True)
    second = await subscribe(http, isTriggerSubscription=True)
    await http.post(f"{ROBOT_PATH}/incomings", json=TOILET)
    await http.delete(f"{ROBOT_PATH}/subscriptions/{first.json()['id']}")
    third = await subscribe(http, isTriggerSubscription=True)

    assert [answer.status_code for answer in (first, second, third)] == [201, 409, 201]
    assert queues.sent == []


async def test_messages_go_on_after_until_and_stop_at_the_delete(
    http: httpx.AsyncClient, megazord: MegazordSimulator, queues: Queues, clock: ManualClock
) -> None:
    """`until` ends nothing; the DELETE does, may be repeated, and leaves its time for the judges."""
    await subscribe(http, until="2025-11-25T08:41:00.000Z")
    clock.advance(3_600_000)
    await megazord.post_event(ROBOT, "TOILET_ACTIVITY")
    deleted = [(await http.delete(f"{ROBOT_PATH}/subscriptions/44120")).status_code for _ in range(2)]
    await megazord.post_event(ROBOT, "TOILET_ACTIVITY")

    assert len(queues.sent) == 1
    assert deleted == [204, 204]
    assert megazord.active_subscriptions() == []
    assert megazord.subscriptions[0].deleted_at_ms == 1764063613_000


async def test_a_foreign_or_unknown_subscription_can_not_be_deleted(
    http: httpx.AsyncClient, megazord: MegazordSimulator
) -> None:
    """404 for another robot's subscription, which stays active, as for one that never was."""
    await subscribe(http)

    foreign = await http.delete(f"/internal/v1/events/robots/{ROBOT + 1}/subscriptions/44120")
    unknown = await http.delete(f"{ROBOT_PATH}/subscriptions/1")

    assert [foreign.status_code, unknown.status_code] == [404, 404]
    assert [subscription.id for subscription in megazord.active_subscriptions(ROBOT)] == [44120]


async def test_lost_messages_are_silent_but_on_record(
    http: httpx.AsyncClient, megazord: MegazordSimulator, queues: Queues
) -> None:
    """A missing queue, a failed send and a dropped fan-out look like success to who posts; judges see each."""
    await subscribe(http, queue="nobody-made-this")
    posted = [await http.post(f"{ROBOT_PATH}/incomings", json=TOILET)]
    await http.delete(f"{ROBOT_PATH}/subscriptions/44120")
    await subscribe(http)
    queues.is_down = True
    posted.append(await http.post(f"{ROBOT_PATH}/incomings", json=TOILET))
    queues.is_down = False
    megazord.faults.drop_fan_out(times=1)
    posted.append(await http.post(f"{ROBOT_PATH}/incomings", json=TOILET))
    posted.append(await http.post(f"{ROBOT_PATH}/incomings", json=TOILET))

    assert [answer.status_code for answer in posted] == [201] * 4
    assert [outgoing.fate for outgoing in megazord.outgoing] == [
        Fate.NO_QUEUE,
        Fate.SEND_FAILED,
        Fate.DROPPED,
        Fate.SENT,
    ]
    assert len(queues.sent) == 1
    assert len(megazord.incoming) == 4


async def test_requests_are_on_record_with_call_ref_and_status(
    http: httpx.AsyncClient, megazord: MegazordSimulator
) -> None:
    """Judges see what was asked, also where nothing was found."""
    await http.get(f"{ROBOT_PATH}/incomings", headers={"Call-Ref": "call-1"})
    await http.get("/internal/v1/nowhere")

    seen = [(one.method, one.path, one.call_ref, one.status) for one in megazord.requests]
    assert seen == [
        ("GET", f"{ROBOT_PATH}/incomings", "call-1", 200),
        ("GET", "/internal/v1/nowhere", None, 404),
    ]


async def test_a_status_fault_strikes_its_route_so_many_times(
    http: httpx.AsyncClient, megazord: MegazordSimulator
) -> None:
    """Two scripted 503 on one route, the first request spared; other routes work."""
    megazord.faults.add(Fault(FaultKind.STATUS, "incomings.list", times=2, skip=1, status=503, retry_after_s=7))
    answers = [await http.get(f"{ROBOT_PATH}/incomings") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 503, 503, 200]
    assert answers[1].headers["Retry-After"] == "7"
    assert (await http.post(f"{ROBOT_PATH}/incomings", json=TOILET)).status_code == 201


@pytest.mark.parametrize(("when", "made"), [(When.BEFORE, 0), (When.AFTER, 1)])
async def test_a_reset_leaves_no_answer_before_or_after_the_work(
    http: httpx.AsyncClient, megazord: MegazordSimulator, when: When, made: int
) -> None:
    """The caller sees the same broken connection, whether or not the subscription was made."""
    megazord.faults.reset("subscriptions.create", times=1, when=when)

    with pytest.raises(httpx.TransportError):
        await subscribe(http)

    assert len(megazord.subscriptions) == made
    assert [one.status for one in megazord.requests] == [None]


async def test_a_hanging_request_goes_on_when_released(http: httpx.AsyncClient, megazord: MegazordSimulator) -> None:
    """Nothing is executed while it hangs; afterwards it is answered as if nothing had been."""
    megazord.faults.hang("subscriptions.create", times=1)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        answer = tasks.create_task(subscribe(http))
        await megazord.faults.until(lambda: megazord.faults.hanging == 1)
        assert megazord.subscriptions == []
        megazord.faults.release()

    assert answer.result().status_code == 201


async def test_a_hanging_request_is_executed_even_if_its_caller_gave_up(megazord: MegazordSimulator) -> None:
    """As with a real server, a client's timeout does not undo what it asked for."""
    megazord.faults.hang("subscriptions.create", times=1)
    async with httpx.AsyncClient(base_url=megazord.url, timeout=0.1) as impatient:
        with pytest.raises(httpx.ReadTimeout):
            await subscribe(impatient)
    assert megazord.subscriptions == []
    megazord.faults.release()

    async with asyncio.timeout(5):
        await megazord.until(lambda: len(megazord.requests) == 1)
    assert len(megazord.subscriptions) == 1


async def test_the_end_of_the_simulator_ends_what_hangs(queues: Queues, clock: ManualClock) -> None:
    """A request that hangs neither blocks the end nor is executed by it."""
    async with httpx.AsyncClient(timeout=5) as http, asyncio.timeout(5):
        async with MegazordSimulator(queues, clock) as simulator:
            simulator.faults.hang("subscriptions.create")
            url = f"{simulator.url}{ROBOT_PATH}/subscriptions"
            asked = asyncio.ensure_future(http.post(url, json={"eventNames": ["IN_BED"]}))
            await simulator.faults.until(lambda: simulator.faults.hanging == 1)
        with pytest.raises(httpx.TransportError):
            await asked

    assert simulator.subscriptions == []


async def test_a_slow_answer_waits_for_business_time(
    http: httpx.AsyncClient, megazord: MegazordSimulator, clock: ManualClock
) -> None:
    """Slow by the clock means: not before somebody turns it."""
    megazord.faults.add(Fault(FaultKind.SLOW, "incomings.list", delay_ms=2_000, by_clock=True))
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        answer = tasks.create_task(http.get(f"{ROBOT_PATH}/incomings"))
        await clock.until(lambda: clock.next_due_ms() == START_MS + 2_000)
        assert not answer.done()
        clock.advance(2_000)

    assert answer.result().status_code == 200


async def test_a_malformed_answer_comes_after_the_work(http: httpx.AsyncClient, megazord: MegazordSimulator) -> None:
    """The subscription exists, and its maker can't read which one it is."""
    megazord.faults.add(Fault(FaultKind.MALFORMED, "subscriptions.create"))
    answer = await subscribe(http)

    assert answer.status_code == 201
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert len(megazord.subscriptions) == 1


def test_faults_by_probability_repeat_with_their_seed() -> None:
    """The same seed gives the same trouble; about as much as was asked for."""

    def struck(seed: int) -> list[bool]:
        plan = FaultPlan(seed)
        plan.drop_fan_out(probability=0.3)
        return [plan.draw(FAN_OUT) is not None for _ in range(1000)]

    assert struck(7) == struck(7)
    assert struck(7) != struck(8)
    assert 250 < sum(struck(7)) < 350


def test_a_dropped_fan_out_never_disturbs_requests() -> None:
    """Rules for requests and rules for the fan-out don't meet, even when both cover every route."""
    plan = FaultPlan()
    plan.drop_fan_out()
    assert plan.draw("incomings.list") is None
    plan.clear()
    plan.fail("*")
    assert plan.draw(FAN_OUT) is None
    assert plan.draw("incomings.list") is not None


@asynccontextmanager
async def sqs_client(url: str) -> AsyncIterator[Any]:
    credentials = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    async with get_session().create_client(
        "sqs", region_name="us-east-1", endpoint_url=url, config=AioConfig(parameter_validation=False), **credentials
    ) as client:
        yield client


async def receive_all(client: Any, queue_url: str, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while len(found) < count:
        answer = await client.receive_message(
            QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=2, MessageAttributeNames=["All"]
        )
        found += answer.get("Messages", [])
    return found


async def test_waiting_senders_share_batches_and_each_message_arrives_once() -> None:
    """Thirty messages at once reach the queue complete, with their attributes; a queue that isn't there says so."""
    async with SqsServer() as sqs, sqs_client(sqs.url) as client, SqsSender(sqs.url) as sender, asyncio.timeout(10):
        queue_url = (await client.create_queue(QueueName="status-queue"))["QueueUrl"]
        sent = await asyncio.gather(
            *(sender.send("status-queue", f"event {number}", {"callRef": f"call-{number}"}) for number in range(30))
        )
        is_found = await sender.send("status-queue-nowhere", "lost", {})
        received = await receive_all(client, queue_url, 30)

    assert sent == [True] * 30
    assert not is_found
    texts = {one["Body"]: one["MessageAttributes"]["callRef"]["StringValue"] for one in received}
    assert texts == {f"event {number}": f"call-{number}" for number in range(30)}


async def test_a_queue_deleted_behind_the_sender_is_missing() -> None:
    """The sender remembers queue addresses, but not longer than the queue lives."""
    async with SqsServer() as sqs, sqs_client(sqs.url) as client, SqsSender(sqs.url) as sender, asyncio.timeout(10):
        queue_url = (await client.create_queue(QueueName="status-queue"))["QueueUrl"]
        before = await sender.send("status-queue", "one", {})
        await client.delete_queue(QueueUrl=queue_url)
        after = await sender.send("status-queue", "two", {})

    assert (before, after) == (True, False)


class GatedClient:
    """An SQS client whose first batch stays on its way for ever."""

    def __init__(self) -> None:
        self.is_stuck = asyncio.Event()
        self.batches: list[list[str]] = []

    async def get_queue_url(self, **_named: object) -> dict[str, str]:
        return {"QueueUrl": "http://sqs/status-queue"}

    async def send_message_batch(self, **named: Any) -> dict[str, object]:
        self.batches.append([entry["MessageBody"] for entry in named["Entries"]])
        if len(self.batches) == 1:
            self.is_stuck.set()
            await asyncio.Event().wait()
        return {"Failed": [{"Id": "1", "Code": "InternalError"}]} if len(self.batches) == 3 else {}


async def test_a_cancelled_sender_takes_nobodys_message_along() -> None:
    """Those behind it send for themselves, ten to a batch, and a failed entry is its own sender's alone."""
    client, sender = GatedClient(), SqsSender("http://sqs")
    sender._client = client
    async with asyncio.timeout(5):
        first = asyncio.ensure_future(sender.send("status-queue", "0", {}))
        await client.is_stuck.wait()
        others = [asyncio.ensure_future(sender.send("status-queue", str(number), {})) for number in range(1, 13)]
        first.cancel()
        answers = await asyncio.gather(first, *others, return_exceptions=True)

    assert client.batches == [["0"], [str(number) for number in range(1, 11)], ["11", "12"]]
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:12] == [True] * 11
    assert isinstance(answers[12], SendFailed)


async def test_an_endpoint_that_is_down_is_a_failed_send() -> None:
    """Nobody listens: the sender says so in its own words, and the simulator could go on."""
    async with SqsServer() as sqs:
        url = sqs.url
    async with SqsSender(url) as sender, asyncio.timeout(20):
        with pytest.raises(SendFailed):
            await sender.send("status-queue", "one", {})


async def test_alone_it_serves_until_sigterm_and_is_scripted_from_outside() -> None:
    """As a process: ready line, subscription, event posted through the control API, message on SQS, exit 0."""
    async with SqsServer() as sqs, sqs_client(sqs.url) as client, asyncio.timeout(30):
        queue_url = (await client.create_queue(QueueName="events-azi-4"))["QueueUrl"]
        arguments = ["-m", "localstack.megazord", "--sqs", sqs.url, "--status-queue", "events"]
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            ready = (await process.stdout.readline()).decode()
            url = ready.removeprefix("megazord simulator on ").strip()
            async with httpx.AsyncClient(base_url=url) as http:
                await script_from_outside(http)
            (message,) = await receive_all(client, queue_url, 1)
        finally:
            process.send_signal(signal.SIGTERM)
            code = await process.wait()

    assert json.loads(message["Body"])["payload"]["sourceEvent"]["eventName"] == "TOILET_ACTIVITY"
    assert code == 0


async def script_from_outside(http: httpx.AsyncClient) -> None:
    fault = {"kind": "status", "route": "subscriptions.create", "times": 1, "status": 500}
    assert (await http.post("/_robotd/faults", json=fault)).status_code == 204
    assert (await http.post("/_robotd/faults", json={"kind": "earthquake"})).status_code == 400
    assert (await subscribe(http, queue="azi-4")).status_code == 500
    assert (await subscribe(http, queue="azi-4")).status_code == 201
    event = {"robotId": ROBOT, "eventName": "TOILET_ACTIVITY"}
    assert (await http.post("/_robotd/events", json=event)).json() == {"id": 912001}
    (outgoing,) = (await http.get("/_robotd/outgoings")).json()
    assert (outgoing["queue_name"], outgoing["fate"]) == ("events-azi-4", "SENT")
    assert [one["status"] for one in (await http.get("/_robotd/requests")).json()] == [500, 201]
    assert len((await http.get("/_robotd/subscriptions")).json()) == 1
