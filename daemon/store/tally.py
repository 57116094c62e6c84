"""Counting what is committed: a store says it with the write, and it counts when the transaction is there."""

from collections.abc import Callable

from daemon.metric_names import Metric

Tally = Callable[[Metric, str | None], None]


def untallied(_metric: Metric, _label: str | None) -> None:
    """Nobody counts."""
