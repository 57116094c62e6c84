"""Mails as a mailbox holds them: signed by a key that is made for the run, noted by a mail server of our own."""

import base64
from dataclasses import dataclass, replace
from functools import cache

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from daemon.clients.dns_lookup import NameServers
from daemon.clients.mail_address import Zones
from daemon.clients.mail_checks import MailCheckOptions
from domain.delivery_server import DeliveryServer
from domain.server_ports import Arrived, FoundMail
from localstack.dns import DnsServer, Zone

DOMAIN = "shop.test"
SENDER = f"news@{DOMAIN}"
ADDRESS = "192.0.2.10"
OWN_MX, AUTHSERV_ID = "mx.own.test", "own.test"
HARD, SOFT = "hard.lists.test", "soft.lists.test"
SELECTOR = "mailer"
UNSUBSCRIBE = (
    ("List-Unsubscribe", "<mailto:off@shop.test>, <https://track.shop.test/u/1>"),
    ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
)


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def key_pem() -> bytes:
    """The run's key, for whoever signs."""
    return _key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def key_record() -> str:
    """The TXT record of the run's key, cut into pieces as DNS wants it."""
    public = _key().public_key()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    text = f"v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}"
    return " ".join(f'"{text[n : n + 200]}"' for n in range(0, len(text), 200))


def zone() -> Zone:
    """All that a good sender has in DNS, and two lists that list nobody but what they must."""
    return {
        (f"{SELECTOR}._domainkey.{DOMAIN}", "TXT"): [key_record()],
        (DOMAIN, "TXT"): [f'"v=spf1 ip4:{ADDRESS} -all"'],
        (f"_dmarc.{DOMAIN}", "TXT"): ['"v=DMARC1; p=reject"'],
        ("10.2.0.192.in-addr.arpa", "PTR"): [f"out.{DOMAIN}."],
        (f"out.{DOMAIN}", "A"): [ADDRESS],
        (f"2.0.0.127.{HARD}", "A"): ["127.0.0.2"],
        (f"2.0.0.127.{SOFT}", "A"): ["127.0.0.2"],
    }


def server(**changes: object) -> DeliveryServer:
    """A delivery server with a sender at the domain."""
    plain = DeliveryServer(
        id=7,
        type="smtp",
        name="one",
        hostname=f"smtp.{DOMAIN}",
        username="one",
        password=None,
        port=587,
        protocol="tls",
        timeout_s=30,
        from_email=SENDER,
        from_name="The Shop",
        reply_to_email="",
        force_from="never",
        force_reply_to="never",
        bounce_server_id=None,
        tracking_domain_id=None,
        customer_id=None,
        status="active",
        last_updated="2026-11-02 08:00:00",
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # the test names fields that exist


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to be built. `above` and `below`: headers above and below the Received header of our own mail server."""

    sender: str = SENDER
    body: str = "Hello.\r\n"
    headers: tuple[tuple[str, str], ...] = ()
    above: tuple[tuple[str, str], ...] = ()
    below: tuple[tuple[str, str], ...] = ()
    address: str = ADDRESS
    signed_by: tuple[str, ...] = (DOMAIN,)
    signs: tuple[str, ...] = ("from", "subject", "list-unsubscribe", "list-unsubscribe-post")
    changes: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def raw(self) -> bytes:
        """The bytes: signed first, then changed on the way, then noted by our server."""
        lines = [("From", self.sender), ("Reply-To", self.sender), ("Subject", "Test [token]"), *self.headers]
        raw = ("".join(f"{name}: {value}\r\n" for name, value in lines) + "\r\n" + self.body).encode()
        for domain in self.signed_by:
            raw = self._signature(raw, domain) + raw
        for old, new in self.changes:
            assert old in raw
            raw = raw.replace(old, new)
        received = (
            "Received",
            f"from out.{DOMAIN} (unknown [{self.address}])\r\n\tby {OWN_MX} (Postfix) with ESMTPS id 1",
        )
        noted = [*self.above, received, *self.below]
        return "".join(f"{name}: {value}\r\n" for name, value in noted).encode() + raw

    def _signature(self, raw: bytes, domain: str) -> bytes:
        there = {line.partition(b":")[0].lower() for line in raw.partition(b"\r\n\r\n")[0].split(b"\r\n")}
        names = [name.encode() for name in self.signs if name.encode() in there]
        signature: bytes = dkim.sign(raw, SELECTOR.encode(), domain.encode(), key_pem(), include_headers=names)
        return signature


def arrived(mail: Mail | bytes, *, by_campaign: bool = True, envelope_from: str = f"bounce@{DOMAIN}") -> Arrived:
    """A mail in the inbox, sent through the server."""
    raw = mail if isinstance(mail, bytes) else mail.raw
    return Arrived(FoundMail("INBOX", is_junk=False, raw=raw), server(), envelope_from, by_campaign)


def options(dns: DnsServer, *, timeout_s: float = 5.0) -> MailCheckOptions:
    """What the checks go by when they ask this server."""
    return MailCheckOptions(
        name_servers=NameServers((dns.host,), dns.port, timeout_s),
        own_mx=(OWN_MX,),
        authserv_id=AUTHSERV_ID,
        zones=Zones((HARD,), (SOFT,)),
    )
