"""DKIM signatures of a mail, verified by dkimpy from its bytes as they came.

The keys are asked for ahead, by us; dkimpy itself asks nobody, and works in a thread.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any  # what dkimpy gives

import dkim
from dkim.util import InvalidTagValueList, parse_tag_value

from daemon.clients.dns_lookup import DnsFailedError, DnsLookup
from domain.mail_headers import headers_of, values_of

_MOST_SIGNATURES = 10
_SMALLEST_KEY_BITS = 1024


class SignatureState(StrEnum):
    """What verifying came to. UNKNOWN: the key can't be asked for now, or dkimpy lacks what the algorithm needs."""

    VALID = "valid"
    BROKEN = "broken"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature: whose, of which headers (lower case), and whether it holds."""

    domain: str
    selector: str
    signed: frozenset[str]
    state: SignatureState
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Claim:
    index: int
    domain: str
    selector: str
    signed: frozenset[str]
    algorithm: str

    @property
    def key_name(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"

    def found(self, state: SignatureState, detail: str = "") -> Signature:
        return Signature(self.domain, self.selector, self.signed, state, detail)


async def signatures_of(raw: bytes, dns: DnsLookup) -> list[Signature]:
    """Every signature of a mail, top first, up to ten; never raises for what a mail holds."""
    claims = await asyncio.to_thread(_claims, raw)
    names = sorted({claim.key_name for claim in claims})
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(_key(dns, name)) for name in names]
    keys = dict(zip(names, (task.result() for task in asked), strict=True))
    return await asyncio.to_thread(_verify, raw, claims, keys)


async def _key(dns: DnsLookup, name: str) -> bytes | DnsFailedError:
    try:
        texts = await dns.texts(name)
    except DnsFailedError as error:
        return error
    return next((text for text in texts if text.lstrip().startswith(b"v=DKIM1")), texts[0] if texts else b"")


def _claims(raw: bytes) -> list[_Claim]:
    claims = []
    for index, value in enumerate(values_of(headers_of(raw), "DKIM-Signature")[:_MOST_SIGNATURES]):
        try:
            tags = parse_tag_value(value.encode("ascii", "replace"))
        except InvalidTagValueList:
            tags = {}
        said = {name.decode(): b"".join(text.split()).decode() for name, text in tags.items()}
        signed = frozenset(said.get("h", "").lower().split(":"))
        claims.append(_Claim(index, said.get("d", "").lower(), said.get("s", ""), signed, said.get("a", "").lower()))
    return claims


def _verify(raw: bytes, claims: list[_Claim], keys: Mapping[str, bytes | DnsFailedError]) -> list[Signature]:
    return [_verify_one(raw, claim, keys[claim.key_name]) for claim in claims]


def _verify_one(raw: bytes, claim: _Claim, key: bytes | DnsFailedError) -> Signature:
    if isinstance(key, DnsFailedError):
        return claim.found(SignatureState.UNKNOWN, str(key))
    if claim.algorithm == "rsa-sha1" or not key:
        why = f"there is no key at {claim.key_name}" if not key else "rsa-sha1 proves nothing any more (RFC 8301)"
        return claim.found(SignatureState.BROKEN, why)
    said = _Said()
    try:
        mail = dkim.DKIM(raw, logger=said, minkey=_SMALLEST_KEY_BITS)
        is_valid = bool(mail.verify(claim.index, dnsfunc=lambda _name, **_options: key))
    except dkim.NaClNotFoundError:
        is_ours = claim.algorithm.startswith("ed25519")  # else it is a key of another kind than the signature
        state = SignatureState.UNKNOWN if is_ours else SignatureState.BROKEN
        return claim.found(state, f"no ed25519 key serves {claim.algorithm} here")
    except Exception as error:  # noqa: BLE001  a hostile mail may break dkimpy anywhere: then it verifies nothing
        return claim.found(SignatureState.BROKEN, f"{type(error).__name__}: {error}")
    why = "; ".join(said.errors) or "the signature does not match the headers"
    return claim.found(SignatureState.VALID) if is_valid else claim.found(SignatureState.BROKEN, why)


class _Said:
    """Takes dkimpy's log, and keeps why it refused."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def debug(self, *_said: Any) -> None:
        """Drop what nobody needs."""

    def error(self, said: object) -> None:
        self.errors.append(str(said))
