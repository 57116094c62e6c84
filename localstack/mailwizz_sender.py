"""How the MailWizz simulator sends: the mail of a campaign, and one SMTP conversation with a delivery server."""

from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formataddr, make_msgid

import aiosmtplib

from domain.delivery_server import DeliveryServer, TlsMode
from localstack.mailwizz_records import Campaign, Subscriber

DESTINATION = "https://www.sender.test/offers"
"""Where the link of the built-in template leads, off the tracking host."""
ONE_CLICK = "List-Unsubscribe=One-Click"
_UNFOLDED = SMTP.clone(max_line_length=998)  # a URL that is folded comes out as an encoded word


@dataclass(frozen=True, slots=True)
class Place:
    """Where the tracking links of one mail lead."""

    url: str
    campaign_uid: str
    list_uid: str
    subscriber_uid: str

    @property
    def opening(self) -> str:
        """The pixel."""
        return f"{self.url}/campaigns/{self.campaign_uid}/track-opening/{self.subscriber_uid}"

    @property
    def unsubscribing(self) -> str:
        """The page with the form; a POST to it unsubscribes at once."""
        return f"{self.url}/lists/{self.list_uid}/unsubscribe/{self.subscriber_uid}/{self.campaign_uid}"

    def clicking(self, key: str) -> str:
        """A tracked link."""
        return f"{self.url}/campaigns/{self.campaign_uid}/track-url/{self.subscriber_uid}/{key}"


@dataclass(frozen=True, slots=True)
class Sent:
    """How one conversation ended: `success` or `giveup`, and the server's words."""

    status: str
    message: str


def composed(campaign: Campaign, server: DeliveryServer, subscriber: Subscriber, url: str, key: str) -> EmailMessage:
    """The mail for one subscriber, with MailWizz's headers and the three kinds of links."""
    place = Place(url, campaign.uid, campaign.list_uid, subscriber.uid)
    is_forced = server.force_from == "always"
    sender = (server.from_name, server.from_email) if is_forced else (campaign.from_name, campaign.from_email)
    reply_to = server.reply_to_email or server.from_email if server.force_reply_to == "always" else campaign.reply_to
    mail = EmailMessage(_UNFOLDED)
    mail["From"] = formataddr(sender)
    mail["To"] = subscriber.email
    mail["Reply-To"] = reply_to
    mail["Subject"] = campaign.subject
    mail["Message-ID"] = make_msgid(domain=server.from_domain)
    listed = f"{place.unsubscribing}?source=email-client-unsubscribe-button"
    mail["List-Unsubscribe"] = f"<{listed}>, <mailto:{reply_to}?subject=unsubscribe>"
    mail["List-Unsubscribe-Post"] = ONE_CLICK
    mail["List-Id"] = f"{campaign.list_uid} <{campaign.list_uid}>"
    mail["Feedback-ID"] = f"{campaign.uid}:{subscriber.uid}:{campaign.list_uid}:mailwizz"
    leaving = f"{place.unsubscribing}/unsubscribe-direct"
    mail.set_content(f"Offers: {place.clicking(key)}\nUnsubscribe: {leaving}\n")
    mail.add_alternative(
        f'<p><a href="{place.clicking(key)}">Offers</a> <a href="{leaving}">Unsubscribe</a></p>'
        f'<img src="{place.opening}" width="1" height="1" alt="">',
        subtype="html",
    )
    return mail


async def sent(server: DeliveryServer, password: str | None, envelope_from: str, mail: EmailMessage) -> Sent:
    """One conversation. Certificates are not looked at, as MailWizz doesn't; whatever fails is a `giveup`."""
    mode = server.tls_mode
    client = aiosmtplib.SMTP(
        hostname=server.hostname,
        port=server.port,
        use_tls=mode is TlsMode.IMPLICIT,
        start_tls=True if mode is TlsMode.STARTTLS else None,
        validate_certs=False,
        timeout=server.timeout_s,
    )
    try:
        async with client:
            if server.username and password is not None:
                await client.login(server.username, password)
            _, said = await client.sendmail(envelope_from, mail["To"], mail.as_bytes())
    except aiosmtplib.SMTPRecipientsRefused as error:
        return Sent("giveup", "; ".join(f"{refused.code} {refused.message}" for refused in error.recipients))
    except aiosmtplib.SMTPResponseException as error:
        return Sent("giveup", f"{error.code} {error.message}")
    except (aiosmtplib.SMTPException, OSError) as error:
        return Sent("giveup", str(error) or type(error).__name__)
    return Sent("success", said)
