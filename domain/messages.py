"""The wire contract: the command envelope, every command's data, Megazord's events, and results for robots.

Commands are CloudEvents 1.0 in structured mode; unknown fields in their data are errors, because a typo is the
commonest mistake. Megazord's messages are not ours: unknown fields there are ignored.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from domain.campaign_messages import CampaignCommand, CreateCampaign, RetryCampaign, ScheduleCampaign, TrialSend
from domain.command_data import CommandData, Token
from domain.contact_messages import AddOptOut, ImportContacts
from domain.errors import MessageError
from domain.server_messages import RequestServerCycle, RequestServerTest
from domain.wire import JsonObject, RobotId, RowId, WireTime, read_json

__all__ = ["CommandData"]

_MOST_PROBLEMS, _PART_CHARACTERS = 10, 80
CallRef = Annotated[str, Field(strict=True, pattern=r"^[ -~]{1,128}$")]


class CreateStatusCheck(CommandData):
    """`status-check.create`: start the status check of one script step for one robot."""

    robot_id: RobotId
    step_id: RowId
    scheduled_id: RowId
    script_version_id: RowId
    planned_at: WireTime


class GetStatusCheck(CommandData):
    """`status-check.get`: send the current state of one check to its robot's queue."""

    robot_id: RobotId
    status_check_id: RowId


class CancelStatusCheck(CommandData):
    """`status-check.cancel`: stop one check; it ends as FAILED and its robot is told."""

    robot_id: RobotId
    status_check_id: RowId


COMMANDS: Mapping[str, type[CommandData]] = {
    "status-check.create": CreateStatusCheck,
    "status-check.get": GetStatusCheck,
    "status-check.cancel": CancelStatusCheck,
    "campaign.create": CreateCampaign,
    "campaign.schedule": ScheduleCampaign,
    "campaign.run": CampaignCommand,
    "campaign.pause": CampaignCommand,
    "campaign.resume": CampaignCommand,
    "campaign.cancel": CampaignCommand,
    "campaign.status": CampaignCommand,
    "campaign.preview": CampaignCommand,
    "campaign.retry": RetryCampaign,
    "campaign.test-send": TrialSend,
    "contacts.import": ImportContacts,
    "opt-out.add": AddOptOut,
    "server.test": RequestServerTest,
    "server.test-cycle": RequestServerCycle,
}
"""Every command by its type."""


class Envelope(BaseModel):
    """A CloudEvents 1.0 envelope in structured mode. (`source`, `id`) identifies the command."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    specversion: Literal["1.0"]
    id: Token
    source: Token
    type: Token
    time: WireTime
    subject: str | None = Field(default=None, max_length=256)
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str | None = Field(default=None, max_length=512)
    data: JsonObject
    callref: CallRef | None = None
    traceparent: CallRef | None = None


class SourceEvent(BaseModel):
    """Megazord's incoming event: what a sensor or a robot reported, stamped by Megazord to the second."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, hide_input_in_errors=True)

    id: RowId
    robot_id: RobotId
    event_name: str = Field(strict=True, min_length=1, max_length=256)
    level: int | None = Field(default=None, strict=True, ge=0, le=255)
    reference_id: str | None = None
    created_at: WireTime


class MegazordEvent(BaseModel):
    """Megazord's outgoing event: one source event, sent because of one subscription."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, hide_input_in_errors=True)

    id: RowId | None = None  # the flat variant has none
    subscription_id: RowId
    source_event: SourceEvent

    @property
    def robot_id(self) -> int:
        """The robot whose home the event is about."""
        return self.source_event.robot_id

    @property
    def message_id(self) -> str:
        """Identity for the inbox: the outgoing event, or (subscription, source event), which is as unique."""
        if self.id is not None:
            return f"outgoing:{self.id}"
        return f"subscription:{self.subscription_id}:event:{self.source_event.id}"


class EndOfCheck(CommandData):
    """Timer `status-check.end`: the window of one check is over."""

    robot_id: RobotId
    status_check_id: RowId


class RollCall(CommandData):
    """Timer `subscription.roll-call`: a subscription of this robot may be open at Megazord without our knowing it."""

    robot_id: RobotId


class ReleaseSubscription(CommandData):
    """Timer `subscription.release`: one subscription at Megazord may have to be deleted."""

    robot_id: RobotId
    subscription_id: RowId


class OpenMonitor(CommandData):
    """Timer `monitor.open`: a day of a rule begins. `since`: from when to judge; `planned_by`: its fingerprint."""

    robot_id: RobotId
    rule_id: Token
    local_date: date
    since: WireTime
    planned_by: Token


class EndOfMonitorWindow(CommandData):
    """Timer `monitor.window`: the present window of one session is over."""

    robot_id: RobotId
    session_id: Token


class PostAlarm(CommandData):
    """Timer `monitor.alarm`: one alarm has to be at Megazord, under each of these event names."""

    robot_id: RobotId
    session_id: Token
    window_number: RowId
    event_names: tuple[str, ...]


class CloseMonitor(CommandData):
    """Timer `monitor.close`: the rule of one session is gone."""

    robot_id: RobotId
    session_id: Token


@dataclass(frozen=True, slots=True)
class Result:
    """A message for one robot's queue, or for the queue `reply_to`. `id` is deterministic: repeats can be dropped."""

    robot_id: int | None
    id: str
    type: str
    link: str
    payload: JsonObject
    call_ref: str | None = None
    reply_to: str | None = None

    def __post_init__(self) -> None:
        """Exactly one addressee."""
        if (self.robot_id is None) == (self.reply_to is None):
            raise ValueError("a result goes to either a robot or a reply queue")


class Addressed(Protocol):
    """What names who is told: the data of a command, or what was kept of it. The robot, where both stand there."""

    @property
    def robot_id(self) -> int | None:
        """The robot."""
        ...

    @property
    def reply_to(self) -> str | None:
        """The reply queue."""
        ...


def result_to(
    to: Addressed, identity: str, result_type: str, payload: JsonObject, call_ref: str | None, *, link: str = ""
) -> Result | None:
    """A result for whom `to` names; None where that is nobody."""
    if to.robot_id is None and to.reply_to is None:
        return None
    reply_to = to.reply_to if to.robot_id is None else None
    return Result(to.robot_id, identity, result_type, link, payload, call_ref, reply_to)


def reply_id(source: str, message_id: str) -> str:
    """The id of the answer to one message: the same at each repetition of it."""
    return f"re-{hashlib.sha256(f'{source} {message_id}'.encode()).hexdigest()[:32]}"


def error_result(
    to: Addressed, about: tuple[str, str, str], kind: str, reason: str, call_ref: str | None
) -> Result | None:
    """What is told when a command was refused that names an addressee; `about` is its type, source and id."""
    command_type, source, command_id = about
    payload: JsonObject = {
        "phase": "FAILED",
        "error": reason,
        "kind": kind,
        "commandType": command_type,
        "commandId": command_id,
    }
    return result_to(to, reply_id(source, command_id), "error", payload, call_ref)


def problems_of(error: ValidationError) -> str:
    """The problems of a pydantic error in one line, each with its path: `data.stepId: Field required`.

    Bounded, because a message may bring as many and as long unknown fields as fit into it.
    """
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    lines = []
    for problem in problems[:_MOST_PROBLEMS]:
        path = ".".join(str(part)[:_PART_CHARACTERS] for part in problem["loc"]) or "message"
        lines.append(f"{path}: {problem['msg'].removeprefix('Value error, ')}")
    if len(problems) > _MOST_PROBLEMS:
        lines.append(f"and {len(problems) - _MOST_PROBLEMS} more")
    return "; ".join(lines)


def read_envelope(body: str) -> Envelope:
    """Read a command. Raises MessageError that names every bad field."""
    read = read_json(body)
    try:
        return Envelope.model_validate(read)
    except ValidationError as error:
        raise MessageError(problems_of(error), kind="invalid-envelope") from None


def read_megazord_event(body: str) -> MegazordEvent:
    """Read an event in Megazord's envelope, SNS-wrapped or flat. Raises MessageError that names every bad field."""
    read = read_json(body)
    if read.get("Type") == "Notification" and isinstance(read.get("Message"), str):
        read = _wrapped(read["Message"])
    payload = read.get("payload", read)
    try:
        event = MegazordEvent.model_validate(payload)
    except ValidationError as error:
        raise MessageError(problems_of(error), kind="invalid-event") from None
    addressee = _addressee(read)
    if addressee is not None and addressee != str(event.robot_id):
        raise MessageError(
            f"addressed to robot {addressee[:20]}, but the event is of robot {event.robot_id}", kind="foreign-robot"
        )
    return event


def _wrapped(text: str) -> JsonObject:
    try:
        return read_json(text)
    except MessageError as error:
        raise MessageError(f"inside the SNS notification: {error}", kind=error.kind) from None


def _addressee(read: JsonObject) -> str | None:
    to = read.get("to")
    if not isinstance(to, dict) or "robotId" not in to:
        return None
    return str(to["robotId"])
