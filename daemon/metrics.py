"""What robotd counts about itself. Each fact is observed at one place, by one method of this class.

The path of a message pays for two additions, one to a counter and one to a histogram, by a way that is remembered;
everything else is counted for each batch, or read only when somebody scrapes.
"""

import time
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from daemon import metric_names as names
from daemon.metric_names import Kind, Metric

_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_WAIT_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
_LAG_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_BUCKETS = {names.QUEUE_TIME_S: _WAIT_BUCKETS_S, names.LOOP_LAG_S: _LAG_BUCKETS_S}

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter and histogram, which nobody reads


class Metrics:
    """The registry of one daemon. Made once; several may live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._counters = {metric: self._counter(metric) for metric in names.METRICS if metric.kind is Kind.COUNTER}
        self._histograms = {
            metric: self._histogram(metric) for metric in names.METRICS if metric.kind is Kind.HISTOGRAM
        }
        self._ends: dict[tuple[str, str, str], tuple[Callable[[], None], Callable[[float], None]]] = {}
        self._calls: dict[tuple[str, str], Callable[[float], None]] = {}

    def add(self, collector: Collector) -> None:
        """Let gauges be read at each scrape."""
        self.registry.register(collector)

    def received(self, queue: str, count: int, oldest_age_s: float | None) -> None:
        """A batch was taken up. `oldest_age_s` None where nobody knows."""
        self._counters[names.RECEIVED].labels(queue).inc(count)
        if oldest_age_s is not None:
            self._histograms[names.QUEUE_TIME_S].labels(queue).observe(max(0.0, oldest_age_s))

    def processed(self, queue: str, message_type: str, outcome: str, seconds: float) -> None:
        """A delivery came to its end."""
        key = (queue, message_type, outcome)
        end = self._ends.get(key)
        if end is None:
            count = self._counters[names.PROCESSED].labels(*key).inc
            end = self._ends[key] = (count, self._histograms[names.PROCESS_S].labels(queue, message_type).observe)
        end[0]()
        end[1](seconds)

    def called_sqs(self, operation: str, outcome: str, seconds: float) -> None:
        """A call of SQS ended."""
        key = (operation, outcome)
        observe = self._calls.get(key)
        if observe is None:
            observe = self._calls[key] = self._histograms[names.SQS_REQUEST_S].labels(*key).observe
        observe(seconds)

    def sent(self, destination: str, types: Iterable[str], outcome: str) -> None:
        """Results left for a queue, or were parked. `destination` is a template, never a robot's own queue."""
        counter = self._counters[names.SENT]
        for message_type in types:
            counter.labels(destination, message_type, outcome).inc()

    def extended(self, queue: str, count: int = 1) -> None:
        """Visibility timeouts, or leases of timers."""
        self._counters[names.EXTENSIONS].labels(queue).inc(count)

    def lost(self, queue: str) -> None:
        """Somebody else has a delivery that we held."""
        self._counters[names.LEASE_LOST].labels(queue).inc()

    def buried(self, queue: str, kind: str) -> None:
        """A delivery went to the dead-letter queue."""
        self._counters[names.DEAD_LETTERS].labels(queue, kind).inc()

    def tallied(self, metric: Metric, label: str | None) -> None:
        """One more of what a commit counts."""
        counter = self._counters[metric]
        (counter if label is None else counter.labels(label)).inc()

    def lagged(self, seconds: float) -> None:
        """The event loop woke that much too late."""
        self._histograms[names.LOOP_LAG_S].observe(seconds)

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.full_name, metric.help, metric.labels, registry=self.registry)

    def _histogram(self, metric: Metric) -> Histogram:
        buckets = _BUCKETS.get(metric, _BUCKETS_S)
        return Histogram(metric.full_name, metric.help, metric.labels, buckets=buckets, registry=self.registry)


def now_s() -> float:
    """The clock of durations."""
    return time.perf_counter()
