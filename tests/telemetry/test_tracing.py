"""Traces as a collector gets them: a real OTLP receiver, in front of it the API over a reciting engine."""

import asyncio
import logging
import os
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sarathid.protocol.requests import FinishReason
from sarathid.protocol.stats import StallCause
from sarathid.telemetry import tracing
from sarathid.telemetry.tracing import make_tracer
from tests.server.api_server import MODEL, serve_api
from tests.telemetry.test_board import make_ended, make_stall

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TIMEOUT_S = 30.0


class Collector:
    """Takes OTLP over HTTP; `spans` gets each span with its resource's attributes."""

    def __init__(self) -> None:
        self.spans: queue.Queue[tuple[Any, dict[str, Any]]] = queue.Queue()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # the base class asks for this name
                assert self.path == "/v1/traces"
                collector.take(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: what came is what tests look at."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def take(self, body: bytes) -> None:
        for found in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = attributes_of(found.resource)
            for scope in found.scope_spans:
                for span in scope.spans:
                    self.spans.put((span, resource))

    def next(self) -> tuple[Any, dict[str, Any]]:
        return self.spans.get(timeout=TIMEOUT_S)


def attributes_of(told: Any) -> dict[str, Any]:
    """Return the attributes of a span, an event or a resource as plain values."""
    values: dict[str, Any] = {}
    for attribute in told.attributes:
        kind = attribute.value.WhichOneof("value")
        value = getattr(attribute.value, kind)
        values[attribute.key] = [item.string_value for item in value.values] if kind == "array_value" else value
    return values


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    running = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    yield running
    running.server.shutdown()
    running.server.server_close()


def test_a_request_is_one_span_under_the_callers_with_its_phases_as_events(
    collector: Collector, tmp_path: Path
) -> None:
    async def ask() -> None:
        tracer = make_tracer(os.environ, MODEL)
        assert tracer is not None
        headers = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}
        async with serve_api(tmp_path, ends=False, tracer=tracer) as api:
            body = {"prompt": "Once", "max_tokens": 6}
            assert (await api.http.post("/v1/completions", json=body, headers=headers)).status_code == 200
            await api.ended.get()
        await tracer.close()

    asyncio.run(ask())
    span, resource = collector.next()

    assert resource["service.name"] == "sarathid"
    assert span.name == f"text_completion {MODEL}"
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE_ID, PARENT_ID)
    attributes = attributes_of(span)
    assert attributes["gen_ai.usage.input_tokens"] == 4
    assert attributes["gen_ai.usage.output_tokens"] == 6
    assert attributes["gen_ai.response.finish_reasons"] == ["length"]
    assert [event.name for event in span.events[:3]] == ["queue", "prefill", "decode"]
    times = [span.start_time_unix_nano, *(event.time_unix_nano for event in span.events), span.end_time_unix_nano]
    assert times[0] == times[1]
    assert times == sorted(times)
    assert span.end_time_unix_nano - span.start_time_unix_nano < TIMEOUT_S * 1e9


def test_stalls_are_events_of_those_who_waited(collector: Collector) -> None:
    async def tell() -> None:
        tracer = make_tracer(os.environ, MODEL)
        assert tracer is not None
        tracer.begin(1, "chat", {"traceparent": "of no form"})
        for _ in range(2 * tracing.MAX_STALL_EVENTS):
            tracer.observe(make_stall(StallCause.PREFILL, 3))
        tracer.observe(make_ended(FinishReason.ERROR))
        tracer.observe(make_ended(FinishReason.ERROR))
        await tracer.close()

    asyncio.run(tell())
    span, _ = collector.next()

    assert span.name == f"chat {MODEL}"
    assert not span.parent_span_id
    stalls = [attributes_of(event) for event in span.events if event.name == "stall"]
    assert stalls == [{"cause": "prefill", "tbt_s": 0.5}] * tracing.MAX_STALL_EVENTS
    assert span.status.code == span.status.STATUS_CODE_ERROR
    assert collector.spans.empty()


def test_a_collector_that_never_answers_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "FLUSH_TIMEOUT_S", 0.1)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "4")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")

    async def ask() -> None:
        with socket.create_server(("127.0.0.1", 0)) as stuck:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{stuck.getsockname()[1]}")
            tracer = make_tracer(os.environ, MODEL)
            assert tracer is not None
            async with asyncio.timeout(TIMEOUT_S), serve_api(tmp_path, tracer=tracer) as api:
                for _ in range(12):
                    answer = await api.http.post("/v1/completions", json={"prompt": "Once", "max_tokens": 2})
                    assert answer.status_code == 200
                await tracer.close()

    before = set(threading.enumerate())
    asyncio.run(ask())
    for thread in set(threading.enumerate()) - before:
        if thread.daemon:  # those that still try, which a daemon's end would end
            thread.join(TIMEOUT_S)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_SERVICE_NAME": "sarathid"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"},
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
def test_there_are_no_traces_unless_they_are_asked_for(environment: dict[str, str]) -> None:
    assert make_tracer(environment, MODEL) is None


def test_without_the_extra_the_log_says_so_and_the_daemon_serves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with caplog.at_level(logging.WARNING):
        assert make_tracer({"OTEL_TRACES_EXPORTER": "otlp"}, MODEL) is None
    assert "sarathid[otel]" in caplog.text


def test_off_loads_nothing() -> None:
    code = (
        "import sys; from sarathid.telemetry.tracing import make_tracer; "
        "assert make_tracer({}, 'm') is None; assert not [name for name in sys.modules if 'opentelemetry' in name]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
