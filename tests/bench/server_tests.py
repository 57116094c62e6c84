"""Tests of delivery servers a second, beside a bare aiosmtplib and aioimaplib script that does the same exchange.

Run it as `python -m tests.bench.server_tests [exchanges] [--rounds N] [--json FILE]`, as root: it starts a Postfix
and a Dovecot of its own. An exchange is one mail by STARTTLS and AUTH over a connection of its own, and its arrival
seen by IMAP; four are under way at a time. The ways take turns within one run, so that a busy machine is busy for all.
"""

import argparse
import asyncio
import json
import ssl
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiosmtplib
from aioimaplib import aioimaplib

from daemon.clients.mailbox import ImapMailbox
from daemon.clients.mailbox_options import MailboxOptions
from daemon.clients.smtp_mail import probe_bytes
from daemon.clients.smtp_probe import AioSmtpProbe
from domain.server_test import StepOutcome
from tests.delivery_servers import OPTIONS, delivery_server, probe_mail
from tests.mail_host import MailHost, mail_host

IN_FLIGHT, PATIENCE_S = 4, 30.0
POLL_S = 0.05
Exchange = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Reading:
    """One round of one way."""

    way: str
    exchanges: int
    wall_s: float
    cpu_s: float
    median_ms: float
    worst_ms: float


@asynccontextmanager
async def robotd(host: MailHost) -> AsyncIterator[list[Exchange]]:
    """Our clients: every step a finding, the certificate looked at, one mailbox for all."""
    mailbox = ImapMailbox(
        MailboxOptions(
            "localhost",
            host.probe.name,
            host.probe.password,
            port=host.ports.imaps,
            certificate_file=str(host.authority),
        )
    )
    probe = AioSmtpProbe(OPTIONS)
    server = delivery_server(port=host.ports.starttls, username=host.sender.name, protocol="tls")

    async def exchange() -> None:
        mail = probe_mail()
        findings = await probe.deliver(server, host.sender.password, mail)
        found = await mailbox.find(mail.token, wait_s=PATIENCE_S)
        if findings[-1].outcome is not StepOutcome.PASS or found is None:
            raise RuntimeError(f"{findings} {found}")

    yield [exchange] * IN_FLIGHT
    await mailbox.close()


@asynccontextmanager
async def bare_idle(host: MailHost) -> AsyncIterator[list[Exchange]]:
    """The script as aioimaplib's documentation has it: search, and IDLE until the server announces something."""

    async def rest(line: Any) -> None:
        idling = await line.idle_start(timeout=PATIENCE_S)
        await line.wait_server_push()
        line.idle_done()
        await asyncio.wait_for(idling, PATIENCE_S)

    async with _bare(host, rest) as exchanges:
        yield exchanges


@asynccontextmanager
async def bare_poll(host: MailHost) -> AsyncIterator[list[Exchange]]:
    """The script that asks every 50 ms."""

    async def rest(_line: Any) -> None:
        await asyncio.sleep(POLL_S)

    async with _bare(host, rest) as exchanges:
        yield exchanges


@asynccontextmanager
async def _bare(host: MailHost, rest: Callable[[Any], Awaitable[None]]) -> AsyncIterator[list[Exchange]]:
    """A connection to the mailbox for each of the four, since two can't search over one."""
    trusting = ssl.create_default_context(cafile=str(host.authority))
    lines = [await _mailbox(host, trusting) for _ in range(IN_FLIGHT)]

    def exchange_over(line: Any) -> Exchange:
        async def exchange() -> None:
            mail = probe_mail()
            await aiosmtplib.send(
                probe_bytes(mail),
                sender=mail.envelope_from,
                recipients=[mail.to],
                hostname="127.0.0.1",
                port=host.ports.starttls,
                username=host.sender.name,
                password=host.sender.password,
                start_tls=True,
                tls_context=trusting,
                local_hostname="bare.test",
            )
            ends_s = time.monotonic() + PATIENCE_S
            while time.monotonic() < ends_s:
                await line.noop()
                found = (await line.uid_search("SUBJECT", mail.token, charset=None)).lines[0].split()
                if found:
                    fetched = await line.uid("fetch", found[0].decode(), "BODY.PEEK[]")
                    if mail.token.encode() in bytes(fetched.lines[1]):
                        return
                await rest(line)
            raise RuntimeError("it did not arrive")

        return exchange

    yield [exchange_over(line) for line in lines]
    for line in lines:
        await line.logout()


async def _mailbox(host: MailHost, trusting: ssl.SSLContext) -> Any:
    line = aioimaplib.IMAP4_SSL("localhost", host.ports.imaps, ssl_context=trusting)
    await line.wait_hello_from_server()
    await line.login(host.probe.name, host.probe.password)
    await line.select("INBOX")
    return line


WAYS = {"bare, IDLE": bare_idle, "bare, NOOP every 50 ms": bare_poll, "robotd": robotd}


async def _round(host: MailHost, way: str, count: int) -> Reading:
    took_ms: list[float] = []
    numbers = iter(range(count))

    async def worker(exchange: Exchange) -> None:
        for _ in numbers:
            began_s = time.perf_counter()
            await exchange()
            took_ms.append((time.perf_counter() - began_s) * 1000)

    async with WAYS[way](host) as exchanges:
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        await asyncio.gather(*map(worker, exchanges))
        wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    return Reading(way, count, wall_s, cpu_s, statistics.median(took_ms), max(took_ms))


async def _measure(host: MailHost, count: int, rounds: int) -> list[Reading]:
    for way in WAYS:
        await _round(host, way, 8)  # warm: processes of both servers, contexts, caches
    return [await _round(host, way, count) for _ in range(rounds) for way in WAYS]


def _table(readings: list[Reading]) -> str:
    """Medians of the rounds; the ratio is to the faster of the bare scripts."""
    lines = ["| way | exchanges/s | CPU ms each | median ms | worst ms |", "|---|---|---|---|---|"]
    rates: dict[str, float] = {}
    for way in WAYS:
        own = [reading for reading in readings if reading.way == way]
        rates[way] = statistics.median(reading.exchanges / reading.wall_s for reading in own)
        cpu_ms = statistics.median(reading.cpu_s / reading.exchanges for reading in own) * 1000
        median_ms = statistics.median(reading.median_ms for reading in own)
        worst_ms = max(reading.worst_ms for reading in own)
        lines.append(f"| {way} | {rates[way]:.1f} | {cpu_ms:.1f} | {median_ms:.0f} | {worst_ms:.0f} |")
    best = max(rate for way, rate in rates.items() if way != "robotd")
    return "\n".join([*lines, "", f"robotd does {rates['robotd'] / best:.2f} times what the faster bare script does."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("exchanges", nargs="?", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with mail_host() as host:
        readings = asyncio.run(_measure(host, asked.exchanges, asked.rounds))
    if asked.json:
        asked.json.write_text(json.dumps([asdict(reading) for reading in readings], indent=1))
    sys.stdout.write(_table(readings) + "\n")


if __name__ == "__main__":
    main()
