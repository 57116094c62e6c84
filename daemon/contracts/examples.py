"""One golden example for each message, as it is on the wire."""

from collections.abc import Mapping

from daemon.cli_send import example_of
from daemon.contracts.schemas import NAMES_OF_RESULTS
from domain.messages import COMMANDS
from domain.wire import JsonObject

_AT = "2025-11-25T08:40:00.000Z"
_LATER = "2025-11-25T09:05:12.000Z"
_REPLY = "re-3f1c0a9be27d4c6f8a5b1d2e4c7f9a60"
_CHECK: JsonObject = {
    "id": 30451,
    "robotId": 61001,
    "statusCheck": "TOILET_AFTER_RISING",
    "stepId": 88120,
    "scriptVersionId": 5310,
    "scheduledId": 77001,
    "plannedAt": _AT,
    "phase": "COMPLETED",
    "result": "PASS",
    "nextStepId": 101,
    "nextStepResolved": True,
    "history": [
        {
            "order": 0,
            "eventName": "TOILET_ACTIVITY",
            "incomingEventId": 900123,
            "outgoingEventId": 551,
            "phase": "COMPLETED",
            "result": "PASS",
            "createdAt": _LATER,
        }
    ],
    "createdAt": _AT,
    "updatedAt": _LATER,
}
_CAMPAIGN: JsonObject = {
    "campaignId": 1,
    "name": "Spring letter",
    "status": "Running",
    "pauseReason": None,
    "detail": None,
    "totalContacts": 8,
    "sentCount": 3,
    "failedCount": 0,
    "skippedCount": 0,
    "unknownCount": 0,
    "sendingCount": 0,
    "pendingCount": 5,
    "lastProcessedContactIndex": 3,
    "scheduledAt": _AT,
    "startedAt": _AT,
    "completedAt": None,
}
_FRESH = {**_CAMPAIGN, "sentCount": 0, "pendingCount": 8, "lastProcessedContactIndex": None}
_PACED: JsonObject = {"warnings": [], "estimatedEnd": "2025-11-25T08:46:00.000Z"}
_OVER = {**_CAMPAIGN, "sentCount": 7, "skippedCount": 1, "pendingCount": 0, "completedAt": _LATER}
_PAYLOADS: Mapping[str, JsonObject] = {
    "status-check.changed": _CHECK,
    "status-check.current": _CHECK,
    "monitor.alarm": {
        "sessionId": "61001-fridge-2025-11-25",
        "robotId": 61001,
        "ruleId": "fridge",
        "eventName": "EATING_ACTIVITY",
        "windowNumber": 2,
        "windowStart": _AT,
        "windowEnd": _LATER,
        "alarmsInRow": 1,
        "lastEventAt": None,
    },
    "campaign.current": _CAMPAIGN,
    "campaign.started": {**_FRESH, **_PACED},
    "campaign.progress": {**_CAMPAIGN, "estimatedEnd": _PACED["estimatedEnd"]},
    "campaign.paused": {
        **_CAMPAIGN,
        "status": "Paused",
        "pauseReason": "SESSION_NOT_WORKING",
        "detail": "the session is STOPPED",
    },
    "campaign.resumed": _CAMPAIGN,
    "campaign.completed": {**_OVER, "status": "Completed", "lastProcessedContactIndex": None},
    "campaign.failed": {**_OVER, "status": "Failed", "detail": "user user-1 has no WhatsApp session"},
    "campaign.cancelled": {**_OVER, "status": "Cancelled", "detail": "cancelled by its user"},
    "campaign.preview": {
        **_FRESH,
        "status": "Scheduled",
        "pendingCount": 0,
        "startedAt": None,
        "contacts": 8,
        "unknownPlaceholders": [],
        **_PACED,
        "example": "Dear friend, the garden is open again.",
    },
    "campaign.test-sent": {"campaignId": 1, "state": "SENT", "error": None},
    "contacts.imported": {
        "listId": 1,
        "listName": "Spring letter",
        "rows": 3,
        "imported": 1,
        "duplicates": 1,
        "bad": 1,
        "errors": [{"row": 3, "message": "'o' is not a digit"}],
    },
    "opt-out.added": {"chatId": "999000000001@c.us", "isNew": True},
    "server.tested": {
        "runId": _REPLY,
        "serverId": 7,
        "name": "mail-7",
        "path": "direct",
        "verdict": "FAILED",
        "reason": "T5 AUTH: 535 authentication failed",
        "dryRun": False,
        "deactivated": True,
        "kept": "",
        "deactivationSkipped": False,
        "promotionError": None,
        "fingerprint": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "started": "2025-11-25 08:40:00",
        "endedAt": _LATER,
        "steps": [
            {"id": "T0", "outcome": "PASS", "kind": "", "ms": 4, "detail": ""},
            {"id": "T5", "outcome": "FAIL", "kind": "auth-rejected", "ms": 812, "detail": "535 authentication failed"},
        ],
    },
    "server.cycle-tested": {
        "cycleId": _REPLY,
        "force": False,
        "dryRun": False,
        "servers": 12,
        "tested": 3,
        "leftOut": 0,
        "busy": 0,
        "successful": 2,
        "failed": 1,
        "errors": 0,
        "deactivated": 1,
        "outage": "",
        "beganAt": _AT,
        "endedAt": _LATER,
        "failures": [
            {
                "runId": "re-51",
                "serverId": 7,
                "name": "mail-7",
                "reason": "T5 AUTH: 535 authentication failed",
                "deactivated": True,
                "kept": "",
            }
        ],
        "unjudged": [],
    },
    "error": {
        "phase": "FAILED",
        "error": "robot 61001 has no status check 30451",
        "kind": "no-such-check",
        "commandType": "status-check.get",
        "commandId": "agenda-2025-11-25-0001",
    },
}
_IDS = {
    "status-check.changed": "sc-30451-2",
    "monitor.alarm": "ma-61001-fridge-2025-11-25-2",
    "server.tested": f"server-test-{_REPLY}",
    "server.cycle-tested": f"server-cycle-{_REPLY}",
}
_TELLS = ("started", "paused", "resumed", "completed", "failed", "cancelled")
_LINKS = {"status-check": "/v1/status-check/check/30451", "monitor": "/v1/monitors/61001-fridge-2025-11-25"}
_EVENTS: Mapping[str, JsonObject] = {
    "megazord.event": {
        "from": {"serviceName": "megazord-v1", "hostname": "megazord"},
        "to": {"robotId": "61001"},
        "link": {"link": "", "rel": ""},
        "payload": {
            "id": 551,
            "subscriptionId": 44120,
            "sourceEvent": {
                "id": 900123,
                "robotId": 61001,
                "eventName": "TOILET_ACTIVITY",
                "level": 1,
                "createdAt": _LATER,
            },
        },
    },
    "waha.event": {
        "id": "evt_01jdfh3k2m",
        "event": "message.ack",
        "session": "default",
        "payload": {"id": "true_999000000001@c.us_3EB0AA", "ack": 2, "ackName": "DEVICE"},
    },
}


def example_message(name: str) -> JsonObject:
    """The example of a message. Raises KeyError for one that nobody knows."""
    if name in COMMANDS:
        return _command(name)
    return _EVENTS[name] if name in _EVENTS else _result(NAMES_OF_RESULTS[name])


def _command(message_type: str) -> JsonObject:
    return {
        "specversion": "1.0",
        "id": "agenda-2025-11-25-0001",
        "source": "agenda-service",
        "type": message_type,
        "time": _AT,
        "data": example_of(message_type),
        "callref": "order-4711",
    }


def _result(message_type: str) -> JsonObject:
    family, _, what = message_type.partition(".")
    told = f"campaign-1-{2 + _TELLS.index(what)}" if family == "campaign" and what in _TELLS else _REPLY
    return {
        "from": {"serviceName": "robotd", "hostname": "robotd-0"},
        "to": {"robotId": "61001"},
        "link": {"link": _LINKS.get(family, ""), "rel": ""},
        "payload": _PAYLOADS[message_type],
        "id": _IDS.get(message_type, told),
        "type": message_type,
        "time": _LATER,
        "callRef": "order-4711",
    }
