"""Outcomes are values."""

from dataclasses import FrozenInstanceError

import pytest

from domain.outcome import Done, Reject, Retry


def test_outcomes_are_equal_by_content_and_cannot_be_changed() -> None:
    """A handler's end can be compared, and nobody rewrites it on the way."""
    assert Done() == Done("handled") != Done("other")
    assert Retry(None, "x").counts
    outcome = Reject("why", "kind")
    with pytest.raises(FrozenInstanceError):
        outcome.reason = "other"  # type: ignore[misc]  # that is what is tried
