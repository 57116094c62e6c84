"""Gauges that are read at a scrape: from the parts in memory, and from database and SQS, kept for a few seconds."""

import asyncio
import platform
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from daemon import metric_names as names
from daemon.consumer import Consumer
from daemon.health import Health
from daemon.log import LogEvent
from daemon.metric_names import Kind, Metric
from domain.errors import RobotdError

_log = structlog.get_logger()
_BOUND_S = 3.0
Sample = tuple[Metric, Sequence[str], float]
Samples = Callable[[], Awaitable[Sequence[Sample]]]


class LiveGauges(Collector):
    """What the parts say of themselves."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self.is_ready = False  # as it was found before this scrape

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """All of it; asks nobody."""
        return families(Kind.LIVE, self._samples())

    def _samples(self) -> Iterator[Sample]:
        yield names.BUILD, (self._health.version, platform.python_version()), 1
        yield names.READY, (), float(self.is_ready)
        for name, source in self._health.sources:
            yield names.IN_FLIGHT, (name,), source.in_flight
            yield names.LIMIT, (name,), source.limit
            yield names.PAUSED, (name,), float(source.is_paused)
            if isinstance(source, Consumer) and source.polled_at_s is not None:
                yield names.LAST_RECEIVE, (name,), source.polled_at_s
        for name, since_s in self._health.gate.lost_since_s.items():
            yield names.DEPENDENCY_UP, (name,), float(since_s is None)


class SampledGauges(Collector):
    """What has to be asked for. Without an answer its gauges are left out: old ones would look like new ones."""

    def __init__(self, sources: Sequence[tuple[str, Samples]], every_s: float) -> None:
        self._sources = sources
        self._every_s = every_s
        self._at_s: float | None = None
        self._found: list[Sample] = []
        self._asking = asyncio.Lock()

    async def refresh(self) -> None:
        """Ask all sources anew, at the same time, unless what they said is young; takes three seconds at most."""
        async with self._asking:
            if self._at_s is not None and time.monotonic() - self._at_s < self._every_s:
                return
            parts = await asyncio.gather(*(self._ask(name, samples) for name, samples in self._sources))
            self._found = [sample for part in parts for sample in part]
            self._at_s = time.monotonic()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """What was found last."""
        return families(Kind.SAMPLED, self._found)

    async def _ask(self, name: str, samples: Samples) -> Sequence[Sample]:
        try:
            async with asyncio.timeout(_BOUND_S):
                found = await samples()
        except (RobotdError, TimeoutError) as error:
            _log.debug(LogEvent.METRICS_SAMPLE_FAILED, source=name, reason=type(error).__name__)
            return [(names.SAMPLE_UP, (name,), 0)]
        return [*found, (names.SAMPLE_UP, (name,), 1)]


def families(kind: Kind, samples: Iterable[Sample]) -> Iterable[GaugeMetricFamily]:
    """Samples of one metric together, as Prometheus wants them; also those metrics of which there is none now."""
    found = {metric: _family(metric) for metric in names.METRICS if metric.kind is kind}
    for metric, labels, value in samples:
        found[metric].add_metric(list(labels), value)
    return found.values()


def _family(metric: Metric) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.full_name, metric.help, labels=metric.labels)
