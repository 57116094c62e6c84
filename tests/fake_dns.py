"""A DNS server on a high port that knows what a test tells it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

SERVFAIL = "SERVFAIL"
SILENT = "SILENT"


class FakeDns(asyncio.DatagramProtocol):
    """`records`: (name, type) to values, or to SERVFAIL or SILENT. A name of which nothing is known does not exist."""

    def __init__(self, records: dict[tuple[str, str], list[str] | str]) -> None:
        self.records = records
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        asked = query.question[0]
        name = asked.name.to_text(omit_final_dot=True).lower()
        values = self.records.get((name, dns.rdatatype.to_text(asked.rdtype)), [])
        if values == SILENT:
            return
        answer = dns.message.make_response(query, recursion_available=True)
        if isinstance(values, str):
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif values:
            answer.answer.append(dns.rrset.from_text(asked.name, 60, "IN", asked.rdtype, *values))
        elif not any(known == name for known, _ in self.records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        assert self._transport is not None
        self._transport.sendto(answer.to_wire(), address)


@asynccontextmanager
async def fake_dns(records: dict[tuple[str, str], list[str] | str]) -> AsyncIterator[FakeDns]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: FakeDns(records), local_addr=("127.0.0.1", 0))
    try:
        yield server
    finally:
        transport.close()
