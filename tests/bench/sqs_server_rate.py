"""Requests per second of the local SQS server, by raw sockets, with the server in a process of its own.

`python tests/bench/sqs_server_rate.py [--seconds 3] [--connections 8] [--depth 0]` prints one JSON object. `depth`
messages lie in the queue before and during the run, to show that its depth does not matter. The client shares the
machine, so the figures are a lower bound; `server_cpu_us` is the server's own processor time for one request.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

BODY = "x" * 600
Call = Callable[[str, object], Awaitable[dict[str, list[dict[str, str]]]]]
Step = Callable[[Call, str], Awaitable[int]]


async def send_one(call: Call, url: str) -> int:
    await call("SendMessage", {"QueueUrl": url, "MessageBody": BODY})
    return 1


async def send_ten(call: Call, url: str) -> int:
    entries = [{"Id": str(index), "MessageBody": BODY} for index in range(10)]
    await call("SendMessageBatch", {"QueueUrl": url, "Entries": entries})
    return 1


async def drain_ten(call: Call, url: str) -> int:
    got = await call("ReceiveMessage", {"QueueUrl": url, "MaxNumberOfMessages": 10, "AttributeNames": ["All"]})
    handles = [message["ReceiptHandle"] for message in got.get("Messages", [])]
    entries = [{"Id": str(index), "ReceiptHandle": handle} for index, handle in enumerate(handles)]
    if entries:
        await call("DeleteMessageBatch", {"QueueUrl": url, "Entries": entries})
    return 2 if entries else 1


async def receive_none(call: Call, url: str) -> int:
    await call("ReceiveMessage", {"QueueUrl": url + "-empty", "MaxNumberOfMessages": 10})
    return 1


async def connect(port: int) -> Call:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)

    async def call(operation: str, request: object) -> dict[str, list[dict[str, str]]]:
        body = json.dumps(request).encode()
        head = (
            f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/x-amz-json-1.0\r\n"
            f"X-Amz-Target: AmazonSQS.{operation}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        at = answer.index(b"Content-Length: ") + 16
        raw = await reader.readexactly(int(answer[at : answer.index(b"\r", at)]))
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(raw.decode())
        parsed: dict[str, list[dict[str, str]]] = json.loads(raw)
        return parsed

    return call


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(step: Step, calls: list[Call], url: str, seconds: float, pid: int) -> dict[str, float]:
    done = 0
    ends = time.perf_counter() + seconds

    async def work(call: Call) -> None:
        nonlocal done
        while time.perf_counter() < ends:
            requests = await step(call, url)
            done += requests

    cpu_before, began = cpu_s(pid), time.perf_counter()
    await asyncio.gather(*(work(call) for call in calls))
    took = time.perf_counter() - began
    return {"requests_per_s": round(done / took), "server_cpu_us": round((cpu_s(pid) - cpu_before) / done * 1e6, 1)}


async def run(options: argparse.Namespace) -> dict[str, object]:
    command = [sys.executable, "-m", "localstack.sqs", "--ledger-size", str(options.ledger_size)]
    server = await asyncio.create_subprocess_exec(
        *command, "--create", "rate", "rate-empty", stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    try:
        url = (await server.stdout.readline()).decode().split()[-1]
        calls = [await connect(int(url.rpartition(":")[2])) for _ in range(options.connections)]
        queue = f"{url}/000000000000/rate"
        for _ in range(options.depth // 10):
            await send_ten(calls[0], queue)
        steps: dict[str, Step] = {
            "send": send_one,
            "send_batch_10": send_ten,
            "receive_and_delete_10": drain_ten,
            "receive_empty": receive_none,
        }
        found: dict[str, object] = {}
        for name, step in steps.items():
            found[name] = await measure(step, calls, queue, options.seconds, server.pid)
        return {"depth": options.depth, "connections": options.connections, **found}
    finally:
        server.terminate()
        await server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--depth", type=int, default=0)
    parser.add_argument("--ledger-size", type=int, default=0)
    sys.stdout.write(json.dumps(asyncio.run(run(parser.parse_args())), indent=2) + "\n")


if __name__ == "__main__":
    main()
