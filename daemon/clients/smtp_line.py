"""A connection to a delivery server, as it comes about: TCP and banner (T3), EHLO and TLS (T4)."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import aiosmtplib

from daemon.clients.smtp_answers import Told, broken, fail, unconnected, unwelcome
from daemon.clients.smtp_certificate import tls_problems, unverified_context
from domain.delivery_server import TlsMode
from domain.server_test import Finding, StepId, StepOutcome

T = TypeVar("T")

OTHER_MODE_S = 10.0  # how long the other way to encrypt may take: it is a hint, no more
_MAYBE_OTHER_MODE = ("tls-handshake", "tls-not-offered", "timeout", "cut")
_TLS_NOT_AVAILABLE = 454


class StepError(Exception):
    """A step did not pass."""

    def __init__(self, step: StepId, told: Told) -> None:
        super().__init__(told.kind)
        self.step = step
        self.told = told


@dataclass(frozen=True, slots=True)
class Target:
    """Where to, and how: `timeout_s` bounds each answer."""

    hostname: str
    addresses: tuple[str, ...]
    port: int
    mode: TlsMode
    timeout_s: float


@dataclass(frozen=True, slots=True)
class CertificateRule:
    """From when on a certificate is worth a word, and whether that fails the server."""

    days: int = 14
    fails: bool = False


@dataclass(slots=True)
class Way:
    """How far a connection came. `smtp` is None unless T3 and T4 hold."""

    findings: list[Finding]
    smtp: aiosmtplib.SMTP | None = None


class Lines:
    """Makes connections. Never raises for what a server does."""

    def __init__(self, helo_name: str, rule: CertificateRule) -> None:
        self._helo_name = helo_name or _own_name()
        self._rule = rule
        self._context = unverified_context()

    async def open(self, target: Target) -> Way:
        """Connect as it is set; where that may be the wrong way to encrypt, once the other way too."""
        is_implicit = target.mode is TlsMode.IMPLICIT
        way = await self._way(target, is_implicit=is_implicit)
        if way.smtp is not None or way.findings[-1].kind not in _MAYBE_OTHER_MODE:
            return way
        timeout_s = min(OTHER_MODE_S, target.timeout_s)
        mode = TlsMode.STARTTLS if is_implicit else TlsMode.IMPLICIT
        other = Target(target.hostname, target.addresses, target.port, mode, timeout_s)
        found = await self._way(other, is_implicit=not is_implicit)
        if found.smtp is None:
            return way
        return Way([found.findings[0], _other_mode(target.mode, mode, found.findings[1])], found.smtp)

    async def _way(self, target: Target, *, is_implicit: bool) -> Way:
        clock = Stopwatch()
        try:
            smtp, connect_ms = await self._connected(target, clock, is_implicit=is_implicit)
        except StepError as failed:
            before = [Finding(StepId.CONNECT, StepOutcome.PASS)] if failed.step is StepId.TLS else []
            return Way([*before, failed.told.finding(failed.step, clock.ms())])
        connected = Finding(StepId.CONNECT, StepOutcome.PASS, detail=_peer(smtp), ms=connect_ms)
        try:
            told = await self._encrypted(smtp, target)
        except StepError as failed:
            told = failed.told
        except BaseException:
            smtp.close()
            raise
        if told.outcome is StepOutcome.FAIL:
            await hang_up(smtp)
            return Way([connected, told.finding(StepId.TLS, clock.ms() - connect_ms)])
        return Way([connected, told.finding(StepId.TLS, clock.ms() - connect_ms)], smtp)

    async def _connected(self, target: Target, clock: "Stopwatch", *, is_implicit: bool) -> tuple[aiosmtplib.SMTP, int]:
        """One address after the other, until one has a banner. Raises the last one's StepError."""
        failed: StepError | None = None
        for address in target.addresses:
            try:
                line = await connect(address, target.port, target.timeout_s)
            except (OSError, OverflowError) as problem:
                failed = StepError(StepId.CONNECT, unconnected(problem, address))
                continue
            connect_ms = clock.ms()
            try:
                smtp = await self._welcomed(line, target, is_implicit=is_implicit)
            except StepError as problem:
                failed = problem
                continue
            return smtp, connect_ms if is_implicit else clock.ms()
        raise failed or StepError(StepId.CONNECT, fail("unreachable", "there is no address"))

    async def _welcomed(self, line: socket.socket, target: Target, *, is_implicit: bool) -> aiosmtplib.SMTP:
        smtp = _Smtp(
            hostname=target.hostname,
            sock=line,
            use_tls=is_implicit,
            start_tls=False,
            tls_context=self._context,
            local_hostname=self._helo_name,
            timeout=target.timeout_s,
        )
        try:
            await smtp.connect()
        except (aiosmtplib.SMTPException, OSError) as problem:
            raise _unwelcomed(problem, is_implicit=is_implicit) from problem
        return smtp

    async def _encrypted(self, smtp: aiosmtplib.SMTP, target: Target) -> Told:
        await _greeted(smtp)
        if target.mode is not TlsMode.IMPLICIT:
            if not smtp.supports_extension("starttls"):
                if target.mode is TlsMode.STARTTLS:
                    raise StepError(StepId.TLS, fail("tls-not-offered", "TLS is demanded, and not offered"))
                return Told(StepOutcome.WARN, "unencrypted", "TLS is not offered")
            await spoken(StepId.TLS, smtp.starttls, _not_started)
            await _greeted(smtp)
        return self._shown(smtp.get_transport_info("ssl_object"), target)

    def _shown(self, line: ssl.SSLObject, target: Target) -> Told:
        problems = tls_problems(line, target.hostname, self._rule.days)
        cipher = line.cipher()
        spoken = f"{line.version()} {cipher[0] if cipher else ''}".strip()
        if not problems:
            return Told(StepOutcome.PASS, detail=spoken)
        outcome = StepOutcome.FAIL if self._rule.fails else StepOutcome.WARN
        return Told(outcome, problems[0][0], f"{'; '.join(words for _, words in problems)} ({spoken})")


class _Smtp(aiosmtplib.SMTP):
    """Ends at once: what TLS would still say at the end could hold the socket for half a minute."""

    def close(self) -> None:
        transport = self.transport
        super().close()
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()


class Stopwatch:
    """How long it has been, in whole milliseconds; `started_s` by the loop's clock."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.started_s = self._loop.time()

    def ms(self) -> int:
        """Since it was made."""
        return round((self._loop.time() - self.started_s) * 1000)


async def connect(address: str, port: int, timeout_s: float) -> socket.socket:
    """A TCP connection to an address that stands as it is. Raises OSError, or OverflowError for what is no port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    line = socket.socket(family, socket.SOCK_STREAM)
    try:
        line.setblocking(False)
        async with asyncio.timeout(timeout_s):
            await asyncio.get_running_loop().sock_connect(line, (address, port))
    except BaseException:
        line.close()
        raise
    return line


async def hang_up(smtp: aiosmtplib.SMTP) -> None:
    """Close, and let the loop close the socket too."""
    smtp.close()
    await asyncio.sleep(0)


async def spoken(
    step: StepId,
    ask: Callable[[], Awaitable[T]],
    refused: Callable[[int, str], Told],
) -> T:
    """The answer to one command. Raises StepError for what is no success, and for a line that breaks."""
    try:
        return await ask()
    except aiosmtplib.SMTPResponseException as problem:
        raise StepError(step, refused(problem.code, problem.message)) from problem
    except (aiosmtplib.SMTPException, OSError, ValueError) as problem:
        raise StepError(step, broken(problem)) from problem


async def _greeted(smtp: aiosmtplib.SMTP) -> None:
    """EHLO, or HELO where it is unknown."""
    try:
        await smtp.ehlo()
    except aiosmtplib.SMTPHeloError as refused:
        if not smtp.is_connected:
            raise StepError(StepId.TLS, _not_greeted(refused.code, refused.message)) from refused
        await spoken(StepId.TLS, smtp.helo, _not_greeted)
    except (aiosmtplib.SMTPException, OSError, ValueError) as problem:
        raise StepError(StepId.TLS, broken(problem)) from problem


def _not_greeted(code: int, message: str) -> Told:
    return fail("ehlo-refused", f"{code} {message}", may_pass_later=400 <= code < 500)  # noqa: PLR2004  transient replies


def _not_started(code: int, message: str) -> Told:
    is_later = code == _TLS_NOT_AVAILABLE
    return fail("tls-not-available" if is_later else "tls-refused", f"{code} {message}", may_pass_later=is_later)


def _unwelcomed(problem: Exception, *, is_implicit: bool) -> StepError:
    """Whether the handshake or the banner is what is missing; aiosmtplib wraps both alike."""
    cause = problem.__cause__
    if isinstance(problem, aiosmtplib.SMTPResponseException):
        return StepError(StepId.CONNECT, unwelcome(problem.code, problem.message))
    if isinstance(problem, aiosmtplib.SMTPConnectTimeoutError):
        is_banner = isinstance(cause, aiosmtplib.SMTPTimeoutError) or not is_implicit
        told = fail("timeout", "no banner in time" if is_banner else "no TLS in time", may_pass_later=True)
        return StepError(StepId.CONNECT if is_banner else StepId.TLS, told)
    if isinstance(cause, ssl.SSLError):
        return StepError(StepId.TLS, broken(cause))
    if isinstance(cause, aiosmtplib.SMTPServerDisconnected) or not is_implicit:
        return StepError(StepId.CONNECT, fail("cut", "the connection was lost before the banner", may_pass_later=True))
    return StepError(
        StepId.TLS, fail("cut", f"the connection was lost during the handshake: {cause}", may_pass_later=True)
    )


def _other_mode(wanted: TlsMode, works: TlsMode, found: Finding) -> Finding:
    """What works instead of what is set; a certificate that fails the server still does."""
    if found.outcome is StepOutcome.FAIL:
        return found
    told = f"{wanted.value} is set, {works.value} works"
    detail = f"{told}; {found.detail}" if found.kind else told
    return Finding(StepId.TLS, StepOutcome.WARN, "other-mode", detail, found.ms)


def _peer(smtp: aiosmtplib.SMTP) -> str:
    peer: Sequence[object] | None = smtp.get_transport_info("peername")
    return f"{peer[0]} port {peer[1]}" if peer else ""


def _own_name() -> str:
    name = socket.gethostname()
    return name if name.isascii() and name and not any(sign.isspace() for sign in name) else "localhost"
