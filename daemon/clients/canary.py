"""A mail through a server that is known to be good, as the domain's `Canary`. Needs the extra `[mail]`."""

from dataclasses import dataclass, field

from daemon.clients.smtp_options import SmtpOptions
from daemon.clients.smtp_probe import AioSmtpProbe
from domain.delivery_server import DeliveryServer
from domain.server_ports import ProbeMail
from domain.server_test import StepId, StepOutcome


@dataclass(frozen=True, slots=True)
class CanaryOptions:
    """The known-good server, its `protocol` as MailWizz spells it; from whom to whom the canary flies."""

    host: str
    from_email: str
    to: str
    port: int = 587
    protocol: str = "tls"
    username: str = ""
    password: str = field(default="", repr=False)
    timeout_s: int = 30


class SmtpCanary:
    """Sends by the same steps as a test, so that what stops a canary is told in the same words."""

    def __init__(self, options: CanaryOptions, smtp: SmtpOptions) -> None:
        self._options = options
        self._probe = AioSmtpProbe(smtp)

    async def send(self, token: str) -> str | None:
        """Send it; None, or at which step and why that failed. Raises RuleViolation for a recipient not allowed."""
        options = self._options
        local, _, domain = options.to.rpartition("@")
        mail = ProbeMail(
            token=token,
            subject=f"Canary [{token}]",
            to=f"{local}+{token}@{domain}",
            from_email=options.from_email,
            from_name="robotd",
            reply_to="",
            envelope_from=options.from_email,
        )
        findings = await self._probe.deliver(_server(options), options.password or None, mail)
        last = findings[-1]
        if last.step is StepId.SEND and last.outcome is StepOutcome.PASS:
            return None
        return f"{last.step} {last.kind}: {last.detail}"


def _server(options: CanaryOptions) -> DeliveryServer:
    return DeliveryServer(
        id=0,
        type="smtp",
        name="canary",
        hostname=options.host,
        username=options.username,
        password=None,
        port=options.port,
        protocol=options.protocol,
        timeout_s=options.timeout_s,
        from_email=options.from_email,
        from_name="robotd",
        reply_to_email="",
        force_from="never",
        force_reply_to="never",
        bounce_server_id=None,
        tracking_domain_id=None,
        customer_id=None,
        status="active",
        last_updated="",
    )
