"""A stand-in for the domain name system: one small real server over UDP and TCP, whose names and faults are scripted.

It answers with authority for the zone that it was given, and NXDOMAIN for the rest; it asks nobody.
"""

import asyncio
import struct
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from localstack.bell import Bell
from localstack.server import options, serve_until_signalled

Zone = Mapping[tuple[str, str], Sequence[str]]
"""Values by (name, type), as a zone file spells them: `("a.test", "A"): ["192.0.2.1"]`, `("a.test", "TXT"): ['"x"']`.

A name `*.a.test` stands for all below `a.test` that have no value of any type.
"""
Reply = Callable[[bytes], None]
_TTL_S = 60
_PLAIN_UDP = 512  # bytes that a client takes who says no number
_LARGEST_UDP = 1232
_MOST_ALIASES = 8
_PORTS_TRIED = 20


class DnsFault(StrEnum):
    """What can be wrong with the answers about a name."""

    SERVFAIL = "servfail"
    REFUSED = "refused"
    NXDOMAIN = "nxdomain"
    TIMEOUT = "timeout"
    SLOW = "slow"
    TRUNCATED = "truncated"


@dataclass(frozen=True, slots=True)
class Asked:
    """One question as it came. `over`: udp or tcp."""

    name: str
    type: str
    over: str


class DnsServer:
    """A name server on a local port, the same for UDP and TCP; 0 takes any free one."""

    def __init__(self, zone: Zone | None = None, host: str = "127.0.0.1", port: int = 0) -> None:
        self.asked: list[Asked] = []
        self.slow_s = 0.2
        self._host, self._wanted_port = host, port
        self._values: dict[tuple[str, str], tuple[str, ...]] = {}
        self._faults: dict[str, DnsFault] = {}
        self._bell = Bell()
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._late: set[asyncio.Task[None]] = set()
        self._streams: dict[asyncio.StreamWriter, asyncio.Event] = {}
        self.set(zone or {})

    async def __aenter__(self) -> Self:
        for attempt in range(1, _PORTS_TRIED + 1):
            self._tcp = await asyncio.start_server(self._serve_stream, self._host, self._wanted_port)
            port: int = self._tcp.sockets[0].getsockname()[1]
            try:
                self._udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                    lambda: _Datagrams(self), local_addr=(self._host, port)
                )
            except OSError:  # somebody has that number for UDP
                self._tcp.close()
                if self._wanted_port or attempt == _PORTS_TRIED:
                    raise
            else:
                return self
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def __aexit__(self, *error: object) -> None:
        for task in tuple(self._late):
            task.cancel()
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        ended = list(self._streams.values())
        for writer in tuple(self._streams):
            writer.close()
        for each in ended:
            await each.wait()
        await asyncio.gather(*self._late, return_exceptions=True)

    @property
    def host(self) -> str:
        """The address on which it listens."""
        return self._host

    @property
    def port(self) -> int:
        """Its port, for UDP and for TCP."""
        if self._tcp is None or not self._tcp.sockets:
            raise RuntimeError("the name server is not running")
        port: int = self._tcp.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"dns://{self.host}:{self.port}"

    def set(self, zone: Zone) -> None:
        """Add names, or give names other values; no values at all take a name away."""
        for (name, kind), values in zone.items():
            key = (_plain(name), kind.upper())
            self._values.pop(key, None)
            if values:
                self._values[key] = tuple(values)

    def fail(self, name: str, fault: DnsFault) -> None:
        """From now on questions about this name, and about all below it, meet the fault."""
        self._faults[_plain(name)] = fault

    def heal(self, *names: str) -> None:
        """End the faults of these names; without names, all."""
        for name in names or tuple(self._faults):
            self._faults.pop(_plain(name), None)

    async def until_asked(self, name: str) -> None:
        """Return as soon as somebody has asked about this name."""
        await self._bell.until(lambda: any(asked.name == _plain(name) for asked in self.asked))

    def accept(self, wire: bytes, over: str, reply: Reply) -> None:
        """Take one question; the answer goes to `reply` now, late or never."""
        try:
            query = dns.message.from_wire(wire)
            question = query.question[0]
        except (dns.exception.DNSException, IndexError, struct.error):
            return  # as real ones do: what is no question gets no answer
        name = _plain(question.name.to_text())
        self.asked.append(Asked(name, dns.rdatatype.to_text(question.rdtype), over))
        self._bell.ring()
        fault = self._fault_of(name)
        if fault is DnsFault.TIMEOUT:
            return
        answer = self._answer(query, fault)
        answer_wire = _fitting(query, answer, over, is_cut=fault is DnsFault.TRUNCATED)
        if fault is DnsFault.SLOW:
            task = asyncio.create_task(self._reply_late(answer_wire, reply))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        else:
            reply(answer_wire)

    async def _reply_late(self, wire: bytes, reply: Reply) -> None:
        await asyncio.sleep(self.slow_s)
        reply(wire)

    def _fault_of(self, name: str) -> DnsFault | None:
        labels = name.split(".")
        return next(
            (fault for n in range(len(labels)) if (fault := self._faults.get(".".join(labels[n:]))) is not None), None
        )

    def _answer(self, query: dns.message.Message, fault: DnsFault | None) -> dns.message.Message:
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.AA | dns.flags.RA
        question = query.question[0]
        refused = {
            DnsFault.SERVFAIL: dns.rcode.SERVFAIL,
            DnsFault.REFUSED: dns.rcode.REFUSED,
            DnsFault.NXDOMAIN: dns.rcode.NXDOMAIN,
        }
        if fault in refused:
            answer.set_rcode(refused[fault])
            return answer
        name = _plain(question.name.to_text())
        answer.answer = list(self._rrsets(name, dns.rdatatype.to_text(question.rdtype)))
        if not answer.answer and not self._exists(name):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer

    def _rrsets(self, name: str, kind: str) -> Iterable[dns.rrset.RRset]:
        for _ in range(_MOST_ALIASES):
            if values := self._lookup(name, kind):
                yield dns.rrset.from_text(f"{name}.", _TTL_S, "IN", kind, *values)
                return
            alias = self._lookup(name, "CNAME")
            if not alias:
                return
            yield dns.rrset.from_text(f"{name}.", _TTL_S, "IN", "CNAME", *alias)
            name = _plain(alias[0])

    def _lookup(self, name: str, kind: str) -> tuple[str, ...]:
        if (name, kind) in self._values or self._exists(name):
            return self._values.get((name, kind), ())
        labels = name.split(".")
        wild = (("*." + ".".join(labels[n:]), kind) for n in range(1, len(labels)))
        return next((self._values[key] for key in wild if key in self._values), ())

    def _exists(self, name: str) -> bool:
        return any(known == name or known.endswith(f".{name}") for known, _ in self._values)

    async def _serve_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:

        def reply(wire: bytes) -> None:
            if not writer.is_closing():
                writer.write(struct.pack("!H", len(wire)) + wire)

        ended = self._streams[writer] = asyncio.Event()
        try:
            while True:
                (size,) = struct.unpack("!H", await reader.readexactly(2))
                self.accept(await reader.readexactly(size), "tcp", reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has what it wanted
        finally:
            del self._streams[writer]
            ended.set()
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # in 3.11 it is none to isinstance

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.accept(data, "udp", lambda wire: self._send(wire, addr))

    def _send(self, wire: bytes, to: tuple[str, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(wire, to)


def _plain(name: str) -> str:
    return name.rstrip(".").lower()


def _fitting(query: dns.message.Message, answer: dns.message.Message, over: str, *, is_cut: bool) -> bytes:
    """The answer as it may travel; over UDP what is too large leaves empty, with the flag that says so."""
    wire = answer.to_wire()
    most = min(max(query.payload, _PLAIN_UDP), _LARGEST_UDP)
    if over == "tcp" or (len(wire) <= most and not is_cut):
        return wire
    short = dns.message.make_response(query)
    short.flags |= dns.flags.AA | dns.flags.RA | dns.flags.TC
    return short.to_wire()


def _values_of(lines: Iterable[str]) -> Zone:
    zone: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        name, kind, value = line.split(maxsplit=2)
        zone.setdefault((name, kind), []).append(value)
    return zone


async def _main(arguments: Sequence[str]) -> None:
    parser = options("dns")
    parser.add_argument("--record", action="append", default=[], help="'<name> <type> <value>'; may be repeated")
    asked = parser.parse_args(arguments)
    await serve_until_signalled("dns", DnsServer(_values_of(asked.record), asked.host, asked.port))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
