"""What `/metrics` tells, read by Prometheus' own parsers."""

import shutil
import subprocess
from typing import Any

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from sarathid.protocol.control import DaemonState, OwnerStatus, Percentiles, PredictionError, Status
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.slo import SLO
from sarathid.protocol.stats import (
    BudgetBound,
    ChunkStats,
    EngineSettings,
    FirstToken,
    RequestArrival,
    StageTime,
    StallCause,
    TokenGap,
)
from sarathid.telemetry.board import Board
from sarathid.telemetry.exposition import Family, as_openmetrics, as_text
from sarathid.telemetry.owner_tally import MAX_OWNERS, OTHERS
from sarathid.telemetry.prometheus import metric_families
from sarathid.telemetry.refusals import Refusals
from sarathid.telemetry.vllm_names import under_vllm_names
from tests.factories import Engine, make_iteration
from tests.telemetry.test_board import make_ended, make_plan, make_stall

SETTINGS = EngineSettings(revision=1, token_budget=96, policy="stall-free", slo=SLO(tbt_s=0.25))


def make_status(settings: EngineSettings | None) -> Status:
    nothing = Percentiles(window_s=60.0, count=0, p50_s=None, p99_s=None, max_s=None)
    return Status(
        version="0",
        state=DaemonState.READY,
        pid=1,
        uptime_s=1.0,
        engine=None,
        settings=settings,
        num_running=2,
        num_waiting=0,
        num_preempted=0,
        num_blocks_used=7,
        num_blocks_free=5,
        num_iterations=1,
        num_finished=0,
        num_cancelled=0,
        num_output_tokens=2,
        num_stalls=2,
        num_engine_restarts=1,
        tbt=nothing,
        ttft=nothing,
        prediction_error=PredictionError(window_s=60.0, count=0, p50=None, p95=None),
        is_overloaded=True,
    )


def make_board() -> Board:
    board = Board()
    gaps = (TokenGap(1, 0.02), TokenGap(2, 0.2))
    board.begin(SETTINGS)
    board.observe(make_iteration(gaps=gaps))
    board.observe(make_stall(StallCause.PREFILL, 2))
    return board


def make_full_board(num_owners: int = 2) -> Board:
    """Return a board on which everything has happened that metrics tell of."""
    board = make_board()
    plan = make_plan(BudgetBound.TARGET)
    for number in range(num_owners):
        board.observe(
            RequestArrival(
                request_id=number, client="", arrival_s=0.0, num_prompt_tokens=9, max_tokens=None, owner=f"key {number}"
            )
        )
        iteration = make_iteration(
            number, chunks=(ChunkStats(number, 4, 5, 9, 4),), first_tokens=(FirstToken(number, 0.3),), predicted_s=0.04
        )
        board.observe(msgspec.structs.replace(iteration, plan=plan, stages=(StageTime(0.0, 0.04, 0.01),)))
    for reason in FinishReason:
        board.observe(make_ended(reason))
    return board


def families_of(board: Board, status: Status, owners: dict[str, OwnerStatus] | None = None) -> list[Family]:
    refusals = Refusals()
    for _ in range(4):
        refusals.add("queue", 0.002)
    return list(metric_families(board, status, owners or {}, refusals, 3))


def samples_of(families: list[Family]) -> dict[str, float]:
    """Return the samples as Prometheus' own parser reads them, by name and labels as they are written."""
    found: dict[str, float] = {}
    for family in read_text(as_text(families)):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def make_owner(**changed: Any) -> OwnerStatus:
    status = OwnerStatus(num_running=1, num_waiting=2, window_s=60.0, num_tokens=9, share=0.5, deficit=7)
    return msgspec.structs.replace(status, **changed)


def full_families(num_owners: int = 2) -> list[Family]:
    error = PredictionError(window_s=60.0, count=9, p50=0.03, p95=0.25)
    status = msgspec.structs.replace(make_status(SETTINGS), engine=Engine.info(), prediction_error=error)
    return families_of(make_full_board(num_owners), status, {f"key {i}": make_owner() for i in range(num_owners)})


def test_figures_are_the_boards() -> None:
    samples = samples_of(families_of(make_board(), make_status(SETTINGS)))

    assert samples["sarathid_token_budget"] == 128
    assert samples["sarathid_slo_tbt_seconds"] == 0.25
    assert samples["sarathid_kv_blocks_used"] == 7
    assert samples["sarathid_kv_cache_usage_perc"] == 7 / 12
    assert samples['sarathid_stalls_total{cause="prefill"}'] == 2
    assert samples["sarathid_dropped_records_total"] == 3
    assert samples['sarathid_refused_requests_total{cause="queue"}'] == 4
    assert samples["sarathid_engine_restarts_total"] == 1
    assert samples['sarathid_iterations_by_bound_total{bound="demand"}'] == 1
    assert samples["sarathid_overloaded"] == 1


def test_a_plan_shows_its_headroom_and_correction_and_predictions_their_error() -> None:
    board = make_board()
    assert not any("headroom" in name for name in samples_of(families_of(board, make_status(SETTINGS))))
    board.observe(msgspec.structs.replace(make_iteration(1), plan=make_plan(BudgetBound.TARGET)))
    error = PredictionError(window_s=60.0, count=9, p50=0.03, p95=0.25)
    samples = samples_of(families_of(board, msgspec.structs.replace(make_status(SETTINGS), prediction_error=error)))

    assert samples["sarathid_budget_headroom_ratio"] == 0.85
    assert samples["sarathid_prediction_correction_ratio"] == 1.1
    assert samples['sarathid_prediction_error_ratio{percentile="50"}'] == 0.03
    assert samples['sarathid_prediction_error_ratio{percentile="95"}'] == 0.25
    assert samples['sarathid_iterations_by_bound_total{bound="target"}'] == 1


def test_iterations_requests_stages_and_owners_are_counted() -> None:
    samples = samples_of(full_families())

    assert samples["sarathid_prefix_cache_queries_total"] == 18
    assert samples["sarathid_prefix_cache_hits_total"] == 8
    assert samples["sarathid_iteration_predicted_seconds_total"] == pytest.approx(0.08)
    assert samples["sarathid_iteration_real_seconds_total"] == pytest.approx(0.1)
    assert samples['sarathid_stage_busy_seconds_total{stage="0"}'] == pytest.approx(0.08)
    assert samples['sarathid_stage_bubble_seconds_total{stage="0"}'] == pytest.approx(0.02)
    assert samples["sarathid_e2e_request_latency_seconds_count"] == len(FinishReason) - 1  # errors are not timed
    assert samples["sarathid_request_queue_time_seconds_sum"] == pytest.approx(0.1 * (len(FinishReason) - 1))
    assert samples['sarathid_owner_tokens_total{owner="key 1",kind="prefill"}'] == 5
    assert samples['sarathid_owner_requests{owner="key 0",state="waiting"}'] == 2
    assert samples['sarathid_owner_deficit_tokens{owner="key 0"}'] == 7
    assert samples['sarathid_slo_events_total{slo="tbt"}'] == 2
    assert samples['sarathid_slo_misses_total{slo="tbt"}'] == 2
    assert samples['sarathid_slo_burn_rate{slo="tbt",window="5m"}'] == pytest.approx(100.0)


def test_buckets_are_cumulative_and_end_with_all() -> None:
    samples = samples_of(families_of(make_board(), make_status(SETTINGS)))
    name = "sarathid_inter_token_latency_seconds"
    buckets = [value for found, value in samples.items() if found.startswith(f"{name}_bucket")]

    assert buckets == sorted(buckets)
    assert samples[f'{name}_bucket{{le="0.05"}}'] == 1
    assert samples[f'{name}_bucket{{le="+Inf"}}'] == samples[f"{name}_count"] == 2


def test_a_daemon_that_has_just_started_has_metrics_too() -> None:
    assert samples_of(families_of(Board(), make_status(None)))["sarathid_iterations_total"] == 0


@pytest.mark.parametrize("has_vllm_names", [False, True])
def test_openmetrics_says_the_same_as_text(has_vllm_names: bool) -> None:
    families = full_families()
    if has_vllm_names:
        families += under_vllm_names(families, "smollm2-135m")
    openmetrics = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in read_openmetrics(as_openmetrics(families))  # type: ignore[no-untyped-call]
        for sample in family.samples
    }
    text = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in read_text(as_text(families))
        for sample in family.samples
    }

    assert openmetrics == text
    assert len(text) == sum(len(family.samples) for family in families), "two samples have one name"


def test_dashboards_made_for_vllm_find_their_metrics() -> None:
    samples = samples_of(under_vllm_names(full_families(), "smollm2-135m"))
    labels = '{model_name="smollm2-135m",engine="0"'

    for name in (
        *("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc", "num_preemptions_total"),
        *("prompt_tokens_total", "generation_tokens_total", "prefix_cache_queries_total", "prefix_cache_hits_total"),
        *(
            f"{name}_count"
            for name in (
                *("time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds"),
                *("request_queue_time_seconds", "request_prefill_time_seconds", "request_decode_time_seconds"),
                *("request_inference_time_seconds", "request_prompt_tokens", "request_generation_tokens"),
                "iteration_tokens_total",
            )
        ),
    ):
        assert f"vllm:{name}{labels}}}" in samples
    reasons = {
        reason: samples[f'vllm:request_success_total{labels},finished_reason="{reason}"}}'] for reason in REASONS
    }
    assert reasons == {"stop": 1, "length": 1, "abort": 2, "error": 1}


REASONS = ("stop", "length", "abort", "error")


def test_the_number_of_series_is_bounded_however_many_ask() -> None:
    few, many = full_families(), full_families(20 * MAX_OWNERS)
    num_more = sum(len(family.samples) for family in many) - sum(len(family.samples) for family in few)
    assert num_more <= 5 * MAX_OWNERS
    assert samples_of(many)[f'sarathid_owner_requests{{owner="{OTHERS}",state="waiting"}}'] == 2 * 19 * MAX_OWNERS


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here (Debian: prometheus)")
def test_promtool_finds_nothing_to_mend() -> None:
    text = as_text(full_families())
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    assert (checked.stderr, checked.returncode) == ("", 0)
