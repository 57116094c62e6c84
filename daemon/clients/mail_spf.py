"""SPF by pyspf, which is never let near a resolver: what it lacks is asked for by us, and it starts again.

pyspf asks through a function of its whole module. Each evaluation here has an answering method of its own instead, so
that nothing is replaced for anybody else; and since that never waits, no thread is held while a name server is slow.
"""

import asyncio
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any  # what pyspf gives and takes

from daemon.clients.dns_lookup import DnsFailedError, DnsLookup

with warnings.catch_warnings():
    warnings.simplefilter("ignore", SyntaxWarning)  # from Python 3.12 on, at a backslash in one of its docstrings
    import spf

_MOST_QUESTIONS = 150  # ten mechanisms of ten names each, and some: RFC 7208 allows no more
_MOST_VOID = 2
_LONGEST_LABEL = 63
_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Envelope:
    """What SPF is about: who connected, whom the mail is from on the envelope, and what the client called itself."""

    address: str
    sender: str
    helo: str

    @property
    def domain(self) -> str:
        """The domain that SPF speaks for, lower case; of a mail without a sender that of the client."""
        return (self.sender.rpartition("@")[2] if self.sender else self.helo).strip().lower().rstrip(".")


@dataclass(frozen=True, slots=True)
class SpfResult:
    """`word` is RFC 7208's: pass, fail, softfail, neutral, none, permerror, temperror."""

    word: str
    domain: str
    detail: str = ""


class _LackingError(Exception):
    """The evaluation needs an answer that it does not have yet."""

    def __init__(self, key: _Key) -> None:
        super().__init__(key)
        self.key = key


async def spf_of(envelope: Envelope, dns: DnsLookup) -> SpfResult:
    """Evaluate; a question that fails makes it temperror."""
    known: dict[_Key, list[Any]] = {}
    while len(known) < _MOST_QUESTIONS:
        try:
            word, detail = await asyncio.to_thread(_evaluate, envelope, known)
        except _LackingError as lacking:
            name, kind = lacking.key
            try:
                known[lacking.key] = [_as_pyspf(record, kind) for record in await dns.ask(name, kind)]
            except DnsFailedError as error:
                return SpfResult("temperror", envelope.domain, str(error))
        else:
            return SpfResult(word, envelope.domain, detail)
    return SpfResult("permerror", envelope.domain, f"more than {_MOST_QUESTIONS} questions")


def _evaluate(envelope: Envelope, known: Mapping[_Key, list[Any]]) -> tuple[str, str]:
    query = spf.query(i=envelope.address, s=envelope.sender, h=envelope.helo)

    def answer(name: object, kind: str, _cnames: object = None, *, ignore_void: bool = False) -> list[Any]:
        key = (str(name).rstrip(".").lower(), kind)
        if not all(0 < len(label) <= _LONGEST_LABEL for label in key[0].split(".")):
            return []
        if key not in known:
            raise _LackingError(key)
        if not known[key] and not ignore_void:
            query.void_lookups += 1
            if query.void_lookups > _MOST_VOID:
                raise spf.PermError(f"more than {_MOST_VOID} lookups without an answer")
        return list(known[key])

    query.dns = answer
    word, _, detail = query.check()
    return str(word), str(detail)


def _as_pyspf(record: Any, kind: str) -> Any:
    """A record in the form that pyspf knows: text, pieces of text, or preference and host."""
    match kind:
        case "TXT" | "SPF":
            return record.strings
        case "MX":
            return record.preference, record.exchange.to_text()
        case _:
            return record.to_text().rstrip(".")
