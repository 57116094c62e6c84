"""The IP address that handed a mail over (T13): its name, and whether lists of bad senders have it."""

import asyncio
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from daemon.clients.dns_lookup import DnsFailedError, DnsLookup, reversed_labels
from domain.server_test import Finding, StepId, StepOutcome

_MOST_NAMES = 10
_ALWAYS_LISTED, _NEVER_LISTED = "2.0.0.127", "1.0.0.127"  # RFC 5782: how one sees that a list is alive, and no wildcard
_CODES, _REFUSALS = ip_network("127.0.0.0/8"), ip_network("127.255.255.0/24")


@dataclass(frozen=True, slots=True)
class Zones:
    """Lists of bad senders, by the domain under which they are asked. A listing in a hard one fails the step."""

    hard: tuple[str, ...] = ()
    soft: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Problem:
    outcome: StepOutcome
    kind: str
    detail: str


async def judge_address(address: str, zones: Zones, dns: DnsLookup) -> Finding:
    """FAIL where a hard zone lists it, ERROR where something can't be asked, WARN for the rest that is wrong."""
    async with asyncio.TaskGroup() as group:
        name = group.create_task(_name(address, dns))
        asked = [group.create_task(_listing(zone, address, StepOutcome.FAIL, dns)) for zone in zones.hard]
        asked += [group.create_task(_listing(zone, address, StepOutcome.WARN, dns)) for zone in zones.soft]
    problems = [problem for task in (*asked, name) if (problem := task.result()) is not None]
    if not problems:
        return Finding(StepId.ADDRESS, StepOutcome.PASS, detail=f"{address} has its name and is on no list")
    worst = min(problems, key=lambda problem: _GRAVITY.index(problem.outcome))
    return Finding(StepId.ADDRESS, worst.outcome, worst.kind, "; ".join(problem.detail for problem in problems))


_GRAVITY = (StepOutcome.FAIL, StepOutcome.ERROR, StepOutcome.WARN)


async def _name(address: str, dns: DnsLookup) -> _Problem | None:
    try:
        names = (await dns.names_of(address))[:_MOST_NAMES]
        kind = "A" if ip_address(address).version == 4 else "AAAA"  # noqa: PLR2004  the protocol's own number
        for name in names:
            if ip_address(address) in {ip_address(each) for each in await dns.addresses(name, kind)}:
                return None
    except DnsFailedError as error:
        return _Problem(StepOutcome.ERROR, "dns", str(error))
    if not names:
        return _Problem(StepOutcome.WARN, "no-ptr", f"{address} has no name")
    return _Problem(
        StepOutcome.WARN, "ptr-mismatch", f"{address} says it is {', '.join(names)}, which do not lead back"
    )


async def _listing(zone: str, address: str, if_listed: StepOutcome, dns: DnsLookup) -> _Problem | None:
    try:
        dead, lists_all, codes = await asyncio.gather(
            _codes(f"{_ALWAYS_LISTED}.{zone}", dns),
            _codes(f"{_NEVER_LISTED}.{zone}", dns),
            _codes(f"{reversed_labels(address)}.{zone}", dns),
        )
    except DnsFailedError as error:
        return _Problem(StepOutcome.ERROR, "zone-error", f"{zone}: {error}")
    refused = [code for code in (*dead, *codes) if ip_address(code) in _REFUSALS or ip_address(code) not in _CODES]
    if refused:
        return _Problem(StepOutcome.ERROR, "zone-error", f"{zone} refuses to tell: {', '.join(sorted(set(refused)))}")
    if not dead or lists_all:
        wrong = "does not list 127.0.0.2" if not dead else "lists 127.0.0.1, and so everybody"
        return _Problem(StepOutcome.ERROR, "zone-error", f"{zone} {wrong}")
    return _Problem(if_listed, "listed", f"{zone} lists {address}: {', '.join(codes)}") if codes else None


async def _codes(name: str, dns: DnsLookup) -> list[str]:
    return sorted(await dns.addresses(name, "A"))
