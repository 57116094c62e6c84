"""A delivery server by SMTP, one attempt at a time, as the domain's `SmtpProbe`.

A server's answers are findings, whatever they are; passwords and AUTH lines stand in none of them, and nothing is
logged here. Needs the extra `[mail]`.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import aiosmtplib

from daemon.clients.smtp_answers import (
    Told,
    broken,
    fail,
    is_about_the_mechanism,
    refused_content,
    refused_recipient,
    refused_sender,
    said,
    spellings,
    unauthenticated,
    unconnected,
)
from daemon.clients.smtp_line import CertificateRule, Lines, StepError, Stopwatch, Target, connect, hang_up, spoken
from daemon.clients.smtp_mail import probe_bytes
from daemon.clients.smtp_names import Names
from daemon.clients.smtp_options import SmtpOptions, refuse_strangers
from domain.delivery_server import DeliveryServer
from domain.server_ports import ProbeMail
from domain.server_test import Finding, StepId, StepOutcome

_FAREWELL_S = 2.0
_METHODS = ("plain", "login", "cram-md5")
_UNHEARD = ("cut", "timeout")
_NO_PASSWORD = "no-password"  # noqa: S105  a kind of finding


class AioSmtpProbe:
    """Every connection is its own; any number of attempts may run at once."""

    def __init__(self, options: SmtpOptions) -> None:
        self._options = options
        self._names = Names(options)
        self._lines = Lines(
            options.helo_name, CertificateRule(options.certificate_days, fails=options.bad_certificate_fails)
        )

    async def resolve(self, server: DeliveryServer) -> Finding:
        """T2."""
        clock = Stopwatch()
        resolved = await self._names.resolve(server.hostname)
        return resolved.told.finding(StepId.RESOLVE, clock.ms())

    async def deliver(self, server: DeliveryServer, password: str | None, mail: ProbeMail) -> Sequence[Finding]:
        """T3 to T6 over one connection, as far as it came; T2 alone where the name leads nowhere.

        Sends at most one mail. Raises RuleViolation where the recipient is not allowed.
        """
        refuse_strangers(mail.to, self._options.recipients)
        clock = Stopwatch()
        resolved = await self._names.resolve(server.hostname)
        if not resolved.addresses:
            return [resolved.told.finding(StepId.RESOLVE, clock.ms())]
        timeout_s = min(max(float(server.timeout_s), self._options.shortest_s), self._options.longest_s)
        hostname = server.hostname.strip().rstrip(".")
        target = Target(hostname, resolved.addresses, server.port, server.tls_mode, timeout_s)
        ends_s = clock.started_s + self._options.limit_s
        try:
            async with asyncio.timeout_at(ends_s):
                way = await self._lines.open(target)
        except TimeoutError:
            return [_too_long().finding(StepId.CONNECT, clock.ms())]
        if way.smtp is None:
            return way.findings
        try:
            return [*way.findings, *await self._handed_over(way.smtp, server, password, mail, ends_s)]
        finally:
            await hang_up(way.smtp)

    async def control(self) -> str | None:
        """Resolve and connect to the host that is known to be good; None too where none is named."""
        options = self._options
        if not options.control_host:
            return None
        resolved = await self._names.resolve(options.control_host)
        problem = resolved.told.detail
        for address in resolved.addresses:
            try:
                line = await connect(address, options.control_port, options.control_timeout_s)
            except OSError as missed:
                problem = unconnected(missed, address).detail
            else:
                line.close()
                return None
        return problem

    async def _handed_over(
        self, smtp: aiosmtplib.SMTP, server: DeliveryServer, password: str | None, mail: ProbeMail, ends_s: float
    ) -> list[Finding]:
        secrets = spellings(server.username, password)
        logged_in = await _timed(StepId.AUTH, self._log_in(smtp, server.username, password), secrets, ends_s)
        if logged_in.outcome not in (StepOutcome.PASS, StepOutcome.SKIP):
            return [logged_in]
        sent = await _timed(StepId.SEND, _send(smtp, mail), secrets, ends_s)
        if logged_in.kind == _NO_PASSWORD and sent.outcome is StepOutcome.FAIL:
            sent = replace(sent, outcome=StepOutcome.ERROR)  # it may well refuse those who did not log in
        if sent.kind not in _UNHEARD:
            await _say_farewell(smtp)
        return [logged_in, sent]

    async def _log_in(self, smtp: aiosmtplib.SMTP, user: str, password: str | None) -> Told:
        if not user:
            return Told(StepOutcome.SKIP, "no-username", "the server is used without a login")
        if not password:
            return Told(StepOutcome.SKIP, _NO_PASSWORD, "its password is not known here")
        offered = smtp.server_auth_methods
        if not smtp.supports_extension("auth") or not offered:
            return fail("auth-not-offered", "AUTH is not offered")
        methods = [method for method in _METHODS if method in offered]
        if not methods:
            return fail("auth-mechanism", f"only {', '.join(offered)[:100]} is offered")
        timeout_s = max(self._options.auth_timeout_s, smtp.timeout or 0.0)
        return await _authenticated(smtp, methods, user, password, timeout_s)


async def _authenticated(smtp: aiosmtplib.SMTP, methods: list[str], user: str, password: str, timeout_s: float) -> Told:
    """By the first method that the server really knows: a refusal of the password is not tried again with another."""
    ways = {"plain": smtp.auth_plain, "login": smtp.auth_login, "cram-md5": smtp.auth_crammd5}
    told = Told(StepOutcome.SKIP)
    for method in methods:
        try:
            await ways[method](user, password, timeout=timeout_s)
        except aiosmtplib.SMTPAuthenticationError as refused:
            told = unauthenticated(refused.code, refused.message)
            if not is_about_the_mechanism(refused.code) or not smtp.is_connected:
                return told
        except (aiosmtplib.SMTPException, OSError, ValueError) as problem:
            return broken(problem)
        else:
            return Told(StepOutcome.PASS, detail=f"as {user} by {method}")
    return told


async def _send(smtp: aiosmtplib.SMTP, mail: ProbeMail) -> Told:
    try:
        text = probe_bytes(mail)
    except (ValueError, IndexError) as problem:
        return fail("malformed-sender", f"no mail can be written: {problem}")
    await spoken(StepId.SEND, partial(smtp.mail, mail.envelope_from), refused_sender)
    await spoken(StepId.SEND, partial(smtp.rcpt, mail.to), refused_recipient)
    answer = await spoken(StepId.SEND, partial(smtp.data, text), partial(refused_content, recipient=mail.to))
    return Told(StepOutcome.PASS, detail=said(answer.code, answer.message))


async def _timed(step: StepId, work: Awaitable[Told], secrets: Iterable[str], ends_s: float) -> Finding:
    clock = Stopwatch()
    try:
        async with asyncio.timeout_at(ends_s):
            told = await work
    except StepError as failed:
        told = failed.told
    except TimeoutError:
        told = _too_long()
    return told.finding(step, clock.ms(), secrets)


def _too_long() -> Told:
    return fail("timeout", "each answer came in time, all of them together did not", may_pass_later=True)


async def _say_farewell(smtp: aiosmtplib.SMTP) -> None:
    """Polite, and of no weight: the mail has been taken, or not."""
    with suppress(aiosmtplib.SMTPException, OSError):
        await smtp.quit(timeout=_FAREWELL_S)
