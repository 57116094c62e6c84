"""DMARC by RFC 9989: what a record says, where records are looked for, and which domains belong together."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

_VERSION = re.compile(r"v\s*=\s*DMARC1\s*(?:;|$)", re.IGNORECASE)
_MOST_QUERIES = 8
_POLICIES = ("none", "quarantine", "reject")


@dataclass(frozen=True, slots=True)
class Record:
    """A DMARC record. `psd`: y for a public suffix, n for an organization's own top, u for neither said."""

    policy: str
    subdomain_policy: str
    is_strict_dkim: bool
    is_strict_spf: bool
    psd: str


def record_of(texts: Collection[bytes]) -> Record | None:
    """The one DMARC record among the texts of a name; several count as none."""
    records = [text for text in (each.decode("utf-8", "replace") for each in texts) if _VERSION.match(text)]
    return _read(records[0]) if len(records) == 1 else None


def names_to_ask(domain: str) -> list[str]:
    """The domain and those above it, in the order of the tree walk; of a long one those in between are skipped."""
    labels = domain.lower().rstrip(".").split(".")
    first = 1 if len(labels) <= _MOST_QUERIES else len(labels) - _MOST_QUERIES + 1
    return [".".join(labels), *(".".join(labels[n:]) for n in range(first, len(labels)))]


def ends_walk(record: Record | None) -> bool:
    """Whether no name above the one with this record is asked."""
    return record is not None and record.psd in ("y", "n")


def organization_of(domain: str, found: Mapping[str, Record]) -> str:
    """The organizational domain, from the records that the tree walk has found; without any, the domain itself."""
    domain = domain.lower().rstrip(".")
    if not found:
        return domain
    top = min(found, key=lambda name: name.count("."))
    if found[top].psd == "y":  # where that is the domain itself, there is no label more to take
        below = domain.split(".")[-top.count(".") - 2 :]
        return ".".join(below)
    return top


def policy_for(domain: str, found: Mapping[str, Record]) -> tuple[str, Record] | None:
    """The record that holds for an author's domain, and its name: the domain's own, its organization's, a suffix's."""
    top = min(found, key=lambda name: name.count("."), default=None)
    for name in (domain.lower().rstrip("."), organization_of(domain, found), top):
        if name is not None and name in found:
            return name, found[name]
    return None


def _read(text: str) -> Record:
    tags: dict[str, str] = {}
    for part in text.split(";"):
        name, _, value = part.partition("=")
        tags.setdefault(name.strip().lower(), value.strip().lower())
    policy = tags.get("p", "")
    policy = policy if policy in _POLICIES else "none"
    subdomain = tags.get("sp", "")
    return Record(
        policy=policy,
        subdomain_policy=subdomain if subdomain in _POLICIES else policy,
        is_strict_dkim=tags.get("adkim") == "s",
        is_strict_spf=tags.get("aspf") == "s",
        psd=tags["psd"] if tags.get("psd") in ("y", "n") else "u",
    )
