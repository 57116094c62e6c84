"""Questions to the domain name system for the checks of a mail, at the name servers that were named.

What doesn't exist is an empty answer; what can't be asked raises DnsFailedError. No answer is kept: that is the name
server's business.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdata
import dns.rdatatype
import dns.resolver
import dns.reversename

from domain.errors import RobotdError

_LONGEST_TRY_S = 2.0  # one lost packet must not cost the whole time


class DnsFailedError(RobotdError):
    """The name server gave no answer, or one that says it can't tell."""


@dataclass(frozen=True, slots=True)
class NameServers:
    """Whom to ask, as IP addresses; none means those of the machine. `timeout_s` bounds one question."""

    addresses: tuple[str, ...] = ()
    port: int = 53
    timeout_s: float = 5.0


class DnsLookup:
    """Asks; made once, for any number of questions at a time."""

    def __init__(self, servers: NameServers) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=not servers.addresses)
        if servers.addresses:
            self._resolver.nameservers = list(servers.addresses)
            self._resolver.port = servers.port
        self._resolver.lifetime = servers.timeout_s
        self._resolver.timeout = min(_LONGEST_TRY_S, servers.timeout_s)

    async def ask(self, name: str, kind: str) -> list[dns.rdata.Rdata]:
        """The records of a name, aliases followed; empty where there are none. Raises DnsFailedError."""
        try:
            wanted = dns.name.from_text(f"{name.rstrip('.')}.")
        except (dns.exception.DNSException, UnicodeError):
            return []  # no name at all: a label too long, an empty one, letters that no domain has
        try:
            answer = await self._resolver.resolve(wanted, kind, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer, dns.resolver.YXDOMAIN):
            return []
        except dns.resolver.NoNameservers:
            raise DnsFailedError(f"no name server can tell {kind} of {name}") from None
        except dns.exception.Timeout:
            raise DnsFailedError(f"no answer in {self._resolver.lifetime:g} s to {kind} of {name}") from None
        except (dns.exception.DNSException, OSError) as error:
            raise DnsFailedError(f"{kind} of {name} can't be asked for: {error}") from None
        return list(answer)

    async def texts(self, name: str) -> list[bytes]:
        """TXT records, the pieces of each put together. Raises DnsFailedError."""
        return [b"".join(record.strings) for record in await self.ask(name, "TXT") if hasattr(record, "strings")]

    async def addresses(self, name: str, kind: str) -> list[str]:
        """A or AAAA records. Raises DnsFailedError."""
        return [record.to_text() for record in await self.ask(name, kind)]

    async def names_of(self, address: str) -> list[str]:
        """The names that an IP address says it has, lower case. Raises DnsFailedError."""
        records = await self.ask(dns.reversename.from_address(address).to_text(), "PTR")
        return [record.to_text().rstrip(".").lower() for record in records]


def reversed_labels(address: str) -> str:
    """An IP address as lists of addresses are asked for it: its parts from right to left."""
    reverse: Sequence[bytes] = dns.reversename.from_address(address).labels
    return b".".join(reverse[:-3]).decode("ascii")  # without in-addr or ip6, arpa, and the root
