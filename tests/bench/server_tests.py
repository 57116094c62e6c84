"""Tests of delivery servers a second, beside a bare aiosmtplib and aioimaplib script that does the same exchange.

Run it as `python -m tests.bench.server_tests [exchanges] [--rounds N] [--json FILE] [--markdown FILE]`, as root: it
starts a Postfix and a Dovecot of its own. What is measured stands in docs/benchmarks.md, whose third part `--markdown`
writes. The ways take turns within one run, so that a busy machine is busy for all.
"""

import argparse
import asyncio
import json
import os
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiosmtplib
from aioimaplib import aioimaplib

from daemon.clients.mailbox import ImapMailbox
from daemon.clients.mailbox_options import MailboxOptions
from daemon.clients.smtp_mail import probe_bytes
from daemon.clients.smtp_probe import AioSmtpProbe
from domain.server_test import StepOutcome
from tests.bench import page
from tests.bench.server_cycle import Place, cycle
from tests.bench.spine import mariadb_if_there
from tests.bench.spine_report import machine
from tests.delivery_servers import OPTIONS, delivery_server, probe_mail
from tests.mail_host import MailHost, MailHostMissingError, mail_host
from tests.mariadb import MariaDb

IN_FLIGHT, PATIENCE_S = 4, 30.0
POLL_S = 0.05
Exchange = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Reading:
    """One round of one way. Of a cycle only the whole is known: its single tests wait for each other."""

    way: str
    exchanges: int
    wall_s: float
    cpu_s: float
    median_ms: float | None = None
    worst_ms: float | None = None


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


CLIENTS, CYCLE = "robotd's clients", "robotd, a cycle"
WAYS = {"bare, IDLE": bare_idle, "bare, NOOP every 50 ms": bare_poll, CLIENTS: robotd}
EXPLAINED = {
    "bare, IDLE": "aiosmtplib: STARTTLS, AUTH, one mail, a connection each; aioimaplib: search, IDLE, fetch, one each",
    "bare, NOOP every 50 ms": "the same, but the mailbox is asked again and again",
    CLIENTS: "robotd's SMTP probe and its mailbox: each step a finding, the certificate looked at, one mailbox for all",
    CYCLE: "the daemon of `robotd run`: command, run, claim, every step committed, history and status at MailWizz, end",
}


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


async def _cycle(host: MailHost, mariadb: MariaDb | None, count: int) -> Reading:
    with tempfile.TemporaryDirectory(prefix="robotd-bench-") as folder:
        done = await cycle(host, Place(Path(folder), mariadb), count)
    return Reading(CYCLE, done.servers, done.wall_s, done.cpu_s)


async def _measure(host: MailHost, count: int, rounds: int) -> list[Reading]:
    async with AsyncExitStack() as stack:
        mariadb = await asyncio.to_thread(mariadb_if_there, stack)
        for way in WAYS:
            await _round(host, way, 8)  # warm: processes of both servers, contexts, caches
        readings: list[Reading] = []
        for _ in range(rounds):
            readings += [await _round(host, way, count) for way in WAYS]
            readings.append(await _cycle(host, mariadb, count))
        return readings


def _table(readings: list[Reading]) -> str:
    """Medians of the rounds; the ratios are to the faster of the bare scripts, its rate and its CPU."""
    ways = {way: [one for one in readings if one.way == way] for way in (*WAYS, CYCLE)}
    rates = {way: statistics.median(one.exchanges / one.wall_s for one in own) for way, own in ways.items()}
    cpus = {way: statistics.median(one.cpu_s / one.exchanges for one in own) * 1000 for way, own in ways.items()}
    best = max((way for way in ways if way.startswith("bare")), key=lambda way: rates[way])
    lines = [
        "|  | tests/s | ms each | x bare | CPU ms each | x bare | median ms | worst ms |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for way, own in ways.items():
        medians = [one.median_ms for one in own if one.median_ms is not None]
        worst = [one.worst_ms for one in own if one.worst_ms is not None]
        lines.append(
            f"| {way} | {rates[way]:.1f} | {1000 / rates[way]:.0f} | {rates[way] / rates[best]:.2f} "
            f"| {cpus[way]:.1f} | {cpus[way] / cpus[best]:.2f} "
            f"| {f'{statistics.median(medians):.0f}' if medians else ''} | {f'{max(worst):.0f}' if worst else ''} |"
        )
    return "\n".join(lines)


SECTION = """{count} delivery servers that are all good, tested by the direct way against a real Postfix and a real
Dovecot on the same machine, {in_flight} at a time, which is the default of `server_tests.max_in_flight`. An exchange is
one mail by STARTTLS and AUTH over a connection of its own, and its arrival seen by IMAP over TLS.

| | what it does for each server |
| --- | --- |
{explained}

`x bare` compares with the faster of the bare scripts of the same run, which keep nothing and judge nothing. CPU is that
of the sending process, without Postfix, Dovecot and the databases. The scenarios take turns; each figure is the median
of {rounds} round(s), `worst ms` the worst of all.

### The last tests of servers

{at}, {machine}, load average of the machine {load:.1f} before the run.

{table}
"""


def _section(readings: list[Reading], rounds: int, load: float) -> str:
    return SECTION.format(
        count=readings[0].exchanges,
        in_flight=IN_FLIGHT,
        explained="\n".join(f"| {way} | {text} |" for way, text in EXPLAINED.items()),
        rounds=rounds,
        at=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=machine(),
        load=load,
        table=_table(readings),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("exchanges", nargs="?", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    try:
        with mail_host() as host:
            readings = asyncio.run(_measure(host, asked.exchanges, asked.rounds))
    except MailHostMissingError as missing:
        sys.stdout.write(f"tests of servers are left out: {missing}\n")
        return
    if asked.json:
        asked.json.write_text(json.dumps([asdict(reading) for reading in readings], indent=1))
    if asked.markdown:
        asked.markdown.write_text(page.with_servers(asked.markdown, _section(readings, asked.rounds, load)))
    sys.stdout.write(_table(readings) + "\n")


if __name__ == "__main__":
    main()
