"""What somebody writes who wants no more messages: a keyword as the whole message, or a sentence about messages.

A keyword within a sentence is not enough: "can you stop the pain?" is a question of a resident, not an opt-out.
"""

import re
from collections.abc import Collection

KEYWORDS: tuple[str, ...] = (
    "stop",
    "stop all",
    "stopall",
    "stopp",
    "unsubscribe",
    "opt out",
    "optout",
    "afmelden",
    "uitschrijven",
    "abmelden",
    "abbestellen",
    "berhenti",
    "berhenti langganan",
    "baja",
    "désabonner",
)
_LONGEST = 300  # a longer text is a letter, not an opt-out
_POLITE = {"please", "pls", "thanks", "bitte", "danke", "aub", "a.u.b", "alstublieft", "graag", "tolong"}
_EDGES = re.compile(r"^\W+|\W+$")
_OBJECT = "(?:messages?|msgs?|texts|texting|whatsapps?|berichten|berichtjes|nachrichten|pesan|mensajes)"
_BETWEEN = (
    "(?:(?:sending|send|getting|receiving|me|us|all|any|more|the|these|those|this|that|your|such|please|with|to|of|"
    "met|het|sturen|van|die|deze|mij|mir|mit|diese|kirim|mengirim|saya|de|enviar|los) ){0,5}"
)
_STOP = re.compile(rf"\b(?:stop|stopp|quit|unsubscribe|berhenti) {_BETWEEN}{_OBJECT}\b")
_DONT = "(?:do not|don't|dont|never)"
_NO_MORE = re.compile(
    rf"\b{_DONT} (?:ever )?(?:send|text|message|whatsapp) (?:me|us|{_BETWEEN}{_OBJECT})\b"
    rf"|\b{_DONT} (?:want|wish) (?:to )?(?:receive |get |have )?{_BETWEEN}(?:{_OBJECT}|anything)\b"
    rf"|^(?:no more|geen|keine|jangan kirim) {_BETWEEN}{_OBJECT}(?: (?:meer|mehr|lagi|any ?more))?$"
)
_TURNED_ROUND = {"not", "don't", "dont", "never", "did", "didn't", "why", "niet", "nicht", "jangan"}


def is_opt_out(text: str, keywords: Collection[str] = KEYWORDS) -> bool:
    """Whether a message asks for no more messages. `keywords` are compared without case, signs and politeness."""
    if len(text) > _LONGEST:
        return False
    said = _plain(text)
    if not said:
        return False
    if said in {_plain(keyword) for keyword in keywords}:
        return True
    return _asks_to_stop(said) or _NO_MORE.search(said) is not None


def _plain(text: str) -> str:
    """Lower case, single blanks, no hyphens, and neither signs nor a "please" at the ends."""
    words = text.casefold().replace("\u2019", "'").replace("-", " ").split()
    words = [word for word in (_EDGES.sub("", each) for each in words) if word]
    while words and words[0] in _POLITE:
        del words[0]
    while words and words[-1] in _POLITE:
        del words[-1]
    return " ".join(words)


def _asks_to_stop(said: str) -> bool:
    """Whether the verb has messages as its object, and the words before it don't turn its sense round."""
    match = _STOP.search(said)
    return match is not None and _TURNED_ROUND.isdisjoint(said[: match.start()].split()[-3:])
