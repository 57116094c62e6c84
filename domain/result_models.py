"""What results carry: one model for each type, for the contract and for those who read results in Python.

Every key is always there; what is not known is null. Readers ignore keys that they don't know: within one version of
the contract keys are added, never taken away. Times are UTC with milliseconds. Tests hold every result that is
published to these models, without a key more or less.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from domain.campaign import CampaignStatus, RecipientState
from domain.sending import PauseReason
from domain.server_test import StepId, StepOutcome
from domain.server_test import Verdict as ServerVerdict
from domain.status_check import Phase, Verdict
from domain.wire import RobotId, RowId

Time = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z$",
        json_schema_extra={"format": "date-time"},
    ),
]
Count = Annotated[int, Field(ge=0)]


class ResultPayload(BaseModel):
    """Base of all payloads: camelCase on the wire."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, hide_input_in_errors=True)


class HistoryLine(ResultPayload):
    """One event that a status check has taken into account."""

    order: Annotated[int, Field(ge=0, description="Place in the history, in the order of the events' times.")]
    event_name: Annotated[str, Field(description="The event's name, such as `IN_BED`.")]
    incoming_event_id: Annotated[RowId, Field(description="Megazord's id of the event itself.")]
    outgoing_event_id: Annotated[
        RowId | None, Field(description="Megazord's id of its message to robotd; null for an event read from history.")
    ]
    phase: Annotated[Phase, Field(description="The check's phase after this event.")]
    result: Annotated[Verdict, Field(description="What the check said after this event.")]
    created_at: Annotated[Time, Field(description="When Megazord stamped the event.")]


class CheckTold(ResultPayload):
    """A status check as it stands."""

    id: Annotated[RowId, Field(description="Id of the status check.")]
    robot_id: Annotated[RobotId, Field(description="The robot.")]
    status_check: Annotated[str, Field(description="Name of the template that decides.")]
    step_id: Annotated[RowId, Field(description="The script step that asked.")]
    script_version_id: Annotated[RowId, Field(description="Version of the script, as the command gave it.")]
    scheduled_id: Annotated[RowId, Field(description="The scheduled script, as the command gave it.")]
    planned_at: Annotated[Time, Field(description="When the step was planned, as the command gave it.")]
    phase: Annotated[
        Phase, Field(description="COMPLETED and FAILED are final; FUTURE listens for events until the window ends.")
    ]
    result: Annotated[Verdict, Field(description="PENDING until it is decided; UNKNOWN is decided, too.")]
    next_step_id: Annotated[
        RowId | None,
        Field(description="The step to go on with; null while it is not decided, or where the script ends."),
    ]
    next_step_resolved: Annotated[
        bool, Field(description="Whether `nextStepId` is the answer, also where it is null. false: wait.")
    ]
    history: Annotated[tuple[HistoryLine, ...], Field(description="The events that were taken into account.")]
    created_at: Annotated[Time, Field(description="When the check began.")]
    updated_at: Annotated[Time, Field(description="When it changed last.")]


class AlarmTold(ResultPayload):
    """A home was silent for longer than a monitoring rule allows."""

    session_id: Annotated[str, Field(description="One day of the rule for this robot.")]
    robot_id: Annotated[RobotId, Field(description="The robot.")]
    rule_id: Annotated[str, Field(description="The monitoring rule.")]
    event_name: Annotated[str, Field(description="The event that did not come.")]
    window_number: Annotated[int, Field(ge=1, description="Which window of the day ended in silence.")]
    window_start: Annotated[Time, Field(description="When that window began.")]
    window_end: Annotated[Time, Field(description="When it ended.")]
    alarms_in_row: Annotated[int, Field(ge=1, description="This alarm and those right before it.")]
    last_event_at: Annotated[Time | None, Field(description="When the event came last on this day; null: not yet.")]


class CampaignTold(ResultPayload):
    """A campaign as it stands; every count comes from the ledger of its recipients."""

    campaign_id: Annotated[RowId, Field(description="The campaign.")]
    name: Annotated[str, Field(description="Its name.")]
    status: Annotated[CampaignStatus, Field(description="Completed, Failed and Cancelled are final.")]
    pause_reason: Annotated[PauseReason | None, Field(description="Why it is paused; null where it is not.")]
    detail: Annotated[str | None, Field(description="A sentence about the pause or the end, for people.")]
    total_contacts: Annotated[Count, Field(description="Recipients; before the start, contacts of the list.")]
    sent_count: Annotated[Count, Field(description="Recipients whose message WhatsApp has taken.")]
    failed_count: Annotated[Count, Field(description="Recipients who could not be written to.")]
    skipped_count: Annotated[Count, Field(description="Recipients who were left out, such as opt-outs.")]
    unknown_count: Annotated[
        Count, Field(description="Recipients of whom nobody knows; sent to again only by `campaign.retry`.")
    ]
    sending_count: Annotated[Count, Field(description="Sends under way.")]
    pending_count: Annotated[Count, Field(description="Recipients who are still to come.")]
    last_processed_contact_index: Annotated[
        Count | None, Field(description="For information only: robotd goes on by its ledger.")
    ]
    scheduled_at: Annotated[Time, Field(description="When it starts or should have started.")]
    started_at: Annotated[Time | None, Field(description="When it started; null: not yet.")]
    completed_at: Annotated[Time | None, Field(description="When it ended; null: not yet.")]


_ENDS = Field(description="When it ends if nothing stops it.")
_WARNINGS = Field(description="What of its pace is risky for the number, for people.")


class CampaignCurrent(CampaignTold):
    """A campaign as it stands, in answer to a command. The last two keys are there where the command has started it."""

    warnings: Annotated[tuple[str, ...], _WARNINGS] = ()
    estimated_end: Annotated[Time, _ENDS] = ""


class CampaignStarted(CampaignTold):
    """A campaign that has started."""

    warnings: Annotated[tuple[str, ...], _WARNINGS]
    estimated_end: Annotated[Time, _ENDS]


class CampaignProgress(CampaignTold):
    """A running campaign."""

    estimated_end: Annotated[Time, _ENDS]


class CampaignPreviewed(CampaignTold):
    """What a start would do now; nothing is sent and nothing changes."""

    contacts: Annotated[Count, Field(description="Contacts on the list now.")]
    unknown_placeholders: Annotated[
        tuple[str, ...], Field(description="What of the text would reach people in braces, as it is.")
    ]
    warnings: Annotated[tuple[str, ...], _WARNINGS]
    estimated_end: Annotated[Time, _ENDS]
    example: Annotated[str, Field(description="The text for a contact without a first name and fields.")]


class TrialSent(ResultPayload):
    """What became of a test send."""

    campaign_id: Annotated[RowId, Field(description="The campaign whose message it was.")]
    state: Annotated[RecipientState, Field(description="SENT, FAILED, or UNKNOWN where nobody can tell.")]
    error: Annotated[str | None, Field(description="Why it was not sent, for people; null where it was.")]


class BadRow(ResultPayload):
    """A row that was left out."""

    row: Annotated[int, Field(ge=1, description="Its number in the command; the first row is 1.")]
    message: Annotated[str, Field(description="What is wrong with it.")]


class ContactsImported(ResultPayload):
    """What an import came to; `rows` = `imported` + `duplicates` + `bad`."""

    list_id: Annotated[RowId, Field(description="The list.")]
    list_name: Annotated[str, Field(description="Its name.")]
    rows: Annotated[Count, Field(description="Rows of the command.")]
    imported: Annotated[Count, Field(description="Contacts that are new on the list.")]
    duplicates: Annotated[Count, Field(description="Rows whose contact was on the list, or in an earlier row.")]
    bad: Annotated[Count, Field(description="Rows that were left out.")]
    errors: Annotated[tuple[BadRow, ...], Field(description="Each of those with its reason.")]


class OptOutAdded(ResultPayload):
    """Somebody gets no messages of any campaign any more."""

    chat_id: Annotated[str, Field(description="The person, as WhatsApp addresses them.")]
    is_new: Annotated[bool, Field(description="false: they had opted out before.")]


class StepTold(ResultPayload):
    """One step of a test of a delivery server."""

    id: Annotated[StepId, Field(description="The step.")]
    outcome: Annotated[
        StepOutcome,
        Field(description="FAIL is the server's fault; ERROR is robotd's or a neighbour's, and judges none."),
    ]
    kind: Annotated[str, Field(description="A short stable word, such as `auth-rejected`; empty for a PASS.")]
    ms: Annotated[int, Field(ge=0, description="How long it took, in milliseconds.")]
    detail: Annotated[str, Field(max_length=1000, description="One line for people.")]


class ServerTested(ResultPayload):
    """A test of a delivery server that is over."""

    run_id: Annotated[str, Field(description="The test.")]
    server_id: Annotated[RowId, Field(description="The server, by MailWizz's id.")]
    name: Annotated[str, Field(description="Its name; empty where it could not be read.")]
    path: Annotated[Literal["auto", "direct", "campaign"], Field(description="How it was tested.")]
    verdict: Annotated[ServerVerdict | None, Field(description="ERROR says nothing of the server.")]
    reason: Annotated[str, Field(description="Why it failed or could not be judged; empty where it is good.")]
    dry_run: Annotated[bool, Field(description="true: nothing was written to MailWizz.")]
    deactivated: Annotated[bool, Field(description="Whether it was switched off.")]
    kept: Annotated[str, Field(description="Why a server that failed was not switched off, one word; else empty.")]
    deactivation_skipped: Annotated[
        bool, Field(description="Whether it was to be switched off, and had changed or was the last active one.")
    ]
    promotion_error: Annotated[
        str | None, Field(description="Why a good server could not be added to the customer group; else null.")
    ]
    fingerprint: Annotated[str, Field(description="SHA-256 of the configuration that was tested; empty: not read.")]
    started: Annotated[str, Field(description="When it began, by MailWizz's clock and in its words.")]
    ended_at: Annotated[Time | None, Field(description="When it ended.")]
    steps: Annotated[tuple[StepTold, ...], Field(description="What was found, in the order in which it was.")]


class RunTold(ResultPayload):
    """One test of a cycle."""

    run_id: Annotated[str, Field(description="The test.")]
    server_id: Annotated[RowId, Field(description="The server, by MailWizz's id.")]
    name: Annotated[str, Field(description="Its name.")]
    reason: Annotated[str, Field(max_length=200, description="Why it failed or could not be judged.")]
    deactivated: Annotated[bool, Field(description="Whether it was switched off.")]
    kept: Annotated[str, Field(description="Why a server that failed was not switched off, one word; else empty.")]


class CycleTested(ResultPayload):
    """A cycle of tests that is over."""

    cycle_id: Annotated[str, Field(description="The cycle.")]
    force: Annotated[bool, Field(description="Whether all servers were to be tested.")]
    dry_run: Annotated[bool, Field(description="true: nothing was written to MailWizz.")]
    servers: Annotated[Count, Field(description="Servers that were looked at.")]
    tested: Annotated[Count, Field(description="Servers that were tested.")]
    left_out: Annotated[Count, Field(description="Servers that can't be tested by any way.")]
    busy: Annotated[Count, Field(description="Servers that were under test already.")]
    successful: Annotated[Count, Field(description="Good ones.")]
    failed: Annotated[Count, Field(description="Those that failed by their own fault.")]
    errors: Annotated[Count, Field(description="Those that could not be judged.")]
    deactivated: Annotated[Count, Field(description="Those that were switched off.")]
    outage: Annotated[str, Field(description="Why none was switched off, where many failed alike; else empty.")]
    began_at: Annotated[Time, Field(description="When it began.")]
    ended_at: Annotated[Time | None, Field(description="When it ended.")]
    failures: Annotated[tuple[RunTold, ...], Field(max_length=100, description="The first hundred that failed.")]
    unjudged: Annotated[
        tuple[RunTold, ...], Field(max_length=100, description="The first hundred that could not be judged.")
    ]


class ErrorTold(ResultPayload):
    """A command that was refused. It lies in the dead-letter queue, with the same reason."""

    phase: Annotated[Literal["FAILED"], Field(description="For readers of checks: nothing more will come.")]
    error: Annotated[str, Field(description="Why, for people.")]
    kind: Annotated[str, Field(description="Why, as one short stable word: see docs/operations.md, Dead letters.")]
    command_type: Annotated[str, Field(description="Type of the command; `unknown` where it has none.")]
    command_id: Annotated[str, Field(description="Its id; of one without an id, the one of its SQS message.")]


RESULTS: Mapping[str, type[ResultPayload]] = {
    "status-check.changed": CheckTold,
    "status-check.current": CheckTold,
    "monitor.alarm": AlarmTold,
    "campaign.current": CampaignCurrent,
    "campaign.started": CampaignStarted,
    "campaign.progress": CampaignProgress,
    "campaign.paused": CampaignTold,
    "campaign.resumed": CampaignTold,
    "campaign.completed": CampaignTold,
    "campaign.failed": CampaignTold,
    "campaign.cancelled": CampaignTold,
    "campaign.preview": CampaignPreviewed,
    "campaign.test-sent": TrialSent,
    "contacts.imported": ContactsImported,
    "opt-out.added": OptOutAdded,
    "server.tested": ServerTested,
    "server.cycle-tested": CycleTested,
    "error": ErrorTold,
}
"""Every result by its type."""


class From(BaseModel):
    """Who sends a result."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    service_name: Annotated[str, Field(alias="serviceName", description="`robotd`, or what the settings name.")]
    hostname: Annotated[str, Field(description="The process that published it, for operators.")]


class ToRobot(BaseModel):
    """A result for a robot."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    robot_id: Annotated[str, Field(alias="robotId", pattern=r"^[1-9][0-9]{0,9}$", description="The robot, as text.")]


class ToQueue(BaseModel):
    """A result for the queue that its command named in `replyTo`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    queue: Annotated[str, Field(description="Name of the queue.")]


class Link(BaseModel):
    """Where more can be read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    link: Annotated[str, Field(description="A path, or empty.")]
    rel: Annotated[str, Field(description="Empty; kept for readers of the system that robotd replaces.")]


class ResultEnvelope(BaseModel):
    """What every result looks like on the wire; `payload` is by its type."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    sender: Annotated[From, Field(alias="from", description="Who sends it.")]
    to: Annotated[ToRobot | ToQueue, Field(description="Whom it is for: a robot or a queue.")]
    link: Annotated[Link, Field(description="Where more can be read.")]
    payload: Annotated[dict[str, object], Field(description="By the type.")]
    id: Annotated[
        str, Field(min_length=1, max_length=190, description="The same for each repetition: drop repeats by it.")
    ]
    type: Annotated[str, Field(description="The type; also a message attribute.")]
    time: Annotated[Time, Field(description="When it was committed; also a message attribute.")]
    call_ref: Annotated[
        str | None, Field(alias="callRef", description="`callref` of the command behind it; also a message attribute.")
    ]
