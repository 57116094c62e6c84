"""Megazord's tables and rules as the simulator keeps them: schemas, incoming events, subscriptions, outgoing events.

No I/O. It shares no code with the daemon, so that both can't be wrong in the same way.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

Json = dict[str, object]

_URGENT, _NORMAL = 5, 10
_NAMES = (
    *("ACTIVITY", "TOILET_ACTIVITY", "BATHROOM_ACTIVITY", "EATING_ACTIVITY"),
    *("INACTIVITY", "SHORT_INACTIVITY", "SUSPICIOUS_INACTIVITY"),
    *("IN_BED", "OUT_OF_BED", "EARLY_OUT_OF_BED", "NOT_RETURNED_TO_BED", "LONGER_IN_BED_SHORT", "LONGER_IN_BED_LONG"),
    *("INSIDE_HOME", "OUTSIDE_HOME", "DOOR_OPEN_TOO_LONG", "CLIENT_IN_HEARING_RANGE", "NO_TOILET_ACTIVITY_ALARM"),
    *("IN_BATHROOM", "IN_KITCHEN", "IN_PANTRY", "IN_BEDROOM", "IN_LIVING_ROOM", "IN_HALL", "IN_TOILET"),
    *("IN_DINING_ROOM", "IN_OFFICE", "IN_HOBBY_ROOM", "IN_GUEST_ROOM", "IN_ENTRANCE", "IN_STAIRS", "IN_CORRIDOR"),
    *("IN_OTHER", "IN_LAUNDRY_ROOM", "IN_STORAGE_ROOM", "IN_GARAGE", "IN_GARDEN", "IN_TERRACE", "IN_BALCONY"),
    "IN_COMMUNAL_AREA",
    "SUBSCRIPTION_ROLL_CALL",
)
EVENT_TYPE_IDS = {name: number for number, name in enumerate(_NAMES, start=1)}
LEVELS = dict.fromkeys(_NAMES, _NORMAL) | {"SHORT_INACTIVITY": _URGENT, "SUSPICIOUS_INACTIVITY": _URGENT}
PROVIDER_IDS = {"azi-3-status-jobs": 1, "Sensara": 2}
FIRST_INCOMING_ID, FIRST_SUBSCRIPTION_ID, FIRST_OUTGOING_ID = 912001, 44120, 702233


class UnknownName(LookupError):  # noqa: N818  Megazord answers it with NotFoundError
    """No such provider or event schema."""


class Duplicate(ValueError):  # noqa: N818  Megazord answers it with 409
    """There is an active trigger subscription for this event."""


class Fate(StrEnum):
    """What became of an outgoing event's message; Megazord itself only ever writes CREATED."""

    CREATED = "CREATED"
    SENT = "SENT"
    NO_QUEUE = "NO_QUEUE"
    DROPPED = "DROPPED"
    SEND_FAILED = "SEND_FAILED"


def iso(at_ms: int) -> str:
    """Milliseconds since 1970 as Megazord writes times."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class IncomingEvent:
    """One row of incoming_event."""

    id: int
    robot_id: int
    event_name: str
    level: int
    provider_name: str
    reference_id: str | None
    created_at_ms: int

    def to_wire(self) -> Json:
        """As Megazord's API shows it."""
        at = iso(self.created_at_ms)
        return {
            "id": self.id,
            "robotId": self.robot_id,
            "eventTypeId": EVENT_TYPE_IDS[self.event_name],
            "eventName": self.event_name,
            "level": self.level,
            "providerId": PROVIDER_IDS[self.provider_name],
            "providerName": self.provider_name,
            "referenceId": self.reference_id,
            "createdAt": at,
            "updatedAt": at,
        }


@dataclass(frozen=True, slots=True)
class Subscription:
    """One row of event_subscription. `asked_until` is kept for judges only: Megazord stores no end."""

    id: int
    robot_id: int
    event_names: tuple[str, ...]
    queue: str | None
    is_trigger: bool
    asked_until: str | None
    call_ref: str | None
    created_at_ms: int
    deleted_at_ms: int | None = None

    @property
    def is_active(self) -> bool:
        """Whether events still go out because of it."""
        return self.deleted_at_ms is None

    def to_wire(self) -> Json:
        """As Megazord's API shows it; the queue is hidden."""
        details = [
            {"subscriptionId": self.id, "eventTypeId": EVENT_TYPE_IDS[name], "eventName": name}
            for name in self.event_names
        ]
        changed_at_ms = self.created_at_ms if self.deleted_at_ms is None else self.deleted_at_ms
        return {
            "id": self.id,
            "robotId": self.robot_id,
            "isActive": self.is_active,
            "subscriptionType": int(self.is_trigger),
            "subscriptionDetails": details,
            "createdAt": iso(self.created_at_ms),
            "updatedAt": iso(changed_at_ms),
        }


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
    """One row of outgoing_event, and what became of its message."""

    id: int
    source: IncomingEvent
    subscription_id: int
    queue_name: str
    call_ref: str
    created_at_ms: int
    fate: Fate = Fate.CREATED

    @property
    def link(self) -> str:
        """Where it can be read again."""
        return (
            f"/internal/v1/events/robots/{self.source.robot_id}"
            f"/subscriptions/{self.subscription_id}/outgoings/{self.id}"
        )

    def to_wire(self) -> Json:
        """As Megazord's API shows it."""
        at = iso(self.created_at_ms)
        return {
            "id": self.id,
            "sourceEventId": self.source.id,
            "subscriptionId": self.subscription_id,
            "status": "CREATED",
            "createdAt": at,
            "updatedAt": at,
            "sourceEvent": self.source.to_wire(),
        }

    def to_message(self) -> Json:
        """The SQS body."""
        return {
            "from": {"serviceName": "megazord-events", "hostname": "megazord-simulator"},
            "to": {"robotId": str(self.source.robot_id)},
            "link": {"link": self.link, "rel": ""},
            "payload": self.to_wire(),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What somebody reports to Megazord about a robot's home."""

    robot_id: int
    event_name: str
    level: int | None = None
    provider_name: str = "Sensara"
    reference_id: str | None = None


class MegazordRecords:
    """All rows. Times are whole seconds, as in Megazord's columns."""

    def __init__(self, status_queue: str, unknown_names: Iterable[str] = ()) -> None:
        self._names = EVENT_TYPE_IDS.keys() - set(unknown_names)
        self.incoming: list[IncomingEvent] = []
        self.subscriptions: dict[int, Subscription] = {}
        self.outgoing: dict[int, OutgoingEvent] = {}
        self._status_queue = status_queue
        self._history: dict[tuple[int, str], list[IncomingEvent]] = {}
        self._listening: dict[tuple[int, str], list[int]] = {}
        self._shuffle = random.Random(0)

    def add_incoming(self, report: Report, at_ms: int) -> IncomingEvent:
        """Store an event. Raises UnknownName."""
        if report.provider_name not in PROVIDER_IDS:
            raise UnknownName(f"provider {report.provider_name} not found")
        self._must_exist([report.event_name])
        event = IncomingEvent(
            id=FIRST_INCOMING_ID + len(self.incoming),
            robot_id=report.robot_id,
            event_name=report.event_name,
            level=LEVELS[report.event_name] if report.level is None else report.level,
            provider_name=report.provider_name,
            reference_id=report.reference_id,
            created_at_ms=_whole_second(at_ms),
        )
        self.incoming.append(event)
        self._history.setdefault((report.robot_id, report.event_name), []).append(event)
        return event

    def events(self, robot_id: int, event_name: str | None, since_s: int | None) -> list[IncomingEvent]:
        """The robot's events since `since_s`, that second included, in no particular order."""
        names: Iterable[str] = EVENT_TYPE_IDS if event_name is None else (event_name,)
        found = [
            event
            for name in names
            for event in self._history.get((robot_id, name), ())
            if since_s is None or event.created_at_ms >= since_s * 1000
        ]
        self._shuffle.shuffle(found)  # Megazord promises no order, so nobody may get used to one
        return found

    def subscribe(self, wanted: Subscription) -> Subscription:
        """Store a subscription under its own new id. Raises UnknownName, and Duplicate for a trigger's."""
        self._must_exist(wanted.event_names)
        if wanted.is_trigger:
            self._refuse_second_trigger(wanted)
        subscription = replace(
            wanted,
            id=FIRST_SUBSCRIPTION_ID + len(self.subscriptions),
            created_at_ms=_whole_second(wanted.created_at_ms),
        )
        self.subscriptions[subscription.id] = subscription
        for name in subscription.event_names:
            self._listening.setdefault((subscription.robot_id, name), []).append(subscription.id)
        return subscription

    def unsubscribe(self, robot_id: int, subscription_id: int, at_ms: int) -> bool:
        """Deactivate a subscription, also for the second time. False if the robot has no such subscription."""
        subscription = self.subscriptions.get(subscription_id)
        if subscription is None or subscription.robot_id != robot_id:
            return False
        if subscription.is_active:
            self.subscriptions[subscription_id] = replace(subscription, deleted_at_ms=_whole_second(at_ms))
            for name in subscription.event_names:
                self._listening[robot_id, name].remove(subscription_id)
        return True

    def send_out(self, event: IncomingEvent, call_ref: str, at_ms: int) -> list[OutgoingEvent]:
        """Store one outgoing event for each active service subscription that matches."""
        created = []
        for subscription_id in self._listening.get((event.robot_id, event.event_name), ()):
            subscription = self.subscriptions[subscription_id]
            if subscription.is_trigger:
                continue  # goes to the trigger service, which is not simulated
            number = FIRST_OUTGOING_ID + len(self.outgoing)
            queue = self._status_queue if subscription.queue is None else f"{self._status_queue}-{subscription.queue}"
            outgoing = OutgoingEvent(number, event, subscription_id, queue, call_ref, _whole_second(at_ms))
            self.outgoing[number] = outgoing
            created.append(outgoing)
        return created

    def settle(self, outgoing: OutgoingEvent, fate: Fate) -> None:
        """Note what became of an outgoing event's message."""
        self.outgoing[outgoing.id] = replace(outgoing, fate=fate)

    def _refuse_second_trigger(self, wanted: Subscription) -> None:
        for name in wanted.event_names:
            for subscription_id in self._listening.get((wanted.robot_id, name), ()):
                if self.subscriptions[subscription_id].is_trigger:
                    raise Duplicate(f"an active trigger subscription for {name} exists")

    def _must_exist(self, event_names: Sequence[str]) -> None:
        unknown = [name for name in event_names if name not in self._names]
        if unknown:
            raise UnknownName(f"event {', '.join(unknown)} not found")


def _whole_second(at_ms: int) -> int:
    return at_ms - at_ms % 1000
