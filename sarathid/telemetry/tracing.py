"""OpenTelemetry traces: one span a request, for who sets the standard variables and installs the extra `otel`.

Spans and their attributes are named as in the semantic conventions for generative AI (version 1.37). A span is made of
a request's record when it has ended. Spans are sent by a thread of the SDK's own, from a bounded queue that drops when
it is full, so that serving never waits for a collector.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sarathid.clock import wall_clock_offset_s
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.stats import RequestStats, StallEvent, StreamRecord
from sarathid.version import __version__

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

MAX_STALL_EVENTS = 32
FLUSH_TIMEOUT_S = 2.0

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Begun:
    """A request whose span is to be made when it ends."""

    operation: str
    parent: "Context"
    stalls: list[StallEvent] = field(default_factory=list)


class RequestTracer:
    """Makes the spans of requests to `model` that it was told of, under the spans that their headers name."""

    def __init__(self, provider: "TracerProvider", model: str) -> None:
        from opentelemetry.trace.propagation.tracecontext import (  # deferred: an extra
            TraceContextTextMapPropagator,
        )

        self._provider = provider
        self._tracer = provider.get_tracer("sarathid", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._model = model
        self._begun: dict[int, _Begun] = {}

    def begin(self, request_id: int, operation: str, headers: Mapping[str, str]) -> None:
        """Take note of a request for an operation as the conventions name it (`chat`); `headers` are its HTTP ones."""
        self._begun[request_id] = _Begun(operation, self._propagator.extract(headers))

    def observe(self, record: StreamRecord) -> None:
        """Take a record in; a span is done with its request."""
        match record:
            case StallEvent():
                for victim in record.victims:
                    begun = self._begun.get(victim.request_id)
                    if begun is not None and len(begun.stalls) < MAX_STALL_EVENTS:
                        begun.stalls.append(record)
            case RequestStats():
                if (begun := self._begun.pop(record.request_id, None)) is not None:
                    self._tell(record, begun)

    async def close(self) -> None:
        """Send what is left, if that takes no longer than `FLUSH_TIMEOUT_S`."""
        loop, is_done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with contextlib.suppress(RuntimeError):  # nobody waits any more: the loop is closed
                loop.call_soon_threadsafe(is_done.set)

        threading.Thread(target=shut_down, name="last traces", daemon=True).start()
        try:
            await asyncio.wait_for(is_done.wait(), FLUSH_TIMEOUT_S)
        except TimeoutError:
            log.warning("the last traces are lost: no collector took them within %g s", FLUSH_TIMEOUT_S)

    def _tell(self, ended: RequestStats, begun: _Begun) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode  # deferred: an extra

        offset_s = wall_clock_offset_s()
        span = self._tracer.start_span(
            f"{begun.operation} {self._model}",
            begun.parent,
            SpanKind.SERVER,
            {
                "gen_ai.operation.name": begun.operation,
                "gen_ai.provider.name": "sarathid",
                "gen_ai.request.model": self._model,
                "gen_ai.response.finish_reasons": (ended.finish_reason,),
                "gen_ai.usage.input_tokens": ended.num_prompt_tokens,
                "gen_ai.usage.output_tokens": ended.num_output_tokens,
                "sarathid.request_id": ended.request_id,
                "sarathid.cached_tokens": ended.num_cached_tokens,
                "sarathid.preemptions": ended.num_preemptions,
                "sarathid.stalls": ended.num_stalls,
            },
            start_time=_nanoseconds(ended.arrival_s + offset_s),
        )
        _add_events(span, ended, begun, offset_s)
        if ended.finish_reason is FinishReason.ERROR:
            span.set_status(Status(StatusCode.ERROR, "the engine failed"))
        span.end(_nanoseconds(ended.finished_s + offset_s))


def make_tracer(environment: Mapping[str, str], model: str) -> RequestTracer | None:
    """Return what makes spans, None unless the standard variables ask for traces.

    They do where they name an endpoint or say `OTEL_TRACES_EXPORTER=otlp`, and neither `none` nor `OTEL_SDK_DISABLED`.
    What can't be done of what they ask for is told in the log, and no reason not to serve.
    """
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip()
    is_wanted = exporter == "otlp" or (not exporter and any(environment.get(name) for name in _ENDPOINTS))
    if not is_wanted or environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    protocol = next((value for name in _PROTOCOLS if (value := environment.get(name))), _PROTOCOL)
    if protocol != _PROTOCOL:
        log.warning(
            "no traces: they are sent by %s, not by %s as OTEL_EXPORTER_OTLP_PROTOCOL asks", _PROTOCOL, protocol
        )
        return None
    try:
        provider = _make_provider()
    except ImportError:
        log.warning("no traces: they take an extra, `pip install 'sarathid[otel]'`")
        return None
    log.info("traces are sent to the collector that OTEL_EXPORTER_OTLP_ENDPOINT names")
    return RequestTracer(provider, model)


def _make_provider() -> "TracerProvider":
    """Return what sends spans as the variables say: to whom, how many at once, of which service, and which of all."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # deferred: an extra
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "sarathid"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _add_events(span: "Span", ended: RequestStats, begun: _Begun, offset_s: float) -> None:
    """Add when the request waited, when it first ran, when its first token came, and its stalls."""
    moments = (("queue", ended.arrival_s), ("prefill", ended.scheduled_s), ("decode", ended.first_token_s))
    for name, time_s in moments:
        if time_s is not None:
            span.add_event(name, timestamp=_nanoseconds(time_s + offset_s))
    for stall in begun.stalls:
        own = next(victim for victim in stall.victims if victim.request_id == ended.request_id)
        attributes = {"cause": stall.cause.value, "tbt_s": own.tbt_s}
        span.add_event("stall", attributes, _nanoseconds(stall.time_s + offset_s))


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
