"""For upstream services in Python: send commands to robotd, checked before they are sent, and ask what became of them.

Needs pydantic alone; `over_sqs` needs aiobotocore, `over_http` httpx, and nothing here needs the daemon.
"""

from daemon.client.commands import (
    AddOptOut,
    CancelCampaign,
    CancelStatusCheck,
    Command,
    CreateCampaign,
    CreateStatusCheck,
    GetStatusCheck,
    ImportContacts,
    PauseCampaign,
    PreviewCampaign,
    RequestServerCycle,
    RequestServerTest,
    ResumeCampaign,
    RetryCampaign,
    RunCampaign,
    ScheduleCampaign,
    ShowCampaign,
    TrialSend,
)
from daemon.client.sending import CommandClient, Entry, Failure, NotSent, Outcomes, Queue, Sent
from daemon.command_outcome import CommandOutcome, CommandState

__all__ = [
    "AddOptOut",
    "CancelCampaign",
    "CancelStatusCheck",
    "Command",
    "CommandClient",
    "CommandOutcome",
    "CommandState",
    "CreateCampaign",
    "CreateStatusCheck",
    "Entry",
    "Failure",
    "GetStatusCheck",
    "ImportContacts",
    "NotSent",
    "Outcomes",
    "PauseCampaign",
    "PreviewCampaign",
    "Queue",
    "RequestServerCycle",
    "RequestServerTest",
    "ResumeCampaign",
    "RetryCampaign",
    "RunCampaign",
    "ScheduleCampaign",
    "Sent",
    "ShowCampaign",
    "TrialSend",
]
