import re

import msgspec

from sarathid.protocol.control import DaemonState, Percentiles, PredictionError, Status
from sarathid.protocol.slo import SLO
from sarathid.protocol.stats import BudgetBound, EngineSettings, StallCause, TokenGap
from sarathid.telemetry.board import Board
from sarathid.telemetry.prometheus import render
from tests.factories import make_iteration
from tests.telemetry.test_board import make_plan, make_stall

SAMPLE = re.compile(r'([a-z_]+)(?:\{[a-z_]+="[^"]+"\})? (-?\d+(?:\.\d+)?(?:e-?\d+)?)')
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
    board.observe(make_iteration(gaps=gaps))
    board.observe(make_stall(StallCause.PREFILL, 2))
    return board


def samples_of(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(SAMPLE.fullmatch(line) for line in lines)
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_every_line_is_a_sample_or_a_comment_and_every_sample_has_a_type() -> None:
    text = render(make_board(), make_status(SETTINGS), 3)

    types = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    bases = {re.sub(r"_(bucket|sum|count)$", "", name.partition("{")[0]) for name in samples_of(text)}
    assert bases <= types | {name.removesuffix("_count") for name in types}
    assert text.endswith("\n")


def test_figures_are_the_boards() -> None:
    samples = samples_of(render(make_board(), make_status(SETTINGS), 3))

    assert samples["sarathid_token_budget"] == 96
    assert samples["sarathid_slo_tbt_seconds"] == 0.25
    assert samples["sarathid_kv_blocks_used"] == 7
    assert samples['sarathid_stalls_total{cause="prefill"}'] == 2
    assert samples["sarathid_dropped_records_total"] == 3
    assert samples["sarathid_engine_restarts_total"] == 1
    assert samples['sarathid_iterations_by_bound_total{bound="demand"}'] == 1
    assert samples["sarathid_overloaded"] == 1


def test_a_plan_shows_its_headroom_and_correction_and_predictions_their_error() -> None:
    board = make_board()
    assert not any("_ratio" in name for name in samples_of(render(board, make_status(SETTINGS), 0)))
    board.observe(msgspec.structs.replace(make_iteration(1), plan=make_plan(BudgetBound.TARGET)))
    error = PredictionError(window_s=60.0, count=9, p50=0.03, p95=0.25)
    samples = samples_of(render(board, msgspec.structs.replace(make_status(SETTINGS), prediction_error=error), 0))

    assert samples["sarathid_budget_headroom_ratio"] == 0.85
    assert samples["sarathid_prediction_correction_ratio"] == 1.1
    assert samples['sarathid_prediction_error_ratio{quantile="0.5"}'] == 0.03
    assert samples['sarathid_prediction_error_ratio{quantile="0.95"}'] == 0.25
    assert samples['sarathid_iterations_by_bound_total{bound="target"}'] == 1


def test_buckets_are_cumulative_and_end_with_all() -> None:
    samples = samples_of(render(make_board(), make_status(SETTINGS), 0))
    buckets = [value for name, value in samples.items() if name.startswith("sarathid_tbt_seconds_bucket")]

    assert buckets == sorted(buckets)
    assert samples['sarathid_tbt_seconds_bucket{le="0.05"}'] == 1
    assert samples['sarathid_tbt_seconds_bucket{le="+Inf"}'] == samples["sarathid_tbt_seconds_count"] == 2


def test_a_daemon_that_has_just_started_has_metrics_too() -> None:
    assert samples_of(render(Board(), make_status(None), 0))["sarathid_iterations_total"] == 0
