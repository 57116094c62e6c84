"""Traces: each value by hand, nothing that JSON can't hold, and never too big for a row."""

import json
from collections.abc import Sequence
from typing import Any

from domain.check_course import closed, heard
from domain.rehearsal import rehearse
from domain.status_check import Event
from domain.template import Template, read_template
from domain.trace import MAX_EVENTS_NAMED, trace_of
from domain.wire import JsonObject, write_json

START_MS = 1_764_060_000_000  # 08:40 UTC
NAMES = ["IN_BED", "OUT_OF_BED"]


def template(past: dict[str, str], names: Sequence[str] = NAMES, **changes: Any) -> Template:
    resources = {"pastEvents": {"dependsOn": list(names), "expressions": past}}
    poller = {"pastInterval": -1, "onTimeout": "UNKNOWN"}
    fields = {"name": "EXAMPLE", "version": 3, "description": "One.", "poller": poller, "resources": resources}
    return read_template(fields | changes)


def event(number: int, name: str, seconds: int, level: int | None = None) -> Event:
    return Event(number, name, START_MS + seconds * 1000, level)


def start_of(of: Template, *events: Event, time_zone: str = "UTC") -> JsonObject:
    (at_ms, step), *_ = rehearse(of, events, START_MS, time_zone=time_zone).steps
    return trace_of(step, of, at_ms)


def parts_of(text: str, *events: Event) -> list[tuple[str, object]]:
    trace = start_of(template({"PASS": text}), *events)
    return [(part["text"], part["value"]) for part in trace["expressions"][0]["parts"]]


def test_a_trace_says_what_was_known_and_what_each_expression_said() -> None:
    """Whole, with the expressions behind the one that decides, and the calls that it never reached."""
    of = template({"PASS": "exists('IN_BED') or count('OUT_OF_BED', within='2h') > 1", "FAIL": "exists('IN_BED')"})

    assert start_of(of, event(4, "IN_BED", -60), event(9, "KITCHEN", -50)) == {
        "at": "2025-11-25T08:40:00.000Z",
        "phase": "COMPLETED",
        "result": "PASS",
        "decidedBy": "pastEvents.PASS",
        "template": {"name": "EXAMPLE", "version": 3, "contentHash": of.content_hash},
        "resource": "pastEvents",
        "now": "2025-11-25T08:40:00.000Z",
        "windowEnded": False,
        "timeZone": "UTC",
        "events": 1,
        "eventsLeftOut": 0,
        "eventIds": [4],
        "expressions": [
            {
                "outcome": "PASS",
                "text": "exists('IN_BED') or count('OUT_OF_BED', within='2h') > 1",
                "value": True,
                "problem": "",
                "decides": True,
                "parts": [
                    {"text": "exists('IN_BED')", "value": True},
                    {"text": "count('OUT_OF_BED', within='2h')", "value": 0},
                ],
            },
            {
                "outcome": "FAIL",
                "text": "exists('IN_BED')",
                "value": True,
                "problem": "",
                "decides": False,
                "parts": [{"text": "exists('IN_BED')", "value": True}],
            },
        ],
    }


def test_parts_are_cut_out_of_the_text_where_they_stand() -> None:
    """Behind quoted spans and times, in brackets, below 'not' and '!=', inside of min and max; each once."""
    text = (
        "not (count('IN_BED', within='90s') != 2) and (count_between('IN_BED', '08:00', '09:00', within='2h') > 1 or "
        "max(2, min(age('IN_BED'), last('IN_BED').level)) >= 2 and "
        "count('IN_BED', within='90s') <= 2 and between('08:00', '09:00'))"
    )

    assert parts_of(text, event(1, "IN_BED", -90, 7), event(2, "IN_BED", -30, 3)) == [
        ("count('IN_BED', within='90s')", 2),
        ("count_between('IN_BED', '08:00', '09:00', within='2h')", 2),
        ("max(2, min(age('IN_BED'), last('IN_BED').level))", 2),
        ("min(age('IN_BED'), last('IN_BED').level)", 0.5),
        ("age('IN_BED')", 0.5),
        ("last('IN_BED').level", 3),
        ("between('08:00', '09:00')", True),
    ]


def test_numbers_that_json_has_no_word_for_are_text() -> None:
    """Endless ages either way, and a level that nobody reported; small differences are not rounded away."""
    text = (
        "age('OUT_OF_BED') > 1 and min(1 - age('OUT_OF_BED'), 2) < 1 and level('IN_BED') > 1 "
        "and first('IN_BED').age_hours > 1 and elapsed_minutes >= 0 and window_ended"
    )

    found = parts_of(text, event(1, "IN_BED", -1))

    assert [value for _, value in found] == ["endless", "minus endless", "not known", 0.0002778, 0.0, False]
    json.dumps(found, allow_nan=False)


def test_an_expression_that_fails_says_why_and_so_do_its_parts() -> None:
    """It has no value; what can be answered is, and the text of the fault names no data."""
    of = template({"PASS": "exists('IN_BED') and between('08:00', '09:00')", "FAIL": "count('IN_BED') > 5"})

    trace = start_of(of, event(1, "IN_BED", -60), time_zone="No/Where")

    failed, fine = trace["expressions"]
    assert (trace["result"], trace["decidedBy"]) == ("UNKNOWN", "pastEvents: an expression failed")
    assert (failed["value"], failed["decides"], fine["value"]) == (None, False, False)
    assert failed["problem"].startswith("the robot's local time is not known")
    assert failed["parts"][0] == {"text": "exists('IN_BED')", "value": True}
    assert (failed["parts"][1]["value"], failed["parts"][1]["problem"]) == (None, failed["problem"])


def test_sixteen_calls_all_have_their_value() -> None:
    """As many as an expression may have."""
    names = [f"E_{number}" for number in range(16)]
    of = template({"PASS": " and ".join(f"exists('{name}')" for name in names)}, names)

    (expression,) = start_of(of, *(event(number, name, -60) for number, name in enumerate(names)))["expressions"]

    assert [part["value"] for part in expression["parts"]] == [True] * 16


def test_a_verdict_from_before_the_end_keeps_its_reason() -> None:
    """The end was asked and said nothing: the reason is the expression, and none of those that were asked decides."""
    future = {"dependsOn": NAMES, "expressions": {"PASS": "count('IN_BED') == 1 and not window_ended"}}
    poller = {"pastInterval": -1, "futureInterval": 600}
    of = template({}, poller=poller, resources={"futureEvents": future}, pollUntilEnd=True)

    played = rehearse(of, [event(1, "IN_BED", 60)], START_MS)
    trace = trace_of(played.steps[-1][1], of, played.steps[-1][0])

    assert (trace["result"], trace["decidedBy"]) == ("PASS", "futureEvents.PASS")
    assert (trace["windowEnded"], trace["at"]) == (True, "2025-11-25T08:50:00.000Z")
    assert [one["decides"] for one in trace["expressions"]] == [False]
    assert played.deciding is played.steps[1][1]


def test_the_largest_trace_fits_into_a_page() -> None:
    """Full expressions of nested calls that all fail, a hundred ids of nineteen digits: below 64 KiB."""
    name = "E" * 64
    nested = f"first('{name}').hour"
    for _ in range(10):
        nested = f"min({nested}, {', '.join(['111111111'] * 6)})"
    widest = f"{nested} > 0 and between('08:00', '09:00')"
    of = template(dict.fromkeys(("PASS", "FAIL", "UNKNOWN"), widest), [name])
    events = [Event(2**63 - 3000 + number, name, START_MS - 60_000, 255) for number in range(2_500)]

    trace = start_of(of, *events, time_zone="No/Where")

    assert len(trace["eventIds"]) == MAX_EVENTS_NAMED
    assert (trace["events"], trace["eventsLeftOut"]) == (2_500, 500)
    assert all(one["value"] is None for one in trace["expressions"])
    assert 20_000 < len(write_json(trace)) < 65_536


def test_a_step_without_a_question_has_a_trace_too() -> None:
    """Its reason is all that it has."""
    of = template({"PASS": "exists('IN_BED')"}, poller={"onTimeout": "FAIL"})

    trace = start_of(of)

    assert set(trace) == {"at", "phase", "result", "decidedBy", "template"}
    assert trace["decidedBy"] == "onTimeout"


def test_live_steps_and_rehearsed_ones_have_the_same_traces() -> None:
    """One path: the steps by hand are those of the rehearsal."""
    future = {"dependsOn": NAMES, "expressions": {"PASS": "new_count('OUT_OF_BED') >= 2"}}
    of = template({}, poller={"futureInterval": 600, "onTimeout": "FAIL"}, resources={"futureEvents": future})
    up = event(1, "OUT_OF_BED", 60)
    played = rehearse(of, [up], START_MS)

    first = played.steps[0][1]
    second = heard(first.check, of, up, None, up.created_at_ms, "UTC")
    third = closed(second.check, of, (), START_MS + 600_000, "UTC")

    assert [step for _, step in played.steps] == [first, second, third]
    assert [at_ms for at_ms, _ in played.told] == [START_MS, START_MS + 600_000]
