"""What the WAHA simulator knows: sessions with their history, and every message that it accepted.

Nothing here comes from the product: judges compare the product with this record.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

WORKING = "WORKING"
ACK_NAMES = {-1: "ERROR", 0: "PENDING", 1: "SERVER", 2: "DEVICE", 3: "READ", 4: "PLAYED"}


@dataclass(frozen=True, slots=True)
class SentFile:
    """The file of a message. Either `sha256` of its bytes, or the `url` from which WAHA would fetch it."""

    mime_type: str
    filename: str | None = None
    sha256: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class WantedMessage:
    """What a caller asks to send, in good form. `kind`: text, image, file, video."""

    kind: str
    session: str
    chat_id: str
    text: str
    asked_id: str | None = None
    file: SentFile | None = None
    call_ref: str | None = None


@dataclass(frozen=True, slots=True)
class AcceptedMessage:
    """A message that WAHA took. `text` is the caption where there is a file; `id` is the bare id.

    `is_repeat`: an earlier message of this chat had the same id.
    """

    session: str
    chat_id: str
    text: str
    id: str
    at_ms: int
    media_sha256: str | None = None
    kind: str = "text"
    mime_type: str | None = None
    filename: str | None = None
    media_url: str | None = None
    call_ref: str | None = None
    is_repeat: bool = False

    @property
    def full_id(self) -> str:
        """The id as WAHA writes it since 2026: `true_<chatId>_<ID>`."""
        return f"true_{self.chat_id}_{self.id}"


@dataclass(frozen=True, slots=True)
class StatusPoint:
    """Since when a session has a status. None: there is no such session from then on."""

    status: str | None
    at_ms: int


@dataclass(frozen=True, slots=True)
class _Plan:
    status: str | None
    at_ms: int | None
    after_accepted: int | None


@dataclass(slots=True)
class Session:
    """One session. `history` is oldest first; `account` is what WAHA tells as `me` while it is WORKING.

    `metadata` is what its operator has written to it, such as `user.id`.
    """

    name: str
    history: list[StatusPoint]
    account: dict[str, object]
    accepted: int = 0
    metadata: dict[str, str] = field(default_factory=dict)
    plans: list[_Plan] = field(default_factory=list)

    @property
    def status(self) -> str | None:
        """The last status that it took."""
        return self.history[-1].status

    def turn(self, status: str | None, at_ms: int) -> None:
        """Take a status. Taking the same one again is on record too, as WAHA tells it again."""
        self.history.append(StatusPoint(status, at_ms))

    def catch_up(self, now_ms: int) -> None:
        """Take the statuses that were planned for moments up to now, and for what is accepted by now."""
        due = [plan for plan in self.plans if self._is_due(plan, now_ms)]
        self.plans = [plan for plan in self.plans if plan not in due]
        for plan in sorted(due, key=lambda plan: now_ms if plan.at_ms is None else plan.at_ms):
            self.turn(plan.status, max(self.history[-1].at_ms, now_ms if plan.at_ms is None else plan.at_ms))

    def _is_due(self, plan: _Plan, now_ms: int) -> bool:
        if plan.at_ms is not None:
            return plan.at_ms <= now_ms
        return plan.after_accepted is not None and plan.after_accepted <= self.accepted


class WahaRecords:
    """Sessions and messages of one WAHA. `id_is_honoured`: the engine sends with the id that the caller gives.

    `delivers_repeats`: whether WhatsApp shows a message again that has the id of an earlier one. `lookup_lag_ms`: how
    long an accepted message can't be found yet. `lids`: whose number stands behind a hidden user id.
    `first_ack`: what an accepted message has at once, 1 that the server has it, 2 that a phone has.
    """

    def __init__(self, *, id_is_honoured: bool) -> None:
        self.accepted: list[AcceptedMessage] = []
        self.issued_ids: list[str] = []
        self.acks: dict[str, int] = {}
        self.numbers: dict[str, str | None] = {}
        self.lids: dict[str, str] = {}
        self.delivers_repeats = False
        self.lookup_lag_ms = 0
        self.first_ack = 1
        self._id_is_honoured = id_is_honoured
        self._sessions: dict[str, Session] = {}
        self._chats: dict[tuple[str, str], dict[str, AcceptedMessage]] = {}

    def add_session(self, name: str, status: str, at_ms: int) -> None:
        """Add a session, or start its history anew."""
        account: dict[str, object] = {"id": f"{99900000000 + len(self._sessions)}@c.us", "pushName": name}
        self._sessions[name] = Session(name, [StatusPoint(status, at_ms)], account)

    def plan(
        self, name: str, status: str | None, *, at_ms: int | None = None, after_accepted: int | None = None
    ) -> None:
        """Plan a status for a moment, or for when the session has accepted so many messages in all."""
        if (at_ms is None) == (after_accepted is None):
            raise ValueError("say either at_ms or after_accepted")
        self._sessions[name].plans.append(_Plan(status, at_ms, after_accepted))

    def turn(self, name: str, status: str | None, now_ms: int) -> None:
        """Give a session a status now. KeyError where it was never added."""
        self.known(name, now_ms).turn(status, now_ms)

    def known(self, name: str, now_ms: int) -> Session:
        """A session that was ever added, with all that is planned up to now. KeyError for any other."""
        session = self._sessions[name]
        session.catch_up(now_ms)
        return session

    def session(self, name: str, now_ms: int) -> Session | None:
        """The session if there is one now."""
        session = self.known(name, now_ms) if name in self._sessions else None
        return None if session is None or session.status is None else session

    def sessions(self, now_ms: int) -> list[Session]:
        """The sessions that there are now, in the order in which they were added."""
        return [session for name in self._sessions if (session := self.session(name, now_ms)) is not None]

    def new_id(self) -> str:
        """An id that was never given out, in WhatsApp's form."""
        self.issued_ids.append(f"3EB0{secrets.token_hex(9).upper()}")
        return self.issued_ids[-1]

    def accept(self, wanted: WantedMessage, now_ms: int) -> AcceptedMessage:
        """Take a message in. The session's plans look at the new count."""
        asked_id = wanted.asked_id if self._id_is_honoured else None
        message_id = asked_id or self.new_id()
        file = wanted.file or SentFile("")
        chat = self._chats.setdefault((wanted.session, wanted.chat_id), {})
        message = AcceptedMessage(
            session=wanted.session,
            chat_id=wanted.chat_id,
            text=wanted.text,
            id=message_id,
            at_ms=now_ms,
            media_sha256=file.sha256,
            kind=wanted.kind,
            mime_type=file.mime_type or None,
            filename=file.filename,
            media_url=file.url,
            call_ref=wanted.call_ref,
            is_repeat=message_id in chat,
        )
        self.accepted.append(message)
        chat.setdefault(message_id, message)
        self.acks.setdefault(message_id, self.first_ack)
        session = self._sessions[wanted.session]
        session.accepted += 1
        session.catch_up(now_ms)
        return message

    def remember(self, session: str, chat_id: str, text: str, at_ms: int) -> AcceptedMessage:
        """Let a chat have an older text of the session's own; it can be looked up, and is in no judge's list."""
        message = AcceptedMessage(session, chat_id, text, self.new_id(), at_ms)
        self._chats.setdefault((session, chat_id), {})[message.id] = message
        self.acks[message.id] = 3
        return message

    def set_ack(self, message_id: str, ack: int) -> None:
        """Let lookups tell this ack. KeyError for an id that no chat has, ValueError for what is no ack."""
        if ack not in ACK_NAMES:
            raise ValueError(f"ack {ack} is none of {', '.join(map(str, ACK_NAMES))}")
        if message_id not in self.acks:
            raise KeyError(message_id)
        self.acks[message_id] = ack

    @property
    def delivered(self) -> Sequence[AcceptedMessage]:
        """What people see on their phones: what was accepted, repeats of an id only if WhatsApp shows them."""
        return [message for message in self.accepted if self.delivers_repeats or not message.is_repeat]

    def chat(self, session: str, chat_id: str, now_ms: int) -> list[AcceptedMessage]:
        """The messages of a chat that can be found by now, oldest first, each id once."""
        until_ms = now_ms - self.lookup_lag_ms
        messages = self._chats.get((session, chat_id), {}).values()
        return sorted((message for message in messages if message.at_ms <= until_ms), key=lambda message: message.at_ms)

    def find(self, session: str, chat_id: str, message_id: str, now_ms: int) -> AcceptedMessage | None:
        """One message of a chat by its bare id or its full one."""
        message = self._chats.get((session, chat_id), {}).get(message_id.rsplit("_", 1)[-1])
        return message if message is not None and message.at_ms + self.lookup_lag_ms <= now_ms else None


def chat_id_of(asked: str) -> str:
    """The chat that WAHA takes: a number without "@" is a person's."""
    return asked if "@" in asked else f"{asked}@c.us"
