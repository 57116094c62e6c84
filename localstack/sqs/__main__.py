"""`python -m localstack.sqs`: the server in a process of its own, until SIGTERM or SIGINT."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence

from localstack.sqs.faults import Faults
from localstack.sqs.server import LEDGER_SIZE, SqsServer


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to end; returns the exit code."""
    asyncio.run(_serve(_parser().parse_args(arguments)))
    return 0


async def _serve(options: argparse.Namespace) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    server = SqsServer(
        options.host,
        options.port,
        Faults(seed=options.seed),
        ledger_size=options.ledger_size,
        swallow=not options.no_swallow,
    )
    async with server:
        for name in options.create:
            server.create_queue(name)
        sys.stdout.write(f"sqs server on {server.url}\n")
        sys.stdout.flush()
        await ended.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m localstack.sqs", description="A small SQS server.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--create", nargs="*", default=[], metavar="NAME", help="queues to start with")
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    parser.add_argument("--ledger-size", type=int, default=LEDGER_SIZE, help="0 keeps none")
    parser.add_argument("--no-swallow", action="store_true", help="a poll whose client hung up takes nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
