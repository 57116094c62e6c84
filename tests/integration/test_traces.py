"""Traces through a whole daemon: spans of the real SDK, and the sender's trace on all that leaves."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from aiohttp import web
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from daemon.app import Outside, build
from daemon.clients.http import Request, Upstream, call
from daemon.otel import OpenTelemetry, provider_of
from daemon.traces import TRACEPARENT, UNTRACED, continuing, current_traceparent, valid_traceparent
from domain.errors import ConfigError
from tests.world import MORNING_MS, World, create_command, world

ROBOT, STEP = 61001, 88120
TRACE, SENDER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SENDER}-01"
QUEUE = "robotd-commands"


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path / "robotd.db") as opened:
        opened.managers.add_step(ROBOT, STEP, "TOILET_VISIT", past_interval_s=7200, future_interval_s=1800)
        yield opened


async def told_of(home: World, traces: object, **envelope: object) -> list[str | None]:
    """The traceparent of each result of one command."""
    home.traces = traces  # type: ignore[assignment]  # whatever makes spans
    async with home.running():
        home.sqs.send(QUEUE, create_command(ROBOT, STEP, 77001, MORNING_MS, **envelope))
        await home.quiet()
    messages = home.sqs.messages(f"{home.settings.queues.robot_prefix}{ROBOT}")
    return [message.attributes.get(TRACEPARENT) for message in messages]


async def test_without_a_tracer_the_trace_is_passed_on(home: World) -> None:
    """What the envelope names comes back with the result, unchanged; nothing is invented."""
    assert await told_of(home, UNTRACED, traceparent=PARENT) == [PARENT]


BAD = (None, "", "00-0-0-01", f"00-{'0' * 32}-{SENDER}-01", f"00-{TRACE}-{'0' * 16}-01", "x" * 55, f"{PARENT}\n")


async def test_what_is_no_trace_is_not_passed_on(home: World) -> None:
    """Results of a message with something else in its place carry none."""
    assert [valid_traceparent(given) for given in BAD] == [None] * len(BAD)
    assert await told_of(home, UNTRACED, traceparent=BAD[3]) == [None]


async def test_the_spans_of_a_message_are_one_trace(home: World) -> None:
    """Process is the sender's child, settle its child, the result carries it; send is linked, receive stands alone."""
    exporter = InMemorySpanExporter()
    provider = provider_of("robotd", 1.0, SimpleSpanProcessor(exporter))
    (told,) = await told_of(home, OpenTelemetry(provider), traceparent=PARENT)
    provider.shutdown()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    process, settle = spans[f"process {QUEUE}"], spans[f"settle {QUEUE}"]
    send, receive = spans["send robot-queue-{robotId}"], spans[f"receive {QUEUE}"]
    assert [span.kind for span in (process, settle, send, receive)] == [
        SpanKind.CONSUMER,
        SpanKind.CLIENT,
        SpanKind.PRODUCER,
        SpanKind.CLIENT,
    ]
    assert process.parent is not None
    assert (f"{process.parent.trace_id:032x}", f"{process.parent.span_id:016x}") == (TRACE, SENDER)
    assert settle.parent == process.get_span_context()
    assert told == f"00-{TRACE}-{_span_id(process)}-01"
    assert [f"{link.context.span_id:016x}" for link in send.links] == [_span_id(process)]
    assert send.parent is receive.parent is None
    assert _attribute(process, "messaging.system") == "aws_sqs"
    assert _attribute(send, "messaging.destination.template") == "robot-queue-{robotId}"
    assert _attribute(receive, "messaging.batch.message_count") == 1
    assert not any(str(ROBOT) in name for name in spans)


def test_an_error_is_named_and_not_quoted() -> None:
    """A span that an exception ends has its type; the text of it, which may hold what people write, is nowhere."""
    exporter = InMemorySpanExporter()
    provider = provider_of("robotd", 1.0, SimpleSpanProcessor(exporter))
    with pytest.raises(ValueError, match="4917"), OpenTelemetry(provider).process("q", PARENT, {}):
        raise ValueError("4917000 said hello")
    provider.shutdown()
    (span,) = exporter.get_finished_spans()
    assert (_attribute(span, "error.type"), span.status.status_code) == ("ValueError", StatusCode.ERROR)
    assert "4917" not in str(span.to_json())


async def test_a_neighbour_hears_the_trace() -> None:
    """A call made while a message is handled carries its trace; one made outside carries none."""
    async with listener() as (heard, url), httpx.AsyncClient(trust_env=False) as http:
        upstream = Upstream("neighbour", http, url)
        with continuing(PARENT):
            assert current_traceparent() == PARENT
            await call(upstream, Request("GET", "/", "be there"))
        await call(upstream, Request("GET", "/", "be there"))
    assert heard == [PARENT, None]


@asynccontextmanager
async def listener() -> AsyncIterator[tuple[list[str | None], str]]:
    """A server that writes down the traceparent of each request."""
    heard: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        heard.append(request.headers.get(TRACEPARENT))
        return web.Response(text="{}")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield heard, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_collector_gets_the_spans(home: World) -> None:
    """With `traces.endpoint` set they are posted there, the last ones when the daemon ends."""
    posted: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        posted.append(await request.read())
        return web.Response(body=b"", content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/traces"
    tree = home.settings.model_dump()
    home.settings = type(home.settings).model_validate({**tree, "traces": {"endpoint": endpoint}})
    (told,) = await told_of(home, None, traceparent=PARENT)
    await runner.cleanup()
    assert told is not None
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-01", told)
    assert f"process {QUEUE}".encode() in b"".join(posted)


async def test_traces_without_the_extra_are_refused(home: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names the setting and the extra; nothing is started."""
    monkeypatch.setitem(__import__("sys").modules, "daemon.otel", None)
    tree = home.settings.model_dump()
    settings = type(home.settings).model_validate({**tree, "traces": {"endpoint": "http://localhost:1/v1/traces"}})
    with pytest.raises(ConfigError, match=r"traces.endpoint: the extra \[otel\] is not installed"):
        async with build(settings, Outside(home.clock)):
            pass


def _span_id(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    return f"{context.span_id:016x}"


def _attribute(span: ReadableSpan, name: str) -> object:
    return (span.attributes or {}).get(name)
