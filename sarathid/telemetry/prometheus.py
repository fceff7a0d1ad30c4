"""The board in Prometheus' text format (version 0.0.4)."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from sarathid.histogram import EXPOSED_BOUNDS_S, LatencyHistogram
from sarathid.protocol.control import PredictionError, Status
from sarathid.protocol.stats import BudgetPlan, EngineSettings
from sarathid.telemetry.board import Board


def render(board: Board, status: Status, num_dropped_records: int) -> str:
    """Return the exposition of everything that the daemon counts; gauges are those of `status`."""
    families = chain(
        _histogram("sarathid_iteration_seconds", "Duration of an iteration.", board.iteration_seconds),
        _histogram("sarathid_tbt_seconds", "Time between two tokens of one request.", board.tbt_seconds),
        _histogram("sarathid_ttft_seconds", "Time from arrival to first token.", board.ttft_seconds),
        _counter("sarathid_iterations_total", "Iterations run.", board.num_iterations),
        _counter("sarathid_output_tokens_total", "Tokens generated.", board.num_output_tokens),
        _counter("sarathid_prefill_tokens_total", "Prompt tokens computed.", board.num_prefill_tokens),
        _counter("sarathid_preemptions_total", "Requests preempted.", board.num_preemptions),
        _counter("sarathid_dropped_records_total", "Records that a subscriber lost.", num_dropped_records),
        _counter("sarathid_engine_restarts_total", "Engine processes started again.", status.num_engine_restarts),
        _by_label("sarathid_requests_total", "Requests ended.", "finish_reason", board.num_finished),
        _by_label("sarathid_stalls_total", "Times between tokens above the target.", "cause", board.num_stalls),
        _by_label(
            "sarathid_iterations_by_bound_total",
            "Iterations by what kept them from more prefill tokens.",
            "bound",
            board.num_by_bound,
        ),
        _gauge("sarathid_requests_running", "Requests that hold blocks.", status.num_running),
        _gauge("sarathid_requests_waiting", "Requests that hold none, preempted ones included.", status.num_waiting),
        _gauge("sarathid_requests_preempted", "Requests that wait to be resumed.", status.num_preempted),
        _gauge("sarathid_kv_blocks_used", "KV cache blocks in use.", status.num_blocks_used),
        _gauge("sarathid_kv_blocks_free", "KV cache blocks free.", status.num_blocks_free),
        _gauge("sarathid_overloaded", "1 while the decodes alone miss the target.", int(status.is_overloaded)),
        _gauges_of_settings(status.settings),
        _gauges_of_plan(None if board.last is None else board.last.plan),
        _prediction_error(status.prediction_error),
    )
    return "\n".join(families) + "\n"


def _gauges_of_settings(settings: EngineSettings | None) -> Iterator[str]:
    if settings is None:
        return
    yield from _gauge("sarathid_token_budget", "Tokens an iteration may take.", settings.token_budget)
    if settings.slo.tbt_s is not None:
        yield from _gauge("sarathid_slo_tbt_seconds", "Target for the time between tokens.", settings.slo.tbt_s)
    if settings.slo.ttft_s is not None:
        yield from _gauge("sarathid_slo_ttft_seconds", "Target for the time to first token.", settings.slo.ttft_s)


def _gauges_of_plan(plan: BudgetPlan | None) -> Iterator[str]:
    if plan is None:
        return
    yield from _gauge("sarathid_budget_headroom_ratio", "Share of the target that is planned for.", plan.headroom)
    yield from _gauge(
        "sarathid_prediction_correction_ratio", "What the cost model's prediction is multiplied by.", plan.correction
    )


def _prediction_error(error: PredictionError) -> Iterator[str]:
    name = "sarathid_prediction_error_ratio"
    yield from _header(name, "Error of the predicted time of an iteration, of the last minute.", "gauge")
    for quantile, value in (("0.5", error.p50), ("0.95", error.p95)):
        if value is not None:
            yield f'{name}{{quantile="{quantile}"}} {value}'


def _header(name: str, words: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {words}"
    yield f"# TYPE {name} {kind}"


def _gauge(name: str, words: str, value: float) -> Iterator[str]:
    yield from _header(name, words, "gauge")
    yield f"{name} {value}"


def _counter(name: str, words: str, value: int) -> Iterator[str]:
    yield from _header(name, words, "counter")
    yield f"{name} {value}"


def _by_label(name: str, words: str, label: str, values: Mapping[Any, int]) -> Iterator[str]:
    yield from _header(name, words, "counter")
    for key, value in sorted(values.items()):
        yield f'{name}{{{label}="{key}"}} {value}'


def _histogram(name: str, words: str, histogram: LatencyHistogram) -> Iterator[str]:
    yield from _header(name, words, "histogram")
    for bound_s in EXPOSED_BOUNDS_S:
        yield f'{name}_bucket{{le="{bound_s}"}} {histogram.num_at_most(bound_s)}'
    yield f'{name}_bucket{{le="+Inf"}} {histogram.count}'
    yield f"{name}_sum {histogram.sum_s}"
    yield f"{name}_count {histogram.count}"
