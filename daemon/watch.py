"""What every part is handed so that it can be watched: metrics and traces of one daemon."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from daemon.destinations import any_queue
from daemon.metrics import Metrics
from daemon.outbox import OutboxRow
from daemon.traces import TRACEPARENT, UNTRACED, Traces


@dataclass(frozen=True, slots=True)
class Watch:
    """By default nobody looks. `template` is what a destination counts as: no queue of a robot is a label."""

    metrics: Metrics = field(default_factory=Metrics)
    traces: Traces = UNTRACED
    template: Callable[[str], str] = any_queue

    def told(self, destination: str, rows: Sequence[OutboxRow], outcome: str) -> None:
        """Count results, each by its type."""
        types = (row.attributes.get("type", "unknown") for row in rows)
        self.metrics.sent(self.template(destination), types, outcome)

    def sending(self, destination: str, rows: Sequence[OutboxRow]) -> AbstractContextManager[None]:
        """A span around one request."""
        return self.traces.send(self.template(destination), [row.attributes.get(TRACEPARENT) for row in rows])
