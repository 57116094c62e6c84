"""`robotd templates explain`: why a check says what it says, from the database or played over events of a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.cli_past import Given, Unusable, given, refused, say_json, time_of, zone_of
from daemon.clock import SystemClock
from daemon.explanation_text import print_explanation
from daemon.opening import stored_check
from daemon.settings import Settings
from daemon.stored_check import StoredCheck
from domain.check_course import looked_at
from domain.errors import RobotdError
from domain.rehearsal import rehearse
from domain.status_check import Record, StatusCheck
from domain.trace import trace_of
from domain.wire import JsonObject, iso

_MAX_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """A template that is played: the files, when the check starts (empty: see `_start`), and the zone."""

    template: Path
    log: Path
    at: str
    time_zone: str


async def explain_stored(settings: Settings, check_id: int, *, as_json: bool) -> int:
    """Print a check of the database. Raises RobotdError where there is none of this id, and as `stored_check`."""
    found = await stored_check(settings, check_id) if 1 <= check_id <= _MAX_ID else None
    if found is None:
        raise RobotdError(f"the database has no status check {check_id}")
    zone_name = settings.templates.time_zone
    content = _of_stored(found, SystemClock().now_ms(), zone_name)
    _print(content, zone_name, as_json=as_json)
    return 0


def explain_rehearsed(wanted: Wanted, *, as_json: bool) -> int:
    """Play a check over the events of a file to its end, and print it. Raises MessageError for bad options."""
    zone = zone_of(wanted.time_zone)
    at_ms = time_of("--at", wanted.at, zone) if wanted.at else None
    try:
        past = given(wanted.template, wanted.log, zone)
    except Unusable as error:
        return refused(error, as_json=as_json)
    if at_ms is None and not past.events:
        return refused(Unusable(f"{wanted.log}: the log holds no events: say --at", [], []), as_json=as_json)
    content = _of_rehearsal(past, _start(past) if at_ms is None else at_ms)
    _print(content, zone.key, as_json=as_json)
    return 0


def _start(past: Given) -> int:
    """Most is to be seen with every event in the past of the check, or ahead of one that doesn't look back."""
    return past.events[-1 if past.template.past_interval_s else 0].created_at_ms


def _of_stored(found: StoredCheck, now_ms: int, time_zone: str) -> JsonObject:
    check, template, notes = found.check, found.template, []
    now = None
    if template is None:
        notes.append(f"template {check.template_name} version {check.template_version} is gone")
    elif not check.is_over:
        now = trace_of(looked_at(check, template, now_ms, time_zone), template, now_ms)
        if check.window.until_ms is not None and now_ms >= check.window.until_ms:
            notes.append("the window has ended, but no daemon has closed the check yet")
    content_hash = template.content_hash if template is not None else _hash_of(found.decisions)
    head = {
        "id": check.id,
        "robotId": check.robot_id,
        "stepId": check.step_id,
        "scheduledId": check.scheduled_id,
        "scriptVersionId": check.script_version_id,
        "plannedAt": iso(check.planned_at_ms),
        "callRef": check.call_ref,
        **_what_it_says(check),
        "nextStepId": check.next_step_id,
        "nextStepResolved": check.next_step_resolved,
        "updatedAt": iso(check.updated_at_ms),
    }
    return _explanation(check, head, content_hash, found.decisions, now, notes)


def _of_rehearsal(past: Given, at_ms: int) -> JsonObject:
    played = rehearse(past.template, past.events, at_ms, time_zone=past.zone.key)
    ended_ms = played.steps[-1][0]
    decisions = [trace_of(step, past.template, step_ms) for step_ms, step in played.told]
    notes = []
    if ended_ms == played.check.window.until_ms and (not past.events or past.events[-1].created_at_ms < ended_ms):
        notes.append("the log ends before the window does: what it doesn't hold counts as silence")
    head = {"id": None, **_what_it_says(played.check), "updatedAt": iso(ended_ms)}
    return _explanation(played.check, head, past.template.content_hash, decisions, None, notes)


def _what_it_says(check: StatusCheck) -> JsonObject:
    window = check.window
    return {
        "phase": check.phase.value,
        "result": check.verdict.value,
        "startedAt": iso(check.started_at_ms),
        "window": {
            "looksBack": window.looks_back,
            "since": None if window.since_ms is None else iso(window.since_ms),
            "until": None if window.until_ms is None else iso(window.until_ms),
        },
    }


def _explanation(
    check: StatusCheck,
    head: JsonObject,
    content_hash: object,
    decisions: Sequence[JsonObject],
    now: JsonObject | None,
    notes: Sequence[str],
) -> JsonObject:
    return {
        "check": head,
        "template": {"name": check.template_name, "version": check.template_version, "contentHash": content_hash},
        "history": [_line(record) for record in check.records],
        "decisions": list(decisions),
        "now": now,
        "notes": list(notes),
    }


def _hash_of(decisions: Sequence[JsonObject]) -> object:
    """What the version said when it was last asked, where it is gone."""
    hashes = [decision.get("template", {}).get("contentHash") for decision in decisions]
    return next((one for one in reversed(hashes) if one), None)


def _line(record: Record) -> JsonObject:
    return {
        "order": record.order,
        "createdAt": iso(record.event.created_at_ms),
        "eventName": record.event.name,
        "level": record.event.level,
        "incomingEventId": record.event.id,
        "outgoingEventId": record.outgoing_event_id,
        "phase": record.phase.value,
        "result": record.result.value,
    }


def _print(content: JsonObject, time_zone: str, *, as_json: bool) -> None:
    if as_json:
        say_json(content)
    else:
        print_explanation(content, zone_of(time_zone))
