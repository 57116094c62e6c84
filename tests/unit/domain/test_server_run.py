"""The state machine of a test: from findings to the next step, and to a verdict that can be believed."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.server_rules import RunRules
from domain.server_run import Phase, ServerRun, Stage, Way, Wish, not_ours, seems_ours
from domain.server_test import Finding, StepId, StepOutcome, Verdict
from tests.memory_servers import GOOD, server

RULES = RunRules()
SECOND_MS, MINUTE_MS = 1_000, 60_000
DIRECT = (Stage.LOAD, Stage.RESOLVE, Stage.DELIVER, Stage.ARRIVAL)
CAMPAIGN = (Stage.LOAD, Stage.CREATE, Stage.LOG, Stage.ARRIVAL, Stage.INTERACT, Stage.BOUNCE)


def found(step: StepId, outcome: StepOutcome, kind: str = "", *, later: bool = False) -> Finding:
    return Finding(step, outcome, kind, "as it was said", may_pass_later=later)


def run_at(stage: Stage, way: Way = Way.DIRECT, checks: tuple[StepId, ...] = ()) -> ServerRun:
    begun = ServerRun.begun("run-1", Wish(7, checks=checks), 0)
    return replace(begun.loading(server(), "2025-11-25 08:40:00", way), stage=stage)


PASS = {
    Stage.LOAD: [found(StepId.LOAD, StepOutcome.PASS), found(StepId.STATIC, StepOutcome.PASS)],
    Stage.RESOLVE: [found(StepId.RESOLVE, StepOutcome.PASS)],
    Stage.DELIVER: list(GOOD),
    Stage.CREATE: [found(StepId.CAMPAIGN, StepOutcome.PASS)],
    Stage.LOG: [found(StepId.DELIVERY_LOG, StepOutcome.PASS)],
    Stage.ARRIVAL: [found(StepId.ARRIVAL, StepOutcome.PASS), found(StepId.HEADERS, StepOutcome.PASS)],
    Stage.INTERACT: [found(StepId.INTERACTIONS, StepOutcome.PASS)],
    Stage.BOUNCE: [found(StepId.BOUNCE, StepOutcome.PASS)],
}


@pytest.mark.parametrize(
    ("way", "checks", "stages"),
    [
        (Way.DIRECT, (), DIRECT),
        (Way.DIRECT, (StepId.BOUNCE,), (*DIRECT, Stage.BOUNCE)),
        (Way.CAMPAIGN, (), CAMPAIGN),
    ],
)
def test_a_run_that_passes_takes_each_stage_once(way: Way, checks: tuple[StepId, ...], stages: Sequence[Stage]) -> None:
    """In order, without a pause, to SUCCESSFUL."""
    run, taken = run_at(Stage.LOAD, way, checks), []
    while run.phase is Phase.RUNNING:
        taken.append(run.stage)
        run = run.after(PASS[run.stage], 5, RULES)
        assert run.due_at_ms in (0, 5)
    assert tuple(taken) == stages
    assert (run.phase, run.verdict, run.failed_step, run.reason) == (Phase.JUDGED, Verdict.SUCCESSFUL, None, "")


FAULTS = [
    # what is found again and again, how often it is tried, after how many seconds, and what it comes to
    ("no such host", [found(StepId.RESOLVE, StepOutcome.FAIL, "no-such-host", later=True)], 2, 5, Verdict.FAILED),
    ("resolver down", [found(StepId.RESOLVE, StepOutcome.ERROR, "resolver", later=True)], 23, 605, Verdict.ERROR),
    ("closed port", [found(StepId.CONNECT, StepOutcome.FAIL, "refused", later=True)], 2, 5, Verdict.FAILED),
    ("silent banner", [found(StepId.CONNECT, StepOutcome.FAIL, "timeout", later=True)], 2, 5, Verdict.FAILED),
    ("421", [found(StepId.CONNECT, StepOutcome.FAIL, "busy", later=True)], 2, 5, Verdict.FAILED),
    ("554 banner", [found(StepId.CONNECT, StepOutcome.FAIL, "refused-by-banner")], 1, 0, Verdict.FAILED),
    ("no STARTTLS", [GOOD[0], found(StepId.TLS, StepOutcome.FAIL, "not-offered")], 1, 0, Verdict.FAILED),
    ("handshake cut", [GOOD[0], found(StepId.TLS, StepOutcome.FAIL, "cut", later=True)], 2, 5, Verdict.FAILED),
    ("expired certificate", [GOOD[0], found(StepId.TLS, StepOutcome.WARN, "expired"), *GOOD[2:]], 1, 0, None),
    ("535", [*GOOD[:2], found(StepId.AUTH, StepOutcome.FAIL, "auth-rejected")], 1, 0, Verdict.FAILED),
    ("454", [*GOOD[:2], found(StepId.AUTH, StepOutcome.ERROR, "auth-deferred", later=True)], 23, 605, Verdict.ERROR),
    ("auth hangs", [*GOOD[:2], found(StepId.AUTH, StepOutcome.FAIL, "timeout", later=True)], 2, 30, Verdict.FAILED),
    ("no password", [*GOOD[:2], found(StepId.AUTH, StepOutcome.SKIP, "no-password"), GOOD[3]], 1, 0, None),
    ("554 relay", [*GOOD[:3], found(StepId.SEND, StepOutcome.FAIL, "relay-denied")], 1, 0, Verdict.FAILED),
    ("451 for ever", [*GOOD[:3], found(StepId.SEND, StepOutcome.FAIL, "deferred", later=True)], 4, 450, Verdict.FAILED),
    ("our mailbox", [*GOOD[:3], found(StepId.SEND, StepOutcome.ERROR, "our-mailbox")], 1, 0, Verdict.ERROR),
    (
        "our mailbox is full",
        [*GOOD[:3], found(StepId.SEND, StepOutcome.ERROR, "our-mailbox", later=True)],
        23,
        605,
        Verdict.ERROR,
    ),
]


@pytest.mark.parametrize(
    ("findings", "tries", "seconds", "verdict"), [it[1:] for it in FAULTS], ids=[it[0] for it in FAULTS]
)
def test_a_fault_is_believed_when_it_was_tried_often_enough(
    findings: list[Finding], tries: int, seconds: int, verdict: Verdict | None
) -> None:
    """The fault matrix: how many tries, for how long, and whose fault it is; None goes on to the next stage."""
    stage = Stage.RESOLVE if findings[0].step is StepId.RESOLVE else Stage.DELIVER
    run, taken = run_at(stage), 0
    while run.phase is Phase.RUNNING and run.stage is stage:
        taken += 1
        run = run.after(findings, run.due_at_ms, RULES)
    assert taken == tries
    assert (run.judged_at_ms or 0) == seconds * SECOND_MS
    assert run.verdict is verdict
    expected = {Verdict.FAILED: Phase.HELD, Verdict.ERROR: Phase.JUDGED, None: Phase.RUNNING}
    assert run.phase is expected[verdict]
    assert run.failed_step is (findings[-1].step if verdict is Verdict.FAILED else None)


@pytest.mark.parametrize(
    ("stage", "way", "step", "verdict"),
    [
        (Stage.LOG, Way.CAMPAIGN, StepId.DELIVERY_LOG, Verdict.FAILED),
        (Stage.ARRIVAL, Way.DIRECT, StepId.ARRIVAL, Verdict.FAILED),
        (Stage.ARRIVAL, Way.DIRECT, StepId.HEADERS, Verdict.FAILED),
        (Stage.INTERACT, Way.CAMPAIGN, StepId.INTERACTIONS, Verdict.FAILED),
        (Stage.BOUNCE, Way.CAMPAIGN, StepId.BOUNCE, Verdict.FAILED),
        (Stage.ARRIVAL, Way.DIRECT, StepId.DKIM, Verdict.SUCCESSFUL),
        (Stage.ARRIVAL, Way.DIRECT, StepId.ADDRESS, Verdict.SUCCESSFUL),
    ],
)
def test_only_required_steps_fail_a_server(stage: Stage, way: Way, step: StepId, verdict: Verdict) -> None:
    """T9 to T14 are for information unless the settings name them."""
    run = run_at(stage, way).after([found(step, StepOutcome.FAIL, "so")], 0, RULES)
    if verdict is Verdict.SUCCESSFUL:
        assert run.verdict is verdict
        strict = replace(RULES, advisory_fails=frozenset({step}))
        run = run_at(stage, way).after([found(step, StepOutcome.FAIL, "so")], 0, strict)
    assert (run.verdict, run.failed_step) == (Verdict.FAILED, step)
    assert run.reason == f"{step} so: as it was said"


def test_what_an_earlier_try_found_is_forgotten() -> None:
    """Put off at first, unreachable by our own network then: no FAIL of the first try makes a verdict of it."""
    put_off = [*GOOD[:3], found(StepId.SEND, StepOutcome.FAIL, "deferred", later=True)]
    gone = not_ours([found(StepId.CONNECT, StepOutcome.FAIL, "refused", later=True)], "control is unreachable")
    run = run_at(Stage.DELIVER).after(put_off, 0, RULES)
    while run.phase is Phase.RUNNING:
        run = run.after(gone, run.due_at_ms, RULES)
    assert (run.verdict, run.failed_step) == (Verdict.ERROR, None)
    assert [finding.step for finding in run.findings] == [StepId.CONNECT]


def test_each_step_has_tries_of_its_own() -> None:
    """A connection that fails once between two mails that are put off uses up none of their tries."""
    put_off = [*GOOD[:3], found(StepId.SEND, StepOutcome.FAIL, "deferred", later=True)]
    refused = [found(StepId.CONNECT, StepOutcome.FAIL, "refused", later=True)]
    run = run_at(Stage.DELIVER)
    for findings in (put_off, refused, put_off):
        run = run.after(findings, run.due_at_ms, RULES)
        assert run.phase is Phase.RUNNING


@pytest.mark.parametrize(
    ("finding", "ours"),
    [
        (found(StepId.RESOLVE, StepOutcome.FAIL, "no-such-host", later=True), True),
        (found(StepId.CONNECT, StepOutcome.FAIL, "refused", later=True), True),
        (found(StepId.SEND, StepOutcome.FAIL, "timeout", later=True), True),
        (found(StepId.AUTH, StepOutcome.FAIL, "auth-rejected"), False),
        (found(StepId.SEND, StepOutcome.FAIL, "deferred", later=True), False),
    ],
)
def test_only_what_a_broken_network_looks_like_is_taken_back(finding: Finding, *, ours: bool) -> None:
    """A server that has answered was reached."""
    assert seems_ours(finding) is ours
    (taken_back,) = not_ours([finding], "control is unreachable")
    assert taken_back.outcome is (StepOutcome.ERROR if ours else StepOutcome.FAIL)
    assert taken_back.may_pass_later or not ours


def test_looks_become_rarer_up_to_the_limit() -> None:
    """5, 10, 20, 40, then every 60 s, the last one right at the limit."""
    run, due = replace(run_at(Stage.ARRIVAL), stage_since_ms=0), []
    while not run.is_late(run.due_at_ms, RULES):
        run = run.waiting(run.due_at_ms, RULES)
        due.append(run.due_at_ms // SECOND_MS)
    assert due[:6] == [5, 15, 35, 75, 135, 195]
    assert due[-1] == 1200


def test_an_outage_is_given_back_to_a_run_that_waits() -> None:
    """Nine minutes within which nobody could look do not count."""
    run = run_at(Stage.ARRIVAL).waiting(0, RULES)
    down = [found(StepId.ARRIVAL, StepOutcome.ERROR, "unavailable", later=True)]
    run = run.after(down, 5 * SECOND_MS, RULES)
    back_ms = 9 * MINUTE_MS + 5 * SECOND_MS
    assert not run.is_late(20 * MINUTE_MS, RULES)
    run = run.waiting(back_ms, RULES)
    assert run.stage_since_ms == 9 * MINUTE_MS
    assert run.is_late(29 * MINUTE_MS, RULES)
    assert not run.is_late(29 * MINUTE_MS - 1, RULES)


def test_a_run_goes_on_within_half_a_minute_after_an_outage() -> None:
    """However long it lasted within the patience, no pause is longer than that."""
    down = [found(StepId.RESOLVE, StepOutcome.ERROR, "resolver", later=True)]
    run = run_at(Stage.RESOLVE)
    while run.phase is Phase.RUNNING:
        at_ms = run.due_at_ms
        run = run.after(down, at_ms, RULES)
        assert run.due_at_ms - at_ms <= 30 * SECOND_MS
    assert (run.judged_at_ms or 0) >= RULES.patience_ms


def test_a_configuration_that_changes_again_and_again_is_no_verdict() -> None:
    """Three times it begins anew, then it ends."""
    run = run_at(Stage.DELIVER)
    for _ in range(3):
        run = replace(run.reloaded(1, RULES), stage=Stage.DELIVER, way=Way.DIRECT)
        assert (run.phase, run.findings, run.fingerprint) == (Phase.RUNNING, (), "")
    assert run.reloaded(1, RULES).verdict is Verdict.ERROR


def test_an_outage_takes_the_verdict_back_and_leaves_the_step() -> None:
    """Later tests must still see where it failed."""
    run = run_at(Stage.DELIVER).after([found(StepId.CONNECT, StepOutcome.FAIL, "refused")], 0, RULES)
    blamed = run.blamed_on("many failed")
    assert (blamed.verdict, blamed.failed_step, blamed.reason) == (Verdict.ERROR, StepId.CONNECT, "many failed")


def test_tokens_are_of_the_run_alone() -> None:
    """The same at each repetition, and three different ones."""
    run, other = run_at(Stage.LOAD), ServerRun.begun("run-2", Wish(7), 0)
    tokens = {run.token, run.canary_token, run.bounce_token, other.token}
    assert len(tokens) == 4
    assert run.token == ServerRun.begun("run-1", Wish(9), 77).token


def test_a_run_keeps_no_password() -> None:
    """Nor does anything that is printed of it; the fingerprint is that of the row with it."""
    loaded = server(password="of theirs", username="sender")  # noqa: S106  a word of the test
    run = ServerRun.begun("run-1", Wish(7), 0).loading(loaded, "2025-11-25 08:40:00", Way.DIRECT)
    assert "of theirs" not in repr(run)
    assert run.loaded is not None
    assert run.loaded.password is None
    assert run.fingerprint == loaded.fingerprint != run.loaded.fingerprint


OUTCOMES = st.sampled_from(list(StepOutcome))


@given(
    way=st.sampled_from([Way.DIRECT, Way.CAMPAIGN]),
    draws=st.lists(st.tuples(OUTCOMES, st.booleans(), st.booleans()), min_size=1, max_size=12),
)
def test_every_run_ends(way: Way, draws: list[tuple[StepOutcome, bool, bool]]) -> None:
    """Whatever is found, in whatever order: after a bounded number of steps there is a verdict that it bears out."""
    run = run_at(Stage.LOAD, way)
    for number in range(400):
        outcome, later, waits = draws[number % len(draws)]
        now_ms = run.due_at_ms
        if waits and run.stage in (Stage.LOG, Stage.ARRIVAL, Stage.BOUNCE) and not run.is_late(now_ms, RULES):
            run = run.waiting(now_ms, RULES)
        else:
            step = PASS[run.stage][-1].step
            run = run.after([found(step, outcome, "drawn", later=later)], now_ms, RULES)
        if run.phase is not Phase.RUNNING:
            break
    assert run.phase in (Phase.HELD, Phase.JUDGED)
    assert (run.judged_at_ms or 0) <= 6 * 3_600_000
    assert (run.verdict is Verdict.FAILED) == (run.phase is Phase.HELD) == (run.failed_step is not None)
    if run.verdict is Verdict.SUCCESSFUL:
        bad = {StepOutcome.FAIL, StepOutcome.ERROR}
        assert not [one for one in run.findings if one.outcome in bad and one.step in run.required(RULES)]
