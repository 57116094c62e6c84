"""The fault matrix, as far as it is met after a mail was accepted: T7 to T16, by both ways.

Each case names its step, outcome, kind and verdict, and what MailWizz and robotd have of it afterwards.
"""

import pytest

from localstack.mail_dkim import Signer
from localstack.mail_host import Seen, Treatment
from localstack.tcp_proxy import TcpProxy
from tests import mails
from tests.integration.matrix_world import CAMPAIGN, LOCAL, OpensMatrix
from tests.integration.server_world import MINUTE_MS, SECOND_MS
from tests.mail_host import MailHost as Postfix

CHECKS = ["T9", "T10", "T11", "T12", "T13"]
SIGNED = {"signer": Signer(mails.DOMAIN, mails.SELECTOR, mails.key_pem())}
AGREES = f"{mails.AUTHSERV_ID}; dkim=pass header.d={mails.DOMAIN}; spf=pass smtp.mailfrom={mails.DOMAIN}; dmarc=pass"


async def test_a_mail_that_is_all_right_passes_every_check(matrix: OpensMatrix) -> None:
    """What the faults are compared with: signed, from the right address, and told so by our own mail server."""
    async with matrix(account=SIGNED) as world, world.home.running():
        world.smtp.treatment = Treatment(results=AGREES)
        await world.add_server()
        await world.ask(checks=CHECKS)
        await world.ends("SUCCESSFUL", "T9", "PASS", "")
        assert {step: world.steps()[step] for step in CHECKS} == dict.fromkeys(CHECKS, "PASS")


@pytest.mark.usefixtures("quick_looks")
async def test_accepted_never_delivered(matrix: OpensMatrix) -> None:
    """T7 FAIL lost after twenty minutes, as the canary did arrive: FAILED."""
    async with matrix() as world, world.home.running():
        world.smtp.treatment = Treatment(is_lost=True)
        await world.add_server()
        await world.ask()
        await world.later(19 * MINUTE_MS)
        assert world.told() == []
        await world.later(2 * MINUTE_MS)
        await world.ends("FAILED", "T7", "FAIL", "lost")
        assert len(world.host.record.of(Seen.DELIVERED, "canary")) == 1


@pytest.mark.usefixtures("quick_looks")
async def test_accepted_never_delivered_and_neither_is_the_canary(matrix: OpensMatrix, mail_host: Postfix) -> None:
    """A real Postfix loses both: T7 ERROR mailbox, since nobody knows whose fault that is. No line, no change."""
    async with matrix(postfix=mail_host, mail={"probe_address": "lost@lab.test"}) as world, world.home.running():
        await world.add_postfix(mail_host, "starttls")
        await world.ask()
        await world.later(21 * MINUTE_MS)
        await world.ends("ERROR", "T7", "ERROR", "mailbox")


@pytest.mark.usefixtures("quick_looks")
async def test_30_s_late(matrix: OpensMatrix) -> None:
    """A mail half a minute late is found, T7 PASS; the canary that was sent meanwhile changes nothing: SUCCESSFUL."""
    async with matrix() as world, world.home.running():
        world.smtp.treatment = Treatment(late_ms=30 * SECOND_MS)
        await world.add_server()
        await world.ask()
        assert world.told() == []
        await world.later(MINUTE_MS)
        await world.ends("SUCCESSFUL", "T7", "PASS", "")


async def test_junk_folder(matrix: OpensMatrix, mail_host: Postfix) -> None:
    """A mail that a real Dovecot has put into Junk has arrived: T7 WARN junk: SUCCESSFUL."""
    async with matrix(postfix=mail_host, mail={"probe_address": "junk@lab.test"}) as world, world.home.running():
        await world.add_postfix(mail_host, "starttls")
        await world.ask()
        await world.ends("SUCCESSFUL", "T7", "WARN", "junk")


@pytest.mark.parametrize(("fails", "verdict"), [("", "SUCCESSFUL"), ("T9", "FAILED")])
async def test_broken_dkim(matrix: OpensMatrix, fails: str, verdict: str) -> None:
    """T9 FAIL broken-signature; it fails the server by setting alone."""
    async with matrix(account=SIGNED, settings={"advisory_fails": fails}) as world, world.home.running():
        world.smtp.treatment = Treatment(breaks_signature=True)
        await world.add_server()
        await world.ask(checks=["T9", "T11"])
        await world.ends(verdict, "T9", "FAIL", "broken-signature")
        assert world.step("T11") == ("PASS", "")  # by SPF


@pytest.mark.parametrize(("fails", "verdict"), [("", "SUCCESSFUL"), ("T9", "SUCCESSFUL")])
async def test_unsigned(matrix: OpensMatrix, fails: str, verdict: str) -> None:
    """T9 WARN unsigned on the direct way, where MailWizz could not sign: no setting makes that the server's fault."""
    async with matrix(settings={"advisory_fails": fails}) as world, world.home.running():
        await world.add_server()
        await world.ask(checks=["T9"])
        await world.ends(verdict, "T9", "WARN", "unsigned")


@pytest.mark.parametrize(("fails", "verdict"), [("", "SUCCESSFUL"), ("T9", "FAILED")])
async def test_unsigned_campaign(matrix: OpensMatrix, fails: str, verdict: str) -> None:
    """T9 FAIL unsigned by campaign, where MailWizz has had its chance; it fails the server by setting alone."""
    settings = {**CAMPAIGN, "advisory": True, "advisory_fails": fails}
    async with matrix(settings=settings) as world, world.home.running():
        await world.add_server(hostname=LOCAL)
        await world.by_campaign()
        await world.ends(verdict, "T9", "FAIL", "unsigned")
        assert world.step("T10") == ("PASS", "pass")
        assert world.step("T14")[0] == "WARN"


@pytest.mark.parametrize(("fails", "verdict"), [("", "SUCCESSFUL"), ("T10", "FAILED")])
async def test_spf_fail(matrix: OpensMatrix, fails: str, verdict: str) -> None:
    """T10 FAIL for an address that the envelope's domain does not name; it fails the server by setting alone."""
    away = {"address": "192.0.2.99"}
    async with matrix(account=away, settings={"advisory_fails": fails}) as world, world.home.running():
        await world.add_server()
        await world.ask(checks=["T10", "T11"])
        await world.ends(verdict, "T10", "FAIL", "fail")
        assert world.step("T11") == ("FAIL", "not-aligned")


async def test_spf_of_a_campaign_is_that_of_mailwizz_s_bounce_server(matrix: OpensMatrix) -> None:
    """T10 asks for the domain that MailWizz has put on the envelope, not for the one of our own probes."""
    settings, mail = {**CAMPAIGN, "advisory": True}, {"envelope_from": "bounce@no-spf.test"}
    async with matrix(settings=settings, mail=mail) as world, world.home.running():
        await world.add_server(hostname=LOCAL)
        await world.by_campaign()
        await world.ends("SUCCESSFUL", "T10", "PASS", "pass")


async def test_rewritten_from(matrix: OpensMatrix) -> None:
    """T8 FAIL wrong-address: FAILED, with what stood there in the history."""
    async with matrix() as world, world.home.running():
        world.smtp.treatment = Treatment(from_header="Relay <relay@else.test>")
        await world.add_server()
        await world.ask()
        await world.ends("FAILED", "T8", "FAIL", "wrong-address")
        assert "relay@else.test" in world.last()["reason"]


@pytest.mark.parametrize(
    ("needs", "verdict", "outcome", "kind"),
    [(False, "SUCCESSFUL", "PASS", ""), (True, "FAILED", "FAIL", "missing")],
)
async def test_no_sender(matrix: OpensMatrix, needs: bool, verdict: str, outcome: str, kind: str) -> None:  # noqa: FBT001  a column of the table
    """T8 PASS without a Sender header; FAIL missing where the settings need one."""
    async with matrix(settings={"needs_sender": needs}) as world, world.home.running():
        await world.add_server()
        await world.ask()
        await world.ends(verdict, "T8", outcome, kind)


async def test_sender_of_somebody_else(matrix: OpensMatrix) -> None:
    """Another's Sender is T8 WARN wrong-address where none is needed: SUCCESSFUL."""
    async with matrix() as world, world.home.running():
        world.smtp.treatment = Treatment(sender_header="relay@else.test")
        await world.add_server()
        await world.ask()
        await world.ends("SUCCESSFUL", "T8", "WARN", "wrong-address")


@pytest.mark.parametrize("forced", ["always", "never"])
@pytest.mark.parametrize("path", ["direct", "campaign"])
async def test_reply_to_as_the_row_forces_it(matrix: OpensMatrix, forced: str, path: str) -> None:
    """T8 PASS by both ways, whatever the row says of its Reply-To."""
    async with matrix(settings=CAMPAIGN) as world, world.home.running():
        await world.add_server(hostname=LOCAL, reply_to_email="desk@shop.test", force_reply_to=forced)
        await (world.by_campaign() if path == "campaign" else world.ask(path="direct"))
        await world.ends("SUCCESSFUL", "T8", "PASS", "")


async def test_forged_a_r(matrix: OpensMatrix) -> None:
    """A header in our own mail server's name that came with the mail is not believed: T12 WARN missing."""
    async with matrix() as world, world.home.running():
        world.smtp.treatment = Treatment(forged_results=AGREES)
        await world.add_server()
        await world.ask(checks=["T9", "T12"])
        await world.ends("SUCCESSFUL", "T12", "WARN", "missing")
        assert world.step("T9") == ("WARN", "unsigned")


async def test_forged_a_r_below_our_own(matrix: OpensMatrix) -> None:
    """Our own header is believed, the forged one below it changes nothing: T12 PASS."""
    async with matrix() as world, world.home.running():
        own = f"{mails.AUTHSERV_ID}; dkim=none; spf=pass smtp.mailfrom={mails.DOMAIN}; dmarc=pass"
        world.smtp.treatment = Treatment(results=own, forged_results=f"{mails.AUTHSERV_ID}; dkim=pass; spf=fail")
        await world.add_server()
        await world.ask(checks=["T10", "T12"])
        await world.ends("SUCCESSFUL", "T12", "PASS", "")


async def test_dsn_comes_back(matrix: OpensMatrix) -> None:
    """What the next case is compared with: T16 PASS."""
    async with matrix() as world, world.home.running():
        await world.add_server()
        await world.ask(checks=["T16"])
        await world.ends("SUCCESSFUL", "T16", "PASS", "")


async def test_dsn_of_a_real_postfix(matrix: OpensMatrix, mail_host: Postfix) -> None:
    """T16 PASS by a notification that Postfix wrote after Dovecot had refused the mail."""
    async with matrix(postfix=mail_host, settings={"bounces": True}) as world, world.home.running():
        await world.add_postfix(mail_host, "starttls")
        await world.ask()
        await world.later(MINUTE_MS)
        await world.ends("SUCCESSFUL", "T16", "PASS", "")


@pytest.mark.usefixtures("quick_looks")
async def test_no_dsn(matrix: OpensMatrix) -> None:
    """T16 FAIL missing after twenty minutes, where a bounce was asked for: FAILED."""
    async with matrix() as world, world.home.running():
        world.smtp.treatment = Treatment(sends_no_dsn=True)
        await world.add_server()
        await world.ask(checks=["T16"])
        await world.later(21 * MINUTE_MS)
        await world.ends("FAILED", "T16", "FAIL", "missing")
        assert world.step("T7") == ("PASS", "")


@pytest.mark.usefixtures("quick_looks")
async def test_no_dsn_by_campaign(matrix: OpensMatrix) -> None:
    """MailWizz has counted no bounce after twenty minutes: T16 FAIL missing: FAILED."""
    async with matrix(settings=CAMPAIGN) as world, world.home.running():
        world.smtp.treatment = Treatment(sends_no_dsn=True)
        await world.add_server(hostname=LOCAL)
        await world.by_campaign()
        await world.later(21 * MINUTE_MS)
        await world.ends("FAILED", "T16", "FAIL", "missing")
        assert world.step("T15") == ("PASS", "")


@pytest.mark.parametrize("minutes", [5, 12])
async def test_mailbox_down(matrix: OpensMatrix, minutes: int) -> None:
    """T7 ERROR unavailable while IMAP refuses; back within ten minutes the mail is found, else ERROR: no line."""
    async with matrix() as world, TcpProxy(world.home.clock, world.host.imap.port) as proxy:
        own = world.home.settings.mail.model_copy(update={"imap_port": proxy.port})
        world.home.settings = world.home.settings.model_copy(update={"mail": own})
        proxy.refuse()
        async with world.home.running():
            await world.add_server()
            await world.ask()
            await world.later(minutes * MINUTE_MS)
            proxy.clear()
            await world.later(MINUTE_MS)
            if_back = ("SUCCESSFUL", "T7", "PASS", "")
            await world.ends(*(if_back if minutes == 5 else ("ERROR", "T7", "ERROR", "unavailable")))
            assert len(world.host.record.of(Seen.DELIVERED, "tested")) == 1


async def test_a_bounce_of_a_server_without_a_login(matrix: OpensMatrix, mail_host: Postfix) -> None:
    """A login that is skipped keeps no mail back: T16 PASS."""
    async with matrix(postfix=mail_host) as world, world.home.running():
        await world.add_postfix(mail_host, "starttls", username="", password=None)
        await world.ask(checks=["T16"])
        await world.later(MINUTE_MS)
        await world.ends("SUCCESSFUL", "T16", "PASS", "")
        assert world.step("T5") == ("SKIP", "no-username")


async def test_a_bounce_that_is_refused_at_once(matrix: OpensMatrix, mail_host: Postfix) -> None:
    """A server that refuses the address while we talk: T16 WARN refused, nothing is waited for."""
    mail = {"refusing_address": "nobody@lab.test"}
    async with matrix(postfix=mail_host, mail=mail) as world, world.home.running():
        await world.add_postfix(mail_host, "expired")
        await world.ask(checks=["T16"])
        await world.ends("SUCCESSFUL", "T16", "WARN", "refused")
