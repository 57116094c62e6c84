"""A world with a WAHA that tells by webhook: the daemon, a campaign on its way, and ways to put events on the queue."""

import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.probe import Probe, unobserved
from daemon.store.database import Write
from daemon.store.mysql import MysqlAddress
from domain.wire import iso
from handlers.number_watch import ack_timer
from localstack.clock import ManualClock
from localstack.sqs_sender import SqsSender
from localstack.waha import WahaSimulator
from localstack.waha_webhooks import WahaWebhooks, Webhook
from tests.world import MORNING_MS, World, command, world

USER, SESSION, ROBOT = "user-1", "default", 61001
TOLD = "waha-events"
MINUTE_MS, HOUR_MS = 60_000, 3_600_000


def chat(number: int) -> str:
    return f"99900{number:07d}@c.us"


@dataclass(slots=True)
class Told:
    """The parts of that world. `key` is what WAHA signs with, and `webhooks` makes its calls."""

    home: World
    waha: WahaSimulator
    sender: SqsSender
    key: str
    webhooks: WahaWebhooks = field(init=False)

    def __post_init__(self) -> None:
        self.webhooks = WahaWebhooks(key=self.key)

    async def put(self, call: Webhook) -> None:
        """As a relay does that writes the headers beside the body."""
        await self.sender.send(TOLD, call.body, call.headers)

    async def tell(self, *calls: Webhook) -> None:
        for call in calls:
            await self.put(call)
        await self.home.quiet()

    async def ack(self, position: int, ack: int, **more: str) -> None:
        await self.tell(self.webhooks.ack(self.waha.accepted[position], ack, self.home.clock.now_ms(), **more))

    async def write(self, chat_id: str, text: str) -> None:
        await self.tell(self.webhooks.inbound(SESSION, chat_id, text, self.home.clock.now_ms()))

    async def nudge(self, session: str = SESSION) -> None:
        """Tell of a session's last status."""
        await self.tell(self.webhooks.session_status(session, self.waha.history(session)))

    async def campaign(self, contacts: int, session: str = SESSION, sent: int | None = None) -> int:
        """The id of a campaign that has sent `sent` messages; by default all, and is over."""
        list_name = f"list-{secrets.token_hex(4)}"
        rows = [{"phoneNumber": chat(number)[:-5], "firstName": "Ann"} for number in range(contacts)]
        await self.ask("contacts.import", {"userId": USER, "listName": list_name, "rows": rows})
        list_id = await self.one("SELECT MAX(id) FROM contact_list")
        data: dict[str, Any] = {
            "userId": USER,
            "name": "Spring letter",
            "session": session,
            "contactListId": list_id,
            "text": "Dear {name}, hello.",
            "defaultNameValue": "friend",
            "scheduledAt": iso(self.home.clock.now_ms()),
            "robotId": ROBOT,
        }
        before = len(self.waha.accepted)
        await self.ask("campaign.create", data)
        while len(self.waha.accepted) - before < (contacts if sent is None else sent):
            await self.home.pass_time(self.home.clock.now_ms() + 3_000)
        if sent is None:
            await self.home.pass_time(self.home.clock.now_ms() + MINUTE_MS)  # until it has noticed its end
        return int(str(await self.one("SELECT MAX(id) FROM campaign")))

    async def know_messages(self) -> None:
        """Write down anew under which id each message went out, without any acknowledgement."""
        rows = await self.home.database.fetch(
            "SELECT c.session, r.campaign_id, r.position, r.attempt, r.chat_id, r.sending_at_ms FROM campaign c "
            "JOIN campaign_recipient r ON r.campaign_id = c.id WHERE r.attempt > 0"
        )
        await self.write_sql("DELETE FROM campaign_message")
        for session, campaign_id, position, attempt, chat_id, at_ms in rows:
            sent = [m for m in self.waha.accepted if (m.session, m.chat_id) == (session, chat_id)]
            if sent:
                await self.write_sql(
                    "INSERT INTO campaign_message (session, message_id, campaign_id, position, attempt, at_ms) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    *(session, sent[-1].id, campaign_id, position, attempt, at_ms),
                )

    async def watch(self, in_ms: int = 0) -> None:
        """Plan the timer that looks at the number, and let it fire."""
        timer = ack_timer(SESSION, self.home.clock.now_ms() + in_ms)
        await self.write_sql(
            "INSERT INTO timer (id, type, data, due_at_ms, lease_owner, lease_until_ms, fence, claims) "
            "VALUES (?, ?, ?, ?, '', 0, 1, 0)",
            *(f"{timer.type}:{timer.key}", timer.type, timer.data.model_dump_json(by_alias=True), timer.due_at_ms),
        )
        await self.home.pass_time(timer.due_at_ms)
        await self.home.quiet()

    def looks(self) -> int:
        """How often WAHA was asked for one message."""
        return sum("/messages/true_" in request.path for request in self.waha.requests)

    async def ask(self, kind: str, data: Mapping[str, object]) -> None:
        self.home.sqs.send(self.home.settings.queues.commands, command(kind, data))
        await self.home.quiet()

    async def write_sql(self, sql: str, *args: object) -> None:
        values: Any = args
        await self.home.database.apply([Write(sql, values)])

    async def one(self, sql: str, *args: object) -> object:
        values: Any = args
        rows = await self.home.database.fetch(sql, values)
        return rows[0][0] if rows else None

    async def column(self, sql: str) -> list[object]:
        return [row[0] for row in await self.home.database.fetch(sql)]

    async def states(self) -> list[object]:
        return await self.column("SELECT state FROM campaign_recipient ORDER BY campaign_id, position")

    async def acks(self) -> list[object]:
        return await self.column("SELECT ack FROM campaign_message ORDER BY campaign_id, position")

    async def statuses(self) -> list[tuple[object, ...]]:
        return [
            tuple(row)
            for row in await self.home.database.fetch("SELECT status, pause_reason FROM campaign ORDER BY id")
        ]

    async def opted_out(self) -> list[object]:
        return await self.column("SELECT chat_id FROM opt_out ORDER BY chat_id")

    async def outcomes(self) -> list[tuple[object, ...]]:
        """What the journal says of the events, by message id and time."""
        sql = "SELECT outcome, reason FROM journal WHERE queue = ? ORDER BY at_ms, id"
        return [tuple(row) for row in await self.home.database.fetch(sql, (TOLD,))]

    def letters(self) -> list[tuple[str, str]]:
        """Kind and reason of every dead letter of the events."""
        found = self.home.sqs.messages(f"{TOLD}-dlq")
        return [(letter.attributes["errorKind"], letter.attributes["errorMessage"]) for letter in found]


def wrapped(call: Webhook, **more: object) -> str:
    """As a gateway writes headers and body into one JSON."""
    return json.dumps({"headers": dict(call.headers), "body": call.body, **more})


def notified(call: Webhook) -> str:
    """As SNS passes it on."""
    attributes = {name: {"Type": "String", "Value": value} for name, value in call.headers.items()}
    return json.dumps(
        {"Type": "Notification", "MessageId": "n-1", "Message": call.body, "MessageAttributes": attributes}
    )


@asynccontextmanager
async def told_world(
    place: Path | MysqlAddress,
    *,
    has_queue: bool = True,
    key: str | None = None,
    probe: Probe = unobserved,
    **campaigns: object,
) -> AsyncIterator[Told]:
    """A running daemon and one WORKING session. `campaigns` are settings of that section."""
    clock, api_key, key = ManualClock(MORNING_MS), secrets.token_hex(8), key or secrets.token_hex(16)
    async with AsyncExitStack() as stack:
        waha = await stack.enter_async_context(WahaSimulator(clock, api_key=api_key))
        section: dict[str, object] = {"base_url": waha.url, "api_key": api_key}
        if has_queue:
            section |= {"events_queue": TOLD, "webhook_key": key}
        home = await stack.enter_async_context(world(place, clock=clock, waha=section, campaigns=campaigns))
        sender = await stack.enter_async_context(SqsSender(home.sqs.url))
        waha.add_session(SESSION)
        await stack.enter_async_context(home.running(probe))
        yield Told(home, waha, sender, key)
