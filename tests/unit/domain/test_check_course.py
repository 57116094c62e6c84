"""The decision table at the end of a window, row by row, and the way to it."""

from dataclasses import replace
from typing import Any

import pytest

from domain.check_course import begun, closed, heard, looked_at
from domain.status_check import Branch, Event, Phase, StatusCheck, Verdict, Window
from domain.template import Template, read_template
from tests.builders import PLAIN_CHECK

START_MS = 1_764_060_000_000  # 08:40 UTC
UNTIL_MS = START_MS + 1_800_000
PAST = {"dependsOn": ["IN_BED"], "expressions": {"PASS": "exists('IN_BED')"}}
CHECK = replace(
    PLAIN_CHECK,
    template_name="EXAMPLE",
    started_at_ms=START_MS,
    window=Window(looks_back=True, since_ms=START_MS - 3_600_000, until_ms=UNTIL_MS),
    branches={Verdict.PASS: Branch(100), Verdict.FAIL: Branch(200), Verdict.UNKNOWN: Branch(300)},
    phase=Phase.FUTURE,
)
UNBRANCHED = replace(CHECK, branches={Verdict.PASS: Branch(100), Verdict.FAIL: Branch(200)})


def template(future: dict[str, str] | None, *, past: bool = True, **changes: Any) -> Template:
    resources: dict[str, Any] = {"pastEvents": PAST} if past else {}
    if future is not None:
        resources["futureEvents"] = {"dependsOn": ["IN_BED", "OUT_OF_BED"], "expressions": future}
    silence = {"onTimeout": changes.pop("on_timeout")} if "on_timeout" in changes else {}
    poller = {"pastInterval": 3600, "futureInterval": 1800, **silence}
    named = {"name": "EXAMPLE", "version": 1, "description": "An example."}
    return read_template({**named, "poller": poller, "resources": resources, **changes})


def event(number: int, name: str, minute: int) -> Event:
    return Event(number, name, START_MS + minute * 60_000)


def course(check: StatusCheck, of: Template, *events: Event) -> tuple[StatusCheck, str]:
    """Begun with what was before, heard each other one, closed unless it is over; the check and what decided."""
    past = [one for one in events if one.created_at_ms <= START_MS]
    step = begun(check, of, past, START_MS, "UTC")
    for one in events[len(past) :]:
        if not step.check.is_over:
            step = heard(step.check, of, one, None, one.created_at_ms, "UTC")
    if not step.check.is_over:
        step = closed(step.check, of, (), UNTIL_MS, "UTC")
    return step.check, step.decided_by


UP = {"PASS": "new_count('OUT_OF_BED') == 1"}
LAST_WORD = {**UP, "UNKNOWN": "window_ended and exists('OUT_OF_BED')"}
BROKEN = {"PASS": "between('08:00', '09:00')"}


@pytest.mark.parametrize(
    ("of", "events", "phase", "result", "next_step", "decided_by"),
    [
        pytest.param(
            template(UP, pollUntilEnd=True, on_timeout="UNKNOWN"),
            (event(1, "OUT_OF_BED", 5),),
            "COMPLETED",
            "PASS",
            100,
            "futureEvents.PASS",
            id="polled until the end, and the last record has decided",
        ),
        pytest.param(
            template({"FAIL": "new_count('OUT_OF_BED') == 2"}, pollUntilEnd=True, on_timeout="UNKNOWN"),
            (event(1, "IN_BED", -5),),
            "COMPLETED",
            "PASS",
            100,
            "pastEvents.PASS",
            id="polled until the end, and only the past has decided",
        ),
        pytest.param(
            template({"FAIL": "new_count('OUT_OF_BED') == 2"}, pollUntilEnd=True, on_timeout="UNKNOWN"),
            (event(1, "IN_BED", -5), event(2, "OUT_OF_BED", 5)),
            "COMPLETED",
            "UNKNOWN",
            300,
            "onTimeout",
            id="polled until the end, and the last record took the decision back",
        ),
        pytest.param(
            template(LAST_WORD, pollUntilEnd=True, on_timeout="FAIL"),
            (event(1, "OUT_OF_BED", 5), event(2, "OUT_OF_BED", 6)),
            "COMPLETED",
            "UNKNOWN",
            300,
            "futureEvents.UNKNOWN",
            id="the end itself decides",
        ),
        pytest.param(
            template({"FAIL": "window_ended", **UP}, pollUntilEnd=True),
            (event(1, "OUT_OF_BED", 5),),
            "COMPLETED",
            "PASS",
            100,
            "futureEvents.PASS",
            id="the end decides the same once more",
        ),
        pytest.param(
            template(UP, on_timeout="UNKNOWN"), (), "COMPLETED", "UNKNOWN", 300, "onTimeout", id="onTimeout UNKNOWN"
        ),
        pytest.param(template(UP, on_timeout="PASS"), (), "COMPLETED", "PASS", 100, "onTimeout", id="onTimeout PASS"),
        pytest.param(template(UP), (), "FAILED", "FAIL", 200, "silence", id="no onTimeout: as in the original"),
        pytest.param(
            template(UP), (event(1, "OUT_OF_BED", 5),), "COMPLETED", "PASS", 100, "futureEvents.PASS", id="an event"
        ),
        pytest.param(
            template(UP), (event(1, "IN_BED", -5),), "COMPLETED", "PASS", 100, "pastEvents.PASS", id="the past"
        ),
        pytest.param(
            template({"FAIL": "window_ended"}, past=False, on_timeout="PASS"),
            (),
            "COMPLETED",
            "FAIL",
            200,
            "futureEvents.FAIL",
            id="future only",
        ),
    ],
)
def test_the_decision_table(
    of: Template, events: tuple[Event, ...], phase: str, result: str, next_step: int, decided_by: str
) -> None:
    """Each row: phase, result, the branch that the script takes, and what the verdict rests on."""
    check, decisive = course(CHECK, of, *events)

    assert (check.phase, check.verdict, check.next_step_id, decisive) == (phase, result, next_step, decided_by)
    assert check.next_step_resolved


def test_unknown_without_a_branch_goes_the_way_of_fail_and_says_so() -> None:
    """The robot gets the step of FAIL, flagged as not resolved."""
    check, _ = course(UNBRANCHED, template(UP, on_timeout="UNKNOWN"))

    assert (check.verdict, check.next_step_id, check.next_step_resolved) == (Verdict.UNKNOWN, 200, False)


def test_without_a_future_the_past_alone_decides() -> None:
    """A check that doesn't listen is over at once, by the answer to silence if nothing else."""
    past_only = replace(CHECK, window=Window(looks_back=True, since_ms=None, until_ms=None), phase=Phase.PAST)

    found = [
        course(past_only, template(None, on_timeout="UNKNOWN"), *events) for events in ((event(1, "IN_BED", -5),), ())
    ]

    assert [(check.phase, check.verdict, by) for check, by in found] == [
        (Phase.COMPLETED, Verdict.PASS, "pastEvents.PASS"),
        (Phase.COMPLETED, Verdict.UNKNOWN, "onTimeout"),
    ]


def test_a_check_that_does_not_look_back_asks_nothing_at_its_start() -> None:
    """Although the template has a resource for the past."""
    ahead = replace(CHECK, window=Window(looks_back=False, since_ms=None, until_ms=UNTIL_MS))

    step = begun(ahead, template(UP), (), START_MS, "UTC")

    assert (step.asked, step.decided_by, step.check.phase) == (None, "", Phase.FUTURE)


def test_an_expression_that_fails_never_decides_for_itself() -> None:
    """The answer is UNKNOWN, and says which resource could not be asked; also when it is the last word of a poll."""
    for polls in (False, True):
        of = template(BROKEN, pollUntilEnd=polls, on_timeout="PASS")
        first = begun(CHECK, of, (), START_MS, "No/Where")
        step = heard(first.check, of, event(1, "OUT_OF_BED", 5), None, START_MS + 300_000, "No/Where")
        step = step if step.check.is_over else closed(step.check, of, (), UNTIL_MS, "No/Where")

        assert (step.check.verdict, step.decided_by) == (Verdict.UNKNOWN, "futureEvents: an expression failed")
        assert "local time is not known" in step.problems[0]


def test_an_event_that_never_reached_us_is_found_at_the_end() -> None:
    """It stands in the history after those that were heard, and is judged by its own time."""
    of = template({"PASS": "age('OUT_OF_BED') < age('IN_BED')"}, past=False)
    first = begun(CHECK, of, (), START_MS, "UTC")

    step = closed(first.check, of, [event(2, "OUT_OF_BED", 20)], UNTIL_MS, "UTC")

    assert (step.check.verdict, step.decided_by) == (Verdict.PASS, "futureEvents.PASS")
    assert [(record.order, record.event.id, record.result) for record in step.new_records] == [(1, 2, Verdict.PASS)]


@pytest.mark.parametrize("names", [("OUT_OF_BED",), ("IN_BED", "OUT_OF_BED")])
def test_a_missed_event_takes_back_what_a_heard_one_would(names: tuple[str, ...]) -> None:
    """A check that polls until the end says the same whether its last events reached it, or were lost on the way."""
    of = template({"PASS": "new_count('OUT_OF_BED') == 1"}, pollUntilEnd=True, on_timeout="UNKNOWN")
    late = [event(number, name, 20 + number) for number, name in enumerate(names, 2)]
    first = heard(begun(CHECK, of, (), START_MS, "UTC").check, of, event(1, "OUT_OF_BED", 5), None, START_MS, "UTC")

    lost = closed(first.check, of, late, UNTIL_MS, "UTC")
    kept = first.check
    for one in late:
        kept = heard(kept, of, one, None, one.created_at_ms, "UTC").check
    kept = closed(kept, of, (), UNTIL_MS, "UTC").check

    assert first.check.verdict is Verdict.PASS
    assert (lost.check.verdict, lost.decided_by, kept.verdict) == (Verdict.UNKNOWN, "onTimeout", Verdict.UNKNOWN)


def test_each_record_says_what_the_check_said_once_its_event_was_known() -> None:
    """The past says it together, each later event for itself; earlier records keep their word."""
    of = template({"FAIL": "new_count('OUT_OF_BED') == 1"}, pollUntilEnd=True)

    check, _ = course(
        CHECK, of, event(1, "IN_BED", -9), event(2, "IN_BED", -8), event(3, "OUT_OF_BED", 1), event(4, "OUT_OF_BED", 2)
    )

    said = [(record.order, record.phase.value, record.result.value) for record in check.records]
    assert said == [(1, "PAST", "PASS"), (2, "PAST", "PASS"), (3, "FUTURE", "FAIL"), (4, "FUTURE", "PENDING")]


def test_looking_at_a_running_check_changes_nothing() -> None:
    """Asked now it may say what it would say at an event, and after its end what the end will say."""
    of = template({"PASS": "elapsed_minutes >= 10", "FAIL": "window_ended"})
    running = begun(CHECK, of, (), START_MS, "UTC").check
    half = START_MS + 600_000

    looks = [looked_at(running, of, at_ms, "UTC") for at_ms in (half - 1, half, UNTIL_MS, UNTIL_MS + 86_400_000)]

    assert [step.check.verdict.value for step in looks] == ["PENDING", "PASS", "PASS", "PASS"]
    assert [step.asked.moment.now_ms for step in looks if step.asked] == [half - 1, half, UNTIL_MS, UNTIL_MS]
    assert [step.check.records for step in looks] == [()] * 4
