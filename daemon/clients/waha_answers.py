"""What WAHA's answers mean: one place for its table of errors, its shapes of a message id, its statuses of a session.

WAHA repeats the request in its errors. So nothing of an answer is passed on but a status word, and of an error's own
sentence only the words that we did not send.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import httpx

from daemon.clients.waha_http import NO_ADDRESS, Answer, Heard, Silence
from daemon.clients.waha_redaction import without
from domain.contacts import chat_id_of
from domain.errors import RuleViolation
from domain.sending import PauseReason, SendAnswer, SendVerdict, SessionState, bare_id
from domain.whatsapp_ports import Resolved
from domain.wire import JsonObject

__all__ = ["bare_id"]

STARTING_GRACE_S = 5.0
_CAPPINGS = ("NONE", "FIRST_WARNING", "SECOND_WARNING", "CAPPED")
_MILLISECONDS_FROM = 100_000_000_000  # as seconds this is the year 5138, as milliseconds 1973
_LONGEST_ID = 256
_HIGHEST_ACK = 4
_NOBODY_KNOWS = (400, 404, 405, 501)  # such an id, or such a question

_NO_SESSION = re.compile(r"(?i)session.*(not|n't) (found|find|exist)|(not|n't) (found|find).*session")
_NOT_WORKING = re.compile(r"(?i)session status is not as expected")
_CONFIGURATION = re.compile(r"(?i)implemented|\bplus\b|only '?default'?|'default' session")
_NO_PATH = re.compile(r"(?i)cannot (post|get) ")
_LOCKED = re.compile(r"(?i)error:? 463\b")
_LIMITED = re.compile(r"(?i)rate[ -]?(over)?limit|too many requests|error:? 429\b")
_STATUS_WORD = re.compile(r"[A-Z_]{1,40}")


def mapping(value: object) -> JsonObject:
    """The value where it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class _Refusal:
    """An answer that is no success. `said` is WAHA's own sentence; `told` what of it may be passed on."""

    answer: Answer
    said: str
    told: str
    is_media: bool

    def means(
        self, verdict: SendVerdict, sentence: str, pause: PauseReason | None = None, code: str = ""
    ) -> SendAnswer:
        """This refusal as the domain's answer."""
        detail = f"{sentence}: {self.told}" if self.told else sentence
        code = code or f"http-{self.answer.status}"
        return SendAnswer(verdict, code, detail, pause=pause, after_s=self.answer.retry_after_s)

    def was_not_sent(self, sentence: str, pause: PauseReason, code: str = "") -> SendAnswer:
        """Certainly not sent, and no other contact would fare better."""
        return self.means(SendVerdict.NOT_SENT, sentence, pause, code)

    def failed(self) -> SendAnswer:
        """This contact's own failure."""
        return self.means(SendVerdict.FAILED, f"WAHA refused it with {self.answer.status}")


def send_answer(heard: Heard, ours: Sequence[str], *, is_media: bool) -> SendAnswer:
    """What became of a send. `ours` is what we sent: none of its words reaches the detail."""
    if isinstance(heard, Silence):
        return _unanswered(heard)
    if heard.is_success:
        return SendAnswer(SendVerdict.SENT, waha_id=message_id_of(heard.json))
    said = _sentence_of(heard.json)
    refusal = _Refusal(heard, said, without(ours, said), is_media)
    meaning = _MEANINGS.get(heard.status)
    if meaning is not None:
        return meaning(refusal)
    if httpx.codes.is_client_error(heard.status):
        return refusal.failed()
    return _from_a_proxy(refusal)


def session_state(heard: Heard) -> SessionState:
    """How a session stands. Whatever is not clearly WORKING is a pause."""
    if isinstance(heard, Silence):
        pause = PauseReason.CONFIG if heard.code == NO_ADDRESS else PauseReason.WAHA_UNREACHABLE
        return SessionState("", pause, heard.detail)
    info = heard.json
    if heard.is_success and isinstance(info, dict):
        return _told_state(info)
    detail = f"WAHA answered {heard.status} when asked for the session"
    return SessionState("", _refused_check(heard), detail, after_s=heard.retry_after_s)


def is_session_missing(answer: Answer) -> bool:
    """Whether it says that there is no such session."""
    return answer.status == httpx.codes.NOT_FOUND and _NO_SESSION.search(_sentence_of(answer.json)) is not None


def is_beyond_the_engine(answer: Answer) -> bool:
    """Whether it says that this engine or this edition can't do that."""
    return answer.status == httpx.codes.UNPROCESSABLE_ENTITY and bool(_CONFIGURATION.search(_sentence_of(answer.json)))


def message_id_of(body: object) -> str | None:
    """The id of the message in the answer to a send, as `true_<chatId>_<ID>`; None where none is found.

    Engines and versions differ: `id` as text, `id` as an object, or the raw `key` of the library below.
    """
    message = mapping(body)
    found = _id_text(message.get("id")) or _id_text(message.get("key"))
    return found if found is not None and len(found) <= _LONGEST_ID else None


def number_told(heard: Heard) -> Resolved:
    """Whose number stands behind a hidden user id. What may be otherwise later is not certain."""
    if isinstance(heard, Silence):
        return Resolved(is_certain=False)
    if heard.is_success and isinstance(heard.json, dict):
        return Resolved(_person(heard.json.get("pn")))
    return Resolved(is_certain=heard.status in _NOBODY_KNOWS or is_beyond_the_engine(heard))


def _person(value: object) -> str | None:
    try:
        return chat_id_of(value) if isinstance(value, str) else None
    except RuleViolation:
        return None


def ack_told(heard: Heard, message_id: str) -> int | None:
    """How far a message has come, where the answer is about this message."""
    message = mapping(heard.json) if isinstance(heard, Answer) and heard.is_success else {}
    ack = message.get("ack")
    is_told = isinstance(ack, int) and not isinstance(ack, bool) and -1 <= ack <= _HIGHEST_ACK
    return ack if is_told and bare_id(message_id_of(message) or "") == bare_id(message_id) else None


def _id_text(value: object) -> str | None:
    if isinstance(value, str):
        return value or None
    key = mapping(value)
    whole, own = key.get("_serialized"), key.get("id")
    if isinstance(whole, str) and whole:
        return whole
    remote = key.get("remote") or key.get("remoteJid")
    remote = mapping(remote).get("_serialized", remote)
    if not (isinstance(own, str) and own):
        return None
    if not isinstance(remote, str):
        return own
    return f"{str(bool(key.get('fromMe', True))).lower()}_{remote.replace('@s.whatsapp.net', '@c.us')}_{own}"


def _unanswered(silence: Silence) -> SendAnswer:
    if silence.was_asked:
        return SendAnswer(SendVerdict.UNKNOWN, silence.code, silence.detail)
    pause = PauseReason.CONFIG if silence.code == NO_ADDRESS else PauseReason.WAHA_UNREACHABLE
    return SendAnswer(SendVerdict.NOT_SENT, silence.code, silence.detail, pause=pause)


def _from_a_proxy(refusal: _Refusal) -> SendAnswer:
    """Said by what stands before WAHA: it may have passed the request on. The next contact must not meet it too."""
    sentence = f"{refusal.answer.status} from what stands before WAHA: nobody knows whether it was sent"
    return refusal.means(SendVerdict.UNKNOWN, sentence, PauseReason.WAHA_UNREACHABLE)


def _no_access(refusal: _Refusal) -> SendAnswer:
    return refusal.was_not_sent("WAHA refuses the API key, or it lacks the scope", PauseReason.AUTH)


def _not_found(refusal: _Refusal) -> SendAnswer:
    if "FILE_NOT_FOUND" in refusal.said:
        return refusal.was_not_sent("WAHA can't find the media", PauseReason.MEDIA, "file-not-found")
    if is_session_missing(refusal.answer):
        return refusal.was_not_sent("WAHA has no such session", PauseReason.SESSION_NOT_FOUND, "session-not-found")
    if _NO_PATH.search(refusal.said):
        return refusal.was_not_sent("this WAHA has no such endpoint", PauseReason.CONFIG)
    return refusal.failed()


def _too_large(refusal: _Refusal) -> SendAnswer:
    pause = PauseReason.MEDIA if refusal.is_media else PauseReason.CONFIG
    return refusal.was_not_sent("it is larger than WAHA takes", pause)


def _unprocessable(refusal: _Refusal) -> SendAnswer:
    if _NOT_WORKING.search(refusal.said):
        status = status_word(mapping(refusal.answer.json).get("status"))
        after_s = STARTING_GRACE_S if status == "STARTING" else refusal.answer.retry_after_s
        pause = PauseReason.SESSION_NOT_WORKING
        return SendAnswer(
            SendVerdict.NOT_SENT, "session-not-working", f"the session is {status}", pause=pause, after_s=after_s
        )
    if is_beyond_the_engine(refusal.answer):
        return _unfit(refusal)
    return refusal.failed()


def _unfit(refusal: _Refusal) -> SendAnswer:
    return refusal.was_not_sent("this WAHA can't do that: look at its engine and its version", PauseReason.CONFIG)


def _slow_down(refusal: _Refusal) -> SendAnswer:
    return refusal.was_not_sent("too many messages in too short a time", PauseReason.RATE_LIMITED, "rate-limited")


def _engine_error(refusal: _Refusal) -> SendAnswer:
    """The engine's own error; its kinds differ only in their sentence.

    463 is FAILED, not NOT_SENT: WhatsApp refused this contact, and whoever tries the same one again deepens the lock.
    A 500 without WAHA's sentence may be a proxy's, or was cut: then nobody knows.
    """
    told = refusal.told
    if _LOCKED.search(refusal.said) or re.search(r"\b463\b", told):
        sentence = "WhatsApp refuses messages to new contacts (463)"
        return refusal.means(SendVerdict.FAILED, sentence, PauseReason.REACHOUT_LOCK, "reachout-lock")
    if _LIMITED.search(refusal.said) or re.search(r"\b429\b", told):
        return _slow_down(refusal)
    if not refusal.said:
        return refusal.means(SendVerdict.UNKNOWN, "500 without WAHA's words: nobody knows whether it was sent")
    return refusal.means(SendVerdict.FAILED, "the engine failed")


_MEANINGS: dict[int, Callable[[_Refusal], SendAnswer]] = {
    401: _no_access,
    403: _no_access,
    404: _not_found,
    405: _unfit,
    407: _no_access,
    408: _from_a_proxy,
    413: _too_large,
    415: _unfit,
    422: _unprocessable,
    425: _from_a_proxy,
    429: _slow_down,
    500: _engine_error,
    501: _unfit,
}


def status_word(value: object) -> str:
    """A session's status; what looks like none is not repeated."""
    return value if isinstance(value, str) and _STATUS_WORD.fullmatch(value) else "UNRECOGNISED"


def _told_state(info: JsonObject) -> SessionState:
    status = status_word(info.get("status"))
    me = mapping(info.get("me"))
    capping = mapping(me.get("messageCapping")).get("cappingStatus")
    capping = capping if capping in _CAPPINGS else None
    timelock = mapping(me.get("reachoutTimelock"))
    until_ms = _time_ms(timelock.get("timeEnforcementEnds"))
    if status != "WORKING":
        after_s = STARTING_GRACE_S if status == "STARTING" else None
        detail = f"the session is {status}"
        return SessionState(status, PauseReason.SESSION_NOT_WORKING, detail, capping, until_ms, after_s)
    if timelock.get("isActive") is True:
        detail = "WhatsApp has locked the number for new contacts"
        return SessionState(status, PauseReason.REACHOUT_LOCK, detail, capping, until_ms)
    if capping == "CAPPED":
        detail = "the number has used up its new chats"
        return SessionState(status, PauseReason.CAPPED, detail, capping, until_ms)
    return SessionState(status, None, "", capping, until_ms)


def _refused_check(answer: Answer) -> PauseReason:
    match answer.status:
        case 401 | 403 | 407:
            return PauseReason.AUTH
        case 404:
            return PauseReason.SESSION_NOT_FOUND
        case 422 if _NOT_WORKING.search(_sentence_of(answer.json)):
            return PauseReason.SESSION_NOT_WORKING
        case 408 | 425 | 429:
            return PauseReason.WAHA_UNREACHABLE
    is_ours = httpx.codes.is_client_error(answer.status) or answer.status == httpx.codes.NOT_IMPLEMENTED
    return PauseReason.CONFIG if is_ours else PauseReason.WAHA_UNREACHABLE


def _time_ms(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _MILLISECONDS_FROM * 100:
        return None
    return int(value) if value >= _MILLISECONDS_FROM else int(value * 1000)


def _sentence_of(body: object) -> str:
    """WAHA's own words in an error. Never its `request`: there our own text could look like an error."""
    refusal = mapping(body)
    error, exception = mapping(refusal.get("error")), mapping(refusal.get("exception"))
    places = (exception.get("name"), exception.get("message"), refusal.get("message"), refusal.get("error"))
    return " ".join(_texts((*places, error.get("key"), error.get("message"))))


def _texts(values: Sequence[object]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from (item for item in value if isinstance(item, str))
