"""A WAHA that tells by itself: its webhooks, signed, put onto a queue as a relay would do it.

Of every message that it takes it tells some acknowledgements, of every session its statuses, of people what they write.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from domain.ports import Clock
from localstack.sqs_sender import SendFailed, SendsMessages
from localstack.waha_records import AcceptedMessage, Session, WahaRecords
from localstack.waha_webhooks import WahaWebhooks, Webhook


@dataclass(frozen=True, slots=True)
class Relay:
    """Where webhooks go, the key that signs them, and what is told of each message as soon as it was taken."""

    sender: SendsMessages
    queue: str
    key: str
    acks: Sequence[int] = (1, 2)


@dataclass(slots=True)
class WahaPosts:
    """Posts in the background. `failed` are the calls that the queue did not take."""

    relay: Relay
    engine: str
    records: WahaRecords
    clock: Clock
    posted: int = 0
    failed: list[Webhook] = field(default_factory=list)
    _told: dict[str, int] = field(default_factory=dict)
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def _webhooks(self) -> WahaWebhooks:
        return WahaWebhooks(self.engine, self.relay.key)

    def accepted(self, message: AcceptedMessage) -> None:
        """Tell how far a message comes, in this order; lookups tell the same."""
        for ack in self.relay.acks:
            self.records.set_ack(message.id, ack)
        now_ms = self.clock.now_ms()
        self._post([self._webhooks.ack(message, ack, now_ms) for ack in self.relay.acks])
        self._statuses_of(self.records.known(message.session, now_ms))

    def acked(self, message_id: str) -> None:
        """Tell how far one message has come now."""
        found = [message for message in self.records.accepted if message.id == message_id]
        now_ms = self.clock.now_ms()
        self._post([self._webhooks.ack(message, self.records.acks[message_id], now_ms) for message in found[:1]])

    def statuses(self) -> None:
        """Tell every status that was not told yet."""
        for session in self.records.sessions(self.clock.now_ms()):
            self._statuses_of(session)

    def _statuses_of(self, session: Session) -> None:
        told, count = self._told.get(session.name, 0), len(session.history)
        self._told[session.name] = count
        points = [session.history[:place] for place in range(told + 1, count + 1)]
        self._post([self._webhooks.session_status(session.name, history) for history in points])

    def written(self, session: str, chat_id: str, text: str) -> None:
        """Tell what a person writes."""
        self._post([self._webhooks.inbound(session, chat_id, text, self.clock.now_ms())])

    async def drained(self) -> None:
        """Return when everything that was to be told is on the queue."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _post(self, calls: Sequence[Webhook]) -> None:
        if not calls:
            return
        task = asyncio.create_task(self._send(calls))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _send(self, calls: Sequence[Webhook]) -> None:
        for call in calls:
            try:
                is_taken = await self.relay.sender.send(self.relay.queue, call.body, call.headers)
            except SendFailed:
                is_taken = False
            if is_taken:
                self.posted += 1
            else:
                self.failed.append(call)
