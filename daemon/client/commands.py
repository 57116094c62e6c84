"""The commands as types, one for each, and a command with what stands around its data."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from domain.campaign_messages import CampaignCommand, CreateCampaign, RetryCampaign, ScheduleCampaign, TrialSend
from domain.command_data import CommandData
from domain.contact_messages import AddOptOut, ImportContacts
from domain.errors import MessageError
from domain.messages import COMMANDS, CancelStatusCheck, CreateStatusCheck, GetStatusCheck, problems_of, read_envelope
from domain.server_messages import RequestServerCycle, RequestServerTest
from domain.wire import JsonObject, write_json

__all__ = [
    "AddOptOut",
    "CancelStatusCheck",
    "CreateCampaign",
    "CreateStatusCheck",
    "GetStatusCheck",
    "ImportContacts",
    "RequestServerCycle",
    "RequestServerTest",
    "RetryCampaign",
    "ScheduleCampaign",
    "TrialSend",
]


class RunCampaign(CampaignCommand):
    """`campaign.run`: start it now."""


class PauseCampaign(CampaignCommand):
    """`campaign.pause`: stop before the next send."""


class ResumeCampaign(CampaignCommand):
    """`campaign.resume`: go on."""


class CancelCampaign(CampaignCommand):
    """`campaign.cancel`: end it for good."""


class ShowCampaign(CampaignCommand):
    """`campaign.status`: tell how it stands."""


class PreviewCampaign(CampaignCommand):
    """`campaign.preview`: tell what a start would do."""


TYPES: Mapping[type[CommandData], str] = {
    CreateStatusCheck: "status-check.create",
    GetStatusCheck: "status-check.get",
    CancelStatusCheck: "status-check.cancel",
    CreateCampaign: "campaign.create",
    ScheduleCampaign: "campaign.schedule",
    RunCampaign: "campaign.run",
    PauseCampaign: "campaign.pause",
    ResumeCampaign: "campaign.resume",
    CancelCampaign: "campaign.cancel",
    ShowCampaign: "campaign.status",
    PreviewCampaign: "campaign.preview",
    RetryCampaign: "campaign.retry",
    TrialSend: "campaign.test-send",
    ImportContacts: "contacts.import",
    AddOptOut: "opt-out.add",
    RequestServerTest: "server.test",
    RequestServerCycle: "server.test-cycle",
}
"""The type of each; the data's keyword arguments are named as on the wire."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command. Without an `id` it gets a new one, so name one wherever you may send the same again."""

    type: str
    data: JsonObject
    id: str | None = None
    call_ref: str | None = None
    traceparent: str | None = None

    @classmethod
    def of(
        cls,
        data: CommandData,
        *,
        id: str | None = None,  # noqa: A002  its name in the envelope
        call_ref: str | None = None,
        traceparent: str | None = None,
    ) -> "Command":
        """A command of one of the types above. Raises MessageError for another."""
        command_type = TYPES.get(type(data))
        if command_type is None:
            known = ", ".join(sorted(each.__name__ for each in TYPES))
            raise MessageError(f"{type(data).__name__} is no command; known: {known}", kind="unknown-type")
        written: JsonObject = data.model_dump(mode="json", by_alias=True, exclude_none=True)
        return cls(command_type, written, id, call_ref, traceparent)

    def envelope(self, source: str, time: str) -> JsonObject:
        """As it is sent. Raises MessageError with every bad field and its path, as robotd would say it."""
        optional = {"callref": self.call_ref, "traceparent": self.traceparent}
        written: JsonObject = {
            "specversion": "1.0",
            "id": self.id if self.id is not None else str(uuid.uuid4()),
            "source": source,
            "type": self.type,
            "time": time,
            "data": self.data,
            **{name: value for name, value in optional.items() if value is not None},
        }
        read = read_envelope(write_json(written))
        model = COMMANDS.get(read.type)
        if model is None:
            raise MessageError(
                f"unknown type {self.type[:80]!r}; known: {', '.join(sorted(COMMANDS))}", kind="unknown-type"
            )
        try:
            model.model_validate(read.data)
        except ValidationError as error:
            problems = "; ".join(f"data.{problem}" for problem in problems_of(error).split("; "))
            raise MessageError(f"{read.type}: {problems}", kind="invalid-data") from None
        return written
