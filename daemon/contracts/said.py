"""What the page says of each message beside its fields: what it does, what answers it, why it may be refused.

A test holds that every type is here, every result is a result, and every kind of error is one that the code has.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Said:
    """Of a command or an event: `results` are types, `errors` kinds of its own, beside those of every command."""

    does: str
    results: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


EVERY_COMMAND = (
    "not-json",
    "not-an-object",
    "not-text",
    "duplicate-key",
    "invalid-envelope",
    "unknown-type",
    "invalid-data",
    "reply-queue",
    "attempts-exhausted",
    "crash-loop",
)
"""Kinds of error that any command may be refused with."""

_CHANGES = ("campaign.current", "campaign.paused", "campaign.resumed", "campaign.cancelled")
_RUNS = ("campaign.current", "campaign.started", "campaign.progress", "campaign.paused", "campaign.resumed")
_ENDS = ("campaign.completed", "campaign.failed")
_NEIGHBOURS = ("upstream-not-found", "upstream-refused", "upstream-contract")
_OF_A_CAMPAIGN = ("not-found", "wrong-state")
_MEDIA = ("no-media", "bad-media")

COMMANDS_SAID: Mapping[str, Said] = {
    "status-check.create": Said(
        "Starts a check, tells the robot at once (PENDING or decided), and again at each change until it is over. An "
        "equal request (robotId, stepId, scheduledId, plannedAt) is answered with the check that is there.",
        ("status-check.changed", "status-check.current"),
        (
            "far-future",
            "no-template",
            "bad-template",
            "not-a-status-check",
            "missing-branch",
            *_NEIGHBOURS,
            "too-large",
        ),
    ),
    "status-check.get": Said("Tells how a check stands.", ("status-check.current",), ("no-such-check", "too-large")),
    "status-check.cancel": Said(
        "Ends a check as FAILED; one that is over already is only told of.",
        ("status-check.changed", "status-check.current"),
        ("no-such-check", "too-large"),
    ),
    "campaign.create": Said(
        "Stores a campaign and plans its start. Whom it names is told of each change, to its end.",
        (*_RUNS, *_ENDS, "campaign.cancelled"),
        ("campaigns-off", "not-found", "far-future", "never-open", *_MEDIA),
    ),
    "campaign.schedule": Said(
        "Moves the start of a campaign that has not begun.", ("campaign.current",), (*_OF_A_CAMPAIGN, "far-future")
    ),
    "campaign.run": Said(
        "Starts a campaign that is Scheduled, now. One that runs is only told of.",
        (*_RUNS, *_ENDS),
        (*_OF_A_CAMPAIGN, "campaigns-off"),
    ),
    "campaign.pause": Said("Stops a campaign before its next send.", _CHANGES[:2], _OF_A_CAMPAIGN),
    "campaign.resume": Said(
        "Goes on with a paused campaign at exactly the contact that is next.",
        ("campaign.current", "campaign.resumed"),
        _OF_A_CAMPAIGN,
    ),
    "campaign.cancel": Said("Ends a campaign for good.", ("campaign.current", "campaign.cancelled"), _OF_A_CAMPAIGN),
    "campaign.status": Said("Tells how a campaign stands.", ("campaign.current",), ("not-found",)),
    "campaign.preview": Said("Tells what a start would do now.", ("campaign.preview",), ("not-found",)),
    "campaign.retry": Said(
        "Sends again to those in one state; to those of whom nobody knows only by this explicit word.",
        ("campaign.current", "campaign.resumed"),
        _OF_A_CAMPAIGN,
    ),
    "campaign.test-send": Said(
        "Sends a campaign's message to one person now, once for each command, outside of its ledger.",
        ("campaign.test-sent",),
        ("not-found", "campaigns-off", "invalid-phone", "opted-out", "number-stopped", "no-session", *_MEDIA),
    ),
    "contacts.import": Said(
        "Adds contacts to a list. Who is on it stays as they are, so it may be sent again.",
        ("contacts.imported",),
        ("no-such-list",),
    ),
    "opt-out.add": Said("Keeps that a person wants no messages.", ("opt-out.added",), ("invalid-phone",)),
    "server.test": Said(
        "Tests one delivery server. It may take forty minutes; a repeated command tells of the same test.",
        ("server.tested",),
        ("servers-off", "no-such-server", "busy"),
    ),
    "server.test-cycle": Said(
        "Tests every server that needs it, and carries out no verdict before all are judged.",
        ("server.cycle-tested",),
        ("servers-off", "busy"),
    ),
}

EVENTS_SAID: Mapping[str, Said] = {
    "megazord.event": Said(
        "Megazord tells of an event for one of robotd's subscriptions. Read in three forms: as below, inside an SNS "
        "notification, or the `payload` alone.",
        ("status-check.changed", "monitor.alarm"),
        ("invalid-event", "foreign-robot", "far-future"),
    ),
    "waha.event": Said(
        "WAHA's webhook, as a relay puts it onto a queue: the body to the byte and `X-Webhook-Hmac` as an attribute, "
        "or both in one JSON with `headers` and `body`. Without a right signature nothing of it is read.",
        ("campaign.paused",),
        ("bad-signature", "invalid-event"),
    ),
}

RESULTS_SAID: Mapping[str, str] = {
    "status-check.changed": "A check has begun or says something new. The id counts what the robot was told of it.",
    "status-check.current": "A check as it stands, in answer to a command.",
    "monitor.alarm": "A home has been silent for too long, and its rule tells the robot. No command is behind it.",
    "campaign.current": "A campaign as it stands, in answer to a command.",
    "campaign.started": "A campaign has started.",
    "campaign.progress": "How far a running campaign is, at a fixed pace.",
    "campaign.paused": "A campaign has stopped; `pauseReason` says why.",
    "campaign.resumed": "A campaign goes on, by command or by itself.",
    "campaign.completed": "A campaign is over: nobody is left to be written to.",
    "campaign.failed": "A campaign has ended before its time; `detail` says why.",
    "campaign.cancelled": "A campaign was ended by its user.",
    "campaign.preview": "What a start would do now.",
    "campaign.test-sent": "What became of a test send.",
    "contacts.imported": "What an import came to, with each bad row.",
    "opt-out.added": "Somebody is left alone from now on.",
    "server.tested": "A test of a delivery server is over.",
    "server.cycle-tested": "A cycle of tests is over.",
    "error": "A command was refused.",
}
