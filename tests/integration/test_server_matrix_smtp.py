"""The fault matrix, as far as it is met while a probe is handed over: T2 to T6, by a real Postfix where it can fail so.

Each case names its step, outcome, kind and verdict, and what MailWizz and robotd have of it afterwards.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from daemon.clients.smtp_probe import AioSmtpProbe
from daemon.servers import open_server_tests
from daemon.settings import Settings
from handlers.server_parts import ServerParts
from localstack.dns import DnsFault
from localstack.mail_host import Seen, SmtpFaultKind, Stage
from tests.integration.matrix_world import HOST, OpensMatrix
from tests.integration.server_world import MINUTE_MS, SECOND_MS
from tests.mail_host import MailHost as Postfix


async def test_a_good_server_passes_every_step_over_real_parts(matrix: OpensMatrix) -> None:
    """What the faults are compared with: all steps pass, one line, and the row stays active."""
    async with matrix() as world, world.home.running():
        await world.add_server()
        await world.ask()
        await world.ends("SUCCESSFUL", "T8", "PASS", "")
        assert set(world.steps().values()) == {"PASS"}


async def test_a_real_postfix_passes_every_step(matrix: OpensMatrix, mail_host: Postfix) -> None:
    """The same through Postfix and Dovecot."""
    async with matrix(postfix=mail_host) as world, world.home.running():
        await world.add_postfix(mail_host, "starttls")
        await world.ask()
        await world.ends("SUCCESSFUL", "T8", "PASS", "")
        assert set(world.steps().values()) == {"PASS"}


async def test_closed_port(matrix: OpensMatrix) -> None:
    """T3 FAIL refused, after two tries five seconds apart, while the control host answers: FAILED."""
    async with matrix() as world, world.home.running():
        await world.add_server()
        world.smtp.close_port()
        await world.ask()
        assert world.told() == []
        await world.later(6 * SECOND_MS)
        await world.ends("FAILED", "T3", "FAIL", "refused")


async def test_closed_port_that_opens_again(matrix: OpensMatrix) -> None:
    """The second try finds it open: SUCCESSFUL."""
    async with matrix() as world, world.home.running():
        await world.add_server()
        world.smtp.close_port()
        await world.ask()
        world.smtp.open_port()
        await world.later(6 * SECOND_MS)
        await world.ends("SUCCESSFUL", "T3", "PASS", "")


async def test_closed_port_while_our_own_network_is_gone(matrix: OpensMatrix) -> None:
    """The control host can't be reached either: T3 ERROR no-network for ten minutes, then ERROR and no line."""
    async with matrix(mail={"control_host": "gone.shop.test", "control_port": 25}) as world, world.home.running():
        await world.add_server()
        world.smtp.close_port()
        await world.ask()
        await world.later(11 * MINUTE_MS)
        await world.ends("ERROR", "T3", "ERROR", "no-network")


@asynccontextmanager
async def impatient(settings: Settings) -> AsyncIterator[ServerParts]:
    """The real parts, but a row may say that a second is enough."""
    async with open_server_tests(settings) as parts:
        assert isinstance(parts.probe, AioSmtpProbe)
        yield replace(parts, probe=AioSmtpProbe(replace(parts.probe._options, shortest_s=1.0)))


async def test_silent_banner(matrix: OpensMatrix) -> None:
    """T3 FAIL timeout after two tries, each as long as the row says: FAILED."""
    async with matrix() as world:
        world.home.open_servers = impatient
        world.smtp.faults.silent(Stage.CONNECT)
        await world.add_server(timeout=1)
        async with world.home.running():
            await world.ask()
            await world.later(6 * SECOND_MS)
            await world.ends("FAILED", "T3", "FAIL", "timeout")


@pytest.mark.parametrize(("times", "verdict", "kind"), [(1, "SUCCESSFUL", ""), (None, "FAILED", "banner-421")])
async def test_421(matrix: OpensMatrix, times: int | None, verdict: str, kind: str) -> None:
    """A banner of 421 is tried again: once is nothing, T3 FAIL banner-421 if it stays."""
    async with matrix() as world, world.home.running():
        await world.add_server()
        world.smtp.faults.answer(Stage.CONNECT, "421 4.3.2 Try again later", times=times)
        await world.ask()
        await world.later(MINUTE_MS)
        await world.ends(verdict, "T3", "FAIL" if kind else "PASS", kind)


async def test_no_starttls(matrix: OpensMatrix, mail_host: Postfix) -> None:
    """T4 FAIL tls-not-offered at a Postfix that has none, and the password was never sent to it: FAILED."""
    async with matrix(postfix=mail_host) as world, world.home.running():
        await world.add_postfix(mail_host, "plain")
        await world.ask()
        await world.later(MINUTE_MS)
        await world.ends("FAILED", "T4", "FAIL", "tls-not-offered")
        assert "T5" not in world.steps()


@pytest.mark.parametrize(("rule", "outcome", "verdict"), [("warn", "WARN", "SUCCESSFUL"), ("fail", "FAIL", "FAILED")])
async def test_expired_cert(matrix: OpensMatrix, mail_host: Postfix, rule: str, outcome: str, verdict: str) -> None:
    """T4 WARN certificate-expired, as MailWizz looks at none; FAIL where the settings say so."""
    async with matrix(postfix=mail_host, mail={"bad_certificate": rule}) as world, world.home.running():
        await world.add_postfix(mail_host, "expired")
        await world.ask()
        await world.later(MINUTE_MS)
        await world.ends(verdict, "T4", outcome, "certificate-expired")


async def test_wrong_tls_mode(matrix: OpensMatrix, mail_host: Postfix) -> None:
    """`ssl` at a port of STARTTLS: T4 WARN other-mode, since MailWizz's mailers disagree on the word: SUCCESSFUL."""
    async with matrix(postfix=mail_host) as world, world.home.running():
        await world.add_postfix(mail_host, "starttls", protocol="ssl")
        await world.ask()
        await world.ends("SUCCESSFUL", "T4", "WARN", "other-mode")


async def test_no_tls_that_works(matrix: OpensMatrix) -> None:
    """Something else than TLS after STARTTLS, and in the other mode too: T4 FAIL tls-handshake: FAILED."""
    async with matrix() as world, world.home.running():
        await world.add_server()
        world.smtp.faults.garbage(Stage.STARTTLS)
        await world.ask()
        await world.later(MINUTE_MS)
        await world.ends("FAILED", "T4", "FAIL", "tls-handshake")


async def test_535(matrix: OpensMatrix, mail_host: Postfix) -> None:
    """T5 FAIL auth-rejected at once, by a real 535; the password stands nowhere in robotd's rows: FAILED."""
    async with matrix(postfix=mail_host) as world, world.home.running():
        await world.add_postfix(mail_host, "starttls", password=world.account.password)
        await world.ask()
        await world.ends("FAILED", "T5", "FAIL", "auth-rejected")
        assert "535" in world.last()["reason"]


async def test_auth_not_offered(matrix: OpensMatrix) -> None:
    """T5 FAIL auth-not-offered where the row has a login: FAILED."""
    async with matrix() as world, world.home.running():
        await world.add_server()
        world.smtp.faults.hide(SmtpFaultKind.HIDE_AUTH)
        await world.ask()
        await world.ends("FAILED", "T5", "FAIL", "auth-not-offered")


@pytest.mark.parametrize(
    ("times", "verdict", "outcome", "kind"),
    [(1, "SUCCESSFUL", "PASS", ""), (None, "ERROR", "ERROR", "auth-deferred")],
)
async def test_454(matrix: OpensMatrix, times: int | None, verdict: str, outcome: str, kind: str) -> None:
    """A login that is put off is tried again for ten minutes; to the end it is T5 ERROR: no line, no change."""
    async with matrix() as world, world.home.running():
        await world.add_server()
        world.smtp.faults.answer(Stage.AUTH, "454 4.7.0 Temporary authentication failure", times=times)
        await world.ask()
        await world.later(11 * MINUTE_MS)
        await world.ends(verdict, "T5", outcome, kind)


async def test_554_relay(matrix: OpensMatrix, mail_host: Postfix) -> None:
    """A Postfix that does not relay for us: T6 FAIL relay-denied with its 554: FAILED."""
    async with matrix(postfix=mail_host, mail={"probe_address": "probe@else.test"}) as world, world.home.running():
        await world.add_postfix(mail_host, "starttls")
        await world.ask()
        await world.ends("FAILED", "T6", "FAIL", "relay-denied")
        assert "554" in world.last()["reason"]


async def test_a_mailbox_of_ours_that_is_not_there(matrix: OpensMatrix, mail_host: Postfix) -> None:
    """A 550 that names our own mailbox is T6 ERROR our-mailbox: the server is not at fault."""
    async with matrix(postfix=mail_host, mail={"probe_address": "gone@lab.test"}) as world, world.home.running():
        await world.add_postfix(mail_host, "starttls")
        await world.ask()
        await world.ends("ERROR", "T6", "ERROR", "our-mailbox")


@pytest.mark.parametrize(
    ("times", "verdict", "outcome", "kind"),
    [(1, "SUCCESSFUL", "PASS", ""), (3, "SUCCESSFUL", "PASS", ""), (None, "FAILED", "FAIL", "deferred")],
)
async def test_451_then_250(matrix: OpensMatrix, times: int | None, verdict: str, outcome: str, kind: str) -> None:
    """A greylisting is waited for over 30 s, 2 min and 5 min; only then T6 FAIL deferred. One mail arrives."""
    async with matrix() as world, world.home.running():
        await world.add_server()
        world.smtp.faults.answer(Stage.RCPT, "451 4.7.1 Greylisted", times=times)
        await world.ask()
        await world.later(10 * MINUTE_MS)
        await world.ends(verdict, "T6", outcome, kind)
        assert len(world.host.record.of(Seen.RCPT, "tested")) == (4 if times is None else times + 1)
        assert len(world.host.record.of(Seen.DELIVERED, "tested")) == (0 if times is None else 1)


async def test_name_that_does_not_exist(matrix: OpensMatrix) -> None:
    """T2 FAIL nxdomain after two tries: FAILED."""
    async with matrix() as world, world.home.running():
        await world.add_server(hostname="nowhere.shop.test")
        await world.ask()
        await world.later(MINUTE_MS)
        await world.ends("FAILED", "T2", "FAIL", "nxdomain")


async def test_resolver_that_is_broken(matrix: OpensMatrix) -> None:
    """SERVFAIL is T2 ERROR: it says nothing of the server, and the run goes on when the resolver is back."""
    async with matrix() as world, world.home.running():
        await world.add_server()
        world.dns.fail(HOST, DnsFault.SERVFAIL)
        await world.ask()
        await world.later(5 * MINUTE_MS)
        assert world.told() == []
        world.dns.heal()
        await world.later(MINUTE_MS)
        await world.ends("SUCCESSFUL", "T2", "PASS", "")
