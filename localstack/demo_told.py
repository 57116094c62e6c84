"""What the robot is told, in the words of the demo's story."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.markup import escape

from localstack.demo_day import ZONE

_STYLES = {
    "PASS": "bold green",
    "FAIL": "bold yellow",
    "UNKNOWN": "bold magenta",
    "PENDING": "dim",
    "Scheduled": "dim",
    "Running": "bold cyan",
    "Completed": "bold green",
}
_COUNTS = ("sent", "skipped", "failed", "unknown", "pending")


def sentences(result: Mapping[str, Any]) -> list[str]:
    """One line of the story for a result, or two."""
    payload = result["payload"]
    if "statusCheck" in payload:
        return [_check(payload)]
    if result["type"] == "contacts.imported":
        return _contacts(payload)
    if "campaignId" in payload:
        return [_campaign(result["type"], payload)]
    return [f"tells the robot: {escape(str(result['type']))}"]


def _check(payload: Mapping[str, Any]) -> str:
    goes_on = "wait" if payload["result"] == "PENDING" else f"go on with step {payload['nextStepId']}"
    return f"tells the robot: {_styled(payload['result'])} [dim]{payload['statusCheck']}[/] - {goes_on}"


def _contacts(payload: Mapping[str, Any]) -> list[str]:
    counts = f"{payload['imported']} imported, {payload['duplicates']} duplicate, {payload['bad']} bad"
    bad = [f"leaves out row {error['row']}: {escape(error['message'])}" for error in payload["errors"]]
    return [f"tells the robot: {counts}", *bad]


def _campaign(kind: str, payload: Mapping[str, Any]) -> str:
    status, total = _styled(payload["status"]), payload["totalContacts"]
    match kind:
        case "campaign.current":
            at = datetime.fromisoformat(payload["scheduledAt"]).astimezone(ZONE)
            said = f"{status} - {total} contacts at {at:%H:%M}"
        case "campaign.started":
            said = f"{status} - {total} contacts"
        case "campaign.paused":
            said = f"{status} {payload['pauseReason']} - {payload['sentCount']} of {total} sent"
        case "campaign.resumed":
            said = f"{status} again, by itself - {payload['sentCount']} of {total} sent"
        case _:
            said = f"{status} - {_counts(payload)}"
    return f"tells the robot: {said}"


def _counts(payload: Mapping[str, Any]) -> str:
    return ", ".join(f"{count} {name}" for name in _COUNTS if (count := payload[f"{name}Count"]))


def _styled(word: str) -> str:
    return f"[{_STYLES.get(word, 'bold yellow')}]{word}[/]"
