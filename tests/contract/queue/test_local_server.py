"""What only our server has: HTTP by hand, the peek, the ledger, the clock, the control endpoints, the process."""

import asyncio
import contextlib
import json
import signal
import sys
import urllib.parse
from collections.abc import Callable

import pytest

from localstack.sqs import SqsServer
from localstack.sqs.content import Content
from localstack.sqs.queues import Message, Queue
from localstack.sqs.settings import Settings
from tests.contract.queue.sqs import Connect, Sqs


class ManualClock:
    """Time that stands still until a test turns it."""

    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s


async def exchange(server: SqsServer, sent: bytes, until: bytes) -> bytes:
    """Send bytes over one connection and read until the answers hold `until`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    async with asyncio.timeout(5):
        writer.write(sent)
        received = await reader.readuntil(until)
    writer.close()
    await writer.wait_closed()
    return received


async def http(server: SqsServer, method: str, path: str, body: bytes = b"") -> tuple[int, object]:
    """One request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    async with asyncio.timeout(5):
        writer.write(head.encode() + body)
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    first, _, rest = answer.partition(b"\r\n\r\n")
    return int(first.split()[1]), json.loads(rest)


def request(operation: str, body: bytes, headers: str = "") -> bytes:
    """A request without a framing header of its own."""
    return f"POST / HTTP/1.1\r\nHost: x\r\nx-amz-target: AmazonSQS.{operation}\r\n{headers}\r\n".encode() + body


def counted(operation: str, body: bytes, headers: str = "") -> bytes:
    """A request with its Content-Length."""
    return request(operation, body, f"Content-Length: {len(body)}\r\n{headers}")


async def test_requests_on_one_connection_are_answered_in_order(server: SqsServer) -> None:
    """Three requests written at once, the first one waiting, get three answers in their order."""
    server.create_queue("q")
    waiting = json.dumps({"QueueUrl": "/q", "WaitTimeSeconds": 1}).encode()
    sent = counted("ReceiveMessage", waiting) + counted("ListQueues", b"{}") + counted("Nonsense", b"{}")
    received = await exchange(server, sent, b"is not supported here.")
    assert [received.count(part) for part in (b"200 OK", b"QueueUrls", b"400 Bad Request")] == [2, 1, 1]
    assert received.index(b"QueueUrls") < received.index(b"400 Bad Request")


async def test_a_chunked_body_is_read(server: SqsServer) -> None:
    """Chunks are put together, whatever their sizes."""
    body = b'b\r\n{"QueueName\r\n7;x=y\r\n": "q"}\r\n0\r\n\r\n'
    await exchange(server, request("CreateQueue", body, "Transfer-Encoding: chunked\r\n"), b"QueueUrl")
    assert server.queues() == ["q"]


async def test_a_client_that_expects_100_gets_it(server: SqsServer) -> None:
    """The go-ahead comes before the body is there."""
    head = request("ListQueues", b"", "Content-Length: 2\r\nExpect: 100-continue\r\n")
    assert (await exchange(server, head, b"\r\n\r\n")).startswith(b"HTTP/1.1 100 Continue")


async def test_a_request_may_come_in_small_pieces(server: SqsServer) -> None:
    """Nothing is answered before the last byte."""
    _, port = server.url.rsplit(":", 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
    for byte in counted("CreateQueue", b'{"QueueName": "q"}'):
        writer.write(bytes([byte]))
        await writer.drain()
    async with asyncio.timeout(5):
        assert b"QueueUrl" in await reader.readuntil(b"}")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "nonsense",
    [b"hello\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n", b"x" * 70_000],
    ids=["line", "length", "endless"],
)
async def test_what_is_no_http_is_refused_and_cut(server: SqsServer, nonsense: bytes) -> None:
    """A broken client gets 400 and the others are not disturbed."""
    assert (await exchange(server, nonsense, b"\r\n")).startswith(b"HTTP/1.1 400")
    assert (await http(server, "GET", "/_robotd/sqs/queues"))[0] == 200


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
async def test_what_is_no_json_object_is_refused(server: SqsServer, body: bytes) -> None:
    """The refusal is an AWS error, not a broken connection."""
    assert b"SerializationException" in await exchange(server, counted("ListQueues", body), b"}")


async def test_looking_at_messages_changes_nothing(ours: Sqs, server: SqsServer) -> None:
    """The peek shows all states, and the receive counts stay."""
    url = await ours.queue("q")
    for body, delay in (("a", 0), ("b", 0), ("c", 600)):
        await ours.send(url, body, DelaySeconds=delay)
    await ours.receive(url, limit=1)
    seen = [(message.body, message.state, message.receive_count) for message in server.messages("q")]
    assert seen == [("a", "in_flight", 1), ("b", "visible", 0), ("c", "delayed", 0)]
    assert server.bodies("q") == ["a", "b", "c"]
    assert server.messages("q")[1].receive_count == 0


async def test_the_ledger_tells_the_life_of_a_message(ours: Sqs, server: SqsServer) -> None:
    """Sent, received, changed, received, dead-lettered: each with queue, count and connection."""
    dead = await ours.queue("dead")
    url = await ours.redriven(dead, 1)
    message_id = (await ours.send(url))["MessageId"]
    await ours.hide(url, await ours.receive_one(url), 0)
    assert await ours.receive(url) == []
    await ours.delete(dead, await ours.receive_one(dead))
    life = server.ledger.of(message_id=message_id)
    assert [entry.action for entry in life] == [
        "sent",
        "received",
        "visibility_changed",
        "dead_lettered",
        "received",
        "deleted",
    ]
    assert [entry.receive_count for entry in life] == [0, 1, 1, 1, 2, 2]
    assert all(entry.connection > 0 for entry in life if entry.action != "dead_lettered")
    assert life[-1].queue == "dead"


async def test_the_ledger_is_bounded(connect: Connect) -> None:
    """The oldest entries go first, and with size 0 nothing is kept."""
    for size, expected in ((3, ["2", "3", "4"]), (0, [])):
        async with SqsServer(ledger_size=size) as server:
            server.create_queue("q")
            for index in range(5):
                server.send("q", str(index))
            assert [entry.body for entry in server.ledger] == expected


async def test_waiting_ends_with_the_change_that_was_waited_for(server: SqsServer) -> None:
    """A predicate is asked at each change, so that even a state that passes at once is seen."""
    server.create_queue("q")
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        seen = tasks.create_task(server.wait_until(lambda: server.counts("q").visible == 2))
        asyncio.get_running_loop().call_soon(lambda: [server.send("q", "x") for _ in range(3)])
    assert seen.done()
    assert server.counts("q").visible == 3


async def test_waiting_in_vain_says_what_there_was(server: SqsServer) -> None:
    """The timeout names the counts of the queues."""
    server.create_queue("q")
    server.send("q", "x")
    with pytest.raises(TimeoutError, match=r"'q': Counts\(visible=1, in_flight=0, delayed=0\)"):
        await server.wait_until(lambda: False, 0.05)


async def test_what_a_predicate_raises_reaches_the_one_who_waits(server: SqsServer) -> None:
    """An unknown queue in a predicate is told to the test, and the server goes on."""
    asked: list[int] = []

    def predicate() -> bool:
        asked.append(1)
        return len(asked) > 1 and server.counts("unknown").visible > 0

    asyncio.get_running_loop().call_soon(server.create_queue, "q")
    with pytest.raises(LookupError, match="unknown"):
        await server.wait_until(predicate)
    server.send("q", "x")


async def test_visibility_is_waited_for_without_any_request(ours: Sqs, server: SqsServer) -> None:
    """The server notices by itself that a message came back."""
    url = await ours.queue("q", VisibilityTimeout=1)
    await ours.send(url)
    await ours.receive_one(url)
    await server.wait_until(lambda: server.counts("q").visible == 1)


async def test_a_clock_turned_by_hand_moves_messages(connect: Connect) -> None:
    """Delay, visibility, and retention follow the clock; a waiting poll is served by the tick."""
    clock = ManualClock()
    async with SqsServer(clock=clock) as server, connect(server.url) as sqs:
        url = await sqs.queue("q", VisibilityTimeout=3600, MessageRetentionPeriod=86_400)
        await sqs.send(url, DelaySeconds=900)
        clock.now_s += 900
        first = await sqs.receive_one(url)
        async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
            poll = tasks.create_task(sqs.receive(url, 20))
            await server.wait_until(lambda: server.waiting("q") == 1)
            clock.now_s += 3600
            server.tick()
        assert poll.result()[0]["MessageId"] == first["MessageId"]
        clock.now_s += 86_400
        assert await sqs.receive(url) == []
        assert [entry.action for entry in server.ledger][-1] == "expired"


async def test_visibility_is_limited_from_the_receive_on(connect: Connect) -> None:
    """After one of twelve hours eleven are left: asking for twelve is refused, not cut."""
    clock = ManualClock()
    async with SqsServer(clock=clock) as server, connect(server.url) as sqs:
        url = await sqs.queue("q", VisibilityTimeout=43_200)
        await sqs.send(url)
        held = await sqs.receive_one(url)
        clock.now_s += 3600
        await sqs.hide(url, held, 39_600)
        with pytest.raises(Exception, match="beyond the limit"):
            await sqs.hide(url, held, 39_601)


async def test_too_many_messages_in_flight_are_refused(ours: Sqs, monkeypatch: pytest.MonkeyPatch) -> None:
    """OverLimit, until one of them is deleted."""
    monkeypatch.setattr("localstack.sqs.broker.MAX_IN_FLIGHT", 1)
    url = await ours.queue("q")
    for _ in range(2):
        await ours.send(url)
    held = await ours.receive(url, limit=1)
    with pytest.raises(ours.client.exceptions.OverLimit):
        await ours.receive(url)
    await ours.delete(url, held[0])
    assert len(await ours.receive(url)) == 1


async def test_other_processes_can_look(ours: Sqs, server: SqsServer) -> None:
    """Counts, messages and ledger by HTTP, without receiving anything."""
    await ours.send(await ours.queue("q"), "hello")
    assert await http(server, "GET", "/_robotd/sqs/queues") == (
        200,
        {"q": {"visible": 1, "in_flight": 0, "delayed": 0}},
    )
    status, messages = await http(server, "GET", "/_robotd/sqs/messages?queue=q")
    assert isinstance(messages, list)
    assert (status, [(each["body"], each["receive_count"]) for each in messages]) == (200, [("hello", 0)])
    _, ledger = await http(server, "GET", "/_robotd/sqs/ledger?action=sent")
    assert isinstance(ledger, list)
    assert [(each["action"], each["queue"]) for each in ledger] == [("sent", "q")]
    assert (await http(server, "GET", "/_robotd/sqs/messages?queue=none"))[0] == 404


async def test_other_processes_can_set_faults(server: SqsServer) -> None:
    """Fields, missing queues and hanging operations; a wrong one changes nothing."""
    body = {"duplicate": 0.2, "only": ["ReceiveMessage"], "missing_queues": ["robot-7"], "hang": ["SendMessage"]}
    status, now = await http(server, "POST", "/_robotd/sqs/faults", json.dumps(body).encode())
    assert status == 200
    assert isinstance(now, dict)
    assert {name: now[name] for name in body} == body
    assert (server.faults.duplicate, server.missing_queues, server.hang) == (0.2, {"robot-7"}, {"SendMessage"})
    status, _ = await http(server, "POST", "/_robotd/sqs/faults", b'{"hang": [], "typo": 1}')
    assert (status, server.hang) == (400, {"SendMessage"})


def filled(depth: int) -> tuple[Queue, list[Message]]:
    """A queue with so many messages received and still hidden for an hour."""
    content = Content("x", 1, "", {}, None, {}, None)
    queue = Queue("q", "arn", "seal", 0.0, Settings())
    for key in range(depth):
        queue.put(Message(key, str(key), content, 0.0, {}), 0.0)
    taken: list[Message] = []
    while (message := queue.pop()) is not None:
        queue.hide(message, 0.0, 3600)
        taken.append(message)
    return queue, taken


FORGET: dict[str, Callable[[Queue, Message], None]] = {
    "deleted": lambda queue, message: queue.remove(message),
    "extended": lambda queue, message: queue.hide(message, 1.0, 3600),
}


@pytest.mark.parametrize("how", FORGET)
def test_entries_left_behind_are_swept(how: str) -> None:
    """The heap stays within twice the living, however many were deleted or extended before they were due."""
    queue, messages = filled(5000)
    for _ in range(1 if how == "deleted" else 4):
        for message in messages:
            FORGET[how](queue, message)
    alive = len(list(queue))
    assert len(queue._heap) <= 2 * alive + 513
    assert (queue.counts.in_flight, queue.counts.visible) == (alive, 0)
    assert len(queue.promote(1e9)) == alive


def test_messages_deleted_while_visible_are_swept_from_the_line() -> None:
    """A late delete leaves nothing that the next receive would have to step over for long."""
    queue, messages = filled(5000)
    queue.promote(1e9)
    for message in messages[:-1]:
        queue.remove(message)
    assert len(queue._line) <= 1024
    assert queue.counts.visible == 1
    assert queue.pop() is messages[-1]


async def started(*arguments: str) -> tuple[asyncio.subprocess.Process, str]:
    """The server in a process of its own, and its URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "localstack.sqs", "--port", "0", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        line = (await process.stdout.readline()).decode()
    assert line.startswith("sqs server on http://127.0.0.1:")
    return process, line.split()[-1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_process_serves_and_ends_cleanly(connect: Connect, number: signal.Signals) -> None:
    """One line when ready, the queues that were asked for, exit code 0 on a signal even while a poll waits."""
    process, url = await started("--create", "commands", "results", "--seed", "7")
    try:
        assert urllib.parse.urlsplit(url).port
        async with connect(url) as sqs:
            assert len((await sqs.client.list_queues())["QueueUrls"]) == 2
            poll = asyncio.create_task(sqs.receive(f"{url}/000000000000/commands", 20))
            await sqs.send(f"{url}/000000000000/results")
            process.send_signal(number)
            async with asyncio.timeout(10):
                assert await process.wait() == 0
            poll.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await poll
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
