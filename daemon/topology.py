"""Which queues robotd needs, in one place: `robotd queues ensure`, the demo and the tests all create them from here."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from daemon.log import LogEvent
from daemon.settings import Settings
from daemon.settings_sections import QueueSettings
from daemon.sqs import QueueMissing, Sqs

_log = structlog.get_logger()
_FOURTEEN_DAYS_S = 1_209_600


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """A queue, and what it must be like. `dead_letters` names the queue behind it, None for one that is the last."""

    name: str
    purpose: str
    visibility_timeout_s: int
    dead_letters: str | None
    max_receive_count: int = 0


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue as `robotd queues` shows it; counts are SQS's approximations, None when it does not exist."""

    name: str
    purpose: str
    ready: int | None = None
    in_flight: int | None = None
    delayed: int | None = None


def dead_letter_queue(queues: QueueSettings, queue: str) -> str:
    """Where the rejects of a queue go; the timers count as a queue here."""
    if queue == "timers":
        return queues.timers_dead_letter
    return f"{queue}{queues.dead_letter_suffix}"


def topology(settings: Settings) -> list[QueueSpec]:
    """Every queue but the robots', dead-letter queues first, because the others point to them."""
    queues, visible_s = settings.queues, settings.consumer.visibility_timeout_s
    consumed = {queues.commands: "commands", queues.events: "Megazord events"}
    if settings.waha.events_queue is not None:
        consumed[settings.waha.events_queue] = "WhatsApp events"
    dead = [QueueSpec(dead_letter_queue(queues, name), f"dead letters of {name}", visible_s, None) for name in consumed]
    timers = QueueSpec(queues.timers_dead_letter, "dead letters of timers", visible_s, None)
    sources = [
        QueueSpec(name, purpose, visible_s, dead_letter_queue(queues, name), queues.max_receive_count)
        for name, purpose in consumed.items()
    ]
    return [*dead, timers, *sources]


async def ensure(sqs: Sqs, specs: list[QueueSpec]) -> list[str]:
    """Create what is missing and correct what differs. Returns what was done, one sentence each."""
    return [done for spec in specs if (done := await _ensure_one(sqs, spec))]


async def _ensure_one(sqs: Sqs, spec: QueueSpec) -> str | None:
    wanted = await _wanted(sqs, spec)
    try:
        found = await sqs.attributes(spec.name)
    except QueueMissing:
        await sqs.create(spec.name, wanted)
        _log.info(LogEvent.QUEUE_CREATED, queue=spec.name)
        return f"created {spec.name}"
    differing = {name: value for name, value in wanted.items() if not _same(found.get(name), value)}
    if not differing:
        return None
    await sqs.set_attributes(spec.name, differing)
    return f"changed {', '.join(sorted(differing))} of {spec.name}"


async def _wanted(sqs: Sqs, spec: QueueSpec) -> dict[str, str]:
    wanted = {
        "VisibilityTimeout": str(spec.visibility_timeout_s),
        # A dead letter's retention still counts from its first sending, so it must be the longest there is.
        "MessageRetentionPeriod": str(_FOURTEEN_DAYS_S),
    }
    if spec.dead_letters is not None:
        arn = (await sqs.attributes(spec.dead_letters))["QueueArn"]
        policy = {"deadLetterTargetArn": arn, "maxReceiveCount": str(spec.max_receive_count)}
        wanted["RedrivePolicy"] = json.dumps(policy)
    return wanted


def _same(found: str | None, wanted: str) -> bool:
    if found is None or not wanted.startswith("{"):
        return found == wanted
    read: Mapping[str, object] = json.loads(found)
    asked: Mapping[str, object] = json.loads(wanted)
    return {name: str(read.get(name)) for name in asked} == {name: str(value) for name, value in asked.items()}


async def create_robot_queue(sqs: Sqs, destination: str) -> None:
    """Create one robot's queue; its settings are the robot's business, so SQS's own defaults. Raises Unavailable."""
    name = destination.rsplit("/", 1)[-1]
    await sqs.create(name, {"MessageRetentionPeriod": str(_FOURTEEN_DAYS_S)})
    _log.info(LogEvent.QUEUE_CREATED, queue=name)


async def states(sqs: Sqs, specs: list[QueueSpec]) -> list[QueueState]:
    """How full each queue is now. Raises Unavailable when SQS can't be asked."""
    return [await _state(sqs, spec) for spec in specs]


async def _state(sqs: Sqs, spec: QueueSpec) -> QueueState:
    try:
        found = await sqs.attributes(spec.name)
    except QueueMissing:
        return QueueState(spec.name, spec.purpose)
    return QueueState(
        spec.name,
        spec.purpose,
        ready=int(found["ApproximateNumberOfMessages"]),
        in_flight=int(found["ApproximateNumberOfMessagesNotVisible"]),
        delayed=int(found["ApproximateNumberOfMessagesDelayed"]),
    )


async def report_missing(queue: str) -> None:
    """Say that a dead-letter queue is missing: nothing is lost, but nothing poisonous leaves its queue either."""
    _log.error(LogEvent.QUEUE_MISSING, queue=queue, hint="robotd queues ensure")
