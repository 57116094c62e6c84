"""The HTTP clients of Megazord and Micro Managers against the simulators, in good times and bad."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Mapping

import httpx
import pytest

from daemon.clients import megazord as megazord_client
from daemon.clients.http import Request, Upstream, call
from daemon.clients.megazord import HttpMegazord, Own
from daemon.clients.micro_managers import HttpMicroManagers
from domain.errors import RuleViolation, Unavailable
from domain.ports import Megazord, MicroManagers
from domain.status_check import Branch, Event, ScriptStep, Verdict
from localstack.clock import ManualClock
from localstack.faults import Fault, FaultKind, When
from localstack.megazord import MegazordSimulator
from localstack.micro_managers import MicroManagersSimulator

START_MS = 1764060013_000
UNTIL_MS = START_MS + 1_800_000
ROBOT = 61001
STEP = 88120


class NoQueues:
    """What is sent is not looked at here."""

    async def send(self, queue_name: str, body: str, attributes: Mapping[str, str]) -> bool:
        return bool(queue_name and body and attributes)


class Points:
    """A probe that notes the points it was told, and dies at one of them if asked to."""

    def __init__(self, dies_at: str = "") -> None:
        self.passed: list[str] = []
        self._dies_at = dies_at

    async def __call__(self, point: str) -> None:
        self.passed.append(point)
        if point == self._dies_at:
            raise KeyboardInterrupt


@pytest.fixture
async def megazord() -> AsyncIterator[MegazordSimulator]:
    async with MegazordSimulator(NoQueues(), ManualClock(START_MS)) as simulator:
        yield simulator


@pytest.fixture
async def micro_managers() -> AsyncIterator[MicroManagersSimulator]:
    async with MicroManagersSimulator(ManualClock(START_MS)) as simulator:
        yield simulator


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


@pytest.fixture
def client(http: httpx.AsyncClient, megazord: MegazordSimulator) -> Megazord:
    return HttpMegazord(http, megazord.url, Own("azi-4"), timeout_s=5)


@pytest.fixture
def steps(http: httpx.AsyncClient, micro_managers: MicroManagersSimulator) -> MicroManagers:
    return HttpMicroManagers(http, micro_managers.url, timeout_s=5)


async def test_subscribing_names_our_queue_and_returns_the_id(client: Megazord, megazord: MegazordSimulator) -> None:
    """One POST with the event names once each, the end, our queue and the call ref."""
    names = ["TOILET_ACTIVITY", "IN_TOILET", "TOILET_ACTIVITY"]
    number = await client.subscribe(ROBOT, names, UNTIL_MS, "call-1")

    (made,) = megazord.active_subscriptions(ROBOT)
    assert (number, made.id) == (44120, 44120)
    assert made.event_names == ("TOILET_ACTIVITY", "IN_TOILET")
    assert made.queue == "azi-4"
    assert made.asked_until == "2025-11-25T09:10:13.000Z"
    assert made.call_ref == "call-1"


async def test_without_a_suffix_the_shared_queue_is_used(http: httpx.AsyncClient, megazord: MegazordSimulator) -> None:
    """No suffix means that the field is not sent at all; no call ref means no header."""
    await HttpMegazord(http, megazord.url + "/", Own()).subscribe(ROBOT, ["IN_BED"], UNTIL_MS, None)

    (made,) = megazord.subscriptions
    assert made.queue is None
    assert made.call_ref is None


@pytest.mark.parametrize("when", [When.BEFORE, When.AFTER])
@pytest.mark.parametrize("kind", [FaultKind.STATUS, FaultKind.RESET])
async def test_a_subscription_is_never_asked_for_twice(
    client: Megazord, megazord: MegazordSimulator, kind: FaultKind, when: When
) -> None:
    """Whether or not it was made, a POST without an answer is not repeated by the client."""
    megazord.faults.add(Fault(kind, "subscriptions.create", when, times=1))

    with pytest.raises(Unavailable, match="subscribe robot 61001 to IN_BED") as raised:
        await client.subscribe(ROBOT, ["IN_BED"], UNTIL_MS, None)

    assert raised.value.dependency == "megazord"
    assert len(megazord.requests) == 1
    assert len(megazord.subscriptions) == (when is When.AFTER)


async def test_an_unknown_event_is_refused_in_megazords_words(client: Megazord) -> None:
    """A 404 on a subscription means the template is wrong: no retry helps, and the reason is passed on."""
    with pytest.raises(RuleViolation, match="LOCATION_CHANGE not found") as raised:
        await client.subscribe(ROBOT, ["LOCATION_CHANGE"], UNTIL_MS, None)

    assert raised.value.kind == "upstream-not-found"


async def test_deleting_twice_and_deleting_the_unknown_are_successes(
    client: Megazord, megazord: MegazordSimulator
) -> None:
    """The aim is that it is gone: 204, 204 again and 404 are all fine."""
    number = await client.subscribe(ROBOT, ["IN_BED"], UNTIL_MS, None)
    for gone in (number, number, 1):
        await client.unsubscribe(ROBOT, gone, None)

    assert megazord.active_subscriptions() == []
    assert [one.status for one in megazord.requests] == [201, 204, 204, 404]


async def test_other_refusals_of_a_delete_are_not_successes(client: Megazord, megazord: MegazordSimulator) -> None:
    """Only 404 means gone; a 403 means that somebody must look."""
    megazord.faults.fail("subscriptions.delete", status=403)

    with pytest.raises(RuleViolation, match="403 when asked to delete subscription 1 of robot 61001") as raised:
        await client.unsubscribe(ROBOT, 1, None)

    assert raised.value.kind == "upstream-refused"


@pytest.mark.parametrize("kind", [FaultKind.STATUS, FaultKind.RESET])
async def test_a_delete_is_repeated_until_it_works(
    client: Megazord, megazord: MegazordSimulator, kind: FaultKind
) -> None:
    """Two failures after the work, then the success of a repeat."""
    number = await client.subscribe(ROBOT, ["IN_BED"], UNTIL_MS, None)
    megazord.faults.add(Fault(kind, "subscriptions.delete", When.AFTER, times=2, status=500))
    await client.unsubscribe(ROBOT, number, None)

    assert megazord.active_subscriptions() == []
    assert len(megazord.requests) == 4


async def test_history_is_merged_sorted_and_each_event_once(client: Megazord, megazord: MegazordSimulator) -> None:
    """Events of several names come in the order of (time, id), though Megazord answers in none."""
    posted = [
        (await megazord.post_event(ROBOT, name, created_at_ms=START_MS + offset_s * 1000), name, offset_s)
        for offset_s, name in [(9, "TOILET_ACTIVITY"), (3, "IN_TOILET"), (9, "IN_TOILET"), (3, "IN_BED"), (0, "IN_BED")]
    ]
    await megazord.post_event(ROBOT + 1, "IN_BED")
    await megazord.post_event(ROBOT, "OUTSIDE_HOME")
    names = ["IN_BED", "IN_TOILET", "TOILET_ACTIVITY", "IN_BED"]
    found = await client.history(ROBOT, names, None, "call-9")

    expected = sorted(posted, key=lambda one: (one[2], one[0]))
    assert found == [Event(number, name, START_MS + offset_s * 1000, 10) for number, name, offset_s in expected]
    assert len(megazord.requests) == 3
    assert {one.call_ref for one in megazord.requests} == {"call-9"}


async def test_history_starts_with_the_second_asked_for(client: Megazord, megazord: MegazordSimulator) -> None:
    """A start within a second includes that second, because Megazord's times are cut to it."""
    await megazord.post_event(ROBOT, "IN_BED", created_at_ms=START_MS - 1000)
    wanted = await megazord.post_event(ROBOT, "IN_BED", created_at_ms=START_MS)

    found = await client.history(ROBOT, ["IN_BED"], START_MS + 700, None)
    assert [event.id for event in found] == [wanted]


async def test_history_without_names_asks_nobody(client: Megazord, megazord: MegazordSimulator) -> None:
    """A template that depends on no event has no history."""
    assert await client.history(ROBOT, [], None, None) == []
    assert megazord.requests == []


async def test_history_keeps_the_newest_of_each_name(
    client: Megazord, megazord: MegazordSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unlimited look-back is cut name by name, so that a chatty sensor can't push out a rare one."""
    monkeypatch.setattr(megazord_client, "NEWEST_PER_NAME", 3)
    rare = await megazord.post_event(ROBOT, "IN_BED")
    chatty = [
        await megazord.post_event(ROBOT, "ACTIVITY", created_at_ms=START_MS + second * 1000) for second in range(1, 6)
    ]
    found = await client.history(ROBOT, ["ACTIVITY", "IN_BED"], None, None)

    assert [event.id for event in found] == [rare, *chatty[-3:]]


async def test_one_failing_query_fails_the_history_as_itself(client: Megazord, megazord: MegazordSimulator) -> None:
    """A history with a hole is no history; what comes out is Unavailable, not a group of it."""
    megazord.faults.fail("incomings.list", status=500)

    with pytest.raises(Unavailable, match=r"list the IN_(BED|TOILET) events"):
        await client.history(ROBOT, ["IN_BED", "IN_TOILET"], None, None)


async def test_history_survives_failures_that_pass(client: Megazord, megazord: MegazordSimulator) -> None:
    """A GET is repeated: two resets are not the caller's business."""
    number = await megazord.post_event(ROBOT, "IN_BED")
    megazord.faults.reset("incomings.list", times=2)

    assert [event.id for event in await client.history(ROBOT, ["IN_BED"], None, None)] == [number]


async def test_repeats_are_bounded(client: Megazord, megazord: MegazordSimulator) -> None:
    """After three tries it is the dispatcher's turn to wait."""
    megazord.faults.fail("incomings.list", status=503)

    with pytest.raises(Unavailable, match="503"):
        await client.history(ROBOT, ["IN_BED"], None, None)
    assert len(megazord.requests) == 3


@pytest.mark.parametrize("status", [429, 503])
async def test_a_neighbour_that_says_when_is_not_asked_before(
    client: Megazord, megazord: MegazordSimulator, status: int
) -> None:
    """Retry-After goes to the dispatcher, and the client doesn't hurry it."""
    megazord.faults.add(Fault(FaultKind.STATUS, "incomings.list", status=status, retry_after_s=30))

    with pytest.raises(Unavailable) as raised:
        await client.history(ROBOT, ["IN_BED"], None, None)
    assert raised.value.after_s == 30
    assert len(megazord.requests) == 1


async def test_a_neighbour_that_hangs_is_left_in_time(http: httpx.AsyncClient, megazord: MegazordSimulator) -> None:
    """The whole call is bounded, whatever the HTTP client's own timeouts are."""
    megazord.faults.hang("*")
    impatient = HttpMegazord(http, megazord.url, Own(), timeout_s=0.2)
    started_s = asyncio.get_running_loop().time()

    with pytest.raises(Unavailable, match=r"no answer in 0\.2 s"):
        await impatient.history(ROBOT, ["IN_BED"], None, None)
    assert asyncio.get_running_loop().time() - started_s < 2


async def test_nobody_listening_is_unavailable(http: httpx.AsyncClient) -> None:
    """A refused connection names the dependency."""
    async with MicroManagersSimulator(ManualClock(START_MS)) as simulator:
        url = simulator.url

    with pytest.raises(Unavailable, match="read step 88120 of robot 61001") as raised:
        await HttpMicroManagers(http, url, timeout_s=2).script_step(ROBOT, STEP, None)
    assert raised.value.dependency == "micro-managers"


async def test_an_answer_that_is_no_json_means_later(client: Megazord, megazord: MegazordSimulator) -> None:
    """A maintenance page served as success must refuse no message for good: the neighbour counts as unavailable."""
    megazord.faults.add(Fault(FaultKind.MALFORMED, "subscriptions.create"))

    with pytest.raises(Unavailable, match="no JSON") as raised:
        await client.subscribe(ROBOT, ["IN_BED"], UNTIL_MS, None)
    assert raised.value.dependency == "megazord"


async def test_an_event_of_another_robot_is_never_taken(megazord: MegazordSimulator) -> None:
    """Whatever a neighbour mixes up, one resident's events don't decide about another."""
    foreign = {"id": 1, "robotId": ROBOT + 1, "eventName": "IN_BED", "createdAt": "2025-11-25T08:40:12.000Z"}
    async with httpx.AsyncClient(transport=answering([foreign])) as http:
        with pytest.raises(RuleViolation, match="another robot's event"):
            await HttpMegazord(http, megazord.url, Own()).history(ROBOT, ["IN_BED"], None, None)


async def test_a_broken_event_is_named_by_its_field() -> None:
    """The operator reads which field of which element is wrong, not the value of it."""
    broken = {"id": 1, "robotId": ROBOT, "eventName": "IN_BED", "createdAt": "yesterday"}
    async with httpx.AsyncClient(transport=answering([broken])) as http:
        with pytest.raises(RuleViolation, match=r"0\.createdAt: expected an ISO 8601 time") as raised:
            await HttpMegazord(http, "http://megazord", Own()).history(ROBOT, ["IN_BED"], None, None)
    assert "yesterday" not in str(raised.value)


def answering(body: object) -> httpx.MockTransport:
    return httpx.MockTransport(lambda _request: httpx.Response(200, json=body))


async def test_a_long_refusal_is_cut() -> None:
    """A neighbour's error page does not fill our logs and dead-letter queue."""
    page = httpx.MockTransport(lambda _request: httpx.Response(400, text="no\n" * 5_000))
    async with httpx.AsyncClient(transport=page) as http:
        with pytest.raises(RuleViolation) as raised:
            await HttpMegazord(http, "http://megazord", Own()).unsubscribe(ROBOT, 1, None)
    assert len(str(raised.value)) < 300


async def test_a_redirect_is_no_answer() -> None:
    """Something stands between us and the neighbour: that may pass, so it is Unavailable."""
    elsewhere = httpx.MockTransport(lambda _request: httpx.Response(302, headers={"Location": "http://elsewhere"}))
    async with httpx.AsyncClient(transport=elsewhere) as http:
        with pytest.raises(Unavailable, match="302"):
            await HttpMicroManagers(http, "http://micro-managers").script_step(ROBOT, STEP, None)


@pytest.mark.parametrize(
    ("call_ref", "sent"), [("  call-1 \n", "call-1"), ("caf\u00e9\x00", "caf"), (" \t ", None), ("x" * 200, "x" * 128)]
)
async def test_any_call_ref_can_be_passed_on(
    client: Megazord, megazord: MegazordSimulator, call_ref: str, sent: str | None
) -> None:
    """A reference from a message attribute may hold what a header may not; it never stops the call."""
    await client.history(ROBOT, ["IN_BED"], None, call_ref)

    assert [one.call_ref for one in megazord.requests] == [sent]


async def test_the_probe_stands_around_every_exchange(http: httpx.AsyncClient, megazord: MegazordSimulator) -> None:
    """Each try is framed by both points; a try without an answer has no second one."""
    points = Points()
    megazord.faults.reset("subscriptions.delete", times=1)
    await HttpMegazord(http, megazord.url, Own(), probe=points).unsubscribe(ROBOT, 1, None)

    assert points.passed == ["before_upstream", "before_upstream", "after_upstream"]


@pytest.mark.parametrize(("point", "made"), [("before_upstream", 0), ("after_upstream", 1)])
async def test_a_crash_at_a_probe_is_nobody_elses_error(
    http: httpx.AsyncClient, megazord: MegazordSimulator, point: str, made: int
) -> None:
    """What a probe raises comes through unchanged, with the work undone or done."""
    crashing = HttpMegazord(http, megazord.url, Own(), probe=Points(point))

    with pytest.raises(KeyboardInterrupt):
        await crashing.subscribe(ROBOT, ["IN_BED"], UNTIL_MS, None)
    assert len(megazord.subscriptions) == made


async def test_cancelling_a_call_cancels_its_request(client: Megazord, megazord: MegazordSimulator) -> None:
    """A cancelled handler doesn't go on asking, and the cancellation is not turned into anything else."""
    megazord.faults.hang("incomings.list")
    async with asyncio.timeout(5):
        asked = asyncio.ensure_future(client.history(ROBOT, ["IN_BED", "IN_TOILET"], None, None))
        await megazord.faults.until(lambda: megazord.faults.hanging == 2)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked

    assert len(megazord.faults.struck) == 2


async def test_a_step_is_read_with_windows_and_branches(
    steps: MicroManagers, micro_managers: MicroManagersSimulator
) -> None:
    """Unlimited past, all three branches, one of them the end of the script."""
    branches = {"pass": 88121, "fail": 88122, "unknown": None}
    micro_managers.add_step(ROBOT, STEP, "TOILET_VISIT", -1, 1800, next=branches)
    step = await steps.script_step(ROBOT, STEP, "call-1")

    assert step == ScriptStep(
        step_id=STEP,
        template_name="TOILET_VISIT",
        past_interval_s=-1,
        future_interval_s=1800,
        branches={Verdict.PASS: Branch(88121), Verdict.FAIL: Branch(88122), Verdict.UNKNOWN: Branch(None)},
    )
    assert [one.call_ref for one in micro_managers.requests] == ["call-1"]


async def test_a_step_may_lack_the_unknown_branch_and_its_intervals(
    steps: MicroManagers, micro_managers: MicroManagersSimulator
) -> None:
    """Only pass and fail are demanded; absent intervals mean that the template decides."""
    choices = [{"commands": ["ja", "pass"], "nextStepId": 1}, {"primaryCommand": "fail", "nextStepId": None}]
    body = {
        "node": {"type": "statusCheck", "statusCheck": "TOILET_VISIT"},
        "next": {"type": "multipleChoice", "multipleChoice": choices},
    }
    micro_managers.add_body(ROBOT, STEP, body)
    step = await steps.script_step(ROBOT, STEP, None)

    assert step.branches == {Verdict.PASS: Branch(1), Verdict.FAIL: Branch(None)}
    assert (step.past_interval_s, step.future_interval_s) == (0, 0)


@pytest.mark.parametrize(
    ("commands", "missing"),
    [({"pass": 1}, "fail"), ({"fail": 1}, "pass"), ({"PASS": 1, "Fail": 2}, "pass and fail"), ({"ja": 1}, "pass and")],
)
async def test_a_step_without_pass_and_fail_is_refused(
    steps: MicroManagers, micro_managers: MicroManagersSimulator, commands: dict[str, int | None], missing: str
) -> None:
    """Both branches must be there, in lower case."""
    micro_managers.add_step(ROBOT, STEP, "TOILET_VISIT", next=commands)

    with pytest.raises(RuleViolation, match=f"no branch for {missing}") as raised:
        await steps.script_step(ROBOT, STEP, None)
    assert raised.value.kind == "missing-branch"


async def test_a_step_of_another_type_is_refused(steps: MicroManagers, micro_managers: MicroManagersSimulator) -> None:
    """A step that says something is not a status check, whatever else it holds."""
    micro_managers.add_body(ROBOT, STEP, {"node": {"type": "say", "text": "Hello"}, "next": {"type": "then"}})

    with pytest.raises(RuleViolation, match="of type say, not statusCheck") as raised:
        await steps.script_step(ROBOT, STEP, None)
    assert raised.value.kind == "not-a-status-check"


async def test_a_foreign_step_is_refused(steps: MicroManagers, micro_managers: MicroManagersSimulator) -> None:
    """Another robot's step is not found, which is final: no retry."""
    micro_managers.add_step(ROBOT + 1, STEP, "TOILET_VISIT")

    with pytest.raises(RuleViolation, match="step 88120 of robot 61001") as raised:
        await steps.script_step(ROBOT, STEP, None)
    assert raised.value.kind == "upstream-not-found"
    assert len(micro_managers.requests) == 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"id": 7}, "id: this is step 7"),
        ({"node": {"type": "statusCheck"}}, "node.statusCheck: Field required"),
        ({"node": {"type": "statusCheck", "statusCheck": "T", "pastInterval": -2}}, "node.pastInterval: "),
        ({"node": {"type": "statusCheck", "statusCheck": "T", "futureInterval": "1h"}}, "node.futureInterval: "),
        ({"next": {"multipleChoice": [{"commands": ["pass"]}]}}, "next.multipleChoice.0.nextStepId: Field required"),
        ({"node": None}, "node: "),
    ],
)
async def test_a_step_that_breaks_the_contract_is_named_by_its_field(
    steps: MicroManagers, micro_managers: MicroManagersSimulator, change: dict[str, object], problem: str
) -> None:
    """The reason says which neighbour, which step and which field."""
    choices = [{"commands": ["pass"], "nextStepId": 1}, {"commands": ["fail"], "nextStepId": 2}]
    body = {"node": {"type": "statusCheck", "statusCheck": "T"}, "next": {"multipleChoice": choices}}
    micro_managers.add_body(ROBOT, STEP, body | change)

    with pytest.raises(RuleViolation) as raised:
        await steps.script_step(ROBOT, STEP, None)
    assert f"micro-managers broke the contract when asked to read step 88120 of robot 61001: {problem}" in str(
        raised.value
    )


async def test_pauses_end_where_the_call_would_be_too_late(
    http: httpx.AsyncClient, megazord: MegazordSimulator
) -> None:
    """A repeat that can't be finished in the call's time is not begun."""
    megazord.faults.fail("incomings.list", status=500)
    upstream = Upstream("megazord", http, megazord.url, timeout_s=5, attempts=50, first_pause_s=0.01)
    hurried = dataclasses.replace(upstream, timeout_s=0.3)
    started_s = asyncio.get_running_loop().time()

    with pytest.raises(Unavailable):
        await call(hurried, Request("GET", f"/internal/v1/events/robots/{ROBOT}/incomings", "list"))
    assert asyncio.get_running_loop().time() - started_s < 2
    assert 1 < len(megazord.requests) < 50
