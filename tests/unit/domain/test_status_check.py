"""The rules of a status check: windows, branches, history, and what the robot must hear of."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.status_check import (
    Branch,
    Event,
    Phase,
    Record,
    ScriptStep,
    Verdict,
    Window,
    payload_of,
    window_of,
)
from tests.builders import PLAIN_CHECK
from tests.world import MORNING_MS as NOW_MS

CHECK = PLAIN_CHECK


@pytest.mark.parametrize(
    ("past", "future", "defaults", "window"),
    [
        (-1, 60, (0, 0), Window(looks_back=True, since_ms=None, until_ms=NOW_MS + 60_000)),
        (60, 0, (0, 0), Window(looks_back=True, since_ms=NOW_MS - 60_000, until_ms=None)),
        (0, 0, (0, 0), Window(looks_back=False, since_ms=None, until_ms=None)),
        (0, 0, (5, 6), Window(looks_back=True, since_ms=NOW_MS - 5000, until_ms=NOW_MS + 6000)),
        (0, 0, (-1, 6), Window(looks_back=True, since_ms=None, until_ms=NOW_MS + 6000)),
        (7, 8, (5, 6), Window(looks_back=True, since_ms=NOW_MS - 7000, until_ms=NOW_MS + 8000)),
    ],
)
def test_the_window_is_the_steps_or_else_the_templates(
    past: int, future: int, defaults: tuple[int, int], window: Window
) -> None:
    """-1 is the whole past, 0 leaves it to the template, and no future is no end."""
    assert window_of(ScriptStep(1, "T", past, future, {}), *defaults, NOW_MS) == window


def test_a_verdict_goes_its_branch_and_unknown_goes_the_way_of_fail() -> None:
    """UNKNOWN without a branch of its own leads where FAIL does and says that it is not resolved."""
    told = [(check.next_step_id, check.next_step_resolved) for check in map(CHECK.with_verdict, Verdict)]
    assert told == [(None, False), (100, True), (200, True), (200, False)]
    own = replace(CHECK, branches={**CHECK.branches, Verdict.UNKNOWN: Branch(None)}).with_verdict(Verdict.UNKNOWN)
    assert (own.next_step_id, own.next_step_resolved) == (None, True)


def test_an_event_in_the_last_second_counts_and_a_later_one_is_stale() -> None:
    """Without a future there is no end to be late for."""
    at_end = Event(1, "E", NOW_MS + 1000)
    assert not CHECK.is_stale(at_end)
    assert CHECK.is_stale(replace(at_end, created_at_ms=NOW_MS + 1001))
    assert not replace(CHECK, window=Window(looks_back=True, since_ms=None, until_ms=None)).is_stale(
        replace(at_end, created_at_ms=2**60)
    )


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3)), max_size=12), st.sets(st.integers(1, 5)))
def test_unknown_events_are_each_once_in_time_order(events: list[tuple[int, int]], known: set[int]) -> None:
    """What the history holds is left out, repetitions are dropped, and the order is by time, then id."""
    records = tuple(
        Record(order, Event(event_id, "E", 0), Phase.PAST, Verdict.PENDING) for order, event_id in enumerate(known, 1)
    )
    fresh = replace(CHECK, records=records).unknown_to_history([Event(event_id, "E", at) for event_id, at in events])
    assert {event.id for event in fresh} == {event_id for event_id, _ in events} - known
    keys = [(event.created_at_ms, event.id) for event in fresh]
    assert keys == sorted(keys)
    assert len({event.id for event in fresh}) == len(fresh)


def test_the_robot_hears_of_phase_verdict_and_branch_and_of_nothing_else() -> None:
    """A new line of history alone is no news."""
    told = [
        replace(CHECK, phase=Phase.COMPLETED),
        CHECK.with_verdict(Verdict.PASS),
        replace(CHECK, next_step_id=1),
        replace(CHECK, next_step_resolved=True),
    ]
    assert all(check.told_differently(CHECK) for check in told)
    record = Record(1, Event(1, "E", NOW_MS), Phase.FUTURE, Verdict.PENDING)
    assert not replace(CHECK, records=(record,), updated_at_ms=5, version=2).told_differently(CHECK)


def test_only_completed_and_failed_are_final() -> None:
    """Everything else can still change."""
    assert [phase for phase in Phase if replace(CHECK, phase=phase).is_over] == [Phase.COMPLETED, Phase.FAILED]


def test_the_payload_has_the_keys_of_the_system_that_is_replaced() -> None:
    """With the history in order and every time as text."""
    record = Record(1, Event(11, "IN_TOILET", NOW_MS - 1000, 3), Phase.PAST, Verdict.PASS, 99)
    payload = payload_of(replace(CHECK.with_verdict(Verdict.PASS), phase=Phase.COMPLETED, records=(record,)))
    assert payload["statusCheck"] == "TOILET_VISIT"
    assert (payload["phase"], payload["result"], payload["nextStepId"]) == ("COMPLETED", "PASS", 100)
    assert payload["plannedAt"] == "2025-11-25T08:40:00.000Z"
    assert payload["history"] == [
        {
            "order": 1,
            "eventName": "IN_TOILET",
            "incomingEventId": 11,
            "outgoingEventId": 99,
            "phase": "PAST",
            "result": "PASS",
            "createdAt": "2025-11-25T08:39:59.000Z",
        }
    ]
