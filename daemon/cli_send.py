"""`robotd send`: build a command, check it as the daemon would, send it, and wait for the robot's answer if asked."""

import asyncio
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

from daemon.clock import SystemClock
from daemon.opening import open_sqs
from daemon.settings import Settings
from daemon.sqs import BATCH, Outgoing, QueueMissing, Received, Sqs
from domain.errors import MessageError, RuleViolation
from domain.messages import COMMANDS, CommandData, problems_of, read_envelope
from domain.wire import JsonObject, iso, read_json, write_json

_PEEK_S = 15
_POLL_S = 1  # a poll is never cut off, so this is by how much `--wait` may be exceeded
_EXAMPLES: Mapping[str, JsonObject] = {
    "status-check.create": {
        "robotId": 61001,
        "stepId": 88120,
        "scheduledId": 77001,
        "scriptVersionId": 5310,
        "plannedAt": "2025-11-25T08:40:00Z",
    },
    "status-check.get": {"robotId": 61001, "statusCheckId": 30451},
    "status-check.cancel": {"robotId": 61001, "statusCheckId": 30451},
    "campaign.create": {
        "userId": "user-1",
        "name": "Spring letter",
        "session": "default",
        "contactListId": 1,
        "text": "Dear {Name}, the garden is open again.",
        "defaultNameValue": "friend",
        "scheduledAt": "2025-11-25T09:00:00Z",
        "robotId": 61001,
    },
    "campaign.schedule": {"userId": "user-1", "campaignId": 1, "scheduledAt": "2025-11-25T09:00:00Z"},
    **{
        f"campaign.{verb}": {"userId": "user-1", "campaignId": 1}
        for verb in ("run", "pause", "resume", "cancel", "status", "preview")
    },
    "campaign.test-send": {"userId": "user-1", "campaignId": 1, "phoneNumber": "+999 00 0000001", "firstName": "Ann"},
    "campaign.retry": {"userId": "user-1", "campaignId": 1, "scope": "failed"},
    "contacts.import": {
        "userId": "user-1",
        "listName": "Spring letter",
        "rows": [
            {"phoneNumber": "+999 00 0000001", "firstName": "Ann", "fields": {"city": "Utrecht"}},
            {"phoneNumber": "99900-0000002"},
        ],
        "robotId": 61001,
    },
    "opt-out.add": {"phoneNumber": "+999 00 0000001", "reason": "asked by phone"},
    "server.test": {"serverId": 7, "path": "auto", "dryRun": True, "robotId": 61001},
    "server.test-cycle": {"force": False, "dryRun": True, "robotId": 61001},
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for on the command line."""

    command_type: str
    fields: tuple[str, ...]
    file: Path | None
    identity: str | None
    call_ref: str | None
    wait_s: float | None
    as_json: bool


def _print(text: str) -> None:
    Console(soft_wrap=True, highlight=False, markup=False).print(text)


def example_of(command_type: str) -> JsonObject:
    """An example of a type's data. Raises MessageError for a type that nobody knows."""
    _model_of(command_type)
    return dict(_EXAMPLES[command_type])


def show_example(command_type: str) -> int:
    """Print a whole envelope to start from."""
    _print(
        json.dumps(
            _envelope(Wanted(command_type, (), None, None, None, None, True), example_of(command_type)), indent=2
        )
    )
    return 0


async def send_command(settings: Settings, wanted: Wanted) -> int:
    """Send, and with `wait_s` print the answer. Exit code 1 when none came in time."""
    body = write_json(build(wanted))
    envelope = read_envelope(body)
    answers = _answer_queue(settings, envelope.data)
    if wanted.wait_s is not None and answers is None:
        raise MessageError(f"--wait needs a robotId or replyTo: else nobody is told what became of {envelope.type}")
    async with open_sqs(settings, poll_wait_s=_POLL_S) as sqs:
        await hand_in(sqs, settings.queues.commands, body, envelope.type)
        sent = {"sent": envelope.id, "callRef": envelope.callref, "queue": settings.queues.commands}
        if wanted.wait_s is None or answers is None:
            _print(json.dumps(sent) if wanted.as_json else f"sent {envelope.type} {envelope.id}")
            return 0
        answer = await _answer(sqs, answers, str(envelope.callref), wanted.wait_s)
    if answer is None:
        _print(json.dumps({**sent, "answer": None}) if wanted.as_json else f"no answer within {wanted.wait_s:g} s")
        return 1
    _print(json.dumps({**sent, "answer": answer}) if wanted.as_json else json.dumps(answer, indent=2))
    return 0


def _answer_queue(settings: Settings, data: JsonObject) -> str | None:
    """Where the answer will be: the queue of the robot or the reply queue that the command names."""
    if data.get("robotId") is not None:
        return f"{settings.queues.robot_prefix}{data['robotId']}"
    return None if data.get("replyTo") is None else str(data["replyTo"])


async def hand_in(sqs: Sqs, queue: str, body: str, command_type: str) -> None:
    """Put a command on the queue. Raises RuleViolation where that is missing, and what SQS says."""
    try:
        errors = await sqs.send(queue, [Outgoing(body, {"type": command_type})])
    except QueueMissing:
        raise RuleViolation(f"the queue {queue} does not exist: robotd queues ensure") from None
    if errors[0] is not None:
        raise errors[0]


def build(wanted: Wanted) -> JsonObject:
    """The envelope that was asked for. Raises MessageError with everything that is wrong with it."""
    content = _read_file(wanted.file) if wanted.file else {}
    fields = _fields(wanted.fields)
    if "specversion" in content:
        envelope = _completed(wanted, content, fields)
    else:
        _model_of(wanted.command_type)
        envelope = _envelope(wanted, {**content, **fields})
    read = read_envelope(write_json(envelope))
    try:
        _model_of(read.type).model_validate(read.data)
    except ValidationError as error:
        raise MessageError(f"{read.type}: {problems_of(error)}") from None
    return envelope


def _read_file(file: Path) -> JsonObject:
    try:
        return read_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise MessageError(f"--file {file}: {error.strerror}") from None
    except (UnicodeDecodeError, MessageError) as error:
        raise MessageError(f"--file {file}: {error}") from None


def _completed(wanted: Wanted, envelope: JsonObject, fields: JsonObject) -> JsonObject:
    """A whole envelope from a file: what the command line names goes before what the file says."""
    if wanted.command_type and wanted.command_type != envelope.get("type"):
        raise MessageError(f"--file {wanted.file} holds a {envelope.get('type')!r}, not a {wanted.command_type!r}")
    data = envelope.get("data")
    return {
        **envelope,
        **({"data": {**data, **fields}} if isinstance(data, dict) else {}),
        **({"id": wanted.identity} if wanted.identity else {}),
        "callref": wanted.call_ref or envelope.get("callref") or str(uuid.uuid4()),  # `--wait` knows the answer by it
    }


def _model_of(command_type: str) -> type[CommandData]:
    known = ", ".join(sorted(COMMANDS))
    if not command_type:
        raise MessageError(f"no TYPE is named; known: {known}")
    if command_type not in COMMANDS:
        raise MessageError(f"unknown type {command_type!r}; known: {known}")
    return COMMANDS[command_type]


def _envelope(wanted: Wanted, data: JsonObject) -> JsonObject:
    return {
        "specversion": "1.0",
        "id": wanted.identity or str(uuid.uuid4()),
        "source": "robotd-cli",
        "type": wanted.command_type,
        "time": iso(SystemClock().now_ms()),
        "data": data,
        "callref": wanted.call_ref or str(uuid.uuid4()),
    }


def _fields(fields: tuple[str, ...]) -> JsonObject:
    """`robotId=61001` as a number, `plannedAt=2025-11-25T08:40:00Z` as text: JSON where it is JSON."""
    read: JsonObject = {}
    for field in fields:
        name, equals, text = field.partition("=")
        if not equals:
            raise MessageError(f"--field {field!r}: expected NAME=VALUE")
        try:
            read[name] = json.loads(text)
        except ValueError:
            read[name] = text
    return read


async def _answer(sqs: Sqs, queue: str, call_ref: str, wait_s: float) -> JsonObject | None:
    """Look through the queue for our call reference, and show every message again: they are its reader's."""
    looked_at: list[Received] = []
    deadline_s = asyncio.get_running_loop().time() + wait_s
    try:
        while asyncio.get_running_loop().time() < deadline_s:
            received = await _peek(sqs, queue)
            looked_at += received
            for message in received:
                if message.attributes.get("callRef") == call_ref:
                    return read_json(message.body)
        return None
    finally:
        for start in range(0, len(looked_at), BATCH):
            await sqs.change_visibility(queue, [(message.handle, 0) for message in looked_at[start : start + BATCH]])


async def _peek(sqs: Sqs, queue: str) -> list[Received]:
    try:
        return await sqs.receive(queue, limit=BATCH, visibility_timeout_s=_PEEK_S)
    except QueueMissing:
        await asyncio.sleep(_POLL_S)  # the daemon may be about to create it
        return []
