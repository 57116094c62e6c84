"""The client of upstream services against a real SQS server and a real daemon."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from daemon.client import (
    AddOptOut,
    Command,
    CommandClient,
    CommandState,
    CreateStatusCheck,
    GetStatusCheck,
    ImportContacts,
    NotSent,
    RequestServerTest,
    RunCampaign,
)
from daemon.client.commands import TYPES
from daemon.client.over_http import HttpOutcomes
from daemon.client.over_sqs import open_queue
from daemon.client.sending import Entry
from daemon.contracts.schemas import schema_of
from domain.command_data import CommandData
from domain.errors import MessageError, RobotdError, Unavailable
from domain.messages import COMMANDS, reply_id
from domain.wire import MAX_MESSAGE_BYTES, iso
from localstack.sqs import SqsServer
from tests.command_api import command_api
from tests.contracts import problems_by_schema
from tests.world import MORNING_MS, World, world

ROOT = Path(__file__).parents[2]
ROBOT, STEP, SOURCE = 61001, 88120, "agenda-service"
QUEUE = "robotd-commands"
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")  # the library's advice


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The variables by which AWS's own tools find keys; the endpoint is set by who knows it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return monkeypatch


@pytest.fixture
async def server(aws: pytest.MonkeyPatch) -> AsyncIterator[SqsServer]:
    async with SqsServer() as opened:
        aws.setenv("AWS_ENDPOINT_URL_SQS", opened.url)
        opened.create_queue(QUEUE)
        yield opened


@asynccontextmanager
async def client_of(**options: Any) -> AsyncIterator[CommandClient]:
    """A client on the queue, which doesn't wait between its tries."""
    async with open_queue(QUEUE, region="eu-central-1") as queue:
        yield CommandClient(queue, SOURCE, **{"sleep": at_once, **options})


async def at_once(_seconds: float) -> None:
    """No pause."""


def bodies(server: SqsServer) -> list[dict[str, Any]]:
    return [json.loads(body) for body in server.bodies(QUEUE)]


def get(check_id: int) -> GetStatusCheck:
    return GetStatusCheck(robotId=ROBOT, statusCheckId=check_id)


def people(count: int, size: int) -> ImportContacts:
    """An import of `count` rows whose names have `size` characters each."""
    rows = [{"phoneNumber": "+999 00 0000001", "firstName": "N" * size} for _ in range(count)]
    return ImportContacts.model_validate({"userId": "user-1", "listName": "Spring", "rows": rows, "robotId": ROBOT})


async def test_a_command_arrives_as_its_contract_says(server: SqsServer) -> None:
    """One message: the envelope of the schema, the type and the trace beside it, the id that was returned."""
    async with client_of(traceparent=lambda: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") as client:
        given = await client.send(Command.of(get(7), id="a-1", call_ref="order"))
        made = await client.send(get(8))
    first, second = bodies(server)
    assert (first["id"], first["source"], first["type"], first["callref"]) == (
        "a-1",
        SOURCE,
        "status-check.get",
        "order",
    )
    assert given == "a-1"
    assert (second["id"], second["data"]) == (made, {"robotId": ROBOT, "statusCheckId": 8})
    assert re.fullmatch(r"[0-9a-f-]{36}", made)
    assert problems_by_schema("status-check.get", first) == problems_by_schema("status-check.get", second) == []
    attributes = {"type": "status-check.get", "traceparent": first["traceparent"]}
    assert dict(server.messages(QUEUE)[0].attributes) == attributes


def test_each_type_of_command_has_one_class(server: SqsServer) -> None:
    """Nothing that robotd understands is missing in the client, and no type stands there twice."""
    assert sorted(TYPES.values()) == sorted(COMMANDS)
    assert all(issubclass(data, COMMANDS[name]) for data, name in TYPES.items())


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (Command("status-check.get", {"robotId": 0}), "data.robotId: .*; data.statusCheckId: Field required"),
        (Command("status-check.get", {"robotId": ROBOT, "statusCheckId": 1, "robot": 1}), "data.robot: Extra inputs"),
        (Command("status-check.take", {}), "unknown type 'status-check.take'; known: campaign.cancel"),
        (Command.of(get(1), id="with blank"), "id: String should match"),
        (Command.of(get(1), call_ref="x" * 200), "callref: String should match"),
        (Command.of(get(1), traceparent="\u20ac"), "traceparent: String should match"),
        (CommandData(), "CommandData is no command; known: AddOptOut"),
        (people(1000, 1100), "contacts.import: has [0-9]+ bytes, SQS takes 1048576"),
        (AddOptOut(chatId="9990000001@c.us", replyTo="theirs"), "data.replyTo: theirs is none of the reply queues"),
        (AddOptOut(chatId="9990000001@c.us"), "neither robotId nor replyTo"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
async def test_what_is_wrong_is_never_sent(server: SqsServer, command: Command | CommandData, said: str) -> None:
    """The error names each path, and nothing is on the queue; not even the good one beside it."""
    async with client_of(reply_queues=["answers"], must_answer=True) as client:
        with pytest.raises(MessageError, match=said):
            await client.send(command)
        with pytest.raises(MessageError, match=f"command 1: .*{said}"):
            await client.send_many([get(1), command])
    assert bodies(server) == []


async def test_the_largest_command_that_fits_is_sent(server: SqsServer) -> None:
    """The size is counted as SQS counts it: one byte more is refused by both."""
    async with client_of(must_answer=False) as client:
        _, entry = client._entry(people(1000, 900))
        fits = people(1, MAX_MESSAGE_BYTES - client._entry(people(1, 0))[1].size)
        await client.send(Command.of(fits))
        data = Command.of(fits).data
        data["rows"][0]["firstName"] += "N"
        with pytest.raises(MessageError, match=f"has {MAX_MESSAGE_BYTES + 1} bytes"):
            await client.send(Command("contacts.import", data))
        body = server.bodies(QUEUE)[0]
        with pytest.raises(RobotdError, match="BatchRequestTooLong"):
            await client.queue.send([Entry(body.replace('"N', '"NN', 1), {"type": "contacts.import"})])
    assert entry.size < MAX_MESSAGE_BYTES
    assert server.counts(QUEUE).total == 1


async def test_many_go_in_batches_of_ten_and_of_one_mebibyte(server: SqsServer) -> None:
    """All arrive in order, in as few requests as SQS allows."""
    requests: list[int] = []
    async with client_of() as client:
        send = client.queue.send

        class Counting:
            async def send(self, entries: Any) -> Any:
                requests.append(len(entries))
                return await send(entries)

        counted = CommandClient(Counting(), SOURCE)
        sent = await counted.send_many([Command.of(get(check), id=f"a-{check}") for check in range(1, 26)])
        big = [people(400, 900) for _ in range(5)]
        assert [one.failure for one in await counted.send_many(big)] == [None] * 5
    assert requests == [10, 10, 5, 2, 2, 1]
    assert [one.id for one in sent] == [body["id"] for body in bodies(server)[:25]] == [f"a-{n}" for n in range(1, 26)]


async def test_what_is_in_failed_is_tried_again_and_alone(server: SqsServer) -> None:
    """With half of each batch refused, every command is there exactly once in the end."""
    server.faults.only = frozenset({"SendMessageBatch"})
    server.faults.partial_failure = 0.5
    async with client_of(tries=50) as client:
        sent = await client.send_many([Command.of(get(check), id=f"a-{check}") for check in range(1, 21)])
    assert [one.failure for one in sent] == [None] * 20
    assert sorted(body["id"] for body in bodies(server)) == sorted(one.id for one in sent)


@pytest.mark.parametrize("fault", ["error", "throttle", "reset", "lose_reply"])
async def test_after_the_last_try_it_says_so(server: SqsServer, fault: str) -> None:
    """`send` raises with the id to repeat it by, a batch tells of each; the trouble over, the same id is sent."""
    server.faults.only = frozenset({"SendMessageBatch"})
    setattr(server.faults, fault, 1.0)
    pauses: list[float] = []

    async def paused(seconds: float) -> None:
        pauses.append(seconds)

    async with client_of(tries=3, sleep=paused) as client:
        with pytest.raises(NotSent, match="the command a-1 was not sent: sqs: ") as raised:
            await client.send(Command.of(get(1), id="a-1"))
        assert raised.value.command_id == "a-1"
        assert len(pauses) == 2
        failed = await client.send_many([get(1), get(2)])
        assert all(one.failure for one in failed)
        setattr(server.faults, fault, 0.0)
        assert await client.send(Command.of(get(1), id="a-1")) == "a-1"
    ids = [body["id"] for body in bodies(server)]
    assert ids.count("a-1") == (4 if fault == "lose_reply" else 1)  # what it could not know was sent: robotd drops it


async def test_a_queue_that_is_not_there_is_told_at_once(server: SqsServer) -> None:
    """By name when it is opened; by URL when it is sent to, without another try."""
    with pytest.raises(RobotdError, match=r"SQS refuses: .*NonExistentQueue"):
        async with open_queue("nobody", region="eu-central-1"):
            pass
    async with open_queue(f"{server.url}/000000000000/nobody", region="eu-central-1") as queue:
        with pytest.raises(NotSent, match=r"SQS refuses: .*NonExistentQueue"):
            await CommandClient(queue, SOURCE, sleep=_never).send(get(1))


async def _never(_seconds: float) -> None:
    raise AssertionError("there is nothing to wait for")


async def test_nobody_to_be_asked_is_an_error(server: SqsServer) -> None:
    """Without `outcomes` the question can't be put."""
    async with client_of() as client:
        with pytest.raises(RobotdError, match="without `outcomes`"):
            await client.outcome("a-1")


@asynccontextmanager
async def asking(home: World, **sections: Any) -> AsyncIterator[CommandClient]:
    """A client whose questions are answered from the database of the world."""
    async with (
        command_api(home.database) as url,
        httpx.AsyncClient() as http,
        client_of(outcomes=HttpOutcomes(url, http)) as client,
    ):
        yield client


@pytest.fixture
async def home(aws: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path / "robotd.db", consumer={"max_attempts": 2}) as opened:
        aws.setenv("AWS_ENDPOINT_URL_SQS", opened.sqs.url)
        opened.managers.add_step(ROBOT, STEP, "TOILET_VISIT", past_interval_s=7200, future_interval_s=1800)
        yield opened


def create(scheduled_id: int, step_id: int = STEP) -> CreateStatusCheck:
    return CreateStatusCheck.model_validate(
        {
            "robotId": ROBOT,
            "stepId": step_id,
            "scheduledId": scheduled_id,
            "scriptVersionId": 5310,
            "plannedAt": iso(MORNING_MS),
        }
    )


async def test_the_outcome_of_a_command_follows_it_through_a_daemon(home: World) -> None:
    """Unknown before anybody has received it, then done or refused, with the ids of the very results that came."""
    async with asking(home) as client:
        await client.send(Command.of(create(1), id="c-1", call_ref="order"))
        assert (await client.outcome("c-1")).state is CommandState.UNKNOWN
        async with home.running():
            done = await client.settled("c-1", timeout_s=20)
            await client.send_many([Command.of(get(1), id="g-1"), Command.of(get(999), id="g-2")])
            await client.send(Command.of(create(1), id="c-2"))
            await home.quiet()
            answered, refused, again = [await client.outcome(name) for name in ("g-1", "g-2", "c-2")]
        other = await CommandClient(client.queue, "somebody-else", client.outcomes).outcome("c-1")
    told = home.results(ROBOT)
    assert (done.state, done.type, done.call_ref) == (CommandState.DONE, "status-check.create", "order")
    assert (refused.state, refused.kind) == (CommandState.REFUSED, "no-such-check")
    assert refused.reason == "robot 61001 has no status check 999"
    assert [*done.result_ids, *answered.result_ids, *refused.result_ids, *again.result_ids] == [
        each["id"] for each in told
    ]
    assert answered.result_ids == (reply_id(SOURCE, "g-1"),)
    assert other.state is CommandState.UNKNOWN


async def test_a_command_that_waits_for_a_neighbour_says_for_whom(home: World) -> None:
    """Not an attempt against it: it is waiting until the neighbour is back, then done."""
    home.managers.faults.fail("*", status=503)
    async with asking(home) as client, home.running():
        await client.send(Command.of(create(1), id="c-1"))
        waiting = await journalled(client, "c-1")
        assert (waiting.state, waiting.attempts) == (CommandState.WAITING, 0)
        assert "503" in (waiting.last_error or "")
        home.managers.faults.clear()
        assert (await client.settled("c-1", timeout_s=20)).state is CommandState.DONE


async def journalled(client: CommandClient, command_id: str) -> Any:
    async with asyncio.timeout(20):
        while (outcome := await client.outcome(command_id)).state is CommandState.UNKNOWN:
            continue
    return outcome


async def test_campaign_and_server_commands_are_refused_where_they_are_off(home: World) -> None:
    """Each kind of refusal reaches who asks, whatever the family."""
    async with asking(home) as client, home.running():
        await client.send(Command.of(RunCampaign(userId="user-1", campaignId=7), id="r-1"))
        await client.send(Command.of(RequestServerTest(serverId=7), id="s-1"))
        kinds = [(await client.settled(name, timeout_s=20)).kind for name in ("r-1", "s-1")]
    assert kinds == ["not-found", "servers-off"]


async def test_an_import_is_answered_by_the_result_that_it_names(home: World) -> None:
    """The ids that an outcome names are those of the queue."""
    data = {"userId": "user-1", "listName": "Spring", "rows": [{"phoneNumber": "+999 00 0000001"}], "robotId": ROBOT}
    async with asking(home) as client, home.running():
        await client.send(Command.of(ImportContacts.model_validate(data), id="i-1"))
        outcome = await client.settled("i-1", timeout_s=20)
        await home.quiet()
    assert outcome.note == "1 imported, 0 duplicates, 0 bad of 1 rows"
    assert [each["id"] for each in home.results(ROBOT)] == list(outcome.result_ids)


async def test_an_api_that_fails_or_is_another_is_told_apart(server: SqsServer) -> None:
    """What may be asked again is Unavailable; what is no use is an error that says what came."""
    async with httpx.AsyncClient() as http:
        with pytest.raises(Unavailable, match="ConnectError"):
            await HttpOutcomes("http://127.0.0.1:9", http).outcome(SOURCE, "a-1")
        with pytest.raises(RobotdError, match=r"answered 4[0-9]{2} to|no outcome"):
            await HttpOutcomes(server.url, http).outcome(SOURCE, "a-1")


EXAMPLES = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs" / "client.md").read_text(encoding="utf-8"), flags=re.DOTALL
)


async def run_example(number: int, folder: Path, more: Mapping[str, str]) -> str:
    """Run one example of docs/client.md as it stands there, in a process of its own. Returns what it printed."""
    file = folder / f"example_{number}.py"
    file.write_text(EXAMPLES[number], encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(file), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **more}
    )
    printed, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return printed.decode()


async def test_the_examples_of_the_page_do_what_it_says(home: World, tmp_path: Path) -> None:
    """Each runs as it stands there against a daemon that runs, and prints what became of its commands."""
    assert len(EXAMPLES) == 3
    async with command_api(home.database) as url, home.running():
        first, many, asked = [await run_example(number, tmp_path, {"OPS_URL": url}) for number in range(3)]
        await home.quiet()
    assert first == "visit-77001\n"
    assert many.splitlines() == ["get-1 sent", "get-2 sent", "get-3 sent"]
    assert asked == "refused no-such-check robot 61001 has no status check 999\n"
    types = [each["type"] for each in home.results(ROBOT)]
    assert (types[:2], sorted(types[2:])) == (["status-check.changed", "status-check.current"], ["error"] * 3)


def test_the_client_brings_nothing_of_the_daemon_along() -> None:
    """Importing it loads pydantic and the words of the wire: no library of AWS, HTTP or SQL, no other part of us."""
    script = (
        "import sys, daemon.client; "
        "print(*sorted({name.partition('.')[0] for name in sys.modules} | "
        "{name for name in sys.modules if name.startswith('daemon.')}))"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()  # noqa: S603  ourselves
    heavy = {"aiobotocore", "aiohttp", "aiomysql", "asteval", "botocore", "httpx", "rich", "structlog", "typer", "yaml"}
    assert heavy & set(loaded) == set()
    ours = {name for name in loaded if name.startswith("daemon.")}
    assert ours == {"daemon.client", "daemon.client.commands", "daemon.client.sending", "daemon.command_outcome"}
    assert "handlers" not in loaded


def test_what_the_client_takes_has_a_schema() -> None:
    """Each class of the client is a message of the contract."""
    assert all(schema_of(name)["properties"]["type"]["const"] == name for name in TYPES.values())
