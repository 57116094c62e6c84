"""What is wrong with a server's certificate. MailWizz verifies none: the line stands, this is told beside it."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509

_OLD = ("SSLv3", "TLSv1", "TLSv1.1")


def unverified_context() -> ssl.SSLContext:
    """Takes any certificate and any version, as the point is to tell which it was."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # OpenSSL 3 speaks no TLS below 1.2 without it
    return context


def tls_problems(line: ssl.SSLObject, hostname: str, days: int) -> list[tuple[str, str]]:
    """Kind and words of each problem, the worst first."""
    problems: list[tuple[str, str]] = []
    der = line.getpeercert(binary_form=True)
    if der is None:
        problems.append(("certificate-missing", "it shows no certificate"))
    else:
        problems.extend(_certificate_problems(der, hostname, days))
    if line.version() in _OLD:
        problems.append(("tls-old", f"it speaks {line.version()}"))
    return problems


def _certificate_problems(der: bytes, hostname: str, days: int) -> Iterator[tuple[str, str]]:
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = _names(certificate)
        is_own_issuer = certificate.issuer == certificate.subject
    except ValueError as problem:
        yield "certificate-malformed", f"its certificate can't be read: {problem}"
        return
    yield from _time_problems(certificate, datetime.now(UTC), days)
    if not any(_matches(name, hostname.lower()) for name in names):
        yield (
            "certificate-hostname",
            f"its certificate is for {', '.join(sorted(names)[:5]) or 'no name'}, not {hostname}",
        )
    if is_own_issuer:
        yield "certificate-self-signed", "its certificate is signed by itself"


def _time_problems(certificate: x509.Certificate, now: datetime, days: int) -> Iterator[tuple[str, str]]:
    ends = certificate.not_valid_after_utc
    if ends <= now:
        yield "certificate-expired", f"its certificate ended on {ends:%Y-%m-%d}"
    elif ends - now < timedelta(days=days):
        yield "certificate-ends-soon", f"its certificate ends on {ends:%Y-%m-%d}"
    if certificate.not_valid_before_utc > now:
        yield "certificate-not-yet-valid", f"its certificate begins on {certificate.not_valid_before_utc:%Y-%m-%d}"


def _names(certificate: x509.Certificate) -> set[str]:
    """Its alternative names alone: the common name has not counted for years."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return addresses | {name.lower() for name in names.get_values_for_type(x509.DNSName)}


def _matches(name: str, hostname: str) -> bool:
    try:
        return str(ip_address(hostname.strip("[]"))) == name
    except ValueError:
        pass
    host = hostname.rstrip(".")
    return name == host or (name.startswith("*.") and name[2:] == host.partition(".")[2])
