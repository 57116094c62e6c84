"""From a delivery server's host name to addresses (T2): by DNS, by the system's own hosts, or as they stand."""

import asyncio
import socket
from dataclasses import dataclass
from ipaddress import ip_address

import dns.asyncresolver
import dns.exception
import dns.resolver

from daemon.clients.smtp_answers import Told
from daemon.clients.smtp_options import SmtpOptions
from domain.server_test import StepOutcome

MOST_ADDRESSES = 4
_TRY_S = 2.0  # for one answer of one nameserver; then the next is asked
_LOCAL = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a name leads to; `addresses` is empty unless `told` passes. IPv4 first, each once."""

    addresses: tuple[str, ...]
    told: Told


class Names:
    """A resolver. Never raises for what a name leads to."""

    def __init__(self, options: SmtpOptions) -> None:
        self._options = options

    async def resolve(self, hostname: str) -> Resolved:
        """The addresses of a host, A and AAAA asked at once."""
        host = hostname.strip().rstrip(".")
        literal = _literal(host)
        if literal is not None:
            return _found(host, [literal])
        if host.lower() == "localhost":
            return _found(host, list(_LOCAL))
        answered = await self._by_dns(host)
        if answered.addresses or self._options.nameservers:
            return answered
        return await self._by_system(host) or answered

    async def _by_dns(self, host: str) -> Resolved:
        try:
            resolver = self._resolver()
        except (dns.exception.DNSException, OSError) as error:
            return _error(f"no nameserver is known: {error}")
        asked = (resolver.resolve(host, kind, raise_on_no_answer=False) for kind in ("A", "AAAA"))
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, dns.exception.DNSException | OSError):
                raise answer
        return _judged(host, answers)

    def _resolver(self) -> dns.asyncresolver.Resolver:
        """Made anew each time: what the system's configuration names may have changed, and nothing is kept of it."""
        options = self._options
        resolver = dns.asyncresolver.Resolver(configure=not options.nameservers)
        if options.nameservers:
            resolver.nameservers = list(options.nameservers)
            resolver.port = options.dns_port
        resolver.timeout = min(_TRY_S, options.dns_timeout_s)
        resolver.lifetime = options.dns_timeout_s
        return resolver

    async def _by_system(self, host: str) -> Resolved | None:
        """Names that stand in the hosts file, or need a search domain, are as good for MailWizz."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._options.dns_timeout_s):
                found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError, UnicodeError):
            return None
        return _found(host, sorted((str(entry[4][0]) for entry in found), key=lambda address: ":" in address))


def _judged(host: str, answers: list[dns.resolver.Answer | BaseException]) -> Resolved:
    addresses = [
        record.to_text()
        for answer in answers
        if isinstance(answer, dns.resolver.Answer) and answer.rrset is not None
        for record in answer.rrset
    ]
    problems = [answer for answer in answers if isinstance(answer, BaseException)]
    if addresses:
        return _found(host, addresses)
    if any(isinstance(problem, dns.resolver.NXDOMAIN) for problem in problems):
        return _fail("nxdomain", f"{host} does not exist")
    if any(isinstance(problem, dns.exception.SyntaxError | dns.exception.FormError) for problem in problems):
        return _fail("malformed-hostname", f"{host[:100]!r} is no host name")
    if problems:
        return _error(f"{host}: {type(problems[0]).__name__}: {problems[0]}")
    return _fail("no-address", f"{host} has neither A nor AAAA")


def _literal(host: str) -> str | None:
    try:
        return str(ip_address(host.removeprefix("[").removesuffix("]")))
    except ValueError:
        return None


def _found(host: str, addresses: list[str]) -> Resolved:
    kept = tuple(dict.fromkeys(addresses))[:MOST_ADDRESSES]
    return Resolved(kept, Told(StepOutcome.PASS, "", f"{host}: {', '.join(kept)}"))


def _fail(kind: str, detail: str) -> Resolved:
    return Resolved((), Told(StepOutcome.FAIL, kind, detail, may_pass_later=True))


def _error(detail: str) -> Resolved:
    return Resolved((), Told(StepOutcome.ERROR, "resolver", detail, may_pass_later=True))
