"""What a mail that arrived proves of its server (T9 to T14), as the domain's `MailChecks`.

Needs the extra `mail`: who has not installed it must not import this module.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from daemon.clients.dns_lookup import DnsFailedError, DnsLookup, NameServers
from daemon.clients.mail_address import Zones, judge_address
from daemon.clients.mail_dkim import Signature, SignatureState, signatures_of
from daemon.clients.mail_spf import Envelope, SpfResult, spf_of
from domain.dmarc import Record, ends_walk, names_to_ask, organization_of, policy_for, record_of
from domain.mail_headers import Headers, Received, author_domain, headers_of, topmost_received, unsubscribe_of
from domain.results_header import own_results
from domain.server_ports import Arrived
from domain.server_test import Finding, StepId, StepOutcome

_SPF_OUTCOMES = {
    "pass": StepOutcome.PASS,
    "fail": StepOutcome.FAIL,
    "permerror": StepOutcome.FAIL,
    "temperror": StepOutcome.ERROR,
}
_UNSUBSCRIBE_HEADERS = frozenset({"list-unsubscribe", "list-unsubscribe-post"})


@dataclass(frozen=True, slots=True)
class MailCheckOptions:
    """What the checks go by. Empty `own_mx` and no `authserv_id`: what needs them is skipped.

    `own_mx`: the host names behind `by` in the Received headers of our own mail server, the one that strangers connect
    to. `authserv_id`: the name that it signs its Authentication-Results with. `step_s` bounds each step.
    """

    name_servers: NameServers = field(default_factory=NameServers)
    own_mx: tuple[str, ...] = ()
    authserv_id: str | None = None
    zones: Zones = field(default_factory=Zones)
    step_s: float = 20.0


@dataclass(slots=True)
class _Case:
    """One mail, and what the steps have learnt of it for those that follow. None: not known, or not to be known."""

    arrived: Arrived
    headers: Headers
    author: str
    received: Received | None
    signatures: list[Signature] | None = None
    spf: SpfResult | None = None
    dmarc_passes: bool | None = None
    walks: dict[str, dict[str, Record]] = field(default_factory=dict)

    def signatures_that_are(self, state: SignatureState) -> list[Signature]:
        return [signature for signature in self.signatures or () if signature.state is state]


class DnsMailChecks:
    """Judges one mail at a time or many; keeps nothing between them."""

    def __init__(self, options: MailCheckOptions) -> None:
        self._options = options
        self._dns = DnsLookup(options.name_servers)

    async def check(self, arrived: Arrived) -> Sequence[Finding]:
        """T9 to T14 in order, one finding each; never raises for what the mail holds or name servers do."""
        headers = headers_of(arrived.mail.raw)
        author = author_domain(headers) or arrived.server.from_domain
        case = _Case(arrived, headers, author, topmost_received(headers, self._options.own_mx))
        async with asyncio.TaskGroup() as group:
            alone = [
                group.create_task(self._step(step, judge, case))
                for step, judge in (
                    (StepId.DKIM, self._dkim),
                    (StepId.SPF, self._spf),
                    (StepId.ADDRESS, self._address),
                )
            ]
        dkim, spf, address = (task.result() for task in alone)
        dmarc = await self._step(StepId.DMARC, self._dmarc, case)
        results = await self._step(StepId.RESULTS_HEADER, self._results_header, case)
        return (dkim, spf, dmarc, results, address, await self._step(StepId.UNSUBSCRIBE, self._unsubscribe, case))

    async def _step(self, step: StepId, judge: Callable[[_Case], Awaitable[Finding]], case: _Case) -> Finding:
        clock = asyncio.get_running_loop().time
        started_s = clock()
        try:
            async with asyncio.timeout(self._options.step_s):
                finding = await judge(case)
        except TimeoutError:
            finding = Finding(step, StepOutcome.ERROR, "too-slow", f"not done after {self._options.step_s:g} s")
        except DnsFailedError as error:
            finding = Finding(step, StepOutcome.ERROR, "dns", str(error))
        except Exception as error:  # noqa: BLE001  a check that breaks on a strange mail judges no server, and says so
            finding = Finding(step, StepOutcome.ERROR, "broken-check", f"{type(error).__name__}: {error}")
        return replace(finding, ms=round((clock() - started_s) * 1000))

    async def _dkim(self, case: _Case) -> Finding:
        case.signatures = await signatures_of(case.arrived.mail.raw, self._dns)
        valid = case.signatures_that_are(SignatureState.VALID)
        for signature in sorted(valid, key=lambda each: each.domain != case.author):
            if await self._belong_together(case, signature.domain, case.author):
                return Finding(StepId.DKIM, StepOutcome.PASS, detail=f"signed by {signature.domain}")
        for state, outcome, kind in (
            (SignatureState.UNKNOWN, StepOutcome.ERROR, "not-known"),
            (SignatureState.BROKEN, StepOutcome.FAIL, "broken-signature"),
        ):
            if bad := case.signatures_that_are(state):
                return Finding(StepId.DKIM, outcome, kind, "; ".join(f"{each.domain}: {each.detail}" for each in bad))
        lacking = StepOutcome.FAIL if case.arrived.by_campaign else StepOutcome.WARN  # directly, MailWizz signs nothing
        if valid:
            domains = ", ".join(signature.domain for signature in valid)
            return Finding(StepId.DKIM, lacking, "not-aligned", f"signed by {domains} alone, but from {case.author}")
        return Finding(StepId.DKIM, lacking, "unsigned", "no signature")

    async def _spf(self, case: _Case) -> Finding:
        received = case.received
        if received is None or received.address is None:
            return self._without_address(StepId.SPF, received)
        envelope = Envelope(received.address, case.arrived.envelope_from, received.helo or "")
        if not envelope.domain:
            return Finding(StepId.SPF, StepOutcome.WARN, "none", "no envelope sender, and the client gave no name")
        result = case.spf = await spf_of(envelope, self._dns)
        outcome = _SPF_OUTCOMES.get(result.word, StepOutcome.WARN)
        detail = f"{result.word} for {received.address} of {result.domain}: {result.detail}"
        return Finding(StepId.SPF, outcome, result.word, detail)

    async def _address(self, case: _Case) -> Finding:
        received = case.received
        if received is None or received.address is None:
            return self._without_address(StepId.ADDRESS, received)
        return await judge_address(received.address, self._options.zones, self._dns)

    def _without_address(self, step: StepId, received: Received | None) -> Finding:
        if not self._options.own_mx:
            return Finding(step, StepOutcome.SKIP, "no-own-mx", "the settings name no mail server of our own")
        own = ", ".join(self._options.own_mx)
        detail = f"no Received header by {own}" if received is None else f"{received.by} notes no address"
        return Finding(step, StepOutcome.ERROR, "no-address", detail)

    async def _dmarc(self, case: _Case) -> Finding:
        if not case.author:
            return Finding(StepId.DMARC, StepOutcome.FAIL, "no-author", "From names no single domain")
        policy = policy_for(case.author, await self._walk(case, case.author))
        if policy is None:
            return Finding(StepId.DMARC, StepOutcome.WARN, "no-record", f"{case.author} has no DMARC record")
        name, record = policy
        demands = record.policy if name == case.author else record.subdomain_policy
        aligned = await self._aligned(case, record)
        if aligned is None:
            is_left_out = not self._options.own_mx and not case.signatures_that_are(SignatureState.UNKNOWN)
            outcome = StepOutcome.SKIP if is_left_out else StepOutcome.ERROR
            return Finding(StepId.DMARC, outcome, "not-known", "DKIM or SPF is not known, so neither is DMARC")
        case.dmarc_passes = bool(aligned)
        if aligned:
            detail = f"aligned by {aligned}; p={demands} at {name}"
            return Finding(StepId.DMARC, StepOutcome.PASS, detail=detail)
        detail = f"neither DKIM nor SPF passes for {case.author}; p={demands} at {name}"
        return Finding(StepId.DMARC, StepOutcome.FAIL, "not-aligned", detail)

    async def _aligned(self, case: _Case, record: Record) -> str | None:
        """What is aligned; '' for nothing, None where that can't be told."""
        for signature in case.signatures_that_are(SignatureState.VALID):
            if await self._is_aligned(case, signature.domain, is_strict=record.is_strict_dkim):
                return "DKIM"
        spf = case.spf
        if (
            spf is not None
            and spf.word == "pass"
            and await self._is_aligned(case, spf.domain, is_strict=record.is_strict_spf)
        ):
            return "SPF"
        is_spf_known = spf is not None and spf.word != "temperror"
        is_dkim_known = case.signatures is not None and not case.signatures_that_are(SignatureState.UNKNOWN)
        return "" if is_spf_known and is_dkim_known else None

    async def _is_aligned(self, case: _Case, domain: str, *, is_strict: bool) -> bool:
        return domain == case.author if is_strict else await self._belong_together(case, domain, case.author)

    async def _belong_together(self, case: _Case, one: str, other: str) -> bool:
        if one == other:
            return True
        return organization_of(one, await self._walk(case, one)) == organization_of(
            other, await self._walk(case, other)
        )

    async def _walk(self, case: _Case, domain: str) -> dict[str, Record]:
        """The DMARC records of a domain and those above it, as far as RFC 9989 looks; asked once for each mail."""
        if domain not in case.walks:
            found: dict[str, Record] = {}
            for name in names_to_ask(domain):
                record = record_of(await self._dns.texts(f"_dmarc.{name}"))
                if record is not None:
                    found[name] = record
                if ends_walk(record):
                    break
            case.walks[domain] = found
        return case.walks[domain]

    async def _results_header(self, case: _Case) -> Finding:
        step, authserv_id = StepId.RESULTS_HEADER, self._options.authserv_id
        if not authserv_id:
            return Finding(step, StepOutcome.SKIP, "no-authserv-id", "the settings name no id of our own mail server")
        results = own_results(case.headers, authserv_id, self._options.own_mx)
        if results is None:
            return Finding(step, StepOutcome.WARN, "missing", f"no Authentication-Results by {authserv_id}")
        differing, compared = [], []
        for method, ours in _our_results(case).items():
            said = {result for name, result in results if name == method}
            if said:
                compared.append(method)
            if said and (ours == "pass") != ("pass" in said):
                differing.append(f"{method} is {'/'.join(sorted(said))} there, {ours} here")
        if differing:
            return Finding(step, StepOutcome.WARN, "differs", "; ".join(differing))
        if not compared:
            return Finding(step, StepOutcome.WARN, "nothing-to-compare", f"{authserv_id} tells nothing that we know")
        return Finding(step, StepOutcome.PASS, detail=f"{authserv_id} agrees on {', '.join(compared)}")

    async def _unsubscribe(self, case: _Case) -> Finding:
        step, said = StepId.UNSUBSCRIBE, unsubscribe_of(case.headers)
        if not case.arrived.by_campaign:
            return Finding(step, StepOutcome.SKIP, "direct", "a probe is on no list")
        problem = None
        if said.is_repeated:
            problem = "repeated", "a header of it stands there more than once"
        elif not said.is_https:
            problem = "no-https", "List-Unsubscribe has no https address"
        elif not said.is_one_click:
            problem = "no-one-click", "List-Unsubscribe-Post does not say One-Click"
        if problem is not None:
            return Finding(step, StepOutcome.WARN, *problem)
        if any(
            signature.signed >= _UNSUBSCRIBE_HEADERS for signature in case.signatures_that_are(SignatureState.VALID)
        ):
            return Finding(step, StepOutcome.PASS, detail="one click over https, both headers signed")
        if case.signatures is None or case.signatures_that_are(SignatureState.UNKNOWN):
            return Finding(step, StepOutcome.ERROR, "not-known", "whether the headers are signed can't be told")
        return Finding(step, StepOutcome.WARN, "not-signed", "no valid DKIM signature covers both headers")


def _our_results(case: _Case) -> dict[str, str]:
    """Method and result, of what is known."""
    ours = {}
    if case.signatures is not None and not case.signatures_that_are(SignatureState.UNKNOWN):
        ours["dkim"] = "pass" if case.signatures_that_are(SignatureState.VALID) else "no pass"
    if case.spf is not None and case.spf.word != "temperror":
        ours["spf"] = case.spf.word
    if case.dmarc_passes is not None:
        ours["dmarc"] = "pass" if case.dmarc_passes else "fail"
    return ours
