"""Status checks over HTTP, as a robot behind Kong meets them: whole answers, and what they leave behind."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from structlog.testing import capture_logs

from daemon.app import Outside, build
from daemon.lifecycle import Ending
from daemon.log import LogEvent
from domain.errors import ConfigError
from localstack.faults import Fault, FaultKind, When
from tests.edge import (
    CALLS_IT,
    CHECKS,
    OTHER_ROBOT,
    ROBOT,
    STEP,
    address_in,
    asking,
    error,
    house,
    kong,
    payload,
    wanted,
)
from tests.mariadb import MariaDb
from tests.world import MORNING_MS, World, world

HOUR_MS, MOST = 3_600_000, 9223372036854775807
NOT_IDS = ("0", "-1", "+1", "1.0", "x", "1e3", "9223372036854775808", "9" * 200, "%D9%A3", "%00")


@pytest.fixture(params=["sqlite", "mariadb"])
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "sqlite":
        async with house(tmp_path / "robotd.db") as opened:
            yield opened
        return
    server: MariaDb = request.getfixturevalue("mariadb")
    address = server.new_database()
    async with house(address) as opened:
        yield opened
    server.drop(address)


@pytest.fixture
async def cottage(tmp_path: Path) -> AsyncIterator[World]:
    """A home on SQLite alone, for what no database has a say in."""
    async with house(tmp_path / "robotd.db") as opened:
        yield opened


async def column(home: World, sql: str) -> list[object]:
    return [row[0] for row in await home.database.fetch(sql)]


async def rows(home: World, table: str) -> int:
    return int((await home.database.fetch(f"SELECT COUNT(*) FROM {table}"))[0][0] or 0)  # noqa: S608  a table of ours


async def journal(home: World) -> list[object]:
    return await column(home, "SELECT outcome FROM journal WHERE queue = 'http' ORDER BY at_ms, id")


async def nothing_is_left(home: World) -> None:
    """No effect, no try that is counted, no dead letter, and nothing that the robot is told by its queue."""
    await home.quiet()
    assert await home.leftovers() == {}
    assert home.results(ROBOT) == []
    assert [await rows(home, table) for table in ("status_check", "inbox", "attempt")] == [0, 0, 0]


async def test_a_check_that_is_asked_for_is_answered_told_and_can_be_read(home: World) -> None:
    """201 with the check, the same on the robot's queue, the same under its link; then it goes on as any check."""
    async with home.running() as daemon, asking(daemon) as robot:
        answer = await robot.post(CHECKS, json=wanted())
        created = payload(answer)
        await home.quiet()
        told = home.results(ROBOT)
        assert answer.status_code == 201
        assert (created["robotId"], created["phase"], created["result"]) == (ROBOT, "FUTURE", "PENDING")
        assert [(message["type"], message["payload"]) for message in told] == [("status-check.changed", created)]
        read = await robot.get(told[0]["link"]["link"])
        assert (read.status_code, read.json()) == (200, created)
        home.clock.advance(60_000)
        await home.megazord.post_event(ROBOT, "TOILET_ACTIVITY")
        await home.quiet()
        later = payload(await robot.get(f"{CHECKS}/{created['id']}"))
        assert later == home.results(ROBOT)[1]["payload"]
        assert (later["phase"], later["result"]) == ("COMPLETED", "PASS")
        home.clock.advance(HOUR_MS)
        await home.quiet()
    assert await home.leftovers() == {}
    assert await journal(home) == ["done"]


async def test_the_reference_reaches_everybody(home: World) -> None:
    """The caller's reference is with both neighbours, in the robot's message, in the answer and in the journal."""
    async with home.running() as daemon, asking(daemon) as robot:
        answer = await robot.post(CHECKS, json=wanted())
        await home.quiet()
    assert answer.headers["Call-Ref"] == CALLS_IT
    assert {seen.call_ref for seen in (*home.managers.requests, *home.megazord.requests)} == {CALLS_IT}
    assert [message["callRef"] for message in home.results(ROBOT)] == [CALLS_IT]
    assert await column(home, "SELECT DISTINCT call_ref FROM journal") == [CALLS_IT]


async def test_an_equal_request_is_answered_with_the_first_check(home: World) -> None:
    """201 again, the same check, one subscription; unknown fields, a foreign robotId among them, change nothing."""
    async with home.running() as daemon, asking(daemon) as robot:
        first = await robot.post(CHECKS, json=wanted())
        again = await robot.post(CHECKS, json=wanted(robotId=OTHER_ROBOT, scriptVersionId=9, mood="good"))
        await home.quiet()
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert len(home.megazord.subscriptions) == await rows(home, "status_check") == 1
    types = [message["type"] for message in home.results(ROBOT)]
    assert types == ["status-check.changed", "status-check.current"]
    assert await journal(home) == ["done", "done"]


async def test_many_equal_requests_at_once_make_one_check(home: World) -> None:
    """Twenty at one time get the same check, which holds the one subscription in use; later all are released."""
    async with home.running() as daemon, asking(daemon) as robot:
        answers = await asyncio.gather(*(robot.post(CHECKS, json=wanted()) for _ in range(20)))
        await home.pass_time(MORNING_MS + 90_000)
        active = [subscription.id for subscription in home.megazord.active_subscriptions()]
        assert {answer.status_code for answer in answers} == {201}
        assert len({payload(answer)["id"] for answer in answers}) == 1
        assert await column(home, "SELECT subscription_id FROM status_check") == active
        assert len(active) == 1
        await home.pass_time(MORNING_MS + HOUR_MS)
    assert await home.leftovers() == {}
    assert await journal(home) == ["done"] * 20


async def test_many_equal_requests_to_two_replicas_make_one_check(mariadb: MariaDb) -> None:
    """Both replicas may subscribe, one of them wins, and what the other one holds is released after a minute."""
    address = mariadb.new_database()
    async with house(address) as home, AsyncExitStack() as stack:
        daemon = await stack.enter_async_context(home.running())
        other = await stack.enter_async_context(build(home.settings, Outside(home.clock)))
        run = asyncio.create_task(other.run())
        clients = [await stack.enter_async_context(asking(each)) for each in (daemon, other)]
        answers = await asyncio.gather(*(client.post(CHECKS, json=wanted()) for client in clients * 10))
        assert {answer.status_code for answer in answers} == {201}
        assert len({payload(answer)["id"] for answer in answers}) == 1
        await other.at_rest()
        other.stop()
        assert await run is Ending.CLEAN
        await home.pass_time(MORNING_MS + 90_000)
        active = [subscription.id for subscription in home.megazord.active_subscriptions()]
        assert await column(home, "SELECT subscription_id FROM status_check") == active
        assert len(active) == 1
    mariadb.drop(address)


PROBLEMS = [
    (
        kong(),
        {"stepId": 1},
        "scheduledId: Field required; scriptVersionId: Field required; plannedAt: Field required",
    ),
    (kong(), wanted(stepId="88120"), "stepId: Input should be a valid integer"),
    (
        kong(),
        wanted(stepId=0, scheduledId=True),
        "stepId: Input should be greater than or equal to 1; scheduledId: Input should be a valid integer",
    ),
    (kong(), wanted(scriptVersionId=MOST + 1), f"scriptVersionId: Input should be less than or equal to {MOST}"),
    (kong(), wanted(plannedAt="2027-01-01T00:00:00Z"), "plannedAt lies more than a year ahead"),
    (kong(), [1], "expected a JSON object, found list"),
    (kong(x_consumer_id=None), wanted(), "x-consumer-id: missing"),
    (
        kong(x_consumer_id="robot", x_consumer_username=""),
        wanted(),
        "x-consumer-id: expected a UUID; x-consumer-username: expected one word",
    ),
    (kong(0), wanted(), "x-authenticated-userid: expected a whole number from 1 to 4294967295"),
    (kong("+5"), wanted(), "x-authenticated-userid: expected a whole number from 1 to 4294967295"),
    (kong(2**32), wanted(), "x-authenticated-userid: expected a whole number from 1 to 4294967295"),
    (
        kong(x_authenticated_userid=None, x_authenticated_scope="a b"),
        {name: value for name, value in wanted().items() if name != "stepId"},
        "x-authenticated-scope: expected one word; x-authenticated-userid: missing; stepId: Field required",
    ),
]


async def test_every_problem_of_a_request_is_named_at_once(cottage: World) -> None:
    """400 with Kong's headers first, then the body's fields in their order; nothing is left of the requests."""
    async with cottage.running() as daemon, asking(daemon, {}) as robot:
        answers = [await robot.post(CHECKS, json=body, headers=headers) for headers, body, _ in PROBLEMS]
        await nothing_is_left(cottage)
    assert [answer.json() for answer in answers] == [error(400, "Bad Request", message) for _, _, message in PROBLEMS]
    assert {answer.status_code for answer in answers} == {400}


async def test_only_robots_are_served(cottage: World) -> None:
    """403 for each caller that Kong knows and that is no robot, for both methods, whatever else is wrong."""
    others = [
        kong(x_authenticated_scope="user", x_consumer_username="tinybots-users"),
        kong(x_authenticated_scope="user"),
        kong(x_authenticated_scope="robot,user"),
        kong(x_consumer_username="tinybots-dashboard-users"),
    ]
    async with cottage.running() as daemon, asking(daemon, {}) as user:
        answers = [await user.post(CHECKS, json={}, headers=headers) for headers in others]
        answers += [await user.get(f"{CHECKS}/x", headers=headers) for headers in others]
        await nothing_is_left(cottage)
    refused = error(403, "Forbidden", "only a robot may ask for status checks")
    assert [(answer.status_code, answer.json()) for answer in answers] == [(403, refused)] * 8


async def test_what_is_not_this_robots_is_not_there(home: World) -> None:
    """404 for a step and for a check of another robot, in the very form of one that nobody has."""
    async with home.running() as daemon, asking(daemon) as robot, asking(daemon, kong(OTHER_ROBOT)) as other:
        check = payload(await robot.post(CHECKS, json=wanted()))["id"]
        step = await other.post(CHECKS, json=wanted())
        nobodys_step = await robot.post(CHECKS, json=wanted(stepId=4))
        foreign, missing = await other.get(f"{CHECKS}/{check}"), await robot.get(f"{CHECKS}/{check + 1}")
        await home.quiet()
    expected = [
        (step, f"robot {OTHER_ROBOT} has no step {STEP}"),
        (nobodys_step, f"robot {ROBOT} has no step 4"),
        (foreign, f"robot {OTHER_ROBOT} has no status check {check}"),
        (missing, f"robot {ROBOT} has no status check {check + 1}"),
    ]
    for answer, message in expected:
        assert (answer.status_code, answer.json()) == (404, error(404, "Not Found", message))
    assert home.results(OTHER_ROBOT) == []
    assert await journal(home) == ["done", "rejected", "rejected"]
    assert await rows(home, "attempt") == 0
    assert home.sqs.bodies("robotd-commands-dlq") == []


async def test_an_id_that_is_no_number_is_a_mistake_of_the_caller(cottage: World) -> None:
    """400 names the id beside Kong's headers; the largest number is only not there."""
    async with cottage.running() as daemon, asking(daemon, kong(x_consumer_id=None)) as robot:
        answers = [await robot.get(f"{CHECKS}/{check_id}") for check_id in NOT_IDS]
        largest = await robot.get(f"{CHECKS}/{MOST}", headers=kong())
    message = f"x-consumer-id: missing; statusCheckId: expected a whole number from 1 to {MOST}"
    assert [answer.json() for answer in answers] == [error(400, "Bad Request", message)] * len(NOT_IDS)
    assert largest.status_code == 404


async def test_what_the_edge_does_not_serve_is_refused_in_the_same_form(cottage: World) -> None:
    """404, 405 with Allow, 413 and 415, each as whole as any other answer."""
    form, too_large = {"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "application/json"}
    async with cottage.running() as daemon, asking(daemon) as robot:
        answers = [
            (await robot.get("/"), error(404, "Not Found", "no such path"), {}),
            (await robot.post(f"{CHECKS}/"), error(404, "Not Found", "no such path"), {}),
            (
                await robot.delete(f"{CHECKS}/1"),
                error(405, "Method Not Allowed", "no such method here; use GET,HEAD"),
                {"Allow": "GET,HEAD"},
            ),
            (
                await robot.get(CHECKS),
                error(405, "Method Not Allowed", "no such method here; use POST"),
                {"Allow": "POST"},
            ),
            (
                await robot.post(CHECKS, content=b"a=b", headers=form),
                error(415, "Unsupported Media Type", "use Content-Type: application/json, in UTF-8"),
                {},
            ),
            (
                await robot.post(CHECKS, content=b" " * 65_537, headers=too_large),
                error(413, "Request Entity Too Large", "the body has more than 65536 bytes"),
                {},
            ),
        ]
        await nothing_is_left(cottage)
    for answer, body, headers in answers:
        assert answer.json() == body
        assert answer.status_code == body["statusCode"]
        told = address_in(answer)
        assert UUID(told.pop("Svc-Ref")).version == 4
        assert told == {"Call-Ref": CALLS_IT, "Content-Type": "application/json; charset=utf-8", **headers}


async def test_a_body_of_just_the_largest_size_is_read(cottage: World) -> None:
    """64 KiB are taken, by their length or in chunks; one byte more in chunks is not."""

    async def chunks(body: bytes) -> AsyncIterator[bytes]:
        for begin in range(0, len(body), 5000):
            yield body[begin : begin + 5000]

    as_json = {"Content-Type": "application/json"}
    async with cottage.running() as daemon, asking(daemon) as robot:
        full = httpx.Request("POST", "http://x", json=wanted()).content.ljust(65_536)
        whole = await robot.post(CHECKS, content=full, headers=as_json)
        in_chunks = await robot.post(CHECKS, content=chunks(full), headers=as_json)
        too_large = await robot.post(CHECKS, content=chunks(full + b" "), headers=as_json)
    assert [answer.status_code for answer in (whole, in_chunks, too_large)] == [201, 201, 413]


async def refused_by(cottage: World, body: Mapping[str, object]) -> dict[str, Any]:
    async with cottage.running() as daemon, asking(daemon) as robot:
        answer = await robot.post(CHECKS, json=body)
        assert answer.status_code == 422, answer.text
        await nothing_is_left(cottage)
        assert await journal(cottage) == ["rejected"]
        read: dict[str, Any] = answer.json()
    assert (read["statusCode"], read["error"], read["callRef"]) == (422, "Unprocessable Entity", CALLS_IT)
    return read


async def test_a_template_that_is_missing_is_nothing_the_robot_can_help(cottage: World) -> None:
    """422, and the reason names the template."""
    cottage.managers.add_step(ROBOT, 5, "NO_SUCH_TEMPLATE")
    assert (await refused_by(cottage, wanted(stepId=5)))["message"] == "no active template is named 'NO_SUCH_TEMPLATE'"


async def test_a_step_without_a_fail_branch_is_refused(cottage: World) -> None:
    """422, and the reason names the branch."""
    cottage.managers.add_step(ROBOT, 5, "TOILET_VISIT", next={"pass": 6})
    assert (await refused_by(cottage, wanted(stepId=5)))["message"] == "step 5 has no branch for fail"


@pytest.mark.parametrize(("route", "status"), [("steps.read", 403), ("subscriptions.create", 404)])
async def test_a_neighbour_that_refuses_is_told_as_such(cottage: World, route: str, status: int) -> None:
    """422 also where Megazord answers 404: that is an event name that it doesn't know, and no step of the robot's."""
    (cottage.managers if route == "steps.read" else cottage.megazord).faults.fail(route, status=status)
    refused = await refused_by(cottage, wanted())
    assert f" answered {status} when asked to " in refused["message"]


async def test_a_neighbour_that_breaks_its_contract_is_told_as_such(cottage: World) -> None:
    """422, and the reason names the field."""
    cottage.managers.add_body(ROBOT, 5, {"node": {"type": "statusCheck"}, "next": {}})
    refused = await refused_by(cottage, wanted(stepId=5))
    assert refused["message"].startswith("micro-managers broke the contract when asked to read step 5 of robot 61001: ")


async def test_a_neighbour_that_is_down_is_a_matter_of_time(home: World) -> None:
    """503 with the neighbour's own Retry-After, nothing left behind; and the same request succeeds once it is back."""
    home.managers.faults.add(Fault(FaultKind.STATUS, "steps.read", When.BEFORE, times=1, retry_after_s=17))
    async with home.running() as daemon, asking(daemon) as robot:
        answer = await robot.post(CHECKS, json=wanted())
        assert answer.json() == error(503, "Service Unavailable", "can't be done now; ask again later")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "17")
        assert await journal(home) == ["retried"]
        await nothing_is_left(home)
        assert (await robot.post(CHECKS, json=wanted())).status_code == 201
        await home.pass_time(MORNING_MS + HOUR_MS)
    assert await home.leftovers() == {}


async def test_a_handler_that_takes_too_long_is_a_matter_of_time(tmp_path: Path) -> None:
    """503, also where a single attempt is all that a message of a queue would get."""
    async with house(tmp_path / "robotd.db", consumer={"handler_timeout_s": 1, "max_attempts": 1}) as home:
        home.managers.faults.hang("steps.read")
        async with home.running() as daemon, asking(daemon) as robot:
            answer = await robot.post(CHECKS, json=wanted())
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
            assert await journal(home) == ["retried"]
            await nothing_is_left(home)


async def test_who_waits_too_long_hears_the_end_by_asking_again(tmp_path: Path) -> None:
    """503 after the time of a request; the handling goes on, and the same request is answered with its check."""
    patient = {"timeout_s": 30}
    async with house(tmp_path / "robotd.db", edge={"request_timeout_s": 1}, micro_managers=patient) as home:
        home.managers.faults.hang("steps.read", times=1)
        async with home.running() as daemon, asking(daemon) as robot:
            answer = await robot.post(CHECKS, json=wanted())
            assert answer.status_code == 503
            assert daemon.in_flight == 1
            home.managers.faults.release()
            await home.quiet()
            told = [message["payload"] for message in home.results(ROBOT)]
            assert [payload(await robot.post(CHECKS, json=wanted()))] == told


async def test_a_caller_who_leaves_changes_nothing(home: World) -> None:
    """The handling goes on to its end, the robot is told by its queue, and the same request hears of that check."""
    home.managers.faults.hang("steps.read", times=1)
    async with home.running() as daemon, asking(daemon) as robot:
        asked = asyncio.create_task(robot.post(CHECKS, json=wanted()))
        await home.managers.faults.until(lambda: home.managers.faults.hanging == 1)
        asked.cancel()
        await asyncio.wait([asked])
        home.managers.faults.release()
        await home.quiet()
        told = [message["payload"] for message in home.results(ROBOT)]
        assert [payload(await robot.post(CHECKS, json=wanted()))] == told
    assert len(home.megazord.subscriptions) == await rows(home, "status_check") == 1


async def test_no_more_requests_than_allowed_are_in_hand(tmp_path: Path) -> None:
    """503 for the third while two hang, even when their callers have left; then there is room again."""
    async with house(tmp_path / "robotd.db", edge={"max_requests": 2}) as home:
        faults = home.managers.faults
        faults.hang("steps.read", times=2)
        home.managers.add_step(OTHER_ROBOT, STEP, "TOILET_VISIT")
        async with home.running() as daemon, asking(daemon) as robot:
            stay = asyncio.create_task(robot.post(CHECKS, json=wanted()))
            leave = asyncio.create_task(robot.post(CHECKS, json=wanted(), headers=kong(OTHER_ROBOT)))
            await faults.until(lambda: faults.hanging == 2)
            too_many = error(503, "Service Unavailable", "too many requests at one time; ask again")
            assert (await robot.get(f"{CHECKS}/1")).json() == too_many
            leave.cancel()
            await asyncio.wait([leave])
            assert (await robot.post(CHECKS, json=wanted())).json() == too_many
            assert (await robot.get("/healthcheck")).status_code == 200
            faults.release()
            assert (await stay).status_code == 201
            await daemon.at_rest()
            assert (await robot.get(f"{CHECKS}/999")).status_code == 404


async def test_a_drain_answers_what_is_in_hand_and_takes_nothing_new(home: World) -> None:
    """The request that hangs is answered 201, new ones and the health check 503; then nobody listens, cleanly."""
    faults = home.managers.faults
    faults.hang("steps.read", times=1)
    async with home.running() as daemon, asking(daemon) as robot:
        assert (await robot.get("/healthcheck")).json() == {"status": "ok"}
        in_hand = asyncio.create_task(robot.post(CHECKS, json=wanted()))
        await faults.until(lambda: faults.hanging == 1)
        daemon.stop()
        new = [await robot.post(CHECKS, json=wanted()), await robot.get(f"{CHECKS}/1"), await robot.get("/healthcheck")]
        assert [(answer.status_code, answer.headers["Connection"]) for answer in new] == [(503, "close")] * 3
        faults.release()
        assert (await in_hand).status_code == 201
        url = robot.base_url
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)
    assert await journal(home) == ["done"]


async def test_what_hangs_beyond_the_drain_is_told_to_ask_again(tmp_path: Path) -> None:
    """503 within the bound, nothing committed, and the exit code says that work was handed back."""
    async with house(tmp_path / "robotd.db", micro_managers={"timeout_s": 60}) as home:
        faults = home.managers.faults
        faults.hang("steps.read")
        settings = home.settings.model_copy(update={"drain_timeout_s": 6.0})
        async with build(settings, Outside(home.clock)) as daemon, asyncio.timeout(7):
            run = asyncio.create_task(daemon.run())
            async with asking(daemon) as robot:
                in_hand = asyncio.create_task(robot.post(CHECKS, json=wanted()))
                await faults.until(lambda: faults.hanging == 1)
                daemon.stop()
                answer = await in_hand
                assert answer.json() == error(503, "Service Unavailable", "broken off; ask again")
                assert await run is Ending.HANDED_BACK
        await nothing_is_left(home)


def listening() -> set[int]:
    """The ports on which this process listens."""
    sockets = [found for found in gc.get_objects() if type(found) is socket.socket and found.fileno() >= 0]
    return {found.getsockname()[1] for found in sockets if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)}


async def test_nothing_listens_unless_a_port_is_set(tmp_path: Path) -> None:
    """Without the setting a daemon has no edge, and opens no port; with it, the one port that it tells."""
    async with world(tmp_path / "robotd.db") as home:
        before = listening()
        async with home.running() as daemon:
            await home.quiet()
            assert daemon.edge is None
            assert listening() == before
    async with house(tmp_path / "robotd.db") as home:
        before = listening()
        async with home.running() as daemon:
            assert daemon.edge is not None
            url = await daemon.edge.listening()
            assert [f"http://127.0.0.1:{port}" for port in listening() - before] == [url]
        assert listening() == before


async def test_a_port_that_is_taken_is_told_at_the_start(cottage: World) -> None:
    """The daemon does not run without the edge that it was asked for; the error names the setting."""
    async with cottage.running() as daemon:
        assert daemon.edge is not None
        port = int((await daemon.edge.listening()).rpartition(":")[2])
        edge = cottage.settings.edge.model_copy(update={"port": port})
        settings = cottage.settings.model_copy(update={"edge": edge})
        async with build(settings, Outside(cottage.clock)) as second:
            with pytest.raises(ConfigError, match=rf"^edge.port: can't listen on 127.0.0.1:{port}: "):
                await second.run()


async def test_a_database_that_is_lost_is_a_matter_of_time(mariadb: MariaDb) -> None:
    """503 while it is away, for both methods, told at once; as soon as it is back the same requests are served."""
    address = mariadb.new_database()
    async with house(address) as home, home.running() as daemon, asking(daemon) as robot:
        check = payload(await robot.post(CHECKS, json=wanted()))["id"]
        await home.quiet()
        mariadb.kill()
        away = [await robot.get(f"{CHECKS}/{check}"), await robot.post(CHECKS, json=wanted(scheduledId=2))]
        mariadb.restart()
        assert [(answer.status_code, answer.headers["Retry-After"]) for answer in away] == [(503, "5")] * 2
        await home.quiet()
        async with asyncio.timeout(20):
            while (await robot.get(f"{CHECKS}/{check}")).status_code != 200:
                await home.quiet()
        assert (await robot.post(CHECKS, json=wanted(scheduledId=2))).status_code == 201
    mariadb.drop(address)


async def test_the_log_has_one_line_for_each_request(cottage: World) -> None:
    """Method, path template, status, time and robot; the health check's is for debugging alone."""
    with capture_logs() as lines:
        async with cottage.running() as daemon, asking(daemon) as robot:
            answers = [
                await robot.post(CHECKS, json=wanted()),
                await robot.get(f"{CHECKS}/12"),
                await robot.get("/a/b"),
                await robot.get("/healthcheck"),
            ]
    told = [line for line in lines if line["event"] == LogEvent.HTTP_ANSWERED]
    route = f"{CHECKS}/{{statusCheckId}}"
    expected = [
        ("info", "POST", CHECKS, 201, ROBOT),
        ("info", "GET", route, 404, ROBOT),
        ("info", "GET", "unknown", 404, None),
        ("debug", "GET", "/healthcheck", 200, None),
    ]
    names = ("log_level", "method", "route", "status", "robot_id")
    assert [tuple(line[name] for name in names) for line in told] == expected
    assert [line["service_ref"] for line in told] == [answer.headers["Svc-Ref"] for answer in answers]
    assert {line["call_ref"] for line in told} == {CALLS_IT}
    assert all(line["ms"] >= 0 for line in told)
