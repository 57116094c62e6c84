"""Spans by OpenTelemetry, by hand: its own instrumentation sees nothing of aiobotocore. Needs the extra `[otel]`.

Attributes are those of its messaging conventions. No text of an exception goes into a span: it may hold what people
write.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.trace.span import format_span_id, format_trace_id
from opentelemetry.util.types import Attributes

from daemon.traces import TRACEPARENT, continuing, valid_traceparent

_EXPORT_S = 5
_propagator = TraceContextTextMapPropagator()


def provider_of(service_name: str, share: float, processor: SpanProcessor) -> TracerProvider:
    """Samples `share` of the traces that begin here; a sender's decision is kept. Shut it down at the end."""
    sampler = ParentBased(TraceIdRatioBased(share))
    provider = TracerProvider(sampler=sampler, resource=Resource.create({"service.name": service_name}))
    provider.add_span_processor(processor)
    return provider


class OpenTelemetry:
    """The port `Traces`."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("robotd")

    @contextmanager
    def send(self, queue: str, parents: Sequence[str | None]) -> Iterator[None]:
        """A producer's span, linked with the trace of each message; it begins a trace of its own."""
        links = [Link(_span_context(parent)) for parent in dict.fromkeys(parents) if parent is not None]
        attributes = {**_attributes("send", queue), "messaging.batch.message_count": len(parents)}
        with self._span(f"send {queue}", SpanKind.PRODUCER, Context(), attributes, links):
            yield

    def receive(self, queue: str, count: int, began_ns: int) -> None:
        """A client's span that is over already."""
        attributes = {**_attributes("receive", queue), "messaging.batch.message_count": count}
        span = self._tracer.start_span(
            f"receive {queue}", Context(), SpanKind.CLIENT, attributes=attributes, start_time=began_ns
        )
        span.end(time.time_ns())

    @contextmanager
    def process(self, queue: str, parent: str | None, ids: Mapping[str, str | None]) -> Iterator[None]:
        """A consumer's span, a child of the sender's; what is sent or asked inside becomes its child."""
        known = {name: text for name, text in ids.items() if text is not None}
        context = _context(parent)
        attributes = {**_attributes("process", queue), **known}
        span = self._span(f"process {queue}", SpanKind.CONSUMER, context, attributes)
        with span as ours, continuing(_traceparent(ours.get_span_context())):
            yield

    @contextmanager
    def settle(self, queue: str) -> Iterator[None]:
        """A client's span inside that of the delivery."""
        with self._span(f"settle {queue}", SpanKind.CLIENT, None, _attributes("settle", queue)):
            yield

    @contextmanager
    def _span(
        self,
        name: str,
        kind: SpanKind,
        context: Context | None,
        attributes: Attributes,
        links: Sequence[Link] = (),
    ) -> Iterator[Span]:
        with self._tracer.start_as_current_span(
            name,
            context,
            kind,
            attributes=attributes,
            links=links,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
                raise


def _attributes(operation: str, queue: str) -> dict[str, str | int]:
    return {
        "messaging.system": "aws_sqs",
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
        "messaging.destination.template" if "{" in queue else "messaging.destination.name": queue,
    }


def _context(parent: str | None) -> Context:
    """An empty one begins a new trace."""
    return Context() if parent is None else _propagator.extract({TRACEPARENT: parent}, Context())


def _span_context(parent: str) -> SpanContext:
    return get_current_span(_context(valid_traceparent(parent))).get_span_context()


def _traceparent(context: SpanContext) -> str:
    trace, span = format_trace_id(context.trace_id), format_span_id(context.span_id)
    return f"00-{trace}-{span}-{context.trace_flags:02x}"


@contextmanager
def exporting(service_name: str, endpoint: str, share: float) -> Iterator[TracerProvider]:
    """Sends spans to a collector in the background; what is left at the end goes out then, or is lost."""
    exporter = OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_S)
    provider = provider_of(service_name, share, BatchSpanProcessor(exporter))
    try:
        yield provider
    finally:
        provider.shutdown()
