"""How a daemon is watched: its metrics, its traces and the server that operators ask, made from the settings."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from daemon import metric_names as names
from daemon.destinations import templates
from daemon.gate import Gate
from daemon.gauges import Sample, SampledGauges, Samples
from daemon.health import Health, Pulse, TakesUp
from daemon.http.ops import Ops, OpsPlace
from daemon.metrics import Metrics
from daemon.settings import Settings
from daemon.settings_ops import OpsSettings
from daemon.settings_values import read_queue_names
from daemon.sqs import Sqs
from daemon.topology import QueueSpec, states
from daemon.traces import UNTRACED, Traces
from daemon.watch import Watch
from domain.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Seen:
    """What health and gauges are read from."""

    sources: Sequence[tuple[str, TakesUp]]
    gate: Gate
    ping: Callable[[], Awaitable[object]]
    wait_s: float
    of_database: Samples
    of_queues: Samples


@contextmanager
def open_watch(settings: Settings, metrics: Metrics, traces: Traces | None = None) -> Iterator[Watch]:
    """Metrics and traces for one daemon; `traces` stand in for those of the settings. At the end the last spans go out.

    Raises ConfigError where traces are wanted without the extra.
    """
    queues = settings.queues
    template = templates(queues.robot_prefix, read_queue_names(queues.reply_queues))
    with _traces(settings) if traces is None else nullcontext(traces) as making:
        yield Watch(metrics, making, template)


@contextmanager
def _traces(settings: Settings) -> Iterator[Traces]:
    endpoint = settings.traces.endpoint
    if endpoint is None:
        yield UNTRACED
        return
    try:
        from daemon.otel import OpenTelemetry, exporting  # noqa: PLC0415  only who wants traces has the extra
    except ImportError:
        raise ConfigError("traces.endpoint: the extra [otel] is not installed") from None
    with exporting(settings.service_name, str(endpoint), settings.traces.share) as provider:
        yield OpenTelemetry(provider)


def open_ops(seen: Seen, metrics: Metrics, settings: OpsSettings) -> Ops | None:
    """The server that operators ask, not listening yet; None where no port is set."""
    if settings.port is None:
        return None
    pulse = Pulse(metrics)
    health = Health(seen.sources, seen.gate, seen.ping, seen.wait_s, pulse, own_version())
    sampled = SampledGauges((("database", seen.of_database), ("sqs", seen.of_queues)), settings.sample_every_s)
    token = None if settings.viewer_token is None else settings.viewer_token.get_secret_value()
    return Ops(OpsPlace(settings.host, settings.port, token), metrics, health, sampled)


async def queue_samples(sqs: Sqs, specs: Sequence[QueueSpec]) -> Sequence[Sample]:
    """SQS's approximate counts, all queues asked at the same time; those of a queue that is missing are left out."""
    found = await asyncio.gather(*(states(sqs, [spec]) for spec in specs))
    samples: list[Sample] = []
    for (state,) in found:
        counts = (("visible", state.ready), ("in_flight", state.in_flight), ("delayed", state.delayed))
        samples += [(names.QUEUE_MESSAGES, (state.name, word), float(n)) for word, n in counts if n is not None]
    return samples


def own_version() -> str:
    """Of the installed distribution; an image that only copies the code has none."""
    try:
        return version("robotd")
    except PackageNotFoundError:
        return "unknown"
