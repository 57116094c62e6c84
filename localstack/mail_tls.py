"""Certificates of the mail host, good ones and bad ones, made at each start. Times are the system's: TLS asks it."""

import ssl
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_LIFE = timedelta(days=60)


class Certificate(StrEnum):
    """What a server shows."""

    GOOD = "good"
    EXPIRED = "expired"
    EXPIRING = "expiring"  # good for a week
    SELF_SIGNED = "self-signed"
    OTHER_NAME = "other-name"


_LIFE_LEFT = {Certificate.EXPIRED: timedelta(days=-1), Certificate.EXPIRING: timedelta(days=7)}


class Certificates:
    """An authority of its own, which clients may trust, and server contexts below it."""

    def __init__(self) -> None:
        self._authority = trustme.CA(organization_name="robotd mail host")

    @property
    def trusted_pem(self) -> bytes:
        """The authority's certificate."""
        return self._authority.cert_pem.bytes()

    def client(self) -> ssl.SSLContext:
        """A client's context that trusts this authority alone, and checks names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.trusted_pem.decode())
        return context

    def server(self, kind: Certificate, *names: str) -> ssl.SSLContext:
        """A server's context for these names and addresses."""
        now = datetime.now(UTC)
        shown = ("elsewhere.test",) if kind is Certificate.OTHER_NAME else names
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if kind is Certificate.SELF_SIGNED:
            _sign_oneself(context, names[0])
            return context
        leaf = self._authority.issue_cert(*shown, not_before=now - _LIFE, not_after=now + _LIFE_LEFT.get(kind, _LIFE))
        leaf.configure_cert(context)
        return context


def _sign_oneself(context: ssl.SSLContext, name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    called = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(called)
        .issuer_name(called)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LIFE)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with trustme.Blob(made.public_bytes(Encoding.PEM) + private).tempfile() as both:
        context.load_cert_chain(both)
