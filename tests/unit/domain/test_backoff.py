"""Waiting before the next try."""

from hypothesis import given
from hypothesis import strategies as st

from domain.backoff import backoff_s, deferral_s

chances = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 10_000), st.floats(0.1, 3600), st.floats(1, 43_200), chances)
def test_a_wait_is_whole_seconds_between_one_and_the_cap(attempt: int, first: float, cap: float, chance: float) -> None:
    """SQS takes integers only; 0 would be a hot loop; no attempt number overflows."""
    wait_s = backoff_s(attempt, first, cap, chance)
    assert type(wait_s) is int
    assert 1 <= wait_s <= round(cap)


@given(st.integers(1, 40), chances)
def test_the_window_doubles_until_the_cap(attempt: int, chance: float) -> None:
    """With the same luck a later try never waits shorter."""
    assert backoff_s(attempt + 1, 1.0, 300.0, chance) >= backoff_s(attempt, 1.0, 300.0, chance)


def test_the_luck_picks_the_point_within_the_window() -> None:
    """Full jitter: from nothing (but one second) to the whole window."""
    assert [backoff_s(7, 1.0, 300.0, chance) for chance in (0.0, 0.5, 0.999)] == [1, 32, 64]


def test_waiting_for_a_dependency_is_quick_at_first_and_lasts_for_days() -> None:
    """A dependency's return is seen within 20 s for a quarter of an hour, and 1,000 receives outlast three days."""
    middle = [deferral_s(deferral, 20.0, 0.5) for deferral in range(1, 1001)]
    quick = [deferral_s(deferral, 20.0, 0.999) for deferral in range(1, 61)]
    assert max(quick) <= 20
    assert sum(middle[:60]) >= 10 * 60
    assert sum(middle) >= 3 * 86_400
    assert max(deferral_s(deferral, 20.0, 0.999) for deferral in range(1, 3000)) <= 600
