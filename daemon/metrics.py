"""What robotd counts about itself. Each fact is observed at one place, by one method of this class.

The path of a message pays for one call that adds to plain numbers; everything else is counted for each batch or call,
or read only when somebody scrapes.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from daemon import metric_names as names
from daemon.metric_names import Kind, Metric

_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_WAIT_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
_LAG_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_BUCKETS = {names.QUEUE_TIME_S: _WAIT_BUCKETS_S, names.LOOP_LAG_S: _LAG_BUCKETS_S}

ProcessedFamily = CounterMetricFamily | HistogramMetricFamily

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter and histogram, which nobody reads


class _Ends(Collector):
    """How deliveries ended, in plain numbers: the library's own take a lock for each, three of them for a message."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str], int] = {}
        self._durations: dict[tuple[str, str], list[float]] = {}  # for each bucket, then beyond them, then the sum

    def add(self, queue: str, message_type: str, outcome: str, seconds: float) -> None:
        """One more."""
        key = (queue, message_type, outcome)
        self._counts[key] = self._counts.get(key, 0) + 1
        durations = self._durations.get(key[:2])
        if durations is None:
            durations = self._durations[key[:2]] = [0.0] * (len(_BUCKETS_S) + 2)
        durations[bisect_left(_BUCKETS_S, seconds)] += 1
        durations[-1] += seconds

    def collect(self) -> Iterable[ProcessedFamily]:
        """As Prometheus wants them: buckets count all that is below."""
        processed, took = names.PROCESSED, names.PROCESS_S
        counter = CounterMetricFamily(processed.full_name, processed.help, labels=processed.labels)
        for key, count in self._counts.items():
            counter.add_metric(key, count)
        histogram = HistogramMetricFamily(took.full_name, took.help, labels=took.labels)
        bounds = [*(str(float(bound)) for bound in _BUCKETS_S), "+Inf"]
        for of, (*counts, total_s) in self._durations.items():
            histogram.add_metric(of, list(zip(bounds, accumulate(counts), strict=True)), total_s)
        return counter, histogram


class Metrics:
    """The registry of one daemon. Made once; several may live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        ends = _Ends()
        self.registry.register(ends)
        self.processed = ends.add
        """A delivery came to its end: queue, type, outcome, seconds."""
        others = [metric for metric in names.METRICS if metric not in (names.PROCESSED, names.PROCESS_S)]
        self._counters = {metric: self._counter(metric) for metric in others if metric.kind is Kind.COUNTER}
        self._histograms = {metric: self._histogram(metric) for metric in others if metric.kind is Kind.HISTOGRAM}
        self._calls: dict[tuple[str, str], Callable[[float], None]] = {}

    def add(self, collector: Collector) -> None:
        """Let gauges be read at each scrape."""
        self.registry.register(collector)

    def received(self, queue: str, count: int, oldest_age_s: float | None) -> None:
        """A batch was taken up. `oldest_age_s` None where nobody knows."""
        self._counters[names.RECEIVED].labels(queue).inc(count)
        if oldest_age_s is not None:
            self._histograms[names.QUEUE_TIME_S].labels(queue).observe(max(0.0, oldest_age_s))

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
