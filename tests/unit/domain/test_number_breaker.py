"""When a number slows down and stops: hand-checked courses, and what holds for any."""

from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.number_breaker import (
    Acks,
    BreakerRules,
    BreakerState,
    Decision,
    Go,
    Slow,
    Stop,
    judge_acks,
    judge_send,
    judge_session,
    may_resume,
)
from domain.sending import PauseReason, SendAnswer, SendVerdict, SessionState

RULES = BreakerRules()
NOW = 1_764_000_000_000
DAY = 86_400_000
SENT = SendAnswer(SendVerdict.SENT)
FAILED = SendAnswer(SendVerdict.FAILED, "http-500", "engine error")
UNKNOWN = SendAnswer(SendVerdict.UNKNOWN, "read-timeout")
NOT_SENT = SendAnswer(SendVerdict.NOT_SENT, "http-500")
REFUSED = SendAnswer(SendVerdict.FAILED, "reachout-lock", "463", pause=PauseReason.REACHOUT_LOCK)
TOO_FAST = SendAnswer(SendVerdict.NOT_SENT, "rate-limited", pause=PauseReason.RATE_LIMITED)
UNREACHED = SendAnswer(SendVerdict.NOT_SENT, "connect", pause=PauseReason.WAHA_UNREACHABLE)
WORKING = SessionState("WORKING")


def course(*answers: SendAnswer, rules: BreakerRules = RULES) -> tuple[BreakerState, Decision]:
    """One answer a minute, each to another contact."""
    state = BreakerState()
    last: Decision = Go()
    for number, answer in enumerate(answers):
        judged = judge_send(rules, state, answer, f"{number}@c.us", NOW + number * 60_000)
        state, last = judged.state, judged.decision
    return state, last


@pytest.mark.parametrize(
    "reason",
    [
        PauseReason.AUTH,
        PauseReason.SESSION_NOT_FOUND,
        PauseReason.SESSION_NOT_WORKING,
        PauseReason.CONFIG,
        PauseReason.MEDIA,
        PauseReason.CAPPED,
    ],
)
def test_the_number_s_own_error_stops_it_at_once(reason: PauseReason) -> None:
    """Told by a send or by the session, and no contact is blamed for it."""
    judged = judge_send(RULES, BreakerState(), SendAnswer(SendVerdict.NOT_SENT, "x", "why", pause=reason), "a", NOW)
    assert (judged.decision, judged.state.recent) == (Stop(reason, "why"), "")
    assert judge_session(RULES, BreakerState(), SessionState("ODD", reason), NOW).decision == Stop(
        reason, "the session is ODD"
    )


def test_an_answer_that_names_a_time_stops_until_then() -> None:
    """And without a detail its code is told."""
    answer = SendAnswer(SendVerdict.NOT_SENT, "http-401", pause=PauseReason.AUTH, after_s=90)
    assert judge_send(RULES, BreakerState(), answer, "a", NOW).decision == Stop(
        PauseReason.AUTH, "http-401", NOW + 90_000
    )


@pytest.mark.parametrize("failure", [FAILED, UNKNOWN, NOT_SENT])
def test_five_failures_in_a_row_stop_the_number(failure: SendAnswer) -> None:
    """Four don't, and one success between them begins anew."""
    assert course(*[failure] * 4)[1] == Go()
    assert course(*[failure] * 4, SENT)[1] == Go()
    assert course(*[failure] * 5)[1] == Stop(PauseReason.TOO_MANY_FAILURES, "5 sends in a row failed")


def test_more_than_a_fifth_of_the_last_twenty_stops_the_number() -> None:
    """Four of twenty go on, five stop; what is longer ago is forgotten."""
    four = [FAILED, SENT, SENT, SENT, SENT] * 4
    assert course(*four)[1] == Go()
    assert course(*four, FAILED)[1] == Go()  # the first of the four is the twenty-first now
    assert course(*four, SENT, FAILED, FAILED)[1] == Stop(
        PauseReason.TOO_MANY_FAILURES, "5 of the last 20 sends failed"
    )
    assert len(course(*four * 5)[0].recent) == 20


def test_a_share_is_exact() -> None:
    """29 of 100 are not more than 0.29, whatever floating point makes of it."""
    rules = BreakerRules(failures_in_row=100, failures_window=100, failures_share=0.29)
    assert course(*[FAILED] * 29, rules=rules)[1] == Go()
    assert isinstance(course(*[FAILED] * 30, rules=rules)[1], Stop)


def test_a_stop_by_count_lasts_until_the_number_is_resumed() -> None:
    """Other campaigns of the number hear of it at their next look; after that the first ten messages are slow."""
    state, _ = course(*[FAILED] * 5)
    assert isinstance(judge_session(RULES, state, WORKING, NOW).decision, Stop)
    state = state.resumed(RULES)
    decisions: list[Decision] = [judge_session(RULES, state, WORKING, NOW).decision]
    for _ in range(10):
        judged = judge_send(RULES, state, SENT, "a", NOW)
        state = judged.state
        decisions.append(judged.decision)
    assert decisions == [Slow(3.0)] * 10 + [Go()]


def test_one_463_is_a_suspicion() -> None:
    """The number waits for five minutes and then tries one more contact; looking on does not make it wait longer."""
    state, decision = course(REFUSED)
    assert isinstance(decision, Slow)
    assert (decision.factor, decision.not_before_ms, decision.at_most) == (1.0, NOW + 300_000, 1)
    for seconds, not_before_ms in [(60, NOW + 300_000), (299, NOW + 300_000), (300, None), (9_000, None)]:
        judged = judge_session(RULES, state, WORKING, NOW + seconds * 1000)
        state = judged.state
        assert isinstance(judged.decision, Slow)
        assert (judged.decision.not_before_ms, judged.decision.at_most) == (not_before_ms, 1)
    assert judge_send(RULES, state, SENT, "other", NOW + 301_000).decision == Go()


def test_the_state_holds_no_phone_number() -> None:
    """Only a mark by which the same contact is known again."""
    state = judge_send(RULES, BreakerState(), REFUSED, "31600000000@c.us", NOW).state
    assert "31600000000" not in repr(state)
    assert state.suspect is not None


def test_the_same_contact_twice_is_still_a_suspicion() -> None:
    """It may be the contact that lacks a token."""
    state = judge_send(RULES, BreakerState(), REFUSED, "a", NOW).state
    assert isinstance(judge_send(RULES, state, REFUSED, "a", NOW).decision, Slow)


@pytest.mark.parametrize(
    ("between", "is_lock"), [([], True), ([FAILED], True), ([UNKNOWN], True), ([TOO_FAST], True), ([SENT], False)]
)
def test_two_contacts_refused_in_a_row_are_a_lock(between: list[SendAnswer], is_lock: bool) -> None:  # noqa: FBT001
    """Only a message that went out clears the number."""
    _, decision = course(REFUSED, *between, REFUSED)
    assert isinstance(decision, Stop) is is_lock
    assert not is_lock or (isinstance(decision, Stop) and decision.reason is PauseReason.REACHOUT_LOCK)


@pytest.mark.parametrize(
    ("after_s", "until_ms"),
    [
        (None, NOW + DAY),
        (7200.0, NOW + 7_200_000),
        (-5.0, NOW + DAY),
        (float("nan"), NOW + DAY),
        (float("inf"), NOW + 366 * DAY),
    ],
)
def test_a_lock_lasts_as_long_as_told_else_a_day(after_s: float | None, until_ms: int) -> None:
    """Odd times are not believed."""
    suspected = judge_send(RULES, BreakerState(), REFUSED, "a", NOW).state
    decision = judge_send(RULES, suspected, replace(REFUSED, after_s=after_s), "b", NOW).decision
    assert decision == Stop(PauseReason.REACHOUT_LOCK, "463", until_ms)


def test_a_lock_holds_for_every_campaign_until_its_end() -> None:
    """A session that works does not lift it, a resume neither; an operator may, and after its end one contact tries."""
    state, _ = course(REFUSED, REFUSED)
    end = NOW + 60_000 + DAY
    for kept in (state, state.resumed(RULES)):
        decision = judge_session(RULES, kept, WORKING, end - 1).decision
        assert isinstance(decision, Stop)
        assert (decision.reason, decision.until_ms) == (PauseReason.REACHOUT_LOCK, end)
    after = judge_session(RULES, state, WORKING, end).decision
    assert isinstance(after, Slow)
    assert (after.not_before_ms, after.at_most) == (None, 1)
    lifted = state.resumed(RULES, in_spite_of_a_lock=True)
    assert judge_session(RULES, lifted, WORKING, NOW).decision == Slow(3.0)


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        (replace(WORKING, capping="NONE"), Go()),
        (replace(WORKING, capping="FIRST_WARNING"), Slow(2.0)),
        (replace(WORKING, capping="SECOND_WARNING"), Slow(4.0)),
        (replace(WORKING, capping="SOMETHING_NEW"), Go()),
        (replace(WORKING, capping="CAPPED"), Stop(PauseReason.CAPPED, "the session is WORKING")),
        (
            replace(WORKING, locked_until_ms=NOW + 5),
            Stop(PauseReason.REACHOUT_LOCK, "the session is WORKING", NOW + 5),
        ),
        (replace(WORKING, locked_until_ms=NOW), Go()),
        (
            SessionState("WORKING", PauseReason.REACHOUT_LOCK, "locked", locked_until_ms=NOW - 5),
            Stop(PauseReason.REACHOUT_LOCK, "locked", NOW + DAY),
        ),
        (
            SessionState("WORKING", PauseReason.REACHOUT_LOCK, "locked", locked_until_ms=10**18),
            Stop(PauseReason.REACHOUT_LOCK, "locked", NOW + 366 * DAY),
        ),
    ],
)
def test_what_the_session_says_counts(session: SessionState, expected: Decision) -> None:
    """Its cap, and its lock while it lasts."""
    assert judge_session(RULES, BreakerState(), session, NOW).decision == expected


def test_a_warning_ends_when_the_session_says_so() -> None:
    """Not when it can't be seen."""
    state = judge_session(RULES, BreakerState(), replace(WORKING, capping="SECOND_WARNING"), NOW).state
    unseen = judge_session(RULES, state, SessionState("", PauseReason.WAHA_UNREACHABLE), NOW)
    assert unseen.decision == Slow(4.0, "the gateway can't be reached", NOW + 5_000)
    assert judge_session(RULES, unseen.state, WORKING, NOW + 5_000).decision == Go()


def test_too_fast_doubles_the_gaps_and_heals_slowly() -> None:
    """No contact is blamed; twenty messages in a row halve the factor again."""
    state, decision = course(TOO_FAST, TOO_FAST)
    told = "the gateway said that this number sends too fast"
    assert (state.recent, decision) == ("", Slow(4.0, told, NOW + 120_000))
    factors = []
    for _ in range(40):
        judged = judge_send(RULES, state, SENT, "a", NOW + 200_000)
        state = judged.state
        factors.append(state.factor(RULES))
    assert factors == [4.0] * 19 + [2.0] * 20 + [1.0]


def test_too_fast_waits_as_long_as_it_is_told() -> None:
    """But never shorter than a wait that stands."""
    answer = replace(TOO_FAST, after_s=600)
    state, decision = course(answer, TOO_FAST)
    assert isinstance(decision, Slow)
    assert decision.not_before_ms == state.wait_until_ms == NOW + 600_000


def test_too_fast_five_times_in_a_row_stops_the_number() -> None:
    """The factor is bounded, and the stop holds for other campaigns until its end."""
    state, decision = course(*[TOO_FAST] * 5)
    assert isinstance(decision, Stop)
    assert (decision.reason, decision.until_ms) == (PauseReason.RATE_LIMITED, NOW + 300_000)
    assert state.factor(RULES) == 16
    assert isinstance(judge_session(RULES, state, WORKING, NOW + 299_999).decision, Stop)
    assert isinstance(judge_session(RULES, state, WORKING, NOW + 300_000).decision, Slow)
    assert isinstance(course(*[TOO_FAST] * 4, SENT, TOO_FAST)[1], Slow)


def test_a_gateway_that_can_t_be_reached_is_asked_again_a_few_times() -> None:
    """Sends and looks count together; any answer begins anew."""
    state, decision = course(*[UNREACHED] * 4)
    assert decision == Slow(1.0, "the gateway can't be reached", NOW + 185_000)
    look = judge_session(RULES, state, SessionState("", PauseReason.WAHA_UNREACHABLE, "refused"), NOW)
    assert look.decision == Stop(PauseReason.WAHA_UNREACHABLE, "refused")
    assert judge_session(RULES, look.state, WORKING, NOW + 999_000).decision == Go()
    assert isinstance(course(*[UNREACHED] * 4, SENT, UNREACHED)[1], Slow)
    assert state.recent == ""


def test_a_session_that_starts_gets_a_short_grace() -> None:
    """As long as it says, and not for ever; without a time it stops at once."""
    starting = SessionState("STARTING", PauseReason.SESSION_NOT_WORKING, "the session is STARTING", after_s=5)
    state, decisions = BreakerState(), list[Decision]()
    for number in range(5):
        judged = judge_session(RULES, state, starting, NOW + number * 5_000)
        state = judged.state
        decisions.append(judged.decision)
    assert decisions[:4] == [Slow(1.0, "the session is STARTING", NOW + n * 5_000) for n in range(1, 5)]
    assert decisions[4] == Stop(PauseReason.SESSION_NOT_WORKING, "the session is STARTING")
    answer = SendAnswer(SendVerdict.NOT_SENT, "x", "starts", pause=PauseReason.SESSION_NOT_WORKING, after_s=5)
    assert judge_send(RULES, BreakerState(), answer, "a", NOW).decision == Slow(1.0, "starts", NOW + 5_000)


@pytest.mark.parametrize(
    ("acks", "is_silent"),
    [
        (Acks(20, 20, 10), False),
        (Acks(20, 20, 9), True),
        (Acks(20, 1, 0), True),
        (Acks(19, 19, 0), False),  # too few to tell
        (Acks(500, 0, 0), False),  # nobody tells acks
        (Acks(0, 0, 0), False),
    ],
)
def test_texts_that_never_reach_a_phone_are_noticed(acks: Acks, is_silent: bool) -> None:  # noqa: FBT001
    """A warning, or a pause where the rules say so."""
    told = f"{acks.delivered} of {acks.texts} texts older than 30 min have reached a phone"
    assert judge_acks(RULES, acks) == (Go(told) if is_silent else Go())
    strict = BreakerRules(silence_stops=True)
    assert judge_acks(strict, acks) == (Stop(PauseReason.SILENT_DROPS, told) if is_silent else Go())


def looks(*seen: tuple[int, SessionState]) -> BreakerState:
    state = BreakerState()
    for seconds, session in seen:
        state = judge_session(RULES, state, session, NOW + seconds * 1000).state
    return state


DOWN = SessionState("FAILED", PauseReason.SESSION_NOT_WORKING)


@pytest.mark.parametrize(
    ("seen", "now_s", "expected"),
    [
        ([(0, WORKING), (60, WORKING)], 60, True),
        ([(0, WORKING), (60, WORKING)], 120, True),
        ([(0, WORKING), (60, WORKING)], 121, False),  # nobody looked for too long
        ([(0, WORKING), (59, WORKING)], 60, False),
        ([(0, WORKING)], 60, False),
        ([(0, WORKING), (30, DOWN), (60, WORKING)], 60, False),
        ([(0, DOWN), (30, WORKING), (90, WORKING)], 90, True),
        ([(0, WORKING), (60, DOWN)], 60, False),
        ([], 60, False),
    ],
)
def test_a_stop_that_heals_ends_when_the_session_has_worked_for_a_minute(
    seen: list[tuple[int, SessionState]], now_s: int, expected: bool  # noqa: FBT001
) -> None:  # fmt: skip
    """And somebody saw it."""
    now_ms = NOW + now_s * 1000
    assert may_resume(RULES, PauseReason.SESSION_NOT_WORKING, looks(*seen), now_ms) is expected
    assert may_resume(RULES, PauseReason.WAHA_UNREACHABLE, looks(*seen), now_ms) is expected


@pytest.mark.parametrize("reason", [reason for reason in PauseReason if not reason.heals_by_itself])
def test_no_other_stop_ends_by_itself(reason: PauseReason) -> None:
    """A reputation does not heal because a session works."""
    assert may_resume(RULES, reason, looks((0, WORKING), (60, WORKING)), NOW + 60_000) is False


@pytest.mark.parametrize(
    "wrong",
    [
        {"failures_in_row": 0},
        {"unreachable_in_row": 0},
        {"ramp_sends": -1},
        {"failures_share": 1.1},
        {"silent_share": -0.1},
        {"failures_share": float("nan")},
        {"ramp_factor": 0.5},
        {"first_warning_factor": float("nan")},
        {"second_warning_factor": 17},
        {"suspicion_wait_ms": -1},
        {"lock_ms": -1},
    ],
)
def test_thresholds_without_a_meaning_are_refused(wrong: dict[str, Any]) -> None:
    """When the rules are made."""
    with pytest.raises(ValueError, match=r"\w"):
        BreakerRules(**wrong)


ANSWERS = st.builds(
    SendAnswer,
    st.sampled_from(SendVerdict),
    pause=st.none() | st.sampled_from(PauseReason),
    after_s=st.none() | st.floats(),
)
SESSIONS = st.builds(
    SessionState,
    st.sampled_from(["WORKING", "STARTING", ""]),
    st.none() | st.sampled_from(PauseReason),
    capping=st.none() | st.sampled_from(["NONE", "FIRST_WARNING", "SECOND_WARNING", "CAPPED", "?"]),
    locked_until_ms=st.none() | st.integers(0, 10**19),
    after_s=st.none() | st.floats(),
)


@given(st.lists(st.tuples(ANSWERS | SESSIONS, st.sampled_from("abc"), st.integers(0, 10**6)), max_size=60))
def test_any_course_leaves_a_small_row_and_bounded_waits(
    seen: list[tuple[SendAnswer | SessionState, str, int]],
) -> None:
    """Whatever the gateway says: scalars that fit a row, factors within bounds, no wait for more than a year."""
    state, now_ms = BreakerState(), NOW
    for told, contact, later_ms in seen:
        now_ms += later_ms
        if isinstance(told, SendAnswer):
            judged = judge_send(RULES, state, told, contact, now_ms)
        else:
            judged = judge_session(RULES, state, told, now_ms)
        state = judged.state
        row = asdict(state)
        assert {type(value) for value in row.values()} <= {int, float, str, PauseReason, type(None)}
        assert BreakerState(**row) == state
        assert len(state.recent) <= 20
        assert 1 <= state.factor(RULES) <= 16
        for until_ms in (state.wait_until_ms, state.stopped_until_ms):
            assert until_ms is None or until_ms <= now_ms + 366 * DAY
        if isinstance(told, SessionState) and told.pause is not None:
            assert isinstance(judged.decision, Stop | Slow)
