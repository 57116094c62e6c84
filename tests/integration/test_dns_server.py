"""The stand-in for the domain name system answers as a real name server does, and fails as one does when told to."""

import asyncio
import socket
from collections.abc import AsyncIterator

import dns.asyncquery
import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import pytest

from localstack.dns import Asked, DnsFault, DnsServer

LARGE = [f'"{n:03}{"x" * 247}"' for n in range(20)]


@pytest.fixture
async def server() -> AsyncIterator[DnsServer]:
    """A name server with one name of each kind that matters."""
    zone = {
        ("a.test", "A"): ["192.0.2.1", "192.0.2.2"],
        ("alias.test", "CNAME"): ["a.test."],
        ("round.test", "CNAME"): ["round.test."],
        ("deep.below.test", "A"): ["192.0.2.3"],
        ("*.wild.test", "A"): ["127.0.0.2"],
        ("large.test", "TXT"): LARGE,
    }
    async with DnsServer(zone) as running:
        yield running


async def ask(server: DnsServer, name: str, kind: str = "A", *, over: str = "udp") -> dns.message.Message:
    query = dns.message.make_query(name, kind)
    send = dns.asyncquery.udp if over == "udp" else dns.asyncquery.tcp
    return await send(query, server.host, port=server.port, timeout=5)


def values(answer: dns.message.Message) -> list[str]:
    return sorted(record.to_text() for rrset in answer.answer for record in rrset)


@pytest.mark.parametrize("over", ["udp", "tcp"])
@pytest.mark.parametrize(
    ("name", "kind", "rcode", "expected"),
    [
        ("a.test", "A", dns.rcode.NOERROR, ["192.0.2.1", "192.0.2.2"]),
        ("A.TEST", "A", dns.rcode.NOERROR, ["192.0.2.1", "192.0.2.2"]),
        ("a.test", "MX", dns.rcode.NOERROR, []),
        ("alias.test", "A", dns.rcode.NOERROR, ["192.0.2.1", "192.0.2.2", "a.test."]),
        ("round.test", "A", dns.rcode.NOERROR, ["round.test."]),
        ("below.test", "A", dns.rcode.NOERROR, []),
        ("x.y.wild.test", "A", dns.rcode.NOERROR, ["127.0.0.2"]),
        ("wild.test", "A", dns.rcode.NOERROR, []),
        ("none.test", "A", dns.rcode.NXDOMAIN, []),
    ],
)
async def test_names_are_answered_as_the_zone_says(
    server: DnsServer, over: str, name: str, kind: str, rcode: int, expected: list[str]
) -> None:
    """Values, aliases, names that only have others below them, wildcards, and names that don't exist, either way."""
    answer = await ask(server, name, kind, over=over)
    assert (answer.rcode(), values(answer)) == (rcode, expected)
    assert server.asked == [Asked(name.lower(), kind, over)]


async def test_what_does_not_fit_is_cut_and_whole_over_tcp(server: DnsServer) -> None:
    """Over UDP an answer of 5,000 bytes is empty with the flag that says so; a resolver then asks over TCP."""
    assert (await ask(server, "large.test", "TXT")).flags & dns.flags.TC
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = [server.host], server.port
    assert sorted(record.to_text() for record in await resolver.resolve("large.test", "TXT")) == LARGE
    assert [asked.over for asked in server.asked] == ["udp", "udp", "tcp"]


@pytest.mark.parametrize(
    ("fault", "rcode"),
    [
        (DnsFault.SERVFAIL, dns.rcode.SERVFAIL),
        (DnsFault.REFUSED, dns.rcode.REFUSED),
        (DnsFault.NXDOMAIN, dns.rcode.NXDOMAIN),
    ],
)
async def test_a_fault_strikes_a_name_and_all_below_it_until_healed(
    server: DnsServer, fault: DnsFault, rcode: int
) -> None:
    """The code is that of the fault, other names are well, and after healing so is this one."""
    server.fail("below.test", fault)
    assert (await ask(server, "deep.below.test")).rcode() == rcode
    assert (await ask(server, "a.test")).rcode() == dns.rcode.NOERROR
    server.heal("below.test")
    assert values(await ask(server, "deep.below.test")) == ["192.0.2.3"]


async def test_a_silent_name_is_heard_and_not_answered(server: DnsServer) -> None:
    """The question arrives, which can be waited for, and nothing comes back."""
    server.fail("a.test", DnsFault.TIMEOUT)
    asking = asyncio.create_task(ask(server, "a.test"))
    await server.until_asked("a.test")
    server.heal()
    assert values(await ask(server, "a.test")) == ["192.0.2.1", "192.0.2.2"]
    assert not asking.done()
    asking.cancel()


async def test_a_slow_name_is_answered_late(server: DnsServer) -> None:
    """Not before the time that was set."""
    server.fail("a.test", DnsFault.SLOW)
    before_s = asyncio.get_running_loop().time()
    assert values(await ask(server, "a.test")) == ["192.0.2.1", "192.0.2.2"]
    assert asyncio.get_running_loop().time() - before_s >= server.slow_s


async def test_noise_is_not_answered_and_harms_nobody(server: DnsServer) -> None:
    """Bytes that are no question, over either protocol, leave the server as it was."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noisy:
        for noise in (b"", b"\x00", b"\xff" * 100, b"\x00" * 12):
            noisy.sendto(noise, (server.host, server.port))
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(b"\x00\x05noise\x00\x00\x00")
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    assert values(await ask(server, "a.test")) == ["192.0.2.1", "192.0.2.2"]
    assert len(server.asked) == 1


async def test_values_can_be_changed_and_taken_away(server: DnsServer) -> None:
    """The next question meets the new zone."""
    server.set({("a.test", "A"): ["192.0.2.9"], ("deep.below.test", "A"): []})
    assert values(await ask(server, "a.test")) == ["192.0.2.9"]
    assert (await ask(server, "deep.below.test")).rcode() == dns.rcode.NXDOMAIN


async def test_a_stopped_server_frees_its_port_and_leaves_no_connection(server: DnsServer) -> None:
    """A client that is still connected hears the end, and the same port can be had again."""
    async with DnsServer({}) as first:
        port = first.port
        reader, writer = await asyncio.open_connection(first.host, port)
    assert await reader.read() == b""
    writer.close()
    async with DnsServer({}, port=port) as second:
        assert second.url == f"dns://127.0.0.1:{port}"
